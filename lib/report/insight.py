"""What a question is answered with: an `Insight`, drawn and worded, or `NoData`; and how a notebook shows either."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lib.report.charts import save_chart
from lib.report.pieces import NOTHING, Html, note


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


def presenter(stage: Any) -> Callable[[Result, str], Html]:
    """Return `show(result, query)`, which saves an insight's chart with the stage, or says which data are missing."""
    given = {""}  # each reason is given once

    def show(result: Result, query: str) -> Html:
        if not isinstance(result, Insight):
            reason = result.reason if result else ""
            repeated = reason in given
            given.add(reason)
            return NOTHING if repeated else note(reason)
        chart = save_chart(
            result.figure,
            result.name,
            title=result.title,
            subtitle=result.subtitle,
            alt=result.alt,
            data=result.data,
            query=query,
            folder=stage.charts_dir,
        )
        stage.chart(chart)
        return chart

    return show
