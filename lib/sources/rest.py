"""Source kind `rest`: a JSON API over HTTP (see `api`), whose records become rows.

A record's nested objects are columns with dotted names, its lists JSON text, all other values text as they are.
What is handed over are the records that are new or differ from what the lake holds of their key, so that the raw parts
are the history of every record and an unchanged answer is no batch. In `snapshot` mode everything is asked for each
time; in `changes` mode what changed since the newest time of change read, less an overlap.

A record that is gone from a snapshot stays as it was last seen; the cursor counts them.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from lib.base.errors import SourceError, did_you_mean
from lib.base.quoting import quoted, text_literal
from lib.entities import ENTITIES
from lib.sources.api import Api, RestEntity, RestSource, open_api, shown
from lib.sources.delivery import Delivery, Extractor, SourceFile, State, Task, Totals
from lib.sources.json import (
    Place,
    Steps,
    above,
    columns_of,
    elements,
    name_columns,
    pairs_in,
    pointer,
    steps_of,
    values,
)

MODEL = RestSource

#: So many records without a column are no accident; of fewer, the column may just have been left empty.
_ENOUGH = 20
#: Numbered pages that moved while they were read are read once more.
_WALKS = 2


@contextlib.contextmanager
def open_source(source: RestSource, work_dir: Path) -> Iterator[Extractor]:
    """Open one client for all entities."""
    with open_api(source) as api:
        yield functools.partial(extract, api)


def extract(api: Api, task: Task) -> Delivery:
    """Hand over the records that are new or changed, as one document `<entity>-<number of the delivery>`.

    Part columns: the records' own, all text, `_file` and `_row` (running number in the batch, from 0). What is no
    object or lacks its key is in `malformed-*.parquet` as `_file`, `_line` (place in the document, from 1), `_text`,
    `_error`, once. The cursor has `records` (of this answer), `gone` (keys that a snapshot no longer has), `updated_at`
    (newest time of change, ISO) and `malformed` (hashes).

    Raises SourceError where the API cannot be reached or used; nothing is handed over then.
    """
    entity, spec, state, connection = task.entity, task.spec, task.state, task.connection
    where = shown(api.address(spec.path or entity))
    key = spec.key or tuple(name for ours in ENTITIES[entity].key if (name := spec.column_of(ours)))
    if not key:
        raise SourceError(f"{where}: nothing identifies a record. Give 'key' of {entity}: its id's column.")
    since = _since(spec, state.cursor) if spec.mode == "changes" else ""
    stated = _read(api, task, key, {spec.since_parameter: since} if since else {})
    columns, objects = _columns(task, key, where, api.source.schema_changes == "discard")
    names = list(columns)
    _flatten(connection, columns, objects, key)
    gone = _compare(connection, state, key)
    if gone and spec.mode == "snapshot":
        task.progress(f"{entity}: {gone:,} records read before are gone")
    file, parts = _write(task, names)
    usable, unusable = _fetch(
        connection, "select count(distinct _key), count(distinct _content) filter (_key is null) from _flat"
    )
    cursor: dict[str, Any] = {"records": usable} | ({"gone": gone} if spec.mode == "snapshot" else {})
    if changed_at := _newest(connection, names, spec.column_of("updated_at"), state.cursor.get("updated_at", "")):
        cursor["updated_at"] = changed_at
    found = connection.execute("select distinct substr(_content, 1, 16) from _flat where _key is null").fetchall()
    if known := {*state.cursor.get("malformed", []), *(content for (content,) in found)}:
        cursor["malformed"] = sorted(known)
    # Those that changed are not all that the API has.
    totals = Totals({})
    if not since:
        records = float(usable + unusable if stated is None else stated)
        reported_by = "the records answered" if stated is None else "the total stated"
        totals = Totals({"records": records, "gone": float(gone)}, reported_by)
    if file is None:
        return Delivery(cursor=cursor, totals=totals)
    return Delivery(files=(file,), parts=parts, columns=tuple(names) if file.rows else (), cursor=cursor, totals=totals)


def _read(api: Api, task: Task, key: tuple[str, ...], parameters: Mapping[str, str]) -> int | None:
    """Fill the table `_records` (position, record as JSON text) with all pages; return the number of records stated.

    Numbered pages move when records come and go in between: one shows up twice or not at all. Where that can be seen
    (a key twice, a total that changed or is more than was read), all is read again and what both readings have counts.
    """
    spec, connection = task.spec, task.connection
    connection.execute("create or replace temp table _records (position bigint, record varchar)")
    keys = ", ".join(f"json_extract_string(record, {text_literal(pointer(steps_of(name)))})" for name in key)
    position = 0
    for _ in range(_WALKS):
        start = position
        totals: set[int] = set()
        for page in api.pages(spec, spec.path or task.entity, connection, parameters):
            connection.execute(
                "insert into _records select $start + generate_subscripts(found, 1) - 1, unnest(found)"
                " from (select json_extract($records, '$[*]') as found)",
                {"start": position, "records": page.records},
            )
            position += page.count
            totals |= {page.total} if page.total is not None else set()
            task.progress(f"{task.entity}: {position:,} records read")
        if spec.paging not in ("page", "offset"):
            break
        sql = f"select count(*), count(distinct ({keys}, '')) from _records where position >= {start}"
        read, distinct = _fetch(connection, sql)
        if read == distinct and len(totals) < 2 and max(totals, default=0) <= distinct:
            break
    return max(totals, default=None)


def _columns(
    task: Task, key: tuple[str, ...], where: str, is_discarding: bool
) -> tuple[dict[str, Place], dict[Steps, None]]:
    """Return the columns by name with the way to their values, and the ways to objects in any record."""
    connection, types = task.connection, task.state.types
    for name in task.spec.rows:
        objects = "(select position, record from _records where json_type(record) = 'OBJECT')"
        connection.execute(
            "create or replace temp table _records as"
            " select row_number() over (order by position, number) - 1 as position, record"
            f" from ({elements(objects, 'record', name)}"
            " union all by name select *, 1 as number from _records where json_type(record) <> 'OBJECT')"
        )
    connection.execute(
        "create or replace temp view _lines as"
        " select position as i, 0 as piece, record as line from _records where json_type(record) = 'OBJECT'"
    )
    known: dict[Steps, bool] = {}
    names: dict[Place, str] = {}
    paths: dict[Place, None] = dict.fromkeys(columns_of(connection, known).get(0, {}))
    paths |= pairs_in(connection, known, task.spec.mapped)
    expected = [name for use in task.spec.uses(task.entity) for name in use.names] if task.spec.columns else []
    name_columns(paths, [*key, *expected, *types], names)
    columns: dict[str, Place] = {names[path]: path for path in paths}
    columns |= _unseen(task, key, list(columns), where)
    if is_discarding and types:
        # What is left out of the lake must not make a record differ from it.
        columns = {name: path for name, path in columns.items() if name in types}
    return columns, above(known)


def _unseen(task: Task, key: tuple[str, ...], found: list[str], where: str) -> dict[str, Steps]:
    """Return the columns that these records may just happen to lack: those of earlier reads, and those of the mapping.

    Many records of a snapshot do not happen to lack one: it is left out, and `lib.ingest.drift` says that it was there
    before. Raises SourceError where the mapping names it and no earlier read had it either.
    """
    spec, types = task.spec, task.state.types
    (records,) = _fetch(task.connection, "select count(*) from _records")
    few = records < _ENOUGH or (spec.mode == "changes" and bool(types))
    listed = ", ".join(found[:20]) or "no columns"
    # Without its key no record can be used, so one that never had it is a mistake however few there are.
    had = [*found, *types] if few else found
    if records and (lost := [name for name in key if name not in had]):
        raise SourceError(
            f"{where}: no record has its key {lost[0]!r}; found {listed}.{did_you_mean(lost[0], found)}"
            f" Correct 'key' of {task.entity}, or the mapping of its id."
        )
    if few:
        expected = dict.fromkeys([*key, *types, *spec.mapped])
        return {name: steps_of(name) for name in expected if name not in found}
    if not types and (lacking := spec.missing(task.entity, found)):
        raise SourceError(
            f"{where}: none of its {records:,} records has {lacking[0]} (mapped for {task.entity}); found {listed}."
            f"{did_you_mean(lacking[0].names[0], found)} Correct 'columns' of {task.entity}."
        )
    return {}


def _flatten(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, Place],
    objects: Mapping[Steps, None],
    key: tuple[str, ...],
) -> None:
    """Make the table `_flat` of all records: position, record, _key, _content (a hash), _error, c0, c1, ...

    One that cannot be used has an error, and no key.
    """
    found, cells = values("object", columns.values(), objects)
    at = {name: f"c{number}" for number, name in enumerate(columns)}
    named = ", ".join(f"{cell} as {name}" for cell, name in zip(cells, at.values(), strict=True))
    connection.execute(
        f"""
        create or replace temp table _flat as
        select * replace (coalesce(_content, md5(record)) as _content),
            case when _key is not null then null
                when object is not null then {text_literal(f"the record has no {key[0]!r}, its key")}
                else 'the record is no object but ' || lower(json_type(record)) end as _error
        from (
            select *, {_key([at[name] for name in key])} as _key,
                case when _key is not null then {_content(at)} end as _content
            from (
                select position, record, object, {named}
                from (
                    select *, {found}
                    from (select *, case when json_type(record) = 'OBJECT' then record end as object from _records)
                )
            )
        )
        """
    )


def _compare(connection: duckdb.DuckDBPyConnection, state: State, key: tuple[str, ...]) -> int:
    """Make the table `_new` of what is to be handed over, with its `line` from 1; return how many keys are gone.

    The lake's state of a key is all its records in the newest delivery that has any. A key whose records differ from
    these is handed over with all of them, so that of two records with one key both are known the next time.
    """
    states = "select _key, string_agg(distinct _content, '' order by _content) as state from {} group by _key"
    held = "(select null::varchar as _key, null::varchar as _content limit 0)"
    # DuckDB reads names that differ by capital letters only as one.
    names = {name.lower(): name for name in state.types}
    if state.parts and {name.lower() for name in key} <= set(names):
        listed, own = ", ".join(map(text_literal, state.parts)), _key([quoted(name) for name in key])
        held = f"""(
            select {own} as _key, {_content({name: quoted(name) for name in names.values()})} as _content
            from read_parquet([{listed}], union_by_name = true)
            qualify _file = max(_file) over (partition by {own})
        )"""
    connection.execute(f"create or replace temp table _held as {states.format(held)}")
    connection.execute(
        f"""
        create or replace temp table _new as
        with now as ({states.format("_flat where _key is not null")}),
        changed as (select now._key from now left join _held using (_key) where _held.state is distinct from now.state)
        select *, row_number() over (order by position) as line
        from _flat
        where position in (select max(position) from _flat group by _key, _content)
            and (_key in (select _key from changed)
                or _key is null and not list_contains(?, substr(_content, 1, 16)))
        """,
        [sorted(state.cursor.get("malformed", []))],
    )
    gone = "select count(*) from _held anti join (select _key from _flat where _key is not null) using (_key)"
    return int(_fetch(connection, gone)[0])


def _write(task: Task, names: list[str]) -> tuple[SourceFile | None, tuple[Path, ...]]:
    """Write what is new as Parquet parts of one document; return it and them, or nothing where nothing is new."""
    rows, unusable, size, digest = _fetch(
        task.connection,
        "select count(_key), count(_error), sum(strlen(record)), sha256(string_agg(_content, '' order by line))"
        " from _new",
    )
    document = f"{text_literal(task.next_document)} as _file"
    named = ", ".join(f"c{number} as {quoted(name)}" for number, name in enumerate(names))
    content = {
        "part": (rows, f"{named}, {document}, row_number() over (order by line) - 1 as _row"),
        "malformed": (unusable, f"{document}, line as _line, record as _text, _error"),
    }
    parts = []
    for kind, (number, selected) in content.items():
        if number:
            parts.append(task.scratch / f"{kind}-0000.parquet")
            task.connection.execute(
                f"copy (select {selected} from _new where (_error is null) = {kind == 'part'} order by line)"
                f" to {text_literal(str(parts[-1]))} (format parquet, compression zstd)"
            )
    file = SourceFile(task.next_document, digest, int(size), rows=rows, malformed=unusable) if parts else None
    return file, tuple(parts)


def _key(parts: list[str]) -> str:
    """Return the expression of a row's key as text, null where its first part has no value."""
    texts = ", ".join(f"coalesce({part}, '')" for part in parts)
    return f"case when trim({parts[0]}) <> '' then concat_ws(chr(31), {texts}) end"


def _content(cells: Mapping[str, str]) -> str:
    """Return the expression of a hash over a row's values by column; columns without a value do not count."""
    said = [f"{text_literal(name.lower() + chr(31))} || {cells[name]}" for name in sorted(cells, key=str.lower)]
    return f"md5(concat_ws(chr(30), {', '.join(said)}))"


def _fetch(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """Return the row of a query that gives one."""
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row


def _since(spec: RestEntity, cursor: dict[str, Any]) -> str:
    """Return from when on changes are asked for: the overlap covers records that were written late, and time zones."""
    if not cursor.get("updated_at"):
        return ""
    then = datetime.fromisoformat(cursor["updated_at"]) - timedelta(seconds=spec.overlap_seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def _newest(connection: duckdb.DuckDBPyConnection, names: list[str], column: str, before: str) -> str:
    """Return the newest time of change so far in ISO form, empty where none can be read.

    Times in the future are left out as mistakes: asking for changes since then would find nothing any more.
    """
    if column not in names:
        return before
    (found,) = connection.execute(
        "select strftime(max(changed), '%Y-%m-%dT%H:%M:%SZ') from (select"
        f" timezone('UTC', try_cast(c{names.index(column)} as timestamptz)) as changed from _flat) where changed <= ?",
        [datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)],
    ).fetchone() or (None,)
    return max(found or "", before)
