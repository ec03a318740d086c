"""What the questions of this room share: tables with amounts as floats, shares, and how labels, months and money are
written. `lib.report.insight` defines what an answer is.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np
import pandas as pd

from lib.base.formatting import NBSP, compact, number, percent
from lib.report import plots
from lib.report.charts import shorten
from lib.report.insight import Insight, Result

P = ParamSpec("P")

#: With fewer orders a month is no headline, and compared with no other.
FEWEST_ORDERS = 5
#: Over fewer products or customers there is no best fifth.
FEWEST = 5
#: With fewer customers a fifth of them is nobody, and a group a handful.
FEWEST_CUSTOMERS = 10
UNNAMED = {"", "unknown", "none", "nan", "n/a"}


def question(ask: Callable[Concatenate[pd.DataFrame, P], Result]) -> Callable[Concatenate[pd.DataFrame, P], Result]:
    """Let a function answer from a table as a warehouse returns it: it receives amounts as floats.

    A table without rows is no question for the shop, and answered with None.
    """

    @wraps(ask)
    def answer(frame: pd.DataFrame, *args: P.args, **options: P.kwargs) -> Result:
        return None if frame.empty else ask(floats(frame), *args, **options)

    return answer


def floats(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with amounts as floats (a warehouse returns Decimals), in the order of its months if any."""
    out = frame.copy()
    for column in out:
        kind = pd.api.types.infer_dtype(out[column], skipna=True) if out[column].dtype.kind == "O" else ""
        if kind in ("decimal", "floating", "integer", "empty"):
            out[column] = out[column].astype(float)
    if "month" in out:
        out["month"] = pd.to_datetime(out["month"])
        out = out.sort_values("month", ignore_index=True)
    return out


def complete(months: pd.DataFrame) -> pd.DataFrame:
    """Return the months that the data hold whole (`is_complete` of `analytics.monthly_sales`, which says when)."""
    return months[months["is_complete"].astype(bool)].reset_index(drop=True)


def speaking(months: pd.DataFrame) -> pd.DataFrame:
    """Return the months that a finding is about: the complete ones, or all where these are few among them.

    Data that begin and end inside a month leave two that are not complete, whatever else is.
    """
    full = complete(months)
    return full if len(full) and len(full) >= min(len(months) / 2, len(months) - 2) else months


def telling(months: pd.DataFrame) -> pd.DataFrame:
    """Return the complete months with orders enough that their figures, and changes of these, are not mere chance."""
    return complete(months[months["orders"] >= FEWEST_ORDERS])


def year_and_year_before(months: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return those of some months that lie in the twelve up to the last one, and in the twelve before these."""
    last = months["month"].max()
    year, two = (months["month"] > last - pd.DateOffset(years=by) for by in (1, 2))
    return months[year], months[two & ~year]


def named(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows whose `column` names something."""
    return frame[~frame[column].fillna("").astype(str).str.strip().str.lower().isin(UNNAMED)]


def share(part: float, whole: float) -> float:
    """Return part / whole, NaN where the whole is not positive."""
    return part / whole if np.isfinite(whole) and whole > 0 else float("nan")


def is_hash(name: object) -> bool:
    """Whether a name is an id that computers made, such as a digest or a UUID: it tells a reader nothing."""
    text = str(name).replace("-", "").lower()
    return len(text) >= 16 and bool(re.fullmatch(r"[0-9a-f]+", text)) and not text.isdigit()


def part_of(part: float, whole: float, currency: str | None) -> str:
    """Return a part as a share, `34 %`; as an amount where it is more than the whole, as what came back weighs more."""
    return percent(share(part, whole)) if 0 <= part <= whole else money(part, currency)


def highest(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return the row with the largest value in `column`, of which at least one must be a number."""
    return frame.iloc[int(np.nanargmax(frame[column].to_numpy(float)))]


def money(value: float, currency: str | None) -> str:
    """Return `214.6 k EUR`, and small amounts with their cents: `153.90 EUR`."""
    text = number(value, 2) if abs(value) < 1000 and round(value, 2) % 1 else compact(value)
    return text + (f"{NBSP}{currency}" if currency else "")


def unit(currency: str | None) -> str:
    """Return the currency after a comma, for subtitles; nothing where a shop names none."""
    return f", {currency}" if currency else ""


def period(months: Iterable[pd.Timestamp]) -> str:
    """Return `Jan 2025 to Mar 2025`."""
    names = [f"{month:%b %Y}" for month in months]
    return names[0] if names[0] == names[-1] else f"{names[0]} to {names[-1]}"


def label(code: object) -> str:
    """Return a code such as `credit_card` as a reader writes it."""
    text = shorten(str(code).replace("_", " "), 40)
    return text[:1].upper() + text[1:]


def enumerated(labels: Iterable[object], texts: Sequence[str], limit: int = 6) -> str:
    """Return each label with its text, for an alternative text; those beyond `limit` are only counted."""
    pairs = [f"{shorten(name, 40)} {text}" for name, text in zip(labels, texts, strict=True)]
    return "; ".join(pairs[:limit]) + (f"; and {len(pairs) - limit} more" if len(pairs) > limit else "")


def bars(
    name: str,
    title: str,
    subtitle: str,
    what: str,
    labels: Iterable[object],
    values: pd.Series,
    texts: Sequence[str],
    data: pd.DataFrame,
    **look: Any,
) -> Insight:
    """Return an answer that is drawn as a bar a row with a text each; `what` names them in the alternative text."""
    labels = list(labels)
    figure = plots.hbars(labels, values, texts=texts, **look)
    return Insight(name, title, subtitle, f"Bars of {what}: {enumerated(labels, texts)}.", figure, data)


def best_fifth(name: str, amounts: pd.Series, who: str, these: str) -> Result:
    """Return how much of the amounts the best fifth of customers or products brings, None where they are few.

    `who` names them on the chart, `these` after their number, such as "known customers".
    """
    values = np.sort(amounts[amounts > 0].to_numpy(float))[::-1]
    if len(values) < FEWEST:
        return None
    fifth = -(-len(values) // 5)
    sums = np.concatenate([[0.0], np.cumsum(values) / values.sum()])
    points = np.unique(np.linspace(0, len(values), 101).round().astype(int))
    data = pd.DataFrame({"share_of_all": points / len(values), "revenue_share": sums[points]}).round(4)
    mark = fifth / len(values), float(sums[fifth])
    title, size = f"The best fifth of {who} bring {percent(mark[1])} of revenue", f"{len(values):,}{NBSP}{these}"
    alt = f"Curve of cumulative revenue over {size}, best first. {title}."
    figure = plots.concentration(data["share_of_all"].tolist(), data["revenue_share"].tolist(), mark, who)
    return Insight(name, title, f"Cumulative share of net revenue of {size}", alt, figure, data)
