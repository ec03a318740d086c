"""The campaigns of a year: their names, days and discounts. Who buys in them is decided in `orders`."""

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Campaign:
    """A named stretch of days (both included) in which marked orders get `percent` off every line.

    `code` stands for it in arrays: the year, then a digit for its place in the year (from 1).
    """

    code: int
    name: str
    first: date
    last: date
    percent: int


def black_friday(year: int) -> date:
    """Return the day after the fourth Thursday of November."""
    november = date(year, 11, 1)
    return november + timedelta(days=(3 - november.weekday()) % 7 + 22)


def campaigns(year: int) -> tuple[Campaign, ...]:
    """Return the year's campaigns in order of time; none overlap."""
    friday = black_friday(year)
    stretches = (
        ("Winter Sale", date(year, 1, 8), date(year, 1, 21), 20),
        ("Spring Days", date(year, 3, 20), date(year, 4, 2), 10),
        ("Summer Sale", date(year, 7, 4), date(year, 7, 20), 25),
        ("Back to School", date(year, 8, 25), date(year, 9, 7), 15),
        ("Black Week", friday - timedelta(days=4), friday + timedelta(days=3), 30),
        ("Christmas Countdown", date(year, 12, 6), date(year, 12, 19), 15),
    )
    return tuple(
        Campaign(year * 10 + place, f"{name} {year}", first, last, percent)
        for place, (name, first, last, percent) in enumerate(stretches, start=1)
    )


def find(code: int) -> Campaign:
    """Return the campaign a code stands for."""
    return campaigns(code // 10)[code % 10 - 1]
