"""Quality: the checks' scores, what is kept of them, and the gate that decides on publishing.

Scores, in points of 100 (also in docs/quality.md):

    check               100 x (1 - failing rows / tested rows)
    table, dimension    mean of its checks
    overall             mean of the dimensions

A check that has nothing to look at, and a warning about a column that the shop does not have at all (every row
fails), say nothing about the rows; they are shown as `absent` and not scored. The tests themselves are in `sql/`, what
they found is read by `lib.quality.checks`.
"""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.config import Gate
from lib.entities import ENTITIES
from lib.model.dbt import run_tests
from lib.quality.anomalies import Watched, find_anomalies
from lib.quality.checks import FAILED, failing_sql, flagged, read, without_unmet
from lib.settings import Settings
from lib.warehouse import Warehouse

DIMENSIONS = ("completeness", "validity", "consistency", "uniqueness", "timeliness")

#: What identifies records.
_KEYS = {column for entity in ENTITIES.values() for column in entity.key}

_GRADES = ((95, "A"), (90, "B"), (80, "C"), (70, "D"), (0, "E"))


@dataclass(frozen=True)
class Audit:
    """All checks with their scores by dimension and by table, and what follows from them.

    `checks` is as `lib.quality.checks.read` gives it, `flags` counts the records in `quality.flags`, `watched` is what
    was looked at for anomalies.
    """

    checks: pd.DataFrame
    scores: dict[str, float]
    score: float
    grade: str
    reasons: list[str]
    failing_sql: dict[str, str]
    tables: dict[str, float] = field(default_factory=dict)
    flags: int = 0
    watched: Watched = field(default_factory=Watched)

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def failed_checks(self) -> pd.DataFrame:
        """The checks that found something, worst first: errors, then by score."""
        failed = self.checks[self.checks["state"].isin(FAILED)]
        order = failed.assign(rank=failed["severity"].ne("error")).sort_values(["rank", "score", "check_name"])
        return order.drop(columns="rank").reset_index(drop=True)

    def manifest(self) -> dict[str, Any]:
        """Return what `run.json` keeps of the audit."""
        kept = {"score": self.score, "grade": self.grade, "dimensions": self.scores, "tables": self.tables}
        return kept | {"gate": {"passed": self.passed, "reasons": self.reasons}}


def audit(settings: Settings, warehouse: Warehouse, run_id: str) -> Audit:
    """Run every check on a copy of the warehouse, keep the results there, and judge them by the gate."""
    watched = find_anomalies(settings, warehouse)
    results = without_unmet(warehouse, run_tests(settings, warehouse))
    checks = read(warehouse, results)
    flags = flagged(warehouse, results)
    scores = {d: s for d, s in _means(checks, "dimension").items() if d in DIMENSIONS}
    tables = _means(checks, "table_name")
    if not any(table.startswith("clean.") for table in tables):
        # What holds between tables holds between empty ones too, and is no evidence.
        scores, tables = {}, {}
    score = round(sum(scores.values()) / len(scores), 2) if scores else 0.0
    _keep(warehouse, run_id, checks, scores | {"overall": score}, tables)
    warehouse.replace("quality.flags", flags)
    reasons = judge(settings.config.quality, checks, scores, score)
    return Audit(checks, scores, score, grade(score), reasons, failing_sql(results), tables, len(flags), watched)


def judge(gate: Gate, checks: pd.DataFrame, scores: dict[str, float], score: float) -> list[str]:
    """Return the reasons why the gate refuses; none means that it lets the run publish."""
    if not scores:
        return ["there is not one row to check: no source has delivered any yet"]
    reasons = []
    if score < gate.min_score:
        points = formatting.points(score)
        reasons.append(f"the overall score is {points}, below the {gate.min_score:g} that pipeline.yml asks for")
    for dimension, least in gate.min_dimension.items():
        if dimension in scores and scores[dimension] < least:
            reasons.append(f"{dimension} is {formatting.points(scores[dimension])}, below {least:g}")
    for check in checks[checks["state"].isin(["failed", "broken"])].to_dict("records"):
        rows = f"{check['failing_rows']:,} of {check['tested_rows']:,} rows"
        rows = rows if check["state"] == "failed" else "could not be run"
        reasons.append(f"{check['check_name']}: {check['description']} ({rows})")
    return reasons


def grade(score: float) -> str:
    """Return the letter for a score: A from 95, B from 90, C from 80, D from 70, else E."""
    return next(letter for least, letter in _GRADES if score >= least)


def failing_rows(warehouse: Warehouse, result: Audit, check: str, limit: int = 20) -> pd.DataFrame:
    """Return up to `limit` of the rows that a check found, empty where the check counts without rows.

    What identifies a row comes first, then the field at fault (`field` in `result.checks`), then the rest. Columns that
    only the pipeline needs, their names beginning with `_`, are left out.
    """
    sql = result.failing_sql.get(check)
    if not sql:
        return pd.DataFrame()
    rows = warehouse.query(f"select * from ({sql}) as failing order by 1 limit {int(limit)}")
    field_at_fault = result.checks.set_index("check_name")["field"][check]
    shown = [str(column) for column in rows.columns if not str(column).startswith("_")]
    return rows[sorted(shown, key=lambda column: (column not in _KEYS, column != field_at_fault))]


def _means(checks: pd.DataFrame, by: str) -> dict[str, float]:
    """Return the mean score of the checks by one of their columns; what has no scored check is left out."""
    scored = checks.dropna(subset="score")
    means = scored.astype({"score": float}).groupby(by, sort=False)["score"].mean()
    order = DIMENSIONS if by == "dimension" else sorted(means.index)
    return {str(name): round(float(means[name]), 2) for name in order if name in means.index}


def _keep(
    warehouse: Warehouse, run_id: str, checks: pd.DataFrame, scores: dict[str, float], tables: dict[str, float]
) -> None:
    """Write the run's checks and scores into the history."""

    def history(by: str, scores: dict[str, float]) -> pd.DataFrame:
        own = [(name, checks if name == "overall" else checks[checks[by] == name]) for name in scores]
        rows = [(run_id, name, len(c), int(c["state"].isin(FAILED).sum()), scores[name]) for name, c in own]
        return pd.DataFrame(rows, columns=["run_id", by, "checks", "failed_checks", "score"])

    rows = {
        "quality.checks": checks.assign(run_id=run_id),
        "quality.scores": history("dimension", scores),
        "quality.table_scores": history("table_name", tables),
    }
    for table, frame in rows.items():
        warehouse.replace(table, frame, where="run_id = ?", parameters=[run_id])
