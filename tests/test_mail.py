"""Store e-mails: what the branch stores' mailbox holds, and how confirmations in all their forms become rows."""

import email
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml
from imapclient import IMAPClient

from lib.base.errors import ConfigError, SourceError
from lib.clean.standardize import standardize
from lib.ingest.run import Ingested, ingest
from lib.lake import Lake
from lib.settings import Settings, load_settings
from lib.shop import mailbox
from lib.shop.channels import STORE
from lib.shop.ids import customer_id, order_id, payment_id, product_id, store_id
from lib.shop.letters import LAYOUT_OF
from lib.shop.life import ShopLife, simulate_life
from lib.shop.payments import METHODS, STATUSES
from lib.shop.promotions import find
from lib.shop.sizes import FIRST_DAY, SIZES
from lib.shop.systems import ShopFacts
from lib.sources import imap, mail, markup, message
from lib.sources.confirmation import Confirmation
from lib.sources.layouts import Layout, Unreadable
from tests.conftest import PROJECT
from tests.imap import PASSWORD, imap_server

FACTS = ShopFacts(SIZES["default"], 42, "EUR", "Europe/Berlin")
EVER = 30_000
#: Those of the simulated stores, and one for the French letter.
LAYOUTS = {"french": {"like": "french", "sign": "Numéro de commande"}} | yaml.safe_load(
    (PROJECT / "pipeline.yml").read_text(encoding="utf-8")
)["sources"]["stores"]["layouts"]
SILENT = lambda _: None  # noqa: E731


@pytest.fixture(scope="module")
def life() -> ShopLife:
    return simulate_life(FACTS.size, FACTS.seed, date(2025, 12, 31), FACTS.time_zone)


def write(life: ShopLife, folder: Path, *days: int) -> mailbox.Holdings:
    """Write the mailbox in steps that end on the given days."""
    reached = -1
    for day in days:
        held = mailbox.write(life, folder, FACTS, reached, day, SILENT)
        reached = day
    return held


def contents(folder: Path) -> dict[str, bytes]:
    """Return all messages by their names as a mailbox knows them."""
    parts = ("new", "cur", "tmp")
    return {p.name.partition(":")[0]: p.read_bytes() for part in parts for p in (folder / "stores" / part).iterdir()}


@dataclass
class Stores:
    """A shop whose only source is a mailbox."""

    root: Path
    source: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0

    @property
    def box(self) -> Path:
        return self.root / "stores"

    @property
    def settings(self) -> Settings:
        place = {} if "url" in self.source else {"path": str(self.box)}
        source = {"kind": "mail", "time_zone": "Europe/Berlin", "layouts": LAYOUTS}
        source["entities"] = {"order_lines": {}, "payments": {}}
        config = {
            "shop": {"name": "Stores", "currency": "EUR", "time_zone": "Europe/Berlin"},
            "warehouse": {"memory_limit": "1GB", "threads": 2},
            "sources": {"stores": source | place | dict(self.source)},
        }
        file = self.root / "stores.yml"
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return load_settings(sources=file, data_dir=self.root / "data", output_dir=self.root / "outputs")

    def write(self, name: str, content: str | bytes, part: str = "new") -> Path:
        for folder in ("new", "cur", "tmp"):
            (self.box / folder).mkdir(parents=True, exist_ok=True)
        path = self.box / part / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def ingest(self) -> Ingested:
        self.runs += 1
        taken = ingest(self.settings, f"run{self.runs}")
        taken.raise_failures()
        return taken

    def rows(self, entity: str) -> pd.DataFrame:
        """Return all rows taken so far, typed by the row rules."""
        settings = self.settings
        lake = Lake(settings.lake_url)
        paths = [item.path for item in standardize(settings, lake, lake.batches("stores", entity))]
        return duckdb.sql(
            "select * from read_parquet($paths) order by _source_file, _source_row", params={"paths": paths}
        ).df()

    def reasons(self) -> dict[str, str]:
        return {note["name"]: note["reason"] for note in Lake(self.settings.lake_url).rejected()}


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


@pytest.fixture(scope="module")
def whole(life, tmp_path_factory) -> tuple[Stores, mailbox.Holdings, Ingested]:
    """All that stores ever mail, taken."""
    stores = Stores(tmp_path_factory.mktemp("whole"))
    held = write(life, stores.root, EVER)
    return stores, held, stores.ingest()


def cents(amounts: pd.Series) -> pd.Series:
    return (amounts.astype(float) * 100).round().astype("Int64")


def newest(rows: pd.DataFrame, *key: str) -> pd.DataFrame:
    return rows.sort_values("updated_at", kind="stable").drop_duplicates([*key], keep="last").sort_values([*key])


# --- the mailbox of the simulated shop


def test_all_layouts_give_back_the_very_lines_of_the_books(life, whole):
    found = newest(whole[0].rows("order_lines"), "order_id", "line_number").astype({"line_number": int})
    found = found.sort_values(["order_id", "line_number"], ignore_index=True)
    assert found["_issues"].isna().all()
    orders, lines = life.orders, life.lines
    mine = np.flatnonzero(orders.channel[lines.order - 1] == STORE)
    order = lines.order[mine] - 1
    is_return = lines.quantity[mine] < 0

    def unless(hidden, values):
        return pd.Series(np.asarray(values, dtype=object)).mask(hidden)

    expected = pd.DataFrame(
        {
            "order_id": order_id(lines.order[mine], orders.channel[order]).to_pylist(),
            "line_number": lines.line[mine],
            "ordered_at": pd.to_datetime(orders.placed.at[order], unit="s"),
            "product_id": product_id(lines.product[mine]).to_pylist(),
            "product_name": life.catalogue.details["name"].take(lines.product[mine]).to_pylist(),
            "store_id": store_id(orders.store[order]).to_pylist(),
            "customer_id": unless(orders.is_walk_in[order], customer_id(orders.placed.customer[order] + 1)),
            "campaign": unless(
                is_return | (orders.campaign[order] == 0),
                [find(c).name if c else None for c in orders.campaign[order].tolist()],
            ),
            "status": unless(is_return, np.where(orders.is_cancelled[order], "cancelled", "completed")),
        }
    ).sort_values(["order_id", "line_number"], ignore_index=True)
    assert set(LAYOUT_OF) == set(found["store_id"])
    columns = list(expected)
    got = found[columns].astype(object).where(found[columns].notna(), None)
    pd.testing.assert_frame_equal(got, expected.astype(object).where(expected.notna(), None), check_dtype=False)
    for name, values in (
        ("unit_price", lines.price),
        ("discount_amount", lines.discount),
        ("quantity", lines.quantity * 100),
    ):
        assert cents(found[name]).tolist() == values[mine].tolist(), name
    sold = found[~is_return]
    for name in ("order_discount", "shipping", "tax", "total"):
        wanted = getattr(orders, name.removeprefix("order_"))[order][~is_return]
        assert cents(sold[f"{name}_amount"]).tolist() == wanted.tolist(), name
    assert set(found["currency"]) == {"EUR"}
    assert set(found["channel"]) == {"store"}
    assert found["customer_id"].isna().any()
    assert is_return.any() and orders.is_cancelled[order].any()


def test_all_layouts_give_back_the_very_payments_of_the_books(life, whole):
    found = whole[0].rows("payments")
    assert found.groupby("payment_id")["_row_hash"].nunique().max() == 1
    found = found.drop_duplicates("payment_id").sort_values("payment_id", ignore_index=True)
    paid = life.payments
    mine = np.flatnonzero(life.orders.channel[paid.order - 1] == STORE)
    expected = pd.DataFrame(
        {
            "payment_id": payment_id(paid.order[mine], paid.part[mine]).to_pylist(),
            "order_id": order_id(paid.order[mine], np.full(len(mine), STORE)).to_pylist(),
            "method": np.array(METHODS)[paid.method[mine]],
            "status": np.array(STATUSES)[paid.status[mine]],
            "paid_at": pd.to_datetime(paid.at[mine], unit="s"),
        }
    ).sort_values("payment_id", ignore_index=True)
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)
    assert cents(found["amount"]).tolist() == paid.amount[mine].tolist()
    assert set(found["status"]) == set(STATUSES)


def test_the_html_part_of_every_layout_says_the_same_as_the_text(whole):
    layouts = whole[0].settings.config.sources["stores"].layouts
    seen = set()
    for path in sorted((whole[0].box / "new").iterdir())[:200]:
        raw = email.message_from_bytes(path.read_bytes())
        if raw.get_content_type() != "multipart/alternative" or "W4." in path.name:
            continue
        text, page = (p.get_payload(decode=True).decode(p.get_content_charset()) for p in raw.get_payload())
        (read,) = message.by_layout(text, "", layouts)
        assert message.by_layout(markup.text_of(page), "", layouts) == [read]
        seen.add(read.order["store_id"])
    assert seen == set(LAYOUT_OF)


def test_what_was_resent_or_forwarded_gives_the_same_rows_and_is_counted(life, whole):
    stores = whole[0]
    rows = stores.rows("order_lines")
    forms = rows["_source_file"].str.extract(r"W(\d)\.", expand=False).astype(int)
    assert {mailbox.AGAIN, mailbox.QUOTED, mailbox.ATTACHED} <= set(forms)
    versions = rows.groupby(["order_id", "line_number", "updated_at"])["_row_hash"]
    assert versions.nunique().max() == 1
    assert versions.size().max() > 1
    cursor = Lake(stores.settings.lake_url).batches("stores", "order_lines")[-1].cursor_after["kind"]
    assert cursor["repeated"] == rows.loc[forms == mailbox.AGAIN, "_source_file"].nunique() > 0
    assert cursor["differing"] == 0
    last = mailbox.deliver(life, FACTS).issued.max()
    assert pd.Timestamp(cursor["newest"]) >= pd.Timestamp(last, unit="s", tz="UTC")
    assert cursor["message_id"].endswith("@stores.example>")


def test_the_mailbox_says_how_many_rows_can_be_read_of_it(whole):
    _, held, taken = whole
    assert held.rows == taken.table.set_index("entity")["new_rows"].to_dict()
    documents, unusable = (taken.table[name].tolist() for name in ("new_files", "rejected_files"))
    assert held.files == documents[0] + unusable[0]
    assert documents[0] == documents[1] and unusable[0] > 0 and unusable[1] == 0


def test_what_nobody_can_read_is_kept_whole_with_the_reason(whole):
    stores, _, taken = whole
    kinds = taken.rejected["reason"].str.split(":").str[0]
    assert set(kinds) == {"confirms no order", "is damaged or cut off"}
    name = taken.rejected["name"].iloc[0]
    kept = next(Path(stores.settings.lake_url).glob(f"rejected/stores/order_lines/*/{name}"))
    assert kept.read_bytes() == contents(stores.root)[name]


def test_one_step_gives_the_same_mailbox_as_many(life, tmp_path):
    day = (date(2025, 6, 30) - FIRST_DAY).days
    write(life, tmp_path / "one", day + 40)
    write(life, tmp_path / "many", day, day + 1, day + 2, day + 40)
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_a_day_holds_what_was_delivered_by_then_and_some_comes_weeks_late(life, tmp_path):
    day = (date(2025, 6, 30) - FIRST_DAY).days
    held = write(life, tmp_path, day)
    end = life.timepiece.day_starts[day + 1]
    assert all(int(name.split(".")[0]) < end for name in contents(tmp_path))
    assert held.last_date == "2025-06-30"
    sent = mailbox.deliver(life, FACTS)
    delay = (sent.at - sent.issued)[sent.way == mailbox.PLAIN]
    assert (delay > 0).all() and delay.max() <= mailbox.LATEST
    assert 0.005 < (delay > 3_600).mean() < 0.05
    assert (delay > 7 * 86_400).any()


def test_a_write_that_was_killed_is_repaired_and_a_reader_may_move_messages(life, tmp_path):
    days = [(date(2025, 3, 31) - FIRST_DAY).days, (date(2025, 4, 30) - FIRST_DAY).days]
    write(life, tmp_path / "calm", *days)
    write(life, tmp_path / "cut", days[0])
    read = sorted((tmp_path / "cut/stores/new").iterdir())[0]
    read.rename(tmp_path / "cut/stores/cur" / f"{read.name}:2,S")
    mailbox.write(life, tmp_path / "cut", FACTS, *days, SILENT)
    for path in sorted((tmp_path / "cut/stores/new").iterdir())[-5:]:
        path.unlink()
    (tmp_path / "cut/stores/tmp/half").write_bytes(b"From: ")
    mailbox.write(life, tmp_path / "cut", FACTS, *days, SILENT)
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")
    next((tmp_path / "cut/stores/new").iterdir()).write_bytes(b"damaged")
    mailbox.write(life, tmp_path / "cut", FACTS, -1, days[1], SILENT)
    assert contents(tmp_path / "cut") == contents(tmp_path / "calm")


def test_messages_read_in_processes_of_their_own_say_the_same(whole, monkeypatch):
    stores = whole[0]
    box = mail._Maildir(stores.box)

    def read() -> list[mail.Read]:
        return mail._Reading(stores.settings.config.sources["stores"], box).read(box.names[:30], SILENT)

    here = read()
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(mail, "MANY", 30)
    assert read() == here


# --- incremental


HEAD = "From: till@shop.example\nDate: Tue, 04 Mar 2025 14:33:10 +0100\nMessage-ID: <{id}@shop.example>\n"
TEXT = """
Dear customer,

Order number: {order}
Order date: 2025-03-04 14:33

No.  Item  Description  Qty  Unit price
1    P1    Lamp         2    12.50 EUR

Order total: 25.00 EUR

Payment method: Card
Amount paid: 25.00 EUR
"""


def letter(order: str = "A-1", text: str = TEXT, *, id: str = "1", kind: str = "text/plain; charset=utf-8") -> str:
    return HEAD.format(id=id) + f"Content-Type: {kind}\n\n" + text.replace("{order}", order)


def test_only_new_messages_are_opened_and_one_moved_to_cur_is_not_new(stores):
    first = stores.write("1.a.host", letter("A-1"))
    assert stores.ingest().rows == 2
    first.rename(stores.box / "cur/1.a.host:2,S")
    stores.write("2.b.host", letter("A-2", id="2"))
    taken = stores.ingest()
    assert taken.table["new_files"].tolist() == [1, 1]
    assert stores.rows("order_lines")["order_id"].tolist() == ["A-1", "A-2"]
    assert stores.ingest().rows == 0


def test_a_broken_message_is_set_aside_once_and_the_corrected_one_is_taken(stores):
    stores.write("1.a.host", letter("A-1"))
    broken = letter("A-2").replace("1    P1    Lamp         2    12.50 EUR", "1    P1    Lamp    two or three")
    path = stores.write("2.b.host", broken)
    assert stores.ingest().table["rejected_files"].tolist() == [1, 0]
    assert "outside its table of 5 columns" in stores.reasons()["2.b.host"]
    assert stores.ingest().table["rejected_files"].tolist() == [0, 0]
    stores.write("3.c.host", letter("A-2", id="3"))
    assert stores.ingest().rows == 2
    assert list(stores.reasons()) == ["2.b.host"]
    path.write_text(letter("A-3"))
    assert stores.ingest().rows == 2
    assert stores.reasons() == {}


def test_the_same_message_id_with_other_content_is_noted(stores):
    stores.write("1.a.host", letter("A-1"))
    stores.write("2.b.host", letter("A-1").replace("25.00", "26.00"))
    stores.ingest()
    cursor = Lake(stores.settings.lake_url).batches("stores", "order_lines")[-1].cursor_after["kind"]
    assert (cursor["messages"], cursor["repeated"], cursor["differing"]) == (2, 1, 1)


def test_a_place_that_is_no_maildir_is_said(stores):
    stores.box.mkdir()
    with pytest.raises(SourceError, match="is no Maildir: expected the folders 'new' and 'cur'"):
        stores.ingest()


def test_a_mailbox_of_which_nothing_is_understood_is_an_error(stores):
    stores.write("1.a.host", letter(text="Hello\n"))
    with pytest.raises(SourceError, match=r"None of the 1 messages .* can be understood"):
        stores.ingest()


# --- what messages are packed in


def one_order(stores: Stores, content: str | bytes) -> dict[str, Any]:
    """Take one message and return its first line."""
    stores.write("1.a.host", content)
    stores.ingest()
    return stores.rows("order_lines").iloc[0].to_dict()


PAGE = """<html><head><style>td{color:red}</style></head><body><div>Order number:&nbsp;A-1</div>
<table><tr><td>Order date</td><td>4 March 2025, 2:33 pm +0100</td></tr></table>
<table><tr><th>SKU</th><th>Name</th><th></th><th>Qty</th><th>Price</th></tr>
<tr><td>P1</td><td><p>Lamp &amp; shade</p></td><td></td><td>2</td><td>&euro;12.50</td></tr></table></body></html>"""


def test_the_html_part_is_read_where_the_text_part_fails(stores):
    parts = "--x\nContent-Type: {}; charset=utf-8\n\n{}\n"
    body = parts.format("text/plain", "Please use a modern mail reader.") + parts.format("text/html", PAGE) + "--x--\n"
    row = one_order(stores, letter(text=body, kind="multipart/alternative; boundary=x"))
    assert (row["order_id"], row["product_name"], float(row["unit_price"])) == ("A-1", "Lamp & shade", 12.5)
    assert row["ordered_at"] == pd.Timestamp("2025-03-04 13:33:00")
    assert row["updated_at"] == pd.Timestamp("2025-03-04 13:33:10")


def test_a_text_in_another_charset_than_it_says_is_read_as_what_it_is(stores):
    text = letter(text=TEXT.replace("Lamp ", "Bürö ")).encode("cp1252")
    assert one_order(stores, text)["product_name"] == "Bürö"


@pytest.mark.parametrize("mark", ["> ", "> > ", ""])
def test_an_original_forwarded_in_the_text_is_read(stores, mark):
    original = "Von: till\nDatum: Mittwoch\nOrder number: none\n\n" + TEXT
    quoted = "".join(f"{mark}{line}\n" for line in original.split("\n"))
    row = one_order(stores, letter(text=f"zur Info\n\n-------- Ursprüngliche Nachricht --------\n{quoted}"))
    assert row["order_id"] == "A-1"


def test_originals_forwarded_as_attachments_are_all_read(stores):
    attached = "--x\nContent-Type: {}\n\n{}\n"
    body = (
        attached.format("text/plain", "see below")
        + attached.format("message/rfc822", letter("A-1"))
        + attached.format('application/octet-stream; name="order.eml"', letter("A-2"))
    )
    stores.write("1.a.host", letter(text=body + "--x--\n", kind="multipart/mixed; boundary=x"))
    stores.ingest()
    assert stores.rows("order_lines")["order_id"].tolist() == ["A-1", "A-2"]
    assert stores.rows("payments")["order_id"].tolist() == ["A-1", "A-2"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("Order date", "Some date"), "has no order date (layout 'english')"),
        (("Dear customer,", "Order number: B-2"), "states 'order number' twice: 'B-2' and 'A-1'"),
        (
            ("Order total: 25.00 EUR", "Order total: 25,00 EUR"),
            "'25,00 EUR', which is no number with a '.' before its decimals",
        ),
        (("Order total: 25.00 EUR", "Order total: 25.00 USD"), "several currencies: EUR, USD"),
        (("12.50 EUR\n", "12.50 EUR\n1    P2    Shelf        1    80.00 EUR\n"), "has a line number twice: 1, 1"),
        (("2    12.50", "x    12.50"), "'x', which is no number"),
    ],
)
def test_a_message_that_contradicts_itself_is_set_aside_whole(stores, change, reason):
    stores.write("1.a.host", letter("A-0", id="0"))
    stores.write("2.b.host", letter().replace(*change))
    assert stores.ingest().rows == 2
    assert reason in stores.reasons()["2.b.host"]


def test_stray_bytes_cost_one_message_only(stores):
    stores.write("1.a.host", letter())
    for number, content in enumerate(
        (b"", b"\xff\xfe\x00\x01" * 50, b"Content-Type: text/plain; charset=nope\n\nx", b":\n")
    ):
        stores.write(f"2.{number}.host", content)
    assert stores.ingest().table["rejected_files"].tolist() == [4, 0]


# --- schema.org markup


OFFERS = """<html><head><script type="application/ld+json">{"@context": "https://schema.org", "@graph": [
{"@type": "EmailMessage", "description": "Thanks"},
{"@type": "Order", "orderNumber": "M-7", "orderDate": "2025-03-04T14:33:10+01:00", "price": "61.00",
 "priceCurrency": "EUR", "discount": 4.5, "orderStatus": "https://schema.org/OrderDelivered",
 "customer": {"@type": "Person", "identifier": {"@type": "PropertyValue", "value": "C-1"}, "givenName": "Zoë"},
 "acceptedOffer": [
  {"@type": "Offer", "price": 60.50, "priceCurrency": "EUR", "eligibleQuantity": {"value": 2},
   "itemOffered": {"@type": "Product", "sku": "P1", "name": "Lamp &amp; shade", "brand": {"name": "Lux"}}},
  {"@type": "Offer", "priceSpecification": {"price": "5", "eligibleQuantity": {"value": 1}},
   "itemOffered": {"@type": "Product", "productID": "P2"}}],
 "partOfInvoice": {"@type": "Invoice", "confirmationNumber": "PAY-1", "paymentMethod": "http://schema.org/CreditCard",
  "totalPaymentDue": {"@type": "PriceSpecification", "price": 61}, "paymentStatus": "PaymentComplete"}}
]}</script></head><body><p>Thank you.</p><p>Order number: X-1</p></body></html>"""
ITEMS = """<script type='application/ld+json'>[{"@type": ["Order", "Thing"], "orderNumber": 12,
 "orderDate": "2025-03-04", "orderedItem": {"@type": "OrderItem", "orderItemNumber": "9", "orderQuantity": 3,
 "orderedItem": {"@type": "Product", "sku": "P1", "offers": {"price": "1.10", "priceCurrency": "EUR"}}}}]</script>
 schema.org"""
MICRODATA = """<div itemscope itemtype="http://schema.org/Order"><meta itemprop="orderNumber" content="M-8"/>
<time itemprop="orderDate" datetime="2025-03-04T14:33">4 March</time><link itemprop="orderStatus"
href="http://schema.org/OrderCancelled"/><div itemprop="acceptedOffer" itemscope itemtype="http://schema.org/Offer">
<div itemprop="itemOffered" itemscope itemtype="http://schema.org/Product"><b itemprop="sku">P1</b> <i itemprop="name">A
 lamp</i></div><span itemprop="price">12.50</span><meta itemprop="priceCurrency" content="USD"/>
<div itemprop="eligibleQuantity" itemscope><meta itemprop="value" content="2"/></div></div></div>"""


def marked(page: str, text: str = "Order number: T-1") -> str:
    part = "--x\nContent-Type: {}; charset=utf-8\n\n{}\n"
    body = part.format("text/plain", text) + part.format("text/html", page) + "--x--\n"
    return letter(text=body, kind="multipart/alternative; boundary=x")


def read_letter(content: str, layouts: dict[str, Layout]) -> list[dict[str, str]]:
    return rows_of(message.confirmations(message.parse(content.encode()), layouts, "unit"))


def rows_of(confirmations: Iterable[Confirmation]) -> list[dict[str, str]]:
    return [found.order | line for found in confirmations for line in found.lines]


def test_an_order_is_read_by_its_markup_where_it_has_any(stores):
    stores.write("1.a.host", marked(OFFERS, TEXT.replace("{order}", "T-1")))
    stores.ingest()
    rows = stores.rows("order_lines")
    assert rows["order_id"].tolist() == ["M-7", "M-7"]
    assert rows["ordered_at"].tolist() == [pd.Timestamp("2025-03-04 13:33:10")] * 2
    columns = ["line_number", "product_id", "product_name", "product_brand", "quantity", "unit_price"]
    assert rows[columns].astype(object).where(rows[columns].notna(), None).to_numpy().tolist() == [
        ["1", "P1", "Lamp & shade", "Lux", 2, 60.5],
        ["2", "P2", None, None, 1, 5],
    ]
    order = rows.iloc[0]
    assert (order["status"], order["currency"], order["customer_id"]) == ("completed", "EUR", "C-1")
    assert (order["customer_first_name"], float(order["order_discount_amount"])) == ("Zoë", 4.5)
    assert order["updated_at"] == pd.Timestamp("2025-03-04 13:33:10")
    paid = stores.rows("payments").iloc[0]
    assert (paid["payment_id"], paid["method"], float(paid["amount"]), paid["status"]) == ("PAY-1", "card", 61, "paid")


def test_an_order_item_and_microdata_are_markup_too():
    assert rows_of(markup.read(ITEMS, "unit")) == [
        {
            "order_id": "12",
            "ordered_at": "2025-03-04",
            "line_number": "9",
            "product_id": "P1",
            "quantity": "3",
            "unit_price": "1.10",
        }
    ]
    assert rows_of(markup.read(MICRODATA, "unit")) == [
        {
            "order_id": "M-8",
            "ordered_at": "2025-03-04T14:33",
            "status": "cancelled",
            "currency": "USD",
            "line_number": "1",
            "product_id": "P1",
            "product_name": "A lamp",
            "quantity": "2",
            "unit_price": "12.50",
        }
    ]


def test_half_a_character_in_markup_costs_no_message_and_no_mailbox(stores):
    stores.write("1.a.host", marked(OFFERS.replace("Lamp &amp; shade", "Lamp \\ud83d"), TEXT.replace("{order}", "T-1")))
    stores.ingest().raise_failures()
    assert "Lamp ?" in set(stores.rows("order_lines")["product_name"])


def test_a_price_of_a_whole_line_is_divided_by_its_quantity():
    prices = [row["unit_price"] for row in rows_of(markup.read(OFFERS, "line"))]
    assert prices == ["30.25", "5"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('"orderNumber": "M-7",', ""), "its markup has no order number"),
        (('"orderDate"', '"paymentDueDate"'), "its markup has no order date"),
        (('"acceptedOffer"', '"offers"'), "its markup has no line with an item number"),
        (('"sku": "P1",', ""), "its markup has a line that lacks its product_id"),
        (('"price": "61.00"', '"price": "61,00"'), "its markup has '61,00', which is no number"),
        (('"@graph"', '"@graph'), "its markup is no JSON"),
        (('"@type": "Order"', '"@type": "OrderAction"'), "its markup has no Order"),
    ],
)
def test_bad_markup_is_no_order_and_the_text_is_read_instead(change, reason):
    layouts = {"letter": Layout(like="english")}
    page = OFFERS.replace(*change)
    with pytest.raises(Unreadable, match=re.escape(reason)):
        read_letter(marked(page), layouts)
    (row,) = read_letter(marked(page, TEXT.replace("{order}", "T-1")), layouts)
    assert row["order_id"] == "T-1"


# --- how letters are written


def test_a_layout_whose_lines_are_sentences(stores):
    said = "Order number: A-1\nOrder date: 2025-03-04\n\n2 x Lamp [P1] at EUR 12.50 each\n1 x Vase, red [P2] at EUR 9\n"
    pattern = r"(?P<quantity>\d+) x (?P<product_name>.+) \[(?P<product_id>\w+)\] at (?P<unit_price>[A-Z]{3} [\d.]+).*"
    sentences = {"sentences": {"like": "english", "line": pattern}}
    stores.write("1.a.host", letter(text=said))
    Stores(stores.root, {"layouts": sentences}).ingest()
    rows = stores.rows("order_lines").sort_values("product_id")
    assert rows["product_name"].tolist() == ["Lamp", "Vase, red"]
    assert [float(price) for price in rows["unit_price"]] == [12.5, 9]


@pytest.mark.parametrize("sender", ["till@shop.example", "Shop =?utf-8?q?K=C3=B6ln?= <till@shop.example>"])
def test_a_layout_may_be_known_by_the_sender(sender):
    layouts = {"till": Layout(like="english", sign="till@shop"), "other": Layout(like="german")}
    raw = letter("A-1").replace("till@shop.example", sender).encode()
    assert [row["order_id"] for row in rows_of(tuple(message.confirmations(message.parse(raw), layouts, "unit")))] == [
        "A-1"
    ]
    with pytest.raises(Unreadable, match="its text has the sign of no layout"):
        list(message.confirmations(message.parse(raw.replace(b"till", b"desk")), {"till": layouts["till"]}, "unit"))


FRENCH = """
Bonjour,
Numéro de commande : F-77
Commandé le : 4 mars 2025 à 14 h 33
Magasin : Lyon (Bellecour)
Numéro client : client de passage

Référence  Désignation      Quantité  Prix unitaire  Remise
P-9        Étagère chêne    1         1 234,50 €     34,50 €
P-10       Vis              12        0,10 €         0,00 €

Frais de port ..... 4,90 €
Total TTC : 1 206,10 €

Mode de paiement : Carte bancaire
Montant payé : 1 206,10 €
Statut : payé
"""


def test_a_french_letter_is_read_in_its_own_form(stores):
    row = one_order(stores, letter(text=FRENCH.replace("1 234", "1\u202f234")))
    assert (row["order_id"], row["store_id"], row["currency"]) == ("F-77", "Lyon", "EUR")
    assert row["ordered_at"] == pd.Timestamp("2025-03-04 13:33:00")
    assert [float(row[c]) for c in ("unit_price", "discount_amount", "shipping_amount", "total_amount")] == [
        1234.5, 34.5, 4.9, 1206.1,
    ]  # fmt: skip
    assert pd.isna(row["customer_id"])
    payment = stores.rows("payments").iloc[0]
    assert (payment["method"], float(payment["amount"]), payment["status"]) == ("card", 1206.1, "paid")


@pytest.mark.parametrize(
    ("text", "decimal", "plain"),
    [
        ("1.234,50 €", ",", "1234.50"),
        ("EUR 1,234.50", ".", "1234.50"),
        ("CHF 1’234.50", ".", "1234.50"),
        ("1 234,5", ",", "1234.5"),
        ("−3,00 €", ",", "-3.00"),
        ("-€5.00", ".", "-5.00"),
        ("EUR -5.00", ".", "-5.00"),
        ("5.00-", ".", "-5.00"),
        ("(5.00)", ".", "-5.00"),
        ("15.–", ".", "15"),
        ("2 Stk.", ",", "2"),
        ("12.345.678", ",", "12345678"),
        ("1.234", ",", "1234"),
        ("1.234", ".", "1.234"),
    ],
)
def test_numbers_become_plain(text, decimal, plain):
    assert Layout(decimal=decimal).number(text) == plain


@pytest.mark.parametrize(
    ("text", "decimal"),
    [("20 %", "."), ("12.50", ","), ("1,23,456", "."), ("1.234’567", ","), ("1 or 2", "."), ("two", "."), ("", ".")],
)
def test_what_may_be_another_number_is_none(text, decimal):
    with pytest.raises(Unreadable, match="is no number"):
        Layout(decimal=decimal).number(text)


@pytest.mark.parametrize(
    ("like", "text", "plain"),
    [
        ("german", "04.03.2025, 14:33:10 Uhr MEZ", "2025-03-04 14:33:10+01:00"),
        ("german", "Di, 4. März 2025 um 14:33 Uhr", "2025-03-04 14:33:00"),
        ("german", "26. Oktober 2025 um 02:30:00 Uhr (UTC+02:00)", "2025-10-26 02:30:00+02:00"),
        ("german", "04.03.2025", "2025-03-04"),
        ("german", "31.02.2025 10:00", "31.02.2025 10:00"),
        ("german", "04.03.2025 14:33 XYZ", "04.03.2025 14:33 XYZ"),
        ("english", "March 4, 2025 2:33:10 PM -0500", "2025-03-04 14:33:10-05:00"),
        ("english", "March 4th, 2025 at 12:05 AM", "2025-03-04 00:05:00"),
        ("english", "Tue, 04 Mar 2025 14:33:10 GMT", "2025-03-04 14:33:10+00:00"),
        ("english", "2025-03-04T14:33:10.5Z", "2025-03-04T14:33:10.5Z"),
        ("english", "2025-03-04", "2025-03-04"),
        ("english", "04/03/2025 10:00", "04/03/2025 10:00"),
        ("english", "soon", "soon"),
        ("french", "mardi 4 mars 2025 à 14 h 33", "2025-03-04 14:33:00"),
        ("french", "1er août 2025", "2025-08-01"),
    ],
)
def test_times_become_plain_and_what_has_another_form_is_left(like, text, plain):
    assert Layout(like=like).time(text) == plain


@pytest.mark.parametrize(
    ("form", "text", "plain"),
    [
        ("%d/%m/%Y %H:%M", "04/03/2025 10:00", "2025-03-04 10:00:00"),
        ("%m/%d/%Y %H:%M", "04/03/2025 10:00", "2025-04-03 10:00:00"),
        ("%d. %B %Y um %H:%M Uhr", "4. März 2025 um 14:33 Uhr", "2025-03-04 14:33:00"),
        ("%d.%m.%y (%H.%M)", "04.03.25 (14.33)", "2025-03-04 14:33:00"),
    ],
)
def test_a_declared_form_of_times_says_how_they_are_read(form, text, plain):
    assert Layout(like="german", times=form).time(text) == plain


# --- configuration


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"path": "", "url": ""}, "give 'url' .* or 'path'"),
        ({"url": "pop3://u@h"}, "expected imaps://user@host/INBOX"),
        ({"layouts": {"a": {"order": {"order_nr": "x"}}}}, "order: there is no column 'order_nr'"),
        ({"layouts": {"a": {"payments": {"order_date": "x"}}}}, "payments: there is no column 'order_date'"),
        ({"layouts": {"a": {"line": "(?P<item>.*)"}}}, "line: there is no column 'item'"),
        ({"layouts": {"a": {"like": "germn"}}}, "there is no layout 'germn' to be like. Did you mean 'german'"),
        ({"layouts": {"a": {"like": ["german"]}}}, "there is no layout"),
        ({"layouts": {"a": {"like": "german", "order": ["x"]}}}, "layouts.a.order: Input should be a valid dictionary"),
        ({"layouts": {"a": "german"}}, "layouts.a"),
        ({"layouts": {"a": {"sign": "("}}}, "regular expression"),
        ({"entities": {"order_lines": {"decimal": ","}}}, "'layouts' of the source say how numbers and times look"),
        ({"entities": {"customers": {}}}, "order_lines"),
    ],
)
def test_wrong_keys_are_said(stores, source, said):
    with pytest.raises(ConfigError, match=said):
        Stores(stores.root, source).ingest()


def test_another_layout_makes_all_messages_be_read_again(stores):
    stores.write("1.a.host", letter("A-1"))
    stores.write("2.b.host", letter("A-2", id="2").replace("Order number", "Bon-Nr."))
    assert stores.ingest().rows == 2
    own = {"till": {"sign": "Bon-Nr", "like": "english", "order": {"order_id": "bon-nr"}}}
    declared = Stores(stores.root, {"layouts": own | LAYOUTS}, runs=1)
    assert declared.ingest().table["new_files"].tolist() == [2, 2]
    assert declared.reasons() == {}


# --- a mailbox on a server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with imap_server(tmp_path_factory.mktemp("imap") / "base") as running:
        yield running


def test_a_mailbox_on_a_server_is_read_message_by_message_and_left_as_it_is(server, tmp_path, monkeypatch):
    monkeypatch.setenv("STORE_MAIL_URL", server.url)
    monkeypatch.setenv("STORE_MAIL_PASSWORD", PASSWORD)
    settings = load_settings(
        sources=PROJECT / "examples/store_mail.yml", data_dir=tmp_path / "data", output_dir=tmp_path / "out"
    )
    words = {"Order number": "Bon-Nr.", "Order date": "Verkauft am", "Item": "Code", "Qty": "St. ", "Unit price": "à"}
    own = letter("A-2", id="2").replace("2025-03-04 14:33", "04.03.2025 14:33").replace("12.50", "12,50")
    own = own.replace("25.00", "25,00")
    for known, other in words.items():
        own = own.replace(known, other)
    empty = ingest(settings, "run0")
    assert (empty.failures, empty.rows) == ({}, 0)
    server.deliver(letter("A-1").encode())
    server.deliver(own.encode())
    server.deliver(b"Subject: news\n\nnothing to sell\n")
    taken = ingest(settings, "run1")
    assert taken.failures == {}
    assert taken.table[["new_files", "rejected_files", "new_rows"]].to_numpy().tolist() == [[2, 1, 2], [2, 0, 2]]
    batch = Lake(settings.lake_url).batches("stores", "order_lines")[0]
    names = [file.name for file in batch.files]
    assert names == sorted(names) and all(re.fullmatch(r"\d{10}/000000000[123]", name) for name in names)
    assert ingest(settings, "run2").rows == 0
    monkeypatch.setattr(imap, "BATCH", 2)
    for number in range(3, 8):
        server.deliver(letter(f"A-{number}", id=str(number)).encode())
    assert ingest(settings, "run3").table["new_files"].tolist() == [5, 5]
    lake = Lake(settings.lake_url)
    paths = [item.path for item in standardize(settings, lake, lake.batches("stores", "order_lines"))]
    rows = duckdb.sql(
        "select order_id, channel, status from read_parquet($p) order by 1", params={"p": paths}
    ).fetchall()
    assert rows == [(f"A-{number}", "store", "completed") for number in range(1, 8)]
    assert "S" not in "".join(server.flags())


def test_a_connection_that_breaks_is_made_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(imap, "FIRST_WAIT_SECONDS", 0)
    server.deliver(letter("B-1", id="b1").encode())
    box = imap.Mailbox(server.url, PASSWORD, tmp_path)
    names = box.names
    box._client.socket().close()
    found = box.files(names, SILENT)
    box.close()
    assert list(found) == names


def test_a_wrong_password_is_said_without_showing_it(server, tmp_path):
    stores = Stores(tmp_path, {"url": server.url, "password": "not-the-right-one"})
    with pytest.raises(SourceError, match=r"refused the login of 'orders@stores.example'") as caught:
        stores.ingest()
    assert "not-the-right-one" not in str(caught.value)
    assert PASSWORD not in os.environ.get("STORE_MAIL_PASSWORD", "")


def test_a_server_that_is_down_or_has_no_such_mailbox_is_said(server, tmp_path, monkeypatch):
    monkeypatch.setattr(imap, "FIRST_WAIT_SECONDS", 0)
    down = Stores(tmp_path, {"url": "imap://u:geheim@127.0.0.1:1/INBOX"})
    with pytest.raises(SourceError, match=r"imap://u@127.0.0.1:1/INBOX cannot be reached") as caught:
        down.ingest()
    assert "geheim" not in str(caught.value)
    lost = Stores(tmp_path, {"url": server.url.replace("INBOX", "Märkte"), "password": PASSWORD})
    with pytest.raises(SourceError, match=r"refused a request .*Check the mailbox's name"):
        lost.ingest()


def test_a_password_never_goes_in_the_clear_to_another_machine(server, tmp_path, monkeypatch):
    monkeypatch.setattr(imap, "_LOCAL", ())
    monkeypatch.setattr(IMAPClient, "login", lambda *_: pytest.fail("the password was sent"))
    with pytest.raises(SourceError, match="offers no encryption"):
        assert imap.Mailbox(server.url, PASSWORD, tmp_path).names
