"""Increments: whatever is delivered, in whatever order, models that follow arrival hold what a full refresh gives."""

import itertools
import random
import shutil
from collections.abc import Iterator

import duckdb
import pandas as pd
import pytest

from lib.base.files import PROJECT
from lib.clean import load
from lib.model import dbt, increments
from lib.warehouse import DuckDBWarehouse, Warehouse, open_warehouse
from tests.small_shop import SCHEMAS, SmallShop, assert_same_tables, contents, csv, one, rows

HEADERS = {
    "customers": "customer_id,email,country,updated_at",
    "products": "product_id,name,unit_price,unit_cost,updated_at",
    "orders": "order_id,ordered_at,customer_id,status,store_id,discount_amount,total_amount,updated_at",
    "order_items": "order_id,line_number,product_id,quantity,unit_price,updated_at",
    "payments": "payment_id,order_id,method,amount,status,updated_at",
    "events": "event_id,event_at,event_type,visitor_id,session_id,product_id,order_id",
    "order_lines": "order_id,ordered_at,product_id,product_name,product_unit_cost,quantity,unit_price,customer_id",
}
PARTS = ("staging", "clean", "quality"), ("warehouse", "analytics")


class Deliveries:
    """Random rows of few keys, so that they repeat, contradict and miss each other in every way; and some orders that
    come to their totals but for one line."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def row(self, entity: str) -> str:
        pick, number = self._chance.choice, self._chance.randint
        order, customer, product = f"o{number(1, 9)}", pick(["a", "b", "c", "d", "", "unknown"]), f"p{number(1, 5)}"
        day, changed = f"2024-0{number(1, 3)}-0{number(1, 9)}", pick(["", f"2024-04-0{number(1, 9)}"])
        status = pick(["paid", "paid", "returned", "cancelled"])
        line, quantity, price = pick(["1", "2", "3", ""]), pick(["1", "2", "3", "-1", "many"]), pick(["5", "9.99", "0"])
        cells: dict[str, list[object]] = {
            "customers": [customer, pick(["x@y.de", ""]), pick(["DE", "AT"]), changed],
            "products": [product, pick(["Pen", "Hat"]), 10, pick([1, 2, ""]), changed],
            "orders": [
                order,
                pick([day, day, day, "never"]),
                customer,
                status,
                pick(["s1", ""]),
                pick([0, 1]),
                pick([5, 10, ""]),
                changed,
            ],
            "order_items": [pick([order, order, order, ""]), line, product, quantity, price, changed],
            "payments": [f"y{number(1, 9)}", order, pick(["card", "cash"]), pick([5, 10]), "paid", changed],
            "events": [f"e{number(1, 9)}", day, pick(["view", "cart"]), pick("uvw"), pick("st"), product, order],
            "order_lines": [order, day, product, pick(["Pen", "Bag"]), pick([1, 3]), quantity, price, customer],
        }
        return pick([",".join(str(cell) for cell in cells[entity])] * 30 + ["too,few"])

    def write(self, shop: SmallShop, entities: int) -> None:
        """Write files of some entities: new ones, corrected ones, or some that stood under another name before."""
        for entity in self._chance.sample(sorted(HEADERS), entities):
            lines = [self.row(entity) for _ in range(self._chance.randint(0, 7))]
            lines += self._chance.sample(lines, len(lines) // 4)
            shop.write(f"{entity}/{self._chance.randint(1, 4)}.csv", csv(HEADERS[entity], *lines))
        self._sell(shop)

    def _sell(self, shop: SmallShop) -> None:
        """Write orders that come to their totals but for one line, to files that are replaced each time."""
        pick = self._chance.choice
        orders, lines, payments = [], [], []
        for order in ("t1", "t2", "t3", "t4", "t5", "t6"):
            total, customer = pick([5, 7]), pick(["a", "b", "c", "d", "z"])
            orders.append(f"{order},2024-03-01,{customer},paid,,,{total + 3},")
            lines.append(f"{order},1,p1,{pick(['1,{0}', '-1,{0}', '0,{0}', '1,0', '1,{0}00']).format(total)},")
            lines.append(f"{order},2,p2,1,3,")
            payments.append(f"y{order},{pick([order, 'o1'])},card,{pick([total + 3, total + 3, 1])},paid,")
        for entity, written in (("orders", orders), ("order_items", lines), ("payments", payments)):
            shop.write(f"{entity}/5.csv", csv(HEADERS[entity], *written))


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each build that was done was whole; here nothing is too much to be an increment."""
    monkeypatch.setattr(DuckDBWarehouse, "LARGEST_SHARE", 1000)
    done: list[bool] = []
    note = increments.note

    def noted(warehouse: Warehouse, build: increments.Build) -> None:
        done.append(build.how == "whole")
        note(warehouse, build)

    monkeypatch.setattr(increments, "note", noted)
    yield done


def tables(warehouse: Warehouse) -> dict[str, pd.DataFrame]:
    """Every table that models build, but for what they keep for increments."""
    built = contents(warehouse, [*SCHEMAS, "quality", "ops"])
    left_out = (
        "ops.changed_keys",
        "ops.affected_",
        "ops.models",
        "ops.batches",
        "ops.runs",
        "quality.checks",
        "quality.scores",
    )
    return {name: frame for name, frame in built.items() if not name.startswith(left_out)}


def changed_keys(warehouse: Warehouse) -> int:
    return int(one(warehouse, "select count(*) from ops.changed_keys"))


def a_shop(root, seed: int) -> SmallShop:
    shop = SmallShop(root, {entity: {} for entity in HEADERS})
    Deliveries(seed).write(shop, len(HEADERS))
    for entity in ("customers", "products"):
        shop.write(f"{entity}/0.csv", csv(HEADERS[entity], *(["z,,,"] if entity == "customers" else ["z,,,,"])))
    shop.write("payments/0.csv", csv(HEADERS["payments"], "y,o1,card,5,paid,", "too,few"))
    return shop


def whole(shop: SmallShop) -> Warehouse:
    """What is published, on a copy whose models are built anew of the same staged rows."""
    copy = open_warehouse(shop.settings, "draft")
    copy.begin()
    copy.replace("ops.models", pd.DataFrame())
    dbt.build_models(shop.settings, copy, *increments.FOLDERS)
    return copy


def test_increments_hold_what_a_full_refresh_gives_after_any_deliveries(tmp_path, builds):
    shop, deliveries = a_shop(tmp_path, 1), Deliveries(101)
    shop.build(publish=True)
    rules = set()
    for entities in (4, 7):
        deliveries.write(shop, entities)
        builds.clear()
        increment = shop.build(publish=True)
        assert builds == [False]
        assert changed_keys(increment) == 0
        found = tables(increment)
        assert_same_tables(found, tables(whole(shop) if entities < 7 else shop.build(full_refresh=True)))
        rules |= {rule for name in found if name.startswith("ops.") for rule in found[name].get("rule", ())}
    assert {"unknown_order", "malformed_line", "exact_duplicate", "older_version"} <= rules
    assert {"unknown_customer", "order_in_quarantine", "wrong_sign", "zeroed", "wrong_unit"} <= rules
    assert min(len(found[f"warehouse.{name}"]) for name in ("fact_order_items", "fact_orders", "fact_payments")) > 0
    assert min(len(found[f"clean.{name}"]) for name in ("events", "order_items", "customers", "products")) > 0


def test_an_order_waits_for_its_customer_with_its_lines_and_payments_and_waits_again_without(tmp_path, builds):
    shop = SmallShop(tmp_path, {entity: {} for entity in ("customers", "orders", "order_items", "payments")})
    shop.write("customers/1.csv", csv(HEADERS["customers"], "a,,DE,"))
    shop.write("orders/1.csv", csv(HEADERS["orders"], *(f"o{c},2024-01-01,{c},paid,,,," for c in "az")))
    shop.write("order_items/1.csv", csv(HEADERS["order_items"], "oa,1,p,1,5,", "oz,1,p,1,5,"))
    shop.write("payments/1.csv", csv(HEADERS["payments"], "ya,oa,card,5,paid,", "yz,oz,card,5,paid,"))
    warehouse = shop.load()
    waiting, clean_keys = {}, {}
    # Nobody knows z; z comes a day later; z's file is corrected and holds another one.
    for day, customer in enumerate(("", "z", "y")):
        if customer:
            shop.write("customers/2.csv", csv(HEADERS["customers"], f"{customer},,AT,"))
            shop.ingest().raise_failures()
            load.load_stage(shop.settings, warehouse, "more")
        dbt.build_models(shop.settings, warehouse, *PARTS[0])
        sql = " union all ".join(
            f"select {{1}} from {{0}}.{entity}" for entity in ("orders", "order_items", "payments")
        )
        waiting[day] = rows(warehouse, sql.format("quarantine", "order_id, _rule"))
        clean_keys[day] = sorted(rows(warehouse, sql.format("clean", "order_id")))
    assert builds == [True, False, False]
    assert waiting[0] == [("oz", "unknown_customer"), ("oz", "order_in_quarantine"), ("oz", "order_in_quarantine")]
    assert waiting[1] == []
    assert waiting[2] == waiting[0]
    assert clean_keys == {0: [("oa",)] * 3, 1: [("oa",)] * 3 + [("oz",)] * 3, 2: [("oa",)] * 3}


def test_models_are_not_built_on_others_that_were_made_with_other_settings(tmp_path):
    shop = a_shop(tmp_path, 7)
    warehouse = shop.load()
    dbt.build_models(shop.settings, warehouse, *PARTS[0])
    shop.config = {"models": {"unknown_customers": "keep"}}
    dbt.build_models(shop.settings, warehouse, *PARTS[1])
    warehouse.publish()
    assert_same_tables(tables(open_warehouse(shop.settings)), tables(whole(shop)))


def test_a_build_that_was_cut_off_or_repeated_comes_out_right(tmp_path, builds):
    shop, deliveries = a_shop(tmp_path, 7), Deliveries(107)
    shop.build(publish=True)
    deliveries.write(shop, 4)
    warehouse = shop.load()
    dbt.build_models(shop.settings, warehouse, "staging")  # and cut off
    dbt.build_models(shop.settings, warehouse, *PARTS[0])
    with warehouse.connect(read_only=False) as connection:  # cut off between removing and adding
        connection.execute("delete from warehouse.fact_orders where order_id in (from ops.affected_facts)")
    # By hand: more is loaded, and the facts are built before the clean layer has seen it.
    deliveries.write(shop, 4)
    shop.ingest().raise_failures()
    load.load_stage(shop.settings, warehouse, "more")
    dbt.build_models(shop.settings, warehouse, *PARTS[1])
    assert changed_keys(warehouse) > 0
    for part in PARTS:
        dbt.build_models(shop.settings, warehouse, *part)
    assert changed_keys(warehouse) == 0
    assert builds == [True] + [False] * 5
    warehouse.publish()
    assert_same_tables(tables(open_warehouse(shop.settings)), tables(whole(shop)))


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> SmallShop:
    """A shop whose models were built and published; nothing is new."""
    shop = SmallShop(tmp_path_factory.mktemp("shop"), {"orders": {}, "payments": {}})
    shop.write("orders/1.csv", csv(HEADERS["orders"], "o1,2024-01-01,a,paid,,0,,", "o2,2024-01-01,b,paid,,0,,"))
    shop.write("payments/1.csv", csv(HEADERS["payments"], "y1,o1,card,5,paid,", "y2,o1,card,5,paid,"))
    shop.build(publish=True)
    return shop


def built(warehouse: Warehouse, part: tuple[str, ...], variables: str) -> str:
    """Go through a build of some folders without dbt, and return how it was done."""
    build = increments.plan(warehouse, part, variables)
    if build.how != "nothing":
        increments.note(warehouse, build)
    return build.how


def test_changed_sql_or_variables_build_everything_whole_once(published):
    first, second = PARTS
    same, warehouse = dbt.variables(published.settings), published.load()
    assert [built(warehouse, part, same) for part in PARTS] == ["nothing", "nothing"]
    # Where the facts alone are asked for, what they are made of is built with the other SQL too, and again as it was.
    assert built(warehouse, second, "other") == "whole"
    assert [built(warehouse, part, same) for part in PARTS] == ["whole", "whole"]
    # A build that is cut off leaves no note behind.
    increments.plan(warehouse, first, "other")
    assert [built(warehouse, part, same) for part in PARTS] == ["whole", "whole"]
    assert [built(warehouse, part, same) for part in PARTS] == ["nothing", "nothing"]


def test_nothing_is_built_until_a_batch_rejected_files_or_reported_totals_change(published):
    same, warehouse = dbt.variables(published.settings), published.load()
    for change in (
        "update ops.source_totals set value = value + 1 where entity = 'orders'",
        "insert into ops.rejected_files (source, entity, name) values ('exports', 'orders', 'orders/9.csv')",
        "update ops.batches set loaded_at = loaded_at + interval 1 second where entity = 'payments'",
        "delete from ops.batches where entity = 'payments'",
    ):
        assert built(warehouse, increments.FOLDERS, same) == "nothing"
        with warehouse.connect(read_only=False) as connection:
            connection.execute(change)
        # Facts that are made before the clean layer has seen the change are made again after it.
        assert [built(warehouse, part, same) for part in PARTS[::-1]] == ["increment", "increment"], change
        assert [built(warehouse, part, same) for part in PARTS] == ["nothing", "increment"], change


def test_a_build_with_nothing_to_do_runs_no_model_and_names_its_tables(published, monkeypatch):
    warehouse = published.load()
    monkeypatch.setattr(dbt, "_run", lambda *_: pytest.fail("dbt was run"))
    tables = dbt.build_models(published.settings, warehouse, *PARTS[1])
    assert {"warehouse.fact_orders", "analytics.daily_sales"} <= set(tables) and len(tables) == 21


def test_the_fingerprint_changes_with_models_macros_and_columns(tmp_path, monkeypatch):
    shutil.copytree(PROJECT / "sql", tmp_path / "sql")
    monkeypatch.setattr(increments, "PROJECT", tmp_path)
    seen = [increments.project()]
    for name in ("models/clean/orders.sql", "macros/amounts.sql", "models/sources.yml", "dbt_project.yml"):
        path = tmp_path / "sql" / name
        path.write_text(path.read_text() + "\n")
        seen.append(increments.project())
    monkeypatch.setattr(increments, "ENTITIES", {})
    seen.append(increments.project())
    assert all(one != other for one, other in itertools.pairwise(seen))


def test_where_much_is_new_and_where_a_first_customer_comes_models_are_built_whole(published):
    variables = dbt.variables(published.settings)
    published.write("orders/2.csv", csv(HEADERS["orders"], "o3,2024-01-01,a,paid,,0,,", "o4,2024-01-01,b,paid,,0,,"))
    warehouse = published.load()
    assert built(warehouse, PARTS[0], variables) == "whole"
    assert changed_keys(warehouse) == 0
    warehouse.begin()
    with warehouse.connect(read_only=False) as connection:
        connection.execute("insert into stage.customers (customer_id) values ('a')")
    assert built(warehouse, PARTS[0], variables) == "whole"


def test_a_published_file_with_other_columns_is_filled_again_from_the_lake(published):
    expected = contents(published.load(full_refresh=True), ["stage"])
    with duckdb.connect(str(open_warehouse(published.settings).path)) as connection:
        connection.execute("alter table stage.orders drop column store_id")
        connection.execute("alter table stage.payments alter column amount type double")
        connection.execute("alter table ops.batches drop column read_rows")
    warehouse = published.load()
    assert_same_tables(contents(warehouse, ["stage"]), expected)
    assert one(warehouse, "select sum(read_rows) from ops.batches where entity in ('orders', 'payments')") >= 4
