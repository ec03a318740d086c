"""Checks: what the dbt tests of `sql/` found, as rows for people and as flags on records. Scoring is in
`lib.quality.score`.

A test says in its `meta` what it is about: `dimension`, `says` (a sentence of what should hold), `rule` (a name of
`lib.clean.rules.RULES`), `field` (the column at fault) and, where it is not the table that it is attached to, `table`
and `tested` (a query that counts the rows looked at). `finds` names the faulty records in the test's result: `entity`
(a name, or an SQL expression) and SQL expressions for `source`, `key` and `family`; `field` is the column at fault,
and `value` an expression for what stands there, where it is not that column.
"""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lib.base.quoting import text_literal
from lib.entities import ENTITIES
from lib.model.dbt import NodeResult
from lib.warehouse import Warehouse

COLUMNS = [
    *("check_name", "description", "dimension", "severity", "table_name", "column_name"),
    *("failing_rows", "tested_rows", "score", "state", "rule", "field"),
]


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


#: What identifies records, in the order of `ENTITIES`.
_KEYS = list(dict.fromkeys(column for entity in ENTITIES.values() for column in entity.key))


def read(warehouse: Warehouse, results: Sequence[NodeResult]) -> pd.DataFrame:
    """Return a row a test: the columns of `COLUMNS`; `score` is 0 to 100, null where the check is not scored.

    `state` is passed, warned, failed, broken (the test could not be run) or absent: there is nothing to look at, or
    the shop does not have the column at all.
    """
    tested = _tested_rows(warehouse, results)
    return pd.DataFrame([_row(r, warehouse, tested[r.name]) for r in results], columns=COLUMNS)


def failing_sql(results: Sequence[NodeResult]) -> dict[str, str]:
    """Return, for each test that found rows which can be shown, the query that gives them."""
    return {r.name: str(r.node.compiled_code) for r in results if r.failures and _selects_rows(r)}


def flagged(warehouse: Warehouse, results: Sequence[NodeResult]) -> pd.DataFrame:
    """Return the records that failing tests with `finds` point at: the columns of `FLAG_COLUMNS`, all text."""
    queries = [_flags_sql(r) for r in results if r.failures and r.node.config.meta.get("finds")]
    return warehouse.query(" union all ".join(queries)) if queries else pd.DataFrame(columns=FLAG_COLUMNS)


def sample(warehouse: Warehouse, sql: str, field: str, limit: int) -> pd.DataFrame:
    """Return up to `limit` rows of a failing test: what identifies them first, then the field at fault, then the rest.

    Columns that only the pipeline needs, their names beginning with `_`, are left out.
    """
    rows = warehouse.query(f"select * from ({sql}) as failing order by 1 limit {int(limit)}")
    shown = [str(c) for c in rows.columns if not str(c).startswith("_")]
    first = [c for c in shown if c in _KEYS] + [c for c in shown if c == field and c not in _KEYS]
    return rows[first + [c for c in shown if c not in first]]


def _row(result: NodeResult, warehouse: Warehouse, tested: int) -> tuple[Any, ...]:
    node, meta = result.node, result.node.config.meta
    severity, test, column = str(node.config.severity).lower(), _test(node), getattr(node, "column_name", None) or ""
    failing = min(result.failures, tested) if tested else result.failures
    state = _STATES.get(result.state, "broken")
    score: float | None = 100.0 * (1 - failing / tested) if tested else 100.0 if not failing else 0.0
    if state == "broken":
        score = 0.0
    nothing_to_test = not tested and state == "passed"
    if nothing_to_test or (test == "not_null" and severity == "warn" and tested and failing == tested):
        state, score = "absent", None
    says = meta.get("says") or node.description or _sentence(test, column or "the key", _table(node, warehouse))
    field = meta.get("field") or meta.get("finds", {}).get("field") or column
    return (
        *(result.name, " ".join(str(says).split()), meta.get("dimension") or _DIMENSIONS.get(test, "consistency")),
        *(severity, _table(node, warehouse), column, failing, tested, score, state, meta.get("rule", ""), field),
    )


def _test(node: Any) -> str:
    """Return the name of the generic test that a test is, nothing where it has a file of its own."""
    return str(node.test_metadata.name) if getattr(node, "test_metadata", None) else ""


def _sentence(test: str, column: str, table: str) -> str:
    """Say what a plain dbt test expects, for an owner to read."""
    sentences = {
        "not_null": f"every row of {table} states its {column}",
        "unique": f"no {column} stands twice in {table}",
        "relationships": f"every {column} of {table} is known",
    }
    return sentences.get(test, test)


def _table(node: Any, warehouse: Warehouse) -> str:
    """Return schema.table of what a test looks at."""
    if node.config.meta.get("table"):
        return str(node.config.meta["table"])
    if not getattr(node, "attached_node", None):
        return ""
    name = node.attached_node.rsplit(".", 1)[-1]
    named = re.findall(r'"[^"]+"\."([^"]+)"\."([^"]+)"', str(node.compiled_code or ""))
    schema = next((schema for schema, table in named if table == name), None)
    return f"{warehouse.logical(schema)}.{name}" if schema else name


def _tested_rows(warehouse: Warehouse, results: Sequence[NodeResult]) -> dict[str, int]:
    """Return how many rows each test looked at, in one query."""
    counts = {r.name: _tested_sql(r.node, _table(r.node, warehouse)) for r in results}
    distinct = list(dict.fromkeys(counts.values()))
    sql = " union all ".join(f"select {i} as number, ({q}) as tested" for i, q in enumerate(distinct))
    tested = warehouse.query(sql).set_index("number")["tested"] if distinct else pd.Series(dtype=int)
    return {name: int(tested[distinct.index(q)] or 0) for name, q in counts.items()}


def _tested_sql(node: Any, table: str) -> str:
    """Return the query that counts what a test looks at: the rows of its table that its condition picks."""
    if node.config.meta.get("tested"):
        return str(node.config.meta["tested"])
    conditions = [f"({node.config.where})"] if node.config.where else []
    if _test(node) in ("relationships", "delivered"):
        conditions.append(f"{node.column_name} is not null")
    condition = f" where {' and '.join(conditions)}" if conditions else ""
    return f"select count(*) from {table}{condition}"


def _selects_rows(result: NodeResult) -> bool:
    """Whether a test's query gives whole rows, which can be shown."""
    return str(result.node.config.fail_calc) == "count(*)" and bool(result.node.config.meta.get("rows", True))


def _flags_sql(result: NodeResult) -> str:
    """Return the query that gives a failing test's flags."""
    meta = result.node.config.meta
    finds = meta["finds"]
    entity = text_literal(finds["entity"]) if finds["entity"] in ENTITIES else finds["entity"]
    constant = {"rule": meta.get("rule", ""), "check_name": result.name, "field": finds["field"]}
    values = {name: text_literal(str(value)) for name, value in constant.items()}
    values |= {name: finds[name] for name in ("source", "key", "family")}
    values |= {"entity": entity, "value": finds.get("value") or finds["field"] or "null"}
    listed = ", ".join(f"cast({values[name]} as varchar) as {name}" for name in FLAG_COLUMNS)
    return f"select {listed} from ({result.node.compiled_code}) as failing"
