"""The plots: each takes a few values and returns a matplotlib figure in the project's style.

They draw and know nothing of shops or sentences: `lib.insights` and `lib.quality` word the findings, and
`lib.report.charts` exports. Every plot is readable with no row, one row or hundreds, with missing and negative values.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lib.base.formatting import axis as axis_text
from lib.base.formatting import compact, points
from lib.report.charts import (
    ACCENT,
    BAD,
    INK,
    LINE,
    MUTE,
    PAPER,
    SOFT,
    WIDTH,
    canvas,
    figure_of,
    label_inches,
    shorten,
    style,
)

Format = Callable[[float], str]


BAND = 0.55  # opacity of the shading behind Q4


def _nothing(axes: Axes) -> Figure:
    """Return the figure of a plot that has no data."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, "no data", ha="center", va="center", color=MUTE, transform=axes.transAxes)
    return figure_of(axes)


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


def _rows_axis(axes: Axes, names: Sequence[str]) -> None:
    """Name horizontal rows from the top down; their values are written beside them."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 2) - 0.5, -0.5)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _write(axes: Axes, text: str, place: tuple[float, float], right: float = 5, up: float = 0, **look: Any) -> None:
    """Write a text so many points from a place."""
    look.setdefault("va", "center")
    look.setdefault("fontsize", 9)
    axes.annotate(text, place, (right, up), textcoords="offset points", annotation_clip=False, **look)


def _name_ends(axes: Axes, x: float, ends: Sequence[tuple[str, float]], accent: str, right: float) -> None:
    """Write the name of each line or part beside its end, names apart from each other, `accent` in its colour."""
    low, high = axes.get_ylim()
    for (name, _), place in zip(ends, _apart([end for _, end in ends], 0.09 * (high - low), high), strict=True):
        strong = name == accent
        colour, weight = (ACCENT, "bold") if strong else (MUTE, "normal")
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


def _month_axis(axes: Axes, months: pd.PeriodIndex) -> None:
    count = len(months)
    step = next((s for s in (1, 2, 3, 6, 12, 24, 48) if count / s <= 8), 120)
    ticks: list[int] = []
    labels: list[str] = []
    for i, month in enumerate(months):
        turn = (month.year * 12 + month.month - 1) % step == 0
        if turn:
            ticks.append(i)
            new_year = month.month == 1 or not labels
            labels.append(str(month.year) if step >= 12 else month.strftime("%b %Y" if new_year else "%b"))
    axes.set_xticks(ticks, labels)
    if labels and step < 12:  # a year under its first label only, so that labels never meet
        axes.set_xticklabels([label.replace(" ", "\n") for label in labels])


@style()
def line_by_month(
    months: Sequence[object] | pd.Series,
    values: Sequence[float] | pd.Series,
    *,
    fmt: Format = compact,
    ticks: Format = axis_text,
    complete: Sequence[bool] | pd.Series | None = None,
    show_q4: bool = True,
) -> Figure:
    """Return a zero-based line over months, each fourth quarter shaded, the last full month labelled.

    A month that is not complete is drawn as an open point at the end of a dotted line.
    """
    series = pd.Series(pd.to_numeric(pd.Series(list(values)), errors="coerce").to_numpy(float))
    gutter = label_inches([fmt(v) for v in series.dropna().tail(2)]) + 0.2
    axes = canvas(2.35, left=0.58, right=gutter, top=0.22, bottom=0.42)
    index = pd.PeriodIndex(pd.to_datetime(pd.Series(list(months))), freq="M")
    series.index = index
    whole = pd.Series(True if complete is None else list(complete), index=index).astype(bool)
    series = series[~series.index.duplicated(keep="last")].sort_index()
    if series.notna().sum() == 0:
        return _nothing(axes)
    span = pd.period_range(series.index.min(), series.index.max(), freq="M")
    whole = whole[~whole.index.duplicated(keep="last")].reindex(span, fill_value=True)
    series = series.reindex(span)
    x, y, full = np.arange(len(span)), series.to_numpy(), whole.to_numpy()
    solid = np.where(full, y, np.nan)
    _value_axis(axes, y, ticks)
    _month_axis(axes, span)
    if show_q4 and len(span) > 3:
        _shade_q4(axes, span)
    axes.fill_between(x, 0, solid, color=ACCENT, alpha=0.09, linewidth=0)
    axes.plot(x, y, color=MUTE, linewidth=1.0, linestyle=(0, (1, 2)))
    axes.plot(x, solid, color=ACCENT, linewidth=1.8)
    axes.plot(x[~full], y[~full], "o", color=MUTE, markerfacecolor=PAPER, markersize=4, clip_on=False)
    if np.isfinite(solid).any():
        last = int(np.flatnonzero(np.isfinite(solid))[-1])
        axes.plot(last, y[last], "o", color=ACCENT, markersize=4.5, clip_on=False)
        _write(axes, fmt(y[last]), (len(span) - 1, y[last]), 8, weight="bold", fontsize=9.5)
    axes.set_xlim(-0.5 if len(span) < 3 else -0.2, len(span) - (0.5 if len(span) < 3 else 0.8))
    return figure_of(axes)


def _shade_q4(axes: Axes, months: pd.PeriodIndex) -> None:
    ends = [i for i, month in enumerate(months) if month.quarter == 4]
    years = sorted({months[i].year for i in ends})
    for year in years:
        inside = [i for i in ends if months[i].year == year]
        axes.axvspan(inside[0] - 0.4, inside[-1] + 0.4, color=LINE, alpha=BAND, linewidth=0, zorder=0)
        if year == years[-1] or len(years) <= 6:
            middle = (inside[0] + inside[-1]) / 2
            place = axes.get_xaxis_transform()
            axes.text(middle, 1.01, "Q4", color=MUTE, ha="center", va="bottom", transform=place, fontsize=8.5)


@style()
def hbars(
    labels: Sequence[object],
    values: Sequence[float] | pd.Series,
    *,
    texts: Sequence[str] | None = None,
    fmt: Format = compact,
    highlight: Sequence[int] = (0,),
    warn: Sequence[int] = (),
    limit: int = 15,
) -> Figure:
    """Return zero-based horizontal bars with their values; rows beyond `limit` are only counted."""
    numbers = pd.to_numeric(pd.Series(list(values)), errors="coerce").to_numpy(float)
    shown = min(len(numbers), limit)
    names = [shorten(label) for label in list(labels)[:shown]]
    ends = [
        "no value" if np.isnan(v) else (texts[i] if texts is not None else fmt(v))
        for i, v in enumerate(numbers[:shown])
    ]
    foot = 0.28 if len(numbers) > shown else 0.06
    left, right = min(label_inches(names) + 0.12, 2.2), min(label_inches(ends) + 0.1, 2.2)
    axes = canvas(0.27 * max(shown, 2) + foot + 0.06, left=left, right=right, top=0.06, bottom=foot)
    if not shown or np.isnan(numbers[:shown]).all():
        return _nothing(axes)
    y, lengths = np.arange(shown), np.nan_to_num(numbers[:shown])
    colours = [BAD if i in warn else ACCENT if i in highlight else SOFT for i in range(shown)]
    axes.barh(y, lengths, color=colours, height=0.68)
    span = max(lengths.max(), 0) - min(lengths.min(), 0) or 1.0
    axes.set_xlim(
        min(lengths.min() - (0.02 * span if lengths.min() < 0 else 0), 0), max(lengths.max(), 0) or 0.1 * span
    )
    for i, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        weight = "bold" if i in highlight or i in warn else "normal"
        colour = MUTE if np.isnan(numbers[i]) else INK
        _write(axes, end, (max(length, 0), i), 4, color=colour, weight=weight)
    _rows_axis(axes, names)
    if lengths.min() < 0:
        axes.axvline(0, color=MUTE, linewidth=0.8)
    if len(numbers) > shown:
        place = (0.0, 0.06 / figure_of(axes).get_size_inches()[1])
        figure_of(axes).text(*place, f"The first {shown:,} of {len(numbers):,} are shown.", color=MUTE, fontsize=8.5)
    return figure_of(axes)


@style()
def waterfall(steps: Sequence[tuple[str, float, str]], *, fmt: Format = compact) -> Figure:
    """Return bars from one total to the next, from top to bottom; each step is (label, value, kind).

    A `total` is a bar from zero, a `change` a piece of the level so far, and `wrong` a total that does not follow.
    """
    names = [shorten(label, 22) for label, _, _ in steps]
    ends = [("+" if kind == "change" and value > 0 else "") + fmt(value) for _, value, kind in steps]
    left, right = label_inches(names) + 0.12, label_inches(ends) + 0.1
    axes = canvas(0.27 * max(len(steps), 2) + 0.12, left=left, right=right, top=0.06, bottom=0.06)
    if not steps:
        return _nothing(axes)
    colours = {"total": ACCENT, "change": SOFT, "wrong": BAD}
    level, reach = 0.0, 0.0
    for i, ((_, value, kind), end) in enumerate(zip(steps, ends, strict=True)):
        start = level if kind == "change" else 0.0
        level = start + value
        # What is too small to be seen has an edge all the same.
        axes.barh(i, level - start, left=start, height=0.68, color=colours[kind], edgecolor=colours[kind], linewidth=1)
        reach = max(reach, start, level)
        _write(axes, end, (max(start, level), i), color=INK, weight="normal" if kind == "change" else "bold")
        if i + 1 < len(steps):
            axes.plot([level, level], [i + 0.34, i + 0.66], color=MUTE, linewidth=0.8)
    axes.set_xlim(0, reach or 1.0)
    _rows_axis(axes, names)
    axes.axvline(0, color=LINE, linewidth=0.8)
    return figure_of(axes)


@style()
def heatmap(grid: pd.DataFrame) -> Figure:
    """Return weekday by hour cells (7 rows, 24 columns, in that order), darker for more."""
    import seaborn  # slow to import, and only this chart needs it

    axes = canvas(2.1, left=0.42, right=0.06, top=0.06, bottom=0.28)
    values = grid.to_numpy(float)
    if not np.isfinite(values).any():
        return _nothing(axes)
    ramp = LinearSegmentedColormap.from_list("accent", [mpl.colors.to_rgba(ACCENT, a) for a in (0.05, 1.0)])
    high = float(np.nanmax(values)) or 1.0
    seaborn.heatmap(
        values,
        ax=axes,
        cmap=ramp,
        vmin=0,
        vmax=high,
        cbar=False,
        linewidths=1.2,
        linecolor=PAPER,
        rasterized=False,
    )
    axes.set_xticks([0.5, 6.5, 12.5, 18.5, 23.5], ["0 h", "6", "12", "18", "23"], rotation=0)
    axes.set_yticks(np.arange(7) + 0.5, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], rotation=0)
    return figure_of(axes)


@style()
def concentration(
    shares: Sequence[float], revenue: Sequence[float], mark: tuple[float, float], who: str = "customers"
) -> Figure:
    """Return the curve of cumulated revenue over `who`, best first, with one point named (shares of 1)."""
    axes = canvas(2.6, left=0.58, right=0.2, top=0.12, bottom=0.45)

    def share(value: float, _: object = None) -> str:
        return f"{value * 100:.0f}\N{NO-BREAK SPACE}%"

    axes.fill_between(shares, 0, revenue, color=ACCENT, alpha=0.09, linewidth=0)
    axes.plot([0, 1], [0, 1], color=MUTE, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.plot(shares, revenue, color=ACCENT, linewidth=1.8)
    axes.plot([mark[0], mark[0]], [0, mark[1]], color=MUTE, linewidth=0.8)
    axes.plot(*mark, "o", color=ACCENT, markersize=5)
    text = f"{share(mark[0])} of {who}:\n{share(mark[1])} of revenue"
    # Both texts stand under the diagonal, where no line crosses them.
    axes.text(mark[0] + 0.02, 0.04, text, va="bottom", weight="bold")
    axes.text(0.98, 0.04, "dotted: if all were equal", color=MUTE, ha="right", va="bottom", fontsize=8.5)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1], [share(v) for v in (0, 0.2, 0.4, 0.6, 0.8, 1)])
    axes.set_yticks([0.25, 0.5, 0.75, 1], [share(v) for v in (0.25, 0.5, 0.75, 1)])
    axes.set_xlabel(f"{who}, highest revenue first", fontsize=8.5, loc="left")
    axes.grid(axis="y")
    return figure_of(axes)


@style()
def stacked(labels: Sequence[str], parts: Mapping[str, Sequence[float]]) -> Figure:
    """Return stacked columns, named beside the last one; the last part has the accent."""
    names = list(parts)
    gutter = label_inches(names, 9) + 0.14
    axes = canvas(2.35, left=0.58, right=gutter, top=0.12, bottom=0.42)
    rows = np.array([np.nan_to_num(np.asarray(list(parts[name]), dtype=float)) for name in names])
    count = len(labels)
    if not count:
        return _nothing(axes)
    base_up, base_down = np.zeros(count), np.zeros(count)
    colours = dict(zip(names, _shades(len(names)), strict=True))
    ends = []
    for name, row in zip(names, rows, strict=True):
        start = np.where(row >= 0, base_up, base_down)
        stop = start + row
        x = np.arange(count)
        boxes = np.stack(
            [np.c_[x - 0.38, start], np.c_[x - 0.38, stop], np.c_[x + 0.38, stop], np.c_[x + 0.38, start]], 1
        )
        axes.add_collection(PolyCollection(list(boxes), facecolor=colours[name], linewidth=0))
        base_up, base_down = np.where(row >= 0, stop, base_up), np.where(row < 0, stop, base_down)
        ends.append((start[-1] + stop[-1]) / 2)
    _value_axis(axes, np.concatenate([base_up, base_down, [0.0]]), axis_text, room=1.05)
    _name_ends(axes, count - 0.55, list(zip(names, ends, strict=True)), names[-1] if names else "", 5)
    axes.set_xlim(-0.6, count - 0.4)
    ticks = [i for i, label in enumerate(labels) if label]
    ticks = ticks[:: max(1, -(-len(ticks) // 7))]
    axes.set_xticks(ticks, [labels[i] for i in ticks])
    return figure_of(axes)


def _shades(count: int) -> list[str]:
    return {1: [ACCENT], 2: [SOFT, ACCENT]}.get(count, [LINE] * (count - 2) + [SOFT, ACCENT])


@style()
def dumbbells(
    labels: Sequence[object], before: Sequence[float], after: Sequence[float], names: tuple[str, str]
) -> Figure:
    """Return two shares (of 1) a row, joined: the first open, the second filled, called by `names`."""
    rows = [shorten(label) for label in labels]
    ends = [f"{a * 100:.0f} → {b * 100:.0f}\N{NO-BREAK SPACE}%" for a, b in zip(before, after, strict=True)]
    left, right = label_inches(rows) + 0.12, label_inches(ends, 9) + 0.12
    axes = canvas(0.29 * max(len(rows), 2) + 0.36, left=left, right=right, top=0.3, bottom=0.06)
    if not rows:
        return _nothing(axes)
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        axes.plot([a, b], [i, i], color=SOFT, linewidth=2.4, zorder=1)
        axes.plot(a, i, "o", color=MUTE, markerfacecolor=PAPER, markersize=6)
        axes.plot(b, i, "o", color=ACCENT, markersize=6)
    high = max([*before, *after]) or 1.0
    axes.set_xlim(min(0.0, *before, *after) - 0.03 * high, 1.03 * high)
    for i, end in enumerate(ends):
        place = axes.get_yaxis_transform()
        axes.text(1.0, i, " " + end, va="center", fontsize=9, transform=place)
    _rows_axis(axes, rows)
    axes.grid(axis="y")
    fig = figure_of(axes)
    top, second = 1 - 0.12 / fig.get_size_inches()[1], left + label_inches([names[0]], 9) + 0.35
    fig.text(left / WIDTH, top, f"○ {names[0]}", color=MUTE, fontsize=9, va="center")
    fig.text(second / WIDTH, top, f"● {names[1]}", color=ACCENT, fontsize=9, va="center")
    return fig


@style()
def band_by_day(
    days: Sequence[object] | pd.Series,
    values: Sequence[float] | pd.Series,
    low: Sequence[float] | pd.Series,
    high: Sequence[float] | pd.Series,
    unusual: Sequence[bool] | pd.Series,
    *,
    named: int = 3,
    fmt: Format = compact,
) -> Figure:
    """Return a zero-based line over days above the band it is expected in, which may have gaps.

    Unusual days are points; the `named` farthest from the band carry their day and value.
    """
    axes = canvas(2.35, left=0.58, right=0.14, top=0.3, bottom=0.42)
    span = pd.DatetimeIndex(pd.to_datetime(pd.Series(list(days))))
    y, floor, roof = (pd.to_numeric(pd.Series(list(v)), errors="coerce").to_numpy(float) for v in (values, low, high))
    if not np.isfinite(y).any():
        return _nothing(axes)
    x = (span - span.min()).days.to_numpy()
    marked = np.asarray(list(unusual), dtype=bool) & np.isfinite(y)
    _value_axis(axes, np.concatenate([y, roof[np.isfinite(roof)], [0.0]]), axis_text, room=1.08)
    _day_axis(axes, span)
    axes.fill_between(x, floor, roof, where=list(np.isfinite(floor)), color=SOFT, alpha=0.5, linewidth=0)
    axes.plot(x, y, color=MUTE, linewidth=1.1)
    axes.plot(x[marked], y[marked], "o", color=BAD, markersize=5.5, clip_on=False)
    beyond = np.where(marked, np.fmax(np.nan_to_num(floor) - y, y - np.nan_to_num(roof, nan=np.inf)), -np.inf)
    reach = max(int(x.max()), 1)
    taken: list[int] = []
    for i in np.argsort(-beyond)[: int(marked.sum())]:
        if len(taken) == named:
            break
        if any(abs(x[i] - other) < 0.22 * reach for other in taken):
            continue  # its name would run into another's
        taken.append(int(x[i]))
        side = "left" if x[i] < 0.1 * reach else "right" if x[i] > 0.9 * reach else "center"
        above = y[i] >= np.nan_to_num(roof[i], nan=0.0) or y[i] < 0.12 * axes.get_ylim()[1]
        text, up, va = f"{span[i].day} {span[i]:%b}: {fmt(y[i])}", 6 if above else -6, "bottom" if above else "top"
        box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1}
        _write(axes, text, (x[i], y[i]), 0, up, ha=side, va=va, weight="bold", bbox=box)
    axes.set_xlim(-0.5, reach + 0.5)
    axes.tick_params(axis="x", pad=6)
    return figure_of(axes)


def _day_axis(axes: Axes, days: pd.DatetimeIndex) -> None:
    """Name days of up to six weeks, months of up to two years, else years."""
    first, last = days.min(), days.max()
    if (last - first).days <= 45:
        ticks = pd.date_range(first, last, freq="7D")
        labels = [f"{t.day} {t:%b}" for t in ticks]
    elif (last - first).days <= 750:
        ticks = pd.date_range(first, last, freq="MS")
        ticks = ticks[:: -(-len(ticks) // 8)]
        labels = [f"{t:%b}\n{t.year}" if i == 0 or t.month == 1 else f"{t:%b}" for i, t in enumerate(ticks)]
    else:
        ticks = pd.date_range(first, last, freq="YS")
        ticks = ticks[:: -(-len(ticks) // 8)]
        labels = [str(t.year) for t in ticks]
    axes.set_xticks([(t - first).days for t in ticks], labels)


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
    rows = {main[0]: np.asarray(main[1], dtype=float)} | {k: np.asarray(v, dtype=float) for k, v in others.items()}
    names = {n: f"{n} {points(row[-1])}" if len(row) and np.isfinite(row[-1]) else n for n, row in rows.items()}
    gutter = label_inches(list(names.values()), 9) + 0.2
    axes = canvas(2.35, left=0.46, right=gutter, top=0.14, bottom=0.42)
    values = np.concatenate([*rows.values()]) if rows else np.array([])
    if not np.isfinite(values).any():
        return _nothing(axes)
    low = max(np.floor(np.nanmin(values) - 0.6), 0.0)
    axes.set_ylim(low, 100 + 0.04 * (100 - low))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.grid(axis="y")
    axes.spines["bottom"].set_visible(False)
    x = np.arange(len(labels))
    for name, row in rows.items():
        first = name == main[0]
        axes.plot(x, row, color=ACCENT if first else SOFT, linewidth=2.0 if first else 1.1, zorder=3 if first else 2)
        last = np.flatnonzero(np.isfinite(row))
        axes.plot(x[last[-1:]], row[last[-1:]], "o", color=ACCENT if first else SOFT, markersize=5 if first else 3)
    ends = [float(row[np.isfinite(row)][-1]) if np.isfinite(row).any() else low for row in rows.values()]
    _name_ends(axes, len(labels) - 1, list(zip(names.values(), ends, strict=True)), names.get(main[0], ""), 8)
    if least is not None and least > low:
        axes.axhline(least, color=BAD, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.text(0, least, "the gate asks for this", color=BAD, fontsize=8.5, va="bottom")
    axes.set_xlim(-0.2, len(labels) - 0.8)
    step = -(-len(labels) // 5)
    axes.set_xticks(list(x[::step]), list(labels)[::step])
    axes.tick_params(axis="x", pad=9)
    return figure_of(axes)
