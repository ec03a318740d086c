"""What an answer is made of: an `Insight` or a `NoData`, how it is shown, and what all answers share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import escape
from matplotlib.figure import Figure

from lib.base import formatting
from lib.base.formatting import compact
from lib.report.charts import Chart, save_chart, shorten
from lib.report.pieces import NOTHING, Html, note, slug

UNKNOWN = {"", "unknown", "none", "nan", "n/a"}


NO_SALES = "There are no sales in this warehouse yet, so there is nothing to show here."


@dataclass(frozen=True)
class Insight:
    """A question's answer: what the data say, the measure and unit, the picture, and the plotted data."""

    name: str
    title: str
    subtitle: str
    alt: str
    figure: Figure
    data: pd.DataFrame


@dataclass(frozen=True)
class NoData:
    """Why a question has no answer in this shop's data, in one sentence."""

    reason: str


#: None where the question is one that this shop does not have.
Result = Insight | NoData | None


def presenter(stage: Any) -> Callable[[Result, str], Chart | Html]:
    """Return `show(result, query)`, which saves an insight's chart with the stage, or says what is missing."""
    given = {""}  # reasons are given once

    def show(result: Result, query: str) -> Chart | Html:
        if not isinstance(result, Insight):
            reason = result.reason if result else ""
            repeated = reason in given
            given.add(reason)
            return NOTHING if repeated else note(reason)
        words_of = {"title": result.title, "subtitle": result.subtitle, "alt": result.alt}
        folder = stage.charts_dir
        chart = save_chart(result.figure, result.name, **words_of, data=result.data, query=query, folder=folder)
        shown: Chart = stage.chart(chart)
        return shown

    return show


def heading(text: str, *results: Result) -> Html:
    """Return the heading of a section that only some shops have; nothing where none of its results says anything."""
    if not any(isinstance(result, Insight) for result in results):
        return Html("", "")
    return Html(f'<h2 id="{slug(text)}">{escape(text)}</h2>', text, {"section": text})


def floats(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with every amount, rate and count as float (a warehouse may hand out Decimals)."""
    texts = {
        "month",
        "order_date",
        "name",
        "category",
        "segment",
        "payment_method",
        "product_id",
        "customer_id",
        "channel",
        "device",
    }
    out = frame.copy()
    for column in out.columns.difference([*texts, "is_complete", "first_order_date", "last_order_date"]):
        out[column] = pd.to_numeric(out[column], errors="coerce").astype(float)
    if "month" in out:
        out["month"] = pd.to_datetime(out["month"])
        out = out.sort_values("month", ignore_index=True)
    return out


def complete_months(monthly: pd.DataFrame) -> pd.DataFrame:
    """Return the months that the data cover whole."""
    if "is_complete" not in monthly:
        return monthly
    return monthly[monthly["is_complete"].fillna(False).astype(bool)].reset_index(drop=True)


def named(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows whose `column` names something."""
    return frame[~frame[column].fillna("").astype(str).str.strip().str.lower().isin(UNKNOWN)]


def share(part: float, whole: float) -> float:
    """Return part / whole, NaN where there is no whole to speak of."""
    return part / whole if np.isfinite(whole) and whole > 0 else float("nan")


def highest(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return the row with the largest value in `column`, of which at least one must be a number."""
    return frame.iloc[int(np.nanargmax(frame[column].to_numpy(float)))]


def concentration(amounts: pd.Series) -> tuple[pd.DataFrame, tuple[float, float], int] | None:
    """Return the curve of cumulated positive amounts, best first (about 100 points), the point of the best
    fifth, and how many amounts there are; None below five."""
    values = amounts[amounts > 0].sort_values(ascending=False).to_numpy()
    if len(values) < 5:
        return None
    fifth = -(-len(values) // 5)
    summed = np.concatenate([[0.0], np.cumsum(values) / values.sum()])
    picks = np.unique(np.linspace(0, len(values), 101).round().astype(int))
    data = pd.DataFrame({"share_of_all": picks / len(values), "revenue_share": summed[picks]}).round(4)
    return data, (fifth / len(values), float(summed[fifth])), len(values)


def unit(currency: str | None) -> str:
    """Return the currency with a comma before it, for subtitles; nothing where a shop names none."""
    return f", {currency}" if currency else ""


def money(value: float, currency: str | None) -> str:
    """Return `214.6 k EUR`."""
    return compact(value) + (f"{formatting.NBSP}{currency}" if currency else "")


def span(months: pd.Series, style: str = "%b %Y") -> str:
    first, last = months.iloc[0], months.iloc[-1]
    return f"{first:{style}}" if first == last else f"{first:{style}} to {last:{style}}"


def pretty(code: object) -> str:
    text = shorten(str(code).replace("_", " "), 40)
    return text[:1].upper() + text[1:]


def enumerated(labels: pd.Series, texts: list[str], limit: int = 6) -> str:
    pairs = [f"{shorten(label, 40)} {text}" for label, text in zip(labels, texts, strict=True)]
    return "; ".join(pairs[:limit]) + (f"; and {len(pairs) - limit} more" if len(pairs) > limit else "")
