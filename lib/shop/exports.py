"""The marketplace partner's daily CSV drops: what its files hold, and which version of each is there on a day.

Files are not always as they should be: some come days late, some come short and are corrected under the same name
later, some are sent again under another name. What is there on a day follows from the shop and the day alone, also
which of its rows are spoiled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lib.shop.chance import stream
from lib.shop.changes import latest
from lib.shop.channels import CHANNELS
from lib.shop.files import Daily, Export, moment, money, tally, whole, write_days
from lib.shop.ids import customer_id, order_id, payment_id, product_id
from lib.shop.life import ShopLife
from lib.shop.orders import Days, Ints
from lib.shop.payments import METHODS, STATUSES
from lib.shop.promotions import find
from lib.shop.spoiled_orders import spoiled_orders
from lib.shop.spoiled_records import CUSTOMERS, PRODUCTS, Damages, spoiled_records
from lib.shop.spoils import Spoils
from lib.shop.systems import Holdings, ShopFacts

CHANNEL = "marketplace"
COLUMNS = {
    "customers": "customer_id first_name last_name email phone country region city postal_code signup_at updated_at",
    "products": "product_id name category subcategory brand unit_price unit_cost currency is_active updated_at",
    "orders": "order_id ordered_at customer_id status channel campaign currency "
    "discount_amount shipping_amount tax_amount total_amount updated_at",
    "order_items": "order_id line_number product_id quantity unit_price discount_amount",
    "payments": "payment_id order_id method amount currency status paid_at",
}
# Shares of a day's files: late ones, ones that come short at first, ones sent again; and by how many days at most.
LATE, SHORT, AGAIN = 0.01, 0.008, 0.006
SOON, LATEST = 3, 45
VERY_LATE = 0.25
#: Gives the columns of chosen rows.
Render = Callable[[Ints], list[pa.Array]]


@dataclass(frozen=True)
class Customers:
    """The marketplace's customers: position, and the day of the first order there."""

    row: Ints
    day: Ints


@dataclass(frozen=True)
class Spoiled:
    """An export, what is spoiled in it, and the code by which that knows each row (see `spoils`)."""

    export: Export
    spoils: Spoils
    code: Ints


def write(
    life: ShopLife, folder: Path, shop: ShopFacts, after: int, through: int, progress: Callable[[str], None]
) -> Holdings:
    """Bring the drops in `folder/marketplace` to their state at day `through`; see `lib.shop.systems.Write`.

    The files are `<entity>/<entity>_YYYY-MM-DD.csv`, a day being one of the shop's time zone.
    """
    place = folder / CHANNEL
    rows: dict[str, int] = {}
    spoiled: list[pa.Table] = []
    for number, some in enumerate(marketplace(life, shop)):
        export = some.export
        progress(f"marketplace: {export.entity}")
        daily = schedule(shop, export, number)
        delivered = write_days(place / export.entity, export, daily, shop.date, after, through)
        rows[export.entity] = int((export.day <= through).sum())
        spoiled.append(some.spoils.ledger_rows(some.code[delivered]))
    there = tally(place)
    days = (shop.date(shop.live_from), shop.date(through)) if through >= shop.live_from else (None, None)
    first, last = (day.isoformat() if day else None for day in days)
    recorded = pa.concat_tables(spoiled) if shop.defects.enabled else None
    return Holdings(rows, first, last, there.files, there.bytes, recorded)


def schedule(shop: ShopFacts, export: Export, number: int) -> dict[int, Daily]:
    """Return for each day with rows when its file comes, when it is corrected and when it is sent again."""
    found = {}
    for day in map(int, np.unique(export.day)):
        chance = stream(shop.seed, day, f"drop {number}").random(8)
        late = chance[0] < LATE
        wait = _wait(chance[1], chance[2]) if late else 0
        short = not late and chance[3] < SHORT
        again = chance[5] < AGAIN
        found[day] = Daily(
            comes=day + wait,
            corrected=day + _wait(chance[4], chance[6]) if short else None,
            again=day + wait + _wait(chance[6], chance[7]) if again and not short else None,
        )
    return found


def _wait(soon: float, share: float) -> int:
    """Return a delay in days: mostly a few, now and then longer than any look-back."""
    return 1 + int(share * (LATEST if soon < VERY_LATE else SOON))


def marketplace(life: ShopLife, shop: ShopFacts) -> list[Spoiled]:
    """Return the five exports; rows of a day come in order of their ids, a row's copy right after it."""
    own = CHANNELS.index(CHANNEL)
    orders_here = np.flatnonzero(life.orders.channel == own)
    is_here = np.zeros(len(life.orders.channel) + 1, dtype=bool)
    is_here[life.orders.placed.number[orders_here]] = True
    who, first = np.unique(life.orders.placed.customer[orders_here], return_index=True)
    known = Customers(who, life.orders.placed.day[orders_here][first].astype(np.int64))
    launched = np.maximum(life.catalogue.launched, shop.live_from)
    changed = np.flatnonzero(life.product_changes.day > launched[life.product_changes.row])
    listed = np.concatenate([np.arange(len(launched)), life.product_changes.row[changed]])
    listed_on = np.concatenate([launched, life.product_changes.day[changed]])
    in_orders = spoiled_orders(life, shop, CHANNEL, orders_here)

    def of_records(entity: str, number: Ints, damages: Damages, day: Ints | Days, render: Render) -> Spoiled:
        names = COLUMNS[entity].split()
        spoils = spoiled_records(
            shop, entity, number, damages, lambda rows: dict(zip(names, render(rows), strict=True))
        )
        return spoiled(entity, day, render, spoils, np.arange(len(day)) * 2)

    def of_orders(entity: str, rows: Ints, day: Ints | Days, render: Render) -> Spoiled:
        rows, code = in_orders[entity].with_copies(rows)
        return spoiled(entity, day[rows], lambda positions: render(rows[positions]), in_orders[entity], code)

    return [
        of_records("customers", life.customers.number[who], CUSTOMERS, known.day, partial(customers, life, known)),
        of_records(
            "products",
            listed,
            PRODUCTS,
            listed_on,
            lambda rows: products(life, shop, listed[rows], listed_on[rows]),
        ),
        of_orders("orders", orders_here, life.orders.placed.day, partial(orders, life, shop)),
        of_orders(
            "order_items",
            np.flatnonzero(is_here[life.lines.order]),
            life.lines.day,
            partial(order_items, life, own),
        ),
        of_orders(
            "payments",
            np.flatnonzero(is_here[life.payments.order]),
            life.payments.day,
            partial(payments, life, shop, own),
        ),
    ]


def spoiled(entity: str, day: Ints | Days, render: Render, spoils: Spoils, code: Ints) -> Spoiled:
    """Return an export whose rows come as they are spoiled; `render` gives the columns as they should be."""
    names = COLUMNS[entity].split()

    def delivered(positions: Ints) -> list[pa.Array]:
        columns = dict(zip(names, render(positions), strict=True))
        return list(spoils.laid_over(columns, code[positions]).values())

    return Spoiled(Export(entity, tuple(names), day, delivered), spoils, code)


def customers(life: ShopLife, known: Customers, rows: Ints) -> list[pa.Array]:
    """Return the columns of customers as they were at the end of the day of their first order here, as text."""
    who, day = known.row[rows], known.day[rows]
    change = latest(life.customer_changes, who, day)
    # One table to choose from: first states, and after them the later ones.
    states = pa.concat_tables([life.customers.details, life.customer_changes.details])
    position = np.where(change < 0, who, len(life.customers.number) + change)
    details = states.take(position)
    signed_up = life.customers.signed_up[who]
    updated = np.where(change < 0, signed_up, life.customer_changes.at[change])
    return [
        customer_id(life.customers.number[who]),
        *(details[name] for name in life.customers.details.column_names),
        moment(signed_up),
        moment(updated),
    ]


def products(life: ShopLife, shop: ShopFacts, rows: Ints, day: Ints) -> list[pa.Array]:
    """Return the columns of products as they were at the end of a day, as text."""
    found, changes = life.catalogue, life.product_changes
    details = found.details.take(rows)
    change = latest(changes, rows, day)
    first = change < 0

    def then(start: Ints, later: str) -> Ints:
        return np.where(first, start[rows], changes.details[later].to_numpy()[change])

    active = then(found.is_active.astype(np.int64), "is_active").astype(np.int64)
    updated = np.where(first, life.timepiece.day_starts[found.launched[rows].astype(np.int64)], changes.at[change])
    return [
        product_id(rows),
        *(details[name] for name in details.column_names),
        money(then(found.price, "price")),
        money(then(found.cost, "cost")),
        always(shop.currency, rows),
        pa.array(["false", "true"]).take(pa.array(active)),
        moment(updated),
    ]


def orders(life: ShopLife, shop: ShopFacts, rows: Ints) -> list[pa.Array]:
    """Return the columns of the orders in `rows`, as text."""
    found = life.orders
    codes, position = np.unique(found.campaign[rows], return_inverse=True)
    campaign = pa.array([find(int(code)).name if code else None for code in codes], type=pa.string())
    cancelled = found.is_cancelled[rows].astype(np.int64)
    return [
        order_id(found.placed.number[rows], found.channel[rows]),
        moment(found.placed.at[rows]),
        customer_id(found.placed.customer[rows] + 1),
        pa.array(["completed", "cancelled"]).take(pa.array(cancelled)),
        always(CHANNEL, rows),
        campaign.take(pa.array(position)),
        always(shop.currency, rows),
        money(found.discount[rows]),
        money(found.shipping[rows]),
        money(found.tax[rows]),
        money(found.total[rows]),
        moment(life.updated[rows]),
    ]


def order_items(life: ShopLife, channel: int, rows: Ints) -> list[pa.Array]:
    """Return the columns of the order lines in `rows`, as text."""
    found = life.lines
    return [
        order_id(found.order[rows], np.full(len(rows), channel)),
        whole(found.line[rows]),
        product_id(found.product[rows]),
        whole(found.quantity[rows]),
        money(found.price[rows]),
        money(found.discount[rows]),
    ]


def payments(life: ShopLife, shop: ShopFacts, channel: int, rows: Ints) -> list[pa.Array]:
    """Return the columns of the payments in `rows`, as text."""
    found = life.payments
    return [
        payment_id(found.order[rows], found.part[rows]),
        order_id(found.order[rows], np.full(len(rows), channel)),
        pa.array(METHODS).take(pa.array(found.method[rows])),
        money(found.amount[rows]),
        always(shop.currency, rows),
        pa.array(STATUSES).take(pa.array(found.status[rows])),
        moment(found.at[rows]),
    ]


def always(value: str, rows: Ints) -> pa.Array:
    """Return the same text for all rows."""
    return pa.repeat(value, len(rows))
