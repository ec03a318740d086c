"""`inspect`: a folder of exports becomes a sources file; what is guessed is borne out by values, and said where not."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import openpyxl
import pytest
import sqlalchemy as sa
import yaml
from typer.testing import CliRunner

from lib.inspect.documents import documents
from lib.inspect.drafting import draft_of
from lib.inspect.layouts import layouts, recognize
from lib.inspect.shop import Wishes
from lib.inspect.sources_file import text_of
from lib.inspect.values import Values, date_reading, number_form
from lib.inspect.words import roles_of, tokens
from run_pipeline import app
from tests.conftest import PROJECT

CASES = (PROJECT / "../shared/data/exports").resolve()


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an export and returns its folder."""

    def write(name: str, *lines: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "exports" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return tmp_path / "exports"

    return write


@pytest.fixture
def drafted(tmp_path):
    """Return a function that drafts the sources file of some paths and returns it as values and as text."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def drafted(*paths: Path, **wishes: str):
        return draft_of(documents([str(p) for p in paths], scratch), Wishes(**wishes), []).draft

    return drafted


def call(*arguments: str):
    return CliRunner().invoke(app, ["inspect", *arguments])


# What is known


def test_every_form_is_recognized_by_its_own_sign_and_by_the_names_it_has_in_other_versions():
    for layout in layouts():
        for form in layout.forms:
            for pick in (0, -1):
                columns = [layout.variants(names[pick])[pick] for names in form.sign]
                found = recognize(columns, layout.kind)
                assert found and found.layout.system == layout.system, (layout.system, form.name, columns)


def test_names_of_columns_are_compared_as_people_write_them():
    assert tokens("Order No.") == tokens("ORDER_NR") == tokens("orderNumber") == tokens("order #")
    assert roles_of("Belegnummer")["order_id"] == roles_of("N° de commande")["order_id"] == 1
    assert roles_of("Stückpreis")["unit_price"] == roles_of("Précio unitario")["unit_price"] == 1


# How values are written


@pytest.mark.parametrize(
    ("texts", "decimal", "thousands"),
    [
        (["12.50", "1,234.00"], ".", ","),
        (["12,50", "1.234,00"], ",", "."),
        (["1.234,50 €", "-1.000", "12,5"], ",", "."),
        (["12,50", "1 234,00"], ",", " "),
        (["CHF 1'234.50", "12.50"], ".", "'"),
        (["1.250", "12.50"], ".", ""),
        (["12", "300"], ".", ""),
    ],
)
def test_separators_are_told_by_the_numbers_that_leave_one_reading(texts, decimal, thousands):
    form = number_form([Values("price", tuple(texts))])
    assert (form.decimal, form.thousands) == (decimal, thousands)


def test_a_number_that_leaves_two_readings_is_said():
    assert number_form([Values("price", ("1.234", "2.500"))]).unsure == "1.234"
    assert number_form([Values("price", ("12,5", "1,75", "12.50"))]).against == "12.50"


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["01/14/2026", "01/03/2026"], ("%m/%d/%Y",)),
        (["14/01/2026 10:05", "03/01/2026 11:00"], ("%d/%m/%Y %H:%M",)),
        (["03.09.2026 14:05", "03.09.26 14:06"], ("%d.%m.%y %H:%M", "%d.%m.%Y %H:%M")),
        (["01/14/2026", "02-02-26"], ("%m-%d-%y", "%m/%d/%Y")),
        (["5/1/2026 1:05 PM", "5/13/2026 2:00 AM"], ("%m/%d/%Y %I:%M %p",)),
        (["2026-01-03", "2026-01-14"], ()),
    ],
)
def test_day_and_month_are_told_apart_by_numbers_above_12(texts, formats):
    assert date_reading(Values("date", tuple(texts))).formats == formats


def test_day_and_month_that_cannot_be_told_apart_are_left_open():
    reading = date_reading(Values("date", ("03/04/2026", "05/04/2026", "01/02/2026")))
    assert reading.formats == () and reading.undecided == ("03/04/2026",)


# What is guessed


def test_a_german_export_is_mapped_by_its_names_and_values(write, drafted):
    folder = write(
        "rechnungen_2026.csv",
        "Rechnungsnummer;Datum;Kundennr;Artikelnr;Bezeichnung;Menge;Einzelpreis;Gesamtpreis;Waehrung",
        "R1;03.09.2026;K1;00123;Kaffee;2;1.234,50;2.469,00;EUR",
        "R1;03.09.2026;K1;00124;Tee;1;4,00;4,00;EUR",
        "R2;14.09.2026;K2;00124;Tee;3;4,00;12,00;EUR",
        encoding="cp1252",
    )
    draft = drafted(folder)
    (entity,) = draft.sources["rechnungen"].entities.values()
    assert entity.columns == {
        "order_id": "Rechnungsnummer",
        "ordered_at": "Datum",
        "customer_id": "Kundennr",
        "currency": "Waehrung",
        "product_id": "Artikelnr",
        "product_name": "Bezeichnung",
        "quantity": "Menge",
        "unit_price": "Einzelpreis",
        "line_total": "Gesamtpreis",
    }
    assert entity.options == {"decimal": ",", "thousands": ".", "timestamp_formats": ["%d.%m.%Y"]}
    assert (draft.shop["currency"], draft.missing) == ("EUR", [])


def test_a_price_that_grows_with_the_quantity_is_the_lines(write, drafted):
    rows = ("O1,2026-01-01,A,1,10.00", "O2,2026-01-02,A,3,30.00", "O3,2026-01-03,B,2,8.00", "O4,2026-01-04,B,4,16.00")
    draft = drafted(write("sales.csv", "order no,date,sku,qty,price", *rows))
    columns = draft.sources["sales"].entities["order_lines"].columns
    assert columns["line_total"] == "price" and "unit_price" not in columns
    assert any("grows in step" in doubt for doubt in draft.doubts)


def test_a_discount_of_at_most_1_is_a_rate_and_what_a_total_lacks_is_the_discount(write, drafted):
    rows = ("1,2026-01-01,A,2,10.00,0.2", "2,2026-01-01,B,1,50.00,0", "3,2026-01-02,A,1,10.00,0.15")
    draft = drafted(write("a.csv", "order id,date,sku,quantity,unit price,discount", *rows))
    assert draft.sources["a"].entities["order_lines"].columns["discount_rate"] == "discount"


def test_a_total_after_the_discount_is_the_lines_amount(write, drafted):
    rows = ("1,2026-01-01,A,2,10.00,5.00,15.00", "2,2026-01-01,B,1,50.00,0,50.00")
    draft = drafted(write("b.csv", "order id,date,sku,quantity,unit price,discount,line total", *rows))
    columns = draft.sources["b"].entities["order_lines"].columns
    assert columns["line_amount"] == "line total" and columns["discount_amount"] == "discount"


def test_shipping_that_stands_on_each_row_of_an_order_is_the_orders(write, drafted):
    header = "order id,date,sku,quantity,unit price,shipping,tax"
    rows = ("1,2026-01-01,A,2,10.00,5.00,1.00", "1,2026-01-01,B,1,50.00,5.00,2.00", "2,2026-01-01,B,1,50.00,0,2.00")
    columns = drafted(write("c.csv", header, *rows)).sources["c"].entities["order_lines"].columns
    assert columns["shipping_amount"] == "shipping" and columns["line_tax_amount"] == "tax"


# What a row is, and which amounts are of what


def test_words_for_what_a_row_is_decide_what_counts_and_are_said(write, drafted):
    folder = write(
        "belege.csv",
        "Belegnr;Datum;Belegart;Kundennr;Artikelnr;Menge;Einzelpreis",
        "R1;13.01.2026;Rechnung;K1;A1;2;10,00",
        "R2;14.01.2026;Rechnung;K2;A2;3;50,00",
        "G3;20.01.2026;Gutschrift;K1;A1;1;10,50",
        "S4;21.01.2026;Storno;K2;A2;3;50,00",
        "A5;22.01.2026;Angebot;K2;A1;9;10,00",
    )
    draft = drafted(folder)
    entity = draft.sources["belege"].entities["order_lines"]
    assert entity.columns["is_return"] == {"sql": "\"Belegart\" in ('Gutschrift') or \"Belegart\" in ('Storno')"}
    assert entity.options["where"] == "not coalesce(\"Belegart\" in ('Angebot'), false)"
    assert any("'Belegart'" in doubt and "says what a row is" in doubt for doubt in draft.doubts)


@pytest.mark.parametrize(
    ("header", "rows", "column", "expected"),
    [
        ("Type", ("Sale", "Void", "Sale"), "status", "case when \"Type\" in ('Void') then 'cancelled' else 'sale' end"),
        ("Cancelled", ("no", "yes", "no"), "status",
         "case when \"Cancelled\" in ('yes') then 'cancelled' else 'sale' end"),
        ("Type", ("Sale", "Refund", "Sale"), "is_return", "\"Type\" in ('Refund')"),
        ("Is Test", ("0", "1", "0"), "where", "not coalesce(\"Is Test\" in ('1'), false)"),
        ("deleted_at", ("", "2026-01-03", ""), "where", 'not coalesce("deleted_at" is not null, false)'),
    ],
)  # fmt: skip
def test_a_column_of_kinds_or_of_yes_and_no_is_mapped(write, drafted, header, rows, column, expected):
    lines = [f"{n},2026-01-0{n},A,1,10.50,{word}" for n, word in enumerate(rows, start=1)]
    draft = drafted(write("a.csv", f"receipt,date,item,qty,price,{header}", *lines))
    entity = draft.sources["a"].entities["order_lines"]
    found = entity.options.get(column) or entity.columns.get(column)["sql"]
    assert found == expected and any("says what a row is" in doubt for doubt in draft.doubts)


def test_a_kind_whose_words_are_not_known_is_asked_about_and_streets_are_none(write, drafted):
    rows = (
        "1,2026-01-01,A,1,10.50,ZA,1 Test Road",
        "2,2026-01-02,B,1,10.50,ZB,2 Test Road",
        "3,2026-01-03,B,1,1.5,ZB,x",
    )
    draft = drafted(write("a.csv", "receipt,date,item,qty,price,Type,Street", *rows))
    said = [doubt for doubt in draft.doubts if "says what a row is" in doubt]
    assert len(said) == 1 and "'Type' (ZA, ZB)" in said[0]


@pytest.mark.parametrize(
    ("name", "discounts", "totals", "expected"),
    [
        ("Discount", (20, 25, 10), ("160.00", "150.00", "180.00"),
         {"discount_rate": {"column": "Discount", "factor": 0.01}, "line_amount": "Total"}),
        ("Discount", (20, 30, 15), ("180.00", "170.00", "185.00"),
         {"discount_amount": "Discount", "line_amount": "Total"}),
        ("Discount", (20, 30, 15), ("200.00", "200.00", "200.00"),
         {"discount_amount": "Discount", "line_total": "Total"}),
    ],
)  # fmt: skip
def test_few_discounts_among_many_rows_show_what_the_total_is(write, drafted, name, discounts, totals, expected):
    lines = [(n, n % 4 + more) for n in range(1, 60) for more in (1, 2)]
    plain = [f"{n},2026-01-05,A{n % 3},{pieces},2.50,0,{pieces * 2.5:.2f}" for n, pieces in lines]
    rows = [f"{n},2026-01-05,B,80,2.50,{d},{t}" for n, (d, t) in enumerate(zip(discounts, totals, strict=True), 1)]
    draft = drafted(write("s.csv", f"Invoice,Date,Product,Quantity,Unit Price,{name},Total", *plain, *rows))
    columns = draft.sources["s"].entities["order_lines"].columns
    amounts = ("discount_rate", "discount_amount", "line_amount", "line_total")
    assert {ours: columns[ours] for ours in amounts if ours in columns} == expected


def test_discounts_too_few_to_tell_are_said(write, drafted):
    header, rows = "Invoice,Date,Product,Qty,Unit Price,Discount,Line Total", ["1,2026-01-01,A,2,5.50,0,11.00"]
    assert any("before or after" in d for d in drafted(write("s.csv", header, *rows)).doubts)
    folder = write("s.csv", header, *rows, "2,2026-01-02,A,2,5.50,1.00,10.00")
    assert any("only 1 row with a discount" in doubt for doubt in drafted(folder).doubts)


def test_returns_beside_orders_came_back_and_ids_and_dates_are_no_yes_and_no(write, drafted):
    write("orders.csv", "order_id,order_date,sku,qty,unit_price", "1,2026-01-03,A,2,10.50", "2,2026-01-04,B,1,9.50")
    folder = write("rma.csv", "return_id,order_id,return,sku,qty,refund_amount", "R1,1,2026-01-09,A,1,10.50")
    entities = [e for source in drafted(folder).sources.values() for e in source.entities.values()]
    (returns,) = [entity for entity in entities if entity.entity == "order_items"]
    assert returns.columns["is_return"] == {"constant": True}
    (orders,) = [entity for entity in entities if entity.entity == "order_lines"]
    assert "is_return" not in orders.columns


def test_an_amount_that_is_the_same_on_all_lines_of_each_order_is_the_orders(write, drafted):
    rows = ("1,2026-01-01,A,1,30.50", "1,2026-01-01,B,2,30.50", "2,2026-01-02,A,1,9.00", "3,2026-01-03,A,1,70.00",
            "3,2026-01-03,C,2,70.00")  # fmt: skip
    draft = drafted(write("o.csv", "order id,date,sku,qty,amount", *rows))
    columns = draft.sources["o"].entities["order_lines"].columns
    assert columns["total_amount"] == "amount" and "line_total" not in columns
    assert any("same on all lines" in doubt for doubt in draft.doubts)
    assert any("unit_price" in missing for missing in draft.missing)


@pytest.mark.parametrize(
    ("offsets", "currency", "zone"),
    [
        (("01-13T10:00:00+01:00", "01-14T10:00:00+01:00"), "EUR", "Europe/Berlin"),
        (("01-13T10:00:00+01:00", "01-14T10:00:00+01:00"), "PLN", "Europe/Warsaw"),
        (("01-13T10:00:00+01:00", "01-14T10:00:00+01:00"), "GBP", "Europe/Berlin"),
        (("01-13 10:00:00 +0000", "07-14 10:00:00 +0100"), "GBP", "Europe/London"),
    ],
)
def test_a_zone_has_the_offsets_of_all_times(write, drafted, offsets, currency, zone):
    rows = [f"{n},2026-{time},A,1,9.50,{currency}" for n, time in enumerate(offsets, start=1)]
    draft = drafted(write("o.csv", "order id,order date,sku,qty,unit price,currency", *rows))
    assert draft.shop["time_zone"] == zone and any("time_zone" in doubt for doubt in draft.doubts)


def test_what_ga4_states_as_the_currency_is_the_shops(write, drafted):
    parameters = [{"key": "currency", "value": {"string_value": "SEK"}}]
    event = {"event_name": "purchase", "event_timestamp": "1768035600000000", "user_pseudo_id": "u1"}
    draft = drafted(write("events_20260110.json", json.dumps(event | {"event_params": parameters})))
    assert draft.shop["currency"] == "SEK"


def test_what_magento_closes_came_back(write, drafted):
    folder = write("sales_order.csv", "entity_id,increment_id,created_at,grand_total,status",
                   "1,100,2026-01-01 10:00:00,9.50,closed")  # fmt: skip
    assert drafted(folder).keys == {"models": {"statuses": {"closed": "returned"}}}


@pytest.mark.parametrize(
    ("header", "values", "expected"),
    [
        ("VAT Rate", ("19", "7", "19"), None),
        ("MwSt-Satz", ("19", "7", "19"), None),
        ("Taux TVA", ("20", "5.5", "20"), None),
        ("MwSt", ("19", "7", "19", "19", "7"), None),
        ("MwSt", ("1.90", "0.70", "3.80"), "MwSt"),
    ],
)
def test_rates_of_tax_are_no_amounts(write, drafted, header, values, expected):
    rows = [f"{n},2026-01-01,A,1,10.50,{value}" for n, value in enumerate(values, start=1)]
    draft = drafted(write("o.csv", f"order id,date,sku,qty,price,{header}", *rows))
    columns = draft.sources["o"].entities["order_lines"].columns
    assert columns.get("tax_amount") == expected and "line_tax_amount" not in columns


def test_what_is_to_be_checked_is_asked_and_amounts_in_cents_are_known_by_their_names(write, drafted):
    rows = ("1,2026-01-01,A,1,1050,x", "2,2026-01-02,B,1,950,y")
    draft = drafted(write("o.csv", "order id,made,sku,qty,Price (cents),Bearbeitungsstatus", *rows))
    columns = draft.sources["o"].entities["order_lines"].columns
    assert columns["unit_price"] == {"column": "Price (cents)", "factor": 0.01}
    assert columns["status"] == "Bearbeitungsstatus"
    assert {"ordered_at", "status"} <= {doubt.split(": ")[1].split(" ")[0] for doubt in draft.doubts if ": " in doubt}
    assert not any("--cents" in doubt for doubt in draft.doubts)
    plain = drafted(write("o.csv", "order id,date,sku,qty,price", "1,2026-01-01,A,1,10.00", "2,2026-01-02,B,1,20.00"))
    assert not any("--cents" in doubt for doubt in plain.doubts)


def test_numbers_on_the_first_line_of_an_order_alone_are_filled_down(write, drafted):
    draft = drafted(write("o.csv", "order id,date,sku,qty,price", "1,2026-01-01,A,1,10.50", ",,B,1,20.00"))
    assert draft.sources["o"].entities["order_lines"].options["fill_down"] == ["order_id", "ordered_at"]


def test_what_is_needed_and_not_found_is_left_to_do(write, drafted, tmp_path):
    draft = drafted(write("orders.csv", "order id,customer,total", "1,c1,10.00", "2,c2,12.00"))
    assert [entry for entry in draft.missing if "ordered_at" in entry]
    text = text_of(draft)
    assert "# TODO ordered_at: ???" in text and "ordered_at" not in yaml.safe_load(text)["sources"]["orders"]


def test_payments_beside_orders_are_theirs_and_those_that_name_none_are_left_out(write, drafted):
    write("orders.csv", "order id,date,total,status", "1,2026-01-01,10.00,paid", "2,2026-01-02,12.00,paid")
    folder = write("payments.csv", "payment id,order id,method,amount", "p1,1,card,10.00", "p2,2,card,12.00")
    draft = drafted(folder)
    assert set(next(iter(draft.sources.values())).entities) == {"orders", "payments"}
    write("payments.csv", "payment id,order id,method,amount", "p1,x1,card,10.00", "p2,x2,card,12.00")
    draft = drafted(folder)
    assert "payments" not in next(iter(draft.sources.values())).entities
    assert "names no order of the other files" in draft.left[0]


def test_paypal_beside_shopify_has_the_payments_of_its_orders(write, drafted):
    export = (PROJECT / "tests/exports/shopify/orders_export_1.csv").read_text(encoding="utf-8")
    write("orders_export_1.csv", *export.splitlines())
    header = "Date,Time,TimeZone,Type,Status,Currency,Gross,Fee,Net,Transaction ID,Invoice Number"
    row = "05/03/2026,10:20:00,EDT,Express Checkout Payment,Completed,USD,58.76,0,0,T1,2001"
    folder = write("paypal.csv", header, row)
    draft = drafted(folder)
    assert set(draft.sources) == {"shopify", "paypal"}
    payments = draft.sources["paypal"].entities["payments"]
    assert payments.columns["order_id"] == {"sql": "'#' || \"Invoice Number\""}
    assert payments.columns["paid_at"]["zone"] == "TimeZone"


def test_orders_of_a_system_in_a_file_of_their_own_are_stated_there_alone(write, drafted):
    write(
        "EtsySoldOrderItems2026.csv",
        "Sale Date,Item Name,Buyer,Quantity,Price,Discount Amount,Order Shipping,Transaction ID,Listing ID,Order ID",
        "05/03/26,Card,paul,2,5.00,1.00,4.50,4001,9001,3001",
    )
    folder = write(
        "EtsySoldOrders2026.csv",
        "Sale Date,Order ID,Number of Items,Order Value,Discount Amount,Shipping,Order Total,Buyer",
        "05/03/26,3001,1,10.00,1.00,4.50,13.50,paul",
    )
    entities = drafted(folder).sources["etsy"].entities
    assert set(entities) == {"orders", "order_items"}
    assert "discount_amount" in entities["order_items"].columns and "discount_amount" not in entities["orders"].columns
    assert "shipping_amount" in entities["orders"].columns and "shipping_amount" not in entities["order_items"].columns


def test_whole_amounts_and_numbers_that_two_sources_share_are_said(write, drafted):
    write("till.csv", "receipt,date,sku,qty,price", "1,2026-01-01,A,1,1000", "2,2026-01-02,B,1,450")
    folder = write(
        "web.csv", "order id,order date,sku,quantity,unit price,email", "1,2026-03-01,A,1,12.50,a@example.com"
    )
    doubts = drafted(folder).doubts
    assert any("where they are in cents, add --cents" in doubt for doubt in doubts)
    assert any("has the order number '1' too" in doubt and "id_prefixes" in doubt for doubt in doubts)


def test_numbers_that_begin_anew_each_year_are_told_apart_by_the_year(write, drafted):
    header = "no,date,customer,sku,qty,price"
    write("orders_2025.csv", header, "1,2025-01-03,c1,A,1,10.00", "2,2025-01-04,c2,B,1,20.00")
    folder = write("orders_2026.csv", header, "1,2026-01-02,c9,A,3,10.00")
    entity = drafted(folder).sources["orders"].entities["order_lines"]
    assert entity.place["files"] == "orders*.csv" and "|| '-' ||" in entity.columns["order_id"]["sql"]


def test_files_of_two_layouts_in_one_folder_do_not_read_each_other(write, drafted):
    write("sales_2025.csv", "order id,date,sku,quantity,unit price", "1,2025-01-01,A,1,10.00")
    write("sales_list_customers.csv", "customer id,email,city", "c1,a@example.com,Bern")
    folder = write("sales_2026.csv", "order id,date,sku,quantity,unit price", "2,2026-01-01,A,1,10.00")
    draft = drafted(folder)
    files = {name: e.place["files"] for s in draft.sources.values() for name, e in s.entities.items()}
    assert files == {"order_lines": "sales_[0-9]*.csv", "customers": "sales_list_customers.csv"}


def test_files_of_two_versions_of_a_layout_are_read_together(write, drafted):
    header = "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem price"
    header += ",Shipping City,Billing City"
    write("orders_export_1.csv", header, "#1,a@example.com,paid,2026-05-01 10:00:00 -0400,1,Mug,10.00,,Bern")
    header = "Name,Email,Created at,Item quantity,Item name,Item price"
    folder = write("orders_export_2.csv", header, "#2,b@example.com,2026-05-02 10:00:00 -0400,1,Mug,10.00")
    entity = drafted(folder).sources["shopify"].entities["order_lines"]
    assert entity.place["files"] == "orders_export_*.csv"
    assert entity.columns["unit_price"] == ["Lineitem price", "Item price"]
    assert entity.columns["status"] == {"column": "Financial Status", "optional": True}
    assert entity.columns["customer_city"] == {"column": ["Shipping City", "Billing City"], "optional": True}


# The command


def test_the_command_shows_the_rows_as_they_arrive_and_writes_a_file_that_loads(write, tmp_path):
    folder = write(
        "orders.csv", "order no,date,sku,qty,price,note", "1,2026-04-01,A,1,10.00,x", "2,2026-04-30,B,2,9.50,y"
    )
    target = tmp_path / "shop.yml"
    done = call(
        str(folder), "-o", str(target), "--currency", "usd", "--time-zone", "America/New_York", "--name", "Mine"
    )
    assert done.exit_code == 0, done.output
    assert re.search(r"2 +2026-04-30 +B +2 +9.50", done.output) and "not mapped: note" in done.output
    values = yaml.safe_load(target.read_text())
    assert values["shop"] == {"name": "Mine", "currency": "USD", "time_zone": "America/New_York"}
    again = call(str(folder), "-o", str(target))
    assert again.exit_code == 2 and "--overwrite" in again.output


def test_a_path_that_is_not_there_and_a_folder_without_exports_are_said(tmp_path):
    assert call(str(tmp_path / "nowhere")).exit_code == 2
    (tmp_path / "notes.md").write_text("nothing")
    done = call(str(tmp_path))
    assert done.exit_code == 1 and "Nothing here can be read" in " ".join(done.output.split())


@pytest.mark.parametrize(("option", "value"), [("--currency", "euro"), ("--time-zone", "Berlin")])
def test_a_currency_or_zone_that_is_none_is_said_before_anything_is_looked_at(option, value, tmp_path):
    done = call(str(tmp_path), option, value)
    assert done.exit_code == 2 and f"{option}: expected" in done.output


def test_a_servers_password_is_not_written(new_database, tmp_path):
    url = new_database()
    with sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2")).begin() as connection:
        connection.exec_driver_sql("create table orders (id int primary key, placed_at timestamp, total numeric(9, 2))")
        connection.exec_driver_sql("insert into orders values (1, '2026-05-03 10:00', 12.5), (2, '2026-05-04', 3)")
    secret = sa.make_url(url).set(password="hunter22")
    target = tmp_path / "shop.yml"
    done = call(secret.render_as_string(hide_password=False), "-o", str(target))
    assert done.exit_code == 0 and "hunter22" not in done.output + target.read_text(), done.output
    (source,) = yaml.safe_load(target.read_text())["sources"].values()
    assert source["url"] == "${SHOP_DATABASE_URL}"
    assert source["entities"]["orders"]["columns"]["ordered_at"] == "placed_at"


def test_a_database_is_looked_at_by_its_variable_and_its_password_is_written_nowhere(tmp_path, monkeypatch):
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table orders (id integer primary key, placed_at text, customer text, total real)")
        connection.executemany(
            "insert into orders values (?, ?, ?, ?)", [(1, "2026-01-01", "c1", 10.5), (2, "2026-01-02", "c2", 3.0)]
        )
    monkeypatch.setenv("MY_DATABASE", f"sqlite:///{tmp_path}/shop.db")
    target = tmp_path / "out.yml"
    done = call("${MY_DATABASE}", "-o", str(target))
    assert done.exit_code == 0, done.output
    (source,) = yaml.safe_load(target.read_text())["sources"].values()
    assert source["url"] == "${MY_DATABASE}" and source["entities"]["orders"]["columns"]["total_amount"] == "total"


def test_workbooks_archives_and_columns_between_blanks_are_looked_into(tmp_path, drafted):
    folder = tmp_path / "exports"
    folder.mkdir()
    workbook = openpyxl.Workbook()
    header = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"]
    for year in (2009, 2010):
        sheet = workbook.create_sheet(f"Year {year}")
        sheet.append(header)
        sheet.append([f"{year}1", "A", "HOLDER", 6, f"{year}-12-01 08:26:00", 2.55, 17850, "France"])
    workbook.remove(workbook["Sheet"])
    workbook.create_sheet("Notes").append(["This is a note"])
    workbook.save(folder / "retail.xlsx")
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        archive.write(PROJECT / "tests/exports/shopify/orders_export_1.csv", "orders_export_1.csv")
    (folder / "list.txt").write_text(
        "Sales list of the shop\n\norder_no   date        sku   qty  price\n1001       2026-01-03  MUG   2    12.50\n"
    )
    draft = drafted(folder)
    places = {name: e.place for name, s in draft.sources.items() for e in s.entities.values()}
    assert places["online_retail"] == {"files": "retail.xlsx", "sheet": "Year 20*"}
    assert places["shopify"] == {"files": "export.zip/orders_export*.csv"}
    assert draft.sources["list"].entities["order_lines"].options["delimiter"] == "whitespace"


def test_a_table_that_is_no_shops_is_left_alone(write, drafted):
    write("orders.csv", "order id,date,sku,quantity,unit price", "1,2026-01-01,A,1,10.00")
    folder = write("places.csv", "zip,latitude,longitude", "01409,-23.5,-46.6", "01410,-23.6,-46.7")
    draft = drafted(folder)
    assert list(draft.sources) == ["orders"] and draft.left[0].startswith("places.csv: its columns are none")


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        (
            "Transaction #,Sale Date,Item Code,Units Sold,Unit Price ($),Discount %,Net Amount",
            ("1,5/3/2026,A1,2,$12.50,10%,$22.50", '2,5/13/2026,A2,1,"$1,200.00",0%,"$1,200.00"'),
            {"discount_rate": "Discount %", "line_amount": "Net Amount", "unit_price": "Unit Price ($)"},
        ),
        (
            "Auftragsnr;Datum;Artikelnr;Menge;VK-Preis;Rabatt in %;Positionswert",
            ("A1;03.05.2026;00123;2,00;12,50;10;22,50", "A2;14.05.2026;00124;10,00;4,00;0;40,00"),
            {"discount_rate": {"column": "Rabatt in %", "factor": 0.01}, "line_amount": "Positionswert"},
        ),
        (
            "Nº Pedido;Fecha;Código artículo;Cantidad;Precio unitario;Importe;Estado",
            ("1;03-05-2026;T1;2;12,50;25,00;Completado", "2;25-05-2026;P1;1;8,00;8,00;Cancelado"),
            {"order_id": "Nº Pedido", "line_total": "Importe", "status": "Estado"},
        ),
    ],
)
def test_other_languages_and_rates_are_understood_by_arithmetic(write, drafted, header, rows, expected):
    columns = drafted(write("list.csv", header, *rows)).sources["list"].entities["order_lines"].columns
    assert {name: columns.get(name) for name in expected} == expected


def test_a_bank_statement_is_taken_for_no_orders(write, drafted):
    rows = ("2026-05-01,Coffee,-3.50,100.00", "2026-05-02,Salary,2000.00,2100.00")
    draft = drafted(write("statement.csv", "Date,Description,Amount,Balance", *rows))
    assert draft.sources == {} and len(draft.left) == 1


def test_products_of_a_database_are_known_by_the_id_that_its_orders_name(tmp_path, drafted):
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.executescript(
            """
            create table products (id integer primary key, sku text, title text, price real);
            create table orders (id integer primary key, customer_id integer, created_at text, status text, total real);
            create table order_items (order_id integer, product_id integer, quantity integer, price real,
                primary key (order_id, product_id));
            insert into products values (1, 'MUG', 'Mug', 10.0), (2, 'CUP', 'Cup', 5.0);
            insert into orders values (1, 1, '2026-02-01 10:00:00', 'paid', 20);
            insert into orders values (2, 2, '2026-02-02 11:00:00', 'paid', 5);
            insert into order_items values (1, 1, 2, 10.0), (2, 2, 1, 5.0);
            """
        )
    (source,) = drafted(tmp_path / "shop.db").sources.values()
    assert source.entities["products"].columns["product_id"] == "id"
    assert source.entities["order_items"].place == {
        "table": "order_items",
        "id": ["order_id", "product_id"],
        "updated_at": "",
    }


def test_orders_in_json_give_a_row_a_line_and_events_are_told_from_them(write, drafted):
    order = {"number": "1001", "id": 1, "status": "completed", "date_created": "2026-05-03T10:00:00", "total": "28.00"}
    lines = [{"id": 11, "name": "Mug", "sku": "MUG", "quantity": 2, "total": "25.00"}]
    lines.append({"id": 12, "name": "Lid", "sku": "", "quantity": 1, "total": "3.00"})
    write("orders.json", json.dumps([{**order, "line_items": lines}]))
    folder = write("clicks.jsonl", json.dumps({"event": "view_item", "at": "2026-06-01T10:00:00Z", "visitor": "v1"}))
    draft = drafted(folder)
    assert {name: s.kind for name, s in draft.sources.items()} == {"woocommerce": "files", "clicks": "events"}
    entity = draft.sources["woocommerce"].entities["order_lines"]
    assert entity.place == {"files": "orders.json", "rows": "line_items"}
    assert entity.columns["product_id"] == "line_items.sku"


def test_a_damaged_export_breaks_neither_the_file_nor_the_terminal(write, drafted):
    folder = write(
        "orders.csv", "order id,date,sku,quantity,unit price,no\x1b[31mte", "1,2026-01-01,A\x00,1,10.00,\x07"
    )
    draft = drafted(folder)
    assert yaml.safe_load(text_of(draft))["sources"] == draft.values["sources"]
    assert "\x1b" not in text_of(draft)


# The page that teaches it


def test_the_page_lists_the_systems_that_are_known_and_shows_what_the_command_prints(tmp_path, monkeypatch):
    page = (PROJECT / "docs" / "sources.md").read_text(encoding="utf-8")
    for layout in layouts():
        assert f"| {layout.system} | {'; '.join(form.name for form in layout.forms)} |\n" in page
    shown = re.search(r"\$ python run_pipeline.py inspect exports -o my_shop.yml\n(.*?)\n```", page, re.S)
    shutil.copytree(PROJECT / "tests/exports/shopify", tmp_path / "exports")
    monkeypatch.chdir(tmp_path)
    printed = call("exports", "-o", "my_shop.yml").output
    assert shown and [line for line in printed.splitlines() if "Shop: " not in line] == [
        line for line in shown[1].splitlines() if "Shop: " not in line
    ]
    written = {line.strip() for line in (tmp_path / "my_shop.yml").read_text().splitlines()}
    kept = re.search(r"```yaml\nshop:\n(.*?)\n          \.\.\.\n", page, re.S)
    assert kept
    for line in kept[1].splitlines():
        assert line.strip() in written or "path:" in line or "name:" in line, line
