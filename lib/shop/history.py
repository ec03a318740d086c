"""The old system's history: Parquet partitioned by year, written once, as the shop left that system behind.

The files are `folder/history/<entity>/year=YYYY/part-0.parquet` for orders, order_items and payments, a year being
that of the order's local day. They hold every order placed before the live systems, with its later returns and refunds.
The columns made here are also those of the orders that were migrated to the web shop (see `web`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.shop.channels import CHANNELS, HISTORY
from lib.shop.defects import KINDS
from lib.shop.files import tally, write_parquet
from lib.shop.ids import customer_id, order_id, payment_id, product_id
from lib.shop.life import ShopLife
from lib.shop.order_damage import COPIES
from lib.shop.orders import Ints
from lib.shop.payments import METHODS, STATUSES
from lib.shop.promotions import find
from lib.shop.rhythm import Seconds, local_day
from lib.shop.spoiled_orders import spoiled_orders
from lib.shop.spoils import Spoils
from lib.shop.systems import Holdings, ShopFacts

PLACE = "history"
ENTITIES = ("orders", "order_items", "payments")
COMPLETED, CANCELLED = "completed", "cancelled"
#: Orders of this many days before the close were migrated to the web shop, and are the same in both systems.
MIGRATED_DAYS = 30
FOREVER = np.iinfo(np.int16).max


def write(
    life: ShopLife, folder: Path, shop: ShopFacts, after: int, through: int, progress: Callable[[str], None]
) -> Holdings:
    """Bring the files in `folder/history` to their state at day `through`; see `lib.shop.systems.Write`.

    From the first day of the live systems on they are final. Up to then they hold what happened by `through`.
    """
    place, closing = folder / PLACE, shop.live_from
    placed_here = (life.orders.channel == HISTORY) & (life.orders.placed.day <= through)
    known = through if through < closing else FOREVER
    rows = {
        "orders": np.flatnonzero(placed_here),
        "order_items": np.flatnonzero(placed_here[life.lines.order - 1] & (life.lines.day <= known)),
        "payments": np.flatnonzero(placed_here[life.payments.order - 1] & (life.payments.day <= known)),
    }
    own = np.flatnonzero(placed_here & (life.orders.placed.day < closing - MIGRATED_DAYS))
    # Once the files are final, all that is asked for is how many rows they have.
    spoils = spoiled_orders(life, shop, PLACE, own, only=KINDS if after < closing else COPIES)
    held = {entity: len(spoils[entity].with_copies(found)[0]) for entity, found in rows.items()}
    recorded = []
    if after < closing:
        for entity, path, table, spoiled in _files(life, shop, place, rows, spoils, known):
            recorded.append(spoiled)
            progress(f"history: {entity} of {path.parent.name.removeprefix('year=')}")
            write_parquet(path, table)
        for left_over in place.rglob(".*.part"):
            left_over.unlink()
    days = life.orders.placed.day[rows["orders"]]
    first, last = (shop.date(int(d)).isoformat() for d in (days[0], days[-1])) if len(days) else (None, None)
    there = tally(place)
    spoiled = pa.concat_tables(recorded) if recorded and shop.defects.enabled else None
    return Holdings(held, first, last, there.files, there.bytes, spoiled)


def _files(
    life: ShopLife, shop: ShopFacts, place: Path, rows: dict[str, Ints], spoils: dict[str, Spoils], known: int
) -> Iterator[tuple[str, Path, pa.Table, pa.Table]]:
    """Yield entity, path and content of each file, and the ledger's rows of what is spoiled in it."""
    order_of = {
        "orders": rows["orders"],
        "order_items": life.lines.order[rows["order_items"]] - 1,
        "payments": life.payments.order[rows["payments"]] - 1,
    }
    for entity in ENTITIES:
        # All three are sorted by order, and orders by time.
        years = life.orders.placed.year[order_of[entity]]
        for year in np.unique(years):
            lo, hi = np.searchsorted(years, (year, year + 1))
            path = place / entity / f"year={year}" / "part-0.parquet"
            some, code = spoils[entity].with_copies(rows[entity][lo:hi])
            table = COLUMNS_OF[entity](life, shop, some)
            if entity == "orders":
                table = _as_shipped_by(life, known, some, table)
            columns = dict(zip(table.column_names, table.columns, strict=True))
            yield entity, path, pa.table(spoils[entity].laid_over(columns, code)), spoils[entity].ledger_rows(code)


def _as_shipped_by(life: ShopLife, day: int, rows: Ints, orders: pa.Table) -> pa.Table:
    """Return orders without what is shipped only after a day."""
    is_known = pa.array(local_day(life.timepiece, life.orders.shipped_at[rows]) <= day)
    shipped = pc.if_else(is_known, orders["shipped_at"], None)
    return orders.set_column(orders.column_names.index("shipped_at"), "shipped_at", shipped)


def orders(life: ShopLife, shop: ShopFacts, rows: Ints) -> pa.Table:
    """Return the orders in `rows` (positions) as the old system records them: completed or cancelled."""
    found = life.orders
    codes, position = np.unique(found.campaign[rows], return_inverse=True)
    campaign = pa.array([find(int(code)).name if code else None for code in codes], type=pa.string())
    return pa.table(
        {
            "order_id": order_id(found.placed.number[rows], found.channel[rows]),
            "ordered_at": instants(found.placed.at[rows]),
            "customer_id": customer_id(found.placed.customer[rows] + 1),
            "status": words((COMPLETED, CANCELLED), found.is_cancelled[rows].astype(np.int64)),
            "channel": words(CHANNELS, found.channel[rows]),
            "campaign": campaign.take(pa.array(position)),
            "currency": pa.repeat(shop.currency, len(rows)),
            "discount_amount": amounts(found.discount[rows]),
            "shipping_amount": amounts(found.shipping[rows]),
            "tax_amount": amounts(found.tax[rows]),
            "total_amount": amounts(found.total[rows]),
            "shipped_at": shipped(found.shipped_at[rows]),
            "updated_at": instants(life.updated[rows]),
        }
    )


def order_items(life: ShopLife, shop: ShopFacts, rows: Ints) -> pa.Table:
    """Return the lines in `rows`, returned ones with negative quantity and changed last when they came back."""
    found, order = life.lines, life.lines.order[rows] - 1
    is_return = found.quantity[rows] < 0
    return pa.table(
        {
            "order_id": order_id(found.order[rows], life.orders.channel[order]),
            "line_number": pa.array(found.line[rows].astype(np.int32)),
            "product_id": product_id(found.product[rows]),
            "quantity": pa.array(found.quantity[rows].astype(np.int32)),
            "unit_price": amounts(found.price[rows]),
            "discount_amount": amounts(found.discount[rows]),
            "updated_at": instants(np.where(is_return, life.orders.returned_at[order], life.orders.placed.at[order])),
        }
    )


def payments(life: ShopLife, shop: ShopFacts, rows: Ints) -> pa.Table:
    """Return the payments in `rows`; none is changed once it is made."""
    found, order = life.payments, life.payments.order[rows] - 1
    return pa.table(
        {
            "payment_id": payment_id(found.order[rows], found.part[rows]),
            "order_id": order_id(found.order[rows], life.orders.channel[order]),
            "method": words(METHODS, found.method[rows]),
            "amount": amounts(found.amount[rows]),
            "currency": pa.repeat(shop.currency, len(rows)),
            "status": words(STATUSES, found.status[rows]),
            "paid_at": instants(found.at[rows]),
            "updated_at": instants(found.at[rows]),
        }
    )


COLUMNS_OF: dict[str, Callable[[ShopLife, ShopFacts, Ints], pa.Table]] = {
    "orders": orders,
    "order_items": order_items,
    "payments": payments,
}


def words(known: tuple[str, ...], position: Ints) -> pa.Array:
    """Return the known word at each position."""
    return pa.array(known).take(pa.array(position))


def instants(seconds: Seconds) -> pa.Array:
    """Return UTC seconds as timestamps with their zone."""
    return pa.array(seconds * 1_000_000).cast(pa.timestamp("us", tz="UTC"))


def shipped(seconds: Seconds) -> pa.Array:
    """Return when parcels left, null where none did."""
    return pc.if_else(pa.array(seconds > 0), instants(seconds), None)


def amounts(cents: Ints) -> pa.Array:
    """Return cents as decimals with two places: a decimal is its unscaled number in two words, low one first."""
    halves = np.column_stack([cents, cents >> 63])
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(halves)])
