"""The simulated shop: a seeded, believable trader that writes the exports a real one would.

`open_shop` writes them; everything it is made of is in this package's other modules.
"""

from lib.shop.opening import open_shop
from lib.shop.sizes import FIRST_DAY, LAST_DAY, SIZES, Size

__all__ = ["FIRST_DAY", "LAST_DAY", "SIZES", "Size", "open_shop"]
