"""Questions about where sales come from: the channels, and the sessions that lead to a purchase or do not.

As in `lib.insights.sales`, a small table goes in and a finding comes out. A shop that has no channels to compare, or no
events, is told nothing of them: its gaps are silent.
"""

from itertools import pairwise

import pandas as pd

from lib.base import formatting
from lib.base.formatting import number, percent
from lib.report import plots
from lib.report.insight import (
    Insight,
    Result,
    complete_months,
    enumerated,
    floats,
    named,
    pretty,
    share,
    span,
    unit,
)

#: Months that a channel's share is taken over, and months of sessions.
SEASON, YEAR = 3, 12


#: A device with fewer sessions converts by chance.
FEWEST = 50


#: The steps of the funnel: column of the table, and name.
STEPS = {
    "sessions": "Visit",
    "product_view_sessions": "Product view",
    "cart_sessions": "Cart",
    "checkout_sessions": "Checkout",
    "converted_sessions": "Purchase",
}


def channels(frame: pd.DataFrame, currency: str | None = None) -> Result:
    """Return each channel's share of revenue in the last full months, against a year before or the months before.

    `frame` has a row a month and channel (month, channel, net_amount, is_complete). Months in which a channel sold
    that is closed by now, such as the records of a former system, are compared with nothing.
    """
    months = _by_channel(frame)
    if months.empty or len(named(pd.DataFrame({"channel": months.columns}), "channel")) < 2:
        return None
    now = months.tail(SEASON)
    before, when = _earlier(months, now)
    shares = now.sum() / now.sum().sum()
    order = shares.sort_values(ascending=False, kind="stable").index
    shares, names = shares[order], pd.Series([pretty(channel) for channel in order])
    data = pd.DataFrame({"channel": order, "net_amount": now.sum()[order].to_numpy(), "share": shares.to_numpy()})
    title = f"{names[0]} brings {percent(shares.iloc[0])} of revenue"
    of = span(pd.Series(now.index))
    subtitle = f"Share of net revenue by channel{unit(currency)}, {of}"
    if before is None:
        texts = [percent(value) for value in shares]
        figure = plots.hbars(names.tolist(), shares, texts=texts)
    else:
        data["share_before"] = (before.sum() / before.sum().sum())[order].to_numpy()
        changes = ((data["share"] - data["share_before"]) * 100).tolist()
        title += _change(names.tolist(), changes, when)
        texts = [
            f"{percent(value)} ({formatting.signed(c, 1, 'pt')})" for value, c in zip(shares, changes, strict=True)
        ]
        called = span(pd.Series(before.index)), of
        figure = plots.dumbbells(names.tolist(), data["share_before"].tolist(), shares.tolist(), called)
        subtitle = f"Share of net revenue by channel, against {when}"
    alt = f"Share of net revenue by channel, {of}: {enumerated(names, texts)}."
    return Insight("channels", title, subtitle, alt, figure, data.round(4))


def _by_channel(frame: pd.DataFrame) -> pd.DataFrame:
    """Return net revenue by full month (rows, in order) and channel, from when the present channels sell alone."""
    frame = complete_months(floats(frame)) if len(frame) else frame
    if frame.empty:
        return pd.DataFrame()
    months: pd.DataFrame = frame.pivot_table(
        index="month", columns="channel", values="net_amount", aggfunc="sum", fill_value=0.0
    )
    months = months[months.sum(axis=1) > 0]
    if months.empty:
        return months
    closed = months.columns[months.iloc[-1] <= 0]
    other = months[closed].sum(axis=1) > 0.01 * months.sum(axis=1)
    if other.any():
        months = months.loc[months.index > months.index[other][-1]]
    return months.loc[:, (months != 0).any()]


def _earlier(months: pd.DataFrame, now: pd.DataFrame) -> tuple[pd.DataFrame | None, str]:
    """Return the months to compare with and their name: the same a year before, else those just before."""
    year_ago = [month - pd.DateOffset(years=1) for month in now.index]
    if all(month in months.index for month in year_ago):
        return months.loc[year_ago], "a year before"
    if len(months) >= 2 * len(now):
        count = len(now)
        name = "the month before" if count == 1 else f"the {count} months before"
        return months.iloc[-2 * count : -count], name
    return None, ""


def _change(names: list[str], changes: list[float], when: str) -> str:
    """Return what has changed most: the end of a title about the first of the channels."""
    most = max(range(len(changes)), key=lambda i: abs(changes[i]))
    if abs(changes[most]) < 0.5:
        return f", as {when}"
    size = f"{abs(changes[most]):.1f} points {'more' if changes[most] > 0 else 'less'} than {when}"
    return f", {size}" if most == 0 else f"; {names[most]} has {size}"


def funnel(frame: pd.DataFrame) -> Result:
    """Return how many sessions reach each step from visit to purchase, and where most are lost.

    `frame` has a row a month and device: month, device, is_complete, and the columns of `STEPS`.
    """
    shown = _last_year(frame)
    if not len(shown) or not shown["sessions"].sum() > 0:
        return None
    # A step that this shop's pages never report is no step.
    reached = shown[list(STEPS)].sum()
    steps = [step for step in STEPS if reached[step] > 0]
    rates = [share(reached[step], reached["sessions"]) for step in steps]
    names = [STEPS[step] for step in steps]
    bought = reached["converted_sessions"]
    title = f"{percent(rates[-1])} of sessions end in a purchase" if bought > 0 else "No session ended in a purchase"
    if len(steps) > 2 and bought > 0:
        kept = [later / earlier for earlier, later in pairwise(rates)]
        worst = min(range(len(kept)), key=kept.__getitem__)
        title += f"; the widest gap is from {names[worst].lower()} to {names[worst + 1].lower()}"
    texts = [f"{number(reached[step])} · {percent(rate)}" for step, rate in zip(steps, rates, strict=True)]
    alt = f"Bars of sessions by the step they reach: {enumerated(pd.Series(names), texts)} of sessions."
    figure = plots.hbars(names, reached[steps], texts=texts, highlight=(len(steps) - 1,))
    data = pd.DataFrame({"step": names, "sessions": reached[steps].to_numpy(), "share": rates}).round({"share": 4})
    subtitle = f"Sessions that reach a step, and their share of all, {span(shown['month'])}"
    return Insight("conversion_funnel", title, subtitle, alt, figure, data)


def conversion_by_device(frame: pd.DataFrame) -> Result:
    """Return the share of sessions that end in a purchase, by device (`frame` as for `funnel`)."""
    shown = _last_year(frame)
    known = named(shown, "device") if len(shown) else shown
    if known.empty:
        return None
    data = known.groupby("device", as_index=False)[["sessions", "converted_sessions"]].sum()
    data = data[data["sessions"] >= FEWEST]
    data["conversion_rate"] = data["converted_sessions"] / data["sessions"]
    data = data.sort_values(["conversion_rate", "device"], ascending=[False, True], ignore_index=True)
    if len(data) < 2 or not data["converted_sessions"].sum() > 0:
        return None
    names, rates = pd.Series([pretty(device) for device in data["device"]]), data["conversion_rate"]
    first, last = percent(rates.iloc[0]), percent(rates.iloc[-1])
    title = f"{names.iloc[0]} converts best: {first}, against {last} on {names.iloc[-1].lower()}"
    if rates.iloc[0] < 1.05 * rates.iloc[-1]:
        title = (
            f"All devices convert alike: {last} to {first}" if first != last else f"All devices convert alike: {first}"
        )
    texts = [f"{percent(r)} of {formatting.count(n, 'session')}" for r, n in zip(rates, data["sessions"], strict=True)]
    alt = f"Bars of the share of sessions that end in a purchase, by device: {enumerated(names, texts)}."
    figure = plots.hbars(names.tolist(), rates, texts=texts)
    subtitle = f"Share of sessions that end in a purchase, by device, {span(shown['month'])}"
    return Insight("conversion_by_device", title, subtitle, alt, figure, data.round({"conversion_rate": 4}))


def _last_year(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last twelve full months, or of all months where none is full."""
    if frame.empty:
        return frame
    frame = floats(frame)
    whole = complete_months(frame)
    shown = whole if len(whole) else frame
    last = shown["month"].iloc[-1]
    return shown[shown["month"] > last - pd.DateOffset(months=YEAR)]
