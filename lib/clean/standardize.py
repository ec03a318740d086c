"""Row rules: a raw batch becomes typed rows with their faults noted, on DuckDB in process, whatever the target engine.

The result is one Parquet file a batch in the lake (`standardized/...`), named after the rules that made it, so that
changed rules make a new one. How a cell is read is in `lib.cells`, which rules apply to it in `lib.clean.rule_hits`.
Rules over several rows (duplicates, orphans) are dbt models in `sql/`.
"""

import contextlib
import glob
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock
from pathlib import Path

import duckdb

from lib.base.errors import ConfigError, LakeError, did_you_mean
from lib.base.files import scratch_folder
from lib.base.hashing import fingerprint
from lib.base.queries import read_query
from lib.base.quoting import text_literal
from lib.cells.formats import Zones, define_macros
from lib.cells.leftovers import Leftovers, header_suspicion, left_out
from lib.cells.mapping import Cell, cells
from lib.cells.reading import inspect, read
from lib.cells.rows import LookedUp, RawRows, diagnosed, prepared
from lib.clean.identity import Identity, derived, identified, identity_of
from lib.clean.rule_hits import RuleHit, rule_hits, too_large, undecided
from lib.config import EntitySource, Source
from lib.entities import ENTITIES, LINEAGE, Entity
from lib.ingest.lookups import tables_of
from lib.lake import Batch, Lake, Standardized
from lib.settings import Settings

#: To be raised by one with every change of what the rules make of the same raw rows.
RULES_VERSION = 10

#: How far a time may lie after its delivery: clocks and zones differ.
_AHEAD = timedelta(days=1)

_FINDINGS = "struct(field varchar, rule varchar, outcome varchar, before varchar, after varchar)[]"


def standardize(settings: Settings, lake: Lake, batches: Iterable[Batch]) -> Iterator[Standardized]:
    """Yield each batch's typed rows, making them where the lake has none under the present rules.

    Columns: the entity's, then those of `lib.entities.LINEAGE`, then `_findings`. A row with a fault that was not
    repaired has `_issues` (JSON list of column, rule, value) and `_raw` (the raw row as JSON); one that cannot be used,
    `_reject_rule` too. `_findings` lists what the rules repaired, emptied, refused or flagged: field, rule, outcome,
    before, after; null where there was nothing.
    """
    batches = list(batches)
    _check_columns(settings, batches)
    known: dict[tuple[str, str], str] = {}
    with contextlib.ExitStack() as stack:
        connection: duckdb.DuckDBPyConnection | None = None
        for batch in batches:
            source = settings.config.sources.get(batch.source)
            spec = source.entities.get(batch.entity) if source else None
            if source is None or spec is None:
                raise LakeError(
                    f"The lake holds {batch.source}.{batch.entity}, which the configuration no longer names."
                    " Put it back into 'sources', so that its rows can be read, or remove it from the lake."
                )
            key = batch.source, batch.entity
            rules = known[key] = known.get(key) or rules_of(lake, *key, source)
            relative = f"standardized/{batch.source}/{batch.entity}/{batch.batch_id}/{rules}.parquet"
            if not lake.exists(relative):
                if connection is None:
                    connection = stack.enter_context(lake.connect(settings))
                    define_macros(connection)
                _check_mapping(connection, batch, spec)
                _make(connection, settings, lake, batch, spec, source, relative)
            yield Standardized(batch, rules, lake.path(relative))


def _make(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    lake: Lake,
    batch: Batch,
    spec: EntitySource,
    source: Source,
    relative: str,
) -> None:
    """Write a batch's typed rows into the lake; raise LakeError where the batch cannot be read."""
    with scratch_folder(settings.work_dir, "standardize") as scratch:
        try:
            target = scratch / "rows.parquet"
            _write(connection, lake, batch, spec, source, _latest(settings, batch), target)
            lake.place(target, relative)
            if spec.lookups:
                # A price list that changes every day would leave all rows there once a day.
                lake.remove_beside(relative)
        except (duckdb.IOException, duckdb.InvalidInputException, FileNotFoundError) as error:
            if "No space left" in str(error):
                raise
            raise LakeError(
                f"The batch {lake.path(batch.folder)} cannot be read ({' '.join(str(error).split())[:200]})."
                " Remove its folder; its files are then read again."
            ) from None


def rules_of(lake: Lake, name: str, entity: str, source: Source) -> str:
    """Return the fingerprint of everything that decides what typed rows a raw batch of a source gives.

    What the tables of lookups hold is part of it: where one changes, so do the rows.
    """
    spec = source.entities[entity]
    contract = [(c.name, c.kind, c.required) for c in ENTITIES[entity].columns]
    options = spec.model_dump(include=set(EntitySource.model_fields) - {"expect"})
    restates = [spec.restates(entity, is_numbered) for is_numbered in (False, True)]
    zones = [source.zone, source.shop_zone]
    rules = [RULES_VERSION, contract, zones, source.id_prefixes, options, restates]
    if spec.lookups:
        rules.append({ours: table.content for ours, table in tables_of(lake, name, spec).items()})
    return fingerprint(rules)


def _check_columns(settings: Settings, batches: Sequence[Batch]) -> None:
    """Raise ConfigError where the mapping names a column that no batch of a source's tables has.

    Ingest asks the same of every new document; a mapping that changed since is asked here.
    """
    known: dict[tuple[str, str], dict[str, None]] = {}
    for batch in batches:
        known.setdefault((batch.source, batch.entity), {}).update(dict.fromkeys(batch.types))
    for (name, entity), columns in known.items():
        source = settings.config.sources.get(name)
        spec = source.entities.get(entity) if source else None
        if spec is None or source is None or source.kind not in ("files", "database") or not columns:
            continue
        for use in spec.missing(entity, columns):
            place = f"sources.{name}.entities.{entity}.{'where' if use.ours == 'where' else f'columns.{use.ours}'}"
            raise ConfigError(
                f"{place}: no column {use} has been delivered; found {', '.join(list(columns)[:20])}."
                f"{did_you_mean(use.names[0], columns)}"
                " Correct the name, or set 'optional: true' where it may be missing."
            )


def _check_mapping(connection: duckdb.DuckDBPyConnection, batch: Batch, spec: EntitySource) -> None:
    """Raise ConfigError where DuckDB cannot use a pattern or a timestamp format of the mapping."""
    where = f"sources.{batch.source}.entities.{batch.entity}"
    patterns = [m.pattern for c in spec.columns.values() for m in c.match]
    tries = [(f"select regexp_matches('', {text_literal(p)})", "columns: pattern", p) for p in patterns]
    tries += [(f"select try_strptime('', {text_literal(f)})", "timestamp_formats:", f) for f in spec.timestamp_formats]
    for sql, key, value in tries:
        try:
            connection.execute(sql)
        except duckdb.Error as error:
            raise ConfigError(f"{where}.{key} {value!r} cannot be used: {' '.join(str(error).split())}") from None


def _latest(settings: Settings, batch: Batch) -> str:
    """Return the last time that a batch's rows may state: a day after it was ingested.

    The shop's systems may state a later day that they reach (`Settings.origin`).
    """
    ingested = datetime.fromisoformat(batch.ingested_at)
    with contextlib.suppress(ValueError, KeyError):
        reached = date.fromisoformat(settings.origin["as_of"])
        ingested = max(ingested, datetime.combine(reached + _AHEAD, clock()))
    return (ingested + _AHEAD).isoformat(sep=" ", timespec="seconds")


def _write(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    batch: Batch,
    spec: EntitySource,
    source: Source,
    latest: str,
    target: Path,
) -> None:
    """Write a batch's typed rows to a Parquet file."""
    entity = ENTITIES[batch.entity]
    parts, malformed = (
        [glob.escape(lake.path(f"{batch.folder}/{part}")) for part in batch.parts if part.startswith(start)]
        for start in ("part-", "malformed-")
    )
    kinds = {c.name: c.sql_type for c in entity.columns} | LINEAGE | {"_findings": _FINDINGS}
    selects = [f"select {', '.join(f'cast(null as {kind}) as {name}' for name, kind in kinds.items())} where false"]
    if malformed:
        connection.execute(f"create or replace temp view _malformed as from {_parquet(malformed)}")
        selects.append(read_query("cells/malformed_rows"))
    rows = None
    if parts:
        files = [[f.name for f in batch.files], [f.first_row for f in batch.files]]
        connection.execute(
            "create or replace temp table _files as select unnest(?) as name, unnest(?) as first_row", files
        )
        place = f"sources.{batch.source}.entities.{batch.entity}"
        raw = f"{_parquet(parts)} r"
        types = dict(connection.execute(f"select column_name, column_type from (describe from {raw})").fetchall())
        looked_up = {}
        for ours, table in tables_of(lake, batch.source, spec).items():
            if not table.content:
                raise ConfigError(
                    f"{place}.columns.{ours}.lookup: nothing has been read of {table.title}: it is empty, or has"
                    " not been read since the mapping names it. Fill it, or run from 02_ingest on."
                )
            looked_up[ours] = LookedUp(table.title, table.rows)
        rows = prepared(connection, RawRows(raw, types), batch.entity, spec, place, looked_up)
    constants = {"_source": batch.source, "_batch_id": batch.batch_id, "_ingested_at": batch.ingested_at}
    given = ", ".join(f"cast({text_literal(text)} as {LINEAGE[name]}) as {name}" for name, text in constants.items())

    def write(rows: RawRows | None) -> None:
        read = [_read_sql(connection, entity, spec, source, rows, latest, is_shifted=bool(malformed))] if rows else []
        query = f"select * replace ({given}) from ({' union all by name '.join([*selects, *read])})"
        connection.execute(f"copy ({query}) to {text_literal(str(target))} (format parquet, compression zstd)")

    try:
        write(rows)
    except duckdb.Error:
        # An expression of the mapping met a value that it cannot use: from now on such rows are told apart.
        if rows is None or (guarded := diagnosed(connection, rows, place)) is None:
            raise
        write(guarded)


def _parquet(paths: Iterable[str]) -> str:
    return f"read_parquet([{', '.join(map(text_literal, paths))}], union_by_name = true)"


def _read_sql(
    connection: duckdb.DuckDBPyConnection,
    entity: Entity,
    spec: EntitySource,
    source: Source,
    rows: RawRows,
    latest: str,
    *,
    is_shifted: bool,
) -> str:
    """Return the query that reads well-formed rows as the rules say, and notes what they found."""
    zones = Zones.of(source)
    suspicion = header_suspicion(spec, rows)
    own = cells(entity.columns, spec, source, rows)
    own, has_headers = inspect(connection, own, spec, zones, latest, rows.source, suspicion)
    leftovers = left_out(own, spec, rows, has_headers=has_headers)
    identity = identity_of(connection, entity, own, spec, zones, latest, rows.source)
    noted = _noted_sql(own, spec, zones, rows, latest, leftovers)
    return _rows_sql(entity, spec, identity, noted, is_shifted)


def _noted_sql(
    own: list[Cell], spec: EntitySource, zones: Zones, rows: RawRows, latest: str, leftovers: Leftovers
) -> str:
    """Return the query that types the well-formed rows and notes what the rules found in them.

    Of a row that is left out nothing is noted but the rule by which it is.
    """
    found = [f for cell in own for f in rule_hits(cell, spec, latest)]
    named = {cell.name: cell for cell in own}
    if {"quantity", "unit_price"} <= set(named):
        found += too_large(named)
    if leftovers.trouble:
        found.append(undecided(leftovers))
    faults = [f for f in found if f.outcome != "repaired"]
    refusals = [f for f in faults if f.refusal]
    issues = [f"{{'column': '{f.field}', 'rule': '{f.rule}', 'value': {f.text}}}" for f in faults]
    rule = " ".join(f"when {f.condition} then '{f.refusal}'" for f in refusals)
    reasons = ", ".join(f"case when {f.condition} then {f.reason} end" for f in refusals)
    also = ["r._file", "r._row", f"{rows.whole} as _row_values", *leftovers.columns]
    steps = read(own, spec, zones, latest, rows.source, also)
    if leftovers.rule:
        steps = f"select x.*, {leftovers.rule} as _left_out from ({steps}) x"
    none, noted = "cast(null as varchar)", _listed(found, [_note(f) for f in found])
    is_noted, is_faulty = (_any([f.condition for f in some]) for some in (found, faults))
    reject_rule = f"case when _is_faulty then case {rule} end end" if rule else none
    reject_reason = f"case when _is_faulty then nullif(concat_ws('; ', {reasons}), '') end" if rule else none
    if leftovers.rule:
        is_noted, is_faulty = f"_left_out is null and {is_noted}", f"_left_out is null and {is_faulty}"
        reject_rule = f"coalesce(_left_out, {reject_rule})"
        reject_reason = f"case when _left_out is null then {reject_reason} else {leftovers.reason} end"
    return f"""
    select {", ".join(f"value_{name} as {name}" for name in named)}, _file, _row,
        case when _is_faulty then cast(to_json({_listed(faults, issues)}) as varchar) end as _issues,
        case when _is_faulty then cast(to_json(_row_values) as varchar) end as _raw,
        {reject_rule} as _reject_rule,
        {reject_reason} as _reject_reason,
        cast(case when _is_noted then {noted} end as {_FINDINGS}) as _findings
    from (select x.*, {is_noted} as _is_noted, {is_faulty} as _is_faulty from ({steps}) x)
    """


def _any(conditions: Sequence[str]) -> str:
    return f"coalesce({' or '.join(f'({c})' for c in conditions)}, false)" if conditions else "false"


def _listed(found: Sequence[RuleHit], entries: Sequence[str]) -> str:
    """Return the list of the entries of those hits whose condition is met."""
    if not found:
        return "null"
    cases = (f"case when {f.condition} then {entry} end" for f, entry in zip(found, entries, strict=True))
    return f"list_filter([{', '.join(cases)}], lambda n: n is not null)"


def _note(found: RuleHit) -> str:
    texts = f"'before': cast({found.before} as varchar), 'after': cast({found.after} as varchar)"
    return f"{{'field': '{found.field}', 'rule': '{found.rule}', 'outcome': '{found.outcome}', {texts}}}"


def _rows_sql(entity: Entity, spec: EntitySource, identity: Identity, noted: str, is_shifted: bool) -> str:
    """Return the query that gives the noted rows their keys and their places in the source."""
    ids = derived(entity)
    final = ", ".join(f"{ids.get(c.name, 'v.' + c.name)} as {c.name}" for c in entity.columns)
    shift, row_number = "", "v._row - f.first_row + 1"
    if is_shifted:
        # Malformed lines have a place in the file: the rows after them are further down than they were counted.
        shift = f"asof left join ({read_query('cells/line_shifts')}) m on m._file = v._file and m.before < {row_number}"
        row_number += " + coalesce(m.shift, 0)"
    rows = f"""
        select {final}, v._file as _source_file, cast({row_number} as bigint) as _source_row,
            v._issues, v._raw, v._reject_rule, v._reject_reason, v._findings, {identity.stated_at} as _stated_at
        from ({noted}) v
        join _files f on f.name = v._file {shift} {identity.joins}
    """
    return identified(entity, spec, identity, rows)
