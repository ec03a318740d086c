"""From a source's raw columns to values of our types, cell by cell, as one DuckDB query.

Each column of an entity becomes a `Cell`, which says where its raw value comes from. `look` takes a first, quick look
at a batch and notes in each cell what there is to doubt, so that `read` leaves out what nobody needs. It goes in steps,
each a projection of its own, so that nothing is evaluated twice. Of a column `c` there are

    r_c  the raw value                        k_c  a code, address or name in its usual capitals
    e_c  text in the right encoding           q_c  a value read in the source's own form
    b_c  text without the blanks around it    n_c  the parts of a number or time in another form, null elsewhere
    w_c  the text that counts                 u_c  a number or time, in whatever form it was
                                              v_c  the value that is believed

What is to be said of a cell stands in `lib.clean.hits`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import duckdb

from lib.base.quoting import quoted, text_literal
from lib.clean import formats
from lib.clean.codes import COUNTRIES, CURRENCIES, CURRENCY_WORDS
from lib.config import Derived, EntitySource, Source
from lib.entities import Column

#: What there may be to doubt in a column: blanks; texts in a wrong encoding; texts that are no value in the source's
#: own form; times out of all bounds; texts in other capitals, or that are no code; no value; times that state no zone.
Doubt = Literal["odd", "misread", "unread", "unbelieved", "unusual", "missing", "zoneless"]


DOUBTS = frozenset(get_args(Doubt)) - {"misread"}


Role = Literal["", "code", "name", "email", "country", "currency"]


# Blanks on one line; those that are no wider than nothing; all that may stand around a text.
_BLANKS = "\\t\\x0b\\f \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}"


_NOTHING = "\\x{200b}\\x{2060}\\x{feff}"


_AROUND = " \\t\\r\\n\\x0b\\f\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200C))) + "\u202f\u205f\u2060\u3000\ufeff"


# UTF-8 that was read as Windows-1252 or Latin-1 has a letter from Â to ô with one of these behind it, or a control
# character; what text it was, ftfy says.
_BEHIND = "\\x{80}-\\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"


_MOJIBAKE = f"[\\x{{c2}}-\\x{{f4}}][{_BEHIND}]|[\\x{{80}}-\\x{{9f}}]"


_BLANK = f"[\\x00-\\x1f{_BLANKS.replace(' ', '')}{_NOTHING}]|^ | $|  "


_EMAIL = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"


_CODES = ("status", "channel", "method", "event_type", "device")


_NAMES = ("first_name", "last_name", "city")


_ADDRESSES: tuple[Role, ...] = ("email", "country", "currency")


@dataclass(frozen=True)
class Cell:
    """One of our columns as a source delivers it.

    `raw` is the SQL of its raw value over `r`. It `is_own` where the source says it, not the mapping, and `is_text`
    where the source has it as text; where the source has it in a fitting type, `typed` is the SQL of our type over
    `x`. `default` and `prefix` are what the mapping adds to a text, as SQL. Rules that look for anything else than what
    there is to doubt are left out.
    """

    column: Column
    raw: str
    is_own: bool = False
    is_text: bool = False
    typed: str = ""
    default: str = ""
    prefix: str = ""
    doubts: frozenset[Doubt] = DOUBTS

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def kind(self) -> str:
        return self.column.kind

    @property
    def is_word(self) -> bool:
        """Whether any text may stand here."""
        return self.kind in ("text", "id")

    @property
    def is_figure(self) -> bool:
        """Whether it is a number or a time that is to be read from text."""
        return not (self.typed or self.is_word or self.kind == "boolean")

    @property
    def role(self) -> Role:
        """What kind of code, name or address a source's own text is, if any."""
        if not self.is_own or self.kind != "text":
            return ""
        name = self.name.removeprefix("customer_").removeprefix("product_")
        if name in _CODES:
            return "code"
        return "name" if name in _NAMES else next((a for a in _ADDRESSES if a == name), "")


def cells(columns: Iterable[Column], spec: EntitySource, source: Source, types: dict[str, str]) -> list[Cell]:
    """Return some of our columns as a source delivers them; `types` has the DuckDB type of each of its raw columns."""
    return [_cell(column, spec, source, types) for column in columns]


def _cell(column: Column, spec: EntitySource, source: Source, types: dict[str, str]) -> Cell:
    prefix = text_literal(source.id_prefixes[column.name]) if column.name in source.id_prefixes else ""
    mapping = spec.columns.get(column.name) if spec.columns else column.name
    default = ""
    if isinstance(mapping, Derived):
        if mapping.constant is not None:
            return Cell(column, text_literal(mapping.constant), prefix=prefix)
        if mapping.match:
            return Cell(column, _matched(mapping, spec, types), prefix=prefix)
        default = text_literal(mapping.default) if mapping.default is not None else ""
        mapping = mapping.column
    if mapping is None or mapping not in types:
        if default:
            return Cell(column, default, prefix=prefix)
        return Cell(column, f"cast(null as {column.sql_type})", typed=f"x.r_{column.name}")
    raw, kind = f"r.{quoted(mapping)}", types[mapping]
    typed = _from_type(column, kind, source.time_zone)
    if typed and not spec.null_values and not default:
        return Cell(column, raw, is_own=True, typed=typed)
    is_text = kind == "VARCHAR"
    raw = raw if is_text else f"cast({raw} as varchar)"
    return Cell(column, raw, is_own=True, is_text=is_text, default=default, prefix=prefix)


def _matched(mapping: Derived, spec: EntitySource, types: dict[str, str]) -> str:
    """Return the value that follows from matches on a source column."""
    default = text_literal(mapping.default) if mapping.default is not None else "cast(null as varchar)"
    if mapping.column not in types:
        return default
    raw = f"nullif(trim(replace(cast(r.{quoted(mapping.column)} as varchar), chr(0), ''), e'{_AROUND}'), '')"
    raw = _without(raw, spec.null_values)
    cases = " ".join(
        f"when regexp_matches({raw}, {text_literal(m.pattern)}) then {text_literal(m.value)}" for m in mapping.match
    )
    return f"case {cases} else {default} end"


def _from_type(column: Column, kind: str, time_zone: str) -> str:
    """Return the value of a raw column that has a fitting type already; nothing where its text is to be read."""
    raw = f"x.r_{column.name}"
    is_whole = kind.removeprefix("U").removesuffix("EGER").endswith("INT")
    match column.kind:
        case "amount" | "quantity" | "measure" if is_whole or kind.startswith("DECIMAL"):
            return f"try_cast({raw} as {column.sql_type})"
        case "integer" if is_whole:
            return f"try_cast({raw} as integer)"
        case "boolean" if kind == "BOOLEAN":
            return raw
        case "timestamp" if kind == "TIMESTAMP WITH TIME ZONE":
            return f"timezone('UTC', {raw})"
        case "timestamp" if kind == "DATE" or kind.startswith("TIMESTAMP"):
            return formats.to_utc(f"cast({raw} as timestamp)", time_zone)
    return ""


def look(
    connection: duckdb.DuckDBPyConnection, cells: list[Cell], spec: EntitySource, zone: str, latest: str, rows: str
) -> list[Cell]:
    """Return the cells with what a first look at the raw rows, given as a `from` clause, finds to doubt in them."""
    plain = [replace(c, doubts=frozenset()) for c in cells]
    asked = [(n, doubt, sql) for n, c in enumerate(plain) for doubt, sql in _questions(c, spec, latest)]
    if not asked:
        return plain
    query = (
        f"select {', '.join(f'bool_or({sql})' for _, _, sql in asked)} from ({read(plain, spec, zone, latest, rows)})"
    )
    answers = connection.execute(query).fetchone() or ()
    found: list[set[Doubt]] = [set() for _ in cells]
    for (n, doubt, _), is_so in zip(asked, answers, strict=True):
        if is_so:
            # Blanks and misread letters hide what else there is.
            found[n] |= {"odd", "missing", "unusual"} if doubt == "odd" else {doubt}
    looked = [replace(c, doubts=frozenset(doubts)) for c, doubts in zip(cells, found, strict=True)]
    misread = _mend(connection, [c for c in looked if c.kind == "text" and "odd" in c.doubts], rows)
    return [replace(c, doubts=c.doubts | {"misread"}) if c.name in misread else c for c in looked]


def _mend(connection: duckdb.DuckDBPyConnection, cells: list[Cell], rows: str) -> set[str]:
    """Put the texts that were read in the wrong encoding into a table `_mended`; return the columns that have any."""
    suspects: dict[str, set[str]] = {}
    for cell in cells:
        sql = f"select distinct {cell.raw} from {rows} where regexp_matches({cell.raw}, {text_literal(_MOJIBAKE)})"
        for (text,) in connection.execute(sql).fetchall():
            suspects.setdefault(text, set()).add(cell.name)
    if not suspects:
        return set()
    import ftfy  # takes 0.2 seconds, and most batches have no such text

    mended = {text: fixed for text in suspects if (fixed := ftfy.fix_encoding(text)) != text}
    if not mended:
        return set()
    pairs = [list(mended), list(mended.values())]
    connection.execute("create temp table _mended as select unnest(?) as misread, unnest(?) as text", pairs)
    return {name for text in mended for name in suspects[text]}


def _questions(cell: Cell, spec: EntitySource, latest: str) -> Iterable[tuple[Doubt, str]]:
    """Yield what may be doubted in a column, each with the condition over the columns of `read`."""
    name = cell.name
    text = f"r_{name}" if cell.typed else f"w_{name}"
    if cell.is_text:
        odd = f"{_MOJIBAKE}|{_BLANK}" if cell.kind == "text" else _BLANK
        yield "odd", f"regexp_matches(r_{name}, {text_literal(odd)})"
    if cell.kind == "timestamp":
        yield "unbelieved", f"u_{name} is not null and v_{name} is null"
        if spec.zone_stated and cell.is_text:
            yield "zoneless", f"not {formats.states_zone(text, spec)}"
    if not cell.is_word:
        yield "unread", f"{f'u_{name}' if cell.typed else f'q_{name}'} is null and {text} is not null"
    if cell.role:
        yield "unusual", f"k_{name} <> w_{name}"
        if none := is_none(cell):
            yield "unusual", none
    if cell.column.required or name in spec.required:
        yield "missing", f"{text} is null"


def read(
    cells: list[Cell], spec: EntitySource, time_zone: str, latest: str, rows: str, also: Iterable[str] = ()
) -> str:
    """Return the query that reads raw rows `r`, given as a `from` clause, in the steps above.

    `latest` is the last time that is believed, `also` are columns of the raw rows to hand through.
    """
    odd = [c for c in cells if c.is_text and "odd" in c.doubts]
    unread = [c for c in cells if c.is_figure and "unread" in c.doubts]
    first = {f"r_{c.name}": c.raw for c in cells}
    steps = (
        {f"b_{c.name}": _trimmed(c) for c in odd},
        {f"w_{c.name}": _meant(c, spec) for c in cells if not c.typed},
        {f"k_{c.name}": _in_usual_capitals(c, spec) for c in cells if c.role}
        | {f"q_{c.name}": _in_own_form(c, spec, time_zone) for c in cells if not (c.typed or c.is_word)},
        {f"n_{c.name}": _parts(c) for c in unread},
        {f"u_{c.name}": _value(c, spec, time_zone) for c in cells if c.is_figure or c.typed},
        {f"v_{c.name}": _believed(c, latest) for c in cells},
    )
    query = f"select {', '.join([*also, *(f'{sql} as {name}' for name, sql in first.items())])} from {rows}"
    for c in odd:
        if "misread" in c.doubts:
            text = f"coalesce(m.text, x.r_{c.name}) as e_{c.name}"
            query = f"select x.*, {text} from ({query}) x left join _mended m on m.misread = x.r_{c.name}"
    for step in filter(None, steps):
        query = f"select {', '.join(['x.*', *(f'{sql} as {name}' for name, sql in step.items())])} from ({query}) x"
    return query


def _trimmed(cell: Cell) -> str:
    """Text without blanks around it; within what is no id, number or time, runs of them become one space."""
    text = f"{'e' if 'misread' in cell.doubts else 'r'}_{cell.name}"
    # No server stores NUL characters.
    tidy = f"replace({text}, chr(0), '')"
    if cell.kind == "text":
        tidy = f"regexp_replace(regexp_replace({tidy}, '[{_NOTHING}]+', '', 'g'), '[{_BLANKS}]+', ' ', 'g')"
    return f"case when regexp_matches({text}, {text_literal(_BLANK)}) then trim({tidy}, e'{_AROUND}') else {text} end"


def _meant(cell: Cell, spec: EntitySource) -> str:
    text = f"nullif({'b' if cell.is_text and 'odd' in cell.doubts else 'r'}_{cell.name}, '')"
    if cell.is_own:
        text = _without(text, spec.null_values)
    if cell.kind == "id":
        # Spreadsheets turn whole-number ids beside empty cells into floats: 17850 becomes 17850.0.
        text = f"case when ends_with({text}, '.0') then regexp_replace({text}, '^(\\d+)\\.0$', '\\1') else {text} end"
    if cell.default:
        text = f"coalesce({text}, {cell.default})"
    return f"{cell.prefix} || {text}" if cell.prefix else text


def _without(text: str, null_values: Iterable[str]) -> str:
    for word in null_values:
        text = f"nullif({text}, {text_literal(word)})"
    return text


def _in_own_form(cell: Cell, spec: EntitySource, time_zone: str) -> str:
    text = f"w_{cell.name}"
    match cell.kind:
        case "timestamp":
            return formats.time(text, spec, time_zone)
        case "boolean":
            return (
                f"case when lower({text}) in ('true', 't', 'yes', 'y', '1') then true"
                f" when lower({text}) in ('false', 'f', 'no', 'n', '0') then false end"
            )
        case _:
            return formats.number(text, cell.column, spec)


def _in_usual_capitals(cell: Cell, spec: EntitySource) -> str:
    text = f"w_{cell.name}"
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
            # Two capitals may be initials, or a number: JJ, VI.
            is_large = f"({text} = upper({text}) and regexp_matches({text}, '(\\p{{L}}.*){{3}}'))"
            is_small = f"({text} = lower({text}) and regexp_matches({text}, '(\\p{{L}}.*){{2}}'))"
            # A word ends at a blank, a hyphen, or the apostrophe behind a single letter: O'Brien.
            parts = f"regexp_extract_all({text}, '[ -]+|\\p{{L}}[''’]|[^ -]+')"
            words = f"list_transform({parts}, lambda p: upper(p[1]) || lower(p[2:]))"
            return f"case when {is_large} or {is_small} then array_to_string({words}, '') else {text} end"


def _parts(cell: Cell) -> str:
    text = f"w_{cell.name}"
    parts = formats.time_parts(text) if cell.kind == "timestamp" else formats.number_parts(text, cell.column)
    return f"case when q_{cell.name} is null and {text} is not null then {parts} end"


def _value(cell: Cell, spec: EntitySource, time_zone: str) -> str:
    if cell.typed:
        return cell.typed
    if "unread" not in cell.doubts:
        return f"q_{cell.name}"
    text, parts = f"w_{cell.name}", f"n_{cell.name}"
    if cell.kind == "timestamp":
        other = formats.other_time(text, parts, time_zone)
    else:
        other = formats.other_number(parts, cell.column, spec)
    return f"case when {parts} is not null then {other} else q_{cell.name} end"


def _believed(cell: Cell, latest: str) -> str:
    if cell.kind == "timestamp":
        bounds = f"between timestamp '{formats.FIRST_TIME}' and timestamp '{latest}'"
        return f"case when u_{cell.name} {bounds} then u_{cell.name} end"
    if cell.typed or cell.is_figure:
        return f"u_{cell.name}"
    if cell.kind == "boolean":
        return f"q_{cell.name}"
    if not cell.role or "unusual" not in cell.doubts:
        return f"w_{cell.name}"
    none = is_none(cell)
    return f"case when not {none} then k_{cell.name} end" if none else f"k_{cell.name}"


def is_none(cell: Cell) -> str:
    """Return the condition that an address or a code is none; nothing where any text may be one."""
    text = f"k_{cell.name}"
    match cell.role:
        case "email":
            return f"(not regexp_matches({text}, {text_literal(_EMAIL)}))"
        case "country":
            return f"(length({text}) = 2 and not regexp_matches({text}, '^(?:{'|'.join(sorted(COUNTRIES))})$'))"
        case "currency":
            return f"(not regexp_matches({text}, '^(?:{'|'.join(sorted(CURRENCIES))})$'))"
    return ""
