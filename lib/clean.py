"""Bringing a warehouse copy up to date with the lake: standardize what it lacks and load it into `stage`."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lib.config import Settings
from lib.entities import ENTITIES
from lib.lake import Batch, Lake, live_files
from lib.standardize import rules_of, standardize
from lib.warehouse import Warehouse

#: How the figures of `accounting` hang together.
ACCOUNTING = (
    "read = replaced + staged; staged = clean + exact duplicates + older versions + in another source + quarantined"
)


def load_stage(
    settings: Settings, warehouse: Warehouse, run_id: str, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Load every batch of the lake that the copy lacks, oldest first; return a row a batch loaded.

    Columns: source, entity, batch_id, files, rows, loaded_rows. Loaded rows are fewer than the batch's where a later
    batch replaces some of its files.
    """
    lake = Lake(settings.lake_url)
    lake.claim(settings.identity)
    batches = lake.batches()
    rules = {
        (name, entity): rules_of(entity, spec, source)
        for name, source in settings.config.sources.items()
        for entity, spec in source.entities.items()
    }
    live, again = live_files(batches), _files_delivered_again(batches)
    rows = []
    warehouse.forget_lost(batches)
    pending = warehouse.missing(batches, rules)
    for number, batch in enumerate(pending, 1):
        progress(f"loading batch {number} of {len(pending)}: {batch.source} {batch.entity}, {batch.rows:,} rows")
        item = standardize(settings, lake, batch)
        key = batch.batch_id, batch.source, batch.entity
        loaded = warehouse.load(lake, item, live[key], again[key] & live[key], run_id)
        rows.append(
            (
                batch.source,
                batch.entity,
                batch.batch_id,
                len(batch.files),
                batch.rows + batch.malformed,
                loaded,
            )
        )
    warehouse.replace("ops.rejected_files", _rejected(lake))
    return pd.DataFrame(rows, columns=["source", "entity", "batch_id", "files", "rows", "loaded_rows"])


def _files_delivered_again(batches: list[Batch]) -> dict[tuple[str, str, str], set[str]]:
    """Return, for each batch, its files that an earlier batch delivered too."""
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    again = {}
    for batch in batches:
        names, seen = {f.name for f in batch.files}, known[batch.source, batch.entity]
        again[batch.batch_id, batch.source, batch.entity] = names & seen
        seen |= names
    return again


def _rejected(lake: Lake) -> pd.DataFrame:
    columns = ["source", "entity", "name", "bytes", "reason", "rejected_at"]
    frame = pd.DataFrame(lake.rejected(), columns=columns)
    frame["rejected_at"] = pd.to_datetime(frame["rejected_at"])
    return frame


def accounting(warehouse: Warehouse) -> pd.DataFrame:
    """Return, by source and entity, what became of every staged row."""
    return warehouse.query("select * from quality.row_accounting order by source, entity")


def merged_rows(rows: pd.DataFrame) -> int:
    """Return how many staged rows `accounting` counts as merged into others."""
    return int(rows[["exact_duplicates", "older_versions", "in_another_source"]].sum().sum())


def quarantine_reasons(warehouse: Warehouse) -> pd.DataFrame:
    """Return how many rows wait in quarantine, by source, entity and rule, each with one reason as an example."""
    return warehouse.query(
        " union all ".join(
            f"select _source as source, '{e}' as entity, _rule as rule, count(*) as rows, min(_reason) as example"
            f" from quarantine.{e} group by _source, _rule"
            for e in ENTITIES
        )
        + " order by rows desc, source, entity, rule"
    )


def export_clean(settings: Settings, warehouse: Warehouse) -> None:
    """Put a copy's clean layer into the lake as Parquet, one file an entity, each replaced at once."""
    lake = Lake(settings.lake_url)
    scratch = Path(tempfile.mkdtemp(prefix="export-", dir=settings.work_dir))
    try:
        with lake.lock():
            for entity in ("customers", "products", "orders", "order_items", "payments", "events"):
                part = scratch / f"{entity}.parquet"
                warehouse.export(f"clean.{entity}", part)
                lake.place(part, f"clean/{entity}.parquet")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
