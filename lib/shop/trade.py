"""The shop's whole life up to a day, in memory: who signs up, orders, pays, returns. Files: see `exports`.

Life comes in stretches: the founding one up to `LAST_DAY`, whose counts are exact, then one a calendar year.
A stretch is always lived whole and in its own streams, however little of it is asked for, so what a day
holds never depends on how far the shop is simulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from lib.shop.catalogue import Catalogue, stock
from lib.shop.chance import stream
from lib.shop.habits import pace_for, wishes
from lib.shop.orders import Ints, Lines, Orders, Placed, fill_baskets, promote, take_back, total_up
from lib.shop.payments import Payments, settle
from lib.shop.people import Customers, sign_up
from lib.shop.rhythm import Clock, Scale, Seconds, clock, local_day, to_instants, to_scale
from lib.shop.sizes import LAST_DAY, SIZES, Size

FOUNDING = 0


@dataclass(frozen=True)
class Books:
    """All the shop has on record; lines and payments name the order by its number, `updated` is by order."""

    timepiece: Clock
    catalogue: Catalogue
    customers: Customers
    orders: Orders
    updated: Seconds
    lines: Lines
    payments: Payments


@dataclass(frozen=True)
class Stretch:
    """A part of the shop's life: the name of its streams (0 or a year) and its days, `last` excluded."""

    stream: int
    first: int
    last: int


def trade(size: Size, seed: int, last_day: date, time_zone: str) -> Books:
    """Return the books of a shop whose life covers `last_day` (and some days more)."""
    years = range(LAST_DAY.year + 1, last_day.year + 1)
    timepiece = clock(size.first_day, date(years[-1], 12, 31) if years else LAST_DAY, time_zone)
    stretches = [Stretch(FOUNDING, 0, (LAST_DAY - size.first_day).days + 1)]
    for year in years:
        end = (date(year, 12, 31) - size.first_day).days + 1
        stretches.append(Stretch(year, stretches[-1].last, end))

    catalogue = stock(stream(seed, FOUNDING, "catalogue"), size.products)
    customers, placed = live(size, seed, timepiece, stretches)
    chapters = []
    for stretch in stretches:
        lo, hi = np.searchsorted(placed.day, (stretch.first, stretch.last))
        own = Placed(*(getattr(placed, field.name)[lo:hi] for field in fields(Placed)))
        chapters.append(sell(own, seed, stretch, timepiece, catalogue, customers))
    orders, updated, lines, payments = (joined(parts) for parts in zip(*chapters, strict=True))
    return Books(timepiece, catalogue, customers, orders, updated, lines, payments)


def live(size: Size, seed: int, timepiece: Clock, stretches: list[Stretch]) -> tuple[Customers, Placed]:
    """Return everybody who signs up, and every order placed, within the stretches."""
    usual = SIZES["default"].orders / SIZES["default"].customers
    orders_factor = size.orders / size.customers / usual
    founding_arrivals = mark(timepiece, timepiece.arrivals, stretches[0].last)
    pace, numbered = 0.0, 0
    cohorts, when, who = [], [], []
    for stretch in stretches:
        first, last = (mark(timepiece, timepiece.arrivals, day) for day in (stretch.first, stretch.last))
        n = round(size.customers * (last - first) / founding_arrivals)
        cohort = sign_up(stream(seed, stretch.stream, "people"), timepiece, first, last, n, numbered_from=numbered + 1)
        signed_up = to_scale(timepiece, timepiece.demand, cohort.signed_up)
        wanted = wishes(stream(seed, stretch.stream, "habits"), n, orders_factor)
        if stretch.stream == FOUNDING:
            close = mark(timepiece, timepiece.demand, stretch.last)
            pace = pace_for(signed_up, wanted, close, size.orders)
        point = signed_up[wanted.customer] + pace * wanted.wait
        in_time = point < timepiece.demand[-1]
        customer = wanted.customer[in_time]
        at = to_instants(timepiece, timepiece.demand, point[in_time])
        when.append(np.maximum(at, cohort.signed_up[customer]))
        who.append(customer + numbered)
        cohorts.append(cohort)
        numbered += n
    customers: Customers = joined(cohorts)
    return customers, place(timepiece, np.concatenate(who), np.concatenate(when))


def place(timepiece: Clock, customer: Ints, at: Seconds) -> Placed:
    """Return the orders in order of time, numbered from 1."""
    in_order = np.lexsort((customer, at))
    at = at[in_order]
    day = local_day(timepiece, at)
    months = (np.datetime64(timepiece.first_day) + day.astype(np.int64)).astype("datetime64[M]").astype(np.int64)
    return Placed(np.arange(1, len(at) + 1), customer[in_order], at, day, months // 12 + 1970, months % 12)


def sell(
    placed: Placed, seed: int, stretch: Stretch, timepiece: Clock, catalogue: Catalogue, customers: Customers
) -> tuple[Orders, Seconds, Lines, Payments]:
    """Return the orders of a stretch, when they last changed, their lines (returns first) and payments."""
    campaign, percent = promote(stream(seed, stretch.stream, "promotions"), placed, timepiece)
    sold = fill_baskets(stream(seed, stretch.stream, "baskets"), placed, catalogue, percent)
    orders = total_up(stream(seed, stretch.stream, "cancellations"), placed, sold, campaign)
    returned, refunds = take_back(stream(seed, stretch.stream, "returns"), orders, sold, catalogue, timepiece)
    country = customers.country[placed.customer]
    payments, updated = settle(stream(seed, stretch.stream, "payments"), orders, country, refunds, timepiece)
    lines: Lines = joined([returned, sold])
    return (
        orders,
        updated,
        replace(lines, order=placed.number[lines.order]),
        replace(payments, order=placed.number[payments.order]),
    )


def mark(timepiece: Clock, scale: Scale, day: int) -> float:
    """Return where a scale stands at the start of a day."""
    return float(scale[np.searchsorted(timepiece.edges, timepiece.day_starts[day])])


def joined(parts: Sequence[Any]) -> Any:
    """Return arrays, tables, or dataclasses of them, laid end to end."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    if isinstance(parts[0], pa.Table):
        return pa.concat_tables(parts)
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(**{name: joined([getattr(part, name) for part in parts]) for name in names})
