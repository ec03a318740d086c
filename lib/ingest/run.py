"""Ingest: ask every source for what is new and commit it to the lake, one batch a source and entity.

What a kind of source does lives in `lib.sources`; what a batch is, in `lib.lake`.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lib.base.errors import SourceError, SourceUnavailableError, can_pass
from lib.base.files import scratch_folder
from lib.base.hashing import fingerprint
from lib.config import EntitySource, Source
from lib.ingest import drift
from lib.ingest.clocks import clock_of
from lib.ingest.lookups import read_tables
from lib.ingest.overlooked import overlooked
from lib.lake import Lake, live_files
from lib.settings import Settings
from lib.sources import open_source
from lib.sources.delivery import Extractor, Task
from lib.sources.listing import some

_COLUMNS = ["source", "entity", "new_files", "rejected_files", "new_rows", "malformed_lines", "batch_id"]


@dataclass(frozen=True)
class Ingested:
    """What one ingest read: a row a source and entity, and the sources that failed with their message.

    `passing` names the failures that can pass by themselves, `skipped` has the failures of sources that are optional,
    `changes` a row a column that is new at its source, and `notes` what readers say (source, entity, remark).
    """

    table: pd.DataFrame
    rejected: pd.DataFrame
    changes: pd.DataFrame
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    passing: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        return int(self.table["new_rows"].sum())

    @property
    def remarks(self) -> pd.DataFrame:
        """What somebody should know, a row (source, entity, remark): what readers say, new columns, skipped sources."""
        rows = [(c.source, c.entity, f"{c.change} {c.column!r} since {c.document}") for c in self.changes.itertuples()]
        for name, message in self.skipped.items():
            source, _, entity = name.partition(".")
            rows.append((source, entity, f"skipped, as it is optional: {message}"))
        rows += self.notes
        return pd.DataFrame(rows, columns=["source", "entity", "remark"])

    def raise_failures(self) -> None:
        """Raise SourceError where a source failed; what the others delivered is in the lake by then.

        It is one that can pass by itself where each of the failures can.
        """
        if self.failures:
            text = "\n".join(f"{name}: {message}" for name, message in self.failures.items())
            raise (SourceUnavailableError if self.failures.keys() <= self.passing else SourceError)(text)


def ingest(settings: Settings, run_id: str, progress: Callable[[str], None] = lambda _: None) -> Ingested:
    """Read what is new in every configured source into the lake.

    A source that fails does not keep the others from delivering; see `Ingested.raise_failures`.
    """
    lake = Lake(settings.lake_url)
    rows: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    notes: list[tuple[str, str, str]] = []
    failures: dict[str, str] = {}
    skipped: dict[str, str] = {}
    passing: set[str] = set()
    with lake.lock():
        lake.claim(settings.identity)
        for name, source in settings.config.sources.items():
            try:
                with open_source(source, settings.work_dir) as extract:
                    for entity in source.entities:
                        try:
                            said = read_tables(settings, lake, name, source, entity, extract, run_id, progress)
                            row, new, remarks = _ingest_entity(
                                settings, lake, name, source, entity, extract, run_id, progress
                            )
                        except SourceError as error:
                            failed = skipped if source.optional or source.entities[entity].optional else failures
                            failed[f"{name}.{entity}"] = str(error)
                            passing |= {f"{name}.{entity}"} if can_pass(error) else set()
                            continue
                        rows.append(row)
                        changes += new
                        notes += [(name, entity, remark) for remark in [*said, *remarks]]
            except SourceError as error:
                (skipped if source.optional else failures)[name] = str(error)
                passing |= {name} if can_pass(error) else set()
        waiting = [note | {"rejected_at": pd.Timestamp(note["rejected_at"], tz="UTC")} for note in lake.rejected()]
    notes += overlooked(settings)
    return Ingested(
        table=pd.DataFrame(rows, columns=_COLUMNS),
        rejected=pd.DataFrame(waiting, columns=["source", "entity", "name", "bytes", "reason", "rejected_at"]),
        changes=pd.DataFrame(changes, columns=drift.CHANGE_COLUMNS),
        failures=failures,
        skipped=skipped,
        notes=notes,
        passing=frozenset(passing),
    )


def _ingest_entity(
    settings: Settings,
    lake: Lake,
    name: str,
    source: Source,
    entity: str,
    extract: Extractor,
    run_id: str,
    progress: Callable[[str], None],
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Extract what is new of one entity and commit it; return its row of the table, new columns, and remarks."""
    spec = source.entities[entity]
    reader = fingerprint(spec.reader)
    with scratch_folder(settings.work_dir, "ingest") as scratch:
        with lake.connect(settings) as connection:
            state = lake.state(name, entity, reader)
            progress(f"{name}: {entity}")
            task = Task(entity, spec, state, scratch, connection, lambda text: progress(f"{name}: {text}"))
            delivery = extract(task)
            delivery, changes = drift.judge(source, entity, state, delivery, connection)
            parts = [part for part in delivery.parts if part.name.startswith("part-")]
            clock = clock_of(connection, parts, entity, source, spec)
        lake.accept(name, entity, delivery.unchanged)
        for file in delivery.rejected:
            lake.reject(name, entity, file, run_id)
        batch = lake.commit(name, entity, reader, delivery, run_id)
        if delivery.totals is not None:
            lake.record_totals(name, entity, delivery.totals)
    row = {
        "source": name,
        "entity": entity,
        "new_files": len(delivery.files),
        "rejected_files": len(delivery.rejected),
        "new_rows": batch.rows + batch.malformed if batch else 0,
        "malformed_lines": batch.malformed if batch else 0,
        "batch_id": batch.batch_id if batch else "",
    }
    remarks = [*delivery.remarks, *_unused_columns(spec, entity, state.types, delivery.columns)]
    remarks += [clock] if clock else []
    return row, [{"source": name, "entity": entity, **change} for change in changes], remarks


def _unused_columns(spec: EntitySource, entity: str, before: Collection[str], now: Collection[str]) -> Iterator[str]:
    """Yield a sentence where a mapping leaves half of the columns unused."""
    named = [c for c in dict.fromkeys([*now, *before]) if not re.fullmatch(r"(column|unnamed)_\d+|_.*", c)]
    used = {name.casefold() for use in spec.uses(entity) for name in use.names}
    unused = [c for c in named if c.casefold() not in used]
    if len(named) > 3 and 2 * len(unused) >= len(named):
        yield f"{len(unused)} of {len(named)} columns are not mapped: {some(unused, 12)}"


def read_so_far(settings: Settings) -> pd.DataFrame:
    """Return, by source and entity, the rows read so far and what becomes of them: read = replaced + staged.

    Columns: source, entity, batches, documents (as they are now), read_rows, replaced_rows (of documents that were
    delivered again with other content), staged_rows.
    """
    batches = Lake(settings.lake_url).batches()
    live = live_files(batches)
    sums: dict[tuple[str, str], list[int]] = {}
    for batch in batches:
        row = sums.setdefault((batch.source, batch.entity), [0, 0, 0, 0])
        row[0] += 1
        for file in batch.files:
            is_live = file.name in live[batch.batch_id, batch.source, batch.entity]
            count = file.rows + file.malformed
            row[1] += is_live
            row[2] += count
            row[3] += 0 if is_live else count
    names = ["source", "entity", "batches", "documents", "read_rows", "replaced_rows"]
    frame = pd.DataFrame([(*key, *row) for key, row in sums.items()], columns=names)
    frame["staged_rows"] = frame["read_rows"] - frame["replaced_rows"]
    return frame


def watermarks(settings: Settings) -> dict[str, Any]:
    """Return how far each source has been read: its cursor after the newest batch, by source and entity."""
    return {f"{b.source}.{b.entity}": b.cursor_after for b in Lake(settings.lake_url).batches()}
