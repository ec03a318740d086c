"""Kinds of sources: one module each, and the registry that names them.

A kind is a function `take(source, entity, spec, taken, scratch, connection) -> Delivery` that hands over what
is new since the cursor `taken`, as Parquet parts in the folder `scratch`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import duckdb

from lib.config import EntitySource, Source
from lib.lake import Delivery
from lib.sources import files


class Take(Protocol):
    """What every kind of source provides."""

    def __call__(
        self,
        source: Source,
        entity: str,
        spec: EntitySource,
        taken: dict[str, str],
        scratch: Path,
        connection: duckdb.DuckDBPyConnection,
        progress: Callable[[str], None],
    ) -> Delivery: ...


KINDS: dict[str, Take] = {"files": files.take}
