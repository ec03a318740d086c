"""The files and tables that lie at a place, each with its form, its columns and a sample of their values.

A file's header is looked for by the names of columns that are known, then by the shape of the lines; its rows are read
by the same readers that a run uses.
"""

import contextlib
import csv
import fnmatch
import glob
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import sqlalchemy as sa

from lib.base.errors import ConfigError, SourceError
from lib.base.quoting import quoted
from lib.entities import ENTITIES
from lib.inspect.layouts import plain, recognize
from lib.inspect.values import Values, bare
from lib.inspect.words import roles_of, words_known
from lib.sources import archives, files, sheets
from lib.sources.delimited import COMPRESSED, Unusable, text_of
from lib.sources.delivery import State, Task
from lib.sources.listing import suffix
from lib.sources.tables import open_database

_DELIMITERS, _BLANKS = (",", ";", "\t", "|"), "whitespace"
_TEXT = (".csv", ".tsv", ".txt")
_JSON = (".json", ".jsonl", ".ndjson")
_DATABASES = (".db", ".sqlite", ".sqlite3")
#: Lines of a text in which its header is looked for, and rows of which columns are judged.
_HEADER_LINES, SAMPLE = 40, 5_000
#: A text file of more bytes is judged by its beginning.
LARGE = 16 << 20


@dataclass(frozen=True)
class Document:
    """One file or table: where it is, how it is written, and what its columns look like in a sample of its rows.

    `problem` says why nothing of it can be read. `rows` counts all rows, but for a large file (`is_part`).
    """

    name: str
    kind: str
    place: str
    form: str = ""
    encoding: str = ""
    delimiter: str = ""
    header_line: int = 1
    columns: tuple[Values, ...] = ()
    rows: int = 0
    is_part: bool = False
    problem: str = ""
    keys: tuple[str, ...] = ()
    sheet: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def folder(self) -> str:
        """Where a file lies, or the archive that it is in."""
        return str(Path(re.sub(r"(?i)\.zip/.*", ".zip", self.place)).parent)

    @property
    def stem(self) -> str:
        return re.sub(r"\.(gz|bz2|xz)$", "", self.name.rsplit("/", 1)[-1].lower()).rsplit(".", 1)[0]


def documents(paths: list[str], scratch: Path, progress: Callable[[str], None] = lambda _: None) -> list[Document]:
    """Return what lies at some paths and URLs, files of folders too.

    Raises ConfigError where a path is not there.
    """
    found: list[Document] = []
    for path in paths:
        if url := _url(path):
            found += _tables(url, "", scratch, _shown_as(path, url))
            continue
        place = Path(path).expanduser()
        if not place.exists():
            raise ConfigError(f"No file or folder {path!r} (looked in {Path.cwd()}).")
        inside = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        for file in inside:
            if file.name.startswith((".", "_")):
                continue
            progress(file.name)
            if file.suffix.lower() in _DATABASES:
                found += _tables("", str(file.resolve()), scratch, str(file.resolve()))
            else:
                found += _file(file.resolve(), scratch)
    return found


#: The variable that a sources file names instead of an address with a password in it.
URL_VARIABLE = "SHOP_DATABASE_URL"


def _url(path: str) -> str:
    """Return the address of a database, taken from the environment where `${NAME}` is given; empty for a path."""
    if named := re.fullmatch(r"\$\{(\w+)\}", path):
        value = os.environ.get(named[1])
        if not value:
            raise ConfigError(f"The environment variable {named[1]} is not set. Set it: {named[1]}=postgresql://...")
        return value
    return path if "://" in path else ""


def _shown_as(path: str, url: str) -> str:
    """Return how a sources file names a database: never with a password in it."""
    if path != url or not re.search(r"://[^/@]*:[^/@]*@|[?&]password=", url):
        return path
    os.environ[URL_VARIABLE] = url
    return f"${{{URL_VARIABLE}}}"


def _file(path: Path, scratch: Path, shown: str = "") -> list[Document]:
    """Return what a file holds: one table, or one for each sheet of a workbook and each file of an archive.

    `shown` is its place where it was taken from an archive.
    """
    ending = suffix(path.name)
    place = shown or str(path)
    document = Document(Path(place).name, "files", place, ending.removeprefix("."))
    folder = Path(tempfile.mkdtemp(prefix="look-", dir=scratch))
    try:
        if ending in _TEXT:
            return [_text(document, path, folder)]
        if ending in _JSON:
            return [_json(document, path, folder)]
        if ending in sheets.ENDINGS:
            return _workbook(document, path, folder)
        if ending in (".parquet", ".pq"):
            return [_with_rows(document, path, pq.read_schema(path).names, {}, folder)]
        if ending == ".zip" and not shown:
            inside = [(m.filename, archives.unpacked(path, m, folder)) for m in archives.members(path, "*")]
            return [found for name, file in inside for found in _file(file, scratch, f"{path}/{name}")]
    except (Unusable, SourceError, OSError, ValueError) as error:
        return [replace(document, problem=_short(error))]
    return [replace(document, problem=f"{ending or 'a file without an ending'} is no form that is read")]


def _short(error: Exception) -> str:
    """Return what a reader said of one file, without the frame it puts around several."""
    lines = str(error).split("\n")
    inner = [line.split(": ", 1)[1] for line in lines if line.startswith("  ") and ": " in line]
    return (inner or lines)[0].rstrip(".")


# Text


def _text(document: Document, path: Path, folder: Path) -> Document:
    text, encoding, _ = text_of(path, "auto")
    is_part = path.stat().st_size > LARGE and path.suffix.lower() not in COMPRESSED
    if is_part:
        start = beginning(path)
        path = folder / path.name
        path.write_bytes(start)
    header = _find_header(text)
    if header is None:
        raise Unusable("has no line that could be a header, with a name for each column")
    delimiter, line, names = header
    document = replace(document, encoding=encoding, delimiter=delimiter, header_line=line, is_part=is_part)
    options: dict[str, Any] = {"delimiter": delimiter, "encoding": encoding}
    if '"' in text and _breaks_quotes(text, delimiter):
        options["quote"] = ""
    if line > 1 and "header" in files.FileEntity.model_fields:
        options["header"] = line
    return _with_rows(document, path, names, options, folder)


def beginning(path: Path) -> bytes:
    """Return the first lines of a large file."""
    with path.open("rb") as file:
        start = file.read(LARGE)
    return start[: start.rfind(b"\n") + 1] if b"\n" in start else start


def _find_header(text: str) -> tuple[str, int, list[str]] | None:
    """Return the delimiter, the line of the header (from 1) and its names, None where there is none."""
    best: tuple[float, str, int, list[str]] | None = None
    for delimiter in (*_DELIMITERS, _BLANKS):
        records = list(_records(text, delimiter) if delimiter != _BLANKS else _of_blanks(text))
        widths = [len(cells) for _, cells in records]
        for at, (line, cells) in enumerate(records[:_HEADER_LINES]):
            score = _header_score(cells, widths[at + 1 : at + 20])
            if score > 0 and (best is None or score > best[0]):
                best = score, delimiter, line, [cell.strip() for cell in cells]
    return None if best is None else best[1:]


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first records of a text, each with the number of the line on which it begins."""
    before = 0
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for _ in range(_HEADER_LINES + 20):
        try:
            cells = next(lines)
        except (StopIteration, csv.Error):
            return
        begins, before = before + 1, lines.line_num
        if any(cell.strip() for cell in cells):
            yield begins, cells


def _of_blanks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first lines of a text whose cells are separated by blanks."""
    for number, line in enumerate(text.splitlines()[:_HEADER_LINES], 1):
        cells = line.split()
        # A sentence before the table has blanks too.
        if cells and not re.search(r"[,;\t|]", line):
            yield number, cells


def _header_score(cells: list[str], below: list[int]) -> float:
    """Return how much a record looks like a header; 0 where it cannot be one."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    given = [name for name in names if name]
    if len(names) < 2 or len(given) < 0.6 * len(names) or len(set(map(plain, given))) < 0.7 * len(given):
        return 0.0
    values = sum(re.fullmatch(r"[-+]?[\d.,:/\s-]+%?", bare(name)) is not None for name in given)
    if values > 0.2 * len(given):
        return 0.0
    score = 0.2 * min(len(given), 20)
    if recognize(given) is not None:
        score += 100
    score += 3 * words_known(given)
    fitting = sum(width == len(cells) for width in below)
    return score + (4 * fitting / len(below) if below else 0.5)


def _breaks_quotes(text: str, delimiter: str) -> bool:
    """Return whether quotes stand in the text as signs of their own, such as those of inches."""
    if delimiter != "\t":
        return False
    cells = [cell for line in text.splitlines()[:200] for cell in line.split(delimiter)]
    return any(
        cell.startswith('"') != cell.rstrip("\r").endswith('"') or '"' in cell[1:-1].replace('""', "") for cell in cells
    )


# Workbooks


def _workbook(document: Document, path: Path, folder: Path) -> list[Document]:
    """Return the tables of a workbook: sheets with the same columns are one."""
    tables: dict[tuple[str, ...], list[str]] = {}
    lines: dict[tuple[str, ...], int] = {}
    found = sheets.first_rows(path)
    for sheet, rows in found.items():
        widths = [len(row) for row in rows]
        scored = [(_header_score(list(row), widths[at + 1 : at + 20]), -at) for at, row in enumerate(rows)]
        score, at = max(scored, default=(0.0, 0))
        if score > 0:
            names = tuple(cell.strip() for cell in rows[-at])
            tables.setdefault(names, []).append(sheet)
            lines[names] = 1 - at
    if not tables:
        raise Unusable("has no sheet with a line that could be a header, with a name for each column")
    several = []
    for number, (names, own) in enumerate(tables.items()):
        (inner := folder / str(number)).mkdir()
        pattern = _sheets(own, list(found))
        options = {"sheet": pattern} if len(found) > 1 else {}
        table = replace(document, sheet=pattern if len(found) > 1 else "", header_line=lines[names])
        try:
            several.append(_with_rows(table, path, list(names), options, inner))
        except (Unusable, SourceError) as error:
            several.append(replace(table, problem=_short(error)))
    return several


def _sheets(own: list[str], every: list[str]) -> str:
    """Return the name of a sheet, or the pattern of the names of several; the first alone where there is none."""
    start = os.path.commonprefix(own)  # noqa: RUF071
    pattern = own[0] if len(own) == 1 else f"{start}*"
    return pattern if [s for s in every if fnmatch.fnmatchcase(s, pattern)] == own else own[0]


# Rows, by the readers of a run


def _with_rows(document: Document, path: Path, names: list[str], options: dict[str, Any], folder: Path) -> Document:
    named = [name for name in names if name][: len(_PLACES)]
    columns: dict[str, Any] = dict(zip(_PLACES, named, strict=False)) or {"customer_id": {"constant": "x"}}
    entity = {"files": glob.escape(path.name), "columns": columns, **options}
    source = files.FilesSource.model_validate(
        {"kind": "files", "path": str(path.parent), "entities": {"customers": entity}}
    )
    with duckdb.connect() as connection:
        task = Task("customers", source.entities["customers"], State(), folder, connection)
        delivery = files.extract(source, task)
        parts = [str(part) for part in delivery.parts if part.name.startswith("part-")]
        return _sampled(document, connection, parts)


_PLACES = ("customer_id", "first_name", "last_name", "email", "phone", "country", "region", "city", "postal_code")


# JSON


def _json(document: Document, path: Path, folder: Path) -> Document:
    """Return a document of objects: events, or records of which a list within may hold the rows."""
    reading: dict[str, Any] = {}
    found = _objects(document, path, reading, folder)
    lists = _lists(found)
    if found.rows == 1 and len(lists) == 1 and len(found.columns) <= 4:
        reading["records"] = next(iter(lists))
        found = _objects(document, path, reading, folder)
        lists = _lists(found)
    lines = [name for name, keys in lists.items() if words_known(keys) >= 2 and _LINE_WORDS & set(map(plain, keys))]
    is_event = recognize(found.names, "events") or {"event_type", "event_at"} <= {
        role for name in found.names for role, sure in roles_of(name).items() if sure >= 0.9
    }
    if lines and not is_event:
        reading["rows"] = lines[0]
        found = _objects(document, path, reading, folder)
    return replace(found, kind="events" if is_event else "files", reading=reading)


#: What an object in a list is called that is an order's line.
_LINE_WORDS = frozenset(("quantity", "qty", "price", "sku", "unit_price", "amount", "total", "menge", "count"))


def _objects(document: Document, path: Path, reading: dict[str, Any], folder: Path) -> Document:
    inner = Path(tempfile.mkdtemp(dir=folder))
    found = _with_rows(document, path, [], reading, inner)
    # The reader adds the columns of the entity that no object has.
    own = {*_PLACES, *ENTITIES["customers"].names}
    return replace(found, columns=tuple(c for c in found.columns if c.given or c.name not in own))


def _lists(document: Document) -> dict[str, list[str]]:
    """Return the columns that hold lists of objects, each with the names in its first object."""
    found = {}
    for column in document.columns:
        text = next((text for text in column.given if text.startswith("[{")), "")
        with contextlib.suppress(ValueError):
            values = json.loads(text) if text else []
            if values and isinstance(values[0], dict) and set(values[0]) != {"key", "value"}:
                found[column.name] = list(values[0])
    return found


def _sampled(document: Document, connection: duckdb.DuckDBPyConnection, parts: list[str]) -> Document:
    """Return a document with the columns of its raw rows, of which every so many are looked at."""
    if not parts:
        return replace(document, problem="holds no rows")
    rows = connection.read_parquet(parts, union_by_name=True)
    names = [name for name in rows.columns if name not in ("_file", "_row", "_line", "_path", "_sheet")]
    (count,) = connection.execute("select count(*) from rows").fetchone() or (0,)
    every = max(1, count // SAMPLE)
    texts = ", ".join(f"cast({quoted(name)} as varchar) as {quoted(name)}" for name in names)
    sample = connection.execute(
        f"select {texts} from rows where _row % {every} = 0 order by _row limit 8000"
    ).fetchall()
    columns = (
        tuple(Values(name, tuple(values)) for name, values in zip(names, zip(*sample, strict=True), strict=True))
        if sample
        else tuple(Values(name, ()) for name in names)
    )
    return replace(document, columns=columns, rows=count)


# Databases


def _tables(url: str, path: str, scratch: Path, place: str) -> list[Document]:
    found = []
    with open_database(url, path) as database, duckdb.connect() as connection:
        inspector = sa.inspect(database.connection)
        for number, name in enumerate([*inspector.get_table_names(), *inspector.get_view_names()]):
            document = Document(name, "database", place, "table")
            try:
                with database.explained(f"table {name}"):
                    described = inspector.get_columns(name)
                    table = sa.table(name, *(sa.column(c["name"], c["type"]) for c in described))
                    key = tuple(inspector.get_pk_constraint(name).get("constrained_columns") or ())
                    target = scratch / f"table-{len(list(scratch.iterdir()))}-{number}.parquet"
                    query = sa.select(*table.columns).limit(SAMPLE)
                    database.read(query, name, target, connection)
                    count = database.value(sa.select(sa.func.count()).select_from(table))
                document = replace(_sampled(document, connection, [str(target)]), rows=int(count), keys=key)
            except SourceError as error:
                document = replace(document, problem=_short(error))
            found.append(document)
    return found
