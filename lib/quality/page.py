"""What `05_quality` says first: the verdict, the key figures, what failed, the scores.

Scoring is in `lib.quality.score`, charts are in `lib.quality.charts`, what was done with faulty rows in
`lib.quality.dispositions`, and the tables further down in `lib.quality.tables`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
from markupsafe import escape

from lib.base import formatting
from lib.clean.accounting import merged_rows
from lib.quality import dispositions
from lib.quality.score import DIMENSIONS, Audit
from lib.report import pieces

#: The so many worst checks are shown open, each with the so many first of its rows.
OPEN_CHECKS = 4


OPEN_ROWS = 5


COLUMNS = 8


LONG_REASON = 110  # characters of a reason that the heading has room for


MONEY = ("_amount", "_price", "_cost", "amount")


Key = tuple[str, str]


#: Gives for records (entity, family) a function from a record to what was done with it.
Happened = Callable[[Collection[Key]], Callable[[Key | None], pieces.Html | None]]


def headline(
    result: Audit, rows: pd.DataFrame, cells: int = 0, found: float | None = None, right: float | None = None
) -> pieces.Html:
    """Return the page's first sentences: may the data be published, what was found, what became of it.

    `rows` is the accounting of rows, `cells` how many were repaired; `found` and `right` are the share of planted
    defects that the checks found and the share of findings that were right, where there is a ledger.
    """
    score = f"{formatting.points(result.score)} of 100, grade {result.grade}"
    if result.passed:
        title = f"Good enough to publish: {score}"
    else:
        first = _named(result)[0]
        first = first if len(first) <= LONG_REASON else first[: LONG_REASON - 1] + "…"
        others = len(result.reasons) - 1
        more = f" (and {formatting.count(others, 'more reason')})" if others else ""
        title = f"Not to be published: {first}{more}"
    said = [_found(result), _kept(rows, cells), _weakest(result.scores)]
    if found is not None and right is not None:
        said.append(
            f"Of the planted defects these checks found **{formatting.rate(found)}**; **{formatting.rate(right)}** of"
            " what they found was planted"
        )
    lost = _lost(rows)
    marks: list[str | tuple[str, pieces.Tone]] = [
        ("Gate passed", "good") if result.passed else ("Gate refused", "bad"),
        f"Score {formatting.points(result.score)} · {result.grade}",
        (f"{formatting.count(lost, 'row')} lost", "bad") if lost else "No row lost",
    ]
    return pieces.headline(title, " ".join(f"{s[:1].upper()}{s[1:]}." for s in said if s), marks)


def reasons(result: Audit) -> pieces.Html:
    """Return every reason why the gate refuses; nothing where it does not, or where the heading says the only one."""
    said = _named(result)
    if len(said) < 2 and not any(len(reason) > LONG_REASON for reason in said):
        return pieces.NOTHING
    return pieces.joined(*(pieces.verdict(f"**The gate refuses:** {reason}.", "bad") for reason in said))


def _named(result: Audit) -> list[str]:
    """Return the gate's reasons, for a reader who knows a check by its sentence and not by its name."""
    names = {f"{name}: " for name in result.checks["check_name"]}
    return [r.partition(": ")[2] if r.partition(": ")[0] + ": " in names else r for r in result.reasons]


def _found(result: Audit) -> str:
    failed = result.failed_checks
    if failed.empty:
        return f"All {formatting.count(_applied(result), 'check')} passed"
    errors = int((failed["severity"] == "error").sum())
    found = f"{formatting.count(len(failed), 'check')} of {_applied(result)} found something"
    if not errors:
        return f"{found}, none of them an error"
    return f"{found}, {errors} of them {'an error' if errors == 1 else 'errors'}"


def _applied(result: Audit) -> int:
    """Return how many checks had anything to look at in this shop."""
    return int((result.checks["state"] != "absent").sum())


def _kept(rows: pd.DataFrame, cells: int) -> str:
    staged, waiting, lost = int(rows["staged_rows"].sum()), int(rows["quarantined_rows"].sum()), _lost(rows)
    mended = f"{formatting.count(cells, 'cell was', 'cells were')} put right, " if cells else ""
    fate = f"**{lost:,} are unaccounted for**" if lost else "none is lost"
    if not staged:
        return "Not one row has been delivered yet"
    if not waiting:
        return f"{mended}none of {staged:,} rows waits in quarantine, {fate}"
    return f"{mended}**{waiting:,}** of {staged:,} rows {'waits' if waiting == 1 else 'wait'} in quarantine, {fate}"


def _weakest(scores: Mapping[str, float]) -> str:
    if len(scores) < 2 or min(scores.values()) >= 99.95:
        return ""
    side = min(scores, key=lambda name: scores[name])
    return f"{side.capitalize()} is the weakest side with {formatting.points(scores[side])}"


def _lost(rows: pd.DataFrame) -> int:
    return int(rows["unaccounted_rows"].abs().sum())


def key_figures(result: Audit, rows: pd.DataFrame, by_run: pd.DataFrame, cells: int = 0) -> list[pieces.Kpi]:
    """Return the figures at the top of the page; `by_run` has a row a run with the column `overall`, this run last."""
    staged, merged, waiting = int(rows["staged_rows"].sum()), merged_rows(rows), int(rows["quarantined_rows"].sum())
    course = by_run["overall"].dropna().round(1).tolist() if "overall" in by_run else []
    change = course[-1] - course[-2] if len(course) > 1 else 0.0
    tone: pieces.Tone = "neutral" if abs(change) < 0.05 else "good" if change > 0 else "bad"
    turn, against = "", ""
    if len(course) > 1:
        against = "on the last run" if abs(change) >= 0.05 else "as in the last run"
        turn = formatting.signed(change, 1, "pt") if abs(change) >= 0.05 else ""
    applied = _applied(result)
    idle = len(result.checks) - applied
    of = f"of {formatting.number(applied)}" + (f"; {formatting.number(idle)} without rows to look at" if idle else "")

    def of_all(count: int) -> str:
        return f"{formatting.small(count / staged)} of rows" if staged and count else ""

    return [
        pieces.Kpi("Score", f"{formatting.points(result.score)} · {result.grade}", turn, tone, course, against),
        pieces.Kpi("Checks passed", formatting.number(applied - len(result.failed_checks)), note=of),
        pieces.Kpi(
            "Rows checked",
            formatting.compact(staged),
            note=f"from {formatting.count(rows['source'].nunique(), 'source')}",
        ),
        pieces.Kpi("Cells put right", formatting.compact(cells)),
        pieces.Kpi("Rows merged", formatting.compact(merged), note=of_all(merged)),
        pieces.Kpi("In quarantine", formatting.compact(waiting), note=of_all(waiting)),
    ]


def failures(
    result: Audit, sample: Callable[[str], pd.DataFrame], happened: Happened, anchors: Collection[str] = ()
) -> pieces.Html:
    """Return the checks that found something, worst first: a sentence, the count, some rows, what was done with them.

    `sample` returns failing rows of a check, `happened` what was done with the records among them; a row that waits in
    quarantine or was merged says itself why, in `rule` and `reason`. `anchors` are the rules that can be linked to.
    """
    failed = result.failed_checks
    if failed.empty:
        return pieces.note("Every check that has anything to look at passed.")
    with ThreadPoolExecutor(4) as pool:  # each is a short query, and most of it is opening the warehouse
        samples = [rows.reset_index(drop=True) for rows in pool.map(sample, failed["check_name"].astype(str))]
    keys = [dispositions.family_of(str(t), rows) for t, rows in zip(failed["table_name"], samples, strict=True)]
    done = happened({key for column in keys for key in column if key is not None})
    parts = []
    for number, check in enumerate(failed.to_dict("records")):
        rows, did = samples[number], [done(key) for key in keys[number]]
        fields, sql = [_fields(check)] * len(rows), result.failing_sql.get(str(check["check_name"]), "")
        if {"rule", "reason"} <= set(rows.columns):
            own = list(zip(rows["rule"], rows["reason"], strict=True))
            did = [dispositions.said_by_row(rule, reason, anchors) for rule, reason in own]
            rows = rows.drop(columns=["rule", "reason"])
            named = [dispositions.field_at_fault(rule, reason, rows.columns) for rule, reason in own]
            fields = [[name] if name else given for name, given in zip(named, fields, strict=True)]
        parts.append(_failing(check, _shown(rows, fields, did, sql), is_open=number < OPEN_CHECKS))
    return pieces.joined(*parts)


def _failing(check: Mapping[Any, Any], rows: pieces.Html, *, is_open: bool) -> pieces.Html:
    """Return one check that found something, its rows behind its first line."""
    sentence, facts = _sentence(check["description"]), _facts(check)
    grave = ' class="grave"' if check["severity"] == "error" else ""
    first = f"<b>{escape(sentence)}</b> <span{grave}>{escape(facts)}</span>"
    if not rows:
        return pieces.Html(f'<p class="failing">{first}</p>', f"{sentence}: {facts}")
    opened = " open" if is_open else ""
    html = f'<details class="fold failing"{opened}><summary>{first}</summary>{rows.html}</details>'
    return pieces.Html(html, f"{sentence}: {facts}")


def _sentence(text: Any) -> str:
    said = " ".join(str(text).split()).rstrip(".")
    return said[:1].upper() + said[1:]


def _facts(check: Mapping[Any, Any]) -> str:
    found, tested = int(check["failing_rows"]), int(check["tested_rows"])
    if check["state"] == "broken":
        said = "could not be checked"
    elif tested:
        said = f"not so in {found:,} of {formatting.count(tested, 'row')} ({formatting.small(found / tested)})"
    else:
        said = f"not so in {formatting.count(found, 'row')}"
    return " · ".join(str(part) for part in (said, check["dimension"], check["severity"], check["table_name"]) if part)


def _fields(check: Mapping[Any, Any]) -> list[str]:
    """Return the columns whose cells fail, as the check names them."""
    named = check.get("field") or check.get("column_name") or ""
    return [name.strip() for name in str(named).split(",") if name.strip()]


def _shown(rows: pd.DataFrame, fields: list[list[str]], done: list[pieces.Html | None], sql: str) -> pieces.Html:
    """Return failing rows with the failing cells (`fields` of each row) marked and, where anything was done, what.

    `sql` is what found the rows.
    """
    if rows.empty:
        return pieces.NOTHING
    mark = {(position, f) for position, named in enumerate(fields) for f in named if f in rows.columns}
    bad = list(dict.fromkeys(f for named in fields for f in named if f in rows.columns))
    shown = rows[_columns(rows, bad, sql, COLUMNS - any(done))].copy()
    formats: dict[str, Callable[[Any], str]] = {"row_key": dispositions.short_key}
    for column in shown.columns:
        if str(column).endswith(MONEY) and pd.api.types.is_numeric_dtype(shown[column]):
            formats[str(column)] = _money
        elif pd.api.types.is_float_dtype(shown[column]):
            formats[str(column)] = _figure
    if any(done):
        as_is = pieces.Html("kept as it is", "kept as it is")
        shown["what happened"] = pd.Series([d or as_is for d in done], index=shown.index, dtype=object)
    return pieces.table(shown, formats=formats, mark=mark, limit=20, count=False, fold=OPEN_ROWS)


def _columns(rows: pd.DataFrame, bad: list[str], sql: str, room: int) -> list[str]:
    """Return the columns to show, in their order: keys, what fails, and of the others first what the check names."""
    own = [c for c in rows.columns if c in bad or (rows[c].notna().any() and not c.startswith("_"))]
    own = [c for c in own if c in bad or c == "row_key" or not c.endswith("_key")]  # surrogates say nothing to a reader
    keys = [c for c in own if c.endswith("_id") or c in ("row_key", "line_number", "key", "day")][:3]
    named = set(re.findall(r"\w+", sql))
    rest = sorted((c for c in own if c not in bad and c not in keys), key=lambda c: c not in named)
    chosen = {*keys, *bad, *rest[: max(room - len({*keys, *bad}), 0)]}
    return [c for c in own if c in chosen]


def _money(value: Any) -> str:
    return formatting.number(value, 2)


def _figure(value: Any) -> str:
    return formatting.number(value, 0 if abs(value) >= 100 or value == int(value) else 2)


def by_dimension(result: Audit, least: Mapping[str, float], least_overall: float | None = None) -> pieces.Html:
    """Return a bar a dimension and one for all, each with what the gate asks for."""
    scores = {**{name: result.scores[name] for name in DIMENSIONS if name in result.scores}, "overall": result.score}
    needed = dict(least) | ({"overall": least_overall} if least_overall is not None else {})
    return pieces.dims(scores, needed)


def by_table(result: Audit) -> pieces.Html:
    """Return the scores of each table by dimension, worst table first; tables without a fault are only named."""
    scored = result.checks.dropna(subset="score")
    scored = scored[scored["table_name"] != ""]
    if scored.empty:
        return pieces.NOTHING
    grid = scored.pivot_table(index="table_name", columns="dimension", values="score", aggfunc="mean")
    grid = grid[[d for d in DIMENSIONS if d in grid.columns]].astype(float)
    grid["all checks"] = [result.tables.get(str(name), float("nan")) for name in grid.index]
    faulty = grid[grid.min(axis=1) < 100].sort_values("all checks", kind="stable")
    whole = [f"`{name}`" for name in grid.index if name not in faulty.index]
    shown = pieces.score_grid(faulty, "Tables with faults, worst first", "table") if len(faulty) else pieces.NOTHING
    if not whole:
        return shown
    named = pieces.Html(f'<p class="says">{pieces.rich(formatting.listing(whole))}</p>', formatting.listing(whole))
    return pieces.joined(shown, pieces.fold(f"**{formatting.count(len(whole), 'table')}** without a fault", named))


def checks_table(result: Audit) -> pieces.Html:
    """Return every check with its score, folded."""
    columns = ["dimension", "table_name", "description", "severity", "failing_rows", "tested_rows", "score", "state"]
    shown = result.checks.sort_values(["dimension", "table_name", "check_name"])[columns]
    listed = pieces.table(shown, "By dimension and table", limit=300, count=False, formats={"score": formatting.points})
    return pieces.fold(f"**{formatting.count(len(shown), 'check')}**, each with its count and score", listed)
