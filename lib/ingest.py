"""Ingest: ask every source for what is new and commit it to the lake, one batch a source and entity.

What a kind of source does lives in `lib.sources`; what a batch is, in `lib.lake`.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lib.config import Settings, fingerprint
from lib.errors import SourceError
from lib.lake import Lake
from lib.sources import KINDS

_COLUMNS = ["source", "entity", "new_files", "rejected_files", "new_rows", "malformed_lines", "batch_id"]


@dataclass(frozen=True)
class Ingested:
    """What one ingest took: a row a source and entity, and the sources that failed with their message."""

    table: pd.DataFrame
    rejected: pd.DataFrame
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return int(self.table["new_rows"].sum())

    def raise_failures(self) -> None:
        """Raise SourceError where a source failed; what the others delivered is in the lake by then."""
        if self.failures:
            text = "\n".join(f"{name}: {message}" for name, message in self.failures.items())
            raise SourceError(text)


def ingest(settings: Settings, run_id: str, progress: Callable[[str], None] = lambda _: None) -> Ingested:
    """Take what is new from every configured source into the lake.

    A source that fails does not keep the others from delivering; see `Ingested.raise_failures`.
    """
    lake = Lake(settings.lake_url)
    rows, failures = [], {}
    with lake.lock():
        lake.claim(settings.identity)
        for name, source in settings.config.sources.items():
            for entity, spec in source.entities.items():
                reader = fingerprint(spec.reader)
                scratch = Path(tempfile.mkdtemp(prefix="ingest-", dir=settings.work_dir))
                try:
                    with lake.connect(settings) as connection:
                        taken = lake.taken(name, entity, reader)
                        delivery = KINDS[source.kind](source, entity, spec, taken, scratch, connection, progress)
                    lake.accept(name, entity, delivery.unchanged)
                    for file in delivery.rejected:
                        lake.reject(name, entity, file, run_id)
                    batch = lake.commit(name, entity, reader, delivery, run_id)
                except SourceError as error:
                    failures[f"{name}.{entity}"] = str(error)
                    continue
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
                rows.append(
                    {
                        "source": name,
                        "entity": entity,
                        "new_files": len(delivery.files),
                        "rejected_files": len(delivery.rejected),
                        "new_rows": batch.rows + batch.malformed if batch else 0,
                        "malformed_lines": batch.malformed if batch else 0,
                        "batch_id": batch.batch_id if batch else "",
                    }
                )
        waiting = lake.rejected()
    return Ingested(
        table=pd.DataFrame(rows, columns=_COLUMNS),
        rejected=pd.DataFrame(waiting, columns=["source", "entity", "name", "bytes", "reason", "rejected_at"]),
        failures=failures,
    )


def watermarks(settings: Settings) -> dict[str, Any]:
    """Return how far each source has been taken: its cursor after the newest batch, by source and entity."""
    return {f"{b.source}.{b.entity}": b.cursor_after for b in Lake(settings.lake_url).batches()}
