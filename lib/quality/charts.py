"""The charts of the quality page: small tables in, findings out. The words around them are in `page`."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from lib.base import formatting
from lib.base.formatting import compact
from lib.report import plots
from lib.report.insight import Insight, Result

#: How many days a chart of daily volume shows: enough for the season around, few enough to tell days apart.
WINDOW = 120

#: How many series of daily volume are drawn; the others are in the table of what stands out.
SERIES = 4


def daily_volumes(days: pd.DataFrame) -> list[Insight]:
    """Return a chart for each series that has unusual days, those with most of them first, or else of the largest.

    `days` has a row a series and day: source, entity, day, rows, expected, low, high, z, is_unusual.
    """
    if days.empty:
        return []
    days = days.assign(day=pd.to_datetime(days["day"]), is_unusual=days["is_unusual"].fillna(False).astype(bool))
    series = days.groupby(["source", "entity"], as_index=False).agg(odd=("is_unusual", "sum"), size=("rows", "sum"))
    series = series.sort_values(["odd", "size", "source", "entity"], ascending=[False, False, True, True])
    shown = series[series["odd"] > 0] if (series["odd"] > 0).any() else series.head(1)
    found = []
    for source, entity in shown[["source", "entity"]].head(SERIES).itertuples(index=False, name=None):
        own = days[(days["source"] == source) & (days["entity"] == entity)].sort_values("day")
        found.append(_volume(str(source), str(entity), own))
    return found


def _volume(source: str, entity: str, days: pd.DataFrame) -> Insight:
    unusual = days[days["is_unusual"]]
    end = days["day"].max()
    if len(unusual):  # where the last of them lies far back, the chart ends a while after it
        end = min(end, unusual["day"].max() + pd.Timedelta(days=WINDOW // 4))
    window = days[(days["day"] <= end) & (days["day"] > end - pd.Timedelta(days=WINDOW))]
    what = f"{entity.replace('_', ' ')} of {source}"
    marked = window[window["is_unusual"]]
    title = _volume_title(what, unusual)
    alt = (
        f"Line of {what} a day over the band they are expected in, {_span(window['day'])}. "
        + (f"Marked: {formatting.listing([_said(d) for d in marked.head(5).itertuples()])}." if len(marked) else "")
    ).strip()
    figure = plots.band_by_day(window["day"], window["rows"], window["low"], window["high"], window["is_unusual"])
    subtitle = "Rows a day, by local time; shaded: what is usual for a day like it"
    data = window[["day", "rows", "expected", "low", "high", "z", "is_unusual"]]
    return Insight(f"volume_{source}_{entity}", title, subtitle, alt, figure, data)


def _volume_title(what: str, unusual: pd.DataFrame) -> str:
    """Say the most unusual day against what was expected, and how many others there are."""
    if unusual.empty:
        return f"No day stands out among the {what}"
    worst = unusual.iloc[int(np.argmax(unusual["z"].abs().to_numpy(float)))]
    rows, expected = float(worst["rows"]), float(worst["expected"])
    share = rows / expected if expected > 0 else np.inf
    day = f"{worst['day'].day} {worst['day']:%b %Y}"
    if rows == 0:
        said = f"None of the {what} came on {day}"
    elif share < 1:
        said = f"{formatting.percent(1 - share)} of the {what} were missing on {day}"
    elif share >= 1.95:
        said = f"On {day} there were {share:.1f} times the usual {what}"
    else:
        said = f"On {day} there were {formatting.percent(share - 1)} more {what} than usual"
    others = len(unusual) - 1
    return said + (f", and {formatting.count(others, 'other day stands', 'other days stand')} out" if others else "")


def _said(day: object) -> str:
    when: pd.Timestamp = day.day  # type: ignore[attr-defined]
    rows, expected = day.rows, day.expected  # type: ignore[attr-defined]
    return f"{when.day} {when:%b} with {compact(rows)} rows where {compact(expected)} are usual"


def _span(days: pd.Series) -> str:
    first, last = days.min(), days.max()
    return f"{first.day} {first:%b %Y} to {last.day} {last:%b %Y}"


def trend(history: pd.DataFrame, least: float | None = None) -> Result:
    """Return the scores by run, where there are two runs at least.

    `history` has a row a run and dimension (`overall` among them): run_id, dimension, score, in the order of runs.
    """
    grid = scores_by_run(history)
    if len(grid) < 2 or "overall" not in grid:
        return None
    overall = grid["overall"]
    change = float(overall.iloc[-1]) - float(overall.iloc[-2])
    before, now = formatting.points(overall.iloc[-2]), formatting.points(overall.iloc[-1])
    if abs(change) < 0.05:
        title = f"The score stays at {now}"
    else:
        title = f"The score {'rose' if change > 0 else 'fell'} from {before} to {now} since the last run"
        side = (grid.iloc[-1] - grid.iloc[-2]).drop("overall").dropna()
        if len(side) and (side * np.sign(change)).max() > 0.05:
            title += f", most of it in {(side * np.sign(change)).idxmax()}"
    alt = f"Lines of the scores of {len(grid)} runs. Overall: from {formatting.points(overall.iloc[0])} to {now}."
    others = {str(name): grid[name].to_list() for name in grid.columns if name != "overall"}
    figure = plots.lines_by_run(_run_labels(list(grid.index)), ("overall", overall.to_list()), others, least)
    data = grid.reset_index()
    return Insight("score_by_run", title, "Score by run, overall and by dimension, of 100", alt, figure, data)


def scores_by_run(history: pd.DataFrame, last: int = 30) -> pd.DataFrame:
    """Return a row a run, a column a dimension, for the last runs."""
    if history.empty:
        return pd.DataFrame()
    grid = history.pivot_table(index="run_id", columns="dimension", values="score", sort=False)
    order = list(dict.fromkeys(history["run_id"]))
    grid.columns.name = None
    return grid.reindex(order).tail(last)


def _run_labels(runs: list[str]) -> list[str]:
    """Return the runs' days, or hours where they are of one day."""
    times = [pd.to_datetime(r.removeprefix("draft-")[:15], format="%Y%m%dT%H%M%S", errors="coerce") for r in runs]
    if any(pd.isna(t) for t in times):
        return [r[-8:] for r in runs]
    if len({t.date() for t in times}) == 1:
        return [f"{t:%H:%M}" for t in times]
    return [f"{t.day} {t:%b}" for t in times]


def way_of_rows(steps: pd.DataFrame) -> Result:
    """Return the way of the order lines from the sources to the facts.

    `steps` has a row a step: step, rows (what is there after it), change (of a total: by how much it misses what the
    steps before it leave), is_total, says.
    """
    if steps.empty or not float(steps["rows"].iloc[0]) > 0:
        return None
    first, last = steps["rows"].iloc[0], steps["rows"].iloc[-1]
    taken = steps[~steps["is_total"].astype(bool) & (steps["change"] != 0)]
    title = f"Of {formatting.count(first, 'order line')} delivered, {formatting.number(last)} reach the facts"
    if taken.empty and first == last:
        title = f"All {formatting.count(first, 'order line')} delivered reach the facts"
    elif len(taken):
        most = taken.iloc[int(np.argmin(taken["change"].to_numpy(float)))]
        title += f"; most of the others: {str(most['step']).lower()}"
    return _way("way_of_rows", title, "Order lines, from the sources to the facts", steps, "rows", formatting.number)


def way_of_amounts(steps: pd.DataFrame, currency: str = "") -> Result:
    """Return the way of the money from gross sales to the sums by month; `steps` as for rows, with `amount`."""
    if steps.empty or not float(steps["amount"].iloc[0]) > 0:
        return None
    totals = steps[steps["is_total"].astype(bool)].iloc[1:]
    off = totals[totals["change"].astype(float).abs() >= 0.005]
    net = compact(steps["amount"].iloc[-1])
    money = f"{net}{formatting.NBSP}{currency}" if currency else net
    title = f"Net revenue is the same on every level: {money}"
    if len(off):
        title = f"{off['step'].iloc[0]} differs by {formatting.number(off['change'].iloc[0], 2)} from the level before"
    subtitle = "From gross sales to the sums by month" + (f", {currency}" if currency else "")
    return _way("way_of_amounts", title, subtitle, steps, "amount", compact)


def _way(
    name: str, title: str, subtitle: str, steps: pd.DataFrame, measure: str, fmt: Callable[[object], str]
) -> Insight:
    bars: list[tuple[str, float, str]] = []
    for step in steps.to_dict("records"):
        if step["is_total"]:
            follows = not bars or abs(float(step["change"])) < 0.005
            bars.append((str(step["step"]), float(step[measure]), "total" if follows else "wrong"))
        elif step["change"]:
            bars.append((str(step["step"]), float(step["change"]), "change"))
    alt = "Bars from step to step: " + ", ".join(f"{label} {fmt(value)}" for label, value, _ in bars) + "."
    return Insight(name, title, subtitle, alt, plots.waterfall(bars, fmt=fmt), steps)
