"""Set rules: duplicates, versions and orphans come out the same whatever order they arrive in, and none is lost."""

import pytest

from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, assert_same_tables, contents, csv, one, rows

CUSTOMERS = "customer_id,first_name,country,updated_at"
PRODUCTS = "product_id,name,updated_at"
ORDERS = "order_id,ordered_at,customer_id,status,updated_at"
ITEMS = "order_id,line_number,product_id,quantity,unit_price"
PAYMENTS = "payment_id,order_id,method,amount"


def headers_only(shop: SmallShop) -> None:
    for entity, header in (
        ("customers", CUSTOMERS),
        ("products", PRODUCTS),
        ("orders", ORDERS),
        ("order_items", ITEMS),
        ("payments", PAYMENTS),
    ):
        shop.write(f"{entity}/0.csv", header + "\n")


def unaccounted(warehouse: Warehouse) -> int:
    return one(warehouse, "select coalesce(sum(abs(unaccounted_rows)), 0) from quality.row_accounting")


@pytest.fixture(scope="module")
def delivered(tmp_path_factory) -> Warehouse:
    """One delivery with every kind of repetition."""
    shop = SmallShop(tmp_path_factory.mktemp("shop"))
    headers_only(shop)
    shop.write(
        "customers/1.csv",
        csv(
            CUSTOMERS,
            "anna,Anna,DE,2024-01-02",
            "anna,Anna,DE,2024-01-02",
            "anna,Anne,DE,2024-01-01",
            "bert,Bert,DE,",
            "bert,Bertram,DE,",
            "unknown,Nobody,DE,2024-01-01",
        ),
    )
    shop.write("products/1.csv", csv(PRODUCTS, "p,Pen,2024-01-01", "unknown,Thing,2024-01-01"))
    shop.write("products/2.csv", csv(PRODUCTS, "p,Pencil,2023-01-01"))
    shop.write(
        "orders/1.csv",
        csv(
            ORDERS,
            "1,2024-01-05,anna,paid,",
            "2,2024-01-06,zoe,paid,",
            "3,2024-01-07,,paid,",
            "4,never,anna,paid,",
            "5,2024-01-08,unknown,paid,",
        ),
    )
    shop.write(
        "order_items/1.csv",
        csv(ITEMS, "1,1,p,1,10", "1,1,p,1,10", "1,2,p,1,5", "2,1,nosuch,1,20", "3,1,p,1,30", "4,1,p,1,40", "9,1,p,1,50")
        + csv("1,,p,2,1", "1,,p,3,1", "5,1,unknown,1,60"),
    )
    shop.write("payments/1.csv", csv(PAYMENTS, "a,1,card,15", "b,9,card,50", ",2,card,20", ",2,card,20", "c,1,,1"))
    return shop.build()


def test_exact_duplicates_are_merged(delivered):
    assert rows(
        delivered,
        "select entity, exact_duplicates from quality.row_accounting where exact_duplicates > 0 order by entity",
    ) == [("customers", 1), ("order_items", 1), ("payments", 1)]


def test_the_newer_version_wins_within_a_file_and_across_files(delivered):
    assert rows(delivered, "select customer_id, first_name from clean.customers where customer_id = 'anna'") == [
        ("anna", "Anna")
    ]
    assert rows(delivered, "select name from clean.products where product_id = 'p'") == [("Pen",)]
    assert rows(
        delivered, "select entity, older_versions from quality.row_accounting where older_versions > 0 order by entity"
    ) == [("customers", 1), ("products", 1)]


def test_of_two_contents_for_one_key_in_a_file_one_is_kept_and_the_other_quarantined(delivered):
    assert one(delivered, "select first_name from clean.customers where customer_id = 'bert'") == "Bertram"
    assert rows(delivered, "select first_name, _source_row, _rule, _reason from quarantine.customers") == [
        ("Bert", 4, "conflicting_duplicate", "key bert stands again with other content in customers/1.csv row 5")
    ]


def test_lines_and_payments_without_an_order_wait_in_quarantine(delivered):
    assert rows(delivered, "select order_id, _rule, _reason from quarantine.order_items order by 1") == [
        ("4", "unknown_order", "order 4 has not been delivered"),
        ("9", "unknown_order", "order 9 has not been delivered"),
    ]
    assert rows(delivered, "select payment_id, _rule from quarantine.payments") == [("b", "unknown_order")]
    assert rows(delivered, "select order_id, _reason from quarantine.orders") == [
        ("4", "ordered_at is no date or time: never")
    ]


def test_lines_without_a_number_are_numbered_behind_the_others(delivered):
    assert rows(delivered, "select line_number, quantity from clean.order_items where order_id = '1' order by 1") == [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 3),
    ]


def test_unknown_customers_and_products_lose_no_line(delivered):
    assert rows(
        delivered, "select order_id, customer_key, product_key, net_amount from warehouse.fact_order_items"
        " where order_id in ('2', '3', '5') order by 1",
    ) == [("2", "unknown", "unknown", 20), ("3", "unknown", "p", 30), ("5", "unknown", "unknown", 60)]  # fmt: skip
    assert one(delivered, "select sum(net_amount) from analytics.product_summary") == 10 + 5 + 2 + 3 + 20 + 30 + 60
    assert one(delivered, "select count(*) from warehouse.fact_payments") == 3


def test_a_key_called_unknown_is_the_unknown_member(delivered):
    for table, key in (("dim_customers", "customer_key"), ("dim_products", "product_key")):
        assert rows(delivered, f"select is_unknown from warehouse.{table} where {key} = 'unknown'") == [(True,)]


def test_nothing_is_unaccounted_for(delivered):
    assert unaccounted(delivered) == 0
    assert one(delivered, "select sum(staged_rows) from quality.row_accounting") == 6 + 3 + 5 + 10 + 5


def test_an_orphan_is_released_when_its_order_arrives(tmp_path):
    shop = SmallShop(tmp_path)
    headers_only(shop)
    shop.write("order_items/1.csv", csv(ITEMS, "1,1,p,1,10"))
    shop.write("payments/1.csv", csv(PAYMENTS, "a,1,card,10"))
    first = shop.build(publish=True)
    assert one(first, "select count(*) from quarantine.order_items") == 1
    assert one(first, "select count(*) from warehouse.fact_order_items") == 0
    assert unaccounted(first) == 0
    shop.write("orders/1.csv", csv(ORDERS, "1,2024-01-05,anna,paid,"))
    second = shop.build()
    assert one(second, "select count(*) from quarantine.order_items") == 0
    assert one(second, "select count(*) from quarantine.payments") == 0
    assert one(second, "select paid_amount from warehouse.fact_orders") == 10
    assert unaccounted(second) == 0


OLD = csv(ORDERS, "1,2024-01-05,anna,open,2024-01-05", "2,2024-01-06,bert,open,2024-01-06")
NEW = csv(ORDERS, "2,2024-01-06,bert,cancelled,2024-01-09", "1,2024-01-05,anna,paid,2024-01-08")


@pytest.mark.parametrize("batches", [[("a", OLD), ("b", NEW)], [("b", OLD), ("a", NEW)]], ids=["ab", "ba"])
def test_the_arrival_order_of_versions_changes_no_clean_row(tmp_path, batches):
    found = []
    for way in ("at once", "old first", "new first"):
        shop = SmallShop(tmp_path / way)
        headers_only(shop)
        arriving = batches if way != "new first" else batches[::-1]
        for name, content in arriving:
            shop.write(f"orders/{name}.csv", content)
            if way != "at once":
                shop.load().publish()
        found.append(contents(shop.build()))
    assert list(found[0]["clean.orders"]["status"]) == ["paid", "cancelled"]
    assert_same_tables(found[0], found[1])
    assert_same_tables(found[0], found[2])


def test_several_runs_give_what_a_full_refresh_gives(tmp_path):
    shop = SmallShop(tmp_path, {e: {} for e in ("customers", "orders", "order_items", "payments", "order_lines")})
    flat = "order_id,ordered_at,customer_id,product_id,product_name,quantity,unit_price,status"
    days = [
        {
            "orders/1.csv": csv(ORDERS, "1,2024-01-05,anna,open,2024-01-05", "2,2024-01-06,bert,paid,2024-01-06"),
            "order_items/1.csv": csv(ITEMS, "1,1,p,2,10", "2,1,q,1,5", "7,1,q,1,5"),
            "payments/1.csv": csv(PAYMENTS, "x,1,card,20", "y,7,card,5"),
            "customers/1.csv": csv(CUSTOMERS, "anna,Anna,DE,2024-01-05"),
            "order_lines/1.csv": csv(flat, "F1,2024-01-05,carl,p,Pen,1,3,", "F1,2024-01-05,carl,r,Rag,1,3,"),
        },
        {
            "orders/2.csv": csv(ORDERS, "1,2024-01-05,anna,paid,2024-01-07", "7,2024-02-01,dora,paid,", "8,x,,,"),
            "order_items/1.csv": csv(ITEMS, "1,1,p,3,10", "7,1,q,1,5"),
            "order_lines/2.csv": csv(flat, "F2,2024-02-02,carl,p,Pencil,-1,3,", "F3,2024-02-02,,p,Pencil,1,x,"),
            "order_lines/copy.csv": csv(flat, "F1,2024-01-05,carl,p,Pen,1,3,"),
        },
        {
            "order_items/1.csv": csv(ITEMS, "1,1,p,2,10", "2,1,q,1,5", "7,1,q,1,5", "7,1,q,2,5", "7"),
            "customers/2.csv": csv(CUSTOMERS, "anna,Anne,AT,2024-01-09", "bert,Bert,DE,2024-01-01"),
            "payments/2.csv": csv(PAYMENTS, "z,F1,cash,6"),
            "order_lines/1.csv": csv(flat, "F1,2024-01-05,carl,p,Pen,1,3,returned"),
        },
    ]  # fmt: skip
    for day in days:
        for name, content in day.items():
            shop.write(name, content)
        warehouse = shop.build(publish=True)
        assert unaccounted(warehouse) == 0
    step_by_step = contents(warehouse)
    anew = contents(shop.build(full_refresh=True))
    assert len(step_by_step["quarantine.order_items"]) == 2
    assert len(step_by_step["clean.order_items"]) > 4
    assert_same_tables(step_by_step, anew)
