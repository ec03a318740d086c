"""What a shop's data hold, in numbers: what the report is about, and what it leaves out for want of data.

A chart that has nothing to show answers None by itself; what is here decides sentences and words: whether there is
anything to say of returns, costs or sessions, and what the headline is about.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from lib.base.formatting import as_float
from lib.base.queries import read_query
from lib.insights.answers import FEWEST, FEWEST_CUSTOMERS, floats

#: How many products or customers there must be to compare them, for a curve over them, and to group them.
SOME, CURVE, GROUPS = 2, FEWEST, FEWEST_CUSTOMERS


@dataclass(frozen=True)
class Facts:
    """A shop in numbers; `orders` are all of them by type, amounts are in its currency.

    `other_amounts` is net revenue of what is no product by its type (`product_type` of `dim_products`),
    `unnamed_amount` that of lines that name no product.
    """

    orders: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    gross_amount: float = 0.0
    discount_amount: float = 0.0
    returned_amount: float = 0.0
    cancelled_amount: float = 0.0
    net_amount: float = 0.0
    has_costs: bool = False
    products: int = 0
    other_amounts: dict[str, float] = field(default_factory=dict)
    unnamed_amount: float = 0.0
    categories: int = 0
    customers: int = 0
    payment_methods: int = 0
    channels: int = 0
    hours: int = 0
    devices: int = 0
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
            "product-curve": self.products >= CURVE,
            "other-revenue": any(self.other_amounts.values()),
            "categories": self.categories >= SOME,
            "customers": self.customers >= SOME,
            "customer-curve": self.customers >= CURVE,
            "segments": self.customers >= GROUPS,
            "payments": self.payment_methods >= SOME,
            "channels": self.channels >= SOME,
            "hours": self.hours,
            "sessions": self.sessions,
            "devices": self.devices >= SOME,
        }
        return {word for word, is_there in there.items() if is_there}


def read_facts(query: Callable[[str], pd.DataFrame]) -> Facts:
    """Return a shop's facts; `query` returns the rows of a query on its warehouse."""
    return facts(*(query(read_query(f"queries/insights/{name}")) for name in ("orders", "products", "entities")))


def facts(by_type: pd.DataFrame, sold: pd.DataFrame, entities: pd.DataFrame) -> Facts:
    """Return a shop's facts, of orders by their type, of what was sold by its own, and of other things (one row)."""
    by_type = floats(by_type).set_index("order_type")
    sold = floats(sold).set_index("product_type")
    cancelled = by_type.loc[by_type.index == "cancellation", "return_amount"].sum()
    amounts = {str(name): float(amount) for name, amount in sold["net_amount"].items()}
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
        products=int(sold["products"].get("product", 0)),
        unnamed_amount=amounts.get("unknown", 0.0),
        other_amounts={name: amount for name, amount in amounts.items() if name not in ("product", "unknown")},
        purchases=purchases,
        purchase_amount=row["purchase_amount"] if row["purchase_amount"] > 0 else 0.0,
        **found,
    )
