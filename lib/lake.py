"""The lake: immutable raw batches as Parquet on any fsspec URL, and what every warehouse can be built from.

A batch is a folder `raw/<source>/<entity>/<batch_id>/` that exists once its `manifest.json` does, written
last and at once; a folder without one is the remains of a killed run and is ignored. How far a
source has been read (its cursor) is in the manifests, so data and cursor always agree. Files that could
not be used are kept whole under `rejected/`, each beside a note of the reason.
"""

import contextlib
import glob
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow.parquet as pq

from lib.base.errors import LakeError
from lib.base.files import file_lock, write_atomically
from lib.base.hashing import fingerprint
from lib.base.secrets import mask
from lib.settings import Settings
from lib.sources.delivery import Delivery, RejectedFile, SourceFile, State, Totals


@dataclass(frozen=True)
class Batch:
    """A raw batch's manifest."""

    batch_id: str
    sequence: int
    source: str
    entity: str
    run_id: str
    ingested_at: str
    reader: str
    files: tuple[SourceFile, ...]
    parts: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int
    malformed: int
    bytes: int
    cursor_before: dict[str, Any] = field(default_factory=dict)
    cursor_after: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"raw/{self.source}/{self.entity}/{self.batch_id}"


_manifests: dict[tuple[Any, ...], Batch] = {}


@dataclass(frozen=True)
class Standardized:
    """A batch's typed rows in the lake."""

    batch: Batch
    rules: str
    path: str


class Lake:
    """Batches at a folder or fsspec URL.

    The methods that write expect the caller to hold `lock()`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.fs, self._root = fsspec.core.url_to_fs(self.url)
        self.is_local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    @property
    def lookups(self) -> "Lake":
        """The tables that values are looked up in: batches like all others, of no entity, and so in a lake apart."""
        return Lake(f"{self.url}/lookups")

    def path(self, relative: str) -> str:
        """Return the place of something in the lake, in a form that DuckDB and fsspec both accept."""
        return f"{self._root}/{relative}" if self.is_local else f"{self.url}/{relative}"

    def connect(self, settings: Settings) -> duckdb.DuckDBPyConnection:
        """Open an in-memory DuckDB that reads and writes the lake, in UTC and within the memory limit."""
        connection = duckdb.connect(config=duckdb_limits(settings))
        connection.execute("set TimeZone = 'UTC'")
        if not self.is_local:
            connection.register_filesystem(self.fs)
        return connection

    @contextlib.contextmanager
    def lock(self, wait_seconds: float = 600) -> Iterator[None]:
        """Hold the lake for writing; another writer on this machine waits, and after that time gives up."""
        if not self.is_local:
            yield
            return
        Path(self._root).mkdir(parents=True, exist_ok=True)
        message = f"The lake {self.url} is being written by another run."
        with file_lock(Path(self._root) / ".lock", wait_seconds, message):
            yield

    def claim(self, identity: dict[str, Any]) -> None:
        """Note whose data the lake holds; raise LakeError where it is another shop's.

        The lake may know more of its shop than a run without the shop's systems at hand does.
        """
        found = self._read_json("shop.json")
        if found is None:
            self.write_json("shop.json", identity)
        elif identity.items() - found.items():
            raise LakeError(
                f"The lake {mask(self.url)} holds the shop {_describe(found)}, and this run is for"
                f" {_describe(identity)}. Two shops are never mixed: name another folder with --data-dir, or remove"
                " this one."
            )

    def batches(self, source: str = "", entity: str = "") -> list[Batch]:
        """Return the manifests, oldest first, of all batches or of one source's or entity's.

        A manifest never changes: each is read once in a process.
        """
        pattern = f"{glob.escape(self._root)}/raw/{source or '*'}/{entity or '*'}/*/manifest.json"
        found = []
        for path, info in self.fs.glob(pattern, detail=True).items():
            # A batch that was removed and read again has the same path, and another time or tag.
            version = (self.url, path, info.get("mtime") or info.get("ETag") or info.get("created"), info.get("size"))
            if version not in _manifests:
                _manifests[version] = self._manifest(path)
            found.append(_manifests[version])
        return sorted(found, key=lambda b: (b.sequence, b.batch_id))

    def _manifest(self, path: str) -> Batch:
        try:
            values = json.loads(self.fs.cat_file(path))
            values["files"] = tuple(SourceFile(**_present(f)) for f in values["files"])
            values["parts"], values["columns"] = tuple(values["parts"]), tuple(values["columns"])
            return Batch(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise LakeError(
                f"The batch manifest {path} is damaged ({error}). Remove its folder; its files are then read again."
            ) from None

    def state(self, source: str, entity: str, reader: str) -> State:
        """Return what the lake holds of a source's entity, but for what another `reader` read."""
        batches = self.batches(source, entity)
        own = [b for b in batches if b.reader == reader]
        parts = tuple(glob.escape(self.path(f"{b.folder}/{p}")) for b in own for p in b.parts if p.startswith("part-"))
        cursor = own[-1].cursor_after if own else {}
        types: dict[str, str] = {}
        for batch in own:
            types |= batch.types
        return State(_versions_read(batches, reader), cursor.get("kind") or {}, parts, types, len(batches))

    def commit(self, source: str, entity: str, reader: str, delivery: Delivery, run_id: str) -> Batch | None:
        """Make a delivery a batch and return it, or None where it holds no files.

        The batch id follows from the content, so the same delivery read twice is the same batch.
        """
        if not delivery.files:
            return None
        known = self.batches()
        own = [b for b in known if (b.source, b.entity) == (source, entity)]
        before = _versions_read(own, reader)
        content = [source, entity, reader, sorted((f.name, f.sha256) for f in delivery.files)]
        batch_id = fingerprint(content)
        if any(batch.batch_id == batch_id for batch in own):
            # A file went back to an earlier content: the same batch would be older than what it replaces.
            batch_id = fingerprint([*content, len(known)])
        folder = f"raw/{source}/{entity}/{batch_id}"
        self._remove(folder)
        names, size = [], 0
        types: dict[str, str] = {}
        for part in delivery.parts:
            if part.name.startswith("part-"):
                types |= types_of(part)
            self.place(part, f"{folder}/{part.name}")
            names.append(part.name)
            size += part.stat().st_size
        after = before | {f.name: f.sha256 for f in delivery.files}
        kind_before = own[-1].cursor_after.get("kind") if own else None
        batch = Batch(
            batch_id=batch_id,
            sequence=1 + max((b.sequence for b in known), default=0),
            source=source,
            entity=entity,
            run_id=run_id,
            ingested_at=_now(),
            reader=reader,
            files=delivery.files,
            parts=tuple(names),
            columns=delivery.columns,
            rows=sum(f.rows for f in delivery.files),
            malformed=sum(f.malformed for f in delivery.files),
            bytes=size,
            cursor_before=_cursor(before, kind_before),
            cursor_after=_cursor(after, delivery.cursor),
            types=types,
        )
        self.write_json(f"{folder}/manifest.json", asdict(batch))
        return batch

    def reject(self, source: str, entity: str, file: RejectedFile, run_id: str) -> None:
        """Keep a file that could not be used, with the reason beside it."""
        folder = f"rejected/{source}/{entity}/{fingerprint([file.name, file.sha256])}"
        if file.path and file.bytes and self._read_json(f"{folder}/reason.json") is None:
            self.place(Path(file.path), f"{folder}/{Path(file.name).name}")
        note = asdict(file) | {"source": source, "entity": entity, "run_id": run_id}
        note["rejected_at"] = _now("microseconds")
        note["after_sequence"] = max((b.sequence for b in self.batches()), default=0)
        note.pop("path")
        self.write_json(f"{folder}/reason.json", note)

    def accept(self, source: str, entity: str, names: Collection[str]) -> None:
        """Note that rejected files are back to a content that was read before."""
        for path, note in self._notes(source, entity):
            if note["name"] in names:
                self.write_json(self._relative(path), note | {"after_sequence": -1})

    def rejected(self) -> list[dict[str, Any]]:
        """Return the note of each file that cannot be used as it is now; one that was usable since is not listed."""
        newest: dict[tuple[str, str, str], int] = {}
        for batch in self.batches():
            for f in batch.files:
                newest[batch.source, batch.entity, f.name] = batch.sequence
        waiting: dict[tuple[str, str, str], dict[str, Any]] = {}
        for _, note in sorted(self._notes(), key=lambda found: found[1]["rejected_at"]):
            key = note["source"], note["entity"], note["name"]
            if newest.get(key, 0) <= note["after_sequence"]:
                waiting[key] = note
        return [waiting[key] for key in sorted(waiting)]

    def rejected_ever(self, source: str, entity: str) -> list[dict[str, Any]]:
        """Return the notes of all files of a source's entity that could not be used, also of those that can be now."""
        return [note for _, note in self._notes(source, entity)]

    def _notes(self, source: str = "*", entity: str = "*") -> list[tuple[str, dict[str, Any]]]:
        paths = self.fs.glob(f"{glob.escape(self._root)}/rejected/{source}/{entity}/*/reason.json")
        return [(path, json.loads(self.fs.cat_file(path))) for path in paths]

    def record_totals(self, source: str, entity: str, totals: Totals) -> None:
        """Note what a source says it holds, now that what is new of it is committed."""
        note = {"source": source, "entity": entity, "batch_id": self._newest(source, entity), "reported_at": _now()}
        self.write_json(f"totals/{source}/{entity}.json", note | asdict(totals))

    def reported_totals(self) -> list[dict[str, Any]]:
        """Return the notes of `record_totals` that belong to batches in the lake.

        An ingest that was killed between a batch and its note leaves the batch without one until the next ingest.
        """
        paths = self.fs.glob(f"{glob.escape(self._root)}/totals/*/*.json")
        notes = [self._read_json(self._relative(path)) for path in sorted(paths)]
        return [_present(note) for note in notes if note["batch_id"] == self._newest(note["source"], note["entity"])]

    def _newest(self, source: str, entity: str) -> str:
        return max(((b.sequence, b.batch_id) for b in self.batches(source, entity)), default=(0, ""))[1]

    def _relative(self, path: str) -> str:
        return str(path).removeprefix(f"{self._root}/")

    def exists(self, relative: str) -> bool:
        return bool(self.fs.exists(f"{self._root}/{relative}"))

    def place(self, local: Path, relative: str) -> None:
        """Put a finished local file into the lake so that it is there whole or not at all."""
        if self.is_local:
            target = Path(self.path(relative))
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
            shutil.copyfile(local, partial)
            partial.replace(target)
        else:
            self.fs.put_file(str(local), f"{self._root}/{relative}")

    def remove_beside(self, relative: str) -> None:
        """Remove all else that is in the folder of something."""
        for path in self.fs.glob(f"{glob.escape(self._root)}/{relative.rpartition('/')[0]}/*"):
            if self._relative(path) != relative:
                self.fs.rm(path)

    def write_json(self, relative: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
        if self.is_local:
            write_atomically(Path(self.path(relative)), text)
        else:
            self.fs.pipe_file(f"{self._root}/{relative}", text.encode())

    def _read_json(self, relative: str) -> Any:
        try:
            return json.loads(self.fs.cat_file(f"{self._root}/{relative}"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise LakeError(f"{self.path(relative)} is damaged: expected JSON. Restore it or remove it.") from None

    def _remove(self, relative: str) -> None:
        if self.exists(relative):
            self.fs.rm(f"{self._root}/{relative}", recursive=True)


def live_files(batches: Sequence[Batch]) -> dict[tuple[str, str, str], set[str]]:
    """Return, for each batch, its files that no later batch delivers again."""
    newest: dict[tuple[str, str, str], str] = {}
    for batch in batches:
        for file in batch.files:
            newest[batch.source, batch.entity, file.name] = batch.batch_id
    return {
        (b.batch_id, b.source, b.entity): {f.name for f in b.files if newest[b.source, b.entity, f.name] == b.batch_id}
        for b in batches
    }


def types_of(part: Path) -> dict[str, str]:
    """Return the Arrow type of each column that a raw part has from its source."""
    schema = pq.read_schema(part)
    return {name: str(schema.field(name).type) for name in schema.names if name not in ("_file", "_row")}


def duckdb_limits(settings: Settings) -> dict[str, Any]:
    """Return DuckDB's settings for memory, threads and spilling."""
    limits: dict[str, Any] = {
        "memory_limit": settings.config.warehouse.memory_limit,
        "temp_directory": str(settings.work_dir / "spill"),
    }
    if settings.config.warehouse.threads:
        limits["threads"] = settings.config.warehouse.threads
    return limits


def _present(values: dict[str, Any]) -> dict[str, Any]:
    """Return a note from the lake with its present keys: earlier versions wrote `told_by` for `reported_by`."""
    return {re.sub("^told_", "reported_", name): value for name, value in values.items()}


def _versions_read(batches: list[Batch], reader: str) -> dict[str, str]:
    """Return the hash of each file's newest version, where this reader read it."""
    newest = {f.name: (b.reader, f.sha256) for b in batches for f in b.files}
    return {name: sha256 for name, (by, sha256) in newest.items() if by == reader}


def _now(precision: str = "seconds") -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec=precision)


def _cursor(read: dict[str, str], kind: dict[str, Any] | None) -> dict[str, Any]:
    """Return a cursor as the manifest keeps it: how many files, the last name, a hash over all, and the kind's own."""
    summary = {"files": len(read), "last_file": max(read, default=""), "hash": fingerprint(sorted(read.items()))}
    return summary | ({"kind": kind} if kind else {})


def _describe(identity: dict[str, Any]) -> str:
    extra = ", ".join(f"{k} {v or 'none'}" for k, v in identity.items() if k != "shop")
    return f"{identity.get('shop')!r}" + (f" ({extra})" if extra else "")
