"""Source kind `mail`: order confirmations in a Maildir or an IMAP mailbox.

One message is one document, named as the mailbox names it for ever, and opened once. It gives rows of order_lines and
of payments; numbers and times come out plain, whatever layout they were in. A message that cannot be understood is
rejected whole with the reason. What was resent or forwarded gives the same rows again, which the set rules merge.
"""

import contextlib
import gc
import glob
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from lib.base.errors import SourceError
from lib.base.files import PROJECT, scratch_folder
from lib.base.quoting import quoted_list
from lib.base.secrets import mask
from lib.config import EntitySource, Source
from lib.entities import ENTITIES
from lib.sources import imap, message
from lib.sources.confirmation import Confirmation
from lib.sources.delivery import Delivery, Extractor, RejectedFile, SourceFile, Task, Totals
from lib.sources.layouts import Layout, Unreadable
from lib.sources.markup import SCHEMA_ORG

ORDER_LINES = "order_lines"
#: Raised by one whenever messages are understood that were not before: those that were rejected are then read again.
PARSER = 2
#: From this many messages on it pays to start extra processes for reading them.
MANY = 2_000


class MailEntity(EntitySource):
    """The mapping; what it maps from are the names of our own columns."""

    _reader: dict[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("decimal", "thousands", "timestamp_formats")
    @classmethod
    def _by_layout(cls, value: str, info: ValidationInfo) -> str:
        raise ValueError(f"'layouts' of the source say how numbers and times look; leave out {info.field_name!r}")

    @property
    def reader(self) -> dict[str, Any]:
        return self._reader


class MailSource(Source):
    """A mailbox on a server (`url` such as imaps://user@host/INBOX, and `password`); without `url`, a Maildir (`path`).

    `layouts` says how messages without schema.org markup are written, `offer_price` what the price of an offer in such
    markup is of: one unit, or the whole line.
    """

    kind: Literal["mail"]
    path: str = ""
    url: str = ""
    password: str = Field("", repr=False)
    layouts: dict[str, Layout] = Field(default_factory=dict)
    offer_price: Literal["unit", "line"] = "unit"
    entities: dict[Literal["order_lines", "payments"], MailEntity] = Field(min_length=1)  # type: ignore[assignment]

    @model_validator(mode="after")
    def _one_place(self) -> "MailSource":
        if not self.path and not self.url:
            raise ValueError("give 'url' (imaps://user@host/INBOX) or 'path' (a Maildir)")
        if self.url:
            imap.address(self.url)
        # Their order decides which layout reads a message that has the signs of two.
        layouts = [(name, layout.model_dump(mode="json")) for name, layout in self.layouts.items()]
        for spec in self.entities.values():
            spec._reader = {"layouts": layouts, "offer_price": self.offer_price}
        return self


MODEL = MailSource


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
            for path in part.iterdir():
                if not path.name.startswith("."):
                    self.paths[path.name.partition(":")[0]] = path
        return sorted(self.paths)

    def files(self, names: list[str], progress: Callable[[str], None]) -> dict[str, Path]:
        return {name: self.paths[name] for name in names}

    def is_same(self, name: str, sha256: str) -> bool:
        try:
            return hashlib.sha256(_bytes_of(self.paths[name])).hexdigest() == sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Read:
    """What became of a message: its document, the orders it confirms, or the reason why there are none."""

    file: SourceFile
    local: str
    message_id: str = ""
    sent_at: str = ""
    confirmations: tuple[Confirmation, ...] = ()
    reason: str = ""


@dataclass
class _Reading:
    """What a source's entities share: the messages there are, each read once."""

    source: MailSource
    box: _Maildir | imap.Mailbox
    messages: dict[str, Read] = field(default_factory=dict)

    def read(self, names: list[str], progress: Callable[[str], None]) -> list[Read]:
        """Return what was read from the messages of these names, in the same order."""
        found = self.box.files([name for name in names if name not in self.messages], progress)
        files, how = list(found.items()), (self.source.layouts, self.source.offer_price)
        progress(f"reading {len(files):,} messages")
        if len(files) < MANY:
            shares = [read_files(files, *how)]
        else:
            workers = min(os.cpu_count() or 1, 4)
            with ThreadPoolExecutor(workers) as pool:
                tasks = [pool.submit(_read_apart, files[number::workers], *how) for number in range(workers)]
                shares = [task.result() for task in tasks]
        self.messages.update((one.file.name, one) for share in shares for one in share)
        return [self.messages[name] for name in names if name in self.messages]


def _read_apart(files: list[tuple[str, Path]], layouts: Mapping[str, Layout], offer_price: str) -> list[Read]:
    """Read messages in a fresh interpreter: a kernel must not be forked, nor its caller's script run once more."""
    command = [sys.executable, "-c", "from lib.sources import mail; mail.serve()"]
    task = pickle.dumps((files, layouts, offer_price))
    done = subprocess.run(command, input=task, capture_output=True, cwd=PROJECT, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [str(done.returncode)]
        raise SourceError(f"A process that reads messages failed ({said[-1]}). Run again.")
    messages: list[Read] = pickle.loads(done.stdout)
    return messages


def serve() -> None:
    """Read the messages that standard input names, and answer on standard output."""
    # What is read is needed until this short process ends, so collecting garbage would find nothing.
    gc.disable()
    pickle.dump(read_files(*pickle.load(sys.stdin.buffer)), sys.stdout.buffer)


def read_files(files: list[tuple[str, Path]], layouts: Mapping[str, Layout], offer_price: str) -> list[Read]:
    """Read messages, each a name and the file of its bytes."""
    return [_read_file(name, path, layouts, offer_price) for name, path in files]


def _read_file(name: str, path: Path, layouts: Mapping[str, Layout], offer_price: str) -> Read:
    try:
        raw = _bytes_of(path)
    except OSError as error:
        return Read(SourceFile(name, "", 0), str(path), reason=f"cannot be read: {error.strerror or error}")
    file = SourceFile(name, hashlib.sha256(raw).hexdigest(), len(raw))
    try:
        parsed = message.parse(raw)
        found = tuple(message.confirmations(parsed, layouts, offer_price))
        return Read(file, str(path), message.header(parsed, "Message-ID"), message.sent_at(parsed), found)
    except Unreadable as reason:
        return Read(file, str(path), reason=str(reason))
    except Exception as error:
        # Mail is written by strangers: what the parser trips over must cost one message, not the mailbox.
        return Read(file, str(path), reason=f"cannot be parsed: {type(error).__name__}: {error}")


def _bytes_of(path: Path) -> bytes:
    """Return a message's bytes, also where a reader moved it from `new` to `cur` meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        moved = sorted(path.parent.with_name("cur").glob(f"{glob.escape(path.name.partition(':')[0])}*"))
        if not moved:
            raise
        return moved[0].read_bytes()


@contextlib.contextmanager
def open_source(source: MailSource, work_dir: Path) -> Iterator[Extractor]:
    """Open the mailbox; both entities come from one reading of each message."""
    with contextlib.ExitStack() as stack:
        box: _Maildir | imap.Mailbox = _Maildir(Path(source.path))
        if source.url:
            folder = stack.enter_context(scratch_folder(work_dir, "mail"))
            box = mailbox = imap.Mailbox(source.url, source.password, folder)
            stack.callback(mailbox.close)
        yield partial(extract, _Reading(source, box))


def names_in(extractor: Extractor) -> list[str]:
    """Return the names of all messages in the mailbox of an extractor that `open_source` gave; none is opened."""
    assert isinstance(extractor, partial)
    return list(extractor.args[0].box.names)


def extract(reading: _Reading, task: Task) -> Delivery:
    """Hand over the rows of every message not read yet, all columns as text.

    Part columns: those of the entity that confirmations have, `message_id`, `_file` and `_row`. The cursor says which
    message is the newest, how many were read, and of those how many had an id that was there before (`repeated`),
    how many of these ids stand for different contents (`differing`), and which messages are not worth a second look.

    Raises SourceError where the mailbox cannot be reached, or no message of it was ever understood.
    """
    entity, state, names = task.entity, task.state, reading.box.names
    before = state.cursor
    refused = before.get("rejected", {}) if before.get("parser") == PARSER else {}
    new = [
        name
        for name in names
        if name not in state.files and not (name in refused and reading.box.is_same(name, refused[name]))
    ]
    messages = reading.read(new, task.progress)
    usable = [one for one in messages if not one.reason]
    unusable = [one for one in messages if one.reason]
    if unusable and not usable and not state.files:
        reasons = "\n".join(f"  {one.file.name}: {one.reason}" for one in unusable[:3])
        raise SourceError(
            f"None of the {len(unusable)} messages in {mask(reading.source.url or reading.source.path)} can be"
            f" understood, such as\n{reasons}\nCorrect the place, or declare in 'layouts' of this source how these"
            " messages are written."
        )
    # Rejected once for all entities: what is wrong is the message.
    rejected = tuple(
        RejectedFile(one.file.name, one.file.sha256, one.file.bytes, one.reason, one.local if one.file.bytes else "")
        for one in unusable
        if entity == next(iter(reading.source.entities))
    )
    totals = None
    if entity == ORDER_LINES:
        # Each message that is understood has a line, not each has a payment.
        gone = (state.files.keys() | refused.keys()) - set(names)
        totals = Totals({"messages": float(len(names)), "gone": float(len(gone))}, "the mailbox")
    if not usable:
        return Delivery(rejected=rejected, totals=totals)
    # All columns that messages can have, whichever those of one day fill.
    known = set().union(*(layout.columns(entity) for layout in (SCHEMA_ORG, *reading.source.layouts.values())))
    columns = (*(name for name in ENTITIES[entity].names if name in known), "message_id")
    part = task.scratch / "part-0000.parquet"
    files = _write(entity, usable, columns, part)
    newest = max((one.sent_at, one.message_id) for one in usable)
    newest = max(newest, (before.get("newest", ""), before.get("message_id", "")))
    cursor = {
        "newest": newest[0],
        "message_id": newest[1],
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
        originals={one.file.name: one.local for one in usable},
        totals=totals,
    )


def _write(entity: str, messages: list[Read], columns: tuple[str, ...], part: Path) -> tuple[SourceFile, ...]:
    """Write the rows of an entity as one part; return the documents with their numbers of rows."""
    files: list[SourceFile] = []
    rows: list[dict[str, Any]] = []
    for one in messages:
        first = len(rows)
        for found in one.confirmations:
            of_message = {"message_id": one.message_id, "_file": one.file.name}
            if entity == ORDER_LINES:
                rows += [found.order | line | of_message for line in found.lines]
            else:
                # A payment is the same in each message that has it: the order's state is not its own.
                of_order = {name: found.order.get(name) for name in ("order_id", "currency")}
                rows += [of_order | payment | of_message for payment in found.payments]
        files.append(replace(one.file, rows=len(rows) - first, first_row=first))
    table = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in (*columns, "_file")]))
    pq.write_table(table.append_column("_row", pa.array(range(len(rows)), pa.int64())), part, compression="zstd")
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
