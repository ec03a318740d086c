"""Quality: every check can fail, what it finds is flagged, scores follow their formula, and the gate says why it
refuses."""

import math
from dataclasses import dataclass

import pandas as pd
import pytest

from lib.clean.rules import RULES
from lib.config import Gate
from lib.entities import ENTITIES
from lib.quality import audit as auditing
from lib.quality.audit import Audit, failing_rows
from lib.quality.checks import COLUMNS
from lib.quality.gate import below
from lib.quality.score import DIMENSIONS, MONEY, ROWS, Scores, grade
from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, csv, rows
from tests.test_mapping_mistakes import REFUSING, WARNING

# One worker builds the shop once for all tests here.
DOUBLED = "insert into {0} select * from {0}"
EMPTY = "insert into {0} ({1}) values (null)"
WAITS = "insert into quarantine.{0} (_rule, _reason) values ('missing_key', 'its key is missing')"
ODD = "insert into quality.anomalies (rule, source, entity, day) values ('{0}', 'exports', 'orders', date '2024-01-05')"
AGAIN = "insert into ops.dispositions_{0} (row_key, disposition, rule) values ('1', 'merged', 'exact_duplicate')"

#: One way to break each check, applied to the tables of a healthy shop.
DAMAGES = {
    "columns_are_as_before": (
        "insert into ops.schema_changes (source, entity, column_name, change, ingested_by)"
        " select distinct source, 'orders', 'gift', 'new column (string)', ingested_by from ops.batches"
    ),
    "current_versions_are_the_clean_rows": "update clean.customers set city = 'Atlantis'",
    "customers_have_one_id": "update clean.customers set email = 'anna@example.com' where customer_id = 'bert'",
    "customers_of_events_are_known": "update clean.events set customer_id = 'nobody' where event_id = 'e'",
    "customers_of_orders_are_known": "update clean.orders set customer_id = 'nobody' where order_id = '2'",
    "days_bring_about_as_many_rows_as_usual": ODD.format("unusual_volume"),
    "email_addresses_have_their_form": "update clean.customers set email = 'dora at home' where customer_id = 'dora'",
    "events_are_in_one_session": "update analytics.daily_sessions set sessions = sessions + 1",
    "events_are_understood": "update clean.events set event_type = 'odd' where event_id = 'e'",
    "events_arrive_in_time": "update clean.events set event_at = timestamp '2024-01-05 09:00:00' where event_id = 'f'",
    "every_row_is_accounted_for": "update quality.row_accounting set unaccounted_rows = 1",
    "files_can_be_taken": (
        "insert into ops.rejected_files (source, entity, name, reason) values ('exports', 'orders', '9.csv', 'empty')"
    ),
    "gross_and_returns_are_not_negative": "update warehouse.fact_order_items set return_amount = -1",
    "discount_rates_are_parts_of_one": "update clean.order_items set discount_rate = 20 where order_id = '3'",
    "exchange_rates_are_up_to_date": (
        "insert into warehouse.dim_exchange_rate values ('EUR', '1999-01-01', 1, '1998-01-01')"
    ),
    "line_discounts_are_no_larger_than_the_line": "update clean.order_items set discount_amount = 21",
    "line_totals_agree_with_their_prices": "update clean.order_items set line_total = 7 where order_id = '3'",
    "lines_have_a_price": "update clean.order_items set unit_price = 0",
    "lines_have_a_quantity": "update clean.order_items set quantity = 0",
    "net_is_gross_less_discount_less_return": "update warehouse.fact_order_items set net_amount = net_amount + 3",
    "net_revenue_is_the_same_on_every_level": "update analytics.monthly_sales set net_amount = net_amount + 5",
    "no_order_line_is_lost_in_a_join": "delete from warehouse.fact_order_items where order_id = '2'",
    "order_lines_are_numbered_once": DOUBLED.format("clean.order_items"),
    "order_totals_agree_with_their_lines": (
        "update warehouse.fact_orders set total_amount = 49, unexplained_amount = 1 where order_id = '1'"
    ),
    "orders_keep_their_lines": (
        "insert into quality.dropped_lines values ('exports', '1', 'mug', 'orders/1.csv', 'orders/2.csv', 1000)"
    ),
    "orders_have_an_exchange_rate": "update warehouse.fact_orders set exchange_rate = null where order_id = '1'",
    "orders_have_lines": "update warehouse.fact_orders set line_count = 0 where order_id = '2'",
    "orders_are_not_in_the_future": "update clean.orders set ordered_at = timestamp '2140-01-01' where order_id = '2'",
    "orders_are_shipped_after_they_are_placed": (
        "update clean.orders set shipped_at = timestamp '2024-01-03 00:00:00' where order_id = '1'"
    ),
    "orders_follow_their_customers_signup": (
        "update clean.customers set signup_at = timestamp '2024-01-06 00:00:00' where customer_id = 'anna'"
    ),
    "orders_have_a_known_status": "update clean.orders set status = 'lost', state = 'unclear' where order_id = '1'",
    "orders_of_events_are_known": "update clean.events set order_id = 'nothing' where event_id = 'e'",
    "orders_of_lines_are_known": "update clean.order_items set order_id = 'lost' where order_id = '2'",
    "orders_of_payments_are_known": (
        "insert into clean.payments (payment_id, order_id, amount, status) values ('z', 'lost', 1, 'paid')"
    ),
    "payments_agree_with_order_totals": "update warehouse.fact_orders set paid_amount = 18 where order_id = '1'",
    "payments_are_of_their_orders_size": "update warehouse.fact_payments set amount = 401 where payment_id = 'x'",
    "payments_are_positive": "update clean.payments set amount = 0",
    "payments_are_the_same_on_every_level": "update analytics.payment_summary set paid_amount = paid_amount + 1",
    "payments_follow_their_orders": (
        "update clean.payments set paid_at = timestamp '2024-01-03 00:00:00' where payment_id = 'x'"
    ),
    "payments_have_an_exchange_rate": "update warehouse.fact_payments set exchange_rate = null where payment_id = 'y'",
    "payments_have_a_known_status": "update clean.payments set status = 'lost'",
    "prices_of_products_are_usual": "update stage.products set unit_price = 1 where product_id = 'p'",
    "prices_on_lines_are_usual": "update stage.order_items set unit_price = 1000 where _key = '1|2'",
    "product_ids_are_written_alike": (
        "insert into clean.products (product_id) select 'n' || i from range(400) as numbers (i)"
    ),
    "products_cost_no_more_than_their_price": "update clean.products set unit_cost = 99",
    "products_of_events_are_known": "update clean.events set product_id = 'nothing' where event_id = 'e'",
    "products_on_lines_are_known": (
        "update clean.order_items set product_id = 'lost' where order_id = '1' and line_number = 1"
    ),
    "purchases_have_their_order": "update warehouse.fact_sessions set order_id = null where order_id = '1'",
    "sessions_end_after_they_start": "update warehouse.fact_sessions set event_count = 0",
    "shares_stay_about_the_same": ODD.format("distribution_shift"),
    "sources_are_up_to_date": ODD.format("stale_source"),
    "sources_hold_what_is_staged": "update quality.source_reconciliation set difference = 1",
    "subcategories_stand_in_their_category": "update stage.products set category = 'Toys' where product_id = 's'",
    "versions_of_customers_are_seamless": "update warehouse.dim_customers set valid_to = timestamp '2024-01-01'",
    "versions_of_products_are_seamless": "update warehouse.dim_products set is_current = false",
    "relationships_fact_order_items_customer_key__customer_key__ref_dim_customers_": (
        "update warehouse.fact_order_items set customer_key = 'nobody'"
    ),
    "relationships_fact_order_items_product_key__product_key__ref_dim_products_": (
        "update warehouse.fact_order_items set product_key = 'nothing'"
    ),
    "relationships_fact_orders_customer_key__customer_key__ref_dim_customers_": (
        "update warehouse.fact_orders set customer_key = 'nobody'"
    ),
    "relationships_fact_orders_order_date__date_key__ref_dim_date_": (
        "update warehouse.fact_orders set order_date = date '1999-01-01'"
    ),
    "relationships_fact_payments_payment_method_key__payment_method_key__ref_dim_payment_method_": (
        "update warehouse.fact_payments set payment_method_key = 'shells'"
    ),
    "relationships_fact_sessions_customer_key__customer_key__ref_dim_customers_": (
        "update warehouse.fact_sessions set customer_key = 'nobody'"
    ),
    "relationships_fact_sessions_session_date__date_key__ref_dim_date_": (
        "update warehouse.fact_sessions set session_date = date '1999-01-01'"
    ),
    **{f"{entity}_are_not_quarantined": WAITS.format(entity) for entity in ENTITIES},
    **{f"{entity}_are_delivered_once": AGAIN.format(entity) for entity in ENTITIES},
    **{
        f"not_null_{table}_{column}": EMPTY.format(f"{schema}.{table}", column)
        for schema, table, columns in (
            ("clean", "customers", "customer_id email country signup_at"),
            ("clean", "products", "product_id name category unit_price unit_cost"),
            ("clean", "orders", "order_id ordered_at customer_id currency total_amount"),
            ("clean", "order_items", "product_id"),
            ("clean", "payments", "payment_id method currency"),
            ("clean", "events", "event_id visitor_id"),
            ("warehouse", "dim_customers", "customer_key"),
            ("warehouse", "dim_date", "date_key"),
            ("warehouse", "dim_payment_method", "payment_method_key"),
            ("warehouse", "dim_products", "product_key"),
            ("warehouse", "dim_store", "store_key"),
            ("warehouse", "fact_orders", "order_id"),
            ("warehouse", "fact_payments", "payment_id"),
            ("warehouse", "fact_sessions", "session_key"),
        )
        for column in columns.split()
    },
    **{
        f"unique_{table}_{column}": DOUBLED.format(f"{schema}.{table}")
        for schema, table, column in (
            ("clean", "customers", "customer_id"),
            ("clean", "products", "product_id"),
            ("clean", "orders", "order_id"),
            ("clean", "payments", "payment_id"),
            ("clean", "events", "event_id"),
            ("warehouse", "dim_customers", "customer_key"),
            ("warehouse", "dim_date", "date_key"),
            ("warehouse", "dim_payment_method", "payment_method_key"),
            ("warehouse", "dim_products", "product_key"),
            ("warehouse", "dim_store", "store_key"),
            ("warehouse", "fact_orders", "order_id"),
            ("warehouse", "fact_payments", "payment_id"),
            ("warehouse", "fact_sessions", "order_id"),
            ("warehouse", "fact_sessions", "session_key"),
        )
    },
}
#: What the damages of single records are flagged as.
FLAGS = {
    ("amount_outlier", "payments", "x", "1", "amount"),
    ("category_swap", "products", "s", "s", "category"),
    ("discount_rate", "order_lines", "3|1", "3", "discount_rate"),
    ("double_customer", "customers", "anna", "anna", "customer_id"),
    ("late_event", "events", "f", "f", "event_at"),
    ("line_total", "order_lines", "3|1", "3", "line_total"),
    ("odd_product_id", "products", "p", "p", "product_id"),
    ("order_total", "orders", "1", "1", "total_amount"),
    ("ordered_before_signup", "orders", "1", "1", "ordered_at"),
    ("paid_before_ordered", "payments", "x", "1", "paid_at"),
    ("payment_total", "orders", "1", "1", "paid_amount"),
    ("price_outlier", "order_items", "1|2", "1", "unit_price"),
    ("price_outlier", "products", "p", "p", "unit_price"),
    ("shipped_before_ordered", "orders", "1", "1", "shipped_at"),
    ("stale_source", "", "exports", "exports", ""),
    ("unknown_customer", "orders", "2", "2", "customer_id"),
    ("unknown_product", "events", "e", "e", "product_id"),
    ("unknown_product", "order_items", "1|1", "1", "product_id"),
    ("unknown_visitor_data", "events", "e", "e", "customer_id"),
    ("unknown_visitor_data", "events", "e", "e", "order_id"),
    ("unusual_volume", "orders", "2024-01-05", "2024-01-05", "volume"),
}


def a_shop(folder, **files: str) -> SmallShop:
    entities = {entity: {} for entity in ENTITIES} | {"events": {"files": "events/**/*.csv"}}
    (folder / "rates.csv").write_text(csv("date,currency,rate", "2024-01-01,USD,0.9"))
    shop = SmallShop(folder, entities, {"exchange_rates": str(folder / "rates.csv")})
    healthy = {
        "customers/1": csv(
            "customer_id,first_name,last_name,email,phone,country,signup_at",
            "anna,Anna,Arnold,anna@example.com,+49 1,DE,2024-01-01",
            "bert,Bert,Busch,bert@example.com,+49 2,DE,2024-01-02",
            "dora,Dora,Diehl,dora@example.com,,DE,2024-01-03",
        ),
        "products/1": csv(
            "product_id,name,category,subcategory,unit_price,unit_cost",
            "p,Pen,Paper,Writing,10,6",
            "q,Quill,Paper,Writing,5,2",
            "r,Rollerball,Paper,Writing,5,2",
            "s,Stylus,Paper,Writing,5,2",
        ),
        "orders/1": csv(
            "order_id,ordered_at,customer_id,status,currency,tax_amount,total_amount,shipped_at",
            "1,2024-01-05,anna,completed,EUR,2,50,2024-01-06",
            "2,2024-01-06,bert,completed,EUR,1,11,",
        ),
        "order_items/1": csv(
            "order_id,line_number,product_id,quantity,unit_price,discount_amount",
            *(f"1,{number},p,1,10,0" for number in range(1, 6)),
            "2,1,q,2,5,0",
        ),
        "payments/1": csv(
            "payment_id,order_id,method,amount,status,paid_at,currency",
            "x,1,card,50,paid,2024-01-05,EUR",
            "y,2,cash,11,paid,2024-01-06,EUR",
        ),
        "events/2024/01/06/10/1": csv(
            "event_id,event_at,event_type,visitor_id,customer_id,product_id,order_id",
            "e,2024-01-06 10:05,purchase,v,anna,,1",
            "f,2024-01-06 10:06,purchase,w,bert,q,2",
        ),
        "order_lines/1": csv(
            "order_id,ordered_at,line_number,product_id,quantity,unit_price,line_total,discount_rate,customer_id,currency,"
            "total_amount",
            "3,2024-01-07,1,q,1,5,5,0,anna,EUR,5",
        ),
    }
    kept = {name: content for name, content in healthy.items() if name.split("/")[0] not in files}
    for name, content in (kept | {f"{entity}/1": content for entity, content in files.items()}).items():
        shop.write(f"{name}.csv", content)
    return shop


@dataclass(frozen=True)
class Audits:
    """Audits of a healthy shop and of the same with all damages done, with what is found and kept there."""

    healthy: Audit
    damaged: Audit
    found: dict[str, pd.DataFrame]
    flags: list[tuple[str, ...]]
    kept: dict[str, float]


@pytest.fixture(scope="module")
def audits(tmp_path_factory) -> Audits:
    shop = a_shop(tmp_path_factory.mktemp("shop"))
    warehouse = shop.build()
    healthy = shop.audit(warehouse)
    statements = sorted(set(DAMAGES.values()), key=lambda sql: (sql.startswith("insert into") and "values" in sql, sql))
    with warehouse.connect(read_only=False) as connection:
        for sql in statements:
            connection.execute(sql)
    with pytest.MonkeyPatch.context() as patch:
        # What is out of the ordinary over time stands among the damages.
        patch.setattr(auditing, "find_anomalies", lambda *_: None)
        damaged = shop.audit(warehouse)
    # Of checks that are alike one is enough: each look opens the file.
    alike = ("not_null", "unique", "relationships", "order_lines_are", "events_are_not")
    found = {c: failing_rows(warehouse, damaged, c) for c in damaged.failing_sql if not c.startswith(alike)}
    for check in (
        "not_null_orders_customer_id",
        "unique_orders_order_id",
        "relationships_fact_orders_order_date__date_key__ref_dim_date_",
    ):
        found[check] = failing_rows(warehouse, damaged, check)
    history = "select dimension, score from quality.scores union all select table_name, score from quality.table_scores"
    flags = rows(warehouse, "select * from quality.flags")
    return Audits(healthy, damaged, found, flags, dict(rows(warehouse, history)))


def test_a_healthy_shop_passes_every_check(audits):
    healthy = audits.healthy
    # How many rows a day usually has takes months of data to know, and there are no discounts.
    absent = {
        "days_bring_about_as_many_rows_as_usual",
        "orders_are_told_apart",
        "discounts_are_no_rates",
        "discounts_are_no_percents",
        "line_discounts_are_not_those_of_orders",
        "no_line_is_most_of_the_revenue",
        "orders_are_delivered_by_one_source",
    }
    assert set(healthy.checks.query("state != 'passed'")["check_name"]) <= absent
    assert (healthy.score, healthy.grade, healthy.passed, healthy.reasons) == (100.0, "A", True, [])
    assert (set(healthy.scores), healthy.flags) == ({*DIMENSIONS, ROWS, MONEY}, 0)


def test_every_check_of_the_project_has_a_damage_here(audits):
    healthy = audits.healthy
    # Those for mistakes of mapping have shops of their own.
    assert sorted(healthy.checks["check_name"]) == sorted({*DAMAGES, *REFUSING, *WARNING})


@pytest.mark.parametrize("check", DAMAGES)
def test_a_check_finds_its_damage(audits, check):
    damaged = audits.damaged
    (found,) = damaged.checks.query("check_name == @check").to_dict("records")
    assert found["state"] == ("failed" if found["severity"] == "error" else "warned")
    assert found["failing_rows"] > 0
    assert found["score"] < 100


def test_a_check_names_its_table_and_what_it_expects(audits):
    healthy = audits.healthy
    assert (healthy.checks["table_name"].str.count(r"\.") == 1).all()
    assert healthy.checks["description"].str.len().min() > 10
    assert set(healthy.checks["dimension"]) == set(DIMENSIONS)


def test_every_rule_of_checks_is_one_of_a_check_that_can_fail(audits):
    healthy = audits.healthy
    of_checks = {name for name, rule in RULES.items() if rule.level == "check"}
    named = set(healthy.checks["rule"]) - {""}
    assert of_checks <= named <= set(RULES)


def test_what_a_check_finds_is_flagged_by_rule_and_record(audits):
    damaged, flags = audits.damaged, audits.flags
    assert {(rule, entity, key, family, field) for rule, _, entity, _, key, family, field, _ in flags} >= FLAGS
    assert {source for _, _, _, source, *_ in flags} == {"exports"}
    assert {(check, key, value) for _, check, _, _, key, _, _, value in flags} >= {
        ("orders_are_shipped_after_they_are_placed", "1", "2024-01-03 00:00:00"),
        ("order_totals_agree_with_their_lines", "1", "49.0000"),
    }
    assert damaged.flags == len(flags)


def test_failing_rows_show_what_identifies_them_and_the_field_at_fault_first(audits):
    damaged, found = audits.damaged, audits.found
    fields = damaged.checks.set_index("check_name")["field"]
    assert list(found["payments_are_positive"])[:3] == ["payment_id", "order_id", "amount"]
    assert set(found["payments_are_positive"]["amount"].dropna()) == {0}
    assert list(found["prices_on_lines_are_usual"])[:5] == [
        *("order_id", "line_number", "product_id"),
        *("unit_price", "usual_price"),
    ]
    for check, shown in found.items():
        assert 0 < len(shown) <= 20
        assert not any(column.startswith("_") for column in shown)
        assert fields[check] in ("", "volume", *shown.columns), check


def a_shop_of_odd_things(folder) -> SmallShop:
    """A shop in which much looks like a fault and is none, beside what is one."""
    titles = [f"a{n},Case {n},Phones,Accessories,10" for n in range(3)]
    titles += [f"b{n},Belt {n},Fashion,Accessories,10" for n in range(4)]
    titles += ["c,Cap,Garden,Accessories,10", "d,Drum,Music,Drums,10", "e,Tom,Toys,Drums,10"]
    lines = [f"1,{n},a0,1,10" for n in range(1, 6)]
    lines += [f"1,{6 + n},b0,1,{price}" for n, price in enumerate((1, 10, 100, 1000, 9000, 20000))]
    lines += ["1,20,d,1,10", "1,21,d,1,900"]
    return a_shop(
        folder,
        customers=csv(
            "customer_id,first_name,last_name,email,phone,signup_at",
            "c1,Ann,Ash,ann@example.com,+49 1,2024-01-05",
            "c2,Ann,Ash,,+49 1,2024-01-02",
            "c3,Ann,Ash,ANN@example.com,,",
            "c4,Ann,Ash,,,2024-01-01",
            "c5,,,,+49 1,2024-01-01",
        ),
        products=csv("product_id,name,category,subcategory,unit_price", *titles),
        orders=csv(
            "order_id,ordered_at,customer_id,status,currency,total_amount",
            "1,2024-01-04 12:00,c1,completed,EUR,",
            "2,2024-01-06,c2,placed,EUR,5",
            "3,2024-01-06,c2,refunded,EUR,5",
            "4,2024-01-06,c2,shipped,EUR,5",
            "5,2024-01-06,c2,cancelled,EUR,5",
        ),
        order_items=csv(
            "order_id,line_number,product_id,quantity,unit_price", *lines, *(f"{n},1,a1,1,5" for n in range(2, 6))
        ),
        payments=csv(
            "payment_id,order_id,method,amount,status,paid_at",
            "u,2,card,2,paid,2024-01-06",
            "w,3,card,5,refunded,2024-01-07",
            "x,4,card,4,paid,2024-01-05 12:00",
            "y,4,voucher,1,paid,2024-01-05",
            "z,5,card,5,failed,2024-01-06",
        ),
        events=csv("event_id,event_at,event_type,visitor_id", "e,2020-01-05,view,v"),
        order_lines=csv("order_id,ordered_at,line_number,product_id,quantity,unit_price"),
    )


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> tuple[Warehouse, Audit]:
    shop = a_shop_of_odd_things(tmp_path_factory.mktemp("odd"))
    warehouse = shop.build()
    return warehouse, shop.audit(warehouse)


def test_what_only_looks_like_a_fault_is_not_flagged(odd):
    warehouse, audit = odd
    assert sorted(rows(warehouse, "select distinct rule, key from quality.flags")) == [
        # A subcategory may be at home in two categories, and one of two products may stand in any.
        ("category_swap", "c"),
        # Of those with one e-mail address or phone number the first who signed up stays; a name alone is not enough.
        ("double_customer", "c1"),
        ("double_customer", "c3"),
        # An open order may be paid in part, a refund is the same payment, a cancelled order needs none. What
        # has many prices, or is sold rarely, has no usual one; a file in no hour's folder has no time of delivery.
        ("paid_before_ordered", "y"),
    ]
    checks = audit.checks.set_index("check_name")
    assert checks.loc["payments_agree_with_order_totals", ["failing_rows", "tested_rows"]].tolist() == [0, 3]
    assert audit.passed, (audit.reasons, audit.scores, audit.money.rows.to_dict("records"))


def test_what_the_shop_does_not_have_is_absent_and_not_scored(odd):
    absent = odd[1].checks.query("state == 'absent'")
    assert {"country", "unit_cost"} <= set(absent["column_name"])
    assert {"events_arrive_in_time", "order_lines_are_not_quarantined"} <= set(absent["check_name"])
    assert absent["score"].isna().all()


def test_scores_follow_their_formula(audits):
    audit, kept = audits.damaged, audits.kept
    checks = audit.checks.set_index("check_name")
    # Three customers twice over, and one without anything but null for each column that may not be empty.
    assert checks.loc["not_null_customers_country", ["failing_rows", "tested_rows"]].tolist() == [4, 10]
    assert checks.loc["not_null_customers_country", "score"] == 60.0
    scored = checks.dropna(subset="score")

    def product(own: pd.DataFrame) -> float:
        return cut(100 * math.prod(1 - w * (1 - s / 100) for w, s in zip(own["weight"], own["score"], strict=True)))

    def cut(points: float) -> float:
        return math.floor(points * 100 + 1e-7) / 100

    def weighed(points: list[float]) -> float:
        return cut((sum(points) / len(points) + min(points)) / 2)

    assert audit.tables == {str(name): product(own) for name, own in scored.groupby("table_name")}
    for dimension in DIMENSIONS:
        own = scored[scored["dimension"] == dimension]
        assert audit.scores[dimension] == weighed([product(table) for _, table in own.groupby("table_name")])
    assert audit.score == weighed(list(audit.scores.values()))
    assert kept == {**audit.scores, **audit.tables, "overall": audit.score}


def test_a_failed_check_keeps_the_run_from_publishing_and_says_why(audits):
    damaged = audits.damaged
    assert not damaged.passed
    (reason,) = [r for r in damaged.reasons if r.startswith("no_order_line_is_lost_in_a_join")]
    assert reason.startswith(
        "no_order_line_is_lost_in_a_join: every clean order, order line and payment is in its fact table (3 of "
    )
    failed = set(damaged.checks.query("severity == 'error' and failing_rows > 0")["check_name"])
    assert failed == {reason.split(":")[0] for reason in damaged.reasons if reason.split(":")[0] in failed}


def test_a_dimension_below_its_threshold_is_a_reason_of_its_own():
    gate = Gate(min_score=80, min_dimension={"validity": 95, "uniqueness": 99})
    none = pd.DataFrame(columns=COLUMNS)
    assert below(gate, Scores(97.45, {"validity": 94.9, "consistency": 100.0}), none) == [
        "validity is 94.9, below 95 (`quality.min_dimension`)"
    ]
    found = [("worse", 4, 0.0, 1.0), ("light", 4, 0.0, 0.1), ("fine", 0, 100.0, 1.0), ("bad", 2, 50.0, 1.0)]
    names = ["check_name", "failing_rows", "score", "weight"]
    checks = pd.DataFrame(found, columns=names).assign(
        description="all is well", tested_rows=4, dimension="consistency"
    )
    assert below(gate, Scores(72.5, {"validity": 95.0, "consistency": 50.0}), checks) == [
        "the overall score is 72.5, below the 80 that pipeline.yml asks for (`quality.min_score`); consistency is worst"
        " with 50.0. Most of it by worse: all is well, but not 4 of 4; bad: all is well, but not 2 of 4. Where that is"
        " right as it is: `quality.accept: [worse, bad]`"
    ]


@pytest.mark.parametrize(("score", "letter"), [(100, "A"), (95, "A"), (94.99, "B"), (80, "C"), (70, "D"), (0, "E")])
def test_a_score_has_its_letter(score, letter):
    assert grade(score) == letter


def test_a_column_that_is_new_at_its_source_is_noted_with_the_run_that_took_it(tmp_path):
    shop = SmallShop(tmp_path, {"customers": {}})
    shop.write("customers/1.csv", csv("customer_id,city", "anna,Ulm"))
    shop.ingest()
    shop.write("customers/2.csv", csv("customer_id,city,nickname", "bert,Bonn,Bertie"))
    changes = "select source, entity, column_name, change, ingested_by from ops.schema_changes"
    assert rows(shop.load(), changes) == [("exports", "customers", "nickname", "new column (string)", "run2")]


def test_a_clickstream_alone_is_not_held_against_entities_that_nobody_delivers(tmp_path):
    shop = SmallShop(tmp_path, {"events": {}})
    shop.write(
        "events/1.csv",
        csv(
            "event_id,event_at,event_type,visitor_id,customer_id,product_id,order_id",
            "e,2024-01-06 10:05,product_view,v,anna,p,",
            "f,2024-01-06 10:06,purchase,v,anna,,1",
        ),
    )
    audit = shop.audit(shop.build())
    states = audit.checks.set_index("check_name")["state"]
    unmet = ["products_of_events_are_known", "customers_of_events_are_known", "orders_of_events_are_known"]
    assert states[[*unmet, "purchases_have_their_order"]].tolist() == ["absent"] * 4
    assert (audit.score, audit.reasons, audit.flags) == (100.0, [], 0)


def test_a_shop_without_lines_or_catalogue_is_not_held_against_them(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "payments": {}})
    shop.write("orders/1.csv", csv("order_id,ordered_at,total_amount", "1,2024-01-05,50", "2,2024-01-06,11"))
    shop.write("payments/1.csv", csv("payment_id,order_id,amount", "x,1,50", "y,2,11"))
    audit = shop.audit(shop.build())
    assert audit.checks.set_index("check_name").loc["orders_have_lines", "state"] == "absent"
    assert (audit.score, audit.reasons) == (100.0, [])
