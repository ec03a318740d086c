"""Reconciliation: each layer holds what the one before it leaves, and all of it what the sources report."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.base.queries import read_query
from lib.lake import Lake
from lib.quality import reconciliation
from lib.sources.delivery import Totals
from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, csv

LETTER = """From: till@shop.example
Date: Tue, 04 Mar 2025 14:33:10 +0100
Message-ID: <{number}@shop.example>

Order number: D-{number}
Order date: 2025-03-04 14:33

No.  Item  Description  Qty  Unit price
1    P1    Lamp         2    12.50 EUR

Order total: 25.00 EUR
"""
ITEMS = "order_id,line_number,product_id,quantity,unit_price"


def execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def write_letter(shop: SmallShop, number: int, text: str = LETTER) -> None:
    shop.write("desk/cur/.keep", "")
    shop.write(f"desk/new/{number}.host", text.format(number=number))


def make(root: Path) -> SmallShop:
    """A shop of a database, a folder of files and a mailbox: what is there at first."""
    shop = SmallShop(root)
    database = shop.exports / "web.db"
    shop.exports.mkdir(parents=True)
    execute(
        database,
        "create table orders (id integer primary key, order_id text, ordered_at text, total_amount numeric(12, 2),"
        " updated_at text)",
        "create table order_items (id integer primary key, order_id text, line_number integer, product_id text,"
        " quantity integer, unit_price numeric(12, 2), updated_at text)",
        *(f"insert into orders values ({n}, 'W-{n}', '2025-03-0{n}', 10.10, '2025-03-0{n}')" for n in (1, 2, 3)),
        *(f"insert into order_items values ({n}, 'W-{n}', 1, 'P1', 1, 10.10, '2025-03-0{n}')" for n in (1, 2, 3)),
    )
    tables = {name: {"table": name} for name in ("orders", "order_items")}
    files = {name: {"files": f"{name}/*"} for name in ("orders", "order_items")}
    shop.config = {
        "sources": {
            "web": {"kind": "database", "path": str(database), "entities": tables},
            "partner": {"kind": "files", "path": str(shop.exports), "entities": files},
            "desk": {
                "kind": "mail",
                "path": str(shop.exports / "desk"),
                "layouts": {"letter": {"like": "english"}},
                "entities": {"order_lines": {}},
            },
        }
    }
    orders = pa.table({"order_id": ["X-1", "X-2"], "ordered_at": ["2025-03-01", "2025-03-02"]})
    (shop.exports / "orders").mkdir()
    pq.write_table(orders, shop.exports / "orders/1.parquet")
    items = ("X-1,1,P1,1,5", "X-1,1,P1,1,5", "X-2,1,P1,2,5", "X-9,1,P1,1,5", "X-2,2,P1,many")
    shop.write("order_items/1.csv", csv(ITEMS, *items))
    shop.write("order_items/2.csv", csv(ITEMS, "X-2,3,P1,1,5", "X-2,4,P1,1,5"))
    for number in (1, 2):
        write_letter(shop, number)
    return shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> SmallShop:
    """The same after a second take: an order has changed, one is gone, and so are a letter and a line of a file."""
    made = make(tmp_path_factory.mktemp("reconciled"))
    made.ingest().raise_failures()
    execute(
        made.exports / "web.db",
        "update orders set total_amount = 20.25, updated_at = '2025-03-05' where id = 1",
        "delete from order_items where id = 3",
    )
    made.write("order_items/2.csv", csv(ITEMS, "X-2,3,P1,1,5"))
    (made.exports / "desk/new/1.host").unlink()
    write_letter(made, 3)
    write_letter(made, 4, "Subject: Hello\n\nHow are you?")
    return made


@pytest.fixture(scope="module")
def warehouse(shop) -> Warehouse:
    return shop.build()


@contextlib.contextmanager
def one_row_less(warehouse: Warehouse, table: str, where: str = "true") -> Iterator[None]:
    """Take a row out of a table, and put it back."""
    first = f"rowid = (select min(rowid) from {table} where {where})"
    row = warehouse.query(f"select * from {table} where {first}")
    with warehouse.connect(read_only=False) as connection:
        connection.execute(f"delete from {table} where {first}")
    yield
    warehouse.replace(table, row, where="false")


def order_lines(warehouse: Warehouse) -> pd.DataFrame:
    return warehouse.query(read_query("queries/quality/order_lines"))


def amounts(warehouse: Warehouse) -> pd.DataFrame:
    return warehouse.query(read_query("queries/quality/amounts"))


def compared(warehouse: Warehouse) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    found = reconciliation.against_sources(warehouse)
    keys = zip(found["source"], found["entity"], found["measure"], strict=True)
    return dict(
        zip(keys, found[["reported", "gone", "held", "difference"]].itertuples(index=False, name=None), strict=True)
    )


def test_what_is_staged_is_what_the_sources_report_that_they_hold(warehouse):
    found = compared(warehouse)
    assert found == {
        # All documents report their rows: two extracts of the orders, one of which brought the change.
        ("web", "orders", "rows"): (4, 0, 4, 0),
        ("web", "orders", "records"): (3, 0, 3, 0),
        ("web", "orders", "amount"): (40.45, 0, 40.45, 0),
        ("web", "order_items", "rows"): (3, 0, 3, 0),
        ("web", "order_items", "records"): (2, 1, 3, 0),
        ("partner", "orders", "rows"): (2, 0, 2, 0),
        # A line that does not fit its header is staged too.
        ("partner", "order_items", "rows"): (6, 0, 6, 0),
        ("desk", "order_lines", "rows"): (3, 0, 3, 0),
        # One that is gone, and one that confirms no order.
        ("desk", "order_lines", "messages"): (3, 1, 4, 0),
    }


def test_order_lines_are_followed_from_the_sources_to_the_facts(warehouse):
    found = order_lines(warehouse)
    assert reconciliation.gaps(found) == []
    steps = {step: (n, change) for step, n, change in found[["step", "rows", "change"]].itertuples(index=False)}
    assert steps == {
        "read": (14, 0),
        "replaced": (12, -2),
        "staged": (12, 0),
        "exact duplicates": (11, -1),
        "delivered again": (11, 0),
        "older versions": (11, 0),
        "in another source": (11, 0),
        "quarantined": (9, -2),
        "clean": (9, 0),
        "facts": (9, 0),
    }


def test_money_is_followed_from_the_lines_to_the_months(warehouse):
    found = amounts(warehouse)
    assert reconciliation.gaps(found) == []
    assert found["amount"].tolist() == pytest.approx([125.3] * 6)


@pytest.mark.parametrize(
    ("table", "steps"),
    [
        ("ops.batches", ["replaced"]),
        ("stage.order_items", ["staged", "clean"]),
        ("ops.dispositions_order_items", ["clean"]),
        ("clean.order_items", ["clean", "facts"]),
        ("warehouse.fact_order_items", ["facts", "net, by day"]),
        ("analytics.daily_sales", ["net, by day", "net, by month"]),
        ("analytics.monthly_sales", ["net, by month"]),
    ],
)
def test_a_row_that_a_layer_lacks_leaves_a_gap_there(warehouse, table, steps):
    with one_row_less(warehouse, table, "entity = 'order_items'" if table == "ops.batches" else "true"):
        lines, money = order_lines(warehouse), amounts(warehouse)
        found = [gap.split(":")[0] for gap in reconciliation.gaps(lines) + reconciliation.gaps(money)]
    assert found == steps
    assert reconciliation.gaps(order_lines(warehouse)) == []


def test_a_gap_states_what_is_there_and_what_should_be(warehouse):
    with one_row_less(warehouse, "warehouse.fact_order_items"):
        assert reconciliation.gaps(order_lines(warehouse)) == ["facts: 8, and the steps before it leave 9"]


def test_what_a_source_reports_counts_only_for_the_batch_it_was_reported_with(tmp_path, monkeypatch):
    shop = make(tmp_path)
    shop.ingest().raise_failures()
    assert reported(shop.lake)["web", "orders"]["records"] == 3
    execute(shop.exports / "web.db", "insert into orders values (4, 'W-4', '2025-03-06', 1, '2025-03-06')")

    record = Lake.record_totals

    def killed(lake: Lake, source: str, entity: str, totals: Totals) -> None:
        if (source, entity) == ("web", "orders"):
            raise KeyboardInterrupt
        record(lake, source, entity, totals)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Lake, "record_totals", killed)
        shop.ingest()
    assert ("web", "orders") not in reported(shop.lake)
    assert shop.ingest().rows == 0
    assert reported(shop.lake)["web", "orders"] == {"records": 4, "gone": 0, "amount": pytest.approx(31.3)}


def test_an_amount_that_is_no_number_at_its_source_is_not_summed(tmp_path):
    shop = make(tmp_path)
    execute(
        shop.exports / "web.db",
        "create table texts as select id, order_id, ordered_at, cast(total_amount as text) as total_amount, updated_at"
        " from orders",
    )
    shop.config["sources"]["web"]["entities"]["orders"] = {"table": "texts"}
    shop.ingest().raise_failures()
    assert reported(shop.lake)["web", "orders"] == {"records": 3, "gone": 0}


@pytest.mark.parametrize(
    ("options", "first", "then"),
    [
        ({}, {"records": 3, "gone": 0}, {"records": 2, "gone": 1}),
        ({"total": "meta.total"}, {"records": 7, "gone": 0}, {"records": 7, "gone": 1}),
        ({"mode": "changes"}, {"records": 3, "gone": 0}, {}),
    ],
)
def test_an_api_reports_how_many_records_it_has_unless_it_was_asked_for_changes(tmp_path, options, first, then):
    records = [{"product_id": f"P{n}", "updated_at": f"2025-03-0{n}T00:00:00Z"} for n in (1, 2, 3)]
    shop = SmallShop(tmp_path)
    with serving(records) as url:
        entity = {"paging": "none", **options}
        shop.config = {"sources": {"api": {"kind": "rest", "url": url, "entities": {"products": entity}}}}
        shop.ingest().raise_failures()
        assert reported(shop.lake)["api", "products"] == first
        del records[0]
        assert shop.ingest().rows == 0
        assert reported(shop.lake)["api", "products"] == then


def reported(lake: Lake) -> dict[tuple[str, str], dict[str, float]]:
    return {(note["source"], note["entity"]): note["values"] for note in lake.reported_totals()}


@contextlib.contextmanager
def serving(records: list[dict[str, Any]]) -> Iterator[str]:
    """Answer every request with the records and a number of them that is not theirs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"data": records, "meta": {"total": 7}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
