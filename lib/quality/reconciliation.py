"""Reconciliation: do the layers hold what was delivered, and what the sources report themselves that they have?

Order lines are followed from what was read to the facts, money from its gross amount to the months, by the queries
`order_lines` and `amounts` in `sql/queries/quality`. Each step removes something for a reason, and what is left must
be what the next layer holds.
"""

import pandas as pd

from lib.warehouse import Warehouse


def against_sources(warehouse: Warehouse) -> pd.DataFrame:
    """Return what each source reports that it holds against what is staged of it.

    Columns: source, entity, measure (rows, records, amount, messages), reported, gone, held, difference, reported_by.
    The difference is held - reported - gone: 0 is right; null where what is gone has an amount that is not reported.
    """
    return warehouse.query("select * from quality.source_reconciliation order by source, entity, measure")


def gaps(steps: pd.DataFrame) -> list[str]:
    """Return a sentence for each total of `order_lines` or `amounts` that does not follow from the steps before it."""
    measure, digits = ("rows", 0) if "rows" in steps else ("amount", 2)
    found = []
    for row in steps.to_dict("records"):
        value, change = row[measure], row["change"]
        if row["is_total"] and change:
            before = f"{value - change:,.{digits}f}"
            found.append(f"{row['step']}: {value:,.{digits}f}, and the steps before it leave {before}")
        elif measure == "rows" and not row["is_total"] and change > 0:
            found.append(f"{row['step']}: {change:,} rows more than were read")
    return found
