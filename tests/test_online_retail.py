"""The real Online Retail slice, end to end; every figure of its README. Skipped, visibly, where it is absent."""

import html
import os
import re
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import PROJECT, Shop

FOLDER = (PROJECT / os.environ.get("ONLINE_RETAIL_DIR", "../shared/data/online_retail")).resolve()

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the Online Retail slice is not at {FOLDER}"),
]


@pytest.fixture(scope="module")
def shop(shop_at) -> Shop:
    os.environ["ONLINE_RETAIL_DIR"] = str(FOLDER)
    shop = shop_at("online_retail")
    done = shop.run("--sources", "examples/online_retail.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    return shop


def value(shop: Shop, sql: str) -> Any:
    ((found,),) = shop.ask(sql)
    return found


@pytest.mark.parametrize(
    ("what", "figure"),
    [
        ("count(*)", 105_335),
        ("count(distinct _source_file)", 68),
        ("count(distinct order_id)", 4_894),
        ("count(distinct order_id) filter (where status = 'cancelled')", 805),
        ("count(distinct customer_id)", 1_749),
        ("count(*) filter (where customer_id is null)", 36_210),
        ("count(distinct product_id)", 3_159),
        ("count(distinct customer_country)", 31),
        ("count(*) filter (where quantity < 0)", 2_118),
        ("count(*) filter (where unit_price = 0)", 540),
        ("count(*) filter (where unit_price < 0)", 0),
        ("count(*) filter (where product_name is null)", 304),
        ("cast(sum(quantity * unit_price) as decimal(18, 2))", Decimal("1807019.93")),
    ],
)
def test_stage_holds_the_figures_of_the_slice(shop, what, figure):
    assert value(shop, f"select {what} as figure from stage.order_lines") == figure


def test_every_row_is_clean_merged_or_quarantined(shop):
    columns = "staged_rows, exact_duplicates, clean_rows + quarantined_rows, unaccounted_rows"
    assert shop.ask(f"select {columns} from quality.row_accounting") == [(105_335, 975, 105_335 - 975, 0)]


def test_net_revenue_is_the_same_in_total_and_by_month(shop):
    assert value(shop, "select sum(net_amount) from warehouse.fact_order_items") == Decimal("1802198.58")
    months = shop.ask("select net_amount from analytics.monthly_sales order by month")
    assert [amount for (amount,) in months] == [
        Decimal("746723.61"),
        Decimal("558448.56"),
        Decimal("497026.41"),
    ]


def test_sales_and_cancellations_are_told_apart(shop):
    types = "select order_type, count(*), sum(net_amount) from warehouse.fact_orders group by order_type"
    by_type = {kind: (orders, amount) for kind, orders, amount in shop.ask(types)}
    assert by_type["cancellation"][0] == 805
    assert by_type["sale"][1] == Decimal("2033809.90")
    assert sum(amount for _, amount in by_type.values()) == Decimal("1802198.58")


def test_known_customers_are_members_and_the_others_one_unknown(shop):
    assert value(shop, "select count(*) from warehouse.dim_customers where not is_unknown") == 1_749
    assert value(shop, "select count(*) from warehouse.fact_order_items where customer_key = 'unknown'") > 30_000


def test_reports_leave_out_what_the_shop_lacks_and_say_so(shop):
    page = html.unescape((shop.outputs / "latest" / "reports" / "06_insights.html").read_text())
    assert "Online Retail" in page
    assert "How do buyers pay" not in page and "payment method" not in page.lower()
    assert "category's share" not in page
    (remark,) = re.findall(r"<li>([^/]*</b> of net revenue is no product: .*?)</li>", page)
    assert "postage and shipping 62.0" in remark and "manual entries and samples" in remark
    assert ">Margin<" not in page and "revenue is margin" not in page
    assert 6 <= page.count("<figure") < 12, "what the shop has is drawn, what it lacks is not"


@pytest.mark.soak
def test_the_same_files_again_give_no_new_batch_and_no_new_row(shop):
    again = shop.run("--sources", "examples/online_retail.yml", "--to", "05_quality")
    assert again.returncode == 0 and "0 new rows loaded" in again.stdout
    assert value(shop, "select count(*) from ops.batches") == 1
    assert value(shop, "select sum(net_amount) from warehouse.fact_order_items") == Decimal("1802198.58")
