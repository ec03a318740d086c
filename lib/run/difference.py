"""What differs between two runs: parameters, code, versions, row counts, key figures, and checks that changed state.

All of it is in the two manifests; only the files that changed between two revisions are asked of git.
"""

import math
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.base.files import PROJECT, write_atomically
from lib.base.formatting import DASH
from lib.base.secrets import mask
from lib.report import pages
from lib.run.manifest import existing_run

#: So many changed files are named, the others counted.
_FILES = 20


@dataclass(frozen=True)
class Change:
    """One thing that differs: what it is in the first run, in the second, and by how much where both are numbers."""

    name: str
    before: str
    after: str
    by: str = ""


def find(output_dir: Path, run_id: str) -> dict[str, Any]:
    """Return the manifest of a run; `latest` is the one that published last. Raises ConfigError where there is none."""
    if run_id == "latest" and (output_dir / "latest").exists():
        run_id = (output_dir / "latest").resolve().name
    return existing_run(output_dir, run_id)


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, list[Change]]]:
    """Return what differs, by group; a group in which nothing does is empty."""
    checks = [(run.get("quality") or {}).get("checks") for run in (first, second)]
    both_audited = all(states is not None for states in checks)
    found = [
        ("Parameters", _changes(_parameters(first), _parameters(second))),
        ("Code", _changes(_code(first), _code(second)) + _files(first, second)),
        ("Versions", _changes(_versions(first), _versions(second))),
        ("Row counts", _changes(_rows(first), _rows(second))),
        ("Key figures", _changes(first.get("kpis") or {}, second.get("kpis") or {})),
        ("Quality", _changes(_quality(first), _quality(second))),
    ]
    if both_audited:
        found.append(("Checks", _changes(checks[0] or {}, checks[1] or {})))
    return found


def write_page(
    output_dir: Path, first: Mapping[str, Any], second: Mapping[str, Any], groups: list[tuple[str, list[Change]]]
) -> Path:
    """Write the two runs' difference as a page and return its path."""
    path = output_dir / "diffs" / f"{first['run_id']}--{second['run_id']}.html"
    write_atomically(path, mask(pages.difference_page(first, second, groups)))
    return path


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    names = list(dict.fromkeys([*before, *after]))
    return [
        Change(name, _text(before.get(name)), _text(after.get(name)), _by(before.get(name), after.get(name)))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _text(value: Any) -> str:
    if value is None or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value) or DASH
    return str(value)


def _by(before: Any, after: Any) -> str:
    """Return how far a number went, and of what it was before."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in (before, after)):
        return ""
    step = after - before
    text = f"{step:+,}" if isinstance(step, int) else f"{step:+,.2f}"
    return f"{text} ({step / abs(before):+.1%})" if before else text


def _parameters(run: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {k: v for k, v in (run.get("options") or {}).items() if k not in ("size", "target")}
    values |= {name: run.get(name) for name in ("target", "size", "as_of", "flow", "data_dir")}
    values |= {name.replace("_", " "): bool(run.get(name)) for name in ("full_refresh", "no_gate")}
    values["notebooks"] = run.get("notebooks") or [
        s["name"] for s in run.get("stages") or [] if s.get("state") != "skipped"
    ]
    for notebook, given in (run.get("parameters") or {}).items():
        values |= {f"{notebook}.{name}": value for name, value in given.items()}
    return values


def _code(run: Mapping[str, Any]) -> dict[str, Any]:
    git = run.get("git") or {}
    return {"revision": (git.get("revision") or "")[:12], "with local changes": bool(git.get("dirty"))}


def _files(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    """Return the files that differ between the two revisions, where git knows both."""
    revisions = [(run.get("git") or {}).get("revision") for run in (first, second)]
    if not all(revisions) or revisions[0] == revisions[1]:
        return []
    command = ["git", "-C", str(PROJECT), "diff", "--name-only", *map(str, revisions), "--"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = done.stdout.splitlines() if done.returncode == 0 else []
    more = [f"and {len(names) - _FILES} more"] if len(names) > _FILES else []
    return [Change(f"files changed: {len(names)}", "", ", ".join(names[:_FILES] + more))] if names else []


def _versions(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"python": run.get("python")} | dict(run.get("packages") or {})


def _rows(run: Mapping[str, Any]) -> dict[str, Any]:
    def each() -> Iterator[tuple[str, Any]]:
        yield "new rows", run.get("new_rows")
        for stage in run.get("stages") or []:
            yield f"{stage['name']}: rows in", stage.get("rows_in")
            yield f"{stage['name']}: rows out", stage.get("rows_out")
            for name, value in (stage.get("facts") or {}).items():
                if isinstance(value, int) and not isinstance(value, bool):
                    yield f"{stage['name']}: {name[:1].lower()}{name[1:]}", value

    return dict(each())


def _quality(run: Mapping[str, Any]) -> dict[str, Any]:
    quality = run.get("quality") or {}
    gate = quality.get("gate") or {}
    verdict = "overridden" if gate.get("overridden") else "passed" if gate.get("passed") else "refused" if gate else ""
    values = {"score": quality.get("score"), "grade": quality.get("grade"), "gate": verdict}
    return values | dict(quality.get("dimensions") or {}) | {"gate's reasons": "; ".join(gate.get("reasons") or [])}
