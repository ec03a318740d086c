"""From documents to a draft of a sources file: each is recognized or guessed, what belongs together is put together."""

import fnmatch
import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lib.entities import ENTITIES
from lib.inspect.documents import Document
from lib.inspect.guesses import Guess, dates_of, form_of, guess
from lib.inspect.layouts import Form, Layout, Names, Recognized, columns_named, plain, recognize
from lib.inspect.sources_file import Draft, EntityDraft, SourceDraft
from lib.inspect.values import Values

#: What a currency is taken for where neither the data nor the user says one.
_ASSUMED_CURRENCY, _ASSUMED_ZONE = "EUR", "UTC"
#: Folders whose names say nothing of a shop.
_NO_NAMES = frozenset(
    ("/", "files", "exports", "export", "downloads", "data", "csv", "tmp", "home", "sources", "input")
)
_BY_NAMES = "no layout that is known: by names and values"
_NOTHING = "its columns are none that a shop's orders, customers, products, payments or events have"
_RATES = {"date", "currency", "rate"}


@dataclass(frozen=True)
class Wishes:
    """What the user says of the shop: name, currency, time zone; empty where it is to be guessed."""

    name: str = ""
    currency: str = ""
    time_zone: str = ""
    cents: bool = False


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


def draft_of(found: Sequence[Document], wishes: Wishes, head: list[str]) -> Drafted:
    """Return the draft for some documents."""
    usable = [document for document in found if not document.problem]
    drafted = Drafted(Draft({}, {}, head), unread=[document for document in found if document.problem])
    rates = [document for document in usable if {plain(name) for name in document.names} == _RATES]
    groups = _groups([document for document in usable if document not in rates])
    has_orders = any(_has_orders(group) for group in groups)
    by_system: dict[str, list[Group]] = {}
    for group in groups:
        if group.recognized:
            by_system.setdefault(f"{group.recognized.layout.source}|{group.first.kind}", []).append(group)
    for members in by_system.values():
        _system(drafted, members, has_orders)
    for group in groups:
        if group.guessed and group.guessed.is_hopeless:
            for document in group.documents:
                drafted.unread.append(replace(document, problem=_NOTHING))
        elif not group.recognized:
            _unknown(drafted, group)
    _years(drafted)
    _orphans(drafted)
    _same_ids(drafted, "products", "product_id")
    _same_ids(drafted, "customers", "customer_id")
    _links(drafted)
    _split_orders(drafted)
    _shop(drafted, wishes, rates)
    _patterns(drafted, rates)
    drafted.draft.left += [f"{document.name}: {document.problem}" for document in drafted.unread if _is_data(document)]
    return drafted


def _is_data(document: Document) -> bool:
    return not document.name.lower().endswith((".md", ".yml", ".yaml", ".py", ".log", ".pdf", ".png", ".jpg", ".html"))


# Which documents belong together


def _groups(usable: Sequence[Document]) -> list[Group]:
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
    return bool(re.search(r"refund|retoure|erstattung|remboursement|devolucion|credit.?note", document.stem))


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


def _has_orders(group: Group) -> bool:
    if group.recognized:
        form = group.recognized.form
        return not form.with_orders and bool({"orders", "order_lines"} & form.entities.keys())
    return group.guessed is not None and group.guessed.entity in ("orders", "order_lines") and not group.guessed.missing


# Systems that are known


def _system(drafted: Drafted, members: list[Group], has_orders: bool) -> None:
    """Add the source of one known system."""
    recognized = members[0].recognized
    assert recognized is not None
    layout = recognized.layout
    kind = members[0].first.kind
    forms = ", ".join(f"{g.recognized.form.name}" for g in members if g.recognized)
    source = SourceDraft(kind, _where(members), time_zone=layout.time_zone, about=f"{layout.system}: {forms}")
    name = _free(drafted, layout.source)
    for group in members:
        assert group.recognized is not None
        form = group.recognized.form
        entities = form.entities
        if form.with_orders and has_orders:
            entities = form.with_orders
        for entity, spec in entities.items():
            if entity in source.entities:
                other = _free(drafted, f"{name}_{_word(form.name)}")
                extra = SourceDraft(
                    kind, _where([group]), time_zone=layout.time_zone, about=f"{layout.system}: {form.name}"
                )
                extra.entities[entity] = _known(layout, form, entity, spec, group)
                drafted.draft.sources[other] = extra
                drafted.groups[other, entity] = group
                continue
            source.entities[entity] = _known(layout, form, entity, spec, group)
            drafted.groups[name, entity] = group
        source.doubts += form.notes
    present = {entity for (owner, entity) in drafted.groups if owner == name}
    for group in members:
        assert group.recognized is not None
        for column, needed in group.recognized.form.needs.items():
            if needed not in present:
                _without_lookup(source, column, group)
    drafted.draft.sources[name] = source


def _without_lookup(source: SourceDraft, column: str, group: Group) -> None:
    """Take what a column is without the table that it would be looked up in."""
    assert group.recognized is not None
    names = Names(group.recognized.layout, group.first.names)
    for entity, spec in group.recognized.form.entities.items():
        options = spec["columns"].get(column)
        if isinstance(options, list):
            plain_ones = [o for o in options if not (isinstance(o, dict) and "lookup" in o)]
            source.entities[entity].columns[column] = names.fit(plain_ones[0])


def _known(layout: Layout, form: Form, entity: str, spec: Mapping[str, Any], group: Group) -> EntityDraft:
    """Return the entity of a form, in the names that the files have."""
    names = Names(layout, tuple(c.name for c in group.columns))
    columns = {ours: fitted for ours, m in spec["columns"].items() if (fitted := names.fit(m)) is not None}
    columns = {ours: _in_all(mapping, group, layout) for ours, mapping in columns.items()}
    options = {key: value for key, value in spec.items() if key not in ("columns", "where")}
    comments = {key: why for key, why in form.comments.items() if key in columns or key in options or key == "where"}
    draft = EntityDraft(entity, _place(group), options, columns, comments, about=_about(group))
    if "where" in spec and (condition := names.where(" ".join(spec["where"].split()))):
        draft.options["where"] = condition
    if group.first.kind == "files":
        draft.options |= form.read
        if "quote" not in form.read and any(_unquoted(document) for document in group.documents):
            draft.options["quote"] = ""
    _written(draft, form, group, layout)
    used = {plain(name) for name in columns_named(layout, form)}
    draft.unmapped = [c.name for c in group.columns if plain(c.name) not in used]
    draft.unmapped += [v for n in form.unused for v in layout.variants(n) if any(c.name == v for c in group.columns)]
    for column in ENTITIES[entity].columns:
        if column.required and column.name not in columns:
            draft.missing[column.name] = f"needed: a column with the {column.name.replace('_', ' ')} of each row"
    return draft


def _unquoted(document: Document) -> bool:
    return document.delimiter == "\t" and document.form == "txt"


def _written(draft: EntityDraft, form: Form, group: Group, layout: Layout) -> None:
    """Add how the values of a known form are written, where this export differs from what the form says."""
    if group.first.kind != "files":
        return
    own = _mapped_values(draft, group)
    options, doubts, _ = form_of(group.first, own)
    for key in ("decimal", "thousands"):
        if key in options:
            draft.options[key] = options[key]
    if "null_values" in options:
        draft.options["null_values"] = options["null_values"]
    times = [c for c in own if c.is_time and not c.epoch]
    formats, said = dates_of(times)
    given = list(draft.options.get("timestamp_formats", ()))
    composed = any(isinstance(m, dict) and "sql" in m for o, m in draft.columns.items() if o.endswith("_at"))
    if form.dates == "ask" and (formats or any("cannot be seen" in text for text in said)):
        draft.options["timestamp_formats"] = formats or given
        draft.doubts += said if formats else [f"{said[0].split(';')[0]}; taken as {layout.system} usually has it"]
        if not formats:
            draft.doubts[-1] += f": {given[0]}"
    elif not composed and formats and not said:
        new = [f for f in formats if f not in given]
        if new and given:
            draft.options["timestamp_formats"] = [*new, *[f for f in given if f[:2] == new[0][:2]]]
        elif new:
            draft.options["timestamp_formats"] = formats
    draft.doubts += [doubt for doubt in doubts if doubt not in said]


def _mapped_values(draft: EntityDraft, group: Group) -> list[Values]:
    """Return the columns that a draft maps to numbers and times."""
    kinds = {c.name: c.kind for c in ENTITIES[draft.entity].columns}
    names: set[str] = set()
    for ours, mapping in draft.columns.items():
        if kinds.get(ours) in ("timestamp", "amount", "quantity", "measure"):
            names |= set(_raw_names(mapping))
    return [column for column in group.columns if column.name in names]


def _raw_names(mapping: Any) -> list[str]:
    if isinstance(mapping, str):
        return [mapping]
    if isinstance(mapping, list):
        return [name for one in mapping for name in _raw_names(one)]
    if not isinstance(mapping, dict):
        return []
    found = _raw_names(mapping.get("column", []))
    return found + re.findall(r'"([^"]+)"', mapping.get("sql", ""))


def _in_all(mapping: Any, group: Group, layout: Layout | None = None) -> Any:
    """Return a mapping that holds for all files of a group, where some of them have other or fewer columns."""
    raw = _raw_names(mapping)
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


# Systems that are not known


def _unknown(drafted: Drafted, group: Group) -> None:
    guessed = group.guessed
    assert guessed is not None
    options = dict(guessed.options)
    if group.first.kind == "files" and group.first.delimiter not in ("", ",", ";", "\t", "|"):
        options["delimiter"] = group.first.delimiter
    used = {name for mapping in guessed.columns.values() for name in _raw_names(mapping)}
    draft = EntityDraft(
        guessed.entity,
        _place(group),
        options,
        {ours: _in_all(mapping, group) for ours, mapping in guessed.columns.items()},
        guessed.comments,
        guessed.doubts,
        guessed.missing,
        [c.name for c in group.columns if c.name not in used],
        _about(group),
    )
    folder = _where([group])
    kind = group.first.kind
    for name, source in drafted.draft.sources.items():
        same = source.kind == kind and source.where == folder and source.about == _BY_NAMES
        if same and guessed.entity not in source.entities:
            source.entities[guessed.entity] = draft
            drafted.groups[name, guessed.entity] = group
            return
    name = _free(drafted, _word(group.first.stem) if kind != "database" else "database")
    drafted.draft.sources[name] = SourceDraft(kind, folder, {guessed.entity: draft}, about=_BY_NAMES)
    drafted.groups[name, guessed.entity] = group


def _word(text: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    word = re.sub(r"(_?\d+)+$", "", word) or word
    return (word if word[:1].isalpha() else f"s_{word}")[:36]


def _free(drafted: Drafted, name: str) -> str:
    taken, number = name, 2
    while taken in drafted.draft.sources:
        taken, number = f"{name}_{number}", number + 1
    return taken


def _about(group: Group) -> str:
    files = len(group.documents)
    word = "table" if group.first.kind == "database" else "file"
    part = " at least" if any(document.is_part for document in group.documents) else ""
    return f"{group.rows:,} row{'s' * (group.rows != 1)}{part} in {files:,} {word}{'s' * (files != 1)}"


# Where documents lie


def _where(members: Sequence[Group]) -> dict[str, Any]:
    first = members[0].first
    if first.kind == "database":
        return {"path": first.place} if first.place.startswith("/") else {"url": first.place}
    folders = {d.folder for group in members for d in group.documents}
    return {"path": os.path.commonpath(folders)}


def _place(group: Group) -> dict[str, Any]:
    if group.first.kind != "database":
        sheet = {"sheet": group.first.sheet} if group.first.sheet else {}
        return {"files": group.first.name, **sheet, **group.first.reading}
    keys = group.first.keys
    place: dict[str, Any] = {"table": group.first.name}
    if keys != ("id",):
        place["id"] = keys[0] if len(keys) == 1 else list(keys)
    names = set(group.first.names)
    if "updated_at" not in names:
        place["updated_at"] = ""
    return place


def _patterns(drafted: Drafted, rates: Sequence[Document]) -> None:
    """Let each entity of files read its own files and, as far as names show it, those that come later."""
    files = {d.place for group in drafted.groups.values() for d in group.documents if d.kind != "database"}
    files |= {d.place for d in (*drafted.unread, *rates)}
    for (source, entity), group in drafted.groups.items():
        if group.first.kind == "database":
            continue
        draft = drafted.draft.sources[source]
        base = draft.where["path"]
        inside = sorted(
            os.path.relpath(place, base) for place in files if not os.path.relpath(place, base).startswith("..")
        )
        own = sorted(os.path.relpath(document.place, base) for document in group.documents)
        pattern = _pattern(own, inside)
        if pattern:
            draft.entities[entity].place["files"] = pattern
        else:
            draft.entities[entity].place["files"] = glob.escape(own[0])
            draft.entities[entity].doubts.append(
                f"no pattern names these files and no others: {', '.join(own)}. Put them into a folder of their own;"
                " until then only the first is read"
            )


def _pattern(own: Sequence[str], inside: Sequence[str]) -> str:
    """Return the pattern that matches one entity's files and no other, empty where there is none."""
    tried = []
    starts = _common_start([name.rsplit("/", 1)[-1] for name in own])
    endings = {re.sub(r"^.*?((?:\.[A-Za-z][A-Za-z0-9]{1,7})+)$", r"\1", name) for name in own}
    ending = endings.pop() if len(endings) == 1 else ".*"
    folders = {name.rpartition("/")[0] for name in own}
    folder = f"{folders.pop()}/" if len(folders) == 1 else "**/"
    folder = "" if folder == "/" else folder
    stem = re.sub(
        r"[-_ .]*\(?\d[\d_. -]*.*$", "", starts if len(own) > 1 else own[0].rsplit("/", 1)[-1].removesuffix(ending)
    )
    if len(own) == 1:
        if stem and stem != own[0].rsplit("/", 1)[-1].removesuffix(ending):
            tried.append(f"{folder}{stem}*{ending}")
        tried.append(glob.escape(own[0]))
    else:
        # What comes between the words and the number: an underscore, say.
        between = re.sub(r"\d.*$", "", starts) or stem
        starting = dict.fromkeys(s for s in (stem, between, f"{between}[0-9]", starts) if s)
        tried += [f"{folder}{start}*{ending}" for start in starting]
        tried.append(f"{folder}*{ending}")
    for pattern in tried:
        if [name for name in inside if _matches(name, pattern)] == list(own):
            return pattern
    return ""


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    return first[: next((i for i, c in enumerate(first) if last[i : i + 1] != c), len(first))]


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], pattern[3:])
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)


# Entities that belong to each other


def _years(drafted: Drafted) -> None:
    """Where order numbers begin anew each year, let the other files that name orders tell them apart too."""
    composed = [
        mapping
        for source in drafted.draft.sources.values()
        for draft in source.entities.values()
        if isinstance(mapping := draft.columns.get("order_id"), dict) and "regexp_extract" in mapping.get("sql", "")
    ]
    if not composed:
        return
    for source in drafted.draft.sources.values():
        for draft in source.entities.values():
            mapping = draft.columns.get("order_id")
            time = next((draft.columns[c] for c in ("updated_at", "paid_at", "ordered_at") if c in draft.columns), None)
            if isinstance(mapping, str) and isinstance(time, str):
                quoted = [name.replace('"', '""') for name in (time, mapping)]
                draft.columns["order_id"] = {
                    "sql": f"""regexp_extract("{quoted[0]}", '\\d{{4}}') || '-' || "{quoted[1]}\""""
                }
                draft.doubts.append(
                    f"order numbers begin anew each year; {mapping!r} is taken for the order of the year in {time!r}"
                )


def _orphans(drafted: Drafted) -> None:
    """Say that lines and payments wait for orders that no file states."""
    if any(entity in ("orders", "order_lines") for _, entity in drafted.groups):
        return
    for (name, entity), group in drafted.groups.items():
        if entity in ("order_items", "payments"):
            draft = drafted.draft.sources[name].entities[entity]
            draft.missing["orders"] = (
                f"needed: a file of the orders, with a time of each; {', '.join(d.name for d in group.documents)} alone"
                " says nothing of when"
            )


def _same_ids(drafted: Drafted, entity: str, column: str) -> None:
    """Let a list of products or customers be known by the ids that orders name, where it has several kinds of ids."""
    named: set[str] = set()
    for (name, other), group in drafted.groups.items():
        if other in ("orders", "order_lines", "order_items"):
            for raw in _raw_names(drafted.draft.sources[name].entities[other].columns.get(column)):
                named |= next((c.distinct for c in group.columns if c.name == raw), frozenset())
    for (name, own), group in drafted.groups.items():
        draft = drafted.draft.sources[name].entities[own]
        mapped = draft.columns.get(column)
        if own != entity or not named or not isinstance(mapped, str):
            continue
        shares = {c.name: len(c.distinct & named) for c in group.columns}
        best = max(shares, key=lambda one: shares[one])
        if shares[best] > shares.get(mapped, 0) and shares.get(mapped, 0) < 0.5 * len(named):
            draft.columns[column] = best
            draft.comments[column] = f"the id that orders name; {mapped!r} is another one"
            draft.unmapped = [mapped, *[one for one in draft.unmapped if one != best]]
        elif not shares.get(mapped):
            draft.doubts.append(f"none of the ids in {mapped!r} is one that the orders name")


def _links(drafted: Drafted) -> None:
    """Leave out payments that name no order of the shop: they would wait for it for ever."""
    orders = _order_ids(drafted)
    for name, source in list(drafted.draft.sources.items()):
        draft = source.entities.get("payments")
        if draft is None or not orders:
            continue
        group = drafted.groups[name, "payments"]
        mapping = draft.columns.get("order_id")
        given: set[str] = set()
        if isinstance(mapping, str):
            given = set(next(c for c in group.columns if c.name == mapping).distinct)
        if given and len(given & orders) >= 0.5 * len(given):
            continue
        if given and len({f"#{one}" for one in given} & orders) >= 0.5 * len(given):
            quoted = str(mapping).replace('"', '""')
            draft.columns["order_id"] = {"sql": f"""'#' || "{quoted}\""""}
            draft.comments["order_id"] = "the orders file writes the same numbers with a #"
            continue
        if isinstance(mapping, dict):
            continue
        why = f"{mapping!r} names no order of the other files" if given else "no column names the order that was paid"
        drafted.draft.left.append(
            f"{', '.join(d.name for d in group.documents)}: payments, but {why}; map payments.order_id to read them"
        )
        del source.entities["payments"]
        del drafted.groups[name, "payments"]
        if not source.entities:
            del drafted.draft.sources[name]


def _order_ids(drafted: Drafted) -> set[str]:
    found: set[str] = set()
    for (name, entity), group in drafted.groups.items():
        if entity in ("orders", "order_lines"):
            mapping = drafted.draft.sources[name].entities[entity].columns.get("order_id")
            for raw in _raw_names(mapping):
                found |= next((c.distinct for c in group.columns if c.name == raw), frozenset())
    return found


def _split_orders(drafted: Drafted) -> None:
    """Where a system has orders in a file of their own, let its flat lines be lines alone."""
    for name, source in drafted.draft.sources.items():
        if not {"orders", "order_lines"} <= source.entities.keys():
            continue
        flat = source.entities.pop("order_lines")
        group = drafted.groups.pop((name, "order_lines"))
        renamed = {"line_shipping_amount": "shipping_amount", "line_tax_amount": "tax_amount"}
        # What a flat row says of its order is said by the orders' own file.
        orders_own = {"shipping_amount", "tax_amount", "updated_at"}
        columns = {renamed.get(ours, ours): mapping for ours, mapping in flat.columns.items() if ours not in orders_own}
        columns = {ours: mapping for ours, mapping in columns.items() if ours in ENTITIES["order_items"].names}
        source.entities["order_items"] = replace(flat, entity="order_items", columns=columns)
        drafted.groups[name, "order_items"] = group
        people = {ours.removeprefix("customer_"): m for ours, m in flat.columns.items() if ours.startswith("customer_")}
        people = {"customer_id": people.pop("id"), **people} if "id" in people else people
        if "customer_id" in people and len(people) > 1 and "customers" not in source.entities:
            source.entities["customers"] = replace(
                flat, entity="customers", columns=people, comments={}, doubts=[], unmapped=[]
            )
            drafted.groups[name, "customers"] = group


# The shop


def _shop(drafted: Drafted, wishes: Wishes, rates: Sequence[Document]) -> None:
    draft = drafted.draft
    comments = draft.shop_comments
    currencies = _currencies(drafted)
    currency = wishes.currency or next((code for code, _ in currencies.most_common(1)), "")
    layouts = [group.recognized.layout for group in drafted.groups.values() if group.recognized]
    signs = Counter(c.sign for g in drafted.groups.values() for c in g.columns if c.is_number and c.sign)
    if wishes.currency:
        comments["currency"] = ""
    elif currencies:
        others = ", ".join(code for code, _ in currencies.most_common() if code != currency)
        comments["currency"] = "the most frequent one" if others else ""
    elif signs:
        currency = signs.most_common(1)[0][0]
        comments["currency"] = "by the sign of the amounts"
    else:
        currency = layouts[0].shop["currency"] if layouts else _ASSUMED_CURRENCY
        comments["currency"] = "check: no file states a currency; give it with --currency"
    zone, why = (wishes.time_zone, "") if wishes.time_zone else _zone(drafted, "" if comments["currency"] else currency)
    if zone == _ASSUMED_ZONE and layouts:
        zone = layouts[0].shop["time_zone"]
    comments["time_zone"] = why
    draft.shop = {"name": wishes.name or _name(drafted), "currency": currency, "time_zone": zone}
    foreign = [code for code in currencies if code != currency]
    if rates:
        draft.shop["exchange_rates"] = rates[0].place
    elif foreign:
        comments["currency"] = (
            f"check: amounts are in {', '.join([currency, *foreign])}; give exchange_rates (a CSV file of date,"
            " currency and rate), or the run refuses to add them up"
        )
    # What no export states is what the shop says.
    for (name, entity), group in drafted.groups.items():
        one = draft.sources[name].entities[entity]
        assumed_by_form = group.recognized is not None and "currency" in group.recognized.form.assumes
        if "currency" not in ENTITIES[entity].names:
            continue
        given = one.columns.get("currency")
        if (given is None and entity != "products") or (
            assumed_by_form and isinstance(given, dict) and "constant" in given
        ):
            one.columns["currency"] = {"constant": currency}
    if wishes.cents:
        _in_cents(draft)


def _in_cents(draft: Draft) -> None:
    for source in draft.sources.values():
        for entity in source.entities.values():
            for column in ENTITIES[entity.entity].columns:
                mapping = entity.columns.get(column.name)
                if column.kind == "amount" and isinstance(mapping, str | list):
                    entity.columns[column.name] = {"column": mapping, "factor": 0.01}


def _currencies(drafted: Drafted) -> Counter[str]:
    found: Counter[str] = Counter()
    for (name, entity), group in drafted.groups.items():
        mapping = drafted.draft.sources[name].entities[entity].columns.get("currency")
        is_assumed = group.recognized is not None and "currency" in group.recognized.form.assumes
        if isinstance(mapping, dict) and "constant" in mapping and not is_assumed:
            found[str(mapping["constant"])] += group.rows
        for raw in _raw_names(mapping):
            column = next((c for c in group.columns if c.name == raw), None)
            found.update(text.upper() for text in (column.given if column else ()) if re.fullmatch("[A-Za-z]{3}", text))
    return found


@cache
def _zones() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "zones.yml").read_text(encoding="utf-8"))
    return values


def _zone(drafted: Drafted, currency: str) -> tuple[str, str]:
    """Return the shop's time zone as far as the data show it, and why, or that it is to be checked."""
    zones = _zones()
    named: Counter[str] = Counter()
    offsets: Counter[str] = Counter()
    countries: Counter[str] = Counter()
    for (name, entity), group in drafted.groups.items():
        spec = drafted.draft.sources[name].entities[entity]
        column = group.recognized.layout.zone_column if group.recognized else ""
        for values in group.columns:
            if column and values.name == column:
                named.update(zones["names"].get(text, "") for text in values.given)
        for ours, mapping in spec.columns.items():
            for values in (c for c in group.columns if c.name in _raw_names(mapping)):
                if ours in ("ordered_at", "paid_at"):
                    found = (re.search(r"[+-]\d{2}:?\d{2}$", text) for text in values.given if ":" in text)
                    offsets.update(one[0].replace(":", "") for one in found if one)
                if ours in ("customer_country", "country"):
                    countries.update(text.upper() for text in values.given if len(text) == 2)
    if len(named) > 1:
        return named.most_common(1)[0][
            0
        ] or _ASSUMED_ZONE, f"check: times are of several zones ({', '.join(z for z in named if z)})"
    if named and (zone := next(iter(named))):
        return zone, "as the export says"
    away = {offset for offset in offsets if offset not in ("+0000", "-0000")}
    if away:
        fitting = [zone for zone, own in zones["offsets"].items() if set(offsets) <= set(own)]
        home = zones["countries"].get(countries.most_common(1)[0][0]) if countries else None
        if home and any(set(offsets) <= set(zones["offsets"].get(z, ())) for z in [home]):
            return home, f"check: by the offsets of the times ({', '.join(sorted(offsets))}) and the customers' country"
        if fitting:
            return fitting[0], f"check: by the offsets of the times ({', '.join(sorted(offsets))})"
    if countries:
        most = countries.most_common(1)[0][0]
        if zone := zones["countries"].get(most):
            return zone, f"check: by the country of most customers ({most}); set it with --time-zone"
    if zone := zones["currencies"].get(currency):
        return zone, f"check: by the currency ({currency}) alone; set it with --time-zone"
    return _ASSUMED_ZONE, "check: nothing shows it; set it with --time-zone"


def _name(drafted: Drafted) -> str:
    place = next((Path(g.first.folder) for g in drafted.groups.values() if g.first.place.startswith("/")), Path())
    system = next((g.recognized.layout.system for g in drafted.groups.values() if g.recognized), "")
    words = [part for part in place.parts if part.lower() not in _NO_NAMES]
    if system and (not words or words[-1] != place.name):
        return f"{system} shop"
    return (words[-1] if words else "Shop").replace("_", " ").replace("-", " ").strip().capitalize() or "Shop"
