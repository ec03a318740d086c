"""Which documents hold a column of which no value can be read as its type: what a retyped column of texts looks like.

Ingest asks this of every delivery, and reads no more cells than it must: one value of a document that can be read
settles the column. All others are read once, by the row rules (`lib.clean`).
"""

import glob
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from lib.base.quoting import quoted, text_literal
from lib.cells.formats import LAST_TIME, Zones, define_macros
from lib.cells.mapping import SYMPTOMS, Cell, Symptom, cells
from lib.cells.reading import read
from lib.cells.rows import RawRows
from lib.config import EntitySource, Source
from lib.entities import ENTITIES, TYPE_WORDS


@dataclass(frozen=True)
class Unreadable:
    """A raw column of a document without a readable value: how many values it has, one of them, and what none is."""

    document: str
    column: str
    word: str
    values: int
    example: str


def unreadable_columns(
    connection: duckdb.DuckDBPyConnection,
    part: Path,
    texts: Collection[str],
    entity: str,
    source: Source,
    spec: EntitySource,
    enough: int,
) -> list[Unreadable]:
    """Return where in a raw part a document has at least `enough` values of a column and none can be read.

    Only text columns of the part that are named in `texts` are looked at.
    """
    columns = [c for c in ENTITIES[entity].columns if c.kind in TYPE_WORDS]
    part_rows = f"read_parquet({text_literal(glob.escape(str(part)))}) r"
    found_in = RawRows(part_rows, dict.fromkeys(texts, "VARCHAR"))
    # What is computed, looked up or translated is judged where its rows are read.
    suspects = [
        c
        for c in cells(columns, spec, source, found_in)
        if c.is_text and c.source_column and not c.translation and c.name not in spec.lookups
    ]
    suspects = [replace(c, zone="") for c in suspects]
    if not suspects:
        return []
    define_macros(connection)
    rows, zones = part_rows, Zones.of(source)
    documents: dict[str, list[str]] = {}
    # Other forms than the source's own are tried only where the value is not in that.
    steps: tuple[frozenset[Symptom], ...] = (frozenset({"untidy"}), SYMPTOMS)
    for symptoms in steps:
        documents = _doubtful(connection, [replace(c, symptoms=symptoms) for c in suspects], rows, source, spec, enough)
        suspects = [c for c in suspects if c.name in documents]
    found = []
    for cell in suspects:
        query = read(
            [cell],
            spec,
            zones,
            LAST_TIME,
            f"(select * from {rows} where list_contains(?, _file)) r",
            ["r._file"],
        )
        answers = connection.execute(
            f"select _file, count(text_{cell.name}), min(text_{cell.name}) from ({query}) group by _file"
            f" having count(text_{cell.name}) >= ? and count(value_{cell.name}) = 0",
            [documents[cell.name], enough],
        ).fetchall()
        word = TYPE_WORDS[cell.column.kind]
        found += [Unreadable(document, cell.source_column, word, *rest) for document, *rest in answers]
    return found


def _doubtful(
    connection: duckdb.DuckDBPyConnection, cells: list[Cell], rows: str, source: Source, spec: EntitySource, enough: int
) -> dict[str, list[str]]:
    """Return, by cell, the documents of which one value, whichever comes first, cannot be read."""
    if not cells:
        return {}
    values = ", ".join(f"any_value({name}) as {name}" for name in {quoted(c.source_column) for c in cells})
    sample = f"(select _file, {values} from {rows} group by _file having count(*) >= {enough}) r"
    query = read(cells, spec, Zones.of(source), LAST_TIME, sample, ["r._file"])
    lists = ", ".join(f"list(_file) filter (where raw_{c.name} is not null and value_{c.name} is null)" for c in cells)
    answers = connection.execute(f"select {lists} from ({query})").fetchone() or ()
    return {cell.name: names for cell, names in zip(cells, answers, strict=True) if names}
