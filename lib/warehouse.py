"""The warehouse on DuckDB: short-lived connections, bulk load of batches, write-audit-publish.

Work happens on a private copy of the warehouse file; `publish` replaces the published one with an atomic
rename. A reader therefore sees one finished run or the one before, and a killed run changes nothing.
Models are SQL in `sql/`, run by `lib.transform`.
"""

import contextlib
import glob
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd

from lib.config import Settings
from lib.entities import ENTITIES, LINEAGE
from lib.errors import WarehouseError
from lib.lake import Batch, Lake, duckdb_limits
from lib.standardize import Standardized, stage_columns

#: `run` is the copy of a batch run, `kept` what a run left that stopped short of publishing, and `draft` the one
#: that notebooks run by hand share.
Copy = Literal["published", "run", "kept", "draft"]

SCHEMAS = ("stage", "clean", "quarantine", "warehouse", "analytics", "quality", "ops")

#: What DuckDB raises where disk or memory run out.
RESOURCE_ERRORS = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)

_OPS_TABLES = {
    "ops.batches": "batch_id varchar, source varchar, entity varchar, sequence bigint, rules varchar, files bigint,"
    " rows bigint, malformed bigint, bytes bigint, cursor_before varchar, cursor_after varchar,"
    " ingested_by varchar, ingested_at timestamp, loaded_by varchar, loaded_at timestamp",
    "ops.runs": "run_id varchar, published_at timestamp, as_of date, new_rows bigint,"
    " quality_score double, gate varchar",
    "ops.rejected_files": "source varchar, entity varchar, name varchar, bytes bigint, reason varchar,"
    " rejected_at timestamp",
    "quality.checks": "run_id varchar, check_name varchar, description varchar, dimension varchar, severity varchar,"
    " table_name varchar, column_name varchar, failing_rows bigint, tested_rows bigint, score double, state varchar",
    "quality.scores": "run_id varchar, dimension varchar, checks bigint, failed_checks bigint, score double",
}
#: Tables that tell the history of runs; a full refresh, which rebuilds all else, keeps them.
_HISTORY = ("ops.runs", "quality.checks", "quality.scores")


class Warehouse:
    """One copy of the warehouse file. No connection outlives a method call."""

    def __init__(self, settings: Settings, copy: Copy = "published") -> None:
        self.settings = settings
        self.copy = copy
        self.path = published_path(settings) if copy == "published" else settings.work_dir / copy / "shop.duckdb"

    @contextlib.contextmanager
    def connect(self, *, read_only: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file and close it again; raise WarehouseError with the next step where that fails."""
        if read_only and not self.path.exists():
            raise WarehouseError(
                f"No warehouse {self.path}: nothing has been published for {self.settings.shop.name!r} yet."
                " Run: python run_pipeline.py (or the notebooks 01 to 05 in order)."
            )
        try:
            connection = _open(self.path, read_only, duckdb_limits(self.settings))
        except duckdb.IOException as error:
            if "lock" in str(error):
                raise WarehouseError(
                    f"{self.path} is open for writing in another process. Close that notebook's or tool's"
                    f" connection: {error}"
                ) from None
            raise WarehouseError(f"{self.path} cannot be opened: {error}") from None
        try:
            connection.execute("set TimeZone = 'UTC'")
            yield connection
        except RESOURCE_ERRORS as error:
            raise WarehouseError(
                f"{self.path} cannot be worked on: {error}. Nothing that is published has changed: free disk space,"
                " or change warehouse.memory_limit in pipeline.yml, and run again."
            ) from None
        finally:
            connection.close()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Return a read-only query's rows as a DataFrame."""
        with self.connect() as connection:
            try:
                return connection.execute(sql, list(parameters)).df()
            except duckdb.Error as error:
                raise WarehouseError(f"The query failed: {error}") from None

    def begin(self, *, full_refresh: bool = False) -> None:
        """Make the private copy: of what is published, or an empty one that keeps only the history of runs."""
        published = published_path(self.settings)
        shutil.rmtree(self.path.parent, ignore_errors=True)
        self.path.parent.mkdir(parents=True)
        if published.exists() and not full_refresh:
            shutil.copyfile(published, self.path)
        with self.connect(read_only=False) as connection:
            for schema in SCHEMAS:
                connection.execute(f"create schema if not exists {schema}")
            for table, columns in _OPS_TABLES.items():
                connection.execute(f"create table if not exists {table} ({columns})")
            for entity in ENTITIES.values():
                columns = ", ".join(
                    [f"{c.name} {c.sql_type}" for c in entity.columns] + [f"{n} {k}" for n, k in LINEAGE.items()]
                )
                connection.execute(f"create table if not exists stage.{entity.name} ({columns})")
            if published.exists() and full_refresh:
                connection.execute(f"attach '{str(published).replace(chr(39), chr(39) * 2)}' as published (read_only)")
                for table in _HISTORY:
                    connection.execute(f"insert into {table} by name select * from published.{table}")
                connection.execute("detach published")
        (self.path.parent / "base").write_text(_signature(published))

    def is_current(self) -> bool:
        """Whether this private copy exists and was made from what is published now."""
        base = self.path.parent / "base"
        return self.path.exists() and base.exists() and base.read_text() == _signature(published_path(self.settings))

    def missing(self, batches: Sequence[Batch], rules: dict[tuple[str, str], str]) -> list[Batch]:
        """Return the batches that this copy lacks, or holds as other row rules made them."""
        with self.connect() as connection:
            rows = connection.execute("select batch_id, source, entity, rules from ops.batches").fetchall()
        loaded = {(b, s, e): r for b, s, e, r in rows}
        return [
            b
            for b in batches
            if (key := (b.batch_id, b.source, b.entity)) not in loaded or loaded[key] != rules.get((b.source, b.entity))
        ]

    def forget(self, batches: Sequence[Batch]) -> None:
        """Drop all rows of a source's entity where the lake lost one of its batches; the others are missing then."""
        held = {(b.batch_id, b.source, b.entity) for b in batches}
        with self.connect(read_only=False) as connection:
            loaded = connection.execute("select batch_id, source, entity from ops.batches").fetchall()
            connection.begin()
            for source, entity in {(s, e) for b, s, e in loaded if (b, s, e) not in held}:
                connection.execute(f"delete from stage.{entity} where _source = ?", [source])
                connection.execute("delete from ops.batches where source = ? and entity = ?", [source, entity])
            connection.commit()

    def load(self, lake: Lake, item: Standardized, live: set[str], run_id: str) -> int:
        """Put a batch's rows into its stage table, with its note, in one transaction; return how many rows.

        `live` names the batch's files that no later batch replaces. Rows of the same files from earlier
        batches go, so a file delivered again in another form counts once.
        """
        batch = item.batch
        table = f"stage.{batch.entity}"
        columns = stage_columns(ENTITIES[batch.entity])
        with self.connect(read_only=False) as connection:
            if not lake.is_local:
                connection.register_filesystem(lake.fs)
            connection.execute("create temp table _live (name varchar)")
            if live:
                connection.execute("insert into _live select unnest(?)", [sorted(live)])
            # A failure closes the connection, and that undoes the transaction.
            connection.begin()
            connection.execute(
                f"delete from {table} where _source = ? and (_batch_id = ? or _source_file in (from _live))",
                [batch.source, batch.batch_id],
            )
            whole = "" if len(live) == len(batch.files) else " where _source_file in (from _live)"
            inserted = connection.execute(
                f"insert into {table} ({columns}) select {columns} from read_parquet(?){whole}",
                [glob.escape(item.path)],
            ).fetchone()
            rows = int(inserted[0]) if inserted else 0
            connection.execute(
                "delete from ops.batches where batch_id = ? and source = ? and entity = ?",
                [batch.batch_id, batch.source, batch.entity],
            )
            connection.execute(
                f"insert into ops.batches values ({'?, ' * 14}now() at time zone 'UTC')",
                [
                    batch.batch_id, batch.source, batch.entity, batch.sequence, item.rules, len(batch.files), rows,
                    batch.malformed, batch.bytes, json.dumps(batch.cursor_before), json.dumps(batch.cursor_after),
                    batch.run_id, batch.ingested_at, run_id,
                ],
            )  # fmt: skip
            connection.commit()
        return rows

    def replace(self, table: str, frame: pd.DataFrame, *, where: str = "true", parameters: Sequence[Any] = ()) -> None:
        """Replace the rows of a table that a condition picks by a frame's, in one transaction, columns by name."""
        with self.connect(read_only=False) as connection:
            connection.begin()
            connection.execute(f"delete from {table} where {where}", list(parameters))
            if len(frame):
                connection.register("_frame", frame)
                connection.execute(f"insert into {table} by name select * from _frame")
            connection.commit()

    def note_run(
        self, run_id: str, as_of: date | None, new_rows: int, score: float | None, gate: dict[str, Any] | None
    ) -> None:
        """Write the run that is about to be published into `ops.runs`."""
        verdict = "not run" if gate is None else "passed" if gate["passed"] else "overridden"
        row = {
            "run_id": [run_id],
            "published_at": [datetime.now(UTC).replace(tzinfo=None)],
            "as_of": [as_of],
            "new_rows": [new_rows],
            "quality_score": [score],
            "gate": [verdict],
        }
        self.replace("ops.runs", pd.DataFrame(row), where="run_id = ?", parameters=[run_id])

    def discard(self) -> None:
        """Remove this private copy, if there is one."""
        if self.copy != "published":
            shutil.rmtree(self.path.parent, ignore_errors=True)

    def take_over(self, other: "Warehouse") -> None:
        """Become what another private copy is; that one is gone then."""
        self.discard()
        if other.path.parent.exists():
            other.path.parent.rename(self.path.parent)

    def publish(self) -> None:
        """Put this private copy in the place of what is published, at once and for good."""
        if not self.is_current():
            raise WarehouseError(
                f"{published_path(self.settings)} was published anew since this copy was made."
                " Run 03_clean to 05_quality again, so that nothing of it is lost."
            )
        with self.connect(read_only=False) as connection:
            connection.execute("checkpoint")
        published = published_path(self.settings)
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        # A log that someone's writing connection left behind belongs to the old file.
        published.with_name(published.name + ".wal").unlink(missing_ok=True)
        self.path.replace(published)
        shutil.rmtree(self.path.parent, ignore_errors=True)


def published_path(settings: Settings) -> Path:
    """Return where readers find the warehouse file.

    DuckDB names a catalog after its file: were it `warehouse`, `warehouse.fact_orders` would be ambiguous.
    """
    return settings.data_dir / "shop.duckdb"


def _open(path: Path, read_only: bool, limits: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, waiting a moment where another connection of this process is just closing."""
    for attempt in range(20):
        try:
            return duckdb.connect(str(path), read_only=read_only, config=limits)
        except (duckdb.IOException, duckdb.ConnectionException):
            if attempt == 19:
                raise
            time.sleep(0.1)
    raise AssertionError


def _signature(path: Path) -> str:
    """Tell one published file from the next."""
    if not path.exists():
        return "none"
    stat = path.stat()
    return f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
