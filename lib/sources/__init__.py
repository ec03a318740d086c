"""Kinds of sources: one module each, and the registry that names them.

A kind's module has `MODEL`, the pydantic model of such a source in the configuration (a `lib.config.Source`), and
`open_source`, a context manager that opens what the source's entities share (a client, a transaction, a mailbox)
and gives a function that takes one entity. docs/adding-a-source.md shows one being made.
"""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import duckdb

from lib.lake import Delivery, Taken

if TYPE_CHECKING:
    from lib.config import Settings, Source

#: Name of a kind -> its module; imported when a source of the kind is configured.
KINDS = {
    "files": "lib.sources.files",
    "rest": "lib.sources.rest",
    "database": "lib.sources.database",
    "mail": "lib.sources.mail",
    "events": "lib.sources.events",
}


class Take(Protocol):
    """Takes what is new of one entity since `taken`, as Parquet parts in the folder `scratch`."""

    def __call__(
        self,
        entity: str,
        spec: Any,
        taken: Taken,
        scratch: Path,
        connection: duckdb.DuckDBPyConnection,
        progress: Callable[[str], None],
    ) -> Delivery: ...


def source_model(kind: str) -> type["Source"]:
    """Return the model of a kind's sources."""
    return cast("type[Source]", importlib.import_module(KINDS[kind]).MODEL)


def open_source(source: "Source", settings: "Settings") -> AbstractContextManager[Take]:
    """Open a source; raise SourceError where it cannot be reached."""
    module = importlib.import_module(KINDS[source.kind])
    return cast("AbstractContextManager[Take]", module.open_source(source, settings))
