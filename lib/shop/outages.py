"""Outages: stretches of some days in which a system delivers nothing. On the first day after one, all that was due is
delivered as it would have been.

So a system in an outage shows what it showed on the day before it: no system has to know of its own.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from lib.shop import ledger
from lib.shop.chance import uniform_draws
from lib.shop.systems import ShopFacts

#: The systems that outages hit.
SYSTEMS = ("marketplace", "stores", "clickstream")
#: How many days an outage lasts, and how many there are of a system before its first.
SHORTEST, LONGEST, QUIET_DAYS = 4, 10, 14
#: A system is stale once it has delivered nothing for this many days: over holidays stores are silent for days as well.
STALE_AFTER = {"marketplace": 3, "stores": 7, "clickstream": 3}


def outages(shop: ShopFacts, system: str, day: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last day of each outage of a system that has begun by a day; they may overlap."""
    start = (shop.tracked_from if system == "clickstream" else shop.live_from) + QUIET_DAYS
    week = np.arange(start // 7, day // 7 + 1)
    falls, place, share = (uniform_draws(shop.seed, f"outage {system}{what}", week) for what in ("", " day", " length"))
    first = week * 7 + (place * 7).astype(np.int64)
    last = first + SHORTEST - 1 + (share * (LONGEST - SHORTEST + 1)).astype(np.int64)
    there = (falls < shop.defects.rate("stale_source")) & (first >= start) & (first <= day)
    yield from zip(first[there].tolist(), last[there].tolist(), strict=True)


def shown(shop: ShopFacts, system: str, day: int) -> int:
    """Return the day at whose end a system stood as it is seen at the end of a day: an earlier one in an outage."""
    if system in SYSTEMS:
        for first, last in sorted(outages(shop, system, day), reverse=True):
            if first <= day <= last:
                day = first - 1
    return day


def stale(shop: ShopFacts, day: int) -> pa.Table:
    """Return the systems that are stale at the end of a day, as rows of the ledger.

    Before is the day that each should have delivered up to, after the day it has.
    """
    days = {system: shown(shop, system, day) for system in SYSTEMS}
    return ledger.table(
        ledger.Cell(name, "", name, name, "", "stale_source", shop.date(day).isoformat(), shop.date(at).isoformat())
        for name, at in days.items()
        if day - at >= STALE_AFTER[name]
    )
