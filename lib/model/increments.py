"""Whether models are built whole or follow what loads have changed, and the notes that decide it.

Where a copy's models are built already, each load notes in `ops.changed_keys` the keys of the rows that it adds and
removes, and the models recompute what depends on these keys alone. `ops.models` notes of each folder of models which
SQL made its tables and how many rows `ops.changed_keys` had then. The notes are written when a folder is done and
dropped before it is built whole, so a build that was cut off is done again, and `ops.changed_keys` is emptied when
every folder has seen all of it. Which keys a model recomputes is SQL in `sql/`; docs/incremental.md says why they are
enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lib.base.files import PROJECT
from lib.base.hashing import fingerprint
from lib.entities import ENTITIES, LINEAGE
from lib.warehouse.base import Warehouse

#: Folders of `sql/models` in the order in which they are built.
FOLDERS = ("staging", "clean", "quality", "warehouse", "analytics")


#: Where more than this share of the staged rows have changed, building whole is quicker.
LARGEST_SHARE = 0.2


#: Models ask whether these have any row at all: where that changes, every order may.
_ASKED = ("customers", "products")


@dataclass(frozen=True)
class Build:
    """How the models of some folders are built; `sql` is the fingerprint of what makes their tables."""

    folders: tuple[str, ...]
    is_whole: bool
    sql: str = ""
    changed_keys: int = 0


def plan(warehouse: Warehouse, folders: Sequence[str], variables: str) -> Build:
    """Return how to build some folders of models, the variables given to dbt; forget the notes that will not hold."""
    if not warehouse.notes_changed_keys:
        return Build(tuple(folders), is_whole=True)
    counts = warehouse.query(
        "select (select count(*) from ops.changed_keys) as changed, "
        + ", ".join(f"(select count(*) from stage.{entity}) as {entity}" for entity in ENTITIES)
    ).iloc[0]
    sql = fingerprint([project(), variables, [bool(counts[entity]) for entity in _ASKED]])
    notes = _notes(warehouse)
    changed, staged = int(counts["changed"]), int(counts[list(ENTITIES)].sum())
    is_built = all(folder in notes and notes[folder][0] == sql for folder in folders)
    if is_built and changed <= LARGEST_SHARE * staged:
        return Build(tuple(folders), is_whole=False, sql=sql, changed_keys=changed)
    first = min(FOLDERS.index(folder) for folder in folders)
    _forget(warehouse, FOLDERS[first:])
    if first == 0 and changed:
        _empty_changed_keys(warehouse)
        changed = 0
    return Build(tuple(folders), is_whole=True, sql=sql, changed_keys=changed)


def note(warehouse: Warehouse, build: Build) -> None:
    """Note that a build is done; empty `ops.changed_keys` once every folder has seen all of it."""
    if not warehouse.notes_changed_keys:
        return
    _write(warehouse, dict.fromkeys(build.folders, (build.sql, build.changed_keys)))
    changed = int(warehouse.query("select count(*) as rows from ops.changed_keys")["rows"].iloc[0])
    notes = _notes(warehouse)
    if changed and all(notes.get(folder) == (build.sql, changed) for folder in FOLDERS):
        # First the notes: cut off between the two, the next build recomputes what is right already.
        _write(warehouse, dict.fromkeys(FOLDERS, (build.sql, 0)))
        _empty_changed_keys(warehouse)


def project() -> list[object]:
    """Return what decides the tables that are made of the same staged rows: models, macros and the stage's columns."""
    files = project_files("models", "macros", "dbt_project.yml")
    contract = [[e.name, [(c.name, c.sql_type) for c in e.columns]] for e in ENTITIES.values()]
    return [files, contract, LINEAGE]


def project_files(*places: str) -> list[tuple[str, str]]:
    """Return name and content of some of the files and folders in `sql/` of which dbt makes the models and tests."""
    sql = PROJECT / "sql"
    found = [p for place in places for p in sorted((sql / place).rglob("*")) or [sql / place]]
    files = [p for p in found if p.suffix in (".sql", ".yml")]
    return [(p.relative_to(sql).as_posix(), p.read_text(encoding="utf-8")) for p in files]


def _notes(warehouse: Warehouse) -> dict[str, tuple[str, int]]:
    frame = warehouse.query("select folder, fingerprint, changed_keys from ops.models")
    return {str(n["folder"]): (str(n["fingerprint"]), int(n["changed_keys"])) for n in frame.to_dict("records")}


def _write(warehouse: Warehouse, notes: dict[str, tuple[str, int]]) -> None:
    rows = [(folder, sql, changed) for folder, (sql, changed) in notes.items()]
    frame = pd.DataFrame(rows, columns=["folder", "fingerprint", "changed_keys"])
    _replace(warehouse, frame, list(notes))


def _forget(warehouse: Warehouse, folders: Sequence[str]) -> None:
    _replace(warehouse, pd.DataFrame(), folders)


def _replace(warehouse: Warehouse, frame: pd.DataFrame, folders: Sequence[str]) -> None:
    where = f"folder in ({', '.join('?' * len(folders))})"
    warehouse.replace("ops.models", frame, where=where, parameters=list(folders))


def _empty_changed_keys(warehouse: Warehouse) -> None:
    warehouse.replace("ops.changed_keys", pd.DataFrame())
