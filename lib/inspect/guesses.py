"""What an export of an unknown layout may be: its entity and its columns, by their names and by their values.

A guess that the values do not bear out is said (`doubts`), and what is needed and not found is left to do (`missing`).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lib.entities import ENTITIES
from lib.inspect.documents import Document
from lib.inspect.values import DateReading, NumberForm, Values, date_reading, number, number_form
from lib.inspect.words import roles_of, tokens

#: Roles whose columns hold numbers, times and addresses; a column of other values has no such role.
_NUMBERS = frozenset(
    [
        "quantity",
        "unit_price",
        "line_total",
        "line_amount",
        "discount_amount",
        "discount_rate",
        "order_discount_amount",
        "shipping_amount",
        "tax_amount",
        "total_amount",
        "refund_amount",
        "unit_cost",
        "margin_amount",
        "amount",
        "value",
    ]
)
_TIMES = frozenset(
    ["ordered_at", "updated_at", "customer_signup_at", "cancelled_at", "shipped_at", "paid_at", "event_at"]
)
#: What a file's name says about its rows.
_STEMS: Mapping[str, frozenset[str]] = {
    "payments": frozenset(
        [
            "payment",
            "payments",
            "zahlung",
            "zahlungen",
            "paiement",
            "paiements",
            "pagos",
            "charges",
            "transactions",
            "payouts",
        ]
    ),
    "customers": frozenset(
        ["customer", "customers", "kunden", "kunde", "clients", "clientes", "users", "contacts", "members", "buyers"]
    ),
    "products": frozenset(
        [
            "product",
            "products",
            "artikel",
            "produkte",
            "articles",
            "productos",
            "catalog",
            "catalogue",
            "items_list",
            "inventory",
        ]
    ),
    "order_items": frozenset(["items", "lines", "positionen", "lignes", "lineas", "details"]),
    "orders": frozenset(
        ["order", "orders", "bestellungen", "auftraege", "commandes", "pedidos", "invoices", "sales", "receipts"]
    ),
    "events": frozenset(["event", "events", "clicks", "clickstream", "hits", "tracking"]),
}
_REFUNDS = frozenset(
    [
        "refund",
        "refunds",
        "return",
        "returns",
        "retouren",
        "retoure",
        "erstattungen",
        "remboursements",
        "devoluciones",
        "credit_notes",
    ]
)

#: Words of the states of orders, in several languages.
_STATE = re.compile(
    r"complet|paid|pag|bezahlt|pay[ée]|ship|envi|exp[ée]di|versand|versendet|verzonden|deliver|entreg|livr|cancel|anul|annul"
    r"|storn|refund|reembols|rembours|erstatt|return|devuel|retou|pend|offen|open|fail|void|process|closed"
)

#: Which roles give which column of each entity, the best first. What is a line's and what an order's is seen by values.
_LINE = {
    "line_number": ("line_number",), "product_id": ("product_id",), "product_name": ("product_name",),
    "quantity": ("quantity",), "unit_price": ("unit_price",), "line_total": ("line_total",),
    "line_amount": ("line_amount",),
    "discount_rate": ("discount_rate",), "discount_amount": ("discount_amount",), "unit_cost": ("unit_cost",),
    "margin_amount": ("margin_amount",), "is_return": ("is_return",),
}  # fmt: skip
_ORDER = {
    "order_id": ("order_id",), "ordered_at": ("ordered_at",), "customer_id": ("customer_id", "customer_email"),
    "status": ("status",), "channel": ("channel",), "store_id": ("store_id",), "campaign": ("campaign",),
    "currency": ("currency",), "shipping_amount": ("shipping_amount",), "tax_amount": ("tax_amount",),
    "total_amount": ("total_amount",), "refund_amount": ("refund_amount",), "shipped_at": ("shipped_at",),
    "cancelled_at": ("cancelled_at",), "updated_at": ("updated_at",),
}  # fmt: skip
_CUSTOMER = {
    name: (f"customer_{name}",)
    for name in ("first_name", "last_name", "email", "phone", "country", "region", "city", "postal_code", "signup_at")
}
_PRODUCT = {"category": ("product_category",), "subcategory": ("product_subcategory",), "brand": ("product_brand",)}
_ROLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "order_lines": {
        **_ORDER, **_LINE, "order_discount_amount": ("order_discount_amount",),
        **{f"customer_{name}": roles for name, roles in _CUSTOMER.items()},
        **{f"product_{name}": roles for name, roles in _PRODUCT.items()},
    },
    "orders": {
        **_ORDER, "discount_amount": ("order_discount_amount", "discount_amount"),
        "total_amount": ("total_amount", "line_total", "amount", "line_amount"),
    },
    "order_items": {
        "order_id": ("order_id",), **_LINE, "shipping_amount": ("shipping_amount",), "tax_amount": ("tax_amount",),
        "updated_at": ("updated_at", "ordered_at"),
    },
    "payments": {
        "payment_id": ("payment_id",), "order_id": ("order_id",), "method": ("method",),
        "amount": ("amount", "total_amount", "line_total"), "currency": ("currency",), "status": ("status",),
        "paid_at": ("paid_at", "ordered_at"), "updated_at": ("updated_at",),
    },
    "customers": {
        "customer_id": ("customer_id", "customer_email"), **_CUSTOMER,
        "signup_at": ("customer_signup_at", "ordered_at"), "updated_at": ("updated_at",),
    },
    "products": {
        "product_id": ("product_id",), "name": ("product_name",), **_PRODUCT, "unit_price": ("unit_price",),
        "unit_cost": ("unit_cost",), "currency": ("currency",), "updated_at": ("updated_at",),
    },
    "events": {
        "event_id": ("event_id",), "event_at": ("event_at",), "event_type": ("event_type",),
        "visitor_id": ("visitor_id",),
        "customer_id": ("customer_id",), "session_id": ("session_id",), "product_id": ("product_id", "product_name"),
        "order_id": ("order_id",), "device": ("device",), "campaign": ("campaign",), "page": ("page",),
        "quantity": ("quantity",), "value": ("value",),
    },
}  # fmt: skip


@dataclass
class Guess:
    """An entity and its mapping, as far as names and values show them.

    `options` are other keys of the entity, `comments` reasons by column or key, `missing` what is needed and was not
    found, with what was looked for.
    """

    entity: str
    columns: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def is_hopeless(self) -> bool:
        """Whether so little was found that the document is likely something else."""
        by_name = {ours for ours, m in self.columns.items() if isinstance(m, str) and ours not in self.comments}
        if self.entity == "order_lines" and not {"order_id", "quantity"} & by_name:
            return True
        return bool(self.missing) and (len(by_name - {"currency"}) < 2 or len(self.missing) > 2)


def form_of(document: Document, columns: Sequence[Values]) -> tuple[dict[str, Any], list[str], NumberForm]:
    """Return the keys that say how values are written, what is doubtful about them, and the form of the numbers."""
    doubts: list[str] = []
    options: dict[str, Any] = {}
    numbers = number_form(columns, document.delimiter)
    if document.kind == "files":
        if numbers.decimal == ",":
            options["decimal"] = ","
        if numbers.thousands:
            options["thousands"] = numbers.thousands
        if numbers.against:
            doubts.append(
                f"most numbers have a decimal {'comma' if numbers.decimal == ',' else 'point'}, but there is"
                f" {numbers.against!r}; such rows are read as far as there is only one meaning, or refused"
            )
        if numbers.unsure:
            doubts.append(
                f"whether {numbers.unsure!r} has three decimals or a separator of thousands cannot be seen; with"
                f" decimal {numbers.decimal!r} it has decimals: set 'decimal' and 'thousands' where that is wrong"
            )
    formats, said = dates_of(columns)
    if formats:
        options["timestamp_formats"] = formats
    nothings = dict.fromkeys(word for column in columns for word in column.nothings)
    if nothings:
        options["null_values"] = list(nothings)
    return options, doubts + said, numbers


def dates_of(columns: Sequence[Values]) -> tuple[list[str], list[str]]:
    """Return the formats of a document's dates, those with two digits of the year first, and what is doubtful."""
    times = [column for column in columns if column.is_time and not column.epoch]
    readings = [date_reading(column) for column in times]
    order = {f[:2] == "%d" for r in readings for f in r.formats if "." not in f}
    if any(r.undecided for r in readings) and len(order) == 1:
        readings = [
            date_reading(column, next(iter(order))) if r.undecided else r
            for column, r in zip(times, readings, strict=True)
        ]
    doubts = [doubt for reading in readings for doubt in reading.doubts]
    for column, reading in zip(times, readings, strict=True):
        doubts += [_undecided(column, reading)] if reading.undecided else []
    formats = dict.fromkeys(f for reading in readings for f in reading.formats)
    return sorted(formats, key=lambda f: "%Y" in f), doubts


def _undecided(column: Values, reading: DateReading) -> str:
    example = reading.undecided[0]
    mark = next(c for c in example if c in "./-")
    year = "%Y" if re.search(r"\d{4}", example) else "%y"
    clock = next(form for form in column.date_forms if form.example == example).clock
    either = [mark.join([*parts, year]) + clock for parts in (("%m", "%d"), ("%d", "%m"))]
    return (
        f"{column.name}: whether {example} has the month or the day first cannot be seen, and such rows are refused;"
        f' set timestamp_formats: ["{either[0]}"] or ["{either[1]}"]'
    )


def guess(document: Document, columns: Sequence[Values]) -> Guess:
    """Return what a document of an unknown layout is taken for."""
    options, doubts, numbers = form_of(document, columns)
    candidates = {column.name: _candidates(column) for column in columns if column.given}
    stem = set(tokens(document.stem)) | {document.stem}
    entity = _entity(document, columns, candidates, stem)
    found = Guess(entity, options=options, doubts=doubts)
    named = {column.name: column for column in columns}
    _generic(found, stem, columns, candidates)
    _assign(found, candidates)
    reading = _Lines(found, named, numbers)
    if entity in ("order_lines", "orders"):
        reading.used_again()
    if entity in ("order_lines", "order_items"):
        reading.prices()
        reading.discounts()
        if stem & _REFUNDS and "is_return" not in found.columns:
            found.columns["is_return"] = {"constant": True}
            found.comments["is_return"] = f"{document.name!r} by its name holds what came back, whatever its signs"
    if entity == "order_lines":
        reading.levels()
    if entity == "events":
        _events(found, named)
    _currency(found, columns)
    _required(found, columns)
    return found


def _candidates(column: Values) -> dict[str, float]:
    """Return the roles a column may have, by its name where its values fit."""
    found = {}
    for role, sure in roles_of(column.name).items():
        if role in _NUMBERS and not (column.is_number and not column.is_time):
            continue
        if role in _TIMES and not (column.is_time or (column.is_number and sure >= 0.9 and role != "event_at")):
            continue
        if role == "currency" and not column.is_currency:
            continue
        if role == "customer_email" and not column.is_email:
            continue
        if role in ("method", "status", "channel", "device", "event_type") and (column.is_number or column.is_time):
            continue
        # An address, a name or an article that is a time or an amount of money is none.
        if role.startswith(("customer_", "product_")) and role not in _TIMES and column.is_time and not column.epoch:
            continue
        found[role] = sure
    # A state may be an order's or a part of a country: its words show it.
    if "status" in found and "customer_region" in found:
        states = sum(_STATE.search(text.casefold()) is not None for text in column.given)
        del found["customer_region" if 2 * states >= len(column.given) else "status"]
    if column.is_currency:
        found.setdefault("currency", 0.6)
    if column.is_email:
        found.setdefault("customer_email", 0.6)
    return found


def _entity(
    document: Document, columns: Sequence[Values], candidates: Mapping[str, Mapping[str, float]], stem: set[str]
) -> str:
    best: dict[str, float] = defaultdict(float)
    for roles in candidates.values():
        for role, sure in roles.items():
            best[role] = max(best[role], sure)
    has = {role for role, sure in best.items() if sure >= 0.5}
    said = next((entity for entity, words in _STEMS.items() if stem & words), "")
    if document.kind == "events" and not ({"quantity", "unit_price"} <= has and "event_type" not in has):
        return "events"
    own_id = any(tokens(column.name) in (("id",), ("no",)) for column in columns)
    has_order = "order_id" in has or (own_id and said in ("orders", "order_items"))
    is_refunds = bool(stem & _REFUNDS)
    has_line = "quantity" in has or (
        bool({"product_id", "product_name"} & has) and bool({"unit_price", "line_total"} & has)
    )
    if {"event_type", "event_at"} <= has and {"visitor_id", "session_id"} & has and not has_line:
        return "events"
    if said in ("customers", "products") and "quantity" not in has:
        return said
    if has_order and has_line:
        # A time that no name explains may be the order's.
        unnamed = any(c.is_time and not any(role in _TIMES for role in candidates.get(c.name, ())) for c in columns)
        is_flat = ("ordered_at" in has or unnamed) and not is_refunds
        if said == "order_items" and not ({"status", "customer_id"} & has or "orders" in stem):
            is_flat = False
        return "order_lines" if is_flat else "order_items"
    has_amount = bool({"amount", "total_amount", "line_total"} & has)
    if has_order and has_amount and (said == "payments" or "method" in has) and "customer_id" not in has:
        return "payments"
    if has_order and said == "payments":
        return "payments"
    if has_order and "ordered_at" in has:
        return "orders"
    if "ordered_at" in has and has_line:
        return "order_lines"
    if {"customer_email", "customer_first_name", "customer_last_name"} & has and not has_line:
        return "customers"
    if {"product_id", "product_name"} & has and "ordered_at" not in has:
        return "products"
    return said if said in _ROLES else "order_lines"


def _generic(found: Guess, stem: set[str], columns: Sequence[Values], candidates: dict[str, dict[str, float]]) -> None:
    """Let `id` and `name` mean the row's own, as they do in a table of one kind of thing."""
    own = {"orders": "order_id", "order_lines": "order_id", "payments": "payment_id", "customers": "customer_id",
           "products": "product_id", "events": "event_id"}.get(found.entity)  # fmt: skip
    names = {"customers": "customer_last_name", "products": "product_name", "events": "event_type"}
    for column in columns:
        words = tokens(column.name)
        if words in (("id",), ("no",), ("uuid",)) and own and column.given:
            if (
                found.entity == "order_lines"
                and not column.repeats
                and any(roles.get("order_id", 0) >= 0.7 for roles in candidates.values())
            ):
                candidates.setdefault(column.name, {})["line_number"] = 0.8
            else:
                candidates.setdefault(column.name, {})[own] = 0.9
        if words == ("name",) and found.entity in names and column.given:
            candidates.setdefault(column.name, {})[names[found.entity]] = 0.9
        if words in (("item",), ("items",)) and found.entity == "events":
            candidates.setdefault(column.name, {})["product_id"] = 0.8


def _assign(found: Guess, candidates: Mapping[str, Mapping[str, float]]) -> None:
    """Give each of our columns the raw one that means it most surely; a raw one means one of ours."""
    wishes = []
    for position, (ours, roles) in enumerate(_ROLES[found.entity].items()):
        for rank, role in enumerate(roles):
            for place, (name, means) in enumerate(candidates.items()):
                if means.get(role, 0.0) >= 0.3:
                    wishes.append((means[role] - 0.05 * rank, -position, -place, ours, name))
    used: set[str] = set()
    for sure, _, _, ours, name in sorted(wishes, reverse=True):
        if ours in found.columns or name in used:
            continue
        found.columns[ours] = name
        used.add(name)
        if sure < 0.75:
            found.comments[ours] = "by a part of its name and by its values; check it"
    if "customer_id" not in found.columns and "customer_email" in found.columns:
        found.columns["customer_id"] = found.columns["customer_email"]
        found.comments["customer_id"] = "customers are known by their e-mail addresses"
    elif "customer_id" not in found.columns and "customer_last_name" in found.columns:
        found.columns["customer_id"] = found.columns["customer_last_name"]
        found.doubts.append("customers are known by their names alone: two of one name are one")
    found.columns = {ours: found.columns[ours] for ours in _ROLES[found.entity] if ours in found.columns}


@dataclass
class _Lines:
    """The lines of a document: which amounts are of one piece, of the line and of the order, by arithmetic."""

    found: Guess
    named: Mapping[str, Values]
    form: NumberForm
    made: dict[str, list[str | None]] = field(default_factory=dict)

    def numbers(self, ours: str) -> list[float | None] | None:
        name = self.found.columns.get(ours)
        if not isinstance(name, str):
            return None
        return [number(text, self.form.decimal, self.form.thousands) for text in self.named[name].texts]

    def texts(self, ours: str) -> list[str | None] | None:
        if ours in self.made:
            return self.made[ours]
        name = self.found.columns.get(ours)
        return list(self.named[name].texts) if isinstance(name, str) else None

    def rates(self) -> list[float | None] | None:
        """Return the rates of discounts as shares: 10 under a name with a percent sign is 0.1."""
        name = self.found.columns.get("discount_rate")
        values = self.numbers("discount_rate")
        if values is None or not isinstance(name, str):
            return None
        if any("%" in text for text in self.named[name].given):
            return [value and value / 100 for value in values]
        if max((abs(value) for value in values if value), default=0) > 1:
            self.found.columns["discount_rate"] = {"column": name, "factor": 0.01}
            self.found.comments["discount_rate"] = "in percent"
            return [value and value / 100 for value in values]
        return values

    def prices(self) -> None:
        """Tell prices of one piece from totals of lines."""
        columns, comments = self.found.columns, self.found.comments
        quantity = self.numbers("quantity")
        if quantity is None:
            return
        totals = self.numbers("line_total") or self.numbers("line_amount")
        which = "line_total" if "line_total" in columns else "line_amount"
        price = self.numbers("unit_price")
        discount = self.numbers("discount_amount")
        rate = self.rates()
        if price is not None and totals is not None:
            if rate is not None and not _fits(price, quantity, totals):
                cut = [p and p * (1 - (r or 0)) for p, r in zip(price, rate, strict=True)]
                if _fits(cut, quantity, totals):
                    columns["line_amount"] = columns.pop(which)
                    comments["line_amount"] = "quantity x price less the discount's rate comes to it"
                    return
            if which == "line_total" and discount is not None and not _fits(price, quantity, totals):
                less = [None if t is None else t + abs(d or 0) for t, d in zip(totals, discount, strict=True)]
                if _fits(price, quantity, less):
                    columns["line_amount"] = columns.pop("line_total")
                    comments["line_amount"] = "quantity x price less the discount comes to it"
                    return
            if _fits(price, quantity, totals):
                comments[which] = "quantity x price comes to it"
                if which == "line_amount":
                    columns["line_total"] = columns.pop("line_amount")
                    comments["line_total"] = comments.pop("line_amount")
                return
            swapped = _fits(totals, quantity, price)
            if swapped:
                columns["unit_price"], columns["line_total"] = columns[which], columns["unit_price"]
                if which == "line_amount":
                    del columns["line_amount"]
                comments["unit_price"] = "quantity x this comes to the other amount, whatever their names"
                return
            self.found.doubts.append(
                f"{columns['unit_price']!r} x {columns['quantity']!r} does not come to {columns[which]!r}: only the"
                " price is used; see what else the total holds"
            )
            comments["unit_price"] = f"{columns[which]} is left out, as it is not quantity x price"
            del columns[which]
            return
        for ours in ("unit_price", "line_total"):
            if ours in columns:
                self._one_amount(ours, quantity)
                return

    def _one_amount(self, ours: str, quantity: list[float | None]) -> None:
        columns, comments = self.found.columns, self.found.comments
        values = self.numbers(ours) or []
        verdict, why = self._unit_or_line(values, quantity)
        if verdict is None:
            if any(q not in (None, 1.0) for q in quantity):
                word = "of one piece" if ours == "unit_price" else "of the whole line"
                self.found.doubts.append(
                    f"{columns[ours]!r} is taken as the price {word}, as its name says; nothing in the values shows it"
                )
            return
        right = "unit_price" if verdict == "unit" else "line_total"
        comments[right] = why
        if right != ours:
            columns[right] = columns.pop(ours)
            comments.pop(ours, None)
            self.found.doubts.append(f"{columns[right]!r}: {why}")

    def _unit_or_line(self, values: list[float | None], quantity: list[float | None]) -> tuple[str | None, str]:
        """Return whether an amount is of a `unit` or of a `line`, and why: by orders' totals, else by product."""
        totals, orders = self.numbers("total_amount"), self.texts("order_id")
        if totals is not None and orders is not None:
            sums: dict[str, list[float]] = {}
            for order, total, value, q in zip(orders, totals, values, quantity, strict=True):
                if order is None or value is None or q is None:
                    continue
                s = sums.setdefault(order, [0.0, 0.0, 0.0])
                s[0] = s[0] if total is None else total
                s[1] += value * q
                s[2] += value
            apart = [s for s in sums.values() if abs(s[1] - s[2]) > 0.005 and s[0]]
            unit = sum(abs(s[0] - s[1]) < abs(s[0] - s[2]) for s in apart)
            if len(apart) and max(unit, len(apart) - unit) / len(apart) >= 0.8:
                verdict = "unit" if unit * 2 > len(apart) else "line"
                return (
                    verdict,
                    f"the orders' totals show that it is of {'one piece' if verdict == 'unit' else 'the whole line'}",
                )
        products = self.texts("product_id") or self.texts("product_name")
        if products is None:
            return None, ""
        by_product: dict[str, dict[float, float]] = defaultdict(dict)
        for product, value, q in zip(products, values, quantity, strict=True):
            if product and value and q:
                by_product[product].setdefault(abs(q), abs(value))
        unit = line = 0
        for prices in by_product.values():
            pairs = sorted(prices.items())
            for (q1, v1), (q2, v2) in pairwise(pairs):
                unit += abs(v1 - v2) <= 0.01 * max(v1, v2)
                line += abs(v1 / q1 - v2 / q2) <= 0.01 * max(v1 / q1, v2 / q2)
        if unit + line == 0 or max(unit, line) / (unit + line) < 0.7:
            return None, ""
        if unit > line:
            return "unit", "it is the same whatever the quantity of a product"
        return "line", "it grows in step with the quantity of a product: the whole line's"

    def discounts(self) -> None:
        """Tell rates from amounts."""
        columns = self.found.columns
        name = columns.get("discount_amount")
        if not isinstance(name, str):
            return
        values = [abs(v) for v in self.numbers("discount_amount") or [] if v]
        if not values:
            return
        if all(
            "%" in text or number(text, self.form.decimal, self.form.thousands) == 0 for text in self.named[name].given
        ):
            is_rate = True
        else:
            is_rate = max(values) <= 1 and any(v != 1 for v in values)
        if is_rate:
            columns["discount_rate"] = columns.pop("discount_amount")
            self.found.comments["discount_rate"] = "all values lie between 0 and 1: rates"

    def levels(self) -> None:
        """Tell what is the order's, stated once or on each of its rows, from what is each line's own."""
        columns, comments = self.found.columns, self.found.comments
        orders = self.texts("order_id")
        if orders is None:
            return
        for ours, own in (("shipping_amount", "line_shipping_amount"), ("tax_amount", "line_tax_amount"),
                          ("discount_amount", "order_discount_amount"), ("total_amount", "line_total")):  # fmt: skip
            values = self.numbers(ours)
            if values is None:
                continue
            by_order: dict[str, list[float | None]] = defaultdict(list)
            for order, value in zip(orders, values, strict=True):
                if order is not None:
                    by_order[order].append(value)
            several = [given for given in by_order.values() if len(given) > 1 and any(given)]
            alike = sum(len({v for v in given if v is not None}) == 1 for given in several)
            once = sum(given[0] is not None and all(v in (None, 0) for v in given[1:]) for given in several)
            if not several:
                continue
            is_orders = (alike + once) / len(several) >= 0.9
            if ours == "discount_amount":
                # Equal discounts of two lines are common; of all orders of several lines they are the order's.
                if alike == len(several) and len(several) >= 3 and own not in columns:
                    self.found.doubts.append(
                        f"{columns[ours]!r} is the same on all rows of each order: where it is the whole order's,"
                        f" call it {own}"
                    )
                continue
            if not is_orders and own not in columns:
                columns[own] = columns.pop(ours)
                comments[own] = "it differs between the rows of an order, so it is each line's own"
            elif not is_orders:
                self.found.doubts.append(f"{columns.pop(ours)!r} differs between the rows of an order, and is left out")

    def used_again(self) -> None:
        """Tell numbers that begin anew, such as each year, from those that are one order's for ever."""
        columns = self.found.columns
        orders, people, times = self.texts("order_id"), self.texts("customer_id"), self.texts("ordered_at")
        if orders is None or times is None or not isinstance(columns["order_id"], str):
            return
        several: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for at, (order, time) in enumerate(zip(orders, times, strict=True)):
            if order and time and (year := _year(time)):
                several[order].add((year, (people[at] if people else None) or ""))
        again = {o: found for o, found in several.items() if len({year for year, _ in found}) > 1}
        other = [o for o, found in again.items() if len({who for _, who in found if who}) > 1]
        mixed = [o for o, found in several.items() if len({who for _, who in found if who}) > 1 and o not in again]
        if len(mixed) > 0.02 * len(several):
            self.found.doubts.append(
                f"{columns['order_id']!r} {mixed[0]!r} and {len(mixed) - 1:,} more are of several customers: is it an"
                " order's number?"
            )
        by_year = {(o, y): {w for yy, w in found if yy == y and w} for o, found in several.items() for y, _ in found}
        if other and all(len(who) <= 1 for who in by_year.values()):
            order, time = (str(columns[c]).replace('"', '""') for c in ("order_id", "ordered_at"))
            sql = f"""regexp_extract("{time}", '\\d{{4}}') || '-' || "{order}\""""
            columns["order_id"] = {"sql": sql}
            self.made["order_id"] = [o and f"{_year(t or '')}-{o}" for o, t in zip(orders, times, strict=True)]
            self.found.comments["order_id"] = f"{other[0]!r} is used again in another year for another customer"
            self.found.doubts.append(
                f"order numbers are used again each year ({other[0]!r} is one); they are told apart by the year"
            )
        elif other:
            self.found.doubts.append(
                f"the order number {other[0]!r} belongs to several customers; those far apart in time are held apart or"
                " refused: see id_prefixes, or build the id from two columns with {sql: ...}"
            )


def _year(text: str) -> str:
    found = re.search(r"(?<!\d)(?:19|20)\d{2}(?!\d)", text)
    return found[0] if found else ""


def _fits(price: Sequence[float | None], quantity: Sequence[float | None], total: Sequence[float | None]) -> bool:
    """Return whether quantity x price comes to the total in nearly all rows, one at least of more pieces than one."""
    rows = [(p, q, t) for p, q, t in zip(price, quantity, total, strict=True) if None not in (p, q, t)]
    right = sum(abs(p * q - t) <= 0.011 + 0.0005 * abs(t) for p, q, t in rows)  # type: ignore[operator,arg-type]
    return bool(rows) and right / len(rows) >= 0.9


#: What trackers call the steps of a purchase, and what this project calls them (sql/macros/sessions.sql knows others).
_EVENT_WORDS = (
    (r"purchase|order_?(completed?|placed|confirm)|transaction|checkout_?complete|sale$|thank_?you", "purchase"),
    (r"remove.*cart|cart.*remov", "remove_from_cart"),
    (r"add.*(cart|basket|bag)|cart.*add", "add_to_cart"),
    (r"checkout|payment_?info|shipping_?info", "checkout"),
    (r"search", "search"),
    (r"(view|show).*(item|product|detail)|(item|product|detail).*(view|show)", "product_view"),
    (r"page_?view|^view$|screen_?view", "page_view"),
)


def _events(found: Guess, named: Mapping[str, Values]) -> None:
    name = found.columns.get("event_type")
    if not isinstance(name, str):
        return
    meant, unknown = {}, []
    for word in sorted(named[name].distinct)[:100]:
        plain = re.sub(r"[\s-]+", "_", word.casefold())
        for pattern, ours in _EVENT_WORDS:
            if re.search(pattern, plain):
                if plain != ours:
                    meant[word] = ours
                break
        else:
            unknown.append(word)
    if meant:
        found.columns["event_type"] = {"column": name, "values": meant}
    if unknown:
        found.comments["event_type"] = f"not understood, and counted as others: {', '.join(unknown[:8])}"


def _currency(found: Guess, columns: Sequence[Values]) -> None:
    entity = ENTITIES[found.entity]
    if "currency" in found.columns or "currency" not in entity.names or found.entity == "products":
        return
    signs = [column.sign for column in columns if column.is_number and column.sign]
    if signs:
        found.columns["currency"] = {"constant": signs[0]}
        found.comments["currency"] = "by the sign of the amounts"


def _required(found: Guess, columns: Sequence[Values]) -> None:
    """Say what is needed and missing; of what is needed, guess by values alone what only one column can be."""
    entity = ENTITIES[found.entity]
    used = {value for value in found.columns.values() if isinstance(value, str)}
    free = [column for column in columns if column.name not in used and column.given]
    time = {"order_lines": "ordered_at", "orders": "ordered_at", "events": "event_at"}.get(found.entity)
    if time and time not in found.columns:
        times = [column for column in free if column.is_time]
        if times:
            found.columns[time] = times[0].name
            found.comments[time] = "the first column of times; check it"
    if found.entity == "order_lines" and "order_id" not in found.columns:
        ids = [c for c in free if not c.is_time and c.filled > 0.9 and len(c.distinct) > 0.2 * len(c.given)]
        ids = [c for c in ids if c.is_whole or not c.is_number]
        best = max(ids, key=lambda c: len(c.distinct), default=None)
        if best is not None:
            found.columns["order_id"] = best.name
            found.comments["order_id"] = "by its values alone; check it"
            found.doubts.append(f"order_id is taken from {best.name!r} by its values alone: is it an order's number?")
        else:
            found.doubts.append("no column is an order's number; orders are told apart by customer and time")
    has_price = bool({"unit_price", "line_total", "line_amount"} & found.columns.keys())
    if found.entity in ("order_lines", "order_items") and "quantity" not in found.columns and has_price:
        found.columns["quantity"] = {"constant": 1}
        found.doubts.append("no column is a quantity: each row counts as one piece")
    for column in entity.columns:
        if column.required and column.name not in found.columns:
            found.missing[column.name] = f"needed: a column with the {column.name.replace('_', ' ')} of each row"
    if found.entity in ("order_lines", "order_items") and not has_price:
        found.missing["unit_price"] = "needed: a price of one piece, or line_total or line_amount"
    for ours in ("order_id", "product_id"):
        name = found.columns.get(ours)
        if isinstance(name, str):
            own = next((c for c in columns if c.name == name), None)
            damaged = next((t for t in own.given if re.fullmatch(r"\d[.,]\d+E\+\d+", t)), "") if own else ""
            if damaged:
                found.doubts.append(
                    f"{name!r} holds {damaged!r}, which a spreadsheet made of an id: such rows are refused"
                )
