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
from lib.reconciliation import note_source_totals
from lib.rules import RULES
from lib.standardize import rules_of, standardize
from lib.warehouse import Warehouse
from lib.words import listing

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
    warehouse.replace("ops.schema_changes", _schema_changes(batches))
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


def _rejected(lake: Lake) -> pd.DataFrame:
    columns = ["source", "entity", "name", "bytes", "reason", "rejected_at"]
    frame = pd.DataFrame(lake.rejected(), columns=columns)
    frame["rejected_at"] = pd.to_datetime(frame["rejected_at"])
    return frame


def _schema_changes(batches: list[Batch]) -> pd.DataFrame:
    """Return a row a column that a batch has and no earlier one of its source and entity had."""
    known: dict[tuple[str, str], set[str]] = {}
    rows = []
    for batch in batches:
        seen = known.setdefault((batch.source, batch.entity), set())
        new = {name: kind for name, kind in batch.types.items() if seen and name not in seen}
        taken = (batch.batch_id, batch.run_id, pd.Timestamp(batch.ingested_at))
        rows += [(batch.source, batch.entity, name, f"new column ({kind})", *taken) for name, kind in new.items()]
        seen |= set(batch.types)
    columns = ["source", "entity", "column_name", "change", "batch_id", "ingested_by", "ingested_at"]
    return pd.DataFrame(rows, columns=columns)


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


def rule_counts(warehouse: Warehouse, table: str = "quality.record_findings") -> pd.DataFrame:
    """Return what the rules found, a row a rule, outcome, source and entity, the most frequent first.

    Columns: rule, says, outcome, source, entity, found, and one example: before, after. `table` may also be
    `stage.row_findings`: what the row rules found, before the models are built.
    """
    own = "_" if table.startswith("stage.") else ""
    frame = warehouse.query(
        f"""
        with ranked as (
            select
                rule, outcome, {own}source as source, entity, before, after,
                count(*) over (partition by rule, outcome, {own}source, entity) as found,
                row_number() over (
                    partition by rule, outcome, {own}source, entity
                    order by case when before is null then 1 else 0 end, length(before), before, after, key
                ) as place
            from {table}
        )
        select rule, outcome, source, entity, found, before, after from ranked where place = 1
        order by found desc, rule, outcome, source, entity
        """
    )
    frame.insert(1, "says", [RULES[rule].says if rule in RULES else "" for rule in frame["rule"]])
    return frame


def by_rule(counts: pd.DataFrame) -> pd.DataFrame:
    """Return `rule_counts` for people to read, a row a rule and outcome.

    Columns: rule, what is done, outcome, found, of, example.
    `of` names the entities with the sources they come from, those with the most findings first.
    """
    rows = []
    for (rule, outcome), group in counts.groupby(["rule", "outcome"], sort=False):
        places = [f"{entity.replace('_', ' ')} of {source}" for entity, source in group[["entity", "source"]].values]
        of = listing(places[:2] + ([f"{len(places) - 2} more"] if len(places) > 2 else []))
        first = group.iloc[0]
        example = " → ".join(f"“{text}”" for text in (first["before"], first["after"]) if pd.notna(text))
        rows.append((rule, first["says"], outcome, int(group["found"].sum()), of, example))
    frame = pd.DataFrame(rows, columns=["rule", "what is done", "outcome", "found", "of", "example"])
    frame["rule"] = frame["rule"].str.replace("_", " ")
    return frame.sort_values("found", ascending=False, kind="stable").reset_index(drop=True)


def repaired_cells(warehouse: Warehouse, per_rule: int = 3) -> pd.DataFrame:
    """Return some repaired cells of each row rule: rule, source, entity, key, field, before, after."""
    return warehouse.query(
        """
        with ranked as (
            select
                rule, _source as source, entity, key, field, before, after,
                row_number() over (partition by rule order by length(before), before, entity, key, field) as place
            from stage.row_findings
            where outcome = 'repaired'
        )
        select rule, source, entity, key, field, before, after from ranked where place <= ?
        order by rule, place
        """,
        [per_rule],
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
