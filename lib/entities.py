"""The contract between sources, cleaning and models: every entity, its columns, their types and keys.

A sources file maps onto these names, `lib.cells` reads raw columns as these types, and the
loader creates the `stage` tables from them. SQL lives in `sql/`; nothing here touches data.
"""

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["text", "id", "timestamp", "amount", "quantity", "measure", "boolean"]

#: SQL type of each kind of column, the same on every engine.
SQL_TYPES: dict[Kind, str] = {
    "text": "varchar",
    "id": "varchar",
    "timestamp": "timestamp",
    "amount": "decimal(18,4)",
    "quantity": "decimal(18,3)",
    "measure": "decimal(18,4)",
    "boolean": "boolean",
}

#: What people call a value that is read from text, by kind of column; any text is a value of the others.
TYPE_WORDS: dict[Kind, str] = {
    "timestamp": "date or time",
    "amount": "number",
    "quantity": "number",
    "measure": "number",
    "boolean": "yes or no",
}

#: Columns that every stage table carries beside the entity's own (SQL type each).
#: `_stated_at` is when the row's document stated its order, where an order's newest statement counts whole; null where
#: the rows of an entity add up.
LINEAGE: dict[str, str] = {
    "_key": "varchar",
    "_row_hash": "varchar",
    "_issues": "varchar",
    "_raw": "varchar",
    "_reject_rule": "varchar",
    "_reject_reason": "varchar",
    "_stated_at": "timestamp",
    "_source": "varchar",
    "_source_file": "varchar",
    "_source_row": "bigint",
    "_batch_id": "varchar",
    "_ingested_at": "timestamp",
}

#: The columns of `stage.row_findings`: a row a cell in which a row rule found something (SQL type each). `key` is the
#: staged row's `_key`.
FINDINGS: dict[str, str] = {
    "entity": "varchar",
    "key": "varchar",
    "field": "varchar",
    "rule": "varchar",
    "outcome": "varchar",
    "before": "varchar",
    "after": "varchar",
    "_source": "varchar",
    "_source_file": "varchar",
    "_source_row": "bigint",
    "_batch_id": "varchar",
}


@dataclass(frozen=True)
class Column:
    """One column of an entity.

    `required`: a row without a usable value is quarantined. An unreadable value also quarantines the row
    where the column is an amount, a quantity or required; elsewhere (a `measure` is a number that no
    amount depends on) it becomes null and is noted.
    """

    name: str
    kind: Kind = "text"
    required: bool = False

    @property
    def sql_type(self) -> str:
        return SQL_TYPES[self.kind]

    @property
    def rejects(self) -> bool:
        return self.required or self.kind in ("amount", "quantity")


@dataclass(frozen=True)
class Entity:
    """One kind of record; `key` names the columns that identify it (empty: its whole content does)."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]


def _columns(text: str) -> tuple[Column, ...]:
    """Parse `name:kind!` words, where `!` marks a required column and text is the default kind."""
    columns = []
    for word in text.split():
        name, _, kind = word.rstrip("!").partition(":")
        columns.append(Column(name, kind or "text", word.endswith("!")))  # type: ignore[arg-type]
    return tuple(columns)


_CUSTOMERS = _columns(
    "customer_id:id! first_name last_name email phone country region city postal_code"
    " signup_at:timestamp updated_at:timestamp"
)
_PRODUCTS = _columns(
    "product_id:id! name category subcategory brand unit_price:amount unit_cost:amount currency"
    " is_active:boolean updated_at:timestamp"
)
_ORDERS = _columns(
    "order_id:id! ordered_at:timestamp! customer_id:id status channel store_id:id campaign currency"
    " discount_amount:amount shipping_amount:amount tax_amount:amount total_amount:amount refund_amount:amount"
    " shipped_at:timestamp cancelled_at:timestamp updated_at:timestamp"
)
_ORDER_ITEMS = _columns(
    "order_id:id! line_number:id product_id:id product_name quantity:quantity! unit_price:amount discount_amount:amount"
    " discount_rate:measure line_total:amount line_amount:amount shipping_amount:amount tax_amount:amount"
    " unit_cost:amount cost_amount:amount margin_amount:amount is_return:boolean updated_at:timestamp"
)
_PAYMENTS = _columns(
    "payment_id:id order_id:id! method amount:amount! currency status paid_at:timestamp updated_at:timestamp"
)
_EVENTS = _columns(
    "event_id:id event_at:timestamp! event_type! visitor_id:id customer_id:id session_id:id product_id:id order_id:id"
    " device campaign page quantity:measure value:measure"
)


def _order_lines() -> tuple[Column, ...]:
    """The flat export: an order's, line's, customer's and product's columns in one row.

    The order's own discount is `order_discount_amount`, since `discount_amount` is the line's; shipping and tax of the
    line are `line_shipping_amount` and `line_tax_amount`, since `shipping_amount` and `tax_amount` are the order's.
    """
    renamed = {"discount_amount": "order_discount_amount"}
    order = [replace(c, name=renamed.get(c.name, c.name), required=c.name == "ordered_at") for c in _ORDERS]
    own = {name: f"line_{name}" for name in ("shipping_amount", "tax_amount")}
    left_out = ("order_id", "product_name", "updated_at")
    lines = [replace(c, name=own.get(c.name, c.name)) for c in _ORDER_ITEMS if c.name not in left_out]
    customer = [replace(c, name=f"customer_{c.name}") for c in _CUSTOMERS if c.name != "customer_id"]
    product = [replace(c, name=f"product_{c.name}") for c in _PRODUCTS if c.name != "product_id"]
    return tuple(order + lines + customer + product)


#: Columns of order_lines that say something of the order as a whole, or of its customer.
ORDER_LEVEL = (
    *(c.name for c in _ORDERS if c.name not in ("order_id", "discount_amount")),
    "order_discount_amount",
    *(f"customer_{c.name}" for c in _CUSTOMERS if c.name != "customer_id"),
)

ENTITIES: dict[str, Entity] = {
    e.name: e
    for e in (
        Entity("customers", _CUSTOMERS, ("customer_id",)),
        Entity("products", _PRODUCTS, ("product_id",)),
        Entity("orders", _ORDERS, ("order_id",)),
        Entity("order_items", _ORDER_ITEMS, ("order_id", "line_number")),
        Entity("payments", _PAYMENTS, ("payment_id",)),
        Entity("events", _EVENTS, ("event_id",)),
        Entity("order_lines", _order_lines(), ("order_id", "line_number")),
    )
}
