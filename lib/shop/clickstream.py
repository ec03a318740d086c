"""The web shop's clickstream: nested JSON events in gzipped files by hour, as a stream's delivery service leaves them.

`folder/clickstream/events/YYYY/MM/DD/HH/events-NN-<id>.json.gz`: UTC hours of delivery, several files an hour. Most
events come in the hour they happen, some late, some twice; now and then a file is cut short or holds a broken line, and
is replaced under its name some days later. Who clicks on what is in `visits`, how a line describes it in `tracker`, and
what is wrong with a line in `event_defects`.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.shop import event_defects, ledger
from lib.shop.event_defects import EventDefects
from lib.shop.files import write_whole
from lib.shop.life import ShopLife
from lib.shop.orders import Ints
from lib.shop.sizes import LAST_DAY
from lib.shop.systems import Holdings, ShopFacts
from lib.shop.tracker import rendered
from lib.shop.visits import LATE_DAYS, Clicks, Site, Visits, clicks_of, mixed, visits_of

PLACE = "clickstream/events"
HOUR = 3_600_000
#: From this many events a day an hour has one file more, and from this many every other hour has another.
BUSIER = (1_000, 50_000)
# One in this many files is faulty at first, and corrected within this many days.
FAULTY, CORRECTED_WITHIN = 500, 4
# Numbers of late files that are put where they would have been in time start here.
ASTRAY_FROM, ASTRAY_FILES = 20, 60
THREADS = 2
LEVEL = 1


@dataclass(frozen=True)
class Sent:
    """Lines by delivery: UTC millisecond and local day of it, hour of the folder and number of the file there.

    `day`, `session` and `number` identify the event, the last three are what is wrong with it (see `EventDefects`).
    """

    text: pa.Array
    at: Ints
    due: Ints
    hour: Ints
    slot: Ints
    day: Ints
    session: Ints
    number: Ints
    kind: Ints
    before: Ints
    after: Ints

    def only(self, rows: NDArray[np.bool_] | Ints) -> "Sent":
        text = self.text.filter(pa.array(rows)) if rows.dtype == bool else self.text.take(pa.array(rows))
        return Sent(text, *(getattr(self, field.name)[rows] for field in fields(self)[1:]))


def write(
    life: ShopLife, folder: Path, shop: ShopFacts, after: int, through: int, progress: Callable[[str], None]
) -> Holdings:
    """Bring the clickstream to its state at the end of the local day `through`: what was delivered by then."""
    place = folder / PLACE
    site = Site(life, shop)
    first = max(after + 1, shop.tracked_from)
    # Files that were faulty on the day reached before, and no longer are, are made once more.
    from_day = min((day for day in range(max(first - CORRECTED_WITHIN, shop.tracked_from), first)), default=first)
    if not any(was_corrected(shop, day, after, through) for day in range(from_day, first)):
        from_day = first
    spoiled: list[ledger.Cell] = []
    if from_day <= through:
        waiting = overdue(site, from_day)
        running: list[Future[None]] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for day in range(from_day, through + 1):
                progress(f"clickstream: {shop.date(day).isoformat()}")
                sent = joined([waiting, *sent_on(site, day)])
                waiting, due = sent.only(sent.due > day), sent.only(sent.due == day)
                wrong = EventDefects(due.kind, due.before, due.after)
                spoiled += event_defects.cells(shop, wrong, due.day, due.session, due.number)
                # How many events a day has is known when it is over.
                spoiled += event_defects.changed_volume(site, day - 1)
                for done in running:
                    done.result()
                running = [
                    pool.submit(put, path, lines, fault)
                    for path, lines, fault in files_of(due, place, shop, day, after, through)
                ]
            for done in running:
                done.result()
    return replace(holdings(place, shop, through), spoiled=ledger.table(spoiled) if shop.defects.enabled else None)


def overdue(site: Site, day: int) -> Sent:
    """Return what visitors did on the days before and is delivered on `day` or later."""
    found = []
    for before in range(max(day - LATE_DAYS, site.shop.tracked_from), day):
        # Only sessions of the day before may end, or be sent again, after midnight: of the others, the late ones do.
        sent = joined(list(sent_on(site, before, only_late=before < day - 1)))
        found.append(sent.only(sent.due >= day))
    return joined(found)


def sent_on(site: Site, day: int, *, only_late: bool = False) -> Iterator[Sent]:
    """Yield the lines of a local day's visitors: those sent at once, those sent again, those sent late."""
    visits = visits_of(site, day)
    if not only_late:
        own = visits.only(visits.late == 0)
        clicks = event_defects.sent(site, day, own, clicks_of(site, day, own, "clicks"))
        lines, wrong = event_defects.spoil(site, day, own, clicks, rendered(site, day, own, clicks))
        yield in_time(site, day, own, clicks, lines, clicks.at, wrong)
        again = np.flatnonzero(clicks.again)
        twice = clicks.only(again)
        lines = lines.take(pa.array(again))
        yield in_time(site, day, own, twice, lines, twice.again, event_defects.again(len(again)))
        if more := event_defects.repeated(site, day, own, clicks):
            lines = rendered(site, day, own, more)
            yield in_time(site, day, own, more, lines, more.at, EventDefects.none(len(more.at)))
    own = visits.only(visits.late > 0)
    clicks = clicks_of(site, day, own, "late clicks")
    lines, nothing = rendered(site, day, own, clicks), EventDefects.none(len(clicks.at))
    late = in_time(site, day, own, clicks, lines, own.late[clicks.session], nothing)
    astray = own.astray[clicks.session]
    begins = clicks.at[np.searchsorted(clicks.session, np.arange(len(own.number)))] // HOUR
    hour = np.where(astray, begins[clicks.session], late.hour)
    slot = np.where(astray, ASTRAY_FROM + own.number[clicks.session] % ASTRAY_FILES, late.slot)
    wrong = event_defects.late(clicks.at // 1000, hour * 3600, ~astray)
    yield replace(late, hour=hour, slot=slot, kind=wrong.kind, before=wrong.before, after=wrong.after)


def in_time(
    site: Site, day: int, visits: Visits, clicks: Clicks, lines: pa.Array, at: Ints, wrong: EventDefects
) -> Sent:
    """Return lines that are delivered at some UTC milliseconds, each in the folder of its hour."""
    due = np.searchsorted(site.life.timepiece.day_starts, at // 1000, side="right") - 1
    hour = at // HOUR
    slot = (at - hour * HOUR) * files_in(site.shop, hour) // HOUR
    session = visits.number[clicks.session]
    recorded = (wrong.kind, wrong.before, wrong.after)
    return Sent(lines, at, due, hour, slot, np.full(len(at), day), session, clicks.number, *recorded)


def files_in(shop: ShopFacts, hour: Ints) -> Ints:
    """Return over how many files an hour's deliveries are spread."""
    size = shop.size
    a_day = size.events / ((LAST_DAY - size.tracked_from).days + 1)
    return 1 + sum(a_day >= limit for limit in BUSIER) + (mixed(hour, shop.seed) % np.uint64(2)).astype(np.int64)


def joined(parts: list[Sent]) -> Sent:
    """Return lines laid end to end."""
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return Sent(pa.array([], pa.string()), *[nothing] * (len(fields(Sent)) - 1))
    arrays = [np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Sent)[1:]]
    return Sent(pa.concat_arrays([part.text for part in parts]), *arrays)


def file_key(shop: ShopFacts, hour: int, slot: int, day: int) -> int:
    """Return the number that names a file and decides its faults."""
    return int(mixed(np.array([(hour << 8 | slot) << 16 | day]), shop.seed)[0])


def fault_of(key: int, slot: int, day: int, through: int) -> str:
    """Return what is wrong at the end of the day `through` with a file delivered on `day`: `cut`, `broken`, nothing."""
    if key % FAULTY or slot >= ASTRAY_FROM or through >= mended_on(key, day):
        return ""
    return "cut" if key >> 20 & 1 else "broken"


def mended_on(key: int, day: int) -> int:
    return day + 1 + (key >> 32) % CORRECTED_WITHIN


def was_corrected(shop: ShopFacts, day: int, after: int, through: int) -> bool:
    """Return whether a file of a day may have been faulty at the end of `after` and no longer is at `through`."""
    midnight = int(np.datetime64(shop.date(day), "h").astype(np.int64))
    for hour in range(midnight - 15, midnight + 40):
        for slot in range(len(BUSIER) + 2):
            key = file_key(shop, hour, slot, day)
            if fault_of(key, slot, day, after) and not fault_of(key, slot, day, through):
                return True
    return False


def files_of(
    sent: Sent, place: Path, shop: ShopFacts, day: int, after: int, through: int
) -> Iterator[tuple[Path, memoryview, str]]:
    """Yield path, content and fault of each file delivered on a day that is to be written."""
    sent = sent.only(np.lexsort((sent.number, sent.session, sent.day, sent.at, sent.slot, sent.hour)))
    if not len(sent.at):
        return
    starts = np.flatnonzero((np.diff(sent.hour, prepend=-1) != 0) | (np.diff(sent.slot, prepend=-1) != 0))
    _, offsets, text = sent.text.buffers()
    edges = np.frombuffer(offsets, dtype=np.int32)[sent.text.offset :][np.append(starts, len(sent.at))]
    for start, lo, hi in zip(starts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        hour, slot = int(sent.hour[start]), int(sent.slot[start])
        key = file_key(shop, hour, slot, day)
        fault = fault_of(key, slot, day, through)
        if day <= after and not (fault_of(key, slot, day, after) and not fault):
            continue
        hours = datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y/%m/%d/%H")
        yield place / hours / f"events-{slot:02d}-{key >> 32:08x}.json.gz", memoryview(text)[lo:hi], fault


def put(path: Path, content: memoryview, fault: str) -> None:
    """Write one file; its gzip header says in a comment how many lines it has when it is whole."""
    data = bytes(content)
    n_lines = data.count(b"\n")
    if fault == "broken":
        lines = data.splitlines(keepends=True)
        lines[len(lines) // 2] = lines[len(lines) // 2][: -len(lines[len(lines) // 2]) // 2] + b"\n"
        data = b"".join(lines)
    # RFC 1952: a header with a comment, no time; then CRC and length.
    header = b"\x1f\x8b\x08\x10\0\0\0\0\0\xff" + f"{n_lines} lines".encode() + b"\0"
    packed = header + zlib.compress(data, LEVEL, wbits=-15) + struct.pack("<II", zlib.crc32(data), len(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, packed[: len(packed) * 3 // 5] if fault == "cut" else packed)


def holdings(place: Path, shop: ShopFacts, through: int) -> Holdings:
    """Return what the files hold, according to their headers."""
    rows = files = size = 0
    for folder, _, names in os.walk(place):
        for name in names:
            if name.endswith(".json.gz") and not name.startswith("."):
                with Path(folder, name).open("rb") as file:
                    rows += int(file.read(32)[10:].split(b" ", 1)[0])
                    size += os.fstat(file.fileno()).st_size
                files += 1
    first, last = (shop.date(day).isoformat() for day in (shop.tracked_from, through))
    return Holdings({"events": rows}, first if files else None, last if files else None, files, size)
