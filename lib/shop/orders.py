"""Orders and their lines: what is in each basket, what it costs, what is cancelled and what comes back.

When orders are placed is in `habits`, how they are paid in `payments`. Money is in cents throughout.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.shop.assortment import CATEGORIES
from lib.shop.catalogue import Catalogue
from lib.shop.chance import pick
from lib.shop.promotions import campaigns
from lib.shop.rhythm import Clock, Seconds, last_second

Ints = NDArray[np.int64]
Days = NDArray[np.int16]

LINES = (0.24, 0.225, 0.18, 0.125, 0.085, 0.055, 0.035, 0.02, 0.018, 0.017)
COMPANION_SHARE = 0.3
QUANTITIES = (0.86, 0.1, 0.025, 0.015)
CAMPAIGN_SHARE = 0.45
CANCELLED = 0.035
SHIPPING, FREE_SHIPPING_FROM = 490, 5_000
VAT_PERCENT = 19
RETURN_DELAY, RETURN_SPREAD, LATEST_RETURN = 10.0, 0.6, 60
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
    """Orders with their sums; `campaign` is a campaign's code, 0 for none (see `promotions.find`)."""

    placed: Placed
    is_cancelled: NDArray[np.bool_]
    campaign: Ints
    discount: Ints
    shipping: Ints
    tax: Ints
    total: Ints


@dataclass(frozen=True)
class Refunds:
    """What is paid back for returned goods: position of the order, amount, UTC second and local day."""

    order: Ints
    amount: Ints
    at: Seconds
    day: Days


def fill_baskets(rng: np.random.Generator, placed: Placed, catalogue: Catalogue, percent: Ints) -> Lines:
    """Return the sold lines of all orders, with `percent` off in each order; `order` is a position."""
    n_products = len(catalogue.price)
    count = 1 + pick(rng, LINES, len(placed.at))
    order = np.repeat(np.arange(len(count)), count)
    first = np.repeat(np.cumsum(count) - count, count)

    # All twelve monthly distributions laid end to end: month m owns the stretch from m to m + 1.
    ladder = (np.cumsum(catalogue.demand, axis=1) + np.arange(12)[:, None]).ravel()
    month = placed.month[order]
    rung = np.searchsorted(ladder, month + rng.random(len(order)), side="right")
    product = np.minimum(rung - month * n_products, last_sold(catalogue)[month])
    follows = (rng.random(len(order)) < COMPANION_SHARE) & (first != np.arange(len(order)))
    with_it = catalogue.companions[product[first], rng.integers(0, catalogue.companions.shape[1], len(order))]
    product = np.where(follows, with_it, product)

    _, kept = np.unique(order * n_products + product, return_index=True)
    kept.sort()
    order, product = order[kept], product[kept]
    quantity = 1 + pick(rng, QUANTITIES, len(order))
    price = catalogue.price[product]
    discount = divide(quantity * price * percent[order], 100)
    return Lines(order, ranks(order) + 1, product, quantity, price, discount, placed.day[order])


def last_sold(catalogue: Catalogue) -> Ints:
    """Return for each month the last product with any demand, where a draw on the very top rung belongs."""
    sold = catalogue.demand > 0
    return sold.shape[1] - 1 - np.argmax(sold[:, ::-1], axis=1)


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


def total_up(rng: np.random.Generator, placed: Placed, lines: Lines, campaign: Ints) -> Orders:
    """Return the orders with the sums of their lines, shipping and the VAT within; some are cancelled."""
    starts = np.flatnonzero(lines.line == 1)
    goods = np.add.reduceat(lines.quantity * lines.price, starts)
    discount = np.add.reduceat(lines.discount, starts)
    shipping = np.where(goods - discount < FREE_SHIPPING_FROM, SHIPPING, 0)
    total = goods - discount + shipping
    tax = divide(total * VAT_PERCENT, 100 + VAT_PERCENT)
    cancelled = rng.random(len(goods)) < CANCELLED
    return Orders(placed, cancelled, campaign, discount, shipping, tax, total)


def take_back(
    rng: np.random.Generator, orders: Orders, lines: Lines, catalogue: Catalogue, timepiece: Clock
) -> tuple[Lines, Refunds]:
    """Return the lines that come back later and what is refunded for them, one refund an order."""
    rates = np.array([category.return_rate for category in CATEGORIES])[catalogue.category]
    chance = rates[lines.product] * ~orders.is_cancelled[lines.order]
    back = np.flatnonzero(rng.random(len(lines.order)) < chance)
    order, position = np.unique(lines.order[back], return_inverse=True)

    delay = np.rint(rng.lognormal(np.log(RETURN_DELAY), RETURN_SPREAD, len(order)))
    day = orders.placed.day[order] + np.clip(delay, 1, LATEST_RETURN).astype(np.int16)
    sold, price = lines.quantity[back], lines.price[back]
    partly = (sold > 1) & (rng.random(len(back)) < KEEPS_THE_REST)
    quantity = np.where(partly, 1, sold)
    discount = divide(lines.discount[back] * quantity, sold)
    amount = np.bincount(position, weights=quantity * price - discount, minlength=len(order))

    n_lines = np.bincount(lines.order, minlength=len(orders.total))
    line = n_lines[lines.order[back]] + ranks(lines.order[back]) + 1
    returned = Lines(lines.order[back], line, lines.product[back], -quantity, price, -discount, day[position])
    # Parcels are opened in working hours; beyond the clock's end no day is ever reported.
    known = np.minimum(day, len(timepiece.day_starts) - 2).astype(np.int16)
    at = timepiece.day_starts[known.astype(np.int64)] + rng.integers(8 * 3600, 18 * 3600, len(order))
    at = np.minimum(at, last_second(timepiece, known))
    return returned, Refunds(order, np.rint(amount).astype(np.int64), at, day)


def ranks(groups: Ints) -> Ints:
    """Return each row's place (from 0) in its run of equal values."""
    rows = np.arange(len(groups))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return rows - np.repeat(starts, np.diff(starts, append=len(groups)))


def divide(amount: Ints, by: Ints | int) -> Ints:
    """Return a quotient of positive whole numbers rounded half up, without floats."""
    return (2 * amount + by) // (2 * by)
