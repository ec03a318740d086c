"""Files of JSON (also compressed), whose objects become rows: lines, documents over several lines, lists of objects.

Many small files are read together: Python unpacks them side by side, DuckDB extracts the values from their lines (see
`lib.sources.json`). What is no object a line is laid out as such first, and so is the list within each that an entity's
`records` names.
"""

import bz2
import contextlib
import gzip
import json
import lzma
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.base.errors import did_you_mean
from lib.base.quoting import quoted, text_literal
from lib.entities import ENTITIES
from lib.sources.delimited import UNREADABLE, Unusable, open_bytes
from lib.sources.delivery import SourceFile, write_malformed
from lib.sources.json import (
    LONG_NUMBER,
    Place,
    Steps,
    above,
    columns_of,
    dotted,
    keep_digits,
    name_columns,
    pairs_in,
    steps_of,
    unnested,
    values,
)
from lib.sources.listing import Reading, some
from lib.sources.nearest import did_you_mean_column

ENDINGS = (".json", ".jsonl", ".ndjson")
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
_MARK = b"\xef\xbb\xbf"
#: Objects of a large document that are read together.
_OBJECTS = 100_000


# Files to lines


@dataclass(frozen=True)
class _Piece:
    """A file's lines, or the next of a large file's; `refused` says why there are none."""

    file: SourceFile
    content: bytes = b""
    refused: str = ""
    is_first: bool = True


def _pieces(files: list[tuple[SourceFile, Path]], records: Steps, pool: Executor) -> Iterator[list[_Piece]]:
    """Yield what is read together: small files in number, of large ones a piece; the next is unpacked meanwhile."""
    waiting: list[Future[_Piece]] = []
    for group in _groups(files):
        is_large = group[0][0].bytes > LARGE_BYTES
        started = [] if is_large else [pool.submit(_small, *found, records) for found in group]
        if waiting:
            yield [future.result() for future in waiting]
        waiting = started
        if is_large:
            yield from ([piece] for piece in _large(*group[0], records))
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


def _small(file: SourceFile, local: Path, records: Steps) -> _Piece:
    try:
        data = local.read_bytes()
        data = _UNPACK.get(local.suffix.lower(), bytes)(data)
        return _Piece(file, _as_lines(data, records), "" if data.strip() else _EMPTY)
    except (*UNREADABLE, ValueError) as error:
        return _Piece(file, refused=f"cannot be read to its end: {error}")
    except Unusable as why:
        return _Piece(file, refused=str(why))


def _large(file: SourceFile, local: Path, records: Steps) -> Iterator[_Piece]:
    """Yield a large file's lines in pieces, after it was found readable to its end."""
    try:
        with open_bytes(local) as content:
            start = content.read(PIECE_BYTES)
            while content.read(PIECE_BYTES):
                pass
        if _is_document(start) or records:
            yield from _documents(file, local, records)
            return
        with open_bytes(local) as content:
            rest, is_first = b"", True
            while block := content.read(PIECE_BYTES):
                lines, newline, rest = (rest + block).rpartition(b"\n")
                if newline:
                    yield _Piece(file, lines.removeprefix(_MARK) if is_first else lines, is_first=is_first)
                    is_first = False
            if rest:
                yield _Piece(file, rest, is_first=is_first)
    except UNREADABLE as error:
        yield _Piece(file, refused=f"cannot be read to its end: {error}")
    except Unusable as why:
        yield _Piece(file, refused=str(why))


def _documents(file: SourceFile, local: Path, records: Steps) -> Iterator[_Piece]:
    """Yield a large document's objects in pieces: its text is held whole, an object at a time."""
    with open_bytes(local) as content:
        data = content.read()
    try:
        text = data.decode("utf-8-sig")
        # To its end before anything is handed over: half of a document is none.
        for _ in _objects(text, records):
            pass
        objects, is_first = _objects(text, records), True
        while lines := list(islice(objects, _OBJECTS)):
            yield _Piece(file, "\n".join(lines).encode(), is_first=is_first)
            is_first = False
    except ValueError as error:
        raise Unusable(f"is no JSON that can be read: {error}") from None


def _is_document(start: bytes) -> bool:
    """Return whether a file's content is a list, or an object over several lines, and not an object a line."""
    content = start.removeprefix(_MARK).lstrip()
    first_line = content.split(b"\n", 1)[0].strip()
    return content[:1] == b"[" or (content[:1] == b"{" and not first_line.endswith(b"}") and b"\n" in content)


def _as_lines(data: bytes, records: Steps) -> bytes:
    """Return a line an object, also of a document over several lines or a list of objects."""
    data = data.removeprefix(_MARK)
    if records and data.strip():
        return "\n".join(_objects(data.decode(), records)).encode()
    if _is_document(data):
        with contextlib.suppress(ValueError):
            return "\n".join(_objects(data.decode(), ())).encode()
    return data


def _objects(text: str, records: Steps) -> Iterator[str]:
    """Yield the objects of a list, or those that follow one another, each as one line, its values as they were.

    Where `records` says the way to a list in each of them, its elements instead; raises Unusable where there is none.
    """
    decode = json.JSONDecoder().raw_decode

    def after_blanks(at: int) -> int:
        return _BLANK.match(text, at).end()  # type: ignore[union-attr]

    def elements(at: int) -> Iterator[tuple[int, int]]:
        at = after_blanks(at + 1)
        while text[at : at + 1] != "]":
            _, end = decode(text, at)
            yield at, end
            at = after_blanks(end)
            if text[at : at + 1] == ",":
                at = after_blanks(at + 1)

    def within(at: int, way: Steps) -> int:
        """Return where the list is to which a way leads in the object that is at a place."""
        names = []
        if way and text[at : at + 1] == "{":
            at = after_blanks(at + 1)
            while text[at : at + 1] == '"':
                name, at = decode(text, at)
                at = after_blanks(after_blanks(at) + 1)
                if name == way[0]:
                    return within(at, way[1:])
                names.append(name)
                at = after_blanks(decode(text, at)[1])
                if text[at : at + 1] == ",":
                    at = after_blanks(at + 1)
        if not way and text[at : at + 1] == "[":
            return at
        found = f"found {some(names, 20)}.{did_you_mean(way[0], names)}" if names else "there is no list"
        raise Unusable(f"has no list at {'.'.join(records)!r}; {found} Correct 'records' of this entity")

    def line(at: int, end: int) -> str:
        # Within JSON a line break is never part of a value.
        return text[at:end].replace("\r", " ").replace("\n", " ")

    at = after_blanks(0)
    if text[at : at + 1] == "[":
        outer: Iterable[tuple[int, int]] = elements(at)
    else:
        outer = _following(text, at, decode, after_blanks)
    for start, end in outer:
        if records:
            yield from (line(*place) for place in elements(within(start, records)))
        else:
            yield line(start, end)


def _following(
    text: str, at: int, decode: Callable[[str, int], tuple[object, int]], after_blanks: Callable[[int], int]
) -> Iterator[tuple[int, int]]:
    """Yield the places of values that follow one another."""
    while at < len(text):
        _, end = decode(text, at)
        yield at, end
        at = after_blanks(end)


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
class JsonReading:
    """JSON files on their way into a delivery; each batch of pieces gives Parquet parts of its own.

    Part columns: a dotted name a value found, every column of the mapping (else of the entity) even where no line has
    it, `_file` and `_row`; lines that are no objects are in `malformed-*.parquet` as `_file`, `_line` (from 1, blank
    lines do not count), `_text`, `_error`. A name that is a text in some lines and an object in others gives a column
    of its own beside those of the object.
    """

    reading: Reading
    names: dict[Place, str] = field(default_factory=dict)
    known: dict[Steps, bool] = field(default_factory=dict)
    lines_read: dict[str, int] = field(default_factory=dict)

    def read(self, files: list[tuple[SourceFile, Path]]) -> None:
        """Read files into the delivery; one that cannot be used is rejected, and costs only itself."""
        done, task = 0, self.reading.task
        with ThreadPoolExecutor(_THREADS) as pool:
            for pieces in _pieces(files, steps_of(task.spec.records), pool):
                task.progress(f"{task.entity}: reading file {done + 1:,} of {len(files):,}")
                self.add(pieces)
                done += sum(piece.is_first for piece in pieces)

    def add(self, batch: list[_Piece]) -> None:
        """Read a batch; a file that cannot be used is noted as rejected, by its first piece."""
        reading = self.reading
        pieces: list[tuple[_Piece, range]] = []
        texts: list[str] = []
        not_utf8: list[int] = []
        for piece in batch:
            if piece.refused:
                reading.reject(piece.file, piece.refused)
            elif piece.is_first or piece.file.name in reading.files:
                found, wrong = _lines(piece.content)
                not_utf8 += [len(texts) + i for i in wrong]
                pieces.append((piece, range(len(texts), len(texts) + len(found))))
                texts += found
        if not texts:
            for piece, _ in pieces:
                reading.reject(piece.file, _EMPTY)
            return
        table = pa.table(
            {
                "i": np.arange(len(texts)),
                "piece": np.repeat(np.arange(len(pieces)), [len(lines) for _, lines in pieces]),
                "line": pa.array(texts, pa.large_string()),
            }
        )
        broken, objects = self._objects(table, not_utf8)
        connection = reading.task.connection
        if reading.task.spec.rows:
            objects = unnested(connection, _with_all_digits(objects), reading.task.spec.rows)
        connection.register("_lines", _divided(objects))
        paths = columns_of(connection, self.known)
        pairs = pairs_in(connection, self.known, reading.task.spec.mapped)
        n_rows = np.bincount(objects["piece"].to_numpy(), minlength=len(pieces))
        malformed, start, refused = [], reading.rows, []
        for number, (piece, lines) in enumerate(pieces):
            bad = broken[bisect_left(broken, lines.start) : bisect_left(broken, lines.stop)]
            rows = int(n_rows[number])
            found_here: list[Place] = [*paths.get(number, {}), *pairs]
            if piece.is_first and (fault := self._fault(rows, [texts[i] for i in bad], found_here)):
                reading.reject(piece.file, fault)
                refused.append(number)
                paths.pop(number, None)
                continue
            file = reading.files.get(piece.file.name) or replace(piece.file, first_row=start)
            # A line's number counts those of earlier pieces too.
            first = self.lines_read.get(file.name, 0) + 1 - lines.start
            malformed += [(file.name, first + i, texts[i].strip("\r"), _what_is_wrong(texts[i])) for i in bad]
            self.lines_read[file.name] = self.lines_read.get(file.name, 0) + len(lines)
            reading.files[file.name] = replace(file, rows=file.rows + rows, malformed=file.malformed + len(bad))
            start += rows
        if start > reading.rows:
            if refused:
                objects = objects.filter(pc.invert(pc.is_in(objects["piece"], pa.array(refused))))
            self._write(objects, [piece.file.name for piece, _ in pieces], paths, pairs)
        if malformed:
            reading.parts.append(write_malformed(malformed, reading.task.scratch, len(reading.parts)))

    def _objects(self, table: pa.Table, not_utf8: list[int]) -> tuple[list[int], pa.Table]:
        """Return where the lines are that are no objects, and the others."""
        deep = _too_deep(table["line"])
        flat = _without(table, deep)
        self.reading.task.connection.register("_lines", _divided(flat))
        found = self.reading.task.connection.execute(
            "select i from _lines where coalesce(case when json_valid(line) then json_type(line) end <> 'OBJECT', true)"
        )
        broken = sorted({*not_utf8, *deep, *(i for (i,) in found.fetchall())})
        return broken, _without(table, broken)

    def _fault(self, rows: int, broken: list[str], places: Iterable[Place]) -> str:
        """Return why a file cannot be used, or nothing."""
        if not rows:
            if not broken:
                return _EMPTY
            return f"has no line that is a JSON object; the first is {broken[0][:80]!r}: {_what_is_wrong(broken[0])}"
        spec, entity = self.reading.task.spec, self.reading.task.entity
        found = [dotted(place) for place in places]
        # Of a table that values are looked up in, all is required.
        known = ENTITIES.get(entity)
        required = [column.name for column in known.columns if column.required] if known else [*spec.columns]
        for use in spec.missing(entity, found):
            if use.ours in required:
                expected = [name for use in spec.uses(entity) for name in use.names]
                hint = did_you_mean_column(use.names[0], found, use.ours, expected)
                lists = [dotted(place) for place, is_list in self.known.items() if is_list]
                if lists and not spec.records and not spec.rows:
                    hint += (
                        f" Where the records are in {some([repr(name) for name in lists])}, set 'records' of this"
                        " entity, or 'rows' where what is around them belongs to each."
                    )
                return f"has no {use} in any line (mapped for {entity}); found {some(found, 20)}.{hint}"
        return ""

    def _write(
        self, rows: pa.Table, names: list[str], columns: dict[int, dict[Steps, None]], pairs: Iterable[Place]
    ) -> None:
        """Write the lines that are rows as one part."""
        reading = self.reading
        connection = reading.task.connection
        paths: dict[Place, None] = dict.fromkeys(path for of_piece in columns.values() for path in of_piece)
        paths |= dict.fromkeys(pairs)
        uses = reading.task.spec.uses(reading.task.entity, [dotted(path) for path in paths])
        expected = list(dict.fromkeys(name for use in uses for name in use.names))
        name_columns(paths, expected, self.names)
        given = [self.names[path] for path in paths]
        found, cells = values("line", paths, above(self.known))
        selected = [f"{cell} as {quoted(name)}" for cell, name in zip(cells, given, strict=True)]
        selected += [f"cast(null as varchar) as {quoted(name)}" for name in expected if name not in given]
        reading.columns |= dict.fromkeys([*given, *expected])
        part = reading.next_part()
        rows = _with_all_digits(rows)
        rows = rows.append_column("_file", pa.array(names).take(rows["piece"]))
        rows = rows.append_column("_row", pa.array(np.arange(len(rows)) + reading.rows))
        reading.rows += len(rows)
        connection.register("_lines", _divided(rows))
        connection.execute(
            f"copy (select {', '.join(selected)}, _file, _row from (select {found}, line, _file, _row from _lines))"
            f" to {text_literal(str(part))} (format parquet, compression zstd)"
        )
        connection.unregister("_lines")
        reading.parts.append(part)


def _with_all_digits(rows: pa.Table) -> pa.Table:
    """Return lines in which long numbers are texts."""
    lines = rows["line"].combine_chunks()
    is_long = pc.match_substring_regex(lines, LONG_NUMBER)
    if not pc.any(is_long).as_py():
        return rows
    exact = pa.array(map(keep_digits, lines.filter(is_long).to_pylist()), pa.large_string())
    return rows.set_column(2, "line", pc.replace_with_mask(lines, is_long, exact))


def _without(table: pa.Table, positions: list[int]) -> pa.Table:
    if not positions:
        return table
    is_left = np.ones(len(table), dtype=bool)
    is_left[positions] = False
    return table.filter(pa.array(is_left))


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
