"""Workbooks: the sheets of a spreadsheet file as text in Parquet, so that their rows go the way of all files.

Cells become texts that lose nothing: whole numbers without a decimal point, fifteen digits of others (as spreadsheets
hold and show them), dates and times in ISO form, a date alone where there is no time of day. An error such as `#N/A` is
no value. A workbook is read at once by calamine, which is fast, and row by row by openpyxl where it is so large that it
would take more memory than a row at a time should.
"""

import contextlib
import datetime
import fnmatch
import functools
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.base.errors import did_you_mean
from lib.sources.delimited import Unusable
from lib.sources.headers import LINES, SAMPLE, Header, Wanted, header_of_rows, shown
from lib.sources.listing import some

ENDINGS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
#: Sheets of more XML than this are read row by row: calamine takes about twice as much memory.
LARGE_BYTES = 256 << 20
_AT_A_TIME = 20_000
_ERRORS = {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#GETTING_DATA"}


@dataclass(frozen=True)
class _Sheet:
    """A sheet with its first rows, and what gives all of them."""

    name: str
    first: tuple[tuple[str, ...], ...]
    rows: Callable[[], Iterable[Sequence[Any]]]


def sheet_to_parquet(path: Path, target: Path, wanted_sheet: str, wanted: Wanted) -> tuple[Header, str]:
    """Write a workbook's rows as Parquet, all columns text; return its header, and what is to be said of its sheets.

    The sheet is the one of a name, or those that a pattern names, or else the first that shows the most mapped columns.
    Raises Unusable where the file is no workbook or has no such sheet.
    """
    with _opened(path) as sheets:
        chosen = _chosen(sheets, wanted_sheet, wanted)
        headers = [header_of_rows(sheet.first, wanted) for sheet in chosen]
        names = tuple(dict.fromkeys(name for header in headers for name in header.names))
        schema = pa.schema([(name, pa.string()) for name in names])
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for sheet, header in zip(chosen, headers, strict=True):
                rows = iter(sheet.rows())
                next(islice(rows, header.skip + bool(header.line), header.skip + bool(header.line)), None)
                while block := list(islice(rows, _AT_A_TIME)):
                    writer.write_table(_table(block, header.names, schema))
        return headers[0], _about(sheets, chosen, wanted)


def first_rows(path: Path) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return the first rows of each of a workbook's sheets, as texts; raise Unusable where the file is no workbook."""
    with _opened(path) as sheets:
        return {sheet.name: sheet.first for sheet in sheets}


def is_workbook(path: Path) -> bool:
    """Return whether a file is a workbook by its first bytes: what shops name `.xls` is often text."""
    with path.open("rb") as file:
        return file.read(8).startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))


def is_markup(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(200).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _chosen(sheets: list[_Sheet], wanted_sheet: str, wanted: Wanted) -> list[_Sheet]:
    listed = some([repr(sheet.name) for sheet in sheets], 20)
    scores = [_score(sheet, wanted) for sheet in sheets]
    if wanted_sheet:
        named = [sheet for sheet in sheets if fnmatch.fnmatchcase(sheet.name.casefold(), wanted_sheet.casefold())]
        if not named:
            hint = did_you_mean(wanted_sheet, [sheet.name for sheet in sheets])
            raise Unusable(f"has no sheet {wanted_sheet!r}; its sheets are {listed}.{hint} Correct 'sheet'.")
        best = max(_score(sheet, wanted) for sheet in named)
        # Of those that a pattern names, a sheet of notes is none.
        return [sheet for sheet in named if _score(sheet, wanted) == best and sheet.first] or named[:1]
    filled = [(sheet, score) for sheet, score in zip(sheets, scores, strict=True) if sheet.first]
    if not filled:
        raise Unusable(f"has no sheet with a row in it; its sheets are {listed}")
    return [max(filled, key=lambda found: found[1])[0]]


def _score(sheet: _Sheet, wanted: Wanted) -> int:
    return max((shown(row, wanted) for row in sheet.first), default=0)


def _about(sheets: list[_Sheet], chosen: list[_Sheet], wanted: Wanted) -> str:
    others = [sheet for sheet in sheets if sheet not in chosen and sheet.first]
    if not others:
        return ""
    read = f"of its sheets {some([repr(sheet.name) for sheet in chosen])} is read"
    alike = [sheet for sheet in others if _score(sheet, wanted) == _score(chosen[0], wanted) > 0]
    if alike:
        names = some([repr(sheet.name) for sheet in alike])
        return f"{read}, and not {names} of the same columns: set 'sheet' to a pattern such as '*' to read them all"
    return f"{read}, and not {some([repr(sheet.name) for sheet in others])}"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[list[_Sheet]]:
    """Yield a workbook's sheets while it is open."""
    if path.suffix.lower() in (".xlsx", ".xlsm") and _size(path) > LARGE_BYTES:
        import openpyxl  # is slow to load, and seldom needed

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
            except Exception as error:
                raise Unusable(f"is no readable workbook: {' '.join(str(error).split())[:200]}") from None
            try:
                sheets = []
                for sheet in workbook.worksheets:
                    # What a sheet says of its size is often wrong.
                    sheet.reset_dimensions()
                    sheets.append(_sheet(sheet.title, functools.partial(sheet.iter_rows, values_only=True)))
                yield sheets
            finally:
                workbook.close()
        return
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        with CalamineWorkbook.from_path(path) as calamine:
            loaded = [calamine.get_sheet_by_name(name) for name in calamine.sheet_names]
            yield [_sheet(sheet.name, sheet.iter_rows) for sheet in loaded]
    except PasswordError:
        raise Unusable("is a workbook with a password; save it without one") from None
    except (CalamineError, OSError) as error:
        raise Unusable(f"is no readable workbook: {' '.join(str(error).split())[:200]}") from None


def _size(path: Path) -> int:
    """Return how large a workbook's sheets are as XML; 0 where it is no archive of sheets."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(i.file_size for i in archive.infolist() if i.filename.startswith("xl/worksheets/"))
    except (OSError, zipfile.BadZipFile):
        return 0


def _sheet(name: str, rows: Callable[[], Iterable[Sequence[Any]]]) -> _Sheet:
    first = tuple(tuple(_text(value) or "" for value in row) for row in islice(rows(), LINES + SAMPLE))
    width = max((place for row in first for place, cell in enumerate(row, 1) if cell.strip()), default=0)
    # Formats of empty cells make a sheet wide.
    return _Sheet(name, tuple((*row[:width], *[""] * (width - len(row))) for row in first) if width else (), rows)


def _table(rows: list[Sequence[Any]], names: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Return rows as a table of texts, without those that have no value."""
    width = len(names)
    filled = [row for row in rows if any(value is not None and value != "" for value in row[:width])]
    padded = [row if len(row) == width else (*row[:width], *[None] * (width - len(row))) for row in filled]
    columns = dict(zip(names, zip(*padded, strict=True), strict=True)) if padded else {}
    empty = [None] * len(padded)
    return pa.table([pa.array(map(_text, columns.get(name, empty)), pa.string()) for name in schema.names], schema)


def _text(value: Any) -> str | None:
    """Return a cell as text; null where it has no value."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return None if value in _ERRORS else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.15g}"
    if isinstance(value, datetime.datetime):
        # A spreadsheet's times are fractions of a day: to a thousandth of a second they are right.
        value = value + datetime.timedelta(microseconds=500)
        value = value.replace(microsecond=value.microsecond // 1000 * 1000)
        if value.time() == datetime.time():
            return value.date().isoformat()
        return value.isoformat(" ", "milliseconds" if value.microsecond else "seconds")
    if isinstance(value, datetime.timedelta):
        seconds = round(value.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        return f"{sign}{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
    if isinstance(value, datetime.time):
        return value.isoformat("seconds")
    return value.isoformat() if isinstance(value, datetime.date) else str(value)
