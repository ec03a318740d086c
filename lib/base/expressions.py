"""One scalar SQL expression over named columns, as somebody writes it into a sources file.

DuckDB's own parser reads it, so that what is checked here is what runs later. An expression sees the columns of its row
and nothing else: no other row, table, file or setting, and nothing that differs from one run to the next. Columns of
text that stand where a number is needed (`"Total" / 2`) are told apart, so that whoever runs it can read them as such.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lib.base.errors import did_you_mean

#: Name of a column by its parts: `price.amount` has two, `"price.amount"` one.
Parts = tuple[str, ...]

#: What a column has, as far as comparing it goes: texts, numbers, or what is neither.
Kind = Literal["text", "number", ""]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ARITHMETIC = _words("+ - * / // % ** ^")
_NUMERIC = _ARITHMETIC | _words(
    "abs round ceil ceiling floor sign sqrt trunc pow power mod fmod fdiv add subtract multiply divide"
)
#: What gives one of its arguments. A literal number among these says nothing of the others, except to the first two.
_CHOOSING = _words("greatest least if nullif ifnull")
_BY_SIZE = _words("greatest least")

#: A number of more digits is an id: a double, as which numbers are read, does not keep them all.
_DIGITS = 15
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

    @property
    def numbers(self) -> set[Parts]:
        """The columns of which it needs a number; those compared with another column may be texts as well."""
        return {_parts(node) for node, is_number in _references(self._tree(), False) if is_number}

    def sql(
        self,
        column: Callable[[Parts, bool], Sequence[str]],
        zone_of: str = "",
        kind: Callable[[Parts], Kind] = lambda _: "text",
        decimal: str = ".",
    ) -> str:
        """Return it as SQL with each column in the place that `column` gives for it; true asks for it as a number.

        Where `zone_of` names a function, it is what reads the name of a time zone that is no constant. `kind` says what
        a column has, `decimal` how the source of its texts writes the decimal mark.
        """
        return self._written(self._tree(), column, zone_of, kind, decimal)

    def zones(self, column: Callable[[Parts, bool], Sequence[str]]) -> list[str]:
        """Return the SQL of each name of a time zone that may be another in each row."""
        names = [call["arguments"][0]["expression"] for call in self._zoned(self._tree())]
        return [self._written(name, column, "", lambda _: "text", ".") for name in names]

    def _written(
        self,
        tree: Any,
        column: Callable[[Parts, bool], Sequence[str]],
        zone_of: str,
        kind: Callable[[Parts], Kind],
        decimal: str,
    ) -> str:
        tree = _compared(tree, kind)
        for call in self._zoned(tree) if zone_of else ():
            call["arguments"][0]["expression"] = _call(zone_of, call["arguments"][0]["expression"])
        _write_literals(tree, False, kind, decimal)
        for reference, is_number in list(_references(tree, False)):
            reference["column_names"] = list(column(_parts(reference), is_number))
        statement = json.loads(self._parsed)
        statement["statements"][0]["node"]["select_list"] = [tree]
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
    if _has_semicolon(text):
        raise ValueError(f"is no SQL expression: it has ';', and a statement is none. {_ONE_ROW}")
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


def _has_semicolon(text: str) -> bool:
    """Whether a semicolon stands outside of texts and names in quotes."""
    return ";" in re.sub(r"'[^']*'|\"[^\"]*\"", "", text)


def _check(node: dict[str, Any]) -> None:
    if node["class"] not in _CLASSES:
        what = _FORBIDDEN.get(node["class"], node["class"].lower().replace("_", " "))
        raise ValueError(f"has {what}. {_ONE_ROW}")
    if node["class"] != "FUNCTION":
        return
    name = node["function_name"].lower()
    functions = _functions()
    if name in _ELSEWHERE:
        raise ValueError(f"has the function {name!r}, which sees more than the row. {_ONE_ROW}")
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
                yield from ((a, False) for a in (arguments[:1] if name == "if" else ()))
                yield from ((a, _is_number(node)) for a in _branches(node))
            else:
                yield from ((a, False) for a in arguments)
        case "CAST":
            yield node["child"], node["type_expr"]["type_name"].upper() in _NUMBER_TYPES
        case "CASE":
            for check in node["case_checks"]:
                yield check["when_expr"], False
            yield from ((c, _is_number(node)) for c in _branches(node))
        case "COMPARISON" | "BETWEEN":
            sides = [node[key] for key in ("left", "right", "input", "lower", "upper") if key in node]
            is_number = any(map(_is_number, sides))
            yield from ((s, is_number) for s in sides)
        case "OPERATOR" if node["type"] in ("COMPARE_IN", "COMPARE_NOT_IN"):
            is_number = any(map(_is_number, node["children"]))
            yield from ((c, is_number) for c in node["children"])
        case "OPERATOR" if _branches(node):
            yield from ((c, _is_number(node)) for c in _branches(node))
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
        for child, needs_number in _needs(node, is_number):
            yield from _references(child, needs_number, bound)


def _needs(node: dict[str, Any], is_number: bool) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield a node's parts, each with whether a number is needed there, where the node itself may be needed as one."""
    # What chooses one of several hands the need of a number on.
    chosen = [id(b) for b in _branches(node)] if is_number else []
    for child, needs_number in _children(node):
        yield child, needs_number or id(child) in chosen


def _branches(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return those parts of a node of which it gives one; none where it gives something else."""
    match node["class"]:
        case "CASE":
            return [*(c["then_expr"] for c in node["case_checks"]), node["else_expr"]]
        case "OPERATOR" if node["type"] in ("OPERATOR_COALESCE", "OPERATOR_NULLIF"):
            return list(node["children"])
        case "FUNCTION" if node["function_name"].lower() in _CHOOSING:
            arguments = [a["expression"] for a in node["arguments"]]
            return arguments[1:] if node["function_name"].lower() == "if" else arguments
    return []


def _is_literal(node: dict[str, Any]) -> bool:
    return node["class"] == "CONSTANT" and node["literal"]["kind"] in ("INTEGER", "NUMERIC")


def _is_column(node: dict[str, Any]) -> bool:
    """Whether a node is a column as it stands, or one of several, maybe with a literal in place of what is missing."""
    branches = _branches(node)
    are_plain = all(b["class"] == "CONSTANT" or _is_column(b) for b in branches)
    return node["class"] == "COLUMN_REF" or (are_plain and any(map(_is_column, branches)))


def _is_number(node: dict[str, Any]) -> bool:
    """Whether a node is a number for sure, whatever its columns hold."""
    match node["class"]:
        case "CONSTANT":
            return _is_literal(node) and len(node["literal"]["text"].lstrip("-")) <= _DIGITS
        case "CAST":
            return node["type_expr"]["type_name"].upper() in _NUMBER_TYPES
        case "FUNCTION" if node["function_name"].lower() not in _CHOOSING:
            arguments = [a["expression"] for a in node["arguments"]]
            return node["function_name"].lower() in _NUMERIC and not any(map(_is_temporal, arguments))
    numbers = [b for b in _branches(node) if _is_number(b)]
    is_by_size = node.get("function_name", "").lower() in _BY_SIZE
    if is_by_size or not all(map(_is_literal, numbers)):
        return bool(numbers)
    return bool(numbers) and not any(map(_is_column, _branches(node)))


def _is_temporal(node: dict[str, Any]) -> bool:
    """Whether a node is a date, a time or an interval."""
    if node["class"] == "CAST":
        return str(node["type_expr"]["type_name"]).upper().startswith(("DATE", "TIME", "INTERVAL"))
    if node["class"] == "FUNCTION":
        name, arguments = node["function_name"].lower(), [a["expression"] for a in node["arguments"]]
        return name.startswith(_TEMPORAL_FUNCTIONS) or (name in _ARITHMETIC and any(map(_is_temporal, arguments)))
    return False


def _compared(node: Any, kind: Callable[[Parts], Kind]) -> Any:
    """Return a parse in which columns that are compared with columns are compared as numbers where both are."""
    if isinstance(node, list):
        return [_compared(n, kind) for n in node]
    if not isinstance(node, dict) or node.get("class") == "LAMBDA":
        return node
    node = {key: _compared(value, kind) for key, value in node.items()}
    match node.get("class"):
        case "COMPARISON":
            return _compared_pair(node, kind)
        case "BETWEEN" if _are_comparable([node[key] for key in ("input", "lower", "upper")], kind):
            low, high = _filled("a >= b", a=node["input"], b=node["lower"]), node["upper"]
            high = _filled("a <= b", a=node["input"], b=high)
            return _filled("a and b", a=_compared_pair(low, kind), b=_compared_pair(high, kind))
        case "OPERATOR" if node["type"] == "COMPARE_IN" and _are_comparable(node["children"], kind):
            first, *others = node["children"]
            pairs = [_compared_pair(_filled("a = b", a=first, b=other), kind) for other in others]
            return functools.reduce(lambda one, other: _filled("a or b", a=one, b=other), pairs)
        case "FUNCTION" if node["function_name"].lower() == "nullif" and len(node["arguments"]) == 2:
            one, other = (a["expression"] for a in node["arguments"])
            same = _compared_pair(_filled("a = b", a=one, b=other), kind)
            return _filled("case when a then null else b end", a=same, b=one)
        case "FUNCTION" if node["function_name"].lower() in _BY_SIZE and _are_comparable(_branches(node), kind):
            # What is chosen is the text as it was written.
            names = {f"c{n}": branch for n, branch in enumerate(_branches(node))}
            by_size = f"{node['function_name']}({', '.join(names)})"
            by_number = f"{node['function_name']}({', '.join(f'{n} + 0' for n in names)})"
            are_numbers = " and ".join(f"({n} is null or {n} + 0 is not null)" for n in names)
            cases = " ".join(f"when {n} + 0 = {by_number} then {n}" for n in names)
            return _filled(f"case when {are_numbers} then case {cases} end else {by_size} end", **names)
    return node


def _compared_pair(node: dict[str, Any], kind: Callable[[Parts], Kind]) -> dict[str, Any]:
    for side in ("left", "right"):
        if _is_literal(node[side]) and not _is_number(node[side]):
            node[side] = _text(node[side]["literal"]["text"])
    if not _are_comparable([node["left"], node["right"]], kind):
        return node
    numbers = {**node, "left": _filled("a + 0", a=node["left"]), "right": _filled("a + 0", a=node["right"])}
    condition = "a + 0 is not null and b + 0 is not null"
    if not node["type"].startswith(("COMPARE_GREATERTHAN", "COMPARE_LESSTHAN")):
        condition += f" and length(cast(a as varchar)) <= {_DIGITS} and length(cast(b as varchar)) <= {_DIGITS}"
    condition = _filled(condition, a=node["left"], b=node["right"])
    return _filled("case when c then n else t end", c=condition, n=numbers, t=node)


def _are_comparable(nodes: Sequence[dict[str, Any]], kind: Callable[[Parts], Kind]) -> bool:
    """Whether columns are compared with each other, each a text or a number, and one a text."""
    columns = [n for n in nodes if _is_column(n)]
    kinds = {kind(_parts(leaf)) for n in columns for leaf in _leaves(n)}
    others = [n for n in nodes if not _is_column(n)]
    are_plain = all(n["class"] == "CONSTANT" and not _is_literal(n) for n in others)
    return len(columns) > 1 and are_plain and "" not in kinds and "text" in kinds and _is_column(nodes[0])


def _leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the columns of which a node is one."""
    if node["class"] == "COLUMN_REF":
        yield node
    for branch in _branches(node):
        yield from _leaves(branch)


def _write_literals(node: dict[str, Any], is_number: bool, kind: Callable[[Parts], Kind], decimal: str) -> None:
    """Make a literal number a text where what is chosen between it and columns is one of their texts."""
    if node["class"] == "LAMBDA":
        return
    is_text = not is_number and not _is_number(node) and any(kind(_parts(leaf)) == "text" for leaf in _leaves(node))
    for child, needs_number in list(_needs(node, is_number)):
        if is_text and _is_literal(child) and any(child is b for b in _branches(node)):
            child.update(_text(child["literal"]["text"].replace(".", decimal)))
        else:
            _write_literals(child, needs_number, kind, decimal)


def _text(text: str) -> Any:
    constant = _template("'text'")
    return {**constant, "literal": {**constant["literal"], "text": text}}


def _filled(template: str, **parts: Any) -> Any:
    """Return the parse of a text in which other parses stand for its columns."""

    def fill(node: Any) -> Any:
        if isinstance(node, list):
            return [fill(n) for n in node]
        if not isinstance(node, dict):
            return node
        if node.get("class") == "COLUMN_REF":
            return json.loads(json.dumps(parts[node["column_names"][0]]))
        return {key: fill(value) for key, value in node.items()}

    return fill(_template(template))


def _template(text: str) -> Any:
    return parse(text)._tree()


def _call(function: str, argument: Any) -> Any:
    named = {"function_name": function, "qualified_name": {"path": [function]}}
    return {**_template("lower(a)"), **named, "arguments": [{"name": "", "expression": argument}]}


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
