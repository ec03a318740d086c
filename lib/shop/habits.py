"""When customers order: how often each comes back, and how long each waits. What is bought is in `orders`.

Everything here is on the clock's even scale of average days, not in real time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.shop.chance import stream

# Share of customers who never order and who order once; the rest order 1 + a lognormal number of times.
NEVER, ONCE = 0.04, 0.26
TYPICAL_ORDERS, ORDERS_SPREAD, MOST_ORDERS = 4.35, 1.1, 160
TYPICAL_GAP, CUSTOMER_SPREAD, GAP_SPREAD = 51.0, 0.35, 0.95
# Frequent customers are frequent because they wait less, not only because they stay longer.
EAGERNESS = 0.5
# Some planned orders come too late for the founding years, so there must be more of them than orders.
SPARE_ORDERS = 1.03


@dataclass(frozen=True)
class PlannedOrders:
    """Every order a cohort would ever place: the customer's position, and the wait since signing up."""

    customer: NDArray[np.int64]
    wait: NDArray[np.float64]


def planned_orders(rng: np.random.Generator, customers: int, orders_factor: float) -> PlannedOrders:
    """Return all orders of a cohort for its whole life, at pace 1.

    `orders_factor` raises the number of orders of those who come back, for shops of frequent customers.
    """
    mood = rng.random(customers)
    often = 1 + rng.lognormal(np.log(TYPICAL_ORDERS * orders_factor), ORDERS_SPREAD, customers)
    count = np.where(mood < NEVER, 0, np.where(mood < NEVER + ONCE, 1, np.minimum(often, MOST_ORDERS)))
    count = count.astype(np.int64)
    gap = TYPICAL_GAP * rng.lognormal(0, CUSTOMER_SPREAD, customers)
    gap *= (np.maximum(count, 2) / TYPICAL_ORDERS) ** -EAGERNESS

    customer = np.repeat(np.arange(customers), count)
    waits = gap[customer] * rng.lognormal(0, GAP_SPREAD, len(customer))
    starts = (np.cumsum(count) - count)[count > 0]
    # Most sign up because they are about to order; a few think about it for days.
    waits[starts] = rng.lognormal(np.log(0.02), 2.2, len(starts))
    total = np.cumsum(waits)
    before = np.repeat(total[starts] - waits[starts], count[count > 0])
    return PlannedOrders(customer, total - before)


def enough_planned_orders(
    seed: int, stretch: int, customers: int, orders: int, orders_factor: float
) -> tuple[PlannedOrders, float]:
    """Return a cohort's planned orders, more than `orders`, and the factor it takes: rarely more than the given one."""
    wanted = planned_orders(stream(seed, stretch, "habits"), customers, orders_factor)
    while len(wanted.wait) < orders * SPARE_ORDERS:
        orders_factor *= 1.05
        wanted = planned_orders(stream(seed, stretch, "habits"), customers, orders_factor)
    return wanted, orders_factor


def pace_for(signed_up: NDArray[np.float64], wanted: PlannedOrders, close: float, orders: int) -> float:
    """Return the factor on all waits with which exactly `orders` planned orders are placed before `close`.

    An order is placed while pace * wait < close - signed_up, so the ratio of the two sides, sorted, holds
    the pace of every possible number of orders. There must be more planned orders than orders.
    """
    ratio = (close - signed_up[wanted.customer]) / wanted.wait
    cut = len(ratio) - orders
    ordered = np.partition(ratio, (cut - 1, cut))
    return float((ordered[cut - 1] + ordered[cut]) / 2)
