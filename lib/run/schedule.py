"""The schedule: runs flows at the times of their cron expressions, one after the other, each as a process of its own.

How far it has come is in `schedule.json` of the data folder, written when a run has ended: what came due while nothing
was there to run it, however often, is run once, and a run that was stopped with the schedule is run again. When a cron
expression comes due is in `lib.run.cron`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from lib.base.errors import ConfigError, LakeError
from lib.base.files import PROJECT, file_lock, is_locked, write_atomically
from lib.base.signals import Stopped, raising_stopped
from lib.run import forking
from lib.run.cron import next_time, times_after
from lib.run.flows import all_flows, find_flow
from lib.run.manifest import stamp
from lib.settings import Settings

#: It looks at the clock at least so often: a clock may be set, and a machine may sleep.
_LOOK_SECONDS = 60
#: How long a run may take to end itself when it is asked to.
_END_SECONDS = 60


class Clock(Protocol):
    """What time it is, and how to wait."""

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class RealClock:
    """The clock of this machine, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Entry:
    """A flow and when it runs."""

    flow: str
    cron: str
    zone: str

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after a moment, in UTC."""
        return next_time(self.cron, self.zone, moment)

    def shown(self, moment: datetime) -> str:
        """Return a moment by the clock of this entry, for people to read."""
        return moment.astimezone(ZoneInfo(self.zone)).strftime("%a %Y-%m-%d %H:%M %Z")


@dataclass(frozen=True)
class State:
    """What is known of the flows' runs, in a file: by flow its cron expression and zone, until when all that came due
    was run, and how the last run went."""

    path: Path

    def read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise LakeError(
                f"{self.path} cannot be read ({error}). Remove it: what is due from now on is run."
            ) from None
        return found if isinstance(found, dict) else {}

    def until(self, entry: Entry) -> datetime | None:
        """Return until when all that came due of a flow was run; None where it is new, or its times have changed."""
        note = self.read().get(entry.flow, {})
        if (note.get("cron"), note.get("zone")) != (entry.cron, entry.zone):
            return None
        return datetime.fromisoformat(note["until"])

    def note(self, entry: Entry, until: datetime, **values: Any) -> None:
        notes = self.read()
        own = notes.get(entry.flow, {}) | {"cron": entry.cron, "zone": entry.zone, "until": until.isoformat()} | values
        write_atomically(self.path, json.dumps(notes | {entry.flow: own}, indent=1))


def entries(settings: Settings, only: Collection[str] = ()) -> list[Entry]:
    """Return the flows that have a cron expression, or some of them by name; raise ConfigError where there is none."""
    flows = {name: find_flow(settings, name) for name in only} if only else all_flows(settings)
    found = []
    for name in flows:
        configured = settings.config.flows[name]
        if configured.cron:
            found.append(Entry(name, configured.cron, configured.time_zone or settings.shop.time_zone))
        elif only:
            raise ConfigError(f"The flow {name} has no cron expression: set flows.{name}.cron in pipeline.yml.")
    if not found:
        raise ConfigError("No flow has a cron expression: set 'cron' of one under 'flows' of pipeline.yml.")
    return found


def state_of(settings: Settings) -> State:
    """Return what is known of the runs on a data folder."""
    return State(settings.data_dir / "schedule.json")


def listed(settings: Settings, chosen: Sequence[Entry], now: datetime, count: int) -> list[list[str]]:
    """Return a row a flow: name, cron expression, time zone, whether it is overdue, its next times, its last run."""
    state = state_of(settings)
    rows = []
    for entry in chosen:
        until = state.until(entry) or now
        due = entry.next_after(until)
        times = [entry.shown(t) for t in islice(times_after(entry.cron, entry.zone, now), count)]
        if due and due <= now:
            times = [f"now (due since {entry.shown(due)})", *times[: count - 1]]
        note = state.read().get(entry.flow, {})
        last = f"{note['ended']}, exit code {note['exit_code']}" if "ended" in note else ""
        rows.append([entry.flow, entry.cron, entry.zone, ", ".join(times) or "never", last])
    return rows


def keep(
    chosen: Sequence[Entry],
    state: State,
    run: Callable[[str], int],
    clock: Clock,
    say: Callable[[str], None],
    is_busy: Callable[[], bool] = lambda: False,
) -> None:
    """Run flows as they come due, for ever; `run` gives the exit code of a flow's run, and raises Stopped.

    While `is_busy` (somebody else's run is at work), what is due waits.
    """
    begun = clock.now()
    for entry in chosen:
        if state.until(entry) is None:
            state.note(entry, begun)
        if (coming := entry.next_after(state.until(entry) or begun)) is not None:
            say(f"{entry.flow}: {'due since' if coming <= begun else 'next'} {entry.shown(coming)}")
        else:
            say(f"{entry.flow}: never, by {entry.cron!r}")
    waits = False
    while True:
        now = clock.now()
        times = [(time, n) for n, e in enumerate(chosen) if (time := e.next_after(state.until(e) or now))]
        due, number = min(times, default=(now + timedelta(days=1), 0))
        if due > now:
            clock.sleep(min((due - now).total_seconds(), _LOOK_SECONDS))
            continue
        if is_busy():
            if not waits:
                say(f"{chosen[number].flow} is due and waits: another run is at work")
            waits = True
            clock.sleep(_LOOK_SECONDS / 4)
            continue
        waits = False
        _run_one(chosen[number], due, state, run, clock, say)


def _run_one(
    entry: Entry, due: datetime, state: State, run: Callable[[str], int], clock: Clock, say: Callable[[str], None]
) -> None:
    """Run a flow that is due and note how that went; all that was due of it by the start is done with it."""
    started = clock.now()
    late = "" if started - due < timedelta(minutes=1) else f" (due {entry.shown(due)})"
    say(f"{entry.flow} starts{late}")
    try:
        code = run(entry.flow)
    except Stopped:
        say(f"{entry.flow} was stopped, and is run when the schedule is back")
        raise
    ended = clock.now()
    state.note(entry, started, due=due.isoformat(), started=stamp(started), ended=stamp(ended), exit_code=code)
    coming = entry.next_after(started)
    then = f"; next {entry.shown(coming)}" if coming else ""
    say(f"{entry.flow} ended with exit code {code} after {(ended - started).total_seconds():.0f} s{then}")


def arguments_of(settings: Settings, flow: str, passed_on: Sequence[str]) -> list[str]:
    """Return how a flow is run by the clock or by what has arrived: as by hand, but for what has not changed."""
    skipping = ["--skip-unchanged"] if settings.config.flows[flow].skip_unchanged else []
    return ["--flow", flow, *skipping, *passed_on]


def run_process(arguments: Sequence[str]) -> int:
    """Run the command line as a process of its own and return its exit code.

    Where this process is asked to end, that one is too, and has a minute to close its run; it ends with this one.
    """
    parent = os.getpid()

    def follow() -> None:
        if sys.platform == "linux":
            forking.end_with_parent(parent, signal.SIGTERM)

    command = [sys.executable, str(PROJECT / "run_pipeline.py"), *arguments]
    # In a session of its own: Ctrl-C in a terminal reaches this process alone, which passes it on in order.
    process = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, preexec_fn=follow)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def is_busy(settings: Settings) -> bool:
    """Whether a run is at work on the data folder."""
    return is_locked(settings.data_dir / ".run.lock")


@contextlib.contextmanager
def alone(settings: Settings, what: str) -> Iterator[None]:
    """Hold the lock of what may be there once a data folder, and turn signals that ask to end into Stopped.

    Raises LakeError where another process holds it.
    """
    asked = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    message = f"Another {what} is at work on {settings.data_dir}."
    with file_lock(settings.data_dir / f".{what}.lock", 0, message), raising_stopped(asked, once=True):
        yield
