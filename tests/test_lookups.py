"""Values looked up in another file or table of the source: found or not, they are the same whatever came first."""

import sqlite3
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.base.errors import ConfigError, SourceError
from lib.inspect.examples import FOLDER
from tests import test_rest
from tests.conftest import PROJECT
from tests.small_shop import SmallShop, assert_same_tables, contents, csv, one, rows

LINES = {"order_id": "no", "ordered_at": "at", "product_id": "sku", "quantity": "qty"}
PRICE = {"files": "prices.csv", "key": "article", "by": "sku", "value": "net"}
HEADER = "no,at,sku,qty"

script = test_rest.script


def lines_shop(root: Path, **columns: Any) -> SmallShop:
    """A shop whose lines have their price in another file."""
    return SmallShop(root, {"order_lines": {"columns": {**LINES, "unit_price": {"lookup": PRICE}} | columns}})


def priced(shop: SmallShop) -> list[tuple[Any, ...]]:
    return rows(shop.load(), "select order_id, unit_price from stage.order_lines order by order_id, product_id")


def test_a_value_is_found_by_its_key_once_for_each_row(tmp_path):
    shop = lines_shop(tmp_path)
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,a,1", "1,2024-01-05,b,2", "2,2024-01-05, a ,1"))
    shop.write("prices.csv", csv("article,net", "a,5", "b,6.5", "c,9"))
    assert priced(shop) == [("1", 5), ("1", Decimal("6.5")), ("2", 5)]
    assert rows(shop.load(), "select entity, batch_id from ops.batches") == [
        ("order_lines", shop.lake.batches()[0].batch_id)
    ]
    assert shop.ingest().rows == 0


def test_of_several_values_of_a_key_the_last_counts_and_is_said(tmp_path):
    shop = lines_shop(tmp_path)
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,a,1"))
    shop.write("prices.csv", csv("article,net", "a,5", "a,7", "b,1", "b,1"))
    remarks = shop.ingest().remarks
    assert [r for r in remarks["remark"] if "several values" in r] == [
        "unit_price: lookup_prices_csv has several values of 'net' for 1 keys (article); the last one counts"
    ]
    assert priced(shop) == [("1", 7)]


def test_what_is_not_found_is_no_value(tmp_path):
    """A column that is needed refuses the row; a default or another column stands in."""
    name = {"lookup": {**PRICE, "value": "name"}, "default_column": "sku"}
    shop = lines_shop(
        tmp_path, ordered_at={"lookup": {**PRICE, "files": "days.csv", "key": "order", "by": "no"}}, product_name=name,
        product_category={"lookup": {**PRICE, "value": "name"}, "values": {"Mug": "Cups"}, "default": "other"},
        unit_price={"constant": 1},
    )  # fmt: skip
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,a,1", "1,2024-01-05,x,1", "3,2024-01-05,a,1"))
    shop.write("days.csv", csv("order,net", "1,2024-01-05", "2,2024-01-06"))
    shop.write("prices.csv", csv("article,net,name", "a,5,Mug"))
    found = "cast(ordered_at as date), product_name, product_category, _reject_rule"
    assert rows(shop.load(), f"select {found} from stage.order_lines order by _source_row") == [
        (date(2024, 1, 4), "Mug", "Cups", None),
        (date(2024, 1, 4), "x", "other", None),
        (None, "Mug", "Cups", "missing_ordered_at"),
    ]


def test_a_key_of_several_columns_and_of_an_expression(tmp_path):
    lookup = {
        "files": "prices.csv", "key": ["article", "year"], "value": "net",
        "by": ["sku", {"sql": 'substr("at", 1, 4)'}], "delimiter": ";",
    }  # fmt: skip
    shop = lines_shop(tmp_path, unit_price={"lookup": lookup, "factor": 0.01})
    shop.write("order_lines/a.csv", csv(HEADER, "1,2023-01-05,a,1", "2,2024-01-05,a,1", "3,2025-01-05,a,1"))
    shop.write("prices.csv", csv("article;year;net", "a;2023;500", "a;2024.0;650"))
    assert priced(shop) == [("1", 5), ("2", Decimal("6.5")), ("3", None)]


def test_what_an_order_states_on_its_first_row_is_looked_up_for_all(tmp_path):
    lookup = {"files": "people.csv", "key": "mail", "by": "mail", "value": "person"}
    columns = {"unit_price": {"constant": 1}, "customer_id": {"lookup": lookup}}
    shop = lines_shop(tmp_path, **columns)
    shop.write("order_lines/a.csv", csv(f"{HEADER},mail", "1,2024-01-05,a,1,x@y.z", "1,,b,1,", "2,2024-01-05,a,1,"))
    shop.write("people.csv", csv("mail,person", "x@y.z,P1", ",P2"))
    found = rows(shop.load(), "select order_id, customer_id from stage.order_lines order by _source_row")
    assert found == [("1", "P1"), ("1", "P1"), ("2", None)]


def test_a_key_that_cannot_be_computed_refuses_its_row(tmp_path):
    shop = lines_shop(tmp_path, unit_price={"lookup": {**PRICE, "by": {"sql": "cast(sku as date)"}}})
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,2024-01-01,1", "2,2024-01-05,b,1"))
    shop.write("prices.csv", csv("article,net", "2024-01-01,5"))
    found = "select unit_price, _reject_rule, _reject_reason from stage.order_lines order by order_id"
    (first, second) = rows(shop.load(), found)
    assert first == (5, None, None)
    assert second[:2] == (None, "not_computed") and "sku b" in second[2]


def test_a_table_that_changes_changes_the_values_as_in_a_full_refresh(tmp_path):
    """Also those of rows that were read before, and as if everything had come in one go."""
    shop = lines_shop(tmp_path / "a")
    first = csv(HEADER, "1,2024-01-05,a,1", "1,2024-01-05,b,2", "2,2024-01-06,c,1")
    second = csv(HEADER, "3,2024-01-07,a,4")
    prices = csv("article,net", "a,6", "b,6.5", "c,9")
    shop.write("order_lines/a.csv", first)
    shop.write("prices.csv", csv("article,net", "a,5", "b,6.5"))
    warehouse = shop.build(publish=True)
    assert one(warehouse, "select sum(gross_amount) from warehouse.fact_orders where order_id = '1'") == 18
    shop.write("order_lines/b.csv", second)
    shop.write("prices.csv", prices)
    step = contents(shop.build(publish=True))
    made = list((tmp_path / "a" / "data").rglob("standardized/exports/order_lines/*/*.parquet"))
    assert len(made) == 2
    whole = contents(shop.build(full_refresh=True))
    other = lines_shop(tmp_path / "b")
    for name, text in (("order_lines/a.csv", first), ("order_lines/b.csv", second), ("prices.csv", prices)):
        other.write(name, text)
    at_once = contents(other.build())
    amounts = step["warehouse.fact_orders"].set_index("order_id")["gross_amount"].astype(float)
    assert amounts.to_dict() == {"1": 19, "2": 9, "3": 24}
    assert_same_tables(step, whole)
    assert_same_tables(step, at_once)


def test_a_table_of_a_database_is_read_as_it_is_now(tmp_path):
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "create table lines (id integer primary key, no text, at text, article integer, qty integer)"
        )
        connection.execute("create table articles (id integer primary key, net numeric(12, 2), name text)")
        connection.execute("insert into lines values (1, '1', '2024-01-05', 7, 1), (2, '2', '2024-01-05', 8, 1)")
        connection.execute("insert into articles values (7, 5.5, 'Mug'), (8, 6, 'Pot')")

    def lookup(**place: str) -> dict[str, Any]:
        return {"lookup": {**place, "key": "id", "by": "article", "value": "net"}}

    columns = {"order_id": "no", "ordered_at": "at", "product_id": "article", "quantity": "qty"}
    columns |= {
        "unit_price": lookup(table="articles"),
        "product_name": lookup(query="select id, name as net from articles"),
    }
    entity = {"table": "lines", "updated_at": "", "columns": columns}
    source = {"kind": "database", "path": str(file), "entities": {"order_lines": entity}}
    shop = SmallShop(tmp_path, config={"sources": {"shop": source}})
    wanted = "select product_id, unit_price, product_name from stage.order_lines order by 1"
    assert rows(shop.load(), wanted) == [("7", Decimal("5.5"), "Mug"), ("8", 6, "Pot")]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("update articles set net = 5 where id = 7")
        connection.execute("delete from articles where id = 8")
    assert rows(shop.load(), wanted) == [("7", 5, "Mug"), ("8", None, None)]


def test_a_list_of_an_api_is_searched_too(tmp_path, script):
    prices = {"a": "5.50", "b": "6.00"}

    def answer(path: str, asked: dict[str, str]) -> Any:
        if path == "/v1/articles":
            return {"items": [{"sku": sku, "price": {"net": net}} for sku, net in prices.items()]}
        return {"items": [{"n": i, "no": str(i), "at": "2024-01-05", "sku": s, "qty": 1} for i, s in enumerate("ab")]}

    script.answer = answer
    lookup = {"path": "v1/articles", "key": "sku", "by": "sku", "value": "price.net"}
    columns = {**LINES, "line_number": "n", "unit_price": {"lookup": lookup}}
    entity = {"path": "v1/lines", "records": "items", "paging": "none", "key": "n", "columns": columns}
    source = {"kind": "rest", "url": script.url, "entities": {"order_lines": entity}}
    shop = SmallShop(tmp_path, config={"sources": {"shop": source}})
    assert [price for _, price in priced(shop)] == [Decimal("5.5"), 6]
    prices["b"] = "7.00"
    assert [price for _, price in priced(shop)] == [Decimal("5.5"), 7]


def test_json_is_searched_for_a_number_in_lines_of_text(tmp_path):
    shop = lines_shop(tmp_path, unit_price={"lookup": {**PRICE, "files": "prices.jsonl"}})
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,7,1", "1,2024-01-05,8,1"))
    shop.write("prices.jsonl", '{"article": 7, "net": 5.5}\n{"article": 8, "net": 6}\n')
    assert [price for _, price in priced(shop)] == [Decimal("5.5"), 6]


def test_events_have_no_other_tables(tmp_path):
    events = {"event_id": "id", "event_at": "at", "event_type": {"lookup": PRICE}}
    shop = SmallShop(tmp_path, {"events": {"columns": events}}, source={"kind": "events"})
    with pytest.raises(ConfigError, match=r"columns.event_type.lookup: a source of this kind has no other tables"):
        shop.load()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"files": "price.csv"}, SourceError, r"unit_price.lookup: No CSV.*'price.csv'.*Did you mean 'prices.csv'"),
        ({"value": "nett"}, SourceError, r"(?s)unit_price.lookup: .*has no column 'nett'.*Did you mean 'net'"),
        ({"by": "skuu"}, SourceError, r"has no column 'skuu' \(mapped for order_lines\)"),
        ({"by": {"sql": "sum(sku)"}}, ConfigError, r"(?s)unit_price.lookup.by.sql.*the function 'sum'"),
        ({"by": ["no", "sku"]}, ConfigError, r"unit_price.lookup: .*'key' has 1 columns and 'by' 2"),
        ({"file": "prices.csv"}, ConfigError, r"unit_price.lookup: unknown key 'file'. Did you mean 'files'"),
        ({"files": ""}, ConfigError, r"unit_price.lookup: say where the value is: 'files'"),
        ({"value": ""}, ConfigError, r"unit_price.lookup.value"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, error, message):
    shop = lines_shop(tmp_path, unit_price={"lookup": PRICE | change})
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,a,1"))
    shop.write("prices.csv", csv("article,net", "a,5"))
    with pytest.raises(error, match=message):
        shop.load()


def test_a_column_that_was_never_there_is_named_in_what_was_read_before(tmp_path):
    shop = lines_shop(tmp_path)
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,a,1"))
    shop.write("prices.csv", csv("article,net", "a,5"))
    shop.load()
    shop.entities["order_lines"]["columns"]["unit_price"] = {"lookup": {**PRICE, "value": "nett"}}
    with pytest.raises(ConfigError, match=r"unit_price.lookup: .* has no column 'nett'; found article, net"):
        shop.load()


def test_a_file_that_values_are_looked_up_in_is_not_overlooked(tmp_path):
    shop = lines_shop(tmp_path)
    shop.write("order_lines/a.csv", csv(HEADER, "1,2024-01-05,a,1"))
    shop.write("prices.csv", csv("article,net", "a,5"))
    assert not [r for r in shop.ingest().remarks["remark"] if "prices.csv" in r]


def test_olists_customers_can_be_the_persons(tmp_path):
    (source,) = yaml.safe_load((FOLDER / "olist.yml").read_text(encoding="utf-8"))["sources"].values()
    case = PROJECT.parent / "shared" / "data" / "exports" / "olist" / "files"
    if not case.is_dir():
        pytest.skip("the case is not here")
    source["path"] = str(case)
    del source["entities"]["products"]
    person = {
        "files": "*customers_dataset.csv",
        "key": "customer_id",
        "by": "customer_id",
        "value": "customer_unique_id",
    }
    source["entities"]["orders"]["columns"]["customer_id"] = {"lookup": person}
    source["entities"]["customers"]["columns"]["customer_id"] = "customer_unique_id"
    shop = SmallShop(tmp_path, config={"sources": {"olist": source}})
    wanted = "select count(*), count(distinct customer_id) from warehouse.fact_orders"
    warehouse = shop.build()
    assert rows(warehouse, wanted) == [(3, 2)]
    assert rows(warehouse, "select count(*) from quarantine.orders") == [(0,)]
