"""The tables of the quality page: scores by table, sources that stopped, shares that moved, totals, planted defects."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.config import Gate
from lib.quality import score
from lib.quality.audit import Audit
from lib.quality.expectations import Totals
from lib.quality.money import PARTS, Money
from lib.quality.score import DIMENSIONS
from lib.report import pieces
from lib.report.pieces import Html

#: The labels of defects, as the table of kinds groups them.
_GROUPS = {
    "repairable": "Can be put right",
    "rejectable": "Can be refused or flagged",
    "anomaly": "Anomalies, judged on their own",
    "debatable": "Debatable: a person could not decide either, so these are in no figure above",
}


def by_table(result: Audit) -> Html:
    """Return the scores of each table by dimension, worst table first; tables without a fault are only named."""
    scored = result.checks.dropna(subset="score")
    scored = scored[scored["table_name"] != ""]
    if scored.empty:
        return pieces.NOTHING
    cells = {d: score.by(scored[scored["dimension"] == d], "table_name") for d in DIMENSIONS}
    grid = pd.DataFrame({d: points for d, points in cells.items() if points}).sort_index().astype(float)
    grid["all checks"] = [result.tables.get(str(name), float("nan")) for name in grid.index]
    faulty = grid[grid.min(axis=1) < 100].sort_values("all checks", kind="stable")
    shown = pieces.score_grid(faulty, "Tables with faults, worst first", "table") if len(faulty) else pieces.NOTHING
    whole = formatting.listing([f"`{name}`" for name in grid.index if name not in faulty.index])
    names = Html(f'<p class="names">{pieces.rich(whole)}</p>' if whole else "")
    count = formatting.count(len(grid) - len(faulty), "table")
    return pieces.joined(shown, pieces.fold(f"**{count}** without a fault", names))


def checks(result: Audit) -> Html:
    """Return every check with its score, folded."""
    columns = ["dimension", "table_name", "description", "severity", "failing_rows", "tested_rows", "score", "state"]
    shown = result.checks.sort_values(["dimension", "table_name", "check_name"])[columns]
    listed = pieces.table(shown, "By dimension and table", limit=300, count=False, formats={"score": formatting.points})
    return pieces.fold(f"**{formatting.count(len(shown), 'check')}**, each with its count and score", listed)


def money_by_source(money: Money, gate: Gate) -> Html:
    """Return what became of each source's money, the sources with the largest share not as delivered first."""
    rows = money.rows
    if rows.empty:
        return pieces.NOTHING
    parts = [part for part in (*PARTS, "left_out") if (rows[part] > 0).any()]
    as_delivered = rows["as_delivered"] / rows["delivered"].where(rows["delivered"] > 0)
    shown = rows.assign(share=as_delivered).sort_values(["kind", "share"], ascending=[False, True], kind="stable")
    shown = shown.reset_index(drop=True)
    limits = {part: getattr(gate, f"max_money_{part}", 1.0) for part in parts}
    mark = [
        (position, part.replace("_", " "))
        for position, row in enumerate(shown.to_dict("records"))
        for part in parts
        if part != "left_out" and row[part] > limits[part] * row["delivered"] > 0
    ]
    names = {"source": "source", "kind": "money of", "delivered": "delivered", "share": "as delivered"}
    names |= {part: part.replace("_", " ") for part in parts}
    table = shown[list(names)].rename(columns=names)
    unread = int(rows["unread_rows"].sum())
    note = "Amounts without sign" + (f", in {money.currency}" if money.currency else "")
    if unread:
        note += f"; of {formatting.count(unread, 'row')} the amount cannot be read, so the mean of the others is taken"
    shows: dict[str, pieces.Format] = dict.fromkeys(("delivered", *names.values()), _amount)
    shows |= {"source": str, "money of": str, "as delivered": formatting.rate}
    caption = "Where the money of each source is"
    return pieces.table(table, caption, note + ".", mark=mark, limit=100, count=False, fold=6, formats=shows)


def unexplained_words(words: pd.DataFrame, currency: str = "") -> Html:
    """Return the statuses and events that nobody explained; nothing where there are none."""
    if words.empty:
        return pieces.NOTHING
    rows = formatting.count(int(words["rows"].sum()), "row")
    caption = f"{formatting.count(len(words), 'word')} in {rows} that nobody explained"
    shown = words.rename(columns={"amount": f"amount, {currency}" if currency else "amount"})
    shows: dict[str, pieces.Format] = {column: _amount for column in shown.columns if column.startswith("amount")}
    return pieces.table(shown, caption, limit=100, count=False, fold=10, formats=shows)


def control_totals(totals: Totals) -> Html:
    """Return what sources state that they hold beside what is found; nothing where none states anything."""
    if totals.rows.empty:
        return pieces.NOTHING
    rows = totals.rows
    off = pd.Series([bool(difference) for difference in rows["difference"]], index=rows.index)
    caption = f"Control totals: {formatting.count(int(off.sum()), 'differs', 'differ')}"
    if not off.any():
        caption = f"Control totals: all {len(rows)} agree to the cent"
    names = {name: name for name in rows.columns}
    shows: dict[str, pieces.Format] = dict.fromkeys(("expected", "found", "difference"), _stated)
    return _worst_first(rows, off, names, ("found", "difference"), caption, fold=8, formats=shows)


def late_sources(sources: pd.DataFrame) -> Html:
    """Return when each source delivered last, those that stopped first; nothing where there is one and it is fresh.

    `sources` is what `lib.quality.anomalies.freshness` returns.
    """
    stale = sources["state"] == "stale"
    if len(sources) < 2 and not stale.any():
        return pieces.NOTHING
    shown = sources.assign(last_day=[_day(day) for day in sources["last_day"]])
    shown = shown.sort_values(["gap_days", "source"], ascending=[False, True])
    names = {"source": "source", "last_day": "last day with rows", "gap_days": "days without"}
    names |= {"usual_gap_days": "usual", "allowed_days": "allowed", "state": "state"}
    late = shown.loc[stale, "source"].astype(str).tolist()
    caption = "Every source has delivered as recently as usual"
    if late:
        caption = f"{formatting.listing(late)} {'have' if len(late) > 1 else 'has'} stopped delivering"
    short = dict.fromkeys(("days without", "usual", "allowed"), "{:g}".format)
    return _worst_first(shown, stale, names, ("days without", "state"), caption, formats=short)


def moved_shares(shares: pd.DataFrame) -> Html:
    """Return, for each month in which a distribution moved, the value that moved most; nothing where none did.

    `shares` is what `lib.quality.anomalies.shares` returns.
    """
    moved = shares[shares["is_shifted"].fillna(False).astype(bool)]
    if moved.empty:
        return pieces.NOTHING
    moved = moved.astype({"share": float, "share_before": float})
    moved = moved.assign(by=(moved["share"] - moved["share_before"]).abs(), month=pd.to_datetime(moved["month"]))
    most = moved.sort_values("by", ascending=False, kind="stable").drop_duplicates(["measure", "month"])
    most = most.sort_values(["month", "psi"], ascending=[False, False], kind="stable")
    names = {"month": "month", "measure": "shares of", "value": "moved most", "share_before": "before", "share": "then"}
    table = most.rename(columns=names | {"psi": "PSI"})[[*names.values(), "PSI"]]
    table["month"] = [f"{month:%b %Y}" for month in table["month"]]
    shows = {"before": formatting.percent, "then": formatting.percent, "PSI": lambda psi: formatting.number(psi, 2)}
    note = "PSI is the population stability index: 0 where all shares are as before."
    caption = f"Shares moved in {formatting.count(most['month'].nunique(), 'month')}"
    return pieces.table(table, caption, note, count=False, fold=5, formats=shows)


def against_sources(totals: pd.DataFrame) -> Html:
    """Return what each source reports that it holds beside what is held here; nothing where no source reports any.

    `totals` has the columns of `quality.source_reconciliation`.
    """
    if totals.empty:
        return pieces.NOTHING
    off = totals["difference"].fillna(0).astype(float).abs() >= 0.005
    names = {"source": "source", "entity": "entity", "measure": "measure", "reported": "the source reports"}
    gone = (totals["gone"].fillna(0).astype(float) != 0).any()
    names |= {"gone": "gone since"} if gone else {}
    names |= {"held": "held here", "difference": "difference", "reported_by": "reported by"}
    note = "Gone since: read before and no longer in the source." if gone else ""
    shows = dict.fromkeys(("the source reports", "gone since", "held here", "difference"), _total)
    differs = (
        f"{formatting.count(int(off.sum()), 'total differs', 'totals differ')} from what the source itself reports"
    )
    caption = differs if off.any() else "By source and entity"
    table = _worst_first(
        totals, off, names, ("difference",), caption, note, formats=shows, fold=8 if off.any() else None
    )
    if off.any():
        return table
    return pieces.fold(
        f"**Every total is what the source itself reports**: {formatting.count(len(totals), 'total')}", table
    )


def rows_by_source(rows: pd.DataFrame, note: str = "") -> Html:
    """Return what became of the rows of each source and entity, without what never happened."""
    lost = rows["unaccounted_rows"] != 0
    happened = [c for c in rows.columns if c in ("source", "entity") or (rows[c] != 0).any()]
    names = {column: column.removesuffix("_rows") for column in happened}
    caption = f"Where every row went: {'not all are accounted for' if lost.any() else 'none is lost'}"
    return _worst_first(rows, lost, names, ("unaccounted",), caption, note, fold=8)


def how_good(summary: Mapping[str, Any]) -> Html:
    """Return how the checks fare against the ledger, in a few sentences; nothing where nothing is planted."""
    found, right, repaired = (summary.get(k) for k in ("recall", "precision", "repair_accuracy"))
    if not summary.get("planted") or found is None:
        return pieces.NOTHING
    planted = formatting.count(summary["planted"], "planted defect")
    text = f"Against the ledger of {planted} they found **{formatting.rate(found)}**"
    text += f", and **{formatting.rate(right)}** of what they flagged was planted" if right is not None else ""
    text += (
        f"; **{formatting.rate(repaired)}** of repaired cells equal the value before" if repaired is not None else ""
    )
    if summary.get("anomalies") and summary.get("anomaly_recall") is not None:
        text += f". Of {formatting.count(summary['anomalies'], 'anomaly', 'anomalies')} on top they found"
        text += f" **{formatting.rate(summary['anomaly_recall'])}**"
        if summary.get("anomaly_precision") is not None:
            text += f"; **{formatting.rate(summary['anomaly_precision'])}** of what they flagged as one was planted"
    return pieces.note(text + ".")


def by_kind(kinds: pd.DataFrame) -> Html:
    """Return a table for each label of defects: planted, found, right, repaired; shares below 95 % are marked.

    `kinds` is that of `lib.quality.scorecard.Scorecard`.
    """
    there = kinds[(kinds["planted"] > 0) | (kinds["flagged"] > kinds["right"])]
    return pieces.joined(*(_kinds(there[there["label"] == label], caption) for label, caption in _GROUPS.items()))


def _kinds(kinds: pd.DataFrame, caption: str) -> Html:
    if kinds.empty:
        return pieces.NOTHING
    names = {name: name for name in ("kind", "planted", "found", "recall", "flagged", "precision")}
    names = {"kind": "kind", "description": "what it is"} | names | {"accuracy": "repairs right"}
    table = kinds.rename(columns=names)[list(names.values())].reset_index(drop=True)
    table["kind"] = table["kind"].str.replace("_", " ")
    rates = [c for c in ("recall", "precision", "repairs right") if table[c].notna().any()]
    table = table.astype(dict.fromkeys(rates, float))
    least = 0.0 if (kinds["label"] == "debatable").all() else 0.95
    mark = [(i, c) for c in rates for i, share in enumerate(table[c]) if share < least]
    if "repairs right" not in rates:
        table = table.drop(columns="repairs right")
    return pieces.table(table, caption, mark=mark, count=False, formats=dict.fromkeys(rates, formatting.rate))


def examples(title: str, rows: pd.DataFrame) -> Html:
    """Return examples of what the checks missed or got wrong, folded; nothing where there are none."""
    if rows.empty:
        return pieces.NOTHING
    count = formatting.count(len(rows), "example")
    return pieces.fold(f"{title}: {count}", pieces.table(rows, title, limit=100, count=False))


def _worst_first(
    frame: pd.DataFrame,
    bad: pd.Series,
    names: Mapping[str, str],
    mark: Sequence[str],
    caption: str,
    note: str = "",
    **how: Any,
) -> Html:
    """Return a table of some columns under other names, the rows that are `bad` first and marked."""
    order = bad[frame.index].sort_values(ascending=False, kind="stable").index
    table = frame.loc[order, list(names)].rename(columns=names).reset_index(drop=True)
    cells = [(position, column) for position in range(int(bad.sum())) for column in mark]
    return pieces.table(table, caption, note, mark=cells, limit=200, count=False, **how)


def _amount(value: Any) -> str:
    return formatting.DASH if pd.isna(value) or not value else formatting.compact(value)


def _stated(value: Any) -> str:
    if isinstance(value, date):
        return formatting.when(value)
    return formatting.number(value, 2 if isinstance(value, Decimal) else 0)


def _total(value: Any) -> str:
    return formatting.number(value, 0 if float(value) == round(float(value)) else 2)


def _day(value: Any) -> str:
    return formatting.DASH if pd.isna(value) else formatting.when(pd.Timestamp(value).date())
