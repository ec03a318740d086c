"""How good the checks are: what they found, held against the ledger of what the simulated shop's systems spoiled.

Nothing else reads the ledger, and nothing here changes a table: without a ledger all is the same but this comparison.
The measures (docs/quality.md says them at more length):

    recall           of the planted defects, the share that was found: a rule of its kind has a finding on its record,
                     or on another record of the same order, customer, product or event
    precision        of the findings, the share that is right: the ledger names the record, or one of the same family
    repair accuracy  of the spoiled cells that can be repaired and were found, the share that now holds the value it
                     had before; a duplicate is right where it was merged

A planted defect is a record (system, entity, key) and a kind, a finding a record (source, entity, key) and a rule, each
counted once. Debatable defects are not counted as planted, and a finding on one is not held to be wrong. Rules that
only anomalies are found by are judged apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import pandas as pd

from lib.clean.rules import RULES
from lib.entities import ENTITIES
from lib.lake import duckdb_limits
from lib.settings import Settings
from lib.shop import ledger
from lib.shop.defects import KINDS
from lib.shop.opening import LEDGER
from lib.warehouse import Warehouse

#: The rules that find each kind of defect.
FOUND_BY: dict[str, tuple[str, ...]] = {
    "exact_duplicate": ("exact_duplicate",),
    "near_duplicate": ("exact_duplicate",),
    "resent_changed": ("conflicting_duplicate",),
    "missing_value": ("missing",),
    "whitespace": ("whitespace",),
    "letter_case": ("letter_case",),
    "mojibake": ("encoding",),
    "number_text": ("number_text",),
    "date_format": ("date_format",),
    "ambiguous_date": ("ambiguous_date",),
    "local_time": ("zone_missing",),
    "invalid_email": ("invalid_email",),
    "invalid_country": ("invalid_country",),
    "invalid_currency": ("invalid_currency",),
    "wrong_sign": ("wrong_sign",),
    "zeroed": ("zeroed",),
    "wrong_unit": ("wrong_unit",),
    "future_date": ("date_in_future",),
    "before_signup": ("ordered_before_signup",),
    "out_of_sequence": ("paid_before_ordered", "shipped_before_ordered"),
    "orphan": ("unknown_order", "unknown_customer", "unknown_product"),
    "total_mismatch": ("order_total",),
    "payment_mismatch": ("payment_total",),
    "price_spike": ("price_outlier", "amount_outlier"),
    "category_swap": ("category_swap",),
    "double_customer": ("double_customer",),
    "late_event": ("late_event",),
    "duplicated_event": ("repeated_event",),
    "volume_change": ("unusual_volume",),
    "stale_source": ("stale_source",),
}


#: Kinds that add a whole record: the second one is merged into the first, and no cell is repaired.
MERGED = ("exact_duplicate", "near_duplicate", "duplicated_event")


#: Rules by which what can be repaired or refused is found; the others find anomalies alone.
SCORED_RULES = {
    r for kind, rules in FOUND_BY.items() if KINDS[kind].label in ("repairable", "rejectable") for r in rules
}


ANOMALY_RULES = {r for kind, rules in FOUND_BY.items() if KINDS[kind].label == "anomaly" for r in rules} - SCORED_RULES


#: How many examples of what was missed, or wrong, are kept of each kind or rule.
EXAMPLES = 20


@dataclass(frozen=True)
class Scorecard:
    """The checks' findings held against the ledger.

    `kinds` has a row a kind: kind, label, says, planted, found, recall, flagged (findings by its rules), right,
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
    """Return how the warehouse's findings fare against the ledger; nothing where no ledger is kept, or all is whole."""
    rows = ledger.read(settings.data_dir / LEDGER)
    if rows is None or not rows.num_rows:
        return None
    with duckdb.connect(config=duckdb_limits(settings)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, table in {"ledger": rows, "said": warehouse.query(_FINDINGS), **_meanings()}.items():
            connection.register(name, table)
        for sql in _STEPS:
            connection.execute(sql)
        figures = connection.execute(_SUMMARY).df().iloc[0].to_dict()
        return Scorecard(
            kinds=connection.execute(_KINDS).df(),
            summary={k: None if pd.isna(v) else float(v) if _is_share(k) else int(v) for k, v in figures.items()},
            missed=connection.execute(_MISSED, [EXAMPLES]).df(),
            wrong=connection.execute(_WRONG, [EXAMPLES]).df(),
            misrepaired=connection.execute(_MISREPAIRED, [EXAMPLES]).df(),
        )


def _is_share(name: str) -> bool:
    return any(word in name for word in ("recall", "precision", "accuracy"))


def _meanings() -> Mapping[str, pd.DataFrame]:
    """Return what the SQL needs to know of kinds, rules and columns, as small tables."""
    kinds = [(n, kind, KINDS[kind].label, KINDS[kind].says, kind in MERGED) for n, kind in enumerate(KINDS)]
    found_by = [(kind, rule) for kind, rules in FOUND_BY.items() for rule in rules]
    families = {"order_items": "orders", "payments": "orders", "order_lines": "orders"}
    types = {"timestamp": "time", "amount": "number", "quantity": "number", "measure": "number", "integer": "number"}
    faults = [
        (rule, "scored" if rule in SCORED_RULES else "anomaly" if rule in ANOMALY_RULES else "other", what.level)
        for rule, what in RULES.items()
        if what.is_fault
    ]
    columns = [(e.name, c.name, types.get(c.kind, "text")) for e in ENTITIES.values() for c in e.columns]
    return {
        "kinds": pd.DataFrame(kinds, columns=["number", "kind", "label", "says", "is_merged"]),
        "found_by": pd.DataFrame(found_by, columns=["kind", "rule"]),
        # An order and its lines and payments are one family; ids of other entities mean something else.
        "families": pd.DataFrame([(e, families.get(e, e)) for e in ENTITIES], columns=["entity", "kin"]),
        "faults": pd.DataFrame(faults, columns=["rule", "judged", "level"]),
        "columns": pd.DataFrame(columns, columns=["entity", "field", "type"]),
    }


#: What rules and checks found, on either engine. A row that states no key is known by its place.
_FINDINGS = """
select
    rule, source, entity, coalesce(key, source_file || '#' || cast(source_row as varchar)) as key, family, field,
    outcome, before, after
from quality.record_findings
union all
select rule, source, entity, key, family, field, 'flagged' as outcome, value as before, null as after
from quality.flags
"""


_STEPS = (
    # One row per cell that was spoiled.
    """
    create temp table cells as
    select
        ledger.system, coalesce(ledger.entity, '') as entity, ledger.key, ledger.kind, ledger.label,
        coalesce(families.kin, '') as kin, ledger.family, ledger.field, ledger.before, ledger.after
    from ledger
    left join families using (entity)
    """,
    # One row per finding.
    """
    create temp table findings as
    select
        said.rule, any_value(faults.judged) as judged, coalesce(said.source, '') as source,
        coalesce(said.entity, '') as entity, coalesce(said.key, '') as key,
        coalesce(any_value(families.kin), '') as kin,
        any_value(said.family) as family, any_value(said.field) as field, any_value(said.before) as before,
        any_value(said.after) as after, bool_or(said.outcome = 'merged') as is_merged
    from said
    join faults using (rule)
    left join families on families.entity = said.entity
    group by said.rule, coalesce(said.source, ''), coalesce(said.entity, ''), coalesce(said.key, '')
    """,
    # One row per finding, with whether the ledger names its record or family.
    """
    create temp table judged as
    with records as (select distinct system, entity, key from cells),
    kin as (select distinct kin, family from cells where family is not null)
    select findings.*, records.key is not null or kin.family is not null as is_right
    from findings
    left join records on records.system = findings.source and records.entity = findings.entity
        and records.key = findings.key
    left join kin on kin.kin = findings.kin and kin.family = findings.family
    """,
    # One row per planted defect: a record and a kind.
    """
    create temp table planted as
    with grouped as (
        select
            system, entity, key, kind, kin, any_value(family) as family, min(field) as field, min(before) as before,
            min(after) as after,
            coalesce(min(label) filter (where label <> 'debatable'), 'debatable') as label
        from cells
        group by system, entity, key, kind, kin
    ),
    named as (select found_by.kind, findings.* from findings join found_by using (rule)),
    records as (select kind, source, entity, key, bool_or(is_merged) as is_merged from named group by all),
    families as (select distinct kind, kin, family from named where family is not null)
    select
        grouped.*, records.kind is not null or families.kind is not null as is_found,
        coalesce(records.is_merged, false) as is_merged
    from grouped
    left join records on records.kind = grouped.kind and records.source = grouped.system
        and records.entity = grouped.entity and records.key = grouped.key
    left join families on families.kind = grouped.kind and families.kin = grouped.kin
        and families.family = grouped.family
    """,
    # A value in the form in which two that mean the same are equal.
    """
    create temp macro canonical(said, type) as coalesce(
        case type
            when 'number' then cast(try_cast(said as decimal(38, 6)) as varchar)
            when 'time' then cast(try_cast(said as timestamptz) as varchar)
        end,
        said
    )
    """,
    # One row per cell that was repaired: what it was made, by the last level of rules that did so.
    """
    create temp table repairs as
    with repaired as (
        select
            said.source, said.entity, said.key, said.field, said.after, canonical(said.after, columns.type) as value,
            faults.level = 'set' as is_last
        from said
        join faults using (rule)
        left join columns on columns.entity = said.entity and columns.field = said.field
        where said.outcome = 'repaired'
    )
    select
        source, entity, key, field,
        coalesce(min(after) filter (where is_last), min(after)) as repaired_to,
        coalesce(list(distinct value) filter (where is_last), list(distinct value)) as values
    from repaired
    group by source, entity, key, field
    """,
    # One row per defect that can be put right and was found: a cell, or a record to be merged. A cell of a record that
    # was delivered in several versions has as many values before, and each that it was made must be one of them.
    """
    create temp table put_right as
    with spoiled as (
        select
            cells.system, cells.entity, cells.key, cells.kind, cells.field, min(cells.before) as before,
            min(cells.after) as after, list(distinct canonical(cells.before, columns.type)) as values
        from cells
        join kinds on kinds.kind = cells.kind and not kinds.is_merged and kinds.label = 'repairable'
        left join columns on columns.entity = cells.entity and columns.field = cells.field
        where cells.label = 'repairable' and cells.field <> ''
        group by cells.system, cells.entity, cells.key, cells.kind, cells.field
    )
    select
        spoiled.system, spoiled.entity, spoiled.key, spoiled.kind, spoiled.field, spoiled.before, spoiled.after,
        repairs.repaired_to, coalesce(list_has_all(spoiled.values, repairs.values), false) as is_right
    from spoiled
    join planted on planted.system = spoiled.system and planted.entity = spoiled.entity and planted.key = spoiled.key
        and planted.kind = spoiled.kind and planted.is_found
    left join repairs on repairs.source = spoiled.system and repairs.entity = spoiled.entity
        and repairs.key = spoiled.key and repairs.field = spoiled.field
    union all
    select
        planted.system, planted.entity, planted.key, planted.kind, '' as field, planted.before, planted.after,
        case when planted.is_merged then 'merged' end as repaired_to, planted.is_merged as is_right
    from planted
    join kinds on kinds.kind = planted.kind and kinds.is_merged
    where planted.is_found and planted.label = 'repairable'
    """,
)


_KINDS = """
with planted as (
    -- A kind that is debatable as a whole is shown, and counted nowhere else.
    select planted.kind, count(*) as planted, count(*) filter (where planted.is_found) as found
    from planted
    join kinds using (kind)
    where planted.label <> 'debatable' or kinds.label = 'debatable'
    group by planted.kind
),
flagged as (
    select found_by.kind, count(*) as flagged, count(*) filter (where judged.is_right) as right_ones
    from judged
    join found_by using (rule)
    group by found_by.kind
),
put_right as (
    select kind, count(*) as repaired, count(*) filter (where is_right) as repaired_right
    from put_right
    group by kind
)
select
    kinds.kind,
    kinds.label,
    kinds.says,
    coalesce(planted, 0) as planted,
    coalesce(found, 0) as found,
    found / nullif(planted, 0) as recall,
    coalesce(flagged, 0) as flagged,
    coalesce(right_ones, 0) as right,
    right_ones / nullif(flagged, 0) as precision,
    coalesce(repaired, 0) as repaired,
    coalesce(repaired_right, 0) as repaired_right,
    repaired_right / nullif(repaired, 0) as accuracy
from kinds
left join planted using (kind)
left join flagged using (kind)
left join put_right using (kind)
order by kinds.number
"""


_SUMMARY = """
with planted as (
    select
        count(*) filter (where label in ('repairable', 'rejectable')) as planted,
        count(*) filter (where is_found and label in ('repairable', 'rejectable')) as found,
        avg(is_found::int) filter (where label in ('repairable', 'rejectable')) as recall,
        avg(is_found::int) filter (where label = 'repairable') as recall_repairable,
        avg(is_found::int) filter (where label = 'rejectable') as recall_rejectable,
        count(*) filter (where label = 'anomaly') as anomalies,
        avg(is_found::int) filter (where label = 'anomaly') as anomaly_recall,
        count(*) filter (where label = 'debatable') as debatable
    from planted
),
judged as (
    select
        count(*) filter (where judged = 'scored') as findings,
        avg(is_right::int) filter (where judged = 'scored') as precision,
        count(*) filter (where judged = 'anomaly') as anomaly_findings,
        avg(is_right::int) filter (where judged = 'anomaly') as anomaly_precision,
        count(*) filter (where judged = 'other') as other_findings
    from judged
),
put_right as (select avg(is_right::int) as repair_accuracy from put_right)
select * from planted, judged, put_right
"""


_MISSED = """
select kind, label, system, entity, key, family, field, before, after
from planted
where not is_found and label <> 'debatable'
qualify row_number() over (partition by kind order by hash(key), entity, system) <= ?
order by kind, entity, key
"""


_WRONG = """
select rule, source, entity, key, family, field, before, after
from judged
where not is_right
qualify row_number() over (partition by rule order by hash(key), entity, source) <= ?
order by rule, entity, key
"""


_MISREPAIRED = """
select kind, system, entity, key, field, before, after, repaired_to
from put_right
where not is_right
qualify row_number() over (partition by kind order by hash(key), entity, system) <= ?
order by kind, entity, key
"""
