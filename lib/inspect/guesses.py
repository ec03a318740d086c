"""What an export of an unknown layout may be: its entity and its columns, by their names and by their values.

A guess that the values do not bear out is said (`doubts`), and what is needed and not found is left to do (`missing`).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from lib.entities import ENTITIES
from lib.inspect.arithmetic import Guess, Lines
from lib.inspect.documents import Document
from lib.inspect.forms import form_of
from lib.inspect.kinds import is_yes_or_no, map_kinds
from lib.inspect.values import Values, bare
from lib.inspect.words import in_cents, roles_of, tokens

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
    reading = Lines(found, named, numbers)
    if entity in ("order_lines", "orders"):
        reading.used_again()
    if entity == "order_lines":
        reading.levels()
    if entity in ("order_lines", "order_items"):
        reading.prices()
        reading.discounts()
        if _holds_returns(columns, stem) and entity == "order_items":
            found.columns["is_return"] = {"constant": True}
            found.comments["is_return"] = "by its name or its columns it holds what came back, whatever its signs"
    if entity == "events":
        _events(found, named)
    elif entity not in ("customers", "products"):
        map_kinds(found, columns, reading)
    _currency(found, columns)
    _in_cents(found, named)
    _whole_amounts(found, named)
    _required(found, columns)
    _say_rates(found, columns)
    for ours, why in found.comments.items():
        if why.endswith("; check it") and ours in found.columns:
            found.doubts.append(f"{ours} is {found.columns[ours]!r}, {why.removesuffix('; check it')}: is it right?")
    return found


def _holds_returns(columns: Sequence[Values], stem: set[str]) -> bool:
    """Return whether a document lists what came back: by its name, or by numbers that its returns have of their own."""
    if stem & _REFUNDS:
        return True
    own = {"return", "refund", "retoure", "retouren", "rma", "erstattungs", "reembolso", "devolucion"}
    return any({"id", "no"} & set(words) and own & set(words) for words in (tokens(c.name) for c in columns))


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
        if role == "line_number" and column.is_number and not _is_plain(column):
            continue
        if role == "tax_amount" and (_is_rate_by_name(column) or _is_rate(column)):
            continue
        if role == "is_return" and not is_yes_or_no(column):
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
    if not (column.is_number or column.is_time) and any(w.endswith(("status", "zustand")) for w in tokens(column.name)):
        found.setdefault("status", 0.4)
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
    is_refunds = _holds_returns(columns, stem)
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


#: Rates of VAT and the like, in percent.
_RATES = frozenset(
    [
        0,
        2.1,
        2.6,
        4,
        5,
        5.5,
        6,
        7,
        7.7,
        8,
        8.1,
        9,
        9.5,
        10,
        12,
        13,
        13.5,
        14,
        15,
        16,
        17,
        18,
        19,
        20,
        21,
        22,
        23,
        24,
        25,
        27,
    ]
)


def _is_rate_by_name(column: Values) -> bool:
    words = tokens(column.name)
    return any(w in ("rate", "percent", "taux", "aliquota", "tarief", "satz") or w.endswith("satz") for w in words)


def _is_rate(column: Values) -> bool:
    """Return whether a column holds a few rates of tax, such as 7 and 19, and no amounts."""
    if any("%" in text for text in column.given):
        return True
    if len(column.distinct) > 4 or len(column.distinct) * 2 > len(column.given):
        return False
    try:
        values = {float(bare(text).replace(",", ".")) for text in column.distinct}
    except ValueError:
        return False
    as_percent = {round(value * 100, 6) for value in values} if max(values, default=0) < 1 else values
    return any(values) and as_percent <= _RATES


def _say_rates(found: Guess, columns: Sequence[Values]) -> None:
    """Say of columns called a tax that they hold rates, by their values alone."""
    used = {m for m in found.columns.values() if isinstance(m, str)}
    for column in columns:
        is_called_tax = column.is_number and roles_of(column.name).get("tax_amount", 0) >= 0.9
        if column.name not in used and is_called_tax and _is_rate(column) and not _is_rate_by_name(column):
            shown = ", ".join(sorted(column.distinct))
            found.doubts.append(f"{column.name!r} ({shown}) is taken for rates of tax, not amounts, and is left out")


def _in_cents(found: Guess, named: Mapping[str, Values]) -> None:
    """Take amounts for cents where the name says so and none has a decimal."""
    for column in ENTITIES[found.entity].columns:
        name = found.columns.get(column.name)
        if column.kind == "amount" and isinstance(name, str) and in_cents(name) and _is_plain(named[name]):
            found.columns[column.name] = {"column": name, "factor": 0.01}
            found.comments.setdefault(column.name, "in cents, as its name says")


def _is_plain(column: Values) -> bool:
    """Return whether all numbers are written without decimals: 1000, not 10.00."""
    return column.is_whole and not any(re.search(r"[.,]\d{1,2}$", bare(text)) for text in column.given)


def _whole_amounts(found: Guess, named: Mapping[str, Values]) -> None:
    """Say that amounts may be in cents, where none has a decimal."""
    kinds = {c.name: c.kind for c in ENTITIES[found.entity].columns}
    amounts = [named[m] for ours, m in found.columns.items() if kinds[ours] == "amount" and isinstance(m, str)]
    given = [column for column in amounts if column.given]
    if given and all(_is_plain(column) for column in given) and any(len(t) > 2 for c in given for t in c.given):
        found.doubts.append(
            f"all amounts are whole numbers, such as {given[0].given[0]!r}: where they are in cents, add --cents"
        )


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
