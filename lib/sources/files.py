"""Source kind `files`: CSV (also compressed) and Parquet, from a folder, a file, a glob or an fsspec URL.

Files are hashed, checked and grouped by their header here; their rows go through DuckDB, never through
Python. A file that cannot be used is handed over as rejected with the reason, and costs only itself; a
line that does not fit the header is handed over as malformed, with its text.
"""

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import lzma
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import fsspec
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


@dataclass(frozen=True)
class _Found:
    """A usable file: where DuckDB reads it, and what its header says."""

    taken: TakenFile
    readable: Path
    header: tuple[str, ...]
    delimiter: str


class _Unusable(Exception):
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
    are in `malformed-*.parquet` as `_file`, `_line` (1 for the first record), `_text`, `_error`.

    Raises SourceError where the place does not exist, holds no such files, or none was ever usable.
    """
    found: list[_Found] = []
    rejected: list[RejectedFile] = []
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
            continue
        file = TakenFile(name=name, sha256=digest, bytes=local.stat().st_size)
        try:
            found.append(_examined(file, local, entity, spec, scratch, number))
        except _Unusable as why:
            rejected.append(RejectedFile(name, digest, file.bytes, str(why), str(local)))
    progress(f"{entity}: reading {len(found):,} new files")
    if rejected and not found and not taken:
        reasons = "\n".join(f"  {r.name}: {r.reason}" for r in rejected[:3])
        more = f"\n  ... and {len(rejected) - 3} more" if len(rejected) > 3 else ""
        raise SourceError(
            f"None of the {len(rejected)} files for {entity} in {mask(source.path)} can be used:\n{reasons}{more}\n"
            "Correct the files, or the mapping of this source."
        )
    return _read(found, rejected, spec, scratch, connection)


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
            paths = fs.find(wanted) if fs.isdir(wanted) else [p for p in fs.glob(wanted) if fs.isfile(p)]
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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _examined(file: TakenFile, local: Path, entity: str, spec: EntitySource, scratch: Path, number: int) -> _Found:
    """Check one file as far as possible without reading its rows; raise _Unusable with the reason."""
    if file.bytes == 0:
        raise _Unusable("the file is empty; expected a header line and rows")
    if _suffix(file.name) in _PARQUET:
        try:
            header = tuple(pq.read_schema(local).names)
        except (OSError, ValueError) as error:
            raise _Unusable(f"is no readable Parquet file: {error}") from None
        _require_columns(header, entity, spec)
        return _Found(file, local, header, "")
    text, encoding, clean = _text_of(local, spec.encoding)
    delimiter, header = _header(text, entity, spec)
    _require_columns(header, entity, spec)
    if not clean or any(c in str(local) for c in "*?["):
        copy = scratch / f"utf8-{number}.csv"
        _write_utf8(local, copy, encoding)
        local = copy
    return _Found(replace(file, encoding=encoding), local, header, delimiter)


def _open_bytes(path: Path) -> BinaryIO:
    opened: BinaryIO = _COMPRESSED.get(path.suffix.lower(), open)(path, "rb")
    return opened


def _text_of(path: Path, wanted: str) -> tuple[str, str, bool]:
    """Return the first characters, the encoding, and whether DuckDB can read the file where it is."""
    try:
        with _open_bytes(path) as file:
            start = file.read(_HEADER)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _Unusable(f"cannot be read: {error}") from None
    if wanted != "auto":
        candidates = [wanted]
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ["utf-16"]
    else:
        candidates = ["utf-8-sig", "cp1252"]
    problems = []
    for encoding in candidates:
        try:
            head, newlines_agree = _decodes(path, encoding)
        except UnicodeDecodeError as error:
            byte = error.object[error.start : error.start + 1].hex()
            problems.append(f"byte 0x{byte} is no {encoding.removesuffix('-sig')}")
            continue
        except UnicodeError as error:
            problems.append(str(error))
            continue
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise _Unusable(f"cannot be read to its end: {error}") from None
        in_place = encoding in ("utf-8-sig", "utf-8") and path.suffix.lower() not in _COMPRESSED and newlines_agree
        if not head.strip():
            raise _Unusable("the file is empty; expected a header line and rows")
        return head, encoding.removesuffix("-sig"), in_place
    hint = " Set 'encoding' of this source, for example to cp1252." if wanted != "auto" else ""
    raise _Unusable(f"wrong encoding: {'; '.join(problems)}.{hint}")


def _decodes(path: Path, encoding: str) -> tuple[str, bool]:
    """Decode the whole file in pieces; return its start and whether all its line ends are of one kind."""
    decoder = codecs.getincrementaldecoder(encoding)()
    head, crlf, lf = "", 0, 0
    last = ""
    with _open_bytes(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            text = decoder.decode(chunk, final=not chunk)
            if len(head) < _HEADER:
                head += text[: _HEADER - len(head)]
            crlf += text.count("\r\n") + (last == "\r" and text[:1] == "\n")
            lf += text.count("\n")
            last = text[-1:] or last
            if not chunk:
                return head, crlf in (0, lf)


def _write_utf8(path: Path, target: Path, encoding: str) -> None:
    """Write the file's text as UTF-8 with `\\n` line ends."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with _open_bytes(path) as file, target.open("w", encoding="utf-8", newline="\n") as out:
        shutil.copyfileobj(io.TextIOWrapper(file, encoding=encoding, newline=None), out, _CHUNK)


def _header(text: str, entity: str, spec: EntitySource) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter and the column names, each of them unique whatever its case."""
    expected = {c for c in _mapped(spec)} or set(ENTITIES[entity].names)

    def parsed(delimiter: str) -> list[str]:
        quoting = csv.QUOTE_MINIMAL if spec.quote else csv.QUOTE_NONE
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
        except csv.Error as error:
            raise _Unusable(f"the header cannot be read: {error}") from None

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
    reserved = [h for h in header if h.lower() in ("_file", "_row")]
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
    groups: dict[tuple[tuple[str, ...], str], list[_Found]] = {}
    for file in found:
        groups.setdefault((file.header, file.delimiter), []).append(file)
    todo = list(groups.values())
    parts: list[Path] = []
    counts: dict[str, dict[str, int]] = {}
    first = 0
    while todo:
        group = todo.pop(0)
        part = scratch / f"part-{len(parts):04d}.parquet"
        malformed = scratch / f"malformed-{len(parts):04d}.parquet"
        try:
            rows = _write_part(group, first, part, malformed, spec, connection, counts)
        except duckdb.Error as error:
            if len(group) > 1:
                todo[:0] = [[file] for file in group]
                continue
            file = group[0]
            reason = f"cannot be parsed: {' '.join(str(error).split())[:300]}"
            rejected.append(
                RejectedFile(file.taken.name, file.taken.sha256, file.taken.bytes, reason, str(file.readable))
            )
            continue
        first += rows
        parts += [p for p in (part, malformed) if p.exists()]
    files = tuple(
        replace(f.taken, **counts.get(f.taken.name, {}))
        for f in found
        if f.taken.name not in {r.name for r in rejected}
    )
    columns = tuple(dict.fromkeys(c for f in found for c in f.header))
    return Delivery(files=files, rejected=tuple(rejected), parts=tuple(parts), columns=columns)


def _write_part(
    group: list[_Found],
    first: int,
    part: Path,
    malformed: Path,
    spec: EntitySource,
    connection: duckdb.DuckDBPyConnection,
    counts: dict[str, dict[str, int]],
) -> int:
    """Write the rows of files with one header to one Parquet file; return how many and note each file's."""
    paths = [str(f.readable) for f in group]
    connection.execute("create or replace temp table _names (path varchar, name varchar)")
    connection.executemany(
        "insert into _names values (?, ?)", [[p, f.taken.name] for p, f in zip(paths, group, strict=True)]
    )
    columns = ", ".join(f"r.{quoted(c)}" for c in group[0].header)
    if group[0].delimiter:
        reader = "read_csv(?, columns = ?, header = true, auto_detect = false, delim = ?, quote = ?, escape = ?, store_rejects = true, rejects_limit = 0, filename = '_path')"
        arguments: list[Any] = [
            paths,
            dict.fromkeys(group[0].header, "VARCHAR"),
            group[0].delimiter,
            spec.quote,
            spec.quote,
        ]
        # Bound parameters cannot stand for a struct of column types, so the names are written out, quoted.
        types = ", ".join(f"{text_literal(c)}: 'VARCHAR'" for c in group[0].header)
        reader = reader.replace("columns = ?", f"columns = {{{types}}}")
        arguments.pop(1)
        connection.execute("drop table if exists reject_errors; drop table if exists reject_scans")
    else:
        reader, arguments = "read_parquet(?, filename = '_path')", [paths]
    connection.execute(
        f"""copy (
            select {columns}, n.name as _file, r._row
            from (select *, row_number() over () - 1 + {first} as _row from {reader}) r
            join _names n on n.path = r._path
        ) to {text_literal(str(part))} (format parquet, compression zstd)""",
        arguments,
    )
    per_file = connection.execute(
        "select _file, count(*), min(_row) from read_parquet(?) group by _file", [str(part)]
    ).fetchall()
    for name, rows, start in per_file:
        counts.setdefault(name, {}).update(rows=rows, first_row=start)
    if group[0].delimiter and _reject_tables(connection):
        connection.execute(
            f"""copy (
                select n.name as _file, e.line - 1 as _line, any_value(e.csv_line) as _text,
                    string_agg(distinct e.error_message, '; ' order by e.error_message) as _error
                from reject_errors e
                join reject_scans s on s.scan_id = e.scan_id and s.file_id = e.file_id
                join _names n on n.path = s.file_path
                group by all
            ) to {text_literal(str(malformed))} (format parquet)"""
        )
        for name, lines in connection.execute(
            "select _file, count(*) from read_parquet(?) group by _file", [str(malformed)]
        ).fetchall():
            counts.setdefault(name, {})["malformed"] = lines
    return sum(rows for _, rows, _ in per_file)


def _reject_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the last read left lines it could not parse."""
    try:
        row = connection.execute("select count(*) from reject_errors").fetchone()
    except duckdb.CatalogException:
        return False
    return bool(row and row[0])


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_list(names: Iterable[str]) -> str:
    """Return names as a comma-separated list of SQL identifiers."""
    return ", ".join(quoted(n) for n in names)
