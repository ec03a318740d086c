"""Words of the shop's systems that nobody explained: statuses of orders and payments, and names of events.

They are what the checks of known words found, so that what is understood is said in one place, the models.
"""

import pandas as pd

from lib.quality.audit import Audit
from lib.warehouse import Warehouse

COLUMNS = ["what", "word", "rows", "amount", "counts as", "say what it means"]

#: The checks that find them: what the word is of, its column, the query of its amount, what it counts as, and the key.
_CHECKS = {
    "orders_have_a_known_status": (
        *("status of orders", "status"),
        "select found.status, count(*) as rows, sum(facts.net_amount) as amount from ({}) as found"
        " left join warehouse.fact_orders as facts on facts.order_id = found.order_id group by found.status",
        *("a sale", "models.statuses"),
    ),
    "payments_have_a_known_status": (
        *("status of payments", "status"),
        "select status, count(*) as rows, sum(amount) as amount from ({}) as found group by status",
        *("not paid", "columns.status: match"),
    ),
    "events_are_understood": (
        *("name of events", "event_type"),
        "select event_type, count(*) as rows, sum(value) as amount from ({}) as found group by event_type",
        *("no step to a purchase", "models.events"),
    ),
}


def unexplained(warehouse: Warehouse, result: Audit) -> pd.DataFrame:
    """Return a row a word that nobody explained, those with the most rows first: the columns of `COLUMNS`."""
    found = []
    for check, (what, column, sql, counts_as, key) in _CHECKS.items():
        if check in result.failing_sql:
            rows = warehouse.query(sql.format(result.failing_sql[check]))
            found += [
                (what, row[column], int(row["rows"]), row["amount"], counts_as, key) for row in rows.to_dict("records")
            ]
    frame = pd.DataFrame(found, columns=COLUMNS)
    return frame.sort_values(["what", "rows", "word"], ascending=[False, False, True]).reset_index(drop=True)
