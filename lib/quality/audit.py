"""The audit of a run: every check, what is kept of them, the scores, the money, and the verdict of the gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lib.base.queries import read_query
from lib.entities import ENTITIES
from lib.model.dbt import described_columns, run_tests
from lib.quality import expectations, gate, money, schema
from lib.quality.anomalies import Watched, find_anomalies
from lib.quality.checks import FAILED, dimension_of, failing_sql, flagged, kept, read, without_unmet
from lib.quality.expectations import Totals
from lib.quality.money import Money
from lib.quality.score import Scores, grade, scores
from lib.settings import Settings
from lib.warehouse import Warehouse

#: What identifies records.
_KEYS = {column for entity in ENTITIES.values() for column in entity.key}


@dataclass(frozen=True)
class Audit:
    """All checks with their scores, the money, and what follows from them.

    `checks` is as `lib.quality.checks.read` gives it, `scores` by dimension, rows and money, `flags` counts the records
    in `quality.flags`, `watched` is what was looked at for anomalies.
    """

    checks: pd.DataFrame
    scores: Mapping[str, float]
    score: float
    grade: str
    reasons: list[str]
    failing_sql: dict[str, str]
    tables: Mapping[str, float] = field(default_factory=dict)
    flags: int = 0
    watched: Watched = field(default_factory=Watched)
    money: Money = field(default_factory=lambda: Money(pd.DataFrame(columns=money.COLUMNS)))
    totals: Totals = field(default_factory=lambda: Totals(pd.DataFrame(columns=expectations.COLUMNS)))

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
        kept = {"score": self.score, "grade": self.grade, "dimensions": dict(self.scores), "tables": dict(self.tables)}
        shares = {part: round(self.money.share(part), 4) for part in ("as_delivered", *money.PARTS)}
        kept["money"] = {"delivered": round(self.money.total(), 2)} | shares if self.money.total() else {}
        states = self.checks[["check_name", "state"]].itertuples(index=False, name=None)
        return kept | {"checks": dict(states), "gate": {"passed": self.passed, "reasons": self.reasons}}


def audit(settings: Settings, warehouse: Warehouse, run_id: str, *, by_dimension: bool = False) -> Audit:
    """Run every check on a copy of the warehouse, keep the results there, and judge them by the gate.

    With `by_dimension` the tables and columns are looked at first, and the checks of the dimensions run side by side.
    """
    if by_dimension:
        schema.check(warehouse, described_columns(settings, warehouse))
    watched = find_anomalies(settings, warehouse)
    sums = money.read(warehouse, settings.shop.currency)
    warehouse.replace("quality.money", sums.rows)
    totals = expectations.compare(settings, warehouse)
    found = run_tests(settings, warehouse, dimension_of if by_dimension else None)
    results = without_unmet(warehouse, found)
    checks = read(warehouse, results, settings.config.quality.accept)
    flags = flagged(warehouse, results)
    scored = scores(checks, warehouse.query(read_query("queries/quality/faulty_rows")), sums.rows)
    if not any(table.startswith("clean.") for table in scored.tables):
        # What holds between tables holds between empty ones too, and is no evidence.
        scored = Scores()
    _keep(warehouse, run_id, checks, scored)
    warehouse.replace("quality.flags", flags)
    evidence = gate.gather(warehouse, sums, totals)
    reasons = gate.judge(settings.config, checks, scored, evidence)
    judged = (scored.sides, scored.overall, grade(scored.overall), reasons)
    return Audit(checks, *judged, failing_sql(results), scored.tables, len(flags), watched, sums, totals)


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


def _keep(warehouse: Warehouse, run_id: str, checks: pd.DataFrame, scored: Scores) -> None:
    """Write the run's checks and scores into the history."""

    def history(by: str, points: Mapping[str, float]) -> pd.DataFrame:
        own = [(name, checks if name == "overall" else checks[checks[by] == name]) for name in points]
        rows = [(run_id, name, len(c), int(c["state"].isin(FAILED).sum()), points[name]) for name, c in own]
        return pd.DataFrame(rows, columns=["run_id", by, "checks", "failed_checks", "score"])

    rows = {
        "quality.checks": kept(checks).assign(run_id=run_id),
        "quality.scores": history("dimension", {**scored.sides, "overall": scored.overall}),
        "quality.table_scores": history("table_name", scored.tables),
    }
    for table, frame in rows.items():
        warehouse.replace(table, frame, where="run_id = ?", parameters=[run_id])
