"""The export layouts that are known, as data in `layouts/*.yml`: by which columns each is recognized, how it is mapped.

A layout is a system, such as Shopify; its forms are the exports it has. `entities` of a form are written in the mapping
language, with two additions: where a column's mapping is a list with more than names in it, the first counts whose
columns the file has; and `names` gives the other names under which a column occurs, in other versions and languages.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent / "layouts"
#: A column's name in SQL.
_IDENTIFIER = re.compile(r'"((?:[^"]|"")+)"')


@dataclass(frozen=True)
class Form:
    """One export of a system.

    `sign` holds the columns that an export of this form has, each with the names it may have. `with_orders` is how the
    form is mapped where another file of the shop has its orders. `assumes` names columns that no export states.
    """

    name: str
    files: str
    sign: tuple[tuple[str, ...], ...]
    entities: Mapping[str, Mapping[str, Any]]
    with_orders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    read: Mapping[str, Any] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    dates: str = ""


@dataclass(frozen=True)
class Layout:
    """The exports of one system; `source` is what it is called in a sources file.

    `shop`, `keys` and `key_comments` are the example's; what `inspect` writes follows from the data.
    """

    system: str
    source: str
    kind: str
    export: str
    shop: Mapping[str, str]
    forms: tuple[Form, ...]
    head: str
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    time_zone: str = ""
    zone_column: str = ""
    currency_column: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    key_comments: Mapping[str, str] = field(default_factory=dict)

    def variants(self, name: str) -> tuple[str, ...]:
        """Return the names under which a column occurs, the usual one first."""
        return (name, *self.names.get(name, ()))


@dataclass(frozen=True)
class Recognized:
    """A file's layout and form, and how many of its columns belong to them."""

    layout: Layout
    form: Form
    known: int


@cache
def layouts() -> tuple[Layout, ...]:
    """Return all layouts, by name of their file."""
    return tuple(_layout(path) for path in sorted(_FOLDER.glob("*.yml")))


def _layout(path: Path) -> Layout:
    text = path.read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    head = [line.removeprefix("#").strip() for line in text.split("\n") if line.startswith("#")]
    names = {str(name): tuple(map(str, others)) for name, others in values.get("names", {}).items()}
    return Layout(
        system=values["system"],
        source=path.stem,
        kind=values.get("kind", "files"),
        export=values["export"],
        shop=values["shop"],
        forms=tuple(_form(form) for form in values["forms"]),
        head=" ".join(head),
        names=names,
        time_zone=values.get("time_zone", ""),
        zone_column=values.get("zone_column", ""),
        currency_column=values.get("currency_column", ""),
        keys=values.get("keys", {}),
        key_comments=values.get("key_comments", {}),
    )


def _form(values: dict[str, Any]) -> Form:
    sign = tuple(tuple(name.strip() for name in str(names).split("|")) for names in values["sign"])
    given: dict[str, Any] = {key: tuple(values.get(key, ())) for key in ("notes", "unused", "assumes")}
    kept = ("with_orders", "read", "comments", "needs", "dates")
    given |= {key: values[key] for key in kept if key in values}
    return Form(values["name"], values["files"], sign, values["entities"], **given)


def plain(name: str) -> str:
    """Return a column's name as it is compared: without capitals, and with single blanks."""
    return " ".join(name.split()).casefold()


def recognize(columns: Iterable[str], kind: str = "files") -> Recognized | None:
    """Return the layout that fits some columns best, None where none fits."""
    have = {plain(column) for column in columns}
    fitting = []
    for layout in layouts():
        if layout.kind != kind and not (layout.kind == "files" and kind == "database"):
            continue
        for form in layout.forms:
            if all(any(plain(v) in have for name in names for v in layout.variants(name)) for names in form.sign):
                known = {plain(name) for name in columns_named(layout, form)}
                fitting.append(Recognized(layout, form, len(have & known)))
    return max(fitting, key=lambda found: (found.known, len(found.form.sign)), default=None)


def columns_named(layout: Layout, form: Form) -> list[str]:
    """Return every column that a form's mapping names, under each of its names, and those that nothing needs."""
    found = dict.fromkeys(name for names in form.sign for name in names)
    for entities in (form.entities, form.with_orders):
        for spec in entities.values():
            found |= dict.fromkeys(_names_in(list(spec["columns"].values())))
            found |= dict.fromkeys(_identifiers(spec.get("where", "")))
    found |= dict.fromkeys(form.unused)
    return [variant for name in found for variant in layout.variants(name)]


def _identifiers(sql: str) -> list[str]:
    return [found.replace('""', '"') for found in _IDENTIFIER.findall(sql)]


def _names_in(mapping: Any) -> list[str]:
    """Return the raw columns that a mapping names."""
    if isinstance(mapping, str):
        return [mapping]
    if isinstance(mapping, list):
        return [name for one in mapping for name in _names_in(one)]
    names = _names_in(mapping.get("column", [])) + _names_in(mapping.get("default_column", []))
    names += _identifiers(mapping.get("sql", "")) + _names_in(mapping.get("zone", []))
    return names + (_names_in(mapping["lookup"]["by"]) if "lookup" in mapping else [])


class _Missing(Exception):  # noqa: N818
    """A file lacks a column that a mapping names."""


@dataclass(frozen=True)
class Names:
    """The columns of a file, as a layout's mapping is fitted to them."""

    layout: Layout
    columns: tuple[str, ...]

    def find(self, name: str) -> str | None:
        """Return what the file calls a column."""
        have = {plain(column): column for column in reversed(self.columns)}
        return next((have[plain(v)] for v in self.layout.variants(name) if plain(v) in have), None)

    def fit(self, mapping: Any) -> Any:
        """Return a column's mapping in the names of the file, as short as can be; None where the file lacks it."""
        try:
            return self._fit(mapping)
        except _Missing:
            return None

    def where(self, sql: str) -> str:
        """Return a condition in the names of the file, empty where it lacks one of them."""
        try:
            return self._sql(sql)
        except _Missing:
            return ""

    def _fit(self, mapping: Any) -> Any:
        if isinstance(mapping, str):
            return self._all([mapping])
        if isinstance(mapping, list):
            if all(isinstance(one, str) for one in mapping):
                return self._all(mapping)
            return next(fitted for one in mapping if (fitted := self.fit(one)) is not None)
        if "sql" in mapping:
            fitted = {key: value for key, value in mapping.items() if key != "optional"}
            if "zone" in mapping:
                fitted["zone"] = self._all([mapping["zone"]])
            return {**fitted, "sql": self._sql(mapping["sql"])}
        if "lookup" in mapping:
            return {**mapping, "lookup": {**mapping["lookup"], "by": self._all(_names_in(mapping["lookup"]["by"]))}}
        if "column" not in mapping:
            return mapping
        rest = {key: value for key, value in mapping.items() if key not in ("column", "optional")}
        try:
            found = self._all(_names_in(mapping["column"]))
        except _Missing:
            if "default" in mapping:
                return {"constant": mapping["default"]}
            raise
        return {"column": found, **rest} if rest else found

    def _all(self, names: Iterable[str]) -> str | list[str]:
        """Return those of some names that the file has: of several, each row has the first with a value."""
        found = list(dict.fromkeys(own for name in names if (own := self.find(name))))
        if not found:
            raise _Missing
        return found if len(found) > 1 else found[0]

    def _sql(self, sql: str) -> str:
        def actual(found: re.Match[str]) -> str:
            name = self.find(found[1].replace('""', '"'))
            if name is None:
                raise _Missing
            return '"' + name.replace('"', '""') + '"'

        return _IDENTIFIER.sub(actual, sql)
