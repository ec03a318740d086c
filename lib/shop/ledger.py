"""The ledger of defects: what the shop's systems have spoiled, for the comparison in 05_quality and nobody else.

`folder/<system>/<after>-<through>.parquet`: what a system's write from day `after` to day `through` spoiled. Parts may
overlap, where a write was repeated; a row counts once.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.shop.damage import moment
from lib.shop.defects import KINDS
from lib.shop.files import write_parquet

#: One row a spoiled cell. `key` is the record's as it is delivered (`order_id|line_number` for a line), `family` the id
#: of its order, customer, product or event before; where a whole record is added or taken, `field` is empty.
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("system", "entity", "key", "family", "field", "kind", "label", "before", "after")]
)


class Cell(NamedTuple):
    """A spoiled cell: its value as it should be and as it is, as `amount`, `instant` or the text itself.

    `label` is the kind's, but where one case of the kind is not like the others.
    """

    system: str
    entity: str
    key: str
    family: str
    field: str
    kind: str
    before: str | None
    after: str | None
    label: str = ""


def table(cells: Iterable[Cell]) -> pa.Table:
    """Return spoiled cells as rows of the ledger."""
    rows = [cell._replace(label=cell.label or KINDS[cell.kind].label)._asdict() for cell in cells]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def amount(cents: int) -> str:
    """Return an amount as the ledger writes it: `12.50`."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def instant(seconds: int) -> str:
    """Return a UTC instant as the ledger writes it: `2025-03-04T10:11:12Z`."""
    return f"{moment(seconds):%Y-%m-%dT%H:%M:%SZ}"


def note(folder: Path, system: str, after: int, through: int, rows: pa.Table) -> None:
    """Note what a write from day `after` to day `through` spoiled; one from the beginning replaces what was noted."""
    place = folder / system
    if after < 0:
        shutil.rmtree(place, ignore_errors=True)
    differs = pc.invert(pc.fill_null(pc.equal(rows["before"], rows["after"]), False))
    write_parquet(place / f"{after}-{through}.parquet", rows.select(SCHEMA.names).cast(SCHEMA).filter(differs))


def read(folder: Path) -> pa.Table | None:
    """Return the ledger's rows, each once; nothing where there is none, or where a part of one is missing."""
    tables = []
    for place in sorted(p for p in folder.glob("*") if p.is_dir()):
        reached = -1
        for after, _, path in sorted(_parts(place)):
            if after > reached:
                return None
            reached = max(reached, int(path.stem.rpartition("-")[2]))
            tables.append(pq.read_table(path, schema=SCHEMA))
    if not tables:
        return None
    whole = pa.concat_tables(tables)
    return whole.group_by(SCHEMA.names).aggregate([]).select(SCHEMA.names)


def _parts(place: Path) -> list[tuple[int, int, Path]]:
    found = []
    for path in place.glob("[!.]*.parquet"):
        after, _, through = path.stem.rpartition("-")
        found.append((int(after), int(through), path))
    return found
