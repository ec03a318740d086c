"""From raw rows to values of our types, as one DuckDB query.

`inspect` looks over the rows once, quickly, and notes in each cell what is wrong with any of its values, so that `read`
leaves out the rules that have nothing to do. `read` goes in steps, each a projection of its own, so that nothing is
evaluated twice. Of a column `c` there are

    raw_c      the raw value                           canonical_c  a code, address or name as it is usually written
    decoded_c  its text in the right encoding          declared_c   a value read in the form that the source declares
    trimmed_c  without needless blanks and marks       parts_c      the parts of a number or time in another form
    plain_c    the text before it is translated        parsed_c     a number or time, whatever its form
    text_c     the text to be read, null for none      value_c      the value that is used

and, where the mapping says so, `zone_c`, the zone that a row names for a time, and `trouble_c`, why a value cannot be
computed.

What is noted of a cell is in `lib.clean.rule_hits`.
"""

import html
import re
from collections.abc import Iterable
from dataclasses import replace

import duckdb

from lib.base.quoting import text_literal
from lib.cells import formats
from lib.cells.codes import COUNTRIES, CURRENCIES, CURRENCY_WORDS
from lib.cells.formats import Zones
from lib.cells.mapping import Cell, Symptom
from lib.cells.rows import without_nulls
from lib.config import EntitySource

#: What is charged has no three decimals, where others have none; computed costs and margins may.
_PRICES = ("unit_price", "line_total", "line_amount", "total_amount", "amount")

#: A point before three digits at the end of a text, but for a sign or a currency.
_OPEN_END = r"\.\d{3}\D*$"

_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]+);")


def inspect(
    connection: duckdb.DuckDBPyConnection,
    cells: list[Cell],
    spec: EntitySource,
    zones: Zones,
    latest: str,
    rows: str,
    suspicion: str = "false",
) -> tuple[list[Cell], bool]:
    """Return the cells with the symptoms that the raw rows, given as a `from` clause, show.

    Beside them, whether any of the rows `r` meets the condition `suspicion`.
    """
    cells = _with_marks(connection, cells, spec, rows)
    plain = [replace(c, symptoms=frozenset({"troubled"}) if c.trouble else frozenset()) for c in cells]
    questions = [(n, symptom, sql) for n, c in enumerate(plain) for symptom, sql in _questions(c, spec, latest)]
    conditions = ", ".join([f"bool_or({sql})" for _, _, sql in questions] + ["bool_or(_suspicion)"])
    query = read(plain, spec, zones, latest, rows, [f"{suspicion} as _suspicion"])
    answers = connection.execute(f"select {conditions} from ({query})").fetchall()[0]
    found: list[set[Symptom]] = [set() for _ in cells]
    for (n, symptom, _), is_so in zip(questions, answers[:-1], strict=True):
        if is_so:
            # Needless blanks and wrong letters hide what else is wrong.
            found[n] |= {"untidy", "missing", "noncanonical", "damaged"} if symptom == "untidy" else {symptom}
    inspected = [replace(c, symptoms=frozenset(symptoms)) for c, symptoms in zip(cells, found, strict=True)]
    misencoded = _decode(connection, [c for c in inspected if c.kind == "text" and "untidy" in c.symptoms], rows)
    found_cells = [replace(c, symptoms=c.symptoms | {"misencoded"}) if c.name in misencoded else c for c in inspected]
    return found_cells, bool(answers[-1])


def _with_marks(connection: duckdb.DuckDBPyConnection, cells: list[Cell], spec: EntitySource, rows: str) -> list[Cell]:
    """Return the cells with the marks of numbers that their columns show, where the mapping does not say them.

    Beside 39,90 the text 1.299 is no price of 1.30. A column in which decimals stand behind commas alone has points
    between thousands; in one that has both forms, or amounts that are whole or end in three digits behind a point,
    nobody can tell.
    """
    if spec.model_fields_set & {"decimal", "thousands"}:
        return cells
    asked = [c for c in cells if c.is_text and c.is_stated and c.kind in ("amount", "quantity", "measure")]
    asked = [c for c in asked if not (c.translation or c.factor or c.is_rate)]
    if not asked:
        return cells
    patterns = (formats.OPEN_NUMBER, r",\d{1,2}$", r"\.(\d{1,2}|\d{4,})$|,\d{3}\.", r"^[-+(]?[1-9]\d{0,2}[-)]?$")
    trimmed = [f"regexp_replace({c.raw}, '^[^-+(.,0-9]+|[^-+).,0-9]+$', '', 'g')" for c in asked]
    found = [
        f"coalesce(bool_or(regexp_matches(v{n}, {text_literal(p)})), false)"
        for n in range(len(asked))
        for p in patterns
    ]
    # Where no text has a point before three digits at its end, nothing is open; that is asked first, as it is cheap.
    # The pattern is slow, and the end of most amounts rules it out.
    ends = ", ".join(
        f"bool_or(case when right({c.raw}, 4)[1] = '.' or right({c.raw}, 1) not between '0' and '9'"
        f" then regexp_matches({c.raw}, {text_literal(_OPEN_END)}) end)"
        for c in asked
    )
    suspects = connection.execute(f"select {ends} from {rows}").fetchall()[0]
    if not any(suspects):
        return cells
    values = ", ".join(f"{sql} as v{n}" for n, sql in enumerate(trimmed))
    answers = connection.execute(f"select {', '.join(found)} from (select {values} from {rows})").fetchall()[0]
    marks: dict[str, formats.Marks] = {}
    for n, cell in enumerate(asked):
        is_open, has_comma, has_point, has_whole = answers[4 * n : 4 * n + 4]
        if is_open and has_comma:
            marks[cell.name] = ("", "") if has_point else (",", ".")
        elif is_open and has_whole and not has_point and cell.name in _PRICES:
            marks[cell.name] = ("", "")
    return [replace(c, marks=marks.get(c.name)) for c in cells]


def _decode(connection: duckdb.DuckDBPyConnection, cells: list[Cell], rows: str) -> set[str]:
    """Put texts that were decoded wrongly into a table `_decoded`; return the names of the cells that have any."""
    suspects: dict[str, set[str]] = {}
    for cell in cells:
        is_suspect = f"has_mojibake({cell.raw}) or has_entity({cell.raw})"
        for (text,) in connection.execute(f"select distinct {cell.raw} from {rows} where {is_suspect}").fetchall():
            suspects.setdefault(text, set()).add(cell.name)
    if not suspects:
        return set()
    import ftfy  # takes 0.2 seconds, and most batches have no such text

    decoded = {text: fixed for text in suspects if (fixed := _without_entities(ftfy.fix_encoding(text))) != text}
    if not decoded:
        return set()
    pairs = [list(decoded), list(decoded.values())]
    connection.execute("create or replace temp table _decoded as select unnest(?) as raw, unnest(?) as text", pairs)
    return {name for text in decoded for name in suspects[text]}


def _without_entities(text: str) -> str:
    """Return a text with the characters that HTML's entities stand for, such as & for `&amp;amp;`."""
    for _ in range(3):
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return text


def _questions(cell: Cell, spec: EntitySource, latest: str) -> Iterable[tuple[Symptom, str]]:
    """Yield the symptoms that a column may have, each with its condition over the columns of `read`."""
    name = cell.name
    text = f"raw_{name}" if cell.typed else f"text_{name}"
    if cell.is_text:
        untidy = f"has_needless_blanks(raw_{name})"
        if cell.kind == "text":
            untidy += f" or has_mojibake(raw_{name}) or has_entity(raw_{name})"
        if cell.is_marked:
            untidy += f" or has_text_mark(raw_{name})"
        yield "untidy", untidy
        yield "error_text", f"has_error(raw_{name})"
    if cell.kind == "timestamp":
        yield "out_of_bounds", f"parsed_{name} is not null and value_{name} is null"
        if spec.zone_stated and cell.is_text:
            yield "zoneless", f"not {formats.states_zone(text, spec)}"
    if not cell.is_free:
        yield "unreadable", f"{'parsed' if cell.typed else 'declared'}_{name} is null and {text} is not null"
    if cell.role:
        yield "noncanonical", f"canonical_{name} <> text_{name}"
        if invalid := is_invalid(cell):
            yield "noncanonical", invalid
    if cell.kind == "id" and not cell.typed:
        yield "damaged", f"is_damaged_id({tidied(cell)})"
    if cell.column.required or name in spec.required:
        yield "missing", f"{text} is null"
    if cell.trouble:
        yield "troubled", f"{text} is null and trouble_{name} is not null"


def read(cells: list[Cell], spec: EntitySource, zones: Zones, latest: str, rows: str, also: Iterable[str] = ()) -> str:
    """Return the query that reads raw rows `r`, given as a `from` clause, in the steps above.

    `latest` is the latest time that is accepted, `also` are columns of the raw rows to hand through.
    """
    untidy = [c for c in cells if c.is_text and "untidy" in c.symptoms]
    unreadable = [c for c in cells if c.is_parsed and "unreadable" in c.symptoms]
    raw = {f"raw_{c.name}": c.raw for c in cells} | {f"zone_{c.name}": c.zone for c in cells if c.zone}
    raw |= {f"trouble_{c.name}": c.trouble for c in cells if "troubled" in c.symptoms and c.trouble}
    steps = (
        {f"trimmed_{c.name}": _trimmed(c) for c in untidy},
        {f"plain_{c.name}": _plain(c, spec) for c in cells if c.translation},
        {f"text_{c.name}": _text(c, spec) for c in cells if not c.typed},
        {f"canonical_{c.name}": _canonical(c, spec) for c in cells if c.role}
        | {f"declared_{c.name}": _declared(c, spec, zones) for c in cells if not (c.typed or c.is_free)},
        {f"parts_{c.name}": _parts(c) for c in unreadable},
        {f"parsed_{c.name}": _parsed(c, spec, zones) for c in cells if c.is_parsed or c.typed},
        {f"value_{c.name}": _value(c, latest) for c in cells},
    )
    query = f"select {', '.join([*also, *(f'{sql} as {name}' for name, sql in raw.items())])} from {rows}"
    for c in untidy:
        if "misencoded" in c.symptoms:
            text = f"coalesce(d.text, x.raw_{c.name}) as decoded_{c.name}"
            query = f"select x.*, {text} from ({query}) x left join _decoded d on d.raw = x.raw_{c.name}"
    for step in filter(None, steps):
        query = f"select {', '.join(['x.*', *(f'{sql} as {name}' for name, sql in step.items())])} from ({query}) x"
    return query


def _trimmed(cell: Cell) -> str:
    """Return the SQL of a text without blanks around it; in a free text, runs of blanks become one space too."""
    text = f"{'decoded' if 'misencoded' in cell.symptoms else 'raw'}_{cell.name}"
    tidy = "with_single_blanks" if cell.kind == "text" else "without_blanks_around"
    trimmed = f"case when has_needless_blanks({text}) then {tidy}({text}) else {text} end"
    return f"without_text_mark({trimmed})" if cell.is_marked else trimmed


def tidied(cell: Cell) -> str:
    """Return the column of a text as it is delivered, without needless blanks."""
    return f"{'trimmed' if cell.is_text and 'untidy' in cell.symptoms else 'raw'}_{cell.name}"


def _plain(cell: Cell, spec: EntitySource) -> str:
    """Return the SQL of a text as it is delivered, tidied, null where there is no value."""
    text = tidied(cell)
    if "error_text" in cell.symptoms and cell.is_text:
        text = f"without_error({text})"
    text = f"nullif({text}, '')"
    if cell.is_stated:
        text = without_nulls(text, spec)
    if cell.kind == "id":
        # Spreadsheets turn whole-number ids beside empty cells into floats: 17850 becomes 17850.0.
        text = f"case when ends_with({text}, '.0') then regexp_replace({text}, '^(\\d+)\\.0$', '\\1') else {text} end"
    return text


def _text(cell: Cell, spec: EntitySource) -> str:
    text = cell.translation or _plain(cell, spec)
    if cell.default:
        text = f"coalesce({text}, {cell.default})"
    return f"{cell.prefix} || {text}" if cell.prefix else text


def _declared(cell: Cell, spec: EntitySource, zones: Zones) -> str:
    text = f"text_{cell.name}"
    match cell.kind:
        case "timestamp":
            return formats.time(text, spec, cell.zones(zones), is_date=cell.is_date)
        case "boolean":
            return f"yes_or_no({text})"
        case _:
            return formats.number(_number_text(cell), cell.column, _marks(cell, spec))


def _marks(cell: Cell, spec: EntitySource) -> formats.Marks:
    return (spec.decimal, spec.thousands) if cell.marks is None else cell.marks


def _number_text(cell: Cell) -> str:
    text = f"text_{cell.name}"
    return f"rtrim({text}, '% ')" if cell.is_rate and cell.is_text else text


def _canonical(cell: Cell, spec: EntitySource) -> str:
    text = f"text_{cell.name}"
    canonical = _usual(cell, text, spec)
    # What the mapping says itself stays as it says it.
    return f"case when {text} = plain_{cell.name} then {canonical} else {text} end" if cell.translation else canonical


def _usual(cell: Cell, text: str, spec: EntitySource) -> str:
    match cell.role:
        case "code":
            return {"lower": f"lower({text})", "upper": f"upper({text})", "any": text}[spec.codes]
        case "email":
            return f"lower({text})"
        case "country":
            return f"case when length({text}) = 2 then upper({text}) else {text} end"
        case "currency":
            words = " ".join(f"when '{word}' then '{code}'" for word, code in CURRENCY_WORDS.items())
            return f"case upper({text}) {words} else upper({text}) end"
        case _:
            return f"with_capitals({text})"


def _parts(cell: Cell) -> str:
    text = f"text_{cell.name}"
    is_time = cell.kind == "timestamp"
    parts = f"time_parts({text})" if is_time else formats.number_parts(_number_text(cell), cell.column)
    return f"case when declared_{cell.name} is null and {text} is not null then {parts} end"


def _parsed(cell: Cell, spec: EntitySource, zones: Zones) -> str:
    text, parts = f"text_{cell.name}", f"parts_{cell.name}"
    if cell.typed:
        parsed = cell.typed
    elif "unreadable" not in cell.symptoms:
        parsed = f"declared_{cell.name}"
    else:
        if cell.kind == "timestamp":
            other = formats.other_time(text, parts, cell.zones(zones), is_date=cell.is_date)
        else:
            other = formats.other_number(parts, cell.column, _marks(cell, spec))
        parsed = f"case when {parts} is not null then {other} else declared_{cell.name} end"
    return f"try_cast({parsed} * {cell.factor} as {cell.column.sql_type})" if cell.factor else parsed


def _value(cell: Cell, latest: str) -> str:
    if cell.kind == "timestamp":
        bounds = f"between timestamp '{formats.FIRST_TIME}' and timestamp '{latest}'"
        return f"case when parsed_{cell.name} {bounds} then parsed_{cell.name} end"
    if cell.typed or cell.is_parsed:
        return f"parsed_{cell.name}"
    if cell.kind == "boolean":
        return f"declared_{cell.name}"
    if "damaged" in cell.symptoms and cell.kind == "id":
        return f"case when not is_damaged_id({tidied(cell)}) then text_{cell.name} else null end"
    if not cell.role or "noncanonical" not in cell.symptoms:
        return f"text_{cell.name}"
    invalid = is_invalid(cell)
    return f"case when not {invalid} then canonical_{cell.name} end" if invalid else f"canonical_{cell.name}"


def is_invalid(cell: Cell) -> str:
    """Return the condition that an address or a code is invalid; nothing where any text is valid."""
    text = f"canonical_{cell.name}"
    own = f"text_{cell.name} = plain_{cell.name} and " if cell.translation else ""
    match cell.role:
        case "email":
            return f"({own}not is_email({text}))"
        case "country":
            return f"({own}length({text}) = 2 and not regexp_matches({text}, '^(?:{'|'.join(sorted(COUNTRIES))})$'))"
        case "currency":
            return f"({own}not regexp_matches({text}, '^(?:{'|'.join(sorted(CURRENCIES))})$'))"
    return ""
