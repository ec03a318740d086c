"""Money: of what the rows of each source state, how much is as delivered, and what became of the rest.

Amounts are without sign, in the shop's currency. What is merged is what was delivered twice; rows that a newer
statement or another source replaces are not counted at all. What the parts are is said by the query `money` in
`sql/queries/quality` and in docs/quality.md.
"""

from dataclasses import dataclass

import pandas as pd

from lib.base import formatting
from lib.base.queries import read_query
from lib.warehouse import Warehouse

SALES, PAYMENTS = "sales", "payments"

#: What becomes of money, beside being as it was delivered: each with its words for a sentence.
PARTS = {
    "repaired": "repaired",
    "converted": "converted at the day's rate",
    "merged": "merged as duplicates",
    "quarantined": "in quarantine",
    "unconverted": "in a currency without a rate",
    "guessed": "rests on a guess",
    "unexplained": "is not explained by order lines and their prices",
}

#: The parts that add up to what was delivered.
_APART = ("usable", "unconverted", "merged", "quarantined")

COLUMNS = ["source", "kind", "rows", "unread_rows", "delivered", "as_delivered", *PARTS, "left_out"]


@dataclass(frozen=True)
class Money:
    """The money of a run: `rows` has a row a source and kind (sales, payments), with the columns of `COLUMNS`.

    `delivered` = as_delivered and its `PARTS`; `left_out` lies outside of it. Of `unread_rows` the amount could not be
    read: each is counted with the mean of the others.
    """

    rows: pd.DataFrame
    currency: str = ""

    def total(self, part: str = "delivered", kind: str = SALES) -> float:
        """Return what a part of the money comes to."""
        return float(self.rows.loc[self.rows["kind"] == kind, part].sum())

    def share(self, part: str, kind: str = SALES) -> float:
        """Return a part of the money as a share of what was delivered, 0 where that is nothing."""
        delivered = self.total(kind=kind)
        return self.total(part, kind) / delivered if delivered else 0.0

    def sentence(self, kind: str = SALES) -> str:
        """Return `98.2 % of 1.23 M EUR is as delivered, 1.1 % merged as duplicates`; empty where there is no money."""
        delivered = self.total(kind=kind)
        if not delivered:
            return ""
        amount = formatting.compact(delivered) + (f"{formatting.NBSP}{self.currency}" if self.currency else "")
        if kind != SALES:
            amount += f" of {kind}"
        if self.total("as_delivered", kind) >= delivered:
            return f"all of {amount} is as delivered"
        parts = {part: self.share(part, kind) for part in PARTS}
        words = [f"{formatting.small(share)} {PARTS[part]}" for part, share in parts.items() if share >= 0.0005]
        return ", ".join([f"{formatting.rate(self.share('as_delivered', kind))} of {amount} is as delivered", *words])


def read(warehouse: Warehouse, currency: str = "") -> Money:
    """Return what became of the money, from the facts, the quarantine and what was merged."""
    return Money(summed(warehouse.query(read_query("queries/quality/money"), [currency])), currency)


def summed(parts: pd.DataFrame) -> pd.DataFrame:
    """Return a row a source and kind from rows of the query `money` (source, kind, part, rows, unread_rows, amount)."""
    own = parts.assign(rows=parts["rows"].astype(int), unread_rows=parts["unread_rows"].astype(int))
    own["amount"] = own["amount"].astype(float)
    apart = own[own["part"].isin([*_APART, "left_out"])]
    means = {keys: _mean(apart, keys) for keys in apart[["source", "kind"]].itertuples(index=False, name=None)}
    own["amount"] += own["unread_rows"] * [
        means.get((s, k), 0.0) for s, k in zip(own["source"], own["kind"], strict=True)
    ]
    found = []
    for (source, kind), rows in own.groupby(["source", "kind"], sort=True):
        amounts = rows.groupby("part")["amount"].sum()
        of_part = {part: float(amounts.get(part, 0.0)) for part in (*PARTS, "left_out")}
        delivered = float(sum(amounts.get(part, 0.0) for part in _APART))
        of_part["unexplained"] = min(of_part["unexplained"], delivered)
        as_delivered = max(delivered - sum(of_part[part] for part in PARTS), 0.0)
        counted = rows[rows["part"].isin(_APART)]
        counts = (int(counted["rows"].sum()), int(counted["unread_rows"].sum()))
        found.append((source, kind, *counts, delivered, as_delivered, *of_part.values()))
    frame = pd.DataFrame(found, columns=COLUMNS)
    return frame.sort_values(["kind", "delivered"], ascending=False, kind="stable").reset_index(drop=True)


def _mean(parts: pd.DataFrame, keys: tuple[str, str]) -> float:
    """Return the mean amount of a source's rows that can be read, else of all sources', else 1: it counts rows."""
    source, kind = keys
    for own in (parts[(parts["source"] == source) & (parts["kind"] == kind)], parts[parts["kind"] == kind]):
        readable = int((own["rows"] - own["unread_rows"]).sum())
        if readable and own["amount"].sum() > 0:
            return float(own["amount"].sum()) / readable
    return 1.0
