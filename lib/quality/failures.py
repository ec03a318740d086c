"""The checks that found something, worst first: what should hold, in how many rows it does not, and some of the rows.

The failing cell of a row is marked, and its last column says what the rules did with the record
(`lib.quality.dispositions`).
"""

import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
from markupsafe import escape

from lib.base import formatting
from lib.quality import dispositions
from lib.quality.audit import Audit
from lib.quality.dispositions import Record
from lib.report import pieces
from lib.report.pieces import Html

#: How many of the worst checks are shown open, how many rows each of them shows, and in how many columns.
OPEN_CHECKS, OPEN_ROWS, COLUMNS = 4, 5, 8

MONEY = ("_amount", "_price", "_cost", "amount")

#: What is shown of a record to which no rule did anything, beside others to which one did.
_UNTOUCHED = Html("kept as it is")


def failures(
    result: Audit,
    sample: Callable[[str], pd.DataFrame],
    handled: Callable[[Collection[Record]], Mapping[Record, Html]],
    anchors: Collection[str] = (),
) -> Html:
    """Return the checks that found something, each with the rows that `sample` returns for its name.

    `handled` returns what was done with records among them; a row that waits in quarantine or was merged states the
    reason itself, in `rule` and `reason`. `anchors` are the rules that can be linked to.
    """
    failed = result.failed_checks
    if failed.empty:
        return pieces.note("Every check that has anything to look at passed.")
    with ThreadPoolExecutor(4) as pool:  # each is a short query, and most of it is opening the warehouse
        samples = [rows.reset_index(drop=True) for rows in pool.map(sample, failed["check_name"].astype(str))]
    records = [dispositions.records_of(str(t), rows) for t, rows in zip(failed["table_name"], samples, strict=True)]
    done = handled({record for own in records for record in own if record is not None})
    parts = []
    for number, (check, rows, own) in enumerate(zip(failed.to_dict("records"), samples, records, strict=True)):
        what = [done.get(record) if record else None for record in own]
        fields = [_fields(check)] * len(rows)
        if {"rule", "reason"} <= set(rows.columns):
            reasons = list(zip(rows["rule"], rows["reason"], strict=True))
            rows = rows.drop(columns=["rule", "reason"])
            what = [dispositions.of_row(rule, reason, anchors) for rule, reason in reasons]
            at_fault = [dispositions.field_at_fault(rule, reason, rows.columns) for rule, reason in reasons]
            fields = [[field] if field else usual for field, usual in zip(at_fault, fields, strict=True)]
        shown = _rows(rows, fields, what, result.failing_sql.get(str(check["check_name"]), ""))
        parts.append(_check(check, shown, is_open=number < OPEN_CHECKS))
    return pieces.joined(*parts)


def _check(check: Mapping[Any, Any], rows: Html, *, is_open: bool) -> Html:
    """Return one check, its rows folded behind its sentence."""
    sentence, facts = " ".join(str(check["description"]).split()).rstrip("."), _facts(check)
    sentence = sentence[:1].upper() + sentence[1:]
    grave = ' class="grave"' if check["severity"] == "error" else ""
    html = f"<b>{escape(sentence)}</b> <span{grave}>{escape(facts)}</span>"
    if rows:
        opened = " open" if is_open else ""
        html = f'<details class="fold failing"{opened}><summary>{html}</summary>{rows.html}</details>'
    else:
        html = f'<p class="failing">{html}</p>'
    return Html(html)


def _facts(check: Mapping[Any, Any]) -> str:
    found, tested = int(check["failing_rows"]), int(check["tested_rows"])
    if check["state"] == "broken":
        count = "could not be checked"
    elif tested:
        count = f"not so in {found:,} of {formatting.count(tested, 'row')} ({formatting.small(found / tested)})"
    else:
        count = f"not so in {formatting.count(found, 'row')}"
    return " · ".join(str(part) for part in (count, check["dimension"], check["severity"], check["table_name"]) if part)


def _fields(check: Mapping[Any, Any]) -> list[str]:
    """Return the columns whose cells fail, as the check names them."""
    names = str(check.get("field") or check.get("column_name") or "").split(",")
    return [name.strip() for name in names if name.strip()]


def _rows(rows: pd.DataFrame, fields: list[list[str]], done: list[Html | None], sql: str) -> Html:
    """Return failing rows, the failing cells (`fields` of each) marked, with what was done where anything was.

    `sql` is what found the rows.
    """
    if rows.empty:
        return pieces.NOTHING
    mark = [(position, f) for position, names in enumerate(fields) for f in names if f in rows.columns]
    shown = rows[_columns(rows, {f for _, f in mark}, sql, COLUMNS - any(done))].copy()
    formats: dict[str, Callable[[Any], str]] = {"row_key": dispositions.short_key}
    for column in map(str, shown.columns):
        if column.endswith(MONEY) and pd.api.types.is_numeric_dtype(shown[column]):
            formats[column] = lambda value: formatting.number(value, 2)
        elif pd.api.types.is_float_dtype(shown[column]):
            formats[column] = lambda value: formatting.number(
                value, 0 if abs(value) >= 100 or value == int(value) else 2
            )
    if any(done):
        shown["what happened"] = pd.Series([d or _UNTOUCHED for d in done], index=shown.index, dtype=object)
    return pieces.table(shown, formats=formats, mark=mark, limit=20, count=False, fold=OPEN_ROWS)


def _columns(rows: pd.DataFrame, bad: Collection[str], sql: str, room: int) -> list[str]:
    """Return the columns to show, in their order: keys, what fails, and of the others first what the check names."""
    own = [c for c in rows.columns if c in bad or (rows[c].notna().any() and not c.startswith("_"))]
    own = [c for c in own if c in bad or c == "row_key" or not c.endswith("_key")]  # surrogates say nothing to a reader
    keys = [c for c in own if c.endswith("_id") or c in ("row_key", "line_number", "key", "day")][:3]
    named = set(re.findall(r"\w+", sql))
    rest = sorted((c for c in own if c not in bad and c not in keys), key=lambda c: c not in named)
    chosen = {*keys, *bad, *rest[: max(room - len({*keys, *bad}), 0)]}
    return [c for c in own if c in chosen]
