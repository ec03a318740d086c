"""Source kind `files`: CSV (also compressed) and Parquet, from a folder, a file, a glob or an fsspec URL.

Files are hashed, checked and grouped by their header here; their rows go through DuckDB. A file that cannot
be used is handed over as rejected with the reason, and costs only itself; a line that does not fit the header
is handed over as malformed, with its text. Only a file with such lines is gone through in Python, to part them
from the others: DuckDB skips what follows a quote that is never closed, and keeps 10,000 characters of it.
"""

import contextlib
import functools
import glob
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from lib.base.errors import did_you_mean
from lib.base.hashing import sha256_of
from lib.base.quoting import quoted, text_literal
from lib.config import EntitySource, Source
from lib.entities import ENTITIES
from lib.sources.delimited import Unusable, part_records, read_header, text_of, write_utf8
from lib.sources.delivery import Delivery, Extractor, RejectedFile, SourceFile, Task
from lib.sources.listing import files_at, none_usable, suffix


class FileEntity(EntitySource):
    """Which files hold an entity, and how they are written."""

    files: str = "*"
    encoding: str = "auto"
    delimiter: str = "auto"
    quote: str = Field('"', max_length=1)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        if value != "auto":
            try:
                "".encode(value)
            except LookupError as error:
                raise ValueError(f"{value!r} is no encoding known to Python, such as utf-8 or cp1252") from error
        return value

    @property
    def reader(self) -> dict[str, Any]:
        return {"encoding": self.encoding, "delimiter": self.delimiter, "quote": self.quote}


class FilesSource(Source):
    """A folder, a file or a fsspec URL."""

    kind: Literal["files"]
    path: str = Field(min_length=1)
    entities: dict[str, FileEntity] = Field(min_length=1)


MODEL = FilesSource

_TEXT = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_MALFORMED = pa.schema([("_file", pa.string()), ("_line", pa.int64()), ("_text", pa.string()), ("_error", pa.string())])


@dataclass(frozen=True)
class _Found:
    """A usable file: where it lies, where DuckDB reads it, what its header says, and lines parted from it."""

    file: SourceFile
    original: Path
    readable: Path
    header: tuple[str, ...]
    delimiter: str = ""
    types: str = ""
    malformed: tuple[tuple[int, str, str], ...] | None = None

    @property
    def form(self) -> tuple[tuple[str, ...], str, str]:
        """Files of one form can be read together."""
        return self.header, self.delimiter, self.types


@contextlib.contextmanager
def open_source(source: FilesSource, work_dir: Path) -> Iterator[Extractor]:
    """Hand over the extractor; files share nothing that must be opened."""
    yield functools.partial(extract, source)


def extract(source: FilesSource, task: Task) -> Delivery:
    """Hand over the rows of every file that is new or changed since the task's state, all columns as text for CSV.

    Part columns: the file's own, `_file` and `_row` (running number in the batch, from 0); lines that do not fit
    are in `malformed-*.parquet` as `_file`, `_line` (1 for the first record; blank lines do not count), `_text`,
    `_error`.

    Raises SourceError where the place does not exist, holds no such files, or none was ever usable.
    """
    entity, spec, state, scratch, connection = task.entity, task.spec, task.state, task.scratch, task.connection
    found: list[_Found] = []
    rejected: list[RejectedFile] = []
    unchanged: list[str] = []
    names = files_at(source.path, spec.files, (*_TEXT, *_PARQUET), "CSV or Parquet")
    for number, (name, fetch) in enumerate(names):
        if number % 50 == 0:
            task.progress(f"{entity}: looking at file {number + 1:,} of {len(names):,}")
        local = fetch(scratch)
        try:
            if local.is_dir():
                raise IsADirectoryError(0, f"is a folder; name the files in it, such as {local.name}/*")
            digest = sha256_of(local)
        except OSError as error:
            rejected.append(RejectedFile(name, "", 0, f"cannot be read: {error.strerror or error}"))
            continue
        if state.files.get(name) == digest:
            unchanged.append(name)
            continue
        file = SourceFile(name=name, sha256=digest, bytes=local.stat().st_size)
        try:
            found.append(_examined(file, local, entity, spec, scratch, number))
        except Unusable as why:
            rejected.append(RejectedFile(name, digest, file.bytes, str(why), str(local)))
    task.progress(f"{entity}: reading {len(found):,} new files")
    delivery = _read(found, rejected, spec, scratch, connection)
    if rejected and not delivery.files and not state.files:
        raise none_usable(entity, source.path, rejected)
    return replace(delivery, unchanged=tuple(unchanged))


def _examined(file: SourceFile, local: Path, entity: str, spec: FileEntity, scratch: Path, number: int) -> _Found:
    """Check one file as far as possible without reading its rows; raise Unusable with the reason."""
    if file.bytes == 0:
        raise Unusable("the file is empty; expected a header line and rows")
    if suffix(file.name) in _PARQUET:
        try:
            footer = pq.read_metadata(local)
            schema = footer.schema.to_arrow_schema()
        except (OSError, ValueError) as error:
            raise Unusable(f"is no readable Parquet file: {error}") from None
        _require_columns(tuple(schema.names), entity, spec)
        file = replace(file, reported_rows=footer.num_rows)
        return _Found(file, local, local, tuple(schema.names), types=str(schema.types))
    text, encoding, clean = text_of(local, spec.encoding)
    expected = set(spec.mapped) or set(ENTITIES[entity].names)
    delimiter, header = read_header(text, expected, spec.delimiter, spec.quote)
    _require_columns(header, entity, spec)
    readable = local
    if not clean:
        readable = scratch / f"utf8-{number}.csv"
        write_utf8(local, readable, encoding)
    return _Found(replace(file, encoding=encoding), local, readable, header, delimiter)


def _require_columns(header: tuple[str, ...], entity: str, spec: FileEntity) -> None:
    reserved = [h for h in header if h.lower() in ("_file", "_row", "_path")]
    if reserved:
        raise Unusable(f"has a column {reserved[0]!r}, a name the lake uses itself; rename it")
    expected = spec.mapped or [c.name for c in ENTITIES[entity].columns if c.required]
    missing = [c for c in expected if c not in header]
    if missing:
        found = ", ".join(header[:20])
        hint = did_you_mean(missing[0], header)
        raise Unusable(f"has no column {missing[0]!r} (mapped for {entity}); found {found}.{hint}")


def _read(
    found: list[_Found],
    rejected: list[RejectedFile],
    spec: FileEntity,
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
) -> Delivery:
    """Write the files' rows as Parquet parts, file by file where files of one form cannot be read together."""
    groups: dict[tuple[tuple[str, ...], str, str], list[_Found]] = {}
    for file in found:
        groups.setdefault(file.form, []).append(file)
    todo = list(groups.values())
    parts: list[Path] = []
    files: list[SourceFile] = []
    columns: dict[str, None] = {}
    first = 0

    def reject(file: _Found, reason: str) -> None:
        rejected.append(RejectedFile(file.file.name, file.file.sha256, file.file.bytes, reason, str(file.original)))

    while todo:
        group = todo.pop(0)
        part = scratch / f"part-{len(parts):04d}.parquet"
        try:
            counts, damaged = _write_part(group, first, part, spec, connection)
        except duckdb.Error as error:
            if len(group) > 1:
                todo[:0] = [[file] for file in group]
            else:
                reject(group[0], f"cannot be parsed: {' '.join(str(error).split())[:300]}")
            continue
        if damaged:
            for file in [f for f in group if f.file.name in damaged and f.malformed is not None]:
                reject(file, f"cannot be parsed: {damaged[file.file.name]}")
            again = [f for f in group if not (f.file.name in damaged and f.malformed is not None)]
            if again:
                todo.insert(0, [_parted(f, spec.quote, scratch) if f.file.name in damaged else f for f in again])
            continue
        parts.append(part)
        lines = [(f.file.name, *line) for f in group for line in f.malformed or ()]
        if lines:
            parts.append(scratch / f"malformed-{len(parts):04d}.parquet")
            pq.write_table(
                pa.Table.from_pylist([dict(zip(_MALFORMED.names, r, strict=True)) for r in lines], _MALFORMED),
                parts[-1],
            )
        for file in group:
            rows, first_row = counts.get(file.file.name, (0, 0))
            files.append(replace(file.file, rows=rows, first_row=first_row, malformed=len(file.malformed or ())))
            first += rows
        columns |= dict.fromkeys(group[0].header)
    return Delivery(
        files=tuple(files),
        rejected=tuple(rejected),
        parts=tuple(parts),
        columns=tuple(columns),
        originals={f.file.name: str(f.original) for f in found},
    )


def _write_part(
    group: list[_Found], first: int, part: Path, spec: FileEntity, connection: duckdb.DuckDBPyConnection
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Write the rows of files of one form to one Parquet file.

    Returns each file's number of rows and first row, and the first fault of each file that has malformed lines; those
    are missing from the part.
    """
    paths = [str(f.readable) for f in group]
    connection.execute("create or replace temp table _names (path varchar, name varchar)")
    connection.execute("insert into _names select unnest(?), unnest(?)", [paths, [f.file.name for f in group]])
    columns = ", ".join(f"r.{quoted(c)}" for c in group[0].header)
    arguments: list[Any] = [[glob.escape(p) for p in paths]]
    delimiter = group[0].delimiter
    if delimiter:
        # Bound parameters cannot stand for a struct of column types, so the names are written out, quoted.
        types = ", ".join(f"{text_literal(c)}: 'VARCHAR'" for c in group[0].header)
        reader = (
            f"read_csv(?, columns = {{{types}}}, header = true, auto_detect = false, delim = ?, quote = ?, escape = ?,"
            " store_rejects = true, rejects_limit = 0, filename = '_path')"
        )
        arguments += [delimiter, spec.quote, spec.quote]
        connection.execute("drop table if exists reject_errors; drop table if exists reject_scans")
    else:
        reader = "read_parquet(?, filename = '_path')"
    connection.execute(
        f"""copy (
            select {columns}, n.name as _file, r._row
            from (select *, row_number() over () - 1 + {first} as _row from {reader}) r
            join _names n on n.path = r._path
        ) to {text_literal(str(part))} (format parquet, compression zstd)""",
        arguments,
    )
    counts = connection.execute(
        "select _file, count(*), min(_row) from read_parquet(?) group by _file", [glob.escape(str(part))]
    ).fetchall()
    return {name: (rows, start) for name, rows, start in counts}, _damaged(connection) if delimiter else {}


def _damaged(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the files of the last read that have lines DuckDB could not parse, each with its first such fault."""
    try:
        rows = connection.execute(
            """
            select n.name, arg_min(e.error_message, e.line)
            from reject_errors e
            join reject_scans s on s.scan_id = e.scan_id and s.file_id = e.file_id
            join _names n on n.path = s.file_path
            group by n.name
            """
        ).fetchall()
    except duckdb.CatalogException:
        return {}
    return {name: message.splitlines()[0] for name, message in rows}


def _parted(file: _Found, quote: str, scratch: Path) -> _Found:
    """Return the file as read from a copy without its malformed lines."""
    copy, malformed = part_records(file.readable, len(file.header), file.delimiter, quote, scratch)
    return replace(file, readable=copy, malformed=malformed)
