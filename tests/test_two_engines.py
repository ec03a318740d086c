"""The same pipeline on DuckDB and PostgreSQL, from one lake, in three increments: every table row by row.

The tables are found in the two catalogs, so a model that is added later is compared too.
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import duckdb
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from lib.insights.facts import Facts, read_facts
from lib.insights.remarks import read_remarks
from lib.warehouse import Warehouse, open_warehouse
from tests.conftest import Shop
from tests.postgres import ask, connect
from tests.small_shop import SmallShop

SCHEMAS = ("stage", "clean", "quarantine", "warehouse", "analytics", "quality")
INCREMENTS = ("2025-12-15", "2025-12-31")
READERS = 10
PASSWORD = "loader-s3cret-2971"
#: A figure and its parts, from three schemas and two runs' worth of tables at once.
KPI = """
    select
        (select sum(net_amount) from analytics.monthly_sales),
        (select sum(net_amount) from warehouse.fact_orders),
        (select sum(net_amount) from warehouse.fact_order_items),
        (select count(*) from clean.payments),
        (select sum(clean_rows) from quality.row_accounting where entity = 'payments'),
        (select count(*) from warehouse.fact_payments)
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
        while not self._stop.wait(0.5):
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
    with duckdb.connect(str(shop.data / "shop.duckdb"), read_only=True) as file:
        assert_same_rows(file, server)
        for entity in ("customers", "products", "orders", "order_items", "payments"):
            exported, ours = f"select * from '{shop.data}/lake/clean/{entity}.parquet'", f"select * from clean.{entity}"
            assert file.execute(f"{exported} except all {ours}").fetchall() == []
            assert file.execute(f"{ours} except all {exported}").fetchall() == []


def assert_same_rows(file: duckdb.DuckDBPyConnection, server: psycopg2.extensions.connection) -> None:
    listed = ", ".join(f"'{s}'" for s in SCHEMAS)
    sql = (
        f"select table_schema, table_name, column_name from information_schema.columns where table_schema in ({listed})"
    )
    ours, theirs = set(file.execute(sql).fetchall()), set(ask(server, sql))
    assert ours == theirs
    tables: dict[str, list[str]] = {}
    for schema, table, column in sorted(ours):
        tables.setdefault(f"{schema}.{table}", []).append(column)
    assert len(tables) > 30
    for table, columns in tables.items():
        # Runs have names of their own on each engine: which run in their order it was is what agrees.
        which = ", ".join(f"dense_rank() over (order by {c})" if c == "run_id" else f'"{c}"' for c in columns)
        sql = f"select {which} from {table}"
        one, other = rows_of(file.execute(sql).fetchall()), rows_of(ask(server, sql))
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
    assert readers.faults == []
    assert len(readers.answers) == len(INCREMENTS) and readers.count > 5 * READERS


@pytest.mark.soak
@pytest.mark.parametrize(("arguments", "says_nothing_new"), [((), True), (("--full-refresh",), False)])
def test_a_run_with_nothing_new_or_a_full_refresh_changes_no_row_on_the_server(
    shop, server, arguments, says_nothing_new
):
    # `ops` and `quality` note each run.
    sql = "select sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) from pg_stat_user_tables where schemaname in"
    sql += " ('stage', 'clean', 'quarantine', 'warehouse', 'analytics')"
    written = ask(server, sql)
    assert written[0][0] > 10_000
    done = shop.run("--target", "postgres", "--from", "03_clean", "--to", "05_quality", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("0 new rows loaded" in done.stdout) is says_nothing_new
    assert ask(server, sql) == written


def test_nothing_that_a_run_leaves_holds_the_servers_password(shop):
    password = make_url(shop.extra["WAREHOUSE_URL"]).password.encode()
    left = [p for folder in (shop.outputs, shop.data) for p in folder.rglob("*") if p.is_file()]
    assert len(left) > 100
    assert [p for p in left if password in p.read_bytes()] == []
    assert b"postgres" in (shop.outputs / "latest" / "run.json").read_bytes()


def test_both_engines_make_the_same_of_messy_deliveries(tmp_path, new_database, monkeypatch):
    monkeypatch.setenv("WAREHOUSE_URL", new_database())
    ours = SmallShop(tmp_path, entities={entity: {} for entity in MESSY})
    theirs = replace(ours, config={"warehouse": {"memory_limit": "1GB", "threads": 2, "target": "postgres"}})
    for entity, text in MESSY.items():
        ours.write(f"{entity}/1.csv", text)
    for delivery in (1, 2):
        if delivery == 2:
            # A file comes again without two of its rows, one more takes up an old payment, another an old event.
            header, *rows = MESSY["orders"].splitlines(keepends=True)
            ours.write("orders/1.csv", "".join([header, *rows[2:]]))
            ours.write("payments/2.csv", MESSY["payments"].splitlines()[0] + "\ny1,A9,card,1.005,paid,2025-03-09\n")
            # An order is stated anew, with one line less.
            stated = "L1,2025-01-05 10:00,q1,Hut,2,7,c1,,Refunded,14", "L8,2025-01-11 10:00,q1,Hut,1,7,d2,,paid,"
            ours.write("order_lines/2.csv", "\n".join([MESSY["order_lines"].splitlines()[0], *stated, ""]))
            ours.write("events/2.csv", MESSY["events"].splitlines()[0] + "\nv2,2025-03-09 23:19:59,view,z,,,A1,\n")
        for shop in (ours, theirs):
            shop.audit(shop.build())
            open_warehouse(shop.settings, "run").publish()
        here, there = (_said(open_warehouse(shop.settings)) for shop in (ours, theirs))
        assert here == there and here[0].all_orders > 0
        with (
            duckdb.connect(str(ours.settings.data_dir / "shop.duckdb"), read_only=True) as file,
            connect(os.environ["WAREHOUSE_URL"]) as server,
        ):
            assert_same_rows(file, server)
            rules = "select rule from quarantine.orders union select rule from ops.dispositions_orders"
            found = {rule for (rule,) in file.execute(rules.replace("rule from q", "_rule as rule from q")).fetchall()}
            assert {"conflicting_duplicate", "exact_duplicate", "not_a_date_or_time"} <= found
            found = {rule for (rule,) in file.execute("select rule from ops.dispositions_order_lines").fetchall()}
            assert {"exact_duplicate", "missing_unit_price", "reused_order_number"} <= found
            assert ("restated" in found) == (delivery == 2)
            sums = "sum(exact_duplicates), sum(older_versions), sum(quarantined_rows), sum(abs(unaccounted_rows))"
            *counted, lost = file.execute(f"select {sums} from quality.row_accounting").fetchone()
            assert min(counted) > 0 and lost == 0


def _said(warehouse: Warehouse) -> tuple[Facts, list[str]]:
    """What the report knows of a shop, and what it says its figures rest on."""
    found = read_facts(warehouse.query)
    return found, read_remarks(warehouse.query, found, "EUR")


#: Copies, versions with and without a time, contradictions, orphans, unreadable values, ugly shares, mixed case.
MESSY = {
    "customers": """customer_id,email,country,updated_at
c1,a@x.de,DE,2025-01-01
c1,b@x.de,DE,2025-02-01
c1,b@x.de,DE,2025-02-01
C1,c@x.de,AT,
C1,d@x.de,AT,
c2,,ÖSTERREICH,not a date
,no@key.de,DE,2025-01-01
c10,e@x.de,,2025-01-01
""",
    "products": """product_id,name,unit_price,unit_cost,updated_at
p1,Ärmel,3.3333,1.1111,2025-01-01
p1,Ärmel neu,3.3334,,2025-01-02
P1,arm,x,1,2025-01-02
p2,,10,3.00005,
p2,,10,3.00005,
p3,gratis,0,0,2025-01-01
""",
    "orders": """order_id,ordered_at,customer_id,status,discount_amount,updated_at
A1,2025-01-31 23:30:00,c1,PAID,1.00,2025-02-01
A1,2025-01-31 23:30:00,c1,RÜCKGABE,1.00,2025-02-02
A2,2025-02-01 00:10:00,c2,paid,0.07,
A2,2025-02-01 00:10:00,c2,cancelled,0.07,
A3,never,c1,paid,0,
A4,2025-03-30 01:30:00,nobody,Returned,,2025-04-01
a4,2025-03-30 02:30:00,,void,100,2025-04-01
A9,2025-03-09 12:00:00,c10,paid,9.99,
A9,2025-03-09 12:00:00,c10,paid,9.99,
A10,2025-03-10,c10,,0.01,
""",
    "order_items": """order_id,line_number,product_id,quantity,unit_price
A1,1,p1,3,3.3333
A1,2,p2,1,0.0001
A1,3,p9,7,1.4286
A1,3,p9,7,1.4286
A2,1,p1,1,9.99
A2,1,p1,2,9.99
A4,,p2,-1,10
A4,,p3,-2,0
A4,,p3,-2,0
X1,1,p1,1,1
A9,1,p1,1,0.333
A9,2,p1,1,0.333
A9,3,p1,1,0.334
A9,4,P1,many,1
A10,1,p2,1e9,1
""",
    "payments": """payment_id,order_id,method,amount,status,paid_at
y1,A1,Card,10.5,paid,2025-02-01
y1,A1,Card,10.5,paid,2025-02-01
y2,A1,PayPal,-1,refund,
y3,A9,,0.335,,2025-03-09 23:59:59
y4,nowhere,card,1,paid,
y5,A9,card,free,paid,
,A9,cash,2,paid,
""",
    "events": """event_id,event_at,event_type,visitor_id,customer_id,product_id,order_id,device
v1,2025-03-09 22:50:00.25,view,w,,p1,,Télé
v2,2025-03-09 23:20:00.25,add_to_cart,w,,p1,,
v3,2025-03-09 23:50:00.75,purchase,w,c10,,A9,phone
v3,2025-03-09 23:50:00.75,purchase,w,c10,,A9,phone
v4,2025-03-09 23:51,purchase,W,c10,,A9,phone
v5,2025-03-09 12:00,checkout,,c1,,,
v6,2025-03-09 12:00,odd,,,,X1,
v6,2025-03-09 12:01,odd,,,,X1,
v7,someday,view,w,,,,
""",
    "order_lines": """\
order_id,ordered_at,product_id,product_name,quantity,unit_price,customer_id,customer_country,status,total_amount
L1,2025-01-05 10:00,p1,Ärmel,2,3.33,c1,DE,paid,
L1,2025-01-05 10:00,p1,Ärmel,2,3.33,c1,DE,paid,
L1,2025-01-05 10:00,q1,Hut,1,7,c1,DE,paid,
L2,2025-01-06 10:00,q1,hut,-1,7,d1,FR,returned,
L2,2025-01-06 10:00,q2,damaged,-1,0,d1,,returned,
L3,2025-01-07 10:00,,Hut,1,7,d2,FR,paid,
,2025-01-08 10:00,q1,Hut,1,7,d2,,paid,
,2025-01-08 10:00,q2,,1,7,d2,IT,paid,
L4,2025-01-09 10:00,q1,Hut,1,7,d2,IT,In Klärung,7
L4,2025-01-09 10:00,q1,Hut,1,7,d2,IT,In Klärung,7
L5,2025-01-10 10:00,q1,Hut,1,,d2,IT,wc-pending,
L6,2025-01-10 10:00,q1,Hut,1,,d2,IT,Shipped,
L7,2024-01-10 10:00,q1,Hut,1,7,d2,IT,paid,
L7,2025-01-10 10:00,q1,Hut,1,7,Ä2,IT,paid,
""",
}
