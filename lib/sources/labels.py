"""The words by which an order confirmation's fields are known, in English, German and French; a source may add more."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from lib.entities import ENTITIES

#: Field of the order -> what it is called.
_ORDER = {
    "order_id": "order number; order no; order id; order; bestellnummer; bestell-nr; auftragsnummer; auftrags-nr;"
    " numéro de commande; commande n°; n° de commande",
    "ordered_at": "order date; ordered on; ordered at; date of order; bestelldatum; bestellt am; auftragsdatum;"
    " date de commande; commandé le",
    "customer_id": "customer number; customer no; customer id; customer; kundennummer; kunden-nr; numéro client;"
    " numéro de client; n° client",
    "status": "order status; status; bestellstatus; statut; statut de la commande",
    "channel": "sold through; channel; sales channel; kanal; vertriebsweg; canal",
    "store_id": "store; store number; branch; filiale; filialnummer; magasin",
    "campaign": "campaign; promotion; aktion; kampagne; opération; campagne",
    "currency": "currency; währung; devise",
    "order_discount_amount": "total discount; order discount; discounts; rabatt gesamt; gesamtrabatt; remise totale",
    "shipping_amount": "shipping; shipping costs; delivery; postage; versand; versandkosten; lieferkosten; livraison;"
    " frais de port; frais de livraison",
    "tax_amount": "vat included; vat; tax; sales tax; incl. vat; enthaltene mwst; mwst; enthaltene ust; ust;"
    " dont tva; tva incluse; tva",
    "total_amount": "order total; total; grand total; gesamtbetrag; endbetrag; gesamtsumme; rechnungsbetrag;"
    " total ttc; montant total",
    "updated_at": "issued; issued at; issued on; ausgestellt am; beleg vom; belegdatum; émis le",
}
#: Column of a table of lines, or label within the lines of one item.
_LINE = {
    "line_number": "no; line; line no; pos; position; zeile; ligne",
    "product_id": "item; item no; item number; sku; product no; product id; article no; artikelnr; artikel-nr; art.-nr;"
    " artikelnummer; référence; réf",
    "product_name": "description; product; name; bezeichnung; artikel; artikelbezeichnung; désignation; article",
    "quantity": "qty; quantity; units; menge; anzahl; stück; stk; quantité; qté",
    "unit_price": "unit price; price; price each; einzelpreis; stückpreis; preis; prix unitaire; pu",
    "discount_amount": "discount; rabatt; nachlass; remise",
}
_PAYMENT = {
    "payment_id": "payment; payment no; payment id; payment reference; zahlungsnr; zahlungsnummer; vorgang; paiement;"
    " n° de paiement",
    "method": "method; payment method; paid by; paid with; zahlart; zahlungsart; mode de paiement; moyen de paiement",
    "amount": "amount; amount paid; paid; betrag; gezahlt; bezahlter betrag; montant; montant payé",
    "status": "status; payment status; zahlstatus; zahlungsstatus; statut",
    "paid_at": "paid at; paid on; payment date; zeitpunkt; bezahlt am; gebucht am; zahlungsdatum; payé le",
}
#: What is known and says nothing new.
_IGNORED = (
    "amount; line total; total; sum; subtotal; net; summe; zeilensumme; zwischensumme; gesamt; nettobetrag; netto;"
    " montant; sous-total; total ligne; erstattungsbetrag; refund total"
)

#: Values with one meaning in several languages; all others are taken as they stand.
WORDS = {
    "status": {
        "completed": "completed; complete; abgeschlossen; erledigt; terminée",
        "cancelled": "cancelled; canceled; storniert; annulée",
        "returned": "returned; zurückgegeben; retournée",
        "paid": "paid; bezahlt; payé",
        "failed": "failed; declined; fehlgeschlagen; abgelehnt; échoué; refusé",
        "refunded": "refunded; erstattet; remboursé",
    },
    "channel": {"store": "store; branch; filiale; magasin", "web": "web; online; online-shop; webshop"},
    "method": {
        "card": "card; credit card; debit card; karte; kreditkarte; ec-karte; carte; carte bancaire",
        "paypal": "paypal",
        "invoice": "invoice; rechnung; kauf auf rechnung; facture",
        "bank_transfer": "bank transfer; transfer; überweisung; virement",
        "gift_card": "gift card; voucher; geschenkkarte; gutschein; carte cadeau",
        "instalments": "instalments; installments; ratenzahlung; raten; paiement échelonné",
        "cash": "cash; bar; barzahlung; espèces",
    },
    "customer_id": {
        "": "-; –; walk-in; walk-in customer; guest; none; laufkundschaft; gast; barverkauf; keine; client de passage"
    },
}
_END = re.compile(r"[\s:.]+$")


@dataclass(frozen=True)
class Labels:
    """Label -> field, for an order, a line and a payment; an ignored label has an empty field."""

    order: Mapping[str, str]
    line: Mapping[str, str]
    payment: Mapping[str, str]

    @property
    def line_columns(self) -> list[str]:
        """The columns of order_lines that a confirmation can have."""
        known = {*self.order.values(), *self.line.values()}
        return [name for name in ENTITIES["order_lines"].names if name in known]

    @property
    def payment_columns(self) -> list[str]:
        """The columns of payments that a confirmation can have."""
        known = {*self.payment.values(), "order_id", "currency"}
        return [name for name in ENTITIES["payments"].names if name in known]


def normal(label: str) -> str:
    """Return a label as it stands in the tables: small letters, single blanks, no colon or dot behind."""
    return _END.sub("", " ".join(label.split()).casefold())


def labels_with(own: Mapping[str, tuple[str, ...]]) -> Labels:
    """Return the known labels and a shop's own: column of order_lines or payments -> more words for it.

    A word of the shop's own wins over what it means elsewhere.
    """
    return _labels(tuple(sorted((field, tuple(words)) for field, words in own.items())))


@cache
def _labels(own: tuple[tuple[str, tuple[str, ...]], ...]) -> Labels:
    order, line, payment = (_table(known) for known in (_ORDER, _LINE, _PAYMENT))
    for word in _IGNORED.split(";"):
        for table in (order, line):
            table.setdefault(normal(word), "")
    for field, words in own:
        for table in _tables_of(field, order, line, payment):
            table.update(dict.fromkeys(map(normal, words), field))
    return Labels(order, line, payment)


def own_fields() -> list[str]:
    """Return the columns for which a shop may give words of its own."""
    return list(dict.fromkeys([*ENTITIES["order_lines"].names, *_PAYMENT]))


def _tables_of(
    field: str, order: dict[str, str], line: dict[str, str], payment: dict[str, str]
) -> list[dict[str, str]]:
    of_product = field in _LINE or field.startswith("product_")
    tables = [payment] if field in _PAYMENT else []
    if field in ENTITIES["order_lines"].names:
        tables.append(line if of_product else order)
    return tables


def _table(known: Mapping[str, str]) -> dict[str, str]:
    return {normal(word): field for field, words in known.items() for word in words.split(";")}


@cache
def _meanings(field: str) -> dict[str, str]:
    return {
        normal(w) or w.strip(): meaning for meaning, words in WORDS.get(field, {}).items() for w in words.split(";")
    }


def meaning(field: str, value: str) -> str:
    """Return a field's value as one word for all languages, or as it stands where it is none of the known ones."""
    known = _meanings(field)
    return known.get(normal(value) or value, value) if known else value
