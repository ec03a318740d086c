"""Order arithmetic: a line is repaired where its order's total shows how, and left alone where it does not."""

from decimal import Decimal

import pytest

from lib.base.files import PROJECT
from lib.clean.rules import RULES
from lib.model import dbt
from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, csv, one, rows

# One worker builds the shop once for all tests here.
ORDERS = "order_id,ordered_at,status,discount_amount,shipping_amount,tax_amount,total_amount"
ITEMS = "order_id,line_number,product_id,quantity,unit_price,discount_amount"

#: An order's discount, shipping, tax and total; its lines as number, product, quantity, price and discount.
Order = tuple[str, tuple[str, ...]]

#: By name: the order; the line, cell and rule of its repair; the value before and after.
REPAIRED: dict[str, tuple[Order, str]] = {
    "negative quantity": (("0,4.90,4,34.88", ("1,a,-1,9.99,0", "2,b,1,19.99,0")), "1 quantity wrong_sign -1 1"),
    "negative price": (("3,0,4,26.98", ("1,a,1,-9.99,1", "2,b,1,19.99,2")), "1 unit_price wrong_sign -9.99 9.99"),
    "discounts on lines alone": ((",,,27", ("1,a,1,10,1", "2,b,-2,10,2")), "2 quantity wrong_sign -2 2"),
    "weighed": ((",,,13.33", ("1,a,0.333,-9.99,", "2,b,1,10,")), "1 unit_price wrong_sign -9.99 9.99"),
    "weighed wrong": ((",,,5", ("1,a,-0.5,10,",)), "1 quantity wrong_sign -0.500 0.500"),
    "cancelled": ((",,,10", ("1,a,-1,10,",)), "1 quantity wrong_sign -1 1"),
    "paid": ((",,,10", ("1,a,-1,10,",)), "1 quantity wrong_sign -1 1"),
    "turned and came back": ((",,,25", ("1,a,1,5,", "2,b,-2,10,", "3,b,-2,10,")), "2 quantity wrong_sign -2 2"),
    "zero quantity": (("2,5,,63", ("1,a,0,20,1", "2,b,1,20,1")), "1 quantity zeroed 0 2"),
    "zero price": ((",,,39.97", ("10,a,3,0,", "20,b,1,10,")), "10 unit_price zeroed 0.00 9.99"),
    "zero and came back": ((",,,19.98", ("1,a,1,0,", "2,b,1,9.99,", "3,a,-1,9.99,")), "1 unit_price zeroed 0.00 9.99"),
    "cents": ((",,,29.98", ("1,a,1,1999,", "2,b,1,9.99,")), "1 unit_price wrong_unit 1999.00 19.99"),
    "fifty times": ((",,,29.98", ("1,a,2,499.50,", "2,b,1,10,")), "1 unit_price wrong_unit 499.50 9.99"),
    "a hundredth": ((",,,29.98", ("1,a,2,0.0999,", "2,b,1,10,")), "1 unit_price wrong_unit 0.0999 9.99"),
}

LEFT_ALONE: dict[str, Order] = {
    "adds up": ("1,4.90,,23.90", ("1,a,1,10,1", "2,b,1,10,")),
    "one came back": (",,,20", ("1,a,1,10,", "2,b,1,10,", "3,a,-1,10,")),
    "total less what came back": (",,,10", ("1,a,1,10,", "2,b,1,10,", "3,a,-1,10,")),
    "a return of the same product": (",,,30", ("1,a,1,10,", "2,b,1,10,", "3,a,-1,10,")),
    "a return with its discount": (",,,20", ("1,a,1,10,", "2,b,-1,10,-1")),
    "a return of a line that is missing": (",,,20", ("2,b,1,10,", "3,a,-1,10,")),
    "a voucher as a line": (",,,5", ("1,a,1,10,", "2,v,1,-5,")),
    "a gift and tax on top": (",,1.9,11.9", ("1,a,1,10,", "2,gift,1,0,")),
    "no total": (",,,", ("1,a,-1,10,",)),
    "nothing fits": (",,,33", ("1,a,-1,10,", "2,b,1,10,")),
    "two turned": (",,,30", ("1,a,-1,10,", "2,b,-1,20,")),
    "either zero": (",,,30", ("1,a,0,10,", "2,b,0,5,", "3,c,2,10,")),
    "either in cents": (",,,1430", ("1,a,1,110,", "2,b,1,110,", "3,c,1,1100,", "4,d,1,1100,")),
    "no whole quantity": (",,,35", ("1,a,0,10,", "2,b,1,10,")),
    "no price in cents": (",,,20", ("1,a,3,0,", "2,b,1,10,")),
    "no such unit": (",,,40", ("1,a,1,10,",)),
    "paid otherwise": (",,,20", ("1,a,1,10,", "2,b,-1,10,")),
    "costs nothing": (",,,0", ("1,a,1,10,",)),
    "beyond all measure": (",,,90000000000000", ("1,a,0,0.0001,",)),
}

SQL = (
    "select order_id, split_part(key, '|', 2) || ' ' || field || ' ' || rule || ' ' || before || ' ' || after"
    " from ops.line_repairs order by all"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Warehouse:
    entities = ("orders", "order_items", "payments", "order_lines")
    shop = SmallShop(tmp_path_factory.mktemp("shop"), {entity: {} for entity in entities})
    orders = {name: order for name, (order, _) in REPAIRED.items()} | LEFT_ALONE
    heads = [f"{name},2024-01-05,{'cancelled' if name == 'cancelled' else 'paid'},{o[0]}" for name, o in orders.items()]
    lines = [f"{name},{line}" for name, order in orders.items() for line in order[1]]
    # An order whose lines come in two kinds of rows, none with a number.
    shop.write("orders/1.csv", csv(ORDERS, *heads, "flat,2024-01-05,paid,,,,35"))
    shop.write("order_items/1.csv", csv(ITEMS, *lines, "flat,,a,1,10,"))
    shop.write("order_lines/1.csv", csv("ordered_at," + ITEMS, "2024-01-05,flat,,b,-1,25,"))
    payments = ("1,paid,10,paid", "2,paid,7,failed", "3,paid otherwise,10,paid", "4,paid otherwise,10,refunded")
    shop.write("payments/1.csv", csv("payment_id,order_id,amount,status", *payments))
    return shop.build()


def test_a_cell_is_repaired_where_the_order_then_comes_to_its_total(shop):
    expected = {name: repair for name, (_, repair) in REPAIRED.items()}
    assert {name: cell for name, cell in rows(shop, SQL) if name in expected} == expected


def test_what_has_no_or_several_explanations_is_left_alone_and_returns_are_not_mistaken(shop):
    assert {name for name, _ in rows(shop, SQL)} == {*REPAIRED, "flat"}


def test_lines_are_clean_as_repaired_and_staged_as_delivered(shop):
    sql = "select quantity, unit_price from {}.order_items where order_id = 'cents' order by line_number"
    assert rows(shop, sql.format("stage")) == [(1, 1999), (1, Decimal("9.99"))]
    assert rows(shop, sql.format("clean")) == [(1, Decimal("19.99")), (1, Decimal("9.99"))]
    assert rows(shop, "select line_number, quantity, unit_price from clean.order_items where order_id = 'flat'") == [
        (1, 1, 10),
        (2, 1, 25),
    ]
    sql = "select net_amount from warehouse.fact_orders where order_id = 'zero quantity'"
    assert one(shop, sql) == 20 * 2 + 20 - 2


def test_repairs_and_findings_name_the_cell(shop):
    cell = "entity, source, key, field, rule, before, after, source_file, source_row"
    sql = f"select {cell} from ops.repairs where key = 'cents|1'"
    repair = ("order_items", "exports", "cents|1", "unit_price", "wrong_unit", "1999.00", "19.99", "order_items/1.csv")
    assert rows(shop, sql) == [(*repair, one(shop, "select _source_row from stage.order_items where _key = 'cents|1'"))]
    sql = "select entity, family, outcome from quality.record_findings where rule = 'wrong_sign' and family = 'flat'"
    assert rows(shop, sql) == [("order_lines", "flat", "repaired")]
    assert one(shop, "select count(*) from quality.record_findings") == len(REPAIRED) + 1


def test_tax_is_taken_off_the_total_where_prices_are_without_it(tmp_path):
    config = {"models": {"prices_include_tax": False}}
    shop = SmallShop(tmp_path, {"orders": {}, "order_items": {}}, config=config)
    orders = ("out,2024-01-05,paid,1,2,4,15", "in,2024-01-05,paid,1,2,4,11")
    shop.write("orders/1.csv", csv(ORDERS, *orders))
    shop.write("order_items/1.csv", csv(ITEMS, "out,1,a,-1,10,1", "in,1,a,-1,10,1"))
    warehouse = shop.load()
    dbt.build_models(shop.settings, warehouse, "staging", "clean", "quality")
    assert rows(warehouse, SQL) == [("out", "1 quantity wrong_sign -1 1")]


def test_models_name_the_rules_that_are_no_faults():
    text = (PROJECT / "sql" / "macros" / "rules.sql").read_text(encoding="utf-8")
    faultless = {name for name, rule in RULES.items() if not rule.is_fault}
    assert {name for name in RULES if f"'{name}'" in text} == faultless
