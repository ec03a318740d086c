"""What became of the rows: accounting by source and entity, quarantine, and what the rules found."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from lib.base.formatting import listing
from lib.clean.rules import RULES
from lib.entities import ENTITIES
from lib.warehouse import Warehouse

#: How the figures of `accounting` hang together.
ACCOUNTING = (
    "read = replaced + staged; staged = clean + exact duplicates + older versions + in another source + quarantined"
)


def accounting(warehouse: Warehouse) -> pd.DataFrame:
    """Return, by source and entity, what became of every staged row."""
    return warehouse.query("select * from quality.row_accounting order by source, entity")


def merged_rows(rows: pd.DataFrame) -> int:
    """Return how many staged rows `accounting` counts as merged into others."""
    return int(rows[["exact_duplicates", "older_versions", "in_another_source"]].sum().sum())


def quarantine_reasons(warehouse: Warehouse) -> pd.DataFrame:
    """Return how many rows wait in quarantine, by source, entity and rule, each with one reason as an example."""
    return warehouse.query(
        " union all ".join(
            f"select _source as source, '{e}' as entity, _rule as rule, count(*) as rows, min(_reason) as example"
            f" from quarantine.{e} group by _source, _rule"
            for e in ENTITIES
        )
        + " order by rows desc, source, entity, rule"
    )


def rule_counts(warehouse: Warehouse, table: str = "quality.record_findings") -> pd.DataFrame:
    """Return what the rules found, a row a rule, outcome, source and entity, the most frequent first.

    Columns: rule, says, outcome, source, entity, found, and one example: before, after. `table` may also be
    `stage.row_findings`: what the row rules found, before the models are built.
    """
    own = "_" if table.startswith("stage.") else ""
    frame = warehouse.query(
        f"""
        with ranked as (
            select
                rule, outcome, {own}source as source, entity, before, after,
                count(*) over (partition by rule, outcome, {own}source, entity) as found,
                row_number() over (
                    partition by rule, outcome, {own}source, entity
                    order by case when before is null then 1 else 0 end, length(before), before, after, key
                ) as place
            from {table}
        )
        select rule, outcome, source, entity, found, before, after from ranked where place = 1
        order by found desc, rule, outcome, source, entity
        """
    )
    frame.insert(1, "says", [RULES[rule].says if rule in RULES else "" for rule in frame["rule"]])
    return frame


def quoted_example(row: Mapping[Any, Any]) -> str:
    """Return the example of a row of `rule_counts`, its value before and after in quotes."""
    return " → ".join(f"“{text}”" for text in (row["before"], row["after"]) if pd.notna(text))


def by_rule(counts: pd.DataFrame, example: Callable[[Mapping[Any, Any]], Any] = quoted_example) -> pd.DataFrame:
    """Return `rule_counts` for people to read, a row a rule and outcome.

    Columns: rule, what is done, outcome, found, of, example.
    `of` names the entities with their sources and counts, those with the most findings first.
    """
    rows = []
    for (rule, outcome), group in counts.groupby(["rule", "outcome"], sort=False):
        places = [
            f"{entity.replace('_', ' ')} of {source} ({found:,})"
            for entity, source, found in group[["entity", "source", "found"]].values
        ]
        of = listing(places[:2] + ([f"{len(places) - 2} more"] if len(places) > 2 else []))
        first = group.iloc[0].to_dict()
        rows.append((rule, first["says"], outcome, int(group["found"].sum()), of, example(first)))
    frame = pd.DataFrame(rows, columns=["rule", "what is done", "outcome", "found", "of", "example"])
    frame["rule"] = frame["rule"].str.replace("_", " ")
    return frame.sort_values("found", ascending=False, kind="stable").reset_index(drop=True)


def repaired_cells(warehouse: Warehouse, per_rule: int = 3) -> pd.DataFrame:
    """Return some repaired cells of each row rule: rule, source, entity, key, field, before, after."""
    return warehouse.query(
        """
        with ranked as (
            select
                rule, _source as source, entity, key, field, before, after,
                row_number() over (partition by rule order by length(before), before, entity, key, field) as place
            from stage.row_findings
            where outcome = 'repaired'
        )
        select rule, source, entity, key, field, before, after from ranked where place <= ?
        order by rule, place
        """,
        [per_rule],
    )
