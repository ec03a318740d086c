"""What a reader sees around the charts: small pieces that a notebook displays and that pages are made of.

The pieces (`kpis`, `table`, `dims`, ...) show the same in JupyterLab, light or dark, and on a page. All that comes from
data is escaped here. Numbers become words in `lib.base.formatting`; the markup is in `lib/report/templates`, pages are
made in `lib.report.pages`.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from lib.base import formatting

TEMPLATES = Path(__file__).parent / "templates"
LONG = 24  # characters from which a cell of a table is broken into lines on a phone
Tone = Literal["good", "bad", "neutral"]
#: How a column is written: a format specification such as ",.1f", or a function.
Format = str | Callable[[Any], str]
#: Marks an output in a notebook's JSON as one of these pieces. The value is what a page must know of it: the parts of a
#: headline, nothing of others.
PIECE = "shop_piece"


@dataclass(frozen=True, repr=False)
class Html:
    """A piece of a page that a notebook can display: its HTML, and text for a terminal, by default that of the HTML."""

    html: str
    text: str = ""
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text or Markup(self.html).striptags())

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        html = styles() + self.html if self.html else ""
        return {"text/html": html, "text/plain": self.text}, {PIECE: dict(self.about)}

    def __repr__(self) -> str:
        return self.text

    def __bool__(self) -> bool:
        return bool(self.html)


NOTHING = Html("")


@dataclass(frozen=True)
class Kpi:
    """A key figure: what it is, its value, how it changed (and whether that is good), its recent course."""

    label: str
    value: str
    change: str = ""
    tone: Tone = "neutral"
    spark: Sequence[float] = ()
    note: str = ""


@dataclass(frozen=True)
class Action:
    """Something to do: a short command, and the sentence with the number that calls for it."""

    what: str
    why: str


def kpis(items: Sequence[Kpi], caption: str = "") -> Html:
    """Return a strip of key figures below what they are about; nothing where there are none."""
    return Html(render("kpis.html.j2", items=items, caption=caption)) if items else NOTHING


def there_is(words: Collection[str]) -> Html:
    """Return what tells the page which of the notebook's sentences hold for this shop: nothing to see.

    Prose in `<span data-has="returns costs">...</span>` is left out of the page where one of the words is not among
    these, or one that is written `no-costs` is.
    """
    return Html("", "", {"has": " ".join(sorted(words)) or "nothing"})


def remarks(items: Sequence[str]) -> Html:
    """Return a list of sentences, nothing where there are none; `**bold**` and `` `code` `` are understood."""
    rows = "".join(f"<li>{rich(item)}</li>" for item in items)
    return Html(f'<ul class="remarks">{rows}</ul>', "\n".join(items)) if items else NOTHING


def table(
    frame: pd.DataFrame,
    caption: str = "",
    note: str = "",
    *,
    formats: Mapping[str, Format] | None = None,
    mark: Collection[tuple[int, str]] = (),
    limit: int = 50,
    count: bool = True,
    fold: int | None = None,
    anchors: Mapping[int, str] | None = None,
    empty: str = "",
) -> Html:
    """Return a table of the first `limit` rows, or the remark `empty` where there are none.

    `mark` holds (row position, column) of cells that fail. Without `count` the caption states the number of rows only
    where some are left out. Rows beyond the first `fold` are shown on request, and in print; `anchors` gives row
    positions an id that links can name. A cell may be an `Html`.
    """
    if empty and not len(frame):
        return Html(f'<p class="note">{rich(empty)}</p>', empty)
    columns, formats = [str(column) for column in frame.columns], formats or {}
    numeric = [_is_numeric(frame.iloc[:, i]) for i in range(len(columns))]
    rows = []
    for position, row in enumerate(frame.head(limit).itertuples(index=False, name=None)):
        cells = []
        for column, value, is_number in zip(columns, row, numeric, strict=True):
            text, bad = _text(value, column, formats.get(column)), (position, column) in mark
            kinds = {"r": is_number, "bad": bad, "long": not is_number and len(text) > LONG}
            # A value that is missing where it should be there says so in a word.
            text = "none" if bad and text == formatting.DASH else text
            cells.append({"text": text, "kind": " ".join(kind for kind, is_so in kinds.items() if is_so)})
        rows.append({"id": (anchors or {}).get(position), "cells": cells})
    size = formatting.count(len(frame), "row") if count or len(rows) < len(frame) else ""
    size = f"{len(rows):,} of {size}" if len(rows) < len(frame) else size
    # To fold away one row or two saves nobody anything.
    first = len(rows) if fold is None or len(rows) <= fold + 2 else fold
    heads = [{"text": c.replace("_", " "), "numeric": n} for c, n in zip(columns, numeric, strict=True)]
    bodies = [rows[:first], rows[first:]]
    html = render("table.html.j2", heads=heads, bodies=bodies, caption=caption, size=size, note=note)
    return Html(html, f"{caption or 'Table'} ({size})" if size else caption or "Table")


def joined(*parts: Html | None) -> Html:
    """Return the parts one below the other."""
    full = [part for part in parts if part]
    return Html("".join(part.html for part in full), "\n".join(part.text for part in full))


def fold(summary: str, *parts: Html | None) -> Html:
    """Return the parts behind a line that opens them, nothing where all are empty; in print they are open."""
    html = joined(*parts).html
    return (
        Html(f'<details class="fold"><summary>{rich(summary)}</summary>{html}</details>', summary) if html else NOTHING
    )


def link(anchor: str, text: str, before: str = "") -> Html:
    """Return a link to a place on the same page, after the words before it."""
    return Html(f'{escape(before)}<a href="#{escape(anchor)}">{escape(text)}</a>')


def note(text: str) -> Html:
    """Return a remark set apart; `**bold**` and `` `code` `` are understood."""
    return Html(f'<p class="note">{rich(text)}</p>', text)


def verdict(text: str, tone: Tone = "neutral") -> Html:
    """Return a judgement in one or two sentences."""
    return Html(f'<p class="verdict {tone}">{rich(text)}</p>', text)


def headline(title: str, lede: str = "", marks: Sequence[str | tuple[str, Tone]] = ()) -> Html:
    """Return what a whole notebook has found, with marks below; on its page it becomes the main heading."""
    about = {"title": title, "lede": rich(lede), "badges": badges(marks).html if marks else ""}
    below = f'<p class="lede">{about["lede"]}</p>' if lede else ""
    html = f'<div class="headline"><p class="finding">{escape(title)}</p>{below}{about["badges"]}</div>'
    return Html(html, f"{title}\n{lede}", about)


def actions(items: Sequence[Action]) -> Html:
    """Return a numbered list of what to do and why."""
    rows = "".join(f"<li><b>{escape(item.what)}</b> {rich(item.why)}</li>" for item in items)
    return Html(f'<ol class="acts">{rows}</ol>')


def badges(items: Sequence[str | tuple[str, Tone]]) -> Html:
    """Return short facts in frames; a pair adds the tone."""
    pairs = [(item, "neutral") if isinstance(item, str) else item for item in items]
    html = " ".join(f'<span class="badge {tone}">{escape(text)}</span>' for text, tone in pairs)
    return Html(f'<p class="badges">{html}</p>')


def score_bars(scores: Mapping[str, float | None], least: float | Mapping[str, float] | None = None) -> Html:
    """Return a bar a name for scores from 0 to 100, with a tick at the least it must reach, if any.

    `least` is one threshold for all, or one by name; a score below its own is marked.
    """
    rows = []
    for name, score in ((name, as_score(value)) for name, value in scores.items()):
        needed = least.get(name) if isinstance(least, Mapping) else least
        is_low = needed is not None and score is not None and score < needed
        rows.append({"name": name, "score": score, "bad": is_low, "least": needed})
    return Html(render("score_bars.html.j2", rows=rows))


def score_grid(frame: pd.DataFrame, caption: str, head: str = "") -> Html:
    """Return scores (0 to 100) by the frame's index and columns, the more tinted the lower; a gap stays empty."""
    rows = [(name, map(as_score, values)) for name, values in zip(frame.index, frame.to_numpy(), strict=True)]
    return Html(render("grid.html.j2", rows=rows, heads=frame.columns, caption=caption, head=head), caption)


def rich(text: str) -> Markup:
    """Return escaped text with `**bold**` and `` `code` `` as markup."""
    safe = str(escape(text))
    safe = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", safe)
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", safe))


@lru_cache
def styles() -> str:
    """Return the styles that each piece brings along in a notebook; a page of ours has them once, at its top."""
    return f"<style>{_css('embed.css')}{_css('parts.css')}</style>"


def tint(score: float) -> int:
    """Return how strongly a score is tinted, in percent: not at all at 100, fully from 60 down, steps below 1 seen."""
    return 0 if score > 99.995 else round(6 + 54 * math.sqrt(min(100 - score, 40.0) / 40))


def as_score(value: Any) -> float | None:
    """Return a score as a number, None where it is none."""
    amount = formatting.as_float(value)
    return amount if math.isfinite(amount) else None


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.infer_dtype(column) in ("integer", "floating", "decimal", "mixed-integer-float")


def _text(value: Any, column: str, spec: Format | None) -> str:
    """Return what a cell of a table says."""
    if isinstance(value, Html):
        return Markup(value.html)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return formatting.DASH
    if spec:
        return format(value, spec) if isinstance(spec, str) else str(spec(value))
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    if pd.api.types.is_integer(value):
        return str(value) if column == "year" or column.endswith("_id") else formatting.number(value)
    if isinstance(value, float | Decimal):
        whole = isinstance(value, float) and value.is_integer()
        return formatting.number(value, 3 if 0 < abs(float(value)) < 1 else 0 if whole else 2)
    if isinstance(value, pd.Timestamp) and value.tz is None and value == value.normalize():
        value = value.date()
    return formatting.when(value) if isinstance(value, date) else str(value)


def spark(values: Sequence[float]) -> Markup:
    """Return a small line without axes, its last point marked; empty below two values."""
    known = [(i, value) for i, value in enumerate(map(formatting.as_float, values)) if math.isfinite(value)]
    if len(known) < 2:
        return Markup("")
    low, high, last = min(v for _, v in known), max(v for _, v in known), known[-1][0]
    heights = ((v - low) / (high - low) if high > low else 0.5 for _, v in known)
    points = [f"{2 + 114 * i / last:.1f},{24 - 20 * height:.1f}" for (i, _), height in zip(known, heights, strict=True)]
    x, y = points[-1].split(",")
    return Markup(
        '<svg class="spark" viewBox="0 0 120 28" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="var(--mute, #666b71)" stroke-width="1.4"/>'
        f'<circle cx="{x}" cy="{y}" r="2.4" fill="var(--accent, #0b6e99)"/></svg>'
    )


@lru_cache
def _css(name: str) -> str:
    text = re.sub(r"/\*.*?\*/", "", (TEMPLATES / name).read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s*\n\s*", "", text)


@lru_cache
def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,  # any field of a run may be missing
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def filter_of(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda value, *rest: function(None if isinstance(value, jinja2.Undefined) else value, *rest)

    names = ("number", "points", "rate", "duration", "when")
    functions = {name: getattr(formatting, name) for name in names} | {"rich": rich, "spark": spark, "tint": tint}
    env.filters |= {name: filter_of(function) for name, function in functions.items()}
    env.globals |= {"css": lambda name: Markup(_css(name))}
    return env


def render(name: str, **values: Any) -> str:
    """Return a template of `templates/` with its values."""
    return _environment().get_template(name).render(**values).strip()
