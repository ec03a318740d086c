"""Source kind `mail`: order confirmations in a Maildir or an IMAP mailbox.

One message is one document, named as the mailbox names it for ever, and opened once. It gives rows of order_lines and
of payments; numbers and times come out plain, whatever layout they were in. A message that cannot be understood is
rejected whole with the reason. What was resent or forwarded gives the same rows again, which the set rules merge.
"""

import contextlib
import functools
import gc
import glob
import hashlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from lib.base.errors import SourceError, did_you_mean
from lib.base.files import PROJECT
from lib.base.quoting import quoted_list
from lib.base.secrets import mask
from lib.config import EntitySource, Source
from lib.sources import imap
from lib.sources.confirmation import Confirmation
from lib.sources.delivery import Delivery, Extractor, RejectedFile, SourceFile, Task, Totals
from lib.sources.labels import labels_with, own_fields
from lib.sources.message import read_message
from lib.sources.written import Unreadable

ORDER_LINES, PAYMENTS = "order_lines", "payments"
_OF_PAYMENTS = ("order_id", "currency", "message_id", "_file")
#: Raised by one whenever messages are understood that were not before: those that were rejected are then read again.
PARSER = 1
#: From so many messages on it pays to start processes of their own for reading them.
MANY, CHUNK = 2_000, 500


class MailEntity(EntitySource):
    """The mapping; what it maps from are the names of our own columns."""

    _labels: dict[str, tuple[str, ...]] = PrivateAttr(default_factory=dict)

    @field_validator("decimal", "thousands")
    @classmethod
    def _read_by_form(cls, value: str, info: ValidationInfo) -> str:
        raise ValueError(f"messages are read by the form of their own numbers; leave out {info.field_name!r}")

    @property
    def reader(self) -> dict[str, Any]:
        return {"labels": self._labels}


class MailSource(Source):
    """A mailbox on a server (`url` such as imaps://user@host/INBOX, and `password`); without `url`, a Maildir (`path`).

    `labels` adds words by which a shop's messages name a field: our column -> words.
    """

    kind: Literal["mail"]
    path: str = ""
    url: str = ""
    password: str = Field("", repr=False)
    labels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    entities: dict[Literal["order_lines", "payments"], MailEntity] = Field(min_length=1)  # type: ignore[assignment]

    @field_validator("labels")
    @classmethod
    def _known_fields(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name in value:
            if name not in own_fields():
                hint = did_you_mean(name, own_fields())
                raise ValueError(f"labels: no column {name!r} of order_lines or payments.{hint}")
        return value

    @field_validator("url")
    @classmethod
    def _is_imap(cls, value: str) -> str:
        if value:
            imap.address(value, "")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> "MailSource":
        if not self.path and not self.url:
            raise ValueError("give 'url' (imaps://user@host/INBOX) or 'path' (a Maildir)")
        for spec in self.entities.values():
            spec._labels = self.labels
        return self

    @property
    def place(self) -> str:
        return self.url or self.path


MODEL = MailSource


class _Box(Protocol):
    """Where messages are: what there is by name, and files of their bytes."""

    @property
    def names(self) -> list[str]: ...

    def files(self, names: list[str], progress: Callable[[str], None]) -> dict[str, Path]: ...

    def is_same(self, name: str, sha256: str) -> bool: ...


@dataclass(frozen=True)
class _Message:
    """What became of a message: its document, the orders it confirms, or the reason why there are none."""

    file: SourceFile
    local: str
    message_id: str = ""
    sent_at: str = ""
    confirmations: tuple[Confirmation, ...] = ()
    reason: str = ""


@dataclass
class _Maildir:
    """A folder with `new` and `cur`; a message moved from one to the other keeps its name."""

    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        parts = [self.folder / part for part in ("new", "cur")]
        if not all(part.is_dir() for part in parts):
            raise SourceError(
                f"{mask(str(self.folder))} is no Maildir: expected the folders 'new' and 'cur' in it. Check 'path' of"
                " this source, or that the place is mounted."
            )
        # What is moved while we look is seen twice rather than never: `new` first.
        for part in parts:
            with os.scandir(part) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        self.paths[entry.name.partition(":")[0]] = Path(entry.path)
        return sorted(self.paths)

    def files(self, names: list[str], progress: Callable[[str], None]) -> dict[str, Path]:
        return {name: self.paths[name] for name in names}

    def is_same(self, name: str, sha256: str) -> bool:
        try:
            return hashlib.sha256(_bytes_of(self.paths[name])).hexdigest() == sha256
        except OSError:
            return False


@dataclass
class _Reading:
    """What a source's entities share: the messages there are, each read once."""

    source: MailSource
    box: _Box
    messages: dict[str, _Message] = field(default_factory=dict)

    def read(self, names: list[str], progress: Callable[[str], None]) -> list[_Message]:
        """Return what the messages of these names say, in the same order."""
        new = [name for name in names if name not in self.messages]
        files = list(self.box.files(new, progress).items())
        chunks = [[(n, str(p)) for n, p in files[i : i + CHUNK]] for i in range(0, len(files), CHUNK)]
        done = 0
        for messages in _read_chunks(chunks, self.source.labels, len(files) >= MANY):
            done += len(messages)
            progress(f"read {done:,} of {len(files):,} messages")
            self.messages.update((message.file.name, message) for message in messages)
        return [self.messages[name] for name in names if name in self.messages]


@contextlib.contextmanager
def open_source(source: MailSource, work_dir: Path) -> Iterator[Extractor]:
    """Open the mailbox; both entities come from one reading of each message."""
    with contextlib.ExitStack() as stack:
        if not source.url:
            box: _Box = _Maildir(Path(source.path))
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mail-", dir=work_dir))
            box = mailbox = imap.Mailbox(imap.address(source.url, source.password), Path(folder))
            stack.callback(mailbox.close)
        yield functools.partial(extract, _Reading(source, box))


def extract(reading: _Reading, task: Task) -> Delivery:
    """Hand over the rows of every message not read yet, all columns as text.

    Part columns: those of the entity that confirmations have, `message_id`, `_file` and `_row`. The cursor says which
    message is the newest, how many were taken, and of those how many had an id that was there before (`repeated`),
    how many of these ids stand for different contents (`differing`), and which messages are not worth a second look.

    Raises SourceError where the mailbox cannot be reached, or no message of it was ever understood.
    """
    entity, state = task.entity, task.state
    refused = state.cursor.get("rejected", {}) if state.cursor.get("parser") == PARSER else {}
    new = [
        name
        for name in reading.box.names
        if name not in state.files and not (name in refused and reading.box.is_same(name, refused[name]))
    ]
    messages = reading.read(new, task.progress)
    usable = [message for message in messages if not message.reason]
    unusable = [message for message in messages if message.reason]
    if unusable and not usable and not state.files:
        reasons = "\n".join(f"  {m.file.name}: {m.reason}" for m in unusable[:3])
        more = f"\n  ... and {len(unusable) - 3} more" if len(unusable) > 3 else ""
        raise SourceError(
            f"None of the {len(unusable)} messages in {mask(reading.source.place)} can be understood:\n{reasons}"
            f"{more}\nCorrect the place, or add the words of these messages to 'labels' of this source."
        )
    rejected: tuple[RejectedFile, ...] = ()
    if entity == next(iter(reading.source.entities)):
        # Once for all entities: what is wrong is the message.
        rejected = tuple(
            RejectedFile(m.file.name, m.file.sha256, m.file.bytes, m.reason, m.local if m.file.bytes else "")
            for m in unusable
        )
    totals = None
    if entity == ORDER_LINES:
        # Each message that is understood has a line, not each has a payment.
        gone = (state.files.keys() | refused.keys()) - set(reading.box.names)
        totals = Totals({"messages": float(len(reading.box.names)), "gone": float(len(gone))}, "the mailbox")
    if not usable:
        return Delivery(rejected=rejected, totals=totals)
    labels = labels_with(reading.source.labels)
    columns = (*(labels.line_columns if entity == ORDER_LINES else labels.payment_columns), "message_id")
    part = task.scratch / "part-0000.parquet"
    files = _write(entity, usable, columns, part)
    newest = max(usable, key=lambda m: (m.sent_at, m.file.name))
    before = state.cursor
    cursor = {
        "newest": max(newest.sent_at, before.get("newest", "")),
        "message_id": newest.message_id if newest.sent_at >= before.get("newest", "") else before.get("message_id", ""),
        "messages": len(state.files) + len(usable),
        "parser": PARSER,
        "rejected": {n: h for n, h in refused.items() if n not in new} | {m.file.name: m.file.sha256 for m in unusable},
        **_repeated(task.connection, [*state.parts, glob.escape(str(part))], columns),
    }
    return Delivery(
        files=files,
        rejected=rejected,
        parts=(part,),
        columns=columns,
        cursor=cursor,
        originals={m.file.name: m.local for m in usable},
        totals=totals,
    )


def _write(entity: str, messages: list[_Message], columns: tuple[str, ...], part: Path) -> tuple[SourceFile, ...]:
    """Write the rows of an entity as one part; return the documents with their numbers of rows."""
    files = []
    values: dict[str, list[str | None]] = {name: [] for name in (*columns, "_file")}
    first = 0
    for message in messages:
        rows = 0
        for confirmation in message.confirmations:
            order = confirmation.order | {"message_id": message.message_id, "_file": message.file.name}
            records = confirmation.lines
            if entity == PAYMENTS:
                # A payment is the same in each message that tells of it: the order's state is not its own.
                order = {name: value for name, value in order.items() if name in _OF_PAYMENTS}
                records = confirmation.payments
            for name, column in values.items():
                of_order = order.get(name)
                column.extend([record.get(name, of_order) for record in records])
            rows += len(records)
        known = message.file
        files.append(SourceFile(known.name, known.sha256, known.bytes, rows=rows, first_row=first))
        first += rows
    table = pa.table({name: pa.array(column, pa.string()) for name, column in values.items()})
    table = table.append_column("_row", pa.array(range(first), pa.int64()))
    pq.write_table(table, part, compression="zstd")
    return tuple(files)


def _repeated(connection: duckdb.DuckDBPyConnection, parts: list[str], columns: tuple[str, ...]) -> dict[str, int]:
    """Return how many messages had the id of another, and how many of these ids stand for different contents."""
    known = quoted_list([name for name in columns if name != "message_id"])
    row = connection.execute(
        f"""
        select coalesce(sum(documents - 1), 0), count(*) filter (contents > 1)
        from (
            select message_id, count(*) as documents, count(distinct content) as contents
            from (
                select message_id, _file, sum(hash(row({known}))) as content
                from read_parquet(?, union_by_name = true) where message_id <> '' group by all
            )
            group by message_id having count(*) > 1
        )
        """,
        [parts],
    ).fetchone()
    assert row is not None
    return {"repeated": int(row[0]), "differing": int(row[1])}


def _read_chunks(
    chunks: list[list[tuple[str, str]]], labels: Mapping[str, tuple[str, ...]], in_processes: bool
) -> Iterator[list[_Message]]:
    """Yield what the messages of each chunk say."""
    words = dict(labels)
    if not in_processes:
        for chunk in chunks:
            yield read_files(chunk, words)
        return
    workers = min(os.cpu_count() or 1, 4)
    shares = [chunks[number::workers] for number in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(_read_in_process, shares, [words] * workers)


def _read_in_process(chunks: list[list[tuple[str, str]]], labels: dict[str, tuple[str, ...]]) -> list[_Message]:
    """Read messages in a fresh interpreter: a kernel must not be forked, nor its caller's script run once more."""
    files = [file for chunk in chunks for file in chunk]
    done = subprocess.run(
        [sys.executable, "-c", "from lib.sources.mail import serve; serve()"],
        input=pickle.dumps((files, labels)), capture_output=True, cwd=PROJECT, check=False,
    )  # fmt: skip
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise SourceError(f"A process that reads messages failed ({told[-1] if told else done.returncode}). Run again.")
    messages: list[_Message] = pickle.loads(done.stdout)
    return messages


def serve() -> None:
    """Read the messages that standard input names, and answer on standard output."""
    # What is read stays to the end, and the end is near: there is no rubbish to look for.
    gc.disable()
    files, labels = pickle.load(sys.stdin.buffer)
    pickle.dump(read_files(files, labels), sys.stdout.buffer)


def read_files(files: list[tuple[str, str]], labels: Mapping[str, tuple[str, ...]]) -> list[_Message]:
    """Read messages, each a name and the path of its bytes."""
    return [_read_file(name, path, labels) for name, path in files]


def _read_file(name: str, path: str, labels: Mapping[str, tuple[str, ...]]) -> _Message:
    try:
        raw = _bytes_of(Path(path))
    except OSError as error:
        return _Message(SourceFile(name, "", 0), path, reason=f"cannot be read: {error.strerror or error}")
    file = SourceFile(name, hashlib.sha256(raw).hexdigest(), len(raw))
    try:
        found = read_message(raw, labels_with(labels))
    except Unreadable as reason:
        return _Message(file, path, reason=str(reason))
    except Exception as error:
        # Mail is written by strangers: what the parser trips over must cost one message, not the mailbox.
        return _Message(file, path, reason=f"cannot be parsed: {type(error).__name__}: {error}")
    return _Message(file, path, found.message_id, found.sent_at, found.confirmations)


def _bytes_of(path: Path) -> bytes:
    """Return a message's bytes, also where a reader moved it from `new` to `cur` meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        moved = sorted(path.parent.with_name("cur").glob(f"{glob.escape(path.name.partition(':')[0])}*"))
        if not moved:
            raise
        return moved[0].read_bytes()
