"""What is entered wrongly in the CRM and the catalogue: a customer's or product's record with one field spoiled, and
customers who are there twice.

A record keeps its slip for life: through all changes of the customer the same field is wrong in the same way. So fields
are chosen in which a slip shows whatever they come to say: names, which stay, or those in which it always does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from lib.shop import damage
from lib.shop.chance import lots
from lib.shop.changes import latest
from lib.shop.defects import NONE, fates
from lib.shop.history import instants
from lib.shop.ids import customer_id
from lib.shop.ledger import Cell, instant
from lib.shop.orders import Ints
from lib.shop.people import EMAIL_DOMAINS
from lib.shop.spoils import replaced
from lib.shop.systems import ShopFacts
from lib.shop.trade import Books

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
#: Somebody who is there twice signs up again after so many days, as `C9` and the digits of the first id.
AGAIN_AFTER, AGAIN_FROM = (2, 60), 9_000_000


@dataclass(frozen=True)
class Slip:
    """What is wrong with a record: its row, the field, the kind, and the lot that picks the way."""

    row: int
    field: str
    kind: str
    lot: float

    def of(self, value: Any) -> Any:
        """Return what stands in the place of a value; instants are UTC seconds."""
        return _spoiled(self.kind, value, self.lot)


def _spoiled(kind: str, value: Any, lot: float) -> Any:
    """Return a value as a kind of defect leaves it, nothing where it would not show."""
    if kind == "whitespace":
        return damage.whitespace(value, lot)
    if kind == "letter_case":
        return damage.letter_case(value, lot)
    if kind == "mojibake":
        return damage.mojibake(value)
    if kind == "invalid_email":
        return damage.email(value, lot)
    if kind == "future_date":
        return damage.years_ahead(value, lot)
    return damage.country(lot) if kind == "invalid_country" else damage.currency(lot)


def slips(
    shop: ShopFacts, family: str, number: Ints, fields: dict[str, tuple[str, ...]], records: pa.Table
) -> Iterator[Slip]:
    """Yield what is wrong with records; `number` tells them apart, `fields` says which ones each kind may hit."""
    kinds = tuple(fields)
    fate = fates(shop, family, number, kinds)
    rows = np.flatnonzero(fate != NONE)
    where, how = (lots(shop.seed, f"{family} slip's {what}", number[rows]) for what in ("field", "way"))
    for row, kind, start, lot in zip(rows.tolist(), fate[rows].tolist(), where.tolist(), how.tolist(), strict=True):
        among = fields[kinds[kind]]
        first = int(start * len(among))
        for field in among[first:] + among[:first]:
            slip = Slip(row, field, kinds[kind], lot)
            if slip.of(_plain(records[field][row])) is not None:
                yield slip
                break


def customers(books: Books, shop: ShopFacts, records: pa.Table, day: int) -> tuple[pa.Table, list[Cell]]:
    """Return the CRM's customers of a day with their slips and doubles, and what the ledger says of these.

    `records` are as they should be, one row a customer from the first on. The ledger has a row for each value that
    stood in a spoiled field at the end of a day since all systems of the shop are there.
    """
    found = list(slips(shop, "customer", books.customers.number[: records.num_rows], CUSTOMERS, records))
    said = values_since(books, found, min(max(shop.live_from, shop.tracked_from), day), day)
    keys = records["customer_id"]
    cells = [
        _cell("customers", keys[slip.row].as_py(), slip, value)
        for slip, values in zip(found, said, strict=True)
        for value in dict.fromkeys(values)
    ]
    doubles, told = twice(books, shop, records, day)
    return pa.concat_tables([spoiled(records, found), doubles]), cells + told


def products(shop: ShopFacts, records: pa.Table) -> tuple[pa.Table, list[Cell]]:
    """Return the catalogue with its slips, and what the ledger says of them; what is spoiled never changes."""
    found = list(slips(shop, "product", np.arange(records.num_rows), PRODUCTS, records))
    cells = [
        _cell("products", records["product_id"][slip.row].as_py(), slip, _plain(records[slip.field][slip.row]))
        for slip in found
    ]
    return spoiled(records, found), cells


def values_since(books: Books, found: list[Slip], since: int, through: int) -> Iterator[list[Any]]:
    """Yield for each customer's slip what should have stood in its field from the end of one day to that of another."""
    changes, first = books.customer_changes, books.customers.details
    states = pa.concat_tables([first, changes.details])
    rows = np.array([slip.row for slip in found], dtype=np.int64)
    then = latest(changes, rows, np.full(len(rows), since))
    later: dict[int, list[int]] = {}
    is_later = (changes.day > since) & (changes.day <= through) & np.isin(changes.row, rows)
    for change in np.flatnonzero(is_later).tolist():
        later.setdefault(int(changes.row[change]), []).append(change)
    for slip, change in zip(found, then.tolist(), strict=True):
        if slip.field in states.column_names:
            start = slip.row if change < 0 else first.num_rows + change
            places = [start, *(first.num_rows + n for n in later.get(slip.row, []))]
            yield [states[slip.field][place].as_py() for place in places]
        else:
            yield [int(books.customers.signed_up[slip.row])]


def twice(books: Books, shop: ShopFacts, records: pa.Table, day: int) -> tuple[pa.Table, list[Cell]]:
    """Return the second records of customers who are there twice by the end of a day, and their rows of the ledger.

    They have another id, and the e-mail address in other capitals or at another provider.
    """
    number = books.customers.number[: records.num_rows]
    kinds = tuple(CUSTOMERS)
    rows = np.flatnonzero(fates(shop, "customer", number, kinds) == kinds.index("double_customer"))
    lot, way = (lots(shop.seed, f"double's {what}", number[rows]) for what in ("day", "address"))
    again = books.customers.signed_up[rows] + ((AGAIN_AFTER[0] + lot * np.ptp(AGAIN_AFTER)) * 86_400).astype(np.int64)
    there = again < books.timepiece.day_starts[day + 1]
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


def _other_address(email: str, lot: float) -> str:
    """Return an e-mail address in other capitals, or at another provider."""
    mailbox, _, domain = email.partition("@")
    if lot < 0.5:
        return damage.letter_case(email, lot * 2) or email
    return f"{mailbox}@{damage.chosen([d for d in EMAIL_DOMAINS if d != domain], lot * 2 - 1)}"


def spoiled(records: pa.Table, found: list[Slip]) -> pa.Table:
    """Return records with their slips."""
    for field in {slip.field for slip in found}:
        mine, column = [slip for slip in found if slip.field == field], records[field]
        values = [slip.of(_plain(column[slip.row])) for slip in mine]
        new = instants(np.array(values)) if pa.types.is_timestamp(column.type) else pa.array(values, column.type)
        column = replaced(column, np.array([slip.row for slip in mine]), new)
        records = records.set_column(records.column_names.index(field), records.schema.field(field), column)
    return records


def _plain(value: pa.Scalar) -> Any:
    """Return a value as `damage` takes it: text, or UTC seconds."""
    found = value.as_py()
    return int(found.timestamp()) if isinstance(found, datetime) else found


def _cell(entity: str, key: str, slip: Slip, value: Any) -> Cell:
    before, after = (instant(v) if isinstance(v, int) else v for v in (value, slip.of(value)))
    return Cell(SYSTEM, entity, key, key, slip.field, slip.kind, before, after)
