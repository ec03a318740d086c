"""The simulated shop: a seeded, believable trader whose six systems work as real ones do.

`simulate` brings the configured shop's systems to a day, `at_work` starts those that must be running to be
asked; everything they are made of is in this package's other modules.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from lib.shop.opening import MARKER, open_shop
from lib.shop.rates import Defects, defects_of
from lib.shop.sizes import FIRST_DAY, LAST_DAY, SIZES, Size

if TYPE_CHECKING:
    from lib.settings import Settings

__all__ = ["FIRST_DAY", "LAST_DAY", "SIZES", "Size", "at_work", "open_shop", "simulate"]

#: What stands in the configuration for the address of the shop's own API.
API_ADDRESS = "{shop_api}"


def simulate(
    settings: "Settings", *, defects: Defects | None = None, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Bring the configured shop to the day asked for and return what its systems hold, as `open_shop` does.

    `defects` takes the place of the rates in pipeline.yml.
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


@contextlib.contextmanager
def at_work(settings: "Settings") -> Iterator["Settings"]:
    """Start the shop's REST API on a free port for as long as it is asked; return settings that name its address.

    A source with an address of its own, and a real shop, are left as they are. Raises ConfigError where there is no
    shop to serve.
    """
    own = [n for n, s in settings.config.sources.items() if getattr(s, "url", None) == API_ADDRESS]
    if not own:
        yield settings
        return
    import secrets

    from lib.base.errors import ConfigError
    from lib.base.secrets import keep_secret
    from lib.shop.api import serving

    if not (settings.data_dir / "sources" / MARKER).exists():
        raise ConfigError(f"There is no simulated shop in {settings.data_dir} yet. Run 01_generate first.")
    token = secrets.token_urlsafe(24)
    keep_secret(token)
    with serving(settings.data_dir / "sources", token=token) as address:
        sources = dict(settings.config.sources)
        for name in own:
            sources[name] = sources[name].model_copy(update={"url": address, "token": token})
        yield replace(settings, config=settings.config.model_copy(update={"sources": sources}))
