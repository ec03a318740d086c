"""Questions about sales, products and payments: a small table goes in, an insight comes out.

Each title is computed from the data and claims no more than they bear. Where a shop lacks what a question needs, the
answer is None, and nothing is shown. The headline, key figures and what to do are in `lib.insights.summary`, the
drawing is in `lib.report`.
"""

import numpy as np
import pandas as pd

from lib.base.formatting import NBSP, compact, count, listing, percent, small
from lib.insights.answers import (
    bars,
    best_fifth,
    complete,
    highest,
    is_hash,
    label,
    money,
    named,
    part_of,
    period,
    question,
    share,
    speaking,
    unit,
    year_and_year_before,
)
from lib.report import plots
from lib.report.charts import shorten
from lib.report.insight import Insight, Result

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
#: With fewer orders no hour and no day is the busiest, and what comes back of a category is chance.
FEWEST_IN_WEEK, FEWEST_IN_CATEGORY = 30, 20


@question
def revenue_by_month(monthly: pd.DataFrame, currency: str | None = None, months: int = 0) -> Result:
    """Return net revenue by month; the title gives Q4's share where there are full calendar years.

    `months` limits the chart to that many of the last; the title is about all of them.
    """
    if not monthly["net_amount"].fillna(0).any():
        return None
    shown = monthly.tail(months or len(monthly))
    peak = highest(shown, "net_amount")
    alt = (
        f"Line chart of net revenue by month, {period(shown['month'])}. The highest is {peak['month']:%B %Y} with "
        f"{money(peak['net_amount'], currency)}; the last month has {money(shown['net_amount'].iloc[-1], currency)}."
    )
    season = _season(complete(monthly), currency)
    if len(shown) > 1 and len(speaking(monthly)) > monthly["is_complete"].sum():
        season = f"{peak['month']:%B %Y} has most: {money(peak['net_amount'], currency)}"
        season = season if monthly["is_complete"].any() else f"No month is complete; {season}"
    figure = plots.line_by_month(shown["month"], shown["net_amount"], complete=shown["is_complete"])
    open_end = "" if shown["is_complete"].all() else ", open point: month not complete"
    subtitle = f"Net revenue by month{unit(currency)}{open_end}"
    return Insight("revenue_by_month", season, subtitle, alt, figure, shown)


def _season(months: pd.DataFrame, currency: str | None) -> str:
    """Return what complete months say about the season: Q4's share of full years, else the best month."""
    if months.empty:
        return "No month is complete yet"
    years = months.groupby(months["month"].dt.year)["net_amount"].agg(["size", "sum"])
    full = [int(year) for year in years.index[years["size"] == 12]]
    if full:
        inside = months[months["month"].dt.year.isin(full)]
        fourth = share(inside.loc[inside["month"].dt.quarter == 4, "net_amount"].sum(), inside["net_amount"].sum())
        of = f"of revenue in {full[0]}" if len(full) == 1 else f"of a year's revenue, {full[0]}–{full[-1]}"
        return f"{'' if fourth >= 0.28 else 'No Christmas peak: '}Q4 brought {percent(fourth)} {of}"
    peak = highest(months, "net_amount")
    most = money(peak["net_amount"], currency)
    if len(months) == 1:
        return f"{peak['month']:%B %Y} brought {most}"
    return f"{peak['month']:%B %Y} is the best of the {'two' if len(months) == 2 else len(months)} full months: {most}"


@question
def gross_to_net(monthly: pd.DataFrame, currency: str | None = None, taken_back: str = "returned") -> Result:
    """Return the steps from gross sales over discounts and returns to net revenue and, where known, margin.

    `taken_back` says what the returned amounts are: `returned`, `cancelled`, or both (`lib.insights.facts`). None where
    nothing is taken from gross sales, and no cost is known.
    """
    total = monthly.drop(columns=["month", "is_complete"], errors="ignore").sum(min_count=1)
    gross, net, margin = total["gross_amount"], total["net_amount"], total["margin_amount"]
    returns = {"returned": "Returns", "cancelled": "Cancellations"}.get(taken_back, "Returns, cancellations")
    deducted = {"Discounts": total["discount_amount"], returns: total["return_amount"]}
    deducted = {name: amount for name, amount in deducted.items() if amount and pd.notna(amount)}
    names = ", ".join(deducted).split(", ")
    if not gross > 0 or not (deducted or pd.notna(margin)):
        return None
    steps = [("Gross", gross, "total"), *((name, -amount, "change") for name, amount in deducted.items())]
    steps += [("Net", net, "total")]
    said = []
    if deducted:
        said = [f"{listing(names).capitalize()} take {small(share(gross - net, gross))} of gross sales"]
    if pd.notna(margin):
        steps += [("Cost", margin - net, "change"), ("Margin", margin, "total")]
        earned = f"{percent(share(margin, net))} of net revenue is margin"
        said += [earned if margin >= 0 else f"costs are {money(-margin, currency)} above net revenue"]
    title = "; ".join(said)
    title = title[:1].upper() + title[1:]
    data = pd.DataFrame(steps, columns=["step", "amount", "kind"]).drop(columns="kind")
    alt = f"Bars from gross sales to net revenue: {', '.join(f'{s} {money(v, currency)}' for s, v, _ in steps)}."
    subtitle = f"Sums over {period(monthly['month'])}{unit(currency)}"
    return Insight("gross_to_net", title, subtitle, alt, plots.waterfall(steps), data)


@question
def busiest_hours(hourly: pd.DataFrame) -> Result:
    """Return orders by weekday and local hour, and when the shop is busiest; None where no order has a time of day."""
    total, sold = hourly["orders"].sum(), hourly.loc[hourly["orders"] > 0, "hour"]
    if not total > 1 or set(sold) == {0}:
        return None
    grid = hourly.pivot_table(index="weekday", columns="hour", values="orders", aggfunc="sum", fill_value=0)
    grid = grid.reindex(index=range(1, 8), columns=range(24), fill_value=0)
    days, hours = grid.sum(axis=1).set_axis(WEEKDAYS), grid.sum(axis=0)
    day, hour = days.idxmax(), int(np.argmax(hours))
    at = f"{hour}:00 to {(hour + 1) % 24}:00"
    title = f"{day} is the busiest day, {at} the busiest hour"
    if days.max() < 1.08 * total / 7:
        title = f"{at} is the busiest hour; the days hardly differ"
    closed = days.index[days == 0].tolist()
    if total < FEWEST_IN_WEEK:
        title = f"{count(total, 'order')}, all between {int(sold.min())}:00 and {int(sold.max()) + 1}:00"
    elif 0 < len(closed) <= 2:
        title += f"; no orders on {listing(closed)}"
    alt = (
        f"Heat map of orders by weekday and hour. {day} has {percent(days.max() / total)} of the orders, "
        f"the hour from {at} {percent(hours.max() / total)}."
    )
    data = grid.set_axis([str(h) for h in range(24)], axis=1).astype(int)
    data.insert(0, "weekday", WEEKDAYS)
    return Insight("busiest_hours", title, "Orders by weekday and hour, local time", alt, plots.heatmap(grid), data)


@question
def returns_by_month(monthly: pd.DataFrame, months: int = 0, taken_back: str = "returned or cancelled") -> Result:
    """Return returned and cancelled goods as a share of gross sales by month, against the year before.

    `taken_back` says whether goods were returned, cancelled, or both (`lib.insights.facts`).
    """
    if not (monthly["gross_amount"].sum() > 0 and monthly["return_amount"].fillna(0).any()):
        return None
    year, before = year_and_year_before(speaking(monthly))
    title = f"{percent(_return_share(year))} of gross sales {_came_back(taken_back)}"
    if len(year) == len(before) == 12 and complete(year).equals(year.reset_index(drop=True)):
        change = (_return_share(year) - _return_share(before)) * 100
        size = f"{abs(change):.1f} points {'more' if change > 0 else 'less'} than the year before"
        title += f" in twelve months, {'as in the year before' if abs(change) < 0.05 else size}"
    else:
        title += f", {period(year['month'])}"
    shown = monthly.tail(months or len(monthly))
    shown = shown.assign(return_share=shown["return_amount"] / shown["gross_amount"].where(shown["gross_amount"] > 0))
    figure = plots.line_by_month(
        shown["month"],
        shown["return_share"],
        fmt=percent,
        ticks=lambda v: f"{v * 100:.3g}{NBSP}%",
        complete=shown["is_complete"],
        show_q4=False,
    )
    what = taken_back.replace(" or ", " and ")
    alt = f"Line chart of {what} goods as a share of gross sales, {period(shown['month'])}. {title}."
    subtitle = f"{what.capitalize()} goods by month, share of gross sales"
    return Insight("returns_by_month", title, subtitle, alt, figure, shown.round({"return_share": 4}))


def _came_back(taken_back: str) -> str:
    """Return "came back", "were cancelled", or "came back or were cancelled"."""
    return taken_back.replace("returned", "came back").replace("cancelled", "were cancelled")


def _return_share(rows: pd.DataFrame) -> float:
    return share(rows["return_amount"].sum(), rows["gross_amount"].sum())


@question
def category_revenue(categories: pd.DataFrame, currency: str | None = None) -> Result:
    """Return net revenue by category, with margin where costs are known."""
    total = categories["net_amount"].sum()
    known = named(categories, "category").sort_values("net_amount", ascending=False, ignore_index=True)
    if len(known) < 2 or not known["net_amount"].iloc[0] > 0:
        return None
    shares = [part_of(net, total, currency) for net in known["net_amount"]]
    texts = [s + _if_known(rate, " · margin {}") for s, rate in zip(shares, known["margin_rate"], strict=True)]
    title = f"{shorten(known['category'].iloc[0], 40)} leads with {_of_revenue(shares[0])}"
    if known["margin_rate"].notna().sum() > 1:
        best = highest(known, "margin_rate")
        rest = f"; {shorten(best['category'], 40)} earns the best margin, {percent(best['margin_rate'], 0)}"
        title += ", and earns the best margin" if best.name == 0 else rest
    measure = "share of net revenue" + (" and margin" if known["margin_rate"].notna().any() else "")
    subtitle = f"Net revenue by category{unit(currency)}: {measure}"
    what = "net revenue by category"
    return bars("category_revenue", title, subtitle, what, known["category"], known["net_amount"], texts, known)


def _if_known(rate: float, text: str) -> str:
    """Return the text with the rate in it, or nothing where there is no rate."""
    return text.format(percent(rate, 0)) if pd.notna(rate) else ""


@question
def best_sellers(products: pd.DataFrame, currency: str | None = None, top_n: int = 10) -> Result:
    """Return the products with the highest net revenue and their margin; margins below half the shop's are marked.

    What is sold but is no product, such as postage, is not among them, though revenue is all revenue. None where there
    is one product to show or none, or where most of the first ones are known by ids alone that computers made.
    """
    total = products["net_amount"].sum()
    products = goods(products).sort_values("net_amount", ascending=False, ignore_index=True)
    products = products[products["net_amount"] > 0]
    if len(products) < 2:
        return None
    with_cost = products[products["margin_amount"].notna()]
    usual = share(with_cost["margin_amount"].sum(), with_cost["net_amount"].sum())
    top = products.head(max(top_n, 1))
    names = top["name"].where(top["name"].notna(), top["product_id"]).astype(str)
    if names.map(is_hash).mean() > 0.5:
        return None
    texts = [compact(n) + _if_known(m, " · {}") for n, m in zip(top["net_amount"], top["margin_rate"], strict=True)]
    thin = top.index[top["margin_rate"] < least_margin(usual)].tolist()
    lead, part = shorten(names[0], 40), _of_revenue(part_of(top["net_amount"].sum(), total, currency))
    if len(products) <= len(top):
        title = f"{lead} is the best seller with {_of_revenue(part_of(top['net_amount'][0], total, currency))}"
    elif len(top) == 1:
        title = f"The best seller, {lead}, brings {part}"
    else:
        title = f"{len(top)} of {count(len(products), 'product')} bring {part}, led by {lead}"
    red = "less than half the shop's margin" if usual > 0 else "sold at a loss"
    margin = f" · margin; red: {red}" if thin else " · margin"
    has_margins = top["margin_rate"].notna().any()
    subtitle = f"Net revenue{unit(currency)}{margin if has_margins else ''}"
    what = f"the best selling products by net revenue{' and margin' if has_margins else ''}"
    look = {"warn": thin, "limit": len(top)}
    return bars("best_sellers", title, subtitle, what, names, top["net_amount"], texts, top.assign(name=names), **look)


def _of_revenue(part: str) -> str:
    """Return `34 % of revenue`, and an amount as it is."""
    return f"{part} of revenue" if part.endswith("%") else part


def least_margin(usual: float) -> float:
    """Return the margin below which a product earns little: half the shop's, and 0 where that is none."""
    return max(usual, 0.0) / 2


def goods(products: pd.DataFrame) -> pd.DataFrame:
    """Return the known products among what was sold: not postage, fees or gift cards, nor lines without a product."""
    known = products["product_id"] != "unknown"
    if "product_type" in products:
        known &= products["product_type"] == "product"
    return products[known]


@question
def product_concentration(products: pd.DataFrame) -> Result:
    """Return how much of revenue the best fifth of products brings."""
    return best_fifth("product_concentration", goods(products)["net_amount"], "products", "products")


@question
def returns_by_category(categories: pd.DataFrame, taken_back: str = "returned or cancelled") -> Result:
    """Return the share of gross sales that came back, by category, where there are orders enough to tell.

    `taken_back` as for `returns_by_month`.
    """
    known = named(categories, "category")
    known = known[known["gross_amount"] > 0]
    if "orders" in known:
        known = known[known["orders"] >= FEWEST_IN_CATEGORY]
    if len(known) < 2 or not known["return_amount"].fillna(0).any():
        return None
    usual = percent(_return_share(known), 1)
    known = known.assign(return_share=known["return_amount"] / known["gross_amount"])
    known = known.sort_values("return_share", ascending=False, ignore_index=True)
    texts = [percent(rate, 1) for rate in known["return_share"]]
    most = "is cancelled most" if taken_back == "cancelled" else "comes back most"
    title = f"{shorten(known['category'][0], 40)} {most}: {texts[0]}, against {usual} on average"
    subtitle = f"{taken_back.replace(' or ', ' and ').capitalize()} goods, share of the category's gross sales"
    what, data = f"the share of gross sales {taken_back}", known.round({"return_share": 4})
    return bars("returns_by_category", title, subtitle, what, known["category"], known["return_share"], texts, data)


@question
def payment_methods(payments: pd.DataFrame, currency: str | None = None) -> Result:
    """Return the amount paid by method, with the share of failed payments where some failed; None for a single one."""
    payments = payments[payments["paid_amount"] > 0].sort_values("paid_amount", ascending=False, ignore_index=True)
    total, stated = payments["paid_amount"].sum(), named(payments, "payment_method")
    if len(payments) < 2 or stated.empty:
        return None
    names = payments["payment_method"].map(label)
    failed = (payments["failed_payments"] / payments["payments"].where(payments["payments"] > 0)).fillna(0)
    shares = [percent(share(paid, total)) for paid in payments["paid_amount"]]
    texts = [s + (f" · {percent(rate)} failed" if rate > 0 else "") for s, rate in zip(shares, failed, strict=True)]
    first = stated.index[0]
    title = f"{names[first]} makes {shares[first]} of the amount paid"
    if len(stated) < len(payments):
        title += f"; of {shares[payments.index.difference(stated.index)[0]]} no method is stated"
    measure = ", with failed attempts" if (failed > 0).any() else ""
    subtitle, what = f"Share of the amount paid by method{measure}", "the amount paid by method"
    return bars("payment_methods", title, subtitle, what, names, payments["paid_amount"], texts, payments)
