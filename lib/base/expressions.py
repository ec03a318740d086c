"""One scalar SQL expression over named columns, as somebody writes it into a sources file.

DuckDB's own parser reads it, so that what is checked here is what runs later. An expression sees the columns of its row
and nothing else: no other row, table, file or setting, and nothing that differs from one run to the next. Columns of
text that stand where a number is needed (`"Total" / 2`) are told apart, so that whoever runs it can read them as such.
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lib.base.errors import did_you_mean

#: Name of a column by its parts: `price.amount` has two, `"price.amount"` one.
Parts = tuple[str, ...]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ARITHMETIC = _words("+ - * / // % ** ^")
_NUMERIC = _ARITHMETIC | _words(
    "abs round ceil ceiling floor sign sqrt trunc pow power mod fmod fdiv add subtract multiply divide"
)
#: What gives one of its arguments: a number where any of them is one.
_CHOOSING = _words("if greatest least nullif ifnull")
_NUMBER_TYPES = _words(
    "DECIMAL NUMERIC DOUBLE FLOAT REAL TINYINT SMALLINT INTEGER INT BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT"
    " UHUGEINT"
)
_TEMPORAL_FUNCTIONS = tuple(_words("to_ strptime try_strptime timezone date_trunc make_ epoch_ms"))
#: Functions that DuckDB calls consistent and that still see more than the row.
_ELSEWHERE = _words("getenv version in_search_path current_setting getvariable")
_MACROS = _words("if nullif split_part date_add days_in_month fdiv fmod json")
_CLASSES = _words("FUNCTION COLUMN_REF CONSTANT CAST CASE COMPARISON CONJUNCTION OPERATOR BETWEEN LAMBDA COLLATE TYPE")
_FORBIDDEN = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by its position",
}
_ONE_ROW = "It sees the columns of its row alone"


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, and DuckDB's parse of it as JSON."""

    text: str
    _parsed: str

    @property
    def columns(self) -> list[Parts]:
        """The columns that it names, each once, in their order."""
        return list(dict.fromkeys(_parts(node) for node, _ in _references(self._tree(), False)))

    def sql(self, column: Callable[[Parts, bool], Sequence[str]], zone_of: str = "") -> str:
        """Return it as SQL with each column in the place that `column` gives for it; true asks for it as a number.

        Where `zone_of` names a function, it is what reads the name of a time zone that is no constant.
        """
        statement = json.loads(self._parsed)
        node = statement["statements"][0]["node"]
        node["select_list"] = [_compared(node["select_list"][0])]
        for call in self._zoned(node["select_list"][0]) if zone_of else ():
            call["arguments"][0]["expression"] = _call(zone_of, call["arguments"][0]["expression"])
        for reference, is_number in _references(node["select_list"][0], False):
            reference["column_names"] = list(column(_parts(reference), is_number))
        (text,) = _ask("select json_deserialize_sql(?::json)", json.dumps(statement))
        return f"({str(text).removeprefix('SELECT ')})"

    @property
    def has_zones(self) -> bool:
        """Whether it names a time zone that may be another in each row."""
        return any(True for _ in self._zoned(self._tree()))

    @staticmethod
    def _zoned(tree: Any) -> Iterator[dict[str, Any]]:
        for node in _nodes(tree):
            if node["class"] != "FUNCTION" or node["function_name"].lower() != "timezone":
                continue
            if len(node["arguments"]) == 2 and node["arguments"][0]["expression"]["class"] != "CONSTANT":
                yield node

    def _tree(self) -> Any:
        return json.loads(self._parsed)["statements"][0]["node"]["select_list"][0]


@functools.cache
def parse(text: str) -> Expression:
    """Return a checked expression; raise ValueError saying what is wrong with it."""
    (parsed,) = _ask("select json_serialize_sql(?)", f"select {text}")
    statement = json.loads(parsed)
    if statement["error"]:
        hint = "; a name that is a word of SQL, or has blanks, stands in double quotes"
        raise ValueError(f"is no SQL expression: {statement['error_message']}{hint}")
    nodes = [s["node"] for s in statement["statements"]]
    if (
        len(nodes) != 1
        or nodes[0]["type"] != "SELECT_NODE"
        or any(nodes[0].get(key) for key in ("modifiers", "where_clause", "having", "qualify", "sample"))
        or nodes[0]["from_table"]["type"] != "EMPTY"
        or nodes[0]["cte_map"]["map"]
        or nodes[0]["group_expressions"]
        or len(nodes[0]["select_list"]) != 1
        or nodes[0]["select_list"][0]["alias"]
    ):
        raise ValueError(f"is more than one expression. {_ONE_ROW}: no 'from', no 'where', no list, no name after 'as'")
    for node in _nodes(nodes[0]["select_list"][0]):
        _check(node)
    return Expression(text, parsed)


def _check(node: dict[str, Any]) -> None:
    if node["class"] not in _CLASSES:
        what = _FORBIDDEN.get(node["class"], node["class"].lower().replace("_", " "))
        raise ValueError(f"has {what}. {_ONE_ROW}")
    if node["class"] != "FUNCTION":
        return
    name = node["function_name"].lower()
    functions = _functions()
    if name not in functions:
        raise ValueError(f"has the function {name!r}, which DuckDB does not have.{did_you_mean(name, functions)}")
    if not functions[name] or node["filter"] or node["distinct"] or node["order_bys"]["orders"]:
        raise ValueError(f"has the function {name!r}, which is not one of a row's values alone. {_ONE_ROW}")


@functools.cache
def _functions() -> dict[str, bool]:
    """Return the functions of DuckDB, each with whether a row's values alone decide what it gives."""
    found: dict[str, bool] = {}
    for name, kind, stability in _ask_all("select function_name, function_type, stability from duckdb_functions()"):
        is_plain = kind == "scalar" and stability == "CONSISTENT"
        is_macro = kind == "macro" and (name in _MACROS or name.startswith(("list_", "array_")))
        found[name] = (found.get(name, False) or is_plain or is_macro) and name not in _ELSEWHERE
    return found


def _ask_all(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    import duckdb  # not needed where no mapping has an expression

    # Closed again at once: a process that forks others must not hold DuckDB's threads.
    with duckdb.connect(config={"threads": 1}) as connection:
        return connection.execute(sql, list(parameters)).fetchall()


def _ask(sql: str, *parameters: Any) -> tuple[Any, ...]:
    return _ask_all(sql, *parameters)[0]


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a parse that has a class."""
    if isinstance(node, dict):
        if "class" in node:
            yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _parts(node: dict[str, Any]) -> Parts:
    return tuple(node["column_names"])


def _children(node: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield a node's parts, each with whether a number is needed there."""
    match node["class"]:
        case "FUNCTION":
            name = node["function_name"].lower()
            arguments = [a["expression"] for a in node["arguments"]]
            if name in _ARITHMETIC and any(map(_is_temporal, arguments)):
                yield from ((a, False) for a in arguments)
            elif name in _NUMERIC:
                yield from ((a, True) for a in arguments)
            elif name in _CHOOSING:
                condition, chosen = (arguments[:1], arguments[1:]) if name == "if" else ([], arguments)
                yield from ((a, False) for a in condition)
                yield from ((a, any(map(_is_number, chosen))) for a in chosen)
            else:
                yield from ((a, False) for a in arguments)
        case "CAST":
            yield node["child"], node["type_expr"]["type_name"].upper() in _NUMBER_TYPES
        case "CASE":
            chosen = [c["then_expr"] for c in node["case_checks"]] + [node["else_expr"]]
            is_number = any(map(_is_number, chosen))
            for check in node["case_checks"]:
                yield check["when_expr"], False
            yield from ((c, is_number) for c in chosen)
        case "COMPARISON" | "BETWEEN":
            sides = [node[key] for key in ("left", "right", "input", "lower", "upper") if key in node]
            is_number = any(map(_is_number, sides))
            yield from ((s, is_number) for s in sides)
        case "OPERATOR" if node["type"] in ("COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_COALESCE", "OPERATOR_NULLIF"):
            is_number = any(map(_is_number, node["children"]))
            yield from ((c, is_number) for c in node["children"])
        case "CONJUNCTION" | "OPERATOR":
            yield from ((c, False) for c in node["children"])
        case "COLLATE":
            yield node["child"], False


def _references(node: dict[str, Any], is_number: bool, bound: Parts = ()) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield every reference to a column, with whether it stands where a number is needed."""
    if node["class"] == "COLUMN_REF":
        if _parts(node)[0] not in bound:
            yield node, is_number
    elif node["class"] == "LAMBDA":
        if node["expr"]["class"] == "CONSTANT":  # x -> '$.a', of JSON
            yield from _references(node["lhs"], False, bound)
        else:
            names = tuple(name for n in _nodes(node["lhs"]) if n["class"] == "COLUMN_REF" for name in _parts(n))
            yield from _references(node["expr"], False, bound + names)
    else:
        # What chooses one of several hands the need of a number on.
        hands_on = node["class"] == "CASE" or node["type"] in ("OPERATOR_COALESCE", "OPERATOR_NULLIF")
        hands_on = hands_on or (node["class"] == "FUNCTION" and node["function_name"].lower() in _CHOOSING)
        for child, needs_number in _children(node):
            is_condition = node["class"] == "CASE" and any(child is c["when_expr"] for c in node["case_checks"])
            is_condition = is_condition or (hands_on and _is_condition_of_if(node, child))
            yield from _references(child, needs_number or (hands_on and is_number and not is_condition), bound)


def _is_condition_of_if(node: dict[str, Any], child: dict[str, Any]) -> bool:
    return node.get("function_name", "").lower() == "if" and node["arguments"][0]["expression"] is child


def _is_number(node: dict[str, Any]) -> bool:
    """Whether a node is a number for sure, whatever its columns hold."""
    match node["class"]:
        case "CONSTANT":
            return node["literal"]["kind"] in ("INTEGER", "NUMERIC")
        case "CAST":
            return node["type_expr"]["type_name"].upper() in _NUMBER_TYPES
        case "FUNCTION":
            name, arguments = node["function_name"].lower(), [a["expression"] for a in node["arguments"]]
            if name in _CHOOSING:
                return any(map(_is_number, arguments[1:] if name == "if" else arguments))
            return name in _NUMERIC and not any(map(_is_temporal, arguments))
        case "CASE":
            return any(_is_number(n) for n in [*(c["then_expr"] for c in node["case_checks"]), node["else_expr"]])
        case "OPERATOR" if node["type"] in ("OPERATOR_COALESCE", "OPERATOR_NULLIF"):
            return any(map(_is_number, node["children"]))
    return False


def _is_temporal(node: dict[str, Any]) -> bool:
    """Whether a node is a date, a time or an interval."""
    if node["class"] == "CAST":
        return str(node["type_expr"]["type_name"]).upper().startswith(("DATE", "TIME", "INTERVAL"))
    if node["class"] == "FUNCTION":
        name, arguments = node["function_name"].lower(), [a["expression"] for a in node["arguments"]]
        return name.startswith(_TEMPORAL_FUNCTIONS) or (name in _ARITHMETIC and any(map(_is_temporal, arguments)))
    return False


def _compared(node: Any) -> Any:
    """Return a parse in which two columns that are compared by size are compared as numbers where both are numbers."""
    if isinstance(node, list):
        return [_compared(n) for n in node]
    if not isinstance(node, dict):
        return node
    node = {key: _compared(value) for key, value in node.items()}
    is_by_size = node.get("type", "").startswith(("COMPARE_GREATERTHAN", "COMPARE_LESSTHAN"))
    if not is_by_size or any(node[side]["class"] != "COLUMN_REF" for side in ("left", "right")):
        return node
    # Adding nothing is what asks for a number.
    numbers = {side: _plus_zero(node[side]) for side in ("left", "right")}
    return _node("OPERATOR", "OPERATOR_COALESCE", children=[{**node, **numbers}, node])


def _plus_zero(node: Any) -> Any:
    zero = _node("CONSTANT", "VALUE_CONSTANT", literal={"kind": "INTEGER", "text": "0"})
    arguments = [{"name": "", "expression": json.loads(json.dumps(n))} for n in (node, zero)]
    template = json.loads(parse("a + b")._parsed)["statements"][0]["node"]["select_list"][0]
    return {**template, "arguments": arguments}


def _call(function: str, argument: Any) -> Any:
    template = json.loads(parse("lower(a)")._parsed)["statements"][0]["node"]["select_list"][0]
    named = {"function_name": function, "qualified_name": {"path": [function]}}
    return {**template, **named, "arguments": [{"name": "", "expression": argument}]}


def _node(kind: str, detail: str, **values: Any) -> dict[str, Any]:
    return {"class": kind, "type": detail, "alias": "", **values}


def resolve(parts: Parts, known: Iterable[str]) -> tuple[str, Parts]:
    """Return the column that a reference means among the known ones, and the way from there to what is nested in it.

    A name is taken as it is written, else whatever its capitals, as SQL does. Returns an empty name where none fits.
    """
    names = list(known)
    for length in range(len(parts), 0, -1):
        wanted = ".".join(parts[:length])
        if wanted in names:
            return wanted, parts[length:]
        same = [n for n in names if n.lower() == wanted.lower()]
        if len(same) == 1:
            return same[0], parts[length:]
    return "", ()
