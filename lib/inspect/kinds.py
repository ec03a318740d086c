"""What a row is: columns that say of rows that they are refunds, cancelled, quotes or tests, by their words and names.

Such a column decides what is revenue. Where its words leave no doubt it is mapped: what came back by `is_return`, what
was cancelled by `status`, what never was an order by `where`. Whatever is done with it is said, as it is a reading.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lib.inspect.arithmetic import Guess, Lines
from lib.inspect.values import Values
from lib.inspect.words import tokens

#: What words say of a row, the first that fits.
_WORDS = (
    ("none", re.compile(
        r"^(not?|non|nicht|kein\w*|sin|pas)[ _-]|^un|able$|partial|teil(weise|s)|parcial|partiel|parziale")),
    ("quote", re.compile(
        r"quot|angebot|devis|presupuesto|preventiv|pro ?forma|offerte|estimate|voranschlag|draft|entwurf"
    )),
    ("test", re.compile(r"\btest")),
    ("returned", re.compile(
        r"refund|\breturn|gutschrift|retour|ruckgabe|ruckzahl|erstatt|\bavoir|rembours|(nota|note) d[ie] credito"
        r"|credit ?(note|memo)|^credit$|\breso\b|devoluc|\babono|reembols|rimbors|chargeback|devuel"
    )),
    ("cancelled", re.compile(r"cancel|storn|\bvoid|annul|anulad|delet|gelosch")),
    ("sale", re.compile(
        r"\bsales?$|^sold$|^orders?$|invoice|rechnung|fattura|factu|verkauf|bestell|auftrag|commande|\bvente|\bventa|pedido"
        r"|vendita|ordine|receipt|purchase|\bkauf"
    )),
)  # fmt: skip
#: What a column of yes and no, or of times, says by its name.
_NAMES = (
    ("test", {"test"}),
    ("deleted", {"deleted", "geloescht", "removed", "trashed"}),
    ("cancelled", {"cancelled", "canceled", "cancel", "void", "voided", "storniert", "storno", "annulliert", "annule",
                   "annulee", "anulado", "cancelado", "annullato", "cancellation"}),
    ("returned", {"refunded", "returned", "refund", "erstattet", "retourniert", "rembourse", "reembolsado",
                  "devuelto"}),
    ("quote", {"quote", "draft", "angebot", "proforma"}),
)  # fmt: skip
#: Names of columns that say what a row is, whatever their words, and words beside which they speak of something else.
_KINDS = frozenset(["type", "typ", "art", "tipo", "event", "kind", "soort", "kennzeichen", "vorgang", "nature"])
_OTHERS = frozenset(
    [
        "payment", "pay", "product", "item", "customer", "client", "user", "ship", "shipping", "delivery", "address",
        "card", "device", "price", "tax", "account", "company", "fulfillment", "discount", "unit", "category",
        "zahlung",
        "versand", "kunde", "artikel", "steuer", "zahlungsart", "versandart", "lieferart", "artikelart", "kundenart",
        "steuerart",
    ]
)  # fmt: skip
#: Names of columns that say how an order stands.
_STATES = re.compile(r"status|state|zustand|statut|estado|stato")
#: Names of columns that count or number something, though 0 and 1 are all they hold.
_COUNTS = frozenset(["qty", "quantity", "amount", "total", "sum", "count", "menge", "anzahl", "betrag", "no", "id"])
#: Names of columns of texts in which any word may stand.
_TEXTS = frozenset(
    ["name", "title", "description", "street", "address", "city", "product", "item", "artikel", "sku", "company"]
)
_YES = frozenset(["yes", "y", "true", "t", "1", "ja", "j", "x", "oui", "o", "si", "s", "wahr", "vrai", "verdadero"])
_NO = frozenset(["no", "n", "false", "f", "0", "nein", "non", "falsch", "faux", "falso", "nee"])
_MOST = 12


def is_yes_or_no(column: Values) -> bool:
    """Return whether a column holds nothing but words for yes and no."""
    return bool(column.given) and {text.casefold() for text in column.distinct} <= _YES | _NO


def meaning(word: str) -> str:
    """Return what a word says of a row: sale, returned, cancelled, quote, test; empty where it is none of these."""
    text = unicodedata.normalize("NFKD", word.casefold().replace("ü", "u").replace("ö", "o"))
    text = "".join(c for c in text if not unicodedata.combining(c)).replace("_", " ")
    return next((kind for kind, pattern in _WORDS if pattern.search(text)), "")


def kinds_of(column: Values) -> dict[str, str] | None:
    """Return what each value of a column says of its rows; None for a column that says nothing of the kind.

    The key `*` stands for any value at all, as of a time at which a row was deleted.
    """
    words = set(tokens(column.name))
    named = next((kind for kind, names in _NAMES if words & names), "")
    if words & _COUNTS or (is_yes_or_no(column) and not any(text.casefold() in _YES for text in column.distinct)):
        return None
    if is_yes_or_no(column):
        return (
            {text: named if text.casefold() in _YES else "sale" for text in sorted(column.distinct)} if named else None
        )
    if column.is_time:
        return {"*": named} if named and column.filled < 1 else None
    if not column.given or column.is_number or column.is_email or len(column.distinct) > _MOST:
        return None
    is_kind = any(w in _KINDS or (w.endswith("art") and len(w) > 6) for w in words) and not words & _OTHERS
    # Words for what a row is are few and come again; streets and notes have a word of these by chance.
    if (
        not (column.repeats or is_kind or named)
        or words & _TEXTS
        or sum(map(_is_word, column.distinct)) * 2 < len(column.distinct)
    ):
        return None
    found = {text: meaning(text) if _is_word(text) else "" for text in sorted(column.distinct)}
    if set(found.values()) & {"returned", "cancelled", "quote", "test"}:
        return {text: "" if kind == "none" else kind for text, kind in found.items()}
    return dict.fromkeys(found, "") if is_kind and column.repeats and len(found) > 1 else None


def _is_word(text: str) -> bool:
    return len(text.split()) <= 4 and len(text) <= 40 and not re.search(r"\d", text)


def doubts_of(columns: Iterable[Values]) -> list[str]:
    """Return what is to be said of columns that nothing maps and that say what rows are."""
    return [_said(column, found) for column in columns if (found := kinds_of(column)) is not None]


def _said(column: Values, found: Mapping[str, str], done: str = "") -> str:
    values = "a time" if "*" in found else ", ".join(list(found)[:6])
    return f"{column.name!r} ({values}) says what a row is: " + (
        done or "it is not mapped, and every row counts as a sale; see 'where', 'status' with 'values', and 'is_return'"
    )


def map_kinds(found: Guess, columns: Sequence[Values], lines: Lines) -> None:
    """Map columns that say what rows are, as far as their words leave no doubt, and say so."""
    used = {name for mapping in found.columns.values() if isinstance(name := mapping, str)}
    for column in columns:
        if column.name in used or (kinds := kinds_of(column)) is None:
            continue
        done = []
        if found.entity in ("orders", "order_lines", "order_items"):
            for kind in ("returned", "cancelled", "quote", "test", "deleted"):
                words = [text for text, own in kinds.items() if own == kind]
                if words:
                    done.append(_map(found, column, kind, words, lines))
        if "status" in found.columns and isinstance(found.columns["status"], dict):
            done += [f"{text} is not understood" for text, own in kinds.items() if not own]
        elif done:
            done += [f"{text} counts as a sale" for text, own in kinds.items() if not own]
        found.doubts.append(_said(column, kinds, "; ".join(done)))


def _map(found: Guess, column: Values, kind: str, words: list[str], lines: Lines) -> str:
    """Map the rows of some words; return what was done, in words."""
    condition = _among(column, words)
    shown = ", ".join(words).replace("*", "such a row")
    is_of_orders = is_yes_or_no(column) or column.is_time or bool(_STATES.search(" ".join(tokens(column.name))))
    is_whole = found.entity == "orders" or (found.entity == "order_lines" and _whole(column, words, lines))
    undoes = kind == "cancelled" and not is_of_orders and _undoes(column, words, lines)
    if kind == "returned" and ((is_of_orders and not is_whole) or column.is_time):
        return f"{shown} came back, in part or whole, and is not mapped: see 'refund_amount', 'is_return' and 'status'"
    if (undoes or (kind == "returned" and not is_of_orders)) and found.entity != "orders":
        before = found.columns.get("is_return")
        if before is None:
            found.columns["is_return"] = {"sql": condition}
        elif isinstance(before, dict) and "sql" in before:
            found.columns["is_return"] = {"sql": f"{before['sql']} or {condition}"}
        found.comments["is_return"] = f"by the words of {column.name!r}"
        return f"{shown} is taken as what came back" + ("" if kind == "returned" else ", as it repeats another's lines")
    if found.entity == "orders" or (is_whole and kind in ("cancelled", "returned")):
        _status(found, column, condition, "returned" if kind == "returned" else "cancelled")
        if kind == "cancelled":
            return f"{shown} is taken as cancelled"
        if kind == "returned":
            return f"{shown} came back whole; where the row pays back another order, too little is taken off"
        return f"{shown} is taken as cancelled, so that it is no revenue"
    rest = f"not coalesce({condition}, false)"
    if "where" in found.options:
        rest = f"{found.options['where']} and {rest}"
    found.options["where"] = rest
    return f"{shown} is left out"


def _among(column: Values, words: list[str]) -> str:
    name = column.name.replace('"', '""')
    if words == ["*"]:
        return f'"{name}" is not null'
    listed = ", ".join("'" + word.replace("'", "''") + "'" for word in words)
    return f'"{name}" in ({listed})'


def _status(found: Guess, column: Values, condition: str, state: str) -> None:
    before = found.columns.get("status")
    if before is None:
        rest = "'sale'"
        found.comments["status"] = f"by the words of {column.name!r}"
    elif isinstance(before, str):
        quoted = before.replace('"', '""')
        rest = f'"{quoted}"'
        found.comments["status"] = f"and by the words of {column.name!r}"
    else:
        found.columns["status"] = {"sql": before["sql"].replace("case ", f"case when {condition} then '{state}' ", 1)}
        return
    found.columns["status"] = {"sql": f"case when {condition} then '{state}' else {rest} end"}


def _whole(column: Values, words: list[str], lines: Lines) -> bool:
    """Return whether words are of whole orders: all lines of an order have them, or none."""
    orders = lines.texts("order_id")
    if orders is None:
        return False
    by_order: dict[str, set[bool]] = {}
    for order, text in zip(orders, column.texts, strict=True):
        if order is not None:
            by_order.setdefault(order, set()).add((text or "").strip() in words or (words == ["*"] and bool(text)))
    return all(len(own) == 1 for own in by_order.values())


def _undoes(column: Values, words: list[str], lines: Lines) -> bool:
    """Return whether rows undo others: under a number of their own, each repeats a line of another order."""
    orders, quantity = lines.texts("order_id"), lines.numbers("quantity")
    products = lines.texts("product_id") or lines.texts("product_name")
    amounts = lines.numbers("line_total") or lines.numbers("line_amount") or lines.numbers("unit_price")
    people = lines.texts("customer_id")
    if orders is None or quantity is None or products is None or amounts is None:
        return False
    sold: dict[Any, set[str]] = {}
    undone: list[tuple[Any, str]] = []
    for at, text in enumerate(column.texts):
        amount, pieces, order = amounts[at], quantity[at], orders[at]
        if amount is None or pieces is None or order is None or not text:
            continue
        key = (products[at], abs(pieces), abs(amount), people[at] if people else None)
        if text.strip() in words:
            undone.append((key, order))
        else:
            sold.setdefault(key, set()).add(order)
    return bool(people and undone) and all(sold.get(key, set()) - {order} for key, order in undone)
