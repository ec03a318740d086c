"""Through which channel an order comes, and in which branch store: what customers are used to, and chance."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lib.shop.orders import Ints, Placed, Ways
from lib.shop.places import STORES
from lib.shop.rhythm import Clock, Scale

CHANNELS = ("history", "web", "store", "marketplace")
HISTORY, WEB, STORE, MARKETPLACE = range(4)

# How often customers do as they always do.
LOYALTY = 0.8
# Shares of those who like the marketplace best, and of those who like a store best: where there is one, and not.
MARKETPLACE_FANS, STORE_FANS, TRAVELLERS = 0.37, 0.36, 0.012
WALK_INS = 0.35
OPENS, CLOSES = 9, 20


@dataclass(frozen=True)
class Habits:
    """What customers lean to, each a number from 0 to 1: a channel, and a store where their city has several."""

    channel: Scale
    store: Scale


def lean(rng: np.random.Generator, n: int) -> Habits:
    """Return the habits of `n` new customers."""
    return Habits(rng.random(n), rng.random(n))


def choose(
    rng: np.random.Generator, placed: Placed, habits: Habits, home: Ints, live_from: int, timepiece: Clock
) -> Ways:
    """Return the ways of all orders; `home` is the store in the customer's city on that day, -1 for none.

    Days before `live_from` are in the history whatever the way was. Stores sell on workdays in opening hours
    only; who finds one closed orders in the web shop.
    """
    n = len(placed.at)
    loyal, whim = rng.random(n) < LOYALTY, rng.random(n)
    visited, unknown = rng.integers(0, len(STORES), n), rng.random(n) < WALK_INS
    mood = np.where(loyal, habits.channel[placed.customer], whim)
    wants_store = mood >= 1 - np.where(home >= 0, STORE_FANS, TRAVELLERS)
    channel = np.where(mood < MARKETPLACE_FANS, MARKETPLACE, WEB)
    channel = np.where(wants_store & is_open(placed, timepiece), STORE, channel)
    channel = np.where(placed.day < live_from, HISTORY, channel).astype(np.int64)
    in_store = channel == STORE
    store = np.where(in_store, np.where(home >= 0, home, visited), -1)
    return Ways(channel, store, in_store & unknown)


def is_open(placed: Placed, timepiece: Clock) -> NDArray[np.bool_]:
    """Return whether stores are open when the orders are placed: Monday to Saturday from 9 to 20 o'clock."""
    day = placed.day.astype(np.int64)
    hour = (placed.at - timepiece.day_starts[day]) // 3600
    workday = (timepiece.first_day.weekday() + day) % 7 < 6
    return workday & (hour >= OPENS) & (hour < CLOSES)


def home_stores(cities: pa.Array, leaning: Scale) -> Ints:
    """Return the store that people in these cities go to, -1 where the city has none."""
    names = [store.city for store in STORES]
    first = np.asarray(pc.fill_null(pc.index_in(cities, value_set=pa.array(names)), -1), dtype=np.int64)
    stores_there = np.array([names.count(name) for name in names])[first]
    return np.where(first >= 0, first + (leaning * stores_there).astype(np.int64), -1)
