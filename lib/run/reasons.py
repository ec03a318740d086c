"""Why a stage runs or may be left out: what its last success rested on, compared with what it would rest on now.

That is its code cells, its parameters, the sources of `lib/` and `sql/` that it uses, the packages, the configuration
and what it reads; prose and outputs of notebooks are none of it. A success counts as long as what it left is what is
published: its note names the run that published it, and a stage whose note names another is run.
"""

import ast
import contextlib
import json
import platform
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb

from lib.base.errors import PipelineError
from lib.base.files import PROJECT, write_atomically
from lib.base.hashing import fingerprint, sha256_of
from lib.base.secrets import mask
from lib.lake import Lake
from lib.run import parameters as declared
from lib.run.checkpoints import WRITING
from lib.run.manifest import Run
from lib.run.parameters import RESERVED, cells_of
from lib.settings import Settings
from lib.sources import KINDS
from lib.warehouse import open_warehouse

#: Asks the sources for what is new, which is the only way to know.
_ASKING = "02_ingest"
#: The keys of the configuration that a stage's outcome depends on.
_SECTIONS = {
    "01_generate": ("shop", "simulation"),
    "03_clean": ("shop", "models", "sources"),
    "05_quality": ("shop", "models", "sources", "quality"),
}
_OTHERWISE = ("shop", "models")
#: So many differences of one sort are named.
_NAMED = 5

#: What a stage rests on: by sort and name, a value or a fingerprint of it.
Basis = dict[str, dict[str, Any]]


@dataclass
class Reasons:
    """The notes on the last successes of a shop's stages, and what this run adds to them.

    Made before the first stage starts, so that what is noted is the code that runs.
    """

    settings: Settings
    parameters: Mapping[str, Mapping[str, Any]]
    full_refresh: bool = False
    published: str = ""
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _code: dict[str, Basis] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.published = published_run(self.settings)
        self.notes = _read(_place(self.settings))
        files = _Files(self.settings.work_dir / "imports.json")
        for name in declared.NOTEBOOKS:
            self._code[name] = _code_of(name, files, self.settings)
        files.save()

    def why(self, name: str, current: Run) -> str:
        """Return why a stage has to run; empty where its last success is what it would come to."""
        if name == "03_clean" and self.full_refresh:
            return "--full-refresh"
        if name == _ASKING:
            return "asks the sources for what is new"
        before = [s["name"] for s in current.manifest["stages"] if s["name"] < name and s["state"] == "ok"]
        if ran := [n for n in before if n in WRITING and name > "03_clean"]:
            return f"{ran[-1]} ran"
        note = self.notes.get(name)
        if not note:
            return "no success of it is known here"
        if name >= "03_clean" and note["published"] != self.published:
            return (
                f"what is published is of the run {self.published}, and not what its last success left"
                if self.published
                else "nothing is published, or it cannot be looked into now"
            )
        if not (self.settings.output_dir / "runs" / note["run_id"] / "run.json").exists():
            return f"the run of its last success, {note['run_id']}, is not in {self.settings.output_dir.name} any more"
        return "; ".join(differences(note["basis"], self.basis(name)))

    def basis(self, name: str) -> Basis:
        """Return what a stage rests on as things are now."""
        given = {k: p.default for k, p in declared.NOTEBOOKS[name].items() if k not in RESERVED} | dict(
            self.parameters[name]
        )
        if "seed" in given:
            given["seed"] = self.settings.seed
        return self._code[name] | {"parameters": given, "inputs": _inputs(name, self.settings)}

    def skip(self, name: str, current: Run) -> None:
        """Write down that a stage is left out, and of which run its outcome is."""
        last = self.notes[name]["run_id"]
        stage = current.stage(name)
        stage.update(state="skipped", why=f"nothing has changed since the run {last}", last_run=last)
        if "notebooks" in current.manifest:
            # It is no part of the run any more: what comes after it begins from what is published.
            current.manifest["notebooks"] = [n for n in current.manifest["notebooks"] if n != name]
        if name == "03_clean":
            current.manifest["new_rows"] = 0
        if name == "04_model":
            current.manifest["kpis"] = _read(self.settings.output_dir / "runs" / last / "run.json").get("kpis")
        current.save()

    def begin(self, name: str, current: Run, why: str) -> None:
        """Write down why a stage runs, and what it rests on."""
        current.stage(name).update(why=why or None)
        self._write(name, current)

    def end(self, name: str, current: Run) -> None:
        """Write down what the simulated shop has come to, which is known only now."""
        if name == "01_generate":
            self._write(name, current)

    def note(self, current: Run) -> None:
        """Note the successes of a run that has closed: all where it has published, else those that wrote nothing."""
        has_published = current.manifest["state"] == "published"
        quality = current.manifest.get("quality") or {}
        published = current.run_id if has_published else self.published
        wrote = False
        for stage in current.manifest["stages"]:
            name, is_done = stage["name"], stage["state"] == "ok"
            basis = _read(_basis_place(current, name))
            if is_done and basis and (has_published or not (wrote or name in WRITING)):
                self.notes[name] = {"run_id": current.run_id, "published": published, "basis": basis}
            elif has_published and is_done:
                self.notes.pop(name, None)
            elif has_published and not wrote and self.notes.get(name, {}).get("published") == self.published:
                # What was left alone is as its last success left it, and is published again.
                self.notes[name]["published"] = published
            wrote |= is_done and name in WRITING
        if has_published and (quality.get("gate") or {}).get("overridden"):
            self.notes.pop("05_quality", None)
        with contextlib.suppress(OSError):  # where it cannot be noted, the stages run again
            write_atomically(_place(self.settings), json.dumps(self.notes, indent=1))

    def _write(self, name: str, current: Run) -> None:
        write_atomically(_basis_place(current, name), json.dumps(self.basis(name), default=str))


def published_run(settings: Settings) -> str:
    """Return the id of the run that is published; empty where there is none, or none can be asked."""
    # A reader may hold the file so that not even we can look into it: then all stages run.
    with contextlib.suppress(PipelineError, duckdb.Error):
        if open_warehouse(settings).exists():
            found = open_warehouse(settings).query("select run_id from ops.runs order by published_at desc limit 1")
            return str(found["run_id"].iloc[0]) if len(found) else ""
    return ""


def differences(before: Basis, now: Basis) -> list[str]:
    """Return a sentence for each sort of difference between what a success rested on and what it would rest on now."""
    said = []
    for sort in now:
        old, new = before.get(sort, {}), json.loads(json.dumps(now[sort], default=str))
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if changed:
            told = [_SENTENCES[sort](name, old.get(name), new.get(name)) for name in changed[:_NAMED]]
            more = len(changed) - len(told)
            said.append(", ".join(told) + (f" and {more} more" if more else ""))
    return said


def _changed(name: str, old: Any, new: Any) -> str:
    return f"{name} {'is new' if old is None else 'is gone' if new is None else 'changed'}"


def _valued(name: str, old: Any, new: Any) -> str:
    return f"{name} is {_text(new)}, and was {_text(old)}"


def _text(value: Any) -> str:
    return "not there" if value is None else json.dumps(value) if isinstance(value, bool) else str(value) or '""'


def _input(name: str, old: Any, new: Any) -> str:
    if not isinstance(old or new, list):
        return _valued(name, old, new) if name == "the shop's last day" else f"{name} changed"
    added, lost = (len(set(a or []) - set(b or [])) for a, b in ((new, old), (old, new)))
    told = [f"{n} {word} {'batch' if n == 1 else 'batches'}" for n, word in ((added, "new"), (lost, "lost")) if n]
    return f"{name} has {' and '.join(told)}" if told else f"{name} changed"


_SENTENCES = {
    "inputs": _input,
    "parameters": _valued,
    "cells": lambda name, old, new: "its code cells changed",
    "files": _changed,
    "configuration": _changed,
    "packages": _valued,
}


def _basis_place(current: Run, name: str) -> Path:
    return current.folder / "stages" / f"{name}.basis.json"


def _place(settings: Settings) -> Path:
    return settings.work_dir / f"successes-{settings.config.warehouse.target}.json"


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _inputs(name: str, settings: Settings) -> dict[str, Any]:
    """Return what a stage reads, as far as no stage before it would have to run anew."""
    if name == "01_generate" and settings.simulated:
        origin = settings.origin
        day = settings.as_of.isoformat() if settings.as_of else origin.get("as_of")
        return {"the shop's last day": day, "the simulated shop": fingerprint(origin.get("identity"))}
    if name != "03_clean":
        return {}
    lake = Lake(settings.lake_url)
    found: dict[str, Any] = {}
    for batch in lake.batches():
        found.setdefault(f"{batch.source}.{batch.entity}", []).append(batch.batch_id)
    for batch in lake.lookups.batches():
        found.setdefault(f"the lookups of {batch.source}", []).append(batch.batch_id)
    rejected = [(note["source"], note["entity"], note["name"], note["sha256"]) for note in lake.rejected()]
    found["what is in quarantine"] = fingerprint(rejected) if rejected else ""
    totals = [(note["source"], note["entity"], note["values"]) for note in lake.reported_totals()]
    found["what the sources say they hold"] = fingerprint(totals) if totals else ""
    if given := settings.shop.exchange_rates:
        path = (PROJECT / Path(given).expanduser()).resolve()
        found["the file of exchange rates"] = sha256_of(path) if path.is_file() else ""
    return found


def _code_of(name: str, files: "_Files", settings: Settings) -> Basis:
    """Return the parts of what a stage rests on that do not change while it runs."""
    cells = [cell for cell in cells_of(name) if cell.cell_type == "code"]
    code = [cell.source for cell in cells if "parameters" not in cell.metadata.get("tags", [])]
    sections = _SECTIONS.get(name, _OTHERWISE)
    config = settings.config.model_dump(mode="json", include=set(sections))
    return {
        "cells": {"code": fingerprint([_plain(text) for text in code])},
        "files": files.used_by(code, _dynamic(name, settings)),
        "configuration": dict(_flat(config)),
        "packages": _packages(),
    }


def _dynamic(name: str, settings: Settings) -> list[str]:
    """Return the modules that a stage imports by their names in the configuration."""
    if name != _ASKING:
        return []
    return [KINDS[source.kind] for source in settings.config.sources.values()]


def _flat(values: Mapping[str, Any], prefix: str = "", depth: int = 4) -> Iterable[tuple[str, str]]:
    """Yield the keys below a mapping, dotted, with a fingerprint of each one's value, secrets masked."""
    for key, value in values.items():
        if isinstance(value, dict) and value and depth > 1:
            yield from _flat(value, f"{prefix}{key}.", depth - 1)
        else:
            yield f"{prefix}{key}", fingerprint(mask(json.dumps(value, default=str)))


_versions: dict[str, str] = {}


def _packages() -> dict[str, str]:
    """Return Python's version and those of the packages that the project asks for."""
    if not _versions:
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        _versions["Python"] = platform.python_version()
        for wanted in project["dependencies"]:
            package = re.split(r"[^A-Za-z0-9_.-]", wanted)[0]
            with contextlib.suppress(metadata.PackageNotFoundError):
                _versions[package] = metadata.version(package)
    return dict(_versions)


def _plain(code: str) -> str:
    """Return code without its comments and its layout; as it is where it is no plain Python."""
    try:
        return ast.unparse(ast.parse(code))
    except SyntaxError:
        return code


class _Files:
    """The sources below `lib/` and `sql/`: what each imports and names, remembered by content, and who uses which."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, Any] = _read(memory)
        self._seen: dict[str, Any] = {}
        self._hashes: dict[Path, str] = {}

    def save(self) -> None:
        if self._seen.keys() != self._known.keys():
            with contextlib.suppress(OSError):
                write_atomically(self._memory, json.dumps(self._seen))

    def used_by(self, cells: Collection[str], modules: Collection[str]) -> dict[str, str]:
        """Return the files that code cells use, directly or not, each with a fingerprint of its content."""
        parts = [_looked_at(_plain(cell)) for cell in cells]
        todo = [m for part in parts for m in part["imports"]] + list(modules)
        found: set[Path] = set()
        while todo:
            path = _module_file(todo.pop())
            if path and path not in found:
                found.add(path)
                parts.append(self._part(path))
                todo += parts[-1]["imports"]
        names = {text for part in parts for text in part["texts"]}
        for part in parts:
            found |= _sql_files(part)
        for room in {path.parent for path in found if path.is_relative_to(PROJECT / "lib")}:
            for path in room.rglob("*"):
                is_data = path.is_file() and path.suffix in (".yml", ".j2", ".css", ".mplstyle", ".json", ".csv")
                if is_data and room != PROJECT / "lib" and ({path.name, path.parent.name} & names):
                    found.add(path)
        return {path.relative_to(PROJECT).as_posix(): self._hash(path) for path in sorted(found)}

    def _part(self, path: Path) -> dict[str, Any]:
        key = self._hash(path)
        if key not in self._seen:
            self._seen[key] = self._known.get(key) or _looked_at(path.read_text(encoding="utf-8"))
        part: dict[str, Any] = self._seen[key]
        return part

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = sha256_of(path)[:16]
        return self._hashes[path]


def _looked_at(code: str) -> dict[str, Any]:
    """Return what code imports of `lib`, the texts in it that may be names of files, and the models that it builds."""
    imports, texts, models, tests = set(), set(), set(), False
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return {"imports": [], "texts": [], "models": [], "tests": False}
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                imports |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                imports |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
            case ast.Constant(value=str(text)) if 0 < len(text) < 80 and "\n" not in text:
                texts.add(text)
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)):
                tests = tests or called == "run_tests"
                if called == "build_models":
                    models |= {a.value for a in ast.walk(node) if isinstance(a, ast.Constant) and str(a.value)}
                    models.add("*")
    listed = [text for text in texts if re.fullmatch(r"[\w./-]+", text)]
    own = sorted(name for name in imports if name.split(".")[0] == "lib")
    return {"imports": own, "texts": sorted(listed), "models": sorted(map(str, models)), "tests": tests}


def _module_file(name: str) -> Path | None:
    place = PROJECT.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _sql_files(part: Mapping[str, Any]) -> set[Path]:
    """Return the files below `sql/` that code reads: queries by their names, models by their folders, tests by use."""
    sql = PROJECT / "sql"
    found: set[Path] = set()
    for text in part["texts"]:
        if "/" in text and (path := sql / f"{text}.sql").is_file():
            found.add(path)
        elif text.endswith("/") and text != "/" and (sql / text).is_dir():
            found |= _below(sql / text)
        elif text.endswith(".yml") and "/" not in text and (sql / text).is_file():
            found.add(sql / text)
    if part["models"]:
        # Folders that are given by a variable are among the code's texts.
        folders = {f for f in (*part["models"], *part["texts"]) if (sql / "models" / f).is_dir() and "/" not in f}
        for folder in folders - {"."}:
            found |= _below(sql / "models" / folder)
        found |= _below(sql / "macros")
    if part["tests"]:
        found |= _below(sql / "tests") | _below(sql / "macros")
        found |= {path for path in _below(sql / "models") if path.suffix == ".yml"}
    return found


def _below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.suffix in (".sql", ".yml")}
