"""What a warehouse is on every engine: schemas, the tables of operations, and the methods the pipeline calls.

Work happens on a private copy that no reader sees; `publish` makes it the published one, at once and for good.
A reader therefore sees one finished run or the one before, and a killed run changes nothing.
"""

import contextlib
import glob
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
import tenacity
import yaml

from lib.base.errors import ConnectionLostError, WarehouseError
from lib.base.files import PROJECT
from lib.base.quoting import quoted, text_literal
from lib.entities import ENTITIES, FINDINGS, LINEAGE
from lib.lake import Batch, Lake, Standardized
from lib.settings import Settings

#: `run` is the copy of a batch run, `checkpoint` what a run that ended without publishing left, and `draft` the copy
#: that notebooks run by hand share.
Copy = Literal["published", "run", "checkpoint", "draft"]

SCHEMAS = ("stage", "clean", "quarantine", "warehouse", "analytics", "quality", "ops")

#: Tables that no model builds, each with its columns and their types.
OPS_TABLES: dict[str, dict[str, str]] = yaml.safe_load((PROJECT / "sql" / "tables.yml").read_text(encoding="utf-8"))
#: The tables of `stage`: one an entity, and what the row rules found in the rows of all.
STAGE_TABLES = {e.name: {c.name: c.sql_type for c in e.columns} | LINEAGE for e in ENTITIES.values()}
STAGE_TABLES["row_findings"] = FINDINGS
#: Tables with the history of runs; a full refresh, which rebuilds all else, keeps them.
HISTORY = ("ops.runs", "quality.checks", "quality.scores", "quality.table_scores")

#: For what may safely be done again: once more, where the connection is lost under way.
retried = tenacity.retry(
    retry=tenacity.retry_if_exception_type(ConnectionLostError),
    stop=tenacity.stop_after_attempt(2),
    wait=tenacity.wait_fixed(0.5),
    reraise=True,
)


def column_list(columns: dict[str, str], text: str = "varchar") -> str:
    """Return columns as `create table` lists them, texts of an engine's own type."""
    return ", ".join(f"{quoted(name)} {kind.replace('varchar', text)}" for name, kind in columns.items())


def rows_of(item: Standardized, live: set[str]) -> str:
    """Return what DuckDB reads as a batch's typed rows, those of its `live` files."""
    rows = f"read_parquet({text_literal(glob.escape(item.path))})"
    if len(live) == len(item.batch.files):
        return rows
    names = ", ".join(map(text_literal, sorted(live))) or "null"
    return f"(select * from {rows} where _source_file in ({names}))"


def findings_of(item: Standardized, live: set[str]) -> str:
    """Return DuckDB's query of what row rules found in those rows, the columns as in `stage.row_findings`."""
    lineage = "_source, _source_file, _source_row, _batch_id"
    return (
        f"select {text_literal(item.batch.entity)}, _key, n.field, n.rule, n.outcome, n.before, n.after, {lineage}"
        f" from (select _key, {lineage}, unnest(_findings) as n from {rows_of(item, live)})"
    )


def batch_note(item: Standardized, rows: int, run_id: str) -> dict[str, Any]:
    """Return the row of `ops.batches` for a batch and the number of rows loaded of it."""
    batch = item.batch
    values = (
        batch.batch_id, batch.source, batch.entity, batch.sequence, item.rules, len(batch.files), rows,
        batch.malformed, batch.bytes, json.dumps(batch.cursor_before), json.dumps(batch.cursor_after),
        batch.run_id, batch.ingested_at, run_id, datetime.now(UTC).replace(tzinfo=None), batch.rows + batch.malformed,
    )  # fmt: skip
    return dict(zip(OPS_TABLES["ops.batches"], values, strict=True))


class Warehouse(ABC):
    """One copy of the warehouse. No connection outlives a method call."""

    #: Where more than this share of the staged rows have changed, building models whole is quicker.
    LARGEST_SHARE: ClassVar[float] = 0.2

    def __init__(self, settings: Settings, copy: Copy = "published") -> None:
        self.settings = settings
        self.copy = copy

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people to read; without a password."""

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep every other run on this warehouse out; the caller holds the lock of the data folder already."""
        yield

    @abstractmethod
    def exists(self) -> bool:
        """Whether this private copy is there."""

    @abstractmethod
    def is_current(self) -> bool:
        """Whether this private copy exists and was made from what is published now."""

    @abstractmethod
    def begin(self, *, full_refresh: bool = False) -> None:
        """Make the private copy: of what is published, or an empty one that keeps only the history of runs."""

    @abstractmethod
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Return a read-only query's rows as a DataFrame; a parameter is a `?`."""

    @abstractmethod
    def query_each(self, queries: Sequence[str]) -> list[pd.DataFrame | WarehouseError]:
        """Return the rows of many queries that name their tables in full, of one that fails why."""

    @abstractmethod
    def loaded_batches(self) -> list[tuple[str, str, str, str]]:
        """Return batch_id, source, entity and rules of every batch that this copy holds."""

    @abstractmethod
    def unload(self, sources: Iterable[tuple[str, str]]) -> None:
        """Drop all rows and batch notes of some (source, entity), in one transaction."""

    @abstractmethod
    def load(self, lake: Lake, item: Standardized, live: set[str], replaced: set[str], run_id: str) -> int:
        """Put a batch's rows into its stage table, with its note, in one transaction; return how many rows.

        `live` names the batch's files that no later batch replaces; only their rows are loaded. `replaced` names those
        of them that an earlier batch delivered: its rows of them go, so a file delivered again counts once.
        """

    @abstractmethod
    def replace(self, table: str, frame: pd.DataFrame, *, where: str = "true", parameters: Sequence[Any] = ()) -> None:
        """Replace the rows of a table that a condition picks by a frame's, in one transaction, columns by name."""

    @abstractmethod
    def export(self, table: str, path: Path) -> None:
        """Write a table to a Parquet file."""

    @abstractmethod
    def discard(self) -> None:
        """Remove this private copy, if there is one."""

    @abstractmethod
    def keep_state(self, run_id: str, stage: str) -> None:
        """Keep what this copy holds now as what a stage of a run left, for the next stage to begin from."""

    @abstractmethod
    def has_state(self, run_id: str, stage: str) -> bool:
        """Whether what a stage of a run left is kept, and was made from what is published now."""

    @abstractmethod
    def take_state(self, run_id: str, stage: str) -> None:
        """Become what a stage of a run left; it is kept for another time where the engine can copy it."""

    @abstractmethod
    def forget_states(self, run_id: str = "", stages: Sequence[str] = ()) -> None:
        """Remove what is kept: of every run or of one, of all its stages or of some."""

    def stage_begins(self) -> None:
        """Note that a stage is about to write: from here on this copy is no longer what the stage before left."""
        return

    def leave(self) -> None:
        """Remove this copy at the end of a process; what is kept of it stays."""
        self.discard()

    @abstractmethod
    def publish(self) -> None:
        """Put this private copy in the place of what is published, at once and for good."""

    @abstractmethod
    def has_published(self, run_id: str) -> bool:
        """Whether a run's data went public, according to the published data themselves."""

    @abstractmethod
    def dbt_environment(self) -> dict[str, str]:
        """Return what `sql/profiles.yml` reads: where and how dbt works on this copy."""

    @abstractmethod
    def release_dbt(self) -> None:
        """Close the connections that dbt left open in this process."""

    def lost_connection(self, message: str) -> ConnectionLostError | None:
        """Return the error that dbt's message means where it says that the connection was lost."""
        return None

    def changed_share(self) -> float:
        """Return which share of the staged rows have changed, by `ops.changed_keys`; 1 where loads do not note them."""
        return 1.0

    def public_schema(self, schema: str) -> str:
        """Return the name that readers know a schema by, of the one that this copy builds in."""
        return schema

    def missing(self, batches: Sequence[Batch], rules: dict[tuple[str, str], str]) -> list[Batch]:
        """Return the batches that this copy lacks, or holds as other row rules made them."""
        loaded = set(self.loaded_batches())
        return [b for b in batches if (b.batch_id, b.source, b.entity, rules.get((b.source, b.entity))) not in loaded]

    def unload_lost_batches(self, batches: Sequence[Batch]) -> None:
        """Drop all rows of a source's entity where the lake lost one of its batches; the others are missing then."""
        held = {(b.batch_id, b.source, b.entity) for b in batches}
        lost = {(s, e) for b, s, e, _ in self.loaded_batches() if (b, s, e) not in held}
        if lost:
            self.unload(lost)

    def record_run(
        self, run_id: str, as_of: date | None, new_rows: int, score: float | None, gate: dict[str, Any] | None
    ) -> None:
        """Write the run that is about to be published into `ops.runs`."""
        verdict = "not run" if gate is None else "passed" if gate["passed"] else "overridden"
        row = (run_id, datetime.now(UTC).replace(tzinfo=None), as_of, new_rows, score, verdict)
        frame = pd.DataFrame([row], columns=[*OPS_TABLES["ops.runs"]])
        self.replace("ops.runs", frame, where="run_id = ?", parameters=[run_id])
