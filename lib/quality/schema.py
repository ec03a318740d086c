"""The schema of a copy of the warehouse: whether every table is there that models, loads and checks need, and whether
those whose columns are described have these and no others.
"""

from collections.abc import Mapping, Sequence

from lib.base.errors import WarehouseError
from lib.base.formatting import listing
from lib.warehouse import Warehouse
from lib.warehouse.base import OPS_TABLES, STAGE_TABLES

#: Schemas of which every column is described.
MARTS = ("warehouse", "analytics")


def faults(warehouse: Warehouse, described: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence for each table that is not as it should be; `described` has the models' tables and columns.

    Columns that nothing describes are faults in the marts alone, of which the project describes all.
    """
    own = {**OPS_TABLES, **{f"stage.{name}": columns for name, columns in STAGE_TABLES.items()}}
    found = []
    for table, expected in {**described, **{name: list(columns) for name, columns in own.items()}}.items():
        try:
            columns = [str(name) for name in warehouse.query(f"select * from {table} where false").columns]
        except WarehouseError:
            found.append(f"there is no table {table}")
            continue
        lacking = [name for name in expected if name not in columns]
        unknown = [name for name in columns if name not in expected]
        if lacking:
            found.append(f"{table} lacks {listing(lacking)}")
        if unknown and table.split(".")[0] in MARTS:
            found.append(f"{table} has {listing(unknown)}, which nothing describes")
    return found


def check(warehouse: Warehouse, described: Mapping[str, Sequence[str]]) -> None:
    """Raise WarehouseError with every fault of the schema."""
    if found := faults(warehouse, described):
        sentences = "\n".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in found)
        raise WarehouseError(
            f"The schema is not what the models make:\n{sentences}\n"
            "Build the tables anew: run_pipeline.py --full-refresh"
        )
