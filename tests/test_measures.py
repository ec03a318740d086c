"""Measures: gross, discounts, returns, cost and margin of a small shop, each figure worked out by hand."""

from datetime import date
from decimal import Decimal

import pytest

from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, csv, one, rows

# One worker builds the shop once for all tests here.
ORDERS = "order_id,ordered_at,customer_id,status,discount_amount"
ITEMS = "order_id,line_number,product_id,quantity,unit_price,discount_amount"
MEASURES = ("gross_amount", "discount_amount", "return_amount", "net_amount")


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Warehouse:
    shop = SmallShop(
        tmp_path_factory.mktemp("shop"), {e: {} for e in ("customers", "products", "orders", "order_items")}
    )
    names = ("anna", "bert", "carl", "dora", "ella", "fritz", "gerd")
    shop.write("customers/1.csv", csv("customer_id", *names))
    shop.write(
        "products/1.csv",
        csv("product_id,name,category,unit_price,unit_cost", "p,Pen,Paper,10,6", "q,Quill,Paper,10,", "r,Rag,Home,3,1"),
    )
    shop.write(
        "orders/1.csv",
        csv(
            ORDERS,
            "sale,2024-01-01T12:00Z,anna,completed,",
            "linediscount,2024-01-02T12:00Z,bert,completed,",
            "orderdiscount,2024-01-03T12:00Z,anna,completed,10",
            "bothdiscounts,2024-01-04T12:00Z,bert,completed,5",
            "returned,2024-01-05T12:00Z,carl,Returned,1",
            "cancelled,2024-01-06T12:00Z,anna,cancelled,",
            "Csale,2024-01-07T12:00Z,anna,cancelled,",
            "partreturn,2024-01-08T12:00Z,anna,completed,",
            "credit,2024-01-09T12:00Z,,completed,",
            "gift,2024-01-10T12:00Z,dora,completed,",
            "stock,2024-01-11T12:00Z,,completed,",
            "nocost,2024-01-12T12:00Z,ella,completed,",
            "tiny,2024-01-13T12:00Z,ella,completed,0.0001",
            "midnight,2024-01-31T23:30Z,anna,completed,",
            "summer,2024-03-31T22:30Z,fritz,completed,",
            "last,2024-04-03T12:00Z,gerd,completed,",
        ),
    )
    shop.write(
        "order_items/1.csv",
        csv(
            ITEMS,
            "sale,1,p,2,10,",
            "linediscount,1,p,3,10,4.5",
            "orderdiscount,1,p,1,10,",
            "orderdiscount,2,r,1,10,",
            "orderdiscount,3,p,1,10,",
            "orderdiscount,4,r,-1,3,",
            "bothdiscounts,1,p,1,10,2",
            "bothdiscounts,2,r,1,20,",
            "returned,1,p,1,10,1",
            "cancelled,1,p,5,10,",
            "Csale,1,p,-2,10,",
            "partreturn,1,p,3,10,",
            "partreturn,2,p,-1,10,",
            "credit,1,p,1,-7,",
            "gift,1,r,4,0,",
            "stock,1,r,-9,0,",
            "nocost,1,q,2,10,",
            "nocost,2,nosuch,1,5,",
            "tiny,1,r,1,3,",
            "tiny,2,r,1,3,",
            "tiny,3,r,1,3,",
            "midnight,1,r,1,3,",
            "summer,1,r,1,3,",
            "last,1,r,1,3,",
        ),
    )
    return shop.build()


def line(shop: Warehouse, order_id: str, number: int = 1) -> tuple:
    """Return type, quantity, gross, discount, return, net, cost and margin of a line."""
    (found,) = rows(
        shop,
        "select line_type, net_quantity, gross_amount, discount_amount, return_amount, net_amount, cost_amount,"
        " margin_amount from warehouse.fact_order_items where order_id = ? and line_number = ?",
        [order_id, number],
    )
    return (found[0], *(float(v) if v is not None else None for v in found[1:]))


@pytest.mark.parametrize(
    ("order_id", "number", "expected"),
    [
        ("sale", 1, ("sale", 2, 20, 0, 0, 20, 12, 8)),
        ("linediscount", 1, ("sale", 3, 30, 4.5, 0, 25.5, 18, 7.5)),
        # 10 spread over three equal lines; the last takes what rounding left, the returned one takes none.
        ("orderdiscount", 1, ("sale", 1, 10, 3.3333, 0, 6.6667, 6, 0.6667)),
        ("orderdiscount", 3, ("sale", 1, 10, 3.3334, 0, 6.6666, 6, 0.6666)),
        ("orderdiscount", 4, ("return", -1, 0, 0, 3, -3, -1, -2)),
        # The order's 5 hold the line's 2; 3 are spread 10 : 20.
        ("bothdiscounts", 1, ("sale", 1, 10, 3, 0, 7, 6, 1)),
        ("bothdiscounts", 2, ("sale", 1, 20, 2, 0, 18, 1, 17)),
        ("returned", 1, ("return", 0, 10, 1, 9, 0, 0, 0)),
        ("cancelled", 1, ("cancellation", 0, 50, 0, 50, 0, 0, 0)),
        ("Csale", 1, ("cancellation", -2, 0, 0, 20, -20, -12, -8)),
        ("partreturn", 2, ("return", -1, 0, 0, 10, -10, -6, -4)),
        # A negative price takes money back, not goods.
        ("credit", 1, ("return", 0, 0, 0, 7, -7, 0, -7)),
        ("gift", 1, ("sale", 4, 0, 0, 0, 0, 4, -4)),
        ("stock", 1, ("adjustment", 0, 0, 0, 0, 0, 0, 0)),
        ("nocost", 1, ("sale", 2, 20, 0, 0, 20, None, None)),
        ("nocost", 2, ("sale", 1, 5, 0, 0, 5, None, None)),
    ],
)
def test_a_line_is_measured_as_worked_out_by_hand(shop, order_id, number, expected):
    assert line(shop, order_id, number) == expected


def test_an_orders_discount_is_spread_to_the_last_digit(shop):
    assert rows(
        shop,
        "select o.order_id, sum(i.discount_amount) from warehouse.fact_order_items i"
        " join clean.orders o using (order_id)"
        " where o.discount_amount is not null and o.order_id <> 'returned' group by all order by 1",
    ) == [("bothdiscounts", 5), ("orderdiscount", 10), ("tiny", Decimal("0.0001"))]


@pytest.mark.parametrize(
    ("order_id", "order_type"),
    [
        ("sale", "sale"),
        ("partreturn", "sale"),
        ("returned", "return"),
        ("credit", "return"),
        ("cancelled", "cancellation"),
        ("Csale", "cancellation"),
        ("stock", "adjustment"),
    ],
)
def test_orders_are_distinguished_by_what_happened(shop, order_id, order_type):
    assert one(shop, "select order_type from warehouse.fact_orders where order_id = ?", [order_id]) == order_type


def test_everything_adds_up_on_every_level(shop):
    # Net: 20 + 25.5 + 17 + 25 + 0 + 0 - 20 + 20 - 7 + 0 + 0 + 25 + 8.9999 + 3 x 3
    expected = [
        Decimal("20") + 30 + 30 + 30 + 10 + 50 + 30 + 20 + 5 + 9 + 9,
        Decimal("4.5") + 10 + 5 + 1 + Decimal("0.0001"),
        Decimal(3 + 9 + 50 + 20 + 10 + 7),
        Decimal("123.4999"),
    ]
    assert expected[0] - expected[1] - expected[2] == expected[3]
    for table in (
        "warehouse.fact_order_items",
        "warehouse.fact_orders",
        "analytics.daily_sales",
        "analytics.monthly_sales",
        "analytics.product_summary",
        "analytics.category_summary",
    ):
        ((*found,),) = rows(shop, f"select {', '.join(f'sum({m})' for m in MEASURES)} from {table}")
        assert found == expected, table
    assert rows(
        shop,
        "select sum(new_net_amount + returning_net_amount), sum(unknown_net_amount) from analytics.customer_growth",
    ) == [(expected[3] + 7, -7)]
    assert one(shop, "select sum(net_amount) from analytics.customer_summary") == expected[3] + 7


def test_the_business_day_is_on_the_shops_clock(shop):
    assert rows(
        shop,
        "select order_id, order_date, order_hour from warehouse.fact_orders where order_id in ('midnight', 'summer')"
        " order by 1",
    ) == [("midnight", date(2024, 2, 1), 0), ("summer", date(2024, 4, 1), 0)]


def test_days_without_an_order_are_there_with_nothing_sold(shop):
    days = rows(shop, "select order_date, orders, net_amount from analytics.daily_sales order by 1")
    assert [d for d, _, _ in days] == [date.fromordinal(date(2024, 1, 1).toordinal() + n) for n in range(94)]
    assert (date(2024, 1, 20), 0, 0) in days


def test_a_month_is_complete_where_no_unusual_stretch_of_it_is_without_orders(shop):
    assert rows(
        shop, "select month, orders, cancelled_orders, is_complete from analytics.monthly_sales order by 1"
    ) == [
        (date(2024, 1, 1), 8, 2, True),
        (date(2024, 2, 1), 1, 0, True),
        (date(2024, 3, 1), 0, 0, False),
        (date(2024, 4, 1), 2, 0, False),
    ]


def test_new_customers_are_those_of_their_first_sale(shop):
    assert rows(shop, "select month, new_customers, returning_customers from analytics.customer_growth order by 1") == [
        (date(2024, 1, 1), 4, 0),
        (date(2024, 2, 1), 0, 1),
        (date(2024, 4, 1), 2, 0),
    ]


def test_customers_are_scored_from_one_to_five(shop):
    found = rows(
        shop,
        "select customer_id, orders, net_amount, recency_score, frequency_score, monetary_score"
        " from analytics.customer_summary order by customer_id",
    )
    assert [r[:3] for r in found] == [
        ("anna", 4, Decimal(20 + 17 - 20 + 20 + 3)),
        ("bert", 2, Decimal("50.5")),
        ("dora", 1, Decimal(0)),
        ("ella", 2, Decimal("33.9999")),
        ("fritz", 1, Decimal(3)),
        ("gerd", 1, Decimal(3)),
    ]
    assert {s for r in found for s in r[3:]} <= {1, 2, 3, 4, 5}
    best = {r[0]: r[3:] for r in found}
    assert best["gerd"][0] == 5
    assert best["anna"][1] == 5
    assert best["bert"][2] == 5


def test_cost_is_unknown_where_no_cost_is(shop):
    assert rows(
        shop,
        "select product_id, cost_amount, margin_amount, margin_rate from analytics.product_summary"
        " where product_id in ('q', 'unknown') order by 1",
    ) == [("q", None, None, None), ("unknown", None, None, None)]
    assert one(shop, "select cost_amount from warehouse.fact_orders where order_id = 'nocost'") is None
