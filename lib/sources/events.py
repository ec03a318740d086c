"""Source kind `events`: JSON lines (also compressed), as a stream's delivery service writes them, file by file.

Files are known by name and hash, so that one which was corrected under its name is read again. How they are read is in
`json_files`.
"""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lib.config import EntitySource, Source
from lib.sources.delivery import Delivery, Extractor, Task
from lib.sources.json import Rows
from lib.sources.json_files import ENDINGS, JsonReading
from lib.sources.listing import Reading, files_at


class EventEntity(EntitySource):
    """Which files hold the events; `columns` maps onto dotted names such as `visitor.id`."""

    files: str = "**/*.json.gz"
    records: str = ""
    rows: Rows = ()

    @property
    def reader(self) -> dict[str, Any]:
        options = {"records": self.records, "rows": self.rows}
        # What was read before there were these options was read without them.
        return {key: value for key, value in options.items() if value}


class EventsSource(Source):
    """A folder or a fsspec URL; of partitions `YYYY/MM/DD` below it, only the newest days where a number is given."""

    kind: Literal["events"]
    path: str = Field(min_length=1)
    newest_days: int = Field(0, ge=0)
    entities: dict[str, EventEntity] = Field(min_length=1)


MODEL = EventsSource


@contextlib.contextmanager
def open_source(source: EventsSource, work_dir: Path) -> Iterator[Extractor]:
    """Hand over the extractor; files share nothing that must be opened."""
    yield functools.partial(extract, source)


def extract(source: EventsSource, task: Task) -> Delivery:
    """Hand over the objects of every file that is new or changed since the task's state, a row each, as text.

    Raises SourceError where the place does not exist, holds no such files, or none was ever usable.
    """
    listed = files_at(source.path, task.spec.files, ENDINGS, "JSON", source.newest_days)
    reading = Reading(task)
    JsonReading(reading).read(list(reading.new_files(listed, ENDINGS)))
    return reading.delivery(source.path)
