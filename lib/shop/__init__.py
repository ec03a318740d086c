"""The simulated shop: a seeded, believable trader whose six systems work as real ones do.

`simulate` brings the configured shop's systems to a day; everything they are made of is in this package's other
modules. Its REST API, which must run to be asked, is a `server` of its source in the configuration.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from lib.shop.opening import open_shop
from lib.shop.rates import Defects, defects_of
from lib.shop.sizes import FIRST_DAY, LAST_DAY, SIZES, Size

if TYPE_CHECKING:
    from lib.settings import Settings

__all__ = ["FIRST_DAY", "LAST_DAY", "SIZES", "Size", "open_shop", "simulate"]


def simulate(
    settings: "Settings", *, defects: Defects | None = None, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Bring the configured shop to the day asked for and return what its systems hold, as `open_shop` does.

    `defects` replaces the rates in pipeline.yml.
    """
    return open_shop(
        settings.data_dir / "sources",
        size=settings.size,
        seed=settings.seed,
        as_of=settings.as_of,
        currency=settings.shop.currency,
        time_zone=settings.shop.time_zone,
        web_url=settings.config.simulation.web_url,
        defects=defects or defects_of(settings.config.simulation.defects),
        progress=progress,
    )
