"""HTML in messages: its schema.org markup (each Order, as JSON-LD or microdata, is a confirmation), and its text.

Which property is which of our columns is data: the layout `schema_org`.
"""

import html
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from bs4 import BeautifulSoup, CData, NavigableString, PageElement, Tag

from lib.sources.confirmation import Confirmation, Record, confirmation
from lib.sources.layouts import Layout, Unreadable

SCHEMA_ORG = Layout(like="schema_org")
_LINES, _PAYMENTS = ("acceptedOffer", "orderedItem"), ("partOfInvoice",)
_LINE_TAGS = ["p", "div", "br", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "blockquote", "hr"]
_UNSEEN = ("script", "style", "head", "title")
_ENUMERATED = re.compile(r"https?://\S+[/#]")


def read(page: str, offer_price: str) -> list[Confirmation]:
    """Return the orders that a page's markup confirms; raise Unreadable where it has none, or a bad one."""
    soup = _parsed(page)
    found = [order for script in soup("script", type="application/ld+json") for order in _orders(_json(script))]
    found += [_item(tag) for tag in soup(itemtype=re.compile(r"schema\.org/Order$"))]
    if not found:
        raise Unreadable("has no Order")
    return [_confirmation(order, offer_price) for order in found]


def text_of(page: str) -> str:
    """Return a page's text, line by line: a row's cells with tabs between them, blank lines around tables."""
    parts: list[str] = []
    # What is still to come, the next last, and whether it lies in a table's cell.
    waiting: list[tuple[PageElement | str, bool]] = [(_parsed(page), False)]
    while waiting:
        node, is_in_cell = waiting.pop()
        if not isinstance(node, Tag):
            if type(node) in (str, NavigableString, CData):
                parts.append(str(node))
            continue
        if node.name in _UNSEEN:
            continue
        is_cell = node.name in ("td", "th")
        edge = ""
        if node.name in _LINE_TAGS and not (is_in_cell and node.name in ("p", "div", "br")):
            edge = "\f" if node.name in ("table", "p") else "\n"
        parts.append(edge or ("\t" if is_cell else ""))
        waiting.append((edge, False))
        waiting += [(child, is_in_cell or is_cell) for child in reversed(node.contents)]
    text = re.sub(r" *\f[ \n\f]*", "\n\n", re.sub(r" *\n[ \n]*", "\n", "".join(parts)))
    return re.sub(r"^\t", "", text, flags=re.MULTILINE)


def _parsed(page: str) -> BeautifulSoup:
    with warnings.catch_warnings():
        # What a page looks like to the parser (an address, XML) is no matter here.
        warnings.simplefilter("ignore")
        return BeautifulSoup(re.sub(r"\s+", " ", page), "html.parser")


def _confirmation(order: Any, offer_price: str) -> Confirmation:
    lines = [_record(item, SCHEMA_ORG.lines) for path in _LINES for item in _values(order, path)]
    payments = [_record(item, SCHEMA_ORG.payments) for path in _PAYMENTS for item in _values(order, path)]
    for number, line in enumerate(lines, start=1):
        line.setdefault("line_number", str(number))
        line.setdefault("quantity", "1")
    found = confirmation(_record(order, SCHEMA_ORG.order), lines, payments, SCHEMA_ORG)
    for line in found.lines if offer_price == "line" else ():
        if quantity := Decimal(line["quantity"]):
            line["unit_price"] = f"{round(Decimal(line['unit_price']) / quantity, 4).normalize():f}"
    return found


def _record(item: Any, properties: Mapping[str, tuple[str, ...]]) -> Record:
    found = {
        column: next((text for path in paths for value in _values(item, path) if (text := _text(value))), "")
        for column, paths in properties.items()
    }
    return {column: text for column, text in found.items() if text}


def _values(item: Any, path: str) -> Iterator[Any]:
    """Yield what is in an item at a dotted path; a list anywhere on it means all its members."""
    if isinstance(item, list):
        for member in item:
            yield from _values(member, path)
    elif not path:
        yield item
    elif isinstance(item, dict):
        name, _, rest = path.partition(".")
        yield from _values(item.get(name, []), rest)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return next((_text(value[name]) for name in ("value", "price", "name", "@id") if name in value), "")
    if value is None:
        return ""
    # JSON may hold half a character (a lone surrogate), which no file can.
    text = html.unescape(str(value)).encode(errors="replace").decode()
    return _ENUMERATED.sub("", " ".join(text.split()))


def _json(script: Tag) -> Any:
    try:
        return json.loads(script.get_text(), parse_float=str, parse_int=str)
    except ValueError as error:
        raise Unreadable(f"is no JSON: {error}") from error


def _orders(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the Orders in a piece of JSON-LD, in a list or graph too."""
    if isinstance(value, list):
        for member in value:
            yield from _orders(member)
    elif isinstance(value, dict):
        if "Order" in (_ENUMERATED.sub("", str(kind)) for kind in _values(value, "@type")):
            yield value
        else:
            yield from _orders(value.get("@graph", []))


def _item(scope: Tag) -> dict[str, Any]:
    """Return a microdata item in the form of JSON-LD."""
    item: dict[str, Any] = {}
    for tag in scope(itemprop=True):
        if tag.find_parent(itemscope=True) is scope:
            stated = (str(tag[name]) for name in ("content", "datetime", "href") if tag.has_attr(name))
            value = _item(tag) if tag.has_attr("itemscope") else next(stated, tag.get_text(" ", strip=True))
            item.setdefault(str(tag["itemprop"]), []).append(value)
    return item
