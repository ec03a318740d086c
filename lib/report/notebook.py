"""An executed notebook as the body of a page: prose and outputs, no code, no logs, no stack traces.

nbconvert renders it with the template in `lib/report/templates/notebook`; the page around it is in `lib.report.pieces`.
"""

import re
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter, TemplateExporter
from traitlets.config import Config

from lib.report.pieces import TEMPLATES

LEFT_OUT = "hide-report"


PAPERMILL_NOTICES = ("papermill-error-cell-tag",)


@dataclass(frozen=True)
class Body:
    """What a page needs of a notebook; all but `title` and `finding` is HTML."""

    title: str
    intro: str
    finding: str
    lede: str
    badges: str
    contents: list[tuple[str, str]]
    html: str


def read_notebook(path: Path) -> Body:
    """Return the parts of the executed notebook at `path`."""
    notebook = nbformat.read(path, as_version=4)
    # Not HTMLExporter's own: it sends the page through an HTML parser, which renames the parts of an SVG.
    html, _ = TemplateExporter.from_notebook_node(_exporter(), notebook)
    html = re.sub(r"<style data-embed>.*?</style>", "", html, flags=re.S)  # the page brings these styles
    title, intro, html = _heading(html)
    finding, lede, badges, html = _finding(html)
    contents, html = _contents(html)
    return Body(title, intro, finding, lede, badges, contents, html.strip())


def _exporter() -> HTMLExporter:
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {LEFT_OUT, *PAPERMILL_NOTICES}
    exporter = HTMLExporter(
        config=config,
        template_name="notebook",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=True,
        filters={"output_html": _output},
    )
    exporter.anchor_link_text = ""
    return exporter


def _output(output: Any) -> str:
    data, metadata = output.get("data", {}), output.get("metadata", {})
    html = data.get("text/html", "")
    if html and not _text(html) and "<img" not in html and "<svg" not in html:
        return ""  # a progress line that has been cleared
    if html and "<script" not in html.lower():
        return html if "<style data-embed>" in html else f'<div class="out">{html}</div>'
    if "image/svg+xml" in data:
        return f'<div class="out">{data["image/svg+xml"]}</div>'
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            alt = metadata.get(kind, {}).get("alt") or metadata.get("alt") or "Picture from the notebook"
            source = f"data:{kind};base64,{data[kind].strip()}"
            return f'<div class="out"><img src="{source}" alt="{escape(alt)}"></div>'
    text = data.get("text/plain", "").strip()
    if not text or re.match(r"<.* at 0x[0-9a-f]+>|<Figure size", text):  # an object, not something to read
        return ""
    return f"<pre>{escape(text)}</pre>"


def _heading(html: str) -> tuple[str, str, str]:
    """Return the first heading, the prose of its cell, and the page without both."""
    found = re.search(r'<div class="md">\s*<h1[^>]*>(.*?)</h1>(.*?)</div>', html, flags=re.S)
    if not found:
        return "", "", html
    return _text(found[1]), found[2].strip(), html.replace(found[0], "", 1)


def _finding(html: str) -> tuple[str, str, str, str]:
    """Return headline, lede and badges of a `report.headline`, and the page without it."""
    lede, badges = r'(?:<p class="lede">(.*?)</p>)?', r'(<p class="badges">.*?</p>)?'
    pattern = rf'<div class="headline"><p class="finding">(.*?)</p>{lede}{badges}</div>'
    found = re.search(pattern, html, flags=re.S)
    if not found:
        return "", "", "", html
    return _text(found[1]), found[2] or "", found[3] or "", html.replace(found[0], "", 1)


def _contents(html: str) -> tuple[list[tuple[str, str]], str]:
    """Return (id, text) of each section, and the page with those ids."""
    contents: list[tuple[str, str]] = []

    def mark(match: re.Match[str]) -> str:
        text = _text(match[1])
        slug = re.sub(r"[^\w]+", "-", text.lower()).strip("-") or "section"
        taken = {anchor for anchor, _ in contents}
        anchor = slug if slug not in taken else f"{slug}-{len(contents)}"
        contents.append((anchor, text))
        return f'<h2 id="{anchor}">{match[1]}</h2>'

    return contents, re.sub(r"<h2[^>]*>(.*?)</h2>", mark, html, flags=re.S)


def _text(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html)).strip()
