"""Orders and their lines: what is in each basket, what it costs, what is cancelled, shipped and comes back.

When orders are placed is in `habits`, through which channel in `channels`, how they are paid in `payments`.
Money is in cents throughout.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lib.shop.assortment import CATEGORIES
from lib.shop.catalogue import Catalogue
from lib.shop.chance import pick
from lib.shop.promotions import campaigns
from lib.shop.rhythm import Clock, Seconds, Stretch, in_working_hours

Ints = NDArray[np.int64]
Days = NDArray[np.int16]

LINES = (0.24, 0.225, 0.18, 0.125, 0.085, 0.055, 0.035, 0.02, 0.018, 0.017)
COMPANION_SHARE = 0.3
QUANTITIES = (0.86, 0.1, 0.025, 0.015)
CAMPAIGN_SHARE = 0.45
CANCELLED = 0.035
SHIPPING, FREE_SHIPPING_FROM = 490, 5_000
VAT_PERCENT = 19
# Days from placing an order to its parcel's leaving, and to the parcel that comes back.
SHIPPING_DAYS = (0.55, 0.35, 0.1)
RETURN_DELAY, RETURN_SPREAD, EARLIEST_RETURN, LATEST_RETURN = 10.0, 0.6, len(SHIPPING_DAYS) + 1, 60
KEEPS_THE_REST = 0.4


@dataclass(frozen=True)
class Placed:
    """Orders as they are placed, in order of time: number, customer's position, UTC second, local day,
    calendar year, and month (January is 0).
    """

    number: Ints
    customer: Ints
    at: Seconds
    day: Days
    year: Ints
    month: Ints


@dataclass(frozen=True)
class Ways:
    """How orders come: position in `channels.CHANNELS` and in `places.STORES` (-1 for none), and whether in
    a store nobody asked the customer's name.
    """

    channel: Ints
    store: Ints
    is_walk_in: NDArray[np.bool_]


@dataclass(frozen=True)
class Lines:
    """Order lines, and the days on which they are reported; a return has negative quantity and discount."""

    order: Ints
    line: Ints
    product: Ints
    quantity: Ints
    price: Ints
    discount: Ints
    day: Days


@dataclass(frozen=True)
class Orders:
    """Orders with their sums, the way they came and what became of them.

    `campaign` is a campaign's code, 0 for none (see `promotions.find`). `channel` and `store` are positions in
    `channels.CHANNELS` and `places.STORES` (-1 for none). A walk-in's customer is known to us alone, to no
    system. `shipped_at`, `cancelled_at` and `returned_at` are UTC seconds, 0 for never; each may lie beyond
    the day up to which the shop is asked for. Wholly returned is an order of which every piece came back.
    """

    placed: Placed
    channel: Ints
    store: Ints
    is_walk_in: NDArray[np.bool_]
    is_cancelled: NDArray[np.bool_]
    campaign: Ints
    discount: Ints
    shipping: Ints
    tax: Ints
    total: Ints
    shipped_at: Seconds
    cancelled_at: Seconds
    returned_at: Seconds
    is_wholly_returned: NDArray[np.bool_]


@dataclass(frozen=True)
class Refunds:
    """What is paid back for returned goods: position of the order, amount, UTC second and local day."""

    order: Ints
    amount: Ints
    at: Seconds
    day: Days


def fill_baskets(
    rng: np.random.Generator,
    placed: Placed,
    catalogue: Catalogue,
    prices: NDArray[np.int32],
    stretch: Stretch,
    percent: Ints,
) -> Lines:
    """Return the sold lines of all orders, with `percent` off in each order; `order` is a position.

    `prices` is products x days of the stretch, 0 where a product is not on sale (see `changes.price_list`).
    """
    # What is launched after the stretch must not shift a draw in it.
    n_products = int((catalogue.launched < stretch.last).sum())
    count = 1 + pick(rng, LINES, len(placed.at))
    order = np.repeat(np.arange(len(count)), count)
    first = np.repeat(np.cumsum(count) - count, count)
    day = placed.day[order].astype(np.int64) - stretch.first

    # All twelve monthly distributions laid end to end: month m owns the stretch from m to m + 1.
    share = np.cumsum(catalogue.demand[:, :n_products], axis=1)
    ladder = (share / share[:, -1:] + np.arange(12)[:, None]).ravel()
    month = placed.month[order]
    product = np.empty(len(order), dtype=np.int64)
    wanted = np.arange(len(order))
    while len(wanted):
        rung = np.searchsorted(ladder, month[wanted] + rng.random(len(wanted)), side="right")
        product[wanted] = np.minimum(rung - month[wanted] * n_products, n_products - 1)
        wanted = wanted[prices[product[wanted], day[wanted]] == 0]
    with_it = catalogue.companions[product[first], rng.integers(0, catalogue.companions.shape[1], len(order))]
    follows = (rng.random(len(order)) < COMPANION_SHARE) & (first != np.arange(len(order)))
    product = np.where(follows & (prices[with_it, day] > 0), with_it, product)

    _, kept = np.unique(order * n_products + product, return_index=True)
    kept.sort()
    order, product, day = order[kept], product[kept], day[kept]
    quantity = 1 + pick(rng, QUANTITIES, len(order))
    price = prices[product, day].astype(np.int64)
    discount = divide(quantity * price * percent[order], 100)
    return Lines(order, ranks(order) + 1, product, quantity, price, discount, placed.day[order])


def promote(rng: np.random.Generator, placed: Placed, timepiece: Clock) -> tuple[Ints, Ints]:
    """Return campaign code (0 for none) and percent off of each order."""
    code = np.zeros(len(placed.at), dtype=np.int64)
    percent = np.zeros(len(placed.at), dtype=np.int64)
    joins = rng.random(len(placed.at)) < CAMPAIGN_SHARE
    for year in np.unique(placed.year):
        for campaign in campaigns(int(year)):
            lo, hi = ((day - timepiece.first_day).days for day in (campaign.first, campaign.last))
            during = joins & (placed.day >= lo) & (placed.day <= hi)
            code[during], percent[during] = campaign.code, campaign.percent
    return code, percent


def total_up(
    rng: np.random.Generator, placed: Placed, ways: Ways, lines: Lines, campaign: Ints, timepiece: Clock
) -> Orders:
    """Return the orders with the sums of their lines, shipping and the VAT within, and when they are shipped.

    Some are cancelled; when, and what is returned when, is filled in later: both are 0 here.
    """
    starts = np.flatnonzero(lines.line == 1)
    goods = np.add.reduceat(lines.quantity * lines.price, starts)
    discount = np.add.reduceat(lines.discount, starts)
    shipping = np.where((goods - discount < FREE_SHIPPING_FROM) & (ways.store < 0), SHIPPING, 0)
    total = goods - discount + shipping
    tax = divide(total * VAT_PERCENT, 100 + VAT_PERCENT)
    cancelled = rng.random(len(goods)) < CANCELLED
    never = np.zeros(len(goods), dtype=np.int64)
    return Orders(
        placed,
        ways.channel,
        ways.store,
        ways.is_walk_in,
        cancelled,
        campaign,
        discount,
        shipping,
        tax,
        total,
        shipped_at=np.where(cancelled, 0, ship(rng, placed, timepiece)),
        cancelled_at=never,
        returned_at=never,
        is_wholly_returned=np.zeros(len(goods), dtype=bool),
    )


def ship(rng: np.random.Generator, placed: Placed, timepiece: Clock) -> Seconds:
    """Return when the parcels leave: one to three days later in working hours, on Sundays never."""
    delay = 1 + pick(rng, SHIPPING_DAYS, len(placed.at))
    is_sunday = (timepiece.first_day.weekday() + placed.day + delay) % 7 == 6
    delay += is_sunday * np.where(delay == len(SHIPPING_DAYS), -1, 1)
    return in_working_hours(rng, timepiece, (placed.day + delay).astype(np.int16))


def take_back(
    rng: np.random.Generator, orders: Orders, lines: Lines, catalogue: Catalogue, timepiece: Clock
) -> tuple[Lines, Refunds]:
    """Return the lines that come back later and what is refunded for them, one refund an order."""
    rates = np.array([category.return_rate for category in CATEGORIES])[catalogue.category]
    chance = rates[lines.product] * ~orders.is_cancelled[lines.order]
    back = np.flatnonzero(rng.random(len(lines.order)) < chance)
    order, position = np.unique(lines.order[back], return_inverse=True)

    delay = np.rint(rng.lognormal(np.log(RETURN_DELAY), RETURN_SPREAD, len(order)))
    day = orders.placed.day[order] + np.clip(delay, EARLIEST_RETURN, LATEST_RETURN).astype(np.int16)
    sold, price = lines.quantity[back], lines.price[back]
    partly = (sold > 1) & (rng.random(len(back)) < KEEPS_THE_REST)
    quantity = np.where(partly, 1, sold)
    discount = divide(lines.discount[back] * quantity, sold)
    amount = np.bincount(position, weights=quantity * price - discount, minlength=len(order))

    n_lines = np.bincount(lines.order, minlength=len(orders.total))
    line = n_lines[lines.order[back]] + ranks(lines.order[back]) + 1
    returned = Lines(lines.order[back], line, lines.product[back], -quantity, price, -discount, day[position])
    at = in_working_hours(rng, timepiece, day)
    return returned, Refunds(order, np.rint(amount).astype(np.int64), at, day)


def note_returns(orders: Orders, sold: Lines, returned: Lines, refunds: Refunds) -> Orders:
    """Return the orders with the instants of their returns and whether nothing is left of them."""
    pieces = np.bincount(sold.order, weights=sold.quantity, minlength=len(orders.total))
    back = np.bincount(returned.order, weights=-returned.quantity, minlength=len(orders.total))
    returned_at = np.zeros(len(orders.total), dtype=np.int64)
    returned_at[refunds.order] = refunds.at
    return replace(orders, returned_at=returned_at, is_wholly_returned=back == pieces)


def ranks(groups: Ints) -> Ints:
    """Return each row's place (from 0) in its run of equal values."""
    rows = np.arange(len(groups))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return rows - np.repeat(starts, np.diff(starts, append=len(groups)))


def divide(amount: Ints, by: Ints | int) -> Ints:
    """Return a quotient of positive whole numbers rounded half up, without floats."""
    return (2 * amount + by) // (2 * by)
