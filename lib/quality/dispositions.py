"""What became of rows with faults: repaired, left empty, merged or in quarantine, by rule and for single records.

Read from `ops.repairs`, `quality.record_findings` and the quarantine. On the quality page each row of a failed check
links to the rule that handled it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import escape

from lib.base import formatting
from lib.clean.accounting import by_rule, quarantine_reasons, rule_counts
from lib.clean.rules import RULES
from lib.report import pieces
from lib.report.pieces import Html
from lib.warehouse import Warehouse

#: What is known of a record: the column that identifies its family, and that column's value.
Record = tuple[str, str]

#: The column that identifies a record's family; orders, lines and payments are one family.
FAMILIES = {
    **dict.fromkeys(("orders", "order_items", "order_lines", "payments"), "order_id"),
    "customers": "customer_id",
    "products": "product_id",
    "events": "event_id",
}

#: Outcomes from the gravest on, with how each begins its sentence.
_RANKS = {
    "quarantined": "in quarantine: ",
    "rejected": "in quarantine: ",
    "repaired": "repaired: ",
    "emptied": "left empty: ",
    "merged": "merged: ",
}

#: The tables of what was done, by caption: of what, and by which outcomes.
_TABLES = {
    "In quarantine": ("row", ["quarantined"]),
    "Repaired or left empty": ("cell", ["repaired", "emptied"]),
    "Merged": ("row", ["merged"]),
}

#: Rules about a record that a row names.
_KEYS_AT_FAULT = {"unknown_customer": "customer_id", "unknown_order": "order_id", "order_in_quarantine": "order_id"}

_OF_FAMILIES = """
select distinct entity, family, rule, outcome, field, before, after
from quality.record_findings
where outcome <> 'flagged' and family in ({})
order by family, rule, entity, field, before, after
"""


def read_outcomes(warehouse: Warehouse) -> pd.DataFrame:
    """Return what the rules did: a row a rule, outcome, source and entity, with its count `found` and one example.

    Of a row in quarantine `before` is the reason why it waits.
    """
    counts, waiting = rule_counts(warehouse), quarantine_reasons(warehouse)
    waiting = waiting.rename(columns={"rows": "found", "example": "before"}).assign(outcome="quarantined")
    found = counts[counts["outcome"].isin(["repaired", "emptied", "merged"])]
    return pd.concat([frame for frame in (found, waiting) if len(frame)] or [found], ignore_index=True)


def cells(outcomes: pd.DataFrame) -> int:
    """Return how many cells were repaired."""
    return int(outcomes.loc[outcomes["outcome"] == "repaired", "found"].sum())


def tables(outcomes: pd.DataFrame) -> Html:
    """Return a table for each kind of outcome, every rule with its sentence, its count and an example."""
    free, parts = set(outcomes["rule"]), []
    for caption, (unit, names) in _TABLES.items():
        own = outcomes[outcomes["outcome"].isin(names)]
        if own.empty:
            continue
        frame = by_rule(own, _example_of).rename(columns={"found": f"{unit}s", "example": "for example"})
        frame = frame if len(names) > 1 else frame.drop(columns="outcome")
        ids = {}
        for position, rule in enumerate(name.replace(" ", "_") for name in frame["rule"]):
            if rule in free:  # the first row of a rule on the page is its place
                free.discard(rule)
                ids[position] = f"rule-{rule}"
        frame["rule"] = frame["rule"].str.replace(" ", formatting.NBSP)
        total = formatting.count(own["found"].sum(), unit)
        parts.append(pieces.table(frame, f"{caption}: {total}", limit=100, count=False, anchors=ids))
    return pieces.joined(*parts)


def _example_of(row: Mapping[Any, Any]) -> Html | str:
    if row["outcome"] == "quarantined":
        return str(row["before"])
    if row["outcome"] == "merged":
        return short_key(row["key"])
    return _example(f"{_plain(row['entity'])}, {_plain(row['field'])}", row["before"], row["after"])


def records_of(table: str, rows: pd.DataFrame) -> list[Record | None]:
    """Return the record of each row of a table's, None where it is not known."""
    if {"entity", "family"} <= set(rows.columns):
        entities, families = rows["entity"].tolist(), rows["family"].tolist()
    else:
        entity = table.rpartition(".")[2].removeprefix("dim_").removeprefix("fact_")
        column = FAMILIES.get(entity, "order_id")
        if column not in rows.columns:
            return [None] * len(rows)
        entities, families = [entity] * len(rows), rows[column].tolist()
    return [
        (FAMILIES.get(entity, "order_id"), str(family)) if pd.notna(family) else None
        for entity, family in zip(entities, families, strict=True)
    ]


def of_records(warehouse: Warehouse, records: Collection[Record], anchors: Collection[str]) -> dict[Record, Html]:
    """Return what was done with records, linked to the rule, for those with which anything was."""
    families = sorted({family for _, family in records})
    if not families:
        return {}
    found = warehouse.query(_OF_FAMILIES.format(", ".join("?" * len(families))), families)
    done: dict[Record, list[Mapping[Any, Any]]] = {}
    for row in found.to_dict("records"):
        done.setdefault((FAMILIES.get(row["entity"], ""), row["family"]), []).append(row)
    return {record: _gravest(rows, anchors) for record, rows in done.items()}


def of_row(rule: Any, reason: Any, anchors: Collection[str]) -> Html | None:
    """Return what was done with a row that states its rule and the reason itself, linked to the rule."""
    if pd.isna(rule):
        return None
    outcome = RULES[rule].outcomes[0] if rule in RULES else "quarantined"
    waits = outcome != "merged" and pd.notna(reason)  # that of a merged row names files and lines
    return _linked(str(rule), outcome, _short(str(reason)) if waits else _plain(rule), anchors)


def field_at_fault(rule: Any, reason: Any, columns: Collection[str]) -> str:
    """Return the column for which a row waits: its reason begins with it, or its rule is about it; else nothing."""
    name = _KEYS_AT_FAULT.get(str(rule), str(reason).partition(" ")[0])
    return name if name in columns else ""


def _gravest(rows: Sequence[Mapping[Any, Any]], anchors: Collection[str]) -> Html:
    """Return the gravest thing that was done, and how many others there are."""
    worst = min(rows, key=lambda row: list(_RANKS).index(row["outcome"]))
    html = _linked(worst["rule"], worst["outcome"], _plain(worst["rule"]), anchors).html
    if worst["outcome"] == "repaired":
        html += " " + _example(_plain(worst["field"]), worst["before"], worst["after"]).html
    elif worst["outcome"] == "emptied" and pd.notna(worst["before"]):
        html += f" {_value(worst['before'])}"
    others = len({row["rule"] for row in rows}) - 1
    return Html(html + (f" and {formatting.count(others, 'more')}" if others else ""))


def _linked(rule: str, outcome: str, text: str, anchors: Collection[str]) -> Html:
    begins = _RANKS.get(outcome, "in quarantine: ")
    return pieces.link(f"rule-{rule}", text, begins) if rule in anchors else Html(str(escape(begins + text)))


def _example(what: str, before: Any, after: Any) -> Html:
    """Return a cell before and after."""
    then = "left empty" if pd.isna(after) else _value(after)
    return Html(f"{escape(what)} {_value(before)} → {then}")


def _value(value: Any) -> str:
    """Return a value as it is shown in a cell."""
    return f'<code class="was">{escape("none" if pd.isna(value) else _short(str(value)))}</code>'


def _short(text: str) -> str:
    """Return at most 60 characters, blanks that nobody would see as dots."""
    seen = re.sub(r"^\s+|\s+$|\s{2,}|[^\S ]", lambda blank: "·" * len(blank[0]), text)
    return seen if len(seen) <= 60 else seen[:59] + "…"


def short_key(key: Any) -> str:
    """Return a row's key; one that ends in the hash of a row without a number, with the hash cut short."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24}$", r"\1…", str(key))


def _plain(name: object) -> str:
    return str(name).replace("_", " ")
