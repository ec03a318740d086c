"""Complete months: the data hold all of a month, going by how often the shop has orders."""

from collections.abc import Iterable
from datetime import date

import duckdb
import pandas as pd
import pytest

from tests.test_portable_sql import project

MODEL = project()["sql/models/analytics/monthly_sales.sql"]
AMOUNTS = ("gross", "discount", "return", "net", "cost", "margin", "refund")
MEASURES = ("quantity", *(f"{name}_amount" for name in AMOUNTS))


def complete_months(days: Iterable[str | date | pd.Timestamp], orders: int = 1) -> list[str]:
    """The months that the model calls complete in a shop with that many orders on each of some days."""
    sold = pd.DatetimeIndex(pd.to_datetime(list(days)))
    daily = pd.DataFrame({"order_date": pd.date_range(sold.min(), sold.max()).date})
    counts = sold.value_counts()
    daily["orders"] = [int(counts.get(pd.Timestamp(day), 0)) * orders for day in daily["order_date"]]
    daily = daily.assign(cancelled_orders=0, **dict.fromkeys(MEASURES, daily["orders"] * 10.0))
    with duckdb.connect() as connection:
        connection.register("daily_sales", daily)
        connection.execute("create table fact_orders (customer_id varchar, order_date date, order_type varchar)")
        rows = connection.execute(f"select month from ({MODEL}) where is_complete order by month").fetchall()
    return [f"{month:%Y-%m}" for (month,) in rows]


def days(first: str, last: str, frequency: str = "D") -> list[pd.Timestamp]:
    return list(pd.date_range(first, last, freq=frequency))


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("2025-05-31", ["2025-03", "2025-04", "2025-05"]),
        ("2025-05-30", ["2025-03", "2025-04", "2025-05"]),
        ("2025-05-29", ["2025-03", "2025-04"]),
        ("2025-05-01", ["2025-03", "2025-04"]),
    ],
)
def test_a_shop_that_sells_daily_has_all_of_a_month_up_to_the_last_day_but_one(last, expected):
    assert complete_months(days("2025-03-01", last)) == expected
    assert complete_months(days("2025-03-02", last)) == expected, "the same holds for the day it begins"


def test_the_month_in_which_the_data_begin_is_not_complete():
    assert complete_months(days("2025-03-10", "2025-05-31")) == ["2025-04", "2025-05"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [("2025-08-25", ["2025-06", "2025-07", "2025-08"]), ("2025-08-24", ["2025-06", "2025-07"])],
)
def test_a_shop_that_sells_weekly_has_all_of_a_month_where_no_week_is_open(last, expected):
    weekly = days("2025-06-02", "2025-08-18", "7D")
    assert complete_months([*weekly, last]) == expected


def test_a_shop_that_is_closed_on_sundays_misses_none():
    saturday = [day for day in days("2025-03-01", "2025-05-31") if day.weekday() != 6]
    assert complete_months(saturday) == ["2025-03", "2025-04", "2025-05"]
    # 31 August 2025 is a Sunday, and so is 1 June.
    summer = [day for day in days("2025-06-01", "2025-08-31") if day.weekday() != 6]
    assert complete_months(summer) == ["2025-06", "2025-07", "2025-08"]


def test_a_shop_of_four_orders_has_no_rhythm_and_full_are_the_months_that_its_days_enclose():
    assert complete_months(["2026-01-05", "2026-01-20", "2026-02-03", "2026-02-10"]) == []
    assert complete_months(["2026-04-01", "2026-04-30", "2026-05-01", "2026-05-31"]) == ["2026-04", "2026-05"]
    assert complete_months(["2026-01-05"]) == []


def test_months_in_a_gap_of_the_data_are_not_complete():
    """From 10 March to 20 June nothing was delivered: May is empty, March and June are in part."""
    found = complete_months([*days("2025-01-01", "2025-03-10"), *days("2025-06-20", "2025-08-31")])
    assert found == ["2025-01", "2025-02", "2025-07", "2025-08"]


def test_a_holiday_leaves_a_month_complete():
    december = [*days("2024-11-01", "2024-12-22"), *days("2025-01-04", "2025-01-31")]
    assert complete_months(december) == ["2024-11", "2024-12", "2025-01"]


def test_a_shop_whose_orders_were_few_at_first_has_full_months_then_too():
    """Twenty days without an order are a gap where a shop sells daily, and none where it sells every fifth day."""
    few = [*days("2025-01-01", "2025-03-31", "5D"), *days("2025-04-20", "2025-06-30", "5D")]
    assert complete_months(few) == ["2025-01", "2025-02", "2025-03", "2025-04", "2025-05", "2025-06"]
    daily = [*days("2025-01-01", "2025-03-31"), *days("2025-04-20", "2025-06-30")]
    assert complete_months(daily) == ["2025-01", "2025-02", "2025-03", "2025-05", "2025-06"]


def test_a_tail_of_hardly_any_orders_is_no_month():
    """As where a marketplace's data end in August, and a few late orders of September and October are in them."""
    busy = days("2025-05-01", "2025-08-31") * 20
    few = days("2025-09-02", "2025-09-29", "2D")
    assert complete_months([*busy, *few, "2025-10-17"]) == ["2025-05", "2025-06", "2025-07", "2025-08"]
    slow_start = days("2025-04-01", "2025-04-30", "2D")
    assert complete_months([*slow_start, *busy])[0] == "2025-04", "a shop may begin small"


def test_a_single_order_at_the_end_is_no_month_where_others_have_more():
    irregular = [f"2025-{month:02}-{day:02}" for month in range(1, 7) for day in (3, 12, 24)]
    assert complete_months([*irregular, "2025-07-22"]) == [f"2025-{month:02}" for month in range(1, 7)]


def test_a_shop_with_one_day_of_orders_a_month_has_full_months():
    assert complete_months([f"2025-{month:02}-01" for month in range(1, 13)], orders=300)[-1] == "2025-12"
