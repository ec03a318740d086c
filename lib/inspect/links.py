"""Entities that belong to each other: payments to orders, ids to those that orders name, flat lines to their orders."""

from dataclasses import replace
from itertools import combinations

from lib.entities import ENTITIES
from lib.inspect.fitting import raw_names
from lib.inspect.groups import Drafted


def tell_years_apart(drafted: Drafted) -> None:
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


def say_orphans(drafted: Drafted) -> None:
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


def say_shared_numbers(drafted: Drafted) -> None:
    """Say that two sources give the same numbers to orders: one order is what has one number, whatever its source."""
    found: dict[str, set[str]] = {}
    for (name, entity), group in drafted.groups.items():
        if entity in ("orders", "order_lines"):
            for raw in raw_names(drafted.draft.sources[name].entities[entity].columns.get("order_id")):
                own = next((c.distinct for c in group.columns if c.name == raw), frozenset())
                found.setdefault(name, set()).update(own)
    for name, other in combinations(found, 2):
        if both := found[name] & found[other]:
            drafted.draft.sources[other].doubts.append(
                f"{name!r} has the order number {min(both)!r} too: where these are different orders, tell them"
                f' apart by id_prefixes: {{order_id: "{other}-"}}'
            )


def use_the_ids_of_orders(drafted: Drafted, entity: str, column: str) -> None:
    """Let a list of products or customers be known by the ids that orders name, where it has several kinds of ids."""
    named: set[str] = set()
    for (name, other), group in drafted.groups.items():
        if other in ("orders", "order_lines", "order_items"):
            for raw in raw_names(drafted.draft.sources[name].entities[other].columns.get(column)):
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


def link_payments(drafted: Drafted) -> None:
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
            for raw in raw_names(mapping):
                found |= next((c.distinct for c in group.columns if c.name == raw), frozenset())
    return found


def split_flat_lines(drafted: Drafted) -> None:
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
        if "discount_amount" in columns and source.entities["orders"].columns.pop("discount_amount", None):
            source.entities["orders"].doubts.append("its discounts are left to the lines, which state them too")
        source.entities["order_items"] = replace(flat, entity="order_items", columns=columns)
        drafted.groups[name, "order_items"] = group
        people = {ours.removeprefix("customer_"): m for ours, m in flat.columns.items() if ours.startswith("customer_")}
        people = {"customer_id": people.pop("id"), **people} if "id" in people else people
        if "customer_id" in people and len(people) > 1 and "customers" not in source.entities:
            source.entities["customers"] = replace(
                flat, entity="customers", columns=people, comments={}, doubts=[], unmapped=[]
            )
            drafted.groups[name, "customers"] = group
