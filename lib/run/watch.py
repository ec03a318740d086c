"""Watching the sources: a flow is started when something new is there, once files that are new have stopped growing.

What is new in the sources is asked in `lib.ingest.pending`; what a run that failed has read and not published is new
too. How a run is started and stopped is in `lib.run.schedule`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from lib.ingest import pending
from lib.ingest.pending import New, Pending
from lib.lake import Lake
from lib.run import checkpoints
from lib.run.manifest import list_runs
from lib.run.schedule import Clock
from lib.settings import Settings
from lib.warehouse import open_warehouse

#: After a run that failed it is tried again after so long, though nothing has changed, then after twice as long.
_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=10), timedelta(hours=2)

#: States of a run after which somebody decides what becomes of what it has read.
_DECIDED = ("running", "waiting", "not_published", "refused")
#: What stands in the place of a file's size and time, of what is in the lake already.
IN_LAKE = "in the lake"


def look(settings: Settings) -> Pending:
    """Return what the next run would find: new in the sources, or read by a run that failed and not published since."""
    found = pending.pending(settings)
    return Pending(_unpublished(settings) + found.new, found.failures, found.skipped)


def _unpublished(settings: Settings) -> list[New]:
    """Return the batches of the lake that what is published lacks, unless the last run left them for a decision."""
    published = open_warehouse(settings)
    own = {(name, entity) for name, source in settings.config.sources.items() for entity in source.entities}
    batches = [b for b in Lake(settings.lake_url).batches() if (b.source, b.entity) in own]
    loaded = {batch for batch, *_ in published.loaded_batches()} if batches and published.exists() else set()
    if not (lacking := [b for b in batches if b.batch_id not in loaded]):
        return []
    last = next((run for run in list_runs(settings.output_dir) if checkpoints.is_of(run, settings)), None)
    if last and last["state"] in _DECIDED:
        return []
    found: dict[tuple[str, str], dict[str, str]] = {}
    for batch in lacking:
        found.setdefault((batch.source, batch.entity), {})[f"batch {batch.batch_id}, read and not published"] = IN_LAKE
    return [New(source, entity, documents) for (source, entity), documents in found.items()]


def keep_watching(
    look: Callable[[], Pending],
    run: Callable[[], int],
    clock: Clock,
    say: Callable[[str], None],
    every: float,
    is_busy: Callable[[], bool] = lambda: False,
) -> None:
    """Look every so many seconds, for ever, and run where something is new, the same at two looks one after the other.

    What a run that failed left is tried again, at growing distances; what one that was refused left is not, until
    something changes.
    """
    seen: dict[tuple[str, str, str], str] = {}
    tried: dict[tuple[str, str, str], str] | None = None
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
        fresh = {key: stamp for key, stamp in new.items() if stamp != IN_LAKE and (tried or {}).get(key) != stamp}
        is_again = retry_at is not None and clock.now() >= retry_at
        if new and new == seen and (fresh or tried is None or is_again) and not is_busy():
            for one in found.new:
                say(one.sentence)
            code = run()
            wait = _FIRST_RETRY if fresh or tried is None else min(wait * 2, _LAST_RETRY)
            tried, retry_at = new, clock.now() + wait if code == 1 else None
            say(f"ended with exit code {code}" + (f"; tried again in {wait.seconds // 60} min" if retry_at else ""))
            new = {}
        seen = new
        clock.sleep(every)
