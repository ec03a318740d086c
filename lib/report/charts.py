"""One plotting style, and what a figure becomes: an inline SVG for pages, one that stands alone, and a PNG for mail.

A figure is drawn in the light palette. In the SVG each colour becomes a CSS variable with that colour as its fallback,
so one picture serves light, dark, print and screen readers. The plots are in `lib.report.plots`; `lib.report.insight`
puts a figure and its words together.
"""

import io
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from textwrap import wrap

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from lib.report.pieces import TEMPLATES

LIGHT = {"ink": "#1b1d1f", "mute": "#666b71", "line": "#e4e4df", "paper": "#ffffff"}
LIGHT |= {"accent": "#0b6e99", "accent-soft": "#a9c7d6", "good": "#2f7d4f", "bad": "#b3432b"}
DARK = {"ink": "#e8e8e4", "mute": "#a2a8ae", "line": "#32363a", "paper": "#16181a"}
DARK |= {"accent": "#5fb3d9", "accent-soft": "#2f5c73", "good": "#7cc495", "bad": "#e58a72"}
ROLES = {colour: role for role, colour in LIGHT.items()}
INK, MUTE, LINE, PAPER, ACCENT, SOFT, GOOD, BAD = LIGHT.values()
FONTS = "system-ui, -apple-system, 'Segoe UI', Inter, 'DejaVu Sans', sans-serif"


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's plotting style to what is drawn inside the block, or by the function it decorates."""
    with mpl.style.context(TEMPLATES / "shop.mplstyle"):
        yield


def plain(value: object, *, keep_lines: bool = False) -> str:
    """Return any value as text that XML can hold: no control characters, no changes of direction."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    text = re.sub(r"[\u202a-\u202e\u2066-\u2069\ufffe\uffff]", "", text)
    text = "".join(" " if unicodedata.category(c) == "Cc" and c != "\n" else c for c in text)
    return text if keep_lines else text.replace("\n", " ")


def shorten(value: object, width: int = 26) -> str:
    """Return a label of at most `width` characters."""
    text = plain(value).strip()
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def to_svg(fig: Figure, name: str, alt: str) -> str:
    """Return a figure as an SVG for a page, with `alt` as its alternative text; `name` makes its ids unique there."""
    for text in fig.findobj(Text):
        text.set_parse_math(False)
        text.set_text(plain(text.get_text(), keep_lines=True))
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :].strip(), flags=re.S)
    used = {first or second for first, second in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)}

    def rewrite(tag: re.Match[str]) -> str:
        out = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", tag[0])
        out = out.replace("'DejaVu Sans'", FONTS)
        return re.sub(r"#[0-9a-f]{6}\b", lambda m: f"var(--{ROLES[m[0]]}, {m[0]})" if m[0] in ROLES else m[0], out)

    svg = re.sub(r"<[^>!?][^>]*>", rewrite, svg)  # text between tags is data and is left alone
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    # The label names the marks as a whole; the texts in them would be read number by number.
    label = escape(alt)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).replace(">", f"><title>{label}</title>", 1)
    return re.sub(r"\s*\n\s*", "\n", svg)


def standalone(svg: str) -> str:
    """Return the SVG as a file of its own: it brings its colours along, as no page gives them."""
    light, dark = ("".join(f"--{role}:{colour};" for role, colour in palette.items()) for palette in (LIGHT, DARK))
    colours = f"svg{{{light}background:var(--paper);color-scheme:light dark}}"
    css = f"{colours}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}"
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return head + svg.replace("</title>", f"</title><style>{css}</style>", 1) + "\n"


def save_png(fig: Figure, path: Path, title: str, subtitle: str) -> None:
    """Write a figure with its title and subtitle above it."""
    width, height = fig.get_size_inches()
    lines = wrap(title, 58)
    fig.text(0, 1 + 0.10 / height, shorten(subtitle, 90), color=MUTE, va="bottom", fontsize=9)
    fig.text(0, 1 + 0.30 / height, "\n".join(lines), color=INK, va="bottom", fontsize=11, weight="bold")
    # Stated, as to measure what was drawn would be to draw it twice.
    box = Bbox([[-0.12, -0.12], [width + 0.12, height + 0.42 + 0.19 * len(lines)]])
    fig.savefig(path, format="png", dpi=110, facecolor=PAPER, bbox_inches=box, metadata={"Software": None})
