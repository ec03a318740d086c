"""What the shop's systems have in common: the facts a writer works by, and what it reports that it holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lib.shop.life import ShopLife
from lib.shop.rates import Defects
from lib.shop.sizes import Size

NO_DEFECTS = Defects(enabled=False)
#: Nothing is spoiled, but some of the clickstream comes late or twice, as of every real one.
ONLY_DELIVERY = Defects(
    **{kind: 0.0 for kind in Defects.model_fields if kind not in ("enabled", "scale", "late_event", "duplicated_event")}
)


@dataclass(frozen=True)
class ShopFacts:
    """Who the shop is; days are counted from `size.first_day` in `time_zone`."""

    size: Size
    seed: int
    currency: str
    time_zone: str
    defects: Defects = ONLY_DELIVERY

    @property
    def live_from(self) -> int:
        """The first day of the live systems; what is older is history."""
        return (self.size.live_from - self.size.first_day).days

    @property
    def tracked_from(self) -> int:
        """The first day of the clickstream."""
        return (self.size.tracked_from - self.size.first_day).days

    def date(self, day: int) -> date:
        return self.size.first_day + timedelta(days=day)


@dataclass(frozen=True)
class Holdings:
    """What a system holds: rows by entity, the first and last day (ISO dates) of them, and files and bytes on disk.

    `spoiled` is what this write spoiled, as rows of `lib.shop.ledger.SCHEMA`: it is about the write, not the state.
    """

    rows: dict[str, int] = field(default_factory=dict)
    first_date: str | None = None
    last_date: str | None = None
    files: int = 0
    bytes: int = 0
    spoiled: pa.Table | None = field(default=None, compare=False)


class Write(Protocol):
    """Brings a system in `folder` from its state at day `after` (-1: none) to that at `through`.

    The state at a day follows from the shop and the day alone. A write that was killed is repeated from the same
    `after`, over whatever remains it left.
    """

    def __call__(
        self,
        life: ShopLife,
        folder: Path,
        shop: ShopFacts,
        after: int,
        through: int,
        progress: Callable[[str], None],
    ) -> Holdings: ...
