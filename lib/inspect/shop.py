"""The shop as its data show it, where the user says nothing: its name, its currency, its time zone."""

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import ValidationError

from lib.base.errors import ConfigError
from lib.cells.zones import NAMES
from lib.config import Shop
from lib.entities import ENTITIES
from lib.inspect.documents import Document
from lib.inspect.fitting import raw_names
from lib.inspect.groups import Drafted
from lib.inspect.layouts import Names
from lib.inspect.sources_file import Draft

#: What a currency is taken for where neither the data nor the user says one.
_ASSUMED_CURRENCY, _ASSUMED_ZONE = "EUR", "UTC"
#: Folders whose names say nothing of a shop.
_NO_NAMES = frozenset(
    ("/", "files", "exports", "export", "downloads", "data", "csv", "tmp", "home", "sources", "input")
)


@dataclass(frozen=True)
class Wishes:
    """What the user says of the shop: name, currency, time zone; empty where it is to be guessed."""

    name: str = ""
    currency: str = ""
    time_zone: str = ""
    cents: bool = False

    def check(self) -> None:
        """Raise ConfigError where the currency or the time zone is none."""
        for option, value, key in (
            ("--currency", self.currency, "currency"),
            ("--time-zone", self.time_zone, "time_zone"),
        ):
            plain = {"name": "Shop", "currency": "EUR", "time_zone": "UTC"}
            try:
                Shop.model_validate(plain | ({key: value} if value else {}))
            except ValidationError:
                expected = "a code such as EUR" if key == "currency" else "an IANA time zone such as Europe/Berlin"
                raise ConfigError(f"{option}: expected {expected}, found {value!r}.") from None


def set_shop(drafted: Drafted, wishes: Wishes, rates: Sequence[Document]) -> None:
    draft = drafted.draft
    comments = draft.shop_comments
    currencies = _currencies(drafted)
    currency = wishes.currency or next((code for code, _ in currencies.most_common(1)), "")
    layouts = [group.recognized.layout for group in drafted.groups.values() if group.recognized]
    signs = Counter(c.sign for g in drafted.groups.values() for c in g.columns if c.is_number and c.sign)
    if wishes.currency:
        comments["currency"] = ""
    elif currencies:
        others = ", ".join(code for code, _ in currencies.most_common() if code != currency)
        comments["currency"] = "the most frequent one" if others else ""
    elif signs:
        currency = signs.most_common(1)[0][0]
        comments["currency"] = "by the sign of the amounts"
    else:
        currency = layouts[0].shop["currency"] if layouts else _ASSUMED_CURRENCY
        comments["currency"] = "check: no file states a currency; give it with --currency"
    zone, why = (wishes.time_zone, "") if wishes.time_zone else _zone(drafted, "" if comments["currency"] else currency)
    if zone == _ASSUMED_ZONE and layouts:
        zone = layouts[0].shop["time_zone"]
    comments["time_zone"] = why
    draft.shop = {"name": wishes.name or _name(drafted), "currency": currency, "time_zone": zone}
    foreign = [code for code in currencies if code != currency]
    if rates:
        draft.shop["exchange_rates"] = rates[0].place
    elif foreign:
        comments["currency"] = (
            f"check: amounts are in {', '.join([currency, *foreign])}; give exchange_rates (a CSV file of date,"
            " currency and rate), or the run refuses to add them up"
        )
    # What no export states is what the shop says.
    for (name, entity), group in drafted.groups.items():
        one = draft.sources[name].entities[entity]
        assumed_by_form = group.recognized is not None and "currency" in group.recognized.form.assumes
        if "currency" not in ENTITIES[entity].names:
            continue
        given = one.columns.get("currency")
        if (given is None and entity != "products") or (
            assumed_by_form and isinstance(given, dict) and "constant" in given
        ):
            one.columns["currency"] = {"constant": currency}
    if wishes.cents:
        _in_cents(draft)


def _in_cents(draft: Draft) -> None:
    for source in draft.sources.values():
        for entity in source.entities.values():
            for column in ENTITIES[entity.entity].columns:
                mapping = entity.columns.get(column.name)
                if column.kind == "amount" and isinstance(mapping, str | list):
                    entity.columns[column.name] = {"column": mapping, "factor": 0.01}


def _currencies(drafted: Drafted) -> Counter[str]:
    found: Counter[str] = Counter()
    for (name, entity), group in drafted.groups.items():
        mapping = drafted.draft.sources[name].entities[entity].columns.get("currency")
        if entity == "events" and group.recognized:
            # Events have no currency of their own; what they state is the shop's.
            mapping = group.recognized.layout.currency_column or None
        is_assumed = group.recognized is not None and "currency" in group.recognized.form.assumes
        if isinstance(mapping, dict) and "constant" in mapping and not is_assumed:
            found[str(mapping["constant"])] += group.rows
        for raw in raw_names(mapping):
            column = next((c for c in group.columns if c.name == raw), None)
            found.update(text.upper() for text in (column.given if column else ()) if re.fullmatch("[A-Za-z]{3}", text))
    return found


@cache
def _zones() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "zones.yml").read_text(encoding="utf-8"))
    return values


def _zone(drafted: Drafted, currency: str) -> tuple[str, str]:
    """Return the shop's time zone as far as the data show it, and why, or that it is to be checked."""
    zones = _zones()
    named: Counter[str] = Counter()
    offsets: Counter[str] = Counter()
    stamps: set[str] = set()
    countries: Counter[str] = Counter()
    for (name, entity), group in drafted.groups.items():
        spec = drafted.draft.sources[name].entities[entity]
        layout = group.recognized.layout if group.recognized else None
        column = Names(layout, group.first.names).find(layout.zone_column) if layout else None
        for values in group.columns:
            if column and values.name == column:
                named.update(NAMES.get(text, "") for text in values.given)
        for ours, mapping in spec.columns.items():
            for values in (c for c in group.columns if c.name in raw_names(mapping)):
                if ours in ("ordered_at", "paid_at"):
                    found = (re.search(r"[+-]\d{2}:?\d{2}$", text) for text in values.given if ":" in text)
                    offsets.update(one[0].replace(":", "") for one in found if one)
                    stamps.update(text for text in values.given if re.search(r":.*[+-]\d{2}:?\d{2}$", text))
                if ours in ("customer_country", "country"):
                    countries.update(text.upper() for text in values.given if len(text) == 2)
    named = Counter({zone: n for zone, n in named.items() if "/" in zone and not zone.startswith("Etc/")})
    if named:
        several = f"check: times are of several zones ({', '.join(named)}); each row is read in its own"
        return named.most_common(1)[0][0], several if len(named) > 1 else "as the export says"
    away = {offset for offset in offsets if offset not in ("+0000", "-0000")}
    misfit = ""
    if away:
        shown = f"by the offsets of the times ({', '.join(sorted(offsets))})"
        fitting = _fitting(stamps)
        home = zones["countries"].get(countries.most_common(1)[0][0]) if countries else None
        if home in fitting:
            return str(home), f"check: {shown} and the customers' country"
        if (own := zones["currencies"].get(currency)) in fitting:
            return str(own), f"check: {shown} and the currency"
        if fitting:
            others = f", as {', '.join(fitting[1:4])} and others do" if len(fitting) > 1 else ""
            return fitting[0], f"check: {shown}, which it fits{others}; set it with --time-zone"
        misfit = f"; no zone known here has the offsets of all times ({', '.join(sorted(offsets))})"
    if countries:
        most = countries.most_common(1)[0][0]
        if zone := zones["countries"].get(most):
            return zone, f"check: by the country of most customers ({most}){misfit}; set it with --time-zone"
    if zone := zones["currencies"].get(currency):
        return zone, f"check: by the currency ({currency}) alone{misfit}; set it with --time-zone"
    return _ASSUMED_ZONE, f"check: nothing shows it{misfit}; set it with --time-zone"


def _fitting(stamps: set[str]) -> list[str]:
    """Return the zones that have, at each of some times, the offset that it states."""
    times = set()
    for text in sorted(stamps)[:5000]:
        # 2026-01-31T23:30:00+01:00 and 2026-01-31 23:30:00 +0100
        with contextlib.suppress(ValueError):
            times.add(datetime.fromisoformat(re.sub(r"\s+(?=[+-]\d{2}:?\d{2}$)", "", text.strip())))
    zones = _zones()
    known = dict.fromkeys([*zones["offsets"], *zones["currencies"].values(), *zones["countries"].values()])
    return [z for z in known if times and all(t.astimezone(ZoneInfo(z)).utcoffset() == t.utcoffset() for t in times)]


def _name(drafted: Drafted) -> str:
    place = next((Path(g.first.folder) for g in drafted.groups.values() if g.first.place.startswith("/")), Path())
    system = next((g.recognized.layout.system for g in drafted.groups.values() if g.recognized), "")
    words = [part for part in place.parts if part.lower() not in _NO_NAMES]
    if system and (not words or words[-1] != place.name):
        return f"{system} shop"
    return (words[-1] if words else "Shop").replace("_", " ").replace("-", " ").strip().capitalize() or "Shop"
