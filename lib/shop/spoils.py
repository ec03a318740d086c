"""What is spoiled in an entity's rows: cells with another value, and rows that occur twice.

`spoiled_orders` and `spoiled_records` decide what it is. Here it is applied to rows on their way into a system, and
recorded in the ledger when they arrive. Rows are identified by codes: twice the row's position, plus one for its copy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from lib.shop import ledger
from lib.shop.ledger import Cell
from lib.shop.orders import Ints

#: The field of a row that occurs twice, every value being the same.
WHOLE_ROW = ""


class Spoil(NamedTuple):
    """A spoiled cell of a row, or of its copy right after it; there from day `since` on."""

    row: int
    is_copy: bool
    cell: Cell
    since: int = 0


@dataclass(frozen=True)
class Spoils:
    """Spoiled cells of an entity in order of `code`, one a row at most.

    `cells` are rows of the ledger, `since` the day from which each is there.
    """

    code: Ints
    since: Ints
    cells: pa.Table

    def laid_over(self, columns: dict[str, pa.Array], code: Ints, day: int = 0) -> dict[str, pa.Array]:
        """Return the columns of rows as the system delivers them on a day.

        The ledger holds values as text, so each is read as the column's type.
        """
        at, cell = self._hits(code, day)
        found = dict(columns)
        fields = self.cells["field"].take(pa.array(cell)).to_numpy()
        for name in set(fields) - {WHOLE_ROW}:
            here = np.flatnonzero(fields == name)
            values = self.cells["after"].take(pa.array(cell[here])).combine_chunks()
            found[name] = replaced(found[name], at[here], values)
        return found

    def ledger_rows(self, code: Ints, day: int = 0) -> pa.Table:
        """Return the ledger's rows of what is spoiled in rows that are there on a day."""
        return self.cells.take(pa.array(self._hits(code, day)[1]))

    def with_copies(self, row: Ints) -> tuple[Ints, Ints]:
        """Return ascending rows, repeated where a row occurs twice, and the code of each."""
        copies = self.code[self.code % 2 == 1] // 2
        count = 1 + np.isin(row, copies, assume_unique=True)
        repeated = np.repeat(row, count)
        is_copy = np.append(False, repeated[1:] == repeated[:-1]) if len(repeated) else repeated.astype(bool)
        return repeated, repeated * 2 + is_copy

    def _hits(self, code: Ints, day: int) -> tuple[Ints, Ints]:
        """Return the positions of spoiled rows among those given, and of their cells."""
        if not len(self.code) or not len(code):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        cell = np.minimum(np.searchsorted(self.code, code), len(self.code) - 1)
        at = np.flatnonzero((self.code[cell] == code) & (self.since[cell] <= day))
        return at, cell[at]


def spoils(found: Iterable[Spoil]) -> Spoils:
    """Return spoiled cells in order of their rows."""
    in_order = sorted(found, key=lambda spoil: (spoil.row, spoil.is_copy))
    code = np.array([spoil.row * 2 + spoil.is_copy for spoil in in_order], dtype=np.int64)
    since = np.array([spoil.since for spoil in in_order], dtype=np.int64)
    return Spoils(code, since, ledger.table(spoil.cell for spoil in in_order))


def replaced(column: pa.Array | pa.ChunkedArray, at: Ints, values: pa.Array) -> pa.Array:
    """Return a column with other values at some positions: of its type, or text that is read as its type."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    chosen = np.arange(len(whole))
    chosen[at] = len(whole) + np.arange(len(at))
    return pa.concat_arrays([whole, values.cast(whole.type)]).take(pa.array(chosen))
