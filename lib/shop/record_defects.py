"""What is entered wrongly in the CRM and the catalogue: a customer's or product's record with one field spoiled, and
customers who are registered twice.

A record keeps its defect for life: through all changes of the customer the same field is wrong in the same way. So
fields are chosen in which a defect always shows: names, which stay, or those in which it shows whatever they say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from lib.shop import damage
from lib.shop.chance import uniform_draws
from lib.shop.changes import latest
from lib.shop.defects import NONE, defects_drawn
from lib.shop.history import instants
from lib.shop.ids import customer_id
from lib.shop.ledger import Cell, instant
from lib.shop.life import ShopLife
from lib.shop.orders import Ints
from lib.shop.people import EMAIL_DOMAINS
from lib.shop.spoils import replaced
from lib.shop.systems import ShopFacts

SYSTEM = "crm"
#: The fields of a customer or product that each kind may hit.
CUSTOMERS = {
    "whitespace": ("first_name", "last_name", "email", "city"),
    "letter_case": ("first_name", "last_name", "email", "country"),
    "mojibake": ("first_name", "last_name"),
    "invalid_email": ("email",),
    "invalid_country": ("country",),
    "future_date": ("signup_at",),
    "double_customer": (),
}
PRODUCTS = {
    "whitespace": ("name", "brand", "subcategory"),
    "letter_case": ("currency",),
    "invalid_currency": ("currency",),
}
#: A customer who is registered twice signs up again after this many days, as `C9` and the digits of the first id.
AGAIN_AFTER, AGAIN_FROM = (2, 60), 9_000_000


@dataclass(frozen=True)
class RecordDefect:
    """What is wrong with a record: its row, the field, the kind, and the draw that picks the way."""

    row: int
    field: str
    kind: str
    draw: float

    def of(self, value: Any) -> Any:
        """Return what replaces a value; instants are UTC seconds."""
        return _spoiled(self.kind, value, self.draw)


def _spoiled(kind: str, value: Any, draw: float) -> Any:
    """Return a value as a kind of defect leaves it, nothing where it would not show."""
    if kind == "whitespace":
        return damage.whitespace(value, draw)
    if kind == "letter_case":
        return damage.letter_case(value, draw)
    if kind == "mojibake":
        return damage.mojibake(value)
    if kind == "invalid_email":
        return damage.email(value, draw)
    if kind == "future_date":
        return damage.years_ahead(value, draw)
    return damage.country(draw) if kind == "invalid_country" else damage.currency(draw)


def record_defects(
    shop: ShopFacts, family: str, number: Ints, fields: dict[str, tuple[str, ...]], records: pa.Table
) -> Iterator[RecordDefect]:
    """Yield what is wrong with records; `number` identifies them, `fields` are those that each kind may hit."""
    kinds = tuple(fields)
    drawn = defects_drawn(shop, family, number, kinds)
    rows = np.flatnonzero(drawn != NONE)
    where, how = (uniform_draws(shop.seed, f"{family} slip's {what}", number[rows]) for what in ("field", "way"))
    for row, kind, start, draw in zip(rows.tolist(), drawn[rows].tolist(), where.tolist(), how.tolist(), strict=True):
        among = fields[kinds[kind]]
        first = int(start * len(among))
        for field in among[first:] + among[:first]:
            defect = RecordDefect(row, field, kinds[kind], draw)
            if defect.of(_plain(records[field][row])) is not None:
                yield defect
                break


def customers(life: ShopLife, shop: ShopFacts, records: pa.Table, day: int) -> tuple[pa.Table, list[Cell]]:
    """Return the CRM's customers of a day with their defects and doubles, and the ledger's rows of these.

    `records` are as they should be, one row a customer from the first on. The ledger has a row for each value that
    stood in a spoiled field at the end of a day since all systems of the shop are there.
    """
    found = list(record_defects(shop, "customer", life.customers.number[: records.num_rows], CUSTOMERS, records))
    said = values_since(life, found, min(max(shop.live_from, shop.tracked_from), day), day)
    keys = records["customer_id"]
    cells = [
        _cell("customers", keys[defect.row].as_py(), defect, value)
        for defect, values in zip(found, said, strict=True)
        for value in dict.fromkeys(values)
    ]
    doubles, recorded = twice(life, shop, records, day)
    return pa.concat_tables([spoiled(records, found), doubles]), cells + recorded


def products(shop: ShopFacts, records: pa.Table) -> tuple[pa.Table, list[Cell]]:
    """Return the catalogue with its defects, and the ledger's rows of them; what is spoiled never changes."""
    found = list(record_defects(shop, "product", np.arange(records.num_rows), PRODUCTS, records))
    cells = [
        _cell("products", records["product_id"][defect.row].as_py(), defect, _plain(records[defect.field][defect.row]))
        for defect in found
    ]
    return spoiled(records, found), cells


def values_since(life: ShopLife, found: list[RecordDefect], since: int, through: int) -> Iterator[list[Any]]:
    """Yield for each customer's defect what should have stood in its field from one day's end to another's."""
    changes, first = life.customer_changes, life.customers.details
    states = pa.concat_tables([first, changes.details])
    rows = np.array([defect.row for defect in found], dtype=np.int64)
    then = latest(changes, rows, np.full(len(rows), since))
    later: dict[int, list[int]] = {}
    is_later = (changes.day > since) & (changes.day <= through) & np.isin(changes.row, rows)
    for change in np.flatnonzero(is_later).tolist():
        later.setdefault(int(changes.row[change]), []).append(change)
    for defect, change in zip(found, then.tolist(), strict=True):
        if defect.field in states.column_names:
            start = defect.row if change < 0 else first.num_rows + change
            places = [start, *(first.num_rows + n for n in later.get(defect.row, []))]
            yield [states[defect.field][place].as_py() for place in places]
        else:
            yield [int(life.customers.signed_up[defect.row])]


def twice(life: ShopLife, shop: ShopFacts, records: pa.Table, day: int) -> tuple[pa.Table, list[Cell]]:
    """Return the second records of customers who are there twice by the end of a day, and their rows of the ledger.

    They have another id, and the e-mail address in other capitals or at another provider.
    """
    number = life.customers.number[: records.num_rows]
    kinds = tuple(CUSTOMERS)
    rows = np.flatnonzero(defects_drawn(shop, "customer", number, kinds) == kinds.index("double_customer"))
    draw, way = (uniform_draws(shop.seed, f"double's {what}", number[rows]) for what in ("day", "address"))
    again = life.customers.signed_up[rows] + ((AGAIN_AFTER[0] + draw * np.ptp(AGAIN_AFTER)) * 86_400).astype(np.int64)
    there = again < life.timepiece.day_starts[day + 1]
    rows, way, again = rows[there], way[there], again[there]
    doubles = records.take(pa.array(rows))
    first_ids, emails = doubles["customer_id"].to_pylist(), doubles["email"].to_pylist()
    ids = customer_id(AGAIN_FROM + number[rows]).to_pylist()
    updated = np.maximum(again, doubles["updated_at"].cast(pa.int64()).to_numpy() // 1_000_000)
    columns = {
        "customer_id": pa.array(ids, pa.string()),
        "email": pa.array(map(_other_address, emails, way.tolist()), pa.string()),
        "signup_at": instants(again),
        "updated_at": instants(updated),
    }
    for name, values in columns.items():
        doubles = doubles.set_column(doubles.column_names.index(name), records.schema.field(name), values)
    pairs = zip(ids, first_ids, strict=True)
    return doubles, [Cell(SYSTEM, "customers", own, own, "", "double_customer", None, first) for own, first in pairs]


def _other_address(email: str, draw: float) -> str:
    """Return an e-mail address in other capitals, or at another provider."""
    mailbox, _, domain = email.partition("@")
    if draw < 0.5:
        return damage.letter_case(email, draw * 2) or email
    return f"{mailbox}@{damage.chosen([d for d in EMAIL_DOMAINS if d != domain], draw * 2 - 1)}"


def spoiled(records: pa.Table, found: list[RecordDefect]) -> pa.Table:
    """Return records with their defects."""
    for field in {defect.field for defect in found}:
        mine, column = [defect for defect in found if defect.field == field], records[field]
        values = [defect.of(_plain(column[defect.row])) for defect in mine]
        new = instants(np.array(values)) if pa.types.is_timestamp(column.type) else pa.array(values, column.type)
        column = replaced(column, np.array([defect.row for defect in mine]), new)
        records = records.set_column(records.column_names.index(field), records.schema.field(field), column)
    return records


def _plain(value: pa.Scalar) -> Any:
    """Return a value as `damage` takes it: text, or UTC seconds."""
    found = value.as_py()
    return int(found.timestamp()) if isinstance(found, datetime) else found


def _cell(entity: str, key: str, defect: RecordDefect, value: Any) -> Cell:
    before, after = (instant(v) if isinstance(v, int) else v for v in (value, defect.of(value)))
    return Cell(SYSTEM, entity, key, key, defect.field, defect.kind, before, after)
