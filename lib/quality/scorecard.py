"""How good the checks are: what they found, held against the ledger of what the simulated shop's systems spoiled.

Nothing else reads the ledger, and nothing here changes a table: without a ledger all is the same but this comparison.
It is made on DuckDB in memory, whatever the warehouse's engine, by the queries in `sql/scorecard`. The measures
(docs/quality.md describes them at more length):

    recall           of the planted defects, the share that was found: a rule of its kind has a finding on its record,
                     or on another record of the same order, customer, product or event
    precision        of the findings, the share that is right: the ledger names the record, or one of the same family
    repair accuracy  of the spoiled cells that can be repaired and were found, the share that now holds the value it
                     had before; a duplicate is right where it was merged

A planted defect is a record (system, entity, key) and a kind, a finding a record (source, entity, key) and a rule, each
counted once. Debatable defects are not counted as planted, and a finding on one is not held to be wrong. Rules that
only anomalies are found by are judged apart.
"""

from dataclasses import dataclass

import duckdb
import pandas as pd
from pandas.api.types import is_float_dtype

from lib.base.queries import read_query
from lib.clean.rules import RULES
from lib.entities import ENTITIES
from lib.lake import duckdb_limits
from lib.settings import Settings
from lib.shop import ledger
from lib.shop.defects import KINDS
from lib.shop.opening import LEDGER
from lib.warehouse import Warehouse

#: The rules that find a kind of defect, where it is not the one rule of the same name.
_OTHER_RULES: dict[str, tuple[str, ...]] = {
    "near_duplicate": ("exact_duplicate",),
    "resent_changed": ("conflicting_duplicate",),
    "missing_value": ("missing",),
    "mojibake": ("encoding",),
    "local_time": ("zone_missing",),
    "future_date": ("date_in_future",),
    "before_signup": ("ordered_before_signup",),
    "out_of_sequence": ("paid_before_ordered", "shipped_before_ordered"),
    "orphan": ("unknown_order", "unknown_customer", "unknown_product"),
    "total_mismatch": ("order_total",),
    "payment_mismatch": ("payment_total",),
    "price_spike": ("price_outlier", "amount_outlier"),
    "duplicated_event": ("repeated_event",),
    "volume_change": ("unusual_volume",),
}
FOUND_BY = {kind: _OTHER_RULES.get(kind, (kind,)) for kind in KINDS}

#: Kinds that add a whole record: the second one is merged into the first, and no cell is repaired.
MERGED = ("exact_duplicate", "near_duplicate", "duplicated_event")

#: An order and its lines and payments are one family; ids of other entities mean something else.
_GROUPS = dict.fromkeys(("order_items", "payments", "order_lines"), "orders")

#: How values of a kind of column are compared: as numbers, as times, else as texts.
_TYPES = {"timestamp": "time"} | dict.fromkeys(("amount", "quantity", "measure"), "number")

#: The tables of the comparison, in the order in which their queries build on each other.
_STEPS = ("cells", "findings", "planted", "repairs", "corrections")

#: How many examples of what was missed, or wrong, are kept of each kind or rule.
EXAMPLES = 20


@dataclass(frozen=True)
class Scorecard:
    """The checks' findings held against the ledger.

    `kinds` has a row a kind: kind, label, description, planted, found, recall, flagged (findings by its rules), right,
    precision, repaired (defects that could be put right and were found), repaired_right, accuracy; shares are null
    where there is nothing to take them of. `summary` has planted, found, recall, recall_repairable, recall_rejectable,
    findings, precision, repair_accuracy, anomalies, anomaly_recall, anomaly_findings, anomaly_precision, debatable (how
    many planted defects are left out) and other_findings (by rules that no kind is found by). Up to 20 examples of a
    kind or rule each: `missed` (planted and not found), `wrong` (found and not planted), `misrepaired` (spoiled cells
    that were found and do not hold their value before).
    """

    kinds: pd.DataFrame
    summary: dict[str, float | int | None]
    missed: pd.DataFrame
    wrong: pd.DataFrame
    misrepaired: pd.DataFrame


def compare(settings: Settings, warehouse: Warehouse) -> Scorecard | None:
    """Return how the warehouse's findings fare against the ledger; None where no ledger is kept or nothing spoiled."""
    rows = ledger.read(settings.data_dir / LEDGER)
    if rows is None or not rows.num_rows:
        return None
    given = {"ledger": rows, "reported": warehouse.query(read_query("queries/quality/findings")), **_definitions()}
    with duckdb.connect(config=duckdb_limits(settings)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, table in given.items():
            connection.register(name, table)
        for step in _STEPS:
            connection.execute(f"create temp table {step} as {read_query(f'scorecard/{step}')}")
        kinds, summary = (connection.execute(read_query(f"scorecard/{name}")).df() for name in ("kinds", "summary"))
        missed, wrong, misrepaired = (
            connection.execute(read_query(f"scorecard/{name}"), [EXAMPLES]).df()
            for name in ("missed", "wrong", "misrepaired")
        )
    figures = {
        name: None if pd.isna(value) else float(value) if is_float_dtype(summary[name]) else int(value)
        for name, value in summary.iloc[0].items()
    }
    return Scorecard(kinds, figures, missed, wrong, misrepaired)


def _definitions() -> dict[str, pd.DataFrame]:
    """Return what the queries need to know of kinds, rules and columns, as small tables."""
    # A rule that finds defects of both classes is judged with what can be repaired or rejected.
    classes = {"anomaly": "anomaly", "repairable": "scored", "rejectable": "scored"}
    class_of = {r: classes[label] for label in classes for k in KINDS if KINDS[k].label == label for r in FOUND_BY[k]}
    faults = [(rule, class_of.get(rule, "other"), what.level) for rule, what in RULES.items() if what.is_fault]
    kinds = [(n, kind, what.label, what.description, kind in MERGED) for n, (kind, what) in enumerate(KINDS.items())]
    columns = [(e.name, c.name, _TYPES.get(c.kind, "text")) for e in ENTITIES.values() for c in e.columns]
    return {
        "kinds": pd.DataFrame(kinds, columns=["number", "kind", "label", "description", "is_merged"]),
        "found_by": pd.DataFrame([(k, r) for k, rules in FOUND_BY.items() for r in rules], columns=["kind", "rule"]),
        "families": pd.DataFrame([(e, _GROUPS.get(e, e)) for e in ENTITIES], columns=["entity", "entity_group"]),
        "faults": pd.DataFrame(faults, columns=["rule", "class", "level"]),
        "columns": pd.DataFrame(columns, columns=["entity", "field", "type"]),
    }
