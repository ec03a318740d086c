"""A mapping for several files: it holds though some of them have other names for a column, or lack it."""

import re
from typing import Any

from lib.inspect.documents import Document
from lib.inspect.groups import Group
from lib.inspect.layouts import Layout, Names, plain


def raw_names(mapping: Any) -> list[str]:
    if isinstance(mapping, str):
        return [mapping]
    if isinstance(mapping, list):
        return [name for one in mapping for name in raw_names(one)]
    if not isinstance(mapping, dict):
        return []
    found = raw_names(mapping.get("column", []))
    return found + re.findall(r'"([^"]+)"', mapping.get("sql", ""))


def in_all(mapping: Any, group: Group, layout: Layout | None = None) -> Any:
    """Return a mapping that holds for all files of a group, where some of them have other or fewer columns."""
    raw = raw_names(mapping)
    if len(group.documents) == 1 or not raw:
        return mapping
    wanted: dict[str, None] = {}
    lacks = False
    for document in group.documents:
        own = [found for name in raw if (found := _called(name, document, layout))]
        wanted |= dict.fromkeys(own)
        lacks |= not own or (isinstance(mapping, dict) and "sql" in mapping and len(own) < len(raw))
    optional = {"optional": True} if lacks else {}
    if isinstance(mapping, dict) and "sql" in mapping:
        return {**mapping, **optional}
    names: Any = list(wanted) if len(wanted) > 1 else raw[0]
    rest = {k: v for k, v in mapping.items() if k != "column"} if isinstance(mapping, dict) else {}
    return {"column": names, **optional, **rest} if optional or rest else names


def _called(name: str, document: Document, layout: Layout | None) -> str | None:
    """Return what a document calls a column that another one has under some name."""
    if name in document.names or layout is None:
        return name if name in document.names else None
    canonical = next((c for c in layout.names if plain(name) in map(plain, layout.variants(c))), name)
    return Names(layout, document.names).find(canonical)
