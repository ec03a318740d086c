"""Questions about customers: who brings the revenue, do they come back, which groups are there.

As in `lib.insights.sales`, a small table goes in and a finding, or the reason why there is none, comes out.
"""

import pandas as pd

from lib.base import formatting
from lib.base.formatting import percent
from lib.report import plots
from lib.report.insight import (
    NO_SALES,
    Insight,
    NoData,
    Result,
    complete_months,
    concentration,
    enumerated,
    floats,
    pretty,
    share,
    span,
    unit,
)


def customer_concentration(customers: pd.DataFrame) -> Result:
    """Return how much of revenue the best fifth of customers brings."""
    spent = floats(customers)["net_amount"].dropna() if len(customers) else pd.Series(dtype=float)
    curve = concentration(spent)
    if curve is None:
        return NoData("Fewer than five known customers have bought, so how revenue spreads over them is left out.")
    data, mark, many = curve
    title = f"The best fifth of customers bring {percent(mark[1])} of revenue"
    size = formatting.count(many, "known customer")
    alt = f"Curve of revenue cumulated over {size}, best first. {title}."
    figure = plots.concentration(data["share_of_all"].tolist(), data["revenue_share"].tolist(), mark)
    return Insight("customer_concentration", title, f"Cumulated share of net revenue of {size}", alt, figure, data)


def segments(frame: pd.DataFrame) -> Result:
    """Return each segment's share of customers and of revenue (columns segment, customers, net_amount)."""
    frame = floats(frame).sort_values("net_amount", ascending=False, ignore_index=True)
    people, total = (frame["customers"].sum(), frame["net_amount"].sum()) if len(frame) else (0.0, 0.0)
    if not (people > 0 and total > 0):
        return NoData("No known customer has bought yet, so customer segments are left out.")
    data = frame.assign(customers_share=frame["customers"] / people, revenue_share=frame["net_amount"] / total)
    top = data.iloc[0]
    people_share, revenue_share = percent(top["customers_share"]), percent(top["revenue_share"])
    title = f"{pretty(top['segment'])}: {people_share} of customers, {revenue_share} of revenue"
    names = [pretty(name) for name in data["segment"]]
    pairs = [
        f"{percent(a)} and {percent(b)}" for a, b in zip(data["customers_share"], data["revenue_share"], strict=True)
    ]
    alt = f"Share of customers and share of revenue by segment: {enumerated(pd.Series(names), pairs)}."
    columns = data["customers_share"].tolist(), data["revenue_share"].tolist()
    figure = plots.dumbbells(names, *columns, ("share of customers", "share of revenue"))
    return Insight(
        "customer_segments",
        title,
        "Customers grouped by recency, frequency and money spent (RFM)",
        alt,
        figure,
        data.round(4),
    )


def new_and_returning(growth: pd.DataFrame, currency: str | None = None, months: int = 0) -> Result:
    """Return revenue of new, returning and unknown customers by month, or by quarter beyond four years."""
    growth = floats(growth)
    if growth.empty:
        return NoData(NO_SALES)
    full = complete_months(growth)
    shown = full if len(full) else growth
    shown = shown.tail(months) if months else shown
    if not shown[["new_net_amount", "returning_net_amount"]].sum().sum() > 0:
        return NoData("No order of this shop names its customer, so new and returning ones cannot be told apart.")
    year = shown.tail(12)
    returning, new = year["returning_net_amount"].sum(), year["new_net_amount"].sum()
    part, period = percent(share(returning, new + returning)), span(year["month"])
    title = f"Returning customers brought {part} of known customers' revenue, {period}"
    step, data, labels = _columns_over_time(shown)
    parts = {
        name: data[f"{name}_net_amount"].fillna(0).tolist()
        for name in ("unknown", "new", "returning")
        if data[f"{name}_net_amount"].fillna(0).any()
    }
    subtitle = f"Net revenue by {step}{unit(currency)}; new: first order in these data"
    alt = f"Stacked columns of net revenue of new and returning customers by {step}. {title}."
    return Insight("new_and_returning", title, subtitle, alt, plots.stacked(labels, parts), data)


def _columns_over_time(growth: pd.DataFrame) -> tuple[str, pd.DataFrame, list[str]]:
    """Return the step ("month", or "quarter" beyond four years), the summed data and the axis labels."""
    amounts = ["unknown_net_amount", "new_net_amount", "returning_net_amount"]
    if len(growth) <= 48:
        data = growth[["month", *amounts]].reset_index(drop=True)
        return "month", data, [f"{month:%b}\n{month:%Y}" for month in data["month"]]
    groups = growth.groupby(growth["month"].dt.to_period("Q"))
    data = groups[amounts].sum()[groups.size() == 3].reset_index(names="quarter").astype({"quarter": str})
    return "quarter", data, [text[:4] if text.endswith("1") else "" for text in data["quarter"]]
