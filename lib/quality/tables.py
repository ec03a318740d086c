"""The tables further down the quality page: sources that stopped, shares that moved, totals compared, checks judged."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lib.base import formatting
from lib.report import pieces
from lib.report.pieces import Html

#: The labels of defects, as the table of kinds groups them.
_GROUPS = {
    "repairable": "Can be put right",
    "rejectable": "Can be refused or flagged",
    "anomaly": "Anomalies, judged on their own",
    "debatable": "Debatable: a person could not tell either, so these are in no figure above",
}


def late_sources(sources: pd.DataFrame) -> Html:
    """Return when each source delivered last, those that stopped first; nothing where there is one and it is fresh.

    `sources` has a row a source: source, last_day, gap_days, usual_gap_days, allowed_days, state (fresh, stale or
    closed).
    """
    stale = sources["state"] == "stale"
    if sources.empty or (len(sources) < 2 and not stale.any()):
        return pieces.NOTHING
    shown = sources.assign(rank=~stale).sort_values(["rank", "gap_days", "source"], ascending=[True, False, True])
    names = {
        "source": "source",
        "last_day": "last day with rows",
        "gap_days": "days without",
        "usual_gap_days": "usual",
        "allowed_days": "allowed",
        "state": "state",
    }
    table = shown[list(names)].rename(columns=names).reset_index(drop=True)
    table["last day with rows"] = [_day(day) for day in table["last day with rows"]]
    late = [str(name) for name in shown.loc[shown["state"] == "stale", "source"]]
    said = "Every source has delivered as lately as it usually does"
    if late:
        said = f"{formatting.listing(late)} {'have' if len(late) > 1 else 'has'} stopped delivering"
    mark = {(i, column) for i in range(len(late)) for column in ("days without", "state")}
    short = dict.fromkeys(("days without", "usual", "allowed"), "{:g}".format)
    return pieces.table(table, said, mark=mark, count=False, formats=short)


def moved_shares(shares: pd.DataFrame) -> Html:
    """Return, for each month in which a distribution moved, the value that moved most; nothing where none did.

    `shares` has a row a measure, month and value: measure, month, value, share, share_before, psi, is_shifted.
    """
    moved = shares[shares["is_shifted"].fillna(False).astype(bool)] if len(shares) else shares
    if moved.empty:
        return pieces.NOTHING
    by = (moved["share"].astype(float) - moved["share_before"].astype(float)).abs()
    most = moved.assign(by=by).sort_values("by", ascending=False, kind="stable").drop_duplicates(["measure", "month"])
    most = most.sort_values(["month", "psi"], ascending=[False, False], kind="stable")
    table = pd.DataFrame(
        {
            "month": [f"{pd.Timestamp(month):%b %Y}" for month in most["month"]],
            "shares of": most["measure"].tolist(),
            "moved most": most["value"].tolist(),
            "before": [formatting.percent(share) for share in most["share_before"]],
            "then": [formatting.percent(share) for share in most["share"]],
            "PSI": [formatting.number(psi, 2) for psi in most["psi"]],
        }
    )
    note = "PSI is the population stability index: 0 where all shares are as before."
    caption = f"Shares moved in {formatting.count(most['month'].nunique(), 'month')}"
    return pieces.table(table, caption, note, count=False, fold=5)


def against_sources(totals: pd.DataFrame) -> Html:
    """Return what each source says that it holds beside what is held here; nothing where no source says anything.

    `totals` has a row a source, entity and measure: source, entity, measure, reported, gone, held, difference,
    reported_by.
    """
    if totals.empty:
        return pieces.NOTHING
    off = totals["difference"].fillna(0).astype(float).abs() >= 0.005
    shown = totals.assign(rank=~off).sort_values(["rank", "source", "entity", "measure"]).reset_index(drop=True)
    gone = (shown["gone"].fillna(0).astype(float) != 0).any()
    names = {"reported": "the source says", "gone": "gone since", "held": "held here"}
    columns = [name for name in names if gone or name != "gone"]
    table = shown[["source", "entity", "measure", *columns, "difference", "reported_by"]].rename(columns=names)
    said = f"{formatting.count(int(off.sum()), 'total differs', 'totals differ')} from what the source itself says"
    if not off.any():
        said = "Every total is what the source itself says"
    mark = {(i, "difference") for i in range(int(off.sum()))}
    note = "Gone since: read before and no longer in the source." if gone else ""
    shows = dict.fromkeys(("the source says", "gone since", "held here", "difference"), _total)
    if not off.any():
        listed = pieces.table(table, "By source and entity", note, limit=200, count=False, formats=shows)
        return pieces.fold(f"**{said}**: {formatting.count(len(table), 'total')}", listed)
    return pieces.table(table, said, note, mark=mark, limit=200, count=False, formats=shows, fold=8)


def rows_by_source(rows: pd.DataFrame, note: str = "") -> Html:
    """Return what became of the rows of each source and entity, without what never happened."""
    happened = [c for c in rows.columns if c in ("source", "entity") or (rows[c] != 0).any()]
    shown = rows[happened].rename(columns=lambda name: name.removesuffix("_rows"))
    lost = {(i, "unaccounted") for i, count in enumerate(rows["unaccounted_rows"]) if count}
    said = f"Where every row went: {'not all are accounted for' if lost else 'none is lost'}"
    return pieces.table(shown, said, note, mark=lost, limit=100, count=False, fold=8)


def unlike(sentences: list[str]) -> Html:
    """Return sentences about figures that do not follow from the ones before, each set apart."""
    return pieces.joined(*(pieces.verdict(sentence, "bad") for sentence in sentences))


def _total(value: Any) -> str:
    return formatting.number(value, 0 if float(value) == round(float(value)) else 2)


def _day(value: Any) -> str:
    return formatting.DASH if pd.isna(value) else formatting.when(pd.Timestamp(value).date())


def how_good(summary: Mapping[str, Any]) -> Html:
    """Return how the checks fare against the ledger, in a few sentences; nothing where nothing is planted."""
    found, right, mended = (summary.get(k) for k in ("recall", "precision", "repair_accuracy"))
    if not summary.get("planted") or found is None:
        return pieces.NOTHING
    planted = formatting.count(summary["planted"], "planted defect")
    text = f"Against the ledger of {planted} they found **{formatting.rate(found)}**"
    text += f", and **{formatting.rate(right)}** of what they flagged was planted" if right is not None else ""
    text += f"; **{formatting.rate(mended)}** of repaired cells equal the value before" if mended is not None else ""
    if summary.get("anomalies") and summary.get("anomaly_recall") is not None:
        text += f". Of {formatting.count(summary['anomalies'], 'anomaly', 'anomalies')} on top they found"
        text += f" **{formatting.rate(summary['anomaly_recall'])}**"
        if summary.get("anomaly_precision") is not None:
            text += f"; **{formatting.rate(summary['anomaly_precision'])}** of what they flagged as one was planted"
    return pieces.note(text + ".")


def by_kind(kinds: pd.DataFrame) -> Html:
    """Return a table for each label of defects: planted, found, right, repaired; the least found first marked.

    `kinds` has a row a kind: kind, label, description, planted, found, recall, flagged, right, precision, repaired,
    repaired_right, accuracy.
    """
    there = kinds[(kinds["planted"] > 0) | (kinds["flagged"] > kinds["right"])]
    return pieces.joined(*(_kinds(there[there["label"] == label], said) for label, said in _GROUPS.items()))


def _kinds(kinds: pd.DataFrame, caption: str) -> Html:
    if kinds.empty:
        return pieces.NOTHING
    table = pd.DataFrame(
        {
            "kind": [str(kind).replace("_", " ") for kind in kinds["kind"]],
            "what it is": kinds["description"].tolist(),
            "planted": kinds["planted"].astype(int).tolist(),
            "found": kinds["found"].astype(int).tolist(),
            "recall": pd.to_numeric(kinds["recall"]).tolist(),
            "flagged": kinds["flagged"].astype(int).tolist(),
            "precision": pd.to_numeric(kinds["precision"]).tolist(),
            "repairs right": pd.to_numeric(kinds["accuracy"]).tolist(),
        }
    )
    if table["repairs right"].isna().all():
        table = table.drop(columns="repairs right")
    rates = [c for c in ("recall", "precision", "repairs right") if c in table.columns]
    least = 0.0 if (kinds["label"] == "debatable").all() else 0.95
    mark = {(i, c) for c in rates for i, share in enumerate(table[c]) if share < least}
    return pieces.table(table, caption, mark=mark, count=False, formats=dict.fromkeys(rates, formatting.rate))


def examples(title: str, rows: pd.DataFrame) -> Html:
    """Return examples of what the checks missed or got wrong, folded; nothing where there are none."""
    if rows.empty:
        return pieces.NOTHING
    return pieces.fold(
        f"{title}: {formatting.count(len(rows), 'example')}", pieces.table(rows, title, limit=100, count=False)
    )
