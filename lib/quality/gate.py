"""The gate: why a run is not published. The score of checks says how good rows are, and may be high while revenue is
wrong by half; so the money, what could be used of each source, and control totals are judged on their own.

Each reason says what was found, what was expected, and the key that mends it or lets it pass. What the keys of
`quality` mean is in docs/quality.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.base.errors import did_you_mean
from lib.base.queries import read_query
from lib.clean.accounting import accounting, quarantine_reasons
from lib.config import Config, Gate, Source
from lib.quality.expectations import Totals
from lib.quality.money import PAYMENTS, SALES, Money
from lib.quality.score import Scores
from lib.warehouse import Warehouse

#: Rules by which a row only waits for another one.
WAITING = ("unknown_order", "unknown_customer", "order_in_quarantine")

#: What mends rows in quarantine, by the beginning of the rule that put them there.
_MENDS = {
    "ambiguous_date": "`timestamp_formats` says whether the day or the month comes first, such as ['%m/%d/%Y']",
    "not_a_date": "`timestamp_formats` states how times are written",
    "date_in_future": "`timestamp_formats` states how times are written, `time_zone` in which zone",
    "ambiguous_number": "`decimal` states which mark stands before decimals: '.' or ','",
    "not_a_number": "`decimal` and `thousands` state how numbers are written",
    "not_a_whole_number": "`decimal` and `thousands` state how numbers are written",
    "malformed_line": "`delimiter`, `quote` and `encoding` state how lines are written",
    "amount_too_large": "`columns` says which column is the amount and which an id",
    "missing": "`columns` says in which column it is, `where` which rows count",
    "conflicting_duplicate": "`columns` lacks what tells these rows apart, such as `line_number`, or `updated_at`",
    "reused_order_number": "`columns.order_id` must tell orders apart",
    "unknown_order": "`columns` says which column names the order, `id_prefixes` what its ids begin with",
    "unknown_customer": "`models.unknown_customers: keep` lets such orders count",
}


@dataclass(frozen=True)
class Evidence:
    """What the gate judges beside scores and checks: rows by source and entity, their reasons to wait, and the rest."""

    rows: pd.DataFrame
    quarantine: pd.DataFrame
    unreadable: pd.DataFrame
    business: Mapping[str, int]
    currencies: pd.DataFrame
    money: Money
    totals: Totals


def gather(warehouse: Warehouse, money: Money, totals: Totals) -> Evidence:
    """Return what a copy of the warehouse holds that the gate judges."""
    unreadable = warehouse.query("select source, entity, name, reason from ops.rejected_files order by source, name")
    (business,) = warehouse.query(read_query("queries/quality/business")).to_dict("records")
    counts = {str(name): int(number) for name, number in business.items()}
    foreign = warehouse.query(read_query("queries/quality/currencies"))
    return Evidence(accounting(warehouse), quarantine_reasons(warehouse), unreadable, counts, foreign, money, totals)


def judge(config: Config, checks: pd.DataFrame, scores: Scores, evidence: Evidence) -> list[str]:
    """Return the reasons why the gate refuses, the gravest first; none means that it lets the run publish."""
    gate = config.quality
    reasons = [
        *_unusable(gate, evidence),
        *_silent_mailboxes(gate, config.sources, evidence),
        *_unreadable(gate, config.sources, evidence.unreadable),
        *_quarantined(gate, evidence),
        *_business(gate, evidence.business),
        *_foreign(config, evidence.currencies),
        *_money(gate, evidence.money),
        *evidence.totals.reasons(),
        *_accepted(gate, checks),
    ]
    if not scores.sides:
        return reasons or ["there is not one row to check: no source has delivered any yet"]
    return [*reasons, *_doubtful(checks), *below(gate, scores, checks), *_failed(checks)]


def below(gate: Gate, scores: Scores, checks: pd.DataFrame) -> list[str]:
    """Return the scores that are below what the gate asks for, and the checks that lower them most."""
    reasons = []
    if scores.overall < gate.min_score:
        points = formatting.points(scores.overall)
        worst = min(scores.sides, key=lambda side: scores.sides[side], default="")
        side = f"; {worst} is worst with {formatting.points(scores.sides[worst])}" if worst else ""
        reasons.append(
            f"the overall score is {points}, below the {gate.min_score:g} that pipeline.yml asks for"
            f" (`quality.min_score`){side}{_worst(checks)}"
        )
    for dimension, least in gate.min_dimension.items():
        if dimension in scores.sides and scores.sides[dimension] < least:
            own = "" if reasons else _worst(checks[checks["dimension"] == dimension])
            reasons.append(
                f"{dimension} is {formatting.points(scores.sides[dimension])}, below {least:g}"
                f" (`quality.min_dimension`){own}"
            )
    return reasons


def _worst(checks: pd.DataFrame, most: int = 2) -> str:
    """Return the checks that cost most points, what each of them asks for, and how to accept them."""
    lost = checks["weight"] * (100 - checks["score"])
    worst = checks.assign(lost=lost)[lost > 0].sort_values(["lost", "check_name"], ascending=[False, True]).head(most)
    if worst.empty:
        return ""
    told = [
        f"{check['check_name']}: {check['description']}, but not {formatting.number(check['failing_rows'])} of"
        f" {formatting.number(check['tested_rows'])}"
        for check in worst.to_dict("records")
    ]
    accepted = f"`quality.accept: [{', '.join(worst['check_name'])}]`"
    return f". Most of it by {'; '.join(told)}. Where that is right as it is: {accepted}"


def _unusable(gate: Gate, evidence: Evidence) -> list[str]:
    """Return the sources and entities of which rows were delivered, and not one can be used."""
    reasons = []
    rows = evidence.rows[evidence.rows["staged_rows"] > 0]
    usable = rows["staged_rows"] - rows["quarantined_rows"] - rows["left_out_rows"] > 0
    whole = usable.groupby(rows["source"]).any()
    for row in rows[~usable].to_dict("records"):
        source, entity, count = row["source"], row["entity"], int(row["staged_rows"])
        own = _of(evidence.quarantine, source, entity)
        waiting = int(own.loc[own["rule"].isin(WAITING), "rows"].sum())
        refused = int(row["quarantined_rows"]) - waiting
        key = "max_quarantined" if refused > gate.max_quarantined * count else "max_waiting"
        allowed = refused <= gate.max_quarantined * count and waiting <= gate.max_waiting * count
        if gate.allow_unusable_sources if not whole[source] else allowed:
            continue
        why = _reason(evidence.quarantine, source, entity) or "all are left out (`where` says which rows count)"
        lets = f"`quality.{key}: 1` lets it pass"
        if not whole[source]:
            lets = "nothing of this source can be used; `quality.allow_unusable_sources: true` lets it pass"
        of = f"not one of the {_rows_of(count, entity, source)} can be used"
        of = f"the only one of {entity} that {source} delivers cannot be used" if count == 1 else of
        reasons.append(f"{of}: {why}; {lets}")
    return reasons


def _silent_mailboxes(gate: Gate, sources: Mapping[str, Source], evidence: Evidence) -> list[str]:
    """Return the mailboxes that hold messages, none of which could be read."""
    seen = set(evidence.rows.loc[evidence.rows["staged_rows"] > 0, "source"])
    judged = [n for n, source in sources.items() if source.kind == "mail" and not source.optional and n not in seen]
    messages = evidence.unreadable[evidence.unreadable["source"].isin(judged)]
    return [
        f"nothing of {source} can be used: {formatting.count(len(own), 'message')} could not be read, such as"
        f" {own.iloc[0]['name']}: {own.iloc[0]['reason']} (`layouts` says how messages are written);"
        " `quality.allow_unusable_sources: true` lets it pass"
        for source, own in messages.groupby("source", sort=True)
        if not gate.allow_unusable_sources
    ]


def _unreadable(gate: Gate, sources: Mapping[str, Source], unreadable: pd.DataFrame) -> list[str]:
    """Return the files that could not be read; a mailbox may hold any messages, and what is optional may fail."""
    if gate.allow_unreadable_files:
        return []
    judged = {
        (name, entity)
        for name, source in sources.items()
        for entity, spec in source.entities.items()
        if source.kind != "mail" and not (source.optional or spec.optional)
    }
    of = zip(unreadable["source"], unreadable["entity"], strict=True)
    files = unreadable[pd.Series([one in judged for one in of], index=unreadable.index, dtype=bool)]
    return [
        f"{formatting.count(len(own), 'file')} of {source} could not be read: {own.iloc[0]['name']}"
        f" {own.iloc[0]['reason']}"
        + (f", and {len(own) - 1} more" if len(own) > 1 else "")
        + ". Correct or remove it, or set `optional: true` for the source or entity, or"
        " `quality.allow_unreadable_files: true`"
        for source, own in files.groupby("source", sort=True)
    ]


def _quarantined(gate: Gate, evidence: Evidence) -> list[str]:
    """Return the entities of which too large a share cannot be used, or waits; those wholly so are named before."""
    reasons = []
    for row in evidence.rows.to_dict("records"):
        source, entity = row["source"], row["entity"]
        staged = int(row["staged_rows"]) - int(row["left_out_rows"])
        if not 0 < int(row["quarantined_rows"]) < staged:
            continue
        own = _of(evidence.quarantine, source, entity)
        waits = own["rule"].isin(WAITING)
        for waiting, most, key in (
            (False, gate.max_quarantined, "max_quarantined"),
            (True, gate.max_waiting, "max_waiting"),
        ):
            rows = own[waits == waiting]
            count = int(rows["rows"].sum())
            if count <= most * staged:
                continue
            what = "wait for others" if waiting else "could not be used"
            reasons.append(
                f"{formatting.number(count)} of {_rows_of(staged, entity, source)} {what}"
                f" ({formatting.percent(count / staged)}; `quality.{key}` allows {formatting.percent(most)}):"
                f" {_reason(rows, source, entity)}"
            )
    return reasons


def _business(gate: Gate, business: Mapping[str, int]) -> list[str]:
    """Return that there is no business at all, or that nothing says what the orders come to."""
    if not business["orders"] and not business["events"] and not gate.allow_no_orders_and_events:
        return [
            "there is no order and no event: map orders, order_lines or events of some source, or set"
            " `quality.allow_no_orders_and_events: true`"
        ]
    if business["orders"] and not business["valued_orders"] and not gate.allow_orders_without_amounts:
        return [
            f"none of {formatting.count(business['orders'], 'order')} has a line or an amount: map order_items, or"
            " `total_amount` of orders, or set `quality.allow_orders_without_amounts: true`"
        ]
    return []


def _foreign(config: Config, currencies: pd.DataFrame) -> list[str]:
    """Return the currencies in which there are amounts that cannot be converted."""
    if config.quality.allow_foreign_currencies or currencies.empty:
        return []
    counts = [
        f"{formatting.count(row['rows'], row['entity'][:-1])} in {row['currency']}"
        for row in currencies.to_dict("records")
    ]
    return [
        f"{formatting.listing(counts)} cannot be added to amounts in {config.shop.currency}, as no exchange rate is"
        " known on their days: name a file of rates (columns date, currency, rate) in `shop.exchange_rates`, or leave"
        " them out of all figures with `quality.allow_foreign_currencies: true`"
    ]


def _money(gate: Gate, money: Money) -> list[str]:
    """Return the parts of the money that are larger than the gate lets pass."""
    judged = {
        "quarantined": (gate.max_money_quarantined, "is in quarantine, and not in the figures", ""),
        "unexplained": (
            gate.max_money_unexplained,
            "is what the orders' totals and their lines, or lines and their prices, differ by",
            "; `columns` may lack a discount, shipping or tax; `models.prices_include_tax` says whether prices include"
            " it",
        ),
        "repaired": (
            gate.max_money_repaired,
            "is in lines that had to be repaired by their order's total",
            "; so much is rather a mistake of `columns`: is the price that of the line (`line_total`), or in cents"
            " (`factor: 0.01`)?",
        ),
        "guessed": (
            gate.max_money_guessed,
            "rests on guesses",
            "; `models.statuses` says what the words for statuses mean",
        ),
    }
    reasons = []
    for kind, noun in ((SALES, "money"), (PAYMENTS, "payments")):
        for part, (most, what, hint) in judged.items():
            share = money.share(part, kind)
            if share > most:
                reasons.append(
                    f"{formatting.percent(share)} of the {noun} ({formatting.compact(money.total(part, kind))}"
                    f" {money.currency} of {formatting.compact(money.total(kind=kind))}) {what}"
                    f" (`quality.max_money_{part}` allows {formatting.percent(most)}){hint}"
                )
    return reasons


def _accepted(gate: Gate, checks: pd.DataFrame) -> list[str]:
    """Return the names in `accept` that are none of a check."""
    names = list(checks["check_name"]) if len(checks) else []
    return [
        f"`quality.accept` names {name!r}, which is no check.{did_you_mean(name, names)}"
        for name in gate.accept
        if names and name not in names
    ]


def _doubtful(checks: pd.DataFrame) -> list[str]:
    """Return the mistakes of mapping that make revenue wrong."""
    found = checks[checks["refuses"].astype(bool) & checks["state"].isin(["warned", "failed"])]
    return [
        f"{check['check_name']}: {check['finding'] or check['description']}. Where it is right as it is:"
        f" `quality.accept: [{check['check_name']}]`"
        for check in found.to_dict("records")
    ]


def _failed(checks: pd.DataFrame) -> list[str]:
    """Return the checks of severity error that failed, and those that could not be run."""
    reasons = []
    for check in checks[checks["state"].isin(["failed", "broken"])].to_dict("records"):
        rows = f"{check['failing_rows']:,} of {check['tested_rows']:,} rows"
        rows = rows if check["state"] == "failed" else "could not be run"
        reasons.append(f"{check['check_name']}: {check['description']} ({rows})")
    return reasons


def _reason(quarantine: pd.DataFrame, source: str, entity: str) -> str:
    """Return the most frequent reason of an entity's rows in quarantine, an example, and the key that mends it."""
    own = _of(quarantine, source, entity)
    if own.empty:
        return ""
    first = own.sort_values("rows", ascending=False, kind="stable").iloc[0]
    rule = str(first["rule"])
    mend = next((text for start, text in _MENDS.items() if rule.startswith(start)), "")
    if rule == "conflicting_duplicate" and entity == "orders":
        mend = "`columns.order_id` must tell orders apart, `updated_at` which version of one is the newest"
    more = len(own) - 1
    others = f", and {formatting.count(more, 'other reason')}" if more else ""
    return f"in {formatting.count(first['rows'], 'row')} {first['example']}{others}" + (f" ({mend})" if mend else "")


def _of(frame: pd.DataFrame, source: str, entity: str) -> pd.DataFrame:
    return frame[(frame["source"] == source) & (frame["entity"] == entity)]


def _rows_of(count: int, entity: str, source: str) -> str:
    noun = {"order_items": "order lines", "order_lines": "order lines"}.get(entity, entity)
    return f"{formatting.number(count)} {noun} of {source}"


def explained(reasons: Sequence[str], names: set[Any]) -> list[str]:
    """Return reasons for a reader who knows a check by its sentence and not by its name."""
    return [r.partition(": ")[2] if r.partition(": ")[0] in names else r for r in reasons]
