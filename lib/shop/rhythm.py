"""The shop's clock: how busy every hour of its life is, and the way from busyness to instants and back.

Habits are drawn on an even scale of "average days". The clock stretches that scale over real time, so that
a busy hour holds more of it than a quiet one; because the mapping never turns back, whatever follows
something else on the even scale follows it in time too. Hours are laid out in UTC and judged by the local
clock, so no instant falls into the gap or the overlap of a clock change.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lib.shop.promotions import black_friday, campaigns

Seconds = NDArray[np.int64]
Scale = NDArray[np.float64]

# Mid-month levels, January to December; between two of them the level moves in a straight line.
MONTH_LEVELS = (0.74, 0.82, 0.92, 0.95, 0.94, 0.92, 0.86, 0.86, 0.96, 1.06, 1.22, 1.34)
# Monday to Sunday.
WEEKDAY_LEVELS = (0.99, 0.94, 0.93, 0.95, 0.97, 1.20, 1.28)
# fmt: off
WORKDAY_HOURS = (11, 6, 4, 3, 3, 5, 12, 22, 30, 36, 42, 50, 62, 55, 45, 44, 48, 58, 72, 92, 104, 90, 58, 28)
WEEKEND_HOURS = (18, 11, 7, 5, 4, 4, 7, 14, 27, 46, 62, 70, 70, 68, 66, 66, 66, 68, 74, 86, 92, 78, 50, 28)
# fmt: on
CAMPAIGN_LIFT = 1.12
# New customers: a surge at the opening, exponential growth in the young years, a straight line from then on.
LAUNCH_SURGE, LAUNCH_DAYS = 10.0, 40.0
YEARLY_GROWTH, YOUNG_YEARS = 0.22, 11
# The clock runs on for as long as an order can still be shipped, returned and refunded.
RUN_OUT_DAYS = 70


@dataclass(frozen=True)
class Stretch:
    """A part of the shop's life: the name of its streams (0 or a year) and its days, `last` excluded."""

    stream: int
    first: int
    last: int


@dataclass(frozen=True)
class Clock:
    """Local midnights as UTC seconds, and two even scales known at every edge (an hour or a midnight).

    `demand` counts average days of business since the opening, `arrivals` the same for new customers.
    """

    first_day: date
    day_starts: Seconds
    edges: Seconds
    demand: Scale
    arrivals: Scale


def clock(first_day: date, last_day: date, time_zone: str) -> Clock:
    """Return the clock from the opening to the end of `last_day`; a longer one begins like a shorter one."""
    n_days = (last_day - first_day).days + 1
    midnights = pd.date_range(first_day, periods=n_days + 1, freq="D").tz_localize(
        time_zone, ambiguous=np.ones(n_days + 1, dtype=bool), nonexistent="shift_forward"
    )
    day_starts = midnights.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)
    edges = np.union1d(np.arange(day_starts[0], day_starts[-1], 3600), day_starts)

    starts = edges[:-1]
    local_hour = pd.to_datetime(starts, unit="s", utc=True).tz_convert(time_zone).hour.to_numpy()
    day = np.searchsorted(day_starts, starts, side="right") - 1
    weekend = (first_day.weekday() + day) % 7 >= 5
    by_hour = np.array([WORKDAY_HOURS, WEEKEND_HOURS], dtype=np.float64)
    by_hour /= by_hour.sum(axis=1, keepdims=True)
    business = day_levels(first_day, n_days)[day] * by_hour[weekend.astype(int), local_hour]
    business *= np.diff(edges) / 3600
    age = (starts - starts[0]) / 86_400
    years = age / 365.25
    growth = np.exp(YEARLY_GROWTH * np.minimum(years, YOUNG_YEARS))
    growth *= 1 + YEARLY_GROWTH * np.maximum(years - YOUNG_YEARS, 0)
    growth += LAUNCH_SURGE * np.exp(-age / LAUNCH_DAYS)
    return Clock(
        first_day,
        day_starts,
        edges,
        demand=np.concatenate([[0.0], np.cumsum(business)]),
        arrivals=np.concatenate([[0.0], np.cumsum(business * growth)]),
    )


def day_levels(first_day: date, n_days: int) -> Scale:
    """Return how busy each local day is; an ordinary day of an ordinary week is about 1."""
    days = pd.date_range(first_day, periods=n_days, freq="D")
    middles = np.arange(12) * 30.4 + 15
    level = np.interp(days.day_of_year.to_numpy(), middles, MONTH_LEVELS, period=365)
    level *= np.array(WEEKDAY_LEVELS)[days.day_of_week.to_numpy()]
    for year in range(first_day.year, days[-1].year + 1):
        for first, last, lift in special_days(year):
            lo, hi = (first - first_day).days, (last - first_day).days + 1
            level[max(lo, 0) : max(hi, 0)] *= lift
    return level


def special_days(year: int) -> list[tuple[date, date, float]]:
    """Return the year's stretches of days (both ends included) with the factor on their business."""
    friday = black_friday(year)
    single = [(friday + timedelta(days=offset), lift) for offset, lift in BLACK_WEEK.items()]
    return [
        *((campaign.first, campaign.last, CAMPAIGN_LIFT) for campaign in campaigns(year)),
        *((day, day, lift) for day, lift in single),
        (date(year, 1, 1), date(year, 1, 1), 0.6),
        (date(year, 12, 8), date(year, 12, 17), 1.25),
        (date(year, 12, 21), date(year, 12, 23), 0.75),
        (date(year, 12, 24), date(year, 12, 26), 0.45),
        (date(year, 12, 27), date(year, 12, 31), 0.75),
    ]


# Days from Black Friday, and the lift on top of the campaign's.
BLACK_WEEK = {-4: 1.15, -3: 1.15, -2: 1.2, -1: 1.4, 0: 2.4, 1: 1.5, 2: 1.4, 3: 1.9}


def to_scale(timepiece: Clock, scale: Scale, seconds: Seconds) -> Scale:
    """Return where UTC instants lie on one of the clock's scales."""
    edges = timepiece.edges
    at = np.clip(np.searchsorted(edges, seconds, side="right") - 1, 0, len(edges) - 2)
    share = (seconds - edges[at]) / (edges[at + 1] - edges[at])
    return scale[at] + share * (scale[at + 1] - scale[at])


def to_instants(timepiece: Clock, scale: Scale, values: Scale) -> Seconds:
    """Return the UTC seconds at which one of the clock's scales passes the values."""
    edges = timepiece.edges
    at = np.clip(np.searchsorted(scale, values, side="right") - 1, 0, len(edges) - 2)
    width = edges[at + 1] - edges[at]
    share = (values - scale[at]) / (scale[at + 1] - scale[at])
    # A value a rounding error short of the next edge still belongs to its own hour.
    return edges[at] + np.clip(np.floor(share * width).astype(np.int64), 0, width - 1)


def mark(timepiece: Clock, scale: Scale, day: int) -> float:
    """Return a scale's value at the start of a day."""
    return float(scale[np.searchsorted(timepiece.edges, timepiece.day_starts[day])])


def in_working_hours(rng: np.random.Generator, timepiece: Clock, day: NDArray[np.int16]) -> Seconds:
    """Return an instant between 8 and 18 o'clock of each local day."""
    at = timepiece.day_starts[day.astype(np.int64)] + rng.integers(8 * 3600, 18 * 3600, len(day))
    return np.minimum(at, last_second(timepiece, day))


def local_day(timepiece: Clock, seconds: Seconds) -> NDArray[np.int16]:
    """Return the number of the local day, the opening day being 0."""
    return (np.searchsorted(timepiece.day_starts, seconds, side="right") - 1).astype(np.int16)


def last_second(timepiece: Clock, day: NDArray[np.int16]) -> Seconds:
    """Return the last second of each local day."""
    return timepiece.day_starts[day.astype(np.int64) + 1] - 1
