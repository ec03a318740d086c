"""The plots: each takes a few values and returns a matplotlib figure in the project's style.

They draw and know nothing of shops or sentences: `lib.insights` and `lib.quality` word the insights, and
`lib.report.charts` exports. Every plot is readable with no row, one row or hundreds, with missing and negative values.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lib.base.formatting import axis as axis_text
from lib.base.formatting import compact, percent, points
from lib.report.charts import ACCENT, BAD, INK, LINE, MUTE, PAPER, SOFT, shorten, style

Format = Callable[[float], str]
Values = Iterable[Any] | pd.Series
FEW_MONTHS = 6
WIDTH = 5.4  # inches; about 390 px, so that text stays readable on a phone


def _canvas(height: float, left: float, right: float, top: float = 0.06, bottom: float = 0.06) -> tuple[Figure, Axes]:
    """Return a new figure of the common width and its axes; all measures in inches."""
    fig = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(fig)
    return fig, fig.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    )


def _no_data(fig: Figure, axes: Axes) -> Figure:
    """Return the figure of a plot that has no data."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, "no data", ha="center", va="center", color=MUTE, transform=axes.transAxes)
    return fig


def _width(labels: Iterable[str], size: float = 9) -> float:
    """Return about how wide the longest label is drawn, in inches."""
    widths = (sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.6 for c in label) for label in labels)
    return max(widths, default=0.0) * size / 72


def _floats(values: Values) -> np.ndarray:
    return np.asarray(pd.to_numeric(pd.Series(list(values)), errors="coerce"), dtype=float)


def _value_axis(axes: Axes, values: np.ndarray, fmt: Format, room: float = 1.16) -> None:
    """Give the axes a value axis from zero that has room for the values."""
    high, low = max(float(np.nanmax(values)), 0.0), min(float(np.nanmin(values)), 0.0)
    span = (high - low) or 1.0
    axes.set_ylim(low - (0.05 * span if low < 0 else 0), low + span * room)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: fmt(value)))
    axes.grid(axis="y")
    axes.axhline(0, color=MUTE, linewidth=0.8)
    axes.spines["bottom"].set_visible(False)


def _date_axis(axes: Axes, x: np.ndarray, margin: float) -> None:
    """Name days, months or years, as many as there is room for; a year stands where it begins, or at the end."""
    locator = AutoDateLocator(minticks=3, maxticks=8)
    offsets = ["", "%Y", "%b %Y", "%d %b %Y", "%d %b %Y", "%d %b %Y"]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, offset_formats=offsets))
    axes.xaxis.get_offset_text().set_color(MUTE)
    axes.set_xlim(x.min() - margin, x.max() + margin)


def _rows_axis(axes: Axes, names: Sequence[str]) -> None:
    """Name horizontal rows from the top down; their values are written beside them."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 2) - 0.5, -0.5)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _write(axes: Axes, text: str, place: tuple[Any, float], right: float = 5, up: float = 0, **look: Any) -> None:
    """Write a text at a distance (in points) from a place."""
    look = dict[str, Any]({"va": "center", "fontsize": 9}) | look
    axes.annotate(text, place, (right, up), textcoords="offset points", annotation_clip=False, **look)


def _name_ends(axes: Axes, x: float, ends: Sequence[tuple[str, float]], accent: str, right: float) -> None:
    """Write the name of each line or part beside its end, names apart from each other, `accent` in its colour."""
    low, high = axes.get_ylim()
    for (name, _), place in zip(ends, _apart([end for _, end in ends], 0.09 * (high - low), high), strict=True):
        colour, weight = (ACCENT, "bold") if name == accent else (MUTE, "normal")
        _write(axes, name, (x, place), right, color=colour, weight=weight)


def _apart(places: Sequence[float], gap: float, top: float) -> list[float]:
    """Return the places, moved up where they are nearer than `gap`, and down from under what is above `top` then."""
    out = list(places)
    order = sorted(range(len(out)), key=out.__getitem__)
    for lower, upper in pairwise(order):
        out[upper] = max(out[upper], out[lower] + gap)
    for i in reversed(order):
        out[i] = min(out[i], top)
        top = out[i] - gap
    return out


@style()
def line_by_month(
    months: Values,
    values: Values,
    *,
    fmt: Format = compact,
    ticks: Format = axis_text,
    complete: Values | None = None,
    show_q4: bool = True,
) -> Figure:
    """Return a zero-based line over months, each fourth quarter shaded, the last full month labelled.

    A month that is not complete is drawn as an open point at the end of a dotted line.
    """
    dates, y = pd.DatetimeIndex(pd.to_datetime(list(months))), _floats(values)
    x = date2num(dates)
    whole = np.full(len(y), True) if complete is None else np.asarray(list(complete), dtype=bool)
    fig, axes = _canvas(2.35, 0.58, _width(map(fmt, y[np.isfinite(y)][-2:]), 9.5) + 0.2, 0.22, 0.42)
    if not np.isfinite(y).any():
        return _no_data(fig, axes)
    _value_axis(axes, y, ticks)
    _date_axis(axes, x, 16 if len(x) < 3 else 6)
    if len(x) <= FEW_MONTHS:  # between so few months the axis would name days
        axes.set_xticks(x, [f"{month:%b}\n{month:%Y}" for month in dates])
    if show_q4 and len(x) > 3:
        _shade_q4(axes, dates)
    solid = np.where(whole, y, np.nan)
    axes.fill_between(x, 0, solid, color=ACCENT, alpha=0.09, linewidth=0)
    axes.plot(x, y, color=MUTE, linewidth=1.0, linestyle=(0, (1, 2)))
    axes.plot(x, solid, color=ACCENT, linewidth=1.8)
    axes.plot(x[~whole], y[~whole], "o", color=MUTE, markerfacecolor=PAPER, markersize=4, clip_on=False)
    for last in np.flatnonzero(np.isfinite(solid))[-1:]:
        axes.plot(x[last], y[last], "o", color=ACCENT, markersize=4.5, clip_on=False)
        _write(axes, fmt(y[last]), (x[-1], y[last]), 8, weight="bold", fontsize=9.5)
    return fig


def _shade_q4(axes: Axes, months: pd.DatetimeIndex) -> None:
    """Shade each fourth quarter; where there are many years, only the last one is named."""
    fourth = months[months.quarter == 4]
    for year in fourth.year.unique():
        first, *_, last = date2num(fourth[fourth.year == year].repeat(2))
        axes.axvspan(first - 12, last + 12, color=LINE, alpha=0.55, linewidth=0, zorder=0)
        if year == fourth.year.max() or fourth.year.nunique() <= 6:
            place = axes.get_xaxis_transform()
            axes.text((first + last) / 2, 1.01, "Q4", color=MUTE, ha="center", fontsize=8.5, transform=place)


@style()
def hbars(
    labels: Iterable[object],
    values: Values,
    *,
    texts: Sequence[str] = (),
    highlight: Sequence[int] = (0,),
    warn: Sequence[int] = (),
    limit: int = 15,
) -> Figure:
    """Return zero-based horizontal bars with their values or `texts`; rows beyond `limit` are only counted."""
    numbers = _floats(values)
    many, numbers = len(numbers), numbers[:limit]
    names = [shorten(label) for label in list(labels)[:limit]]
    ends = ["no value" if np.isnan(v) else texts[i] if len(texts) else compact(v) for i, v in enumerate(numbers)]
    foot = 0.28 if many > limit else 0.06
    left, right = min(_width(names, 9.5) + 0.12, 2.2), min(_width(ends, 9.5) + 0.1, 2.2)
    fig, axes = _canvas(0.27 * max(len(names), 2) + foot + 0.06, left, right, bottom=foot)
    if not np.isfinite(numbers).any():
        return _no_data(fig, axes)
    lengths = np.nan_to_num(numbers)
    colours = [BAD if i in warn else ACCENT if i in highlight else SOFT for i in range(len(names))]
    axes.barh(range(len(names)), lengths, color=colours, height=0.68)
    high, low = max(lengths.max(), 0), min(lengths.min(), 0)
    axes.set_xlim(1.02 * low - 0.02 * high if low < 0 else 0, high or 0.1 * -low or 0.1)
    for i, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        colour, weight = MUTE if np.isnan(numbers[i]) else INK, "normal" if colours[i] == SOFT else "bold"
        _write(axes, end, (max(length, 0), i), 4, color=colour, weight=weight)
    _rows_axis(axes, names)
    if low < 0:
        axes.axvline(0, color=MUTE, linewidth=0.8)
    if many > limit:
        bottom = 0.06 / fig.get_size_inches()[1]
        fig.text(0.0, bottom, f"The first {limit:,} of {many:,} are shown.", color=MUTE, fontsize=8.5)
    return fig


@style()
def waterfall(steps: Sequence[tuple[str, float, str]], *, fmt: Format = compact) -> Figure:
    """Return bars from one total to the next, from top to bottom; each step is (label, value, kind).

    A `total` is a bar from zero, a `change` a piece of the level so far, and `wrong` a total that does not follow.
    """
    names = [shorten(label, 22) for label, _, _ in steps]
    ends = [("+" if kind == "change" and value > 0 else "") + fmt(value) for _, value, kind in steps]
    fig, axes = _canvas(0.27 * max(len(steps), 2) + 0.12, _width(names, 9.5) + 0.12, _width(ends, 9.5) + 0.1)
    if not steps:
        return _no_data(fig, axes)
    colours = {"total": ACCENT, "change": SOFT, "wrong": BAD}
    level, reach, low = 0.0, 0.0, 0.0
    for i, ((_, value, kind), end) in enumerate(zip(steps, ends, strict=True)):
        start = level if kind == "change" else 0.0
        level = start + value
        # What is too small to be seen has an edge all the same.
        axes.barh(i, level - start, left=start, height=0.68, color=colours[kind], edgecolor=colours[kind], linewidth=1)
        reach, low = max(reach, start, level), min(low, start, level)
        _write(axes, end, (max(start, level), i), color=INK, weight="normal" if kind == "change" else "bold")
        if i + 1 < len(steps):
            axes.plot([level, level], [i + 0.34, i + 0.66], color=MUTE, linewidth=0.8)
    axes.set_xlim(1.02 * low, reach or (1.0 if not low else 0.0))
    _rows_axis(axes, names)
    axes.axvline(0, color=MUTE if low else LINE, linewidth=0.8)
    return fig


@style()
def heatmap(grid: pd.DataFrame) -> Figure:
    """Return weekday by hour cells (7 rows, 24 columns, in that order), darker for more."""
    import seaborn  # slow to import, and only this chart needs it

    fig, axes = _canvas(2.1, 0.42, 0.06, bottom=0.28)
    values = grid.to_numpy(float)
    if not np.isfinite(values).any():
        return _no_data(fig, axes)
    ramp = LinearSegmentedColormap.from_list("accent", [mpl.colors.to_rgba(ACCENT, a) for a in (0.05, 1.0)])
    high = float(np.nanmax(values)) or 1.0
    seaborn.heatmap(values, ax=axes, cmap=ramp, vmin=0, vmax=high, cbar=False, linewidths=1.2, linecolor=PAPER)
    axes.set_xticks([0.5, 6.5, 12.5, 18.5, 23.5], ["0 h", "6", "12", "18", "23"], rotation=0)
    axes.set_yticks(np.arange(7) + 0.5, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], rotation=0)
    return fig


@style()
def concentration(
    shares: Sequence[float], revenue: Sequence[float], mark: tuple[float, float], who: str = "customers"
) -> Figure:
    """Return the curve of cumulative revenue over `who`, best first, with one point named (shares of 1)."""
    fig, axes = _canvas(2.6, 0.58, 0.2, 0.12, 0.45)
    axes.fill_between(shares, 0, revenue, color=ACCENT, alpha=0.09, linewidth=0)
    axes.plot([0, 1], [0, 1], color=MUTE, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.plot(shares, revenue, color=ACCENT, linewidth=1.8)
    axes.plot([mark[0], mark[0]], [0, mark[1]], color=MUTE, linewidth=0.8)
    axes.plot(*mark, "o", color=ACCENT, markersize=5)
    # Both texts are under the diagonal, where no line crosses them.
    text = f"{percent(mark[0], 0)} of {who}:\n{percent(mark[1], 0)} of revenue"
    axes.text(mark[0] + 0.02, 0.04, text, va="bottom", weight="bold")
    axes.text(0.98, 0.04, "dotted: if all were equal", color=MUTE, ha="right", va="bottom", fontsize=8.5)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), yticks=[0.25, 0.5, 0.75, 1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    axes.set_xlabel(f"{who}, highest revenue first", fontsize=8.5, loc="left")
    axes.grid(axis="y")
    return fig


@style()
def stacked(labels: Sequence[str], parts: Mapping[str, Sequence[float]]) -> Figure:
    """Return stacked columns, named beside the last one; the last part has the accent."""
    fig, axes = _canvas(2.35, 0.58, _width(parts) + 0.14, 0.12, 0.42)
    count = len(labels)
    if not count or not parts:
        return _no_data(fig, axes)
    up, down, ends = np.zeros(count), np.zeros(count), []
    colours = [*[LINE] * (len(parts) - 2), SOFT, ACCENT][-len(parts) :]
    for (name, values), colour in zip(parts.items(), colours, strict=True):
        heights = np.nan_to_num(_floats(values))
        start = np.where(heights >= 0, up, down)
        axes.bar(range(count), heights, bottom=start, width=0.76, color=colour)
        up, down = up + heights.clip(min=0), down + heights.clip(max=0)
        ends.append((name, float(start[-1] + heights[-1] / 2)))
    _value_axis(axes, np.concatenate([up, down]), axis_text, room=1.05)
    _name_ends(axes, count - 0.55, ends, ends[-1][0], 5)
    axes.set_xlim(-0.6, count - 0.4)
    ticks = [i for i, label in enumerate(labels) if label]
    ticks = ticks[:: max(1, -(-len(ticks) // 7))]
    axes.set_xticks(ticks, [labels[i] for i in ticks])
    return fig


@style()
def dumbbells(
    labels: Iterable[object], before: Sequence[float], after: Sequence[float], names: tuple[str, str]
) -> Figure:
    """Return two shares (of 1) a row, joined: the first open, the second filled, called by `names`."""
    rows = [shorten(label) for label in labels]
    ends = [f"{a * 100:.0f} → {percent(b, 0)}" for a, b in zip(before, after, strict=True)]
    left = _width(rows, 9.5) + 0.12
    fig, axes = _canvas(0.29 * max(len(rows), 2) + 0.36, left, _width(ends) + 0.12, top=0.3)
    if not rows:
        return _no_data(fig, axes)
    for i, (a, b, end) in enumerate(zip(before, after, ends, strict=True)):
        axes.plot([a, b], [i, i], color=SOFT, linewidth=2.4, zorder=1)
        axes.plot(a, i, "o", color=MUTE, markerfacecolor=PAPER, markersize=6)
        axes.plot(b, i, "o", color=ACCENT, markersize=6)
        axes.text(1.0, i, f" {end}", va="center", fontsize=9, transform=axes.get_yaxis_transform())
    high = max([*before, *after]) or 1.0
    axes.set_xlim(min(0.0, *before, *after) - 0.03 * high, 1.03 * high)
    _rows_axis(axes, rows)
    axes.grid(axis="y")
    top, second = 1 - 0.12 / fig.get_size_inches()[1], left + _width([names[0]]) + 0.35
    fig.text(left / WIDTH, top, f"○ {names[0]}", color=MUTE, fontsize=9, va="center")
    fig.text(second / WIDTH, top, f"● {names[1]}", color=ACCENT, fontsize=9, va="center")
    return fig


@style()
def band_by_day(
    days: Values, values: Values, low: Values, high: Values, unusual: Values, *, named: int = 3, fmt: Format = compact
) -> Figure:
    """Return a zero-based line over days above the band it is expected in, which may have gaps.

    Unusual days are points; the `named` farthest from the band carry their day and value.
    """
    fig, axes = _canvas(2.35, 0.58, 0.14, 0.3, 0.42)
    dates, y, floor, roof = pd.DatetimeIndex(pd.to_datetime(list(days))), *map(_floats, (values, low, high))
    x = date2num(dates)
    if not np.isfinite(y).any():
        return _no_data(fig, axes)
    marked = np.asarray(list(unusual), dtype=bool) & np.isfinite(y)
    _value_axis(axes, np.concatenate([y, roof[np.isfinite(roof)], [0.0]]), axis_text, room=1.08)
    _date_axis(axes, x, 0.5)
    axes.fill_between(x, floor, roof, where=list(np.isfinite(floor)), color=SOFT, alpha=0.5, linewidth=0)
    axes.plot(x, y, color=MUTE, linewidth=1.1)
    axes.plot(x[marked], y[marked], "o", color=BAD, markersize=5.5, clip_on=False)
    beyond = np.where(marked, np.fmax(np.nan_to_num(floor) - y, y - np.nan_to_num(roof, nan=np.inf)), -np.inf)
    along = (x - x.min()) / max(x.max() - x.min(), 1)
    labelled: list[int] = []
    for i in np.argsort(-beyond)[: int(marked.sum())]:
        if len(labelled) == named or any(abs(along[i] - along[other]) < 0.22 for other in labelled):
            continue  # enough are named, or its name would run into another's
        labelled.append(i)
        side = "left" if along[i] < 0.1 else "right" if along[i] > 0.9 else "center"
        above = y[i] >= np.nan_to_num(roof[i], nan=0.0) or y[i] < 0.12 * axes.get_ylim()[1]
        text, look = f"{dates[i].day} {dates[i]:%b}: {fmt(y[i])}", {"ha": side, "va": "bottom" if above else "top"}
        box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1}
        _write(axes, text, (x[i], y[i]), 0, 6 if above else -6, weight="bold", bbox=box, **look)
    axes.tick_params(axis="x", pad=6)
    return fig


@style()
def lines_by_run(
    labels: Sequence[str],
    main: tuple[str, Sequence[float]],
    others: Mapping[str, Sequence[float]],
    least: float | None = None,
) -> Figure:
    """Return scores (0 to 100) by run: one line in the accent, the others thin, each named at its end.

    The axis begins a little under the lowest score; `least` is drawn where it is in sight.
    """
    rows = {name: _floats(values) for name, values in (main, *others.items())}
    names = {n: f"{n} {points(row[-1])}" if len(row) and np.isfinite(row[-1]) else n for n, row in rows.items()}
    fig, axes = _canvas(2.35, 0.46, _width(names.values()) + 0.2, 0.14, 0.42)
    values = np.concatenate([*rows.values()])
    if not np.isfinite(values).any():
        return _no_data(fig, axes)
    low = max(np.floor(np.nanmin(values) - 0.6), 0.0)
    axes.set_ylim(low, 100 + 0.04 * (100 - low))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.grid(axis="y")
    axes.spines["bottom"].set_visible(False)
    x, ends = np.arange(len(labels)), []
    for name, row in rows.items():
        colour, wide, size = (ACCENT, 2.0, 5) if name == main[0] else (SOFT, 1.1, 3)
        axes.plot(x, row, color=colour, linewidth=wide, zorder=wide + 1)
        last = np.flatnonzero(np.isfinite(row))[-1:]
        axes.plot(x[last], row[last], "o", color=colour, markersize=size)
        ends.append((names[name], float(row[last][0]) if len(last) else low))
    _name_ends(axes, len(labels) - 1, ends, names[main[0]], 8)
    if least is not None and least > low:
        axes.axhline(least, color=BAD, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.text(0, least, "the gate asks for this", color=BAD, fontsize=8.5, va="bottom")
    axes.set_xlim(-0.2, len(labels) - 0.8)
    step = -(-len(labels) // 5)
    axes.set_xticks(list(x[::step]), list(labels)[::step])
    axes.tick_params(axis="x", pad=9)
    return fig
