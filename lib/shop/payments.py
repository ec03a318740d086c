"""Payments: how orders are paid, what fails at first, and what is paid back. Money is in cents."""

from dataclasses import dataclass

import numpy as np

from lib.shop.chance import pick
from lib.shop.channels import STORE, WEB
from lib.shop.orders import Days, Ints, Orders, Refunds
from lib.shop.places import COUNTRIES
from lib.shop.rhythm import Clock, Seconds, last_second, local_day

METHODS = ("card", "paypal", "invoice", "bank_transfer", "gift_card", "instalments")
STATUSES = ("paid", "failed", "refunded")
PAID, FAILED, REFUNDED = range(3)
GIFT_CARD = METHODS.index("gift_card")

FAILED_ATTEMPTS = (0.955, 0.04, 0.005)
SPLIT = 0.02
GIFT_CARD_VALUES = np.array([1_000, 2_000, 2_500, 5_000])
# A cancelled order was never paid, or paid and refunded.
NEVER_PAID = 0.4
SECONDS_TO_PAY, SECONDS_TO_CANCEL, LONGEST_DOUBT = 60, 7_200, 86_400
# In a branch store: card, paypal, invoice, bank_transfer, gift_card, instalments.
AT_THE_TILL = (78, 0, 8, 0, 6, 8)


@dataclass(frozen=True)
class Payments:
    """Payments in order of their order; `part` numbers those of one order, `order` is a position."""

    order: Ints
    part: Ints
    method: Ints
    status: Ints
    amount: Ints
    at: Seconds
    day: Days


def settle(
    rng: np.random.Generator, orders: Orders, country: Ints, refunds: Refunds, timepiece: Clock
) -> tuple[Payments, Seconds]:
    """Return all payments, and when each cancelled order was cancelled (0 for the others)."""
    placed, n = orders.placed, len(orders.total)
    close = last_second(timepiece, placed.day)
    method = preferred(rng, np.where(orders.channel == STORE, len(COUNTRIES), country))
    unpaid = orders.is_cancelled & (rng.random(n) < NEVER_PAID)
    refunded = orders.is_cancelled & ~unpaid
    attempts = np.where(orders.is_cancelled, unpaid, pick(rng, FAILED_ATTEMPTS, n))
    value = GIFT_CARD_VALUES[rng.integers(0, len(GIFT_CARD_VALUES), n)]
    split = (rng.random(n) < SPLIT) & (value < orders.total) & ~orders.is_cancelled & (method != GIFT_CARD)

    # Each step follows the one before, and all but the cancellations happen before the shop's midnight. Web
    # shop and stores cancel within a day; the others report a day's orders at its end, and cancel before.
    tried = np.minimum(placed.at + rng.integers(5, SECONDS_TO_PAY, n), close)
    paid = np.minimum(tried + attempts * rng.integers(20, SECONDS_TO_PAY * 5, n), close)
    same_day = np.minimum(paid + rng.integers(120, SECONDS_TO_CANCEL, n), close)
    later = paid + rng.integers(SECONDS_TO_CANCEL // 2, LONGEST_DOUBT, n)
    cancelled = np.where((orders.channel == WEB) | (orders.channel == STORE), later, same_day)

    def part(where: Ints, number: Ints, method: Ints, status: int, amount: Ints, at: Seconds) -> Payments:
        return Payments(where, number, method, np.full(len(where), status), amount, at, local_day(timepiece, at))

    once, twice = np.flatnonzero(attempts >= 1), np.flatnonzero(attempts >= 2)
    gift, main, back = np.flatnonzero(split), np.flatnonzero(~unpaid), np.flatnonzero(refunded)
    rest = orders.total - np.where(split, value, 0)
    after = attempts + split + 2
    parts = [
        part(once, once * 0 + 1, method[once], FAILED, orders.total[once], tried[once]),
        part(
            twice,
            twice * 0 + 2,
            method[twice],
            FAILED,
            orders.total[twice],
            (tried[twice] + paid[twice]) // 2,
        ),
        part(gift, attempts[gift] + 1, gift * 0 + GIFT_CARD, PAID, value[gift], paid[gift]),
        part(main, attempts[main] + split[main] + 1, method[main], PAID, rest[main], paid[main]),
        part(back, back * 0 + 2, method[back], REFUNDED, orders.total[back], cancelled[back]),
        Payments(
            refunds.order,
            after[refunds.order],
            method[refunds.order],
            np.full(len(refunds.order), REFUNDED),
            refunds.amount,
            refunds.at,
            refunds.day,
        ),
    ]
    columns = {name: np.concatenate([getattr(some, name) for some in parts]) for name in vars(parts[0])}
    in_order = np.argsort(columns["order"] * 8 + columns["part"], kind="stable")
    payments = Payments(**{name: values[in_order] for name, values in columns.items()})
    return payments, np.where(orders.is_cancelled, cancelled, 0)


def preferred(rng: np.random.Generator, country: Ints) -> Ints:
    """Return each order's method, drawn with the shares of the customer's country, or of the till behind them."""
    shares = np.array([*(land.methods for land in COUNTRIES), AT_THE_TILL], dtype=np.float64)
    ladder = np.cumsum(shares, axis=1) / shares.sum(axis=1, keepdims=True)
    draw = rng.random(len(country))
    method = np.zeros(len(country), dtype=np.int64)
    for position in range(len(METHODS) - 1):
        method += draw >= ladder[country, position]
    return method
