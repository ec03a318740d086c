"""How big a simulated shop is and when it opens: the named sizes, and no behaviour."""

from dataclasses import dataclass
from datetime import date

FIRST_DAY = date(2022, 1, 1)
LAST_DAY = date(2025, 12, 31)


@dataclass(frozen=True)
class Size:
    """What the shop holds, exactly, at the close of `LAST_DAY`; it opens on `first_day`."""

    customers: int
    products: int
    orders: int
    first_day: date = FIRST_DAY


SIZES = {
    "small": Size(customers=500, products=120, orders=2_000, first_day=date(2025, 7, 1)),
    "default": Size(customers=10_000, products=495, orders=50_000),
    "large": Size(customers=200_000, products=2_000, orders=2_000_000),
}
