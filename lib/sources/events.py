"""Source kind `events`: JSON lines (also compressed), as a stream's delivery service writes them, file by file.

Nested objects become columns with dotted names, lists stay JSON text, and every value is handed over as text. Files
are known by name and hash, so that one which was mended under its name is taken again. Many small files are read
together: Python unpacks them side by side, DuckDB takes the values out of their lines.
"""

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from pydantic import Field

from lib.base.hashing import sha256_of
from lib.config import EntitySource, Source
from lib.sources.delimited import Unusable
from lib.sources.delivery import Delivery, Extractor, SourceFile, Task
from lib.sources.json_lines import LARGE_BYTES, pieces, whole
from lib.sources.json_rows import Piece, Reading
from lib.sources.listing import files_at, none_usable


class EventEntity(EntitySource):
    """Which files hold the events; `columns` maps onto dotted names such as `visitor.id`."""

    files: str = "**/*.json.gz"


class EventsSource(Source):
    """A folder or a fsspec URL; of partitions `YYYY/MM/DD` below it, only the newest days where a number is given."""

    kind: Literal["events"]
    path: str = Field(min_length=1)
    newest_days: int = Field(0, ge=0)
    entities: dict[str, EventEntity] = Field(min_length=1)


MODEL = EventsSource

_ENDINGS = (".json", ".jsonl", ".ndjson")
#: Files are taken together up to so many bytes on disk (about twelve times that as text).
_TOGETHER = 6 << 20
_THREADS = 2


@contextlib.contextmanager
def open_source(source: EventsSource, work_dir: Path) -> Iterator[Extractor]:
    """Hand over the extractor; files share nothing that must be opened."""
    yield functools.partial(extract, source)


def extract(source: EventsSource, task: Task) -> Delivery:
    """Hand over the objects of every file that is new or changed since the task's state, a row each, as text.

    Part columns: a dotted name a value found, every column of the mapping (else of the entity) even where no line has
    it, `_file` and `_row`; lines that are no objects are in `malformed-*.parquet` as `_file`, `_line` (from 1, blank
    lines do not count), `_text`, `_error`. A name that is a text in some lines and an object in others gives a column
    of its own beside those of the object.

    Raises SourceError where the place does not exist, holds no such files, or none was ever usable.
    """
    entity, spec, state, scratch, connection = task.entity, task.spec, task.state, task.scratch, task.connection
    listed = files_at(source.path, spec.files, _ENDINGS, "JSON", source.newest_days)
    reading = Reading(entity, spec, scratch, connection)
    with ThreadPoolExecutor(_THREADS) as pool:
        fetched = [(name, fetch(scratch)) for name, fetch in listed]
        known = [(name, local) for name, local in fetched if name in state.files]
        same = pool.map(lambda found: state.files[found[0]] == _digest(found[1]), known, chunksize=64)
        unchanged = {name for (name, _), is_same in zip(known, same, strict=True) if is_same}
        new = [(name, local) for name, local in fetched if name not in unchanged]
        done = 0
        for batch in _batches(new, pool):
            task.progress(f"{entity}: reading file {done + 1:,} of {len(new):,}")
            reading.add(batch)
            done += sum(piece.is_first for piece in batch)
    rejected = reading.rejected
    if rejected and not reading.files and not state.files:
        raise none_usable(entity, source.path, rejected)
    return Delivery(
        files=tuple(reading.files.values()),
        rejected=tuple(rejected),
        parts=tuple(reading.parts),
        columns=tuple(reading.columns),
        unchanged=tuple(name for name, _ in fetched if name in unchanged),
        originals={name: str(local) for name, local in new if name in reading.files},
    )


def _digest(local: Path) -> str:
    """Return the hash of a file, or nothing where it cannot be read; the reading of it then says why."""
    try:
        return sha256_of(local)
    except OSError:
        return ""


def _batches(files: list[tuple[str, Path]], pool: Executor) -> Iterator[list[Piece]]:
    """Yield what is taken together: small files in number, of large ones a piece; the next is unpacked meanwhile."""
    waiting: list[Piece] = []
    for group in _groups(files):
        if group[0][2] > LARGE_BYTES:
            if waiting:
                yield waiting
                waiting = []
            yield from ([piece] for piece in _large(*group[0][:2]))
            continue
        started = [pool.submit(_small, name, local) for name, local, _ in group]
        if waiting:
            yield waiting
        waiting = [future.result() for future in started]
    if waiting:
        yield waiting


def _groups(files: list[tuple[str, Path]]) -> Iterator[list[tuple[str, Path, int]]]:
    """Yield the files with their sizes in groups to be taken together; a large one is a group of its own."""
    group: list[tuple[str, Path, int]] = []
    size = 0
    for name, local in files:
        try:
            own = local.stat().st_size
        except OSError:
            own = 0
        if group and (size + own > _TOGETHER or max(own, size) > LARGE_BYTES):
            yield group
            group, size = [], 0
        group.append((name, local, own))
        size += own
    if group:
        yield group


def _small(name: str, local: Path) -> Piece:
    try:
        data = local.read_bytes()
    except OSError as error:
        return Piece(SourceFile(name, "", 0), local, refused=f"cannot be read: {error.strerror or error}")
    file = SourceFile(name, hashlib.sha256(data).hexdigest(), len(data))
    try:
        return Piece(file, local, whole(name, data))
    except Unusable as why:
        return Piece(file, local, refused=str(why))


def _large(name: str, local: Path) -> Iterator[Piece]:
    try:
        file = SourceFile(name, sha256_of(local), local.stat().st_size)
        for number, content in enumerate(pieces(local)):
            yield Piece(file, local, content, is_first=number == 0)
    except OSError as error:
        yield Piece(SourceFile(name, "", 0), local, refused=f"cannot be read: {error.strerror or error}")
    except Unusable as why:
        yield Piece(file, local, refused=str(why))
