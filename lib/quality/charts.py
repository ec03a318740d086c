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
    unusual, end = days[days["is_unusual"]], days["day"].max()
    if len(unusual):  # where the last of them lies far back, the chart ends a while after it
        end = min(end, unusual["day"].max() + pd.Timedelta(days=WINDOW // 4))
    shown = days[(days["day"] <= end) & (days["day"] > end - pd.Timedelta(days=WINDOW))]
    what = f"{entity.replace('_', ' ')} of {source}"
    alt = f"Line of {what} a day over the band they are expected in, {_date(shown['day'].min())} to {_date(end)}."
    marked = [
        f"{_date(d['day'])} with {compact(d['rows'])} rows where {compact(d['expected'])} are usual"
        for d in shown[shown["is_unusual"]].head(5).to_dict("records")
    ]
    alt += f" Marked: {formatting.listing(marked)}." if marked else ""
    figure = plots.band_by_day(shown["day"], shown["rows"], shown["low"], shown["high"], shown["is_unusual"])
    subtitle = "Rows a day, by local time; shaded: what is usual for a day like it"
    data = shown[["day", "rows", "expected", "low", "high", "z", "is_unusual"]]
    return Insight(f"volume_{source}_{entity}", _volume_title(what, unusual), subtitle, alt, figure, data)


def _volume_title(what: str, unusual: pd.DataFrame) -> str:
    """Return the most unusual day against what was expected, and how many others there are."""
    if unusual.empty:
        return f"No day stands out among the {what}"
    worst = unusual.iloc[int(np.argmax(unusual["z"].abs().to_numpy(float)))]
    rows, expected, day = float(worst["rows"]), float(worst["expected"]), _date(worst["day"])
    share = rows / expected if expected > 0 else np.inf
    if rows == 0:
        title = f"None of the {what} came on {day}"
    elif share < 1:
        title = f"{formatting.percent(1 - share)} of the {what} were missing on {day}"
    elif share >= 1.95:
        title = f"On {day} there were {share:.1f} times the usual {what}"
    else:
        title = f"On {day} there were {formatting.percent(share - 1)} more {what} than usual"
    others = len(unusual) - 1
    return title + (f", and {formatting.count(others, 'other day stands', 'other days stand')} out" if others else "")


def _date(day: pd.Timestamp) -> str:
    return f"{day.day} {day:%b %Y}"


def trend(history: pd.DataFrame, least: float | None = None) -> Result:
    """Return the scores by run, where there are two runs at least.

    `history` has a row a run and dimension (`overall` among them): run_id, dimension, score, in the order of runs.
    """
    grid = scores_by_run(history)
    if len(grid) < 2 or "overall" not in grid:
        return None
    overall, change = grid["overall"], (grid.iloc[-1] - grid.iloc[-2]).dropna()
    first, before, now = (formatting.points(overall.iloc[place]) for place in (0, -2, -1))
    title = f"The score stays at {now}"
    if abs(change["overall"]) >= 0.05:
        title = f"The score {'rose' if change['overall'] > 0 else 'fell'} from {before} to {now} since the last run"
        sides = change.drop("overall") * np.sign(change["overall"])
        title += f", most of it in {sides.idxmax()}" if sides.max() > 0.05 else ""
    alt = f"Lines of the scores of {len(grid)} runs. Overall: from {first} to {now}."
    others = {str(name): grid[name].to_list() for name in grid.columns if name != "overall"}
    figure = plots.lines_by_run(_run_labels(list(grid.index)), ("overall", overall.to_list()), others, least)
    subtitle = "Score by run, overall and by dimension, of 100"
    return Insight("score_by_run", title, subtitle, alt, figure, grid.reset_index())


def scores_by_run(history: pd.DataFrame, last: int = 30) -> pd.DataFrame:
    """Return a row a run, a column a dimension, for the last runs."""
    grid = history.pivot_table(index="run_id", columns="dimension", values="score", sort=False)
    return grid.rename_axis(columns=None).reindex(history["run_id"].unique()).tail(last)


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

    `steps` is what the query `order_lines` of `sql/queries/quality` returns.
    """
    if steps.empty or not float(steps["rows"].iloc[0]) > 0:
        return None
    first, last = steps["rows"].iloc[0], steps["rows"].iloc[-1]
    losses = steps[~steps["is_total"].astype(bool) & (steps["change"] != 0)]
    title = f"Of {formatting.count(first, 'order line')} delivered, {formatting.number(last)} reach the facts"
    if losses.empty and first == last:
        title = f"All {formatting.count(first, 'order line')} delivered reach the facts"
    elif len(losses):
        most = losses.iloc[int(np.argmin(losses["change"].to_numpy(float)))]
        title += f"; most of the others: {str(most['step']).lower()}"
    return _way("way_of_rows", title, "Order lines, from the sources to the facts", steps, "rows", formatting.number)


def way_of_amounts(steps: pd.DataFrame, currency: str = "") -> Result:
    """Return the way of the money from gross sales to the sums by month; `steps` as from the query `amounts`."""
    if steps.empty or not float(steps["amount"].iloc[0]) > 0:
        return None
    off = steps[steps["is_total"].astype(bool) & (steps["change"].astype(float).abs() >= 0.005)]
    money = compact(steps["amount"].iloc[-1]) + (f"{formatting.NBSP}{currency}" if currency else "")
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
            kind = "wrong" if abs(float(step["change"])) >= 0.005 else "total"
            bars.append((str(step["step"]), float(step[measure]), kind))
        elif step["change"]:
            bars.append((str(step["step"]), float(step["change"]), "change"))
    alt = "Bars from step to step: " + ", ".join(f"{label} {fmt(value)}" for label, value, _ in bars) + "."
    return Insight(name, title, subtitle, alt, plots.waterfall(bars, fmt=fmt), steps)
