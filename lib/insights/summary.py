"""The insights report in short: its headline, its key figures, and what to act on, all computed.

What the charts show is in `lib.insights.sales` and beside it. A change is against the month before and the same month a
year before, over complete months only; an action appears only where its number calls for it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from lib.base.formatting import NBSP, as_float, count, listing, number, percent, signed
from lib.insights.answers import (
    complete,
    floats,
    highest,
    is_hash,
    money,
    named,
    part_of,
    period,
    share,
    telling,
    unit,
)
from lib.insights.facts import Facts
from lib.insights.sales import goods, least_margin
from lib.report import pieces
from lib.report.charts import shorten
from lib.report.pieces import Action, Html, Kpi, Tone

#: Days without an order: quiet for those who come less recently than most, for everybody, and lost rather than quiet.
QUIET_DAYS, LONG_DAYS, LOST_DAYS = 60, 180, 730
MIN_ORDERS = 20  # below that a product's return rate is chance
MIN_PAYMENTS = 50  # and a payment method's rate of failures
#: With fewer orders there is nothing to act on that is more than chance.
FEWEST_TO_ACT_ON = 30

NO_ORDERS = "The warehouse holds no orders. Figures appear here once a run has loaded some."
NO_AMOUNTS = "Neither their lines nor their totals state one: `02_ingest` says what was mapped."
#: The shares that a shop may not have at all, and the column that says so.
FLEETING = {"return_share": "return_amount", "returning_share": "returning_net_amount"}
#: How an order is called that was not sold for good, by its type.
ORDER_TYPES = {"cancellation": "cancelled", "return": "returned", "adjustment": "without a sale", "pending": "pending"}

#: An action with the amount at stake.
Found = tuple[float, Action] | None


def _months_to_compare(full: pd.DataFrame) -> list[pd.Series | None]:
    """Return the last of some months, the one before, the same a year before; None for those that are not there."""
    wanted = [full["month"].max() - pd.DateOffset(months=by) for by in (0, 1, 12)]
    found = [full[full["month"] == month] for month in wanted]
    return [None if rows.empty else rows.iloc[0] for rows in found]


def headline(
    months: pd.DataFrame, categories: pd.DataFrame, currency: str | None, shop: Facts | None = None
) -> tuple[str, str]:
    """Return the report's headline and the sentences below it.

    `months` has a row a month: its sales, and what new and returning customers brought. The headline is about the last
    month that bears one (`telling`); where there is none, about all that was sold; where there are no orders, about the
    shop's sessions.
    """
    months, categories = floats(months), floats(categories)
    shop = shop or Facts(orders={"sale": int(months["orders"].sum())}, gross_amount=months["gross_amount"].sum())
    if not shop.all_orders:
        return _of_sessions(shop, currency) if shop.sessions else ("No sales yet", NO_ORDERS)
    if not shop.gross_amount > 0:
        return f"{count(shop.all_orders, 'order')}, none of them with an amount", NO_AMOUNTS
    net, full = months["net_amount"].sum(), telling(months)
    now, before, year_ago = _months_to_compare(full)
    sentences = []
    if now is not None:
        title = f"{now['month']:%B %Y} brought {money(now['net_amount'], currency)}"
        against = "" if before is None else _compared(now, before, f"{before['month']:%B}")
        if year_ago is None:
            title += against
        else:
            title += _compared(now, year_ago, "a year before")
            sentences += [f"That is{against.lstrip(',')}."] if against else []
    elif len(complete(months)):
        sold = shop.orders.get("sale", 0)
        title = f"{count(sold, 'order') if sold else _orders(shop)} brought {money(net, currency)} of net revenue"
    else:
        title = f"{money(net, currency)} of net revenue so far; no month is complete yet"
    sentences.append(f"Since {months['month'][0]:%B %Y} the shop took {_orders(shop)}: **{money(net, currency)}** net.")
    year = full.tail(12)
    returning, new = year["returning_net_amount"].sum(), year["new_net_amount"].sum()
    if returning > 0 and new >= 0:
        when = f"In the last {count(len(year), 'full month')}" if len(year) > 1 else "In the last full month"
        part = percent(share(returning, returning + new))
        sentences.append(f"{when} returning customers made **{part}** of known customers' revenue.")
    known = named(categories, "category")
    known = known[known["net_amount"] > 0]
    if len(known) > 1:
        top = highest(known, "net_amount")
        part = part_of(top["net_amount"], categories["net_amount"].sum(), currency)
        sentences.append(f"{shorten(top['category'], 40)} is the largest category with **{part}**.")
    return title, " ".join(sentences)


def _orders(shop: Facts) -> str:
    """Return how many orders there are, and how many of them were not sold for good."""
    others = {kind: n for kind, n in shop.orders.items() if kind != "sale" and n}
    parts = [f"{number(n)} {ORDER_TYPES.get(kind, kind)}" for kind, n in others.items()]
    return count(shop.all_orders, "order") + (f" ({listing(parts)})" if parts else "")


def _of_sessions(shop: Facts, currency: str | None) -> tuple[str, str]:
    """Return headline and sentences of a shop that has events, and no orders."""
    sessions, bought = count(shop.sessions, "session"), count(shop.purchases, "session")
    rate = percent(share(shop.purchases, shop.sessions))
    if not shop.purchases:
        return f"{sessions}, none of which ended in a purchase", "These data hold events and no orders."
    ended = f"**{number(shop.purchases)}** of {sessions} ended in a purchase, {rate}."
    if not shop.purchase_amount > 0:
        return f"{rate} of {sessions} ended in a purchase", f"{ended} These data hold events and no orders."
    amount = f"{number(shop.purchase_amount, 2)}{NBSP}{currency or ''}".strip()
    return (
        f"Purchases worth {amount} in {bought}",
        f"{ended} The amount is the value that the events of purchases state: these data hold no orders.",
    )


def _compared(now: pd.Series, then: pd.Series, when: str) -> str:
    """Return how the net revenue of a month compares with that of another."""
    if not then["net_amount"] > 0:
        return ""
    change = now["net_amount"] / then["net_amount"] - 1
    if abs(change) < 0.005:
        return f", about as much as {when}"
    size = percent(abs(change), 0 if abs(change) >= 0.2 else 1)
    return f", {size} {'more' if change > 0 else 'less'} than {when}"


def key_figures(months: pd.DataFrame, currency: str | None = None, shop: Facts | None = None) -> list[Kpi]:
    """Return key figures of the month that the headline is about, or of all sales where it is about no month.

    `months` as for `headline`; what a shop has no data for is left out.
    """
    if shop and not shop.all_orders:
        return _session_figures(shop, currency)
    if months.empty:
        return []
    months = floats(months)
    full = _with_rates(telling(months))
    now, *earlier = _months_to_compare(full)
    if now is None:
        sums = months.drop(columns=["month", "is_complete"]).sum(min_count=1)
        now = _with_rates(sums.to_frame().T).iloc[0]
    if shop and not shop.gross_amount > 0:
        return [Kpi("Orders", number(shop.all_orders))]

    def rate(value: float) -> str:
        return percent(value, 1)

    back = {"returned": "Return rate", "cancelled": "Cancelled"}.get(shop.taken_back if shop else "", "Return rate")
    figures: list[tuple[str, str, Callable[[Any], str], int]] = [
        (f"Net revenue{unit(currency)}", "net_amount", lambda v: money(v, None), 1),
        ("Orders sold" if shop and len(shop.orders) > 1 else "Orders", "orders", number, 1),
        (f"Average order{unit(currency)}", "order_value", lambda v: number(v, 2), 1),
        ("Margin", "margin_share", rate, 1),
        ("Returning customers", "returning_share", rate, 1),
        (back, "return_share", rate, -1),
    ]
    return [
        _kpi(Kpi(label, fmt(now[column]), spark=full.tail(13)[column].tolist()), column, better, [now, *earlier])
        for label, column, fmt, better in figures
        if pd.notna(now[column]) and not (column in FLEETING and not months[FLEETING[column]].fillna(0).any())
    ]


def period_of_figures(months: pd.DataFrame) -> str:
    """Return what the key figures are about: `December 2025`, or `Jan 2025 to Mar 2025` where they are of all sales."""
    if months.empty:
        return ""
    months = floats(months)
    full = telling(months)
    return f"{full['month'].max():%B %Y}" if len(full) else period(months["month"])


def _session_figures(shop: Facts, currency: str | None) -> list[Kpi]:
    """Return the key figures of a shop that has events, and no orders."""
    if not shop.sessions:
        return []
    figures = [Kpi("Sessions", number(shop.sessions)), Kpi("Sessions with a purchase", number(shop.purchases))]
    figures.append(Kpi("Conversion rate", percent(share(shop.purchases, shop.sessions), 1)))
    if shop.purchase_amount > 0:
        figures.insert(0, Kpi(f"Value of purchases{unit(currency)}", number(shop.purchase_amount, 2)))
    return figures


def _with_rates(months: pd.DataFrame) -> pd.DataFrame:
    def rate(part: str, *whole: str) -> pd.Series:
        below = months[list(whole)].fillna(0).sum(axis=1)
        return months[part] / below.where(below > 0)

    returning = rate("returning_net_amount", "returning_net_amount", "new_net_amount")
    return months.assign(
        order_value=rate("net_amount", "orders"),
        margin_share=rate("margin_amount", "net_amount"),
        return_share=rate("return_amount", "gross_amount"),
        returning_share=returning.where(returning.between(0, 1)),  # none where more came back than was bought
    )


def _kpi(figure: Kpi, column: str, better: int, months: list[pd.Series | None]) -> Kpi:
    """Return a key figure with its changes on earlier months; `better` is 1 where more is good, -1 where less is."""
    now, *earlier = months
    is_share, changes = column.endswith("_share"), []
    for then, style in zip(earlier, ("%b", "%b %Y"), strict=True):
        before, after = (as_float(month[column]) if month is not None else float("nan") for month in (then, now))
        change = after - before if is_share else after / before - 1 if before > 0 else float("nan")
        if then is not None and pd.notna(change):
            changes.append((change * 100, f"on {then['month']:{style}}"))
    if not changes:
        return figure
    first, since = changes[0]
    tone: Tone = "neutral" if abs(first) < 0.05 else "good" if first * better > 0 else "bad"
    text, *others = [signed(change, 1, "pt" if is_share else "%") for change, _ in changes]
    note = since + "".join(f" · {other} {on}" for other, (_, on) in zip(others, changes[1:], strict=True))
    return replace(figure, change=text, tone=tone, note=note)


def to_act_on(
    customers: pd.DataFrame,
    products: pd.DataFrame,
    months: pd.DataFrame,
    payments: pd.DataFrame,
    currency: str | None = None,
    most: int = 3,
) -> list[Action]:
    """Return what the figures call for, the largest amount at stake first; `months` as for `headline`."""
    products = goods(floats(products))
    found = [
        _quiet_customers(floats(customers), currency),
        _returned_products(products, currency),
        _thin_best_seller(products, currency),
        _unknown_customers(floats(months), currency),
        _failed_payments(floats(payments), currency),
    ]
    ranked = sorted((pair for pair in found if pair), key=lambda pair: -pair[0])
    return [action for _, action in ranked[:most]]


def what_to_do(found: list[Action], shop: Facts) -> Html:
    """Return the list of what to act on, or the remark that nothing stands out; nothing where orders are too few."""
    if shop.all_orders < FEWEST_TO_ACT_ON:
        return pieces.NOTHING
    return pieces.actions(found) if found else pieces.note("No figure calls for action: nothing stands out.")


def _quiet_customers(customers: pd.DataFrame, currency: str | None) -> Found:
    days = customers["days_since_last_order"]
    away = ((customers["recency_score"] <= 2) & (days >= QUIET_DAYS)) | (days >= LONG_DAYS)
    quiet = customers[(customers["monetary_score"] >= 4) & away & (days <= LOST_DAYS)]
    if quiet.empty:
        return None
    spent, one = quiet["net_amount"].sum(), len(quiet) == 1
    why = (
        f"{'This customer has' if one else 'They have'} spent **{money(spent, currency)}**, "
        f"{percent(share(spent, customers['net_amount'].sum()))} of what all known customers spent, and ordered last "
        f"{number(quiet['days_since_last_order'].median())} days ago{'' if one else ' (median)'}."
    )
    return spent, Action(f"Win back {count(len(quiet), 'high-value customer')} gone quiet.", why)


def _returned_products(products: pd.DataFrame, currency: str | None) -> Found:
    usual = share(products["return_amount"].sum(), products["gross_amount"].sum())
    rates = products["return_amount"] / products["gross_amount"].where(products["gross_amount"] > 0)
    high = products[(rates >= max(2 * usual, 0.08)) & (products["orders"] >= MIN_ORDERS)]
    if high.empty:
        return None
    high = high.sort_values("return_amount", ascending=False)
    lost, one = high["return_amount"].sum(), len(high) == 1
    names = [_name(row) for row in high.head(3).to_dict("records")]
    why = (
        f"{listing(names) if len(high) <= 3 else ', '.join(names) + ' and others'}: "
        f"{percent(share(lost, high['gross_amount'].sum()), 1)} of {'its' if one else 'their'} sales came back or were "
        f"cancelled, worth **{money(lost, currency)}**, against {percent(usual, 1)} overall."
    )
    what = f"Find out why {count(len(high), 'product')} {'comes' if one else 'come'} back."
    return lost, Action(what, why)


def _name(product: Any, width: int = 32) -> str:
    name = product["name"] if pd.notna(product["name"]) else product["product_id"]
    return f"product {shorten(name, 12)}" if is_hash(name) else shorten(name, width)


def _thin_best_seller(products: pd.DataFrame, currency: str | None) -> Found:
    known = products[products["margin_rate"].notna() & (products["net_amount"] > 0)]
    usual = share(known["margin_amount"].sum(), known["net_amount"].sum())
    best = known.nlargest(20, "net_amount")
    thin = best[best["margin_rate"] < least_margin(usual)]
    if thin.empty:
        return None
    product = thin.iloc[0]
    missing = (max(usual, 0.0) - product["margin_rate"]) * product["net_amount"]
    why = (
        f"It {'is sold at a loss' if product['margin_rate'] < 0 else 'earns little'}: "
        f"{percent(product['margin_rate'], 0)} margin on {money(product['net_amount'], currency)} of revenue, against "
        f"{percent(usual, 0)} overall. The gap{'' if usual > 0 else ' to no loss'} is worth "
        f"**{money(missing, currency)}**."
    )
    return missing, Action(f"Look at the price of {_name(product, 40)}.", why)


def _unknown_customers(months: pd.DataFrame, currency: str | None) -> Found:
    unknown = months["unknown_net_amount"].sum()
    part = share(unknown, unknown + months["new_net_amount"].sum() + months["returning_net_amount"].sum())
    if not 0.1 <= part < 1:  # a shop that knows none of its buyers has chosen so, or its source does not say
        return None
    why = (
        f"**{percent(part)}** of revenue, {money(unknown, currency)}, cannot be tied to a customer: "
        "it is in no segment, and no campaign reaches these buyers."
    )
    return unknown, Action("Learn who your buyers are.", why)


def _failed_payments(payments: pd.DataFrame, currency: str | None) -> Found:
    """Return the payment method whose failures are worth most, of those that fail too often."""
    tried = named(payments, "payment_method")
    tried = tried[(tried["payments"] >= MIN_PAYMENTS) & (tried["failed_payments"] < tried["payments"])]
    tried = tried.assign(rate=tried["failed_payments"] / tried["payments"])
    tried = tried.assign(stake=tried["paid_amount"] * tried["rate"] / (1 - tried["rate"]))
    tried = tried[(tried["rate"] >= 0.05) & (tried["stake"] > 0)]
    if tried.empty:
        return None
    worst = highest(tried, "stake")
    why = (
        f"**{percent(worst['rate'], 1)}** of {count(worst['payments'], 'payment')} failed; at the usual amount that is "
        f"about {money(worst['stake'], currency)}."
    )
    method = shorten(str(worst["payment_method"]).replace("_", " "), 40)
    return worst["stake"], Action(f"Check payments by {method}.", why)
