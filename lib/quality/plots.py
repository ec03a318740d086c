"""The plots of the quality page: days in the band they are expected in, scores by run, the way from total to total.

As in `lib.report.plots`, each takes a few values and returns a figure, readable with no row, one row or hundreds.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.base.formatting import axis as axis_text
from lib.base.formatting import compact, points
from lib.report.charts import ACCENT, BAD, INK, LINE, MUTE, PAPER, SOFT, canvas, figure_of, label_inches, shorten, style
from lib.report.plots import Format, apart, nothing, value_axis


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
        return nothing(axes)
    x = (span - span.min()).days.to_numpy()
    marked = np.asarray(list(unusual), dtype=bool) & np.isfinite(y)
    value_axis(axes, np.concatenate([y, roof[np.isfinite(roof)], [0.0]]), axis_text, room=1.08)
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
        axes.annotate(
            f"{span[i].day} {span[i]:%b}: {fmt(y[i])}",
            (x[i], y[i]),
            (0, 6 if above else -6),
            textcoords="offset points",
            ha=side,
            va="bottom" if above else "top",
            fontsize=9,
            weight="bold",
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1},
        )
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
    names = {
        name: f"{name} {points(row[-1])}" if np.isfinite(row[-1]) else name for name, row in rows.items() if len(row)
    }
    gutter = label_inches(list(names.values()), 9) + 0.2
    axes = canvas(2.35, left=0.46, right=gutter, top=0.14, bottom=0.42)
    values = np.concatenate([*rows.values()]) if rows else np.array([])
    if not np.isfinite(values).any():
        return nothing(axes)
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
    bottom, top = axes.get_ylim()
    ends = [float(row[np.isfinite(row)][-1]) if np.isfinite(row).any() else low for row in rows.values()]
    places = _below(apart(ends, (top - bottom) * 0.09), (top - bottom) * 0.09, top)
    for name, place in zip(rows, places, strict=True):
        strong = name == main[0]
        axes.annotate(
            names[name],
            (len(labels) - 1, place),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=ACCENT if strong else MUTE,
            weight="bold" if strong else "normal",
            annotation_clip=False,
        )
    if least is not None and least > bottom:
        axes.axhline(least, color=BAD, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.text(0, least, "the gate asks for this", color=BAD, fontsize=8.5, va="bottom")
    axes.set_xlim(-0.2, len(labels) - 0.8)
    step = -(-len(labels) // 5)
    axes.set_xticks(list(x[::step]), list(labels)[::step])
    axes.tick_params(axis="x", pad=9)
    return figure_of(axes)


def _below(places: Sequence[float], gap: float, top: float) -> list[float]:
    """Return the places, those above `top` moved down to it, and others from under them."""
    out = list(places)
    for i in sorted(range(len(out)), key=out.__getitem__, reverse=True):
        out[i] = min(out[i], top)
        top = out[i] - gap
    return out


@style()
def cascade(steps: Sequence[tuple[str, float, str]], *, fmt: Format = compact) -> Figure:
    """Return a waterfall from top to bottom, for many steps with long names; each is (label, value, kind).

    A `total` is a bar from zero, a `change` a piece of the level so far, and `wrong` a total that does not follow.
    """
    names = [shorten(label, 22) for label, _, _ in steps]
    ends = [("+" if kind == "change" and value > 0 else "") + fmt(value) for _, value, kind in steps]
    left, right = label_inches(names) + 0.12, label_inches(ends) + 0.1
    axes = canvas(0.27 * max(len(steps), 2) + 0.12, left=left, right=right, top=0.06, bottom=0.06)
    if not steps:
        return nothing(axes)
    colours = {"total": ACCENT, "change": SOFT, "wrong": BAD}
    level, reach = 0.0, 0.0
    for i, ((_, value, kind), end) in enumerate(zip(steps, ends, strict=True)):
        start = level if kind == "change" else 0.0
        level = start + value
        # What is too small to be seen has an edge all the same.
        axes.barh(i, level - start, left=start, height=0.68, color=colours[kind], edgecolor=colours[kind], linewidth=1)
        reach = max(reach, start, level)
        place, weight = (max(start, level), i), "normal" if kind == "change" else "bold"
        axes.annotate(end, place, (5, 0), textcoords="offset points", va="center", color=INK, weight=weight, fontsize=9)
        if i + 1 < len(steps):
            axes.plot([level, level], [i + 0.34, i + 0.66], color=MUTE, linewidth=0.8)
    axes.set_xlim(0, reach or 1.0)
    axes.set_yticks(range(len(steps)), names)
    axes.set_ylim(max(len(steps), 2) - 0.5, -0.5)
    axes.xaxis.set_visible(False)
    axes.axvline(0, color=LINE, linewidth=0.8)
    axes.spines["bottom"].set_visible(False)
    return figure_of(axes)
