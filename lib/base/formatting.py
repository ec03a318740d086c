"""Figures formatted for readers: thousands separated, large numbers shortened, a dash where there is no number.

Every function takes a number of any kind (int, float, Decimal, numpy, None, NaN) and returns text.
"""

import math
from datetime import UTC, date, datetime
from typing import Any

NBSP, MINUS, DASH = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}", "\N{EN DASH}"


def as_float(value: Any) -> float:
    """Return the value as a float, NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def number(value: Any, decimals: int = 0) -> str:
    """Return `1,234.50`, or a dash where there is no number."""
    amount = as_float(value)
    if not math.isfinite(amount):
        return DASH
    text = f"{abs(amount):,.{decimals}f}"
    return (MINUS if amount < 0 and text.strip("0.,") else "") + text


def compact(value: Any) -> str:
    """Return `950`, `214.6 k`, `1.24 M` or `3.10 bn`."""
    amount = as_float(value)
    for limit, divisor, unit, decimals in ((999.5e6, 1e9, "bn", 2), (999.5e3, 1e6, "M", 2), (9_999.5, 1e3, "k", 1)):
        if limit <= abs(amount) < math.inf:
            return number(amount / divisor, decimals) + NBSP + unit
    return number(amount, 0 if abs(amount) >= 100 or amount % 1 == 0 else 2)


def axis(value: Any) -> str:
    """Return `0`, `50 k` or `1.2 M`: as `compact`, without needless zeros."""
    amount = as_float(value)
    scales = ((1e9, NBSP + "bn"), (1e6, NBSP + "M"), (1e3, NBSP + "k"), (0, ""))
    divisor, unit = next(scale for scale in scales if abs(amount) >= scale[0])
    return f"{amount / (divisor or 1):,.4g}".replace("-", MINUS) + unit


def percent(share: Any, decimals: int | None = None) -> str:
    """Return a share of 1 as `34 %`, with one decimal below ten."""
    amount = as_float(share) * 100
    if decimals is None:
        decimals = 1 if 0 < abs(amount) < 9.95 else 0
    return number(amount, decimals) + NBSP + "%" if math.isfinite(amount) else DASH


def small(share: Any) -> str:
    """Return a share of 1 as `percent` does, and `< 0.1 %` where there is hardly any."""
    return f"<{NBSP}0.1{NBSP}%" if 0 < as_float(share) < 0.0005 else percent(share)


def points(score: Any) -> str:
    """Return a score or a rate of 100 with one decimal, cut and not rounded: only what is whole is 100.0."""
    amount = as_float(score)
    return number(math.floor(amount * 10 + 1e-6) / 10 if math.isfinite(amount) else None, 1)


def rate(share: Any) -> str:
    """Return a share of 1 as `99.6 %`, cut and not rounded."""
    amount = as_float(share)
    return points(amount * 100) + NBSP + "%" if math.isfinite(amount) else DASH


def signed(value: Any, decimals: int = 1, unit: str = "%") -> str:
    """Return `+6.1 %`, or `−0.2 pt` for `unit="pt"`; the value is already in that unit."""
    amount, text = as_float(value), number(value, decimals)
    plus = "+" if amount > 0 and text.strip("0.,") else ""
    return plus + text + NBSP + unit if math.isfinite(amount) else DASH


def count(amount: Any, one: str, many: str | None = None) -> str:
    """Return `1 order`, `2 orders` or `1,234 boxes`."""
    return f"{number(amount)}{NBSP}{one if as_float(amount) == 1 else many or one + 's'}"


def listing(words: list[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def duration(seconds: Any) -> str:
    """Return `0.4 s`, `48 s`, `3 min 05 s` or `1 h 12 min`."""
    amount = as_float(seconds)
    if not math.isfinite(amount) or amount < 9.95:
        return number(amount, 1) + NBSP + "s" if math.isfinite(amount) else DASH
    minutes, rest = divmod(round(amount), 60)
    if minutes >= 60:
        return f"{minutes // 60}{NBSP}h{NBSP}{minutes % 60:02d}{NBSP}min"
    return f"{minutes}{NBSP}min{NBSP}{rest:02d}{NBSP}s" if minutes else f"{rest}{NBSP}s"


def when(value: Any) -> str:
    """Return an ISO timestamp as `31 Jan 2026, 02:00 UTC`, a date as `31 Jan 2026`; other text comes back as it is."""
    try:
        moment = value if isinstance(value, date) else datetime.fromisoformat(str(value))
    except ValueError:
        return DASH if value in (None, "") else str(value)
    if isinstance(moment, datetime) and moment.tzinfo:
        moment = moment.astimezone(UTC)
    time = f", {moment:%H:%M}{' UTC' if moment.tzinfo else ''}" if isinstance(moment, datetime) else ""
    return f"{moment.day} {moment:%b %Y}{time}"
