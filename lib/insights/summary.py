"""The insights report in short: its headline, its key figures, and what to act on, all computed.

The charts' findings are in `lib.insights.sales`. A change is against the month before and the same month a year
before, over complete months only; an action appears only where its number calls for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lib.base import formatting
from lib.base.formatting import compact, number, percent, signed
from lib.report.charts import shorten
from lib.report.insight import complete_months, floats, highest, money, named, share
from lib.report.pieces import Action, Kpi, Tone

#: Days without an order: quiet for those who come less recently than most, for everybody, and lost rather than quiet.
QUIET_DAYS, LONG_DAYS, LOST_DAYS = 60, 180, 730


MIN_ORDERS = 20  # below that a product's return rate is chance


@dataclass(frozen=True)
class Months:
    """The last complete month, the one before and the same a year before; the latter two may be missing."""

    now: pd.Series
    before: pd.Series | None
    year_ago: pd.Series | None


def latest(monthly: pd.DataFrame) -> Months | None:
    """Return the months to compare, or None where no month is complete."""
    whole = complete_months(monthly)
    if whole.empty:
        return None
    now = whole.iloc[-1]

    def back(months: int) -> pd.Series | None:
        rows = whole[whole["month"] == now["month"] - pd.DateOffset(months=months)]
        return None if rows.empty else rows.iloc[0]

    return Months(now, back(1), back(12))


def headline(
    monthly: pd.DataFrame, growth: pd.DataFrame, categories: pd.DataFrame, currency: str | None
) -> tuple[str, str]:
    """Return the report's headline and its lede."""
    monthly = floats(monthly)
    if monthly.empty or not monthly["gross_amount"].sum() > 0:
        return (
            "No sales yet",
            "The warehouse holds no order lines. Once a run has taken some in, figures stand here.",
        )
    net, orders = monthly["net_amount"].sum(), monthly["orders"].sum()
    months = latest(monthly)
    sentences = []
    if months is None:
        title = f"{money(net, currency)} of net revenue so far; no month is complete yet"
    else:
        now = months.now
        title = f"{now['month']:%B %Y} brought {money(now['net_amount'], currency)}"
        if months.year_ago is not None:
            title += _compared(now["net_amount"], months.year_ago["net_amount"], "a year before")
        if months.before is not None:
            against = _compared(now["net_amount"], months.before["net_amount"], f"{months.before['month']:%B}")
            if months.year_ago is None:
                title += against
            elif against:
                sentences.append(f"That is{against.lstrip(',')}.")
    first = monthly["month"].iloc[0]
    sentences.append(
        f"Since {first:%B %Y} the shop took {formatting.count(orders, 'order')}: **{money(net, currency)}** net."
    )
    growth = complete_months(floats(growth)).tail(12) if len(growth) else growth
    if len(growth):
        returning, new = growth["returning_net_amount"].sum(), growth["new_net_amount"].sum()
        span = (
            f"In the last {formatting.count(len(growth), 'full month')}"
            if len(growth) > 1
            else "In the last full month"
        )
        if returning + new > 0:
            part = percent(share(returning, returning + new))
            sentences.append(f"{span} returning customers made **{part}** of known customers' revenue.")
    known = named(floats(categories), "category") if len(categories) else categories
    if len(known) > 1:
        top = highest(known, "net_amount")
        part = percent(share(top["net_amount"], floats(categories)["net_amount"].sum()))
        sentences.append(f"{shorten(top['category'], 40)} is the largest category with **{part}**.")
    return title, " ".join(sentences)


def _compared(now: float, then: float, when: str) -> str:
    if not then > 0:
        return ""
    change = (now / then - 1) * 100
    if abs(change) < 0.5:
        return f", about as much as {when}"
    size = percent(abs(change) / 100, 0 if abs(change) >= 20 else 1)
    return f", {size} {'more' if change > 0 else 'less'} than {when}"


def key_figures(monthly: pd.DataFrame, growth: pd.DataFrame, currency: str | None = None) -> list[Kpi]:
    """Return key figures of the last complete month, or of all sales where no month is complete."""
    monthly = floats(monthly)
    if monthly.empty:
        return []
    if len(growth):
        monthly = monthly.merge(floats(growth).drop(columns="is_complete", errors="ignore"), on="month", how="left")
    frame = _with_rates(monthly)
    months = latest(frame)
    if months is None:
        total = _with_rates(frame.drop(columns=["month", "is_complete"], errors="ignore").sum(min_count=1).to_frame().T)
        months = Months(total.iloc[0], None, None)
    past = complete_months(frame).tail(13)
    unit = f", {currency}" if currency else ""
    rows: list[tuple[str, str, Any, bool, int]] = [
        (f"Net revenue{unit}", "net_amount", compact, False, 1),
        ("Orders", "orders", number, False, 1),
        (f"Average order{unit}", "order_value", lambda v: number(v, 2), False, 1),
        ("Margin", "margin_share", lambda v: percent(v, 1), True, 1),
        ("Returning customers", "returning_share", lambda v: percent(v, 1), True, 1),
        ("Return rate", "return_share", lambda v: percent(v, 1), True, -1),
    ]
    return [
        _kpi(label, column, fmt, points, good, months, past)
        for label, column, fmt, points, good in rows
        if column in months.now and pd.notna(months.now[column])
    ]


def _with_rates(frame: pd.DataFrame) -> pd.DataFrame:
    def rate(part: str, *whole: str) -> pd.Series:
        below = sum((frame[c].fillna(0) for c in whole), pd.Series(0.0, index=frame.index))
        return frame[part] / below.where(below > 0)

    frame = frame.assign(
        order_value=rate("net_amount", "orders"),
        margin_share=rate("margin_amount", "net_amount"),
        return_share=rate("return_amount", "gross_amount"),
    )
    if "returning_net_amount" in frame:
        frame["returning_share"] = rate("returning_net_amount", "returning_net_amount", "new_net_amount")
    return frame


def _kpi(label: str, column: str, fmt: Any, points: bool, good: int, months: Months, past: pd.DataFrame) -> Kpi:
    def change(then: pd.Series | None) -> float:
        if then is None or pd.isna(then[column]):
            return np.nan
        if points:
            return float(months.now[column] - then[column]) * 100
        return (float(months.now[column]) / float(then[column]) - 1) * 100 if then[column] > 0 else np.nan

    def text(value: float) -> str:
        return signed(value, 1, "pt" if points else "%")

    on_before, on_year = change(months.before), change(months.year_ago)
    spark = past[column].tolist()
    parts = []
    if np.isfinite(on_before):
        parts.append((on_before, f"on {months.before['month']:%b}"))  # type: ignore[index]
    if np.isfinite(on_year):
        parts.append((on_year, f"on {months.year_ago['month']:%b %Y}"))  # type: ignore[index]
    if not parts:
        return Kpi(label, fmt(months.now[column]), spark=spark)
    value, against = parts[0]
    tone: Tone = "neutral" if abs(value) < 0.05 else "good" if value * good > 0 else "bad"
    rest = "".join(f" · {text(other)} {name}" for other, name in parts[1:])
    return Kpi(label, fmt(months.now[column]), text(value), tone, spark, against + rest)


def to_act_on(
    customers: pd.DataFrame,
    products: pd.DataFrame,
    growth: pd.DataFrame,
    payments: pd.DataFrame,
    currency: str | None = None,
    most: int = 3,
) -> list[Action]:
    """Return what the figures call for, the largest amount at stake first."""
    found = [
        *_quiet_customers(floats(customers), currency),
        *_returned_products(floats(products), currency),
        *_thin_best_seller(floats(products), currency),
        *_unknown_customers(floats(growth), currency),
        *_failed_payments(floats(payments), currency),
    ]
    return [action for _, action in sorted(found, key=lambda pair: -pair[0])[:most]]


def _quiet_customers(customers: pd.DataFrame, currency: str | None) -> list[tuple[float, Action]]:
    if customers.empty:
        return []
    days = customers["days_since_last_order"]
    away = ((customers["recency_score"] <= 2) & (days >= QUIET_DAYS)) | (days >= LONG_DAYS)
    quiet = customers[(customers["monetary_score"] >= 4) & away & (days <= LOST_DAYS)]
    if quiet.empty:
        return []
    spent, total = quiet["net_amount"].sum(), customers["net_amount"].sum()
    who = formatting.count(len(quiet), "high-value customer")
    one = len(quiet) == 1
    since = f"ordered last {number(quiet['days_since_last_order'].median())} days ago" + ("" if one else " (median)")
    why = (
        f"{'This customer has' if one else 'They have'} spent **{money(spent, currency)}**, "
        f"{percent(share(spent, total))} of what all known customers spent, and {since}."
    )
    return [(spent, Action(f"Win back {who} gone quiet.", why))]


def _returned_products(products: pd.DataFrame, currency: str | None) -> list[tuple[float, Action]]:
    if products.empty or not products["gross_amount"].sum() > 0:
        return []
    usual = share(products["return_amount"].sum(), products["gross_amount"].sum())
    rates = products["return_amount"] / products["gross_amount"].where(products["gross_amount"] > 0)
    high = products[(rates >= max(2 * usual, 0.08)) & (products["orders"] >= MIN_ORDERS)]
    high = high.sort_values("return_amount", ascending=False)
    if high.empty:
        return []
    lost, one = high["return_amount"].sum(), len(high) == 1
    names = [shorten(name, 32) for name in high["name"].fillna(high["product_id"]).head(3)]
    rate = percent(share(lost, high["gross_amount"].sum()), 1)
    who = formatting.listing(names) if len(high) <= 3 else ", ".join(names) + " and others"
    why = (
        f"{who}: {rate} of {'its' if one else 'their'} sales came back or were cancelled, worth "
        f"**{money(lost, currency)}**, against {percent(usual, 1)} overall."
    )
    what = f"Find out why {formatting.count(len(high), 'product')} {'comes' if one else 'come'} back."
    return [(lost, Action(what, why))]


def _thin_best_seller(products: pd.DataFrame, currency: str | None) -> list[tuple[float, Action]]:
    known = products[products["margin_rate"].notna() & (products["net_amount"] > 0)] if len(products) else products
    if known.empty:
        return []
    usual = share(known["margin_amount"].sum(), known["net_amount"].sum())
    best = known.nlargest(20, "net_amount")
    thin = best[best["margin_rate"] < usual / 2]
    if thin.empty:
        return []
    row = thin.iloc[0]
    missing = (usual - row["margin_rate"]) * row["net_amount"]
    name = shorten(row["name"] if pd.notna(row["name"]) else row["product_id"], 40)
    loss = "is sold at a loss" if row["margin_rate"] < 0 else "earns little"
    why = (
        f"It {loss}: {percent(row['margin_rate'], 0)} margin on {money(row['net_amount'], currency)} of "
        f"revenue, against {percent(usual, 0)} overall. The gap is worth **{money(missing, currency)}**."
    )
    return [(missing, Action(f"Look at the price of {name}.", why))]


def _unknown_customers(growth: pd.DataFrame, currency: str | None) -> list[tuple[float, Action]]:
    if growth.empty:
        return []
    unknown = growth["unknown_net_amount"].sum()
    total = unknown + growth["new_net_amount"].sum() + growth["returning_net_amount"].sum()
    part = share(unknown, total)
    if not part >= 0.1:
        return []
    why = (
        f"**{percent(part)}** of revenue, {money(unknown, currency)}, cannot be tied to a customer: "
        "it is in no segment, and no campaign reaches these buyers."
    )
    return [(unknown, Action("Learn who your buyers are.", why))]


def _failed_payments(payments: pd.DataFrame, currency: str | None) -> list[tuple[float, Action]]:
    tried = payments[payments["payments"] >= 50] if len(payments) else payments
    if tried.empty:
        return []
    rate = tried["failed_payments"] / tried["payments"]
    row, worst = highest(tried.assign(rate=rate), "rate"), float(rate.max())
    paid = row["payments"] - row["failed_payments"]
    if worst < 0.05 or paid <= 0:
        return []
    stake = row["paid_amount"] / paid * row["failed_payments"]
    method = shorten(str(row["payment_method"]).replace("_", " "), 40)
    tries = formatting.count(row["payments"], "payment")
    lost = money(stake, currency)
    why = f"**{percent(worst, 1)}** of {tries} failed; at the usual amount that is about {lost}."
    return [(stake, Action(f"Check payments by {method}.", why))]
