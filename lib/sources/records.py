"""From JSON records to versions: what columns they have, which say something new, and these as Parquet parts.

Records are the table `_records` (position, record as JSON text) of a DuckDB connection, in the order they were read;
where they come from is no matter here, see `rest`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from lib.base.errors import SourceError
from lib.base.quoting import quoted, text_literal
from lib.sources.delivery import SourceFile, State
from lib.sources.json_lines import Steps, name_columns, pointer

_MOST_COLUMNS = 1_000


@dataclass(frozen=True)
class Column:
    """A column: its name, where its value stands in a record, and whether an object stands there in other records."""

    name: str
    path: str
    also_object: bool = False


def columns_of(connection: duckdb.DuckDBPyConnection, expected: Sequence[str], where: str) -> list[Column]:
    """Return the columns of all records, in the order they come up."""
    forms = connection.execute(
        "select cast(json_structure(record) as varchar) from _records where json_type(record) = 'OBJECT'"
        " group by all order by min(position)"
    ).fetchall()
    values: dict[Steps, None] = {}
    empty: dict[Steps, None] = {}
    objects: set[Steps] = set()

    def explore(form: Any, path: Steps) -> None:
        if isinstance(form, dict):
            objects.add(path)
            for name, inner in form.items():
                explore(inner, (*path, name))
        elif form in ("NULL", "JSON"):
            empty[path] = None
        else:
            values[path] = None

    for (form,) in forms:
        if isinstance(record := json.loads(form), dict):
            explore(record, ())
    # What is null or {} wherever it stands is a column as well, unless it is an object elsewhere.
    paths = list(dict.fromkeys([*values, *(p for p in empty if p not in objects)]))
    if len(paths) > _MOST_COLUMNS:
        raise SourceError(
            f"{where}: its records have {len(paths):,} columns, such as {'.'.join(paths[-1])!r}; expected"
            f" {_MOST_COLUMNS:,} at most. Ask for fewer fields by 'parameters' of this entity."
        )
    names: dict[Steps, str] = {}
    name_columns(paths, expected, names)
    return [Column(names[path], pointer(path), path in objects) for path in paths]


def flatten(connection: duckdb.DuckDBPyConnection, columns: list[Column], key: tuple[str, ...]) -> None:
    """Make the table `_flat` (position, bytes, _key, _content, c0, c1, ...) and `_odd` of what is unusable."""
    paths = ", ".join(text_literal(c.path) for c in columns)
    cells = []
    for number, column in enumerate(columns):
        value = f"cells[{number + 1}]"
        if column.also_object:
            value = f"case when json_type(record, {text_literal(column.path)}) <> 'OBJECT' then {value} end"
        cells.append(f"{value} as c{number}")
    at = {c.name: f"c{number}" for number, c in enumerate(columns)}
    connection.execute(
        f"""
        create or replace temp table _flat as
        select position, bytes, {", ".join(at.values())},
            {_key([at[name] for name in key])} as _key, {_content(at)} as _content
        from (
            select position, strlen(record) as bytes, {", ".join(cells)}
            from (
                select position, record, json_extract_string(record, [{paths}]) as cells
                from _records where json_type(record) = 'OBJECT'
            )
        )
        """
    )
    connection.execute(
        f"""
        create or replace temp table _odd as
        select max(position) as position, record as text, strlen(record) as bytes, md5(record) as _content,
            case when json_type(record) = 'OBJECT' then {text_literal(f"the record has no {key[0]!r}, its key")}
            else 'the record is no object but ' || lower(json_type(record)) end as error
        from _records
        where json_type(record) <> 'OBJECT' or position in (select position from _flat where _key is null)
        group by record
        """
    )


def compare(connection: duckdb.DuckDBPyConnection, state: State, key: tuple[str, ...], malformed: set[str]) -> int:
    """Make the table `_new` (position, line, is_odd) of what is to be handed over; return how many keys are gone.

    The lake's state of a key is all that the newest delivery with it said of it. A key whose records say something
    else now is handed over with all of them: of two records with one key, both are known the next time.
    """
    connection.execute(
        "create or replace temp table _held (_key varchar, state varchar); create or replace temp table _now as"
        " select _key, string_agg(distinct _content, '' order by _content) as state from _flat"
        " where _key is not null group by _key"
    )
    if state.parts:
        listed = ", ".join(text_literal(p) for p in state.parts)
        # DuckDB reads names that differ by capital letters only as one.
        held = {name.lower(): name for name in state.types}
        if {name.lower() for name in key} <= set(held):
            own = _key([quoted(name) for name in key])
            connection.execute(
                f"""
                insert into _held
                select _key, string_agg(distinct _content, '' order by _content)
                from (
                    select {own} as _key, {_content({name: quoted(name) for name in held.values()})} as _content, _file
                    from read_parquet([{listed}], union_by_name = true)
                    qualify _file = max(_file) over (partition by {own})
                )
                group by _key
                """
            )
    connection.execute(
        """
        create or replace temp table _new as
        with changed as (
            select n._key from _now n left join _held h on h._key = n._key where h.state is distinct from n.state
        ),
        found as (
            select max(f.position) as position, false as is_odd
            from _flat f semi join changed c on c._key = f._key
            group by f._key, f._content
            union all
            select position, true from _odd where not list_contains(?, substr(_content, 1, 16))
        )
        select position, is_odd, row_number() over (order by position) as line from found
        """,
        [sorted(malformed)],
    )
    (gone,) = connection.execute("select count(*) from _held anti join _now using (_key)").fetchone() or (0,)
    return int(gone)


def write(
    connection: duckdb.DuckDBPyConnection, scratch: Path, document: str, names: list[str]
) -> tuple[SourceFile | None, tuple[Path, ...]]:
    """Write what is new as Parquet parts of one document; return it and them, or nothing where nothing is new."""
    found = connection.execute(
        """
        select count(*) filter (not n.is_odd), count(*) filter (n.is_odd),
            sum(coalesce(f.bytes, o.bytes)), sha256(string_agg(coalesce(f._content, o._content), '' order by n.line))
        from _new n
        left join _flat f on f.position = n.position and not n.is_odd
        left join _odd o on o.position = n.position and n.is_odd
        """
    ).fetchone()
    assert found is not None
    rows, odd, size, digest = found
    if not rows and not odd:
        return None, ()
    parts = []
    named = ", ".join(f"c{number} as {quoted(name)}" for number, name in enumerate(names))
    if rows:
        parts.append(scratch / "part-0000.parquet")
        connection.execute(
            f"copy (select {named}, {text_literal(document)} as _file,"
            " row_number() over (order by n.line) - 1 as _row from _flat f join _new n on n.position = f.position"
            " and not n.is_odd order by n.line)"
            f" to {text_literal(str(parts[-1]))} (format parquet, compression zstd)"
        )
    if odd:
        parts.append(scratch / "malformed-0000.parquet")
        connection.execute(
            f"copy (select {text_literal(document)} as _file, n.line as _line, o.text as _text, o.error as _error"
            " from _odd o join _new n on n.position = o.position and n.is_odd order by n.line)"
            f" to {text_literal(str(parts[-1]))} (format parquet, compression zstd)"
        )
    return SourceFile(document, digest, int(size), rows=rows, malformed=odd), tuple(parts)


def _key(parts: list[str]) -> str:
    """Return the expression of a row's key as text, null where its first part has no value."""
    texts = ", ".join(f"coalesce({part}, '')" for part in parts)
    return f"case when trim({parts[0]}) <> '' then concat_ws(chr(31), {texts}) end"


def _content(cells: Mapping[str, str]) -> str:
    """Return the expression of a hash over all that a row says, by column; one without a value says nothing."""
    said = [f"{text_literal(name.lower() + chr(31))} || {cells[name]}" for name in sorted(cells, key=str.lower)]
    return f"md5(concat_ws(chr(30), {', '.join(said)}))"


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Return the number of rows of a table."""
    (rows,) = connection.execute(f"select count(*) from {table}").fetchone() or (0,)
    return int(rows)
