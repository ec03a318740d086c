"""Amounts: what a line, an order and a payment are worth, however their source states it and in whatever currency."""

from decimal import Decimal

import pytest

from lib.base.errors import ConfigError
from lib.clean.exchange_rates import read_exchange_rates
from lib.warehouse import Warehouse
from lib.warehouse.roles import init_db
from tests.small_shop import SmallShop, csv, one, rows

# One worker builds each shop once for all its tests here.
ITEMS = (
    "order_id,line_number,product_id,quantity,unit_price,line_total,line_amount,discount_amount,discount_rate,unit_cost,"
    "cost_amount,margin_amount,is_return,shipping_amount,tax_amount"
)

#: By name: what is delivered (quantity, price, total, amount, discount, rate, own unit cost, cost and margin, return),
#: and what it comes to (quantity, price, gross, discount, return, net and cost). The product costs 6.
LINES: dict[str, tuple[str, str]] = {
    "a price alone": ("2,10,,,,,,,,", "2 10 20 0 0 20 12"),
    "a total goes before a rounded price": ("3,3.3333,10.00,,,,,,,", "3 3.3333 10 0 0 10 18"),
    "a price follows from the total": ("4,,10,,1,,,,,", "4 2.5 10 1 0 9 24"),
    "an amount with its discount": ("2,,,18,2,,,,,", "2 10 20 2 0 18 12"),
    "an amount with its rate": ("5,,,957.5775,,0.45,,,-383.031,", "5 348.21 1741.05 783.4725 0 957.5775 1340.6085"),
    "an amount and a total": ("2,,20,17,,,,,,", "2 10 20 3 0 17 12"),
    "an amount and a price": ("2,10,,17,,,,,,", "2 10 20 3 0 17 12"),
    "an amount and a rounded price": ("3,3.34,,10,,,,,,", "3 3.34 10 0 0 10 18"),
    "a rate": ("3,9.99,,,,0.15,,,,", "3 9.99 29.97 4.4955 0 25.4745 18"),
    "a rate of percents": ("2,10,,,,20%,,,,", "2 10 20 4 0 16 12"),
    "given away": ("1,10,,0,,1,,,,", "1 10 10 10 0 0 6"),
    "a discount written negative": ("1,18,,,-3,,,,,", "1 18 18 3 0 15 6"),
    "its own unit cost": ("2,10,,,,,4,,,", "2 10 20 0 0 20 8"),
    "its own cost": ("2,10,,,,,4,7,,", "2 10 20 0 0 20 7"),
    "its own margin": ("2,10,,,5,,,,3,", "2 10 20 5 0 15 12"),
    "told to be a return": ("1,20,,,,,,,,yes", "-1 20 0 0 20 -20 -6"),
    "told to be a return of a total": ("2,,20,,2,,,,,yes", "-2 10 0 0 18 -18 -12"),
    "told to be a return with a margin": ("1,20,,,,,,,5,yes", "-1 20 0 0 20 -20 -15"),
    "negative, and told so": ("-1,12,,,,,,,,yes", "-1 12 0 0 12 -12 -6"),
    "both negative": ("-1,-12,,,,,,,,", "-1 12 0 0 12 -12 -6"),
    "a negative total and quantity": ("-1,,-12,,,,,,,", "-1 12 0 0 12 -12 -6"),
    "a credit": ("1,,-12,,,,,,,", "1 -12 0 0 12 -12 0"),
    "no quantity but a total": ("0,,5,,,,,,,", "0 None 5 0 0 5 0"),
}


def with_rates(shop: SmallShop, *lines: str, header: str = "date,currency,rate") -> SmallShop:
    path = shop.root / "rates.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv(header, *lines), encoding="utf-8")
    shop.shop = {**shop.shop, "exchange_rates": str(path)}
    return shop


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        ("date,code,rate", ["2025-01-01,USD,0.9"], "has no column 'currency'; it has 'date', 'code', 'rate'"),
        ("date,currency,rate", ["2025-01-01,USD,0.9", "2025-01-02,USD,n/a"], "line 3: rate 'n/a' is not a number"),
        ("date,currency,rate", ["01/02/2025,USD,0.9"], "line 2: date '01/02/2025' is not a date such as 2025-12-31"),
        ("date,currency,rate", ["2025-01-01,Dollar,0.9"], "line 2: currency 'DOLLAR' is not a code of three letters"),
        ("date,currency,rate", ["2025-01-01,USD,-1"], "line 2: rate '-1' is not a number above zero"),
        ("date,currency,rate", ["2025-01-01,USD"], "line 2: rate '' is not a number"),
        ("date,currency,rate", ["2025-01-01,EUR,1.1"], "line 2: one EUR cannot be worth 1.1"),
        ("date,currency,rate", ["2025-01-01,USD,1", "2025-01-01,USD,2"], "line 3: a second rate of USD on 2025-01-01"),
    ],
)
def test_a_bad_file_of_rates_is_refused_with_its_place(tmp_path, header, lines, message):
    shop = with_rates(SmallShop(tmp_path), *lines, header=header)
    with pytest.raises(ConfigError, match=r"^shop\.exchange_rates: rates\.csv") as raised:
        read_exchange_rates(shop.settings)
    assert message in str(raised.value)


def test_a_file_of_rates_that_is_not_there_is_named(tmp_path):
    shop = SmallShop(tmp_path, shop={"exchange_rates": str(tmp_path / "none.csv")})
    with pytest.raises(ConfigError, match=r"none\.csv: no such file"):
        read_exchange_rates(shop.settings)


def test_rates_are_read_with_other_separators_too(tmp_path):
    shop = with_rates(SmallShop(tmp_path), "2025-01-01; usd; 0,97", "2025-01-01;EUR;1", header="Date;Currency;Rate")
    assert read_exchange_rates(shop.settings).values.tolist()[0][1:] == ["USD", 0.97]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, str]:
    """The type of products by their names."""
    names = (
        *("POSTAGE", "DOTCOM POSTAGE", "Manual", "AMAZON FEE", "Bank Charges", "CRUK Commission", "SAMPLES"),
        *("Dotcomgiftshop Gift Voucher £20.00", "E-Gift Card", "Gift Card - 25", "Shipping_fee", "Versandkosten"),
        *("Gift card holder", "Shipping label printer", "Manual coffee grinder", "Sample box of teas", "Plush Postman"),
        *("Engraving", "Coffee", "Discount bin"),
    )
    shop = SmallShop(
        tmp_path_factory.mktemp("shop"), {"products": {}}, config={"models": {"non_products": ["^engrav"]}}
    )
    shop.write("products/1.csv", csv("product_id,name", *(f"p{n},{name}" for n, name in enumerate(names)), "DOT,"))
    return dict(rows(shop.build(), "select name, product_type from warehouse.dim_products"))


def test_what_is_no_product_is_told_by_its_name(kinds):
    assert {name: kind for name, kind in kinds.items() if kind != "product"} == {
        "POSTAGE": "shipping",
        "DOTCOM POSTAGE": "shipping",
        "Manual": "adjustment",
        "AMAZON FEE": "fee",
        "Bank Charges": "fee",
        "CRUK Commission": "fee",
        "SAMPLES": "adjustment",
        "Dotcomgiftshop Gift Voucher £20.00": "gift_card",
        "E-Gift Card": "gift_card",
        "Gift Card - 25": "gift_card",
        "Shipping_fee": "shipping",
        "Versandkosten": "shipping",
        "Engraving": "other",
    }


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> Warehouse:
    """A shop with an order a line of `LINES`."""
    shop = SmallShop(tmp_path_factory.mktemp("shop"), {e: {} for e in ("products", "orders", "order_items")})
    shop.write("products/1.csv", csv("product_id,name,unit_cost", "p,Pen,6"))
    shop.write(
        "orders/1.csv", csv("order_id,ordered_at", *(f"{name!r},2025-01-01" for name in LINES)).replace("'", '"')
    )
    items = (f"{name!r},1,p,{given},," for name, (given, _) in LINES.items())
    shop.write("order_items/1.csv", csv(ITEMS, *items).replace("'", '"'))
    return shop.build()


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_worth_what_it_states(lines, name):
    (found,) = rows(
        lines,
        "select quantity, unit_price, gross_amount, discount_amount, return_amount, net_amount, cost_amount"
        " from warehouse.fact_order_items where order_id = ?",
        [name],
    )
    expected = [None if word == "None" else Decimal(word) for word in LINES[name][1].split()]
    assert list(found) == expected


def test_amounts_that_contradict_each_other_are_flagged(tmp_path):
    shop = SmallShop(tmp_path, {"order_lines": {}})
    header = "order_id,line_number,ordered_at,product_id,quantity,unit_price,line_total,line_amount,discount_amount"
    shop.write(
        "order_lines/1.csv",
        csv(
            header,
            "right,1,2025-01-01,p,3,3.33,10,,",
            "right,2,2025-01-01,p,2,10,,18,2",
            "right,3,2025-01-01,p,2,9,,18,2",
            "wrong,1,2025-01-01,p,3,10,10,,",
            "wrong,2,2025-01-01,p,2,10,,25,",
            "wrong,3,2025-01-01,p,2,10,20,25,",
        ),
    )
    warehouse = shop.build()
    shop.audit(warehouse)
    flagged = rows(warehouse, "select key from quality.flags where rule = 'line_total' order by key")
    assert flagged == [("wrong|1",), ("wrong|2",), ("wrong|3",)]


def test_what_came_back_on_a_line_leaves_the_other_lines_sold(tmp_path):
    """A till writes a refund as a row of its own under the sale's number, and gives the order its status."""
    shop = SmallShop(tmp_path, {"order_lines": {}})
    header = "order_id,line_number,ordered_at,status,product_id,quantity,line_total,line_tax_amount,is_return"
    shop.write(
        "order_lines/1.csv",
        csv(
            header,
            "1,1,2025-01-01,completed,p,1,12,0.96,",
            "1,2,2025-01-01,completed,q,1,8,0.64,",
            "1,3,2025-01-09,refunded,p,1,12,0.96,true",
        ),
    )
    warehouse = shop.build()
    assert rows(
        warehouse,
        "select order_type, returned_lines, gross_amount, return_amount, net_amount, tax_amount"
        " from warehouse.fact_orders",
    ) == [("sale", 1, 20, 12, 8, Decimal("1.6"))]


def test_a_cancelled_order_gives_nothing_back_beyond_what_was_sold_on_it(tmp_path):
    shop = SmallShop(tmp_path, {"order_lines": {}})
    header = "order_id,line_number,ordered_at,status,product_id,quantity,unit_price,is_return"
    shop.write(
        "order_lines/1.csv",
        csv(
            header,
            "1,1,2025-01-01,cancelled,p,2,10,",
            "1,2,2025-01-01,cancelled,p,2,10,yes",
            "C2,1,2025-01-02,cancelled,p,-1,5,",
        ),
    )
    found = "select order_id, gross_amount, return_amount, net_amount from warehouse.fact_orders order by 1"
    assert rows(shop.build(), found) == [("1", 20, 20, 0), ("C2", 0, 5, -5)]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("shipping_amount,tax_amount", {"own": (6, 3), "first": (6, 3), "each": (5, 4)}),
        ("line_shipping_amount,line_tax_amount", {"own": (12, 6), "first": (6, 3), "each": (5, 4)}),
    ],
)
def test_shipping_and_tax_of_lines_are_summed_and_those_of_the_order_are_not(tmp_path, columns, expected):
    shop = SmallShop(tmp_path, {"order_lines": {}})
    shop.write(
        "order_lines/1.csv",
        csv(
            f"order_id,line_number,ordered_at,product_id,quantity,unit_price,{columns}",
            "own,1,2025-01-01,p,1,10,6,3",
            "own,2,2025-01-01,q,1,10,6,3",
            "first,1,2025-01-01,p,1,10,6,3",
            "first,2,2025-01-01,q,1,10,,",
            "each,1,2025-01-01,p,1,10,5,1",
            "each,2,2025-01-01,q,1,10,0,3",
        ),
    )
    found = rows(shop.build(), "select order_id, shipping_amount, tax_amount from warehouse.fact_orders")
    assert {order: amounts for order, *amounts in found} == {order: list(two) for order, two in expected.items()}


def test_a_refund_on_an_order_is_told_apart_from_what_came_back(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "order_items": {}})
    shop.write(
        "orders/1.csv",
        csv(
            "order_id,ordered_at,status,refund_amount",
            "whole,2025-01-01,refunded,16",
            "part,2025-01-02,partially_refunded,-4",
            "line,2025-01-03,partially_refunded,10",
            "cancelled,2025-01-04,cancelled,16",
            "none,2025-01-05,paid,",
        ),
    )
    shop.write(
        "order_items/1.csv",
        csv(
            "order_id,line_number,product_id,quantity,unit_price,is_return",
            *(f"{order},1,p,1,16," for order in ("whole", "part", "line", "cancelled", "none")),
            "line,2,q,1,7,yes",
        ),
    )
    warehouse = shop.build()
    assert rows(
        warehouse,
        "select order_id, return_amount, net_amount, refund_amount from warehouse.fact_orders order by ordered_at",
    ) == [("whole", 16, 0, 0), ("part", 0, 16, 4), ("line", 7, 9, 3), ("cancelled", 16, 0, 0), ("none", 0, 16, 0)]
    for table in ("daily_sales", "monthly_sales", "channel_sales"):
        assert one(warehouse, f"select sum(refund_amount) from analytics.{table}") == 7, table


def orders_alone(shop: SmallShop) -> SmallShop:
    shop.write(
        "orders/1.csv",
        csv(
            "order_id,ordered_at,customer_id,status,currency,discount_amount,shipping_amount,tax_amount,total_amount",
            "1,2025-01-01,a,paid,,,,,10",
            "2,2025-01-02,b,returned,,,5,2,25",
            "3,2025-02-01,a,paid,,3,,,17",
            "4,2025-02-02,a,cancelled,,,,,8",
            "5,2025-02-03,c,paid,,,,,",
            "6,2025-02-04,c,paid,,,,,",
            "7,2025-02-05,c,paid,,,,,-4",
        ),
    )
    shop.write("payments/1.csv", csv("payment_id,order_id,amount,status", "x,5,6,paid", "y,5,1,paid", "z,6,9,failed"))
    return shop


def test_orders_whose_source_delivers_no_lines_are_worth_their_total_else_what_was_paid(tmp_path):
    shop = orders_alone(SmallShop(tmp_path, {"orders": {}, "payments": {}}))
    warehouse = shop.build()
    facts = "select order_id, line_count, amount_basis, gross_amount, discount_amount, return_amount, net_amount"
    right = [
        ("1", 0, "order total", 10, 0, 0, 10),
        ("2", 0, "order total", 20, 0, 20, 0),
        ("3", 0, "order total", 20, 3, 0, 17),
        ("4", 0, "order total", 8, 0, 8, 0),
        ("5", 0, "payments", 7, 0, 0, 7),
        ("6", 0, "none", 0, 0, 0, 0),
        ("7", 0, "order total", 0, 0, 4, -4),
    ]
    assert rows(warehouse, f"{facts} from warehouse.fact_orders order by order_id") == right
    assert rows(warehouse, "select product_id, quantity, net_amount from analytics.product_summary") == [
        ("unknown", 0, 30)
    ]
    assert one(warehouse, "select sum(net_amount) from analytics.monthly_sales") == 30
    checks = shop.audit(warehouse).checks
    assert checks.query("severity == 'error' and state == 'failed'").empty


def test_the_first_line_that_is_delivered_makes_orders_without_lines_orders_without_revenue(tmp_path):
    shop = orders_alone(SmallShop(tmp_path, {"orders": {}, "payments": {}}))
    shop.build(publish=True)
    refunds = SmallShop(tmp_path / "refunds", {"order_items": {}})
    refunds.write(
        "order_items/1.csv", csv("order_id,line_number,product_id,quantity,unit_price,is_return", "1,1,p,1,4,yes")
    )
    source = {"kind": "files", "path": str(refunds.exports), "entities": {"order_items": {"files": "order_items/*"}}}
    own = {"kind": "files", "path": str(shop.exports)}
    own["entities"] = {entity: {"files": f"{entity}/*"} for entity in ("orders", "payments")}
    shop.config = {"sources": {"exports": own, "refunds": source}}
    net = "select order_id, net_amount from warehouse.fact_orders where order_id in ('1', '3') order by 1"
    assert rows(shop.build(publish=True), net) == [("1", 6), ("3", 17)]
    refunds.write(
        "order_items/2.csv", csv("order_id,line_number,product_id,quantity,unit_price,is_return", "3,1,p,1,20,")
    )
    assert rows(shop.build(publish=True), net) == [("1", -4), ("3", 17)]
    assert rows(shop.build(full_refresh=True), net) == [("1", -4), ("3", 17)]


def test_an_amount_that_is_too_large_to_be_true_refuses_its_line(tmp_path):
    shop = SmallShop(tmp_path, {"order_lines": {}})
    shop.write(
        "order_lines/1.csv",
        csv(
            "order_id,ordered_at,product_id,quantity,unit_price,unit_cost,line_total",
            "1,2025-01-01,p,1,10,1,99999999999",
            "2,2025-01-01,p,1,10,1,4006381333931",
            "3,2025-01-01,p,2,10,99999999999,20",
        ),
    )
    assert rows(shop.build(), "select order_id, _rule, _reason from quarantine.order_lines order by 1") == [
        ("2", "amount_too_large", "line_total 4006381333931 is too large"),
        ("3", "amount_too_large", "quantity 2 times unit_cost 99999999999 is too large"),
    ]


def test_a_line_without_a_price_takes_its_products_list_price_of_that_time_where_it_is_told_to(tmp_path):
    entities = {e: {} for e in ("products", "orders")} | {"order_items": {"missing_prices": "list_price"}}
    shop = with_rates(SmallShop(tmp_path, entities), "2025-01-01,USD,0.5")
    shop.write(
        "products/1.csv",
        csv(
            "product_id,name,unit_price,updated_at", "p,Pen,10,2024-01-01", "p,Pen,12,2025-02-01", "f,Free,,2024-01-01"
        ),
    )
    shop.write("products/2.csv", csv("product_id,name,unit_price,currency,updated_at", "d,Dollar,8,USD,2024-01-01"))
    shop.write(
        "orders/1.csv",
        csv("order_id,ordered_at,status,currency", "1,2025-01-05,,", "2,2025-03-05,,USD", "3,2025-03-05,cancelled,"),
    )
    shop.write(
        "order_items/1.csv",
        csv(
            "order_id,line_number,product_id,quantity,unit_price,discount_amount,discount_rate,is_return",
            "1,1,p,2,,1,,",
            "1,2,p,1,9,,,",
            "1,3,p,1,,,,yes",
            "1,4,f,1,,,,",
            "1,5,nosuch,1,,,,",
            "1,6,d,1,,,,",
            "2,1,p,1,,,0.5,",
            "3,1,p,1,,,,",
        ),
    )
    warehouse = shop.build()
    facts = (
        "select order_id, line_number, amount_basis, unit_price, original_gross_amount, original_net_amount, line_type"
    )
    assert rows(warehouse, f"{facts} from warehouse.fact_order_items order by 1, 2") == [
        ("1", 1, "list price", 10, 20, 19, "sale"),
        ("1", 2, "line", 9, 9, 9, "sale"),
        ("1", 3, "list price", 10, 0, -10, "return"),
        ("1", 4, "none", None, 0, 0, "sale"),
        ("1", 5, "none", None, 0, 0, "sale"),
        ("1", 6, "list price", 4, 4, 4, "sale"),
        ("2", 1, "list price", 24, 24, 12, "sale"),
        ("3", 1, "list price", 12, 12, 0, "cancellation"),
    ]
    # Where the source does not say so, these lines are refused, but for the one of an order that was cancelled.
    shop.entities = {**shop.entities, "order_items": {}}
    refused = rows(shop.build(), "select order_id, line_number, _rule from quarantine.order_items order by 1, 2")
    lines = [("1", "1"), ("1", "3"), ("1", "4"), ("1", "5"), ("1", "6"), ("2", "1")]
    assert refused == [(*line, "missing_unit_price") for line in lines]


CURRENCIES = (
    "order_id,ordered_at,currency,total_amount",
    "euro,2025-01-03,EUR,10",
    "none,2025-01-03,,10",
    "dollar,2025-01-04,USD,20",
    # Two hours before midnight in UTC it is the next day in Berlin.
    "late,2025-01-05T23:30Z,USD,20",
    "yen,2025-12-31,JPY,5000",
    "early,2025-01-01,USD,7",
    "unknown,2025-01-03,CHF,9",
)


def in_currencies(root, *rates: str) -> SmallShop:
    shop = with_rates(SmallShop(root, {e: {} for e in ("products", "orders", "order_items", "payments")}), *rates)
    shop.write("products/1.csv", csv("product_id,name,unit_cost,currency", "p,Pen,2,", "q,Quill,10,USD"))
    shop.write("orders/1.csv", csv(*CURRENCIES))
    shop.write(
        "order_items/1.csv",
        csv(
            "order_id,line_number,product_id,quantity,unit_price,discount_amount",
            "euro,1,p,1,10,",
            "none,1,q,1,10,",
            "dollar,1,p,1,22,2",
            "late,1,q,1,20,",
            "yen,1,p,1,5000,",
            "early,1,p,1,7,",
            "unknown,1,p,1,9,",
        ),
    )
    shop.write(
        "payments/1.csv",
        csv(
            "payment_id,order_id,amount,currency,status",
            "a,dollar,20,,paid",
            "b,euro,10,USD,paid",
            "c,yen,5000,JPY,refunded",
            "d,unknown,9,,paid",
        ),
    )
    return shop


RATES = ("2025-01-03,USD,0.95", "2025-01-04,USD,0.97", "2025-01-06,USD,0.5", "2025-12-30,JPY,0.00545")


def test_amounts_are_converted_at_the_last_rate_known_on_the_day_of_the_order(tmp_path):
    warehouse = in_currencies(tmp_path, *RATES).build()
    facts = "select order_id, currency, exchange_rate, net_amount, original_net_amount"
    right = {
        "euro": ("EUR", 1, 10, 10),
        "none": ("EUR", 1, 10, 10),
        "dollar": ("USD", Decimal("0.97"), Decimal("19.4"), 20),
        "late": ("USD", Decimal("0.5"), 10, 20),
        "yen": ("JPY", Decimal("0.00545"), Decimal("27.25"), 5000),
        "early": ("USD", None, None, 7),
        "unknown": ("CHF", None, None, 9),
    }
    for table in ("fact_orders", "fact_order_items"):
        assert {order: tuple(rest) for order, *rest in rows(warehouse, f"{facts} from warehouse.{table}")} == right
    assert one(warehouse, "select sum(net_amount) from analytics.monthly_sales") == Decimal("76.65")
    # 2 euros, 10 dollars of another day, and costs that nobody knows where nobody knows the rate.
    assert dict(rows(warehouse, "select order_id, cost_amount from warehouse.fact_orders")) == {
        "euro": 2, "none": Decimal("9.5"), "dollar": 2, "late": 5, "yen": 2, "early": 2, "unknown": 2
    }  # fmt: skip
    assert rows(
        warehouse, "select total_amount, original_total_amount from warehouse.fact_orders where order_id = 'yen'"
    ) == [(Decimal("27.25"), 5000)]
    assert rows(
        warehouse,
        "select payment_id, currency, amount, paid_amount, refunded_amount, original_amount"
        " from warehouse.fact_payments order by 1",
    ) == [
        ("a", "USD", Decimal("19.4"), Decimal("19.4"), 0, 20),
        ("b", "USD", Decimal("9.5"), Decimal("9.5"), 0, 10),
        ("c", "JPY", Decimal("27.25"), 0, Decimal("27.25"), 5000),
        ("d", "CHF", None, None, 0, 9),
    ]


def test_without_rates_nothing_is_summed_across_currencies_and_a_check_says_so(tmp_path):
    shop = in_currencies(tmp_path)
    warehouse = shop.build()
    assert one(warehouse, "select sum(net_amount) from analytics.monthly_sales") == 20
    checks = shop.audit(warehouse).checks.set_index("check_name")
    assert checks.loc["orders_have_an_exchange_rate", "failing_rows"] == 5
    assert checks.loc["payments_have_an_exchange_rate", "failing_rows"] == 4


def test_large_amounts_are_converted_and_checked_as_small_ones_are(tmp_path):
    """A product of two decimals holds 18 digits with all their places: 10,000 at a rate of ten places is too much."""
    shop = with_rates(
        SmallShop(tmp_path, {"order_lines": {"missing_prices": "list_price"}, "products": {}, "payments": {}}),
        "2025-01-01,CHF,1.05",
        "2025-01-01,IDR,0.00005712",
    )
    shop.write("products/1.csv", csv("product_id,name,unit_price,unit_cost,currency", "m,Mill,45000000,30000000,IDR"))
    header = (
        "order_id,ordered_at,customer_id,currency,product_id,quantity,unit_price,discount_rate,line_total,total_amount"
    )
    shop.write(
        "order_lines/1.csv",
        csv(
            header,
            "1,2025-01-05 10:00,a,EUR,e,2,12500,,25000,25000",
            "2,2025-01-06 11:00,b,CHF,c,3,12000,,,36000",
            "3,2025-01-07 12:00,c,IDR,i,2,1250000000,0.1,2500000000,2250000000",
            "4,2025-01-08 13:00,d,IDR,m,4,,0.5,,",
            "5,2025-01-09 14:00,e,CHF,c,1,12000,,13000,",
            "6,2025-01-09 15:00,f,CHF,c,2,12000,,,12000",
            "7,2025-01-09 15:00,f,CHF,c,1,12000,,,",
            "7,2025-01-09 15:00,f,CHF,c,1,12000,,,",
            "8,2025-01-09 15:00,f,CHF,c,x,12000,,,",
        ),
    )
    shop.write("payments/1.csv", csv("payment_id,order_id,amount,currency,status", "p,2,36000,CHF,paid"))
    warehouse = shop.build()
    facts = "select order_id, sum(net_amount), sum(original_net_amount) from warehouse.fact_order_items"
    assert [tuple(map(str, row)) for row in rows(warehouse, f"{facts} where order_id < '5' group by 1 order by 1")] == [
        ("1", "25000.0000", "25000.0000"),
        ("2", "37800.0000", "36000.0000"),
        ("3", "128520.0000", "2250000000.0000"),
        ("4", "5140.8000", "90000000.0000"),
    ]
    assert one(warehouse, "select amount from warehouse.fact_payments") == 37_800
    checks = shop.audit(warehouse).checks
    assert checks.loc[checks["state"] == "broken", "check_name"].tolist() == []


def test_other_rates_build_the_facts_anew(tmp_path):
    shop = in_currencies(tmp_path, *RATES)
    net = "select net_amount from warehouse.fact_orders where order_id = 'dollar'"
    assert one(shop.build(publish=True), net) == Decimal("19.4")
    with_rates(shop, *RATES, "2025-01-02,CHF,1")
    assert one(shop.build(publish=True), "select net_amount from warehouse.fact_orders where order_id = 'unknown'") == 9
    with_rates(shop, "2025-01-04,USD,0.5")
    assert one(shop.build(publish=True), net) == 10


def test_both_engines_make_the_same_of_all_this(tmp_path, new_database, monkeypatch):
    shop = in_currencies(tmp_path, *RATES)
    shop.entities = {e: {} for e in ("products", "orders", "payments")} | {
        "order_items": {"missing_prices": "list_price"}
    }
    shop.write("orders/2.csv", csv(CURRENCIES[0], *(f'"{name}",2025-01-04,USD,' for name in LINES)))
    shop.write("order_items/2.csv", csv(ITEMS, *(f'"{name}",1,p,{given},1,2' for name, (given, _) in LINES.items())))
    shop.write("order_items/3.csv", csv(ITEMS, "dollar,2,q,3" + "," * 11))
    shop.write("products/2.csv", csv("product_id,name,unit_cost,currency,unit_price", "q,Postage,10,USD,8"))
    till = orders_alone(SmallShop(tmp_path / "till", {"orders": {}, "payments": {}}))
    own = {"kind": "files", "path": str(shop.exports)}
    own["entities"] = {e: {"files": f"{e}/*", **options} for e, options in shop.entities.items()}
    alone = {"kind": "files", "path": str(till.exports)}
    alone["entities"] = {e: {"files": f"{e}/*"} for e in ("orders", "payments")}
    shop.config = {"sources": {"exports": own, "till": alone}, "models": {"non_products": ["^qu[a-z]+l$"]}}
    tables = {
        "warehouse.fact_order_items": "order_id, line_number",
        "warehouse.fact_orders": "order_id",
        "warehouse.fact_payments": "payment_id",
        "warehouse.dim_exchange_rate": "currency, rate_date",
        "warehouse.dim_products": "product_id, valid_from",
        "analytics.monthly_sales": "month",
        "analytics.product_summary": "product_id",
        "ops.line_repairs": "order_id",
    }

    def found(warehouse: Warehouse, schema: str = "{}") -> dict[str, str]:
        queries = {t: f"select * from {schema.format(t)} order by {order}" for t, order in tables.items()}
        answers = {t: warehouse.query(sql).drop(columns="product_key", errors="ignore") for t, sql in queries.items()}
        return {
            t: answer.map(lambda v: float(v) if isinstance(v, Decimal) else v).to_csv() for t, answer in answers.items()
        }

    expected = found(shop.build())
    url = new_database()
    monkeypatch.setenv("WAREHOUSE_URL", url)
    init_db(url, {})
    shop.config = {**shop.config, "warehouse": {"memory_limit": "1GB", "threads": 2, "target": "postgres"}}
    on_postgres = found(shop.build(publish=True))
    for table in tables:
        assert on_postgres[table] == expected[table], table
    assert expected["warehouse.fact_order_items"].count("list price") == 1
    assert expected["warehouse.fact_orders"].count("order total") == 5
