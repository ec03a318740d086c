"""Row rules: a raw batch becomes typed rows with their faults noted, in process on DuckDB whatever the target.

The result is one Parquet file a batch in the lake (`standardized/...`), named after the rules that made it, so
that changed rules make a new one. Rules over several rows (duplicates, orphans) are dbt models in `sql/`.
"""

import glob
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lib.config import Derived, EntitySource, Settings, Source, fingerprint
from lib.entities import ENTITIES, LINEAGE, Column, Entity
from lib.errors import ConfigError, LakeError
from lib.lake import Batch, Lake, types_of
from lib.quoting import quoted, quoted_list, text_literal

#: Raised by one whenever the rules below change what they make of the same raw rows.
RULES_VERSION = 3

_OFFSET = r"\d:\d\d(:\d\d(\.\d+)?)?\s*([Zz]|UTC|GMT|[+-]\d\d(:?\d\d)?)$"
#: What lies outside is a placeholder or a slip (1900-01-00, 0001-01-01, 9999-12-31), and would give every day between
#: a row in dim_date.
_FIRST_TIME, _LAST_TIME = "1900-01-02", "2150-01-01"
#: What is larger is a slip, such as a bar code in the quantity; amounts and sums of it would not fit their type.
_LARGEST_QUANTITY, _LARGEST_AMOUNT = 10**9, 10**11
_BLANK = " \\t\\r\\n\\x0b\\f\u00a0\u200b\ufeff"


@dataclass(frozen=True)
class Standardized:
    """A batch's typed rows in the lake."""

    batch: Batch
    rules: str
    path: str


def standardize(settings: Settings, lake: Lake, batch: Batch) -> Standardized:
    """Return the batch's typed rows, making them where the lake has none under the present rules.

    Columns: the entity's, then those of `lib.entities.LINEAGE`. A row that breaks a rule has `_issues` (JSON list
    of column, rule, value) and `_raw` (the raw row as JSON); one that cannot be used, `_reject_rule` too.
    """
    source = settings.config.sources.get(batch.source)
    spec = source.entities.get(batch.entity) if source else None
    if source is None or spec is None:
        raise LakeError(
            f"The lake holds {batch.source}.{batch.entity}, which the configuration no longer names."
            " Put it back into 'sources', so that its rows can be read, or remove it from the lake."
        )
    entity = ENTITIES[batch.entity]
    rules = rules_of(batch.entity, spec, source)
    relative = f"standardized/{batch.source}/{batch.entity}/{batch.batch_id}/{rules}.parquet"
    if not lake.exists(relative):
        scratch = Path(tempfile.mkdtemp(prefix="standardize-", dir=settings.work_dir))
        try:
            with lake.connect(settings) as connection:
                _check_mapping(connection, batch, spec)
                _write(connection, lake, batch, entity, spec, source, scratch / "rows.parquet")
            lake.place(scratch / "rows.parquet", relative)
        except (duckdb.IOException, duckdb.InvalidInputException, FileNotFoundError) as error:
            if "No space left" in str(error):
                raise
            raise LakeError(
                f"The batch {lake.path(batch.folder)} cannot be read ({' '.join(str(error).split())[:200]})."
                " Remove its folder; its files are then taken again."
            ) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Standardized(batch, rules, lake.path(relative))


def rules_of(entity: str, spec: EntitySource, source: Source) -> str:
    """Return the fingerprint of everything that decides what typed rows a raw batch gives."""
    contract = [(c.name, c.kind, c.required) for c in ENTITIES[entity].columns]
    return fingerprint(
        [
            RULES_VERSION,
            contract,
            source.time_zone,
            source.id_prefixes,
            spec.model_dump(include=set(EntitySource.model_fields)),
        ]
    )


def _check_mapping(connection: duckdb.DuckDBPyConnection, batch: Batch, spec: EntitySource) -> None:
    """Raise ConfigError where DuckDB cannot use a pattern or a timestamp format of the mapping."""
    where = f"sources.{batch.source}.entities.{batch.entity}"
    patterns = [m.pattern for c in spec.columns.values() if isinstance(c, Derived) for m in c.match]
    tries = [(f"select regexp_matches('', {text_literal(p)})", "columns: pattern", p) for p in patterns]
    tries += [(f"select try_strptime('', {text_literal(f)})", "timestamp_formats:", f) for f in spec.timestamp_formats]
    for sql, key, value in tries:
        try:
            connection.execute(sql)
        except duckdb.Error as error:
            raise ConfigError(f"{where}.{key} {value!r} cannot be used: {' '.join(str(error).split())}") from None


def _write(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    batch: Batch,
    entity: Entity,
    spec: EntitySource,
    source: Source,
    target: Path,
) -> None:
    parts = [glob.escape(lake.path(f"{batch.folder}/{p}")) for p in batch.parts if p.startswith("part-")]
    malformed = [glob.escape(lake.path(f"{batch.folder}/{p}")) for p in batch.parts if p.startswith("malformed-")]
    connection.execute("create temp table _files (name varchar, first_row bigint)")
    connection.execute(
        "insert into _files select unnest(?), unnest(?)",
        [[f.name for f in batch.files], [f.first_row for f in batch.files]],
    )
    selects = []
    if parts:
        selects.append(_rows_sql(batch, entity, spec, source, parts, malformed))
    if malformed:
        selects.append(_malformed_sql(batch, entity, malformed))
    if not selects:
        empty = [f"cast(null as {c.sql_type}) as {c.name}" for c in entity.columns]
        empty += [f"cast(null as {kind}) as {name}" for name, kind in LINEAGE.items()]
        selects.append(f"select {', '.join(empty)} where false")
    connection.execute(
        f"copy ({' union all '.join(selects)}) to {text_literal(str(target))} (format parquet, compression zstd)"
    )


def _rows_sql(
    batch: Batch, entity: Entity, spec: EntitySource, source: Source, parts: list[str], malformed: list[str]
) -> str:
    """Return the query that types the well-formed rows."""
    texts, values, faults, rejects = [], [], [], []
    for column in entity.columns:
        text = _text(column, spec, batch)
        if prefix := source.id_prefixes.get(column.name):
            text = f"{text_literal(prefix)} || ({text})"
        texts.append(f"{text} as {column.name}")
        value = _typed(column, spec, source.time_zone)
        values.append(f"{value} as {column.name}")
        named = text_literal(column.name)
        if column.kind not in ("text", "id"):
            rule = text_literal(f"not_a_{_WORDS[column.kind].replace(' ', '_')}")
            bad = f"v.{column.name} is null and t.{column.name} is not null"
            faults.append((bad, f"{{'column': {named}, 'rule': {rule}, 'value': t.{column.name}}}"))
            if column.rejects:
                what = text_literal(f"{column.name} is no {_WORDS[column.kind]}: ")
                rejects.append((bad, rule, f"{what} || t.{column.name}"))
        if column.required:
            bad = f"t.{column.name} is null"
            faults.append((bad, f"{{'column': {named}, 'rule': 'missing', 'value': cast(null as varchar)}}"))
            rejects.append((bad, "'missing_" + column.name + "'", text_literal(f"{column.name} is missing")))
    if {"quantity", "unit_price"} <= set(entity.names):
        product = "cast(v.quantity as double) * cast(v.unit_price as double)"
        bad = f"(abs(v.quantity) >= {_LARGEST_QUANTITY} or abs({product}) >= {_LARGEST_AMOUNT})"
        faults.append((bad, "{'column': 'quantity', 'rule': 'amount_too_large', 'value': t.quantity}"))
        text = "'quantity ' || t.quantity || ' times unit_price ' || t.unit_price || ' is too large'"
        rejects.append((bad, "'amount_too_large'", text))
    any_fault = " or ".join(f"({bad})" for bad, _ in faults)
    issues = ", ".join(f"case when {bad} then {fault} end" for bad, fault in faults)
    rule = " ".join(f"when {bad} then {name}" for bad, name, _ in rejects)
    reason = ", ".join(f"case when {bad} then {text} end" for bad, _, text in rejects)
    content = ", ".join(
        f"coalesce(cast(d.{c.name} as varchar), chr(30))" for c in entity.columns if c.name != "line_number"
    )
    derived = _derivations(entity)
    final = ", ".join(f"{derived.get(c.name, 'v.' + c.name)} as {c.name}" for c in entity.columns)
    row_number = "v._row - f.first_row + 1"
    shift = ""
    if malformed:
        # Lines set aside as malformed have taken a place in the file: shift the rows behind them.
        files = ", ".join(text_literal(p) for p in malformed)
        shift = (
            " asof left join (select _file, before, max(shift) as shift from ("
            "select _file, _line - row_number() over (partition by _file order by _line) as before,"
            f" row_number() over (partition by _file order by _line) as shift from read_parquet([{files}])"
            ") group by _file, before) m"
            " on m._file = v._file and m.before < v._row - f.first_row + 1"
        )
        row_number += " + coalesce(m.shift, 0)"
    listed = ", ".join(text_literal(p) for p in parts)
    typed = ", ".join(f"{c.name} := {v.rsplit(' as ', 1)[0]}" for c, v in zip(entity.columns, values, strict=True))
    noted = f"to_json(list_filter([{issues}], lambda x: x is not null))"
    ingested_at = f"cast({text_literal(batch.ingested_at)} as timestamp)"
    return f"""
    select {", ".join("d." + c for c in entity.names)},
        {_key(entity)} as _key,
        md5(concat_ws(chr(31), {content})) as _row_hash,
        d._issues, d._raw, d._reject_rule, d._reject_reason,
        {text_literal(batch.source)} as _source, d._file as _source_file, cast(d._source_row as bigint) as _source_row,
        {text_literal(batch.batch_id)} as _batch_id, {ingested_at} as _ingested_at
    from (
        select {final}, v._file, {row_number} as _source_row, v._issues, v._raw, v._reject_rule, v._reject_reason
        from (
            select v.*,
                case when {any_fault} then cast({noted} as varchar) end as _issues,
                case when {any_fault} then cast(to_json(t._row_values) as varchar) end as _raw,
                {f"case {rule} end" if rejects else "cast(null as varchar)"} as _reject_rule,
                {f"nullif(concat_ws('; ', {reason}), '')" if rejects else "cast(null as varchar)"} as _reject_reason
            from (
                select t, struct_pack({typed}, _file := t._file, _row := t._row) as v
                from (
                    select {", ".join(texts)}, r._file, r._row, r as _row_values
                    from read_parquet([{listed}], union_by_name = true) r
                ) t
            )
        ) v
        join _files f on f.name = v._file{shift}
    ) d
    """


def _malformed_sql(batch: Batch, entity: Entity, malformed: list[str]) -> str:
    """Return the query that keeps lines which do not fit their header: no values, the text as the raw row."""
    listed = ", ".join(text_literal(p) for p in malformed)
    nulls = ", ".join(f"cast(null as {c.sql_type}) as {c.name}" for c in entity.columns)
    issue = "{'column': cast(null as varchar), 'rule': 'malformed_line', 'value': _text}"
    return f"""
    select {nulls},
        cast(null as varchar) as _key, md5(_text) as _row_hash,
        cast(to_json([{issue}]) as varchar) as _issues,
        cast(to_json({{'line': _text}}) as varchar) as _raw,
        'malformed_line' as _reject_rule, _error as _reject_reason,
        {text_literal(batch.source)} as _source, _file as _source_file, cast(_line as bigint) as _source_row,
        {text_literal(batch.batch_id)} as _batch_id,
        cast({text_literal(batch.ingested_at)} as timestamp) as _ingested_at
    from read_parquet([{listed}])
    """


_WORDS = {
    "timestamp": "date or time",
    "amount": "number",
    "quantity": "number",
    "measure": "number",
    "integer": "whole number",
    "boolean": "yes or no",
}


def _text(column: Column, spec: EntitySource, batch: Batch) -> str:
    """Return the column's raw text: trimmed, null where empty, or as the mapping derives it."""
    columns = set(batch.columns)
    mapping = spec.columns.get(column.name) if spec.columns else column.name
    if isinstance(mapping, Derived):
        if mapping.constant is not None:
            return text_literal(mapping.constant)
        raw = _cleaned(f"r.{quoted(mapping.column or '')}", column, spec)
        if not mapping.match:
            return f"coalesce({raw}, {text_literal(mapping.default)})" if mapping.default is not None else raw
        default = text_literal(mapping.default) if mapping.default is not None else "null"
        cases = " ".join(
            f"when regexp_matches({raw}, {text_literal(m.pattern)}) then {text_literal(m.value)}" for m in mapping.match
        )
        return f"case {cases} else {default} end"
    if mapping is None or mapping not in columns:
        return "cast(null as varchar)"
    return _cleaned(f"r.{quoted(mapping)}", column, spec)


def _cleaned(raw: str, column: Column, spec: EntitySource) -> str:
    """Trim, drop NUL characters (no server stores them), and turn the texts for "no value" into null."""
    text = f"nullif(trim(replace(cast({raw} as varchar), chr(0), ''), e'{_BLANK}'), '')"
    for word in spec.null_values:
        text = f"nullif({text}, {text_literal(word)})"
    if column.kind == "id":
        # Spreadsheets turn whole-number ids beside empty cells into floats: 17850 becomes 17850.0.
        text = f"regexp_replace({text}, '^(\\d+)\\.0$', '\\1')"
    return text


def _typed(column: Column, spec: EntitySource, time_zone: str) -> str:
    """Return the expression that reads the trimmed text as the column's type, null where it is none."""
    text = f"t.{column.name}"
    match column.kind:
        case "text" | "id":
            return text
        case "timestamp":
            return _timestamp(text, spec, time_zone)
        case "boolean":
            return (
                f"case when lower({text}) in ('true', 't', 'yes', 'y', '1') then true"
                f" when lower({text}) in ('false', 'f', 'no', 'n', '0') then false end"
            )
        case "integer":
            # A cast alone would round 1.5 to 2.
            number = f"try_cast({_plain_number(text, spec)} as decimal(18,3))"
            return f"case when {number} = trunc({number}) then try_cast({number} as integer) end"
        case _:
            return f"try_cast({_plain_number(text, spec)} as {column.sql_type})"


def _timestamp(text: str, spec: EntitySource, time_zone: str) -> str:
    """Return the expression that reads a text as a UTC timestamp: as the formats say, else as ISO 8601 writes it."""
    # What ends in a letter is an offset (Z, UTC) or a word that DuckDB takes for a time, such as `infinity`.
    local = f"case when not regexp_matches({text}, '[A-Za-z)]$') then try_cast({text} as timestamp) end"
    zoned_formats = [f for f in spec.timestamp_formats if "%z" in f or "%Z" in f]
    local_formats = [f for f in spec.timestamp_formats if f not in zoned_formats]
    if local_formats:
        local = f"coalesce(try_strptime({text}, [{', '.join(map(text_literal, local_formats))}]), {local})"
    if time_zone != "UTC":
        local = f"timezone('UTC', timezone({text_literal(time_zone)}, {local}))"
    offset = f"regexp_replace({text}, '\\s*([Zz]|UTC|GMT)$', '+00')"
    offset = f"regexp_replace({offset}, '\\s+([+-]\\d\\d(:?\\d\\d)?)$', '\\1')"
    zoned = f"timezone('UTC', coalesce(try_cast({text} as timestamptz), try_cast({offset} as timestamptz)))"
    read = f"case when regexp_matches({text}, {text_literal(_OFFSET)}) then {zoned} else {local} end"
    if zoned_formats:
        formats = ", ".join(map(text_literal, zoned_formats))
        read = f"coalesce(timezone('UTC', try_strptime({text}, [{formats}])), {read})"
    bounds = f"between timestamp '{_FIRST_TIME}' and timestamp '{_LAST_TIME}'"
    return f"case when ({read}) {bounds} then ({read}) end"


def _plain_number(text: str, spec: EntitySource) -> str:
    """Return the expression of a number's text with a decimal point and without separators of thousands.

    A text that does not keep to the separators is none: with decimal comma, 12.50 is not 1250.
    """
    if not spec.thousands and spec.decimal == ".":
        return text
    decimal = re.escape(spec.decimal)
    # French exports put a no-break space between thousands, Swiss ones a curly apostrophe.
    marks = {" ": " \u00a0\u202f", "'": "'\u2019"}.get(spec.thousands, spec.thousands)
    whole = rf"\d{{1,3}}([{marks}]\d{{3}})+|\d*" if marks else r"\d*"
    form = rf"^[+-]?({whole})({decimal}\d*)?([eE][+-]?\d+)?$"
    plain = f"translate({text}, {text_literal(marks)}, '')" if marks else text
    return f"case when regexp_matches({text}, {text_literal(form)}) then replace({plain}, '{spec.decimal}', '.') end"


def _derivations(entity: Entity) -> dict[str, str]:
    """Return the expressions of columns that a source may lack and other columns decide."""
    if entity.name == "order_lines":
        parts = "coalesce(v.customer_id, ''), cast(v.ordered_at as varchar)"
        return {"order_id": f"coalesce(v.order_id, 'D-' || substr(md5(concat_ws('|', {parts})), 1, 16))"}
    if entity.name == "payments":
        parts = (
            "v.order_id, coalesce(v.method, ''), cast(v.amount as varchar), coalesce(cast(v.paid_at as varchar), '')"
        )
        return {"payment_id": f"coalesce(v.payment_id, 'D-' || substr(md5(concat_ws('|', {parts})), 1, 16))"}
    return {}


def _key(entity: Entity) -> str:
    """Return what identifies a row: its key, or its content but for the time of change where a line has no number."""
    if "line_number" in entity.key:
        of_line = [c.name for c in entity.columns if c.name not in ("line_number", "updated_at")]
        content = ", ".join(f"coalesce(cast(d.{name} as varchar), chr(30))" for name in of_line)
        return f"d.order_id || '|' || coalesce(cast(d.line_number as varchar), md5(concat_ws(chr(31), {content})))"
    return f"d.{entity.key[0]}"


def readable_share(
    connection: duckdb.DuckDBPyConnection,
    part: Path,
    entity: str,
    source: Source,
    spec: EntitySource,
    known: Sequence[str],
) -> list[tuple[str, str, str, int, str]]:
    """Return the columns of a raw part of which a document has values and none can be read as its type.

    Each as column, the type's word, document, number of values and one of them; only of text columns in `known`.
    """
    columns = [name for name, kind in types_of(part).items() if kind in ("string", "large_string") and name in known]
    found = []
    for column in ENTITIES[entity].columns:
        raw = spec.columns.get(column.name) if spec.columns else column.name
        if column.kind in ("text", "id") or not isinstance(raw, str) or raw not in columns:
            continue
        text = _cleaned(f"r.{quoted(raw)}", column, spec)
        typed = _typed(column, spec, source.time_zone)
        rows = connection.execute(
            f"select _file, count(*), min({column.name}) from"
            f" (select {text} as {column.name}, _file from read_parquet(?) r) t"
            f" where {column.name} is not null group by _file having count({typed}) = 0",
            [glob.escape(str(part))],
        ).fetchall()
        found += [(raw, _WORDS[column.kind], name, count, example) for name, count, example in rows]
    return found


def stage_columns(entity: Entity) -> str:
    """Return the quoted column list of the entity's stage table."""
    return quoted_list([*entity.names, *LINEAGE])
