"""What the row rules have to say of a cell: which rule found what, what became of the cell, and whether its row can be
used. The columns that the conditions name are those of `lib.clean.cells.read`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lib.base.quoting import text_literal
from lib.clean import formats
from lib.clean.cells import Cell, is_none
from lib.clean.rules import Outcome
from lib.config import EntitySource

#: What a value of each kind is called.
WORDS = {
    "timestamp": "date or time",
    "amount": "number",
    "quantity": "number",
    "measure": "number",
    "integer": "whole number",
    "boolean": "yes or no",
}


#: What is larger is a slip, such as a bar code in the quantity; amounts and sums of it would not fit their type.
_LARGEST_QUANTITY, _LARGEST_AMOUNT = 10**9, 10**11


_CODES = {"email": "e-mail address", "country": "country code", "currency": "currency code"}


@dataclass(frozen=True)
class Finding:
    """A rule and when it has found something in a row, with the value before and after, as SQL.

    `text` is what the note in the row says of the value. A row that is refused gets `refusal` as its rule's name, and
    the SQL `reason`.
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


def findings(cell: Cell, spec: EntitySource, latest: str) -> list[Finding]:
    """Return what the rules may have to say of a cell; `latest` is the last time that is believed."""
    return [*_faults(cell, spec, latest), *(_repairs(cell, spec) if cell.is_own and not cell.typed else [])]


def _faults(cell: Cell, spec: EntitySource, latest: str) -> Iterator[Finding]:
    """Yield what cannot be repaired: the cell is emptied, or its row is refused."""
    column, name, said = cell.column, cell.name, said_of(cell)
    text = f"r_{name}" if cell.typed else f"w_{name}"
    before = said if cell.typed else f"replace(r_{name}, chr(0), '')"
    none = f"v_{name} is null and {text} is not null"

    def lost(rule: str, condition: str, sentence: str, rejects: bool = column.rejects) -> Finding:
        outcome: Outcome = "rejected" if rejects else "emptied"
        reason = f"{text_literal(sentence + ': ')} || {said}"
        refusal = rule if rejects else ""
        return Finding(name, rule, outcome, condition, before, text=said, refusal=refusal, reason=reason)

    if "unbelieved" in cell.doubts or ("unread" in cell.doubts and cell.kind == "timestamp"):
        future = f"coalesce(u_{name} > timestamp '{latest}' and u_{name} <= timestamp '{formats.LAST_TIME}', false)"
        yield lost("date_in_future", f"{none} and {future}", f"{name} had not come yet when it was delivered")
        none += f" and not {future}"
    if "unread" in cell.doubts and cell.kind == "timestamp" and not cell.typed:
        ambiguous = f"coalesce(u_{name} is null and {formats.is_ambiguous(f'n_{name}')}, false)"
        yield lost("ambiguous_date", f"{none} and {ambiguous}", f"{name} can be read in two ways")
        none += f" and not {ambiguous}"
    if cell.doubts & {"unread", "unbelieved"}:
        word = WORDS[cell.kind]
        yield lost(f"not_a_{word.replace(' ', '_')}", none, f"{name} is no {word}")
    if "missing" in cell.doubts and column.required:
        reason, missing = text_literal(f"{name} is missing"), f"{text} is null"
        yield Finding(name, "missing", "rejected", missing, before, refusal=f"missing_{name}", reason=reason)
    elif "missing" in cell.doubts and name in spec.required:
        yield Finding(name, "missing", "flagged", f"{text} is null", before)
    if "unusual" in cell.doubts and (no := is_none(cell)):
        yield lost(f"invalid_{cell.role}", no, f"{name} is no {_CODES[cell.role]}", rejects=False)


def _repairs(cell: Cell, spec: EntitySource) -> Iterator[Finding]:
    """Yield what may have been repaired; where nothing of the cell is left in the end, nothing was."""
    name, kind = cell.name, cell.kind
    raw, text, parts = f"r_{name}", f"w_{name}", f"n_{name}"
    before, after = f"replace({raw}, chr(0), '')", formats.shown(f"v_{name}", cell.column)

    def mended(rule: str, condition: str) -> Finding:
        return Finding(name, rule, "repaired", f"{condition} and v_{name} is not null", before, after)

    if cell.is_text and "odd" in cell.doubts:
        read = f"e_{name}" if "misread" in cell.doubts else raw
        yield mended("whitespace", f"b_{name} <> replace({read}, chr(0), '')")
    if "misread" in cell.doubts:
        yield mended("encoding", f"e_{name} <> {raw}")
    if cell.role and "unusual" in cell.doubts:
        yield mended("letter_case", f"k_{name} <> {text}")
    is_read = cell.is_figure and "unread" in cell.doubts
    if is_read:
        yield mended("date_format" if kind == "timestamp" else "number_text", f"{parts} is not null")
    if kind == "timestamp" and spec.zone_stated and cell.doubts & {"unread", "zoneless"}:
        lacks = f"not {formats.states_zone(text, spec)}"
        if is_read:
            lacks = f"case when {parts} is null then {lacks} else {formats.lacks_zone(text, parts)} end"
        yield mended("zone_missing", lacks)


def too_large(cells: Mapping[str, Cell]) -> Finding:
    """Return the finding of a quantity, or a quantity times its price, beyond all measure."""
    quantity, price = (f"v_{name}" for name in ("quantity", "unit_price"))
    product = f"cast({quantity} as double) * cast({price} as double)"
    condition = f"(abs({quantity}) >= {_LARGEST_QUANTITY} or abs({product}) >= {_LARGEST_AMOUNT})"
    said, times = (said_of(cells[name]) for name in ("quantity", "unit_price"))
    reason = f"'quantity ' || {said} || ' times unit_price ' || {times} || ' is too large'"
    rule = "amount_too_large"
    return Finding("quantity", rule, "rejected", condition, said, text=said, refusal=rule, reason=reason)


def said_of(cell: Cell) -> str:
    """Return what a cell says before it is read, as text without blanks around it."""
    if not cell.typed:
        return f"w_{cell.name}"
    text = f"cast(r_{cell.name} as varchar)"
    return f"coalesce({formats.shown('u_' + cell.name, cell.column)}, {text})" if cell.kind == "timestamp" else text
