"""The warehouse on a PostgreSQL server: private schemas, published by one transaction.

What readers see are ordinary tables in the schemas of `SCHEMAS`. A private copy is a set of schemas of the same names
with a prefix (`run_<id>_clean`): tables where the run has built them, else views of what is published. Of `stage` it
holds only what is new (`..._delta`) and, in `..._delta.gone`, which published rows no longer count; its `..._stage`
are views over both. Publishing brings the published tables to the copy's content in one transaction that removes and
adds the rows that differ (`lib.warehouse.difference`), so that

- a statement, and a repeatable-read transaction, sees one run whole, whatever tables it names;
- no reader waits for a run, nor a run for a reader;
- what others built on the tables (views, grants) stays.
"""

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from lib.base.errors import ConnectionLostError, WarehouseError
from lib.base.hashing import fingerprint
from lib.base.quoting import quoted, quoted_list, text_literal
from lib.entities import ENTITIES, FINDINGS, LINEAGE
from lib.lake import Lake, Standardized
from lib.settings import Settings
from lib.warehouse import bulk, difference
from lib.warehouse.base import HISTORY, OPS_TABLES, SCHEMAS, Copy, Warehouse, retried
from lib.warehouse.rewriting import as_psycopg2
from lib.warehouse.server import (
    ANALYST_URL,
    CONNECTION_LOST,
    LOADER_URL,
    Server,
    exists,
    fetch_value,
    is_connection_lost,
)

ANALYST = "shop_analyst"

#: Text is compared by code point and lowered as Unicode says, the same as in DuckDB.
_TEXT = 'varchar collate "pg_c_utf8"'
_OLDEST = 170000
#: Keys of advisory locks: one run a database, and one change of what is published at a time.
_RUN_LOCK, _PUBLISH_LOCK = 7_401_001, 7_401_002
#: How long a run waits for another one to end, in seconds.
_PATIENCE = 5
#: Whose data a database holds and how often they were published; the private copies and what each was made from.
_STATE = {
    "ops.shop": "identity varchar not null, generation bigint not null",
    "ops.copies": "prefix varchar primary key, base bigint not null, is_full boolean not null",
}
#: The tables of `stage`: a table an entity, and what the row rules found in the rows of all.
_STAGE = (*ENTITIES, "row_findings")
#: Which staged rows `s` an entry `g` of a copy's list takes away: a whole batch's, or a whole file's.
_GONE = tuple(f"g.source = s._source and g.{of}" for of in ("batch_id = s._batch_id", "file = s._source_file"))


class PostgresWarehouse(Warehouse):
    """One copy of the warehouse on the server that `WAREHOUSE_URL` names.

    What is published is read as the analyst: by `WAREHOUSE_ANALYST_URL` where it is set, else in that role.
    """

    def __init__(self, settings: Settings, copy: Copy = "published") -> None:
        super().__init__(settings, copy)
        own = fingerprint([socket.gethostname(), str(settings.data_dir)])[:8]
        # Runs from two folders or machines never share a copy, not even where one has lost its lock.
        self.prefix = "" if copy == "published" else f"{copy}_{own}_"
        limits = settings.config.warehouse.postgres
        self._server = Server(LOADER_URL, limits)
        self._reader = Server(ANALYST_URL, limits) if os.environ.get(ANALYST_URL) else self._server

    @property
    def place(self) -> str:
        return self._reader.place if self.copy == "published" else self._server.place

    def lost_connection(self, message: str) -> ConnectionLostError | None:
        return self._server.lost(" ".join(message.split())[:200]) if CONNECTION_LOST.search(message) else None

    def public_schema(self, schema: str) -> str:
        return schema.removeprefix(self.prefix)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        connection = self._server.connect()
        try:
            deadline = time.monotonic() + _PATIENCE
            with connection.cursor() as cursor:
                while not fetch_value(cursor, "select pg_try_advisory_lock(%s)", (_RUN_LOCK,)):
                    if time.monotonic() >= deadline:
                        raise WarehouseError(
                            f"Another run is at work on {self.place}. Wait for it to end, then try again."
                        )
                    time.sleep(0.2)
            # The lock belongs to the connection, not to this transaction.
            connection.commit()
            yield
        except psycopg2.Error as error:
            raise self._server.explained(error) from None
        finally:
            with contextlib.suppress(psycopg2.Error):
                connection.close()

    def exists(self) -> bool:
        with self._server.session(read_only=True) as cursor:
            return bool(fetch_value(cursor, "select to_regnamespace(%s) is not null", (f"{self.prefix}ops",)))

    @retried
    def is_current(self) -> bool:
        with self._reader.session(read_only=True) as cursor:
            if not exists(cursor, "ops.copies"):
                return False
            sql = "select count(*) from ops.copies c join ops.shop s on s.generation = c.base where c.prefix = %s"
            return bool(fetch_value(cursor, sql, (self.prefix,)))

    @retried
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        published = self.copy == "published"
        with (self._reader if published else self._server).session(read_only=True) as cursor:
            if published:
                _set_analyst_role(cursor)
                names = set()
            else:
                names = set(_relations(cursor, [self.prefix + s for s in SCHEMAS]))
            try:
                cursor.execute(as_psycopg2(sql, self.prefix, names, bool(parameters)), list(parameters) or None)
                return bulk.frame(cursor) if cursor.description else pd.DataFrame()
            except errors.UndefinedTable as error:
                cursor.connection.rollback()
                if published and not exists(cursor, "ops.runs"):
                    raise WarehouseError(
                        f"Nothing has been published at {self.place} yet. Run: python run_pipeline.py --target postgres"
                    ) from None
                raise WarehouseError(f"The query failed: {error}") from None
            except psycopg2.Error as error:
                if is_connection_lost(error) or isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
                    raise
                raise WarehouseError(f"The query failed: {error}") from None
            except ValueError as error:
                # A text that is no UTF-8, or holds a NUL character: no server takes it.
                raise WarehouseError(f"The query failed: {error}") from None

    @retried
    def query_each(self, queries: Sequence[str]) -> list[pd.DataFrame | WarehouseError]:
        sessions = self.settings.config.warehouse.threads or os.cpu_count() or 2
        found: list[pd.DataFrame | WarehouseError] = [pd.DataFrame()] * len(queries)
        with ThreadPoolExecutor(sessions) as pool:
            parts = pool.map(self._query_in_turn, [queries[start::sessions] for start in range(sessions)])
            for start, part in enumerate(parts):
                found[start::sessions] = part
        return found

    def _query_in_turn(self, queries: Sequence[str]) -> list[pd.DataFrame | WarehouseError]:
        found: list[pd.DataFrame | WarehouseError] = []
        with self._server.session(read_only=True) as cursor:
            for sql in queries:
                cursor.execute("savepoint before")
                try:
                    cursor.execute(sql)
                    found.append(bulk.frame(cursor))
                except psycopg2.Error as error:
                    if is_connection_lost(error):
                        raise
                    found.append(self._server.explained(error))
                    cursor.execute("rollback to before")
        return found

    def begin(self, *, full_refresh: bool = False) -> None:
        with self._server.session() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", (_PUBLISH_LOCK,))
            self._check_server(cursor)
            generation = self._claim(cursor)
            self._drop(cursor, self.prefix)
            if self.copy == "run":
                # This run holds the lock, so these are the remains of runs that were killed elsewhere.
                cursor.execute("select prefix from ops.copies where prefix like 'run\\_%'")
                for (prefix,) in cursor.fetchall():
                    self._drop(cursor, prefix)
            for schema in (*SCHEMAS, "delta"):
                cursor.execute(f"create schema {quoted(self.prefix + schema)}")
            sql = "insert into ops.copies (prefix, base, is_full) values (%s, %s, %s)"
            cursor.execute(sql, (self.prefix, generation, full_refresh))
            published = _relations(cursor, SCHEMAS)
            for name, columns in OPS_TABLES.items():
                cursor.execute(f"create table {self._own(name)} ({_ddl(columns)})")
                if name in published and (not full_refresh or name in HISTORY):
                    known = difference.columns_of(cursor, name)
                    both = quoted_list(c for c in difference.columns_of(cursor, self._own(name)) if c in known)
                    cursor.execute(f"insert into {self._own(name)} ({both}) select {both} from {name}")
            cursor.execute(
                f"create table {self._delta('gone')} (entity {_TEXT}, source {_TEXT}, batch_id {_TEXT}, file {_TEXT})"
            )
            for table in _STAGE:
                cursor.execute(f"create table {self._delta(table)} ({_stage_ddl(table)})")
                if not self._has_same_columns(cursor, table):
                    # Rows and findings are loaded together, so where one is made anew the other goes too.
                    notes, of = self._own("ops.batches"), "entity = any(%s)"
                    forgotten = ([table] if table in ENTITIES else list(ENTITIES),)
                    gone = f"insert into {self._delta('gone')} (entity, source, batch_id)"
                    cursor.execute(f"{gone} select entity, source, batch_id from {notes} where {of}", forgotten)
                    cursor.execute(f"delete from {notes} where {of}", forgotten)
            for table in _STAGE:
                self._create_stage_view(cursor, table)
            # What the run does not build anew it reads as it is published.
            for name, kind in published.items():
                is_ours = name in OPS_TABLES or name in _STATE or name.startswith("stage.")
                if kind == "r" and not is_ours and not full_refresh:
                    schema, table = name.split(".", 1)
                    there, here = f"{schema}.{quoted(table)}", f"{self.prefix}{schema}.{quoted(table)}"
                    cursor.execute(f"create view {here} as select * from {there}")
            _grant_to_analyst(cursor)

    def loaded_batches(self) -> list[tuple[str, str, str, str]]:
        with self._server.session(read_only=True) as cursor:
            cursor.execute(f"select batch_id, source, entity, rules from {self._own('ops.batches')}")
            return cursor.fetchall()

    def unload(self, sources: Iterable[tuple[str, str]]) -> None:
        notes = self._own("ops.batches")
        with self._server.session() as cursor:
            for source, entity in sources:
                cursor.execute(
                    f"insert into {self._delta('gone')} (entity, source, batch_id)"
                    f" select entity, source, batch_id from {notes} where source = %s and entity = %s",
                    (source, entity),
                )
                cursor.execute(f"delete from {self._delta(entity)} where _source = %s", (source,))
                cursor.execute(
                    f"delete from {self._delta('row_findings')} where entity = %s and _source = %s", (entity, source)
                )
                cursor.execute(f"delete from {notes} where source = %s and entity = %s", (source, entity))
                self._create_stage_view(cursor, entity)
                self._create_stage_view(cursor, "row_findings")

    @retried  # A transaction that was cut off may be done again: rows and note are replaced, never added to.
    def load(self, lake: Lake, item: Standardized, live: set[str], replaced: set[str], run_id: str) -> int:
        batch = item.batch
        table, notes, gone = self._delta(batch.entity), self._own("ops.batches"), self._delta("gone")
        found = self._delta("row_findings")
        key = (batch.batch_id, batch.source, batch.entity)
        with self._server.session() as cursor:
            cursor.execute(f"delete from {notes} where batch_id = %s and source = %s and entity = %s", key)
            if cursor.rowcount:
                of = "_batch_id = %s and _source = %s"
                cursor.execute(f"delete from {table} where {of}", key[:2])
                cursor.execute(f"delete from {found} where {of} and entity = %s", key)
                sql = f"insert into {gone} (batch_id, source, entity) values (%s, %s, %s)"
                cursor.execute(sql, key)
            if replaced:
                files = sorted(replaced)
                of = "_source = %s and _source_file = any(%s)"
                cursor.execute(f"delete from {table} where {of}", (batch.source, files))
                cursor.execute(f"delete from {found} where {of} and entity = %s", (batch.source, files, batch.entity))
                sql = f"insert into {gone} (entity, source, file) select %s, %s, unnest(%s::varchar[])"
                cursor.execute(sql, (batch.entity, batch.source, files))
            columns = [*ENTITIES[batch.entity].names, *LINEAGE]
            some = None if len(live) == len(batch.files) else live
            rows = bulk.copy_parquet(cursor, lake, item.path, table, columns, some)
            bulk.copy_findings(cursor, lake, item.path, found, batch.entity, some)
            noted = (
                batch.batch_id, batch.source, batch.entity, batch.sequence, item.rules, len(batch.files), rows,
                batch.malformed, batch.bytes, json.dumps(batch.cursor_before), json.dumps(batch.cursor_after),
                batch.run_id, batch.ingested_at, run_id, batch.rows + batch.malformed,
            )  # fmt: skip
            cursor.execute(f"insert into {notes} values ({'%s, ' * 14}now() at time zone 'UTC', %s)", noted)
            for changed in (batch.entity, "row_findings"):
                self._create_stage_view(cursor, changed)
                cursor.execute(f"analyze {self._delta(changed)}")
        return rows

    @retried
    def replace(self, table: str, frame: pd.DataFrame, *, where: str = "true", parameters: Sequence[Any] = ()) -> None:
        with self._server.session() as cursor:
            sql = as_psycopg2(f"delete from {self._own(table)} where {where}", "", set(), bool(parameters))
            cursor.execute(sql, list(parameters) or None)
            if len(frame):
                bulk.copy_frame(cursor, frame, self._own(table))

    def export(self, table: str, path: Path) -> None:
        with self._server.session(read_only=True) as cursor:
            types = difference.columns_of(cursor, self._own(table))
            bulk.export(cursor, self._own(table), {name: kind for name, (kind, _) in types.items()}, path)

    def discard(self) -> None:
        if self.copy != "published":
            with self._server.session() as cursor:
                self._drop(cursor, self.prefix)

    def adopt(self, other: Warehouse) -> None:
        assert isinstance(other, PostgresWarehouse)
        with self._server.session() as cursor:
            self._drop(cursor, self.prefix)
            for schema in _schemas_of(cursor, other.prefix):
                renamed = self.prefix + schema.removeprefix(other.prefix)
                cursor.execute(f"alter schema {quoted(schema)} rename to {quoted(renamed)}")
            cursor.execute("update ops.copies set prefix = %s where prefix = %s", (self.prefix, other.prefix))

    def publish(self) -> None:
        with self._server.session() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", (_PUBLISH_LOCK,))
            cursor.execute(
                "update ops.shop set generation = generation + 1 from ops.copies"
                " where copies.prefix = %s and copies.base = shop.generation returning is_full",
                (self.prefix,),
            )
            row = cursor.fetchone()
            if row is None:
                raise WarehouseError(
                    f"{self.place} was published anew since this copy was made."
                    " Run 03_clean to 05_quality again, so that nothing of it is lost."
                )
            self._publish_stage(cursor, is_full=row[0])
            for name, kind in _relations(cursor, [self.prefix + s for s in SCHEMAS if s != "stage"]).items():
                if kind == "r":
                    difference.synchronize(cursor, name, name.removeprefix(self.prefix))
            _grant_to_analyst(cursor)
            self._drop(cursor, self.prefix)

    def has_published(self, run_id: str) -> bool:
        try:
            with self._reader.session(read_only=True) as cursor:
                if not exists(cursor, "ops.runs"):
                    return False
                return bool(fetch_value(cursor, "select count(*) from ops.runs where run_id = %s", (run_id,)))
        except WarehouseError:
            return False

    def dbt_environment(self) -> dict[str, str]:
        server = self._server.arguments
        values = {
            "SHOP_TARGET": "postgres",
            "SHOP_SCHEMA_PREFIX": self.prefix,
            "SHOP_PG_HOST": server["host"],
            "SHOP_PG_PORT": server["port"],
            "SHOP_PG_USER": server["user"],
            "DBT_ENV_SECRET_PG_PASSWORD": server["password"],
            "SHOP_PG_DATABASE": server["dbname"],
            "SHOP_THREADS": str(self.settings.config.warehouse.threads or os.cpu_count() or 2),
            "PGOPTIONS": self._server.options,
        }
        return values | {f"SHOP_PG_{k.upper()}": v for k, v in server.items() if k.startswith("ssl")}

    def release_dbt(self) -> None:
        from dbt.adapters.factory import cleanup_connections

        cleanup_connections()

    def _own(self, name: str) -> str:
        """Return where this copy keeps schema.table."""
        return self.prefix + name

    def _delta(self, table: str) -> str:
        return f"{self.prefix}delta.{table}"

    @staticmethod
    def _drop(cursor: Cursor, prefix: str) -> None:
        """Remove a private copy's schemas."""
        for schema in _schemas_of(cursor, prefix):
            cursor.execute(f"drop schema {quoted(schema)} cascade")
        if exists(cursor, "ops.copies"):
            cursor.execute("delete from ops.copies where prefix = %s", (prefix,))

    def _check_server(self, cursor: Cursor) -> None:
        version = int(fetch_value(cursor, "show server_version_num"))
        if version < _OLDEST:
            raise WarehouseError(
                f"{self.place} is PostgreSQL {version // 10000}; expected {_OLDEST // 10000} or newer, which orders"
                " text the same everywhere (collation pg_c_utf8)."
            )
        encoding = fetch_value(cursor, "show server_encoding")
        if encoding != "UTF8":
            raise WarehouseError(
                f"{self.place} has the encoding {encoding}; expected UTF8. Create a database that has it:"
                " create database shop encoding 'UTF8' template template0"
            )

    def _claim(self, cursor: Cursor) -> int:
        """Make the published schemas where they are missing, and return how often this shop has been published.

        Raises WarehouseError where the database holds another shop.
        """
        for schema in SCHEMAS:
            if not fetch_value(cursor, "select to_regnamespace(%s) is not null", (schema,)):
                cursor.execute(f"create schema {schema}")
        for name, columns in _STATE.items():
            cursor.execute(f"create table if not exists {name} ({columns})")
        # Which generator made a simulated shop, and what it spoiled, is the lake's to know: the warehouse follows it.
        own = {key: value for key, value in self.settings.identity.items() if key not in ("generator", "defects")}
        identity = json.dumps(own, sort_keys=True)
        cursor.execute("insert into ops.shop select %s, 0 where not exists (select 1 from ops.shop)", (identity,))
        cursor.execute("select identity, generation from ops.shop")
        found, generation = cursor.fetchone() or ("", 0)
        if found != identity:
            raise WarehouseError(
                f"The database {self.place} holds the shop {found}, and this run is for {identity}."
                f" Two shops are never mixed: name another database in {LOADER_URL}."
            )
        return int(generation)

    def _has_same_columns(self, cursor: Cursor, name: str) -> bool:
        """Whether the published stage table has the columns of this copy's: else its batches are loaded again."""
        table = f"stage.{name}"
        return exists(cursor, table) and difference.columns_of(cursor, table) == difference.columns_of(
            cursor, self._delta(name)
        )

    def _create_stage_view(self, cursor: Cursor, name: str) -> None:
        """Let the copy's view of a stage table say what is published and still counts, and what is new."""
        columns = quoted_list(_stage_columns(name))
        sql = f"select {columns} from {self._delta(name)}"
        is_full = fetch_value(cursor, "select is_full from ops.copies where prefix = %s", (self.prefix,))
        if not is_full and self._has_same_columns(cursor, name):
            gone, which = self._delta("gone"), _gone_of(name)
            anything = fetch_value(cursor, f"select count(*) from {gone} where %s in (entity, 'row_findings')", (name,))
            kept = "".join(f" and not exists (select 1 from {gone} g where {w})" for w in which if anything)
            sql = f"select {columns} from stage.{name} s where true{kept} union all {sql}"
        cursor.execute(f"create or replace view {self._own('stage.' + name)} as {sql}")

    def _publish_stage(self, cursor: Cursor, *, is_full: bool) -> None:
        """Bring the published stage tables to what this copy's views show."""
        gone = self._delta("gone")
        for name in _STAGE:
            table = f"stage.{name}"
            if is_full or not self._has_same_columns(cursor, name):
                difference.synchronize(cursor, self._delta(name), table)
                continue
            removed = 0
            for which in _gone_of(name):
                cursor.execute(f"delete from {table} s using {gone} g where {which}")
                removed += cursor.rowcount
            columns = quoted_list(_stage_columns(name))
            cursor.execute(f"insert into {table} ({columns}) select {columns} from {self._delta(name)}")
            if removed or cursor.rowcount:
                cursor.execute(f"analyze {table}")


def _gone_of(name: str) -> list[str]:
    """Return the conditions by which an entry `g` of a copy's list takes a row `s` of a stage table away."""
    of = "s.entity" if name == "row_findings" else text_literal(name)
    return [f"g.entity = {of} and {same}" for same in _GONE]


def _relations(cursor: Cursor, schemas: Sequence[str]) -> dict[str, str]:
    """Return schema.name of every table ("r") and view ("v") in some schemas."""
    cursor.execute(
        "select n.nspname || '.' || c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any(%s) and c.relkind in ('r', 'v') order by 1",
        (list(schemas),),
    )
    return dict(cursor.fetchall())


def _schemas_of(cursor: Cursor, prefix: str) -> list[str]:
    """Return the schemas of the private copy with a prefix."""
    names = [prefix + s for s in (*SCHEMAS, "delta")]
    cursor.execute("select nspname from pg_namespace where nspname = any(%s)", (names if prefix else [],))
    return [name for (name,) in cursor.fetchall()]


def _ddl(columns: str) -> str:
    return re.sub(r"\bvarchar\b", _TEXT, columns)


def _stage_columns(name: str) -> dict[str, str]:
    """Return the columns of a stage table, each with its SQL type."""
    return {c.name: c.sql_type for c in ENTITIES[name].columns} | LINEAGE if name in ENTITIES else FINDINGS


def _stage_ddl(name: str) -> str:
    return ", ".join(f"{quoted(column)} {_ddl(kind)}" for column, kind in _stage_columns(name).items())


def _set_analyst_role(cursor: Cursor) -> None:
    """Read as the analyst from here on, where that role is there and may be taken."""
    may = "select pg_has_role(oid, 'set') and rolname <> current_user from pg_roles where rolname = %s"
    if fetch_value(cursor, may, (ANALYST,)):
        cursor.execute(f"set local role {ANALYST}")


def _grant_to_analyst(cursor: Cursor) -> None:
    """Grant what is published to the analyst, where that role is there: a table that was moved brings no grants."""
    if not fetch_value(cursor, "select count(*) from pg_roles where rolname = %s", (ANALYST,)):
        return
    # Only what is ours to grant: somebody else may have a table there too.
    cursor.execute(
        "select format('grant usage on schema %%I to', nspname) from pg_namespace where nspname = any(%(schemas)s)"
        " and pg_has_role(nspowner, 'usage') and not has_schema_privilege(%(analyst)s, oid, 'usage')"
        " union all select format('grant select on %%s to', c.oid::regclass)"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace where nspname = any(%(schemas)s)"
        " and relkind = 'r' and pg_has_role(relowner, 'usage')"
        " and not has_table_privilege(%(analyst)s, c.oid, 'select')",
        {"schemas": list(SCHEMAS), "analyst": ANALYST},
    )
    for (grant,) in cursor.fetchall():
        cursor.execute(f"{grant} {ANALYST}")
