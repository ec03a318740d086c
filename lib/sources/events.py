"""Source kind `events`: JSON lines (also compressed), as a stream's delivery service writes them, file by file.

Files are known by name and hash, so that one which was corrected under its name is read again. Many small files are
read together: Python unpacks them side by side, DuckDB extracts the values from their lines (see `lib.sources.json`).
A file's content that is a document over several lines, or a list of objects, is laid out as lines first.
"""

import bz2
import contextlib
import functools
import gzip
import json
import lzma
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from lib.base.errors import did_you_mean
from lib.base.quoting import quoted, text_literal
from lib.config import EntitySource, Source
from lib.entities import ENTITIES
from lib.sources.delimited import UNREADABLE, open_bytes
from lib.sources.delivery import Delivery, Extractor, SourceFile, Task, write_malformed
from lib.sources.json import LONG_NUMBER, Steps, above, columns_of, keep_digits, name_columns, values
from lib.sources.listing import Reading, files_at


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
_UNPACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
#: Files are read together up to this many bytes on disk (about twelve times that as text); one that is larger is read
#: alone, this many bytes of text at a time.
TOGETHER_BYTES, LARGE_BYTES, PIECE_BYTES = 4 << 20, 8 << 20, 64 << 20
_THREADS = 2
#: Lines in a batch of an Arrow table, of which DuckDB gives one to each thread at a time.
_AT_A_TIME = 16_384
_BLANK = re.compile(r"\s*")
#: DuckDB reads JSON that is nested 128 deep and no deeper.
_DEEPEST = 120
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')
_EMPTY = "the file is empty; expected lines of JSON"


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
    listed = files_at(source.path, task.spec.files, _ENDINGS, "JSON", source.newest_days)
    reading = _Reading(task)
    new = list(reading.new_files(listed, _ENDINGS))
    done = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for pieces in _pieces(new, pool):
            task.progress(f"{task.entity}: reading file {done + 1:,} of {len(new):,}")
            reading.add(pieces)
            done += sum(piece.is_first for piece in pieces)
    return reading.delivery(source.path)


# Files to lines


@dataclass(frozen=True)
class _Piece:
    """A file's lines, or the next of a large file's; `refused` says why there are none."""

    file: SourceFile
    content: bytes = b""
    refused: str = ""
    is_first: bool = True


def _pieces(files: list[tuple[SourceFile, Path]], pool: Executor) -> Iterator[list[_Piece]]:
    """Yield what is read together: small files in number, of large ones a piece; the next is unpacked meanwhile."""
    waiting: list[Future[_Piece]] = []
    for group in _groups(files):
        is_large = group[0][0].bytes > LARGE_BYTES
        started = [] if is_large else [pool.submit(_small, *found) for found in group]
        if waiting:
            yield [future.result() for future in waiting]
        waiting = started
        if is_large:
            yield from ([piece] for piece in _large(*group[0]))
    if waiting:
        yield [future.result() for future in waiting]


def _groups(files: list[tuple[SourceFile, Path]]) -> Iterator[list[tuple[SourceFile, Path]]]:
    """Yield files to be read together; a large one is a group of its own."""
    group: list[tuple[SourceFile, Path]] = []
    total = 0
    for file, local in files:
        if group and (total + file.bytes > TOGETHER_BYTES or max(total, file.bytes) > LARGE_BYTES):
            yield group
            group, total = [], 0
        group.append((file, local))
        total += file.bytes
    if group:
        yield group


def _small(file: SourceFile, local: Path) -> _Piece:
    try:
        data = local.read_bytes()
        return _Piece(file, _as_lines(_UNPACK.get(local.suffix.lower(), bytes)(data)), "" if data else _EMPTY)
    except (*UNREADABLE, ValueError) as error:
        return _Piece(file, refused=f"cannot be read to its end: {error}")


def _large(file: SourceFile, local: Path) -> Iterator[_Piece]:
    """Yield a large file's lines in pieces, after it was found readable to its end."""
    try:
        with open_bytes(local) as content:
            while content.read(PIECE_BYTES):
                pass
        with open_bytes(local) as content:
            rest, is_first = b"", True
            while block := content.read(PIECE_BYTES):
                lines, newline, rest = (rest + block).rpartition(b"\n")
                if newline:
                    yield _Piece(file, _as_lines(lines) if is_first else lines, is_first=is_first)
                    is_first = False
            if rest:
                yield _Piece(file, _as_lines(rest) if is_first else rest, is_first=is_first)
    except UNREADABLE as error:
        yield _Piece(file, refused=f"cannot be read to its end: {error}")


def _as_lines(data: bytes) -> bytes:
    """Return a line an object, also of a document over several lines or a list of objects."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    content = data.lstrip()
    if content[:1] == b"[" or (content[:1] == b"{" and not content.split(b"\n", 1)[0].strip().endswith(b"}")):
        with contextlib.suppress(ValueError):
            return "\n".join(_objects(data.decode())).encode()
    return data


def _objects(text: str) -> Iterator[str]:
    """Yield the objects of a list, or those that follow one another, each as one line, its values as they were."""
    decode = json.JSONDecoder().raw_decode

    def after_blanks(at: int) -> int:
        return _BLANK.match(text, at).end()  # type: ignore[union-attr]

    at = after_blanks(0)
    in_list = text[at] == "["
    if in_list:
        decode(text, at)
        at = after_blanks(at + 1)
    while at < len(text) and text[at] != "]":
        _, end = decode(text, at)
        # Within JSON a line break is never part of a value.
        yield text[at:end].replace("\r", " ").replace("\n", " ")
        at = after_blanks(end)
        if in_list and text[at : at + 1] == ",":
            at = after_blanks(at + 1)


def _lines(content: bytes) -> tuple[list[str], list[int]]:
    """Return the lines that are not blank, and the positions of those that are no UTF-8."""
    try:
        return [line for line in content.decode().split("\n") if line.strip()], []
    except UnicodeDecodeError:
        lines = [line for line in content.split(b"\n") if line.strip()]
        texts = [line.decode(errors="replace") for line in lines]
        return texts, [i for i, (line, text) in enumerate(zip(lines, texts, strict=True)) if line != text.encode()]


# Lines to rows


@dataclass
class _Reading(Reading):
    """A delivery that grows with every batch of pieces; each batch gives Parquet parts of its own."""

    names: dict[Steps, str] = field(default_factory=dict)
    known: dict[Steps, None] = field(default_factory=dict)

    def add(self, batch: list[_Piece]) -> None:
        """Read a batch; a file that cannot be used is noted as rejected, by its first piece."""
        pieces: list[tuple[_Piece, range]] = []
        texts: list[str] = []
        not_utf8: list[int] = []
        for piece in batch:
            if piece.refused:
                self.reject(piece.file, piece.refused)
            elif piece.is_first or piece.file.name in self.files:
                found, wrong = _lines(piece.content)
                not_utf8 += [len(texts) + i for i in wrong]
                pieces.append((piece, range(len(texts), len(texts) + len(found))))
                texts += found
        if not texts:
            for piece, _ in pieces:
                self.reject(piece.file, _EMPTY)
            return
        table = pa.table(
            {
                "i": np.arange(len(texts)),
                "piece": np.repeat(np.arange(len(pieces)), [len(lines) for _, lines in pieces]),
                "line": pa.array(texts, pa.large_string()),
            }
        )
        broken = self._show_objects(table, not_utf8)
        paths = columns_of(self.task.connection, self.known)
        is_row = np.ones(len(texts), dtype=bool)
        is_row[broken] = False
        malformed, start = [], self.rows
        for number, (piece, lines) in enumerate(pieces):
            bad = broken[bisect_left(broken, lines.start) : bisect_left(broken, lines.stop)]
            rows = len(lines) - len(bad)
            if piece.is_first and (fault := self._fault(rows, [texts[i] for i in bad], paths.get(number, {}))):
                self.reject(piece.file, fault)
                is_row[lines.start : lines.stop] = False
                paths.pop(number, None)
                continue
            file = self.files.get(piece.file.name) or replace(piece.file, first_row=start)
            # A line's number counts those of earlier pieces too.
            first = file.rows + file.malformed + 1 - lines.start
            malformed += [(file.name, first + i, texts[i].strip("\r"), _what_is_wrong(texts[i])) for i in bad]
            self.files[file.name] = replace(file, rows=file.rows + rows, malformed=file.malformed + len(bad))
            start += rows
        if start > self.rows:
            self._write(table.filter(pa.array(is_row)), [piece.file.name for piece, _ in pieces], paths)
        if malformed:
            self.parts.append(write_malformed(malformed, self.task.scratch, len(self.parts)))

    def _show_objects(self, table: pa.Table, not_utf8: list[int]) -> list[int]:
        """Let DuckDB see the lines that are objects, as `_lines` (i, piece, line); return where the others are."""
        deep = _too_deep(table["line"])
        is_flat = np.ones(len(table), dtype=bool)
        is_flat[deep] = False
        self.task.connection.register("_lines", _divided(table.filter(pa.array(is_flat)) if deep else table))
        found = self.task.connection.execute(
            "select i from _lines where coalesce(case when json_valid(line) then json_type(line) end <> 'OBJECT', true)"
        )
        broken = sorted({*not_utf8, *deep, *(i for (i,) in found.fetchall())})
        if broken:
            is_object = np.ones(len(table), dtype=bool)
            is_object[broken] = False
            self.task.connection.register("_lines", _divided(table.filter(pa.array(is_object))))
        return broken

    def _fault(self, rows: int, broken: list[str], paths: Iterable[Steps]) -> str:
        """Return why a file cannot be used, or nothing."""
        if not rows:
            if not broken:
                return _EMPTY
            return f"has no line that is a JSON object; the first is {broken[0][:80]!r}: {_what_is_wrong(broken[0])}"
        found = [".".join(path) for path in paths]
        required = [column.name for column in ENTITIES[self.task.entity].columns if column.required]
        for use in self.task.spec.missing(self.task.entity, found):
            if use.ours in required:
                listed, hint = ", ".join(found[:20]), did_you_mean(use.names[0], found)
                return f"has no {use} in any line (mapped for {self.task.entity}); found {listed}.{hint}"
        return ""

    def _write(self, rows: pa.Table, names: list[str], columns: dict[int, dict[Steps, None]]) -> None:
        """Write the lines that are rows as one part."""
        connection = self.task.connection
        paths = dict.fromkeys(path for of_piece in columns.values() for path in of_piece)
        uses = self.task.spec.uses(self.task.entity, [".".join(path) for path in paths])
        expected = list(dict.fromkeys(name for use in uses for name in use.names))
        name_columns(paths, expected, self.names)
        given = [self.names[path] for path in paths]
        found, cells = values("line", paths, above(self.known))
        selected = [f"{cell} as {quoted(name)}" for cell, name in zip(cells, given, strict=True)]
        selected += [f"cast(null as varchar) as {quoted(name)}" for name in expected if name not in given]
        self.columns |= dict.fromkeys([*given, *expected])
        part = self.next_part()
        lines = rows["line"].combine_chunks()
        is_long = pc.match_substring_regex(lines, LONG_NUMBER)
        if pc.any(is_long).as_py():
            exact = pa.array(map(keep_digits, lines.filter(is_long).to_pylist()), pa.large_string())
            rows = rows.set_column(2, "line", pc.replace_with_mask(lines, is_long, exact))
        rows = rows.append_column("_file", pa.array(names).take(rows["piece"]))
        rows = rows.append_column("_row", pa.array(np.arange(len(rows)) + self.rows))
        self.rows += len(rows)
        connection.register("_lines", _divided(rows))
        connection.execute(
            f"copy (select {', '.join(selected)}, _file, _row from (select {found}, line, _file, _row from _lines))"
            f" to {text_literal(str(part))} (format parquet, compression zstd)"
        )
        connection.unregister("_lines")
        self.parts.append(part)


def _divided(table: pa.Table) -> pa.Table:
    """Return the table in batches, of which DuckDB gives one to each thread at a time."""
    return pa.Table.from_batches(table.to_batches(max_chunksize=_AT_A_TIME), table.schema)


def _too_deep(lines: pa.ChunkedArray) -> list[int]:
    """Return the positions of lines that are nested deeper than DuckDB reads."""
    brackets = pc.add(pc.count_substring(lines, "["), pc.count_substring(lines, "{"))
    suspects = np.flatnonzero(pc.greater(brackets, _DEEPEST).to_numpy(zero_copy_only=False))
    return [int(i) for i in suspects if _depth(lines[int(i)].as_py()) > _DEEPEST]


def _depth(line: str) -> int:
    """Return how deep the objects and lists of a line are nested."""
    deepest = depth = 0
    for found in _BRACKET.finditer(line):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _what_is_wrong(line: str) -> str:
    """Return what is wrong with a line that is no JSON object in UTF-8."""
    if _depth(line) > _DEEPEST:
        return f"no JSON that can be read: nested more than {_DEEPEST} deep"
    words = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return f"no JSON: {error.msg} at character {error.pos + 1}"
    except ValueError as error:
        return f"no JSON: {error}"
    if isinstance(value, dict):
        return "no JSON: a text in it is not valid Unicode"
    return f"{words.get(type(value), 'a number')}, and no JSON object"
