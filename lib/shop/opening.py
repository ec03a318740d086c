"""Opening the shop: check what is asked, see what the systems already hold, bring them to the day asked for.

`shop.json` in the folder states whose systems these are and how far they are complete. It is written before the first
system and again after the last, so an interrupted run is recognized and the next run repairs it.
"""

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pandas as pd

from lib.base.errors import ConfigError, did_you_mean
from lib.base.hashing import fingerprint
from lib.shop import ledger, outages
from lib.shop.files import tally, write_whole
from lib.shop.life import simulate_life
from lib.shop.rates import Defects
from lib.shop.sizes import LAST_DAY, SIZES
from lib.shop.systems import ONLY_DELIVERY, ShopFacts, Write

GENERATOR = 3
MARKER = "shop.json"
# Days are counted in 16 bits, and each year after the first ones costs time.
FARTHEST = date(2049, 12, 31)
SAME_SHOP = ("size", "seed", "currency", "time_zone")
#: What to do where the same shop was made otherwise.
ANOTHER = "choose another folder (--data-dir), or remove this one and the lake and warehouse filled from it."
#: Beside the folder of the systems: where what they spoil is noted, and which of them is stale by now.
LEDGER, FRESHNESS = "ledger", "freshness"
#: Each system's folder, and the module whose `write` brings it to a day.
SYSTEMS = {
    "history": "lib.shop.history",
    "crm": "lib.shop.crm",
    "web": "lib.shop.web",
    "stores": "lib.shop.mailbox",
    "marketplace": "lib.shop.exports",
    "clickstream": "lib.shop.clickstream",
}


@dataclass(frozen=True)
class Marker:
    """Whose systems a folder holds; `as_of` is the day last asked for, `complete` the day surely reached.

    `systems` has the `Holdings` of each system at `complete`, `web_server` a fingerprint of the web shop's server
    where it is not one of our files, `defects` one of what is spoiled (empty: nothing).
    """

    generator: int
    size: str
    seed: int
    currency: str
    time_zone: str
    as_of: str
    complete: str | None = None
    web_server: str = ""
    defects: str = ""
    systems: dict[str, dict[str, Any]] = field(default_factory=dict)


def open_shop(
    folder: Path,
    *,
    size: str = "default",
    seed: int = 42,
    as_of: date | None = None,
    currency: str = "EUR",
    time_zone: str = "Europe/Berlin",
    web_url: str = "",
    defects: Defects = ONLY_DELIVERY,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Bring the shop's systems to their state at the end of `as_of` and return what they hold.

    Each system has a folder of its own (see `SYSTEMS`); the web shop's database is on a server where `web_url` names
    one. The summary has a row a system and entity: system, entity, rows, first_date, last_date. The state at a day
    follows from the arguments alone, whether it is reached in one step or in many; nothing is done where it is
    reached already. What is spoiled on purpose is noted in a ledger beside the folder (see `ledger`): without `defects`
    nothing is, but that some of the clickstream comes late or twice. Without `as_of` it is the end of the shop's
    history, or the day it has reached since.
    Raises ConfigError for arguments that make no shop, and for a folder that holds another one.
    """
    folder = Path(folder)
    found = read_marker(folder)
    last_day = as_of or max(LAST_DAY, date.fromisoformat(found.as_of) if found else LAST_DAY)
    check(size, seed, last_day, currency, time_zone)
    server = fingerprint(web_url) if web_url else ""
    spoils = fingerprint(defects.model_dump()) if defects.enabled else ""
    wanted = Marker(GENERATOR, size, seed, currency, time_zone, last_day.isoformat(), web_server=server, defects=spoils)
    if found:
        check_same(folder, found, wanted)
    else:
        check_strangers(folder)
    damaged = {name for name in SYSTEMS if not found or not is_intact(folder, name, found, server)}
    if found and not damaged and found.complete == wanted.as_of:
        if (folder / MARKER).read_bytes() != _text(found):
            save_marker(folder, found)
        return summary(found)

    progress("simulating the shop's life")
    shop = ShopFacts(SIZES[size], seed, currency, time_zone, defects)
    life = simulate_life(shop.size, seed, last_day, time_zone)
    through = (last_day - shop.size.first_day).days
    reached = (date.fromisoformat(found.complete) - shop.size.first_day).days if found and found.complete else -1
    known = {"complete": found.complete, "systems": found.systems} if found else {}
    noted = folder.parent / LEDGER
    systems = {}
    try:
        if not found:
            # A ledger of systems that are gone is about nothing that is here.
            for name in (*SYSTEMS, FRESHNESS):
                shutil.rmtree(noted / name, ignore_errors=True)
        save_marker(folder, Marker(**(asdict(wanted) | known)))
        for name, module in SYSTEMS.items():
            progress(f"writing {name}")
            system = importlib.import_module(module)
            write: Write = partial(system.write, url=web_url) if name == "web" else system.write
            after = -1 if name in damaged else reached
            before, now = (outages.shown(shop, name, day) for day in (after, through))
            held = write(life, folder, shop, before, now, progress)
            if defects.enabled and held.spoiled is not None:
                ledger.note(noted, name, after, through, held.spoiled)
            systems[name] = replace(held, spoiled=None)
        if defects.enabled:
            ledger.note(noted, FRESHNESS, -1, through, outages.stale(shop, through))
        holdings = {name: {k: v for k, v in asdict(held).items() if k != "spoiled"} for name, held in systems.items()}
        done = Marker(**(asdict(wanted) | {"complete": wanted.as_of, "systems": holdings}))
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
    all_there = max(SIZES[size].live_from, SIZES[size].tracked_from)
    if last_day < all_there:
        raise ConfigError(
            f"The shop cannot be shown as of {last_day}: at size {size!r} all its systems are there from {all_there}"
            " on. Give a later as_of."
        )
    if last_day > FARTHEST:
        raise ConfigError(f"The shop cannot be simulated up to {last_day}; the last day it knows is {FARTHEST}.")
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
        stated = json.loads(path.read_text(encoding="utf-8"))
        return Marker(**{key: value for key, value in stated.items() if key != "identity"})
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return None
    except OSError as cause:
        raise ConfigError(f"{path} cannot be read ({cause.strerror}). Choose another folder.") from cause


def check_same(folder: Path, found: Marker, wanted: Marker) -> None:
    """Raise ConfigError if the folder holds another shop, or this one on a later day."""
    if wanted.generator != found.generator:
        raise ConfigError(
            f"{folder} holds a shop made by version {found.generator} of the generator, and this is version"
            f" {wanted.generator}, which makes other shops. {ANOTHER[0].upper()}{ANOTHER[1:]}"
        )
    for name in SAME_SHOP:
        ours, theirs = getattr(wanted, name), getattr(found, name)
        if ours != theirs:
            raise ConfigError(
                f"{folder} holds a shop with {name} {theirs!r}, and {name} {ours!r} was asked for. "
                "Choose another folder or remove this one."
            )
    if wanted.defects != found.defects:
        said = ("other defects" if found.defects else "defects") if wanted.defects else "no defects"
        raise ConfigError(
            f"{folder} holds a shop {'with' if found.defects else 'without'} defects, and {said} were asked for. Set"
            f" simulation.defects in pipeline.yml (or SHOP_DEFECTS) back as it was, {ANOTHER}"
        )
    if wanted.as_of < found.as_of:
        raise ConfigError(
            f"{folder} holds this shop up to {found.as_of}, and {wanted.as_of} was asked for; a shop cannot "
            "go back in time. Ask for a later as_of, choose another folder or remove this one."
        )


def check_strangers(folder: Path) -> None:
    """Raise ConfigError if the folder has no marker and yet holds files: they would be read as the shop's own."""
    for name in SYSTEMS:
        strangers = sorted(p for p in (folder / name).rglob("*") if p.is_file())
        if strangers:
            raise ConfigError(
                f"{folder / name} holds {len(strangers)} files that are not this shop's, such as {strangers[0].name}. "
                "Choose another folder or remove this one."
            )


def is_intact(folder: Path, name: str, marker: Marker, server: str) -> bool:
    """Return whether a system holds what the marker says: as many files and bytes, or the very server."""
    noted = marker.systems.get(name)
    if marker.complete is None or noted is None:
        return False
    if name == "web" and server:
        return marker.web_server == server
    there = tally(folder / name)
    if name == "web":
        return marker.web_server == "" and there.files > 0
    return (there.files, there.bytes) == (noted["files"], noted["bytes"])


def save_marker(folder: Path, marker: Marker) -> None:
    """Write the marker, and make the folder if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / MARKER, _text(marker))


def _text(marker: Marker) -> bytes:
    """Return a marker as it is written, with the `identity` that a lake is claimed for (see `Settings.origin`)."""
    identity = {key: getattr(marker, key) for key in ("size", "seed", "generator", "defects")}
    return json.dumps(asdict(marker) | {"identity": identity}, indent=2).encode() + b"\n"


def summary(marker: Marker) -> pd.DataFrame:
    """Return one row a system and entity: system, entity, rows, first_date, last_date."""
    rows = [
        {"system": name, "entity": entity, "rows": count} | {k: held[k] for k in ("first_date", "last_date")}
        for name, held in marker.systems.items()
        for entity, count in held["rows"].items()
    ]
    frame = pd.DataFrame(rows)
    for name in ("first_date", "last_date"):
        frame[name] = pd.to_datetime(frame[name]).astype("datetime64[s]")
    return frame
