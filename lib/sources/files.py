"""Source kind `files`: CSV (also compressed) and Parquet, from a folder, a file, a glob or an fsspec URL.

Files are hashed, checked and grouped by their header here; their rows go through DuckDB. A file that cannot
be used is handed over as rejected with the reason, and costs only itself; a line that does not fit the header
is handed over as malformed, with its text. Only a file with such lines is gone through in Python, to part them
from the others: DuckDB skips what follows a quote that is never closed, and keeps 10,000 characters of it.
"""

import bz2
import codecs
import csv
import glob
import gzip
import hashlib
import io
import lzma
import shutil
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from lib.config import PROJECT, Derived, EntitySource, Source, mask
from lib.entities import ENTITIES
from lib.errors import SourceError, did_you_mean
from lib.lake import Delivery, RejectedFile, TakenFile

_COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TEXT = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 1 << 20
_HEADER = 1 << 16
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
#: DuckDB's limit for a line; and how many lines one quoted value may go over in a file with malformed lines.
_LONGEST_LINE = 2_000_000
_LONGEST_VALUE = 1_000
_MALFORMED = pa.schema([("_file", pa.string()), ("_line", pa.int64()), ("_text", pa.string()), ("_error", pa.string())])


@dataclass(frozen=True)
class _Found:
    """A usable file: where it lies, where DuckDB reads it, what its header says, and lines parted from it."""

    taken: TakenFile
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


class _Unusable(Exception):  # noqa: N818
    """Why one file cannot be used."""


def take(
    source: Source,
    entity: str,
    spec: EntitySource,
    taken: dict[str, str],
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
    progress: Callable[[str], None] = lambda _: None,
) -> Delivery:
    """Hand over the rows of every file that is new or changed since `taken`, all columns as text for CSV.

    Part columns: the file's own, `_file` and `_row` (running number in the batch, from 0); lines that do not fit
    are in `malformed-*.parquet` as `_file`, `_line` (1 for the first record; blank lines do not count), `_text`,
    `_error`.

    Raises SourceError where the place does not exist, holds no such files, or none was ever usable.
    """
    found: list[_Found] = []
    rejected: list[RejectedFile] = []
    unchanged: list[str] = []
    names = _listing(source, spec)
    for number, (name, fetch) in enumerate(names):
        if number % 50 == 0:
            progress(f"{entity}: looking at file {number + 1:,} of {len(names):,}")
        local = fetch(scratch)
        try:
            digest = _sha256(local)
        except OSError as error:
            rejected.append(RejectedFile(name, "", 0, f"cannot be read: {error.strerror or error}"))
            continue
        if taken.get(name) == digest:
            unchanged.append(name)
            continue
        file = TakenFile(name=name, sha256=digest, bytes=local.stat().st_size)
        try:
            found.append(_examined(file, local, entity, spec, scratch, number))
        except _Unusable as why:
            rejected.append(RejectedFile(name, digest, file.bytes, str(why), str(local)))
    progress(f"{entity}: reading {len(found):,} new files")
    delivery = _read(found, rejected, spec, scratch, connection)
    if rejected and not delivery.files and not taken:
        reasons = "\n".join(f"  {r.name}: {r.reason}" for r in rejected[:3])
        more = f"\n  ... and {len(rejected) - 3} more" if len(rejected) > 3 else ""
        raise SourceError(
            f"None of the {len(rejected)} files for {entity} in {mask(source.path)} can be used:\n{reasons}{more}\n"
            "Correct the files, or the mapping of this source."
        )
    return replace(delivery, unchanged=tuple(unchanged))


def _listing(source: Source, spec: EntitySource) -> list[tuple[str, Callable[[Path], Path]]]:
    """Return each file's name below the source's path and a function that brings it to this machine."""
    remote = "://" in source.path
    url = source.path if remote else str((PROJECT / Path(source.path).expanduser()).resolve())
    try:
        fs, root = fsspec.core.url_to_fs(url)
        if not fs.exists(root):
            raise SourceError(
                f"No folder or file {mask(url)}. Check 'path' of this source, or that the place is mounted."
            )
        if fs.isfile(root):
            paths, base = [root], root.rsplit("/", 1)[0]
        else:
            base = root.rstrip("/")
            wanted = f"{base}/{spec.files}"
            paths = fs.find(wanted) if fs.isdir(wanted) else fs.glob(f"{glob.escape(base)}/{spec.files}")
    except SourceError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{mask(url)} cannot be listed: {mask(str(error))}") from None
    known = (*_TEXT, *_PARQUET)
    usable = [p for p in sorted(paths) if _suffix(p) in known and not Path(p).name.startswith((".", "_"))]
    if not usable:
        raise SourceError(
            f"No CSV or Parquet files match {spec.files!r} in {mask(url)}; found {len(paths)} other files."
        )

    def bring(path: str) -> Callable[[Path], Path]:
        def fetch(scratch: Path) -> Path:
            if not remote:
                return Path(path)
            target = scratch / "fetched" / hashlib.sha256(path.encode()).hexdigest()[:16] / Path(path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                fs.get_file(path, str(target))
            except OSError as error:
                raise SourceError(f"{mask(path)} cannot be fetched: {mask(str(error))}") from None
            return target

        return fetch

    return [(p.removeprefix(f"{base}/"), bring(p)) for p in usable]


def _suffix(path: str) -> str:
    """Return the ending that tells the format, below any that tells the compression."""
    name = Path(path)
    return Path(name.stem).suffix.lower() if name.suffix.lower() in _COMPRESSED else name.suffix.lower()


def _sha256(path: Path) -> str:
    if path.is_dir():
        raise IsADirectoryError(0, f"is a folder; name the files in it, such as {path.name}/*")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _examined(file: TakenFile, local: Path, entity: str, spec: EntitySource, scratch: Path, number: int) -> _Found:
    """Check one file as far as possible without reading its rows; raise _Unusable with the reason."""
    if file.bytes == 0:
        raise _Unusable("the file is empty; expected a header line and rows")
    if _suffix(file.name) in _PARQUET:
        try:
            schema = pq.read_schema(local)
        except (OSError, ValueError) as error:
            raise _Unusable(f"is no readable Parquet file: {error}") from None
        _require_columns(tuple(schema.names), entity, spec)
        return _Found(file, local, local, tuple(schema.names), types=str(schema.types))
    text, encoding, clean = _text_of(local, spec.encoding)
    delimiter, header = _header(text, entity, spec)
    _require_columns(header, entity, spec)
    readable = local
    if not clean:
        readable = scratch / f"utf8-{number}.csv"
        _write_utf8(local, readable, encoding)
    return _Found(replace(file, encoding=encoding), local, readable, header, delimiter)


def _open_bytes(path: Path) -> BinaryIO:
    opened: BinaryIO = _COMPRESSED.get(path.suffix.lower(), open)(path, "rb")
    return opened


def _text_of(path: Path, wanted: str) -> tuple[str, str, bool]:
    """Return the first characters, the encoding, and whether DuckDB can read the file where it is."""
    try:
        with _open_bytes(path) as file:
            start = file.read(_HEADER)
    except _UNREADABLE as error:
        raise _Unusable(f"cannot be read: {error}") from None
    if wanted != "auto":
        candidates = ["utf-8-sig" if codecs.lookup(wanted).name == "utf-8" else wanted]
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    else:
        candidates = ["utf-8-sig", "cp1252"]
    problems = []
    for encoding in candidates:
        try:
            head, is_plain = _decodes(path, encoding)
        except UnicodeDecodeError as error:
            byte = error.object[error.start : error.start + 1].hex()
            problems.append(f"byte 0x{byte} is no {encoding.removesuffix('-sig')}")
            continue
        except UnicodeError as error:
            problems.append(str(error))
            continue
        except _UNREADABLE as error:
            raise _Unusable(f"cannot be read to its end: {error}") from None
        in_place = encoding == "utf-8-sig" and path.suffix.lower() not in _COMPRESSED and is_plain
        if not head.strip():
            raise _Unusable("the file is empty; expected a header line and rows")
        return head.lstrip("\r\n"), encoding.removesuffix("-sig"), in_place
    hint = " Set 'encoding' of this source, for example to cp1252." if wanted != "auto" else ""
    raise _Unusable(f"wrong encoding: {'; '.join(problems)}.{hint}")


def _decodes(path: Path, encoding: str) -> tuple[str, bool]:
    """Decode the whole file in pieces; return its start, and whether it begins at once and has one kind of line end."""
    decoder = codecs.getincrementaldecoder(encoding)()
    head, crlf, lf, cr = "", 0, 0, 0
    last = ""
    with _open_bytes(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            text = decoder.decode(chunk, final=not chunk)
            if len(head) < _HEADER:
                head += text[: _HEADER - len(head)]
            crlf += text.count("\r\n") + (last == "\r" and text[:1] == "\n")
            lf += text.count("\n")
            cr += text.count("\r")
            last = text[-1:] or last
            if not chunk:
                return head, head[:1] not in ("\r", "\n") and (lf == crlf == cr or 0 in (lf, cr))


def _write_utf8(path: Path, target: Path, encoding: str) -> None:
    """Write the file's text as UTF-8 with `\\n` line ends, from its first line that is not blank."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with _open_bytes(path) as file, target.open("w", encoding="utf-8", newline="\n") as out:
        text = io.TextIOWrapper(file, encoding=encoding, newline=None)
        out.write(next((line for line in text if line != "\n"), ""))
        shutil.copyfileobj(text, out, _CHUNK)


def _header(text: str, entity: str, spec: EntitySource) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter and the column names, each of them unique whatever its case."""
    expected = set(_mapped(spec)) or set(ENTITIES[entity].names)

    def parsed(delimiter: str) -> list[str]:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if spec.quote else csv.QUOTE_NONE
        try:
            return next(
                csv.reader(
                    io.StringIO(text, newline=""),
                    delimiter=delimiter,
                    quotechar=spec.quote or None,
                    quoting=quoting,
                ),
                [],
            )
        except (csv.Error, TypeError, ValueError) as error:
            raise _Unusable(f"the header cannot be read with delimiter {delimiter!r}: {error}") from None

    candidates = _DELIMITERS if spec.delimiter == "auto" else (spec.delimiter.replace("\\t", "\t"),)
    delimiter, names = max(
        ((d, parsed(d)) for d in candidates),
        key=lambda found: (len(expected.intersection(found[1])), len(found[1])),
    )
    unique: list[str] = []
    for position, name in enumerate(names, 1):
        name = name.strip() or f"column_{position}"
        taken = {u.lower() for u in unique}
        candidate, copy = name, 2
        while candidate.lower() in taken:
            candidate, copy = f"{name}_{copy}", copy + 1
        unique.append(candidate)
    return delimiter, tuple(unique)


def _mapped(spec: EntitySource) -> list[str]:
    """Return the source columns that the mapping names."""
    names = (c.column if isinstance(c, Derived) else c for c in spec.columns.values())
    return [n for n in names if n]


def _require_columns(header: tuple[str, ...], entity: str, spec: EntitySource) -> None:
    reserved = [h for h in header if h.lower() in ("_file", "_row", "_path")]
    if reserved:
        raise _Unusable(f"has a column {reserved[0]!r}, a name the lake uses itself; rename it")
    expected = _mapped(spec) or [c.name for c in ENTITIES[entity].columns if c.required]
    missing = [c for c in expected if c not in header]
    if missing:
        found = ", ".join(header[:20])
        hint = did_you_mean(missing[0], header)
        raise _Unusable(f"has no column {missing[0]!r} (mapped for {entity}); found {found}.{hint}")


def _read(
    found: list[_Found],
    rejected: list[RejectedFile],
    spec: EntitySource,
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
) -> Delivery:
    """Write the files' rows as Parquet parts, file by file where files of one form cannot be read together."""
    groups: dict[tuple[tuple[str, ...], str, str], list[_Found]] = {}
    for file in found:
        groups.setdefault(file.form, []).append(file)
    todo = list(groups.values())
    parts: list[Path] = []
    files: list[TakenFile] = []
    columns: dict[str, None] = {}
    first = 0

    def reject(file: _Found, reason: str) -> None:
        rejected.append(RejectedFile(file.taken.name, file.taken.sha256, file.taken.bytes, reason, str(file.original)))

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
            for file in [f for f in group if f.taken.name in damaged and f.malformed is not None]:
                reject(file, f"cannot be parsed: {damaged[file.taken.name]}")
            again = [f for f in group if not (f.taken.name in damaged and f.malformed is not None)]
            if again:
                todo.insert(0, [_parted(f, spec.quote, scratch) if f.taken.name in damaged else f for f in again])
            continue
        parts.append(part)
        lines = [(f.taken.name, *line) for f in group for line in f.malformed or ()]
        if lines:
            parts.append(scratch / f"malformed-{len(parts):04d}.parquet")
            pq.write_table(
                pa.Table.from_pylist([dict(zip(_MALFORMED.names, r, strict=True)) for r in lines], _MALFORMED),
                parts[-1],
            )
        for file in group:
            rows, first_row = counts.get(file.taken.name, (0, 0))
            files.append(replace(file.taken, rows=rows, first_row=first_row, malformed=len(file.malformed or ())))
            first += rows
        columns |= dict.fromkeys(group[0].header)
    return Delivery(files=tuple(files), rejected=tuple(rejected), parts=tuple(parts), columns=tuple(columns))


def _write_part(
    group: list[_Found], first: int, part: Path, spec: EntitySource, connection: duckdb.DuckDBPyConnection
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Write the rows of files of one form to one Parquet file.

    Returns each file's number of rows and first row, and the first fault of each file that has malformed lines; those
    are missing from the part.
    """
    paths = [str(f.readable) for f in group]
    connection.execute("create or replace temp table _names (path varchar, name varchar)")
    connection.execute("insert into _names select unnest(?), unnest(?)", [paths, [f.taken.name for f in group]])
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
    """Part a file's malformed lines from its records, which go to a copy.

    A line that opens a quote which no later line closes well is malformed itself, and the next one is read on its own.
    """
    copy = scratch / "parted" / file.readable.name
    while copy.exists():
        copy = copy.with_name("_" + copy.name)
    copy.parent.mkdir(exist_ok=True)
    malformed: list[tuple[int, str, str]] = []
    number = 0
    with (
        file.readable.open(encoding="utf-8-sig", newline=None) as lines,
        copy.open("w", encoding="utf-8", newline="\n") as out,
    ):
        waiting: list[str] = []
        while line := waiting.pop(0) if waiting else lines.readline():
            if line == "\n":
                continue
            text, fault = line, _fault(line, file, quote)
            ahead: list[str] = []
            while fault == _OPEN and len(ahead) < _LONGEST_VALUE and len(text) <= _LONGEST_LINE:
                following = waiting.pop(0) if waiting else lines.readline()
                if not following:
                    break
                ahead.append(following)
                text += following
                if quote in following:
                    fault = _fault(text, file, quote)
            if fault:
                waiting = ahead + waiting
                malformed.append((number, line.rstrip("\n"), _OPEN if ahead else fault))
            else:
                out.write(text)
            number += 1
    return replace(file, readable=copy, malformed=tuple(malformed))


_OPEN = "a quote that is not closed"


def _fault(text: str, file: _Found, quote: str) -> str:
    """Return what is wrong with the text of one record, or nothing."""
    if len(text.encode()) > _LONGEST_LINE:
        return f"a line of {len(text):,} characters; at most {_LONGEST_LINE:,} bytes can be read"
    wanted = len(file.header)
    if not quote or quote not in text:
        found = text.count(file.delimiter) + 1
    else:
        try:
            records = list(
                csv.reader(io.StringIO(text, newline=""), delimiter=file.delimiter, quotechar=quote, strict=True)
            )
        except csv.Error as error:
            return _OPEN if "end of data" in str(error) else f"the quotes do not fit: {error}"
        if len(records) != 1:
            return "the quotes do not fit"
        found = len(records[0])
    return "" if found == wanted else f"{found} fields where the header has {wanted}"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_list(names: Iterable[str]) -> str:
    """Return names as a comma-separated list of SQL identifiers."""
    return ", ".join(quoted(n) for n in names)
