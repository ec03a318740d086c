"""Anomalies over time: unusual days, sources that have stopped, shares that have shifted, and nothing else."""

import json
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from lib.model.dbt import build_models
from lib.quality import anomalies, volume
from tests.small_shop import SmallShop, csv, rows

FIRST, TRACKED, LAST = "2021-01-01", "2025-10-01", "2025-12-31"
BLACK_FRIDAYS = ("2021-11-26", "2022-11-25", "2023-11-24", "2024-11-29", "2025-11-28")
QUIET, BUSY, CHRISTMAS = (
    "2025-11-05",
    "2025-11-18",
    [f"{year}-12-{day}" for year in range(2021, 2026) for day in (24, 25)],
)


def season() -> pd.Series:
    """How busy each day of five years is: busier weekends, a peak on Black Friday, and a dip at Christmas."""
    days = pd.date_range(FIRST, LAST)
    level = pd.Series(1 + 0.2 * np.sin(days.day_of_year / 58) + 0.25 * (days.day_of_week >= 5), index=days)
    level[list(BLACK_FRIDAYS)] *= 2.5
    level[CHRISTMAS] *= 0.45
    return level


def orders_and_visits(seed: int = 1, a_day: int = 80) -> tuple[pd.Series, pd.Series]:
    """Orders of five years, so many a day, and rows of visits of the last three months, 5,000 a day; with chance."""
    chance = np.random.default_rng(seed)
    level = season()
    orders = pd.Series(chance.poisson(a_day * level), level.index)
    visits = level[TRACKED:] * 5000 * chance.normal(1, 0.06, len(level[TRACKED:]))
    return orders, visits.round()


def unusual(visits: pd.Series, orders: pd.Series) -> list[str]:
    found = volume.judge(visits, orders, are_orders=False).days
    return [str(day.date()) for day in found.index[found["is_unusual"]]]


# Days


@pytest.mark.parametrize("seed", range(4))
def test_a_usual_quarter_has_no_unusual_day_though_it_has_peaks_and_dips(seed):
    orders, visits = orders_and_visits(seed)
    assert unusual(visits, orders) == []


@pytest.mark.parametrize("seed", range(4))
def test_halved_and_doubled_days_are_found_also_where_a_fifth_of_all_days_is_wrong(seed):
    orders, visits = orders_and_visits(seed)
    lot = np.random.default_rng(seed).random(len(visits))
    wrong = [str(day.date()) for day in visits.index[lot < 0.2] if day not in (visits.index[0], visits.index[-1])]
    visits[lot < 0.1] /= 2
    visits[(lot >= 0.1) & (lot < 0.2)] *= 2
    found = unusual(visits, orders)
    assert set(found) <= set(wrong)
    assert len(found) >= 0.9 * len(wrong) > 10


def test_a_peak_is_unusual_only_where_orders_do_not_share_it():
    orders, visits = orders_and_visits()
    visits[QUIET] *= 2
    assert unusual(visits, orders) == [QUIET]
    orders[QUIET] *= 8
    assert unusual(visits, orders) == []


def test_a_peak_that_did_not_come_this_year_is_unusual():
    orders, visits = orders_and_visits()
    visits[BLACK_FRIDAYS[-1]] /= 2.5
    assert unusual(visits, orders) == [BLACK_FRIDAYS[-1]]


def test_the_first_and_the_last_day_are_not_judged():
    orders, visits = orders_and_visits()
    visits.iloc[[0, -1]] /= 10
    found = volume.judge(visits, orders, are_orders=False).days
    assert not found["is_unusual"].any()
    assert found["expected"].isna().tolist() == [True, *[False] * (len(visits) - 2), True]


def test_a_day_without_rows_is_unusual_and_a_closed_week_is_not():
    orders, visits = orders_and_visits()
    visits["2025-10-13":"2025-10-19"] = 0
    visits[BUSY] = 0
    assert unusual(visits, orders) == [BUSY]


def test_expected_rows_come_with_bounds_in_which_usual_days_lie():
    orders, visits = orders_and_visits()
    found = volume.judge(visits, orders, are_orders=False).days.dropna()
    assert (found["low"] < found["rows"]).all()
    assert (found["rows"] < found["high"]).all()
    assert (found["rows"] / found["expected"]).between(0.7, 1.4).all()


def test_orders_are_judged_by_the_season_of_other_years():
    orders, _ = orders_and_visits(a_day=2000)
    orders[QUIET] *= 2
    found = volume.judge(orders, orders, are_orders=True).days
    assert found.index[found["is_unusual"]].tolist() == [pd.Timestamp(QUIET)]


def test_without_orders_nobody_knows_a_season_and_only_what_is_far_off_is_unusual():
    _, visits = orders_and_visits()
    visits[QUIET] *= 4
    visits[BUSY] /= 2
    assert unusual(visits, visits[:0]) == [QUIET, BLACK_FRIDAYS[-1]]


def test_wrong_dates_years_away_are_no_part_of_a_series():
    orders, visits = orders_and_visits()
    visits = visits.reindex(orders.index, fill_value=0)
    visits["2022-03-05":"2022-03-12"] = 1
    found = volume.judge(visits, orders, are_orders=False)
    assert (found.why_not, found.days.index[0]) == ("", pd.Timestamp(TRACKED))


@pytest.mark.parametrize(
    ("days", "share", "why"),
    [
        (20, 1, "fewer than 28 days"),
        (90, 0.002, "fewer than 30 rows on most days"),
        (90, None, "by chance alone a day may have half its rows"),
    ],
)
def test_a_thin_series_is_not_judged_and_says_why(days, share, why):
    orders, visits = orders_and_visits()
    visits = visits[:days]
    wild = np.random.default_rng(1).lognormal(0, 0.5, len(visits))
    found = volume.judge((visits * (wild if share is None else share)).round(), orders, are_orders=False)
    assert found.why_not == why
    assert not found.days["is_unusual"].any()


# Shares, freshness, and what checks make of all of it: a small shop of four systems

HALVED, DOUBLED, TWICE = "2025-02-12", "2025-02-20", "2025-02-25"
END = date(2025, 3, 31)


def days_before(n: int) -> list[date]:
    """The last day and some days before it, oldest first."""
    return [END - timedelta(days=d) for d in reversed(range(n))]


def events(day: date) -> list[str]:
    """300 events of a day, some more on Sundays; of two days half of them or two of each."""
    n = 300 + 60 * (day.weekday() == 6)
    n = {HALVED: n // 2, DOUBLED: n * 2}.get(str(day), n)
    at = f"{day}T12:00:00Z"
    return [json.dumps({"event_id": f"{day}-{i}", "event_at": at, "event_type": "page_view"}) for i in range(n)]


def files(*entities: str) -> dict[str, dict[str, str]]:
    return {entity: {"files": f"{entity}/*"} for entity in entities}


def placed(name: str, channel: str, days: list[date]) -> str:
    return csv("order_id,ordered_at,channel", *(f"{name}-{day},{day} 10:00:00,{channel}" for day in days))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = SmallShop(tmp_path_factory.mktemp("watched"))
    made.config = {
        "sources": {
            name: {"kind": kind, "path": str(made.exports / name), "entities": entities}
            for name, kind, entities in (
                ("web", "files", files("orders", "payments")),
                ("clicks", "events", {"events": {"files": "*.json"}}),
                ("till", "files", files("orders")),
                ("old", "files", files("orders")),
            )
        }
    }
    web = [(f"w{day}-{i}", day) for day in days_before(500) for i in range(18)]
    # In the last month all pay by card, before it every ninth did.
    march = END.replace(day=1)
    paid = [(order, day, "card" if day >= march or order.endswith(("-1", "-2")) else "bill") for order, day in web]
    made.write("web/orders/1.csv", csv("order_id,ordered_at,channel", *(f"{o},{day} 12:00:00,web" for o, day in web)))
    made.write(
        "web/payments/1.csv",
        csv("payment_id,order_id,method,amount,paid_at", *(f"p{o},{o},{m},1,{day} 13:00:00" for o, day, m in paid)),
    )
    for day in days_before(90):
        lines = "\n".join(events(day)) + "\n"
        made.write(f"clicks/{day}.json", lines)
        if str(day) == TWICE:
            made.write(f"clicks/{day}-again.json", lines)
    # A till that sells on workdays alone and has been silent for nine days, and one that went out of use; a wrong
    # date of that one, months ahead of all else, is not the shop's present day.
    till = [day for day in days_before(200) if day.weekday() < 5 and day <= END - timedelta(days=9)]
    made.write("till/orders/1.csv", placed("t", "store", till))
    made.write("old/orders/1.csv", placed("o", "store", [*days_before(300)[:100], END + timedelta(days=120)]))
    return made


@pytest.fixture(scope="module")
def audited(shop):
    """The shop's warehouse and its audit; one row was lost between the lake and the models."""
    warehouse = shop.load()
    with warehouse.connect(read_only=False) as connection:
        connection.execute("delete from stage.orders where order_id = ?", [f"o-{END - timedelta(days=250)}"])
    for folders in (("staging", "clean", "quality"), ("warehouse", "analytics")):
        build_models(shop.settings, warehouse, *folders)
    return warehouse, shop.audit(warehouse)


@pytest.fixture(scope="module")
def warehouse(audited):
    return audited[0]


def test_unusual_days_are_kept_and_flagged(warehouse):
    found = rows(
        warehouse,
        "select cast(day as varchar), source, entity, cast(observed as bigint) from quality.anomalies"
        " where rule = 'unusual_volume' order by day",
    )
    expected = [(HALVED, "clicks", "events", 150), (DOUBLED, "clicks", "events", 600), (TWICE, "clicks", "events", 600)]
    assert found == expected
    flagged = rows(
        warehouse,
        "select entity, source, key, family, field, value from quality.flags"
        " where rule = 'unusual_volume' order by key",
    )
    assert flagged == [(entity, source, day, day, "volume", str(n)) for day, source, entity, n in expected]


def test_only_series_that_can_be_judged_are_shown(warehouse):
    judged = anomalies.daily_volume(warehouse)
    assert set(zip(judged["source"], judged["entity"], strict=True)) == {("clicks", "events")}
    assert len(judged) == 90


def test_a_source_is_stale_beyond_its_usual_gap_and_closed_in_the_end(shop, warehouse):
    found = anomalies.freshness(shop.settings, warehouse).set_index("source")
    assert found["state"].to_dict() == {"clicks": "fresh", "old": "closed", "till": "stale", "web": "fresh"}
    assert found.loc["till", ["usual_gap_days", "allowed_days"]].tolist() == [3, 4.5]
    assert rows(
        warehouse, "select entity, source, key, family, field from quality.flags where rule = 'stale_source'"
    ) == [("", "till", "till", "till", "")]


def test_a_month_with_other_shares_than_a_year_before_is_found(warehouse):
    found = rows(
        warehouse,
        "select entity, measure, cast(day as varchar) from quality.anomalies where rule = 'distribution_shift'",
    )
    assert found == [("payments", "method", "2025-03-01")]
    shares = anomalies.shares(warehouse)
    march = shares[(shares["measure"] == "method") & (shares["month"] == "2025-03-01")].set_index("value")
    assert march["share"].round(2).to_dict() == {"card": 1.0, "bill": 0.0}
    # The till came later, the old one went: what they do to the channels' shares is no anomaly.
    assert not shares.loc[shares["measure"] == "channel", "is_shifted"].any()


def test_a_row_that_was_lost_on_the_way_is_missed(audited):
    warehouse, audit = audited
    sql = "select source, entity, reported, held from quality.source_reconciliation where difference <> 0"
    assert rows(warehouse, sql) == [("old", "orders", 101, 100)]
    check = audit.checks.set_index("check_name").loc["sources_hold_what_is_staged"]
    assert check[["dimension", "state", "failing_rows"]].tolist() == ["completeness", "warned", 1]
