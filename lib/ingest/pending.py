"""What the sources hold that the lake does not: asked as an ingest would ask, and nothing is kept of it.

Of files, their names, sizes and times of change tell; one is read only where these leave it open, and not a second time
while they stay. Of a mailbox the names of its messages tell. A database or an API is asked for what an ingest would
read of it.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec

from lib.base.errors import SourceError
from lib.base.files import scratch_folder, write_atomically
from lib.base.hashing import fingerprint
from lib.config import EntitySource, Source
from lib.ingest.lookups import tables_to_read
from lib.lake import Lake
from lib.settings import Settings
from lib.sources import files, json_files, open_source
from lib.sources.delivery import Extractor, State, Task
from lib.sources.listing import Listed, Reading, files_at, some, suffix
from lib.sources.mail import names_in

#: Clocks may differ by so much: what was changed within this time of being read is looked into.
_CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True)
class New:
    """Something new in a source, for an entity or a table of lookups: the documents, each with what tells whether it
    is still growing (nothing where it is none of a file system's)."""

    source: str
    entity: str
    documents: dict[str, str]

    @property
    def sentence(self) -> str:
        found = len(self.documents)
        return (
            f"{self.source}.{self.entity}: {found:,} new, such as {some(list(self.documents), 1 if found > 1 else 2)}"
        )


@dataclass(frozen=True)
class Pending:
    """What is new, and which sources could not be asked; those that are optional are in `skipped`."""

    new: list[New] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def signature(self) -> dict[tuple[str, str, str], str]:
        """The new documents by source, entity and name, each with what tells whether it is still growing."""
        return {(one.source, one.entity, name): stamp for one in self.new for name, stamp in one.documents.items()}


@dataclass(frozen=True)
class _Asked:
    """What is asked for of a source: an entity, or a table of lookups, and what its lake holds of it."""

    name: str
    title: str
    spec: EntitySource
    lake: Lake

    @property
    def reader(self) -> str:
        return fingerprint(self.spec.reader)


def pending(settings: Settings) -> Pending:
    """Return what an ingest would find new in every configured source."""
    found = Pending()
    lake = Lake(settings.lake_url)
    memory = _Memory(settings.work_dir / "pending.json")
    for name, source in settings.config.sources.items():
        try:
            with contextlib.ExitStack() as opened:
                extract: Extractor | None = None
                for entity, spec in source.entities.items():
                    tables = [_Asked(t.name, t.title, t.spec, lake.lookups) for t in tables_to_read(spec)]
                    try:
                        for asked in (*tables, _Asked(entity, entity, spec, lake)):
                            if source.kind in ("files", "events"):
                                documents = _new_files(settings, source, name, asked, memory)
                            else:
                                if extract is None:
                                    extract = opened.enter_context(open_source(source, settings.work_dir))
                                documents = _new_elsewhere(source, name, asked, extract, settings)
                            if documents:
                                found.new.append(New(name, asked.title, documents))
                    except SourceError as error:
                        failed = found.skipped if source.optional or spec.optional else found.failures
                        failed[f"{name}.{entity}"] = str(error)
        except SourceError as error:
            (found.skipped if source.optional else found.failures)[name] = str(error)
    memory.save()
    return found


class _Memory:
    """Files that were looked into and hold nothing new, with what their file system said of them then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before: dict[str, str] = {}
        self.now: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            self.before = dict(json.loads(path.read_text(encoding="utf-8")))

    def knows(self, key: str, stamp: str) -> bool:
        if self.before.get(key) != stamp:
            return False
        self.now[key] = stamp
        return True

    def save(self) -> None:
        if self.now != self.before:
            write_atomically(self.path, json.dumps(self.now, indent=1))


@dataclass(frozen=True)
class _Version:
    """A version of a file that was read, or rejected: its hash, its size, and when (UTC)."""

    sha256: str
    bytes: int
    at: datetime


def _new_files(settings: Settings, source: Any, name: str, asked: _Asked, memory: _Memory) -> dict[str, str]:
    """Return the files that are new or changed, each with its size and time of change."""
    if "://" in source.path:
        with contextlib.suppress(OSError, ValueError, ImportError):
            # What was listed before may be kept there, and is not what is there now.
            fsspec.core.url_to_fs(source.path)[0].invalidate_cache()
    is_stream = source.kind == "events"
    endings: tuple[str, ...] = json_files.ENDINGS if is_stream else files.ENDINGS
    what = "JSON" if is_stream else "CSV, Excel, JSON or Parquet"
    pattern = getattr(asked.spec, "files", "*")
    listed = files_at(source.path, pattern, endings, what, getattr(source, "newest_days", 0))
    state = asked.lake.state(name, asked.name, asked.reader)
    versions = _versions(asked, name)
    new: dict[str, str] = {}
    in_doubt: list[tuple[Listed, str, str, str]] = []
    for found in listed:
        stamp, size, changed = _about(found)
        is_archive = suffix(found.name) == ".zip"
        of = [n for n in versions if n == found.name or (is_archive and n.startswith(f"{found.name}/"))]
        newest = [versions[n][-1] for n in of]
        if not newest or (not is_archive and size not in [v.bytes for v in versions[found.name]]):
            new[found.name] = stamp
            continue
        if changed is not None and all(changed + _CLOCKS_APART < version.at for version in newest):
            continue
        key, version = (
            f"{name}/{asked.name}/{found.name}",
            fingerprint([stamp, asked.reader, [v.sha256 for v in newest]]),
        )
        if not memory.knows(key, version):
            in_doubt.append((found, stamp, key, version))
    if in_doubt:
        with _task(settings, asked, state) as task:
            for found, stamp, key, version in in_doubt:
                if _differs(task, versions, found, endings):
                    new[found.name] = stamp
                else:
                    memory.now[key] = version
    return new


def _versions(asked: _Asked, source: str) -> dict[str, list[_Version]]:
    """Return by file name what is known of it, oldest first: as this reader read it, and as it was rejected."""
    found: dict[str, list[_Version]] = {}
    for batch in asked.lake.batches(source, asked.name):
        if batch.reader == asked.reader:
            for file in batch.files:
                at = datetime.fromisoformat(batch.ingested_at)
                found.setdefault(file.name, []).append(_Version(file.sha256, file.bytes, at))
    for note in asked.lake.rejected_ever(source, asked.name):
        at = datetime.fromisoformat(note["rejected_at"])
        found.setdefault(note["name"], []).append(_Version(note["sha256"], note["bytes"], at))
    return {name: sorted(versions, key=lambda v: v.at) for name, versions in found.items()}


def _about(found: Listed) -> tuple[str, int | None, datetime | None]:
    """Return what tells whether a file is as it was, its size, and when it was changed (UTC)."""
    try:
        about = found.about()
    except OSError:
        return "gone", None, None
    size = about.get("size")
    times = [
        _utc(about[key]) for key in ("mtime", "created", "LastModified", "last_modified", "updated") if about.get(key)
    ]
    known = [time for time in times if time is not None]
    changed = max(known, default=None)
    return f"{size} {changed} {about.get('ETag', '')}", size, changed


def _utc(value: Any) -> datetime | None:
    """Return a time as a file system gives it, in UTC without a zone."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).replace(tzinfo=None)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return None


def _differs(task: Task, versions: dict[str, list[_Version]], found: Listed, endings: tuple[str, ...]) -> bool:
    """Whether a file, or one in an archive, has another content than what was read or rejected; it is read for that."""
    reading = Reading(task)
    now = {file.name: file.sha256 for file, _ in reading.new_files([found], endings)}
    now |= {file.name: file.sha256 for file in reading.rejected}
    return any(
        sha256 not in [version.sha256 for version in versions.get(name, ())]
        or (name in task.state.files and versions[name][-1].sha256 != sha256)
        for name, sha256 in now.items()
    )


def _new_elsewhere(source: Source, name: str, asked: _Asked, extract: Extractor, settings: Settings) -> dict[str, str]:
    """Return the documents that an ingest would make of a mailbox, a database or an API."""
    state = asked.lake.state(name, asked.name, asked.reader)
    if source.kind == "mail":
        seen = {*state.files, *state.cursor.get("rejected", {})}
        seen |= {note["name"] for entity in source.entities for note in asked.lake.rejected_ever(name, entity)}
        return {message: "" for message in names_in(extract) if message not in seen}
    with _task(settings, asked, state) as task:
        return {file.name: "" for file in extract(task).files}


@contextlib.contextmanager
def _task(settings: Settings, asked: _Asked, state: State) -> Iterator[Task]:
    """Make the task that an ingest would give to the source; what it writes is removed."""
    with scratch_folder(settings.work_dir, "ingest") as scratch, asked.lake.connect(settings) as connection:
        yield Task(asked.title, asked.spec, state, scratch, connection)
