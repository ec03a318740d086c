"""The shop's whole life up to a day, in memory: who signs up, orders, pays, returns. Files: see `exports`.

Life comes in stretches: the founding one up to `LAST_DAY`, whose counts are exact, then one a calendar year.
A stretch is always lived whole and in its own streams, however little of it is asked for, so what a day
holds never depends on how far the shop is simulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from lib.shop.catalogue import Catalogue, stock
from lib.shop.chance import stream
from lib.shop.changes import (
    Changes,
    CustomerEvents,
    ProductEvents,
    customer_changes,
    customer_events,
    latest,
    price_list,
    product_changes,
    product_events,
)
from lib.shop.channels import Habits, choose, home_stores, lean
from lib.shop.habits import enough_planned_orders, pace_for, planned_orders
from lib.shop.orders import Ints, Lines, Orders, Placed, Ways, fill_baskets, note_returns, promote, take_back, total_up
from lib.shop.payments import Payments, settle
from lib.shop.people import Customers, sign_up
from lib.shop.rhythm import RUN_OUT_DAYS, Clock, Seconds, Stretch, clock, local_day, mark, to_instants, to_scale
from lib.shop.sizes import LAST_DAY, SIZES, Size

FOUNDING = 0
# Where customers order more often, a smaller share of their planned orders is placed in time.
FREQUENT_SHOPS = 1.12


@dataclass(frozen=True)
class ShopLife:
    """All that happens in the shop; lines and payments name the order by its number, and
    are sorted by it.

    Customers are as they signed up and products as they were launched; what changed later is in their changes.
    `updated` is by order: when it was placed, or cancelled. It holds more than the day asked for (the
    rest of its year, and what comes of its orders): every system holds no more than it knows on a day.
    """

    timepiece: Clock
    catalogue: Catalogue
    customers: Customers
    customer_changes: Changes
    product_changes: Changes
    orders: Orders
    updated: Seconds
    lines: Lines
    payments: Payments


def simulate_life(size: Size, seed: int, last_day: date, time_zone: str) -> ShopLife:
    """Return the life of a shop that covers `last_day` (and some days more)."""
    years = range(LAST_DAY.year + 1, last_day.year + 1)
    stretches = [Stretch(FOUNDING, 0, (LAST_DAY - size.first_day).days + 1)]
    for year in years:
        end = (date(year, 12, 31) - size.first_day).days + 1
        stretches.append(Stretch(year, stretches[-1].last, end))
    end_of_life = size.first_day + timedelta(days=stretches[-1].last - 1)
    timepiece = clock(size.first_day, end_of_life + timedelta(days=RUN_OUT_DAYS), time_zone)

    catalogue = stock(seed, size.products, stretches)
    prices = product_changes(catalogue, revise(seed, stretches, catalogue), timepiece)
    customers, habits, known, placed = live(size, seed, timepiece, stretches)
    moves = customer_changes(customers, unsettle(seed, stretches, customers, known, timepiece), timepiece)
    home = nearest(customers, moves, habits, placed)
    chapters = []
    for stretch in stretches:
        lo, hi = np.searchsorted(placed.day, (stretch.first, stretch.last))
        own = Placed(*(getattr(placed, field.name)[lo:hi] for field in fields(Placed)))
        ways = choose(
            stream(seed, stretch.stream, "channels"),
            own,
            habits,
            home[lo:hi],
            (size.live_from - size.first_day).days,
            timepiece,
        )
        chapters.append(sell(own, ways, seed, stretch, timepiece, catalogue, prices, customers))
    orders, updated, lines, payments = (joined(parts) for parts in zip(*chapters, strict=True))
    return ShopLife(timepiece, catalogue, customers, moves, prices, orders, updated, lines, payments)


def live(
    size: Size, seed: int, timepiece: Clock, stretches: list[Stretch]
) -> tuple[Customers, Habits, list[int], Placed]:
    """Return everybody who signs up, their habits, how many they are by the end of each stretch, and every
    order placed within the stretches.
    """
    usual = SIZES["default"].orders / SIZES["default"].customers
    orders_factor = (size.orders / size.customers / usual) ** FREQUENT_SHOPS
    founding_arrivals = mark(timepiece, timepiece.arrivals, stretches[0].last)
    end = mark(timepiece, timepiece.demand, stretches[-1].last)
    pace, numbered = 0.0, 0
    cohorts, leanings, known, when, who = [], [], [], [], []
    for stretch in stretches:
        first, last = (mark(timepiece, timepiece.arrivals, day) for day in (stretch.first, stretch.last))
        n = round(size.customers * (last - first) / founding_arrivals)
        cohort = sign_up(stream(seed, stretch.stream, "people"), timepiece, first, last, n, numbered_from=numbered + 1)
        signed_up = to_scale(timepiece, timepiece.demand, cohort.signed_up)
        if stretch.stream == FOUNDING:
            wanted, orders_factor = enough_planned_orders(seed, FOUNDING, n, size.orders, orders_factor)
            close = mark(timepiece, timepiece.demand, stretch.last)
            pace = pace_for(signed_up, wanted, close, size.orders)
        else:
            wanted = planned_orders(stream(seed, stretch.stream, "habits"), n, orders_factor)
        point = signed_up[wanted.customer] + pace * wanted.wait
        in_time = point < end
        customer = wanted.customer[in_time]
        at = to_instants(timepiece, timepiece.demand, point[in_time])
        when.append(np.maximum(at, cohort.signed_up[customer]))
        who.append(customer + numbered)
        cohorts.append(cohort)
        leanings.append(lean(stream(seed, stretch.stream, "leanings"), n))
        numbered += n
        known.append(numbered)
    placed = place(timepiece, np.concatenate(who), np.concatenate(when))
    return joined(cohorts), joined(leanings), known, placed


def revise(seed: int, stretches: list[Stretch], catalogue: Catalogue) -> ProductEvents:
    """Return all that happens to products within the stretches, and some that comes of it later."""
    chapters = []
    for stretch in stretches:
        launched = catalogue.launched[catalogue.launched < stretch.last]
        chapters.append(product_events(stream(seed, stretch.stream, "prices"), launched, stretch))
    events: ProductEvents = joined(chapters)
    return events


def unsettle(
    seed: int, stretches: list[Stretch], customers: Customers, known: list[int], timepiece: Clock
) -> CustomerEvents:
    """Return all that happens to customers within the stretches; `known` is how many sign up by the end of each."""
    events: CustomerEvents = joined(
        [
            customer_events(stream(seed, stretch.stream, "moves"), customers, n, timepiece, stretch)
            for stretch, n in zip(stretches, known, strict=True)
        ]
    )
    return events


def nearest(customers: Customers, moves: Changes, habits: Habits, placed: Placed) -> Ints:
    """Return for each order the branch store in the city where its customer lives on that day, -1 for none."""
    at_first = home_stores(customers.details["city"], habits.store)
    later = home_stores(moves.details["city"], habits.store[moves.row])
    moved = latest(moves, placed.customer, placed.day)
    return np.concatenate([at_first, later])[np.where(moved >= 0, len(at_first) + moved, placed.customer)]


def place(timepiece: Clock, customer: Ints, at: Seconds) -> Placed:
    """Return the orders in order of time, numbered from 1."""
    in_order = np.lexsort((customer, at))
    at = at[in_order]
    day = local_day(timepiece, at)
    months = (np.datetime64(timepiece.first_day) + day.astype(np.int64)).astype("datetime64[M]").astype(np.int64)
    return Placed(np.arange(1, len(at) + 1), customer[in_order], at, day, months // 12 + 1970, months % 12)


def sell(
    placed: Placed,
    ways: Ways,
    seed: int,
    stretch: Stretch,
    timepiece: Clock,
    catalogue: Catalogue,
    changes: Changes,
    customers: Customers,
) -> tuple[Orders, Seconds, Lines, Payments]:
    """Return the orders of a stretch, when they last changed, their lines (sold ones first in each) and payments."""
    campaign, percent = promote(stream(seed, stretch.stream, "promotions"), placed, timepiece)
    prices = price_list(catalogue, changes, stretch)
    sold = fill_baskets(stream(seed, stretch.stream, "baskets"), placed, catalogue, prices, stretch, percent)
    orders = total_up(stream(seed, stretch.stream, "cancellations"), placed, ways, sold, campaign, timepiece)
    returned, refunds = take_back(stream(seed, stretch.stream, "returns"), orders, sold, catalogue, timepiece)
    country = customers.country[placed.customer]
    payments, cancelled_at = settle(stream(seed, stretch.stream, "payments"), orders, country, refunds, timepiece)
    orders = replace(note_returns(orders, sold, returned, refunds), cancelled_at=cancelled_at)
    lines: Lines = in_line(joined([sold, returned]))
    return (
        orders,
        np.where(orders.is_cancelled, cancelled_at, placed.at),
        replace(lines, order=placed.number[lines.order]),
        replace(payments, order=placed.number[payments.order]),
    )


def in_line(lines: Lines) -> Lines:
    """Return lines in order of their orders, and within an order of their line numbers."""
    order = np.argsort(lines.order << 6 | lines.line, kind="stable")
    return Lines(*(getattr(lines, field.name)[order] for field in fields(Lines)))


def joined(parts: Sequence[Any]) -> Any:
    """Return arrays, tables, or dataclasses of them, laid end to end."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    if isinstance(parts[0], pa.Table):
        return pa.concat_tables(parts)
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(**{name: joined([getattr(part, name) for part in parts]) for name in names})
