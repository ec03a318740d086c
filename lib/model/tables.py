"""What `04_model` shows of the tables it built; the models themselves are SQL in `sql/`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.warehouse import Warehouse


@dataclass(frozen=True)
class KeyFigures:
    """The warehouse in a few numbers, amounts in the reporting currency."""

    clean_rows: int
    orders: int
    cancelled_orders: int
    gross_amount: float
    discount_amount: float
    return_amount: float
    net_amount: float
    first_date: Any
    last_date: Any

    def shown(self, currency: str) -> list[tuple[str, str]]:
        """Return label and text of each figure."""
        if not self.orders:
            return [("Orders", "0")]
        return [
            ("Orders", f"{self.orders:,}"),
            ("Cancelled orders", f"{self.cancelled_orders:,}"),
            (f"Gross, {currency}", formatting.compact(self.gross_amount)),
            (f"Discounts, {currency}", formatting.compact(self.discount_amount)),
            (f"Returned and cancelled, {currency}", formatting.compact(self.return_amount)),
            (f"Net revenue, {currency}", formatting.compact(self.net_amount)),
            ("From", str(self.first_date)),
            ("To", str(self.last_date)),
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
    frame = warehouse.query(
        """
        select
            (select count(*) from clean.order_items) as clean_rows,
            coalesce(sum(orders), 0) as orders,
            coalesce(sum(cancelled_orders), 0) as cancelled_orders,
            coalesce(sum(gross_amount), 0) as gross_amount,
            coalesce(sum(discount_amount), 0) as discount_amount,
            coalesce(sum(return_amount), 0) as return_amount,
            coalesce(sum(net_amount), 0) as net_amount,
            min(order_date) as first_date,
            max(order_date) as last_date
        from analytics.daily_sales
        """
    )
    row = frame.iloc[0]
    return KeyFigures(
        clean_rows=int(row["clean_rows"]),
        orders=int(row["orders"]),
        cancelled_orders=int(row["cancelled_orders"]),
        gross_amount=float(row["gross_amount"]),
        discount_amount=float(row["discount_amount"]),
        return_amount=float(row["return_amount"]),
        net_amount=float(row["net_amount"]),
        first_date=row["first_date"].date() if pd.notna(row["first_date"]) else None,
        last_date=row["last_date"].date() if pd.notna(row["last_date"]) else None,
    )
