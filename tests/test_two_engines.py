"""The same pipeline on DuckDB and PostgreSQL, from one lake, in three increments: every table row by row.

The tables are found in the two catalogs, so a model that is added later is compared too.
"""

import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from tests.conftest import Shop
from tests.postgres import connect

SCHEMAS = ("stage", "clean", "quarantine", "warehouse", "analytics", "quality")
INCREMENTS = ("2025-08-31", "2025-10-31", "2025-12-31")
READERS = 10
PASSWORD = "loader-s3cret-2971"
#: A figure and its parts, from three schemas and two runs' worth of tables at once.
KPI = """
    select
        (select sum(net_amount) from analytics.monthly_sales),
        (select sum(net_amount) from warehouse.fact_orders),
        (select sum(net_amount) from warehouse.fact_order_items),
        (select count(*) from clean.orders),
        (select sum(clean_rows) from quality.row_accounting where entity = 'orders'),
        (select sum(rows) from ops.batches where entity = 'orders')
"""


class Readers:
    """Analysts who ask for a figure and its parts all the time, each by a connection of their own."""

    def __init__(self, url: str) -> None:
        self.answers: set[tuple] = set()
        self.count = 0
        self.faults: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(url, n)) for n in range(READERS)]

    def _read(self, url: str, number: int) -> None:
        connection = connect(url)
        # Half of them ask in one statement, half look at one table after the other in a transaction.
        connection.autocommit = number % 2 == 0
        if not connection.autocommit:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        while not self._stop.is_set():
            try:
                with connection.cursor() as cursor:
                    found = self._ask(cursor, whole=connection.autocommit)
                if not connection.autocommit:
                    connection.commit()
            except psycopg2.errors.UndefinedTable:
                connection.rollback()  # nothing is published yet
                continue
            except psycopg2.Error as error:
                self.faults.append(repr(error))
                return
            months, orders, items, clean, accounted, staged = found
            if not (months == orders == items and clean == accounted == staged):
                self.faults.append(f"mixed: {found}")
            self.answers.add(found)
            self.count += 1
            self._stop.wait(0.5)
        connection.close()

    @staticmethod
    def _ask(cursor, *, whole: bool) -> tuple:
        if whole:
            cursor.execute(KPI)
            return cursor.fetchone()
        found = []
        for part in KPI.strip().removeprefix("select").split(",\n"):
            cursor.execute("select " + part)
            found.append(cursor.fetchone()[0])
        return tuple(found)

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def shop(shop_at, new_database) -> Shop:
    # Our own server takes any password; none may be found in what a run leaves behind.
    url = make_url(new_database())
    url = url if url.password else url.set(password=PASSWORD)
    return replace(shop_at("two-engines"), extra={"WAREHOUSE_URL": url.render_as_string(hide_password=False)})


@pytest.fixture(scope="module")
def server(shop: Shop) -> Iterator[psycopg2.extensions.connection]:
    connection = connect(shop.extra["WAREHOUSE_URL"])
    yield connection
    connection.close()


def on_duckdb(path: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def on_postgres(server: psycopg2.extensions.connection, sql: str) -> list[tuple]:
    with server.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def comparable(value: object) -> object:
    """Return a value so that it compares and sorts the same from both engines: a double to twelve digits."""
    if isinstance(value, float):
        return format(value, ".12g")
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return "" if value is None else str(value)


def rows_of(fetched: list[tuple]) -> list[tuple]:
    return sorted(tuple(comparable(v) for v in row) for row in fetched)


def assert_same(shop: Shop, server: psycopg2.extensions.connection) -> None:
    path = shop.data / "shop.duckdb"
    listed = ", ".join(f"'{s}'" for s in SCHEMAS)
    sql = (
        f"select table_schema, table_name, column_name from information_schema.columns where table_schema in ({listed})"
    )
    ours, theirs = set(on_duckdb(path, sql)), set(on_postgres(server, sql))
    assert ours == theirs
    tables: dict[str, list[str]] = {}
    for schema, table, column in sorted(ours):
        tables.setdefault(f"{schema}.{table}", []).append(column)
    assert len(tables) > 30
    for table, columns in tables.items():
        # Runs have names of their own on each engine: which run in their order it was is what agrees.
        which = ", ".join(f"dense_rank() over (order by {c})" if c == "run_id" else f'"{c}"' for c in columns)
        sql = f"select {which} from {table}"
        one, other = rows_of(on_duckdb(path, sql)), rows_of(on_postgres(server, sql))
        different = [pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]]
        assert len(one) == len(other) and not different, (table, columns, len(one), len(other), different[:2])


def test_both_engines_hold_the_same_rows_after_each_increment_while_ten_readers_look_on(shop, server):
    with Readers(shop.extra["WAREHOUSE_URL"]) as readers:
        for day in INCREMENTS:
            done = shop.run("--as-of", day, "--to", "05_quality")
            assert done.returncode == 0, done.stdout + done.stderr
            # Without its systems at hand: PostgreSQL takes from the lake what it lacks.
            systems, away = shop.data / "sources", shop.data / "away"
            systems.rename(away)
            done = shop.run("--as-of", day, "--target", "postgres", "--from", "03_clean", "--to", "05_quality")
            away.rename(systems)
            assert done.returncode == 0, done.stdout + done.stderr
            assert_same(shop, server)
            for entity in ("customers", "products", "orders", "order_items", "payments"):
                exported = f"select * from '{shop.data}/lake/clean/{entity}.parquet'"
                ours = f"select * from clean.{entity}"
                assert on_duckdb(shop.data / "shop.duckdb", f"{exported} except all {ours}") == []
                assert on_duckdb(shop.data / "shop.duckdb", f"{ours} except all {exported}") == []
    assert readers.faults == []
    assert len(readers.answers) == len(INCREMENTS) and readers.count > 5 * READERS


def test_a_run_with_nothing_new_and_a_full_refresh_change_no_row_on_the_server(shop, server):
    # `ops` and `quality` note each run.
    sql = "select sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) from pg_stat_user_tables where schemaname in"
    sql += " ('stage', 'clean', 'quarantine', 'warehouse', 'analytics')"
    written = on_postgres(server, sql)
    assert written[0][0] > 10_000
    for arguments in ((), ("--full-refresh",)):
        done = shop.run("--target", "postgres", "--from", "03_clean", "--to", "05_quality", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("0 new rows loaded" in done.stdout) is not bool(arguments)
    assert on_postgres(server, sql) == written


def test_nothing_that_a_run_leaves_holds_the_servers_password(shop):
    password = make_url(shop.extra["WAREHOUSE_URL"]).password.encode()
    left = [p for folder in (shop.outputs, shop.data) for p in folder.rglob("*") if p.is_file()]
    assert len(left) > 100
    assert [p for p in left if password in p.read_bytes()] == []
    assert b"postgres" in (shop.outputs / "latest" / "run.json").read_bytes()
