"""Flows of pipeline.yml: what they run, how they are checked, and what those that come with the project do."""

import json

import pytest
import yaml

from lib.base.errors import ConfigError, TransformError, WarehouseError
from lib.model import dbt
from lib.model.aggregates import against_facts
from lib.quality import schema
from lib.quality.audit import audit
from lib.run import flows
from lib.run.parameters import NOTEBOOKS
from lib.settings import CONFIG_FILE, load_settings
from lib.warehouse import open_warehouse
from tests.small_shop import SmallShop

ALL = tuple(NOTEBOOKS)
ORDERS = """order_id,customer_id,ordered_at,status,channel,currency,total_amount
1,7,2026-01-05 10:00:00,completed,web,EUR,20.00
2,8,2026-02-05 10:00:00,completed,store,EUR,5.50
"""
LINES = """order_id,line_number,product_id,quantity,unit_price
1,1,a,2,10.00
2,1,b,1,5.50
"""


def settings_with(tmp_path, text: str):
    """Return settings whose pipeline.yml has the flows of a YAML text."""
    values = yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8")) | {"flows": yaml.safe_load(text)}
    path = tmp_path / "pipeline.yml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_settings(data_dir=tmp_path / "data", config_file=path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A published shop of two orders."""
    shop = SmallShop(tmp_path_factory.mktemp("flows"), entities={"orders": {}, "order_items": {}})
    shop.write("orders/1.csv", ORDERS)
    shop.write("order_items/1.csv", LINES)
    return shop, shop.build(publish=False)


def test_the_flows_that_come_with_the_project():
    found = flows.all_flows(load_settings())
    assert {name: (flow.notebooks, flow.full_refresh) for name, flow in found.items()} == {
        "ecommerce_end_to_end": (ALL, False),
        "daily_quality_check": (("05_quality",), False),
        "refresh_aggregations": (("04_model", "05_quality"), False),
        "weekly_full_pipeline": (ALL, True),
    }
    assert found["refresh_aggregations"].parameters["04_model"] == {"aggregates_only": True}
    configured = load_settings().config.flows
    assert {n for n in found if not configured[n].skip_unchanged} == {"daily_quality_check", "refresh_aggregations"}
    assert found["daily_quality_check"].from_published and not found["ecommerce_end_to_end"].from_published


def test_a_flow_of_ones_own_names_notebooks_as_the_command_line_does_and_p_counts_more(tmp_path):
    settings = settings_with(
        tmp_path, "mine: {stages: [clean, '04', 05_quality, 6], parameters: {06_insights: {top_n: 3}}}"
    )
    flow = flows.find_flow(settings, "mine")
    assert flow.notebooks == ALL[2:]
    given = {name: {} for name in ALL}
    assert flow.with_parameters(given)["06_insights"] == {"top_n": 3}
    assert flow.with_parameters(given | {"06_insights": {"top_n": 9}})["06_insights"] == {"top_n": 9}
    assert flow.select(first="05") == ALL[4:] and flow.select(only="clean") == ("03_clean",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine: {stages: [07_forecast]}", r"flows.mine.stages\[0\]: No notebook '07_forecast'"),
        ("mine: {stages: [05_quality, 04_model]}", "flows.mine.stages: 04_model stands behind 05_quality. Name each"),
        ("mine: {stages: [04, 4]}", "flows.mine.stages: 04_model stands behind 04_model"),
        ("mine: {stages: [05_quality], full_refresh: true}", "flows.mine.full_refresh rebuilds from 03_clean on"),
        ("mine: {parameters: {06_insights: {topn: 3}}}", "flows.mine.parameters: 06_insights.topn: .*mean 'top_n'"),
        ("mine: {parameters: {06_insights: {top_n: many}}}", "06_insights.top_n is a whole number from 1 to 50"),
        ("mine: {stages: [5], parameters: {06_insights: {top_n: 3}}}", "06_insights is none of its 'stages'"),
        ("mine: {stage: [5]}", "unknown key 'flows.mine.stage'. Did you mean 'stages'"),
        ("my flow: {}", "a flow's name is 1 to 60 of a-z, 0-9 and _"),
        ("mine: {time_zone: Asia/Kalkutta}", "flows.mine.time_zone: 'Asia/Kalkutta' is no IANA time zone"),
        ("theirs: {}", "No flow 'mine'; there are theirs"),
        ("{}", "No flow 'mine'; there are none: add one"),
    ],
)
def test_a_mistake_in_a_flow_is_said_before_anything_runs(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        flows.find_flow(settings_with(tmp_path, text), "mine")


def test_a_flow_on_what_is_published_refuses_where_nothing_is(shop_at):
    shop = shop_at("nothing")
    done = shop.run("--flow", "refresh_aggregations")
    assert done.returncode == 2 and "works on what is published, and nothing is in" in " ".join(done.stderr.split())
    assert not shop.outputs.exists()
    done = shop.run("--flow", "refresh_agregations")
    assert done.returncode == 2 and "Did you mean 'refresh_aggregations'" in " ".join(done.stderr.split())
    done = shop.run("--flow", "daily_quality_check", "--only", "04")
    assert done.returncode == 2 and "The flow daily_quality_check has no 04_model" in " ".join(done.stderr.split())


def test_aggregates_that_are_not_what_the_facts_are_stop_the_flow(built):
    shop, warehouse = built
    sums = against_facts(warehouse).set_index(["aggregate", "measure"])
    assert sums.loc[("daily_sales", "net_amount"), "found"] == sums.loc[("daily_sales", "net_amount"), "facts"] > 0
    aggregates = set(sums.index.get_level_values(0))
    assert aggregates | {"hourly_sales"} == {p.stem for p in (dbt._SQL / "models" / "analytics").glob("[!u]*.sql")}
    with warehouse.connect(read_only=False) as connection:
        connection.execute("update analytics.channel_sales set net_amount = net_amount + 1 where channel = 'store'")
    with pytest.raises(TransformError, match=r"channel_sales.net_amount sums to .*, the facts to "):
        against_facts(warehouse)
    # Nothing tells dbt that the table is not what the notes say it is: the flow builds it all the same.
    dbt.build_models(shop.settings, warehouse, "analytics")
    with pytest.raises(TransformError):
        against_facts(warehouse)
    dbt.build_models(shop.settings, warehouse, "analytics", whole=True)
    against_facts(warehouse)


def test_a_table_or_column_that_is_gone_is_found_before_the_checks(built):
    shop, warehouse = built
    described = dbt.described_columns(shop.settings, warehouse)
    assert schema.faults(warehouse, described) == []
    with warehouse.connect(read_only=False) as connection:
        connection.execute("create table analytics.kept as from analytics.daily_sales")
        connection.execute("alter table analytics.daily_sales drop column net_amount")
        connection.execute("alter table analytics.monthly_sales add column extra integer")
        connection.execute("drop table quality.scores")
    assert sorted(schema.faults(warehouse, described)) == [
        "analytics.daily_sales lacks net_amount",
        "analytics.monthly_sales has extra, which nothing describes",
        "there is no table quality.scores",
    ]
    with pytest.raises(WarehouseError, match=r"(?s)schema is not .*daily_sales lacks net_amount\..*--full-refresh"):
        audit(shop.settings, warehouse, "run1", by_dimension=True)


def test_checks_side_by_side_find_what_they_find_one_by_one(tmp_path):
    shop = SmallShop(tmp_path, entities={"orders": {}, "order_items": {}})
    shop.write("orders/1.csv", ORDERS + "3,9,2026-02-06 10:00:00,completed,store,EUR,99.00\n")
    shop.write("order_items/1.csv", LINES)
    warehouse = shop.build()
    one_by_one = audit(shop.settings, warehouse, "run1").checks
    side_by_side = audit(shop.settings, warehouse, "run1", by_dimension=True).checks
    assert (one_by_one["state"] == "warned").any()
    assert side_by_side.to_csv() == one_by_one.to_csv()


def test_a_flow_runs_on_what_is_published_and_says_its_name(shop_at):
    shop = shop_at("flow")
    small = SmallShop(shop.root / "small", entities={"orders": {}, "order_items": {}})
    small.write("orders/1.csv", ORDERS)
    small.write("order_items/1.csv", LINES)
    small.build(publish=True)
    small.write("orders/2.csv", ORDERS.replace("\n1,", "\n11,").replace("\n2,", "\n12,"))
    places = ["--sources", str(small.settings.sources_file), "--data-dir", str(small.root / "data")]
    shop.run("--to", "03_clean", *places)  # leaves something that is not published

    def orders() -> int:
        return open_warehouse(small.settings).query("select count(*) as n from clean.orders")["n"][0]

    done = shop.run("--flow", "refresh_aggregations", *places)
    assert (done.returncode, orders()) == (0, 2), done.stdout + done.stderr
    newest = json.loads((shop.outputs / "latest" / "run.json").read_text())
    assert (newest["state"], newest["flow"]) == ("published", "refresh_aggregations")
    assert [s["state"] for s in newest["stages"]] == ["skipped", "skipped", "skipped", "ok", "ok", "skipped"]
    assert newest["stages"][3]["facts"]["Tables"] == 10
    assert "Held against the facts" in (shop.outputs / "latest" / "reports" / "04_model.html").read_text()
    done = shop.run("--flow", "daily_quality_check", *places)
    assert (done.returncode, orders()) == (0, 2) and "Published" in done.stdout


def test_on_postgres_too(tmp_path, new_database, monkeypatch):
    monkeypatch.setenv("WAREHOUSE_URL", new_database())
    config = {"warehouse": {"target": "postgres"}}
    shop = SmallShop(tmp_path, entities={"orders": {}, "order_items": {}}, config=config)
    shop.write("orders/1.csv", ORDERS)
    shop.write("order_items/1.csv", LINES)
    warehouse = shop.build()
    assert len(against_facts(warehouse)) == len(against_facts(warehouse).drop_duplicates(["aggregate", "measure"])) > 20
    assert schema.faults(warehouse, dbt.described_columns(shop.settings, warehouse)) == []
    one_by_one = audit(shop.settings, warehouse, "run1").checks
    assert audit(shop.settings, warehouse, "run1", by_dimension=True).checks.to_csv() == one_by_one.to_csv()
    dbt.build_models(shop.settings, warehouse, "analytics", whole=True)
    against_facts(warehouse)
