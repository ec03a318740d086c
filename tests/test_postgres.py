"""The warehouse on PostgreSQL: what publishing does to readers and what they built, copies side by side, roles."""

import os
import shutil
import threading
from dataclasses import replace

import pandas as pd
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from lib.base.errors import WarehouseError
from lib.base.files import PROJECT
from lib.run.stage import Stage
from lib.warehouse import difference, open_warehouse
from lib.warehouse.difference import declared
from lib.warehouse.rewriting import as_psycopg2
from lib.warehouse.roles import init_db
from lib.warehouse.server import Server
from tests.conftest import Shop
from tests.postgres import ask, connect, create_database, drop_database
from tests.small_shop import SmallShop, csv

ANALYST_PASSWORD = "reads-and-does-not-write"
ON_POSTGRES = {"warehouse": {"memory_limit": "1GB", "threads": 2, "target": "postgres"}}


def days(first: int, last: int) -> str:
    rows = (f"o{n},2025-01-{n:02} 10:00:00,c{n % 3},paid" for n in range(first, last + 1))
    return csv("order_id,ordered_at,customer_id,status", *rows)


def items(first: int, last: int, product: str = "p1", price: int = 5) -> str:
    rows = (f"o{n},1,{product},1,{price}" for n in range(first, last + 1))
    return csv("order_id,line_number,product_id,quantity,unit_price", *rows)


@pytest.fixture(scope="module")
def first(tmp_path_factory, new_database) -> tuple[SmallShop, str, str]:
    """A published shop of ten orders, its database and a copy of that; a copy of its folder lies beside it."""
    url = new_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAREHOUSE_URL", url)
        init_db(url, {})
        entities = {"orders": {}, "order_items": {}}
        shop = SmallShop(tmp_path_factory.mktemp("first") / "shop", entities=entities, config=ON_POSTGRES)
        shop.write("orders/1.csv", days(1, 10))
        shop.write("order_items/1.csv", items(1, 10))
        shop.build(publish=True)
    shutil.copytree(shop.root, shop.root.parent / "saved")
    return shop, url, new_database(url)


@pytest.fixture
def shop(first, postgres_server, monkeypatch) -> SmallShop:
    """The shop as it was first, in the same folder and database, so that dbt compiles its project for them once."""
    shop, url, template = first
    drop_database(url)
    create_database(postgres_server, template, make_url(url).database or "")
    monkeypatch.setenv("WAREHOUSE_URL", url)
    monkeypatch.delenv("WAREHOUSE_ANALYST_URL", raising=False)
    init_db(url, {"shop_analyst": ANALYST_PASSWORD})
    shutil.rmtree(shop.root)
    shutil.copytree(shop.root.parent / "saved", shop.root)
    return replace(shop)


@pytest.fixture
def admin(shop) -> psycopg2.extensions.connection:
    connection = connect(os.environ["WAREHOUSE_URL"])
    yield connection
    connection.close()


def add_days(shop: SmallShop) -> None:
    shop.write("orders/2.csv", days(11, 20))
    shop.write("order_items/2.csv", items(11, 20))


def test_what_others_built_on_the_tables_stays_and_follows(shop, admin):
    ask(admin, "create schema mine; create view mine.months as select month, net_amount from analytics.monthly_sales")
    before = ask(admin, "select 'analytics.monthly_sales'::regclass::oid, sum(net_amount) from mine.months")
    add_days(shop)
    shop.build(publish=True)
    after = ask(admin, "select 'analytics.monthly_sales'::regclass::oid, sum(net_amount) from mine.months")
    assert after[0][0] == before[0][0] and (before[0][1], after[0][1]) == (50, 100)


def test_an_open_transaction_goes_on_with_the_run_it_began_with_and_blocks_nobody(shop):
    reader = psycopg2.connect(os.environ["WAREHOUSE_URL"])
    reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
    assert ask(reader, "select count(*) from warehouse.fact_orders") == [(10,)]
    add_days(shop)
    shop.build(publish=True)
    # A table it has not looked at yet is of the same run.
    assert ask(reader, "select sum(orders) from analytics.monthly_sales") == [(10,)]
    reader.rollback()
    assert ask(reader, "select sum(orders) from analytics.monthly_sales") == [(20,)]
    reader.close()


def test_tables_have_the_keys_and_indexes_that_their_models_declare(shop, admin):
    found = ask(
        admin,
        "select n.nspname || '.' || c.relname, array_agg(a.attname::text order by k.place), i.indisprimary"
        " from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace"
        " cross join unnest(i.indkey::int[]) with ordinality k(number, place)"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number"
        " where n.nspname in ('clean', 'warehouse', 'analytics') group by 1, i.indexrelid, 3",
    )
    keys = {table.split(".")[1]: tuple(columns) for table, columns, primary in found if primary}
    others = {(table.split(".")[1], tuple(columns)) for table, columns, primary in found if not primary}
    files = [p for s in ("clean", "warehouse", "analytics") for p in (PROJECT / "sql/models" / s).glob("*.sql")]
    models = [p.stem for p in files if "config(schema=" not in p.read_text(encoding="utf-8")]
    assert keys == {name: declared()[name][0] for name in models} and len(keys) > 15
    assert others == {(name, columns) for name in models for columns in declared()[name][1]}


def test_a_view_that_needs_a_table_whose_columns_change_is_named_and_nothing_is_published(shop, admin):
    ask(admin, "create schema mine; create view mine.kept as select * from analytics.monthly_sales")
    ask(admin, "alter table analytics.monthly_sales rename column is_complete to was_complete")
    add_days(shop)
    with pytest.raises(WarehouseError, match=r"view mine\.kept depends on table analytics\.monthly_sales"):
        shop.build(publish=True)
    assert ask(admin, "select count(*) from warehouse.fact_orders") == [(10,)]
    ask(admin, "drop view mine.kept")
    open_warehouse(shop.settings, "run").publish()
    assert ask(admin, "select count(*), sum(is_complete::int) from analytics.monthly_sales") == [(1, 0)]


def test_a_copy_is_no_longer_current_and_not_published_once_another_was(shop):
    add_days(shop)
    draft, run = open_warehouse(shop.settings, "draft"), open_warehouse(shop.settings, "run")
    draft.begin()
    assert draft.is_current() and not run.is_current()
    shop.build(publish=True)
    assert not draft.is_current() and draft.exists()
    with pytest.raises(WarehouseError, match="published anew since this copy was made"):
        draft.publish()
    draft.discard()
    assert not draft.exists()


def test_a_copy_left_for_a_later_run_is_adopted_whole(shop):
    add_days(shop)
    shop.build()
    run, checkpoint = open_warehouse(shop.settings, "run"), open_warehouse(shop.settings, "checkpoint")
    checkpoint.adopt(run)
    assert checkpoint.is_current() and not run.exists()
    run.adopt(checkpoint)
    run.publish()
    assert open_warehouse(shop.settings).query("select count(*) as n from clean.orders")["n"].tolist() == [20]


def test_what_the_last_stage_left_is_known_by_its_run_until_the_next_one_writes(shop):
    add_days(shop)
    run, checkpoint = shop.build(), open_warehouse(shop.settings, "checkpoint")
    run.keep_state("r1", "03_clean")
    assert run.has_state("r1", "03_clean") and not run.has_state("r2", "03_clean")
    run.leave()
    assert not run.exists() and run.has_state("r1", "03_clean")
    run.take_state("r1", "03_clean")
    assert run.query("select count(*) as n from clean.orders")["n"].tolist() == [20]
    run.take_state("r1", "03_clean")
    run.stage_begins()
    assert not run.has_state("r1", "03_clean"), "a stage that is cut leaves nothing to begin from"
    run.keep_state("r1", "04_model")
    run.leave()
    run.forget_states("r2")
    run.forget_states("r1", ["05_quality"])
    assert checkpoint.exists() and run.has_state("r1", "04_model") and not run.has_state("r1", "03_clean")
    run.forget_states("r1")
    assert not checkpoint.exists()


def test_a_file_delivered_again_replaces_its_rows_and_a_lost_batch_takes_its_own_along(shop, admin):
    shop.write("orders/1.csv", days(1, 4))
    shop.build(publish=True)
    assert ask(admin, "select count(*) from stage.orders") == [(4,)]
    batch = next(b for b in shop.lake.batches("exports", "order_items"))
    shop.lake._remove(batch.folder)
    shop.write("order_items/1.csv", items(1, 2))
    shop.build(publish=True)
    assert ask(admin, "select count(*) from stage.order_items") == [(2,)]
    assert ask(admin, "select entity, sum(rows) from ops.batches group by 1 order by 1")[0] == ("order_items", 2)


def test_another_shop_and_another_run_at_once_are_refused(shop, tmp_path):
    other = SmallShop(tmp_path / "other", entities={"orders": {}}, config=ON_POSTGRES)
    other.root.mkdir()
    (other.root / "small.yml").touch()
    settings = replace(other.settings, shop_id="other")
    with pytest.raises(WarehouseError, match="Two shops are never mixed"):
        open_warehouse(settings, "run").begin()
    with (
        open_warehouse(shop.settings).exclusive(),
        pytest.raises(WarehouseError, match="Another run is at work"),
        open_warehouse(settings).exclusive(),
    ):
        pass


def test_what_is_published_is_read_as_the_analyst_who_changes_nothing(shop):
    published = open_warehouse(shop.settings)
    assert published.query("select current_user as me")["me"].tolist() == ["shop_analyst"]
    for change in ("delete from warehouse.fact_orders", "create table clean.mine (a int)", "drop table clean.orders"):
        with pytest.raises(WarehouseError, match=r"The query failed: (cannot execute|permission denied|must be owner)"):
            published.query(change)
    assert published.query("select count(*) as n from warehouse.fact_orders")["n"].tolist() == [10]


def test_an_analyst_without_the_loaders_address_explores_but_cannot_run(shop, monkeypatch, tmp_path):
    url = make_url(os.environ["WAREHOUSE_URL"]).set(username="shop_analyst", password=ANALYST_PASSWORD)
    analyst = url.render_as_string(hide_password=False)
    monkeypatch.delenv("WAREHOUSE_URL")
    monkeypatch.setenv("WAREHOUSE_ANALYST_URL", analyst)
    stage = Stage("06_insights", shop.settings, "draft-1", is_batch=False, folder=tmp_path)
    assert stage.query("select sum(net_amount) as net from analytics.monthly_sales")["net"].tolist() == [50.0]
    monkeypatch.setenv("WAREHOUSE_URL", analyst)
    with pytest.raises(WarehouseError, match="'shop_analyst' may only read"):
        stage.writable()


def test_several_analysts_and_drafts_work_while_a_run_publishes(shop):
    add_days(shop)
    faults: list[str] = []
    stop = threading.Event()

    published = open_warehouse(shop.settings)
    orders, months = "select count(*) from clean.orders", "select sum(orders) from analytics.monthly_sales"

    def explore() -> None:
        while not stop.is_set():
            try:
                found = published.query(f"select ({orders}) as orders, ({months}) as months")
                if found["orders"][0] != found["months"][0]:
                    faults.append(str(found))
            except WarehouseError as error:
                faults.append(str(error))
            stop.wait(0.02)

    analysts = [threading.Thread(target=explore) for _ in range(3)]
    for analyst in analysts:
        analyst.start()
    draft = open_warehouse(shop.settings, "draft")
    draft.begin()
    shop.build(publish=True)
    stop.set()
    for analyst in analysts:
        analyst.join()
    assert faults == []
    assert draft.query("select count(*) as n from stage.orders")["n"].tolist() == [20], (
        "a draft reads what is published"
    )


def test_frames_have_the_types_that_duckdb_gives(shop):
    sql = """
        select cast(1 as bigint) as i, cast(null as bigint) as n, cast(1.5 as decimal(18, 4)) as d,
            cast('2025-01-02' as date) as t, true as b, 'x' as s, cast(null as varchar) as e, cast(1 as integer) as k
        union all
        select 2, 3, 2.5, cast('2025-01-03' as date), false, 'y', null, 2
        order by 1
    """
    ours = open_warehouse(shop.settings.on("duckdb"), "draft")
    ours.begin()
    pd.testing.assert_frame_equal(open_warehouse(shop.settings).query(sql), ours.query(sql))
    nothing = "select 1 as a, 'x' as b where false"
    assert list(open_warehouse(shop.settings).query(nothing).columns) == ["a", "b"]


def test_repeated_rows_and_nulls_are_published_as_they_are(admin):
    ask(admin, "create schema run_1_clean; create table clean.odd (a int, b numeric, c varchar)")
    ask(admin, "insert into clean.odd values (1, 1.0, 'x'), (1, 1.0, 'x'), (2, null, null), (3, 'NaN', 'gone')")
    ask(admin, "create table run_1_clean.odd (c varchar, b numeric, a int)")
    ask(admin, "insert into run_1_clean.odd values ('x', 1.00, 1), (null, null, 2), (null, null, 2), ('', 'NaN', 3)")
    with Server("WAREHOUSE_URL").session() as cursor:
        difference.synchronize(cursor, "run_1_clean.odd", "clean.odd")
    found = ask(admin, "select a, b::text, c from clean.odd order by 1, 2, 3")
    assert found == [(1, "1.00", "x"), (2, None, None), (2, None, None), (3, "NaN", "")]


def test_a_table_whose_key_repeats_is_not_published_and_the_message_names_table_and_key(admin):
    twice = "select * from clean.orders union all select * from clean.orders where order_id = 'o3'"
    ask(admin, f"create schema run_1_clean; create table run_1_clean.orders as {twice}")
    named = r"The key of clean.orders does not hold: Key \(order_id\)=\(o3\) .* nothing that is published has changed"
    for _ in ("held against the published table", "moved to where there is none"):
        with pytest.raises(WarehouseError, match=named), Server("WAREHOUSE_URL").session() as cursor:
            difference.synchronize(cursor, "run_1_clean.orders", "clean.orders")
        ask(admin, "drop table if exists clean.orders cascade")


def test_a_table_that_somebody_else_keeps_in_a_published_schema_stays_and_disturbs_no_run(shop, admin):
    ask(admin, """create table analytics."My; drop table ""clean"".orders" (a int)""")
    add_days(shop)
    shop.build(publish=True)
    assert ask(admin, "select count(*) from clean.orders") == [(20,)]
    assert ask(admin, """select count(*) from analytics."My; drop table ""clean"".orders\" """) == [(0,)]


NAMES = {"run_clean.orders", "run_quality.scores"}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select * from clean.orders", "select * from run_clean.orders"),
        ("select * from Clean . Orders o", "select * from run_clean.orders o"),
        ("select clean.n from clean.orders as clean", "select clean.n from run_clean.orders as clean"),
        ("select 'clean.orders', \"clean.orders\" -- clean.orders\n/* clean.orders */", None),
        ("select * from clean.items", None),
        ('select * from "clean"."orders"', "select * from run_clean.orders"),
        ("select $$clean.orders$$, e'it\\'s clean.orders'", None),
        ("select * from clean.orders where a = 'no end", None),
        (
            "select quality.score, quality.scores from x quality",
            "select quality.score, run_quality.scores from x quality",
        ),
    ],
)
def test_a_query_on_a_private_copy_names_its_tables_and_leaves_all_else(sql, expected):
    assert as_psycopg2(sql, "run_", NAMES, has_parameters=False) == (expected or sql)


def test_parameters_are_bound_and_percent_signs_are_text():
    sql = "select '?%', \"a?\" from clean.orders where a = ? and b like '50%' -- why?"
    assert as_psycopg2(sql, "", set(), has_parameters=True) == (
        "select '?%%', \"a?\" from clean.orders where a = %s and b like '50%%' -- why?"
    )
    assert as_psycopg2(sql, "", set(), has_parameters=False) == sql


@pytest.mark.soak
def test_a_whole_run_refused_by_the_gate_leaves_what_is_published(shop, admin, tmp_path):
    shop.write("orders/2.csv", days(11, 20))
    shop.write("order_items/2.csv", items(11, 40, product="nobody", price=-1))
    strict = replace(shop, config={**ON_POSTGRES, "quality": {"min_score": 99.9}}).settings
    whole = Shop(tmp_path, extra={"SHOP_DATA_DIR": str(strict.data_dir), "SHOP_OUTPUT_DIR": str(strict.output_dir)})
    run = ("--sources", str(strict.sources_file), "--data-dir", str(strict.data_dir), "--target", "postgres")
    refused = whole.run(*run, "--from", "02_ingest", "--to", "05_quality")
    assert refused.returncode == 3 and "the quality gate refused" in refused.stdout, refused.stdout + refused.stderr
    assert ask(admin, "select count(*), (select count(*) from ops.runs) from warehouse.fact_orders") == [(10, 0)]
    assert open_warehouse(strict, "checkpoint").is_current()
    count = "select count(*) as orders from warehouse.fact_orders"
    assert whole.run("query", count, *run).stdout == "orders\n10\n"
