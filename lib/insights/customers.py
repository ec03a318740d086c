"""Questions about customers: who brings the revenue, do they come back, which groups are there.

As in `lib.insights.sales`, a small table goes in and an insight comes out; None where it is no question for the shop.
"""

import pandas as pd

from lib.base.formatting import percent
from lib.insights.answers import (
    FEWEST_CUSTOMERS,
    best_fifth,
    enumerated,
    label,
    part_of,
    period,
    question,
    speaking,
    unit,
)
from lib.report import plots
from lib.report.insight import Insight, Result

#: The parts of revenue, from the bottom of a column to its top.
PARTS = {"unknown_net_amount": "unknown", "new_net_amount": "new", "returning_net_amount": "returning"}


@question
def customer_concentration(customers: pd.DataFrame) -> Result:
    """Return how much of revenue the best fifth of customers brings."""
    return best_fifth("customer_concentration", customers["net_amount"], "customers", "known customers")


@question
def segments(frame: pd.DataFrame) -> Result:
    """Return each segment's share of customers and of revenue (columns segment, customers, net_amount).

    None where there are too few customers to group.
    """
    data = frame.sort_values("net_amount", ascending=False, ignore_index=True)
    people, revenue = data["customers"].sum(), data["net_amount"].sum()
    if people < FEWEST_CUSTOMERS or len(data) < 2 or not revenue > 0 or (data["net_amount"] < 0).any():
        return None
    data = data.assign(customers_share=data["customers"] / people, revenue_share=data["net_amount"] / revenue)
    names, before, after = data["segment"].map(label), data["customers_share"], data["revenue_share"]
    title = f"{names[0]}: {percent(before[0])} of customers, {percent(after[0])} of revenue"
    pairs = [f"{percent(a)} and {percent(b)}" for a, b in zip(before, after, strict=True)]
    alt = f"Share of customers and share of revenue by segment: {enumerated(names, pairs)}."
    called = ("share of customers", "share of revenue")
    figure = plots.dumbbells(names.tolist(), before.tolist(), after.tolist(), called)
    subtitle = "Customers grouped by recency, frequency and money spent (RFM)"
    return Insight("customer_segments", title, subtitle, alt, figure, data.round(4))


@question
def new_and_returning(growth: pd.DataFrame, currency: str | None = None, months: int = 0) -> Result:
    """Return revenue of new, returning and unknown customers by month, or by quarter beyond four years.

    None where no order names its customer, or all are of one month, in which nobody has come back yet.
    """
    shown, back = speaking(growth), growth["returning_net_amount"].fillna(0)
    if back.any() and not shown["returning_net_amount"].fillna(0).any():
        shown = growth  # who came back did so in a month that is not complete
    shown = shown.tail(months or len(shown))
    if len(growth) < 2 or not shown[["new_net_amount", "returning_net_amount"]].sum().sum() > 0:
        return None
    year = shown.tail(12)
    returning, new = year["returning_net_amount"].sum(), year["new_net_amount"].sum()
    part = part_of(returning, new + returning, currency)
    brought = f"{part} of known customers' revenue" if part.endswith("%") else part
    title = f"Returning customers brought {brought}, {period(year['month'])}"
    if not returning > 0:
        nobody = "Returning customers brought no revenue" if back.any() else "No known customer has come back yet"
        title = f"{nobody}, {period(year['month'])}"
    step, data, labels = _columns_over_time(shown)
    heights = {name: data[column].fillna(0).tolist() for column, name in PARTS.items() if data[column].any()}
    subtitle = f"Net revenue by {step}{unit(currency)}; new: first order in these data"
    alt = f"Stacked columns of net revenue of new and returning customers by {step}. {title}."
    return Insight("new_and_returning", title, subtitle, alt, plots.stacked(labels, heights), data)


def _columns_over_time(growth: pd.DataFrame) -> tuple[str, pd.DataFrame, list[str]]:
    """Return the step ("month", or "quarter" beyond four years), the summed data and the axis labels."""
    if len(growth) <= 48:
        data = growth[["month", *PARTS]].reset_index(drop=True)
        return "month", data, [f"{month:%b}\n{month:%Y}" for month in data["month"]]
    quarters = growth.groupby(growth["month"].dt.to_period("Q"))
    data = quarters[list(PARTS)].sum()[quarters.size() == 3].reset_index(names="quarter").astype({"quarter": str})
    return "quarter", data, [text[:4] if text.endswith("1") else "" for text in data["quarter"]]
