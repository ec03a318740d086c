"""Control totals: what a source states that it holds (its key `expect`) against what the warehouse has of it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.base.queries import read_query
from lib.config import Expected
from lib.settings import Settings
from lib.warehouse import Warehouse

#: What can be expected, in the words of a sources file.
WORDS = {name: field.alias or name for name, field in Expected.model_fields.items()}

COLUMNS = ["source", "measure", "expected", "found", "difference"]


@dataclass(frozen=True)
class Totals:
    """Control totals: a row a source and measure with the columns of `COLUMNS`, empty where no source states any.

    Expected and found are whole numbers, decimals or dates; the difference is found - expected, of dates in days.
    """

    rows: pd.DataFrame

    @property
    def differing(self) -> pd.DataFrame:
        return self.rows[[bool(difference) for difference in self.rows["difference"]]]

    def reasons(self) -> list[str]:
        """Return a sentence for each total that is not as its source states."""
        return [
            f"{row['source']} states {row['measure']}: {_text(row['expected'])} (its key `expect`), and the warehouse"
            f" has {_text(row['found'])}: {_difference(row['difference'])}"
            for row in self.differing.to_dict("records")
        ]


def compare(settings: Settings, warehouse: Warehouse) -> Totals:
    """Return the control totals of all sources beside what is found; nothing is asked where none is stated."""
    stated = [
        (name, field, value)
        for name, source in settings.config.sources.items()
        for expected in (source.expect, *(entity.expect for entity in source.entities.values()))
        for field in Expected.model_fields
        if (value := getattr(expected, field)) is not None
    ]
    if not stated:
        return Totals(pd.DataFrame(columns=COLUMNS))
    found = _found(warehouse)
    rows = [
        (name, WORDS[field], value, have := found.get((name, field), _nothing(value)), _less(have, value))
        for name, field, value in stated
    ]
    return Totals(pd.DataFrame(rows, columns=COLUMNS, dtype=object))


def _found(warehouse: Warehouse) -> dict[tuple[str, str], Any]:
    """Return what the warehouse has of each source, by source and measure."""
    found: dict[tuple[str, str], Any] = {}
    for row in warehouse.query(read_query("queries/quality/held")).to_dict("records"):
        for field in Expected.model_fields:
            if field in row and pd.notna(row[field]):
                found[row["source"], field] = _typed(field, row[field])
    return found


def _typed(field: str, value: Any) -> Any:
    if field.endswith("_day"):
        return pd.Timestamp(value).date()
    return Decimal(str(value)) if field.endswith("_amount") else int(value)


def _nothing(expected: Any) -> Any:
    return None if isinstance(expected, date) else type(expected)(0)


def _less(found: Any, expected: Any) -> Any:
    """Return found - expected: of dates in days, of amounts to the cent."""
    if found is None:
        return "none"
    if isinstance(expected, date):
        return (found - expected).days
    return round(found - expected, 2)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, date):
        return value.isoformat()
    return formatting.number(value, 2 if isinstance(value, Decimal) else 0)


def _difference(value: Any) -> str:
    if isinstance(value, str):
        return "there is none"
    return f"{'+' if value > 0 else ''}{_text(value)}"
