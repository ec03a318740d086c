"""The warehouse in one DuckDB file: a private copy of the file, published by an atomic rename."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import tenacity

from lib.base.errors import WarehouseError, WarehouseLockedError
from lib.base.files import clone_folder
from lib.base.quoting import quoted_list, text_literal
from lib.entities import ENTITIES, FINDINGS
from lib.lake import Lake, Standardized, duckdb_limits
from lib.settings import Settings
from lib.warehouse import base
from lib.warehouse.base import SCHEMAS, STAGE_TABLES, Copy, Warehouse

#: What identifies a staged row: its key, or its place where it has none; the same as the macro `row_key`.
KEY = "coalesce(_key, _source || '#' || _source_file || '#' || _source_row)"


#: Keys of changed rows for each staged row.
_CHANGED_SHARE = "(select count(*) from ops.changed_keys) / greatest(1, {})".format(
    " + ".join(f"(select count(*) from stage.{entity})" for entity in ENTITIES)
)


#: What DuckDB raises where disk or memory run out.
RESOURCE_ERRORS = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)


class DuckDBWarehouse(Warehouse):
    """One copy of the warehouse file."""

    def __init__(self, settings: Settings, copy: Copy = "published") -> None:
        super().__init__(settings, copy)
        self.path = published_path(settings) if copy == "published" else settings.work_dir / copy / "shop.duckdb"

    @property
    def place(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return self.path.exists()

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
                raise WarehouseLockedError(
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
        with self.connect() as connection:
            return _rows(connection, sql, parameters)

    def query_each(self, queries: Sequence[str]) -> list[pd.DataFrame | WarehouseError]:
        found: list[pd.DataFrame | WarehouseError] = []
        with self.connect() as connection:
            for sql in queries:
                try:
                    found.append(_rows(connection, sql))
                except WarehouseError as error:
                    found.append(error)
        return found

    def begin(self, *, full_refresh: bool = False) -> None:
        published = published_path(self.settings)
        shutil.rmtree(self.path.parent, ignore_errors=True)
        self.path.parent.mkdir(parents=True)
        if published.exists() and not full_refresh:
            shutil.copyfile(published, self.path)
        with self.connect(read_only=False) as connection:
            for schema in SCHEMAS:
                connection.execute(f"create schema if not exists {schema}")
            _make_tables(connection)
            if published.exists() and full_refresh:
                connection.execute(f"attach {text_literal(str(published))} as published (read_only)")
                for table in base.HISTORY:
                    connection.execute(f"insert into {table} by name select * from published.{table}")
                connection.execute("detach published")
        (self.path.parent / "base").write_text(_signature(published))

    def is_current(self) -> bool:
        return self._is_current(self.path.parent)

    def _is_current(self, folder: Path) -> bool:
        """Whether a folder holds a whole copy that was made from what is published now."""
        made_from, published = folder / "base", published_path(self.settings)
        is_whole = (folder / self.path.name).exists() and made_from.exists()
        return is_whole and made_from.read_text() == _signature(published)

    def loaded_batches(self) -> list[tuple[str, str, str, str]]:
        with self.connect() as connection:
            return connection.execute("select batch_id, source, entity, rules from ops.batches").fetchall()

    def unload(self, sources: Iterable[tuple[str, str]]) -> None:
        with self.connect(read_only=False) as connection:
            connection.begin()
            for source, entity in sources:
                _note_changed_keys(connection, entity, f"stage.{entity} where _source = ?", [source])
                connection.execute(f"delete from stage.{entity} where _source = ?", [source])
                connection.execute("delete from stage.row_findings where entity = ? and _source = ?", [entity, source])
                connection.execute("delete from ops.batches where source = ? and entity = ?", [source, entity])
            connection.commit()

    def load(self, lake: Lake, item: Standardized, live: set[str], replaced: set[str], run_id: str) -> int:
        batch, table = item.batch, f"stage.{item.batch.entity}"
        columns, new = quoted_list(STAGE_TABLES[batch.entity]), base.rows_of(item, live)
        note, of_batch = "ops.batches", "batch_id = ? and source = ? and entity = ?"
        with self.connect(read_only=False) as connection:
            if not lake.is_local:
                connection.register_filesystem(lake.fs)
            # A failure closes the connection, and that undoes the transaction.
            connection.begin()
            removed = "_source = ? and (_batch_id = ? or _source_file in (select unnest(?)))"
            those = [batch.source, batch.batch_id, sorted(replaced)]
            _note_changed_keys(connection, batch.entity, f"{table} where {removed}", those)
            connection.execute(f"delete from {table} where {removed}", those)
            connection.execute(f"delete from stage.row_findings where entity = ? and {removed}", [batch.entity, *those])
            _note_changed_keys(connection, batch.entity, new)
            inserted = connection.execute(f"insert into {table} ({columns}) select {columns} from {new}").fetchone()
            rows = int(inserted[0]) if inserted else 0
            found = base.findings_of(item, live)
            connection.execute(f"insert into stage.row_findings ({quoted_list(FINDINGS)}) {found}")
            connection.execute(f"delete from {note} where {of_batch}", [batch.batch_id, batch.source, batch.entity])
            noted = base.batch_note(item, rows, run_id)
            connection.execute(
                f"insert into {note} ({quoted_list(noted)}) values ({', '.join('?' * len(noted))})", [*noted.values()]
            )
            connection.commit()
        return rows

    def changed_share(self) -> float:
        return float(self.query(f"select {_CHANGED_SHARE} as share")["share"][0])

    def replace(self, table: str, frame: pd.DataFrame, *, where: str = "true", parameters: Sequence[Any] = ()) -> None:
        with self.connect(read_only=False) as connection:
            connection.begin()
            connection.execute(f"delete from {table} where {where}", list(parameters))
            if len(frame):
                connection.register("_frame", frame)
                connection.execute(f"insert into {table} by name select * from _frame")
            connection.commit()

    def export(self, table: str, path: Path) -> None:
        with self.connect() as connection:
            connection.execute(f"copy {table} to {text_literal(str(path))} (format parquet, compression zstd)")

    def discard(self) -> None:
        if self.copy != "published":
            shutil.rmtree(self.path.parent, ignore_errors=True)

    def keep_state(self, run_id: str, stage: str) -> None:
        folder = self._state(run_id, stage)
        partial = folder.with_name(f".{stage}.partial")
        clone_folder(self.path.parent, partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def has_state(self, run_id: str, stage: str) -> bool:
        return self._is_current(self._state(run_id, stage))

    def take_state(self, run_id: str, stage: str) -> None:
        self.discard()
        partial = self.path.parent.with_name(f".{self.copy}.partial")
        clone_folder(self._state(run_id, stage), partial)
        partial.rename(self.path.parent)

    def forget_states(self, run_id: str = "", stages: Sequence[str] = ()) -> None:
        folders = [self._state(run_id, s) for s in stages] or [self.settings.work_dir / "checkpoints" / run_id]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _state(self, run_id: str, stage: str) -> Path:
        return self.settings.work_dir / "checkpoints" / run_id / stage

    def publish(self) -> None:
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

    def has_published(self, run_id: str) -> bool:
        try:
            with duckdb.connect(str(published_path(self.settings)), read_only=True) as connection:
                return connection.execute("select 1 from ops.runs where run_id = ?", [run_id]).fetchone() is not None
        except duckdb.Error:
            return False

    def dbt_environment(self) -> dict[str, str]:
        return {
            "SHOP_TARGET": "duckdb",
            "SHOP_SCHEMA_PREFIX": "",
            "SHOP_WAREHOUSE_PATH": str(self.path),
            "SHOP_MEMORY_LIMIT": self.settings.config.warehouse.memory_limit,
            "SHOP_SPILL": str(self.settings.work_dir / "spill"),
            # Models and tests side by side share one memory limit: no more than four.
            "SHOP_THREADS": str(min(self.settings.config.warehouse.threads or os.cpu_count() or 2, 4)),
        }

    def release_dbt(self) -> None:
        """Close dbt's connection: a held one keeps every other process out of the file."""
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        DuckDBConnectionManager.close_all_connections()


def published_path(settings: Settings) -> Path:
    """Return where readers find the warehouse file.

    DuckDB names a catalog after its file: were it `warehouse`, `warehouse.fact_orders` would be ambiguous.
    """
    return settings.data_dir / "shop.duckdb"


@tenacity.retry(
    retry=tenacity.retry_if_exception_type((duckdb.IOException, duckdb.ConnectionException)),
    stop=tenacity.stop_after_attempt(20),
    wait=tenacity.wait_fixed(0.1),
    reraise=True,
)
def _open(path: Path, read_only: bool, limits: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, waiting a moment where another connection of this process is just closing."""
    return duckdb.connect(str(path), read_only=read_only, config=limits)


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
    try:
        return connection.execute(sql, list(parameters)).df()
    except duckdb.Error as error:
        raise WarehouseError(f"The query failed: {error}") from None


def _make_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables that no model builds, where the file lacks them or some of their columns.

    A stage table whose columns have changed is created again and its batches are forgotten: they are loaded again.
    Notes on models that an earlier version wrote go: all models are built whole then.
    """
    former = "schema_name = 'ops' and regexp_matches(table_name, '^(touched|set_aside)')"
    for (table,) in connection.execute(f"select table_name from duckdb_tables() where {former}").fetchall():
        connection.execute(f"drop table ops.{table}")
    found: dict[str, list[tuple[str, str]]] = {}
    sql = "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() order by column_index"
    for table, column, kind in connection.execute(sql).fetchall():
        found.setdefault(table, []).append((column, kind.lower()))
    if ("inputs", "varchar") not in found.get("ops.models", ()):
        connection.execute("drop table if exists ops.models")
        found.pop("ops.models", None)
    for table, columns in base.OPS_TABLES.items():
        connection.execute(f"create table if not exists {table} ({base.column_list(columns)})")
        for name in columns.keys() - dict(found.get(table, [*columns.items()])).keys():
            connection.execute(f"alter table {table} add column {name} {columns[name]}")
    for name, columns in STAGE_TABLES.items():
        table = f"stage.{name}"
        if table in found and found[table] != [*columns.items()]:
            connection.execute(f"drop table {table}")
            connection.execute("delete from ops.batches where entity = ? or ? = 'row_findings'", [name, name])
            if name in ENTITIES:
                connection.execute("delete from stage.row_findings where entity = ?", [name])
        connection.execute(f"create table if not exists {table} ({base.column_list(columns)})")


def _note_changed_keys(
    connection: duckdb.DuckDBPyConnection, entity: str, rows: str, parameters: Sequence[Any] = ()
) -> None:
    """Note the keys of some rows of an entity, unless all models are built whole next in any case."""
    if not connection.execute("select 1 from ops.models limit 1").fetchone():
        return
    names = ENTITIES[entity].names
    columns = [name if name in names else "null" for name in ("order_id", "customer_id", "product_id", "visitor_id")]
    connection.execute(
        f"insert into ops.changed_keys select distinct {text_literal(entity)}, {KEY}, {', '.join(columns)} from {rows}",
        list(parameters),
    )
    connection.execute(f"delete from ops.models where {_CHANGED_SHARE} > ?", [DuckDBWarehouse.LARGEST_SHARE])


def _signature(path: Path) -> str:
    """Return what distinguishes one published file from the next."""
    if not path.exists():
        return "none"
    stat = path.stat()
    return f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
