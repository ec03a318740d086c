"""What became of the rows: accounting by source and entity, quarantine, and what the rules found."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from lib.base.formatting import listing
from lib.base.queries import read_query
from lib.clean.rules import RULES
from lib.warehouse import Warehouse

#: How the figures of `accounting` add up.
ACCOUNTING = (
    "read = replaced + staged; staged = clean + exact duplicates + older versions + restated + in another source"
    " + quarantined + left out"
)


def accounting(warehouse: Warehouse) -> pd.DataFrame:
    """Return, by source and entity, what became of every staged row."""
    return warehouse.query("select * from quality.row_accounting order by source, entity")


def merged_rows(rows: pd.DataFrame) -> int:
    """Return how many staged rows `accounting` counts as merged into others."""
    return int(rows[["exact_duplicates", "older_versions", "restated_rows", "in_another_source"]].sum().sum())


def quarantine_reasons(warehouse: Warehouse) -> pd.DataFrame:
    """Return how many rows wait in quarantine, by source, entity and rule, each with one reason as an example."""
    return warehouse.query(read_query("queries/clean/quarantine_reasons"))


def rule_counts(warehouse: Warehouse) -> pd.DataFrame:
    """Return what the rules found, a row a rule, outcome, source and entity, the most frequent first.

    Columns: rule, outcome, source, entity, found, and one example: field, key, before, after.
    """
    return warehouse.query(read_query("queries/clean/rule_counts"))


def quoted_example(row: Mapping[Any, Any]) -> str:
    """Return the example of a row of `rule_counts`, its value before and after in quotes."""
    return " → ".join(f"“{text}”" for text in (row["before"], row["after"]) if pd.notna(text))


def by_rule(counts: pd.DataFrame, example: Callable[[Mapping[Any, Any]], Any] = quoted_example) -> pd.DataFrame:
    """Return `rule_counts` for people to read, a row a rule and outcome.

    Columns: rule, what is done, outcome, found, of, example.
    `of` names the entities with their sources and counts, those with the most findings first.
    """
    rows = []
    for (name, outcome), group in counts.groupby(["rule", "outcome"], sort=False):
        rule = str(name)
        places = [
            f"{entity.replace('_', ' ')} of {source} ({found:,})"
            for entity, source, found in group[["entity", "source", "found"]].values
        ]
        of = listing(places[:2] + ([f"{len(places) - 2} more"] if len(places) > 2 else []))
        # A row without a needed value is in quarantine under `missing_<column>`.
        known = RULES.get("missing" if rule.startswith("missing_") else rule)
        first = example(group.iloc[0].to_dict())
        rows.append(
            (rule.replace("_", " "), known.description if known else "", outcome, int(group["found"].sum()), of, first)
        )
    frame = pd.DataFrame(rows, columns=["rule", "what is done", "outcome", "found", "of", "example"])
    return frame.sort_values("found", ascending=False, kind="stable").reset_index(drop=True)


def repaired_cells(warehouse: Warehouse, per_rule: int = 3) -> pd.DataFrame:
    """Return some repaired cells of each row rule: rule, source, entity, key, field, before, after."""
    return warehouse.query(read_query("queries/clean/repaired_cells"), [per_rule])
