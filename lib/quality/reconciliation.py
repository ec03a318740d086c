"""Reconciliation: do the layers hold what was delivered, and what the sources say themselves that they have?

Order lines are followed from what was read to the facts, money from its gross amount to the months. Each step takes
something away for a reason, and what is left must be what the next layer holds.
"""

from collections.abc import Sequence

import pandas as pd

from lib.warehouse import Warehouse

#: What becomes of a staged line that is no clean line of its own: disposition or rule -> (step, what it means).
_DISPOSITIONS = {
    "exact_duplicate": ("exact duplicates", "stand twice in a file and count once"),
    "delivered_again": ("delivered again", "came again in another file with the same content"),
    "older_version": ("older versions", "were replaced by a newer version of the same line"),
    "in_another_source": ("in another source", "are delivered by two systems and count once"),
}


_LINES = """
    with staged as (select count(*) as rows from stage.order_items union all select count(*) from stage.order_lines),
    dispositions as (
        select disposition, rule from ops.dispositions_order_items
        union all
        select disposition, rule from ops.dispositions_order_lines
    )
    select 'read' as layer, coalesce(sum(coalesce(read_rows, rows)), 0) as rows
    from ops.batches where entity in ('order_items', 'order_lines')
    union all select 'live', coalesce(sum(value), 0)
    from ops.source_totals where measure = 'rows' and entity in ('order_items', 'order_lines')
    union all select 'staged', coalesce(sum(rows), 0) from staged
    union all select case when disposition = 'quarantined' then disposition else rule end, count(*) from dispositions
    group by case when disposition = 'quarantined' then disposition else rule end
    union all select 'clean', count(*) from clean.order_items
    union all select 'facts', count(*) from warehouse.fact_order_items
"""


_AMOUNTS = """
    select
        (select coalesce(sum(gross_amount), 0) from warehouse.fact_order_items) as gross,
        (select coalesce(sum(discount_amount), 0) from warehouse.fact_order_items) as discounts,
        (select coalesce(sum(return_amount), 0) from warehouse.fact_order_items) as returns,
        (select coalesce(sum(net_amount), 0) from warehouse.fact_order_items) as facts,
        (select coalesce(sum(net_amount), 0) from analytics.daily_sales) as days,
        (select coalesce(sum(net_amount), 0) from analytics.monthly_sales) as months
"""


def against_sources(warehouse: Warehouse) -> pd.DataFrame:
    """Return what each source says it holds against what is staged of it.

    Columns: source, entity, measure (rows, records, amount, messages), reported, gone, held, difference, reported_by,
    reported_at.
    The difference is held - reported - gone: 0 is right; null where what is gone has an amount that is not reported.
    """
    return warehouse.query("select * from quality.source_reconciliation order by source, entity, measure")


def waterfall(warehouse: Warehouse) -> pd.DataFrame:
    """Return the way of the order lines from what was read at the sources to the facts.

    Columns: step, rows, change, is_total, says. A step's `change` is what it takes away (negative), `rows` what is left
    then; a total's `rows` is what its layer holds, `change` by how much that differs from the steps before: 0 is right.
    """
    found = warehouse.query(_LINES)
    rows = {str(layer): int(n) for layer, n in zip(found["layer"], found["rows"], strict=True)}
    layers = ("read", "live", "staged", "clean", "facts", "quarantined")
    others = sorted(rule for rule in rows if rule not in _DISPOSITIONS and rule not in layers)
    aside = _DISPOSITIONS | {name: (name.replace("_", " "), "count with another line") for name in others}
    steps: list[tuple[str, int, bool, str]] = [
        ("read", rows["read"], True, "lines read at the sources"),
        ("replaced", rows["live"] - rows["read"], False, "lines of files that were delivered again since"),
        ("staged", rows["staged"], True, "lines as they are delivered now"),
    ]
    steps += [(step, -rows.get(name, 0), False, f"lines that {says}") for name, (step, says) in aside.items()]
    steps += [
        ("quarantined", -rows.get("quarantined", 0), False, "lines that cannot be used, or wait for their order"),
        ("clean", rows["clean"], True, "lines that count"),
        ("facts", rows["facts"], True, "lines in the reports"),
    ]
    return _frame(steps, "rows")


def amounts(warehouse: Warehouse) -> pd.DataFrame:
    """Return the way of the money from the gross amount of the facts to the months; see `waterfall`.

    Columns: step, amount, change, is_total, says; in the reporting currency.
    """
    found = warehouse.query(_AMOUNTS).iloc[0].astype(float)
    steps: list[tuple[str, float, bool, str]] = [
        ("gross", found["gross"], True, "all lines sold, at their price"),
        ("discounts", 0.0 - found["discounts"], False, "discounts on lines and orders"),
        ("returns", 0.0 - found["returns"], False, "what came back or was cancelled"),
        ("net, by line", found["facts"], True, "net revenue of the order lines"),
        ("net, by day", found["days"], True, "net revenue of the days"),
        ("net, by month", found["months"], True, "net revenue of the months"),
    ]
    return _frame(steps, "amount")


def gaps(steps: pd.DataFrame) -> list[str]:
    """Return a sentence for each total of `waterfall` or `amounts` that does not follow from the steps before it."""
    measure = "rows" if "rows" in steps else "amount"
    digits = 0 if measure == "rows" else 2
    found = []
    for row in steps.to_dict("records"):
        value, change = row[measure], row["change"]
        if row["is_total"] and change:
            before = f"{value - change:,.{digits}f}"
            found.append(f"{row['step']}: {value:,.{digits}f}, and the steps before it leave {before}")
        elif measure == "rows" and not row["is_total"] and change > 0:
            found.append(f"{row['step']}: {change:,} rows more than were read")
    return found


def _frame(steps: Sequence[tuple[str, float, bool, str]], measure: str) -> pd.DataFrame:
    level, rows = 0.0, []
    for number, (step, value, is_total, says) in enumerate(steps):
        # Amounts are sums of cents, but for the last digits of a float.
        change = 0.0 if number == 0 else round(value - level, 4) if is_total else value
        level = value if is_total else level + value
        rows.append((step, level, change, is_total, says))
    frame = pd.DataFrame(rows, columns=["step", measure, "change", "is_total", "says"])
    return frame.astype({"rows": "int64", "change": "int64"}) if measure == "rows" else frame
