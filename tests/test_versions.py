"""Versions of customers and products (SCD2): what starts one, what does not, and which one a fact points to."""

from datetime import datetime
from pathlib import Path

import pytest

from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, assert_same_tables, contents, csv, one, rows

# One worker builds the shops once for all tests here.
CUSTOMERS = "customer_id,country,city,updated_at"
PRODUCTS = "product_id,name,category,unit_price,unit_cost,updated_at"
FIRST, LAST = datetime(1900, 1, 1), datetime(9999, 12, 31)
MAY, JUNE, JULY = (datetime(2024, month, 1) for month in (5, 6, 7))

LINES = "order_id,ordered_at,customer_id,customer_country,product_id,product_name,quantity,unit_price"

#: What comes day by day, each a file of an entity; `partner` is another system.
DELIVERIES: list[dict[str, str]] = [
    {
        "customers/1.csv": csv(
            CUSTOMERS,
            "anna,DE,Bonn,2024-05-01", "bert,DE,Ulm,2024-05-01", "carl,DE,Hof,2024-07-01", "unknown,DE,Ulm,",
            "emil,DE,Bonn,2024-05-01", "fred,DE,Ulm,2024-05-01",
        ),
        "products/1.csv": csv(PRODUCTS, "p,Pen,Paper,10,6,2024-05-01", "q,Quill,Paper,5,1,"),
        "orders/1.csv": csv(
            "order_id,ordered_at,customer_id",
            "before,2024-04-01,anna", "between,2024-06-15,anna", "start,2024-07-01,anna", "after,2024-08-01,anna",
            "nobody,2024-06-15,zoe",
        ),
        "order_items/1.csv": csv(
            "order_id,line_number,product_id,quantity,unit_price",
            *(f"{order},1,p,1,10" for order in ("before", "between", "start", "after")),
            "nobody,1,none,1,10",
        ),
        "order_lines/1.csv": csv(LINES, "l1,2024-05-05,lena,DE,lamp,Lamp,1,2", "l2,2024-06-05,lena,AT,lamp,Lamp,1,2"),
    },
    # anna moves; bert's record is written again as it was; carl's older state comes after his newer one.
    {
        "customers/2.csv": csv(
            CUSTOMERS, "anna,DE,Köln,2024-07-01", "bert,DE,Ulm,2024-06-01", "carl,DE,Jena,2024-06-01"
        ),
        "products/2.csv": csv(PRODUCTS, "p,Pen,Desk,12,7,2024-07-01", "q,Quill,Paper,5,2,"),
        "partner/1.csv": csv(CUSTOMERS, "emil,DE,Bonn,2024-06-01", "fred,DE,Hamm,2024-07-01"),
    },
    # anna was elsewhere in between, bert moved away and came back; the quill's file has an early name.
    {
        "customers/3.csv": csv(
            CUSTOMERS,
            "anna,DE,Trier,2024-06-01", "bert,DE,Hamm,2024-06-15", "bert,DE,Ulm,2024-07-01", "dora,AT,Linz,",
        ),
        "products/0.csv": csv(PRODUCTS, "q,Quill,Paper,5,9,"),
    },
]  # fmt: skip


def new_shop(folder: Path) -> SmallShop:
    entities = {e: {} for e in ("customers", "products", "orders", "order_items", "order_lines")}
    shop = SmallShop(folder, entities, shop={"time_zone": "UTC"})
    exports = {"kind": "files", "path": str(shop.exports), "entities": {e: {"files": f"{e}/*"} for e in shop.entities}}
    partner = exports | {"entities": {"customers": {"files": "partner/*"}}}
    # An order whose customer is not known counts.
    keep = {"unknown_customers": "keep"}
    shop.config = {"models": keep, "sources": {"exports": exports, "partner": partner}}
    shop.write("partner/0.csv", csv(CUSTOMERS, "gina,CH,Bern,2024-05-01"))
    return shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[SmallShop, Warehouse]:
    """The shop after its deliveries, taken one by one."""
    shop = new_shop(tmp_path_factory.mktemp("shop"))
    for files in DELIVERIES:
        for name, text in files.items():
            shop.write(name, text)
        warehouse = shop.build(publish=True)
    return shop, warehouse


def versions(warehouse: Warehouse, customer_id: str) -> list[tuple]:
    """Return city, valid_from, valid_to and is_current of a customer's versions."""
    return rows(
        warehouse,
        "select city, valid_from, valid_to, is_current from warehouse.dim_customers where customer_id = ?"
        " order by valid_from",
        [customer_id],
    )


def test_a_change_begins_a_version_where_the_one_before_ends(shop):
    assert versions(shop[1], "anna") == [
        ("Bonn", FIRST, JUNE, False),
        ("Trier", JUNE, JULY, False),
        ("Köln", JULY, LAST, True),
    ]


def test_a_record_written_again_as_it_was_is_no_version_and_one_that_comes_back_is(shop):
    assert versions(shop[1], "bert") == [
        ("Ulm", FIRST, datetime(2024, 6, 15), False),
        ("Hamm", datetime(2024, 6, 15), JULY, False),
        ("Ulm", JULY, LAST, True),
    ]


def test_an_older_state_that_comes_late_goes_before_the_newer_one(shop):
    assert versions(shop[1], "carl") == [("Jena", FIRST, JULY, False), ("Hof", JULY, LAST, True)]


def test_a_record_without_a_time_has_been_so_from_the_first(shop):
    assert versions(shop[1], "dora") == [("Linz", FIRST, LAST, True)]


def test_the_unknown_member_is_there_once_whatever_is_delivered_under_its_name(shop):
    assert rows(
        shop[1], "select customer_key, country, is_current, is_unknown from warehouse.dim_customers"
        " where customer_id = 'unknown'"
    ) == [("unknown", None, True, True)]  # fmt: skip


def test_facts_point_to_the_version_of_their_time(shop):
    sql = """select f.order_id, f.customer_id, c.city, p.category, p.unit_cost
    from warehouse.fact_order_items f
    join warehouse.dim_customers c using (customer_key) join warehouse.dim_products p using (product_key)
    where f.order_id not like 'l_' order by f.ordered_at, f.order_id"""
    assert rows(shop[1], sql) == [
        ("before", "anna", "Bonn", "Paper", 6),
        ("between", "anna", "Trier", "Paper", 6),
        ("nobody", "unknown", None, "Unknown", None),
        ("start", "anna", "Köln", "Desk", 7),
        ("after", "anna", "Köln", "Desk", 7),
    ]
    sql = "select o.order_id, c.city from warehouse.fact_orders o join warehouse.dim_customers c using (customer_key)"
    sql += " where o.order_id not like 'l_'"
    assert dict(rows(shop[1], sql)) == {
        "before": "Bonn", "between": "Trier", "start": "Köln", "after": "Köln", "nobody": None,
    }  # fmt: skip


def test_reports_count_a_customer_and_a_product_once_and_name_them_as_they_are_now(shop):
    assert rows(shop[1], "select customer_id, orders from analytics.customer_summary order by 1") == [
        ("anna", 4),
        ("lena", 2),
    ]
    assert rows(
        shop[1], "select product_id, category, orders, net_amount from analytics.product_summary order by 1"
    ) == [("lamp", "Unknown", 2, 4), ("p", "Desk", 4, 40), ("unknown", "Unknown", 1, 10)]
    assert rows(shop[1], "select category, orders from analytics.category_summary order by 1") == [
        ("Desk", 4),
        ("Unknown", 3),
    ]
    assert rows(shop[1], "select new_customers, returning_customers from analytics.customer_growth order by month") == [
        (1, 0), (1, 0), (0, 2), (0, 1), (0, 1),
    ]  # fmt: skip
    assert one(shop[1], "select count(*) from warehouse.fact_orders") == 7


def test_the_same_record_in_two_systems_is_one_version_and_what_one_of_them_changes_is_another(shop):
    assert versions(shop[1], "emil") == [("Bonn", FIRST, LAST, True)]
    assert versions(shop[1], "fred") == [("Ulm", FIRST, JULY, False), ("Hamm", JULY, LAST, True)]


def test_without_times_a_later_file_is_a_later_version_from_when_it_came(shop):
    came = one(shop[1], "select _ingested_at from stage.products where _source_file = 'products/2.csv' and _key = 'q'")
    # What a file of an earlier name states was never valid, for it has an earlier rank and came later.
    assert rows(
        shop[1],
        "select unit_cost, valid_from, valid_to from warehouse.dim_products where product_id = 'q' order by valid_from",
    ) == [(1, FIRST, came), (2, came, LAST)]


def test_what_only_orders_name_has_one_version(shop):
    assert rows(
        shop[1],
        "select country, valid_from, valid_to from warehouse.dim_customers where customer_id = 'lena'"
        " union all select name, valid_from, valid_to from warehouse.dim_products where product_id = 'lamp' order by 1",
    ) == [("AT", FIRST, LAST), ("Lamp", FIRST, LAST)]


def test_versions_are_the_same_however_they_came(shop, tmp_path):
    """All of them at once, and built anew from the lake."""
    customers = "select * from warehouse.dim_customers order by customer_id, valid_from"
    at_once = new_shop(tmp_path)
    for files in reversed(DELIVERIES):
        for name, text in files.items():
            at_once.write(name, text)
    assert rows(at_once.build(), customers) == rows(shop[1], customers)
    step_by_step = contents(shop[1], ("warehouse", "analytics"))
    assert_same_tables(contents(shop[0].build(full_refresh=True), ("warehouse", "analytics")), step_by_step)
