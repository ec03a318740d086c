"""Raw rows as cells see them: what is blank filled down, what an expression names as text and as numbers.

Only what a mapping asks for is added, and only where the rows show a need for it: rows without an expression and
without blanks are read as they are.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from lib.base.errors import ConfigError, did_you_mean
from lib.base.expressions import Kind, Parts, parse, resolve
from lib.base.hashing import fingerprint
from lib.base.quoting import quoted, quoted_list, text_literal
from lib.cells import formats
from lib.config import LAKE_COLUMNS, EntitySource, Lookup
from lib.entities import ENTITIES, ORDER_LEVEL

#: From here on a double no longer holds every whole number, so that two ids may become one.
_INEXACT = 2**53

#: As much of an expression is shown.
_SHOWN = 160

#: Of more rows than these not all fail by accident.
_ENOUGH = 10


@dataclass(frozen=True)
class Computed:
    """An expression of the mapping: its `text`, its SQL over the rows `r`, and the DuckDB type of what it gives.

    `trouble` is the SQL of why a row has no value where the reason is one of its values, else null; `shown` that of
    the values it is computed from, for people to read.
    """

    text: str
    sql: str
    type: str
    trouble: str = ""
    shown: str = "null"

    @property
    def failing(self) -> "Computed":
        """It is read so where some of the rows have values that it cannot use."""
        tried = f"try(list_value({self.sql}))"
        reason = f"{text_literal(f'{shortened(self.text)} cannot be computed from ')} || {self.shown}"
        trouble = f"case when {tried} is null then {reason} else {self.trouble or 'null'} end"
        return replace(self, sql=f"{tried}[1]", trouble=trouble)


@dataclass(frozen=True)
class RawRows:
    """Raw rows as a `from` clause with the alias `r`.

    `types` has the DuckDB type of each raw column, `whole` is the SQL of a row as it was delivered. `computed` has the
    expressions of the mapping by our column, for which the columns `added` are there.
    """

    source: str
    types: Mapping[str, str]
    whole: str = "r"
    added: tuple[str, ...] = ()
    computed: Mapping[str, Computed] = field(default_factory=dict)
    where: Computed | None = None

    def selecting(self, columns: str) -> "RawRows":
        """Return rows of other columns, written as a select list over `r`."""
        own = ", r as _whole" if self.whole == "r" else ""
        return replace(self, source=f"(select {columns}{own} from {self.source}) r", whole="r._whole")

    def replacing(self, values: Mapping[str, str]) -> "RawRows":
        """Return the rows with other values in some raw columns, without what was added for expressions."""
        exclude = f" exclude ({quoted_list(self.added)})" if self.added else ""
        columns = ", ".join(f"{sql} as {quoted(name)}" for name, sql in values.items())
        return replace(self.selecting(f"r.*{exclude} replace ({columns})"), added=(), computed={}, where=None)


@dataclass(frozen=True)
class LookedUp:
    """A table that values are looked up in: its rows as a `from` clause, with `_file` and `_row`; `name` for people."""

    name: str
    source: str


def prepared(
    connection: duckdb.DuckDBPyConnection,
    rows: RawRows,
    entity: str,
    spec: EntitySource,
    place: str,
    tables: Mapping[str, LookedUp] | None = None,
) -> RawRows:
    """Return the rows with what blanks are filled with, and with what expressions need.

    `place` names the entity in the configuration, `tables` has those of its lookups by our column; without them
    nothing is looked up. Raises ConfigError where an expression cannot be used on such rows, or a table lacks a column.
    """
    if spec.fill_down:
        rows = _filled_down(rows, spec)
    ready = _with_lookups(connection, _with_expressions(connection, rows, entity, spec, place), spec, place, tables)
    if entity != "order_lines":
        return ready
    try:
        blank = _blank_within_orders(connection, ready, spec)
    except duckdb.Error:
        if (guarded := diagnosed(connection, ready, place)) is None:
            raise
        ready = guarded
        blank = _blank_within_orders(connection, ready, spec)
    if not blank:
        return ready
    filled = _filled_within_orders(ready, blank, spec)
    return _with_lookups(connection, _with_expressions(connection, filled, entity, spec, place), spec, place, tables)


def diagnosed(connection: duckdb.DuckDBPyConnection, rows: RawRows, place: str) -> RawRows | None:
    """Return the rows with those expressions guarded that fail on some of their values, None where none does.

    Raises ConfigError where one fails on all of many rows or whatever the row, or where the condition of `where` fails.
    """
    computed = dict(rows.computed)
    for ours, one in rows.computed.items():
        if (error := _failure(connection, rows, one)) is None:
            continue
        if isinstance(error, (duckdb.OutOfMemoryException, duckdb.NotImplementedException)):
            raise ConfigError(_sentence(f"{place}.columns.{ours}.sql", one.text, error, rows))
        failed = f"count(*) filter (try(list_value({one.sql})) is null)"
        try:
            total, failures = _row(connection, f"select count(*), {failed} from {rows.source}")
        except duckdb.Error:  # it fails before any value is looked at, or takes all memory
            key = f"{place}.columns.{ours}.sql"
            raise ConfigError(_sentence(key, one.text, error, rows)) from None
        if total == failures and total > _ENOUGH:
            raise _fails(connection, rows, one, f"{place}.columns.{ours}.sql", error)
        computed[ours] = one.failing
    if rows.where and (error := _failure(connection, rows, rows.where)) is not None:
        raise _fails(connection, rows, rows.where, f"{place}.where", error)
    return replace(rows, computed=computed) if computed != rows.computed else None


def without_nulls(text: str, spec: EntitySource) -> str:
    """Return the SQL of a text, null where it is one of the words by which the source means no value."""
    for word in spec.null_values:
        text = f"nullif({text}, {text_literal(word)})"
    return text


def is_blank(name: str, rows: RawRows, spec: EntitySource) -> str:
    """Return the condition that a raw column has no value."""
    raw = f"r.{quoted(name)}"
    if rows.types[name] != "VARCHAR":
        return f"({raw} is null)"
    text = f"nullif(trim({raw}), '')"
    return f"({without_nulls(text, spec)} is null)"


def first_stated(names: Sequence[str], rows: RawRows, spec: EntitySource) -> tuple[str, str]:
    """Return the SQL of the first value that a row has in some raw columns, and its type."""
    kinds = {rows.types[n] for n in names}
    kind = kinds.pop() if len(kinds) == 1 else "VARCHAR"
    values = [f"r.{quoted(n)}" if rows.types[n] == kind else f"cast(r.{quoted(n)} as varchar)" for n in names]
    if len(names) == 1:
        return values[0], kind
    cases = [f"when not {is_blank(n, rows, spec)} then {value}" for n, value in zip(names, values, strict=True)]
    return f"case {' '.join(cases)} end", kind


# What stands for blanks


def _filled_down(rows: RawRows, spec: EntitySource) -> RawRows:
    """Fill the raw columns of those of ours that `fill_down` names with the value of the row above."""
    window = "over (partition by r._file order by r._row rows between unbounded preceding and current row)"
    names = _raw_columns(spec.fill_down, spec, rows)
    values = {n: f"last_value({_or_null(n, rows, spec)} ignore nulls) {window}" for n in names}
    return rows.replacing(values) if values else rows


def _blank_within_orders(connection: duckdb.DuckDBPyConnection, rows: RawRows, spec: EntitySource) -> list[str]:
    """Return the raw columns of the order's level that are blank in some rows of an order and not in others."""
    key = _key(spec, rows)
    names = [n for n in _raw_columns(ORDER_LEVEL, spec, rows) if quoted(n) not in key] if key else []
    blank = {n: is_blank(n, rows, spec) for n in names}

    def which(names: list[str], conditions: Iterable[str], source: str) -> list[str]:
        asked = ", ".join(f"bool_or({condition})" for condition in conditions)
        found = _row(connection, f"select {asked} from {source}") if names else ()
        return [name for name, is_so in zip(names, found, strict=True) if is_so]

    names = which(names, blank.values(), rows.source)
    mixed = ", ".join(f"bool_or({blank[n]}) and not bool_and({blank[n]}) as c{i}" for i, n in enumerate(names))
    orders = f"(select {mixed} from {rows.source} where {key} is not null group by r._file, {key})"
    return which(names, (f"c{i}" for i in range(len(names))), orders)


def _filled_within_orders(rows: RawRows, names: list[str], spec: EntitySource) -> RawRows:
    """Fill raw columns within each order of a file: with the value above, else with the one below."""
    key = _key(spec, rows)
    # A row without an order's number is an order of its own.
    within = f"over (partition by r._file, {key}, case when {key} is null then r._row end order by r._row rows between"
    values = {}
    for name in names:
        value = _or_null(name, rows, spec)
        above = f"last_value({value} ignore nulls) {within} unbounded preceding and current row)"
        below = f"first_value({value} ignore nulls) {within} current row and unbounded following)"
        values[name] = f"coalesce({above}, {below})"
    return rows.replacing(values)


def _raw_columns(ours: Iterable[str], spec: EntitySource, rows: RawRows) -> list[str]:
    """Return the raw columns that some of ours are read from."""
    wanted = set(ours)
    uses = [use for use in spec.uses("order_lines", rows.types) if use.ours in wanted]
    return list(dict.fromkeys(name for use in uses for name in use.names if name in rows.types))


def _key(spec: EntitySource, rows: RawRows) -> str:
    """Return the SQL of an order's number as it is delivered, empty where it is not."""
    if "order_id" in rows.computed:
        return rows.computed["order_id"].sql
    names = _raw_columns(["order_id"], spec, rows)
    return first_stated(names, rows, spec)[0] if names else ""


def _or_null(name: str, rows: RawRows, spec: EntitySource) -> str:
    return f"case when not {is_blank(name, rows, spec)} then r.{quoted(name)} end"


# Expressions


def _with_expressions(
    connection: duckdb.DuckDBPyConnection, rows: RawRows, entity: str, spec: EntitySource, place: str
) -> RawRows:
    """Return the rows with the columns that the mapping's expressions name, as text and as numbers."""
    texts = {ours: m.sql for ours, m in spec.columns.items() if m.sql} | ({"": spec.where} if spec.where else {})
    for ours, lookup in spec.lookups.items():
        texts |= {_by(ours, i): by.sql for i, by in enumerate(lookup.by) if by.sql}
    expressions = {ours: parse(text) for ours, text in texts.items()}
    if any(one.has_zones for one in expressions.values()) or any(m.zone for m in spec.columns.values()):
        formats.define_zones(connection)
    if not texts:
        return rows
    # A column's place among those added; of one that these rows do not have, all values are null.
    places: dict[str, int] = {}
    numbers: set[str] = set()
    named: dict[str, dict[str, None]] = {ours: {} for ours in texts}
    written: dict[str, str] = {}
    zones: dict[str, list[str]] = {}

    def kind_of(parts: Parts) -> Kind:
        name, rest = resolve(parts, [*rows.types, *LAKE_COLUMNS])
        if rest or name in LAKE_COLUMNS:
            return ""
        kind = rows.types.get(name, "VARCHAR")
        return "text" if kind == "VARCHAR" else _number_kind(kind)

    for ours, one in expressions.items():

        def column(parts: Parts, is_number: bool, ours: str = ours) -> Parts:
            name, rest = resolve(parts, [*rows.types, *LAKE_COLUMNS])
            name = name or ".".join(parts)
            if name in LAKE_COLUMNS:
                return ("r", name, *rest)
            places.setdefault(name, len(places))
            named[ours][name] = None
            if is_number and not rest:
                numbers.add(name)
                return ("r", f"_number_{places[name]}")
            return ("r", f"_text_{places[name]}", *rest)

        written[ours] = one.sql(column, "zone_of", kind_of, spec.decimal)
        zones[ours] = one.zones(column)
    ready = _with_columns(connection, rows, places, numbers, spec)
    types = _types(connection, ready, written, texts, place)
    computed = {}
    for ours, sql in written.items():
        needed = {resolve(parts, [*rows.types, *LAKE_COLUMNS])[0] for parts in expressions[ours].numbers}
        operands = [n for n in named[ours] if n in needed & numbers and rows.types.get(n) == "VARCHAR"]
        unread = " ".join(
            f"when r._text_{places[n]} is not null and r._number_{places[n]} is null"
            f" then {text_literal(f'{n} is no number: ')} || r._text_{places[n]}"
            for n in operands
        )
        unread += "".join(
            f" when {zone} is not null and zone_of({zone}) is null then 'nobody knows the time zone ' || {zone}"
            for zone in zones[ours]
        )
        column_of_ours = next((c for c in ENTITIES[entity].columns if c.name == ours), None)
        if column_of_ours and column_of_ours.kind == "id" and types[ours] in ("DOUBLE", "FLOAT"):
            whole = f"{text_literal(f'{shortened(texts[ours])} has more digits than arithmetic keeps: ')} || {sql}"
            unread += f" when abs({sql}) >= {_INEXACT} then {whole}"
            sql = f"case when abs({sql}) < {_INEXACT} then {sql} end"
        shown = ", ".join(f"{text_literal(f'{n} ')} || cast(r._text_{places[n]} as varchar)" for n in named[ours])
        trouble = f"case {unread} end" if unread else ""
        shown = f"concat_ws(', ', {shown})" if shown else "'nothing'"
        computed[ours] = Computed(texts[ours], sql, types[ours], trouble, shown)
    where = computed.pop("", None)
    if where and where.type != "BOOLEAN":
        raise ConfigError(
            f"{place}.where: {shortened(where.text)!r} is no condition but gives {where.type}; expected a comparison"
            " such as \"Type\" = 'sale'."
        )
    return replace(ready, computed=computed, where=where)


def _number_kind(type_: str) -> Kind:
    return "number" if formats.is_exact(type_) or type_ in ("DOUBLE", "FLOAT") else ""


def _with_columns(
    connection: duckdb.DuckDBPyConnection,
    rows: RawRows,
    places: Mapping[str, int],
    numbers: set[str],
    spec: EntitySource,
) -> RawRows:
    """Add `_text_n` of each column, by its place n, and `_number_n` of those that are needed as numbers."""
    texts = [n for n in places if rows.types.get(n) == "VARCHAR"]
    raw = {n: f"r.{quoted(n)}" for n in texts}
    asked = ", ".join(f"bool_or(has_needless_blanks({r})), bool_or(has_error({r}))" for r in raw.values())
    found = _row(connection, f"select {asked} from {rows.source}") if texts else ()
    text, declared, parts, number = {}, {}, {}, {}
    for name, n in places.items():
        if name not in texts:
            text[f"_text_{n}"] = f"r.{quoted(name)}" if name in rows.types else "cast(null as varchar)"
            continue
        i = texts.index(name)
        sql = f"without_blanks_around({raw[name]})" if found[2 * i] else raw[name]
        sql = f"without_error({sql})" if found[2 * i + 1] else sql
        text[f"_text_{n}"] = without_nulls(f"nullif({sql}, '')", spec)
    rows = _adding(rows, text)
    read = {name: places[name] for name in texts if name in numbers}
    for name in numbers:
        own = f"r._text_{places[name]}"
        declared[f"_declared_{places[name]}"] = (
            formats.double(own, spec) if name in read else f"try_cast({own} as double)"
        )
    rows = _adding(rows, declared)
    asked = ", ".join(f"bool_or(r._declared_{n} is null and r._text_{n} is not null)" for n in read.values())
    found = _row(connection, f"select {asked} from {rows.source}") if read else ()
    others = [n for n, is_other in zip(read.values(), found, strict=True) if is_other]
    for n in places.values():
        own, value = f"r._text_{n}", f"r._declared_{n}"
        if n in others:
            # A number in another form than the source's goes through its parts.
            parts[f"_parts_{n}"] = (
                f"case when {value} is null and {own} is not null then {formats.double_parts(own)} end"
            )
            other = formats.other_double(own, f"r._parts_{n}", spec)
            number[f"_number_{n}"] = f"case when r._parts_{n} is not null then {other} else {value} end"
        elif f"_declared_{n}" in declared:
            number[f"_number_{n}"] = value
    rows = _adding(_adding(rows, parts), number)
    return replace(rows, added=(*text, *declared, *parts, *number))


# Lookups


def _by(ours: str, number: int) -> str:
    """Return the name among the expressions of one by which the table of a lookup is searched."""
    return f"{ours}.lookup.by.{number}"


def _with_lookups(
    connection: duckdb.DuckDBPyConnection,
    rows: RawRows,
    spec: EntitySource,
    place: str,
    tables: Mapping[str, LookedUp] | None = None,
) -> RawRows:
    """Return the rows with what is looked up for them, null where there is nothing."""
    if tables is None or not spec.lookups:
        return rows
    computed, added = dict(rows.computed), list(rows.added)
    for number, (ours, lookup) in enumerate(spec.lookups.items()):
        name, kind = _lookup_table(connection, lookup, tables[ours], f"{place}.columns.{ours}.lookup")
        texts, troubles, shown = [], [], []
        for i, by in enumerate(lookup.by):
            if by.sql:
                # One that fails on some values finds nothing there, and says why.
                one = computed.pop(_by(ours, i)).failing
                texts.append(one.sql)
                troubles.append(one.trouble)
                shown.append(one.shown)
            else:
                texts.append(_or_null(by.column, rows, spec) if by.column in rows.types else "null")
        matches = " and ".join(f"l.k{i} = {_comparable(text)}" for i, text in enumerate(texts))
        joined = replace(rows, source=f"{rows.source} left join {name} l on {matches}")
        rows = joined.selecting(f"r.*, l.value as _lookup_{number}")
        trouble = f"coalesce({', '.join(troubles)})" if troubles else ""
        computed[ours] = Computed(
            f"lookup of {lookup.value}", f"r._lookup_{number}", kind, trouble, ", ".join(shown) or "null"
        )
        added.append(f"_lookup_{number}")
    return replace(rows, computed=computed, added=tuple(added))


def _lookup_table(
    connection: duckdb.DuckDBPyConnection, lookup: Lookup, table: LookedUp, place: str
) -> tuple[str, str]:
    """Make the table of a lookup's keys k0, k1 ... and their `value`; return its name and the type of the value.

    Of several rows of one key the last counts, by the file's name and the place in it. The table is made once for all
    rows that are read on a connection.
    """
    found = connection.execute(f"select column_name, column_type from (describe from {table.source} t)").fetchall()
    types = dict(found)
    for name in (*lookup.key, lookup.value):
        if name not in types:
            known = [n for n in types if n not in LAKE_COLUMNS]
            raise ConfigError(
                f"{place}: {table.name} has no column {name!r}; found {', '.join(known[:20])}."
                f"{did_you_mean(name, known)}"
            )
    name = f"_lookup_{fingerprint([table.source, lookup.key, lookup.value])}"
    keys = [_comparable(f"t.{quoted(key)}") for key in lookup.key]
    listed = ", ".join(f"{key} as k{i}" for i, key in enumerate(keys))
    connection.execute(
        f"""create temp table if not exists {name} as
        select {listed}, last(t.{quoted(lookup.value)} order by t._file, t._row) as value
        from {table.source} t where {" and ".join(f"{key} is not null" for key in keys)} group by all"""
    )
    return name, str(types[lookup.value])


def _comparable(sql: str) -> str:
    """Return the SQL of an id as it is compared with another: as text, without what spreadsheets add to it."""
    text = f"nullif(without_text_mark(without_blanks_around(cast({sql} as varchar))), '')"
    return f"regexp_replace({text}, '^(\\d+)\\.0$', '\\1')"


def _adding(rows: RawRows, columns: Mapping[str, str]) -> RawRows:
    return (
        rows.selecting(", ".join(["r.*", *(f"{sql} as {name}" for name, sql in columns.items())])) if columns else rows
    )


def _types(
    connection: duckdb.DuckDBPyConnection,
    rows: RawRows,
    written: Mapping[str, str],
    texts: Mapping[str, str],
    place: str,
) -> dict[str, str]:
    """Return the type of what each expression gives; raise ConfigError where DuckDB cannot tell."""

    def described(some: Mapping[str, str]) -> dict[str, str]:
        listed = ", ".join(f"{sql} as v{i}" for i, sql in enumerate(some.values()))
        found = connection.execute(f"select column_type from (describe select {listed} from {rows.source})").fetchall()
        return {ours: str(kind) for ours, (kind,) in zip(some, found, strict=True)}

    with contextlib.suppress(duckdb.Error):
        return described(written)
    types: dict[str, str] = {}
    for ours, sql in written.items():
        try:
            types |= described({ours: sql})
        except duckdb.Error as error:
            key = f"columns.{ours}.sql" if ours else "where"
            raise ConfigError(_sentence(f"{place}.{key}", texts[ours], error, rows)) from None
    return types


def _failure(connection: duckdb.DuckDBPyConnection, rows: RawRows, one: Computed) -> duckdb.Error | None:
    """Return what DuckDB raises where an expression is computed for all rows."""
    try:
        connection.execute(f"select count({one.sql}) from {rows.source}")
    except duckdb.IOException:  # the rows themselves cannot be read
        raise
    except duckdb.Error as error:
        return error
    return None


def _fails(
    connection: duckdb.DuckDBPyConnection, rows: RawRows, one: Computed, key: str, error: duckdb.Error
) -> ConfigError:
    try:
        (sample,) = _row(
            connection,
            f"select any_value(sample) from (select {one.shown} as sample from {rows.source}"
            f" where try(list_value({one.sql})) is null limit 1)",
        )
    except duckdb.Error:
        return ConfigError(_sentence(key, one.text, error, rows))
    return ConfigError(f"{_sentence(key, one.text, error, rows)} The first such row has {sample}.")


def _sentence(key: str, text: str, error: duckdb.Error, rows: RawRows) -> str:
    message = re.sub(r"^[A-Z]\w+(?: \w+)* Error: ", "", str(error).split("\n")[0])
    if isinstance(error, duckdb.OutOfMemoryException):
        message = "it takes more memory than there is"
    found = ", ".join([n for n in rows.types if n not in LAKE_COLUMNS][:20])
    return f"{key}: {shortened(text)!r} cannot be computed: {message.strip()}. Columns found: {found}."


def shortened(text: str) -> str:
    """Return an expression as messages show it."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return connection.execute(sql).fetchone() or ()
