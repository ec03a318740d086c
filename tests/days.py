"""A simulated shop run day by day in this process: bring its systems to a day, take what is new, build, publish."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from lib.clean import load
from lib.ingest.run import ingest
from lib.model import dbt
from lib.settings import Settings, load_settings
from lib.shop import open_shop
from lib.shop.rates import Defects
from lib.shop.systems import ONLY_DELIVERY
from lib.warehouse import Warehouse, open_warehouse

#: Columns that state where a row came from, and keys that name a version of a customer or product.
ASIDE = ("_entity", "_source", "_source_file", "_source_row", "_batch_id", "_ingested_at", "source")
SCHEMAS = ("clean", "warehouse", "analytics")


@dataclass
class DailyShop:
    """A small shop in a folder of its own."""

    folder: Path
    seed: int = 42
    runs: int = 0
    defects: Defects = ONLY_DELIVERY

    @property
    def settings(self) -> Settings:
        return load_settings(size="small", seed=self.seed, data_dir=self.folder, output_dir=self.folder / "outputs")

    def run(self, as_of: date) -> Warehouse:
        """Take the shop to a day and publish; return the published warehouse."""
        self.runs += 1
        settings = self.settings
        open_shop(folder=self.folder / "sources", size="small", seed=self.seed, as_of=as_of, defects=self.defects)
        ingest(settings, f"run{self.runs}").raise_failures()
        return self.build()

    def build(self, *, full_refresh: bool = False) -> Warehouse:
        """Load what the warehouse lacks, build all models and publish."""
        settings = self.settings
        warehouse = open_warehouse(settings, "run")
        warehouse.begin(full_refresh=full_refresh)
        load.load_stage(settings, warehouse, f"run{self.runs}")
        dbt.build_models(settings, warehouse, "staging", "clean", "quality", "warehouse", "analytics")
        warehouse.publish()
        return open_warehouse(settings)


def rows_of(warehouse: Warehouse) -> dict[str, pd.DataFrame]:
    """Return every table that readers use, rows sorted: without lineage, surrogate keys and versions of the past."""
    listed = warehouse.query(
        "select table_schema, table_name from information_schema.tables where table_schema in (?, ?, ?) order by 1, 2",
        SCHEMAS,
    )
    found = {}
    for schema, table in listed.itertuples(index=False):
        frame = warehouse.query(f"select * from {schema}.{table}")
        if "is_current" in frame:
            frame = frame[frame["is_current"]].drop(columns=["valid_from", "valid_to"])
        dropped = [c for c in frame if c in ASIDE or c in ("customer_key", "product_key")]
        frame = frame.drop(columns=dropped).astype(str)
        found[f"{schema}.{table}"] = frame.sort_values(list(frame.columns)).reset_index(drop=True)
    return found


def differences(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> list[str]:
    """Return a line for each table that is not the same: how many rows are on one side alone, and one of them."""
    lines = [f"{name} is on one side alone" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        left, right = one[name], other[name]
        if left.equals(right):
            continue
        both = left.merge(right, how="outer", indicator="side", on=list(left.columns))
        apart = both[both["side"] != "both"]
        if len(left) == len(right) and apart.empty:
            continue
        example = apart.iloc[0].to_dict() if len(apart) else "a row occurs more often on one side"
        lines.append(f"{name}: {len(left)} and {len(right)} rows, {len(apart)} differ, such as {example}")
    return lines
