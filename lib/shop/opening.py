"""Opening the shop: check what is asked, see what the folder already holds, write what is missing.

`shop.json` in the folder says whose files these are and how far they are complete. It is written before the
first file and again after the last, so an interrupted run is known to be one and the next run mends it.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pandas as pd

from lib.errors import ConfigError, did_you_mean
from lib.shop.exports import COLUMNS, marketplace
from lib.shop.files import Export, file_name, tally, write_days, write_whole
from lib.shop.sizes import LAST_DAY, SIZES
from lib.shop.trade import trade

GENERATOR = 1
MARKER = "shop.json"
# Days are counted in 16 bits, and each year after the first ones costs time.
FARTHEST = date(2049, 12, 31)
SAME_SHOP = ("generator", "size", "seed", "currency", "time_zone")


@dataclass(frozen=True)
class Marker:
    """Whose files a folder holds; `as_of` is the day last asked for, `complete` the day surely reached.

    `entities` has files, bytes, rows, first_date and last_date of each entity up to `complete`.
    """

    generator: int
    size: str
    seed: int
    currency: str
    time_zone: str
    as_of: str
    complete: str | None = None
    entities: dict[str, dict[str, Any]] = field(default_factory=dict)


def open_shop(
    folder: Path,
    *,
    size: str = "default",
    seed: int = 42,
    as_of: date | None = None,
    currency: str = "EUR",
    time_zone: str = "Europe/Berlin",
) -> pd.DataFrame:
    """Write the shop's marketplace exports up to `as_of` and return what there is.

    The files are `folder/marketplace/<entity>/<entity>_YYYY-MM-DD.csv`, a day being one of `time_zone`. The
    summary has a row an entity: entity, files, rows, first_date, last_date. The same arguments always give
    the same bytes; a later `as_of` adds days and changes none; files that are already right are left alone.
    Raises ConfigError for arguments that make no shop, and for a folder that holds another one.
    """
    folder, last_day = Path(folder), as_of or LAST_DAY
    check(size, seed, last_day, currency, time_zone)
    wanted = Marker(GENERATOR, size, seed, currency, time_zone, last_day.isoformat())
    found = read_marker(folder)
    if found:
        check_same(folder, found, wanted)
    intact = found is not None and is_intact(folder, found)
    if found and intact and found.complete == wanted.as_of:
        return summary(found)

    books = trade(SIZES[size], seed, last_day, time_zone)
    exports = marketplace(books, currency)
    first_day = SIZES[size].first_day
    through = (last_day - first_day).days
    check_strangers(folder, exports, first_day, through)
    reached = date.fromisoformat(found.complete) if found and found.complete and intact else None
    after = (reached - first_day).days if reached else -1

    before = asdict(wanted) | ({"complete": found.complete, "entities": found.entities} if found and intact else {})
    try:
        save_marker(folder, Marker(**before))
        for export in exports:
            write_days(folder / "marketplace" / export.entity, export, first_day, after, through)
        entities = {export.entity: stock_taking(folder, export, first_day, through) for export in exports}
        done = Marker(**(asdict(wanted) | {"complete": wanted.as_of, "entities": entities}))
        save_marker(folder, done)
    except OSError as cause:
        raise ConfigError(
            f"The shop cannot be written to {folder} ({cause.strerror}). Mend that or choose another folder."
        ) from cause
    return summary(done)


def check(size: str, seed: int, last_day: date, currency: str, time_zone: str) -> None:
    """Raise ConfigError for arguments that make no shop."""
    if size not in SIZES:
        raise ConfigError(
            f"The shop's size is {size!r}; it must be one of {', '.join(SIZES)}.{did_you_mean(size, SIZES)}"
        )
    first_day = SIZES[size].first_day
    if last_day < first_day:
        raise ConfigError(
            f"The shop cannot trade up to {last_day}: size {size!r} opens on {first_day}. Give a later as_of."
        )
    if last_day > FARTHEST:
        raise ConfigError(f"The shop cannot trade up to {last_day}; the last day it knows is {FARTHEST}.")
    if seed < 0:
        raise ConfigError(f"The shop's seed is {seed}; it must be a whole number from 0 up.")
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()):
        raise ConfigError(
            f"The shop's currency is {currency!r}; it must be a code of three capital letters, such as EUR."
        )
    zones = available_timezones()
    if time_zone not in zones:
        raise ConfigError(
            f"The shop's time zone is {time_zone!r}; it must be a name such as Europe/Berlin."
            f"{did_you_mean(time_zone, zones)}"
        )


def read_marker(folder: Path) -> Marker | None:
    """Return the folder's marker, or nothing if there is none that can be read."""
    path = folder / MARKER
    try:
        return Marker(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    except OSError as cause:
        raise ConfigError(f"{path} cannot be read ({cause.strerror}). Choose another folder.") from cause


def check_same(folder: Path, found: Marker, wanted: Marker) -> None:
    """Raise ConfigError if the folder holds another shop, or this one on a later day."""
    for name in SAME_SHOP:
        ours, theirs = getattr(wanted, name), getattr(found, name)
        if ours != theirs:
            raise ConfigError(
                f"{folder} holds a shop with {name} {theirs!r}, and {name} {ours!r} was asked for. "
                "Choose another folder or remove this one."
            )
    if wanted.as_of < found.as_of:
        raise ConfigError(
            f"{folder} holds this shop up to {found.as_of}, and {wanted.as_of} was asked for; a shop cannot "
            "go back in time. Ask for a later as_of, choose another folder or remove this one."
        )


def check_strangers(folder: Path, exports: list[Export], first_day: date, through: int) -> None:
    """Raise ConfigError if there are CSV files the shop would not write: they would be read as its own."""
    for export in exports:
        days = pd.date_range(first_day, periods=through + 1)[pd.unique(export.day[export.day <= through])]
        own = {file_name(export.entity, day.date()) for day in days}
        place = folder / "marketplace" / export.entity
        strangers = sorted(path.name for path in place.glob("*.csv") if path.name not in own)
        if strangers:
            raise ConfigError(
                f"{place} holds {len(strangers)} files that are not this shop's, such as {strangers[0]}. "
                "Choose another folder or remove this one."
            )


def is_intact(folder: Path, marker: Marker) -> bool:
    """Return whether the files up to the marker's day are as many and as large as it says."""
    if marker.complete is None or set(marker.entities) != set(COLUMNS):
        return False
    through = date.fromisoformat(marker.complete)
    for entity, noted in marker.entities.items():
        there = tally(folder / "marketplace" / entity, entity, through)
        if (there.files, there.bytes) != (noted["files"], noted["bytes"]):
            return False
    return True


def stock_taking(folder: Path, export: Export, first_day: date, through: int) -> dict[str, Any]:
    """Return what the marker and the summary say of an entity."""
    days = pd.date_range(first_day, periods=through + 1)
    written = export.day[export.day <= through]
    there = tally(folder / "marketplace" / export.entity, export.entity, days[-1].date())
    first, last = (days[[written.min(), written.max()]].strftime("%Y-%m-%d")) if len(written) else (None, None)
    return {**asdict(there), "rows": len(written), "first_date": first, "last_date": last}


def save_marker(folder: Path, marker: Marker) -> None:
    """Write the marker, and make the folder if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / MARKER, json.dumps(asdict(marker), indent=2).encode() + b"\n")


def summary(marker: Marker) -> pd.DataFrame:
    """Return one row an entity: entity, files, rows, first_date, last_date."""
    rows = [
        {"entity": entity} | {name: noted[name] for name in ("files", "rows", "first_date", "last_date")}
        for entity, noted in marker.entities.items()
    ]
    frame = pd.DataFrame(rows)
    for name in ("first_date", "last_date"):
        frame[name] = pd.to_datetime(frame[name]).astype("datetime64[s]")
    return frame
