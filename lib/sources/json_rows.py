"""From lines of JSON objects to rows: columns by dotted names in Parquet parts, and what is no object set aside.

DuckDB goes over the lines twice: for their shapes, which say what columns there are, and for their values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lib.base.errors import SourceError, did_you_mean
from lib.base.quoting import quoted, text_literal
from lib.config import Derived, EntitySource
from lib.entities import ENTITIES
from lib.sources.delivery import RejectedFile, SourceFile
from lib.sources.json_lines import LONG_NUMBER, Steps, fault, keep_digits, leaves, name_columns, pointer, undecodable

_MALFORMED = pa.schema([("_file", pa.string()), ("_line", pa.int64()), ("_text", pa.string()), ("_error", pa.string())])
_AT_A_TIME = 16_384
#: Each name found is a column.
_MOST_NAMES = 2_000


@dataclass(frozen=True)
class Piece:
    """A file's lines, or the next of a large file's; `refused` says why there are none."""

    file: SourceFile
    local: Path
    content: bytes = b""
    refused: str = ""
    is_first: bool = True


@dataclass(frozen=True)
class _Lines:
    """The lines of some pieces: text, the position of its piece, and the lines that are no objects, with their text.

    `paths` has for each piece the way to every value in its lines.
    """

    text: pa.Array
    piece: NDArray[np.int64]
    broken: dict[int, str]
    paths: tuple[dict[Steps, None], ...]


@dataclass
class Reading:
    """A delivery that grows with every batch of pieces; each batch gives Parquet parts of its own in `scratch`."""

    entity: str
    spec: EntitySource
    scratch: Path
    connection: duckdb.DuckDBPyConnection
    files: dict[str, SourceFile] = field(default_factory=dict)
    rejected: list[RejectedFile] = field(default_factory=list)
    parts: list[Path] = field(default_factory=list)
    names: dict[Steps, str] = field(default_factory=dict)
    columns: dict[str, None] = field(default_factory=dict)
    known: dict[Steps, None] = field(default_factory=dict)
    rows: int = 0

    def add(self, batch: list[Piece]) -> None:
        """Read a batch; a file that cannot be used is noted as rejected, by its first piece."""
        for piece in batch:
            if piece.refused:
                self._reject(piece, piece.refused)
        pieces = [p for p in batch if not p.refused and (p.is_first or p.file.name in self.files)]
        if not pieces:
            return
        lines = _examined(self.connection, [p.content for p in pieces], self.known)
        n_lines = len(lines.text)
        is_broken, is_blank = np.zeros(n_lines, dtype=bool), np.zeros(n_lines, dtype=bool)
        for i, text in lines.broken.items():
            (is_broken if text.strip() else is_blank)[i] = True
        good, bad = (
            np.bincount(lines.piece[chosen], minlength=len(pieces)).tolist()
            for chosen in (~is_broken & ~is_blank, is_broken)
        )
        kept = np.ones(len(pieces), dtype=bool)
        malformed: list[tuple[str, int, str, str]] = []
        start = self.rows
        for number, piece in enumerate(pieces):
            own = np.flatnonzero(is_broken & (lines.piece == number)) if bad[number] else np.empty(0, dtype=np.int64)
            if piece.is_first and (reason := self._judged(lines, number, good[number], own)):
                self._reject(piece, reason)
                kept[number] = False
                continue
            file = self.files.get(piece.file.name) or replace(piece.file, first_row=start)
            if len(own):
                # A line's number counts all lines but blank ones, those of earlier pieces too.
                first = np.searchsorted(lines.piece, number)
                place = file.rows + file.malformed + np.cumsum(~is_blank[first : own[-1] + 1])[own - first]
                texts = [lines.broken[i] for i in own.tolist()]
                malformed += [
                    (file.name, at, text, fault(text)) for at, text in zip(place.tolist(), texts, strict=True)
                ]
            self.files[file.name] = replace(file, rows=file.rows + good[number], malformed=file.malformed + bad[number])
            start += good[number]
        self._write_rows(pieces, lines, kept, ~is_broken & ~is_blank & kept[lines.piece])
        if malformed:
            self.parts.append(self.scratch / f"malformed-{len(self.parts):04d}.parquet")
            columns = [
                pa.array(c, kind) for c, kind in zip(zip(*malformed, strict=True), _MALFORMED.types, strict=True)
            ]
            pq.write_table(pa.table(columns, schema=_MALFORMED), self.parts[-1])

    def _reject(self, piece: Piece, reason: str) -> None:
        file = piece.file
        self.rejected.append(RejectedFile(file.name, file.sha256, file.bytes, reason, str(piece.local)))

    def _judged(self, lines: _Lines, number: int, good: int, broken: NDArray[np.int64]) -> str:
        """Return why a file cannot be used, or nothing."""
        if not good:
            if not len(broken):
                return "the file is empty; expected lines of JSON"
            text = lines.broken[int(broken[0])]
            return f"has no line that is a JSON object; the first is {text[:80]!r}: {fault(text)}"
        found = [".".join(path) for path in lines.paths[number]]
        for column in ENTITIES[self.entity].columns:
            name = self.spec.columns.get(column.name) if self.spec.columns else column.name
            if isinstance(name, Derived):
                name = name.column
            if column.required and name and name not in found:
                listed, hint = ", ".join(found[:20]), did_you_mean(name, found)
                return f"has no {name!r} in any line (mapped for {self.entity}); found {listed}.{hint}"
        return ""

    def _write_rows(
        self, pieces: list[Piece], lines: _Lines, kept: NDArray[np.bool_], is_row: NDArray[np.bool_]
    ) -> None:
        """Write the lines chosen as one part."""
        expected = list(dict.fromkeys(self.spec.mapped or ENTITIES[self.entity].names))
        paths = dict.fromkeys(path for number in np.flatnonzero(kept) for path in lines.paths[number])
        name_columns(paths, expected, self.names)
        n = int(is_row.sum())
        if not n:
            return
        file_names = pa.array([piece.file.name for piece in pieces])
        table = pa.table(
            {
                "_text": lines.text.filter(pa.array(is_row)),
                "_file": file_names.take(pa.array(lines.piece[is_row])),
                "_row": np.arange(self.rows, self.rows + n),
            }
        )
        self.rows += n
        objects = {path[:depth] for path in paths for depth in range(1, len(path))}
        columns = []
        for place, path in enumerate(paths, 1):
            value = f"v[{place}]"
            if path in objects:
                # Some lines have a value here and others an object: its text would repeat what has columns already.
                kind = f"json_type(_text, {text_literal(pointer(path))})"
                value = f"case when {kind} <> 'OBJECT' then {value} end"
            columns.append(f"{value} as {quoted(self.names[path])}")
        given = [self.names[path] for path in paths]
        columns += [f"cast(null as varchar) as {quoted(name)}" for name in expected if name not in given]
        self.columns |= dict.fromkeys([*given, *expected])
        pointers = ", ".join(text_literal(pointer(path)) for path in paths)
        part = self.scratch / f"part-{len(self.parts):04d}.parquet"
        self.connection.register("_lines", _divided(table))
        self.connection.execute(
            f"copy (select {', '.join(columns)}, _file, _row"
            f" from (select json_extract_string(_text, [{pointers}]) as v, _text, _file, _row from _lines))"
            f" to {text_literal(str(part))} (format parquet, compression zstd)"
        )
        self.connection.unregister("_lines")
        self.parts.append(part)


def _examined(connection: duckdb.DuckDBPyConnection, contents: Sequence[bytes], known: dict[Steps, None]) -> _Lines:
    """Return the lines of some contents and what DuckDB says of them; `known` gains the ways to values in them.

    A line's shape is costly to tell, its keys are not: of lines with the same keys in every object one is looked at.
    What is an object is known from such looks, so they go on until there is nothing new.
    """
    texts, piece, wrong = _lines(contents)
    table = pa.table({"i": np.arange(len(texts)), "piece": piece, "line": texts})
    connection.register("_lines", _divided(table))
    no_objects = connection.execute(
        "select i from _lines where coalesce(case when json_valid(line) then json_type(line) end <> 'OBJECT', true)"
    )
    broken = sorted({*wrong, *(i for (i,) in no_objects.fetchall())})
    if broken:
        connection.register("_lines", _divided(table.filter(pa.array(~_at(broken, len(texts))))))
    while True:
        n_before = len(known)
        connection.execute(f"create or replace temp table _looks as {_looks(known)}")
        shapes = connection.execute(
            """select looks.i, json_structure(line)
            from (select min(i) as i from _looks group by signature, case when is_odd then i end) looks
            join _lines on _lines.i = looks.i"""
        ).fetchall()
        for _, shape in shapes:
            known |= dict.fromkeys(leaves(shape))
        if len(known) == n_before:
            break
        if len(known) > _MOST_NAMES:
            raise SourceError(
                f"The objects have more than {_MOST_NAMES:,} different names, such as {'.'.join([*known][-1])!r};"
                " expected names that say what a value is. Where they are data themselves, have the source deliver a"
                " list."
            )
    ways = {i: leaves(shape) for i, shape in shapes}
    paths: tuple[dict[Steps, None], ...] = tuple({} for _ in contents)
    seen = connection.execute(
        """select piece, min(i) over (partition by signature, case when is_odd then i end) as look
        from (select piece, signature, is_odd, min(i) as i from _looks
            group by piece, signature, is_odd, case when is_odd then i end)
        order by piece, i"""
    )
    for number, look in seen.fetchall():
        paths[number].update(dict.fromkeys(ways[look]))
    long = [i for (i,) in connection.execute("select i from _looks where is_long order by i").fetchall()]
    connection.execute("drop table _looks")
    connection.unregister("_lines")
    if long:
        exact = [keep_digits(line) for line in texts.take(pa.array(long)).to_pylist()]
        texts = pc.replace_with_mask(texts, pa.array(_at(long, len(texts))), pa.array(exact, pa.large_string()))
    return _Lines(texts, piece, {i: texts[i].as_py().strip("\r\n") for i in broken}, paths)


def _at(positions: list[int], n: int) -> NDArray[np.bool_]:
    chosen = np.zeros(n, dtype=bool)
    chosen[positions] = True
    return chosen


def _looks(known: dict[Steps, None]) -> str:
    """Return the query that gives each object a signature of the keys in it.

    Odd is one that has an object where so far was none, long one with a number that a double might not hold.
    """
    objects = dict.fromkeys(path[:depth] for path in known for depth in range(1, len(path)))
    nested, values = (
        "[" + ", ".join(text_literal(pointer(path)) for path in paths) + "]"
        for paths in (objects, [path for path in known if path not in objects])
    )
    keys = f"json_keys(line), json_keys(line, {nested})" if objects else "json_keys(line)"
    types = f"json_type(line, {values})" if values != "[]" else "cast([] as varchar[])"
    return f"""
    select i, piece, signature, list_contains(types, 'OBJECT') as is_odd,
        case when list_contains(types, 'DOUBLE') or list_contains(types, 'ARRAY')
            then regexp_matches(line, {text_literal(LONG_NUMBER)}) else false end as is_long
    from (select i, piece, line, hash({keys}) as signature, {types} as types from _lines)
    """


def _divided(table: pa.Table) -> pa.Table:
    """Return the table in pieces, of which DuckDB gives one to each thread at a time."""
    return pa.Table.from_batches(table.to_batches(max_chunksize=_AT_A_TIME), table.schema)


def _lines(contents: Sequence[bytes]) -> tuple[pa.Array, NDArray[np.int64], list[int]]:
    """Return every line (with its line break), the position of its content, and the lines that were no UTF-8."""
    checked = [undecodable(content) for content in contents]
    data = b"".join(content if content.endswith(b"\n") else content + b"\n" for content, _ in checked)
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
    bounds = np.cumsum([len(content) + (not content.endswith(b"\n")) for content, _ in checked])
    piece = np.searchsorted(bounds, ends, side="left")
    first = np.searchsorted(piece, np.arange(len(contents)))
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    texts = pa.Array.from_buffers(pa.large_string(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    wrong = [int(first[number]) + line for number, (_, lines) in enumerate(checked) for line in lines]
    return texts, piece, wrong
