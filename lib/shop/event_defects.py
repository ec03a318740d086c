"""What goes wrong in the web shop's tracker: lines without a type, with an unknown product or dated decades ahead, and
days of which half is lost or every event is sent twice.

Late sessions and repeated lines are drawn in `visits`. `EventDefects` holds what is wrong with each line until
it is delivered, `cells` turns that into rows of the ledger.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.shop.chance import uniform_draws
from lib.shop.damage import years_ahead
from lib.shop.defects import NONE, defects_drawn
from lib.shop.ids import product_id
from lib.shop.ledger import Cell, instant
from lib.shop.orders import Ints
from lib.shop.spoils import replaced
from lib.shop.systems import ShopFacts
from lib.shop.tracker import event_id
from lib.shop.visits import PRODUCT_VIEW, TYPES, Clicks, Site, Visits, clicks_of, visits_of

SYSTEM, ENTITY = "clickstream", "events"
#: What can be wrong with a line; only the first three are drawn line by line.
KINDS = ("missing_value", "future_date", "orphan", "late_event", "duplicated_event")
MISSING, FUTURE, ORPHAN, LATE, AGAIN = range(5)
#: With more seconds than this between an event and the beginning of its hour of delivery it is surely late.
LATE_AFTER = 24 * 3600
#: No product has a number from here on.
NOBODYS, NOBODYS_LAST = 9_000, 9_999
#: A tracker that fires twice numbers the second event from here on, and sends it this many milliseconds later.
SECOND, BEHIND = 500, (1_000, 4_000)
#: The clickstream has this many whole days before one is lost in part or doubled.
QUIET_DAYS = 14


@dataclass(frozen=True)
class EventDefects:
    """What is wrong with each line: a position in `KINDS` or `NONE`, what it should say and what it does.

    These are positions in `TYPES` (-1: none) or of products, or UTC seconds.
    """

    kind: Ints
    before: Ints
    after: Ints

    @classmethod
    def none(cls, n: int) -> "EventDefects":
        return cls(np.full(n, NONE), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64))


def volume(shop: ShopFacts, day: int) -> str:
    """Return what happens to the events of a local day: `halved`, `doubled`, mostly nothing."""
    if day < shop.tracked_from + QUIET_DAYS:
        return ""
    number = np.array([day])
    if uniform_draws(shop.seed, "volume", number)[0] >= shop.defects.rate("volume_change"):
        return ""
    return "halved" if uniform_draws(shop.seed, "volume way", number)[0] < 0.5 else "doubled"


def sent(site: Site, day: int, visits: Visits, clicks: Clicks) -> Clicks:
    """Return those of a day's clicks that the tracker sends; all but on days that lose half of them.

    Sessions are lost whole, and none that ends in a purchase.
    """
    if volume(site.shop, day) != "halved":
        return clicks
    length = np.bincount(clicks.session, minlength=len(visits.number))
    draw = uniform_draws(site.shop.seed, "lost sessions", day << 24 | visits.number)
    in_turn = np.argsort(np.where(visits.order >= 0, 2.0, draw), kind="stable")
    in_turn = in_turn[: int((visits.order < 0).sum())]
    is_lost = np.zeros(len(visits.number), dtype=bool)
    # As near to half as whole sessions come.
    is_lost[in_turn] = np.cumsum(length[in_turn]) * 2 - length[in_turn] <= len(clicks.at)
    return clicks.only(~is_lost[clicks.session])


def repeated(site: Site, day: int, visits: Visits, clicks: Clicks) -> Clicks | None:
    """Return the clicks that a tracker which fires twice sends besides, under other ids; nothing on most days."""
    if volume(site.shop, day) != "doubled":
        return None
    draw = uniform_draws(site.shop.seed, "behind", number_of(day, visits, clicks))
    behind = BEHIND[0] + (draw * (BEHIND[1] - BEHIND[0])).astype(np.int64)
    return replace(clicks, number=clicks.number + SECOND, at=clicks.at + behind, again=np.zeros_like(clicks.again))


def spoil(site: Site, day: int, visits: Visits, clicks: Clicks, lines: pa.Array) -> tuple[pa.Array, EventDefects]:
    """Return the lines of clicks as the tracker sends them, and what is wrong with each; those sent again are right."""
    found, number = EventDefects.none(len(clicks.at)), number_of(day, visits, clicks)
    drawn = defects_drawn(site.shop, "event", number, KINDS[: ORPHAN + 1])
    drawn[(clicks.again > 0) | (drawn == ORPHAN) & (clicks.type != PRODUCT_VIEW)] = NONE
    hit = np.flatnonzero(drawn != NONE)
    if not len(hit):
        return lines, found
    draw = uniform_draws(site.shop.seed, "event glitches", number[hit])
    found.kind[hit] = drawn[hit]
    texts = lines.take(pa.array(hit)).to_pylist()
    for n, (row, kind) in enumerate(zip(hit.tolist(), drawn[hit].tolist(), strict=True)):
        if kind == MISSING:
            before, after = int(clicks.type[row]), -1
            said = f'"type":{json.dumps(TYPES[before])},'
            instead = "" if draw[n] < 0.5 else '"type":null,'
        elif kind == FUTURE:
            before = int(clicks.at[row]) // 1000
            after = years_ahead(before, float(draw[n]))
            said, instead = (f'"event_at":"{instant(at)[:-1]}' for at in (before, after))
        else:
            before, after = int(clicks.product[row]), NOBODYS + int(draw[n] * (NOBODYS_LAST - NOBODYS)) - 1
            said, instead = (f'"product":{{"id":"{name}"' for name in product_id(np.array([before, after])).to_pylist())
        found.before[row], found.after[row] = before, after
        texts[n] = texts[n].replace(said, instead, 1)
    return replaced(lines, hit, pa.array(texts, lines.type)), found


def late(happened: Ints, delivered: Ints, is_recorded: NDArray[np.bool_]) -> EventDefects:
    """Return which lines come late, by UTC seconds of the event and of its hour of delivery.

    It does not show in those that are not recorded: they lie in the folder they would have been in on time.
    """
    is_late = is_recorded & (delivered - happened > LATE_AFTER)
    return EventDefects(np.where(is_late, LATE, NONE), happened, delivered)


def again(n: int) -> EventDefects:
    """Return that all lines are repeated ones."""
    return replace(EventDefects.none(n), kind=np.full(n, AGAIN))


def number_of(day: int, visits: Visits, clicks: Clicks) -> Ints:
    """Return a number for each click that no other has."""
    return day << 40 | visits.number[clicks.session] << 12 | clicks.number


def cells(shop: ShopFacts, event_defects: EventDefects, day: Ints, session: Ints, number: Ints) -> Iterator[Cell]:
    """Yield what is wrong with lines as rows of the ledger; day, session and number say which event each is."""
    hit = np.flatnonzero(event_defects.kind != NONE)
    columns = (day, session, number, event_defects.kind, event_defects.before, event_defects.after)
    for of_day, of_session, place, kind, before, after in zip(*(c[hit].tolist() for c in columns), strict=True):
        key = event_id(shop.date(of_day), of_session, place)
        field, was, now = _as_recorded(kind, before, after)
        yield Cell(SYSTEM, ENTITY, key, key, field, KINDS[kind], was, now)


def _as_recorded(kind: int, before: int, after: int) -> tuple[str, str, str | None]:
    """Return the field that is spoiled, its value before and its value after, as the ledger writes them."""
    if kind == MISSING:
        return "event_type", TYPES[before], None
    if kind == ORPHAN:
        was, now = product_id(np.array([before, after])).to_pylist()
        return "product_id", was, now
    if kind == AGAIN:
        return "", "1", "2"
    return "event_at" if kind == FUTURE else "", instant(before), instant(after)


def changed_volume(site: Site, day: int) -> Iterator[Cell]:
    """Yield the row of a local day whose events are lost in part or doubled: how many there are of sessions in time."""
    if not volume(site.shop, day):
        return
    visits = visits_of(site, day)
    own = visits.only(visits.late == 0)
    clicks = clicks_of(site, day, own, "clicks")
    before = len(clicks.at)
    twice = repeated(site, day, own, clicks)
    after = len(sent(site, day, own, clicks).at) + (0 if twice is None else len(twice.at))
    key = site.shop.date(day).isoformat()
    yield Cell(SYSTEM, ENTITY, key, key, "volume", "volume_change", str(before), str(after))
