"""How big a simulated shop is and where its life turns: the named sizes, and no behaviour."""

from dataclasses import dataclass
from datetime import date

FIRST_DAY = date(2015, 1, 1)
LAST_DAY = date(2025, 12, 31)


@dataclass(frozen=True)
class Size:
    """What the shop holds, exactly, at the close of `LAST_DAY`; it opens on `first_day`.

    Orders of days before `live_from` are kept in the old system's history only, later ones in the live systems.
    Visitors are tracked from `tracked_from` on: about `events` events up to `LAST_DAY`.
    """

    customers: int
    products: int
    orders: int
    events: int
    live_from: date
    tracked_from: date
    first_day: date = FIRST_DAY


SIZES = {
    "small": Size(500, 120, 2_000, 12_000, live_from=date(2025, 7, 1), tracked_from=date(2025, 12, 1)),
    "default": Size(10_000, 495, 50_000, 500_000, live_from=date(2025, 1, 1), tracked_from=date(2025, 10, 1)),
    "large": Size(200_000, 2_000, 2_000_000, 5_000_000, live_from=date(2025, 1, 1), tracked_from=date(2025, 12, 1)),
}
