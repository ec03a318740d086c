"""What a reader should know of the figures: each thing is one sentence with its number, said where it is so."""

import pandas as pd

from lib.insights.facts import Facts, facts, read_facts
from lib.insights.remarks import read_remarks, remarks
from lib.model.tables import key_figures
from tests.small_shop import SmallShop, csv, rows

COLUMNS = ["kind", "word", "currency", "rows", "amount", "original_amount"]
SHOP = Facts(orders={"sale": 9}, lines=9, products=3)


def said(*found: tuple, shop: Facts = SHOP) -> list[str]:
    filled = [row + (None,) * (len(COLUMNS) - len(row)) for row in found]
    return [
        text.replace("\N{NO-BREAK SPACE}", " ") for text in remarks(pd.DataFrame(filled, columns=COLUMNS), shop, "EUR")
    ]


def test_a_shop_whose_orders_have_lines_in_its_own_currency_needs_no_remark():
    assert said(("basis", "lines", None, 9, 90.0, 90.0), ("currency", "converted", "EUR", 9, 90.0, 90.0)) == []


def test_revenue_from_the_orders_totals_is_said():
    totals, lines = ("basis", "order total", None, 3, 14.0, 14.0), ("basis", "lines", None, 9, 90.0, 90.0)
    assert said(totals) == ["Revenue comes from the orders' totals: no lines of orders were delivered."]
    assert said(lines, totals) == [
        "Of 3 orders no lines were delivered: **14.00 EUR** of revenue comes from the orders' totals."
    ]
    assert said(lines, ("basis", "payments", None, 1, 5.0, 5.0)) == [
        "Of 1 order no lines were delivered: **5.00 EUR** of revenue comes from what was paid for the orders."
    ]
    assert said(lines, ("basis", "none", None, 1, 0.0, 0.0)) == [
        "**1 order** states no amount, and counts as no revenue."
    ]


def test_other_currencies_are_said_with_their_own_amounts_and_what_has_no_rate_is_in_no_figure():
    found = said(
        ("currency", "converted", "EUR", 3, 60.0, 60.0),
        ("currency", "converted", "JPY", 1, 27.25, 5000.0),
        ("currency", "converted", "USD", 2, 19.4, 20.0),
        ("currency", "no rate", "GBP", 1, None, 7.5),
    )
    assert found == [
        "**46.65 EUR** of net revenue was converted at the day's rate:"
        " 5,000.00 JPY of 1 order and 20.00 USD of 2 orders.",
        "For 7.50 GBP of 1 order there is no rate in `shop.exchange_rates`: they are in no figure.",
    ]


def test_revenue_that_is_no_product_is_one_sentence_with_its_parts():
    shop = Facts(orders={"sale": 9}, lines=9, products=3, unnamed_amount=25.0)
    shop = Facts(**shop.__dict__ | {"other_amounts": {"shipping": 900.0, "adjustment": -40.5, "fee": 0.0}})
    assert said(shop=shop) == [
        "**859.50 EUR** of net revenue is no product: postage and shipping 900.00 EUR and manual entries and samples"
        " −40.50 EUR. It is in no list of what sells best.",
        "**25.00 EUR** of net revenue is of lines that name no product.",
    ]
    assert said(shop=Facts(unnamed_amount=25.0)) == [], "where no order has a line this says nothing"


def test_pending_failed_and_unclear_orders_are_counted_with_their_amounts():
    assert said(("state", "pending", None, 1, 0.0)) == ["**1 order** is pending, and brings no revenue yet."]
    assert said(("state", "pending", None, 2, 30.0)) == ["**2 orders** are pending, with 30.00 EUR of net revenue."]
    assert said(("state", "failed", None, 2, 0.0)) == ["**2 orders** failed, and count as cancelled."]
    unclear = [("unclear", f"word{n}", None, n, 10.0 * n) for n in (5, 4, 3, 2, 1)]
    assert said(*unclear) == [
        "What the status of 15 orders means is not known: `word5` (5 orders, 50.00 EUR), `word4` (4 orders, 40.00 EUR),"
        " `word3` (3 orders, 30.00 EUR) and 2 more. They count as sales until `models.statuses` says otherwise."
    ]
    assert said(unclear[-1])[0].endswith("It counts as a sale until `models.statuses` says otherwise.")


def test_list_prices_refunds_and_lines_without_a_price_are_said():
    assert said(("line", "list price", None, 12, 340.0), ("line", "none", None, 1, 0.0)) == [
        "**12 lines** state no price, and count with 340.00 EUR at their product's list price.",
        "**1 line** states no price, and brings no revenue.",
    ]
    assert said(("refund", "", None, 1, 4.0)) == [
        "**4.00 EUR** was paid back on 1 order as a whole; net revenue is before it."
    ]
    assert said(("refund", "", None, 0, None), ("credit", "", None, 0, None)) == []
    assert said(("credit", "", None, 1, 1000.0)) == [
        "**1** line states a negative price, and counts as a credit: 1,000.00 EUR."
    ]


def test_events_that_nobody_understands_are_listed_with_their_counts():
    assert said(("event", "page_ping", None, 2), ("event", "checkout_step", None, 1)) == [
        "What 3 events mean is not known: `page_ping` (2) and `checkout_step` (1)."
        " They count as part of a visit, and as no step of it, until `models.events` says otherwise."
    ]


def test_equal_lines_are_said_with_the_money_that_hangs_on_them():
    assert said(("equal", "kept by the mapping", None, 1, 16.0)) == [
        "**1 line** equals another one of its order, and counts, as `equal_lines` of the mapping says:"
        " 16.00 EUR hangs on it."
    ]
    assert said(("equal", "merged by the order's total", None, 2, 16.0)) == [
        "**2 lines** equal another one of their order, and are one with it, as the order's total says:"
        " 16.00 EUR hangs on it."
    ]


def test_the_queries_say_it_of_a_shop(tmp_path):
    entities = ("products", "orders", "order_items")
    shop = SmallShop(tmp_path, {e: {} for e in entities})
    shop.write("products/1.csv", csv("product_id,name,category", "p,Pen,Paper", "q,Quill,Paper", "POST,Postage,"))
    header = "order_id,ordered_at,customer_id,status,refund_amount"
    orders = [
        "1,2024-01-05T10:00Z,anna,paid,3",
        "2,2024-01-06T10:00Z,bert,ready_for_space,",
        "3,2024-01-07T10:00Z,,pending,",
    ]
    shop.write(
        "orders/1.csv", csv(header, *orders, "4,2024-01-08T10:00Z,anna,cancelled,", "5,2024-01-08T11:00Z,,pending,")
    )
    items = ["1,1,p,1,10", "1,2,POST,1,4", "2,1,q,2,5", "3,,p,1,5", "3,,p,1,5", "4,1,p,1,10"]
    shop.write("order_items/1.csv", csv("order_id,line_number,product_id,quantity,unit_price", *items))
    warehouse = shop.build()

    found = read_facts(warehouse.query)
    assert found.orders == {"cancellation": 1, "pending": 1, "sale": 3} and found.all_orders == 5
    assert (found.gross_amount, found.cancelled_amount, found.returned_amount, found.net_amount) == (44, 10, 0, 34)
    assert (found.products, found.categories, found.customers, found.other_amounts) == (2, 1, 2, {"shipping": 4.0})
    assert found.words >= {"orders", "cancellations", "products", "other-revenue", "customers", "hours"}
    assert not found.words & {"returns", "costs", "discounts", "payments", "channels", "sessions", "categories"}
    texts = [text.replace("\N{NO-BREAK SPACE}", " ") for text in read_remarks(warehouse.query, found, "EUR")]
    assert texts == [
        "**4.00 EUR** of net revenue is no product: postage and shipping 4.00 EUR."
        " It is in no list of what sells best.",
        "**2 orders** are pending, with 10.00 EUR of net revenue.",
        "What the status of 1 order means is not known: `ready_for_space` (1 order, 10.00 EUR)."
        " It counts as a sale until `models.statuses` says otherwise.",
        "**1 line** equals another one of its order, and counts, as `equal_lines` of the mapping says:"
        " 5.00 EUR hangs on it.",
        "**3.00 EUR** was paid back on 1 order as a whole; net revenue is before it.",
    ]
    assert rows(warehouse, "select count(*) from warehouse.fact_orders") == [(found.all_orders,)]
    figures = [(label, text.replace("\N{NO-BREAK SPACE}", " ")) for label, text in key_figures(warehouse).shown("EUR")]
    assert figures == [
        ("Orders sold", "3"),
        ("Cancelled orders", "1"),
        ("Other orders", "1"),
        ("Gross, EUR", "44"),
        ("Returned and cancelled, EUR", "10"),
        ("Net revenue, EUR", "34"),
        ("From", "5 Jan 2024"),
        ("To", "8 Jan 2024"),
    ]


def test_an_empty_warehouse_has_no_facts():
    by_type = pd.DataFrame(
        columns=[
            "order_type",
            "orders",
            "lines",
            "gross_amount",
            "discount_amount",
            "return_amount",
            "net_amount",
            "margin_amount",
        ]
    )
    sold = pd.DataFrame(columns=["product_type", "products", "net_amount"])
    names = (
        "categories",
        "customers",
        "payment_methods",
        "channels",
        "hours",
        "devices",
        "sessions",
        "converted_sessions",
    )
    entities = pd.DataFrame([dict.fromkeys((*names, "purchase_amount"))])
    assert facts(by_type, sold, entities) == Facts() and Facts().words == set()
