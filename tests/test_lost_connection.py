"""PostgreSQL goes away in the middle of a run: nothing half-visible, one clear message, and the next run succeeds."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg2
import pytest

from lib.base.errors import ConnectionLostError, WarehouseError
from lib.warehouse import open_warehouse
from tests.conftest import Shop, soaking
from tests.postgres import ask, connect
from tests.small_shop import SmallShop, csv
from tests.test_interruption import running_stage

FIGURES = (
    "select (select sum(net_amount) from analytics.monthly_sales), (select sum(net_amount) from warehouse.fact_orders)"
)
OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


class Database:
    """What an administrator sees and does, each statement on its own."""

    def __init__(self, url: str) -> None:
        self.connection = connect(url)

    def ask(self, sql: str) -> list[tuple]:
        return ask(self.connection, sql)

    def cut(self, condition: str = "true") -> int:
        """Terminate the others' connections; return how many there were."""
        return len(self.ask(f"select pg_terminate_backend(pid) {OTHERS} and {condition}"))


@pytest.fixture(scope="module")
def database(new_database) -> Iterator[Database]:
    url = new_database()
    database = Database(url)
    database.url = url
    yield database
    database.connection.close()


@pytest.fixture(scope="module")
def shop(shop_at, database) -> Shop:
    """A shop that has published its first months; the rest of its data is in the lake."""
    shop = replace(shop_at("lost"), extra={"WAREHOUSE_URL": database.url})
    done = shop.run("--as-of", "2025-12-15", "--target", "postgres", "--to", "05_quality")
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.run("--to", "02_ingest", "--target", "postgres").returncode == 0
    return shop


def wait_for(condition, process) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("stage", soaking(("03_clean", "04_model", "05_quality", "06_insights"), ("03_clean",)))
def test_a_run_cut_off_in_a_stage_fails_clearly_and_changes_nothing_that_is_published(shop, database, stage):
    before = database.ask(FIGURES)
    chosen = ("--from", "03_clean", "--to", stage) if stage == "04_model" else ("--only", stage)
    process = shop.start("--target", "postgres", *chosen)
    wait_for(lambda: running_stage(shop) == stage, process)
    cut = 0
    while process.poll() is None and running_stage(shop) == stage:
        cut += database.cut()
        assert database.ask(FIGURES) == before
        time.sleep(0.01)
    out, err = process.communicate(timeout=60)
    assert cut > 0, out + err
    assert database.ask(FIGURES) == before
    if stage == "06_insights" and process.returncode == 0:
        return  # it only reads, and what it asked was answered the second time
    assert process.returncode == 1, out + err
    (reason,) = [line for line in out.splitlines() if line.startswith(f"{stage}: ")]
    assert "was lost" in reason or "cannot be reached" in reason, out
    manifest = json.loads(max((shop.outputs / "runs").glob("*/run.json")).read_text())
    (state,) = [s["state"] for s in manifest["stages"] if s["name"] == stage]
    assert (manifest["state"], state) == ("failed", "failed")


def test_a_run_cut_off_while_it_publishes_changes_nothing(shop, database):
    before, runs = database.ask(FIGURES), database.ask("select count(*) from ops.runs")
    with held(database.url, "lock table ops.runs in share mode"):
        process = shop.start("--target", "postgres", "--only", "05_quality")
        wait_for(lambda: database.ask(f"select 1 {OTHERS} and wait_event_type = 'Lock'"), process)
        assert database.cut("wait_event_type = 'Lock'") == 1
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "was lost" in out, out + err
    assert database.ask(FIGURES) == before and database.ask("select count(*) from ops.runs") == runs
    assert database.ask("select nspname from pg_namespace where nspname ~ '^run_'") == []


def test_a_run_killed_while_it_publishes_changes_nothing(shop, database):
    before, runs = database.ask(FIGURES), database.ask("select count(*) from ops.runs")
    with held(database.url, "lock table ops.runs in share mode"):
        process = shop.start("--target", "postgres", "--only", "05_quality")
        wait_for(lambda: database.ask(f"select 1 {OTHERS} and wait_event_type = 'Lock'"), process)
        process.kill()
        process.communicate()
    while database.ask(f"select 1 {OTHERS}"):
        time.sleep(0.05)  # the server finds its client gone
    assert database.ask(FIGURES) == before and database.ask("select count(*) from ops.runs") == runs


def test_the_run_after_all_that_publishes_everything_once(shop, database):
    done = shop.run("--target", "postgres", "--from", "03_clean", "--to", "05_quality")
    assert done.returncode == 0, done.stdout + done.stderr
    exported = shop.run("--only", "02_ingest").stdout  # nothing is new at the sources either
    assert "new files 0" in exported
    staged = {e: database.ask(f"select count(*) from stage.{e}")[0][0] for e in ("orders", "order_items", "payments")}
    noted = dict(database.ask("select entity, sum(rows)::int from ops.batches group by entity"))
    assert {entity: noted[entity] for entity in staged} == staged
    ((facts, orders),) = database.ask("select count(*), count(distinct order_id) from warehouse.fact_orders")
    assert 1_990 <= facts == orders <= 2_000
    ((total, parts),) = database.ask(FIGURES)
    assert total == parts > 0
    states = [line.split("\t")[1] for line in shop.run("runs").stdout.splitlines()[1:]]
    assert states.count("killed") == 1 and "running" not in states
    assert database.ask("select nspname from pg_namespace where nspname ~ '^(run|checkpoint)_'") == []


@contextmanager
def held(url: str, statement: str) -> Iterator[None]:
    """Hold what a statement locks."""
    connection = psycopg2.connect(url)
    try:
        connection.cursor().execute(statement)
        yield
    finally:
        connection.close()


ORDERS = csv("order_id,ordered_at,customer_id", *(f"o{n},2025-01-{n:02} 10:00:00,c{n}" for n in range(1, 21)))


@pytest.fixture
def small(tmp_path, new_database, monkeypatch) -> SmallShop:
    monkeypatch.setenv("WAREHOUSE_URL", new_database())
    shop = SmallShop(tmp_path, entities={"orders": {}}, config={"warehouse": {"target": "postgres"}})
    shop.write("orders/1.csv", ORDERS)
    return shop


def test_a_load_that_is_cut_off_once_is_done_again_and_counts_once(small, monkeypatch):
    from lib.warehouse import bulk

    database, copy_query, cuts = Database(os.environ["WAREHOUSE_URL"]), bulk.copy_query, []

    def cut_after_copying(*arguments):
        rows = copy_query(*arguments)
        if not cuts:
            cuts.append(database.cut())
        return rows

    monkeypatch.setattr(bulk, "copy_query", cut_after_copying)
    warehouse = small.load()
    assert cuts == [1]
    assert warehouse.query("select count(*) as n from stage.orders")["n"][0] == 20
    assert warehouse.query("select count(*) as n, sum(rows) as r from ops.batches").iloc[0].tolist() == [1, 20]


def test_a_query_is_asked_again_after_a_cut_and_a_server_that_stays_away_is_named(small, monkeypatch):
    warehouse = small.load()
    database = Database(os.environ["WAREHOUSE_URL"])
    stop = threading.Event()
    threading.Timer(0.3, lambda: (database.cut("query like '%pg_sleep%'"), stop.set())).start()
    assert warehouse.query("select pg_sleep(0.6)::text as nothing").shape == (1, 1)
    assert stop.is_set()
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql://loader:s3cretword@localhost:1/shop")
    with pytest.raises(WarehouseError, match="localhost:1/shop cannot be reached") as raised:
        open_warehouse(small.settings).query("select 1")
    assert "s3cretword" not in str(raised.value)


def test_a_statement_that_takes_too_long_or_waits_too_long_says_which_key_of_the_configuration(small):
    warehouse = small.load()
    limits = {"postgres": {"statement_timeout_seconds": 1, "lock_timeout_seconds": 1}, "target": "postgres"}
    quick = open_warehouse(replace(small, config={"warehouse": limits}).settings, "run")
    with pytest.raises(WarehouseError, match="statement_timeout_seconds"):
        quick.query("select pg_sleep(5)::text as nothing")
    with (
        held(os.environ["WAREHOUSE_URL"], f"lock table {warehouse.prefix}ops.batches"),
        pytest.raises(WarehouseError, match=r"(lock|statement)_timeout_seconds"),
    ):
        quick.query("select count(*) as n from ops.batches")
    assert not isinstance(WarehouseError(""), ConnectionLostError) and warehouse.exists()
