"""Checks: what the dbt tests of `sql/` found, as rows for people and as flags on records. Scoring is in
`lib.quality.score`.

A test states in its `meta` what it is about: `dimension`, `description` (a sentence on what should hold), `rule` (in
`lib.clean.rules.RULES`), `field` (the column at fault) and, where it is not the table that it is attached to, `table`
and `tested` (a query that counts the rows looked at). `finds` names the faulty records in the test's result: `entity`
(a name, or an SQL expression) and SQL expressions for `source`, `key` and `family`; `field` is the column at fault,
and `value` an expression for its value, where it is not that column's. `needs` lists entities of which some source must
deliver rows (`orders|order_lines`: of one of them): without them the check is absent. `weight` is how much a finding
counts in scores, 1 where it is not given. A check that `refuses` keeps a run from publishing though it is a warning: it
finds a mistake of mapping that makes revenue wrong. The column `finding` of its rows is a sentence that says so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from lib.base.quoting import text_literal
from lib.entities import ENTITIES
from lib.model.dbt import CheckResult
from lib.warehouse import Warehouse

COLUMNS = [
    *("check_name", "description", "dimension", "severity", "table_name", "column_name"),
    *("failing_rows", "tested_rows", "score", "state", "rule", "field"),
    *("weight", "refuses", "finding"),
]

#: Those that are not kept by run.
_NOT_KEPT = ["weight", "refuses", "finding"]

FLAG_COLUMNS = ["rule", "check_name", "entity", "source", "key", "family", "field", "value"]

#: States of checks that found something.
FAILED = ("failed", "warned", "broken")

_DIMENSIONS = {
    "not_null": "completeness",
    "unique": "uniqueness",
    "relationships": "consistency",
    "delivered": "consistency",
}

_STATES = {"pass": "passed", "fail": "failed", "warn": "warned"}

#: What a plain dbt test expects, for an owner to read.
_SENTENCES = {
    "not_null": "every row of {table} states its {column}",
    "unique": "no {column} occurs twice in {table}",
    "relationships": "every {column} of {table} is known",
}


def read(warehouse: Warehouse, results: Sequence[CheckResult], accept: Collection[str] = ()) -> pd.DataFrame:
    """Return a row a test: the columns of `COLUMNS`; `score` is 0 to 100, null where the check is not scored.

    `state` is passed, warned, failed, broken (the test could not be run), absent (there is nothing to look at, or the
    shop does not have the column at all) or accepted: it found something, and `accept` names it.
    """
    tested, findings = _tested_rows(warehouse, results), _findings(warehouse, results)
    return pd.DataFrame([_row(r, tested[r.name], findings.get(r.name, ""), accept) for r in results], columns=COLUMNS)


def dimension_of(generic: str, meta: Mapping[str, Any]) -> str:
    """Return the dimension of a test, by its generic name and its `meta`."""
    return str(meta.get("dimension") or _DIMENSIONS.get(generic, "consistency"))


def kept(checks: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `quality.checks`, but for the run."""
    return checks.drop(columns=_NOT_KEPT)


def without_unmet(warehouse: Warehouse, results: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the results, those whose `needs` no source delivers as of tests that looked at nothing."""
    sql = " union all ".join(
        f"select {text_literal(entity)} as entity where exists (select 1 from stage.{entity})" for entity in ENTITIES
    )
    delivered = set(warehouse.query(sql)["entity"]) if any(r.meta.get("needs") for r in results) else set()
    return [r if _is_met(r, delivered) else _not_looked_at(r) for r in results]


def _is_met(result: CheckResult, delivered: set[str]) -> bool:
    return all(delivered & set(alternatives.split("|")) for alternatives in result.meta.get("needs", ()))


def _not_looked_at(result: CheckResult) -> CheckResult:
    return replace(result, state="pass", failures=0, meta=result.meta | {"tested": "select 0"})


def failing_sql(results: Sequence[CheckResult]) -> dict[str, str]:
    """Return, for each test that found rows which can be shown, the query that gives them."""
    shows_rows = [r for r in results if r.fail_calc == "count(*)" and r.meta.get("rows", True)]
    return {r.name: r.sql for r in shows_rows if r.failures}


def flagged(warehouse: Warehouse, results: Sequence[CheckResult]) -> pd.DataFrame:
    """Return the records that failing tests with `finds` point at: the columns of `FLAG_COLUMNS`, all text."""
    queries = [_flags_sql(r) for r in results if r.failures and r.meta.get("finds")]
    return warehouse.query(" union all ".join(queries)) if queries else pd.DataFrame(columns=FLAG_COLUMNS)


def _row(result: CheckResult, tested: int, finding: str, accept: Collection[str]) -> tuple[Any, ...]:
    meta, column, table = result.meta, result.column, str(result.meta.get("table") or result.table)
    failing = min(result.failures, tested) if tested else result.failures
    state = _STATES.get(result.state, "broken")
    score: float | None = 100.0 * (1 - failing / tested) if tested else 100.0 if not failing else 0.0
    if state == "broken":
        score = 0.0
    nothing_to_test = not tested and state == "passed"
    if nothing_to_test or (result.generic == "not_null" and result.severity == "warn" and tested and failing == tested):
        state, score = "absent", None
    if result.name in accept and state in ("warned", "failed"):
        state, score = "accepted", None
    expected = _SENTENCES.get(result.generic, result.generic).format(table=table, column=column or "the key")
    sentence = str(meta.get("description") or result.description or expected)
    field = meta.get("field") or meta.get("finds", {}).get("field") or column
    dimension = dimension_of(result.generic, meta)
    return (
        *(result.name, " ".join(sentence.split()), dimension, result.severity, table, column),
        *(failing, tested, score, state, meta.get("rule", ""), field),
        *(float(meta.get("weight", 1)), bool(meta.get("refuses", False)), finding),
    )


def _findings(warehouse: Warehouse, results: Sequence[CheckResult]) -> dict[str, str]:
    """Return the sentence in which a failing test that refuses says what it found."""
    told = {r.name: f"select min(finding) as finding from ({r.sql}) as t" for r in results if r.meta.get("finding")}
    failed = {r.name for r in results if r.failures}
    return {name: str(warehouse.query(sql)["finding"][0]) for name, sql in told.items() if name in failed}


def _tested_rows(warehouse: Warehouse, results: Sequence[CheckResult]) -> dict[str, int]:
    """Return how many rows each test looked at, in one query."""
    counts = {r.name: _tested_sql(r) for r in results}
    distinct = list(dict.fromkeys(counts.values()))
    sql = " union all ".join(f"select {i} as number, ({q}) as tested" for i, q in enumerate(distinct))
    tested = warehouse.query(sql).set_index("number")["tested"] if distinct else pd.Series(dtype=int)
    return {name: int(tested[distinct.index(q)] or 0) for name, q in counts.items()}


def _tested_sql(result: CheckResult) -> str:
    """Return the query that counts what a test looks at: the rows of its table that its condition picks."""
    if result.meta.get("tested"):
        return str(result.meta["tested"])
    conditions = [f"({result.where})"] if result.where else []
    if result.generic in ("relationships", "delivered"):
        conditions.append(f"{result.column} is not null")
    condition = f" where {' and '.join(conditions)}" if conditions else ""
    return f"select count(*) from {result.meta.get('table') or result.table}{condition}"


def _flags_sql(result: CheckResult) -> str:
    """Return the query that gives a failing test's flags."""
    meta = result.meta
    finds = meta["finds"]
    entity = text_literal(finds["entity"]) if finds["entity"] in ENTITIES else finds["entity"]
    constant = {"rule": meta.get("rule", ""), "check_name": result.name, "field": finds["field"]}
    values = {name: text_literal(str(value)) for name, value in constant.items()}
    values |= {name: finds[name] for name in ("source", "key", "family")}
    values |= {"entity": entity, "value": finds.get("value") or finds["field"] or "null"}
    listed = ", ".join(f"cast({values[name]} as varchar) as {name}" for name in FLAG_COLUMNS)
    return f"select {listed} from ({result.sql}) as failing"
