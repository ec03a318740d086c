"""Source kind `files`: text in columns (also compressed) and Parquet, from a folder, a file, a glob or an fsspec URL.

Files are hashed, checked and grouped by their header here; their rows go through DuckDB. A file that cannot
be used is handed over as rejected with the reason, and costs only itself; a line that does not fit the header
is handed over as malformed, with its text. Only a file with such lines is read in Python, to remove
them: DuckDB skips what follows a quote that is never closed, and keeps 10,000 characters of it.
"""

import contextlib
import functools
import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import duckdb
import pyarrow.parquet as pq
from pydantic import Field, field_validator, model_validator

from lib.base.quoting import quoted, text_literal
from lib.config import EntitySource, Lookup, Source
from lib.sources import json_files, sheets
from lib.sources.delimited import SEPARATOR, Unusable, separated, split_records, text_of, write_utf8
from lib.sources.delivery import Delivery, Extractor, SourceFile, Task, write_malformed
from lib.sources.headers import Header, Wanted, header_of_text
from lib.sources.json import Rows
from lib.sources.listing import Reading, files_at, some, suffix
from lib.sources.nearest import did_you_mean_column


class FileEntity(EntitySource):
    """Which files hold an entity, and how they are written.

    `header` is the number of the line the header stands on, or `none`; `names` go before those of a header. Of lines
    in fixed columns, `widths` says how wide each is, or `fields` the first and last position of each by name. `sheet`
    names one of a workbook, or several by a pattern. In JSON, `records` is the way to the list of records, `rows` the
    way to lists in them whose elements are the rows.
    """

    files: str = "*"
    encoding: str = "auto"
    delimiter: str = "auto"
    quote: str = Field('"', max_length=1)
    mode: Literal["restate", "append"] | None = None
    header: Literal["auto", "none"] | Annotated[int, Field(gt=0)] = "auto"
    names: tuple[str, ...] = ()
    widths: tuple[Annotated[int, Field(gt=0)], ...] = ()
    fields: dict[str, tuple[int, int]] = Field({})
    short_lines: Literal["refuse", "fill"] = "refuse"
    sheet: str = ""
    records: str = ""
    rows: Rows = ()

    table_places: ClassVar[tuple[str, ...]] = ("files",)
    table_options: ClassVar[tuple[str, ...]] = (
        "encoding", "delimiter", "quote", "header", "names", "widths", "fields", "short_lines", "sheet", "records",
        "rows",
    )  # fmt: skip

    @field_validator("header", mode="before")
    @classmethod
    def _none_by_any_name(cls, value: Any) -> Any:
        return "none" if value is None or value is False or value == 0 else value

    @model_validator(mode="after")
    def _one_way(self) -> "FileEntity":
        if self.widths and self.fields:
            raise ValueError("give either 'widths' or 'fields'")
        if (self.widths or self.fields) and self.delimiter != "auto":
            raise ValueError("lines in fixed columns ('widths', 'fields') have no 'delimiter'")
        at = 0
        for name, (first, last) in self.placed.items():
            if first <= at or last < first:
                raise ValueError(
                    f"fields.{name}: expected the first and the last position, counted from 1 and beyond those of the"
                    f" field before it, which ends at {at}; found [{first}, {last}]"
                )
            at = last
        return self

    @property
    def placed(self) -> dict[str, tuple[int, int]]:
        """The fields in the order in which they stand on a line."""
        return dict(sorted(self.fields.items(), key=lambda item: item[1]))

    @property
    def line_form(self) -> str | tuple[tuple[int, int], ...]:
        """How lines that have no delimiter are divided; empty for delimited ones."""
        if self.delimiter == "whitespace":
            return "whitespace"
        if self.widths:
            ends = [sum(self.widths[: n + 1]) for n in range(len(self.widths))]
            starts = [end - width + 1 for end, width in zip(ends, self.widths, strict=True)]
            return tuple(zip(starts, [*ends[:-1], 0], strict=True))
        return tuple(self.placed.values())

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        if value != "auto":
            try:
                "".encode(value)
            except LookupError as error:
                raise ValueError(f"{value!r} is no encoding known to Python, such as utf-8 or cp1252") from error
        return value

    def as_here(self, lookup: Lookup) -> dict[str, Any]:
        shared = {"encoding", "delimiter", "quote", "short_lines"}
        if lookup.options.keys() & {"widths", "fields"}:
            shared.remove("delimiter")
        return self.model_dump(include=shared)

    def restates(self, entity: str, is_numbered: bool) -> bool:
        if self.mode is not None:
            return self.mode == "restate"
        return entity in ("orders", "order_lines") or (entity == "order_items" and not is_numbered)

    @property
    def reader(self) -> dict[str, Any]:
        options = {"encoding": self.encoding, "delimiter": self.delimiter, "quote": self.quote}
        # What was read before there were these options was read without them.
        later = {key: getattr(self, key) for key in ("header", "names", "widths", "fields", "sheet", "records", "rows")}
        later["short_lines"] = self.short_lines.removeprefix("refuse")
        return options | {key: value for key, value in later.items() if value and value != "auto"}


class FilesSource(Source):
    """A folder, a file or a fsspec URL."""

    kind: Literal["files"]
    path: str = Field(min_length=1)
    entities: dict[str, FileEntity] = Field(min_length=1)


MODEL = FilesSource

_TEXT = (".csv", ".tsv", ".txt", ".tab", ".psv", ".dat", ".prn")
_PARQUET = (".parquet", ".pq")
ENDINGS = (*_TEXT, *_PARQUET, *sheets.ENDINGS, *json_files.ENDINGS)


@dataclass(frozen=True)
class _Found:
    """A usable file: where DuckDB reads it, what its columns are, and malformed lines split from it."""

    file: SourceFile
    readable: Path
    header: tuple[str, ...]
    delimiter: str = ""
    quote: str = ""
    has_header: bool = True
    may_be_short: bool = False
    types: str = ""
    malformed: tuple[tuple[int, str, str], ...] | None = None
    footer: tuple[str, ...] = ()
    remark: str = ""

    @property
    def form(self) -> tuple[Any, ...]:
        """Files of one form can be read together."""
        return self.header, self.delimiter, self.has_header, self.types


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
    groups: dict[tuple[Any, ...], list[_Found]] = {}
    reading = _Reading(task)
    listed = files_at(source.path, task.spec.files, ENDINGS, "CSV, Excel, JSON or Parquet")
    objects: list[tuple[SourceFile, Path]] = []
    for number, (file, local) in enumerate(reading.new_files(listed, ENDINGS)):
        if suffix(file.name) in json_files.ENDINGS:
            objects.append((file, local))
            continue
        try:
            found = _examined(file, local, task, number)
            if found.remark:
                reading.remark(file.name, found.remark)
            groups.setdefault(found.form, []).append(found)
        except Unusable as why:
            reading.reject(file, str(why))
    task.progress(f"{task.entity}: reading {sum(map(len, groups.values())):,} new files")
    for group in groups.values():
        reading.add(group)
    json_files.JsonReading(reading).read(objects)
    return reading.delivery(source.path)


def _examined(file: SourceFile, local: Path, task: Task, number: int) -> _Found:
    """Check one file as far as possible without reading its rows; raise Unusable with the reason."""
    entity, spec = task.entity, task.spec
    if file.bytes == 0:
        raise Unusable("the file is empty; expected a header line and rows")
    if suffix(file.name) in _PARQUET:
        try:
            footer = pq.read_metadata(local)
            schema = footer.schema.to_arrow_schema()
        except (OSError, ValueError) as error:
            raise Unusable(f"is no readable Parquet file: {error}") from None
        _require_columns(schema.names, entity, spec)
        file = replace(file, reported_rows=footer.num_rows)
        return _Found(file, local, tuple(schema.names), types=str(schema.types))
    if sheets.is_workbook(local):
        return _of_workbook(file, local, task, number)
    if suffix(file.name) in sheets.ENDINGS and sheets.is_markup(local):
        raise Unusable("is a web page under a workbook's name; open it in a spreadsheet program and save it as .xlsx")
    text, encoding, clean = text_of(local, spec.encoding)
    form = separated(spec.line_form) if spec.line_form else None
    delimiter, quote = spec.delimiter, spec.quote
    if form:
        text, delimiter = form(text), SEPARATOR
        quote = quote if spec.delimiter == "whitespace" else ""
    header = header_of_text(text, _wanted(task), delimiter, quote)
    _require_columns(header.names, entity, spec, f" on line {header.line}" if header.line else "")
    readable = local
    if header.skip or form or not clean:
        readable = task.scratch / f"utf8-{number}.csv"
        write_utf8(local, readable, encoding, header.skip, form)
    return _Found(
        replace(file, encoding=encoding),
        readable,
        header.names,
        header.delimiter,
        quote,
        bool(header.line),
        spec.short_lines == "fill",
        remark=_before(header),
    )


def _before(header: Header) -> str:
    """Return what is to be said of lines before the records, if there are any."""
    if not header.before:
        return ""
    where = f"the header is on line {header.line}" if header.line else f"the records begin on line {header.skip + 1}"
    return f"{where}; what stands before it is not read: {_quoted(header.before)}"


def _quoted(lines: Sequence[str]) -> str:
    return some([repr(line[:60]) for line in lines], 2)


def _of_workbook(file: SourceFile, local: Path, task: Task, number: int) -> _Found:
    readable = task.scratch / f"sheet-{number}.parquet"
    header, about = sheets.sheet_to_parquet(local, readable, task.spec.sheet, _wanted(task))
    schema = pq.read_schema(readable)
    _require_columns(schema.names, task.entity, task.spec, f" on line {header.line}" if header.line else "")
    remark = "; ".join(filter(None, [about, _before(header)]))
    return _Found(file, readable, tuple(schema.names), types=str(schema.types), remark=remark)


def _wanted(task: Task) -> Wanted:
    spec: FileEntity = task.spec
    columns = frozenset(name for use in spec.uses(task.entity) for name in use.names)
    line = spec.header if isinstance(spec.header, int) else 0 if spec.header == "auto" else None
    return Wanted(columns, line, tuple(spec.placed) or spec.names)


def _require_columns(names: Sequence[str], entity: str, spec: FileEntity, where: str = "") -> None:
    reserved = [h for h in names if h.lower() in ("_file", "_row", "_path")]
    if reserved:
        raise Unusable(f"has a column {reserved[0]!r}, a name the lake uses itself; rename it")
    missing = spec.missing(entity, names)
    if missing:
        expected = [name for use in spec.uses(entity) for name in use.names]
        hint = did_you_mean_column(missing[0].names[0], names, missing[0].ours, expected)
        others = f" (nor {some([str(m) for m in missing[1:]])})" if missing[1:] else ""
        advice = ""
        if where and not any(name in names for name in expected):
            advice = " No line shows any mapped column: where the header is another line, set 'header' to its number."
        raise Unusable(
            f"has no column {missing[0]} (mapped for {entity}){others}; found{where} {some(names, 20)}.{hint}{advice}"
        )


class _Reading(Reading):
    def add(self, group: list[_Found]) -> None:
        """Write the rows of files of one form as a part, file by file where they cannot be read together."""
        part = self.next_part()
        try:
            counts, damaged = _write_part(group, self.rows, part, self.task.connection)
        except duckdb.Error as error:
            if len(group) == 1:
                self.reject(group[0].file, f"cannot be parsed: {' '.join(str(error).split())[:300]}")
            else:
                for file in group:
                    self.add([file])
            return
        if damaged:
            again = []
            for file in group:
                if file.file.name not in damaged:
                    again.append(file)
                elif file.malformed is None:
                    again.append(_without_malformed(file, self.task.scratch))
                else:
                    self.reject(file.file, f"cannot be parsed: {damaged[file.file.name]}")
            if again:
                self.add(again)
            return
        self.parts.append(part)
        lines = [(file.file.name, *line) for file in group for line in file.malformed or ()]
        if lines:
            self.parts.append(write_malformed(lines, self.task.scratch, len(self.parts)))
        for file in group:
            name = file.file.name
            rows, first = counts.get(name, (0, 0))
            n_malformed = len(file.malformed or ())
            self.files[name] = replace(file.file, rows=rows, first_row=first, malformed=n_malformed)
            self.rows += rows
            short = [line for line in file.malformed or () if _is_short(line[2])]
            if len(short) > 1:
                advice = "where their empty end was left out, set 'short_lines: fill' of this entity"
                self.remark(name, f"{len(short):,} lines have fewer fields than the header; {advice}")
            if file.footer:
                self.remark(name, f"{len(file.footer)} lines below the records are a footer: {_quoted(file.footer)}")
        self.columns |= dict.fromkeys(group[0].header)


def _is_short(fault: str) -> bool:
    """Return whether the fault of a line is that it has fewer fields than the header."""
    found = re.fullmatch(r"(\d+) fields where the header has (\d+)", fault)
    return bool(found and int(found[1]) < int(found[2]))


def _write_part(
    group: list[_Found], first: int, part: Path, connection: duckdb.DuckDBPyConnection
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
    filled = ""
    delimiter = group[0].delimiter
    if delimiter:
        # Bound parameters cannot stand for a struct of column types, so the names are written out, quoted.
        types = ", ".join(f"{text_literal(c)}: 'VARCHAR'" for c in group[0].header)
        reader = (
            f"read_csv(?, columns = {{{types}}}, header = {group[0].has_header}, auto_detect = false,"
            f" null_padding = {group[0].may_be_short}, parallel = {not group[0].may_be_short},"
            " delim = ?, quote = ?, escape = ?, store_rejects = true, rejects_limit = 0, filename = '_path')"
        )
        arguments += [delimiter, group[0].quote, group[0].quote]
        connection.execute("drop table if exists reject_errors; drop table if exists reject_scans")
        # A line of nothing but separators is as blank as one without.
        filled = f" where coalesce({columns}) is not null"
    else:
        reader = "read_parquet(?, filename = '_path')"
    connection.execute(
        f"""copy (
            select {columns}, n.name as _file, r._row
            from (select *, row_number() over () - 1 + {first} as _row from {reader} r{filled}) r
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


def _without_malformed(file: _Found, scratch: Path) -> _Found:
    """Return the file as read from a copy without its malformed lines and its footer."""
    first = 0 if file.has_header else 1
    width = len(file.header)
    records = split_records(file.readable, width, file.delimiter, file.quote, scratch, first, file.may_be_short)
    return replace(file, readable=records.path, malformed=records.malformed, footer=records.footer)
