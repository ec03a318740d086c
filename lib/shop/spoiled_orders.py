"""Which orders the marketplace, the history and the web shop spoil, and where: in the order, a line or a payment.

What is done to the cell is in `order_damage`, who has one defect and who has none in `defects`.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from lib.shop import damage
from lib.shop.chance import uniform_draws
from lib.shop.channels import CHANNELS
from lib.shop.defects import KINDS, defects_drawn
from lib.shop.ids import customer_id, order_id, payment_id, product_id
from lib.shop.ledger import Cell
from lib.shop.life import ShopLife
from lib.shop.order_damage import COPIES, DAMAGES, ENTITIES, ONCE, Family, Field, fields_of, written
from lib.shop.orders import Ints
from lib.shop.payments import METHODS, PAID, STATUSES
from lib.shop.promotions import find
from lib.shop.rhythm import local_day
from lib.shop.spoils import WHOLE_ROW, Spoil, Spoils, spoils
from lib.shop.systems import ShopFacts

TYPED = (
    "exact_duplicate",
    "missing_value",
    "whitespace",
    "letter_case",
    "invalid_currency",
    "wrong_sign",
    "zeroed",
    "wrong_unit",
    "future_date",
    "before_signup",
    "out_of_sequence",
    "orphan",
    "total_mismatch",
    "payment_mismatch",
    "price_spike",
)
TEXTUAL = ("near_duplicate", "resent_changed", "number_text", "date_format", "ambiguous_date", "local_time")
#: The kinds of defects that each system's orders can have. A table's rows have ids: none occurs twice in a database.
KINDS_OF = {
    "marketplace": (*TYPED, *TEXTUAL),
    "history": TYPED,
    "web": tuple(kind for kind in TYPED if kind not in ("exact_duplicate", "future_date")),
}


#: What each system may leave out; typed columns that must be filled are not among them.
CRITICAL = {
    "marketplace": fields_of(
        "orders.customer_id orders.ordered_at orders.total_amount orders.currency orders.status order_items.product_id"
        " order_items.quantity order_items.unit_price payments.amount payments.order_id payments.method"
    ),
    "history": fields_of(
        "orders.customer_id orders.status orders.currency orders.total_amount order_items.quantity"
        " order_items.unit_price payments.method"
    ),
    "web": fields_of("orders.customer_id"),
}
#: What a system does not have, or changes in the course of days, is not spoiled there.
SPARED = {
    "marketplace": fields_of("orders.shipped_at"),
    "history": fields_of("orders.shipped_at"),
    "web": fields_of("orders.status"),
}


def spoiled_orders(
    life: ShopLife, shop: ShopFacts, system: str, orders: Ints, only: Collection[str] = KINDS
) -> dict[str, Spoils]:
    """Return what a system spoils, by entity, of the orders at some positions in the `ShopLife`; so are its rows.

    It is the same whatever other orders and kinds are asked for, and on every day.
    """
    found: dict[str, list[Spoil]] = {entity: [] for entity in ENTITIES}
    kinds = KINDS_OF[system]
    drawn = defects_drawn(shop, "order", life.orders.placed.number[orders], kinds)
    hit = np.flatnonzero(np.isin(drawn, [position for position, kind in enumerate(kinds) if kind in only]))
    which = uniform_draws(shop.seed, "spoiled field", life.orders.placed.number[orders[hit]])
    for family, kind, draw in zip(
        families(life, shop, system, orders[hit]), drawn[hit].tolist(), which.tolist(), strict=True
    ):
        if strike := struck(family, kinds[kind], draw):
            entity, spoil = strike
            found[entity].append(spoil)
    return {entity: spoils(some) for entity, some in found.items()}


def struck(family: Family, kind: str, which: float) -> tuple[str, Spoil] | None:
    """Return what a defect makes of an order: the entity and the cell; nothing where the order does not lend itself."""
    fields, spoil = DAMAGES[kind]
    ways = []
    for field in CRITICAL[family.system] if kind == "missing_value" else fields:
        if field in family.values and field not in SPARED[family.system]:
            value = family.values[field]
            before, after = written(field, value), written(field, spoil(family, field, value))
            if before != after:
                ways.append((field, before, after))
    if not ways:
        return None
    (entity, name), before, after = damage.chosen(ways, which)
    spoiled = {**family.values, (entity, name): after} if kind == "orphan" else family.values
    key = str(spoiled[entity, "key"])
    if entity == "order_items":
        key = f"{spoiled[entity, 'order_id']}|{key}"
    cell = Cell(family.system, entity, key, family.order_id, name, kind, before, after)
    # Whether an order was shipped is not known before it was.
    since = family.shipped_on if name == "shipped_at" else 0
    return entity, Spoil(family.row[entity], kind in COPIES, cell, since)


def families(life: ShopLife, shop: ShopFacts, system: str, hit: Ints) -> Iterator[Family]:
    """Yield the orders at some positions with all that their defects need to know."""
    orders, placed, lines, payments = life.orders, life.orders.placed, life.lines, life.payments
    number = placed.number[hit]
    first, end = (np.searchsorted(lines.order, number, side=side) for side in ("left", "right"))
    sold = np.concatenate([[0], np.cumsum(lines.quantity > 0)])
    n_sold = sold[end] - sold[first]
    line = first + (uniform_draws(shop.seed, "spoiled line", number) * n_sold).astype(np.int64)
    paid = np.flatnonzero(payments.status == PAID)
    start, stop = (np.searchsorted(payments.order[paid], number, side=side) for side in ("left", "right"))
    choice = start + (uniform_draws(shop.seed, "spoiled payment", number) * (stop - start)).astype(np.int64)
    is_paid = stop > start
    payment = paid[np.where(is_paid, choice, 0)] if len(paid) else np.zeros(len(hit), dtype=np.int64)

    ids = order_id(number, orders.channel[hit]).to_pylist()
    once = [ONCE] * len(hit)
    columns: dict[Field, list[Any]] = {
        ("orders", WHOLE_ROW): once,
        ("orders", "order_id"): ids,
        ("orders", "key"): ids,
        ("orders", "customer_id"): customer_id(placed.customer[hit] + 1).to_pylist(),
        ("orders", "status"): [
            "cancelled" if is_cancelled else "completed" for is_cancelled in orders.is_cancelled[hit]
        ],
        ("orders", "channel"): [CHANNELS[code] for code in orders.channel[hit]],
        ("orders", "campaign"): [find(code).name if code else None for code in orders.campaign[hit].tolist()],
        ("orders", "currency"): [shop.currency] * len(hit),
        ("orders", "ordered_at"): placed.at[hit].tolist(),
        ("orders", "discount_amount"): orders.discount[hit].tolist(),
        ("orders", "shipping_amount"): orders.shipping[hit].tolist(),
        ("orders", "tax_amount"): orders.tax[hit].tolist(),
        ("orders", "total_amount"): orders.total[hit].tolist(),
        ("orders", "shipped_at"): orders.shipped_at[hit].tolist(),
        ("order_items", WHOLE_ROW): once,
        ("order_items", "order_id"): ids,
        ("order_items", "key"): lines.line[line].tolist(),
        ("order_items", "product_id"): product_id(lines.product[line]).to_pylist(),
        ("order_items", "quantity"): lines.quantity[line].tolist(),
        ("order_items", "unit_price"): lines.price[line].tolist(),
        ("order_items", "discount_amount"): lines.discount[line].tolist(),
    }
    of_payments: dict[Field, list[Any]] = {
        ("payments", WHOLE_ROW): once,
        ("payments", "order_id"): ids,
        ("payments", "key"): payment_id(payments.order[payment], payments.part[payment]).to_pylist(),
        ("payments", "method"): [METHODS[code] for code in payments.method[payment]],
        ("payments", "amount"): payments.amount[payment].tolist(),
        ("payments", "currency"): [shop.currency] * len(hit),
        ("payments", "status"): [STATUSES[code] for code in payments.status[payment]],
        ("payments", "paid_at"): payments.at[payment].tolist(),
    }
    how = uniform_draws(shop.seed, "way of spoiling", number).tolist()
    signed_up = life.customers.signed_up[placed.customer[hit]].tolist()
    shipped_on = local_day(life.timepiece, orders.shipped_at[hit])
    second_day = int(life.timepiece.day_starts[1])
    for i, position in enumerate(hit.tolist()):
        known = columns | of_payments if is_paid[i] else columns
        yield Family(
            system=system,
            number=int(number[i]),
            order_id=ids[i],
            year=int(placed.year[position]),
            row={"orders": position, "order_items": int(line[i]), "payments": int(payment[i])},
            values={field: values[i] for field, values in known.items()},
            currency=shop.currency,
            time_zone=shop.time_zone,
            how=how[i],
            signed_up=signed_up[i],
            shipped_on=int(shipped_on[i]),
            second_day=second_day,
            is_cancelled=bool(orders.is_cancelled[position]),
            has_returns=bool(end[i] - first[i] > n_sold[i]),
        )
