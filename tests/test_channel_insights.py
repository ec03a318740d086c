"""Channels and sessions in the report: titles are right on hand-made data, and a shop without them gets none."""

from types import SimpleNamespace

import pandas as pd
import pytest

from lib.insights import channels as insights
from lib.report.insight import Insight, presenter


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def title(result) -> str:
    assert isinstance(result, Insight), result
    return plain(result.title)


def by_channel(start: str, complete: bool = True, **net: list[float]) -> pd.DataFrame:
    """A row a month and channel that sold; the last month is whole or not."""
    months = pd.date_range(start, periods=len(next(iter(net.values()))), freq="MS")
    rows = [
        (month.date(), channel, amount, complete or month != months[-1])
        for channel, amounts in net.items()
        for month, amount in zip(months, amounts, strict=True)
        if amount
    ]
    return pd.DataFrame(rows, columns=["month", "channel", "net_amount", "is_complete"])


def sessions(device: str | None = "phone", months: int = 1, **steps: int) -> pd.DataFrame:
    frame = pd.DataFrame({"month": pd.date_range("2025-01-01", periods=months, freq="MS").date, "device": device})
    for step in insights.STEPS:
        frame[step] = steps.get(step.removesuffix("_sessions"), 0)
    return frame.assign(is_complete=True)


def test_channels_are_compared_with_the_same_months_a_year_before() -> None:
    frame = by_channel("2024-01-01", web=[50.0] * 12 + [50.0] * 9 + [60.0] * 3, store=[50.0] * 21 + [40.0] * 3)
    result = insights.revenue_shares(frame)
    assert title(result) == "Web brings 60 % of revenue, 10.0 points more than a year before"
    assert result.data["share_before"].tolist() == [0.5, 0.5]
    assert "Web 60 % (+10.0 pt); Store 40 % (−10.0 pt)" in plain(result.alt)


def test_a_closed_channel_is_compared_with_nothing() -> None:
    """The records of the system before are all one channel: shares begin where the present channels sell alone."""
    new, old = [0.0] * 12 + [30.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0], [100.0] * 12 + [10.0] + [0.0] * 6
    frame = by_channel("2024-01-01", history=old, web=new, store=[0.0] * 13 + [40.0] * 3 + [60.0] * 3)
    result = insights.revenue_shares(frame)
    assert title(result) == "Store brings 50 % of revenue, 10.0 points more than the 3 months before"
    assert result.data["channel"].tolist() == ["store", "web"]
    month_of_the_change = by_channel("2024-01-01", history=[9.0, 9.0, 0.0], web=[0.0, 1.0, 6.0], store=[0.0, 0.0, 4.0])
    assert title(insights.revenue_shares(month_of_the_change)) == "Web brings 60 % of revenue"


def test_the_channel_that_changed_most_is_named_and_small_changes_are_none() -> None:
    frame = by_channel("2025-01-01", web=[60.0, 60.0], store=[20.0, 30.0], market=[20.0, 10.0])
    assert title(insights.revenue_shares(frame)) == "Web brings 60 % of revenue"  # two months are compared with none
    frame = by_channel(
        "2025-01-01", web=[60.0] * 3 + [55.0] * 3, store=[20.0] * 3 + [30.0] * 3, market=[20.0] * 3 + [15.0] * 3
    )
    assert title(insights.revenue_shares(frame)) == (
        "Web brings 55 % of revenue; Store has 10.0 points more than the 3 months before"
    )
    even = by_channel("2025-01-01", web=[60.0] * 6, store=[40.0] * 6)
    assert title(insights.revenue_shares(even)) == "Web brings 60 % of revenue, as the 3 months before"


def test_a_month_that_is_not_whole_is_left_out() -> None:
    frame = by_channel("2025-01-01", complete=False, web=[60.0, 60.0, 1.0], store=[40.0, 40.0, 99.0])
    assert title(insights.revenue_shares(frame)) == "Web brings 60 % of revenue"


def test_orders_without_a_channel_stay_in_the_whole() -> None:
    result = insights.revenue_shares(by_channel("2025-01-01", web=[30.0], store=[10.0], unknown=[60.0]))
    assert title(result) == "Unknown brings 60 % of revenue"
    assert result.data["share"].tolist() == [0.6, 0.3, 0.1]


@pytest.mark.parametrize(
    "frame",
    [
        by_channel("2025-01-01", web=[]),
        by_channel("2025-01-01", unknown=[5.0]),
        by_channel("2025-01-01", web=[5.0], unknown=[5.0]),
        by_channel("2025-01-01", complete=False, web=[5.0], store=[5.0]),
        by_channel("2025-01-01", web=[-5.0], store=[2.0]),
    ],
)
def test_where_there_are_no_channels_to_compare_nothing_is_said(frame) -> None:
    assert insights.revenue_shares(frame) is None


def test_the_funnel_names_how_many_buy_and_where_most_are_lost() -> None:
    frame = sessions(sessions=1000, product_view=800, cart=100, checkout=60, converted=40)
    result = insights.funnel(frame)
    assert title(result) == "4.0 % of sessions end in a purchase; the widest gap is from product view to cart"
    assert result.data["step"].tolist() == ["Visit", "Product view", "Cart", "Checkout", "Purchase"]
    assert plain(result.alt).endswith("Purchase 40 · 4.0 % of sessions.")


def test_the_funnel_is_of_twelve_full_months_and_leaves_out_steps_that_are_never_reported() -> None:
    frame = sessions(months=20, sessions=10, cart=4, product_view=4, converted=1)
    result = insights.funnel(frame)
    assert result.data["step"].tolist() == ["Visit", "Product view", "Cart", "Purchase"]
    assert result.data["sessions"].tolist() == [120, 48, 48, 12]
    assert title(insights.funnel(sessions(sessions=10, product_view=4))) == "No session ended in a purchase"


def test_devices_are_compared_where_they_convert_differently() -> None:
    phone, laptop = sessions("phone", sessions=1000, converted=20), sessions("laptop", sessions=1000, converted=40)
    few = sessions("watch", sessions=3, converted=3)
    result = insights.conversion_by_device(pd.concat([phone, laptop, few]))
    assert title(result) == "Laptop converts best: 4.0 %, against 2.0 % on phone"
    alike = pd.concat([phone, sessions("laptop", sessions=1000, converted=20)])
    assert title(insights.conversion_by_device(alike)) == "All devices convert alike: 2.0 %"


def test_a_device_does_not_convert_best_by_chance() -> None:
    """Tablets have few sessions: five purchases more or fewer of them are nothing to announce."""
    phone, laptop = sessions("phone", sessions=4000, converted=80), sessions("laptop", sessions=4000, converted=200)
    tablet = sessions("tablet", sessions=120, converted=7)
    result = insights.conversion_by_device(pd.concat([phone, laptop, tablet]))
    assert title(result) == "Tablet and laptop convert best: 5.8 % and 5.0 %, against 2.0 % on phone"
    noise = pd.concat([sessions("laptop", sessions=1000, converted=22), tablet.assign(converted_sessions=4)])
    assert title(insights.conversion_by_device(noise)) == "All devices convert alike: 2.2 % to 3.3 %, within chance"


def test_two_sessions_have_no_widest_gap() -> None:
    assert title(insights.funnel(sessions(sessions=2, product_view=2, checkout=1, converted=1))) == (
        "50 % of sessions end in a purchase"
    )


def test_a_shop_without_events_is_shown_nothing(tmp_path) -> None:
    """Its page leaves out a section in which nothing is shown, heading and all: see test_report."""
    nothing = sessions(months=0)
    results = insights.funnel(nothing), insights.conversion_by_device(nothing)
    assert results == (None, None)
    assert insights.conversion_by_device(sessions("unknown", sessions=1000, converted=9)) is None
    show = presenter(SimpleNamespace(charts_dir=tmp_path))
    assert show(results[0], "").html == show(results[1], "").html == ""
