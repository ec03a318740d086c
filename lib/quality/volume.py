"""How many rows a day should bring: a series' own level and weekdays, and the season that the shop's orders know.

A day's expected rows are level x weekday x season. The level is the median of the days around, the weekday's factor the
median of its days. The season is how many orders days of the same place in the calendar brought, against the weeks
around them, in all the shop's years: a place is the date or, near Black Friday, the distance from it. So a peak that
comes each year is no surprise, nor is one on which orders rise as much as visits. The fewer orders a season rests on,
the more of it may be chance, and the wider is what counts as usual. Medians bear a fifth of the days being wrong.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: The fewest days of a series that is judged, rows on its median day, and rows expected on a day that is judged.
ENOUGH_DAYS, ENOUGH_ROWS, FEWEST_EXPECTED = 28, 30, 10

#: A day is unusual where it is off by this many standard deviations and by this factor. A series longer than a quarter
#: of a year needs more deviations, so that it has no more false alarms than a short one.
UNUSUAL_Z, UNUSUAL_FACTOR, A_QUARTER = 2.8, 1.35, 92

#: Days before and after that make a level, the weeks around a day of the season, and an ordinary day's season.
LEVEL_DAYS, YEAR_DAYS, SEASON_DAYS = 10, 45, 3

#: This many days in a row without rows are a closed shop, and none of them is judged.
CLOSED_DAYS = 4

#: A series begins and ends with a day of at least this part of a busy day's rows: before and after are wrong dates.
STRAY = 0.05

#: A place in the calendar stands out from the days around it where at least this many orders are expected and it is off
#: by this many standard deviations.
ENOUGH_ORDERS, STANDS_OUT = 20, 3.5

#: Days around Black Friday that have a place of their own.
_NEAR = range(-7, 6)

#: What is left to chance on every day, and the most that is unknown of a season (deviations of logarithms).
_NOISE, _LARGEST_NOISE = 0.05, 0.3

#: The median of a squared deviation, of its variance.
_MEDIAN_SQUARE = 0.4549

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """A series day by day: rows, expected, low, high, z, is_unusual; `why_not`: why none of it could be judged."""

    days: pd.DataFrame
    why_not: str = ""


def judge(rows: pd.Series, orders: pd.Series, *, are_orders: bool) -> Judged:
    """Return how usual each day of a series is; `rows` and `orders` are counts by consecutive days.

    `orders` are all the shop's orders, among them those of the series where it `are_orders`. What cannot be judged is
    null: the first and the last day, which may not be whole, days of a closed shop, and those with few rows expected.
    Left out are days before the series really begins and after it ends.
    """
    rows = _without_strays(rows)
    count, days = rows.to_numpy(dtype=float), pd.DatetimeIndex(rows.index)
    frame = pd.DataFrame({"rows": count.astype(np.int64)}, index=days)
    frame = frame.assign(expected=np.nan, low=np.nan, high=np.nan, z=np.nan, is_unusual=False)
    is_open = ~_closed(count)
    usual = float(np.median(count[is_open])) if is_open.any() else 0.0
    if len(count) < ENOUGH_DAYS:
        return Judged(frame, f"fewer than {ENOUGH_DAYS} days")
    if usual < ENOUGH_ROWS or is_open.sum() < ENOUGH_DAYS:
        return Judged(frame, f"fewer than {ENOUGH_ROWS} rows on most days")

    low, high, variance = _season(days, orders, with_own_year=not are_orders)
    middle, variance = (low + high) / 2, variance + _NOISE**2
    ordinary = _level_and_weekday(np.log(count + 0.5) - middle, days.day_of_week.to_numpy(), is_open)
    least, expected, most = (np.exp(ordinary + of_season) for of_season in (low, middle, high))
    is_judged = is_open & (expected >= FEWEST_EXPECTED)
    per_row = _chance(count[is_judged], expected[is_judged], variance[is_judged])
    limit = np.sqrt(UNUSUAL_Z**2 + 2 * np.log(max(len(count) / A_QUARTER, 1)))
    if np.sqrt(usual) - np.sqrt(usual / 2) < limit * np.sqrt(per_row) / 2:
        return Judged(frame, "by chance alone a day may have half its rows")

    is_judged[[0, -1]] = False
    frame["expected"], frame["z"] = expected, 0.0
    for name, edge, side in (("low", least, -1), ("high", most, 1)):
        # On the scale of square roots chance is the same for few rows and for many.
        deviation = np.sqrt(per_row + edge * variance) / 2
        off = (np.sqrt(count) - np.sqrt(edge)) / deviation
        frame["z"] = np.where(side * off > 0, off, frame["z"])
        by_chance = np.maximum(np.sqrt(edge) + side * limit * deviation, 0) ** 2
        by_factor = edge * UNUSUAL_FACTOR**side
        frame[name] = np.minimum(by_chance, by_factor) if side < 0 else np.maximum(by_chance, by_factor)
    frame["is_unusual"] = is_judged & ((frame["rows"] < frame["low"]) | (frame["rows"] > frame["high"]))
    frame.loc[~is_judged, ["expected", "low", "high", "z"]] = np.nan
    return Judged(frame)


def _season(days: pd.DatetimeIndex, orders: pd.Series, *, with_own_year: bool) -> tuple[Numbers, Numbers, Numbers]:
    """Return the season of some days, as logarithms: it lies between low and high; and the variance of either.

    `orders` are counts by consecutive days; nothing is known of days beyond them. With its own year a day's season
    follows from the orders of that very day too, so that what is to be judged should be something else than orders.
    """
    if orders.empty:
        return np.zeros(len(days)), np.zeros(len(days)), np.full(len(days), _LARGEST_NOISE**2)
    of_orders = pd.DatetimeIndex(orders.index)
    count, weekday = orders.to_numpy(dtype=float), of_orders.day_of_week.to_numpy()
    week = _mean_around(count, 3)
    of_week = np.array([count[weekday == d].sum() / (week[weekday == d].sum() or 1.0) for d in range(7)])[weekday]
    usual = _mean_around(count / np.where(of_week > 0, of_week, 1), YEAR_DAYS) * of_week
    _, place = np.unique([_place(day) for day in of_orders.date], return_inverse=True)
    found, expected = (np.bincount(place, weights=values)[place].astype(float) for values in (count, usual))
    if not with_own_year:
        found, expected = found - count, expected - usual
    own = np.log((found + 0.5) / (expected + 0.5))
    rough = _median_around(own, SEASON_DAYS)
    ordinary = expected * np.exp(rough)
    off = 2 * np.abs(np.sqrt(found + 0.375) - np.sqrt(ordinary + 0.375))
    stands_out = (off > STANDS_OUT) & (ordinary >= ENOUGH_ORDERS)
    alike = [_around(np.where(stands_out, 0, values), SEASON_DAYS) for values in (found, expected)]
    near = np.where(alike[1] > 0, np.log((alike[0] + 0.5) / (alike[1] + 0.5)), rough)
    ordinary = expected * np.exp(near)
    # Of a day that may be an ordinary one or not, both are usual.
    low = np.where(stands_out, own, np.minimum(own, near))
    high = np.where(stands_out, own, np.maximum(own, near))
    variance = np.minimum(1 / (np.where(stands_out, found, ordinary) + 0.5), _LARGEST_NOISE**2)
    at, is_known = of_orders.get_indexer(days), expected >= 1
    low, high = (np.where((at >= 0) & is_known[at], edge[at], 0) for edge in (low, high))
    return low, high, np.where(at >= 0, variance[at], _LARGEST_NOISE**2)


def _without_strays(rows: pd.Series) -> pd.Series:
    filled = rows[rows > 0]
    busy = np.flatnonzero(rows >= STRAY * filled.quantile(0.75)) if len(filled) else np.zeros(0, dtype=np.int64)
    return rows.iloc[busy[0] : busy[-1] + 1] if len(busy) else rows


def _level_and_weekday(values: Numbers, weekday: NDArray[np.int_], is_open: Flags) -> Numbers:
    """Return level + weekday of each day, by medians over the open days; a closed one gets those of its neighbours."""
    at = np.flatnonzero(is_open)
    own, of_week = values[at], weekday[at]
    factor = np.zeros(7)
    for _ in range(3):
        rest = own - _median_around(own - factor[of_week], LEVEL_DAYS)
        factor = np.array([np.median(rest[of_week == d]) if (of_week == d).any() else 0.0 for d in range(7)])
        factor -= factor[of_week].mean()
    level = _median_around(own - factor[of_week], LEVEL_DAYS)
    everywhere: Numbers = np.interp(np.arange(len(values)), at, level) + factor[weekday]
    return everywhere


def _chance(count: Numbers, expected: Numbers, variance: Numbers) -> float:
    """Return the variance of a count over what is expected: 1 where each row is on its own, more where some belong
    together. It shows best where fewest rows are expected.
    """
    few = np.argsort(expected, kind="stable")[: max(len(expected) // 4, A_QUARTER)]
    squared = 4 * (np.sqrt(count[few]) - np.sqrt(expected[few])) ** 2
    return max(float(np.median(squared / _MEDIAN_SQUARE - expected[few] * variance[few])), 1.0)


def _closed(count: Numbers) -> Flags:
    """Return which days are within a longer stretch without any rows."""
    edges = np.flatnonzero(np.diff((count == 0).astype(int), prepend=0, append=0))
    closed = np.zeros(len(count), dtype=bool)
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        closed[first:end] = end - first >= CLOSED_DAYS
    return closed


def _median_around(values: Numbers, days: int) -> Numbers:
    """Return for each value the median of the others around it: as many at the ends as elsewhere."""
    n = len(values)
    width = min(2 * days, n - 1)
    first = np.clip(np.arange(n) - days, 0, n - 1 - width)
    others = first[:, None] + np.arange(width)
    others += others >= np.arange(n)[:, None]
    medians: Numbers = np.median(values[others], axis=1)
    return medians


def _around(values: Numbers, days: int) -> Numbers:
    """Return for each value the sum of those up to a number of places away, itself included."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    around: Numbers = sums[np.minimum(at + days + 1, len(values))] - sums[np.maximum(at - days, 0)]
    return around


def _mean_around(values: Numbers, days: int) -> Numbers:
    even: Numbers = np.ones(len(values))
    return _around(values, days) / _around(even, days)


def _place(day: date) -> int:
    """Return a number for a day's place in the calendar: its distance from Black Friday near by, else its date."""
    november = date(day.year, 11, 1)
    fourth_thursday = november + timedelta(days=(3 - november.weekday()) % 7 + 21)
    distance = (day - fourth_thursday).days - 1
    return 10_000 + distance if distance in _NEAR else day.month * 100 + day.day
