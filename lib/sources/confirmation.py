"""Order confirmations as text: by a declared layout, labelled fields, tables and stanzas become rows.

What belongs to an order and is not understood makes the whole message unreadable; prose around it is passed over. What
words mean is in `layouts`; how a text is packed in a message in `message`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lib.entities import ENTITIES
from lib.sources.layouts import DATA, Layout, Unreadable, currency, normal

Record = dict[str, str]

_KINDS = {c.name: c.kind for entity in ("order_lines", "payments") for c in ENTITIES[entity].columns}
_NEEDED = ({"order_id", "ordered_at"}, {"product_id", "quantity", "unit_price"}, {"method", "amount"})
# Which field begins a line, or a payment, where each is a list of labels and values.
_FIRST = ((), ("line_number", "product_id"), ("payment_id", "method"))
_QUOTED = re.compile(r"^(?:>\s?)+")
_RULE = re.compile(r"[-=_+|*.~\s]*")
_BLANKS = re.compile("[\u00a0\u202f\u2007]")
_CELLS = re.compile(r" {2,}")
_LEADER = re.compile(r"\s*\.{3,}\s*")


@dataclass(frozen=True)
class Confirmation:
    """What a message says of one order: its fields, its lines and its payments, all values as plain text."""

    order: Record
    lines: list[Record]
    payments: list[Record]


def read(text: str, layout: Layout) -> Confirmation:
    """Return the order a text confirms; raise Unreadable, with the reason, where it confirms none."""
    reading = _Reading(layout)
    for line in _lines(text):
        reading.add(line)
    return confirmation(reading.order, reading.lines, reading.payments, layout)


def confirmation(order: Record, lines: list[Record], payments: list[Record], layout: Layout) -> Confirmation:
    """Return an order with its values made plain; raise Unreadable where it lacks a value or contradicts itself."""
    for name, what in (("order_id", "order number"), ("ordered_at", "order date")):
        if name not in order:
            raise Unreadable(f"has no {what}")
    if not lines:
        raise Unreadable("has no line with an item number, a quantity and a unit price")
    for line in lines:
        if not line.keys() >= _NEEDED[1]:
            raise Unreadable(f"has a line that lacks its {', '.join(sorted(_NEEDED[1] - line.keys()))}: {line}")
    # A way of paying without an amount is no payment.
    payments = [payment for payment in payments if "amount" in payment]
    records = [order, *lines, *payments]
    found = currency(value for record in records for name, value in record.items() if _KINDS[name] == "amount")
    records = [_plain(record, layout) for record in records]
    if found:
        records[0].setdefault("currency", found)
    lines = records[1 : len(lines) + 1]
    numbers = [line["line_number"] for line in lines if "line_number" in line]
    if len(numbers) > len(set(numbers)):
        raise Unreadable(f"has a line number twice: {', '.join(numbers)}")
    return Confirmation(records[0], lines, records[len(lines) + 1 :])


def _plain(record: Record, layout: Layout) -> Record:
    plain = {}
    for name, text in record.items():
        match _KINDS[name]:
            case "amount" | "quantity":
                plain[name] = layout.number(text)
            case "timestamp":
                plain[name] = layout.time(text)
            case "id":
                plain[name] = layout.value(name, text).split(" (")[0].lstrip("#")
            case _:
                plain[name] = layout.value(name, text)
    return {name: value for name, value in plain.items() if value}


@dataclass
class _Reading:
    """A text, line by line: `columns` is the table that it is in, `record` the row of it, or the list of one record."""

    layout: Layout
    order: Record = field(default_factory=dict)
    lines: list[Record] = field(default_factory=list)
    payments: list[Record] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    record: Record | None = None
    waiting: str = ""

    def add(self, line: str) -> None:
        of_order = self.layout.labels[0]
        if not line.strip():
            # After a blank line begins another table, and another record.
            self.columns, self.record = [] if self.record is not None else self.columns, None
            return
        cells = _cells(line)
        if self.columns:
            if len(cells) == len(self.columns):
                self._begin({name: cell for name, cell in zip(self.columns, cells, strict=True) if name and cell})
                return
            if normal(cells[0].partition(":")[0]) not in of_order:
                raise Unreadable(f"has a line {line.strip()[:80]!r} outside its table of {len(self.columns)} columns")
            self.columns = []
        if self.layout.line and (sentence := self.layout.line.fullmatch(line.strip())):
            self.lines.append({name: value for name, value in sentence.groupdict().items() if value})
        elif len(cells) == 1 or not self._is_header(cells):
            label, value = _labelled(line, cells)
            if self.waiting and label not in of_order:
                label, value = self.waiting, line.strip()
            self.waiting = label if not value and of_order.get(label) else ""
            if label and value:
                self._field(label, value)

    def _begin(self, record: Record) -> None:
        self.record = record
        self.records += [record] if record else []

    def _is_header(self, cells: list[str]) -> bool:
        """Begin a table where the cells name what each line, or each payment, must have."""
        for part, records in ((1, self.lines), (2, self.payments)):
            columns = [self.layout.labels[part].get(normal(cell), "") for cell in cells]
            if set(columns) >= _NEEDED[part]:
                named = [name for name in columns if name]
                if len(named) > len(set(named)):
                    raise Unreadable(f"has a table with two columns of one meaning: {', '.join(cells)}")
                self.columns, self.labels, self.records, self.record = columns, {}, records, None
                return True
        return False

    def _field(self, label: str, value: str) -> None:
        if self.record is not None and label in self.labels:
            name = self.labels[label]
            if name in self.record:
                # The same label again begins the next one.
                self._begin({name: value})
            elif name:
                self.record[name] = value
        elif name := self.layout.labels[0].get(label, ""):
            self.record = None
            if self.order.setdefault(name, value) != value:
                raise Unreadable(f"states {label!r} twice: {self.order[name]!r} and {value!r}")
        else:
            for part, records in ((1, self.lines), (2, self.payments)):
                if (name := self.layout.labels[part].get(label, "")) in _FIRST[part]:
                    self.labels, self.records = self.layout.labels[part], records
                    self._begin({name: value})
                    break


def _lines(text: str) -> Iterator[str]:
    """Yield the lines without marks of quotation and without the head of a forwarded message."""
    in_head = False
    for line in _BLANKS.sub(" ", text).splitlines():
        if line.startswith(">"):
            line = _QUOTED.sub("", line)
        if ("---" in line or line.endswith(":")) and line.strip("-: ").casefold() in DATA["forwarded"]:
            in_head = True
        elif in_head:
            in_head = bool(line.strip())
        elif not line.strip() or not _RULE.fullmatch(line):
            yield line


def _cells(line: str) -> list[str]:
    """Return the cells of a line: between tabs, between bars, or two blanks and more apart."""
    if "\t" in line:
        return [cell.strip() for cell in line.split("\t")]
    text = line.strip()
    return [cell.strip() for cell in text.strip("|").split("|")] if "|" in text else _CELLS.split(text)


def _labelled(line: str, cells: list[str]) -> tuple[str, str]:
    """Return label and value of a line, the label empty where it has none."""
    if len(cells) == 2 and ":" not in cells[0]:
        return normal(cells[0]), cells[1]
    label, colon, value = line.partition(":")
    if colon and len(label) <= 60:
        return normal(label.strip(" \t|*")), value.strip(" \t|*")
    parts = _LEADER.split(line.strip())
    return (normal(parts[0]), parts[1]) if len(parts) == 2 else ("", "")
