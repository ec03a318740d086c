"""A shop of a few hand-made files: write them, load them into a warehouse in this process, look at the tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lib.clean import load
from lib.ingest.run import Ingested, ingest
from lib.lake import Lake
from lib.model import dbt
from lib.quality.audit import Audit, audit
from lib.settings import Settings, load_settings
from lib.warehouse import Warehouse, open_warehouse

ENTITIES = ("customers", "products", "orders", "order_items", "payments")
SCHEMAS = ("clean", "quarantine", "warehouse", "analytics")


@dataclass
class SmallShop:
    """One shop below a temporary folder; every entity reads the files of its own folder in `exports`.

    `entities` maps an entity to its options in the sources file, `shop` overrides the shop's own keys.
    """

    root: Path
    entities: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {e: {} for e in ENTITIES})
    shop: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def settings(self) -> Settings:
        self.root.mkdir(parents=True, exist_ok=True)
        file = self.root / "small.yml"
        entities = {name: {"files": f"{name}/*", **options} for name, options in self.entities.items()}
        source = {"kind": "files", "path": str(self.exports), "time_zone": "UTC", "entities": entities}
        content = {
            "shop": {"name": "Small", "currency": "EUR", "time_zone": "Europe/Berlin", **self.shop},
            "warehouse": {"memory_limit": "1GB", "threads": 2},
            "sources": {"exports": source | dict(self.source)},
            **self.config,
        }
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return load_settings(sources=file, data_dir=self.root / "data", output_dir=self.root / "outputs")

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_url)

    def write(self, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
        """Write an export file, such as `orders/1.csv`."""
        path = self.exports / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    def ingest(self) -> Ingested:
        """Ingest what is new and return what was taken."""
        self.runs += 1
        return ingest(self.settings, f"run{self.runs}")

    def load(self, *, full_refresh: bool = False) -> Warehouse:
        """Ingest and load into the `stage` of a fresh copy, without building models."""
        self.ingest().raise_failures()
        warehouse = open_warehouse(self.settings, "run")
        warehouse.begin(full_refresh=full_refresh)
        load.load_stage(self.settings, warehouse, f"run{self.runs}")
        return warehouse

    def build(self, *, full_refresh: bool = False, publish: bool = False) -> Warehouse:
        """Ingest, load and build all models; a published copy is what the next build starts from."""
        warehouse = self.load(full_refresh=full_refresh)
        dbt.build_models(self.settings, warehouse, "staging", "clean", "quality", "warehouse", "analytics")
        if publish:
            warehouse.publish()
            return open_warehouse(self.settings)
        return warehouse

    def audit(self, warehouse: Warehouse) -> Audit:
        return audit(self.settings, warehouse, f"run{self.runs}")


def csv(header: str, *rows: str) -> str:
    """Return a CSV text of a header and rows."""
    return "\n".join([header, *rows]) + "\n"


def rows(warehouse: Warehouse, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return a query's rows as Python values, so that decimals stay exact."""
    with warehouse.connect() as connection:
        return connection.execute(sql, list(parameters)).fetchall()


def one(warehouse: Warehouse, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """Return the only value of a query."""
    ((value,),) = rows(warehouse, sql, parameters)
    return value


def contents(warehouse: Warehouse, schemas: Iterable[str] = SCHEMAS) -> dict[str, pd.DataFrame]:
    """Return every table of some schemas, rows sorted, without when and in which batch a row came."""
    tables = rows(
        warehouse,
        "select schema_name, table_name from duckdb_tables() where schema_name in (select unnest(?)) order by all",
        [list(schemas)],
    )
    found = {}
    for schema, table in tables:
        frame = warehouse.query(f"select * from {schema}.{table}")
        frame = frame.drop(columns=["_batch_id", "_ingested_at"], errors="ignore").astype(str)
        found[f"{schema}.{table}"] = frame.sort_values(list(frame.columns)).reset_index(drop=True)
    return found


def assert_same_tables(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    assert list(one) == list(other)
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name], obj=name)
