"""Loading what a warehouse copy lacks of the lake into `stage`, and writing its clean layer back to the lake."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from lib.base.files import scratch_folder
from lib.clean.exchange_rates import read_exchange_rates
from lib.clean.standardize import rules_of, standardize
from lib.lake import Batch, Lake, live_files
from lib.settings import Settings
from lib.warehouse import Warehouse


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
    rates = read_exchange_rates(settings)
    rules = {
        (name, entity): rules_of(lake, name, entity, source)
        for name, source in settings.config.sources.items()
        for entity in source.entities
    }
    live, again = live_files(batches), _files_delivered_again(batches)
    rows = []
    warehouse.unload_lost_batches(batches)
    pending = warehouse.missing(batches, rules)
    standardized = standardize(settings, lake, pending)
    for number, batch in enumerate(pending, 1):
        progress(f"loading batch {number} of {len(pending)}: {batch.source} {batch.entity}, {batch.rows:,} rows")
        item = next(standardized)
        key = batch.batch_id, batch.source, batch.entity
        loaded = warehouse.load(lake, item, live[key], again[key] & live[key], run_id)
        read = batch.rows + batch.malformed
        rows.append((batch.source, batch.entity, batch.batch_id, len(batch.files), read, loaded))
    warehouse.replace("ops.rejected_files", _rejected(settings, lake))
    warehouse.replace("ops.schema_changes", _schema_changes(batches))
    warehouse.replace("ops.exchange_rates", rates)
    warehouse.replace("ops.mappings", _mappings(settings))
    note_source_totals(lake, warehouse, batches)
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


def _rejected(settings: Settings, lake: Lake) -> pd.DataFrame:
    frame = pd.DataFrame(lake.rejected(), columns=["source", "entity", "name", "bytes", "reason", "rejected_at"])
    optional = {
        (name, entity)
        for name, source in settings.config.sources.items()
        for entity, spec in source.entities.items()
        if source.optional or spec.optional
    }
    frame["optional"] = [key in optional for key in zip(frame["source"], frame["entity"], strict=True)]
    frame["optional"] = frame["optional"].astype(bool)
    frame["rejected_at"] = pd.to_datetime(frame["rejected_at"])
    return frame


def _mappings(settings: Settings) -> pd.DataFrame:
    rows = [
        (name, entity, source.kind, spec.equal_lines)
        for name, source in settings.config.sources.items()
        for entity, spec in source.entities.items()
    ]
    return pd.DataFrame(rows, columns=["source", "entity", "kind", "equal_lines"])


def _schema_changes(batches: list[Batch]) -> pd.DataFrame:
    """Return a row a column that a batch has and no earlier one of its source, entity and reader had."""
    known: dict[tuple[str, str, str], set[str]] = {}
    rows = []
    for batch in batches:
        seen = known.setdefault((batch.source, batch.entity, batch.reader), set())
        new = {name: kind for name, kind in batch.types.items() if seen and name not in seen}
        found_in = (batch.batch_id, batch.run_id, pd.Timestamp(batch.ingested_at))
        rows += [(batch.source, batch.entity, name, f"new column ({kind})", *found_in) for name, kind in new.items()]
        seen |= set(batch.types)
    columns = ["source", "entity", "column_name", "change", "batch_id", "ingested_by", "ingested_at"]
    return pd.DataFrame(rows, columns=columns)


def export_clean(settings: Settings, warehouse: Warehouse) -> None:
    """Put a copy's clean layer into the lake as Parquet, one file an entity, each replaced at once."""
    lake = Lake(settings.lake_url)
    with scratch_folder(settings.work_dir, "export") as scratch, lake.lock():
        for entity in ("customers", "products", "orders", "order_items", "payments", "events"):
            part = scratch / f"{entity}.parquet"
            warehouse.export(f"clean.{entity}", part)
            lake.place(part, f"clean/{entity}.parquet")


def note_source_totals(lake: Lake, warehouse: Warehouse, batches: Sequence[Batch]) -> None:
    """Write into `ops.source_totals` what the documents state themselves and what sources reported at the last ingest.

    `batches` are all of the lake.
    """
    live = live_files(batches)
    documents: dict[tuple[str, str], list[Any]] = {}
    for batch in batches:
        names = live[batch.batch_id, batch.source, batch.entity]
        files = [f for f in batch.files if f.name in names]
        rows = sum((f.rows if f.reported_rows is None else f.reported_rows) + f.malformed for f in files)
        total = documents.setdefault((batch.source, batch.entity), [0, batch.ingested_at])
        total[0], total[1] = total[0] + rows, max(total[1], batch.ingested_at)
    found = [(*key, "rows", float(rows), "the documents", at) for key, (rows, at) in documents.items()]
    for note in lake.reported_totals():
        for measure, value in note["values"].items():
            found.append((note["source"], note["entity"], measure, value, note["reported_by"], note["reported_at"]))
    columns = ["source", "entity", "measure", "value", "reported_by", "reported_at"]
    frame = pd.DataFrame(found, columns=columns)
    frame["reported_at"] = pd.to_datetime([datetime.fromisoformat(at) for at in frame["reported_at"]])
    warehouse.replace("ops.source_totals", frame)
