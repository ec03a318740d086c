"""Quality: the results of the dbt tests as scored checks, and the gate that decides on publishing.

Scores, in points of 100 (also in docs/quality.md):

    check      100 x (1 - failing rows / tested rows)
    dimension  mean of its checks
    overall    mean of the dimensions

A check of a table without rows, and a warning about a column that the shop does not have at all (every row
fails), say nothing about the rows; they are shown as `absent` and not scored. The tests themselves are in `sql/`.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.config import Gate, Settings
from lib.transform import NodeResult, run_tests
from lib.warehouse import Warehouse

DIMENSIONS = ("completeness", "validity", "consistency", "uniqueness")
_BY_TEST = {
    "not_null": "completeness",
    "unique": "uniqueness",
    "relationships": "consistency",
    "accepted_values": "validity",
}
_GRADES = ((95, "A"), (90, "B"), (80, "C"), (70, "D"), (0, "E"))
_COLUMNS = [
    *("check_name", "description", "dimension", "severity", "table_name", "column_name"),
    *("failing_rows", "tested_rows", "score", "state"),
]


@dataclass(frozen=True)
class Audit:
    """All checks with their scores, and what follows from them."""

    checks: pd.DataFrame
    scores: dict[str, float]
    score: float
    grade: str
    reasons: list[str]
    failing_sql: dict[str, str]

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def failed_checks(self) -> pd.DataFrame:
        """The checks that found something, worst first: errors, then by score."""
        failed = self.checks[self.checks["state"].isin(["failed", "warned", "broken"])]
        order = failed.assign(rank=failed["severity"].ne("error")).sort_values(["rank", "score", "check_name"])
        return order.drop(columns="rank").reset_index(drop=True)

    def manifest(self) -> dict[str, Any]:
        """Return what `run.json` keeps of the audit."""
        gate = {"passed": self.passed, "reasons": self.reasons}
        return {"score": self.score, "grade": self.grade, "dimensions": self.scores, "gate": gate}


def audit(settings: Settings, warehouse: Warehouse, run_id: str) -> Audit:
    """Run every check on a copy of the warehouse, keep the results there, and judge them by the gate.

    `checks` has one row a check: check_name, description, dimension, severity, table_name, column_name, failing_rows,
    tested_rows, score (0 to 100, null where not scored), state (passed, warned, failed, broken, absent).
    """
    results = run_tests(settings, warehouse)
    tested = _tested_rows(warehouse, results)
    checks = pd.DataFrame([_check(r, warehouse, tested[r.name]) for r in results], columns=_COLUMNS)
    scores = {str(d): float(s.mean()) for d, s in checks.dropna(subset="score").groupby("dimension")["score"]}
    scores = {d: round(scores[d], 2) for d in DIMENSIONS if d in scores}
    score = round(sum(scores.values()) / len(scores), 2) if scores else 0.0
    _keep(warehouse, run_id, checks, scores, score)
    failing = {r.name: str(r.node.compiled_code) for r in results if r.failures and _selects_rows(r)}
    return Audit(checks, scores, score, grade(score), judge(settings.config.quality, checks, scores, score), failing)


def judge(gate: Gate, checks: pd.DataFrame, scores: dict[str, float], score: float) -> list[str]:
    """Return the reasons why the gate refuses; none means that it lets the run publish."""
    if not scores:
        return ["there is not one row to check: no source has delivered any yet"]
    reasons = []
    if score < gate.min_score:
        reasons.append(f"the overall score is {score:.1f}, below the {gate.min_score:g} that pipeline.yml asks for")
    for dimension, least in gate.min_dimension.items():
        if dimension in scores and scores[dimension] < least:
            reasons.append(f"{dimension} is {scores[dimension]:.1f}, below {least:g}")
    for check in checks[checks["state"].isin(["failed", "broken"])].to_dict("records"):
        rows = (
            f"{check['failing_rows']:,} of {check['tested_rows']:,} rows"
            if check["state"] == "failed"
            else "could not be run"
        )
        reasons.append(f"{check['check_name']}: {check['description']} ({rows})")
    return reasons


def grade(score: float) -> str:
    """Return the letter for a score: A from 95, B from 90, C from 80, D from 70, else E."""
    return next(letter for least, letter in _GRADES if score >= least)


def failing_rows(warehouse: Warehouse, result: Audit, check: str, limit: int = 20) -> pd.DataFrame:
    """Return up to `limit` of the rows that a check found, empty where the check counts without rows."""
    sql = result.failing_sql.get(check)
    return warehouse.query(f"select * from ({sql}) as failing limit {int(limit)}") if sql else pd.DataFrame()


def _check(result: NodeResult, warehouse: Warehouse, tested: int) -> tuple[Any, ...]:
    node, meta = result.node, result.node.config.meta
    severity = str(node.config.severity).lower()
    test = node.test_metadata.name if getattr(node, "test_metadata", None) else ""
    failing = min(result.failures, tested) if tested else result.failures
    state = {"pass": "passed", "fail": "failed", "warn": "warned"}.get(result.state, "broken")
    score: float | None = 100.0 * (1 - failing / tested) if tested else 100.0 if not failing else 0.0
    if state == "broken":
        score = 0.0
    nothing_to_test = not tested and state == "passed"
    if nothing_to_test or (test == "not_null" and severity == "warn" and tested and failing == tested):
        state, score = "absent", None
    return (
        result.name,
        " ".join(str(meta.get("says") or node.description or _sentence(test, node, warehouse)).split()),
        meta.get("dimension") or _BY_TEST.get(test, "consistency"),
        severity,
        _table(node, warehouse),
        getattr(node, "column_name", None) or "",
        failing,
        tested,
        score,
        state,
    )


def _sentence(test: str, node: Any, warehouse: Warehouse) -> str:
    """Say what a plain dbt test expects, for an owner to read."""
    column = getattr(node, "column_name", None) or "the key"
    table = _table(node, warehouse)
    sentences = {
        "not_null": f"every row of {table} states its {column}",
        "unique": f"no {column} stands twice in {table}",
        "relationships": f"every {column} of {table} is known",
        "accepted_values": f"{column} of {table} is one of the known values",
    }
    return sentences.get(test, test)


def _table(node: Any, warehouse: Warehouse) -> str:
    """Return schema.table of what a test looks at."""
    attached = getattr(node, "attached_node", None)
    if node.config.meta.get("table"):
        return str(node.config.meta["table"])
    if not attached:
        return ""
    name = attached.rsplit(".", 1)[-1]
    schema = next((r.schema for r in _relations(node) if r.name == name), None)
    return f"{warehouse.logical(schema)}.{name}" if schema else name


@dataclass(frozen=True)
class _Relation:
    schema: str
    name: str


def _relations(node: Any) -> list[_Relation]:
    """Return the tables that a compiled test names, in the order in which they stand there."""
    import re

    found = re.findall(r'"[^"]+"\."([^"]+)"\."([^"]+)"', str(node.compiled_code or ""))
    return [_Relation(schema, name) for schema, name in found]


def _tested_rows(warehouse: Warehouse, results: list[NodeResult]) -> dict[str, int]:
    """Return how many rows each test looked at, in one query."""
    counts = {}
    for result in results:
        counts[result.name] = str(
            result.node.config.meta.get("tested") or f"select count(*) from {_table(result.node, warehouse)}"
        )
    distinct = list(dict.fromkeys(counts.values()))
    sql = " union all ".join(f"select {i} as number, ({q}) as tested" for i, q in enumerate(distinct))
    tested = warehouse.query(sql).set_index("number")["tested"] if distinct else pd.Series(dtype=int)
    return {name: int(tested[distinct.index(q)] or 0) for name, q in counts.items()}


def _selects_rows(result: NodeResult) -> bool:
    """Whether a test's query gives whole rows, which can be shown."""
    return str(result.node.config.fail_calc) == "count(*)" and result.node.config.meta.get("rows", True)


def _keep(warehouse: Warehouse, run_id: str, checks: pd.DataFrame, scores: dict[str, float], score: float) -> None:
    """Write the run's checks and scores into the history."""
    kept = checks.assign(run_id=run_id)
    warehouse.replace("quality.checks", kept, where="run_id = ?", parameters=[run_id])
    rows = [
        (
            run_id,
            dimension,
            int((checks["dimension"] == dimension).sum()) if dimension != "overall" else len(checks),
            int(_failed(checks, dimension)),
            value,
        )
        for dimension, value in [*scores.items(), ("overall", score)]
    ]
    frame = pd.DataFrame(rows, columns=["run_id", "dimension", "checks", "failed_checks", "score"])
    warehouse.replace("quality.scores", frame, where="run_id = ?", parameters=[run_id])


def _failed(checks: pd.DataFrame, dimension: str) -> int:
    failed = checks["state"].isin(["failed", "warned", "broken"])
    return int((failed & ((checks["dimension"] == dimension) | (dimension == "overall"))).sum())
