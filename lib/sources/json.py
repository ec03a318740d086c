"""JSON objects to columns: which there are, by dotted names, and how DuckDB extracts each value as text.

Nested objects give columns of their own, lists stay JSON text. A list of pairs of a key and a value, as GA4 and others
write what they do not know beforehand, gives a column a key beside it. A list that an entity's `rows` names makes a row
of each element, with what is around the list beside it. Where the objects come from is in `json_files` and `rest`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import duckdb
import pyarrow as pa
from pydantic import BeforeValidator

from lib.base.errors import SourceError
from lib.base.quoting import text_literal

#: The way to a value in an object: the names to go by.
Steps = tuple[str, ...]
#: The lists whose elements become rows, as dotted names, each within what the one before made.
Rows = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


@dataclass(frozen=True)
class Pair:
    """The value beside a key in a list of pairs, and the way to the list."""

    list: Steps
    key: str


Place = Steps | Pair

#: Each name found is a column.
_MOST_NAMES = 2_000
#: So many keys of a list of pairs get columns, the most frequent; the mapping's do in any case.
_MOST_KEYS = 300
#: The number of a row's element in its list, from 1, beside the element's own names.
NUMBER = "_number"
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


def steps_of(name: str) -> Steps:
    """Return the steps of a dotted name; the empty name is the whole."""
    return tuple(name.split(".")) if name else ()


def dotted(place: Place) -> str:
    """Return a place as a dotted name."""
    return ".".join((*place.list, place.key) if isinstance(place, Pair) else place)


def above(paths: Iterable[Steps]) -> dict[Steps, None]:
    """Return the paths of the objects in which these paths lie."""
    return {path[:depth]: None for path in paths for depth in range(1, len(path))}


@cache
def _leaves(structure: str) -> tuple[tuple[Steps, bool, bool], ...]:
    """Return the paths of what is no object in a structure as DuckDB's json_structure gives it.

    With each, whether it has a value (null and the empty object have none), and whether it is a list.
    """

    def explore(form: Any, path: Steps) -> Iterator[tuple[Steps, bool, bool]]:
        if isinstance(form, dict):
            for name, inner in form.items():
                yield from explore(inner, (*path, name))
        elif path:
            yield path, form not in ("NULL", "JSON"), isinstance(form, list)

    return tuple(explore(json.loads(structure), ()))


def columns_of(connection: duckdb.DuckDBPyConnection, known: dict[Steps, bool]) -> dict[int, dict[Steps, None]]:
    """Return the paths that are columns of the objects in `_lines` (i, piece, line), by piece; `known` gains them, and
    whether they are lists.

    What is null or {} wherever it occurs is a column as well, unless it is an object elsewhere. The structure of a line
    takes long to find, its keys do not: of lines with the same keys in every object one is looked at. What is an object
    is known from such looks, so they go on until there is nothing new.
    """
    n_before = -1
    found: dict[int, tuple[tuple[Steps, bool, bool], ...]] = {}
    while len(known) > n_before:
        n_before = len(known)
        connection.execute(f"create or replace temp table _looks as {_looks(known)}")
        structures = connection.execute(
            "select signature, json_structure(line)"
            " from (select signature, min(i) as i from _looks group by signature) join _lines using (i) order by i"
        )
        found = {signature: _leaves(structure) for signature, structure in structures.fetchall()}
        for leaves in found.values():
            known |= {path: is_list or known.get(path, False) for path, _, is_list in leaves}
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
        has_value = {path: None for path, is_value, _ in found[signature] if is_value or path not in objects}
        columns.setdefault(piece, {}).update(has_value)
    return columns


def _looks(known: dict[Steps, bool]) -> str:
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


def unnested(connection: duckdb.DuckDBPyConnection, lines: pa.Table, rows: Iterable[str]) -> pa.Table:
    """Return lines (i, piece, line) with one for each element of some lists, which stands where the list was.

    An element that is an object has its number in the list beside its own names. A line without such a list, or with an
    empty one, stays one line.
    """
    for name in rows:
        connection.register("_nested", lines)
        lines = connection.sql(
            "select row_number() over (order by i, number) - 1 as i, piece, line"
            f" from ({elements('_nested', 'line', name)})"
        ).to_arrow_table()
        connection.unregister("_nested")
    return lines


def elements(table: str, line: str, name: str) -> str:
    """Return the query of a table's rows with the column `line` for each element of a list in it, and its `number`."""
    path = steps_of(name)
    patch = "element"
    for step in reversed(path):
        patch = f"json_object({text_literal(step)}, {patch})"
    numbered = f"json_merge_patch(element, json_object('{NUMBER}', number))"
    return f"""
    select * exclude (found, element) replace (
        case when element is null then {line} else cast(json_merge_patch({line}, {patch}) as varchar) end as {line}
    )
    from (
        select * replace (case when json_type(element) = 'OBJECT' then {numbered} else element end as element)
        from (
            select *, unnest(case when len(found) > 0 then found else [null] end) as element,
                generate_subscripts(case when len(found) > 0 then found else [null] end, 1) as number
            from (
                select *, case when json_type({line}, {text_literal(pointer(path))}) = 'ARRAY'
                    then json_extract({line}, {text_literal(_json_path(path) + "[*]")}) end as found
                from {table}
            )
        )
    )
    """


def pairs_in(
    connection: duckdb.DuckDBPyConnection, known: Mapping[Steps, bool], mapped: Iterable[str]
) -> dict[Place, None]:
    """Return the keys in lists of pairs of the objects in `_lines`: `[{"key": "page", "value": ...}, ...]`.

    A value may be an object of which one member has a value (`{"string_value": "/", "int_value": null}`). The words may
    be `name` and `value` where there are no others. A list that the mapping names itself stays what it is.
    """
    mapped = set(mapped)
    objects = above(known)
    lists = [path for path, is_list in known.items() if is_list and path not in objects and '"' not in "".join(path)]
    lists = [path for path in lists if ".".join(path) not in mapped]
    if not lists:
        return {}
    first = [text_literal(pointer((*path, "0"))) for path in lists]
    tests = ", ".join(
        f"bool_or(json_type(line, {at} || '/value') is not null and (json_type(line, {at} || '/key') = 'VARCHAR' or"
        f" (json_type(line, {at} || '/name') = 'VARCHAR' and len(json_keys(line, {at})) = 2)))"
        for at in first
    )
    (found,) = connection.execute(f"select {tests} from _lines").fetchall()
    pairs: dict[Place, None] = {}
    for path in (path for path, is_so in zip(lists, found, strict=True) if is_so):
        keys = connection.execute(
            f"select key, count(*) from (select unnest({_keys('line', path)}) as key from _lines)"
            f" where key <> '' group by key order by count(*) desc, key"
        ).fetchall()
        wanted = [key for place, (key, _) in enumerate(keys) if place < _MOST_KEYS or dotted(Pair(path, key)) in mapped]
        pairs |= {Pair(path, key): None for key in sorted(wanted)}
    return pairs


def _keys(line: str, path: Steps) -> str:
    """Return SQL: the keys of a list of pairs, in its order."""
    each = "coalesce(json_extract_string(e, '/key'), json_extract_string(e, '/name'))"
    return f"list_transform({_elements(line, path)}, lambda e: {each})"


def _values(line: str, path: Steps) -> str:
    """Return SQL: the values of a list of pairs, in its order."""
    member = "list_filter(json_extract_string(e, '$.value.*'), lambda m: m is not null)[1]"
    value = f"case json_type(e, '/value') when 'OBJECT' then {member} else json_extract_string(e, '/value') end"
    return f"list_transform({_elements(line, path)}, lambda e: {value})"


def _elements(line: str, path: Steps) -> str:
    return f"json_extract({line}, {text_literal(_json_path(path) + '[*]')})"


def _json_path(path: Steps) -> str:
    return "$" + "".join(f'."{step}"' for step in path)


def values(line: str, places: Iterable[Place], objects: Iterable[Steps]) -> tuple[str, list[str]]:
    """Return SQL: the texts of the values at some places in a line, as lists, and an expression for each place.

    At a path that is an object in other lines, an object's text would repeat what has columns already.
    """
    places, objects = list(places), set(objects)
    paths = [place for place in places if not isinstance(place, Pair)]
    lists = list(dict.fromkeys(place.list for place in places if isinstance(place, Pair)))
    at = {path: n for n, path in enumerate(paths, 1)}
    cells = []
    for place in places:
        if isinstance(place, Pair):
            n = lists.index(place.list)
            cells.append(f"v{n}[list_position(k{n}, {text_literal(place.key)})]")
        elif place in objects:
            is_value = f"json_type({line}, {text_literal(pointer(place))}) <> 'OBJECT'"
            cells.append(f"case when {is_value} then v[{at[place]}] end")
        else:
            cells.append(f"v[{at[place]}]")
    selected = [f"json_extract_string({line}, {_pointers(paths)}) as v"]
    for n, path in enumerate(lists):
        selected += [f"{_keys(line, path)} as k{n}", f"{_values(line, path)} as v{n}"]
    return ", ".join(selected), cells


def _pointers(paths: Iterable[Steps]) -> str:
    return "[" + ", ".join(text_literal(pointer(path)) for path in paths) + "]"


def name_columns(places: Iterable[Place], expected: Iterable[str], known: dict[Place, str]) -> None:
    """Name the places that `known` does not: steps joined by dots, each name unique whatever its case.

    An expected name belongs to the place that is spelled so.
    """
    names = set(expected)
    used = {name.lower() for name in (*known.values(), *names, *_RESERVED)}
    for place in places:
        if place in known:
            continue
        name = candidate = dotted(place) or "unnamed"
        copy = 2
        while candidate.lower() in used and not (candidate in names and candidate not in known.values()):
            candidate, copy = f"{name}_{copy}", copy + 1
        known[place] = candidate
        used.add(candidate.lower())
