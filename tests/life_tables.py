"""The life of the default shop as tables, for the tests of what happens in it."""

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import pandas as pd

from lib.shop.life import ShopLife, simulate_life
from lib.shop.payments import STATUSES
from lib.shop.sizes import FIRST_DAY, LAST_DAY, SIZES

BERLIN = "Europe/Berlin"
SIZE = SIZES["default"]
CLOSE = (LAST_DAY - FIRST_DAY).days
YEARS = range(FIRST_DAY.year, LAST_DAY.year + 1)


def local(seconds: np.ndarray | pd.Series) -> pd.Series:
    """Return UTC seconds as local instants."""
    return pd.Series(pd.to_datetime(np.asarray(seconds), unit="s", utc=True).tz_convert(BERLIN))


def day_number(day: date) -> int:
    """Return the number of a day, the opening day being 0."""
    return (day - FIRST_DAY).days


@dataclass(frozen=True)
class LifeTables:
    """The life of the default shop as tables, those with a row an order indexed by its number."""

    life: ShopLife
    orders: pd.DataFrame
    sold: pd.DataFrame
    returned: pd.DataFrame
    payments: pd.DataFrame


def default_life() -> LifeTables:
    """Return the life of the founding years at seed 42."""
    life = simulate_life(SIZE, 42, LAST_DAY, BERLIN)
    flat = {field.name: getattr(life.orders, field.name) for field in fields(life.orders) if field.name != "placed"}
    placed = {field.name: getattr(life.orders.placed, field.name) for field in fields(life.orders.placed)}
    orders = pd.DataFrame(placed | flat).set_index("number")
    orders["local"] = local(orders["at"]).set_axis(orders.index)
    lines = pd.DataFrame(vars(life.lines))
    payments = pd.DataFrame(vars(life.payments))
    payments["status"] = np.array(STATUSES)[payments["status"]]
    return LifeTables(life, orders, lines.query("quantity > 0"), lines.query("quantity < 0"), payments)
