"""What a reader should know of the figures, in sentences: what counts as revenue, what was converted or left open.

Each is said where there is something to say, with the number of orders or lines and the amount that hangs on it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lib.base.formatting import NBSP, count, listing, number
from lib.base.queries import read_query
from lib.insights.answers import floats, money
from lib.insights.facts import Facts
from lib.report.charts import shorten

#: How what is sold but is no product is called, by its type.
OTHERS = {
    "shipping": "postage and shipping",
    "fee": "fees",
    "gift_card": "gift cards",
    "adjustment": "manual entries and samples",
    "other": "others (`models.non_products`)",
}
#: Rows of the query, as mappings.
Rows = Sequence[Any]
MOST = 4  # of words, or of currencies, in one sentence


def read_remarks(query: Callable[[str], pd.DataFrame], shop: Facts, currency: str) -> list[str]:
    """Return what there is to say of a shop's figures; `query` returns the rows of a query on its warehouse."""
    return remarks(query(read_query("queries/insights/remarks")), shop, currency)


def remarks(found: pd.DataFrame, shop: Facts, currency: str) -> list[str]:
    """Return what there is to say, of rows with kind, word, currency, rows, amount and original_amount."""
    found = floats(found)
    rows = {kind: part.to_dict("records") for kind, part in found.groupby("kind", sort=False)}
    said = [
        *_bases(rows.get("basis", []), currency),
        *_currencies(rows.get("currency", []), currency),
        *_no_products(shop, currency),
        *_states(rows.get("state", []), currency),
        *_unclear(rows.get("unclear", []), currency),
        *_unclear_events(rows.get("event", [])),
        *_lines(rows.get("line", []), currency),
        *_equal_lines(rows.get("equal", []), currency),
    ]
    for row in rows.get("credit", []):
        if row["rows"]:
            state = (
                "line states a negative price, and counts"
                if row["rows"] == 1
                else "lines state a negative price, and count"
            )
            said.append(f"**{number(row['rows'])}** {state} as a credit: {exact(row['amount'], currency)}.")
    for row in rows.get("refund", []):
        if row["rows"]:
            of = count(row["rows"], "order")
            said.append(
                f"**{exact(row['amount'], currency)}** was paid back on {of} as a whole; net revenue is before it."
            )
    return said


def exact(amount: float, currency: str) -> str:
    """Return an amount with its cents where it is small, such as `30.00 USD` or `214.6 k USD`."""
    return money(amount, currency) if abs(amount) >= 10_000 else f"{number(amount, 2)}{NBSP}{currency}"


def _bases(rows: Rows, currency: str) -> list[str]:
    """Return what revenue is taken from where no lines were delivered."""
    sources = {"order total": "the orders' totals", "payments": "what was paid for the orders"}
    by_lines = any(row["word"] == "lines" for row in rows)
    said = []
    for row in rows:
        number_of, amount = count(row["rows"], "order"), f"**{exact(row['amount'], currency)}**"
        if row["word"] in sources and not by_lines:
            said.append(f"Revenue comes from {sources[row['word']]}: no lines of orders were delivered.")
        elif row["word"] in sources:
            said.append(
                f"Of {number_of} no lines were delivered: {amount} of revenue comes from {sources[row['word']]}."
            )
        elif row["word"] == "none":
            one = row["rows"] == 1
            said.append(
                f"**{number_of}** state{'s' if one else ''} no amount, and count{'s' if one else ''} as no revenue."
            )
    return said


def _currencies(rows: Rows, currency: str) -> list[str]:
    """Return what was converted from other currencies, and what could not be."""
    foreign = [row for row in rows if row["currency"] and row["currency"] != currency]
    said = []
    for word in ("converted", "no rate"):
        of = [row for row in foreign if row["word"] == word]
        parts = [f"{exact(row['original_amount'], row['currency'])} of {count(row['rows'], 'order')}" for row in of]
        if of and word == "converted":
            amount = exact(sum(row["amount"] for row in of), currency)
            said.append(f"**{amount}** of net revenue was converted at the day's rate: {_some(parts)}.")
        elif of:
            said.append(f"For {_some(parts)} there is no rate in `shop.exchange_rates`: they are in no figure.")
    return said


def _no_products(shop: Facts, currency: str) -> list[str]:
    """Return what is revenue and no product: postage, fees, gift cards, manual entries; and lines that name nothing."""
    parts = {OTHERS.get(name, name): amount for name, amount in shop.other_amounts.items() if amount}
    said = []
    if parts:
        of = [f"{name} {exact(amount, currency)}" for name, amount in sorted(parts.items(), key=lambda p: -abs(p[1]))]
        total = exact(sum(parts.values()), currency)
        said.append(f"**{total}** of net revenue is no product: {listing(of)}. It is in no list of what sells best.")
    if shop.unnamed_amount and shop.lines and shop.products:
        amount = exact(shop.unnamed_amount, currency)
        said.append(f"**{amount}** of net revenue is of lines that name no product.")
    return said


def _states(rows: Rows, currency: str) -> list[str]:
    """Return how many orders are not paid yet, or failed."""
    said = []
    for row in rows:
        number_of, verb = f"**{count(row['rows'], 'order')}**", "is" if row["rows"] == 1 else "are"
        if row["word"] == "failed":
            said.append(f"{number_of} failed, and count{'s' if row['rows'] == 1 else ''} as cancelled.")
        elif row["amount"]:
            said.append(f"{number_of} {verb} pending, with {exact(row['amount'], currency)} of net revenue.")
        else:
            said.append(f"{number_of} {verb} pending, and bring{'s' if row['rows'] == 1 else ''} no revenue yet.")
    return said


def _unclear(rows: Rows, currency: str) -> list[str]:
    """Return the statuses whose meaning nobody has said, with the orders and amounts that have them."""
    if not rows:
        return []
    parts = [
        f"`{shorten(row['word'], 30)}` ({count(row['rows'], 'order')}, {exact(row['amount'], currency)})"
        for row in rows
    ]
    many = sum(row["rows"] for row in rows)
    verb = "It counts as a sale" if many == 1 else "They count as sales"
    known = f"What the status of {count(many, 'order')} means is not known: {_some(parts)}."
    return [f"{known} {verb} until `models.statuses` says otherwise."]


def _unclear_events(rows: Rows) -> list[str]:
    """Return the words of events whose meaning nobody has said, with how many events have them."""
    if not rows:
        return []
    rows = sorted(rows, key=lambda row: (-row["rows"], row["word"]))
    parts = [f"`{shorten(row['word'], 30)}` ({number(row['rows'])})" for row in rows]
    many = sum(row["rows"] for row in rows)
    verbs = ("means", "It counts") if many == 1 else ("mean", "They count")
    known = f"What {count(many, 'event')} {verbs[0]} is not known: {_some(parts)}."
    return [f"{known} {verbs[1]} as part of a visit, and as no step of it, until `models.events` says otherwise."]


def _lines(rows: Rows, currency: str) -> list[str]:
    """Return how many lines count at list prices, or have no price at all."""
    said = []
    for row in rows:
        number_of, one = f"**{count(row['rows'], 'line')}**", row["rows"] == 1
        if row["word"] == "list price":
            at = f"{exact(row['amount'], currency)} at {'its' if one else 'their'} product's list price"
            said.append(f"{number_of} state{'s' if one else ''} no price, and count{'s' if one else ''} with {at}.")
        else:
            said.append(f"{number_of} state{'s' if one else ''} no price, and bring{'s' if one else ''} no revenue.")
    return said


def _equal_lines(rows: Rows, currency: str) -> list[str]:
    """Return what became of lines that equal another one of their order, and how much money hangs on it."""
    said = []
    for row in rows:
        equal, its, counts, is_one = ("equal", "their", "count", "are one")
        if row["rows"] == 1:
            equal, its, counts, is_one = ("equals", "its", "counts", "is one")
        became = counts if row["word"].startswith("kept") else f"{is_one} with it"
        why = "the order's total says" if row["word"].endswith("total") else "`equal_lines` of the mapping says"
        start = f"**{count(row['rows'], 'line')}** {equal} another one of {its} order, and {became}, as {why}"
        said.append(f"{start}: {exact(row['amount'], currency)} hangs on it.")
    return said


def _some(parts: list[str]) -> str:
    """Return the first parts, and how many more there are."""
    return listing(parts if len(parts) <= MOST else [*parts[: MOST - 1], f"{len(parts) - MOST + 1:,} more"])
