"""Daily CSV files: written whole or not at all, and left alone where their content is the same already.

UTF-8, comma, header, `\\n`, quotes only where needed, empty field for null. What the files hold is decided in
`exports`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.shop.orders import Days, Ints
from lib.shop.rhythm import Seconds

# Rows turned into text at a time: enough to be fast, small enough to keep memory low.
BATCH_ROWS = 250_000
NEEDS_QUOTES = r'[",\r\n]'


@dataclass(frozen=True)
class Export:
    """An entity's rows: the day each belongs to, and a function giving the columns of chosen rows as plain text."""

    entity: str
    columns: tuple[str, ...]
    day: Days | Ints
    render: Callable[[Ints], list[pa.Array]]


@dataclass(frozen=True)
class Daily:
    """What becomes of a day's file: the day it comes, the day a short one is corrected, the day it is sent again."""

    comes: int
    corrected: int | None = None
    again: int | None = None

    def state(self, day: int) -> tuple[bool, bool, bool]:
        """Return whether on a day the file is there, is short, and is there a second time."""
        there = day >= self.comes
        is_short = there and self.corrected is not None and day < self.corrected
        return there, is_short, self.again is not None and day >= self.again


@dataclass(frozen=True)
class Tally:
    """What a folder holds."""

    files: int
    bytes: int


def file_name(entity: str, day: date, copy: str = "") -> str:
    """Return the name of an entity's file of a day, or of the copy sent again."""
    return f"{entity}_{day.isoformat()}{copy}.csv"


def tally(folder: Path) -> Tally:
    """Return the number and size of all files below a folder but hidden ones."""
    sizes = [p.stat().st_size for p in folder.rglob("*") if not p.name.startswith(".") and p.is_file()]
    return Tally(len(sizes), sum(sizes))


def write_days(
    folder: Path, export: Export, daily: dict[int, Daily], date_of: Callable[[int], date], after: int, through: int
) -> Ints:
    """Bring the files of all days to their state on day `through`, having been in that of day `after`.

    A file that comes short lacks its last fifth of rows, and at least one. Returns the positions of the rows in the
    files that came or changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(".*.part"):
        left_over.unlink()
    changed = [day for day, of_day in daily.items() if of_day.state(through) != of_day.state(after) or after < 0]
    due = np.array([day for day in changed if daily[day].state(through)[0]], dtype=np.int64)
    header = ",".join(export.columns).encode() + b"\n"
    rows = np.argsort(export.day, kind="stable")
    starts = np.searchsorted(export.day[rows], due)
    stops = np.searchsorted(export.day[rows], due, side="right")
    existing = {path.name for path in folder.iterdir()}
    edges = np.concatenate([[0], np.cumsum(stops - starts)])
    delivered = [np.empty(0, dtype=np.int64)]
    for lo, hi in batches(edges):
        wanted = np.concatenate([rows[starts[i] : stops[i]] for i in range(lo, hi)])
        content_of_rows, offsets = csv_rows([text(column) for column in export.render(wanted)])
        for i in range(lo, hi):
            _, short, again = daily[int(due[i])].state(through)
            first, last = edges[i] - edges[lo], edges[i + 1] - edges[lo]
            if short:
                last = first + (last - first) * 4 // 5
            delivered.append(wanted[first:last])
            content = header + content_of_rows[offsets[first] : offsets[last]]
            names = [file_name(export.entity, date_of(int(due[i])))]
            if again:
                names.append(file_name(export.entity, date_of(int(due[i])), "_again"))
            for path in (folder / name for name in names):
                if path.name not in existing or path.read_bytes() != content:
                    write_whole(path, content)
    return np.concatenate(delivered)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a restart after a kill, finds either all of it or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as `write_whole` writes bytes; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    pq.write_table(table, part, compression="zstd")
    part.replace(path)


def batches(edges: Ints) -> Iterator[tuple[int, int]]:
    """Yield runs of days with about `BATCH_ROWS` rows each; day i has rows edges[i] to edges[i + 1]."""
    lo = 0
    while lo < len(edges) - 1:
        hi = int(np.searchsorted(edges, edges[lo] + BATCH_ROWS, side="right")) - 1
        hi = min(max(hi, lo + 1), len(edges) - 1)
        yield lo, hi
        lo = hi


def csv_rows(columns: list[pa.Array]) -> tuple[memoryview, Ints]:
    """Return all rows as one run of CSV bytes, and where each row starts (one entry more than rows)."""
    lines = pc.binary_join_element_wise(*columns, ",", null_handling="replace", null_replacement="")
    lines = pc.binary_join_element_wise(lines, "", "\n")
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    _, offsets, text = lines.buffers()
    starts = np.frombuffer(offsets, dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(text or b""), starts.astype(np.int64)


def text(values: pa.Array) -> pa.Array:
    """Return text as CSV fields, in quotes where a comma, a quote or a line break asks for them."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    special = pc.match_substring_regex(values, NEEDS_QUOTES)
    if not pc.any(special).as_py():
        return values
    quoted = pc.binary_join_element_wise("", pc.replace_substring(values, '"', '""'), "", '"')
    return pc.if_else(special, quoted, values)


def whole(values: Ints) -> pa.Array:
    """Return whole numbers as text."""
    return pa.array(values).cast(pa.string())


def code(prefix: str, numbers: Ints, digits: int) -> pa.Array:
    """Return numbers as ids: a prefix and at least so many digits."""
    return pc.binary_join_element_wise(prefix, padded(whole(numbers), digits), "")


def padded(numbers: pa.Array, digits: int) -> pa.Array:
    """Return numbers as text with leading zeros."""
    return pc.utf8_lpad(numbers, digits, "0")


def money(cents: Ints) -> pa.Array:
    """Return amounts with two decimals."""
    words = np.empty((len(cents), 2), dtype=np.int64)
    words[:, 0] = cents
    words[:, 1] = cents >> 63
    decimals = pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(words)])
    return decimals.cast(pa.string())


def moment(seconds: Seconds) -> pa.Array:
    """Return UTC seconds in ISO form, like 2024-11-29T18:04:05Z."""
    written = pa.array(seconds).cast(pa.timestamp("s")).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_replace_slice(written, 10, 11, "T"), "Z", "")
