"""A sources file as it is drafted, and as text: the mapping, and as comments why it is so and what is doubtful."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

_INDENT = "  "
_WIDE = 118


@dataclass
class EntityDraft:
    """An entity of a source: where it lies (`place`: files or table), how it is written, how it is mapped."""

    entity: str
    place: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)
    about: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """The entity as it stands in a sources file."""
        return {**self.place, **self.options, "columns": self.columns}


@dataclass
class SourceDraft:
    """A source: its kind, where it is (`path` or `url`), and its entities."""

    kind: str
    where: dict[str, Any]
    entities: dict[str, EntityDraft] = field(default_factory=dict)
    time_zone: str = ""
    about: str = ""
    doubts: list[str] = field(default_factory=list)

    @property
    def values(self) -> dict[str, Any]:
        zone = {"time_zone": self.time_zone} if self.time_zone else {}
        entities = {name: entity.values for name, entity in self.entities.items()}
        return {"kind": self.kind, **self.where, **zone, "entities": entities}


@dataclass
class Draft:
    """A whole sources file. `shop_comments` and `key_comments` say why, by key; `left` what is not read."""

    shop: dict[str, str]
    sources: dict[str, SourceDraft]
    head: list[str] = field(default_factory=list)
    shop_comments: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    key_comments: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def values(self) -> dict[str, Any]:
        sources = {name: source.values for name, source in self.sources.items()}
        return {"shop": self.shop, **self.keys, "sources": sources}

    @property
    def doubts(self) -> list[str]:
        """Everything that could not be told for sure, by place."""
        found = [
            f"shop.{key}: {text.removeprefix('check: ')}"
            for key, text in self.shop_comments.items()
            if text.startswith("check: ")
        ]
        for name, source in self.sources.items():
            found += [f"{name}: {doubt}" for doubt in source.doubts]
            for entity in source.entities.values():
                found += [f"{name}.{entity.entity}: {doubt}" for doubt in entity.doubts]
        return found

    @property
    def missing(self) -> list[str]:
        """What is needed and was not found: until then the file cannot run."""
        return [
            f"{name}.{entity.entity}: {column}: {why}"
            for name, source in self.sources.items()
            for entity in source.entities.values()
            for column, why in entity.missing.items()
        ]


def text_of(draft: Draft) -> str:
    """Return a draft as the text of a sources file."""
    lines = [f"# {line}".rstrip() for line in draft.head] + ([""] if draft.head else [])
    lines += ["shop:", *_keys(draft.shop, draft.shop_comments, 1), ""]
    for key, value in draft.keys.items():
        lines += [*_line(f"{key}: {flow(value)}", draft.key_comments.get(key, ""), 0), ""]
    lines.append("sources:")
    for name, source in draft.sources.items():
        lines += _line(f"{name}:", source.about, 1)
        plain = {"kind": source.kind, **source.where}
        if source.time_zone:
            plain["time_zone"] = source.time_zone
        lines += _keys(plain, {"time_zone": "of times that state none" if source.time_zone else ""}, 2)
        lines += _comment("check: ", source.doubts, 2)
        lines.append(f"{_INDENT * 2}entities:")
        for entity in source.entities.values():
            lines += _entity(entity)
    for left in draft.left:
        lines += _comment("not read: ", [left], 0)
    return "\n".join(map(printable, lines)) + "\n"


def printable(line: str) -> str:
    """Return a line without what a file or a terminal would take for more than text, such as a damaged export holds."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


def _entity(entity: EntityDraft) -> list[str]:
    lines = _line(f"{entity.entity}:", entity.about, 3)
    lines += _keys({**entity.place, **entity.options}, entity.comments, 4)
    lines.append(f"{_INDENT * 4}columns:")
    lines += _keys(entity.columns, entity.comments, 5)
    for column, why in entity.missing.items():
        lines += _comment("TODO ", [f"{column}: ???   {why}"], 5)
    lines += _comment("check: ", entity.doubts, 4)
    if entity.unmapped:
        lines += _comment("not mapped: ", [", ".join(entity.unmapped)], 4)
    return lines


def _keys(values: Mapping[str, Any], comments: Mapping[str, str], depth: int) -> list[str]:
    return [line for key, value in values.items() for line in _key(key, value, comments.get(key, ""), depth)]


def _key(key: str, value: Any, comment: str, depth: int) -> list[str]:
    one = f"{key}: {flow(value)}"
    if isinstance(value, str) and len(_INDENT * depth + one) > _WIDE and "\n" not in value and "  " not in value:
        folded = [_INDENT * (depth + 1) + line for line in wrapped(value, _WIDE - 2 * depth - 2)]
        return (
            [*_comment("", [comment], depth), f"{_INDENT * depth}{key}: >-", *folded]
            if comment
            else [f"{_INDENT * depth}{key}: >-", *folded]
        )
    if len(_INDENT * depth + one) <= _WIDE or not isinstance(value, dict) or not value:
        return _line(one, comment, depth)
    inner = [line for k, v in value.items() for line in _key(str(flow(k)), v, "", depth + 1)]
    return [*_line(f"{key}:", comment, depth), *inner]


def _line(text: str, comment: str, depth: int) -> list[str]:
    """Return a line with its comment behind it, or above it where that is too wide."""
    line = _INDENT * depth + text
    if not comment:
        return [line]
    beside = f"{line.ljust(34)}  # {comment}"
    if len(beside) <= _WIDE:
        return [beside]
    return [*_comment("", [comment], depth), line]


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines of at most that width."""
    return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)


def _comment(start: str, texts: list[str], depth: int) -> list[str]:
    lines = []
    for text in texts:
        line = _INDENT * depth + "# " + start
        for number, word in enumerate(" ".join(text.split()).split(" ")):
            if number and len(line) + len(word) + 1 > _WIDE:
                lines.append(line.rstrip())
                line = _INDENT * depth + "#   "
            line += word + " "
        lines.append(line.rstrip())
    return lines


def flow(value: Any) -> str:
    """Return a value on one line, as YAML: texts plain where they may be, else in double quotes where nothing in them
    needs escaping."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return str(yaml.safe_dump(value)).removesuffix("\n").removesuffix("\n...")


def _text(value: str) -> str:
    if not value.isprintable():
        escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
        return f'"{"".join(escaped)}"'
    # Within braces and lists a few more characters would end a plain text.
    plain = yaml.safe_dump([value], default_flow_style=True, width=1_000_000, allow_unicode=True)[1:-2]
    return plain if plain == value or '"' in value or "\\" in value else f'"{value}"'
