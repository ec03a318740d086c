"""Where the header of a table stands, what its columns are called, and which column was meant by one that is missing.

Exports have titles, notes and blank lines before their header, and none at all sometimes. Of the first lines the header
is the one that shows the most of the columns that a mapping names. What is text and what is a sheet's row of cells is
all the same here.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Literal

from lib.sources.delimited import Unusable

DELIMITERS = (",", ";", "\t", "|")
#: So many lines are looked at for the header, and so many records after it for their width.
LINES, SAMPLE = 50, 50

_MARKS = re.compile("[\ufeff\u200b\u2060]")
Row = Sequence[str]


@dataclass(frozen=True)
class Header:
    """The columns' names, each of them unique whatever its case; the line the header stands on, and what is before it.

    Lines are counted from 1 as an editor does; 0: there is no header. `skip` is how many lines are before it, or else
    before the first record, `before` those of them that say something.
    """

    names: tuple[str, ...]
    line: int = 1
    skip: int = 0
    delimiter: str = ""
    before: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Where the columns' names come from, for messages."""
        return f"line {self.line}" if self.line else "no header line"


@dataclass(frozen=True)
class Wanted:
    """What is known of a header beforehand: the columns it should show, its line (0: anywhere, None: it has none), and
    names that go before those it has."""

    columns: frozenset[str]
    line: int | None = 0
    names: tuple[str, ...] = ()

    @cached_property
    def compared(self) -> frozenset[str]:
        """The columns as they are compared."""
        return frozenset(map(normal, self.columns))


def normal(name: str) -> str:
    """Return a column's name as it is compared: small letters, single blanks, no marks that nobody sees."""
    return " ".join(_MARKS.sub("", name).split()).casefold()


def header_of_text(text: str, wanted: Wanted, delimiter: str, quote: str) -> Header:
    """Return the header of delimited text, which is given from its beginning.

    Where the delimiter is wanted `auto`, it is the one that shows the most of the expected columns.
    """
    lines = list(islice(io.StringIO(text, newline=""), LINES + SAMPLE))
    candidates = DELIMITERS if delimiter == "auto" else (delimiter.replace("\\t", "\t"),)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE

    def record(number: int, mark: str) -> list[str]:
        # Each line on its own: a quote that is not closed costs only itself.
        try:
            following = csv.reader(iter(lines[number:]), delimiter=mark, quotechar=quote or None, quoting=quoting)
            return next(following, [])
        except csv.Error:
            return []
        except (TypeError, ValueError) as error:
            raise Unusable(f"the header cannot be read with delimiter {mark!r}: {error}") from None

    if wanted.line == 0 and lines:
        # Most files begin with their header.
        first = max(candidates, key=lambda mark: shown(record(0, mark), wanted))
        if shown(record(0, first), wanted) == len(wanted.compared):
            candidates = (first,)
    tables = {mark: [record(number, mark) for number in range(len(lines))] for mark in candidates}
    found = {mark: _found(rows, wanted) for mark, rows in tables.items()}
    mark = max(found, key=lambda mark: found[mark][1])
    number = found[mark][0]
    records = csv.reader(iter(lines[number:]), delimiter=mark, quotechar=quote or None, quoting=quoting)
    rows = list(_lenient(records))
    if len(rows) > 2:
        # The last one may be cut off where the text was.
        rows.pop()
    header = _header([*tables[mark][:number], *rows], number, wanted, quote)
    blank = f'{mark} \t\r\n"'
    # `sep=;` is for spreadsheet programs.
    said = [line.strip(blank) for line in lines[:number]]
    before = tuple(line for line in said if line and not re.fullmatch("sep=.?", line))
    return replace(header, delimiter=mark, before=before)


def header_of_rows(rows: Sequence[Row], wanted: Wanted) -> Header:
    """Return the header of a table of cells, which is given from its first row."""
    header = _header(rows, _found(rows[:LINES], wanted)[0], wanted, '"')
    return replace(header, before=tuple(" ".join(filter(None, row)) for row in rows[: header.skip] if any(row)))


def shown(row: Iterable[str], wanted: Wanted) -> int:
    """Return how many of the wanted columns a row names."""
    return len({normal(cell.strip("\"'")) for cell in row} & wanted.compared)


def _lenient(records: Iterable[list[str]]) -> Iterable[list[str]]:
    try:
        yield from records
    except csv.Error:
        return


def _found(rows: Sequence[Row], wanted: Wanted) -> tuple[int, tuple[int, int, int]]:
    """Return the place of the row that is the header (without one, of the first record), and how well it is one."""
    filled = [number for number, row in enumerate(rows) if any(cell.strip() for cell in row)]
    width, often = _usual_width(rows)
    # Where no line shows any column: what is most like a header is the first that is as wide as most are.
    number, found = next((n for n in filled if len(rows[n]) == width), filled[0] if filled else 0), 0
    if wanted.line:
        number = wanted.line - 1
        if number >= len(rows):
            raise Unusable(f"has no line {wanted.line}, where 'header' says that its header stands")
        found = shown(rows[number], wanted)
    elif wanted.line == 0:
        scores = {n: shown(rows[n], wanted) for n in filled if n < LINES}
        found = max(scores.values(), default=0)
        number = next(n for n in scores if scores[n] == found) if found else number
    return number, (found, often if width > 1 and not found else 0, len(rows[number]) if filled else 0)


def _usual_width(rows: Iterable[Row]) -> tuple[int, int]:
    """Return how many cells most rows have, and how many rows that are."""
    widths = Counter(len(row) for row in rows if any(cell.strip() for cell in row))
    return max(widths.items(), key=lambda item: (item[1] if item[0] > 1 else 0, item[0]), default=(0, 0))


def _header(rows: Sequence[Row], number: int, wanted: Wanted, quote: str) -> Header:
    """Return the header that a row is, its names as the mapping spells them; raise Unusable with records before it."""
    first = rows[number] if rows else []
    has_header = wanted.line is not None
    if (
        wanted.line == 0
        and wanted.names
        and not shown(first, replace(wanted, columns=wanted.columns | {*wanted.names}))
    ):
        # Whose names are given may have a header or none: a record has numbers or a date.
        has_header = not any(map(str.isdigit, "".join(first)))
    sample = [row for row in rows[number + has_header :][:SAMPLE] if any(cell.strip() for cell in row)]
    width, often = _usual_width(sample)
    names = [_MARKS.sub("", name).strip() for name in first] if has_header else [""] * width
    if not quote:
        names = [name.strip('"') if name[:1] == name[-1:] == '"' else name for name in names]
    if 2 * often > len(sample):
        # A separator at the end of every record, or of the header alone.
        if width > len(names) and not any(cell.strip() for row in sample for cell in row[len(names) :]):
            names += [""] * (width - len(names))
        elif width < len(names) and not any(names[width:]):
            names = names[:width]
    names = [*wanted.names, *names[len(wanted.names) :]]
    if wanted.line == 0 and has_header:
        _check_before(rows[:number], number + 1, len(names))
    return Header(_unique(_as_spelled(names, wanted.columns)), number + 1 if has_header else 0, number)


def _as_spelled(names: list[str], columns: Collection[str]) -> list[str]:
    """Return names as the mapping spells them: in other capitals or with other blanks a column is the same."""
    missing = {normal(column): column for column in columns if column not in names}
    spelled = []
    for name in names:
        spelled.append(name if name in columns else missing.pop(normal(name), name))
    return spelled


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    unique: list[str] = []
    used: set[str] = set()
    for position, name in enumerate(names, 1):
        candidate = name = name or f"column_{position}"
        copy = 2
        while candidate.lower() in used:
            candidate, copy = f"{name}_{copy}", copy + 1
        unique.append(candidate)
        used.add(candidate.lower())
    return tuple(unique)


def _check_before(before: Sequence[Row], line: int, width: int) -> None:
    """Refuse a file with records before its header: unlike titles they fill most cells, several with a digit."""
    for number, row in enumerate(before, 1):
        filled = [cell for cell in row if cell.strip()]
        numbers = sum(1 for cell in filled if any(map(str.isdigit, cell)))
        if width > 2 and len(row) == width and len(filled) > width / 2 and numbers > 1:
            raise Unusable(
                f"has its header on line {line}, and line {number} before it is as wide, like a record."
                f" Set 'header: {line}' of this entity where what stands before it does not count."
            )
