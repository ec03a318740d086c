"""Schema drift: a delivery's columns, compared with those the source had before.

A new column is kept and reported, refused or left out, as the source's `schema_changes` says. One that is missing, or
holds another type than before, refuses what it comes in and nothing else: a file is rejected with the reason, any
other delivery fails its entity. Only columns that the mapping uses can be missing or retyped.
"""

import glob
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from lib.base.errors import SourceError
from lib.base.quoting import quoted, text_literal
from lib.cells.unreadable import unreadable_columns
from lib.config import EntitySource, Source, Use
from lib.lake import types_of
from lib.sources.delivery import Delivery, RejectedFile, State

CHANGE_COLUMNS = ["source", "entity", "column", "change", "document"]


#: A text column has another type where it has at least this many values and none can be read.
_ENOUGH = 20


def judge(
    source: Source, entity: str, state: State, delivery: Delivery, connection: duckdb.DuckDBPyConnection
) -> tuple[Delivery, list[dict[str, Any]]]:
    """Return what of a delivery may be committed, and a row (column, change, document) a new column.

    Raises SourceError where a delivery that is not made of files lacks a column, or has one of another type.
    """
    if not state.types:
        return delivery, []
    spec = source.entities[entity]
    changes: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    parts: list[Path] = []
    for part in delivery.parts:
        if not part.name.startswith("part-"):
            parts.append(part)
            continue
        types = types_of(part)
        added = [name for name in types if name not in state.types]
        documents = _documents(part)
        if fault := _fault(types, state.types, spec, entity):
            faulty = dict.fromkeys(documents, fault)
        elif added and source.schema_changes == "freeze":
            reason = f"has a new column {added[0]!r}, and schema_changes is freeze"
            faulty = dict.fromkeys(_with_values(connection, part, added) or documents, reason)
        else:
            faulty = _unreadable(connection, part, entity, source, spec, state)
        refused |= faulty
        if len(faulty) < len(documents):
            if faulty or (added and source.schema_changes == "discard"):
                leave = added if source.schema_changes == "discard" else []
                _rewrite(connection, part, list(faulty), leave)
            parts.append(part)
            if source.schema_changes == "evolve":
                for name in added:
                    first = min(_with_values(connection, part, [name]) or documents)
                    change = {"column": name, "change": f"new column ({types[name]})", "document": first}
                    changes.setdefault(name, change)
    columns = {name: None for part in parts if part.name.startswith("part-") for name in types_of(part)}
    delivery = replace(delivery, parts=tuple(parts), columns=tuple(columns))
    if not refused:
        return delivery, list(changes.values())
    for part in parts:
        if part.name.startswith("malformed-"):
            _rewrite(connection, part, list(refused), [])
    return _without(delivery, refused), list(changes.values())


def _fault(types: dict[str, str], before: dict[str, str], spec: EntitySource, entity: str) -> str:
    """Return what is wrong with a part's columns, or an empty text.

    One that is gone is no fault where the mapping calls it optional, or another of its names is there.
    """
    uses: dict[str, list[Use]] = {}
    for use in spec.uses(entity, before):
        for name in use.names:
            uses.setdefault(name, []).append(use)
    for name, kind in before.items():
        if name not in uses:
            continue
        if name not in types:
            if all((spec.columns and use.optional) or use.is_in(types) for use in uses[name]):
                continue
            return f"has no column {name!r}, which was there before; found {', '.join(list(types)[:20])}"
        old, new = _class(kind), _class(types[name])
        if old and new and old != new:
            return f"has the column {name!r} as {new} ({types[name]}), and before it was {old} ({kind})"
    return ""


def _class(arrow_type: str) -> str:
    """Return what a reader would call a type; empty where nothing can be said (a column of nulls)."""
    words = {
        "text": ("string", "large_string"),
        "number": ("int", "uint", "float", "double", "half", "decimal"),
        "time": ("timestamp", "date"),
        "yes or no": ("bool",),
    }
    return next((word for word, starts in words.items() if arrow_type.startswith(starts)), "")


def _with_values(connection: duckdb.DuckDBPyConnection, part: Path, columns: list[str]) -> list[str]:
    """Return the documents of a part in which one of the columns has a value."""
    any_value = " or ".join(f"{quoted(name)} is not null" for name in columns)
    found = connection.execute(
        f"select distinct _file from read_parquet(?) where {any_value}", [glob.escape(str(part))]
    )
    return [name for (name,) in found.fetchall()]


def _documents(part: Path) -> list[str]:
    return [str(name) for name in pq.read_table(part, columns=["_file"])["_file"].unique().to_pylist()]


def _unreadable(
    connection: duckdb.DuckDBPyConnection, part: Path, entity: str, source: Source, spec: EntitySource, state: State
) -> dict[str, str]:
    """Return the documents with a text column of which no value can be read as its type, with the reason."""
    texts = [n for n, kind in types_of(part).items() if _class(kind) == _class(state.types.get(n, "")) == "text"]
    faulty: dict[str, str] = {}
    for c in unreadable_columns(connection, part, texts, entity, source, spec, _ENOUGH):
        reason = (
            f"has no {c.word} in the column {c.column!r}: none of its {c.values:,} values is one, such as {c.example!r}"
        )
        faulty.setdefault(c.document, reason)
    return faulty


def _rewrite(connection: duckdb.DuckDBPyConnection, part: Path, documents: list[str], columns: list[str]) -> None:
    """Leave some documents and columns out of a part."""
    exclude = f" exclude ({', '.join(map(quoted, columns))})" if columns else ""
    rewritten = part.with_name("rewritten.parquet")
    connection.execute(
        f"copy (select *{exclude} from read_parquet(?) where not list_contains(?, _file))"
        f" to {text_literal(str(rewritten))} (format parquet, compression zstd)",
        [glob.escape(str(part)), documents],
    )
    rewritten.replace(part)


def _without(delivery: Delivery, refused: dict[str, str]) -> Delivery:
    """Reject the refused files; raise SourceError where the documents are no files that could be."""
    rejected = list(delivery.rejected)
    for file in delivery.files:
        if file.name in refused:
            original = delivery.originals.get(file.name)
            if original is None:
                raise SourceError(
                    f"{file.name} {refused[file.name]}. Nothing of it was read: correct the source, or the mapping."
                )
            rejected.append(RejectedFile(file.name, file.sha256, file.bytes, refused[file.name], original))
    kept = tuple(f for f in delivery.files if f.name not in refused)
    return replace(delivery, files=kept, rejected=tuple(rejected))
