"""Questions about where sales come from: the channels, and the sessions that lead to a purchase or do not.

As in `lib.insights.sales`, a small table goes in and an insight comes out; None where a shop has no channels to compare
or no events, as these are no questions for it.
"""

from itertools import pairwise

import pandas as pd

from lib.base.formatting import count, listing, number, percent, signed
from lib.insights.answers import bars, complete, enumerated, label, named, period, question, unit
from lib.report import plots
from lib.report.insight import Insight, Result

#: How many months a channel's share is computed over, and how many months of sessions.
SEASON, YEAR = 3, 12
#: With fewer sessions a device's conversion rate is mostly chance.
FEWEST = 50
#: Standard errors between two rates that chance hardly ever makes: one time in a hundred.
BEYOND_CHANCE = 2.58
#: The steps of the funnel: column of the table, and name.
STEPS = {
    "sessions": "Visit",
    "product_view_sessions": "Product view",
    "cart_sessions": "Cart",
    "checkout_sessions": "Checkout",
    "converted_sessions": "Purchase",
}


@question
def revenue_shares(frame: pd.DataFrame, currency: str | None = None) -> Result:
    """Return each channel's share of revenue in the last full months, against a year before or the months before.

    `frame` has a row a month and channel (month, channel, net_amount, is_complete). Months in which a channel sold
    that is closed by now, such as the records of a former system, are compared with nothing.
    """
    months = _by_channel(complete(frame))
    if len(named(pd.DataFrame({"channel": months.columns}), "channel")) < 2:
        return None
    now = months.tail(SEASON)
    before, when = _earlier(months, now)
    sums = now.sum().sort_values(ascending=False, kind="stable")
    if (sums < 0).any():  # of a channel that only took back there is no share
        return None
    names, shares, of = [label(channel) for channel in sums.index], (sums / sums.sum()).tolist(), period(now.index)
    data = pd.DataFrame({"channel": sums.index, "net_amount": sums.to_numpy(), "share": shares})
    title, texts = f"{names[0]} brings {percent(shares[0])} of revenue", [percent(value) for value in shares]
    if before is None or (before.sum() < 0).any():
        figure = plots.hbars(names, shares, texts=texts)
        subtitle = f"Share of net revenue by channel{unit(currency)}, {of}"
    else:
        data["share_before"] = (before.sum() / before.sum().sum())[sums.index].to_numpy()
        changes = ((data["share"] - data["share_before"]) * 100).tolist()
        title += _change(names, changes, when)
        texts = [f"{text} ({signed(change, 1, 'pt')})" for text, change in zip(texts, changes, strict=True)]
        figure = plots.dumbbells(names, data["share_before"].tolist(), shares, (period(before.index), of))
        subtitle = f"Share of net revenue by channel, against {when}"
    alt = f"Share of net revenue by channel, {of}: {enumerated(names, texts)}."
    return Insight("channels", title, subtitle, alt, figure, data.round(4))


def _by_channel(frame: pd.DataFrame) -> pd.DataFrame:
    """Return net revenue by month (rows, in order) and channel, from when the present channels sell alone."""
    months = frame.pivot_table(index="month", columns="channel", values="net_amount", aggfunc="sum", fill_value=0.0)
    months = months[months.sum(axis=1) > 0]
    if months.empty:
        return pd.DataFrame()
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
    size = len(now)
    first = now.index[0] - pd.DateOffset(months=size)
    if len(months) >= 2 * size and months.index[-2 * size] == first:
        return months.iloc[-2 * size : -size], "the month before" if size == 1 else f"the {size} months before"
    return None, ""


def _change(names: list[str], changes: list[float], when: str) -> str:
    """Return what has changed most: the end of a title about the first of the channels."""
    name, change = max(zip(names, changes, strict=True), key=lambda pair: abs(pair[1]))
    if abs(change) < 0.5:
        return f", as {when}"
    size = f"{abs(change):.1f} points {'more' if change > 0 else 'less'} than {when}"
    return f", {size}" if name == names[0] else f"; {name} has {size}"


@question
def funnel(frame: pd.DataFrame) -> Result:
    """Return how many sessions reach each step from visit to purchase, and where most are lost.

    `frame` has a row a month and device: month, device, is_complete, and the columns of `STEPS`.
    """
    shown = _last_year(frame)
    # A step that this shop's pages never report is no step.
    reached = shown[list(STEPS)].sum()
    reached = reached[reached > 0]
    if "sessions" not in reached:
        return None
    names, rates = [STEPS[step] for step in reached.index], (reached / reached["sessions"]).tolist()
    title = "No session ended in a purchase"
    if "converted_sessions" in reached:
        title = f"{percent(rates[-1])} of sessions end in a purchase"
        if len(names) > 2 and reached["sessions"] >= FEWEST:
            passed = [later / earlier for earlier, later in pairwise(rates)]
            worst = passed.index(min(passed))
            title += f"; the widest gap is from {names[worst].lower()} to {names[worst + 1].lower()}"
    texts = [f"{number(sessions)} · {percent(rate)}" for sessions, rate in zip(reached, rates, strict=True)]
    alt = f"Bars of sessions by the step they reach: {enumerated(names, texts)} of sessions."
    figure = plots.hbars(names, reached, texts=texts, highlight=(len(names) - 1,))
    data = pd.DataFrame({"step": names, "sessions": reached.to_numpy(), "share": rates}).round({"share": 4})
    subtitle = f"Sessions that reach a step, and their share of all, {period(shown['month'])}"
    return Insight("conversion_funnel", title, subtitle, alt, figure, data)


@question
def conversion_by_device(frame: pd.DataFrame) -> Result:
    """Return the share of sessions that end in a purchase, by device (`frame` as for `funnel`).

    A device converts best where chance does not explain what it has above each other one.
    """
    shown = _last_year(frame)
    data = named(shown, "device").groupby("device", as_index=False)[["sessions", "converted_sessions"]].sum()
    data = data[data["sessions"] >= FEWEST]
    data["conversion_rate"] = data["converted_sessions"] / data["sessions"]
    data = data.sort_values(["conversion_rate", "device"], ascending=[False, True], ignore_index=True)
    if len(data) < 2 or not data["converted_sessions"].sum() > 0:
        return None
    names, rates = data["device"].map(label), data["conversion_rate"]
    title = _who_converts_best(names.tolist(), rates.tolist(), data["sessions"].tolist())
    texts = [f"{percent(rate)} of {count(n, 'session')}" for rate, n in zip(rates, data["sessions"], strict=True)]
    what, when = "share of sessions that end in a purchase, by device", period(shown["month"])
    subtitle, rows = f"{what.capitalize()}, {when}", data.round({"conversion_rate": 4})
    return bars("conversion_by_device", title, subtitle, f"the {what}", names, rates, texts, rows)


def _who_converts_best(names: list[str], rates: list[float], sessions: list[float]) -> str:
    """Return which devices convert best, of some with falling rates: the first one, and those that chance may have put
    behind it.
    """
    best, worst = percent(rates[0]), percent(rates[-1])
    behind = [i for i in range(len(names)) if _differ(rates[0], rates[i], sessions[0], sessions[i])]
    if not behind or rates[0] < 1.05 * rates[-1]:
        return f"All devices convert alike: {best if best == worst else f'{worst} to {best}, within chance'}"
    leaders = listing([names[0], *(names[i].lower() for i in range(1, behind[0]))])
    texts = listing([percent(rates[i]) for i in range(behind[0])])
    against = f"against {percent(rates[behind[-1]])} on {names[behind[-1]].lower()}"
    return f"{leaders} convert{'s' if behind[0] == 1 else ''} best: {texts}, {against}"


def _differ(one: float, other: float, n: float, m: float) -> bool:
    """Whether chance hardly explains the difference of two rates of n and m sessions (z test of two proportions)."""
    both = (one * n + other * m) / (n + m)
    error = (both * (1 - both) * (1 / n + 1 / m)) ** 0.5
    return abs(one - other) > BEYOND_CHANCE * error


def _last_year(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last twelve full months, or of all months where none is full."""
    full = complete(frame)
    shown = full if len(full) else frame
    return shown[shown["month"] > shown["month"].iloc[-1] - pd.DateOffset(months=YEAR)]
