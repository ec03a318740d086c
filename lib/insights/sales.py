"""Questions about sales, products and payments: a small table in, a finding out.

Each title is computed from the data and claims no more than they bear. Where a shop lacks what a question
needs, the answer is a `NoData`: one sentence that says so. Customers are in `lib.insights.customers`, the
headline, key figures and what to do in `lib.insights.summary`, drawing in `lib.report.plots`.
"""

import numpy as np
import pandas as pd

from lib.base import formatting
from lib.base.formatting import compact, percent
from lib.report import plots
from lib.report.charts import shorten
from lib.report.insight import (
    NO_SALES,
    Insight,
    NoData,
    Result,
    complete_months,
    concentration,
    enumerated,
    floats,
    highest,
    money,
    named,
    pretty,
    share,
    span,
    unit,
)

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


NO_CATEGORIES = "The products of this shop carry no categories, so what is told by category is left out."


def revenue_by_month(monthly: pd.DataFrame, currency: str | None = None, months: int = 0) -> Result:
    """Return net revenue by month; the title gives Q4's share where full calendar years are there."""
    monthly = floats(monthly)
    if monthly.empty or monthly["net_amount"].isna().all():
        return NoData(NO_SALES)
    shown = monthly.tail(months) if months else monthly
    whole = complete_months(monthly)
    peak = highest(shown, "net_amount")
    most, last = money(peak["net_amount"], currency), money(shown["net_amount"].iloc[-1], currency)
    alt = (
        f"Line chart of net revenue by month, {span(shown['month'])}. "
        f"The highest is {peak['month']:%B %Y} with {most}; the last month has {last}."
    )
    complete = shown["is_complete"].fillna(False) if "is_complete" in shown else None
    figure = plots.line_by_month(shown["month"], shown["net_amount"], complete=complete)
    open_end = ", open point: month not complete" if complete is not None and not complete.all() else ""
    data = shown[["month", "net_amount", *(["is_complete"] if complete is not None else [])]]
    subtitle = f"Net revenue by month{unit(currency)}{open_end}"
    return Insight("revenue_by_month", _season(whole, currency), subtitle, alt, figure, data)


def _season(whole: pd.DataFrame, currency: str | None) -> str:
    """Return what full months say about the season: Q4's share of full years, else the peak month."""
    if whole.empty:
        return "No month is complete yet"
    years = whole.groupby(whole["month"].dt.year)["net_amount"].agg(["size", "sum"])
    full = [int(year) for year in years.index[years["size"] == 12]]
    if full:
        inside = whole[whole["month"].dt.year.isin(full)]
        fourth = share(inside.loc[inside["month"].dt.quarter == 4, "net_amount"].sum(), inside["net_amount"].sum())
        of = f"of revenue in {full[0]}" if len(full) == 1 else f"of a year's revenue, {full[0]}–{full[-1]}"
        quiet = "" if fourth >= 0.28 else "No Christmas peak: "
        return f"{quiet}Q4 brought {percent(fourth)} {of}"
    if len(whole) == 1:
        return f"{whole['month'].iloc[0]:%B %Y} brought {money(whole['net_amount'].iloc[0], currency)}"
    peak = highest(whole, "net_amount")
    many = "two" if len(whole) == 2 else f"{len(whole)}"
    return f"{peak['month']:%B %Y} is the best of the {many} full months: {money(peak['net_amount'], currency)}"


def gross_to_net(monthly: pd.DataFrame, currency: str | None = None) -> Result:
    """Return the way from gross sales over discounts and returns to net revenue and, where known, margin."""
    monthly = floats(monthly)
    parts = ["gross_amount", "discount_amount", "return_amount", "net_amount", "cost_amount", "margin_amount"]
    total = monthly[parts].sum(min_count=1)
    gross, net, margin = total["gross_amount"], total["net_amount"], total["margin_amount"]
    if not gross > 0:
        return NoData(NO_SALES)
    discounts, returns = (0.0 if pd.isna(v) else v for v in (total["discount_amount"], total["return_amount"]))
    steps = [("Gross", gross, "total"), ("Discounts", -discounts, "change"), ("Returns", -returns, "change")]
    steps = [s for s in steps if s[2] == "total" or s[1]] + [("Net", net, "total")]
    lost = formatting.listing([w for w, v in (("discounts", discounts), ("returns", returns)) if v])
    verb = "take" if (discounts and returns) or lost in ("discounts", "returns") else ""
    title = (
        f"{lost.capitalize()} {verb} {percent(share(gross - net, gross))} of gross sales"
        if lost
        else "All gross sales remain as net revenue"
    )
    if pd.notna(margin):
        steps += [("Cost", margin - net, "change"), ("Margin", margin, "total")]
        title += f"; {percent(share(margin, net))} of net revenue is margin"
    data = pd.DataFrame([(label, value) for label, value, _ in steps], columns=["step", "amount"])
    alt = "Bars from gross sales to net revenue: " + ", ".join(f"{s} {money(v, currency)}" for s, v, _ in steps) + "."
    subtitle = f"Sums over {span(monthly['month'])}{unit(currency)}"
    return Insight("gross_to_net", title, subtitle, alt, plots.waterfall(steps), data)


def busiest_hours(hourly: pd.DataFrame) -> Result:
    """Return orders by weekday and local hour, and when the shop is busiest."""
    hourly = floats(hourly)
    total = hourly["orders"].sum() if len(hourly) else 0
    if not total > 0:
        return NoData(NO_SALES)
    if (hourly.loc[hourly["orders"] > 0, "hour"].nunique()) < 2:
        return NoData("The orders carry a date but no time of day, so weekday and hour cannot be shown.")
    grid = hourly.pivot_table(index="weekday", columns="hour", values="orders", aggfunc="sum", fill_value=0)
    grid = grid.reindex(index=range(1, 8), columns=range(24), fill_value=0)
    days, hours = grid.sum(axis=1), grid.sum(axis=0)
    hour, day = int(np.argmax(hours.to_numpy())), WEEKDAYS[int(np.argmax(days.to_numpy()))]
    at = f"{hour}:00 to {(hour + 1) % 24}:00"
    closed = [name for name, orders in zip(WEEKDAYS, days, strict=True) if orders == 0]
    even = days.max() < 1.08 * total / 7
    title = (
        f"{at} is the busiest hour; the days hardly differ"
        if even
        else f"{day} is the busiest day, {at} the busiest hour"
    )
    if closed and len(closed) <= 2:
        title += f"; no orders on {formatting.listing(closed)}"
    alt = (
        f"Heat map of orders by weekday and hour. {day} has {percent(days.max() / total)} of the orders, "
        f"the hour from {at} {percent(hours.max() / total)}."
    )
    data = grid.set_axis([str(h) for h in range(24)], axis=1).astype(int)
    data.insert(0, "weekday", WEEKDAYS)
    return Insight("busiest_hours", title, "Orders by weekday and hour, local time", alt, plots.heatmap(grid), data)


def category_revenue(categories: pd.DataFrame, currency: str | None = None) -> Result:
    """Return net revenue by category, with margin where costs are known."""
    if categories.empty:
        return NoData(NO_SALES)
    known = named(floats(categories), "category").sort_values("net_amount", ascending=False, ignore_index=True)
    if len(known) < 2:
        return NoData(NO_CATEGORIES)
    total = floats(categories)["net_amount"].sum()
    margin = known["margin_rate"] if "margin_rate" in known else pd.Series(np.nan, index=known.index)
    texts = [
        percent(share(net, total)) + (f" · margin {percent(rate, 0)}" if pd.notna(rate) else "")
        for net, rate in zip(known["net_amount"], margin, strict=True)
    ]
    top = known.iloc[0]
    title = f"{shorten(top['category'], 40)} leads with {percent(share(top['net_amount'], total))} of revenue"
    if margin.notna().sum() > 1:
        best = highest(known, "margin_rate")
        title += (
            ", and earns the best margin"
            if best["category"] == top["category"]
            else f"; {shorten(best['category'], 40)} earns the best margin, {percent(best['margin_rate'], 0)}"
        )
    alt = f"Bars of net revenue by category: {enumerated(known['category'], texts)}."
    columns = [c for c in ("category", "orders", "net_amount", "margin_amount", "margin_rate") if c in known]
    figure = plots.hbars(known["category"].tolist(), known["net_amount"], texts=texts)
    measure = "share of net revenue" + (" and margin" if margin.notna().any() else "")
    return Insight(
        "category_revenue",
        title,
        f"Net revenue by category{unit(currency)}: {measure}",
        alt,
        figure,
        known[columns],
    )


def best_sellers(products: pd.DataFrame, currency: str | None = None, top_n: int = 10) -> Result:
    """Return the products with the highest net revenue and their margin; thin margins are marked."""
    products = floats(products).sort_values("net_amount", ascending=False, ignore_index=True)
    total = products["net_amount"].sum() if len(products) else 0.0
    if not total > 0:
        return NoData(NO_SALES)
    top = products.head(max(top_n, 1)).copy()
    top["name"] = top["name"].where(top["name"].notna(), top["product_id"]).astype(str)
    texts, thin = [], []
    usual = share(
        products["margin_amount"].sum(min_count=1),
        products.loc[products["margin_amount"].notna(), "net_amount"].sum(),
    )
    for i, (net, rate) in enumerate(zip(top["net_amount"], top["margin_rate"], strict=True)):
        texts.append(compact(net) + (f" · {percent(rate, 0)}" if pd.notna(rate) else ""))
        if pd.notna(rate) and rate < usual / 2:
            thin.append(i)
    part = percent(share(top["net_amount"].sum(), total))
    lead = shorten(top["name"].iloc[0], 40)
    if len(products) <= len(top):
        title = f"{lead} is the best seller with {percent(share(top['net_amount'].iloc[0], total))} of revenue"
    elif len(top) == 1:
        title = f"The best seller, {lead}, brings {part} of revenue"
    else:
        title = f"{len(top)} of {formatting.count(len(products), 'product')} bring {part} of revenue, led by {lead}"
    with_margin = bool(top["margin_rate"].notna().any())
    subtitle = f"Net revenue{unit(currency)}" + (
        " · margin; red: less than half the shop's margin" if thin else " · margin" if with_margin else ""
    )
    alt = f"Bars of the best selling products by net revenue: {enumerated(top['name'], texts)}."
    figure = plots.hbars(top["name"].tolist(), top["net_amount"], texts=texts, warn=thin, limit=max(top_n, 1))
    columns = ["product_id", "name", "category", "net_amount", "margin_rate", "return_rate"]
    return Insight("best_sellers", title, subtitle, alt, figure, top[[c for c in columns if c in top]])


def product_concentration(products: pd.DataFrame) -> Result:
    """Return how much of revenue the best fifth of products brings."""
    earned = floats(products)["net_amount"].dropna() if len(products) else pd.Series(dtype=float)
    curve = concentration(earned)
    if curve is None:
        return NoData("Fewer than five products have sold, so how revenue spreads over them is left out.")
    data, mark, many = curve
    title = f"The best fifth of products bring {percent(mark[1])} of revenue"
    size = formatting.count(many, "product")
    alt = f"Curve of revenue cumulated over {size}, best first. {title}."
    figure = plots.concentration(data["share_of_all"].tolist(), data["revenue_share"].tolist(), mark, "products")
    return Insight("product_concentration", title, f"Cumulated share of net revenue of {size} sold", alt, figure, data)


def payment_methods(payments: pd.DataFrame, currency: str | None = None) -> Result:
    """Return the amount paid by method, with the share of failed payments where some failed."""
    payments = floats(payments).sort_values("paid_amount", ascending=False, ignore_index=True)
    total = payments["paid_amount"].sum() if len(payments) else 0.0
    if not total > 0:
        return NoData("There are no payments in this shop's data, so payment methods are left out.")
    names = [pretty(method) for method in payments["payment_method"]]
    failed = (payments["failed_payments"] / payments["payments"].where(payments["payments"] > 0)).fillna(0)
    texts = [
        percent(share(paid, total)) + (f" · {percent(rate)} failed" if rate > 0 else "")
        for paid, rate in zip(payments["paid_amount"], failed, strict=True)
    ]
    lead = percent(share(payments["paid_amount"].iloc[0], total))
    title = f"{names[0]} makes {lead} of the amount paid"
    if len(names) == 1:
        title = f"{names[0]} is the only payment method"
    alt = f"Bars of the amount paid by method: {enumerated(pd.Series(names), texts)}."
    figure = plots.hbars(names, payments["paid_amount"], texts=texts)
    measure = ", with failed attempts" if (failed > 0).any() else ""
    return Insight("payment_methods", title, f"Share of the amount paid by method{measure}", alt, figure, payments)


def returns_by_month(monthly: pd.DataFrame, months: int = 0) -> Result:
    """Return returned and cancelled goods as a share of gross sales by month, against the year before."""
    monthly = floats(monthly)
    if monthly.empty or not monthly["gross_amount"].sum() > 0:
        return NoData(NO_SALES)
    if not monthly["return_amount"].fillna(0).any():
        return NoData("This shop's data hold no returns or cancellations.")
    shown = (monthly.tail(months) if months else monthly).copy()
    shown["return_share"] = shown["return_amount"] / shown["gross_amount"].where(shown["gross_amount"] > 0)
    whole = complete_months(monthly)
    last = whole.tail(12) if len(whole) else monthly
    now = share(last["return_amount"].sum(), last["gross_amount"].sum())
    title = f"{percent(now)} of gross sales came back or were cancelled, {span(last['month'])}"
    if len(whole) >= 24:
        earlier = whole.iloc[-24:-12]
        change = (now - share(earlier["return_amount"].sum(), earlier["gross_amount"].sum())) * 100
        compared = (
            "as in the year before"
            if abs(change) < 0.05
            else f"{abs(change):.1f} points {'more' if change > 0 else 'less'} than the year before"
        )
        title = f"{percent(now)} of gross sales came back or were cancelled in twelve months, {compared}"
    complete = shown["is_complete"].fillna(False) if "is_complete" in shown else None
    figure = plots.line_by_month(
        shown["month"],
        shown["return_share"],
        fmt=percent,
        ticks=lambda v: f"{v * 100:.3g}{formatting.NBSP}%",
        complete=complete,
        show_q4=False,
    )
    alt = f"Line chart of returned goods as a share of gross sales, {span(shown['month'])}. {title}."
    data = shown[["month", "gross_amount", "return_amount", "return_share"]].round({"return_share": 4})
    return Insight(
        "returns_by_month",
        title,
        "Returned and cancelled goods by month, share of gross sales",
        alt,
        figure,
        data,
    )


def returns_by_category(categories: pd.DataFrame) -> Result:
    """Return the share of gross sales that came back, by category."""
    if categories.empty:
        return NoData(NO_SALES)
    known = named(floats(categories), "category")
    known = known[known["gross_amount"] > 0].copy()
    if len(known) < 2:
        return NoData(NO_CATEGORIES)
    if not known["return_amount"].fillna(0).any():
        return NoData("This shop's data hold no returns or cancellations.")
    known["return_share"] = known["return_amount"] / known["gross_amount"]
    known = known.sort_values("return_share", ascending=False, ignore_index=True)
    usual = share(known["return_amount"].sum(), known["gross_amount"].sum())
    top = known.iloc[0]
    most, average = percent(top["return_share"], 1), percent(usual, 1)
    title = f"{shorten(top['category'], 40)} comes back most: {most}, against {average} on average"
    texts = [percent(rate, 1) for rate in known["return_share"]]
    alt = f"Bars of the share of gross sales returned or cancelled: {enumerated(known['category'], texts)}."
    figure = plots.hbars(known["category"].tolist(), known["return_share"], texts=texts)
    data = known[["category", "gross_amount", "return_amount", "return_share"]].round({"return_share": 4})
    return Insight(
        "returns_by_category",
        title,
        "Returned and cancelled goods, share of the category's gross sales",
        alt,
        figure,
        data,
    )
