"""How the values of a document are written, as keys of an entity: separators, forms of dates, words for no value."""

import re
from collections.abc import Sequence
from typing import Any

from lib.inspect.documents import Document
from lib.inspect.values import DateReading, NumberForm, Values, date_reading, number_form


def form_of(document: Document, columns: Sequence[Values]) -> tuple[dict[str, Any], list[str], NumberForm]:
    """Return the keys that say how values are written, what is doubtful about them, and the form of the numbers."""
    doubts: list[str] = []
    options: dict[str, Any] = {}
    numbers = number_form(columns, document.delimiter)
    if document.kind == "files":
        if numbers.decimal == ",":
            options["decimal"] = ","
        if numbers.thousands:
            options["thousands"] = numbers.thousands
        if numbers.against:
            doubts.append(
                f"most numbers have a decimal {'comma' if numbers.decimal == ',' else 'point'}, but there is"
                f" {numbers.against!r}; such rows are read as far as there is only one meaning, or refused"
            )
        if numbers.unsure:
            doubts.append(
                f"whether {numbers.unsure!r} has three decimals or a separator of thousands cannot be seen; with"
                f" decimal {numbers.decimal!r} it has decimals: set 'decimal' and 'thousands' where that is wrong"
            )
    formats, said = dates_of(columns)
    if formats:
        options["timestamp_formats"] = formats
    nothings = dict.fromkeys(word for column in columns for word in column.nothings)
    if nothings:
        options["null_values"] = list(nothings)
    return options, doubts + said, numbers


def dates_of(columns: Sequence[Values]) -> tuple[list[str], list[str]]:
    """Return the formats of a document's dates, those with two digits of the year first, and what is doubtful."""
    times = [column for column in columns if column.is_time and not column.epoch]
    readings = [date_reading(column) for column in times]
    order = {f[:2] == "%d" for r in readings for f in r.formats if "." not in f}
    if any(r.undecided for r in readings) and len(order) == 1:
        readings = [
            date_reading(column, next(iter(order))) if r.undecided else r
            for column, r in zip(times, readings, strict=True)
        ]
    doubts = [doubt for reading in readings for doubt in reading.doubts]
    for column, reading in zip(times, readings, strict=True):
        doubts += [_undecided(column, reading)] if reading.undecided else []
    formats = dict.fromkeys(f for reading in readings for f in reading.formats)
    return sorted(formats, key=lambda f: "%Y" in f), doubts


def _undecided(column: Values, reading: DateReading) -> str:
    example = reading.undecided[0]
    mark = next(c for c in example if c in "./-")
    year = "%Y" if re.search(r"\d{4}", example) else "%y"
    clock = next(form for form in column.date_forms if form.example == example).clock
    either = [mark.join([*parts, year]) + clock for parts in (("%m", "%d"), ("%d", "%m"))]
    return (
        f"{column.name}: whether {example} has the month or the day first cannot be seen, and such rows are refused;"
        f' set timestamp_formats: ["{either[0]}"] or ["{either[1]}"]'
    )
