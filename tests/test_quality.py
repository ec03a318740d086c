"""Quality: every check of the project can fail, scores follow their formula, and the gate says why it refuses."""

import pandas as pd
import pytest

from lib.config import Gate
from lib.quality import Audit, failing_rows, grade, judge
from tests.small_shop import ENTITIES, SmallShop, csv, one, rows

# One worker builds the shop once for all tests here.
DOUBLED = "insert into {0} select * from {0}"
EMPTY = "insert into {0} ({1}) values (null)"

#: One way to break each check, applied to the tables of a healthy shop.
DAMAGES = {
    "accepted_values_payments_status__paid__completed__captured__settled__succeeded__refunded__refund__failed__declined__pending": (  # noqa: E501
        "update clean.payments set status = 'lost'"
    ),
    "current_versions_are_the_clean_rows": "update clean.customers set city = 'Atlantis'",
    "every_row_is_accounted_for": "update quality.row_accounting set unaccounted_rows = 1",
    "gross_and_returns_are_not_negative": "update warehouse.fact_order_items set return_amount = -1",
    "holds_customers_email__email_like_______and_email_not_like_": "update clean.customers set email = 'anna at home'",
    "holds_products_unit_cost__unit_cost_0_and_unit_cost_unit_price": "update clean.products set unit_cost = 99",
    "line_discounts_are_no_larger_than_the_line": "update clean.order_items set discount_amount = 21",
    "lines_have_a_price": "update clean.order_items set unit_price = 0",
    "lines_have_a_quantity": "update clean.order_items set quantity = 0",
    "net_is_gross_less_discount_less_return": "update warehouse.fact_order_items set net_amount = net_amount + 3",
    "net_revenue_is_the_same_on_every_level": "update analytics.monthly_sales set net_amount = net_amount + 5",
    "no_order_line_is_lost_in_a_join": "delete from warehouse.fact_order_items where order_id = '2'",
    "not_null_customers_customer_id": EMPTY.format("clean.customers", "customer_id"),
    "not_null_customers_country": EMPTY.format("clean.customers", "customer_id"),
    "not_null_customers_email": EMPTY.format("clean.customers", "customer_id"),
    "not_null_dim_customers_customer_key": EMPTY.format("warehouse.dim_customers", "customer_key"),
    "not_null_dim_date_date_key": EMPTY.format("warehouse.dim_date", "date_key"),
    "not_null_dim_payment_method_payment_method_key": EMPTY.format(
        "warehouse.dim_payment_method", "payment_method_key"
    ),
    "not_null_dim_products_product_key": EMPTY.format("warehouse.dim_products", "product_key"),
    "not_null_dim_store_store_key": EMPTY.format("warehouse.dim_store", "store_key"),
    "not_null_fact_orders_order_id": EMPTY.format("warehouse.fact_orders", "order_id"),
    "not_null_fact_payments_payment_id": EMPTY.format("warehouse.fact_payments", "payment_id"),
    "not_null_fact_sessions_session_key": EMPTY.format("warehouse.fact_sessions", "session_key"),
    "not_null_order_items_product_id": EMPTY.format("clean.order_items", "product_id"),
    "not_null_orders_customer_id": EMPTY.format("clean.orders", "order_id"),
    "not_null_orders_order_id": EMPTY.format("clean.orders", "order_id"),
    "not_null_orders_ordered_at": EMPTY.format("clean.orders", "order_id"),
    "not_null_payments_method": EMPTY.format("clean.payments", "payment_id"),
    "not_null_payments_payment_id": EMPTY.format("clean.payments", "payment_id"),
    "not_null_products_category": EMPTY.format("clean.products", "product_id"),
    "not_null_products_name": EMPTY.format("clean.products", "product_id"),
    "not_null_products_product_id": EMPTY.format("clean.products", "product_id"),
    "not_null_products_unit_cost": EMPTY.format("clean.products", "product_id"),
    "order_lines_are_numbered_once": DOUBLED.format("clean.order_items"),
    "order_totals_agree_with_their_lines": "update warehouse.fact_orders set total_amount = 19",
    "orders_are_in_the_reporting_currency": "update clean.orders set currency = 'USD'",
    "orders_are_not_in_the_future": "update clean.orders set ordered_at = timestamp '2140-01-01' where order_id = '2'",
    "payments_agree_with_order_totals": "update warehouse.fact_orders set paid_amount = 18",
    "payments_are_positive": "update clean.payments set amount = 0",
    "purchases_have_their_order": "update warehouse.fact_sessions set order_id = null where order_id = '1'",
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
    "relationships_order_items_order_id__order_id__ref_orders_": (
        "update clean.order_items set order_id = 'lost' where order_id = '2'"
    ),
    "relationships_order_items_product_id__product_id__ref_products_": (
        "update clean.order_items set product_id = 'lost' where order_id = '1'"
    ),
    "relationships_orders_customer_id__customer_id__ref_customers_": "update clean.orders set customer_id = 'nobody'",
    "rows_are_delivered_once": "update quality.row_accounting set exact_duplicates = 1",
    "rows_are_not_quarantined": "update quality.row_accounting set quarantined_rows = 1",
    "sessions_end_after_they_start": "update warehouse.fact_sessions set event_count = 0",
    "unique_customers_customer_id": DOUBLED.format("clean.customers"),
    "unique_dim_customers_customer_key": DOUBLED.format("warehouse.dim_customers"),
    "unique_dim_date_date_key": DOUBLED.format("warehouse.dim_date"),
    "unique_dim_payment_method_payment_method_key": DOUBLED.format("warehouse.dim_payment_method"),
    "unique_dim_products_product_key": DOUBLED.format("warehouse.dim_products"),
    "unique_dim_store_store_key": DOUBLED.format("warehouse.dim_store"),
    "unique_fact_orders_order_id": DOUBLED.format("warehouse.fact_orders"),
    "unique_fact_payments_payment_id": DOUBLED.format("warehouse.fact_payments"),
    "unique_fact_sessions_order_id": DOUBLED.format("warehouse.fact_sessions"),
    "unique_fact_sessions_session_key": DOUBLED.format("warehouse.fact_sessions"),
    "unique_orders_order_id": DOUBLED.format("clean.orders"),
    "unique_payments_payment_id": DOUBLED.format("clean.payments"),
    "unique_products_product_id": DOUBLED.format("clean.products"),
    "versions_of_customers_are_seamless": "update warehouse.dim_customers set valid_to = timestamp '2024-01-01'",
    "versions_of_products_are_seamless": "update warehouse.dim_products set is_current = false",
}


def a_shop(folder, **files: str) -> SmallShop:
    shop = SmallShop(folder, {entity: {} for entity in (*ENTITIES, "events")})
    healthy = {
        "customers": csv("customer_id,email,country", "anna,anna@example.com,DE", "bert,bert@example.com,DE"),
        "products": csv("product_id,name,category,unit_price,unit_cost", "p,Pen,Paper,10,6", "q,Quill,Paper,5,2"),
        "orders": csv(
            "order_id,ordered_at,customer_id,status,currency,tax_amount,total_amount",
            "1,2024-01-05,anna,completed,EUR,2,20",
            "2,2024-01-06,bert,completed,EUR,1,11",
        ),
        "order_items": csv(
            "order_id,line_number,product_id,quantity,unit_price,discount_amount", "1,1,p,2,10,0", "2,1,q,2,5,0"
        ),
        "payments": csv("payment_id,order_id,method,amount,status", "x,1,card,20,paid", "y,2,cash,11,paid"),
        "events": csv(
            "event_id,event_at,event_type,visitor_id,order_id",
            "e,2024-01-05,purchase,v,1",
            "f,2024-01-06,purchase,v,2",
        ),
    }
    for entity, content in (healthy | files).items():
        shop.write(f"{entity}/1.csv", content)
    return shop


@pytest.fixture(scope="module")
def audits(tmp_path_factory) -> tuple[Audit, Audit, pd.DataFrame]:
    """The audit of a healthy shop, that of the same with all damages done, and rows that one check found."""
    shop = a_shop(tmp_path_factory.mktemp("shop"))
    warehouse = shop.build()
    healthy = shop.audit(warehouse)
    statements = sorted(set(DAMAGES.values()), key=lambda sql: (sql.startswith("insert into") and "values" in sql, sql))
    with warehouse.connect(read_only=False) as connection:
        for sql in statements:
            connection.execute(sql)
    damaged = shop.audit(warehouse)
    return healthy, damaged, failing_rows(warehouse, damaged, "payments_are_positive")


def test_a_healthy_shop_passes_every_check(audits):
    healthy, _, _ = audits
    assert healthy.checks.query("state != 'passed'").empty
    assert (healthy.score, healthy.grade, healthy.passed, healthy.reasons) == (100.0, "A", True, [])
    assert set(healthy.scores) == {"completeness", "validity", "consistency", "uniqueness"}


def test_every_check_of_the_project_has_a_damage_here(audits):
    healthy, _, _ = audits
    assert sorted(healthy.checks["check_name"]) == sorted(DAMAGES)


@pytest.mark.parametrize("check", DAMAGES)
def test_a_check_finds_its_damage(audits, check):
    _, damaged, _ = audits
    (found,) = damaged.checks.query("check_name == @check").to_dict("records")
    assert found["state"] == ("failed" if found["severity"] == "error" else "warned")
    assert found["failing_rows"] > 0
    assert found["score"] < 100


def test_a_check_names_its_table_and_what_it_expects(audits):
    healthy, _, _ = audits
    assert (healthy.checks["table_name"].str.count(r"\.") == 1).all()
    assert healthy.checks["description"].str.len().min() > 10


def test_failing_rows_are_shown_whole(audits):
    _, _, found = audits
    assert set(found["amount"].dropna()) == {0}
    assert "order_id" in found.columns


def test_scores_follow_their_formula(tmp_path):
    shop = a_shop(
        tmp_path,
        customers=csv("customer_id,email,country", "anna,anna@example.com,DE", "bert,,DE", "carl,x,DE", "dora,,DE"),
        payments=csv(
            "payment_id,order_id,method,amount,status", "x,1,card,20,odd", "y,2,cash,11,odd", "z,2,,5,failed", "w,2,,5,"
        ),
    )
    warehouse = shop.build()
    audit = shop.audit(warehouse)
    checks = audit.checks.set_index("check_name")
    assert checks.loc["not_null_customers_email", ["failing_rows", "tested_rows", "score"]].tolist() == [2, 4, 50.0]
    assert checks.loc["holds_customers_email__email_like_______and_email_not_like_", "score"] == 75.0
    (status,) = [n for n in checks.index if n.startswith("accepted_values_payments_status")]
    assert checks.loc[status, ["failing_rows", "score"]].tolist() == [2, 50.0]
    for dimension, score in audit.scores.items():
        own = checks[checks["dimension"] == dimension]["score"].dropna()
        assert score == round(sum(own) / len(own), 2)
    assert audit.score == round(sum(audit.scores.values()) / len(audit.scores), 2)
    assert rows(warehouse, "select dimension, score from quality.scores order by 1") == sorted(
        [*audit.scores.items(), ("overall", audit.score)]
    )
    assert one(warehouse, "select count(*) from quality.checks where run_id = 'run1'") == len(audit.checks)


def test_a_column_that_the_shop_lacks_is_absent_and_not_scored(tmp_path):
    shop = a_shop(
        tmp_path,
        customers=csv("customer_id,country", "anna,DE", "bert,DE"),
        products=csv("product_id,name", "p,Pen", "q,Quill"),
    )
    audit = shop.audit(shop.build())
    absent = audit.checks.query("state == 'absent'")
    assert sorted(absent["column_name"]) == ["category", "email", "unit_cost"]
    assert absent["score"].isna().all()
    assert audit.scores["completeness"] == 100.0
    assert audit.passed


def test_a_failed_check_keeps_the_run_from_publishing_and_says_why(tmp_path):
    shop = a_shop(tmp_path)
    warehouse = shop.build()
    with warehouse.connect(read_only=False) as connection:
        connection.execute("delete from warehouse.fact_payments where payment_id = 'x'")
    audit = shop.audit(warehouse)
    assert not audit.passed
    assert audit.score > 90
    (reason,) = audit.reasons
    assert reason.startswith("no_order_line_is_lost_in_a_join: every clean order line and payment is a fact (1 of ")


def test_a_dimension_below_its_threshold_is_a_reason_of_its_own():
    checks = pd.DataFrame(columns=["check_name", "state"])
    gate = Gate(min_score=80, min_dimension={"validity": 95, "uniqueness": 99})
    assert judge(gate, checks, {"validity": 94.9, "consistency": 100.0}, 97.45) == ["validity is 94.9, below 95"]
    assert judge(gate, checks, {"validity": 95.0, "consistency": 50.0}, 72.5) == [
        "the overall score is 72.5, below the 80 that pipeline.yml asks for"
    ]


@pytest.mark.parametrize(("score", "letter"), [(100, "A"), (95, "A"), (94.99, "B"), (80, "C"), (70, "D"), (0, "E")])
def test_a_score_has_its_letter(score, letter):
    assert grade(score) == letter
