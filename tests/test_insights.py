"""Insights: titles are right on hand-made data, claim no more than it bears, and gaps are said."""

import ast
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd

from lib.insights import customers, sales, summary
from lib.insights.facts import Facts
from lib.report import pieces
from lib.report.insight import Chart, Insight, NoData, presenter
from lib.report.pieces import Html

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "06_insights.ipynb"


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def months(start: str, net: list[float], *, cost: float | None = 0.6, complete: bool = True) -> pd.DataFrame:
    """Monthly sales where gross is net / 0.9, a third of the difference discounts and the rest returns."""
    index = pd.date_range(start, periods=len(net), freq="MS")
    amounts = pd.Series(net, dtype=float)
    gross = amounts / 0.9
    frame = pd.DataFrame(
        {
            "month": index.date,
            "orders": [10] * len(net),
            "gross_amount": gross,
            "discount_amount": (gross - amounts) / 4,
            "return_amount": (gross - amounts) * 3 / 4,
            "net_amount": amounts,
            "cost_amount": amounts * cost if cost is not None else None,
            "margin_amount": amounts * (1 - cost) if cost is not None else None,
            "is_complete": True,
        }
    )
    frame.loc[frame.index[-1], "is_complete"] = complete
    return frame


def with_customers(
    monthly: pd.DataFrame, new: float = 0.0, returning: float = 0.0, unknown: float = 0.0
) -> pd.DataFrame:
    """The same months with what new, returning and unknown customers brought, as shares of net revenue."""
    net = monthly["net_amount"].astype(float)
    return monthly.assign(
        new_net_amount=net * new, returning_net_amount=net * returning, unknown_net_amount=net * unknown
    )


def products(net: list[float], margin: list[float | None], **columns) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "product_id": [f"P{i}" for i in range(len(net))],
            "name": [f"Item {i}" for i in range(len(net))],
            "category": "Toys",
            "orders": 100,
            "gross_amount": [value / 0.9 for value in net],
            "return_amount": [0.0] * len(net),
            "net_amount": net,
            "margin_rate": margin,
            "return_rate": 0.0,
        }
    )
    frame["margin_amount"] = frame["net_amount"] * frame["margin_rate"].astype(float)
    return frame.assign(**columns)


EMPTY_MONTHS = with_customers(months("2025-01-01", [1.0])).iloc[:0]
EMPTY = {
    "categories": pd.DataFrame(
        columns=[
            "category",
            "orders",
            "gross_amount",
            "return_amount",
            "net_amount",
            "margin_amount",
            "margin_rate",
        ]
    ),
    "customers": pd.DataFrame(
        columns=["customer_id", "net_amount", "days_since_last_order", "recency_score", "monetary_score"]
    ),
    "payments": pd.DataFrame(columns=["payment_method", "payments", "orders", "paid_amount", "failed_payments"]),
    "segments": pd.DataFrame(columns=["segment", "customers", "net_amount"]),
    "hourly": pd.DataFrame(columns=["weekday", "hour", "orders"]),
    "products": products([1.0], [0.4]).iloc[:0],
}


def title(result) -> str:
    assert isinstance(result, Insight), result
    return plain(result.title)


# Sales and season


def test_the_share_of_q4_is_over_full_years_only() -> None:
    year = [100.0] * 9 + [200.0, 200.0, 300.0]
    partial = months("2024-10-01", [900.0, 900.0, 900.0, *year, 5000.0])
    assert title(sales.revenue_by_month(partial)) == "Q4 brought 44 % of revenue in 2025"
    two = months("2024-01-01", year + year)
    assert title(sales.revenue_by_month(two)) == "Q4 brought 44 % of a year's revenue, 2024–2025"


def test_an_even_year_is_given_no_peak() -> None:
    assert title(sales.revenue_by_month(months("2025-01-01", [100.0] * 12))).startswith(
        "No Christmas peak: Q4 brought 25 %"
    )


def test_without_a_full_year_the_peak_month_is_named_instead() -> None:
    three = months("2010-12-01", [500.0, 300.0, 200.0])
    assert title(sales.revenue_by_month(three, "GBP")) == "December 2010 is the best of the 3 full months: 500 GBP"
    one = months("2010-12-01", [500.0])
    assert title(sales.revenue_by_month(one, "GBP")) == "December 2010 brought 500 GBP"


def test_a_month_that_is_not_complete_is_no_peak() -> None:
    frame = months("2010-12-01", [500.0, 300.0, 900.0], complete=False)
    result = sales.revenue_by_month(frame)
    assert title(result).startswith("December 2010 is the best of the two full months")
    assert "month not complete" in result.subtitle
    alone = months("2010-12-01", [500.0], complete=False)
    assert title(sales.revenue_by_month(alone)) == "No month is complete yet"


def test_only_the_asked_for_months_are_drawn_while_the_title_uses_all() -> None:
    frame = months("2024-01-01", [100.0] * 9 + [200.0, 200.0, 300.0] + [100.0] * 6)
    result = sales.revenue_by_month(frame, months=6)
    assert len(result.data) == 6
    assert title(result) == "Q4 brought 44 % of revenue in 2024"


def test_decimal_amounts_are_summed_like_floats() -> None:
    frame = months("2025-01-01", [100.0, 200.0])
    decimals = frame.assign(net_amount=[Decimal("100.00"), Decimal("200.00")])
    assert title(sales.revenue_by_month(decimals)) == title(sales.revenue_by_month(frame))


def test_the_way_from_gross_to_net_adds_up() -> None:
    result = sales.gross_to_net(months("2025-01-01", [450.0, 450.0]), "EUR")
    assert title(result) == "Discounts and returns take 10 % of gross sales; 40 % of net revenue is margin"
    amounts = dict(zip(result.data["step"], result.data["amount"].round(6), strict=True))
    assert amounts == {
        "Gross": 1000,
        "Discounts": -25,
        "Returns": -75,
        "Net": 900,
        "Cost": -540,
        "Margin": 360,
    }


def test_without_costs_there_is_no_word_of_margin() -> None:
    result = sales.gross_to_net(months("2025-01-01", [900.0], cost=None))
    assert title(result) == "Discounts and returns take 10 % of gross sales"
    assert "Margin" not in set(result.data["step"])


def test_only_what_was_deducted_is_named() -> None:
    frame = months("2025-01-01", [900.0], cost=None).assign(discount_amount=0.0, return_amount=100.0)
    assert title(sales.gross_to_net(frame)) == "Returns take 10 % of gross sales"
    assert title(sales.gross_to_net(frame, taken_back="cancelled")) == "Cancellations take 10 % of gross sales"
    both = sales.gross_to_net(frame, taken_back="returned or cancelled")
    assert title(both) == "Returns and cancellations take 10 % of gross sales"
    assert sales.gross_to_net(frame.assign(gross_amount=900.0, return_amount=0.0)) is None


def test_a_margin_below_zero_is_said_as_a_cost_above_revenue() -> None:
    frame = months("2025-01-01", [100.0], cost=1.5).assign(gross_amount=100.0, discount_amount=0.0, return_amount=0.0)
    assert title(sales.gross_to_net(frame, "EUR")) == "Costs are 50 EUR above net revenue"


def hours(weights: dict[tuple[int, int], int]) -> pd.DataFrame:
    return pd.DataFrame([(day, hour, n) for (day, hour), n in weights.items()], columns=["weekday", "hour", "orders"])


def test_the_busiest_day_and_hour_are_named() -> None:
    grid = {(day, hour): 5 for day in range(1, 8) for hour in (10, 20)}
    grid[(6, 20)] = 40
    assert title(sales.busiest_hours(hours(grid))) == "Saturday is the busiest day, 20:00 to 21:00 the busiest hour"


def test_an_even_week_is_called_even_and_a_closed_day_is_said() -> None:
    even = {(day, hour): 5 + (hour == 20) for day in range(1, 8) for hour in (10, 20)}
    assert title(sales.busiest_hours(hours(even))) == "20:00 to 21:00 is the busiest hour; the days hardly differ"
    closed = {key: orders for key, orders in even.items() if key[0] != 6}
    assert title(sales.busiest_hours(hours(closed))).endswith("; no orders on Saturday")


def test_orders_without_a_time_of_day_show_no_hours() -> None:
    assert sales.busiest_hours(hours({(day, 0): 5 for day in range(1, 8)})) is None


def test_a_few_orders_make_no_hour_the_busiest() -> None:
    few = sales.busiest_hours(hours({(6, 14): 1, (7, 22): 2}))
    assert title(few) == "3 orders, all between 14:00 and 23:00"
    same_hour = sales.busiest_hours(hours({(1, 9): 2}))
    assert title(same_hour) == "2 orders, all between 9:00 and 10:00"
    assert sales.busiest_hours(hours({(1, 9): 1})) is None


def test_returns_are_compared_with_the_year_before_only_where_there_is_one() -> None:
    short = months("2025-01-01", [900.0, 900.0])
    assert (
        title(sales.returns_by_month(short)) == "7.5 % of gross sales came back or were cancelled, Jan 2025 to Feb 2025"
    )
    long = months("2024-01-01", [900.0] * 24)
    assert title(sales.returns_by_month(long)).endswith("in twelve months, as in the year before")
    long.loc[12:, "return_amount"] *= 2
    assert title(sales.returns_by_month(long)).endswith("7.5 points more than the year before")


def test_a_complete_month_among_many_that_are_not_is_not_spoken_of_alone() -> None:
    """Nothing came back in the one month that is whole, and a share of all that was sold."""
    frame = months("2025-01-01", [900.0, 10.0, 900.0, 500.0]).assign(is_complete=[False, True, False, False])
    frame.loc[1, "return_amount"] = 0.0
    assert title(sales.returns_by_month(frame)).endswith("came back or were cancelled, Jan 2025 to Apr 2025")
    assert title(sales.revenue_by_month(frame, "EUR")) == "January 2025 has most: 900 EUR"
    assert title(customers.new_and_returning(with_customers(frame, 0.5, 0.5))).endswith("Jan 2025 to Apr 2025")


def test_nothing_is_to_be_done_about_a_handful_of_orders() -> None:
    action = pieces.Action("Do it.", "Because.")
    assert not summary.what_to_do([action], Facts(orders={"sale": 29}))
    assert "Do it." in summary.what_to_do([action], Facts(orders={"sale": 30})).html
    assert "nothing stands out" in summary.what_to_do([], Facts(orders={"sale": 30})).html


def test_years_with_a_gap_are_not_compared() -> None:
    """Twenty-four complete months of three years are no two years."""
    frame = months("2023-01-01", [900.0] * 30)
    frame.loc[8:13, "is_complete"] = False
    assert title(sales.returns_by_month(frame)).endswith(", Jul 2024 to Jun 2025")


def test_a_shop_without_returns_is_shown_none() -> None:
    assert sales.returns_by_month(months("2025-01-01", [1.0]).assign(return_amount=0.0)) is None
    assert sales.returns_by_category(categories(return_amount=0.0)) is None


def test_cancelled_orders_are_not_called_returns() -> None:
    result = sales.returns_by_month(months("2025-01-01", [900.0, 900.0]), taken_back="cancelled")
    assert title(result) == "7.5 % of gross sales were cancelled, Jan 2025 to Feb 2025"
    assert "return" not in (result.subtitle + result.title + result.alt).lower()
    result = sales.returns_by_category(categories(), "cancelled")
    assert title(result) == "Home is cancelled most: 20.0 %, against 8.8 % on average"


# Products and payments


def categories(**columns) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "category": ["Home", "Toys"],
            "gross_amount": [100.0, 300.0],
            "return_amount": [20.0, 15.0],
            "net_amount": [100.0, 300.0],
            "margin_rate": [0.5, 0.3],
        }
    )
    return frame.assign(**columns)


def test_the_leading_category_and_the_best_margin_are_named() -> None:
    result = sales.category_revenue(categories())
    assert title(result) == "Toys leads with 75 % of revenue; Home earns the best margin, 50 %"
    assert title(sales.category_revenue(categories(margin_rate=None))) == "Toys leads with 75 % of revenue"


def test_unknown_categories_are_a_gap() -> None:
    assert sales.category_revenue(categories(category=["Unknown", None])) is None
    assert sales.category_revenue(categories(category=["Toys", "Unknown"])) is None, "one category is no comparison"
    assert sales.returns_by_category(categories(category=["Unknown", None])) is None


def test_what_comes_back_of_a_few_orders_leads_no_comparison() -> None:
    assert sales.returns_by_category(categories(orders=[19, 200])) is None
    assert title(sales.returns_by_category(categories(orders=[20, 200]))).startswith("Home comes back most")


def test_the_category_that_comes_back_most_is_named_with_the_average() -> None:
    assert title(sales.returns_by_category(categories())) == "Home comes back most: 20.0 %, against 8.8 % on average"


def test_best_sellers_are_counted_and_thin_margins_marked() -> None:
    frame = products([500.0, 300.0, 200.0], [0.5, 0.1, 0.5])
    result = sales.best_sellers(frame, "EUR", 2)
    assert title(result) == "2 of 3 products bring 80 % of revenue, led by Item 0"
    assert "red: less than half the shop's margin" in result.subtitle
    assert title(sales.best_sellers(frame, top_n=1)) == "The best seller, Item 0, brings 50 % of revenue"
    assert title(sales.best_sellers(frame, top_n=10)) == "Item 0 is the best seller with 50 % of revenue"


def test_in_a_shop_without_a_margin_what_is_sold_at_a_loss_is_marked() -> None:
    frame = products([500.0, 300.0], [-0.4, -0.01])
    result = sales.best_sellers(frame, "EUR")
    assert "red: sold at a loss" in result.subtitle and "margin" in result.alt
    (found,) = summary.to_act_on(EMPTY["customers"], frame, EMPTY_MONTHS, EMPTY["payments"], "EUR")
    assert "−40 % margin on 500 EUR of revenue, against −25 % overall" in plain(found.why)
    assert "The gap to no loss is worth **200 EUR**" in plain(found.why)


def test_best_sellers_without_names_or_costs_still_show() -> None:
    frame = products([500.0, 300.0], [None, None]).assign(name=None)
    result = sales.best_sellers(frame, top_n=10)
    assert title(result) == "P0 is the best seller with 62 % of revenue"
    assert "margin" not in result.subtitle


def test_more_than_all_of_revenue_is_an_amount_and_no_share() -> None:
    """Where more came back of the others than was sold of them."""
    frame = products([2469.0, 9.0, -1000.0], [None] * 3)
    assert title(sales.best_sellers(frame, "EUR")) == "Item 0 is the best seller with 2,469 EUR"
    assert title(sales.best_sellers(frame, "EUR", 1)) == "The best seller, Item 0, brings 2,469 EUR"
    both = categories(net_amount=[-100.0, 300.0], margin_rate=None)
    assert title(sales.category_revenue(both, "EUR")) == "Toys leads with 300 EUR"
    grown = with_customers(months("2025-01-01", [100.0, 100.0]), -0.5, 1.5)
    assert title(customers.new_and_returning(grown, "EUR")).startswith("Returning customers brought 300 EUR, Jan 2025")
    assert "Returning customers" not in [kpi.label for kpi in summary.key_figures(grown)]
    segments = pd.DataFrame({"segment": ["New", "Champions"], "customers": [80, 20], "net_amount": [-40.0, 60.0]})
    assert customers.segments(segments) is None


def test_what_is_no_product_is_in_no_list_of_products_and_stays_in_revenue() -> None:
    frame = products([500.0, 300.0, 200.0, 1000.0], [None] * 4)
    frame = frame.assign(product_type=["shipping", "product", "product", "product"])
    frame.loc[3, "product_id"] = "unknown"
    result = sales.best_sellers(frame)
    assert title(result) == "Item 1 is the best seller with 15 % of revenue"
    assert result.data["product_id"].tolist() == ["P1", "P2"]


def test_one_product_or_names_that_computers_made_lead_no_list() -> None:
    assert sales.best_sellers(products([500.0], [0.5])) is None
    assert sales.best_sellers(products([500.0, 0.0], [0.5, 0.5])) is None
    hashes = ["1e9e8ef04dbcff4541ed26657ea517e5", "6f4e23bd-8df6-4c4b-9a3e-3b1f6e0c2a11"]
    assert sales.best_sellers(products([5.0, 3.0], [0.5, 0.5]).assign(name=hashes)) is None
    numbers = products([5.0, 3.0], [0.5, 0.5]).assign(name=["4006381333931000", "DECADE-FACADE-1"])
    assert title(sales.best_sellers(numbers)).startswith("4006381333931000 is the best seller")


def test_payment_methods_are_shares_of_the_amount_and_failures_are_shown() -> None:
    frame = pd.DataFrame(
        {
            "payment_method": ["paypal", "credit_card"],
            "payments": [10, 100],
            "paid_amount": [250.0, 750.0],
            "failed_payments": [0, 8],
        }
    )
    result = sales.payment_methods(frame)
    assert title(result) == "Credit card makes 75 % of the amount paid"
    assert "Credit card 75 % · 8.0 % failed" in plain(result.alt)
    assert sales.payment_methods(frame.head(1)) is None, "one method is no comparison"
    assert sales.payment_methods(frame.iloc[:0]) is None
    unstated = frame.assign(payment_method=["paypal", "unknown"])
    assert title(sales.payment_methods(unstated)) == "Paypal makes 25 % of the amount paid; of 75 % no method is stated"


# Customers


def test_the_best_fifth_is_counted_over_customers_that_bought() -> None:
    frame = pd.DataFrame({"net_amount": [60.0, 10.0, 10.0, 10.0, 10.0, 0.0, -5.0]})
    result = customers.customer_concentration(frame)
    assert title(result) == "The best fifth of customers bring 60 % of revenue"
    assert plain(result.subtitle) == "Cumulative share of net revenue of 5 known customers"
    assert customers.customer_concentration(frame.head(4)) is None


def test_the_segment_with_most_revenue_is_the_finding() -> None:
    frame = pd.DataFrame({"segment": ["New", "Champions"], "customers": [80, 20], "net_amount": [40.0, 60.0]})
    assert title(customers.segments(frame)) == "Champions: 20 % of customers, 60 % of revenue"


def test_returning_revenue_is_a_share_of_known_customers_over_full_months() -> None:
    monthly = months("2025-01-01", [100.0, 100.0, 9000.0], complete=False)
    result = customers.new_and_returning(with_customers(monthly, 0.2, 0.6, 0.2))
    assert title(result) == "Returning customers brought 75 % of known customers' revenue, Jan 2025 to Feb 2025"
    assert len(result.data) == 2


def test_more_than_four_years_are_shown_by_whole_quarters() -> None:
    monthly = months("2020-02-01", [100.0] * 60)
    result = customers.new_and_returning(with_customers(monthly, 0.5, 0.5))
    assert result.data["quarter"].tolist()[0] == "2020Q2"
    assert result.data["new_net_amount"].tolist() == [150.0] * 19


def test_a_shop_that_knows_no_customer_is_shown_none() -> None:
    monthly = months("2025-01-01", [100.0, 100.0])
    assert customers.new_and_returning(with_customers(monthly, 0, 0, 1)) is None
    assert customers.segments(EMPTY["segments"]) is None
    handful = pd.DataFrame({"segment": ["New", "Champions"], "customers": [8, 1], "net_amount": [40.0, 60.0]})
    assert customers.segments(handful) is None, "a group of a handful is nobody's finding"


def test_nobody_returns_within_the_only_month() -> None:
    assert customers.new_and_returning(with_customers(months("2025-01-01", [100.0]), 1)) is None


# Headline, key figures, actions


def test_the_headline_compares_with_a_year_before_where_there_is_one() -> None:
    monthly = months("2024-12-01", [1000.0] + [800.0] * 10 + [1000.0, 1150.0])
    headline, lede = summary.headline(with_customers(monthly, 0.4, 0.6), categories(), "EUR")
    assert plain(headline) == "December 2025 brought 1,150 EUR, 15.0 % more than a year before"
    assert plain(lede).startswith("That is 15.0 % more than November. Since December 2024 the shop took 130 orders")
    assert "**60 %** of known customers' revenue" in plain(lede)
    assert "Toys is the largest category with **75 %**." in plain(lede)


def test_a_short_history_is_compared_with_the_month_before_or_not_at_all() -> None:
    two = months("2025-01-01", [1000.0, 500.0])
    assert plain(summary.headline(with_customers(two), EMPTY["categories"], None)[0]) == (
        "February 2025 brought 500, 50 % less than January"
    )
    one = months("2025-01-01", [1000.0])
    assert plain(summary.headline(with_customers(one), EMPTY["categories"], None)[0]) == "January 2025 brought 1,000"
    part = months("2025-01-01", [1000.0], complete=False)
    assert "no month is complete yet" in summary.headline(with_customers(part), EMPTY["categories"], None)[0]


def test_the_headline_is_about_a_month_that_bears_one() -> None:
    """Not about a month of a few orders, nor a tail, and the key figures are about the same month."""
    monthly = with_customers(months("2025-01-01", [1000.0, 1100.0, 40.0]), 0.4, 0.6)
    monthly["orders"] = [10, 11, 4]
    headline, lede = summary.headline(monthly, EMPTY["categories"], "EUR")
    assert plain(headline) == "February 2025 brought 1,100 EUR, 10.0 % more than January"
    assert summary.key_figures(monthly)[0].value == "1,100"
    assert summary.period_of_figures(monthly) == "February 2025"
    assert "the shop took 25 orders: **2,140 EUR** net" in plain(lede), "the whole holds all months"


def test_a_shop_of_four_orders_has_a_headline_about_all_of_them() -> None:
    monthly = with_customers(months("2026-04-01", [30.0, 120.0]), 1).assign(orders=2)
    headline, lede = summary.headline(monthly, EMPTY["categories"], "USD")
    assert plain(headline) == "4 orders brought 150 USD of net revenue"
    assert plain(lede) == "Since April 2026 the shop took 4 orders: **150 USD** net."
    assert [kpi.value for kpi in summary.key_figures(monthly)][:2] == ["150", "4"]
    assert summary.period_of_figures(monthly) == "Apr 2026 to May 2026"


def test_orders_that_were_not_sold_for_good_are_told_apart() -> None:
    shop = Facts(orders={"cancellation": 2, "return": 1, "sale": 20}, gross_amount=230.0, cancelled_amount=20.0)
    monthly = with_customers(months("2025-01-01", [100.0, 100.0]), 1)
    _, lede = summary.headline(monthly, EMPTY["categories"], "EUR", shop)
    assert "the shop took 23 orders (2 cancelled and 1 returned)" in plain(lede)
    labels = [kpi.label for kpi in summary.key_figures(monthly, None, shop)]
    assert "Orders sold" in labels and "Cancelled" in labels and "Return rate" not in labels


def test_a_shop_of_events_alone_has_its_purchases_as_the_headline() -> None:
    shop = Facts(sessions=2, purchases=1, purchase_amount=30.0)
    headline, lede = summary.headline(EMPTY_MONTHS, EMPTY["categories"], "USD", shop)
    assert plain(headline) == "Purchases worth 30.00 USD in 1 session"
    assert plain(lede).startswith("**1** of 2 sessions ended in a purchase, 50 %.")
    figures = [(kpi.label, plain(kpi.value)) for kpi in summary.key_figures(EMPTY_MONTHS, "USD", shop)]
    assert figures == [
        ("Value of purchases, USD", "30.00"),
        ("Sessions", "2"),
        ("Sessions with a purchase", "1"),
        ("Conversion rate", "50.0 %"),
    ]
    none = Facts(sessions=2)
    assert plain(summary.headline(EMPTY_MONTHS, EMPTY["categories"], "USD", none)[0]).startswith("2 sessions, none")


def test_orders_without_an_amount_are_not_called_no_sales() -> None:
    shop = Facts(orders={"sale": 3})
    nothing = with_customers(months("2025-01-01", [0.0]))
    assert plain(summary.headline(nothing, EMPTY["categories"], "EUR", shop)[0]) == (
        "3 orders, none of them with an amount"
    )
    assert [(kpi.label, kpi.value) for kpi in summary.key_figures(nothing, "EUR", shop)] == [("Orders", "3")]


def test_key_figures_carry_change_tone_and_course() -> None:
    monthly = months("2025-01-01", [1000.0, 1100.0])
    figures = {kpi.label: kpi for kpi in summary.key_figures(with_customers(monthly, 0.4, 0.6), "EUR")}
    net = figures["Net revenue, EUR"]
    assert (net.value, plain(net.change), net.tone, net.note) == ("1,100", "+10.0 %", "good", "on Jan")
    assert list(net.spark) == [1000.0, 1100.0]
    assert plain(figures["Returning customers"].value) == "60.0 %"
    assert plain(figures["Margin"].value) == "40.0 %"
    assert plain(figures["Return rate"].change) == "0.0 pt"


def test_a_rising_return_rate_is_bad() -> None:
    monthly = months("2025-01-01", [1000.0, 1000.0])
    monthly.loc[1, "return_amount"] *= 2
    figure = next(k for k in summary.key_figures(with_customers(monthly)) if k.label == "Return rate")
    assert (figure.tone, figure.change[0]) == ("bad", "+")


def test_key_figures_leave_out_what_a_shop_does_not_have() -> None:
    labels = [kpi.label for kpi in summary.key_figures(with_customers(months("2025-01-01", [1.0], cost=None)))]
    assert labels == ["Net revenue", "Orders", "Average order", "Return rate"]


def test_actions_carry_their_numbers_and_the_largest_comes_first() -> None:
    customers = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "net_amount": [900.0, 100.0, 3000.0],
            "days_since_last_order": [200, 300, 5],
            "recency_score": [1, 1, 5],
            "monetary_score": [5, 1, 5],
        }
    )
    goods = products([500.0, 400.0], [0.6, 0.1], return_amount=[0.0, 200.0])
    found = summary.to_act_on(customers, goods, EMPTY_MONTHS, EMPTY["payments"], "EUR")
    assert [plain(action.what) for action in found] == [
        "Win back 1 high-value customer gone quiet.",
        "Find out why 1 product comes back.",
        "Look at the price of Item 1.",
    ]
    assert plain(found[0].why) == (
        "This customer has spent **900 EUR**, 22 % of what all known customers spent, and ordered last 200 days ago."
    )
    assert "**200 EUR**" in plain(found[1].why)
    assert "10 % margin on 400 EUR of revenue, against 38 % overall" in plain(found[2].why)


def test_customers_are_won_back_who_left_long_ago_but_not_for_years() -> None:
    """In a shop of many years even who comes rather recently of all may have been away for long."""
    customers = pd.DataFrame(
        {
            "customer_id": ["lost", "away", "here", "quiet", "small"],
            "net_amount": [500.0, 400.0, 300.0, 200.0, 1.0],
            "days_since_last_order": [731, 730, 179, 60, 400],
            "recency_score": [1, 4, 3, 2, 1],
            "monetary_score": [5, 5, 4, 4, 1],
        }
    )
    (found,) = summary.to_act_on(customers, EMPTY["products"], EMPTY_MONTHS, EMPTY["payments"], "EUR")
    assert plain(found.what) == "Win back 2 high-value customers gone quiet."
    assert "They have spent **600 EUR**" in plain(found.why)


def test_nothing_to_act_on_where_no_figure_calls_for_it() -> None:
    customers = EMPTY["customers"]
    goods = products([500.0, 400.0], [0.4, 0.4])
    assert summary.to_act_on(customers, goods, EMPTY_MONTHS, EMPTY["payments"]) == []


def test_unknown_buyers_and_failed_payments_are_raised_above_their_thresholds() -> None:
    monthly = months("2025-01-01", [1000.0])
    payments = pd.DataFrame(
        {"payment_method": ["gift_card"], "payments": [100], "paid_amount": [900.0], "failed_payments": [10]}
    )
    found = summary.to_act_on(EMPTY["customers"], EMPTY["products"], with_customers(monthly, 0.4, 0.4, 0.2), payments)
    assert [action.what for action in found] == ["Learn who your buyers are.", "Check payments by gift card."]
    assert "about 100." in plain(found[1].why)
    quiet = summary.to_act_on(
        EMPTY["customers"], EMPTY["products"], with_customers(monthly, 0.5, 0.46, 0.04), EMPTY["payments"]
    )
    assert quiet == []


# The whole notebook


def test_the_payment_method_with_most_at_stake_is_raised_not_the_one_that_fails_most_often() -> None:
    payments = pd.DataFrame(
        {
            "payment_method": ["invoice", "credit_card", "unknown", "cash"],
            "payments": [60, 1000, 5000, 1000],
            "paid_amount": [500.0, 90_000.0, 900_000.0, 900_000.0],
            "failed_payments": [10, 100, 2500, 10],
        }
    )
    (found,) = summary.to_act_on(EMPTY["customers"], EMPTY["products"], EMPTY_MONTHS, payments, "EUR")
    assert found.what == "Check payments by credit card."
    assert "**10.0 %** of 1,000 payments failed; at the usual amount that is about 10.0 k EUR" in plain(found.why)


def test_an_empty_warehouse_is_a_headline_and_no_chart() -> None:
    results = [
        sales.revenue_by_month(EMPTY_MONTHS),
        sales.gross_to_net(EMPTY_MONTHS),
        sales.busiest_hours(EMPTY["hourly"]),
        sales.returns_by_month(EMPTY_MONTHS),
        sales.category_revenue(EMPTY["categories"]),
        sales.best_sellers(EMPTY["products"]),
        sales.product_concentration(EMPTY["products"]),
        sales.returns_by_category(EMPTY["categories"]),
        sales.payment_methods(EMPTY["payments"]),
        customers.new_and_returning(EMPTY_MONTHS),
        customers.customer_concentration(EMPTY["customers"]),
        customers.segments(EMPTY["segments"]),
    ]
    assert results == [None] * len(results)
    assert summary.headline(EMPTY_MONTHS, EMPTY["categories"], "EUR")[0] == "No sales yet"
    assert summary.key_figures(EMPTY_MONTHS) == []
    assert summary.to_act_on(EMPTY["customers"], EMPTY["products"], EMPTY_MONTHS, EMPTY["payments"]) == []


def test_a_finding_is_saved_with_the_stage_and_a_gap_is_a_note(tmp_path: Path) -> None:
    noted: list[Chart] = []

    def chart(made: Chart) -> Chart:
        noted.append(made)
        return made

    show = presenter(SimpleNamespace(charts_dir=tmp_path, chart=chart))
    shown = show(sales.category_revenue(categories()), "select 1")
    assert noted == [shown]
    assert "<code>select 1</code>" in shown.html
    assert shown.files["svg"].is_file()
    gap = show(NoData("Nothing here."), "select 1")
    assert isinstance(gap, Html)
    assert "Nothing here." in gap.html
    assert show(NoData("Nothing here."), "select 1").html == ""  # said once is enough
    assert len(noted) == 1


def test_every_finding_has_alternative_text_that_gives_numbers() -> None:
    monthly = months("2025-01-01", [100.0] * 14)
    for result in (
        sales.revenue_by_month(monthly),
        sales.gross_to_net(monthly),
        sales.returns_by_month(monthly),
        sales.category_revenue(categories()),
        sales.returns_by_category(categories()),
        sales.best_sellers(products([5.0, 4.0], [0.4, 0.4])),
        customers.new_and_returning(with_customers(monthly, 0.5, 0.5)),
    ):
        assert len(result.alt) > 40
        assert any(c.isdigit() for c in result.alt)


def test_the_notebook_is_stored_clean_with_short_cells_and_typed_parameters() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert max(len(cell.source.splitlines()) for cell in cells) <= 15
    assert book.cells[0].source.startswith("# ")
    parameters = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1
    names = [node.target.id for node in ast.parse(parameters[0].source).body if isinstance(node, ast.AnnAssign)]
    assert names == ["sources", "data_dir", "output_dir", "target", "run_id", "top_n", "months"]
    assert all("# " in line for line in parameters[0].source.splitlines())


def test_each_chart_of_the_notebook_stands_beside_its_query_below_a_question_in_words() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    shown = 0
    for before, cell in pairwise(book.cells):
        if "stage.show(" in cell.source:
            shown += 1
            assert "sql = " in cell.source or "sql = " in before.source
    assert shown == 15
    sections = [cell.source for cell in book.cells if cell.source.startswith("## ")]
    asking = [text for text in sections if not text.startswith("## Closing")]
    assert len(asking) == 9 and all("?" in text and len(text.split()) >= 40 for text in asking)
