"""Kinds of sources: one module each, and the registry that names them.

A kind's module has `MODEL`, the pydantic model of such a source in the configuration (a `lib.config.Source`), and
`open_source`, a context manager that opens what the source's entities share (a client, a transaction, a mailbox)
and gives a function that extracts one entity. docs/adding-a-source.md shows one being made.
"""

import importlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lib.sources.delivery import Extractor

if TYPE_CHECKING:
    from lib.config import Source

#: Name of a kind -> its module; imported when a source of the kind is configured.
KINDS = {
    "files": "lib.sources.files",
    "rest": "lib.sources.rest",
    "database": "lib.sources.database",
    "mail": "lib.sources.mail",
    "events": "lib.sources.events",
}


def source_model(kind: str) -> type["Source"]:
    """Return the model of a kind's sources."""
    return cast("type[Source]", importlib.import_module(KINDS[kind]).MODEL)


def open_source(source: "Source", work_dir: Path) -> AbstractContextManager[Extractor]:
    """Open a source, which may keep files in the work folder while it is open.

    Raises SourceError where it cannot be reached.
    """
    module = importlib.import_module(KINDS[source.kind])
    return cast("AbstractContextManager[Extractor]", module.open_source(source, work_dir))
