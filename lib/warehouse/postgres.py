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
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from lib.base.errors import ConnectionLostError, WarehouseError
from lib.base.hashing import fingerprint
from lib.base.queries import read_query
from lib.base.quoting import quoted, quoted_list, text_literal
from lib.entities import ENTITIES, FINDINGS
from lib.lake import Lake, Standardized, duckdb_limits
from lib.settings import Settings
from lib.warehouse import base, bulk, difference, server
from lib.warehouse.base import SCHEMAS, STAGE_TABLES, Copy, Warehouse, retried
from lib.warehouse.rewriting import as_psycopg2

ANALYST = "shop_analyst"

#: Text is compared by code point and lowered as Unicode says, the same as in DuckDB.
_TEXT = 'varchar collate "pg_c_utf8"'
_OLDEST = 170000
#: Keys of advisory locks: one run a database, and one change of what is published at a time.
_RUN_LOCK, _PUBLISH_LOCK = 7_401_001, 7_401_002
_TIMEOUTS = (errors.QueryCanceled, errors.LockNotAvailable)
#: How long a run waits for another one to end, in seconds.
_PATIENCE = 5
#: Whose data a database holds and how often they were published; the private copies and what each was made from.
_STATE = {
    "ops.shop": {"identity": "varchar not null", "generation": "bigint not null"},
    "ops.copies": {"prefix": "varchar primary key", "base": "bigint not null", "is_full": "boolean not null"},
}
#: Which staged rows `s` an entry `g` of a copy's list removes: a whole batch's, or a whole file's.
_REMOVED = tuple(f"g.source = s._source and g.{of}" for of in ("batch_id = s._batch_id", "file = s._source_file"))


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
        self._server = server.Server(server.LOADER_URL, limits)
        self._reader = server.Server(server.ANALYST_URL, limits) if os.environ.get(server.ANALYST_URL) else self._server

    @property
    def place(self) -> str:
        return self._reader.place if self.copy == "published" else self._server.place

    def lost_connection(self, message: str) -> ConnectionLostError | None:
        return self._server.lost(" ".join(message.split())[:200]) if server.CONNECTION_LOST.search(message) else None

    def public_schema(self, schema: str) -> str:
        return schema.removeprefix(self.prefix)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        connection = self._server.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"set local lock_timeout = '{_PATIENCE}s'")
                cursor.execute("select pg_advisory_lock(%s)", (_RUN_LOCK,))
            # The lock belongs to the connection, not to this transaction.
            connection.commit()
            yield
        except errors.LockNotAvailable:
            raise WarehouseError(
                f"Another run is at work on {self.place}. Wait for it to end, then try again."
            ) from None
        except psycopg2.Error as error:
            raise self._server.explain(error) from None
        finally:
            with contextlib.suppress(psycopg2.Error):
                connection.close()

    def exists(self) -> bool:
        with self._server.session(read_only=True) as cursor:
            return bool(server.fetch_value(cursor, "select to_regnamespace(%s) is not null", (f"{self.prefix}ops",)))

    @retried
    def is_current(self) -> bool:
        with self._reader.session(read_only=True) as cursor:
            if not server.exists(cursor, "ops.copies"):
                return False
            sql = "select count(*) from ops.copies c join ops.shop s on s.generation = c.base where c.prefix = %s"
            return bool(server.fetch_value(cursor, sql, (self.prefix,)))

    @retried
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        published = self.copy == "published"
        with (self._reader if published else self._server).session(read_only=True) as cursor:
            names = {} if published else _relations(cursor, [self.prefix + s for s in SCHEMAS])
            if published:
                _set_analyst_role(cursor)
            try:
                cursor.execute(as_psycopg2(sql, self.prefix, set(names), bool(parameters)), list(parameters) or None)
                return bulk.frame(cursor) if cursor.description else pd.DataFrame()
            except (psycopg2.Error, ValueError) as error:
                # ValueError: a text that is no UTF-8, or holds a NUL character; no server accepts it.
                if server.is_connection_lost(error) or isinstance(error, _TIMEOUTS):
                    raise
                cursor.connection.rollback()
                if isinstance(error, errors.UndefinedTable) and published and not server.exists(cursor, "ops.runs"):
                    raise WarehouseError(
                        f"Nothing has been published at {self.place} yet. Run: python run_pipeline.py --target postgres"
                    ) from None
                raise WarehouseError(f"The query failed: {error}") from None

    @retried
    def query_each(self, queries: Sequence[str]) -> list[pd.DataFrame | WarehouseError]:
        found: list[pd.DataFrame | WarehouseError] = []
        with self._server.session(read_only=True) as cursor:
            for sql in queries:
                cursor.execute("savepoint before")
                try:
                    cursor.execute(sql)
                    found.append(bulk.frame(cursor))
                except psycopg2.Error as error:
                    if server.is_connection_lost(error):
                        raise
                    found.append(self._server.explain(error))
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
            for name, columns in base.OPS_TABLES.items():
                cursor.execute(f"create table {self._own(name)} ({base.column_list(columns, _TEXT)})")
                if name in published and (not full_refresh or name in base.HISTORY):
                    known = difference.columns_of(cursor, name)
                    both = quoted_list(c for c in difference.columns_of(cursor, self._own(name)) if c in known)
                    cursor.execute(f"insert into {self._own(name)} ({both}) select {both} from {name}")
            removed = dict.fromkeys(("entity", "source", "batch_id", "file"), "varchar")
            cursor.execute(f"create table {self._delta('removed')} ({base.column_list(removed, _TEXT)})")
            for table, columns in STAGE_TABLES.items():
                cursor.execute(f"create table {self._delta(table)} ({base.column_list(columns, _TEXT)})")
                if not self._has_same_columns(cursor, table):
                    # Rows and findings are loaded together, so where one is created again the other is too.
                    notes, of = self._own("ops.batches"), "entity = any(%s)"
                    forgotten = ([table] if table in ENTITIES else list(ENTITIES),)
                    gone = f"insert into {self._delta('removed')} (entity, source, batch_id)"
                    cursor.execute(f"{gone} select entity, source, batch_id from {notes} where {of}", forgotten)
                    cursor.execute(f"delete from {notes} where {of}", forgotten)
            for table in STAGE_TABLES:
                self._create_stage_view(cursor, table)
            # What the run does not build it reads as it is published.
            for name, kind in published.items():
                is_ours = name in base.OPS_TABLES or name in _STATE or name.startswith("stage.")
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
                    f"insert into {self._delta('removed')} (entity, source, batch_id)"
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
        batch, delta, found = item.batch, self._delta(item.batch.entity), self._delta("row_findings")
        key = (batch.batch_id, batch.source, batch.entity)
        with self._server.session() as cursor:
            batches, removed = self._own("ops.batches"), self._delta("removed")
            cursor.execute(f"delete from {batches} where batch_id = %s and source = %s and entity = %s", key)
            if cursor.rowcount:
                of = "_batch_id = %s and _source = %s"
                cursor.execute(f"delete from {delta} where {of}", key[:2])
                cursor.execute(f"delete from {found} where {of} and entity = %s", key)
                cursor.execute(f"insert into {removed} (batch_id, source, entity) values (%s, %s, %s)", key)
            if replaced:
                of, files = "_source = %s and _source_file = any(%s)", sorted(replaced)
                cursor.execute(f"delete from {delta} where {of}", (batch.source, files))
                cursor.execute(f"delete from {found} where {of} and entity = %s", (batch.source, files, batch.entity))
                sql = f"insert into {removed} (entity, source, file) select %s, %s, unnest(%s::varchar[])"
                cursor.execute(sql, (batch.entity, batch.source, files))
            columns, limits = STAGE_TABLES[batch.entity], duckdb_limits(self.settings)
            new = f"select {quoted_list(columns)} from {base.rows_of(item, live)}"
            rows = bulk.copy_query(cursor, new, delta, columns, lake, limits)
            bulk.copy_query(cursor, base.findings_of(item, live), found, FINDINGS, lake, limits)
            note = base.batch_note(item, rows, run_id)
            cursor.execute(f"insert into {batches} ({quoted_list(note)}) values %s", (tuple(note.values()),))
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

    def adopt(self, other: "PostgresWarehouse") -> None:
        """Become what another private copy is; that one is gone then."""
        with self._server.session() as cursor:
            self._drop(cursor, self.prefix)
            for schema in _schemas_of(cursor, other.prefix):
                renamed = self.prefix + schema.removeprefix(other.prefix)
                cursor.execute(f"alter schema {quoted(schema)} rename to {quoted(renamed)}")
            cursor.execute("update ops.copies set prefix = %s where prefix = %s", (self.prefix, other.prefix))

    # Schemas cannot be cloned, so one state is kept, the last: a comment on the copy says which stage of which run left
    # it, and goes before the next one writes. Between processes it has the prefix of checkpoints.

    def keep_state(self, run_id: str, stage: str) -> None:
        with self._server.session() as cursor:
            cursor.execute(f"comment on schema {quoted(self.prefix + 'ops')} is %s", (f"{run_id} {stage}",))

    def has_state(self, run_id: str, stage: str) -> bool:
        return any(copy._is_state(run_id, stage) for copy in (self, PostgresWarehouse(self.settings, "checkpoint")))

    def take_state(self, run_id: str, stage: str) -> None:
        if not self._is_state(run_id, stage):
            self.adopt(PostgresWarehouse(self.settings, "checkpoint"))

    def forget_states(self, run_id: str = "", stages: Sequence[str] = ()) -> None:
        copy = PostgresWarehouse(self.settings, "checkpoint")
        noted = (copy._noted_state() or "").split(" ")
        if not run_id or (noted[0] == run_id and (not stages or noted[-1] in stages)):
            copy.discard()

    def stage_begins(self) -> None:
        with self._server.session() as cursor:
            if _schemas_of(cursor, self.prefix):
                cursor.execute(f"comment on schema {quoted(self.prefix + 'ops')} is null")

    def leave(self) -> None:
        if self._noted_state() and self.is_current():
            PostgresWarehouse(self.settings, "checkpoint").adopt(self)
        else:
            self.discard()

    def _noted_state(self) -> str | None:
        """Return which stage of which run left this copy; None where it is missing or one was cut while it wrote."""
        with self._server.session(read_only=True) as cursor:
            sql = "select obj_description(to_regnamespace(%s), 'pg_namespace')"
            found: str | None = server.fetch_value(cursor, sql, (f"{self.prefix}ops",))
        return found

    def _is_state(self, run_id: str, stage: str) -> bool:
        return self._noted_state() == f"{run_id} {stage}" and self.is_current()

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
                if not server.exists(cursor, "ops.runs"):
                    return False
                return bool(server.fetch_value(cursor, "select count(*) from ops.runs where run_id = %s", (run_id,)))
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
        if server.exists(cursor, "ops.copies"):
            cursor.execute("delete from ops.copies where prefix = %s", (prefix,))

    def _check_server(self, cursor: Cursor) -> None:
        version = int(server.fetch_value(cursor, "show server_version_num"))
        if version < _OLDEST:
            raise WarehouseError(
                f"{self.place} is PostgreSQL {version // 10000}; expected {_OLDEST // 10000} or newer, which orders"
                " text the same everywhere (collation pg_c_utf8)."
            )
        encoding = server.fetch_value(cursor, "show server_encoding")
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
            if not server.fetch_value(cursor, "select to_regnamespace(%s) is not null", (schema,)):
                cursor.execute(f"create schema {schema}")
        for name, columns in _STATE.items():
            cursor.execute(f"create table if not exists {name} ({base.column_list(columns)})")
        # Which generator made a simulated shop, and what it spoiled, is the lake's to know: the warehouse follows it.
        own = {key: value for key, value in self.settings.identity.items() if key not in ("generator", "defects")}
        identity = json.dumps(own, sort_keys=True)
        cursor.execute("insert into ops.shop select %s, 0 where not exists (select 1 from ops.shop)", (identity,))
        cursor.execute("select identity, generation from ops.shop")
        found, generation = cursor.fetchone() or ("", 0)
        if found != identity:
            raise WarehouseError(
                f"The database {self.place} holds the shop {found}, and this run is for {identity}."
                f" Two shops are never mixed: name another database in {server.LOADER_URL}."
            )
        return int(generation)

    def _has_same_columns(self, cursor: Cursor, name: str) -> bool:
        """Whether the published stage table has the columns of this copy's: else its batches are loaded again."""
        table = f"stage.{name}"
        return server.exists(cursor, table) and difference.columns_of(cursor, table) == difference.columns_of(
            cursor, self._delta(name)
        )

    def _create_stage_view(self, cursor: Cursor, name: str) -> None:
        """Let the copy's view of a stage table show the published rows that still count, and the new ones."""
        columns = quoted_list(STAGE_TABLES[name])
        sql = f"select {columns} from {self._delta(name)}"
        is_full = server.fetch_value(cursor, "select is_full from ops.copies where prefix = %s", (self.prefix,))
        if not is_full and self._has_same_columns(cursor, name):
            removed = self._delta("removed")
            any_removed = f"select count(*) from {removed} where %s in (entity, 'row_findings')"
            if server.fetch_value(cursor, any_removed, (name,)):
                conditions = [f" and not exists (select 1 from {removed} g where {of})" for of in _removed_of(name)]
            else:
                conditions = []
            sql = f"select {columns} from stage.{name} s where true{''.join(conditions)} union all {sql}"
        cursor.execute(f"create or replace view {self._own('stage.' + name)} as {sql}")

    def _publish_stage(self, cursor: Cursor, *, is_full: bool) -> None:
        """Bring the published stage tables to what this copy's views show."""
        gone = self._delta("removed")
        for name in STAGE_TABLES:
            table = f"stage.{name}"
            if is_full or not self._has_same_columns(cursor, name):
                difference.synchronize(cursor, self._delta(name), table)
                continue
            removed = 0
            for which in _removed_of(name):
                cursor.execute(f"delete from {table} s using {gone} g where {which}")
                removed += cursor.rowcount
            columns = quoted_list(STAGE_TABLES[name])
            cursor.execute(f"insert into {table} ({columns}) select {columns} from {self._delta(name)}")
            if removed or cursor.rowcount:
                cursor.execute(f"analyze {table}")


def _removed_of(name: str) -> list[str]:
    """Return the conditions by which an entry `g` of a copy's list removes a row `s` of a stage table."""
    of = "s.entity" if name == "row_findings" else text_literal(name)
    return [f"g.entity = {of} and {same}" for same in _REMOVED]


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


def _set_analyst_role(cursor: Cursor) -> None:
    """Read as the analyst from here on, where that role exists and may be assumed."""
    may = "select pg_has_role(oid, 'set') and rolname <> current_user from pg_roles where rolname = %s"
    if server.fetch_value(cursor, may, (ANALYST,)):
        cursor.execute(f"set local role {ANALYST}")


def _grant_to_analyst(cursor: Cursor) -> None:
    """Grant what is published to the analyst, where that role is there: a table that was moved brings no grants."""
    cursor.execute(read_query("postgres/grants"))
    for (grant,) in cursor.fetchall():
        cursor.execute(grant)
