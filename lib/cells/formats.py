"""DuckDB expressions that read numbers and times from text: in the form that the source declares, else in another form
that has only one meaning. They use the macros in `sql/cells/macros.sql`; `lib.cells.reading` says which cells go
through them.

Each expression is null where the text is no such value. A text in another form than the declared one is first taken
apart (`number_parts`, `time_parts`: a struct), then its parts are read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from lib.base.queries import read_query
from lib.base.quoting import text_literal
from lib.cells.codes import CURRENCIES
from lib.cells.zones import NAMES
from lib.config import EntitySource, Source
from lib.entities import Column

#: Times out of these bounds are placeholders or errors (1900-01-00, 0001-01-01, 9999-12-31). With them, dim_date would
#: have a row for every day between.
FIRST_TIME, LAST_TIME = "1900-01-02", "2150-01-01"

#: How numbers are written: the mark before decimals, and the one between thousands. Without the first, what may be read
#: with either is not read.
Marks = tuple[str, str]

#: A number that is another one where the point stands between thousands.
OPEN_NUMBER = r"^[-+(]?[1-9]\d{0,2}\.\d{3}[-)]?$"

_CURRENCY = rf"[A-Z]{{0,2}}\p{{Sc}}|{'|'.join(sorted(CURRENCIES))}|EUROS?|S?FR\.?|KR\.?|ZŁ|KČ|FT|LEI"


def define_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros that the expressions of this room call."""
    connection.execute(read_query("cells/macros"))


def define_zones(connection: duckdb.DuckDBPyConnection) -> None:
    """Define `zone_of`: the IANA zone of a name as exports write it, null where none is known."""
    known = {zone: zone for (zone,) in connection.execute("select name from pg_timezone_names()").fetchall()}
    named = {name.lower(): zone for name, zone in {**known, **NAMES}.items()}
    first = [name.lower() for name in NAMES]
    cases = " ".join(
        f"when {text_literal(name)} then {text_literal(named[name])}" for name in dict.fromkeys([*first, *named])
    )
    connection.execute(
        "create or replace temp macro zone_of(name) as"
        f" coalesce(case lower(trim(name)) {cases} end, zone_of_offset(name))"
    )


def number(text: str, column: Column, marks: Marks) -> str:
    """Return the expression that reads a number as the source's mapping says it is written."""
    if not marks[0]:
        open_form = f"regexp_matches({text}, {text_literal(OPEN_NUMBER)})"
        return _as_number(f"case when not {open_form} then {text} end", column)
    return _as_number(_declared(text, marks), column)


def number_parts(text: str, column: Column) -> str:
    """Return the struct (head, digits, tail) of a number, without the currency where an amount states one."""
    plain = f"with_plain_signs({text})"
    if column.kind in ("amount", "measure"):
        plain = f"without_currency({plain}, {text_literal(_CURRENCY)})"
    return f"number_parts({plain})"


def other_number(parts: str, column: Column, marks: Marks) -> str:
    """Return the expression that reads a number from its parts where its form leaves one reading."""
    return _as_number(f"plain_number({parts}, '{marks[0]}', {text_literal(marks[1])})", column)


@dataclass(frozen=True)
class Zones:
    """SQL of the zones in which times are read: `clock` of those that state none, `day` of dates without a time."""

    clock: str
    day: str

    @classmethod
    def of(cls, source: Source) -> "Zones":
        return cls(text_literal(source.zone), text_literal(source.shop_zone))


def time(text: str, spec: EntitySource, zones: Zones, *, is_date: bool = False) -> str:
    """Return the expression that reads a text as a UTC timestamp: as the formats say, else as ISO 8601 writes it.

    Where a column `is_date`, what counts is the date that is written, whatever clock and zone stand beside it.
    """
    zoned, clocks, days = _formats(spec)
    if is_date:
        in_zone = [f"timezone({zones.clock}, {_strptime(text, zoned)})"] if zoned else []
        local = [_strptime(text, [*clocks, *days])] if clocks or days else []
        written = ", ".join([*in_zone, *local, f"iso_local(substr({text}, 1, 10))"])
        return f"to_utc(date_trunc('day', coalesce({written})), {zones.day})"
    if zones.clock == zones.day:
        either = [_strptime(text, [*clocks, *days])] if clocks or days else []
        read_local = _coalesced([*either, f"iso_local({text})"])
        on_clocks = f"to_utc({read_local}, {zones.clock})"
    else:
        by_zone = ((clocks, zones.clock), (days, zones.day))
        formatted = [f"to_utc({_strptime(text, some)}, {zone})" for some, zone in by_zone if some]
        # A text in ISO form with a time of day is longer than a date.
        iso = f"case when length({text}) <= 10 then to_utc(iso_local({text}), {zones.day})"
        on_clocks = _coalesced([*formatted, f"{iso} else to_utc(iso_local({text}), {zones.clock}) end"])
    read = f"case when has_offset({text}) then iso_utc({text}) else {on_clocks} end"
    return f"coalesce(timezone('UTC', {_strptime(text, zoned)}), {read})" if zoned else read


def states_zone(text: str, spec: EntitySource) -> str:
    """Return the condition that a text which `time` can read states its zone."""
    zoned, _, _ = _formats(spec)
    return f"(has_offset({text}){f' or {_strptime(text, zoned)} is not null' if zoned else ''})"


def other_time(text: str, parts: str, zones: Zones, *, is_date: bool = False) -> str:
    """Return the expression that reads a time from its parts, from a number of seconds since 1970, or of days."""
    if is_date:
        return f"to_utc(date_of({text}, {parts}), {zones.day})"
    return f"time_of({text}, {parts}, {zones.clock}, {zones.day})"


def typed_time(value: str, kind: str, zones: Zones, *, is_date: bool = False) -> str:
    """Return the expression of a DuckDB date, timestamp or timestamp with time zone as a UTC timestamp."""
    if kind == "DATE":
        return f"to_utc(cast({value} as timestamp), {zones.day})"
    if kind == "TIMESTAMP WITH TIME ZONE":
        if is_date:
            return f"to_utc(day_stated({value}, {zones.clock}), {zones.day})"
        return f"timezone('UTC', {value})"
    local = f"cast({value} as timestamp)"
    return f"to_utc(date_trunc('day', {local}), {zones.day})" if is_date else f"to_utc({local}, {zones.clock})"


def is_exact(kind: str) -> bool:
    """Whether a DuckDB type is one of exact numbers."""
    return kind.removeprefix("U").removesuffix("EGER").endswith("INT") or kind.startswith("DECIMAL")


def double(text: str, spec: EntitySource) -> str:
    """Return the expression that reads a number of any size as the source writes it."""
    return f"try_cast({_declared(text, (spec.decimal, spec.thousands))} as double)"


def double_parts(text: str) -> str:
    """Return the struct (head, digits, tail) of a number without its currency or its sign of a percentage."""
    return f"number_parts(without_currency(with_plain_signs(rtrim({text}, '% ')), {text_literal(_CURRENCY)}))"


def other_double(text: str, parts: str, spec: EntitySource) -> str:
    """Return the expression that reads from its parts a percentage, or a number that has one reading."""
    number = f"try_cast(plain_number({parts}, '{spec.decimal}', {text_literal(spec.thousands)}) as double)"
    return f"{number} / case when ends_with({text}, '%') then 100 else 1 end"


def percentage(text: str) -> str:
    """Return the expression of what a number is multiplied by: 0.01 where its text is a percentage."""
    return f"case when ends_with({text}, '%') then 0.01 else 1.00 end"


def shown(value: str, column: Column) -> str:
    """Return the expression of a value as findings show it: `12.50`, `3`, `2025-03-04T10:11:12Z`."""
    match column.kind:
        case "timestamp":
            return f"shown_time({value})"
        case "amount" | "measure" if column.name != "quantity":
            return f"shown_amount({value})"
        case "quantity" | "measure":
            return f"shown_quantity({value})"
        case _:
            return f"cast({value} as varchar)"


def _declared(text: str, marks: Marks) -> str:
    """Return the expression of a number's text with a decimal point and without separators of thousands.

    A text that does not keep to the separators is no number: with decimal comma, 12.50 is not 1250.
    """
    point, between = marks
    if not between and point == ".":
        return text
    decimal = re.escape(point)
    # French exports have a no-break space between thousands, Swiss ones a curly apostrophe.
    some = {" ": " \u00a0\u202f", "'": "'\u2019"}.get(between, between)
    whole = rf"\d{{1,3}}([{some}]\d{{3}})+|\d*" if some else r"\d*"
    form = rf"^[+-]?({whole})({decimal}\d*)?([eE][+-]?\d+)?$"
    plain = f"translate({text}, {text_literal(some)}, '')" if some else text
    return f"case when regexp_matches({text}, {text_literal(form)}) then replace({plain}, '{point}', '.') end"


def _as_number(plain: str, column: Column) -> str:
    return f"try_cast({plain} as {column.sql_type})"


def _coalesced(expressions: list[str]) -> str:
    return f"coalesce({', '.join(expressions)})" if len(expressions) > 1 else expressions[0]


def _formats(spec: EntitySource) -> tuple[list[str], list[str], list[str]]:
    """Return the declared formats that state a zone, those of a time on local clocks, and those of a date alone."""
    zoned = [f for f in spec.timestamp_formats if "%z" in f or "%Z" in f]
    days = [f for f in spec.timestamp_formats if f not in zoned and not re.search(r"%-?[HIMSsfgncTXRprx]", f)]
    return zoned, [f for f in spec.timestamp_formats if f not in (*zoned, *days)], days


def _strptime(text: str, formats: Sequence[str]) -> str:
    """Return the expression of a time in one of some formats, whatever their order.

    A year of four digits is looked for first, and one before 1900 is a misfit: `%Y` reads 26 in 03.09.26 as such.
    Formats that differ in the places of day and month say nothing where both fit: the text is then not read by them.
    """
    ordered = sorted(formats, key=lambda f: "%y" in f)
    reads = {f: f"plausible(try_strptime({text}, {text_literal(f)}))" for f in ordered}
    for n, one in enumerate(ordered):
        for other in ordered[n + 1 :]:
            if one in reads and other in reads and one != other and _places(one) == _places(other):
                reads[one] = f"agreed({reads[one]}, {reads.pop(other)})"
    return _coalesced(list(reads.values()))


def _places(form: str) -> str:
    """Return a format without what tells its day and month apart."""
    return re.sub(r"%-?[dm]", "%d", form)
