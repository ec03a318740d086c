"""JSON objects to columns: which there are, by dotted names, and how DuckDB extracts each value as text.

Nested objects give columns of their own, lists stay JSON text. Where the objects come from and which of them become
rows is in `events` and `rest`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import duckdb

from lib.base.errors import SourceError
from lib.base.quoting import text_literal

#: The way to a value in an object: the names to go by.
Steps = tuple[str, ...]

#: Each name found is a column.
_MOST_NAMES = 2_000
#: Columns of the lake's own.
_RESERVED = ("_file", "_row", "_path")
#: A number that a double might not hold; and, to leave alone what is within a text, any text before it.
LONG_NUMBER = r"[:\[,]\s*-?\d[\d.]{15}"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.]{15,}(?:[eE][+-]?\d+)?')


def keep_digits(text: str) -> str:
    """Return JSON with long numbers as texts, so that no digit of them is lost in a double."""
    return _TOKEN.sub(lambda found: found[0] if found[0][0] == '"' else f'"{found[0]}"', text)


def pointer(path: Steps) -> str:
    """Return a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def above(paths: Iterable[Steps]) -> dict[Steps, None]:
    """Return the paths of the objects in which these paths lie."""
    return {path[:depth]: None for path in paths for depth in range(1, len(path))}


@cache
def _leaves(structure: str) -> tuple[tuple[Steps, bool], ...]:
    """Return the paths of what is no object in a structure as DuckDB's json_structure gives it, and which have values.

    Null and the empty object have none.
    """

    def explore(form: Any, path: Steps) -> Iterator[tuple[Steps, bool]]:
        if isinstance(form, dict):
            for name, inner in form.items():
                yield from explore(inner, (*path, name))
        elif path:
            yield path, form not in ("NULL", "JSON")

    return tuple(explore(json.loads(structure), ()))


def columns_of(connection: duckdb.DuckDBPyConnection, known: dict[Steps, None]) -> dict[int, dict[Steps, None]]:
    """Return the paths that are columns of the objects in `_lines` (i, piece, line), by piece; `known` gains them.

    What is null or {} wherever it occurs is a column as well, unless it is an object elsewhere. The structure of a line
    takes long to find, its keys do not: of lines with the same keys in every object one is looked at. What is an object
    is known from such looks, so they go on until there is nothing new.
    """
    n_before = -1
    found: dict[int, tuple[tuple[Steps, bool], ...]] = {}
    while len(known) > n_before:
        n_before = len(known)
        connection.execute(f"create or replace temp table _looks as {_looks(known)}")
        structures = connection.execute(
            "select signature, json_structure(line)"
            " from (select signature, min(i) as i from _looks group by signature) join _lines using (i) order by i"
        )
        found = {signature: _leaves(structure) for signature, structure in structures.fetchall()}
        for leaves in found.values():
            known |= dict.fromkeys(path for path, _ in leaves)
        if len(known) > _MOST_NAMES:
            raise SourceError(
                f"The objects have more than {_MOST_NAMES:,} different names, such as {'.'.join([*known][-1])!r};"
                " expected names that say what a value is. Where they are data themselves, have the source deliver a"
                " list; of an API, ask for fewer fields."
            )
    objects = above(known)
    columns: dict[int, dict[Steps, None]] = {}
    pieces = connection.execute("select piece, signature from _looks group by all order by min(i)")
    for piece, signature in pieces.fetchall():
        has_value = {path: None for path, is_value in found[signature] if is_value or path not in objects}
        columns.setdefault(piece, {}).update(has_value)
    return columns


def _looks(known: dict[Steps, None]) -> str:
    """Return the query that gives each line a signature of the keys in it.

    One that has an object where so far was none has a signature of its own.
    """
    objects = above(known)
    nested, values = (_pointers(paths) for paths in (objects, [path for path in known if path not in objects]))
    keys = f"json_keys(line), json_keys(line, {nested})" if objects else "json_keys(line)"
    types = f"json_type(line, {values})" if values != "[]" else "cast([] as varchar[])"
    return f"""
    select i, piece, case when list_contains({types}, 'OBJECT') then hash(i, {keys}) else hash({keys}) end as signature
    from _lines
    """


def values(line: str, paths: Iterable[Steps], objects: Iterable[Steps]) -> tuple[str, list[str]]:
    """Return SQL: the texts of the values at some paths in a line, as a list `v`, and an expression for each path.

    At a path that is an object in other lines, an object's text would repeat what has columns already.
    """
    paths, objects = list(paths), set(objects)
    cells = [f"v[{place}]" for place in range(1, len(paths) + 1)]
    for place, path in enumerate(paths):
        if path in objects:
            is_value = f"json_type({line}, {text_literal(pointer(path))}) <> 'OBJECT'"
            cells[place] = f"case when {is_value} then {cells[place]} end"
    return f"json_extract_string({line}, {_pointers(paths)}) as v", cells


def _pointers(paths: Iterable[Steps]) -> str:
    return "[" + ", ".join(text_literal(pointer(path)) for path in paths) + "]"


def name_columns(paths: Iterable[Steps], expected: Iterable[str], known: dict[Steps, str]) -> None:
    """Name the paths that `known` does not: steps joined by dots, each name unique whatever its case.

    An expected name belongs to the path that is spelled so.
    """
    names = set(expected)
    used = {name.lower() for name in (*known.values(), *names, *_RESERVED)}
    for path in paths:
        if path in known:
            continue
        name = candidate = ".".join(path) or "unnamed"
        copy = 2
        while candidate.lower() in used and not (candidate in names and candidate not in known.values()):
            candidate, copy = f"{name}_{copy}", copy + 1
        known[path] = candidate
        used.add(candidate.lower())
