"""Invented exports in many layouts, each mapped by `inspect` as it is: a few here, the rest in `make soak`."""

import csv
import io
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from lib.inspect.documents import documents
from lib.inspect.drafting import draft_of
from lib.inspect.shop import Wishes
from lib.inspect.sources_file import text_of
from tests.conftest import soaking

#: What columns are called, by what they mean; the first five are in every export.
NAMES = {
    "order_id": ["Order ID", "order_no", "OrderNumber", "Invoice", "Receipt No.", "Bestellnummer", "Auftragsnr.",
                 "Rechnungsnr", "Numéro de commande", "N° facture", "Nº pedido", "Numero ordine", "Order #"],
    "ordered_at": ["Order Date", "created_at", "Date", "OrderDate", "Bestelldatum", "Datum", "Fecha",
                   "Data ordine", "Purchased On", "Invoice Date", "timestamp"],
    "product_id": ["SKU", "product_id", "ItemCode", "Artikelnummer", "Artikel-Nr.", "Code article", "Código"],
    "quantity": ["Quantity", "qty", "Units", "Menge", "Anzahl", "Quantité", "Cantidad", "Qté", "Quantità", "Stk"],
    "unit_price": ["Unit Price", "price", "UnitPrice", "Einzelpreis", "Preis", "Prix unitaire", "Precio", "VK"],
    "customer_id": ["Customer ID", "customer", "CustomerNo", "Kundennr", "Kunde", "Client", "Cliente", "Account No"],
    "product_name": ["Product Name", "item_name", "Description", "Bezeichnung", "Désignation", "Descripción", "Item"],
    "line_total": ["Line Total", "Total Price", "Gesamtpreis", "Montant", "Importe", "Row Total", "Extended Price"],
    "currency": ["Currency", "Währung", "Devise", "Moneda", "currency_code"],
}  # fmt: skip
DATES = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%m/%d/%y"]
PRICES = [4.5, 12.0, 19.99, 1234.5, 99.0, 0.75]


def export(chance: random.Random, folder: Path) -> tuple[dict[str, str], str]:
    """Write an export and return its columns by what they mean, and its decimal separator."""
    names = {role: chance.choice(words) for role, words in NAMES.items()}
    columns = [*list(NAMES)[:5], *(role for role in list(NAMES)[5:] if chance.random() < 0.6)]
    if "line_total" in columns and chance.random() < 0.3:
        columns.remove("unit_price")
    chance.shuffle(columns)
    decimal = chance.choice(".,")
    thousands = chance.choice([mark for mark in ("", ",", ".", " ", "'") if mark != decimal])
    form, delimiter = chance.choice(DATES), chance.choice(",;\t|")

    def written(value: float) -> str:
        return f"{value:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)

    prices = {f"A{number:03d}": chance.choice(PRICES) for number in range(8)}
    time = datetime(2026, 1, chance.randint(1, 9))
    text = io.StringIO()
    lines = csv.writer(text, delimiter=delimiter)
    lines.writerow([names[column] for column in columns])
    for order in range(40):
        time += timedelta(hours=chance.randint(5, 60))
        customer = f"K{chance.randint(1, 15)}"
        for _ in range(chance.randint(1, 3)):
            product, quantity = chance.choice(list(prices)), chance.choice([1, 1, 1, 2, 3, 5])
            row = {
                "order_id": str(10_000 + order),
                "ordered_at": time.strftime(form),
                "product_id": product,
                "quantity": str(quantity),
                "unit_price": written(prices[product]),
                "customer_id": customer,
                "product_name": f"Thing {product}",
                "line_total": written(prices[product] * quantity),
                "currency": "EUR",
            }
            lines.writerow([row[column] for column in columns])
    (folder / "export.csv").write_text(text.getvalue(), encoding=chance.choice(["utf-8", "cp1252", "utf-16"]))
    return {column: names[column] for column in columns}, decimal


@pytest.mark.parametrize("seed", soaking(range(1_000), range(0, 1_000, 100)))
def test_an_invented_export_is_mapped_as_it_is(seed, tmp_path):
    (folder := tmp_path / "exports").mkdir()
    (scratch := tmp_path / "scratch").mkdir()
    columns, decimal = export(random.Random(seed), folder)
    draft = draft_of(documents([str(folder)], scratch), Wishes(), []).draft
    assert yaml.safe_load(text_of(draft))["sources"] == draft.values["sources"]
    (source,) = draft.sources.values()
    entity = source.entities["order_lines"]
    assert {ours: entity.columns.get(ours) for ours in columns} == columns
    assert entity.options.get("decimal", ".") == decimal
