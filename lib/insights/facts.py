"""What a shop's data hold, in numbers: what the report is about, and what it leaves out for want of data.

A chart that has nothing to show answers None by itself; what is here decides sentences and words: whether there is
anything to say of returns, costs or sessions, and what the headline is about.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from lib.base.formatting import as_float
from lib.base.queries import read_query
from lib.insights.answers import floats

#: How many products or customers there must be to compare them.
SOME = 2


@dataclass(frozen=True)
class Facts:
    """A shop in numbers; `orders` are all of them by type, amounts are in its currency."""

    orders: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    gross_amount: float = 0.0
    discount_amount: float = 0.0
    returned_amount: float = 0.0
    cancelled_amount: float = 0.0
    net_amount: float = 0.0
    has_costs: bool = False
    products: int = 0
    categories: int = 0
    customers: int = 0
    payment_methods: int = 0
    channels: int = 0
    hours: int = 0
    sessions: int = 0
    purchases: int = 0
    purchase_amount: float = 0.0

    @property
    def all_orders(self) -> int:
        """The number of orders of any type, as many as `warehouse.fact_orders` has rows."""
        return sum(self.orders.values())

    @property
    def taken_back(self) -> str:
        """What became of goods that count as sold no more: "returned", "cancelled", both, or nothing."""
        amounts = {"returned": self.returned_amount, "cancelled": self.cancelled_amount}
        return " or ".join(word for word, amount in amounts.items() if amount > 0)

    @property
    def words(self) -> set[str]:
        """What there is to speak of; the notebook's text names these where a sentence holds for some shops alone."""
        there = {
            "orders": self.all_orders,
            "sales": self.gross_amount > 0,
            "discounts": self.discount_amount > 0,
            "returns": self.returned_amount > 0,
            "cancellations": self.cancelled_amount > 0,
            "taken-back": bool(self.taken_back),
            "costs": self.has_costs,
            "products": self.products >= SOME,
            "categories": self.categories >= SOME,
            "customers": self.customers >= SOME,
            "payments": self.payment_methods >= SOME,
            "channels": self.channels >= SOME,
            "hours": self.hours,
            "sessions": self.sessions,
        }
        return {word for word, is_there in there.items() if is_there}


def read_facts(query: Callable[[str], pd.DataFrame]) -> Facts:
    """Return a shop's facts; `query` returns the rows of a query on its warehouse."""
    return facts(query(read_query("queries/insights/orders")), query(read_query("queries/insights/entities")))


def facts(by_type: pd.DataFrame, entities: pd.DataFrame) -> Facts:
    """Return a shop's facts, of orders by their type and of the number of other things (one row)."""
    by_type = floats(by_type).set_index("order_type")
    cancelled = by_type.loc[by_type.index == "cancellation", "return_amount"].sum()
    row = {str(name): as_float(value) for name, value in entities.iloc[0].items()}
    found = {name: int(value) if value > 0 else 0 for name, value in row.items() if name != "purchase_amount"}
    purchases = found.pop("converted_sessions")
    return Facts(
        orders={str(name): int(n) for name, n in by_type["orders"].items()},
        lines=int(by_type["lines"].sum()),
        gross_amount=float(by_type["gross_amount"].sum()),
        discount_amount=float(by_type["discount_amount"].sum()),
        returned_amount=float(by_type["return_amount"].sum() - cancelled),
        cancelled_amount=float(cancelled),
        net_amount=float(by_type["net_amount"].sum()),
        has_costs=bool(by_type["margin_amount"].notna().any()),
        purchases=purchases,
        purchase_amount=row["purchase_amount"] if row["purchase_amount"] > 0 else 0.0,
        **found,
    )
