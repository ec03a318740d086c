"""Numbers and times as texts write them, as DuckDB expressions: in the source's own form, then in others that are
unmistakable. `lib.cells.reading` says which cells go through them.

Each expression is null where the text is no such value. In another form than the source's own, a text is first taken
to its parts (`number_parts`, `time_parts`: a struct), then read from them.
"""

import re

from lib.base.quoting import text_literal
from lib.cells.codes import CURRENCIES
from lib.config import EntitySource
from lib.entities import Column

#: What lies outside is a placeholder or a slip (1900-01-00, 0001-01-01, 9999-12-31), and would give every day between
#: a row in dim_date.
FIRST_TIME, LAST_TIME = "1900-01-02", "2150-01-01"


_OFFSET = r"^[^/]*\d:\d\d(:\d\d(\.\d+)?)?\s*([Zz]|UTC|GMT|[+-]\d\d(:?\d\d)?)$"


# Blanks between thousands, Swiss apostrophes, the typographer's minus: as a keyboard has them.
_FANCY, _PLAIN = " \u00a0\u2007\u2009\u202f\u2019\u2018\u2212", "     ''-"


_MONEY = rf"[A-Z]{{0,2}}\p{{Sc}}|{'|'.join(sorted(CURRENCIES))}|EUROS?|S?FR\.?|KR\.?|ZŁ|KČ|FT|LEI"


_DAY = (
    r"\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{8}"
    r"|[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)? \d{4}|\d{1,2}(?:st|nd|rd|th|\.)?[ -][a-z]{3,9}\.?[ -]\d{4}"
)


_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?(?: ?[ap]\.?m\.?)?|\d{6}|\d{4}"


_ZONE = r"z|utc|gmt|(?:utc|gmt)?[+-]\d\d:?\d\d"


def number(text: str, column: Column, spec: EntitySource) -> str:
    """Return the expression that reads a number as the source's mapping says it is written."""
    return _as_number(_declared(text, spec), column)


def number_parts(text: str, column: Column) -> str:
    """Return the struct (head, digits, tail) of a number, without the currency where an amount states one."""
    plain = f"translate({text}, {text_literal(_FANCY)}, {text_literal(_PLAIN)})"
    if column.kind in ("amount", "measure"):
        plain = f"regexp_replace({plain}, {text_literal(rf'(?i)^([-+(]?) ?(?:{_MONEY}) ?')}, '\\1')"
        plain = f"regexp_replace({plain}, {text_literal(rf'(?i) ?(?:{_MONEY})([-)]?)$')}, '\\1')"
    form = r"^([-+(]?) ?(\d[\d .,']*|[.,]\d+)([-)]?)$"
    return f"regexp_extract({plain}, {text_literal(form)}, ['head', 'digits', 'tail'])"


def other_number(parts: str, column: Column, spec: EntitySource) -> str:
    """Return the expression that reads a number from its parts where its form leaves one reading alone.

    A point or comma before exactly three digits parts thousands or decimals: then the source's mapping decides.
    """
    digits = f"rtrim({parts}.digits)"
    alone = f"regexp_matches({digits}, '^[1-9]\\d{{0,2}}[.,]\\d{{3}}$')"
    mark = f"regexp_extract({digits}, '[.,]')"
    point = r"^(\d*|\d{1,3}((,\d{3})+|( \d{3})+|('\d{3})+))\.\d+$"
    comma = r"^(\d*|\d{1,3}((\.\d{3})+|( \d{3})+|('\d{3})+)),\d+$"
    groups = r"^\d{1,3}((,\d{3}){2,}|(\.\d{3}){2,}|( \d{3})+|('\d{3})+)$"
    no_points, no_commas = f"translate({digits}, ' .''', '')", f"translate({digits}, ' ,''', '')"
    read = (
        f"case when {alone} then case when {mark} = '{spec.decimal}' then replace({digits}, ',', '.')"
        f" when {mark} = {text_literal(spec.thousands)} then translate({digits}, '.,', '') end"
        f" when regexp_matches({digits}, '^\\d+$') then {digits}"
        f" when regexp_matches({digits}, {text_literal(point)}) then {no_commas}"
        f" when regexp_matches({digits}, {text_literal(comma)}) then replace({no_points}, ',', '.')"
        f" when regexp_matches({digits}, {text_literal(groups)}) then translate({digits}, ' .,''', '') end"
    )
    sign = f"case when {parts}.head = '-' or {parts}.tail <> '' then '-' else '' end"
    is_signed_once = f"{parts}.head || {parts}.tail in ('', '-', '+', '()')"
    return _as_number(f"case when {is_signed_once} then {sign} || {read} end", column)


def time(text: str, spec: EntitySource, time_zone: str) -> str:
    """Return the expression that reads a text as a UTC timestamp: as the formats say, else as ISO 8601 writes it."""
    # What ends in a letter is an offset (Z, UTC) or a word that DuckDB takes for a time, such as `infinity`; and DuckDB
    # reads 2025/03/04, which is not ISO 8601.
    local = f"case when not regexp_matches({text}, '[A-Za-z)]$|/') then try_cast({text} as timestamp) end"
    zoned_formats, local_formats = _formats(spec)
    if local_formats:
        local = f"coalesce(try_strptime({text}, {local_formats}), {local})"
    local = to_utc(local, time_zone)
    offset = f"regexp_replace({text}, '\\s*([Zz]|UTC|GMT)$', '+00')"
    offset = f"regexp_replace({offset}, '\\s+([+-]\\d\\d(:?\\d\\d)?)$', '\\1')"
    zoned = f"timezone('UTC', coalesce(try_cast({text} as timestamptz), try_cast({offset} as timestamptz)))"
    read = f"case when regexp_matches({text}, {text_literal(_OFFSET)}) then {zoned} else {local} end"
    if zoned_formats:
        read = f"coalesce(timezone('UTC', try_strptime({text}, {zoned_formats})), {read})"
    return read


def states_zone(text: str, spec: EntitySource) -> str:
    """Return the condition that a text which `time` can read says its zone."""
    zoned_formats, _ = _formats(spec)
    also = f" or try_strptime({text}, {zoned_formats}) is not null" if zoned_formats else ""
    return f"(regexp_matches({text}, {text_literal(_OFFSET)}){also})"


def time_parts(text: str) -> str:
    """Return the struct (day, clock, zone) of a time, all empty where it is written in no known form."""
    plain = f"regexp_replace({text}, '(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*\\.?,? +', '')"
    plain = f"regexp_replace({plain}, '([+-]\\d\\d:?\\d\\d|UTC|GMT|Z) \\([^()]*\\)$', '\\1')"
    plain = f"regexp_replace({plain}, '(?i)(,| at | uhr|[ \\x{{a0}}\\x{{202f}}])+', ' ', 'g')"
    # The Unix way: Mar 4 10:11:12 UTC 2025
    unix = r"(?i)^([a-z]{3} \d{1,2}) (\d\d:\d\d:\d\d)(?: (utc|gmt))? (\d{4})$"
    plain = f"rtrim(regexp_replace({plain}, {text_literal(unix)}, '\\1 \\4 \\2 \\3'))"
    form = rf"(?i)^({_DAY})(?:(?:t| )({_CLOCK}))? ?({_ZONE}|)$"
    return f"regexp_extract({plain}, {text_literal(form)}, ['day', 'clock', 'zone'])"


def other_time(text: str, parts: str, time_zone: str) -> str:
    """Return the expression that reads a time from its parts, or from the seconds or milliseconds since 1970."""
    day, clock, zone = f"{parts}.day", f"{parts}.clock", f"upper({parts}.zone)"
    first, second = _day_and_month(parts)
    slashes = f"translate({day}, '-', '/')"
    words = f"regexp_replace(translate({day}, '-.', ' '), '(\\d)(st|nd|rd|th)', '\\1')"
    date = (
        f"case when regexp_matches({day}, '^\\d{{8}}$')"
        f" then case when {clock} <> '' or {zone} <> '' then try_strptime({day}, '%Y%m%d') end"
        f" when regexp_matches({day}, '^\\d{{4}}') then try_strptime(translate({day}, '/.', '--'), '%Y-%m-%d')"
        f" when regexp_matches({day}, '^\\d+\\.') then try_strptime({day}, ['%d.%m.%Y', '%d. %b %Y', '%d. %B %Y'])"
        f" when regexp_matches({day}, '^\\d+[/-]\\d') then case"
        f" when {first} > 12 or {first} = {second} then try_strptime({slashes}, '%d/%m/%Y')"
        f" when {second} > 12 then try_strptime({slashes}, '%m/%d/%Y') end"
        f" else try_strptime({words}, ['%b %d %Y', '%B %d %Y', '%d %b %Y', '%d %B %Y']) end"
    )
    half_days = f"regexp_replace({clock}, '(?i) ?([ap])\\.?m\\.?$', ' \\1M')"
    colons = f"rtrim(regexp_replace({clock}, '^(\\d\\d)(\\d\\d)(\\d\\d)?$', '\\1:\\2:\\3'), ':')"
    hours = (
        f"case when {clock} = '' then time '00:00:00' when regexp_matches({clock}, '[Mm]')"
        f" then cast(try_strptime({half_days}, ['%I:%M:%S %p', '%I:%M %p', '%I:%M:%S.%f %p']) as time)"
        f" else try_cast({colons} as time) end"
    )
    local = f"(cast({date} as date) + {hours})"
    offset = f"regexp_extract({zone}, '([+-])(\\d\\d):?(\\d\\d)$', ['sign', 'hours', 'minutes'])"
    minutes = "cast(o.sign || '1' as integer) * (cast(o.hours as integer) * 60 + cast(o.minutes as integer))"
    shift = f"list_transform([{offset}], lambda o: to_minutes({minutes}))[1]"
    return (
        f"case when regexp_matches({text}, '^\\d{{10}}$') then epoch_ms(cast({text} as bigint) * 1000)"
        f" when regexp_matches({text}, '^\\d{{13}}$') then epoch_ms(cast({text} as bigint))"
        f" when {day} = '' then null"
        f" when {zone} = '' then {to_utc(local, time_zone)}"
        f" when {zone} in ('Z', 'UTC', 'GMT') then {local} else {local} - {shift} end"
    )


def is_ambiguous(parts: str) -> str:
    """Return the condition that nobody can tell the day from the month."""
    first, second = _day_and_month(parts)
    return (
        f"(regexp_matches({parts}.day, '^\\d+[/-]\\d+[/-]\\d{{4}}$')"
        f" and {first} between 1 and 12 and {second} between 1 and 12 and {first} <> {second})"
    )


def lacks_zone(text: str, parts: str) -> str:
    """Return the condition that a text which `other_time` can read does not say its zone."""
    return f"({parts}.zone = '' and not regexp_matches({text}, '^\\d+$'))"


def to_utc(local: str, time_zone: str) -> str:
    """Return the expression of a time on a zone's clocks as UTC."""
    return local if time_zone == "UTC" else f"timezone('UTC', timezone({text_literal(time_zone)}, {local}))"


def shown(value: str, column: Column) -> str:
    """Return the expression of a value as findings write it: `12.50`, `3`, `2025-03-04T10:11:12Z`."""
    match column.kind:
        case "timestamp":
            whole = f"date_trunc('second', {value}) = {value}"
            return (
                f"case when {whole} then strftime({value}, '%Y-%m-%dT%H:%M:%SZ')"
                f" else strftime({value}, '%Y-%m-%dT%H:%M:%S.%fZ') end"
            )
        case "quantity":
            return _without_zeros(value)
        case "measure" if column.name == "quantity":
            return _without_zeros(value)
        case "amount" | "measure":
            return f"regexp_replace(cast({value} as varchar), '^(-?\\d+\\.\\d\\d\\d*?)0+$', '\\1')"
        case _:
            return f"cast({value} as varchar)"


def _without_zeros(value: str) -> str:
    return f"regexp_replace(cast({value} as varchar), '\\.?0+$', '')"


def _declared(text: str, spec: EntitySource) -> str:
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


def _as_number(plain: str, column: Column) -> str:
    if column.kind == "integer":
        # A cast alone would round 1.5 to 2.
        value = f"try_cast({plain} as decimal(18,3))"
        return f"case when {value} = trunc({value}) then try_cast({value} as integer) end"
    return f"try_cast({plain} as {column.sql_type})"


def _formats(spec: EntitySource) -> tuple[str, str]:
    """Return the lists of declared formats that state a zone, and of those that do not; empty where there are none."""
    zoned = [f for f in spec.timestamp_formats if "%z" in f or "%Z" in f]
    local = [f for f in spec.timestamp_formats if f not in zoned]
    listed = [f"[{', '.join(map(text_literal, formats))}]" if formats else "" for formats in (zoned, local)]
    return listed[0], listed[1]


def _day_and_month(parts: str) -> tuple[str, str]:
    """Return the expressions of the first two numbers of a date written with slashes or dashes."""
    numbers = f"translate({parts}.day, '-', '/')"
    first, second = (f"try_cast(split_part({numbers}, '/', {place}) as integer)" for place in (1, 2))
    return first, second
