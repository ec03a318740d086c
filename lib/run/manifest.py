"""Runs as the audit trail keeps them: the manifest `run.json`, the pages over it, and `latest`.

The manifest is the truth about a run: it is written atomically at each change, from what really happened.
Running the notebooks is `lib.run.runner`; how a page looks is `lib.report.pieces`.
"""

import contextlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

from lib.base.errors import ConfigError
from lib.base.files import PROJECT, is_locked, write_atomically
from lib.base.hashing import fingerprint, sha256_of
from lib.base.secrets import mask
from lib.report import pages
from lib.settings import Settings
from lib.warehouse import open_warehouse

#: The packages whose versions a run notes.
_PACKAGES = [
    *("dbt-core", "dbt-duckdb", "dbt-postgres", "duckdb", "ipykernel", "matplotlib"),
    *("nbconvert", "numpy", "pandas", "papermill", "psycopg2-binary", "pyarrow"),
]


@dataclass
class Run:
    """One batch run and its folder; `manifest` is what `run.json` holds."""

    folder: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    #: When this process began with it, and how long others have worked on it.
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    worked: float = 0.0

    @property
    def run_id(self) -> str:
        return str(self.manifest["run_id"])

    @property
    def exit_code(self) -> int:
        """Of the command line: 0 all well, 3 the gate refused, 1 anything else."""
        return {"published": 0, "not_published": 0, "waiting": 0, "abandoned": 0, "refused": 3}.get(
            self.manifest["state"], 1
        )

    def stage(self, name: str) -> dict[str, Any]:
        stage: dict[str, Any] = next(s for s in self.manifest["stages"] if s["name"] == name)
        return stage

    def save(self) -> None:
        """Write the manifest, secrets masked."""
        write_atomically(
            self.folder / "run.json",
            mask(json.dumps(self.manifest, indent=1, ensure_ascii=False, default=str)),
        )

    def add_result(self, name: str) -> dict[str, Any]:
        """Add what a notebook handed over at its end to the manifest and return it."""
        path = self.folder / "stages" / f"{name}.json"
        if not path.exists():
            return {}
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        stage = self.stage(name)
        stage.update(rows_in=note.pop("rows_in"), rows_out=note.pop("rows_out"), facts=note.pop("facts"))
        self.manifest["charts"].extend({**chart, "stage": name} for chart in note.pop("charts"))
        self.manifest.update({k: v for k, v in note.items() if v is not None})
        return note

    def join(self, notebooks: Sequence[str], fresh: dict[str, dict[str, Any]]) -> None:
        """Go on with the run in this process: what it is to run, and all after that, has not run yet."""
        first, values = notebooks[0], self.manifest
        self.reopen()
        for number, stage in enumerate(values["stages"]):
            name = stage["name"]
            if name < first:
                continue
            values["stages"][number] = fresh[name]
            parts = (f"notebooks/{name}.ipynb", f"reports/{name}.html", f"stages/{name}.json")
            charts = [c[kind] for c in values["charts"] if c.get("stage") == name for kind in ("svg", "png")]
            for part in (*parts, *charts):
                (self.folder / part).unlink(missing_ok=True)
        values["charts"] = [c for c in values["charts"] if c.get("stage", "") < first]
        gone: dict[str, dict[str, Any]] = {
            "02_ingest": {"watermarks": {"before": {}, "after": {}}},
            "03_clean": {"new_rows": None},
        }
        gone |= {"04_model": {"kpis": None}, "05_quality": {"quality": None}}
        for name, empty in gone.items():
            if name >= first:
                values.update(empty)

    def reopen(self) -> None:
        """Take the run over into this process."""
        self.worked = float(self.manifest.get("seconds") or 0)
        self.manifest.update(state="running", reason=None, ended_at=None, pid=os.getpid(), owner=_owner())

    def close(self, state: str, reason: str = "") -> None:
        """Write the end state, the checksums of all artifacts, and the run's page."""
        ended = datetime.now(UTC)
        self.manifest.update(
            state=state,
            reason=reason or None,
            ended_at=stamp(ended),
            seconds=round(self.worked + (ended - self.since).total_seconds(), 1),
        )
        write_atomically(self.folder / "index.html", mask(pages.run_page(self.manifest)))
        self.manifest["artifacts"] = {
            str(p.relative_to(self.folder)): sha256_of(p)
            for p in sorted(self.folder.rglob("*"))
            if p.is_file() and p.name != "run.json" and not p.name.startswith(".")
        }
        self.save()


def start_run(
    settings: Settings,
    stages: list[dict[str, Any]],
    parameters: dict[str, dict[str, Any]],
    command: list[str],
    *,
    given_id: str = "",
) -> Run:
    """Make the run's folder, named by the id that is given or its UTC start, and its first manifest."""
    now = datetime.now(UTC)
    base = safe_name(given_id) or now.strftime("%Y%m%dT%H%M%SZ")
    for number in count(1):
        folder = settings.output_dir / "runs" / (base if number == 1 else f"{base}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    for name in ("notebooks", "reports", "charts", "logs", "stages"):
        (folder / name).mkdir()
    manifest: dict[str, Any] = {
        "run_id": folder.name,
        "given_id": given_id or None,
        "state": "running",
        "reason": None,
        "started_at": stamp(now),
        "ended_at": None,
        "seconds": None,
        "pid": os.getpid(),
        "owner": _owner(),
        "shop": {"id": settings.shop_id} | settings.shop.model_dump(),
        "target": settings.config.warehouse.target,
        "warehouse": open_warehouse(settings, "run").place,
        "data_dir": str(settings.data_dir),
        "as_of": settings.as_of.isoformat() if settings.as_of else None,
        "size": settings.size if settings.simulated else None,
        "options": {
            "sources": str(settings.sources_file or ""),
            "size": settings.size if settings.simulated else "",
            "seed": settings.seed if settings.simulated else None,
            "target": settings.config.warehouse.target,
        },
        "new_rows": None,
        "command": command,
        "parameters": parameters,
        "git": _git(),
        "python": platform.python_version(),
        "packages": {p: metadata.version(p) for p in _PACKAGES},
        "stages": stages,
        "watermarks": {"before": {}, "after": {}},
        "quality": None,
        "kpis": None,
        "charts": [],
        "artifacts": {},
    }
    run = Run(folder, manifest)
    run.save()
    return run


def list_runs(output_dir: Path) -> list[dict[str, Any]]:
    """Return every readable manifest, newest first."""
    found = []
    for path in (output_dir / "runs").glob("*/run.json"):
        with contextlib.suppress(OSError, ValueError):
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return sorted(found, key=lambda m: (m["started_at"], m["run_id"]), reverse=True)


def close_killed_runs(settings: Settings) -> None:
    """Give runs whose process is gone their true end state.

    The caller holds the run lock of this data folder, so no run on it is under way. A run that was killed after
    its warehouse went public did publish: `ops.runs` of the published file knows.
    """
    for manifest in list_runs(settings.output_dir):
        if manifest["state"] != "running":
            continue
        folder = settings.output_dir / "runs" / manifest["run_id"]
        if manifest["data_dir"] != str(settings.data_dir) and is_alive(manifest, folder):
            continue
        if not _is_at_hand(manifest, settings):
            continue
        run = Run(folder, manifest, datetime.fromisoformat(manifest["started_at"]))
        published = has_published(run, settings)
        for stage in manifest["stages"]:
            if stage["state"] == "running":
                stage["state"] = "ok" if published else "killed"
                if not published:
                    _show_death(run, stage)
        reason = "the process ended before the run could; " + (
            "its data had been published" if published else "nothing was published"
        )
        run.close("published" if published else "killed", reason)


def add_error(cell: Any, kind: str, message: str) -> None:
    """Show on a cell what ended its notebook, where it does not show it itself."""
    from nbformat import v4

    if not any(output.output_type == "error" for output in cell.outputs):
        cell.outputs.append(v4.new_output("error", ename=kind, evalue=message, traceback=[message]))


def _show_death(run: Run, stage: dict[str, Any]) -> None:
    """Mark the last cell that a killed notebook is known to have begun, and write the notebook's page."""
    import nbformat  # only a death needs it, and listing runs is quick
    from nbformat.reader import NotJSONError

    message = "the process was killed while this notebook ran, in this cell or one of the next"
    stage["error"] = {"type": "Killed", "message": message, "cell": None}
    path = run.folder / "notebooks" / f"{stage['name']}.ipynb"
    with contextlib.suppress(OSError, ValueError, KeyError, NotJSONError):
        notebook = nbformat.read(path, as_version=4)
        cells = [(n, cell) for n, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
        begun = [(n, c) for n, c in cells if (c.metadata.get("papermill") or {}).get("start_time")] or cells[:1]
        for number, cell in begun[-1:]:
            stage["error"]["cell"] = number
            cell.metadata.setdefault("papermill", {}).update(exception=True, status="failed")
            add_error(cell, "Killed", message)
        write_atomically(path, mask(nbformat.writes(notebook)))
        page = pages.notebook_page(path, run=run.manifest, stage_name=stage["name"])
        write_atomically(run.folder / "reports" / f"{stage['name']}.html", mask(page))


def is_alive(manifest: dict[str, Any], folder: Path | None = None) -> bool:
    """Whether the process of a run that says it is running still is.

    It holds the lock in the run's folder, on whatever host that shares the folder; where there is none to be seen, the
    process is looked up if it was one of this host since it was started.
    """
    if folder and (folder / ".lock").exists():
        return is_locked(folder / ".lock")
    owner = manifest.get("owner")
    if owner and (owner.get("host"), owner.get("boot")) != (_owner()["host"], _owner()["boot"]):
        return owner.get("host") != _owner()["host"]  # of a host that has started anew since, nothing is left
    try:
        os.kill(int(manifest["pid"]), 0)
    except (ProcessLookupError, KeyError, TypeError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _owner() -> dict[str, Any]:
    """Return what identifies this process among those of all hosts."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"host": socket.gethostname(), "pid": os.getpid(), "boot": boot, "started": stamp(datetime.now(UTC))}


def safe_name(given: str) -> str:
    """Return a run's id from outside as the name of its folder: other characters go, and a hash tells it apart."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", given).strip(".-")[:80]
    return plain if plain == given else f"{plain or 'run'}-{fingerprint(given)[:8]}"


def find_run(output_dir: Path, run_id: str) -> dict[str, Any] | None:
    """Return the manifest of a run by its id as given, or by its folder's name; None where there is none."""
    for name in dict.fromkeys((safe_name(run_id), run_id)):
        if not name or name != Path(name).name:
            continue
        path = output_dir / "runs" / name / "run.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
    return None


def existing_run(output_dir: Path, run_id: str) -> dict[str, Any]:
    """Return the manifest of a run as `find_run` does; raise ConfigError where there is none."""
    if (found := find_run(output_dir, run_id)) is None:
        raise ConfigError(f"No run {run_id!r} in {output_dir}. These are there: run_pipeline.py runs")
    return found


def write_index(output_dir: Path) -> Path:
    """Write `index.html` over all runs and return its path."""
    path = output_dir / "index.html"
    write_atomically(path, mask(pages.runs_page(list_runs(output_dir))))
    return path


def point_latest(run: Run) -> None:
    """Let `latest` name the run that published last; the old link stays until the new one is there."""
    link = run.folder.parent.parent / "latest"
    partial = link.with_name(".latest.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(Path("runs") / run.run_id, target_is_directory=True)
    partial.replace(link)


def latest_place(output_dir: Path) -> tuple[Path, str] | None:
    """Return the data folder and the target of the run that published last."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        manifest = json.loads((output_dir / "latest" / "run.json").read_text(encoding="utf-8"))
        return Path(manifest["data_dir"]), manifest.get("target", "duckdb")
    return None


def has_published(run: Run, settings: Settings) -> bool:
    """Whether the run's data went public, according to the published data themselves."""
    settings = replace(settings, data_dir=Path(run.manifest["data_dir"])).on(run.manifest.get("target", "duckdb"))
    return open_warehouse(settings).has_published(run.run_id)


def _is_at_hand(manifest: dict[str, Any], settings: Settings) -> bool:
    """Whether the warehouse of a run can be asked: a file always, a server where it is the configured one."""
    target = manifest.get("target", "duckdb")  # older manifests name none
    if target == "duckdb":
        return True
    with contextlib.suppress(ConfigError):
        return bool(open_warehouse(settings.on(target), "run").place == manifest["warehouse"])
    return False


def _git() -> dict[str, Any]:
    """Return the revision the run was made with, and whether files differ from it."""

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    return {"revision": git("rev-parse", "HEAD") or None, "dirty": bool(git("status", "--porcelain"))}


def stamp(moment: datetime) -> str:
    """Return a moment as the manifest has it: ISO 8601, to the second."""
    return moment.isoformat(timespec="seconds")


def command_line() -> list[str]:
    """Return how this run was started, with secrets masked."""
    return [Path(sys.argv[0]).name, *(mask(a) for a in sys.argv[1:])]
