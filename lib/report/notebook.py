"""An executed notebook as the body of a page: prose and outputs, no code, no logs, no stack traces.

nbconvert turns the prose into HTML. Pieces of `lib.report.pieces` are marked in their output's metadata; other
outputs are shown as they are. The page around the body is in `lib.report.pages`.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup, escape
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from lib.report.pieces import PIECE, styles

#: Tags of cells that the page leaves out; papermill marks the notices of its own that it puts in.
LEFT_OUT = {"hide-report", "papermill-error-cell-tag"}


@dataclass
class Section:
    """A heading and what is below it; `shown` states for each code cell whether it displays anything."""

    anchor: str = ""
    title: str = ""
    html: str = ""
    shown: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class Body:
    """What a page needs of a notebook: its title and introduction, the computed headline, the sections."""

    title: str
    intro: Markup
    headline: Mapping[str, str]
    sections: list[Section]

    @property
    def html(self) -> Markup:
        return Markup("\n".join(section.html for section in self.sections).strip())


class _Prose(IPythonRenderer):
    """Renders Markdown; removes the first main heading, and begins a section at each heading of the second level."""

    def __init__(self) -> None:
        super().__init__(escape=False)
        self.title = ""
        self.sections = [Section()]

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        title = str(Markup(text).striptags())
        if level == 1 and not self.title:
            self.title = title
            return ""
        if level != 2:
            return str(super().heading(text, level, **attributes))
        anchor = re.sub(r"[^\w]+", "-", title.lower()).strip("-") or "section"
        if anchor in {section.anchor for section in self.sections}:
            anchor += f"-{len(self.sections)}"
        self.sections.append(Section(anchor, title))
        return f'<h2 id="{anchor}">{text}</h2>\n'


def read_notebook(path: Path) -> Body:
    """Return the parts of the executed notebook at `path`.

    A section whose code cells show nothing is left out: it is about what this shop does not have.
    """
    prose, intro = _Prose(), ""
    headline: Mapping[str, str] = {}
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    there = next((about["has"].split() for about in map(_about, outputs) if "has" in about), None)
    for cell in cells:
        if LEFT_OUT & set(cell.metadata.get("tags", [])):
            continue
        if cell.cell_type == "markdown":
            source = _that_holds(cell.source, there)
            titled, html = prose.title, MarkdownWithMath(renderer=prose).render(source).strip()
            if titled != prose.title:  # the cell with the main heading
                intro = html
            else:
                prose.sections[-1].html += f'\n<div class="md">{html}</div>'
        elif cell.cell_type == "code":
            shown = list(filter(None, map(_output, cell.outputs)))
            prose.sections[-1].html += "\n" + "\n".join(shown)
            prose.sections[-1].shown.append(bool(shown))
            found = [about for about in map(_about, cell.outputs) if "title" in about]
            headline = headline or next(iter(found), {})
    sections = [s for s in prose.sections if not s.anchor or not s.shown or any(s.shown)]
    return Body(prose.title, Markup(intro), headline, sections)


def _about(output: Any) -> Mapping[str, str]:
    """Return what a piece says of itself; nothing where the output is none."""
    about: Mapping[str, str] = output.get("metadata", {}).get(PIECE, {})
    return about


def _that_holds(source: str, there: Collection[str] | None) -> str:
    """Return prose without the sentences that are about what the shop does not have (`pieces.there_is`).

    Where nothing says what there is, all of them stay.
    """

    def sentence(found: re.Match[str]) -> str:
        needed = found["words"].split()
        holds = there is None or all((w[3:] not in there) if w.startswith("no-") else w in there for w in needed)
        return found["text"] + found["end"] if holds else ""

    # The end of its line goes with a sentence: an empty line would begin a paragraph.
    return re.sub(r'<span data-has="(?P<words>[^"]*)">(?P<text>.*?)</span>(?P<end>\n?)', sentence, source, flags=re.S)


def _output(output: Any) -> str:
    """Return an output as HTML; nothing for logs, for objects that are not to be read, and for the page's headline."""
    if output.output_type == "error":
        name, message = escape(strip_ansi(output.ename)), escape(strip_ansi(output.evalue))
        return f'<div class="error" role="alert"><b>{name}</b>\n{message}</div>'
    if output.output_type not in ("display_data", "execute_result"):
        return ""
    data, metadata = output.get("data", {}), output.get("metadata", {})
    html = data.get("text/html", "")
    if PIECE in metadata:
        return "" if "title" in metadata[PIECE] else html.removeprefix(styles())
    if html and "<script" not in html.lower():
        return f'<div class="out">{html}</div>'
    if "image/svg+xml" in data:
        return f'<div class="out">{data["image/svg+xml"]}</div>'
    for kind in {"image/png", "image/jpeg"} & data.keys():
        alt = metadata.get(kind, {}).get("alt") or metadata.get("alt") or "Picture from the notebook"
        return f'<div class="out"><img src="data:{kind};base64,{data[kind].strip()}" alt="{escape(alt)}"></div>'
    text = data.get("text/plain", "").strip()
    is_object = re.match(r"<.* at 0x[0-9a-f]+>|<Figure size", text)
    return f"<pre>{escape(text)}</pre>" if text and not is_object else ""
