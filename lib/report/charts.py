"""One plotting style, and every figure saved with its words: SVG for pages, PNG for mail, CSV of the data.

A figure is drawn in the light palette. On export to SVG each colour becomes a CSS variable with that
colour as its fallback, so one picture serves light, dark, print and screen readers. The plots are in
`lib.report.plots`, what a chart says is computed in `lib.insights.sales`, the parts of a page are in
`lib.report.pieces`.
"""

import io
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from lib.report.pieces import Html, table

INK, MUTE, LINE, PAPER = "#1b1d1f", "#666b71", "#e4e4df", "#ffffff"


ACCENT, SOFT, GOOD, BAD = "#0b6e99", "#a9c7d6", "#2f7d4f", "#b3432b"


ROLES = {INK: "ink", MUTE: "mute", LINE: "line", PAPER: "paper"} | {
    ACCENT: "accent",
    SOFT: "accent-soft",
    GOOD: "good",
    BAD: "bad",
}


DARK = {"ink": "#e8e8e4", "mute": "#a2a8ae", "line": "#32363a", "paper": "#16181a"} | {
    "accent": "#5fb3d9",
    "accent-soft": "#2f5c73",
    "good": "#7cc495",
    "bad": "#e58a72",
}


WIDTH = 5.4  # inches; about 390 px, so that text stays readable on a phone


FONTS = "system-ui, -apple-system, 'Segoe UI', Inter, 'DejaVu Sans', sans-serif"


TABLE_ROWS = 24


_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shop-analytics",
    "text.parse_math": False,  # product names hold dollar signs
    "font.family": ["DejaVu Sans"],  # wide, and always there: what fits in it fits in the page's own font
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTE,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTE,
    "ytick.color": MUTE,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@dataclass(frozen=True, repr=False, kw_only=True)
class Chart(Html):
    """A saved figure as a piece of a page: its words, its inline SVG, and the files it was written to."""

    name: str
    title: str
    subtitle: str
    alt: str
    svg: str
    query: str | None
    files: dict[str, Path]


def save_chart(
    fig: Figure,
    name: str,
    *,
    title: str,
    subtitle: str,
    alt: str,
    data: pd.DataFrame | None = None,
    query: str | None = None,
    folder: Path | None = None,
) -> Chart:
    """Export `fig`, close it, and return it as a `Chart`; write SVG, PNG and CSV where there is a folder."""
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "chart"
    title, subtitle, alt = plain(title), plain(subtitle), plain(alt)
    files: dict[str, Path] = {}
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's browser has the font
        for text in fig.findobj(Text):
            text.set_parse_math(False)
            text.set_text(plain(text.get_text(), keep_lines=True))
        svg = _svg(fig, name, alt)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            files = {kind: folder / f"{name}.{kind}" for kind in ("svg", "png")}
            files["svg"].write_text(_standalone(svg), encoding="utf-8")
            _save_png(fig, files["png"], title, subtitle)
            if data is not None:
                files["csv"] = folder / f"{name}.csv"
                data.to_csv(files["csv"], index=False, lineterminator="\n")
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(fig)
    html = (
        f'<figure class="chart" id="chart-{name}"><figcaption><h3>{escape(title)}</h3>'
        f"<p>{escape(subtitle)}</p></figcaption>{svg}{_details(data, query)}</figure>"
    )
    return Chart(
        html=html,
        text=f"{title} ({subtitle})",
        name=name,
        title=title,
        subtitle=subtitle,
        alt=alt,
        svg=svg,
        query=query,
        files=files,
    )


def _details(data: pd.DataFrame | None, query: str | None) -> str:
    """Return the data and the query behind a chart, folded."""
    code = f"<pre><code>{escape(query.strip())}</code></pre>" if query else ""
    rows = table(data, limit=TABLE_ROWS).html if data is not None else ""
    label = " and ".join(["Data"] * bool(rows) + ["query"] * bool(code)).capitalize()
    return f"<details><summary>{label}</summary>{code}{rows}</details>" if label else ""


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's plotting style to what is drawn inside the block."""
    with mpl.rc_context(_STYLE):
        yield


def plain(value: object, *, keep_lines: bool = False) -> str:
    """Return any value as text that XML can hold: no control characters, no changes of direction."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    text = re.sub(r"[\u202a-\u202e\u2066-\u2069\ufffe\uffff]", "", text)
    text = "".join(c if c == "\n" or unicodedata.category(c) != "Cc" else " " for c in text)
    return text if keep_lines else " ".join(text.split(" ")).replace("\n", " ")


def shorten(value: object, width: int = 26) -> str:
    """Return a label of at most `width` characters."""
    text = plain(value).strip()
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _svg(fig: Figure, name: str, alt: str) -> str:
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    keep = {first or second for first, second in used}

    def tag(match: re.Match[str]) -> str:
        """Rewrite one tag; text between tags is data and is left alone."""
        out = match[0]
        out = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in keep else "", out)
        out = re.sub(r'href="#', f'href="#{name}-', out)
        out = re.sub(r"url\(#", f"url(#{name}-", out)
        out = out.replace("'DejaVu Sans'", FONTS)
        return re.sub(r"#[0-9a-f]{6}\b", lambda m: _variable(m[0]), out)

    text = re.sub(r"<[^>!?][^>]*>", tag, text)
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]*"| height="[^"]*"(?=[^>]*viewBox)', r"\1", text, count=2)
    text = re.sub(r"\s*\n\s*", "\n", text)
    # The marks are named as a whole by the label; the text in them would be read number by number.
    label = escape(alt)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).replace(">", f"><title>{label}</title>", 1)


def _variable(colour: str) -> str:
    return f"var(--{ROLES[colour]}, {colour})" if colour in ROLES else colour


def _standalone(svg: str) -> str:
    """Return the SVG as a file of its own: it brings its colours along, as no page gives them."""
    light = "".join(f"--{role}:{colour};" for colour, role in ROLES.items())
    dark = "".join(f"--{role}:{colour};" for role, colour in DARK.items())
    css = (
        f"svg{{{light}background:var(--paper);color-scheme:light dark}}"
        f"@media (prefers-color-scheme:dark){{svg{{{dark}}}}}"
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return head + svg.replace("</title>", f"</title><style>{css}</style>", 1) + "\n"


def _save_png(fig: Figure, path: Path, title: str, subtitle: str) -> None:
    height = float(fig.get_size_inches()[1])
    lines = wrap(title, 62) or [""]
    fig.text(0, 1 + 0.10 / height, shorten(subtitle, 90), color=MUTE, va="bottom", fontsize=9)
    fig.text(0, 1 + 0.30 / height, "\n".join(lines), color=INK, va="bottom", fontsize=11, weight="bold")
    with mpl.rc_context({"savefig.pad_inches": 0.12, "savefig.bbox": "tight"}):
        fig.savefig(path, format="png", dpi=110, facecolor=PAPER, metadata={"Software": None})


def canvas(height: float, *, left: float = 0.1, right: float = 0.1, top: float = 0.1, bottom: float = 0.25) -> Axes:
    """Return the axes of a new figure of the common width; all measures in inches."""
    box = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    with style():
        fig = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(fig)
        return fig.add_axes(box)


def figure_of(axes: Axes) -> Figure:
    """Return the figure that holds `axes`."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def label_inches(labels: Sequence[str], size: float = 9.5) -> float:
    """Return about how wide the longest label is drawn."""

    def wide(text: str) -> float:
        return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.6 for c in text)

    return max((wide(label) for label in labels), default=0.0) * size / 72
