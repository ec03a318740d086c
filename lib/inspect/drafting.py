"""From documents to a draft of a sources file: each is recognized or guessed, and joins those that it belongs to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lib.entities import ENTITIES
from lib.inspect.documents import Document
from lib.inspect.fitting import in_all, raw_names
from lib.inspect.forms import dates_of, form_of
from lib.inspect.groups import Drafted, Group, groups_of, has_orders_of
from lib.inspect.kinds import doubts_of
from lib.inspect.layouts import Form, Layout, Names, columns_named, plain
from lib.inspect.links import (
    link_payments,
    say_orphans,
    say_shared_numbers,
    split_flat_lines,
    tell_years_apart,
    use_the_ids_of_orders,
)
from lib.inspect.places import entity_place, place_of, set_patterns
from lib.inspect.shop import Wishes, set_shop
from lib.inspect.sources_file import Draft, EntityDraft, SourceDraft
from lib.inspect.values import Values

_BY_NAMES = "no layout that is known: by names and values"
_NOTHING = "its columns are none that a shop's orders, customers, products, payments or events have"
_RATES = {"date", "currency", "rate"}


def draft_of(found: Sequence[Document], wishes: Wishes, head: list[str]) -> Drafted:
    """Return the draft for some documents."""
    usable = [document for document in found if not document.problem]
    drafted = Drafted(Draft({}, {}, head), unread=[document for document in found if document.problem])
    rates = [document for document in usable if {plain(name) for name in document.names} == _RATES]
    groups = groups_of([document for document in usable if document not in rates])
    has_orders = any(has_orders_of(group) for group in groups)
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
    tell_years_apart(drafted)
    say_orphans(drafted)
    say_shared_numbers(drafted)
    use_the_ids_of_orders(drafted, "products", "product_id")
    use_the_ids_of_orders(drafted, "customers", "customer_id")
    link_payments(drafted)
    split_flat_lines(drafted)
    set_shop(drafted, wishes, rates)
    set_patterns(drafted, rates)
    drafted.draft.left += [f"{document.name}: {document.problem}" for document in drafted.unread if _is_data(document)]
    return drafted


def _is_data(document: Document) -> bool:
    return not document.name.lower().endswith((".md", ".yml", ".yaml", ".py", ".log", ".pdf", ".png", ".jpg", ".html"))


# Systems that are known


def _system(drafted: Drafted, members: list[Group], has_orders: bool) -> None:
    """Add the source of one known system."""
    recognized = members[0].recognized
    assert recognized is not None
    layout = recognized.layout
    kind = members[0].first.kind
    forms = ", ".join(f"{g.recognized.form.name}" for g in members if g.recognized)
    source = SourceDraft(kind, place_of(members), time_zone=layout.time_zone, about=f"{layout.system}: {forms}")
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
                    kind, place_of([group]), time_zone=layout.time_zone, about=f"{layout.system}: {form.name}"
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
    if statuses := layout.keys.get("models", {}).get("statuses"):
        drafted.draft.keys.setdefault("models", {}).setdefault("statuses", {}).update(statuses)
        drafted.draft.key_comments["models"] = layout.key_comments.get("models", "")


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
    columns = {ours: in_all(mapping, group, layout) for ours, mapping in columns.items()}
    options = {key: value for key, value in spec.items() if key not in ("columns", "where")}
    comments = {key: why for key, why in form.comments.items() if key in columns or key in options or key == "where"}
    draft = EntityDraft(entity, entity_place(group), options, columns, comments, about=_about(group))
    if "where" in spec and (condition := names.where(" ".join(spec["where"].split()))):
        draft.options["where"] = condition
    if group.first.kind == "files":
        draft.options |= form.read
        if "quote" not in form.read and any(_unquoted(document) for document in group.documents):
            draft.options["quote"] = ""
    _written(draft, form, group, layout)
    _fill_down(draft, group)
    used = {plain(name) for name in columns_named(layout, form)}
    unknown = [c for c in group.columns if plain(c.name) not in used]
    draft.doubts += doubts_of(unknown) if entity not in ("customers", "products", "events") else []
    draft.unmapped = [c.name for c in unknown]
    draft.unmapped += [v for n in form.unused for v in layout.variants(n) if any(c.name == v for c in group.columns)]
    for column in ENTITIES[entity].columns:
        if column.required and column.name not in columns:
            draft.missing[column.name] = f"needed: a column with the {column.name.replace('_', ' ')} of each row"
    return draft


def _fill_down(draft: EntityDraft, group: Group) -> None:
    """Let lines without an order's number and time have those of the line above, where only the first line has them."""
    if draft.entity != "order_lines" or "fill_down" in draft.options or group.first.kind != "files":
        return
    by_name = {column.name: column.texts for column in group.columns}

    def texts(ours: str) -> tuple[str | None, ...] | None:
        mapping = draft.columns.get(ours)
        return by_name.get(mapping) if isinstance(mapping, str) else None

    orders, lines = texts("order_id"), texts("product_name") or texts("product_id")
    if orders is None or lines is None or not orders or not orders[0]:
        return
    under = [at for at, order in enumerate(orders) if not (order or "").strip() and (lines[at] or "").strip()]
    if under:
        times = texts("ordered_at")
        is_blank = times is not None and all(not (times[at] or "").strip() for at in under)
        draft.options["fill_down"] = ["order_id", "ordered_at"] if is_blank else ["order_id"]
        draft.comments["fill_down"] = "only the first line of an order has it"


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
            names |= set(raw_names(mapping))
    return [column for column in group.columns if column.name in names]


# Systems that are not known


def _unknown(drafted: Drafted, group: Group) -> None:
    guessed = group.guessed
    assert guessed is not None
    options = dict(guessed.options)
    if group.first.kind == "files" and group.first.delimiter not in ("", ",", ";", "\t", "|"):
        options["delimiter"] = group.first.delimiter
    used = {name for mapping in guessed.columns.values() for name in raw_names(mapping)}
    draft = EntityDraft(
        guessed.entity,
        entity_place(group),
        options,
        {ours: in_all(mapping, group) for ours, mapping in guessed.columns.items()},
        guessed.comments,
        guessed.doubts,
        guessed.missing,
        [c.name for c in group.columns if c.name not in used],
        _about(group),
    )
    _fill_down(draft, group)
    folder = place_of([group])
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
