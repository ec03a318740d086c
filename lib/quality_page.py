"""What `05_quality` shows: the verdict first, then what failed, worst first. Scoring is in `lib.quality`."""

from collections.abc import Callable

import pandas as pd

from lib import report, words
from lib.clean import merged_rows
from lib.quality import Audit


def verdict(result: Audit, rows: pd.DataFrame) -> report.Html:
    """Return the page's first sentence: whether the data may be published, and what is in quarantine."""
    staged, waiting = int(rows["staged_rows"].sum()), int(rows["quarantined_rows"].sum())
    lost = int(rows["unaccounted_rows"].abs().sum())
    failed = len(result.failed_checks)
    found = f"{words.count(failed, 'check')} of {len(result.checks)} found something"
    fate = f"{lost:,} are unaccounted for" if lost else "none is lost"
    kept = f"{waiting:,} of {staged:,} rows are in quarantine, {fate}"
    if result.passed:
        return report.verdict(f"**Good enough to publish.** {found}: {kept}.", "good")
    return report.verdict(f"**Not to be published:** {'; '.join(result.reasons)}. {kept}.", "bad")


def key_figures(result: Audit, rows: pd.DataFrame) -> list[report.Kpi]:
    """Return the figures at the top of the page."""
    return [
        report.Kpi("Score", f"{result.score:.1f} · {result.grade}"),
        report.Kpi("Checks passed", f"{len(result.checks) - len(result.failed_checks)} of {len(result.checks)}"),
        report.Kpi("Rows staged", f"{int(rows['staged_rows'].sum()):,}"),
        report.Kpi("Merged", f"{merged_rows(rows):,}"),
        report.Kpi("In quarantine", f"{int(rows['quarantined_rows'].sum()):,}"),
    ]


def failures(result: Audit, sample: Callable[[str], pd.DataFrame]) -> report.Html:
    """Return the checks that found something, each with a sentence, its count and some of its rows."""
    failed = result.failed_checks
    if failed.empty:
        return report.note("Every check passed.")
    parts = []
    for check in failed.to_dict("records"):
        found, tested = int(check["failing_rows"]), int(check["tested_rows"])
        share = words.percent(found / tested) if tested else ""
        facts = f"{found:,} of {tested:,} rows ({share}) · {check['dimension']} · {check['severity']}"
        sentence = str(check["description"])[:1].upper() + str(check["description"])[1:]
        rows = sample(str(check["check_name"]))
        shown = rows.loc[:, [c for c in rows.columns if not c.startswith("_") and rows[c].notna().any()]]
        if shown.empty:
            parts.append(report.note(f"{sentence}: not so in {facts}."))
        else:
            parts.append(report.table(shown.iloc[:, :9], f"{sentence}: not so in", note=facts, limit=8, total=found))
    return report.Html("".join(p.html for p in parts), "\n".join(p.text for p in parts))


def checks_table(result: Audit) -> report.Html:
    """Return every check with its score."""
    shown = result.checks.sort_values(["dimension", "table_name", "check_name"])
    columns = [
        "dimension",
        "table_name",
        "description",
        "severity",
        "failing_rows",
        "tested_rows",
        "score",
        "state",
    ]
    return report.table(shown[columns], f"{len(shown)} checks", limit=200, count=False)
