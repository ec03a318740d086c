"""Set rules: duplicates, versions and orphans come out the same whatever order they arrive in, and none is lost."""

from dataclasses import replace
from datetime import datetime

import pytest
import yaml

from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, csv, one, rows

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
    """One delivery with every kind of repetition; orders of unknown customers count."""
    shop = SmallShop(tmp_path_factory.mktemp("shop"), config={"models": {"unknown_customers": "keep"}})
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
    shop.write("products/2.csv", csv(PRODUCTS, "p,Pencil,2023-01-01", "q,Quill,", "q,Quill,"))
    shop.write("products/3.csv", csv(PRODUCTS, "q,Quill,"))
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
    ) == [("customers", 1), ("order_items", 1), ("products", 2)]


def test_a_row_that_comes_again_in_another_file_is_told_from_one_that_stands_twice_in_a_file(delivered):
    assert rows(
        delivered, "select _source_file, _source_row, rule, reason from ops.dispositions_products"
        " where row_key = 'q' order by all",
    ) == [
        ("products/2.csv", 2, "exact_duplicate", "same content as products/2.csv row 3"),
        ("products/2.csv", 3, "delivered_again", "same content as products/3.csv row 1"),
    ]  # fmt: skip


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
        ("4", "order_in_quarantine", "order 4 is in quarantine: not_a_date_or_time"),
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
        delivered, "select order_id, items.customer_id, products.product_id, net_amount"
        " from warehouse.fact_order_items as items join warehouse.dim_products as products using (product_key)"
        " where order_id in ('2', '3', '5') order by 1",
    ) == [("2", "unknown", "unknown", 20), ("3", "unknown", "p", 30), ("5", "unknown", "unknown", 60)]  # fmt: skip
    assert one(delivered, "select sum(net_amount) from analytics.product_summary") == 10 + 5 + 2 + 3 + 20 + 30 + 60
    assert one(delivered, "select count(*) from warehouse.fact_payments") == 4


def test_a_key_called_unknown_is_the_unknown_member(delivered):
    for table, key in (("dim_customers", "customer_key"), ("dim_products", "product_key")):
        assert rows(delivered, f"select is_unknown from warehouse.{table} where {key} = 'unknown'") == [(True,)]


def test_nothing_is_unaccounted_for(delivered):
    assert unaccounted(delivered) == 0
    total = "select sum(staged_rows), sum(read_rows), sum(replaced_rows) from quality.row_accounting"
    assert rows(delivered, total) == [(32, 32, 0)]
    assert 32 == 6 + 6 + 5 + 10 + 5


def test_rows_of_a_file_that_is_corrected_are_read_and_replaced(tmp_path):
    shop = SmallShop(tmp_path)
    headers_only(shop)
    shop.write("orders/1.csv", csv(ORDERS, "1,2024-01-05,anna,paid,", "2,2024-01-06,anna,paid,"))
    shop.build(publish=True)
    shop.write("orders/1.csv", csv(ORDERS, "1,2024-01-05,anna,paid,2024-01-07"))
    warehouse = shop.build()
    assert rows(
        warehouse, "select read_rows, replaced_rows, staged_rows, clean_rows from quality.row_accounting"
        " where entity = 'orders'",
    ) == [(3, 2, 1, 1)]  # fmt: skip


@pytest.fixture(scope="module")
def two_sources(tmp_path_factory) -> Warehouse:
    """The same customers in two systems, and events delivered again."""
    shop = SmallShop(tmp_path_factory.mktemp("shop"))
    partner = {"kind": "files", "path": str(shop.root / "partner"), "entities": {"customers": {"files": "*"}}}
    settings = yaml.safe_load(yaml.safe_dump({"kind": "files", "path": str(shop.exports), "entities": {
        e: {"files": f"{e}/*"} for e in ("customers", "products", "orders", "order_items", "payments", "events")
    }}))  # fmt: skip
    shop = replace(shop, config={"sources": {"crm": settings, "partner": partner}})
    headers_only(shop)
    shop.write("customers/1.csv", csv(CUSTOMERS, "anna,Anna,DE,2024-01-02", "anna,Anna,DE,2024-01-02", "bert,Bert,,"))
    shop.write("../partner/1.csv", csv(CUSTOMERS, "anna,Anna,DE,2024-01-02", "bert,Bertram,,"))
    event = "event_id,event_at,event_type,visitor_id,product_id,order_id"
    shop.write("events/1.csv", csv(event, "e1,2024-01-05 10:00,VIEW,v,p,", "e2,2024-01-05 10:01,purchase,v,,nosuch"))
    shop.write("events/2.csv", csv(event, "e1,2024-01-05 10:00,VIEW,v,p,", "e2,2024-01-05 10:02,cart,v,q,", "e3,,x,,,"))
    return shop.build()


def test_the_same_row_in_another_source_is_no_duplicate_delivery(two_sources):
    assert rows(two_sources, "select _source, rule from ops.dispositions_customers order by all") == [
        ("crm", "exact_duplicate"),
        ("partner", "in_another_source"),
        ("partner", "older_version"),
    ]
    assert rows(
        two_sources,
        "select source, staged_rows, clean_rows, exact_duplicates, in_another_source, older_versions"
        " from quality.row_accounting where entity = 'customers' order by 1",
    ) == [("crm", 3, 2, 1, 0, 0), ("partner", 2, 0, 0, 1, 1)]


def test_events_delivered_again_are_merged_and_one_that_points_nowhere_stays(two_sources):
    assert rows(
        two_sources, "select event_id, event_type, product_id from clean.events order by 1"
    ) == [("e1", "view", "p"), ("e2", "cart", "q")]  # fmt: skip
    assert rows(two_sources, "select rule, count(*) from ops.dispositions_events group by 1 order by 1") == [
        ("missing_event_at", 1),
        ("older_version", 1),
        ("repeated_event", 1),
    ]
    assert unaccounted(two_sources) == 0


@pytest.fixture(scope="module")
def waiting(tmp_path_factory) -> Warehouse:
    """Orders of customers who are delivered, named with order lines, refused, or nowhere."""
    entities = ("customers", "orders", "order_items", "payments", "order_lines")
    shop = SmallShop(tmp_path_factory.mktemp("shop"), {entity: {} for entity in entities})
    header = "customer_id,signup_at,updated_at"
    shop.write("customers/1.csv", csv(header, "anna,2024-01-01,2024-01-02", "too,many,more,cells"))
    shop.write("customers/2.csv", csv(header, "anna,someday,2024-01-02"))
    shop.write("order_lines/1.csv", csv("order_id,ordered_at,customer_id,product_id,quantity,unit_price",
        "L,2024-01-05,lena,p,1,1", "R,never,rosa,p,1,1"))  # fmt: skip
    customers = {"1": "anna", "2": "lena", "3": "zoe", "4": "", "5": "unknown", "6": "rosa"}
    orders = [f"{order},2024-01-05,{customer},paid,2024-01-06" for order, customer in customers.items()]
    shop.write("orders/1.csv", csv(ORDERS, *orders, orders[2], "3,2024-01-05,anna,paid,2024-01-01"))
    shop.write("order_items/1.csv", csv(ITEMS, *(f"{order},1,p,1,10" for order in (*customers, "9"))))
    shop.write("payments/1.csv", csv(PAYMENTS, "a,1,card,10", "c,3,card,10", "r,R,card,1", "n,9,card,10"))
    return shop.build()


def test_an_order_waits_for_its_customer_and_its_lines_and_payments_wait_with_it(waiting):
    assert rows(waiting, "select order_id from clean.orders order by 1") == [("1",), ("2",), ("4",), ("5",), ("L",)]
    assert rows(waiting, "select order_id, _rule, _reason from quarantine.orders order by 1") == [
        ("3", "unknown_customer", "customer zoe has not been delivered"),
        ("6", "unknown_customer", "customer rosa has not been delivered"),
    ]
    held = "is in quarantine: unknown_customer"
    assert rows(waiting, "select order_id, _rule, _reason from quarantine.order_items order by 1") == [
        ("3", "order_in_quarantine", f"order 3 {held}"),
        ("6", "order_in_quarantine", f"order 6 {held}"),
        ("9", "unknown_order", "order 9 has not been delivered"),
    ]
    assert rows(waiting, "select payment_id, _rule, _reason from quarantine.payments order by 1") == [
        ("c", "order_in_quarantine", f"order 3 {held}"),
        ("n", "unknown_order", "order 9 has not been delivered"),
        ("r", "order_in_quarantine", "order R is in quarantine: not_a_date_or_time"),
    ]
    assert unaccounted(waiting) == 0


def test_of_two_contents_of_one_time_the_one_without_faults_is_kept(waiting):
    signup_at = one(waiting, "select signup_at from clean.customers where customer_id = 'anna'")
    assert signup_at == datetime(2023, 12, 31, 23), "midnight in Berlin"
    assert rows(waiting, "select _source_file, rule from ops.dispositions_customers where row_key = 'anna'") == [
        ("customers/2.csv", "older_version")
    ]
    # What was not read right is no present version of the customer either.
    assert rows(
        waiting, "select signup_at from warehouse.dim_customers where customer_id = 'anna' and is_current"
    ) == [(signup_at,)]  # fmt: skip


def test_findings_tell_the_rule_the_record_and_its_order_and_leave_out_what_is_no_fault(waiting):
    sql = "select rule, entity, key, family, field, outcome, source_file, source_row from quality.record_findings"
    assert rows(waiting, f"{sql} where outcome in ('merged', 'quarantined') order by all") == [
        ("exact_duplicate", "orders", "3", "3", "", "merged", "orders/1.csv", 3),
        ("unknown_customer", "orders", "3", "3", "customer_id", "quarantined", "orders/1.csv", 7),
        ("unknown_customer", "orders", "6", "6", "customer_id", "quarantined", "orders/1.csv", 6),
        ("unknown_order", "order_items", "9|1", "9", "order_id", "quarantined", "order_items/1.csv", 7),
        ("unknown_order", "payments", "n", "9", "order_id", "quarantined", "payments/1.csv", 4),
    ]
    assert one(waiting, "select count(*) from ops.dispositions_orders where rule = 'older_version'") == 1


@pytest.fixture(scope="module")
def returned(tmp_path_factory) -> Warehouse:
    """Orders that came back: by their status, by lines, or by both."""
    shop = SmallShop(tmp_path_factory.mktemp("shop"))
    headers_only(shop)
    shop.write(
        "orders/1.csv",
        csv(
            "order_id,ordered_at,status,channel,updated_at",
            "by status,2024-01-05,returned,Web,",
            "by both,2024-01-05,returned,,",
            "in part,2024-01-05,refunded,Web,",
            "by lines,2024-01-05,paid,web,",
        ),
    )
    sold, back = [f"{o},1,p,2,10" for o in ("by status", "by both", "in part", "by lines")], "{},2,p,{},10"
    came_back = [back.format("by both", -2), back.format("in part", -1), back.format("by lines", -1)]
    versions = ["by lines,3,p,0,1,2024-01-06", "by lines,3,p,5,1,2024-01-05"]
    shop.write(
        "order_items/1.csv", csv(ITEMS + ",updated_at", *(f"{line}," for line in (*sold, *came_back)), *versions)
    )
    versions = "y,by lines,card,20,2024-01-06", "y,by lines,card,10,2024-01-05"
    shop.write("payments/1.csv", csv(PAYMENTS + ",updated_at", *versions))
    return shop.build()


def test_what_came_back_is_counted_once(returned):
    assert rows(returned, "select order_id, net_amount from warehouse.fact_orders order by 1") == [
        ("by both", 0),
        ("by lines", 10),
        ("by status", 0),
        ("in part", 10),
    ]


def test_lines_and_payments_have_versions_by_their_time_of_change(returned):
    assert one(returned, "select quantity from clean.order_items where line_number = 3") == 0
    assert one(returned, "select amount from clean.payments") == 20
    assert one(returned, "select sum(older_versions) from quality.row_accounting") == 2


def test_a_channel_is_as_the_source_says_in_lower_case_and_never_made_up(returned):
    assert rows(returned, "select channel, count(*) from warehouse.fact_orders group by 1 order by 1") == [
        ("web", 3),
        (None, 1),
    ]
