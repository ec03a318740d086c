"""DuckDB expressions that read numbers and times from text: in the form that the source declares, else in another form
that has only one meaning. They use the macros in `sql/cells/macros.sql`; `lib.cells.reading` says which cells go
through them.

Each expression is null where the text is no such value. A text in another form than the declared one is first taken
apart (`number_parts`, `time_parts`: a struct), then its parts are read.
"""

import re

import duckdb

from lib.base.queries import read_query
from lib.base.quoting import text_literal
from lib.cells.codes import CURRENCIES
from lib.config import EntitySource
from lib.entities import Column

#: Times out of these bounds are placeholders or errors (1900-01-00, 0001-01-01, 9999-12-31). With them, dim_date would
#: have a row for every day between.
FIRST_TIME, LAST_TIME = "1900-01-02", "2150-01-01"

_CURRENCY = rf"[A-Z]{{0,2}}\p{{Sc}}|{'|'.join(sorted(CURRENCIES))}|EUROS?|S?FR\.?|KR\.?|ZŁ|KČ|FT|LEI"


def define_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros that the expressions of this room call."""
    connection.execute(read_query("cells/macros"))


def number(text: str, column: Column, spec: EntitySource) -> str:
    """Return the expression that reads a number as the source's mapping says it is written."""
    return _as_number(_declared(text, spec), column)


def number_parts(text: str, column: Column) -> str:
    """Return the struct (head, digits, tail) of a number, without the currency where an amount states one."""
    plain = f"with_plain_signs({text})"
    if column.kind in ("amount", "measure"):
        plain = f"without_currency({plain}, {text_literal(_CURRENCY)})"
    return f"number_parts({plain})"


def other_number(parts: str, column: Column, spec: EntitySource) -> str:
    """Return the expression that reads a number from its parts where its form leaves one reading."""
    return _as_number(f"plain_number({parts}, '{spec.decimal}', {text_literal(spec.thousands)})", column)


def time(text: str, spec: EntitySource, time_zone: str) -> str:
    """Return the expression that reads a text as a UTC timestamp: as the formats say, else as ISO 8601 writes it."""
    zoned, local = _formats(spec)
    on_clocks = f"coalesce(try_strptime({text}, {local}), iso_local({text}))" if local else f"iso_local({text})"
    read = f"case when has_offset({text}) then iso_utc({text}) else {to_utc(on_clocks, time_zone)} end"
    return f"coalesce(timezone('UTC', try_strptime({text}, {zoned})), {read})" if zoned else read


def states_zone(text: str, spec: EntitySource) -> str:
    """Return the condition that a text which `time` can read states its zone."""
    zoned, _ = _formats(spec)
    return f"(has_offset({text}){f' or try_strptime({text}, {zoned}) is not null' if zoned else ''})"


def other_time(text: str, parts: str, time_zone: str) -> str:
    """Return the expression that reads a time from its parts, or from the seconds or milliseconds since 1970."""
    return f"time_of({text}, {parts}, {text_literal(time_zone)})"


def to_utc(local: str, time_zone: str) -> str:
    """Return the expression of a time on a zone's clocks as UTC."""
    return f"to_utc({local}, {text_literal(time_zone)})"


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


def _declared(text: str, spec: EntitySource) -> str:
    """Return the expression of a number's text with a decimal point and without separators of thousands.

    A text that does not keep to the separators is no number: with decimal comma, 12.50 is not 1250.
    """
    if not spec.thousands and spec.decimal == ".":
        return text
    decimal = re.escape(spec.decimal)
    # French exports have a no-break space between thousands, Swiss ones a curly apostrophe.
    marks = {" ": " \u00a0\u202f", "'": "'\u2019"}.get(spec.thousands, spec.thousands)
    whole = rf"\d{{1,3}}([{marks}]\d{{3}})+|\d*" if marks else r"\d*"
    form = rf"^[+-]?({whole})({decimal}\d*)?([eE][+-]?\d+)?$"
    plain = f"translate({text}, {text_literal(marks)}, '')" if marks else text
    return f"case when regexp_matches({text}, {text_literal(form)}) then replace({plain}, '{spec.decimal}', '.') end"


def _as_number(plain: str, column: Column) -> str:
    return f"try_cast({plain} as {column.sql_type})"


def _formats(spec: EntitySource) -> tuple[str, str]:
    """Return the lists of declared formats that state a zone, and of those that do not; empty where there are none."""
    zoned = [f for f in spec.timestamp_formats if "%z" in f or "%Z" in f]
    local = [f for f in spec.timestamp_formats if f not in zoned]
    listed = [f"[{', '.join(map(text_literal, formats))}]" if formats else "" for formats in (zoned, local)]
    return listed[0], listed[1]
