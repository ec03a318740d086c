"""The gate protects the money: what of it is as delivered, what is refused and by which key, and control totals."""

from typing import Any

import pandas as pd
import pytest

from lib.quality import money, score, tables, words
from lib.quality.audit import Audit
from lib.quality.money import COLUMNS, Money, summed
from tests.small_shop import SmallShop, csv, rows

LINES = "order_id,ordered_at,customer_id,product_id,line_number,quantity,unit_price,total_amount"


def line(number: int, *, order: int | None = None, price: object = 10, quantity: object = 1, total: object = "") -> str:
    order = number if order is None else order
    day = f"2024-01-{1 + number % 28:02d} {8 + number % 10:02d}:17"
    return f"o{order},{day},c{order},p{number % 3},{number},{quantity},{price},{total}"


def a_shop(folder, *lines: str, header: str = LINES, source: dict[str, Any] | None = None, **gate: object) -> SmallShop:
    shop = SmallShop(folder, {"order_lines": {}}, source=source or {}, config={"quality": gate} if gate else {})
    shop.write("order_lines/1.csv", csv(header, *lines))
    return shop


def audited(shop: SmallShop) -> Audit:
    return shop.audit(shop.build())


def of_gate(audit: Audit) -> str:
    return "\n".join(audit.reasons)


def of_source(audit: Audit, kind: str = "sales") -> dict[str, Any]:
    (row,) = audit.money.rows.query("kind == @kind").to_dict("records")
    return row


# Where the money is


def test_money_is_as_delivered_merged_or_in_quarantine_and_unreadable_amounts_count_as_the_mean(tmp_path):
    good = [line(n) for n in range(96)]
    shop = a_shop(tmp_path, *good, good[0], good[0], line(97, quantity="three", price=20), line(98, price="four"))
    audit = audited(shop)
    found = of_source(audit)
    assert (found["rows"], found["unread_rows"]) == (100, 2)
    # The two rows whose amount cannot be read are counted with what the other 98 come to on average.
    assert [found[part] for part in ("delivered", "as_delivered", "merged", "quarantined")] == [1000, 960, 20, 20]
    assert audit.money.sentence() == (
        "96.0\N{NO-BREAK SPACE}% of 1,000\N{NO-BREAK SPACE}EUR is as delivered, 2.0\N{NO-BREAK SPACE}% merged as"
        " duplicates, 2.0\N{NO-BREAK SPACE}% in quarantine"
    )
    assert audit.passed and audit.scores["money"] < 98
    kept = rows(shop_copy(shop), "select source, kind, delivered, as_delivered from quality.money")
    assert kept == [("exports", "sales", 1000.0, 960.0)]


def shop_copy(shop: SmallShop) -> Any:
    from lib.warehouse import open_warehouse

    return open_warehouse(shop.settings, "run")


def test_what_came_again_in_another_file_is_no_money_of_its_own(tmp_path):
    shop = a_shop(tmp_path, *(line(n) for n in range(10)))
    shop.write("order_lines/2.csv", csv(LINES, *(line(n) for n in range(5, 15))))
    audit = audited(shop)
    assert (audit.money.total(), audit.money.total("as_delivered")) == (150, 150)
    assert audit.money.sentence() == "all of 150\N{NO-BREAK SPACE}EUR is as delivered"


def test_without_lines_the_totals_of_orders_are_the_money_and_payments_stand_beside_them(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "payments": {}})
    shop.write("orders/1.csv", csv("order_id,ordered_at,total_amount", "1,2024-01-05,50", "2,2024-01-06,11"))
    shop.write("payments/1.csv", csv("payment_id,order_id,amount", "x,1,50", "y,2,11", "z,3,4"))
    audit = audited(shop)
    assert (of_source(audit)["delivered"], of_source(audit)["as_delivered"]) == (61, 61)
    assert (of_source(audit, "payments")["delivered"], of_source(audit, "payments")["quarantined"]) == (65, 4)


def test_totals_that_differ_from_their_lines_are_unexplained_money_by_their_difference(tmp_path):
    audit = audited(a_shop(tmp_path, *(line(n, total=10) for n in range(9)), line(9, total=14)))
    assert of_source(audit)["unexplained"] == 4
    assert "4.0\N{NO-BREAK SPACE}%" not in of_gate(audit)
    audit = audited(
        a_shop(tmp_path / "more", *(line(n, total=10) for n in range(8)), *(line(n, total=14) for n in (8, 9)))
    )
    assert "8.0\N{NO-BREAK SPACE}% of the money (8 EUR of 100) is what the orders' totals and their lines" in of_gate(
        audit
    )
    assert "`quality.max_money_unexplained` allows 5.0" in of_gate(audit)


def test_lines_that_disagree_with_their_prices_are_unexplained_where_no_total_bears_them_out(tmp_path):
    header = LINES + ",line_total,line_amount,discount_amount"
    good = [line(n) + ",10,9,1" for n in range(8)]
    audit = audited(a_shop(tmp_path, *good, line(8) + ",17,,", line(9) + ",,13,", header=header))
    assert of_source(audit)["unexplained"] == 7 + 3
    assert not audit.money.sentence().startswith("all of")
    assert "or lines and their prices, differ by" in of_gate(audit)
    borne_out = [line(8, total=17) + ",17,,", line(9, total=13) + ",,13,"]
    audit = audited(a_shop(tmp_path / "totals", *good, *borne_out, header=header))
    assert of_source(audit)["unexplained"] == 0
    low = audited(a_shop(tmp_path / "low", *good, *borne_out, header=header, min_score=99.9)).reasons
    assert any("line_totals_agree_with_their_prices: a line's total is" in r and "`quality.accept: [" in r for r in low)


# What is refused


def test_more_than_a_tenth_in_quarantine_is_refused_with_the_reason_and_the_key_that_mends_it(tmp_path):
    lines = [line(n) for n in range(8)] + [line(n).replace(f"2024-01-{n + 1:02d}", "03/04/2024") for n in (8, 9)]
    audit = audited(a_shop(tmp_path, *lines))
    assert not audit.passed
    assert "2 of 10 order lines of exports could not be used (20\N{NO-BREAK SPACE}%" in of_gate(audit)
    assert "`timestamp_formats`" in of_gate(audit) and "`quality.max_quarantined` allows 10" in of_gate(audit)
    assert "20\N{NO-BREAK SPACE}% of the money (20 EUR of 100) is in quarantine" in of_gate(audit)
    lets = a_shop(
        tmp_path / "lets", *lines, max_quarantined=0.5, max_money_quarantined=0.5, min_score=0, min_dimension={}
    )
    assert audited(lets).passed


def test_payments_of_which_hardly_one_can_be_used_are_refused_and_do_not_vanish_in_the_mean(tmp_path):
    shop = a_shop(tmp_path, *(line(n) for n in range(50)))
    shop.entities = {"order_lines": {}, "payments": {}}
    shop.write(
        "payments/1.csv",
        csv("payment_id,order_id,amount", *(f"y{n},o{n},{n or 'ten'} x" for n in range(50)), "z,o1,10"),
    )
    audit = audited(shop)
    assert "50 of 51 payments of exports could not be used (98" in of_gate(audit)
    assert "amount is no number" in of_gate(audit) and "`decimal` and `thousands`" in of_gate(audit)
    assert audit.scores["validity"] < 80 and audit.score < 80


def test_where_not_one_row_can_be_used_the_first_reason_with_its_count_is_the_message(tmp_path):
    audit = audited(a_shop(tmp_path, *(line(n, price="none") for n in range(4))))
    first = audit.reasons[0]
    assert first.startswith(
        "not one of the 4 order lines of exports can be used: in 4\N{NO-BREAK SPACE}rows unit_price is no number"
    )
    assert "`decimal` and `thousands`" in first and "`quality.allow_unusable_sources: true`" in first
    assert "no source has delivered any yet" not in of_gate(audit)


def test_rows_that_only_wait_are_refused_where_most_do(tmp_path):
    def shop(folder, orders: int) -> SmallShop:
        made = SmallShop(folder, {"orders": {}, "payments": {}})
        made.write(
            "orders/1.csv", csv("order_id,ordered_at,total_amount", *(f"{n},2024-01-05,1" for n in range(orders)))
        )
        payments = [f"{n},{n},1" for n in range(10)]
        made.write("payments/1.csv", csv("payment_id,order_id,amount", *payments))
        made.config = {"quality": {"max_money_quarantined": 1, "min_score": 0, "min_dimension": {}}}
        return made

    assert audited(shop(tmp_path / "some", 7)).passed
    reasons = of_gate(audited(shop(tmp_path / "most", 4)))
    assert "6 of 10 payments of exports wait for others (60" in reasons
    assert "`quality.max_waiting`" in reasons and "`id_prefixes`" in reasons


def test_orders_without_lines_and_amounts_are_refused_and_so_is_a_shop_without_orders_and_events(tmp_path):
    orders = SmallShop(tmp_path / "orders", {"orders": {}})
    orders.write("orders/1.csv", csv("order_id,ordered_at", "1,2024-01-05"))
    assert "none of 1\N{NO-BREAK SPACE}order has a line or an amount" in of_gate(audited(orders))
    orders.config = {"quality": {"allow_orders_without_amounts": True}}
    assert audited(orders).passed
    customers = SmallShop(tmp_path / "customers", {"customers": {}})
    customers.write("customers/1.csv", csv("customer_id,city", "anna,Ulm"))
    assert "there is no order and no event" in of_gate(audited(customers))
    customers.config = {"quality": {"allow_no_orders_and_events": True}}
    assert audited(customers).passed


def test_a_file_that_cannot_be_read_is_refused_unless_its_source_is_optional(tmp_path):
    shop = a_shop(tmp_path, *(line(n) for n in range(20)))
    shop.write("order_lines/2.csv", b"")
    audit = audited(shop)
    assert "1\N{NO-BREAK SPACE}file of exports could not be read: " in of_gate(audit) and "2.csv" in of_gate(audit)
    assert "`quality.allow_unreadable_files: true`" in of_gate(audit)
    shop.source = {"optional": True}
    assert audited(shop).passed
    shop.source = {}
    shop.entities = {"order_lines": {**shop.entities["order_lines"], "optional": True}}
    assert audited(shop).passed


def test_a_key_of_models_under_quality_is_refused_with_its_place(tmp_path):
    with pytest.raises(Exception, match=r"models: \{prices_include_tax: False\}"):
        a_shop(tmp_path, line(1), prices_include_tax=False).settings  # noqa: B018


def test_a_name_in_accept_that_is_no_check_is_refused_with_the_nearest(tmp_path):
    audit = audited(a_shop(tmp_path, *(line(n) for n in range(20)), accept=["orders_have_line"]))
    assert "`quality.accept` names 'orders_have_line', which is no check." in of_gate(audit)
    assert "orders_have_lines" in of_gate(audit)


# Control totals

HELD: dict[str, Any] = {
    "orders": 20,
    "lines": 20,
    "customers": 20,
    "gross_amount": 200.10,
    "net_amount": 200.1,
    "from": "2024-01-01",
    "to": "2024-01-20",
}


def test_control_totals_that_agree_to_the_cent_are_shown_and_let_the_run_pass(tmp_path):
    lines = [line(n) for n in range(19)] + [line(19, price="10.10")]
    audit = audited(a_shop(tmp_path, *lines, source={"expect": HELD}))
    assert audit.passed, audit.reasons
    assert audit.totals.rows["measure"].tolist() == list(HELD)
    assert not len(audit.totals.differing)


@pytest.mark.parametrize(
    ("measure", "stated", "said"),
    [
        ("orders", 21, "exports states orders: 21 (its key `expect`), and the warehouse has 20: \N{MINUS SIGN}1"),
        ("customers", 19, "exports states customers: 19 (its key `expect`), and the warehouse has 20: +1"),
        ("net_amount", 199.99, "net_amount: 199.99 (its key `expect`), and the warehouse has 200.00: +0.01"),
        ("paid_amount", 5, "paid_amount: 5.00 (its key `expect`), and the warehouse has 0.00: \N{MINUS SIGN}5.00"),
        ("from", "2023-12-31", "from: 2023-12-31 (its key `expect`), and the warehouse has 2024-01-01: +1"),
    ],
)
def test_a_control_total_that_differs_is_refused_with_the_difference(tmp_path, measure, stated, said):
    shop = SmallShop(tmp_path, {"order_lines": {"expect": {measure: stated}}})
    shop.write("order_lines/1.csv", csv(LINES, *(line(n) for n in range(20))))
    assert said in of_gate(audited(shop))


def test_stating_a_total_is_no_other_way_of_reading_a_file(tmp_path):
    shop = a_shop(tmp_path, *(line(n) for n in range(20)))
    shop.build(publish=True)
    shop.entities = {"order_lines": {"expect": {"orders": 20}}}
    warehouse = shop.build()
    assert rows(warehouse, "select count(*) from ops.batches where loaded_by = 'run2'") == [(0,)]


# The score


def some_money(**parts: float) -> pd.DataFrame:
    row = dict.fromkeys(COLUMNS, 0.0) | {"source": "till", "kind": "sales", "delivered": 100.0} | parts
    return pd.DataFrame([row])


CHECK = {"check_name": "c", "dimension": "validity", "table_name": "clean.orders", "score": 100.0, "weight": 1.0}


def overall(*, failing: float = 0, weight: float = 1, faulty: int = 0, rewritten: int = 0, **parts: float) -> float:
    """Return the score of a shop with ten checks that pass, and one of which a share of rows fails."""
    checks = [CHECK | {"check_name": f"c{n}", "table_name": f"clean.t{n % 3}"} for n in range(10)]
    checks += [CHECK | {"score": 100 * (1 - failing), "weight": weight}]
    found = pd.DataFrame({"entity": ["orders"], "staged_rows": [10_000], "faulty_rows": [faulty]})
    return score.scores(pd.DataFrame(checks), found.assign(rewritten_rows=rewritten), some_money(**parts)).overall


def test_the_score_is_100_only_where_nothing_is_found():
    assert overall() == 100
    for found in ({"failing": 1e-6}, {"faulty": 1}, {"rewritten": 1}, *({part: 0.001} for part in score.HELD_AGAINST)):
        assert overall(**found) < 100, found
    assert overall(converted=50.0) == 100, "what is converted by a stated rate is no fault"


@pytest.mark.parametrize("what", ["failing", "faulty", "rewritten", *score.HELD_AGAINST])
def test_more_faults_never_raise_the_score(what):
    steps = [0, 1, 5, 50, 99] if what in score.HELD_AGAINST else [0, 10, 100, 1000, 9000]
    found = [overall(**{what: step / 10_000 if what == "failing" else step}) for step in steps]
    assert found == sorted(found, reverse=True) and len(set(found)) == len(found)


def test_a_check_of_which_nearly_all_rows_fail_does_not_vanish_among_those_that_pass():
    assert overall(failing=0.997) < 80
    assert overall(failing=0.997, weight=0.1) > 90, "but for what many shops do not have"


def test_half_of_the_money_in_quarantine_is_seen_in_the_score():
    assert overall(quarantined=50) < 75


def test_amounts_without_any_that_can_be_read_count_by_rows():
    parts = [("till", "payments", "quarantined", 9, 9, 0.0), ("till", "payments", "usable", 1, 0, 0.0)]
    found = Money(summed(pd.DataFrame(parts, columns=["source", "kind", "part", "rows", "unread_rows", "amount"])))
    assert found.share("quarantined", money.PAYMENTS) == 1


# Currencies, guesses

FOREIGN = "order_id,ordered_at,product_id,line_number,quantity,unit_price,currency"


def test_amounts_in_currencies_without_a_rate_are_refused_by_name_and_converted_ones_are_told(tmp_path):
    sold = [
        f"{n},2024-01-05 1{n % 10}:07,p,1,1,10,{'USD' if n == 3 else 'JPY' if n == 4 else 'EUR'}" for n in range(20)
    ]
    shop = SmallShop(tmp_path, {"order_lines": {}})
    shop.write("order_lines/1.csv", csv(FOREIGN, *sold))
    audit = audited(shop)
    assert (
        "1\N{NO-BREAK SPACE}order in JPY and 1\N{NO-BREAK SPACE}order in USD cannot be added to amounts in EUR"
        in of_gate(audit)
    )
    assert "`shop.exchange_rates`" in of_gate(audit) and "`quality.allow_foreign_currencies: true`" in of_gate(audit)
    assert (of_source(audit)["unread_rows"], of_source(audit)["unconverted"]) == (2, 20)
    rates = tmp_path / "rates.csv"
    rates.write_text("date,currency,rate\n2024-01-05,USD,0.9\n2024-01-05,JPY,0.006\n")
    shop.shop = {"exchange_rates": str(rates)}
    audit = audited(shop)
    assert audit.passed, audit.reasons
    assert (of_source(audit)["converted"], of_source(audit)["delivered"]) == (
        pytest.approx(9.06),
        pytest.approx(189.06),
    )


def test_money_that_rests_on_guesses_is_told_and_refused_where_it_is_most(tmp_path):
    header = "order_id,ordered_at,product_id,quantity,unit_price,status"
    sold = [f"{n},2024-01-05 1{n % 10}:07,p{n},1,10,{'in der Schwebe' if n < 5 else 'paid'}" for n in range(19)]
    shop = a_shop(tmp_path, *sold, sold[-1], header=header)
    audit = audited(shop)
    # Five orders of an unknown status, and a line that stands twice without a number or a total.
    assert of_source(audit)["guessed"] == 60
    assert "guess" not in of_gate(audit)
    shop.config = {"quality": {"max_money_guessed": 0.2}}
    assert "30\N{NO-BREAK SPACE}% of the money (60 EUR of 200) rests on guesses" in of_gate(audited(shop))
    assert "`models.statuses`" in of_gate(audited(shop))


def test_orders_without_lines_beside_others_with_lines_are_not_explained(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "order_items": {}})
    shop.write("orders/1.csv", csv("order_id,ordered_at,total_amount", "1,2024-01-05,50", "2,2024-01-06,10"))
    shop.write("order_items/1.csv", csv("order_id,line_number,product_id,quantity,unit_price", "1,1,p,1,50"))
    audit = audited(shop)
    assert (of_source(audit)["delivered"], of_source(audit)["unexplained"]) == (60, 10)


def test_rows_that_where_leaves_out_are_beside_the_money(tmp_path):
    mapped = {name: name for name in LINES.split(",")}
    shop = SmallShop(tmp_path, {"order_lines": {"where": "product_id <> 'p0'", "columns": mapped}})
    shop.write("order_lines/1.csv", csv(LINES, *(line(n) for n in range(30))))
    audit = audited(shop)
    assert (of_source(audit)["delivered"], of_source(audit)["left_out"]) == (200, 100)
    assert audit.passed, audit.reasons


def test_words_that_nobody_explained_are_listed_with_their_rows_and_amounts(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "payments": {}, "events": {}})
    orders = [f"{n},2024-01-05,10,{'in der Schwebe' if n < 2 else 'paid'}" for n in range(9)]
    shop.write("orders/1.csv", csv("order_id,ordered_at,total_amount,status", *orders))
    shop.write("payments/1.csv", csv("payment_id,order_id,amount,status", "x,1,10,paid", "y,2,7,wobbly"))
    events = ["a,2024-01-05 10:00,page_ping,v", "b,2024-01-05 10:01,page_ping,v", "c,2024-01-05 10:02,purchase,v"]
    shop.write("events/1.csv", csv("event_id,event_at,event_type,visitor_id", *events))
    warehouse = shop.build()
    found = words.unexplained(warehouse, shop.audit(warehouse))
    assert found[["word", "rows", "say what it means"]].values.tolist() == [
        ["wobbly", 1, "columns.status: match"],
        ["in der schwebe", 2, "models.statuses"],
        ["page_ping", 2, "models.events"],
    ]
    assert found["amount"].tolist()[:2] == [7, 20]
    shown = tables.unexplained_words(found, "EUR").html
    assert "3\N{NO-BREAK SPACE}words in 5\N{NO-BREAK SPACE}rows that nobody explained" in shown
    assert not tables.unexplained_words(found.iloc[:0])
