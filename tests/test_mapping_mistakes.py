"""Checks for mistakes of mapping: each finds its mistake and names the key that mends it, and honest data pass."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from lib.clean import load
from lib.model.dbt import build_models
from lib.quality import audit as auditing
from lib.quality.audit import Audit
from lib.warehouse import Warehouse, open_warehouse
from tests.small_shop import SmallShop, csv

HEADER = (
    "order_id,ordered_at,customer_id,product_id,line_number,quantity,unit_price,discount_amount,total_amount,tax_amount,"
    "line_total,discount_rate,cancelled_at,currency"
)
#: Checks that find mistakes of mapping; those of the first group refuse.
REFUSING = {
    "prices_are_not_those_of_whole_lines",
    "line_amounts_are_not_those_of_orders",
    "totals_are_no_lines",
    "orders_are_mostly_sales",
    "no_line_is_most_of_the_revenue",
    "orders_have_one_currency",
    "discounts_are_no_rates",
    "discounts_are_no_percents",
    "line_discounts_are_not_those_of_orders",
    "amounts_are_in_one_unit",
    "orders_are_delivered_by_one_source",
}
WARNING = {
    "orders_are_told_apart",
    "orders_keep_a_shops_hours",
    "lines_are_of_their_orders_size",
    "ids_are_those_of_their_own_column",
}


def line(
    n: int, quantity: object = 1, price: object = 10, discount: object = "", total: object = "", **own: object
) -> str:
    values = {"order": f"o{n}", "at": f"2024-01-{1 + n % 28:02d} {8 + n % 10:02d}:{n % 60:02d}:07"}
    values |= {"customer": f"c{n % 7}", "product": f"p{n % 3}"} | own
    order, at, customer, product = (values[name] for name in ("order", "at", "customer", "product"))
    others = ",".join(str(own.get(name, "")) for name in ("tax", "line_total", "rate", "cancelled", "currency"))
    return f"{order},{at},{customer},{product},{n},{quantity},{price},{discount},{total},{others}"


def order(n: int, *lines: Mapping[str, object]) -> list[str]:
    """Return the lines of one order, each with products of its own."""
    own = {
        "order": f"o{n}",
        "at": f"2024-01-{1 + n % 28:02d} {8 + n % 10:02d}:{n % 60:02d}:07",
        "customer": f"c{n % 7}",
    }
    return [line(10 * n + i, **own | {"product": f"p{(n + i) % 4}"} | values) for i, values in enumerate(lines)]


def orders(count: int, of: Callable[[int], Iterable[Mapping[str, object]]]) -> list[str]:
    return [row for n in range(count) for row in order(n, *of(n))]


def payment(n: int, amount: object) -> str:
    return f"y{n},o{n},{amount}"


def a_shop(folder: Path, sources: Mapping[str, tuple[Iterable[str], Iterable[str]]], **config: object) -> SmallShop:
    """Return a shop of many sources, each with order lines and payments of its own."""
    options: dict[str, object] = {}
    for number, (name, (lines, payments)) in enumerate(sources.items()):
        place = folder / "exports" / name
        # An order's id is a customer's or a product's in some of them, so they begin alike.
        named = ("order_id", "customer_id", "product_id", *(("payment_id",) if payments else ()))
        ids = dict.fromkeys(named, f"{number}-")
        entities = {"order_lines": {"files": "lines.csv"}} | ({"payments": {"files": "paid.csv"}} if payments else {})
        options[name] = {"kind": "files", "path": str(place), "id_prefixes": ids, "entities": entities}
        place.mkdir(parents=True)
        (place / "lines.csv").write_text(csv(HEADER, *lines))
        (place / "paid.csv").write_text(csv("payment_id,order_id,amount", *payments))
    return SmallShop(folder, config={"sources": options, **config})


def told(warehouse: Warehouse, audit: Audit) -> dict[tuple[str, str], str]:
    """Return what the checks for mistakes of mapping say, by source and check."""
    said = {}
    for check in REFUSING | WARNING:
        if check in audit.failing_sql:
            found = warehouse.query(audit.failing_sql[check])
            for row in found.to_dict("records"):
                said[row["source"], check] = str(row.get("finding", ""))
    return said


def cents(amount: float) -> str:
    return f"{amount:.2f}"


#: What lines of one order have in common.
ONE_ORDER = {"at": "2024-01-05 10:05:07", "customer": "c1"}


def whole_lines() -> list[str]:
    """Five units of a product at five times its price, and so on."""
    return [line(n, quantity=1 + n % 4, price=cents((1 + n % 4) * (3 + n % 3))) for n in range(24)]


def whole_lines_less_discounts() -> list[str]:
    rates = (0, 0, 0.2, 0, 0.5, 0.3, 0)
    return [
        line(n, quantity=1 + n % 9, price=cents((1 + n % 9) * (20 + n % 3) * (1 - rates[n % 7]))) for n in range(60)
    ]


MISTAKES = {
    "prices of lines": (whole_lines(), (), "prices_are_not_those_of_whole_lines", "`line_total`"),
    "prices of lines, discounted": (
        whole_lines_less_discounts(),
        (),
        "prices_are_not_those_of_whole_lines",
        "`line_total`",
    ),
    "prices of lines, by the order's total": (
        [line(1, 3, "30.00", total="30.00"), line(2, 1, "7.00", total="7.00")],
        (),
        "prices_are_not_those_of_whole_lines",
        "`line_total`",
    ),
    "prices of lines, by the tax": (
        [line(1, 1, "89.90", 10, tax="17.08"), line(2, 2, "42.00", tax="7.98"), line(3, 1, "18.00", tax="3.42")],
        (),
        "prices_are_not_those_of_whole_lines",
        "`line_total`",
    ),
    "totals of orders on lines": (
        orders(12, lambda n: [{"price": "", "line_total": 20 + 3 * n}] * (1 + n % 3)),
        (),
        "line_amounts_are_not_those_of_orders",
        "`total_amount`",
    ),
    "totals of orders beside prices": (
        orders(3, lambda n: [{"price": 5 + n, "line_total": 12 + 2 * n}, {"price": 7 + n, "line_total": 12 + 2 * n}]),
        (),
        "line_amounts_are_not_those_of_orders",
        "`total_amount`",
    ),
    "totals of orders as prices": (
        orders(12, lambda n: [{"price": 20 + 3 * n}] * (1 + n % 3)),
        (),
        "line_amounts_are_not_those_of_orders",
        "`total_amount`",
    ),
    "subtotals": (
        orders(6, lambda n: [{"price": 10 + n}, {"price": 5 + n}, {"price": 15 + 2 * n, "product": "all"}]),
        (),
        "totals_are_no_lines",
        "`where`",
    ),
    "a monthly total": (
        orders(31, lambda n: [{"price": 10 + n}] if n < 30 else [{"price": sum(range(10, 40)), "product": "all"}]),
        (),
        "totals_are_no_lines",
        "`where`",
    ),
    "all cancelled": (
        [line(n, cancelled="2024-02-05") for n in range(12)],
        (),
        "orders_are_mostly_sales",
        "`cancelled_at`",
    ),
    "a barcode": (
        [line(n, quantity=40170725 if n == 30 else 1) for n in range(60)],
        (),
        "no_line_is_most_of_the_revenue",
        "`quantity`",
    ),
    "two barcodes": (
        [line(n, quantity=40170725 if n in (30, 40) else 1) for n in range(60)],
        (),
        "no_line_is_most_of_the_revenue",
        "`quantity`",
    ),
    "currencies of lines": (
        orders(6, lambda n: [{"currency": "EUR"}, {"currency": "EUR" if n % 2 else "USD", "price": 12}]),
        (),
        "orders_have_one_currency",
        "`currency`",
    ),
    "percents": (
        [line(n, price=cents(8 + 3 * (n % 7)), discount=(0, 10, 15, 20, 25)[n % 5]) for n in range(30)],
        (),
        "discounts_are_no_percents",
        "`discount_rate` with `factor: 0.01`",
    ),
    "percents of dear goods": (
        [line(n, price=100 * (1 + n % 7), discount=(10, 15, 20, 25, 50)[n % 5]) for n in range(70)],
        (),
        "discounts_are_no_percents",
        "`discount_rate` with `factor: 0.01`",
    ),
    "rates in percent": (
        [line(n, rate=(0, 5, 10, 20)[n % 4]) for n in range(12)],
        (),
        "discounts_are_no_percents",
        "`factor: 0.01`",
    ),
    "discounts of orders on lines": (
        orders(5, lambda n: [{"price": 10 + n, "discount": 1.1 + n}, {"price": 30 + n, "discount": 1.1 + n}]),
        (),
        "line_discounts_are_not_those_of_orders",
        "`order_discount_amount`",
    ),
    "rates": (
        [line(n, price=cents(80 + n), discount=(0.2, 0, 0.15, 0.3)[n % 4]) for n in range(12)],
        (),
        "discounts_are_no_rates",
        "`discount_rate`",
    ),
    "one rate": (
        [line(1, 5, "957.5775", "0.45"), line(2, 2, "261.96", 0)],
        (),
        "discounts_are_no_rates",
        "`discount_rate`",
    ),
    "totals in cents": ([line(n, total=1000) for n in range(5)], (), "amounts_are_in_one_unit", "`factor: 0.01`"),
    "payments in cents": (
        [line(n, total=10) for n in range(5)],
        [f"y{n},o{n},1000" for n in range(5)],
        "amounts_are_in_one_unit",
        "`factor: 0.01`",
    ),
    "lines in cents": (
        [line(n, price=1000 + n) for n in range(5)],
        [f"y{n},o{n},{cents(10 + n / 100)}" for n in range(5)],
        "amounts_are_in_one_unit",
        "`factor: 0.01`",
    ),
    "one order": (
        [line(n, **({"order": "o1"} | ONE_ORDER if n < 40 else {})) for n in range(60)],
        (),
        "orders_are_told_apart",
        "`order_id`",
    ),
    "dates of another zone": (
        [line(n, at=f"2024-0{1 + n % 9}-05 20:00") for n in range(12)],
        (),
        "orders_keep_a_shops_hours",
        "`time_zone`",
    ),
    "sold at night": (
        [line(n, at=f"2024-01-05 0{n % 4}:{n % 60:02d}:11") for n in range(60)],
        (),
        "orders_keep_a_shops_hours",
        "`time_zone`",
    ),
    "customers are orders": (
        [line(n, customer=f"o{n}") for n in range(9)],
        (),
        "ids_are_those_of_their_own_column",
        "`customer_id`",
    ),
    "one customer": (
        [line(n, customer="shop") for n in range(60)],
        (),
        "ids_are_those_of_their_own_column",
        "`customer_id`",
    ),
    "products are orders": (
        [line(n, product=f"o{n}") for n in range(9)],
        (),
        "ids_are_those_of_their_own_column",
        "`product_id`",
    ),
    "a line of a thousand": (
        [line(n, total=10) for n in range(160)] + [line(160, 100, 10, total=10.5)],
        (),
        "lines_are_of_their_orders_size",
        "",
    ),
}


HONEST = {
    "all costs the same": orders(24, lambda n: [{"price": 10 if n < 12 else 16}] * (1 + n % 3)),
    "seats": orders(24, lambda n: [{"price": 20 + n, "product": f"{n} {seat}"} for seat in range(1 + n % 3)]),
    "one line is the sum of two": orders(12, lambda n: [{"price": 10}, {"price": 20}, {"price": 30 if n == 5 else 40}]),
    "half are cancelled": [line(n, cancelled="2024-02-05" if n % 2 else "") for n in range(20)],
    "five are cancelled": [line(n, cancelled="2024-02-05") for n in range(5)],
    "one great sale": [line(n, quantity=50 if n == 30 else 1) for n in range(60)],
    "one great sale of a few": [line(n, quantity=50 if n == 3 else 1) for n in range(12)],
    "vouchers": [line(n, price=20 * (1 + n % 7), discount=(5, 10, 15, 20, 25, 30, 35)[n % 7]) for n in range(70)],
    "vouchers of one kind": [line(n, price=20 * (1 + n % 7), discount=(5, 0, 10)[n % 3]) for n in range(70)],
    "a discount on each of two equal lines": orders(9, lambda n: [{"price": 20, "discount": 1.1 + n}] * 2),
    "a deposit on each line": orders(
        9, lambda n: [{"price": 10 + n, "discount": 0.25}, {"price": 20, "discount": 0.25}]
    ),
    "a rate on all lines": orders(
        9, lambda n: [{"price": 10 + n, "discount": 1 + n / 10}, {"price": 20, "discount": cents(2)}]
    ),
    "one line in another currency": orders(210, lambda n: [{"currency": "EUR"}, {"currency": "EUR" if n else "USD"}]),
    "one tax for all": [line(n, 1 + n % 4, 10 + n, tax=cents((1 + n % 4) * (10 + n) * 0.19)) for n in range(20)],
    "taxes of many states": [line(n, 1 + n % 2, 10 + n, tax=cents((10 + n) * (0.04 + n % 5 / 100))) for n in range(20)],
    "cheaper by the dozen": [line(n, quantity=1 + n % 12, price=cents(10 - n % 12 * 0.3)) for n in range(48)],
    "a price that rises": [line(n, quantity=1 + n % 4, price=cents(5 + n / 10)) for n in range(48)],
    "prices of all kinds under one id": [
        line(n, 1 + n * 7 % 5, cents(5 + n * 13 % 50), product="misc") for n in range(48)
    ],
    "one deposit a bottle": [line(n, 6, 1.5, 0.25) for n in range(30)],
    "discounts of a few cents": [line(n, 2, 2.5, (0.2, 0.5, 1)[n % 3]) for n in range(30)],
    "roundings": [line(n, 1, cents(40 + n), (0.01, 0.02, 0.03, 0.04)[n % 4]) for n in range(30)],
    "bags brought along": [line(n, 1, cents(40 + n), 0.05) for n in range(30)],
    "dates alone": [
        line(n, at=f"2024-01-{n % 28:02d}T23:00Z" if n % 28 else "2024-02-01T23:00Z", total=10) for n in range(60)
    ],
    "one large order of a small shop": [line(n, **({"order": "o1"} | ONE_ORDER if n < 20 else {})) for n in range(45)],
    "a bar": [line(n, at=f"2024-01-05 {(17 + n % 8) % 24:02d}:{n % 60:02d}:10") for n in range(80)],
    "a new shop of three orders": [line(1, 2, 10, total=20), line(2, 1, 10, total=10), line(3, 1, 5, total=5)],
    "shipping is dear": [line(n, price=1, total="") for n in range(9)],
}


@pytest.fixture(scope="module")
def shop_of_all(tmp_path_factory) -> SmallShop:
    """One shop with all mistakes and all honest data, each in a source of its own."""
    sources = {name(title): (lines, payments) for title, (lines, payments, *_) in MISTAKES.items()}
    sources |= {name(title): (lines, ()) for title, lines in HONEST.items()}
    return a_shop(tmp_path_factory.mktemp("shop"), sources)


@pytest.fixture(scope="module")
def audited(shop_of_all) -> tuple[dict[tuple[str, str], str], Audit]:
    """What the checks say of it."""
    warehouse = shop_of_all.build()
    audit = shop_of_all.audit(warehouse)
    return told(warehouse, audit), audit


def name(title: str) -> str:
    return re.sub(r"\W+", "_", title)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_mapping_is_found_and_names_the_key_that_mends_it(mistake, audited):
    _, _, check, key = MISTAKES[mistake]
    said = {of_check: text for (source, of_check), text in audited[0].items() if source == name(mistake)}
    assert set(said) == {check} and key in said[check]


@pytest.mark.parametrize("shop", HONEST)
def test_honest_data_are_no_mistake(shop, audited):
    assert not [check for source, check in audited[0] if source == name(shop)]


def test_mistakes_that_make_revenue_wrong_refuse_and_name_what_lets_them_pass(audited):
    # The reason for the score names its worst checks too.
    reasons = [r for r in audited[1].reasons if "`quality.accept: [" in r and not r.startswith("the overall score")]
    assert {reason.partition(":")[0] for reason in reasons} == REFUSING - {"orders_are_delivered_by_one_source"}
    assert all(f"`quality.accept: [{reason.partition(':')[0]}]`" in reason for reason in reasons)


def two_systems(folder: Path, ids: str) -> SmallShop:
    """Return a shop whose till and books deliver orders of the same customers, times and amounts."""
    lines = {"files": "lines.csv"}
    options = {
        name: {"kind": "files", "path": str(folder / name), "entities": {"order_lines": lines}} for name in ("a", "b")
    }
    for source, begins in (("a", "o"), ("b", ids)):
        (folder / source).mkdir(parents=True)
        content = csv(
            HEADER, *(line(n, 1 + n % 3, 10 + n, order=f"{begins}{n}") for n in range(12)), line(99, order="total")
        )
        (folder / source / "lines.csv").write_text(content)
    return SmallShop(folder, config={"sources": options})


def test_orders_of_two_systems_under_other_ids_and_words_for_totals_are_found(tmp_path):
    shop = two_systems(tmp_path, "SO-")
    warehouse = shop.build()
    said = told(warehouse, shop.audit(warehouse))
    assert "`id_prefixes`" in said["a", "orders_are_delivered_by_one_source"]
    (total,) = [text for (_, check), text in said.items() if check == "totals_are_no_lines"]
    assert "`where`" in total and "order total" in total


def test_postgres_finds_the_same_mistakes_money_and_scores(shop_of_all, audited, new_database, monkeypatch):
    said, on_duckdb = audited
    monkeypatch.setenv("WAREHOUSE_URL", new_database())
    settings = shop_of_all.settings.on("postgres")
    warehouse = open_warehouse(settings, "run")
    warehouse.begin()
    load.load_stage(settings, warehouse, "run1")
    build_models(settings, warehouse, "staging", "clean", "quality", "warehouse", "analytics")
    audit = auditing.audit(settings, warehouse, "run1")
    assert told(warehouse, audit) == said
    assert (audit.reasons, audit.score) == (on_duckdb.reasons, on_duckdb.score)
    pd.testing.assert_frame_equal(audit.money.rows, on_duckdb.money.rows, check_exact=False)


def test_a_finding_that_is_right_for_the_shop_is_accepted_by_name(tmp_path):
    accept = {"accept": ["prices_are_not_those_of_whole_lines"]}
    shop = a_shop(tmp_path, {"till": (whole_lines(), ())}, quality=accept)
    audit = shop.audit(shop.build())
    state = audit.checks.set_index("check_name").loc["prices_are_not_those_of_whole_lines", "state"]
    assert (state, audit.passed, audit.scores["validity"]) == ("accepted", True, 100)
