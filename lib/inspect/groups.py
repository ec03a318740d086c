"""Which documents belong together: of one form of a known layout, or with columns that mean the same."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.inspect.arithmetic import Guess
from lib.inspect.documents import Document
from lib.inspect.guesses import guess
from lib.inspect.layouts import Recognized, plain, recognize
from lib.inspect.sources_file import Draft
from lib.inspect.values import Values


@dataclass
class Group:
    """Documents that are one entity's: of one form of a layout, or of one set of columns."""

    documents: list[Document]
    recognized: Recognized | None = None
    columns: tuple[Values, ...] = ()
    guessed: Guess | None = None

    @property
    def first(self) -> Document:
        return self.documents[0]

    @property
    def rows(self) -> int:
        return sum(document.rows for document in self.documents)


@dataclass
class Drafted:
    """The draft, and which documents each of its entities reads, by source and entity."""

    draft: Draft
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    unread: list[Document] = field(default_factory=list)


def groups_of(usable: Sequence[Document]) -> list[Group]:
    groups: dict[Any, Group] = {}
    for document in usable:
        recognized = recognize(document.names, document.kind)
        where = document.place if document.kind == "database" else ""
        if recognized:
            key: Any = (recognized.layout.source, recognized.form.name, document.kind, where, document.sheet)
        else:
            table = document.name if where else document.sheet
            key = (frozenset(map(plain, document.names)), document.kind, where, table, bool(_refunds(document)))
        group = groups.setdefault(key, Group([], recognized))
        group.documents.append(document)
    for group in groups.values():
        group.columns = _together(group.documents)
        if not group.recognized:
            group.guessed = guess(group.first, group.columns)
    return _merged(list(groups.values()))


def _refunds(document: Document) -> bool:
    return bool(re.search(r"refund|return|retoure|erstattung|remboursement|devolucion|credit.?note", document.stem))


def _merged(groups: list[Group]) -> list[Group]:
    """Put groups together whose columns mean the same: of files split by year, one may have more columns."""
    kept: list[Group] = []
    for group in groups:
        guessed = group.guessed
        same = next(
            (
                other
                for other in kept
                if guessed and other.guessed and group.first.kind == "files" == other.first.kind
                and (other.guessed.entity, other.guessed.columns) == (guessed.entity, guessed.columns)
            ),
            None,
        )  # fmt: skip
        if same is None:
            kept.append(group)
            continue
        same.documents += group.documents
        same.columns = _together(same.documents)
        same.guessed = guess(same.first, same.columns)
    return kept


def _together(found: Sequence[Document]) -> tuple[Values, ...]:
    """Return the columns of several documents, with the values of all; one that a document lacks is empty there."""
    if len(found) == 1:
        return found[0].columns
    names = dict.fromkeys(name for document in found for name in document.names)
    columns = []
    for name in names:
        texts: list[str | None] = []
        for document in found:
            own = next((c for c in document.columns if c.name == name), None)
            length = len(document.columns[0].texts) if document.columns else 0
            texts += own.texts if own else [None] * length
        columns.append(Values(name, tuple(texts)))
    return tuple(columns)


def has_orders_of(group: Group) -> bool:
    if group.recognized:
        form = group.recognized.form
        return not form.with_orders and bool({"orders", "order_lines"} & form.entities.keys())
    return group.guessed is not None and group.guessed.entity in ("orders", "order_lines") and not group.guessed.missing
