"""What became of the rows with faults: repaired, left empty, merged or in quarantine, by rule and for single records.

Read from `ops.repairs`, `quality.record_findings` and the quarantine; shown on the quality page, where what failed
links to the rule that handled it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import escape

from lib.base import formatting
from lib.clean.rules import RULES
from lib.report import pieces
from lib.report.pieces import Html
from lib.warehouse import Warehouse

#: What identifies a record's family in the tables of an entity; orders, lines and payments are one family.
FAMILIES = {
    **dict.fromkeys(("orders", "order_items", "order_lines", "payments"), "order_id"),
    "customers": "customer_id",
    "products": "product_id",
    "events": "event_id",
}


#: The tables of the warehouse whose rows are an entity's.
TABLES = {name: name for name in FAMILIES} | {
    "dim_customers": "customers",
    "dim_products": "products",
    "fact_orders": "orders",
    "fact_order_items": "order_items",
    "fact_payments": "payments",
}


#: Outcomes from the gravest on, with how each begins its sentence.
_RANKS = {
    "quarantined": "in quarantine: ",
    "rejected": "in quarantine: ",
    "repaired": "repaired: ",
    "emptied": "left empty: ",
    "merged": "merged: ",
}


#: Rules about a record that a row names.
_KEYS_AT_FAULT = {"unknown_customer": "customer_id", "unknown_order": "order_id", "order_in_quarantine": "order_id"}


# The example of a rule is its shortest cell that says something before and after, so that both fit into a line.
_REPAIRS = """
with ranked as (
    select
        rule, entity, field, before, after,
        count(*) over (partition by rule) as cells,
        row_number() over (
            partition by rule
            order by case when before is null then 2 when after is null then 1 else 0 end, length(before), before, key
        ) as place
    from ops.repairs
)
select rule, cells, entity, field, before, after from ranked where place = 1 order by cells desc, rule
"""


_MERGED = """
select rule, entity, count(*) as rows, min(key) as example
from quality.record_findings
where outcome = 'merged'
group by rule, entity
order by rows desc, rule, entity
"""


@dataclass(frozen=True)
class Outcomes:
    """What was done by rule.

    `repaired` has a row a rule: rule, cells, entity, field, before, after (of one cell, `after` null where it was left
    empty); `merged` a row a rule and entity: rule, entity, rows, example; `waiting` a row a rule, source and entity of
    the quarantine: source, entity, rule, rows, example.
    """

    repaired: pd.DataFrame
    merged: pd.DataFrame
    waiting: pd.DataFrame

    @property
    def cells(self) -> int:
        """How many cells were repaired or left empty."""
        return int(self.repaired["cells"].sum())

    @property
    def anchors(self) -> set[str]:
        """The rules that have a place on the page, under `rule-<name>`."""
        return {str(rule) for frame in (self.repaired, self.merged, self.waiting) for rule in frame["rule"]}


def read_outcomes(warehouse: Warehouse, waiting: pd.DataFrame) -> Outcomes:
    """Return what the rules did; `waiting` is what `lib.clean.accounting.quarantine_reasons` returns."""
    return Outcomes(warehouse.query(_REPAIRS), warehouse.query(_MERGED), waiting)


def tables(done: Outcomes) -> Html:
    """Return a table for each outcome, every rule with its sentence, its count and an example."""
    free = done.anchors
    return pieces.joined(*(make(done, free) for make in (_waiting, _repaired, _merged)))


def _waiting(done: Outcomes, free: set[str]) -> Html:
    of = [
        f"{_plain(entity)} of {source}"
        for entity, source in zip(done.waiting["entity"], done.waiting["source"], strict=True)
    ]
    frame = _grouped(done.waiting.assign(of=of))
    return _by_rule("In quarantine", frame, free, formatting.count(frame["rows"].sum(), "row"))


def _repaired(done: Outcomes, free: set[str]) -> Html:
    rows = [
        (r["rule"], int(r["cells"]), _example(f"{_plain(r['entity'])}, {_plain(r['field'])}", r["before"], r["after"]))
        for r in done.repaired.to_dict("records")
    ]
    frame = pd.DataFrame(rows, columns=["rule", "cells", "for example"])
    return _by_rule("Repaired or left empty", frame, free, formatting.count(done.cells, "cell"))


def _merged(done: Outcomes, free: set[str]) -> Html:
    examples = [short_key(key) for key in done.merged["example"]]
    frame = _grouped(done.merged.assign(of=[_plain(entity) for entity in done.merged["entity"]], example=examples))
    return _by_rule("Merged", frame, free, formatting.count(frame["rows"].sum(), "row"))


def _grouped(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row a rule, the largest first: rule, rows, of (what they are, and how many), for example."""
    rows = []
    for rule, group in frame.sort_values("rows", ascending=False, kind="stable").groupby("rule", sort=False):
        counted = [f"{what} ({int(count):,})" for what, count in zip(group["of"], group["rows"], strict=True)]
        more = [f"{len(counted) - 3} more"] if len(counted) > 3 else []
        rows.append(
            (str(rule), int(group["rows"].sum()), formatting.listing(counted[:3] + more), group["example"].iloc[0])
        )
    rows.sort(key=lambda row: (-row[1], row[0]))
    return pd.DataFrame(rows, columns=["rule", "rows", "of", "for example"])


def _by_rule(caption: str, frame: pd.DataFrame, free: set[str], total: str) -> Html:
    """Return a table of rules; the first row of each rule on the page takes its anchor out of `free`."""
    if frame.empty:
        return pieces.NOTHING
    anchors = {}
    for position, rule in enumerate(frame["rule"]):
        if rule in free:
            free.discard(rule)
            anchors[position] = anchor(rule)
    frame = frame.copy()
    frame.insert(1, "what is done", [RULES[rule].says if rule in RULES else "" for rule in frame["rule"]])
    frame["rule"] = [_plain(rule).replace(" ", formatting.NBSP) for rule in frame["rule"]]
    return pieces.table(frame, f"{caption}: {total}", limit=100, count=False, anchors=anchors)


def anchor(rule: str) -> str:
    """Return the id of a rule's place on the page."""
    return f"rule-{rule}"


def family_of(table: str, rows: pd.DataFrame) -> pd.Series:
    """Return (entity, family) of each row of a table's, None where it cannot be told."""
    if {"entity", "family"} <= set(rows.columns):
        return pd.Series(list(zip(rows["entity"], rows["family"].astype(str), strict=True)), dtype=object)
    entity = TABLES.get(table.rpartition(".")[2])
    column = FAMILIES.get(entity or "", "order_id")
    if column not in rows.columns:
        return pd.Series([None] * len(rows), dtype=object)
    found = [(entity or "orders", str(value)) if pd.notna(value) else None for value in rows[column]]
    return pd.Series(found, dtype=object)


def what_happened(
    warehouse: Warehouse, wanted: Collection[tuple[str, str]], anchors: Collection[str]
) -> Callable[[tuple[str, str] | None], Html | None]:
    """Return a function from (entity, family) to what was done with its rows, linked to the rule; None for nothing."""
    families = sorted({family for _, family in wanted})
    found = warehouse.query(_of_families(len(families)), families) if families else pd.DataFrame()
    done: dict[tuple[str, str], list[Mapping[Any, Any]]] = {}
    for row in found.to_dict("records"):
        done.setdefault((FAMILIES.get(row["entity"], ""), row["family"]), []).append(row)
    said = {key: _said(rows, anchors) for key, rows in done.items()}

    def happened(key: tuple[str, str] | None) -> Html | None:
        return said.get((FAMILIES.get(key[0], ""), key[1])) if key else None

    return happened


def said_by_row(rule: Any, reason: Any, anchors: Collection[str]) -> Html | None:
    """Return what was done with a row that states its rule and the reason itself, linked to the rule."""
    if pd.isna(rule):
        return None
    outcome = RULES[rule].outcomes[0] if rule in RULES else "quarantined"
    waits = outcome != "merged" and pd.notna(reason)  # that of a merged row names files and lines
    return _linked(str(rule), outcome, _short(str(reason)) if waits else _plain(rule), anchors)


def field_at_fault(rule: Any, reason: Any, columns: Collection[str]) -> str:
    """Return the column for which a row waits: its reason begins with it, or its rule is about it; else nothing."""
    first = str(reason).partition(" ")[0]
    named = _KEYS_AT_FAULT.get(str(rule), first)
    return named if named in columns else ""


def _linked(rule: str, outcome: str, text: str, anchors: Collection[str]) -> Html:
    begins = _RANKS.get(outcome, "in quarantine: ")
    if rule in anchors:
        return pieces.link(anchor(rule), text, begins)
    return Html(str(escape(begins + text)), begins + text)


def _of_families(count: int) -> str:
    return (
        "select distinct entity, family, rule, outcome, field, before, after from quality.record_findings"
        f" where outcome <> 'flagged' and family in ({', '.join('?' * count)})"
        " order by family, rule, entity, field, before, after"
    )


def _said(rows: Iterable[Mapping[Any, Any]], anchors: Collection[str]) -> Html:
    """Return the gravest thing that was done, and how many others there are."""
    ranks = list(_RANKS)
    ordered = sorted(rows, key=lambda row: ranks.index(row["outcome"]))
    worst = ordered[0]
    shown = _linked(worst["rule"], worst["outcome"], _plain(worst["rule"]), anchors)
    if worst["outcome"] == "repaired":
        cell = _example(_plain(worst["field"]), worst["before"], worst["after"])
        shown = Html(f"{shown.html} {cell.html}", shown.text)
    elif worst["outcome"] == "emptied" and pd.notna(worst["before"]):
        shown = Html(f'{shown.html} <code class="was">{escape(_short(worst["before"]))}</code>', shown.text)
    others = len({row["rule"] for row in ordered}) - 1
    return Html(shown.html + f" and {formatting.count(others, 'more')}", shown.text) if others else shown


def _example(what: str, before: Any, after: Any) -> Html:
    """Return a cell before and after."""
    old, new = ("none" if pd.isna(v) else _short(str(v)) for v in (before, after))
    end = "left empty" if pd.isna(after) else f'<code class="was">{escape(new)}</code>'
    return Html(f'{escape(what)} <code class="was">{escape(old)}</code> → {end}', f"{what}: {old} → {new}")


def _short(text: str) -> str:
    """Return at most 60 characters, blanks that nobody would see as dots."""
    seen = re.sub(r"^\s+|\s+$|\s{2,}|[^\S ]", lambda blank: "·" * len(blank[0]), text)
    return seen if len(seen) <= 60 else seen[:59] + "…"


def short_key(key: Any) -> str:
    """Return a row's key; one that ends in the hash of a row without a number, with the hash cut short."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24}$", r"\1…", str(key))


def _plain(name: object) -> str:
    return str(name).replace("_", " ")
