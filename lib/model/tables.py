"""What `04_model` shows of the tables it built; the models themselves are SQL in `sql/`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.base.queries import read_query
from lib.warehouse import Warehouse

#: The figures that are no amounts.
COUNTS = ("clean_rows", "all_orders", "sessions", "orders", "cancelled_orders")


@dataclass(frozen=True)
class KeyFigures:
    """The warehouse in a few numbers, amounts in the reporting currency."""

    clean_rows: int
    all_orders: int
    sessions: int
    orders: int
    cancelled_orders: int
    gross_amount: float
    discount_amount: float
    return_amount: float
    net_amount: float
    first_date: Any
    last_date: Any

    def shown(self, currency: str) -> list[tuple[str, str]]:
        """Return label and text of each figure; what there is none of is left out."""
        counts = {
            "Orders sold": self.orders,
            "Cancelled orders": self.cancelled_orders,
            "Other orders": self.all_orders - self.orders - self.cancelled_orders,
            "Sessions": 0 if self.all_orders else self.sessions,
        }
        found = [(label, f"{number:,}") for label, number in counts.items() if number]
        if not self.all_orders:
            return found or [("Orders", "0")]
        amounts = {
            "Gross": self.gross_amount,
            "Discounts": self.discount_amount,
            "Returned and cancelled": self.return_amount,
        }
        found += [(f"{label}, {currency}", formatting.compact(amount)) for label, amount in amounts.items() if amount]
        return [
            *found,
            (f"Net revenue, {currency}", formatting.compact(self.net_amount)),
            ("From", formatting.when(self.first_date)),
            ("To", formatting.when(self.last_date)),
        ]

    def manifest(self) -> dict[str, Any]:
        """Return what `run.json` keeps."""
        return {"net_amount": self.net_amount, "orders": self.orders, "gross_amount": self.gross_amount}


def table_sizes(warehouse: Warehouse, tables: Sequence[str]) -> pd.DataFrame:
    """Return schema, table and rows of some tables, in one query."""
    selects = [
        f"select '{schema}' as schema, '{table}' as \"table\", count(*) as rows from {schema}.{table}"
        for schema, table in (name.split(".") for name in tables)
    ]
    frame = warehouse.query(" union all ".join(selects))
    return frame.sort_values(["schema", "table"], ascending=[False, True]).reset_index(drop=True)


def key_figures(warehouse: Warehouse) -> KeyFigures:
    """Return the warehouse's key figures."""
    row = warehouse.query(read_query("queries/model/key_figures")).iloc[0]
    found: dict[str, Any] = {name: int(row[name]) for name in row.index if name in COUNTS}
    found |= {name: float(row[name]) for name in row.index if name.endswith("_amount")}
    found |= {n: row[n].date() if pd.notna(row[n]) else None for n in ("first_date", "last_date")}
    return KeyFigures(**found)
