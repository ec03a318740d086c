"""Whether models are built at all, whole, or by what loads have changed, and the notes that decide it.

Where a copy's models are built already, each load notes in `ops.changed_keys` the keys of the rows that it adds and
removes, and the models recompute what depends on these keys alone. `ops.models` notes of each folder of models which
SQL made its tables and of which batches. The notes are written when a folder is done and dropped before it is built
whole, so a build that was cut off is done again, and `ops.changed_keys` is emptied when every folder has seen all of
it. Which keys a model recomputes is SQL in `sql/`; docs/incremental.md says why they are enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from lib.base.files import PROJECT
from lib.base.hashing import fingerprint
from lib.base.queries import read_query
from lib.entities import ENTITIES, LINEAGE
from lib.warehouse import Warehouse

#: Folders of `sql/models` in the order in which they are built.
FOLDERS = ("staging", "clean", "quality", "warehouse", "analytics")


@dataclass(frozen=True)
class Build:
    """How the models of some folders are built; `nothing` where their tables are what they would be.

    `made` is the fingerprint of what makes the tables and the one of what they are made of, `notes` what each folder's
    were when it was built.
    """

    folders: tuple[str, ...]
    how: Literal["nothing", "increment", "whole"]
    made: tuple[str, str]
    notes: dict[str, tuple[str, str]]


def plan(warehouse: Warehouse, folders: Sequence[str], variables: str, *, whole: bool = False) -> Build:
    """Return how to build some folders of models, the variables given to dbt; forget the notes that will not hold.

    Folders before them are built too where that was done with other SQL or variables. With `whole` they are built whole
    whatever the notes say.
    """
    made, notes = _state(warehouse, variables)
    first, last = (pick(FOLDERS.index(folder) for folder in folders) for pick in (min, max))
    if any(notes[folder][0] != made[0] for folder in FOLDERS[:first] if folder in notes):
        # The folders before were built with other SQL or variables, and their tables must not be mixed with these.
        first, folders = 0, FOLDERS[: last + 1]
    if not whole and all(notes.get(folder) == made for folder in folders):
        return Build(tuple(folders), "nothing", made, notes)
    is_built = all(folder in notes and notes[folder][0] == made[0] for folder in folders)
    if not whole and is_built and warehouse.changed_share() <= warehouse.LARGEST_SHARE:
        return Build(tuple(folders), "increment", made, notes)
    later = FOLDERS[first:]
    _replace_notes(warehouse, later, {})
    if later == FOLDERS:
        warehouse.replace("ops.changed_keys", pd.DataFrame())
    return Build(tuple(folders), "whole", made, {f: notes[f] for f in notes if f not in later})


def note(warehouse: Warehouse, build: Build) -> None:
    """Note that a build is done; empty `ops.changed_keys` once every folder has seen all of it."""
    current = {*build.folders, *(folder for folder, made in build.notes.items() if made == build.made)}
    notes = {}
    for folder in build.folders:
        # Built from tables that lack some of the changes, the folder's tables must be built again.
        earlier = FOLDERS[: FOLDERS.index(folder)]
        notes[folder] = build.made if current.issuperset(earlier) else (build.made[0], "")
    _replace_notes(warehouse, build.folders, notes)
    if all((build.notes | notes).get(folder) == build.made for folder in FOLDERS):
        warehouse.replace("ops.changed_keys", pd.DataFrame())


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


def _state(warehouse: Warehouse, variables: str) -> tuple[tuple[str, str], dict[str, tuple[str, str]]]:
    """Return the fingerprints of what makes the tables and of what they are made of, and the notes on each folder.

    Models ask whether there is any customer or product at all: where that changes, every order may.
    """
    found = warehouse.query(read_query("queries/model/state")).astype(str).values.tolist()
    notes = {folder: (sql, inputs) for kind, folder, _, sql, inputs in found if kind == "model"}
    asked = sorted(row for row in found if row[0] == "staged")
    inputs = sorted(row for row in found if row[0] not in ("model", "staged"))
    return (fingerprint([project(), variables, asked]), fingerprint(inputs)), notes


def _replace_notes(warehouse: Warehouse, folders: Sequence[str], notes: dict[str, tuple[str, str]]) -> None:
    frame = pd.DataFrame([(f, *notes[f]) for f in notes], columns=["folder", "fingerprint", "inputs"])
    where = f"folder in ({', '.join('?' * len(folders))})"
    warehouse.replace("ops.models", frame, where=where, parameters=list(folders))
