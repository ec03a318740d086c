"""What the marketplace's daily files hold: the columns of each entity, made from the shop's books."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.shop.files import Export, code, moment, money, padded, text, whole
from lib.shop.orders import Ints
from lib.shop.payments import METHODS, STATUSES
from lib.shop.promotions import find
from lib.shop.rhythm import local_day
from lib.shop.trade import Books

CHANNEL = "marketplace"
COLUMNS = {
    "customers": "customer_id first_name last_name email phone country region city postal_code signup_at updated_at",
    "products": "product_id name category subcategory brand unit_price unit_cost currency is_active updated_at",
    "orders": "order_id ordered_at customer_id status channel campaign currency "
    "discount_amount shipping_amount tax_amount total_amount updated_at",
    "order_items": "order_id line_number product_id quantity unit_price discount_amount",
    "payments": "payment_id order_id method amount currency status paid_at",
}


def marketplace(books: Books, currency: str) -> list[Export]:
    """Return the five exports; rows of a day come in order of their ids."""
    opening = np.zeros(len(books.catalogue.price), dtype=np.int16)
    signed_up = local_day(books.timepiece, books.customers.signed_up)
    sources = {
        "customers": (signed_up, partial(customers, books)),
        "products": (opening, partial(products, books, currency)),
        "orders": (books.orders.placed.day, partial(orders, books, currency)),
        "order_items": (books.lines.day, partial(order_items, books)),
        "payments": (books.payments.day, partial(payments, books, currency)),
    }
    return [Export(entity, tuple(COLUMNS[entity].split()), day, render) for entity, (day, render) in sources.items()]


def customers(books: Books, rows: Ints) -> list[pa.Array]:
    """Return the columns of the customers in `rows`, as text."""
    found, details = books.customers, books.customers.details.take(rows)
    signed_up = moment(found.signed_up[rows])
    return [
        customer_id(found.number[rows]),
        *(text(details[name]) for name in details.column_names),
        signed_up,
        signed_up,
    ]


def products(books: Books, currency: str, rows: Ints) -> list[pa.Array]:
    """Return the columns of the products in `rows`, as text."""
    found, details = books.catalogue, books.catalogue.details.take(rows)
    opening = np.full(len(rows), books.timepiece.day_starts[0])
    return [
        product_id(rows),
        *(text(details[name]) for name in details.column_names),
        money(found.price[rows]),
        money(found.cost[rows]),
        always(currency, rows),
        pa.array(["false", "true"]).take(pa.array(found.is_active[rows].astype(np.int64))),
        moment(opening),
    ]


def orders(books: Books, currency: str, rows: Ints) -> list[pa.Array]:
    """Return the columns of the orders in `rows`, as text."""
    found = books.orders
    codes, position = np.unique(found.campaign[rows], return_inverse=True)
    campaign = pa.array([find(int(code)).name if code else None for code in codes], type=pa.string())
    cancelled = found.is_cancelled[rows].astype(np.int64)
    return [
        order_id(found.placed.number[rows]),
        moment(found.placed.at[rows]),
        customer_id(found.placed.customer[rows] + 1),
        pa.array(["completed", "cancelled"]).take(pa.array(cancelled)),
        always(CHANNEL, rows),
        campaign.take(pa.array(position)),
        always(currency, rows),
        money(found.discount[rows]),
        money(found.shipping[rows]),
        money(found.tax[rows]),
        money(found.total[rows]),
        moment(books.updated[rows]),
    ]


def order_items(books: Books, rows: Ints) -> list[pa.Array]:
    """Return the columns of the order lines in `rows`, as text."""
    found = books.lines
    return [
        order_id(found.order[rows]),
        whole(found.line[rows]),
        product_id(found.product[rows]),
        whole(found.quantity[rows]),
        money(found.price[rows]),
        money(found.discount[rows]),
    ]


def payments(books: Books, currency: str, rows: Ints) -> list[pa.Array]:
    """Return the columns of the payments in `rows`, as text."""
    found = books.payments
    return [
        payment_id(found.order[rows], found.part[rows]),
        order_id(found.order[rows]),
        pa.array(METHODS).take(pa.array(found.method[rows])),
        money(found.amount[rows]),
        always(currency, rows),
        pa.array(STATUSES).take(pa.array(found.status[rows])),
        moment(found.at[rows]),
    ]


def customer_id(number: Ints) -> pa.Array:
    """Return ids like C000001."""
    return code("C", number, 6)


def product_id(position: Ints) -> pa.Array:
    """Return ids like P0001, for positions from 0."""
    return code("P", position + 1, 4)


def order_id(number: Ints) -> pa.Array:
    """Return ids like M-00000001."""
    return code("M-", number, 8)


def payment_id(order: Ints, part: Ints) -> pa.Array:
    """Return ids like PAY-00000001-1: they follow from the order, so later refunds never renumber any."""
    return pc.binary_join_element_wise("PAY", padded(whole(order), 8), whole(part), "-")


def always(value: str, rows: Ints) -> pa.Array:
    """Return the same text for all rows."""
    return pa.repeat(value, len(rows))
