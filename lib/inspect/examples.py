"""The ready-made sources files in `examples/`, one a known system: `python -m lib.inspect.examples` writes them.

What `inspect` fits to the files at hand is general there: columns have all their names, and what an export may lack is
optional.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lib.base.files import PROJECT, write_atomically
from lib.inspect.layouts import Form, Layout, layouts
from lib.inspect.sources_file import Draft, EntityDraft, SourceDraft, text_of, wrapped

FOLDER = PROJECT / "examples"


def example(layout: Layout) -> str:
    """Return the text of a layout's example."""
    variable = f"{layout.source.upper()}_DIR"
    forms = _together(layout)
    others = [form.name for form in layout.forms if form not in forms]
    head = [
        *wrapped(layout.head, 116),
        f"From {layout.export}.",
        f"  {variable}=/path/to/exports python run_pipeline.py --sources examples/{layout.source}.yml",
        "Made from lib/inspect/layouts. For your own: python run_pipeline.py inspect /path/to/exports -o shop.yml",
    ]
    if others:
        head.append(f"which also knows, of this system: {'; '.join(others)}.")
    source = SourceDraft(layout.kind, {"path": f"${{{variable}}}"}, time_zone=layout.time_zone)
    for form in forms:
        for entity, spec in form.entities.items():
            source.entities[entity] = _entity(layout, form, entity, spec)
    draft = Draft(dict(layout.shop), {layout.source: source}, head)
    draft.shop = {"name": f"{layout.system} shop", **layout.shop}
    draft.shop_comments = {"currency": "yours", "time_zone": "yours: business days and hours"}
    for key, value in layout.keys.items():
        draft.keys[key] = value
        draft.key_comments[key] = layout.key_comments.get(key, "")
    return text_of(draft)


def _together(layout: Layout) -> list[Form]:
    """Return the forms of a layout that one source can read together, the first ones first."""
    taken: set[str] = set()
    kept = []
    for form in layout.forms:
        own = set(form.entities)
        if own & taken or ("order_lines" in own | taken and {"orders", "order_items"} & (own | taken)):
            continue
        taken |= own
        kept.append(form)
    return kept


def _entity(layout: Layout, form: Form, entity: str, spec: Mapping[str, Any]) -> EntityDraft:
    options = {key: value for key, value in spec.items() if key != "columns"}
    if "where" in options:
        options["where"] = " ".join(options["where"].split())
    # An expression names one form of a column, so the others would not fit to it.
    one_form = replace(layout, names={}) if "sql" in str(spec["columns"]) or "where" in spec else layout
    columns = {ours: _general(one_form, mapping) for ours, mapping in spec["columns"].items()}
    comments = {key: why for key, why in form.comments.items() if key in columns or key in options}
    return EntityDraft(entity, {"files": form.files}, {**form.read, **options}, columns, comments)


def _general(layout: Layout, mapping: Any) -> Any:
    """Return a column's mapping with every name that the column may have."""
    if isinstance(mapping, list) and not all(isinstance(one, str) for one in mapping):
        return _general(layout, mapping[0])
    if isinstance(mapping, str | list):
        names = [mapping] if isinstance(mapping, str) else mapping
        every = list(dict.fromkeys(variant for name in names for variant in layout.variants(name)))
        return every if len(every) > 1 else every[0]
    if "column" in mapping:
        return {**mapping, "column": _general(layout, mapping["column"])}
    return mapping


def write_all() -> list[str]:
    """Write every example and return their names."""
    for layout in layouts():
        write_atomically(FOLDER / f"{layout.source}.yml", example(layout))
    return [f"examples/{layout.source}.yml" for layout in layouts()]


if __name__ == "__main__":
    print("\n".join(write_all()))
