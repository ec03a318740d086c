"""What a question is answered with: an `Insight`, drawn and worded, or `NoData`; and how a notebook shows either."""

import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lib.report.charts import plain, save_png, standalone, style, to_svg
from lib.report.pieces import NOTHING, Html, note, table

#: How many rows of its data a chart has folded below it; its CSV file has all.
TABLE_ROWS = 24


@dataclass(frozen=True)
class Insight:
    """An answer: what the data say, the measure and unit, the picture, and the plotted data."""

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


#: None where the question is not one for this shop.
Result = Insight | NoData | None


@dataclass(frozen=True, repr=False, kw_only=True)
class Chart(Html):
    """An insight as a piece of a page, with its inline SVG and the files it was written to."""

    name: str
    title: str
    alt: str
    svg: str
    files: dict[str, Path]


def save_chart(insight: Insight, query: str = "", folder: Path | None = None) -> Chart:
    """Export an insight's figure, close it, and return the chart; write SVG, PNG and CSV into the folder, if any."""
    fig, name = insight.figure, re.sub(r"[^a-z0-9]+", "-", insight.name.lower()).strip("-") or "chart"
    title, subtitle, alt = plain(insight.title), plain(insight.subtitle), plain(insight.alt)
    files = {kind: folder / f"{name}.{kind}" for kind in ("svg", "png", "csv")} if folder else {}
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's browser has the font
        svg = to_svg(fig, name, alt)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            files["svg"].write_text(standalone(svg), encoding="utf-8")
            save_png(fig, files["png"], title, subtitle)
            insight.data.to_csv(files["csv"], index=False, lineterminator="\n")
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(fig)
    words = f"<figcaption><h3>{escape(title)}</h3><p>{escape(subtitle)}</p></figcaption>"
    code = f"<pre><code>{escape(query.strip())}</code></pre>" if query else ""
    rows = code + table(insight.data, limit=TABLE_ROWS).html
    details = f"<details><summary>{'Data and query' if query else 'Data'}</summary>{rows}</details>"
    html = f'<figure class="chart" id="chart-{name}">{words}{svg}{details}</figure>'
    return Chart(html=html, text=f"{title} ({subtitle})", name=name, title=title, alt=alt, svg=svg, files=files)


def presenter(stage: Any) -> Callable[[Result, str], Html]:
    """Return `show(result, query)`, which saves an insight's chart with the stage, or says which data are missing."""
    given = {""}  # each reason is given once

    def show(result: Result, query: str) -> Html:
        if isinstance(result, Insight):
            chart = save_chart(result, query, stage.charts_dir)
            stage.chart(chart)
            return chart
        reason = result.reason if result else ""
        repeated = reason in given
        given.add(reason)
        return NOTHING if repeated else note(reason)

    return show
