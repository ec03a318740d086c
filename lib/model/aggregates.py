"""The tables of `analytics` held against the facts they are made of, by sums that no model computes."""

import pandas as pd

from lib.base.errors import TransformError
from lib.base.queries import read_query
from lib.warehouse import Warehouse


def against_facts(warehouse: Warehouse) -> pd.DataFrame:
    """Return each measure of an aggregate with its sum there and in the facts: aggregate, measure, facts, found.

    Raises TransformError, naming each that differs: nothing of such tables may be published.
    """
    sums = warehouse.query(read_query("queries/model/aggregates"))
    wrong = sums[sums["difference"] != 0]
    if len(wrong):
        lines = [
            f"analytics.{row['aggregate']}.{row['measure']} sums to {row['found']:,}, the facts to {row['facts']:,}"
            for row in wrong.to_dict("records")
        ]
        raise TransformError(
            "\n".join([*lines, "Nothing was published. Build all tables anew: run_pipeline.py --full-refresh"])
        )
    return sums.drop(columns="difference")
