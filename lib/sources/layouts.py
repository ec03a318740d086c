"""Declared layouts: which words of an order confirmation name which of our columns, and how numbers and times look.

The words themselves are data: ready-made ones in `mail_layouts.yml`, a shop's own in its sources file. How a text is
read by a layout is in `confirmation`.
"""

import contextlib
import re
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator, model_validator

from lib.base.errors import did_you_mean
from lib.entities import ENTITIES

Words = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
DATA: dict[str, Any] = yaml.load(
    Path(__file__).with_name("mail_layouts.yml").read_text(encoding="utf-8"),
    getattr(yaml, "CSafeLoader", yaml.SafeLoader),
)
_PARTS = ("order", "lines", "payments")
_MINUS = frozenset("-−–‒")
_NUMBERS = {
    mark: re.compile(
        rf"(?P<before>[^\d%]*)(?P<whole>\d{{1,3}}(?P<mark>[ '’{other}])\d{{3}}((?P=mark)\d{{3}})*|\d+)"
        rf"([{mark}](?P<rest>\d+))?(?P<after>[^\d%]*)"
    )
    for mark, other in (".,", ",.")
}
_CODE = re.compile(r"(?<![A-Za-z])[A-Z]{3}(?![A-Za-z])")
_ISO = re.compile(r"\d{4}-\d\d")
_WORD = re.compile(r"(?<!%)[^\W\d]+")
_POINTS = re.compile(r"[,()]|\.(?!\d|%)|(UTC|GMT)(?=[+-])")
_END = re.compile(r"[\s:.]+$")


class Unreadable(Exception):  # noqa: N818
    """A message cannot be understood; the text says what was found."""


class Layout(BaseModel):
    """How confirmations are written: column -> the words that name it, for an order, its lines and its payments.

    `sign` is a regular expression that is found in messages of this layout alone, `like` a ready-made layout whose keys
    and words apply where this one gives none. `line` is one whose groups bear the names of columns, where each line of
    an order is a sentence. `times` are in strptime form; `months` names January to December, `fillers` are the words in
    times that say nothing, such as the names of days.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sign: re.Pattern[str] = re.compile("")
    like: str = ""
    order: dict[str, Words] = {}
    lines: dict[str, Words] = {}
    payments: dict[str, Words] = {}
    ignored: Words = ()
    line: re.Pattern[str] | None = None
    values: dict[str, dict[str, Words]] = {}
    decimal: Literal[".", ","] = "."
    times: Words = ()
    months: tuple[Words, ...] = ()
    fillers: Words = ()

    @model_validator(mode="before")
    @classmethod
    def _like_another(cls, own: Any) -> Any:
        if not isinstance(own, dict) or not (like := str(own.get("like") or "")):
            return own
        if like not in DATA["layouts"]:
            raise ValueError(f"there is no layout {like!r} to be like.{did_you_mean(like, DATA['layouts'])}")
        ready = DATA["layouts"][like]
        words = {
            # A shop's own words come after the ready-made ones: the last meaning of a word counts.
            key: {name: value for name, value in ready[key].items() if name not in own[key]} | own[key]
            for key in (*_PARTS, "values")
            if isinstance(own.get(key), dict)
        }
        return {**ready, **own, **words}

    @field_validator(*_PARTS, "line")
    @classmethod
    def _known_columns(cls, value: Any, info: ValidationInfo) -> Any:
        known = ENTITIES["payments" if info.field_name == "payments" else "order_lines"].names
        for name in value.groupindex if isinstance(value, re.Pattern) else value or ():
            if name not in known:
                raise ValueError(f"{info.field_name}: there is no column {name!r}.{did_you_mean(name, known)}")
        return value

    @cached_property
    def labels(self) -> tuple[dict[str, str], ...]:
        """Label -> column of an order, a line and a payment; an ignored label has an empty column."""
        order, lines, payments = (
            {normal(word): column for column, words in getattr(self, part).items() for word in words} for part in _PARTS
        )
        ignored = dict.fromkeys(map(normal, self.ignored), "")
        return ignored | order, ignored | lines, payments

    @cached_property
    def meanings(self) -> dict[str, dict[str, str]]:
        """By column, each known value -> the one word for it in all layouts."""
        return {
            column: {normal(word): ours for ours, words in known.items() for word in words}
            for column, known in self.values.items()
        }

    @cached_property
    def time_words(self) -> dict[str, str]:
        """Words in times, word -> its plain form: months as numbers, zones by their distance from UTC."""
        months = {word: f" m{number} " for number, words in enumerate(self.months, 1) for word in words}
        words = DATA["zones"] | dict.fromkeys(self.fillers, " ") | months
        return {word.casefold(): plain for word, plain in words.items()}

    @cached_property
    def time_forms(self) -> list[str]:
        return [self._plain_time(form.replace("%B", "m%m")) for form in self.times]

    def _plain_time(self, text: str) -> str:
        text = _WORD.sub(lambda word: self.time_words.get(word[0].casefold(), word[0]), _POINTS.sub(" ", text))
        return " ".join(text.split())

    def columns(self, entity: str) -> set[str]:
        """Return the columns of an entity that a message of this layout may have."""
        if entity == "payments":
            return {"order_id", "currency", *self.payments}
        return {"currency", *self.order, *self.lines, *(self.line.groupindex if self.line else ())}

    def value(self, column: str, text: str) -> str:
        """Return a value by its one word in all layouts, or as it is where it is not among the known ones."""
        return self.meanings[column].get(normal(text), text) if column in self.meanings else text

    def number(self, text: str) -> str:
        """Return a number in digits with a decimal point; raise Unreadable for what is not one."""
        found = _NUMBERS[self.decimal].fullmatch(text.strip())
        if not found:
            raise Unreadable(f"has {text!r}, which is no number with a {self.decimal!r} before its decimals")
        negative = not _MINUS.isdisjoint(found["before"].replace("(", "-")) or found["after"].lstrip()[:1] in _MINUS
        whole = found["whole"].replace(found["mark"] or " ", "")
        return f"{'-' if negative else ''}{whole}" + (f".{found['rest']}" if found["rest"] else "")

    def time(self, text: str) -> str:
        """Return a date or time in ISO form, with its distance from UTC where one is stated.

        What has none of the layout's forms is returned as it is: ISO already, or for the row rules to judge.
        """
        plain = "" if _ISO.match(text) else self._plain_time(text)
        for form in self.time_forms if plain else ():
            with contextlib.suppress(ValueError):
                at = datetime.strptime(plain, form)
                return at.isoformat(sep=" ") if "%M" in form else at.date().isoformat()
        return text


def normal(label: str) -> str:
    """Return a label as it is compared: small letters, single blanks, no colon or dot at its end."""
    return _END.sub("", " ".join(label.split()).casefold()) or label


def currency(amounts: Iterable[str]) -> str:
    """Return the currency that amounts are written in, empty where none says; raise Unreadable where it changes."""
    text = "\n".join(amounts)
    found = {code for sign, code in DATA["currencies"].items() if sign in text} | set(_CODE.findall(text))
    if len(found) > 1:
        raise Unreadable(f"has amounts in several currencies: {', '.join(sorted(found))}")
    return next(iter(found), "")
