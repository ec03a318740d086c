"""What the row rules find in a cell: which rule applies, what becomes of the cell, and whether its row can be used.

The conditions name columns of `lib.cells.reading.read`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lib.base.quoting import text_literal
from lib.cells import formats
from lib.cells.leftovers import Leftovers
from lib.cells.mapping import Cell
from lib.cells.reading import is_invalid, tidied
from lib.clean.rules import Outcome
from lib.config import EntitySource
from lib.entities import TYPE_WORDS

#: Larger values are mistakes, such as a bar code in the quantity; amounts and their sums would not fit their type.
_LARGEST_QUANTITY, _LARGEST_AMOUNT = 10**9, 10**11

#: Ids without which a row says nothing, or is taken for another.
_NEEDED_IDS = ("order_id", "line_number", "product_id", "payment_id", "event_id")

_CODES = {"email": "e-mail address", "country": "country code", "currency": "currency code"}


@dataclass(frozen=True)
class RuleHit:
    """A rule and the condition on which it applies to a row, with the value before and after, as SQL.

    `text` is the value that the row's note of the fault quotes. A row that is refused is filed under the rule
    `refusal`, with the SQL `reason`.
    """

    field: str
    rule: str
    outcome: Outcome
    condition: str
    before: str
    after: str = "null"
    text: str = "null"
    refusal: str = ""
    reason: str = ""


def rule_hits(cell: Cell, spec: EntitySource, latest: str) -> list[RuleHit]:
    """Return the rules that may apply to a cell; `latest` is the latest time that is accepted."""
    repairs = _repairs(cell, spec) if cell.is_stated and not cell.typed else ()
    return [*_faults(cell, spec, latest), *repairs]


def _faults(cell: Cell, spec: EntitySource, latest: str) -> Iterator[RuleHit]:
    """Yield what cannot be repaired: the cell is left empty, or its row is refused."""
    column, name, shown = cell.column, cell.name, as_read(cell)
    raw = f"raw_{name}"
    text = raw if cell.typed else f"text_{name}"
    before = shown if cell.typed else f"without_nul(raw_{name})"
    none = f"value_{name} is null and {text} is not null"

    def lost(rule: str, condition: str, sentence: str, rejects: bool = column.rejects) -> RuleHit:
        outcome: Outcome = "rejected" if rejects else "emptied"
        reason = f"{text_literal(sentence + ': ')} || {shown}"
        refusal = rule if rejects else ""
        return RuleHit(name, rule, outcome, condition, before, text=shown, refusal=refusal, reason=reason)

    if "damaged" in cell.symptoms and cell.kind == "id" and not cell.typed:
        is_needed = name in _NEEDED_IDS or column.rejects
        sentence = f"{name} was rounded by a spreadsheet that took it for a number; export it as text"
        yield lost("damaged_id", f"coalesce(is_damaged_id({tidied(cell)}), false)", sentence, rejects=is_needed)
    if "error_text" in cell.symptoms and cell.is_text:
        yield RuleHit(name, "error_text", "emptied", f"has_error({raw}) and {text} is null", before, text=before)
    trouble = f"trouble_{name}" if "troubled" in cell.symptoms and cell.trouble else ""
    if trouble:
        is_needed = column.rejects or column.required or name in _NEEDED_IDS
        outcome: Outcome = "rejected" if is_needed else "emptied"
        yield RuleHit(
            name,
            "not_computed",
            outcome,
            f"{text} is null and {trouble} is not null",
            trouble,
            text=trouble,
            refusal="not_computed" if is_needed else "",
            reason=f"{text_literal(f'{name}: ')} || {trouble}",
        )
    if cell.zone and cell.symptoms & {"unreadable", "out_of_bounds"}:
        unknown = f"zone_{name} is null"
        yield lost("unknown_zone", f"{none} and {unknown}", f"{name} stands beside a time zone that nobody knows")
        none += f" and not {unknown}"
    if "out_of_bounds" in cell.symptoms or ("unreadable" in cell.symptoms and cell.kind == "timestamp"):
        later = f"parsed_{name} > timestamp '{latest}' and parsed_{name} <= timestamp '{formats.LAST_TIME}'"
        future = f"coalesce({later}, false)"
        yield lost("date_in_future", f"{none} and {future}", f"{name} had not come yet when it was delivered")
        none += f" and not {future}"
    if "unreadable" in cell.symptoms and cell.kind == "timestamp" and not cell.typed:
        ambiguous = f"coalesce(parsed_{name} is null and is_ambiguous({text}, parts_{name}), false)"
        sentence = (
            f"{name} can be read in two ways, as day and month are open; say in timestamp_formats which comes first"
        )
        yield lost("ambiguous_date", f"{none} and {ambiguous}", sentence)
        none += f" and not {ambiguous}"
    if "unreadable" in cell.symptoms and cell.marks == ("", ""):
        both = f"coalesce(regexp_matches(parts_{name}['digits'], {text_literal(formats.OPEN_NUMBER)}), false)"
        sentence = (
            f"{name} can be read in two ways, as the point may stand before decimals or between thousands;"
            " say which in decimal"
        )
        yield lost("ambiguous_number", f"{none} and {both}", sentence)
        none += f" and not {both}"
    if cell.symptoms & {"unreadable", "out_of_bounds"}:
        word = TYPE_WORDS[column.kind]
        form = f" with {spec.thousands!r} between thousands" if spec.thousands and word == "number" else ""
        yield lost(f"not_a_{word.replace(' ', '_')}", none, f"{name} is no {word}{form}")
    if "missing" in cell.symptoms and column.required:
        reason, missing = text_literal(f"{name} is missing"), f"{text} is null"
        missing += f" and {trouble} is null" if trouble else ""
        yield RuleHit(name, "missing", "rejected", missing, before, refusal=f"missing_{name}", reason=reason)
    elif "missing" in cell.symptoms and name in spec.required:
        yield RuleHit(name, "missing", "flagged", f"{text} is null", before)
    if "noncanonical" in cell.symptoms and (invalid := is_invalid(cell)):
        yield lost(f"invalid_{cell.role}", invalid, f"{name} is no {_CODES[cell.role]}", rejects=False)


def _repairs(cell: Cell, spec: EntitySource) -> Iterator[RuleHit]:
    """Yield what may have been repaired; a cell that is left empty in the end was not."""
    name, kind = cell.name, cell.kind
    raw, text, parts = f"raw_{name}", f"text_{name}", f"parts_{name}"
    before, after = f"without_nul({raw})", formats.shown(f"value_{name}", cell.column)

    # What the mapping makes of a text is no repair.
    kept = f" and {text} = plain_{name}" if cell.translation else ""

    def repaired(rule: str, condition: str) -> RuleHit:
        condition += kept
        return RuleHit(name, rule, "repaired", f"{condition} and value_{name} is not null", before, after)

    if cell.is_text and "untidy" in cell.symptoms:
        decoded = f"decoded_{name}" if "misencoded" in cell.symptoms else raw
        differs = f"trimmed_{name} <> without_nul({decoded})"
        if cell.is_marked:
            yield repaired("text_mark", f"has_text_mark(without_blanks_around({decoded}))")
            differs += f" and not has_text_mark(without_blanks_around({decoded}))"
        yield repaired("whitespace", differs)
    if "misencoded" in cell.symptoms:
        yield repaired("encoding", f"decoded_{name} <> {raw}")
    if cell.role and "noncanonical" in cell.symptoms:
        yield repaired("letter_case", f"canonical_{name} <> {text}")
    has_parts = cell.is_parsed and "unreadable" in cell.symptoms
    if has_parts:
        yield repaired("date_format" if kind == "timestamp" else "number_text", f"{parts} is not null")
    if kind == "timestamp" and spec.zone_stated and cell.symptoms & {"unreadable", "zoneless"}:
        lacks = f"not {formats.states_zone(text, spec)}"
        if has_parts:
            lacks = f"case when {parts} is null then {lacks} else lacks_zone({text}, {parts}) end"
        yield repaired("zone_missing", lacks)


def undecided(leftovers: Leftovers) -> RuleHit:
    """Return the hit of a row of which nobody can tell whether it is to be left out."""
    reason = f"'where: ' || {leftovers.trouble}"
    condition, rule = f"{leftovers.trouble} is not null", "not_computed"
    return RuleHit(
        "", rule, "rejected", condition, leftovers.trouble, text=leftovers.trouble, refusal=rule, reason=reason
    )


def too_large(cells: Mapping[str, Cell]) -> list[RuleHit]:
    """Return the hits of a quantity, a quantity times its price, or an amount of a line too large to be true."""

    def hit(name: str, condition: str, reason: str) -> RuleHit:
        shown, rule = as_read(cells[name]), "amount_too_large"
        return RuleHit(name, rule, "rejected", condition, shown, text=shown, refusal=rule, reason=reason)

    def times(name: str) -> str:
        return f"abs(cast(value_quantity as double) * cast(value_{name} as double)) >= {_LARGEST_AMOUNT}"

    def product(name: str) -> str:
        shown = " || ' times ".join((as_read(cells["quantity"]), f"{name} ' || {as_read(cells[name])}"))
        return f"'quantity ' || {shown} || ' is too large'"

    found = [
        hit(
            "quantity",
            f"(abs(value_quantity) >= {_LARGEST_QUANTITY} or {times('unit_price')})",
            product("unit_price"),
        )
    ]
    if cells["unit_cost"].is_stated:
        found.append(hit("unit_cost", times("unit_cost"), product("unit_cost")))
    for name in ("line_total", "line_amount", "cost_amount", "margin_amount"):
        if cells[name].is_stated:
            reason = f"'{name} ' || {as_read(cells[name])} || ' is too large'"
            found.append(hit(name, f"abs(value_{name}) >= {_LARGEST_AMOUNT}", reason))
    return found


def as_read(cell: Cell) -> str:
    """Return the SQL of a cell's text before it is parsed."""
    if not cell.typed:
        return f"text_{cell.name}"
    text = f"cast(raw_{cell.name} as varchar)"
    return (
        f"coalesce({formats.shown(f'parsed_{cell.name}', cell.column)}, {text})" if cell.kind == "timestamp" else text
    )
