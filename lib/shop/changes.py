"""What changes in the life of customers and products: who moves, what prices become, what is discontinued.

Events are drawn by stretch; the states they lead to follow from all events up to then, in whole numbers, so
that a state never depends on what comes after it.
"""

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lib.shop.catalogue import Catalogue
from lib.shop.chance import pick
from lib.shop.orders import Days, Ints, ranks
from lib.shop.people import Customers, addresses, domains, phones
from lib.shop.rhythm import Clock, Seconds, Stretch, local_day, mark, to_instants, to_scale

# Changes of a customer in an average year, and the shares of moving, a new e-mail address, a new phone.
CUSTOMER_CHANGES = 0.05
KINDS = (0.5, 0.3, 0.2)
MOVED, NEW_EMAIL, NEW_PHONE = range(3)

# Price changes of a product in a year, in 1/10,000 up or down; the cost follows, but not quite.
PRICE_CHANGES, SMALLEST_STEP, LARGEST_STEP, UPWARDS = 1.5, 150, 800, 0.63
COST_FOLLOWS, COST_SPREAD = 0.9, 120
COST_FLOOR, COST_CEILING = 0.41, 0.74
# Cheap products move in steps of ten cents, others in whole euros; each keeps the ending of its price.
CHEAP = 3_000
DISCONTINUED, COMES_BACK, BACK_AFTER = 0.012, 0.4, (60, 400)
SETTLED_AFTER, SAFE_DAYS = 30, 365


@dataclass(frozen=True)
class Changes:
    """Later states of customers or products in order of time: position, UTC second, local day, all attributes.

    `details` has every attribute after the change. The state on a day is the latest change up to that day,
    or the first state if there is none (see `latest`). A product changes at midnight, once a day at most.
    """

    row: Ints
    at: Seconds
    day: Days
    details: pa.Table


@dataclass(frozen=True)
class CustomerEvents:
    """Who changes what and when, before the states are known; every event has a value for all kinds."""

    row: Ints
    at: Seconds
    kind: Ints
    values: pa.Table


@dataclass(frozen=True)
class ProductEvents:
    """Steps of price and cost in 1/10,000, and whether a product goes (0), comes back (1) or stays (-1)."""

    row: Ints
    day: Ints
    price_step: Ints
    cost_step: Ints
    active: Ints


def latest(changes: Changes, row: Ints, day: Days | Ints) -> Ints:
    """Return the position of each row's latest change up to and including a day, -1 if there is none."""
    in_order = np.lexsort((changes.at, changes.row))
    keys = changes.row[in_order] << 16 | changes.day[in_order].astype(np.int64)
    if not len(keys):
        return np.full(len(row), -1)
    found = np.searchsorted(keys, row << 16 | np.asarray(day, dtype=np.int64), side="right") - 1
    position = in_order[found]
    return np.where((found >= 0) & (changes.row[position] == row), position, -1)


def customer_events(
    rng: np.random.Generator, customers: Customers, known: int, timepiece: Clock, stretch: Stretch
) -> CustomerEvents:
    """Return what happens in a stretch to the first `known` customers."""
    opened, closed = (mark(timepiece, timepiece.demand, day) for day in (stretch.first, stretch.last))
    since = np.maximum(to_scale(timepiece, timepiece.demand, customers.signed_up[:known]), opened)
    count = rng.poisson(CUSTOMER_CHANGES * (closed - since) / 365.25)
    row = np.repeat(np.arange(known), count)
    point = since[row] + rng.random(len(row)) * (closed - since[row])
    at = np.maximum(to_instants(timepiece, timepiece.demand, point), customers.signed_up[row] + 1)
    country = customers.country[row]
    values = addresses(rng, country) | {"domain": domains(rng, len(row)), "phone": phones(rng, country)}
    return CustomerEvents(row, at, pick(rng, KINDS, len(row)), pa.table(values))


def customer_changes(customers: Customers, events: CustomerEvents, timepiece: Clock) -> Changes:
    """Return the states that customers' events lead to."""
    in_order = np.lexsort((events.at, events.row))
    row, at, kind = (values[in_order] for values in (events.row, events.at, events.kind))
    values = events.values.take(in_order)
    first = row.searchsorted(row)
    before = customers.details.take(row)

    def newest(which: int, column: str, new: pa.Array) -> pa.Array:
        """Return the column as the latest event of a kind left it."""
        position = last_of(kind == which, first)
        stacked = pa.chunked_array([*before[column].chunks, *pa.chunked_array([new]).chunks])
        return stacked.take(np.where(position >= 0, len(row) + position, np.arange(len(row)))).combine_chunks()

    mailbox, is_new = pc.list_element(pc.split_pattern(before["email"], "@"), 0), kind == NEW_EMAIL
    serial = np.cumsum(is_new)
    serial = serial - (serial - is_new)[first] + 1
    numbered = pc.binary_join_element_wise(mailbox, pa.array(serial).cast(pa.string()), ".")
    emails = pc.binary_join_element_wise(numbered, values["domain"], "@").combine_chunks()
    columns = {name: before[name].combine_chunks() for name in before.column_names}
    columns["email"] = newest(NEW_EMAIL, "email", emails)
    columns["phone"] = newest(NEW_PHONE, "phone", values["phone"].combine_chunks())
    for name in ("region", "city", "postal_code"):
        columns[name] = newest(MOVED, name, values[name].combine_chunks())
    return in_time_order(Changes(row, at, local_day(timepiece, at), pa.table(columns)))


def product_events(rng: np.random.Generator, launched: Days, stretch: Stretch) -> ProductEvents:
    """Return what happens in a stretch to the products known by its end; some come back only after it."""
    since = np.maximum(launched.astype(np.int64) + SETTLED_AFTER, stretch.first)
    row, day = spread(rng, since, stretch.last, PRICE_CHANGES)
    direction = np.where(rng.random(len(row)) < UPWARDS, 1, -1)
    step = direction * rng.integers(SMALLEST_STEP, LARGEST_STEP, len(row))
    cost = np.rint(step * COST_FOLLOWS + rng.normal(0, COST_SPREAD, len(row))).astype(np.int64)

    safe = np.maximum(launched.astype(np.int64) + SAFE_DAYS, stretch.first)
    gone, last_day = spread(rng, safe, stretch.last, DISCONTINUED)
    comes_back = rng.random(len(gone)) < COMES_BACK
    back_day = (last_day + rng.integers(*BACK_AFTER, len(gone)))[comes_back]
    parts = (
        (row, day, step, cost, np.full(len(row), -1)),
        (gone, last_day, gone * 0, gone * 0, gone * 0),
        (gone[comes_back], back_day, back_day * 0, back_day * 0, back_day * 0 + 1),
    )
    return ProductEvents(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def product_changes(catalogue: Catalogue, events: ProductEvents, timepiece: Clock) -> Changes:
    """Return the states that products' events lead to; where several fall on a day, the last of them."""
    within = np.flatnonzero(events.day < len(timepiece.day_starts) - 1)
    in_order = within[np.lexsort((events.day[within], events.row[within]))]
    row, day, step, cost_step, active = (getattr(events, field.name)[in_order] for field in fields(events))
    first = row.searchsorted(row)
    price = reprice(catalogue.price[row], running(step, first))
    cost = np.rint(catalogue.cost[row] * np.exp(running(cost_step, first) / 10_000))
    cost = np.clip(cost, np.ceil(price * COST_FLOOR), np.floor(price * COST_CEILING)).astype(np.int64)
    switched = last_of(active >= 0, first)
    is_active = np.where(switched >= 0, active[switched] == 1, catalogue.is_active[row])

    last_of_day = np.append((row[1:] != row[:-1]) | (day[1:] != day[:-1]), True)[: len(row)]
    row, day, price, cost, is_active = (values[last_of_day] for values in (row, day, price, cost, is_active))
    starts = ranks(row) == 0
    differs = np.zeros(len(row), dtype=bool)
    for now, initial in ((price, catalogue.price), (cost, catalogue.cost), (is_active, catalogue.is_active)):
        differs |= now != np.where(starts, initial[row], np.roll(now, 1))
    row, day, price, cost, is_active = (values[differs] for values in (row, day, price, cost, is_active))
    details = pa.table({"price": price, "cost": cost, "is_active": is_active})
    return in_time_order(Changes(row, timepiece.day_starts[day], day.astype(np.int16), details))


def price_list(catalogue: Catalogue, changes: Changes, stretch: Stretch) -> NDArray[np.int32]:
    """Return products x days of a stretch: the price in cents, 0 where a product is not on sale."""
    n_products, n_days = len(catalogue.price), stretch.last - stretch.first
    active = np.asarray(changes.details["is_active"])
    row = np.concatenate([np.arange(n_products), np.arange(n_products), changes.row])
    day = np.concatenate([np.zeros(n_products), catalogue.launched, changes.day]).astype(np.int64)
    # A launch on the opening day comes after the nothing before it, a change after its launch.
    price = np.concatenate(
        [np.zeros(n_products), catalogue.price, np.where(active, np.asarray(changes.details["price"]), 0)]
    )
    in_order = np.lexsort((day, row))
    starts = row[in_order] * n_days + np.clip(day[in_order] - stretch.first, 0, n_days)
    table = np.repeat(price[in_order].astype(np.int32), np.diff(starts, append=n_products * n_days))
    return table.reshape(n_products, n_days)


def reprice(launch: Ints, step: Ints) -> Ints:
    """Return prices moved by steps in 1/10,000, with their own endings and never below their smallest one."""
    unit = np.where(launch < CHEAP, 10, 100)
    ending = launch % unit
    moved = np.rint((launch * np.exp(step / 10_000) - ending) / unit)
    return np.maximum(moved.astype(np.int64), 1) * unit + ending


def spread(rng: np.random.Generator, since: Ints, until: int, a_year: float) -> tuple[Ints, Ints]:
    """Return (row, day) of events that hit every row so often a year, from day `since` to before `until`."""
    days = np.maximum(until - since, 0)
    row = np.repeat(np.arange(len(since)), rng.poisson(a_year * days / 365.25))
    return row, since[row] + (rng.random(len(row)) * days[row]).astype(np.int64)


def running(steps: Ints, first: Ints) -> Ints:
    """Return the sums of steps from the first of each group, whose position every row knows."""
    total = np.cumsum(steps)
    return total - (total - steps)[first]


def last_of(happens: NDArray[np.bool_], first: Ints) -> Ints:
    """Return the position at or before each row where it last happened in the row's group, else -1."""
    position = np.maximum.accumulate(np.where(happens, np.arange(len(happens)), -1))
    return np.where(position >= first, position, -1)


def in_time_order(changes: Changes) -> Changes:
    """Return changes in order of time; at the same time, in order of rows."""
    order = np.lexsort((changes.row, changes.at))
    return Changes(changes.row[order], changes.at[order], changes.day[order], changes.details.take(order))
