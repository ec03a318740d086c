"""Watching the sources: a flow is started when something new is there, once files that are new have stopped growing.

What is new is asked in `lib.ingest.pending`; how a run is started and stopped is in `lib.run.schedule`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from lib.ingest.pending import Pending
from lib.run.schedule import Clock

#: After a run that failed it is tried again after so long, though nothing has changed, then after twice as long.
_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=10), timedelta(hours=2)


def keep_watching(
    look: Callable[[], Pending],
    run: Callable[[], int],
    clock: Clock,
    say: Callable[[str], None],
    every: float,
    is_busy: Callable[[], bool] = lambda: False,
) -> None:
    """Look every so many seconds, for ever, and run where something is new, the same at two looks one after the other.

    What a run that failed left new is tried again, at growing distances; what one that was refused left is not, until
    something changes.
    """
    seen: dict[tuple[str, str, str], str] = {}
    tried: dict[tuple[str, str, str], str] = {}
    retry_at: datetime | None = None
    wait = _FIRST_RETRY
    said: dict[str, str] = {}
    while True:
        found = look()
        failures = found.failures | found.skipped
        for name, message in failures.items():
            if said.get(name) != message:
                say(f"{name} cannot be asked: {message}")
        for name in said.keys() - failures.keys():
            say(f"{name} can be asked again")
        said = failures
        new = found.signature
        is_due = new != tried or (retry_at is not None and clock.now() >= retry_at)
        if new and new == seen and is_due and not is_busy():
            for one in found.new:
                say(one.sentence)
            code = run()
            wait = min(wait * 2, _LAST_RETRY) if new == tried else _FIRST_RETRY
            tried, retry_at = new, clock.now() + wait if code == 1 else None
            say(f"ended with exit code {code}" + (f"; tried again in {wait.seconds // 60} min" if retry_at else ""))
            new = {}
        seen = new
        clock.sleep(every)
