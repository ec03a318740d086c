"""The warehouse: query, load, write-audit-publish; one class an engine, and `open_warehouse` picks it.

Models are SQL in `sql/`, run by `lib.model.dbt`. What every engine promises is in `lib.warehouse.base`.
"""

from lib.settings import Settings
from lib.warehouse.base import SCHEMAS, Copy, Warehouse
from lib.warehouse.duckdb import RESOURCE_ERRORS, DuckDBWarehouse

__all__ = ["RESOURCE_ERRORS", "SCHEMAS", "Copy", "DuckDBWarehouse", "Warehouse", "open_warehouse"]


def open_warehouse(settings: Settings, copy: Copy = "published") -> Warehouse:
    """Return a copy of the warehouse on the configured engine; nothing is connected yet."""
    if settings.config.warehouse.target == "postgres":
        from lib.warehouse.postgres import PostgresWarehouse

        return PostgresWarehouse(settings, copy)
    return DuckDBWarehouse(settings, copy)
