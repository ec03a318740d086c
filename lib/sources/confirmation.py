"""Order confirmations as text: labelled fields, tables and stanzas of lines and payments become rows.

A shop's layout is not programmed but read: a field is known by its label, a table by the labels in its header. What
belongs to an order and is not understood makes the whole letter unreadable; prose around it is passed over.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lib.sources.labels import Labels, meaning, normal
from lib.sources.written import Unreadable, currency, decimal_mark, plain_moment, plain_number

Record = dict[str, str]

_QUOTED = re.compile(r"^(?:>\s?)+")
_RULE = re.compile(r"[-=_+|*.~\s]*")
_FORWARDED = re.compile(
    r"-{3,}.*\b(?:original|ursprüngliche|forwarded|weitergeleitete|transféré|message|nachricht)\b.*-{3,}"
    r"|(?:begin forwarded message|anfang der weitergeleiteten nachricht|début du message transféré)\s*:",
    re.IGNORECASE,
)
_BLANKS = ("\u00a0", "\u202f", "\u2007")
_APART = re.compile(r" {2,}")
_LEADER = re.compile(r"\s*\.{3,}\s*")
_MOMENTS = ("ordered_at", "updated_at", "paid_at")
_AMOUNTS = (
    "order_discount_amount",
    "shipping_amount",
    "tax_amount",
    "total_amount",
    "unit_price",
    "discount_amount",
    "amount",
)
_NUMBERS = (*_AMOUNTS, "quantity")
_NEEDED = {"product_id", "quantity", "unit_price"}
_PAID = {"method", "amount"}


@dataclass(frozen=True)
class Confirmation:
    """What a letter says of one order: its fields, its lines and its payments, all values as plain text."""

    order: Record
    lines: list[Record]
    payments: list[Record]


@dataclass
class _Reading:
    labels: Labels
    order: Record = field(default_factory=dict)
    lines: list[Record] = field(default_factory=list)
    payments: list[Record] = field(default_factory=list)
    # The table or the stanza that the present line of text belongs to.
    header: list[str] = field(default_factory=list)
    records: list[Record] | None = None
    is_filled: bool = False
    record: Record | None = None
    meanings: Mapping[str, str] = field(default_factory=dict)
    waiting: str = ""

    def read(self, text: str) -> None:
        for line in _lines(text):
            if not line.strip():
                self._blank()
            elif not _RULE.fullmatch(line):
                self._line(line)

    def _blank(self) -> None:
        if self.is_filled:
            self.header, self.records, self.is_filled = [], None, False
        self.record = None

    def _line(self, line: str) -> None:
        cells = _cells(line)
        if self.header:
            if len(cells) == len(self.header):
                self._row(cells)
                return
            label = normal(cells[0].partition(":")[0])
            if label not in self.labels.order:
                raise Unreadable(f"the line {line.strip()[:80]!r} does not fit its table of {len(self.header)} columns")
            self.header, self.records, self.is_filled = [], None, False
        if len(cells) > 1 and self._begins_table(cells):
            return
        label, value = _labelled(line, cells)
        if self.waiting and label not in self.labels.order:
            label, value = self.waiting, line.strip()
        self.waiting = ""
        if not label:
            return
        if not value:
            self.waiting = label if self.labels.order.get(label) else ""
            return
        self._field(label, value)

    def _row(self, cells: list[str]) -> None:
        assert self.records is not None
        row = {name: cell for name, cell in zip(self.header, cells, strict=True) if name and cell}
        if row:
            self.records.append(row)
        self.is_filled = True

    def _begins_table(self, cells: list[str]) -> bool:
        """Take the cells for a header where they name what each line, or each payment, must have."""
        names = [normal(cell) for cell in cells]
        for meanings, needed, records in (
            (self.labels.line, _NEEDED, self.lines),
            (self.labels.payment, _PAID, self.payments),
        ):
            header = [meanings.get(name, "") for name in names]
            if needed <= set(header):
                named = [name for name in header if name]
                if len(named) > len(set(named)):
                    raise Unreadable(f"a table has two columns of one meaning: {', '.join(cells)}")
                self.header, self.records, self.is_filled, self.record = header, records, False, None
                return True
        return False

    def _field(self, label: str, value: str) -> None:
        if self.record is not None and label in self.meanings:
            name = self.meanings[label]
            if name in self.record:
                # The same label again begins the next one.
                self._begin(self.meanings, name, value)
            elif name:
                self.record[name] = value
        elif name := self.labels.order.get(label, ""):
            self.record = None
            if self.order.setdefault(name, value) != value:
                raise Unreadable(f"{label!r} is stated twice: {self.order[name]!r} and {value!r}")
        elif (name := self.labels.line.get(label, "")) in ("line_number", "product_id"):
            self._begin(self.labels.line, name, value)
        elif (name := self.labels.payment.get(label, "")) in ("payment_id", "method"):
            self._begin(self.labels.payment, name, value)

    def _begin(self, meanings: Mapping[str, str], name: str, value: str) -> None:
        self.meanings, self.record = meanings, {name: value}
        (self.lines if meanings is self.labels.line else self.payments).append(self.record)


def read(text: str, labels: Labels) -> Confirmation:
    """Return the order a text confirms; raise Unreadable, with the reason, where it confirms none."""
    reading = _Reading(labels)
    reading.read(text)
    for name, what in (("order_id", "order number"), ("ordered_at", "order date")):
        if name not in reading.order:
            raise Unreadable(f"has no {what} under a label that is known")
    if not reading.lines:
        raise Unreadable("has no line with an item number, a quantity and a unit price")
    for line in reading.lines:
        if not line.keys() >= _NEEDED:
            raise Unreadable(f"a line lacks its {', '.join(sorted(_NEEDED - line.keys()))}: {line}")
    # A way of paying without an amount is no payment.
    paid = [payment for payment in reading.payments if "amount" in payment]
    records = [reading.order, *reading.lines, *paid]
    mark = decimal_mark(record[name] for record in records for name in _NUMBERS if name in record)
    in_currency = currency(record[name] for record in records for name in _AMOUNTS if name in record)
    for record in records:
        _make_plain(record, mark)
    if in_currency:
        reading.order.setdefault("currency", in_currency)
    numbers = [line["line_number"] for line in reading.lines if "line_number" in line]
    if len(numbers) > len(set(numbers)):
        raise Unreadable(f"a line number stands twice: {', '.join(numbers)}")
    return Confirmation(reading.order, reading.lines, paid)


def _make_plain(record: Record, mark: str) -> None:
    for name, value in list(record.items()):
        if name in _NUMBERS:
            record[name] = plain_number(value, mark)
        elif name in _MOMENTS:
            record[name] = plain_moment(value)
        else:
            value = meaning(name, value)
            if name.endswith("_id"):
                value = value.split(" (")[0].lstrip("#")
            record[name] = value
            if not value:
                del record[name]


def _lines(text: str) -> Iterator[str]:
    """Yield the lines without marks of quotation and without the head of a forwarded message."""
    for blank in _BLANKS:
        text = text.replace(blank, " ")
    in_head = False
    for line in text.splitlines():
        if line.startswith(">"):
            line = _QUOTED.sub("", line)
        if ("---" in line or line.endswith(":")) and _FORWARDED.fullmatch(line.strip()):
            in_head = True
        elif in_head:
            in_head = bool(line.strip())
        else:
            yield line


def _cells(line: str) -> list[str]:
    """Return the cells of a line: between tabs, between bars, or two blanks and more apart."""
    if "\t" in line:
        return [cell.strip() for cell in line.split("\t")]
    text = line.strip()
    if "|" in text:
        return [cell.strip() for cell in text.strip("|").split("|")]
    return _APART.split(text)


def _labelled(line: str, cells: list[str]) -> tuple[str, str]:
    """Return label and value of a line, the label empty where it has none."""
    if len(cells) == 2 and ":" not in cells[0]:
        return normal(cells[0]), cells[1]
    label, colon, value = line.partition(":")
    if colon and len(label) <= 60:
        return normal(label.strip(" \t|*")), value.strip(" \t|*")
    parts = _LEADER.split(line.strip())
    return (normal(parts[0]), parts[1]) if len(parts) == 2 else ("", "")
