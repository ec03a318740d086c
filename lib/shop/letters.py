"""How branch stores write their e-mails: layouts by store, in two languages and four ways of writing numbers and times.

A letter is the content; a layout turns it into a text and an HTML page with that content. How a message is packed
and when it is sent is in `mailbox`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from lib.shop.places import STORES, Store

ORDER, CANCELLATION, RETURN = range(3)


@dataclass(frozen=True)
class Letter:
    """What a store writes about an order: money in cents, instants in the shop's time zone.

    Sums are discount, shipping, tax and total; a return has none. A line is number, product id, name, quantity, unit
    price, discount; a payment is id, method, amount, status, instant, where method and status are positions in
    `payments.METHODS` and `payments.STATUSES`.
    """

    kind: int
    order_id: str
    ordered_at: datetime
    issued_at: datetime
    store: Store
    customer_id: str | None
    campaign: str | None
    sums: Sequence[int]
    lines: Sequence[tuple[Any, ...]]
    payments: Sequence[tuple[str, int, int, int, datetime]]


@dataclass(frozen=True)
class Words:
    """A language's titles and greetings by kind of letter, its labels by field, and the words of its values."""

    titles: tuple[str, str, str]
    greetings: tuple[str, str, str]
    closing: str
    forwarded: str
    original: str
    fields: Mapping[str, str]
    lines: tuple[str, ...]
    payments: tuple[str, ...]
    payments_title: str
    walk_in: str
    channel: str
    order_statuses: tuple[str, str]
    methods: tuple[str, ...]
    payment_statuses: tuple[str, str, str]


@dataclass(frozen=True)
class Layout:
    """A way of writing: words, how an amount (of cents, with the currency) and an instant look, how tables look."""

    words: Words
    amount: Callable[[int, str], str]
    moment: Callable[[datetime], str]
    table: Callable[[Sequence[Sequence[str]]], list[str]]
    charset: str


_GERMAN = Words(
    titles=("Ihre Bestellung", "Stornierung Ihrer Bestellung", "Ihre Rückgabe zur Bestellung"),
    greetings=(
        "vielen Dank für Ihren Einkauf. Hier ist Ihre Bestätigung.",
        "wir haben Ihre Bestellung storniert. Es ging um diese Artikel.",
        "wir haben diese Artikel zurückgenommen.",
    ),
    closing="Mit freundlichen Grüßen\nIhre Filiale",
    forwarded="Zur Kenntnis weitergeleitet.",
    original="-------- Ursprüngliche Nachricht --------",
    fields={
        "order_id": "Bestellnummer",
        "ordered_at": "Bestelldatum",
        "status": "Status",
        "channel": "Kanal",
        "store_id": "Filiale",
        "customer_id": "Kundennummer",
        "campaign": "Aktion",
        "updated_at": "Ausgestellt am",
        "discount": "Rabatt gesamt",
        "shipping": "Versandkosten",
        "tax": "Enthaltene MwSt.",
        "total": "Gesamtbetrag",
    },
    lines=("Pos.", "Artikelnr.", "Bezeichnung", "Menge", "Einzelpreis", "Rabatt", "Summe"),
    payments=("Zahlungsnr.", "Zahlart", "Betrag", "Zahlstatus", "Zeitpunkt"),
    payments_title="Zahlungen",
    walk_in="Laufkundschaft",
    channel="Filiale",
    order_statuses=("abgeschlossen", "storniert"),
    methods=("Karte", "PayPal", "Rechnung", "Überweisung", "Geschenkkarte", "Ratenzahlung"),
    payment_statuses=("bezahlt", "fehlgeschlagen", "erstattet"),
)
_TILL_GERMAN = Words(
    **vars(_GERMAN)
    | {
        "fields": dict(_GERMAN.fields)
        | {
            "order_id": "Auftragsnummer",
            "ordered_at": "Auftragsdatum",
            "customer_id": "Kunden-Nr.",
            "updated_at": "Beleg vom",
            "total": "Endbetrag",
        },
        "lines": ("Position", "Art.-Nr.", "Artikel", "Anzahl", "Stückpreis", "Nachlass", "Zeilensumme"),
        "payments": ("Vorgang", "Zahlungsart", "Betrag", "Zahlungsstatus", "Gebucht am"),
        "walk_in": "-",
    }
)
_ENGLISH = Words(
    titles=("Your order", "Your order was cancelled:", "Your return for order"),
    greetings=(
        "thank you for shopping with us. This is your confirmation.",
        "your order was cancelled. It was for these items.",
        "we have taken back these items.",
    ),
    closing="Kind regards\nYour store",
    forwarded="FYI, see below.",
    original="---------- Forwarded message ----------",
    fields={
        "order_id": "Order number",
        "ordered_at": "Order date",
        "status": "Order status",
        "channel": "Sold through",
        "store_id": "Store",
        "customer_id": "Customer number",
        "campaign": "Campaign",
        "updated_at": "Issued",
        "discount": "Total discount",
        "shipping": "Shipping",
        "tax": "VAT included",
        "total": "Order total",
    },
    lines=("No.", "Item", "Description", "Qty", "Unit price", "Discount", "Amount"),
    payments=("Payment", "Method", "Amount", "Status", "Paid at"),
    payments_title="Payments",
    walk_in="walk-in",
    channel="store",
    order_statuses=("completed", "cancelled"),
    methods=("Card", "PayPal", "Invoice", "Bank transfer", "Gift card", "Instalments"),
    payment_statuses=("paid", "failed", "refunded"),
)
_GERMAN_MONTHS = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
_ENGLISH_MONTHS = "January February March April May June July August September October November December"
_GERMAN_ZONES = {"CET": "MEZ", "CEST": "MESZ"}


def grouped(cents: int, thousands: str, decimal: str) -> str:
    """Return an amount with two decimals in the given separators."""
    whole, rest = divmod(abs(cents), 100)
    text = f"{whole:,}".replace(",", thousands)
    return f"{'-' if cents < 0 else ''}{text}{decimal}{rest:02d}"


def _sign(currency: str) -> str:
    return "€" if currency == "EUR" else currency


def _offset(at: datetime) -> str:
    return at.strftime("%z")


def _is_ambiguous(at: datetime) -> bool:
    return at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()


def _german_moment(at: datetime) -> str:
    offset = _offset(at)
    zone = _GERMAN_ZONES.get(at.tzname() or "", f"UTC{offset[:3]}:{offset[3:]}")
    return f"{at:%d.%m.%Y, %H:%M:%S} Uhr {zone}"


def _iso_moment(at: datetime) -> str:
    return at.isoformat()


def _local_moment(at: datetime) -> str:
    """Return the store's own time; it states its distance from UTC where clocks show it twice."""
    zone = f" (UTC{_offset(at)[:3]}:{_offset(at)[3:]})" if _is_ambiguous(at) else ""
    return f"{at.day}. {_GERMAN_MONTHS.split()[at.month - 1]} {at.year} um {at:%H:%M:%S} Uhr{zone}"


def _english_moment(at: datetime) -> str:
    return (
        f"{_ENGLISH_MONTHS.split()[at.month - 1]} {at.day}, {at.year} {at.hour % 12 or 12}:{at:%M:%S %p} {_offset(at)}"
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table whose columns stand apart by two blanks or more."""
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    return ["".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _bars(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table with bars, and a rule below its header."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def _stanzas(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return each row as lines of label and value, a blank line after each."""
    return [text for row in rows[1:] for text in (*map("{}: {}".format, rows[0], row), "")]


_LAYOUTS = {
    "german": Layout(
        _GERMAN, lambda cents, code: f"{grouped(cents, '.', ',')} {_sign(code)}", _german_moment, _columns, "utf-8"
    ),
    "till": Layout(
        _TILL_GERMAN, lambda cents, code: f"{grouped(cents, '.', ',')} {code}", _iso_moment, _bars, "windows-1252"
    ),
    "swiss": Layout(
        _GERMAN, lambda cents, code: f"{code} {grouped(cents, '’', '.')}", _local_moment, _stanzas, "utf-8"
    ),
    "english": Layout(
        _ENGLISH, lambda cents, code: f"{code} {grouped(cents, ',', '.')}", _english_moment, _bars, "utf-8"
    ),
}
#: Which store has which layout; a store that is not named writes as most do.
_OF_STORE = {"S01": "english", "S03": "till", "S05": "swiss", "S07": "till", "S08": "swiss"}
LAYOUT_OF = {store.id: _LAYOUTS[_OF_STORE.get(store.id, "german")] for store in STORES}


def subject(letter: Letter) -> str:
    """Return the subject of a letter's message."""
    return f"{LAYOUT_OF[letter.store.id].words.titles[letter.kind]} {letter.order_id}"


def render(letter: Letter, currency: str) -> tuple[str, str]:
    """Return a letter as text and as HTML."""
    layout = LAYOUT_OF[letter.store.id]
    words = layout.words
    fields = _fields(letter, layout)
    sums = _sums(letter, layout, currency)
    lines = [words.lines, *(_line(line, layout, currency) for line in letter.lines)]
    payments = [
        words.payments,
        *(
            (
                number,
                words.methods[method],
                layout.amount(amount, currency),
                words.payment_statuses[status],
                layout.moment(at),
            )
            for number, method, amount, status, at in letter.payments
        ),
    ]
    greeting = words.greetings[letter.kind]
    paid = letter.payments
    text = [
        greeting[0].upper() + greeting[1:], "", *(f"{label}: {value}" for label, value in fields), "",
        *layout.table(lines), "",
        *(f"{label}: {value}" for label, value in sums), "",
        *((words.payments_title, "", *layout.table(payments), "") if paid else ()),
        words.closing, letter.store.name, "",
    ]  # fmt: skip
    page = (
        f"<!DOCTYPE html>\n<html><head><meta charset={layout.charset}><style>td{{padding:2px 8px}}</style></head>\n"
        f"<body><p>{escape(greeting)}</p>\n{_html(fields)}{_html(lines, headed=True)}{_html(sums)}"
        f"{f'<h3>{words.payments_title}</h3>' + _html(payments, headed=True) if paid else ''}"
        f"<p>{words.closing.replace(chr(10), '<br>')}<br>{escape(letter.store.name)}</p></body></html>\n"
    )
    return "\n".join(text), page


def _fields(letter: Letter, layout: Layout) -> list[tuple[str, str]]:
    words = layout.words
    values: dict[str, str | None] = {
        "order_id": letter.order_id,
        "ordered_at": layout.moment(letter.ordered_at),
        "status": words.order_statuses[letter.kind] if letter.kind != RETURN else None,
        "channel": words.channel,
        "store_id": f"{letter.store.id} ({letter.store.name})",
        "customer_id": letter.customer_id or words.walk_in,
        "campaign": letter.campaign if letter.kind != RETURN else None,
        "updated_at": layout.moment(letter.issued_at),
    }
    return [(words.fields[name], value) for name, value in values.items() if value]


def _sums(letter: Letter, layout: Layout, currency: str) -> list[tuple[str, str]]:
    labels = [layout.words.fields[name] for name in ("discount", "shipping", "tax", "total")]
    amounts = [layout.amount(cents, currency) for cents in letter.sums]
    return list(zip(labels, amounts, strict=False))


def _line(line: tuple[Any, ...], layout: Layout, currency: str) -> tuple[str, ...]:
    number, product, name, quantity, price, discount = line
    amounts = (layout.amount(cents, currency) for cents in (price, discount, quantity * price - discount))
    return (str(number), product, name, str(quantity), *amounts)


def _html(rows: Sequence[Sequence[str]], *, headed: bool = False) -> str:
    """Return a table of the rows, an empty text where there are none."""
    if not rows:
        return ""
    tags = ["th" if headed and number == 0 else "td" for number in range(len(rows))]
    inner = "\n".join(
        f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in row)}</tr>"
        for tag, row in zip(tags, rows, strict=True)
    )
    return f"<table>\n{inner}\n</table>\n"
