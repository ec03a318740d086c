"""File sources: everything that exports are written in is read alike; what cannot be read is reported and kept."""

import bz2
import contextlib
import gzip
import io
import json
import sqlite3
import threading
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lib.base.errors import ConfigError, SourceError
from lib.lake import Batch
from lib.sources import archives, json_files, nearest, sheets
from tests.small_shop import SmallShop, csv, one, rows

HEADER = "order_id,ordered_at,customer_id"
ROW = "1,2024-01-05 10:00:00,anna"


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    return SmallShop(tmp_path, {"orders": {}})


def staged(shop: SmallShop, columns: str = "order_id, customer_id") -> list[tuple]:
    """Load the shop and return its orders in the order of their files and rows."""
    return rows(shop.load(), f"select {columns} from stage.orders order by _source_file, _source_row")


def failure(shop: SmallShop) -> str:
    """Ingest and return the one message of the source that failed, with nothing committed."""
    taken = shop.ingest()
    assert not shop.lake.batches()
    with pytest.raises(SourceError) as error:
        taken.raise_failures()
    return str(error.value)


def reason(shop: SmallShop) -> str:
    """Return why the shop's one rejected file cannot be used."""
    (note,) = shop.lake.rejected()
    return note["reason"]


# What is missing or cannot be read


def test_a_missing_folder_is_named(shop):
    message = failure(shop)
    assert str(shop.exports) in message
    assert "No folder or file" in message


def test_an_unset_environment_variable_is_named_with_its_key(shop, monkeypatch):
    monkeypatch.delenv("SMALL_SHOP_DIR", raising=False)
    shop.source = {"path": "${SMALL_SHOP_DIR}/exports"}
    with pytest.raises(ConfigError, match=r"sources\.exports\.path needs the environment variable SMALL_SHOP_DIR"):
        _ = shop.settings


def test_a_folder_without_data_files_says_what_was_looked_for(shop):
    shop.write("orders/readme.pdf", "x")
    assert "'orders/*'" in failure(shop)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("blank.csv", b"\n \n\n", "the file is empty"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("cut.csv.gz", gzip.compress((ROW * 5000).encode(), mtime=0)[:60], "cannot be read"),
        ("torn.csv.gz", b"\x1f\x8b\x08\x00" + b"\x00" * 6 + b"\xff" * 40, "cannot be read"),
        ("no.csv.gz", HEADER.encode(), "cannot be read"),
        ("no.parquet", b"PAR1 and nothing else", "is no readable Parquet file"),
        ("lacks.csv", csv("order_no,ordered_at", "1,2024-01-05").encode(), "has no column 'order_id'"),
        ("odd.csv", HEADER.encode() + b"\n1,2024-01-05,\x81\n", "wrong encoding"),
        ("own.csv", csv(HEADER + ",_path", ROW + ",x").encode(), "a name the lake uses itself"),
    ],
)
def test_a_bad_file_is_kept_whole_with_its_reason_and_the_rest_is_read(shop, name, content, said):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write(f"orders/{name}", content)
    assert staged(shop) == [("1", "anna")]
    (note,) = shop.lake.rejected()
    assert (note["name"], note["bytes"]) == (f"orders/{name}", len(content))
    assert said in note["reason"]
    kept = [p for p in (shop.root / "data" / "lake" / "rejected").rglob(name) if p.is_file()]
    assert [p.read_bytes() for p in kept] == ([content] if content else [])


def test_a_folder_named_like_a_file_is_rejected_with_advice(shop):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("orders/spark.csv/part-0.csv", csv(HEADER, ROW))
    assert staged(shop) == [("1", "anna")]
    assert "spark.csv/*" in reason(shop)


def test_a_misspelt_column_is_proposed_with_file_and_entity(shop):
    shop.write("orders/a.csv", csv("order_id,orderd_at", "1,2024-01-05"))
    message = failure(shop)
    assert "orders/a.csv: has no column 'ordered_at' (mapped for orders)" in message
    assert "Did you mean 'orderd_at'?" in message


def test_where_no_file_is_usable_nothing_is_committed(shop):
    shop.write("orders/a.csv", "")
    shop.write("orders/b.parquet", b"x")
    assert "None of the 2 files for orders" in failure(shop)


def test_where_no_file_can_be_parsed_nothing_is_committed(shop):
    table = pa.table({"order_id": ["1"] * 3000, "ordered_at": ["2024-01-05"] * 3000})
    path = shop.write("orders/a.parquet", b"")
    pq.write_table(table, path, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(bytes(content))
    assert "cannot be parsed" in failure(shop)


def test_a_corrected_file_is_read_and_no_longer_listed(shop):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("orders/late.csv", "")
    shop.ingest()
    assert [n["name"] for n in shop.lake.rejected()] == ["orders/late.csv"]
    shop.write("orders/late.csv", csv(HEADER, "2,2024-01-06,bert"))
    assert staged(shop) == [("1", "anna"), ("2", "bert")]
    assert shop.lake.rejected() == []


def test_a_file_that_turns_bad_keeps_its_rows_and_is_listed_until_it_is_as_before(shop):
    good = csv(HEADER, ROW)
    shop.write("orders/a.csv", good)
    shop.ingest()
    shop.write("orders/a.csv", "nonsense\n")
    assert staged(shop) == [("1", "anna")]
    assert "has no column" in reason(shop)
    shop.write("orders/a.csv", "other nonsense\n")
    shop.ingest()
    assert "other nonsense" in reason(shop)
    shop.write("orders/a.csv", good)
    assert staged(shop) == [("1", "anna")]
    assert shop.lake.rejected() == []
    shop.write("orders/a.csv", "nonsense\n")
    shop.ingest()
    assert "has no column" in reason(shop)


def test_a_header_without_rows_is_a_file_with_no_rows(shop):
    shop.write("orders/a.csv", HEADER + "\n")
    shop.write("orders/b.csv", HEADER)
    taken = shop.ingest()
    assert (taken.table["new_files"].sum(), taken.rows, len(taken.rejected)) == (2, 0, 0)


# How text files are written


NAMES = "order_id,ordered_at,customer_id\n1,2024-01-05,Zoë\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (NAMES.encode("utf-8"), "utf-8"),
        (NAMES.encode("utf-8-sig"), "utf-8"),
        (NAMES.encode("cp1252"), "cp1252"),
        (NAMES.encode("utf-16"), "utf-16"),
        (NAMES.encode("utf-16-le"), "utf-16-le"),
        (NAMES.encode("utf-16-be"), "utf-16-be"),
        (NAMES.replace("\n", "\r\n").encode("utf-16"), "utf-16"),
    ],
)
def test_the_encoding_is_found_out(shop, content, encoding):
    shop.write("orders/a.csv", content)
    assert staged(shop) == [("1", "Zoë")]
    assert shop.lake.batches()[0].files[0].encoding == encoding


@pytest.mark.parametrize("declared", ["utf-8", "UTF8", "utf-8-sig"])
def test_a_byte_order_mark_does_not_hide_the_first_column(shop, declared):
    shop.entities = {"orders": {"encoding": declared}}
    shop.write("orders/a.csv", NAMES.encode("utf-8-sig"))
    assert staged(shop) == [("1", "Zoë")]


def test_a_wrong_declared_encoding_names_the_byte_and_the_key_to_set(shop):
    shop.entities = {"orders": {"encoding": "utf-8"}}
    shop.write("orders/a.csv", NAMES.encode("cp1252"))
    message = failure(shop)
    assert "byte 0xeb is no utf-8" in message
    assert "Set 'encoding'" in message


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_separator_is_found_out(shop, mark):
    shop.write("orders/a.csv", csv(HEADER, "1,2024-01-05,anna").replace(",", mark))
    assert staged(shop) == [("1", "anna")]


def test_an_impossible_separator_is_named(shop):
    shop.entities = {"orders": {"delimiter": "||"}}
    shop.write("orders/a.csv", csv(HEADER, ROW))
    assert "'||'" in failure(shop)


@pytest.mark.parametrize(
    "ends", [("\r\n", "\n"), ("\r", "\r"), ("\n", "\r"), ("\r\n", "\r"), ("\r\n", "\r\n")], ids=repr
)
def test_line_ends_may_be_mixed(shop, ends):
    first, second = ends
    shop.write("orders/a.csv", f"{HEADER}{first}1,2024-01-05,a{second}2,2024-01-05,b{first}3,2024-01-05,c")
    assert staged(shop) == [("1", "a"), ("2", "b"), ("3", "c")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gz", "bz2"])
def test_a_compressed_file_is_read(shop, pack):
    ending = "gz" if pack is gzip.compress else "bz2"
    shop.write(f"orders/a.csv.{ending}", pack(NAMES.encode("cp1252")))
    assert staged(shop) == [("1", "Zoë")]


def test_decimal_comma_and_thousands_follow_the_declared_marks(shop):
    shop.entities = {"orders": {"decimal": ",", "thousands": "."}}
    shop.write(
        "orders/a.csv",
        csv(
            "order_id;ordered_at;total_amount",
            "1;2024-01-05;1.234.567,89",
            "2;2024-01-05;-12,5",
            "3;2024-01-05;1234,5",
            "4;2024-01-05;12.500",
            "5;2024-01-05;12.50.0",
        ),
    )
    assert staged(shop, "order_id, total_amount, _reject_rule") == [
        ("1", Decimal("1234567.89"), None),
        ("2", Decimal("-12.5"), None),
        ("3", Decimal("1234.5"), None),
        ("4", Decimal("12500"), None),
        ("5", None, "not_a_number"),
    ]


def test_a_no_break_space_parts_thousands_as_a_space_does(shop):
    shop.entities = {"orders": {"decimal": ",", "thousands": " "}}
    amounts = ["1 234,50", "1\u00a0234,50", "1\u202f234,50"]
    shop.write("orders/a.csv", csv("order_id;ordered_at;total_amount", *(f"1;2024-01-05;{a}" for a in amounts)))
    assert staged(shop, "total_amount") == [(Decimal("1234.5"),)] * 3


def test_a_quoted_value_may_hold_line_ends_separators_and_quotes(shop):
    shop.write("orders/a.csv", csv(HEADER, '1,2024-01-05,"An\n\n""na"", x"', "2,2024-01-06,bert"))
    assert staged(shop, "order_id, customer_id, _source_row") == [("1", 'An\n\n"na", x', 1), ("2", "bert", 2)]


def test_a_quote_inside_an_unquoted_value_is_a_character(shop):
    shop.write("orders/a.csv", csv(HEADER, '1,2024-01-05,5" disk', "2,2024-01-06,bert", "3"))
    assert staged(shop, "customer_id, _source_row")[:2] == [('5" disk', 1), ("bert", 2)]


# Lines that do not fit


def test_malformed_lines_wait_with_their_text_and_later_rows_keep_their_numbers(shop):
    shop.write(
        "orders/a.csv",
        csv(HEADER, ROW, "2,2024-01-05", "3,2024-01-05,c,d", "", "4,2024-01-05,d", '5,"2024', "6,2024-01-05,f")
        + csv('7,2024-01-05,"g" h', '8,2024-01-05,"i\nj"', "9"),
    )
    shop.write("orders/b.csv", csv(HEADER, "10,2024-01-05,k"))
    found = staged(shop, "_source_file, _source_row, order_id, _reject_rule, _reject_reason, _raw")
    assert [r[:4] for r in found] == [
        ("orders/a.csv", 1, "1", None),
        ("orders/a.csv", 2, None, "malformed_line"),
        ("orders/a.csv", 3, None, "malformed_line"),
        ("orders/a.csv", 4, "4", None),
        ("orders/a.csv", 5, None, "malformed_line"),
        ("orders/a.csv", 6, "6", None),
        ("orders/a.csv", 7, None, "malformed_line"),
        ("orders/a.csv", 8, "8", None),
        ("orders/a.csv", 9, None, "malformed_line"),
        ("orders/b.csv", 1, "10", None),
    ]
    assert found[1][4:] == ("2 fields where the header has 3", '{"line":"2,2024-01-05"}')
    assert found[4][4:] == ("a quote that is not closed", '{"line":"5,\\"2024"}')


def test_a_quote_that_is_never_closed_costs_one_line_of_a_large_file(shop):
    lines = [f"{i},2024-01-05,{'x' * 90}" for i in range(1, 40_001)]
    lines[10] = '11,2024-01-05,"open'
    shop.write("orders/a.csv", csv(HEADER, *lines))
    warehouse = shop.load()
    assert rows(
        warehouse, "select count(*), max(_source_row), count(*) filter (where order_id = cast(_source_row as varchar))"
        " from stage.orders",
    ) == [(40_000, 40_000, 39_999)]  # fmt: skip


def test_a_line_longer_than_can_be_read_costs_only_itself(shop):
    shop.write("orders/a.csv", csv(HEADER, ROW, f"2,2024-01-05,{'x' * 2_100_000}", "3,2024-01-05,c"))
    assert staged(shop, "order_id, _source_row, _reject_rule") == [
        ("1", 1, None),
        (None, 2, "malformed_line"),
        ("3", 3, None),
    ]


# Names


def test_any_header_name_can_be_mapped(shop):
    names = ['"; drop table x; --', "n" * 80, "it's", "select", "Größe/€", "a,b"]
    shop.entities = {
        "orders": {
            "columns": dict(
                zip(["order_id", "ordered_at", "customer_id", "status", "channel", "store_id"], names, strict=True)
            )
        }
    }
    header = ",".join('"' + n.replace('"', '""') + '"' for n in names)
    shop.write("orders/a.csv", csv(header, "1,2024-01-05,anna,paid,web,s1"))
    assert staged(shop, "order_id, customer_id, status, channel, store_id") == [("1", "anna", "paid", "web", "s1")]


def test_repeated_and_empty_header_names_become_unique(shop):
    columns = {"order_id": "id", "ordered_at": "at", "customer_id": "id_2", "status": "column_4", "channel": "ID_3"}
    shop.entities = {"orders": {"columns": columns}}
    shop.write("orders/a.csv", csv("id,at,id,,ID", "1,2024-01-05,anna,paid,web"))
    assert staged(shop, "order_id, customer_id, status, channel") == [("1", "anna", "paid", "web")]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_name_may_hold_any_character(shop, ending):
    names = [f"orders/a*.{ending}", f"orders/ab.{ending}", f"orders/[c]?.{ending}", f"orders/it's d.{ending}"]
    for number, name in enumerate(names):
        path = shop.write(name, csv(HEADER, f"{number},2024-01-05,c{number}"))
        if ending == "parquet":
            columns = {"order_id": [str(number)], "ordered_at": ["2024-01-05"], "customer_id": [f"c{number}"]}
            pq.write_table(pa.table(columns), path)
    found = rows(shop.load(), "select _source_file, order_id from stage.orders order by order_id")
    assert found == [(name, str(number)) for number, name in enumerate(names)]


def test_folders_may_hold_glob_characters(tmp_path):
    shop = SmallShop(tmp_path / "shop [1] *", {"orders": {}})
    shop.write("orders/a.csv", csv(HEADER, ROW))
    assert staged(shop) == [("1", "anna")]
    assert shop.ingest().rows == 0


def test_a_nul_character_is_dropped_from_a_value(shop):
    shop.write("orders/a.csv", csv(HEADER, "1,2024-01-05,an\0na", "2,x\0,bert"))
    assert staged(shop, "customer_id, _reject_reason") == [
        ("anna", None),
        ("bert", "ordered_at is no date or time: x"),
    ]


# Parquet


def test_parquet_types_are_kept_exactly(shop):
    shop.entities = {"orders": {}, "products": {}}
    path = shop.write("orders/a.parquet", b"")
    columns = {
        "order_id": pa.array([17, 18]),
        "ordered_at": pa.array([datetime(2024, 7, 1, 10), None], pa.timestamp("us")),
        "updated_at": pa.array([datetime(2024, 7, 1, 10, tzinfo=UTC), None], pa.timestamp("us", tz="Europe/Berlin")),
        "customer_id": pa.array([17850.0, None]),
        "total_amount": pa.array([Decimal("12.3456"), None], pa.decimal128(12, 4)),
        "tax_amount": pa.array([0.1, None]),
    }
    pq.write_table(pa.table(columns), path)
    path = shop.write("products/a.parquet", b"")
    pq.write_table(pa.table({"product_id": ["p", "q"], "is_active": [True, False]}), path)
    warehouse = shop.load()
    assert rows(
        warehouse,
        "select order_id, ordered_at, updated_at, customer_id, total_amount, tax_amount, _reject_rule from stage.orders"
        " order by 1",
    ) == [
        ("17", datetime(2024, 7, 1, 10), datetime(2024, 7, 1, 10), "17850", Decimal("12.3456"), Decimal("0.1"), None),
        ("18", None, None, None, None, None, "missing_ordered_at"),
    ]
    assert rows(warehouse, "select is_active from stage.products order by product_id") == [(True,), (False,)]


def test_parquet_files_of_one_header_and_other_types_are_not_cast_to_each_other(shop):
    for name, amounts in {"a": pa.array([10]), "b": pa.array([10.75]), "c": pa.array(["11,500"])}.items():
        columns = {"order_id": [name], "ordered_at": ["2024-01-05"], "total_amount": amounts}
        pq.write_table(pa.table(columns), shop.write(f"orders/{name}.parquet", b""))
    assert staged(shop, "order_id, total_amount, _reject_rule") == [
        ("a", Decimal(10), None),
        ("b", Decimal("10.75"), None),
        ("c", None, "not_a_number"),
    ]


# Places


@pytest.mark.parametrize(
    ("path", "files", "names"),
    [
        ("{exports}", "orders/*.csv", ["orders/a.csv"]),
        ("{exports}/orders/a.csv", "*", ["a.csv"]),
        ("{exports}", "orders", ["orders/a.csv", "orders/deep/er/b.csv"]),
        ("{exports}", "**/*.csv", ["orders/a.csv", "orders/deep/er/b.csv"]),
        ("{exports}", "orders/*/*/b.csv", ["orders/deep/er/b.csv"]),
        ("file://{exports}", "orders/*", ["orders/a.csv"]),
    ],
)
def test_a_source_is_a_folder_a_file_a_glob_or_a_url(shop, path, files, names):
    shop.write("orders/a.csv", csv(HEADER, ROW))
    shop.write("orders/deep/er/b.csv", csv(HEADER, "2,2024-01-05,b"))
    shop.entities = {"orders": {"files": files}}
    shop.source = {"path": path.format(exports=shop.exports)}
    shop.ingest().raise_failures()
    (batch,) = shop.lake.batches()
    assert [f.name for f in batch.files] == names


def test_a_source_may_lie_on_any_file_system(shop):
    shop.source = {"path": f"memory://{shop.root.name}/exports"}
    fs = fsspec.filesystem("memory")
    fs.pipe_file(f"/{shop.root.name}/exports/orders/a.csv", csv(HEADER, ROW).encode())
    assert staged(shop) == [("1", "anna")]


def test_an_unknown_file_system_is_a_clear_error(shop):
    shop.source = {"path": "nosuch://bucket/exports"}
    assert "nosuch" in failure(shop)


# Again and again


def only_batch(shop: SmallShop) -> Batch:
    (batch,) = shop.lake.batches()
    return batch


def test_the_same_files_again_are_no_new_batch(shop):
    shop.write("orders/a.csv", csv(HEADER, ROW))
    shop.ingest()
    before = only_batch(shop)
    taken = shop.ingest()
    assert (taken.rows, only_batch(shop)) == (0, before)


def test_a_changed_file_replaces_its_rows_and_may_go_back(shop):
    first, second = csv(HEADER, ROW, "2,2024-01-06,bert"), csv(HEADER, "1,2024-01-05,antonia")
    shop.write("orders/a.csv", first)
    shop.write("orders/b.csv", csv(HEADER, "3,2024-01-07,carl"))
    seen = []
    for content in (first, second, first, second):
        shop.write("orders/a.csv", content)
        warehouse = shop.load()
        warehouse.publish()
        seen.append(rows(warehouse.__class__(shop.settings), "select customer_id from stage.orders order by order_id"))
    assert seen[0] == seen[2] == [("anna",), ("bert",), ("carl",)]
    assert seen[1] == seen[3] == [("antonia",), ("carl",)]


def test_other_reading_options_read_the_files_again_and_may_go_back(shop):
    shop.write("orders/a.csv", NAMES.encode("utf-8"))
    found = []
    for encoding in ("utf-8", "cp1252", "utf-8"):
        shop.entities = {"orders": {"encoding": encoding}}
        found += staged(shop)
    assert found == [("1", "Zoë"), ("1", "ZoÃ«"), ("1", "Zoë")]


def test_a_new_column_in_a_later_file_is_read_from_then_on(shop):
    shop.write("orders/a.csv", csv(HEADER, ROW))
    shop.write("orders/b.csv", csv(HEADER + ",status", "2,2024-01-06,bert,paid"))
    assert staged(shop, "order_id, status") == [("1", None), ("2", "paid")]
    shop.write("orders/c.csv", csv("status,note," + HEADER, "paid,x,3,2024-01-07,carl"))
    assert staged(shop, "order_id, status") == [("1", None), ("2", "paid"), ("3", "paid")]


def test_a_column_of_a_file_that_cannot_be_parsed_is_not_expected_in_the_others(shop):
    shop.write("orders/a.csv", csv(HEADER, ROW))
    table = pa.table({"order_id": ["1"] * 3000, "ordered_at": ["2024-01-05"] * 3000, "status": ["paid"] * 3000})
    path = shop.write("orders/b.parquet", b"")
    pq.write_table(table, path, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(bytes(content))
    assert staged(shop, "order_id, status") == [("1", None)]
    assert "cannot be parsed" in reason(shop)


def test_a_copy_under_another_name_counts_once(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "order_items": {}, "order_lines": {}})
    items = csv("order_id,product_id,quantity,unit_price", "1,p,2,5", "1,q,1,5")
    flat = csv("order_id,ordered_at,product_id,quantity,unit_price", "2,2024-01-05,p,1,7", "2,2024-01-05,q,1,8")
    for name in ("a", "copy of a"):
        shop.write(f"orders/{name}.csv", csv(HEADER, ROW))
        shop.write(f"order_items/{name}.csv", items)
        shop.write(f"order_lines/{name}.csv", flat)
    warehouse = shop.build()
    assert one(warehouse, "select sum(net_amount) from warehouse.fact_order_items") == Decimal(30)
    assert one(warehouse, "select count(*) from warehouse.fact_orders") == 2


# Where the header stands, and what is around the records

#: An export of a marketplace: a blank line, a title, the header, a line of empty cells, records, a footer.
MARKETPLACE = """
"Orders Report"

"Order Number","Sale Date","Buyer Username","Notes"
"","","",""
"12-0001","2024-01-05","anna","say ""hi"", please"
"12-0002","2024-01-06","bert",""

"2","record(s) downloaded"
"Seller ID : annas-shop"
"""
BUYERS = {"order_id": "Order Number", "ordered_at": "Sale Date", "customer_id": "Buyer Username"}


def test_the_header_is_found_below_a_title_and_a_footer_is_no_record(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {"columns": BUYERS}})
    shop.write("orders/sales.csv", MARKETPLACE)
    taken = shop.ingest()
    assert staged(shop) == [("12-0001", "anna"), ("12-0002", "bert")]
    (batch,) = shop.lake.batches()
    assert batch.malformed == 0
    said = " ".join(taken.remarks["remark"])
    assert "the header is on line 4; what stands before it is not read: 'Orders Report'" in said
    assert "2 lines below the records are a footer: " in said


def test_a_record_that_is_cut_off_is_no_footer(shop):
    shop.write("orders/a.csv", csv(HEADER, ROW) + "2,2024-01")
    shop.ingest()
    (batch,) = shop.lake.batches()
    assert (batch.rows, batch.malformed) == (1, 1)


COLUMNS = HEADER.split(",")
PLACES = {"order_id": [1, 4], "ordered_at": [6, 24], "customer_id": [25, 30]}
IN_BLANKS = """
  order_id  ordered_at            customer_id
  --------  --------------------- -----------
  1         "2024-01-05 10:00:00" anna
"""


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ({"header": "none", "names": COLUMNS}, ROW),
        ({"header": None, "columns": {name: f"column_{n}" for n, name in enumerate(COLUMNS, 1)}}, ROW),
        ({"names": COLUMNS}, ROW),
        ({"names": COLUMNS}, "No,When,Who\n" + ROW),
        ({"header": 3}, f"{HEADER}\nold,2020-01-01,old\n{HEADER}\n{ROW}"),
        ({}, f"Sales;of;January\n\n{HEADER.replace(',', ';')}\n{ROW.replace(',', ';')}"),
        ({}, f'Sales of 12" records\n{HEADER}\n{ROW}'),
        ({}, f"{HEADER},,\n{ROW},,"),
        ({}, f"{HEADER}\n{ROW},,"),
        ({}, f"{HEADER},,\n{ROW}"),
        ({}, "Order_ID, ordered_at ,CUSTOMER_ID\n" + ROW),
        ({"quote": "", "delimiter": "\t"}, f'"order_id"\tordered_at\tcustomer_id\n{ROW}'.replace(",", "\t")),
        ({"delimiter": "whitespace"}, IN_BLANKS),
        ({"widths": [9, 20, 12]}, "order_id ordered_at          customer_id\n1        2024-01-05 10:00:00 anna"),
        ({"fields": PLACES}, "1    2024-01-05 10:00:00anna"),
        ({"fields": PLACES}, "No   When               Who\n1    2024-01-05 10:00:00anna"),
    ],
)
def test_records_are_found_wherever_their_header_stands(tmp_path, options, content):
    shop = SmallShop(tmp_path, {"orders": options})
    shop.write("orders/a.csv", content + "\n")
    warehouse = shop.load()
    found = rows(warehouse, "select order_id, cast(ordered_at as varchar), customer_id, _source_row from stage.orders")
    assert found == [("1", "2024-01-05 10:00:00", "anna", 1)]


def test_lines_that_leave_out_their_empty_end_are_filled_where_the_source_says_so(tmp_path):
    content = csv(HEADER + ",note", ROW, '2,2024-01-06,bert,"two\nlines"', "3,2024-01-07", "4,2024-01-08,x,y,z")
    shop = SmallShop(tmp_path, {"orders": {"short_lines": "fill"}})
    shop.write("orders/a.csv", content)
    found = rows(shop.load(), "select order_id, customer_id from stage.orders where order_id is not null order by 1")
    assert found == [("1", "anna"), ("2", "bert"), ("3", None)]
    (batch,) = shop.lake.batches()
    assert (batch.rows, batch.malformed) == (3, 1)
    strict = SmallShop(tmp_path / "strict", {"orders": {}}, source={"path": str(shop.exports)})
    shop.write("orders/a.csv", content + "5,2024-01-09\n")
    assert "3 lines have fewer fields than the header; where their empty end was left out, set" in said(strict)


def test_what_is_said_to_a_spreadsheet_program_is_no_remark(shop):
    shop.write("orders/a.csv", "sep=;\n" + csv(HEADER, ROW).replace(",", ";"))
    assert said(shop) == ""


def test_records_before_the_header_are_not_lost_in_silence(shop):
    shop.write("orders/a.csv", csv("1,2024-01-05,anna", HEADER, ROW))
    assert "Set 'header: 2' of this entity" in failure(shop)


def test_malformed_lines_keep_their_place_without_a_header(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {"header": "none", "names": HEADER.split(",")}})
    shop.write("orders/a.csv", csv(ROW, ",,", "2,2024", "3,2024-01-06,carl"))
    found = rows(shop.load(), "select order_id, _source_row, _reject_rule from stage.orders order by _source_row")
    assert [(order, row) for order, row, _ in found] == [("1", 1), (None, 2), ("3", 3)]
    assert [rule for *_, rule in found if rule] == ["malformed_line"]


def test_files_of_other_column_order_and_capitals_are_of_one_kind(shop):
    shop.write("orders/2023.csv", csv(HEADER, ROW))
    shop.write("orders/2024.csv", csv("Customer_ID,Note,ordered_at,ORDER_ID", "bert,gift,2024-02-01,2"))
    shop.write("orders/2025.csv", csv("ordered_at,order_id", "2025-02-01,3"))
    assert staged(shop) == [("1", "anna"), ("2", "bert"), ("3", None)]


def test_fields_that_overlap_are_a_mistake_in_the_configuration(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {"fields": {"order_id": [1, 4], "ordered_at": [4, 9]}}})
    with pytest.raises(ConfigError, match=r"fields\.ordered_at"):
        _ = shop.settings


# What is not read is said


def said(shop: SmallShop) -> str:
    """Ingest and return all remarks."""
    taken = shop.ingest()
    return "\n".join(taken.remarks["remark"])


def test_files_that_nobody_reads_are_named(shop):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("orders/old.pdf", "x")
    shop.write("orders/_draft.csv", csv(HEADER, ROW))
    shop.write("returns/2024.csv", "x")
    for nobodys in (".hidden/x.csv", "orders/_SUCCESS", "orders/~$good.xlsx", "__MACOSX/y.csv"):
        shop.write(nobodys, "x")
    remarks = said(shop)
    assert "not read though 'files' names it: orders/_draft.csv, orders/old.pdf; a reader knows" in remarks
    assert "not read, as no entity's 'files' names it: returns/2024.csv" in remarks
    assert "hidden" not in remarks
    assert "SUCCESS" not in remarks
    assert "MACOSX" not in remarks
    assert "~$" not in remarks


def test_a_file_that_another_source_reads_is_not_overlooked(shop):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("rates.csv", "x")
    shop.write("refunds/a.csv", csv(HEADER, ROW))
    other = {"kind": "files", "path": str(shop.exports), "entities": {"orders": {"files": "refunds/*"}}}
    exports = {"kind": "files", "path": str(shop.exports), "entities": {"orders": {"files": "orders/*"}}}
    shop.config = {"sources": {"exports": exports, "refunds": other}}
    shop.shop = {"exchange_rates": str(shop.exports / "rates.csv")}
    assert said(shop) == ""


def test_a_pattern_that_matches_nothing_says_what_is_there(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {"files": "order_*.csv"}})
    shop.write("orders_2024.csv", csv(HEADER, ROW))
    message = failure(shop)
    assert "match 'order_*.csv'" in message
    assert "found orders_2024.csv. Did you mean 'orders_2024.csv'?" in message


def test_a_mapping_that_leaves_half_of_the_columns_unused_is_said(tmp_path):
    columns = {"order_id": "No", "ordered_at": "Date"}
    shop = SmallShop(tmp_path, {"orders": {"columns": columns}})
    shop.write("orders/a.csv", csv("No,Date,Buyer,Total,", "1,2024-01-05,anna,5.00,"))
    assert said(shop) == "2 of 4 columns are not mapped: Buyer, Total"
    shop.write("orders/a.csv", csv("No,Date,Buyer", "1,2024-01-05,anna"))
    assert (
        said(SmallShop(tmp_path / "other", {"orders": {"columns": columns}}, source={"path": str(shop.exports)})) == ""
    )


def test_an_optional_entity_that_fails_is_a_remark(shop):
    shop.entities = {"orders": {}, "customers": {"optional": True}}
    shop.write("orders/good.csv", csv(HEADER, ROW))
    taken = shop.ingest()
    taken.raise_failures()
    assert "skipped, as it is optional: No CSV" in taken.remarks["remark"][0]


def test_what_could_not_be_read_is_noted_with_whether_it_may_be_missing(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "customers": {"optional": True}})
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("orders/bad.csv", "")
    shop.write("customers/good.csv", csv("customer_id", "anna"))
    shop.write("customers/bad.csv", "")
    found = rows(shop.load(), "select entity, name, optional from ops.rejected_files order by all")
    assert found == [("customers", "customers/bad.csv", True), ("orders", "orders/bad.csv", False)]


@pytest.mark.parametrize(
    ("columns", "header", "meant"),
    [
        ({"order_id": "Order ID", "ordered_at": "Date", "customer_id": "Buyer"}, "Invoice No,Date,Buyer", "Invoice No"),
        ({"order_id": "No", "ordered_at": "Created at"}, "No,Who,Bestelldatum", "Bestelldatum"),
        ({"order_id": "No", "ordered_at": "When", "customer_id": "Buyer e-mail"}, "No,When,Account,Email", "Email"),
        ({"order_id": "No", "ordered_at": "When", "total_amount": "Total"}, "No,When,Item,Grand Total", "Grand Total"),
    ],
)
def test_a_missing_column_proposes_the_nearest_by_meaning(tmp_path, columns, header, meant):
    shop = SmallShop(tmp_path, {"orders": {"columns": columns}})
    shop.write("orders/a.csv", csv("A title", "", header, "1,2024-01-05,x,5"))
    message = failure(shop)
    assert "found on line 3 " in message
    assert f"Did you mean {meant!r}?" in message


def test_where_no_line_shows_a_mapped_column_the_key_is_named(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {"columns": {"order_id": "Nr", "ordered_at": "Wann"}}})
    shop.write("orders/a.csv", csv("A title", "x,y,z", "1,2,3", "4,5,6"))
    message = failure(shop)
    assert "found on line 2 x, y, z." in message
    assert "set 'header' to its number" in message


def test_no_word_of_a_columns_name_has_two_meanings():
    groups = yaml.safe_load(Path(nearest.__file__).with_name("column_words.yml").read_text(encoding="utf-8"))
    words = [word for meaning, others in groups.items() for word in (meaning, *others)]
    assert sorted(words) == sorted(set(words))


# Workbooks


def workbook(sheets: dict[str, list[list]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


WHEN = datetime(2024, 1, 5, 10, 0)


@pytest.mark.parametrize("large", [0, 1 << 30])
def test_a_workbook_is_read_from_the_sheet_that_shows_the_columns(shop, monkeypatch, large):
    monkeypatch.setattr(sheets, "LARGE_BYTES", large)
    lines = [
        ["Orders of January"],
        [],
        ["order_id", "ordered_at", "customer_id", "status", "total_amount", None, "note"],
        ["00123", WHEN, 4711, "#N/A", 0.1 + 0.2, None, True],
        [14112358400001, date(2024, 1, 6), 5.0, "paid", 1234.5, None, time(14, 30)],
        [None, None, None, None, None, None, None],
        ["A3", WHEN.replace(second=1), "=1+1", "", 3, None, timedelta(hours=36)],
    ]
    shop.write("orders/a.xlsx", workbook({"Read me": [["This is", "a note"]], "January": lines}))
    taken = shop.ingest()
    part = pq.read_table(*(shop.root / "data" / "lake" / "raw").rglob("part-*.parquet"))
    assert part.select(["order_id", "ordered_at", "customer_id", "status", "total_amount", "note"]).to_pylist() == [
        dict(zip(["order_id", "ordered_at", "customer_id", "status", "total_amount", "note"], values, strict=True))
        for values in [
            ("00123", "2024-01-05 10:00:00", "4711", None, "0.3", "true"),
            ("14112358400001", "2024-01-06", "5", "paid", "1234.5", "14:30:00"),
            ("A3", "2024-01-05 10:00:01", None, None, "3", "36:00:00"),
        ]
    ]
    (remark,) = [text for text in taken.remarks["remark"] if "sheets" in text]
    assert "of its sheets 'January' is read, and not 'Read me'; the header is on line 3" in remark
    assert staged(shop, "order_id, cast(ordered_at as varchar)")[1] == ("14112358400001", "2024-01-05 23:00:00")


def test_a_sheet_is_named_or_several_are_by_a_pattern(tmp_path):
    months = {
        "Jan": [HEADER.split(","), ["1", "2024-01-05", "anna"]],
        "Feb": [["customer_id", "order_id", "ordered_at", "note"], ["bert", "2", "2024-02-05", "x"]],
        "Notes": [["nothing"]],
    }
    content = workbook(months)
    for sheet, found in [("", ["1"]), ("feb", ["2"]), ("*", ["1", "2"])]:
        shop = SmallShop(tmp_path / f"s{len(sheet)}", {"orders": {"sheet": sheet}})
        shop.write("orders/a.xlsx", content)
        assert [order for order, _ in staged(shop)] == found
    shop = SmallShop(tmp_path / "none", {"orders": {"sheet": "March"}})
    shop.write("orders/a.xlsx", content)
    assert "has no sheet 'March'; its sheets are 'Jan', 'Feb', 'Notes'." in failure(shop)


def test_sheets_of_the_same_columns_that_are_not_read_are_said(shop):
    shop.write("orders/a.xlsx", workbook({m: [HEADER.split(","), [m, "2024-01-05", "x"]] for m in ("Jan", "Feb")}))
    assert "'Jan' is read, and not 'Feb' of the same columns: set 'sheet' to a pattern such as '*'" in said(shop)


def test_what_is_no_workbook_is_rejected_with_its_reason(shop):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("orders/a.xlsx", b"PK\x03\x04 and nothing else")
    shop.ingest()
    assert "is no readable workbook" in reason(shop)


def test_a_workbook_without_the_columns_says_what_its_sheet_has(shop):
    shop.write("orders/a.xlsx", workbook({"Jan": [["No", "ordered_at", "customer_id"], ["1", WHEN, "anna"]]}))
    assert "a.xlsx: has no column 'order_id' (mapped for orders); found on line 1 No, ordered_at" in failure(shop)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xls", csv(HEADER, ROW).replace(",", "\t").encode("utf-16")),
        ("a.csv", workbook({"Jan": [HEADER.split(","), ["1", WHEN, "anna"]]})),
    ],
)
def test_a_file_is_what_it_begins_with_whatever_its_ending_says(shop, name, content):
    shop.write(f"orders/{name}", content)
    assert staged(shop) == [("1", "anna")]


def test_a_web_page_under_a_workbooks_name_is_told(shop):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("orders/a.xls", "<html><table><tr><td>order_id</td></tr></table></html>")
    shop.ingest()
    assert "is a web page under a workbook's name; open it" in reason(shop)


# Archives


def zipped(files: dict[str, str | bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def test_each_file_of_an_archive_is_a_file_of_its_own(shop):
    parts = {
        "2023/a.csv": csv(HEADER, ROW),
        "2024/b.csv.gz": gzip.compress(csv("customer_id;order_id;ordered_at", "bert;2;2024-01-06").encode("utf-16")),
        "c.xlsx": workbook({"Jan": [HEADER.split(","), ["3", WHEN, "carl"]]}),
        "__MACOSX/2023/._a.csv": "x",
        ".DS_Store": "x",
        "read me.pdf": "x",
        "bad.csv": "",
    }
    shop.write("orders/all.zip", zipped(parts))
    taken = shop.ingest()
    assert staged(shop) == [("1", "anna"), ("2", "bert"), ("3", "carl")]
    (batch,) = shop.lake.batches()
    assert [f.name for f in batch.files] == [f"orders/all.zip/{n}" for n in ("2023/a.csv", "2024/b.csv.gz", "c.xlsx")]
    assert reason(shop) == "the file is empty; expected a header line and rows"
    assert "orders/all.zip: in it, not read: read me.pdf" in taken.remarks["remark"].tolist()
    assert shop.ingest().rows == 0
    parts["2023/a.csv"] = csv(HEADER, ROW.replace("anna", "anne"))
    shop.write("orders/all.zip", zipped(parts))
    assert shop.ingest().rows == 1


@pytest.mark.parametrize(
    ("path", "files"), [("", "all.zip/orders*.csv"), ("/all.zip", "orders*.csv"), ("", "*.zip/orders*")]
)
def test_some_files_of_an_archive_alone_may_be_named(shop, path, files):
    shop.write(
        "all.zip", zipped({"data/orders_1.csv": csv(HEADER, ROW), "data/customers.csv": csv("customer_id", "x")})
    )
    shop.source = {"path": f"{shop.exports}{path}"}
    shop.entities = {"orders": {"files": files}}
    assert staged(shop) == [("1", "anna")]


def test_an_archive_that_cannot_be_used_costs_only_itself(shop, monkeypatch):
    shop.write("orders/good.csv", csv(HEADER, ROW))
    shop.write("orders/a.zip", b"PK\x03\x04 cut off")
    shop.write("orders/b.zip", zipped({"x.pdf": "x"}))
    shop.write("orders/c.zip", zipped({"bomb.csv": b"0" * 5_000_000}))
    monkeypatch.setattr(archives, "SUSPECT_BYTES", 1 << 20)
    assert staged(shop) == [("1", "anna")]
    reasons = [note["reason"] for note in shop.lake.rejected()]
    assert "is no readable ZIP archive" in reasons[0]
    assert "has no file that matches '*' and can be read; found x.pdf" in reasons[1]
    assert "would come to 5,000,000 bytes from" in reasons[2]


# JSON

ORDERS = [
    {"id": 1, "at": "2024-01-05T10:00:00Z", "buyer": {"email": "anna@example.com"}, "lines": [
        {"sku": "00123", "qty": 2, "price": 3.5}, {"sku": "B", "qty": 1, "price": 1.0}]},
    {"id": 2, "at": "2024-01-06T10:00:00Z", "buyer": None, "lines": []},
]  # fmt: skip
MAPPED = {"order_id": "id", "ordered_at": "at", "customer_id": "buyer.email"}


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.json", json.dumps(ORDERS), {}),
        ("a.json", json.dumps(ORDERS, indent=2), {}),
        ("a.jsonl", "\n".join(map(json.dumps, ORDERS)), {}),
        ("a.ndjson.gz", gzip.compress("\n".join(map(json.dumps, ORDERS)).encode()), {}),
        ("a.json", json.dumps({"meta": {"orders": [1]}, "data": {"orders": ORDERS}}), {"records": "data.orders"}),
        ("a.json", json.dumps({"orders": ORDERS}, indent=1), {"records": "orders"}),
        ("a.jsonl", "\n".join(json.dumps({"orders": [o]}) for o in ORDERS), {"records": "orders"}),
        ("all.zip", zipped({"a.json": json.dumps(ORDERS)}), {}),
    ],
)
@pytest.mark.parametrize("large", [1 << 20, 1])
def test_json_files_are_lines_documents_and_lists(tmp_path, monkeypatch, large, name, content, options):
    monkeypatch.setattr(json_files, "LARGE_BYTES", large)
    shop = SmallShop(tmp_path, {"orders": {"columns": MAPPED, **options}})
    shop.write(f"orders/{name}", content)
    assert staged(shop) == [("1", "anna@example.com"), ("2", None)]


def test_a_large_document_that_is_cut_off_is_not_read_by_half(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "LARGE_BYTES", 1)
    monkeypatch.setattr(json_files, "_OBJECTS", 1)
    shop = SmallShop(tmp_path, {"orders": {"columns": MAPPED}})
    shop.write("orders/good.json", json.dumps(ORDERS))
    shop.write("orders/cut.json", json.dumps(ORDERS).replace('"2024-01-06', '"2024-01-07')[:-30])
    assert staged(shop) == [("1", "anna@example.com"), ("2", None)]
    assert "is no JSON that can be read" in reason(shop)


def test_an_orders_lines_are_rows_of_their_own_in_json(tmp_path):
    lines = {
        "order_id": "id",
        "line_number": "lines._number",
        "product_id": "lines.sku",
        "quantity": "lines.qty",
        "unit_price": "lines.price",
    }
    entities = {
        "orders": {"files": "orders/*", "columns": MAPPED},
        "order_items": {"files": "orders/*", "columns": lines, "rows": "lines"},
    }
    shop = SmallShop(tmp_path, entities)
    shop.write("orders/a.json", json.dumps(ORDERS))
    found = rows(
        shop.load(),
        "select order_id, line_number, product_id, cast(quantity * unit_price as varchar) from stage.order_items"
        " where _reject_rule is null order by line_number",
    )
    assert found == [("1", "1", "00123", "7.0000000"), ("1", "2", "B", "1.0000000")]


def test_records_that_are_not_where_they_should_be_are_explained(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {"columns": MAPPED, "records": "order"}})
    shop.write("orders/a.json", json.dumps({"orders": ORDERS}))
    message = failure(shop)
    assert "has no list at 'order'; found orders. Did you mean 'orders'? Correct 'records' of this entity" in message
    shop.entities = {"orders": {"columns": MAPPED}}
    message = failure(shop)
    assert "has no 'id' in any line" in message
    assert "Where the records are in 'orders', set 'records' of this entity" in message


def test_one_entity_may_lie_in_files_of_several_kinds(shop):
    shop.write("orders/a.csv", csv(HEADER, ROW))
    shop.write("orders/b.json", json.dumps({"order_id": 2, "ordered_at": "2024-01-06", "customer_id": "bert"}))
    shop.write("orders/c.xlsx", workbook({"x": [HEADER.split(","), [3, WHEN, "carl"]]}))
    assert staged(shop) == [("1", "anna"), ("2", "bert"), ("3", "carl")]


# One mapping for every kind

#: What a mapping says of lines whatever delivers them: arithmetic, words, rows that do not count, a missing name.
ONE_MAPPING = {
    "where": "\"kind\" <> 'note'",
    "columns": {
        "order_id": {"sql": '"shop" || \'-\' || "no"'},
        "line_number": {"column": ["line", "position"], "optional": True},
        "ordered_at": {"column": ["day", "date"]},
        "product_id": "item.sku",
        "quantity": {"column": "item.qty", "default": 1},
        "unit_price": {"sql": '"item.total" / "item.qty"'},
        "discount_amount": {"column": "cents", "factor": 0.01},
    },
}
LINE = {"shop": "N", "no": "007", "day": "2024-01-05", "kind": "line", "cents": 150}
DELIVERED = [
    LINE | {"item.sku": "0012", "item.qty": 4, "item.total": 10},
    LINE | {"kind": "note", "item.sku": "", "item.qty": 0, "item.total": 0},
]


def nested(row: dict) -> dict:
    item = {name.removeprefix("item."): value for name, value in row.items() if "." in name}
    return {name: value for name, value in row.items() if "." not in name} | {"item": item}


@contextlib.contextmanager
def delivered_as(kind: str, root: Path):
    """Yield a source of `order_lines` of some kind that has the two rows."""
    entity = dict(ONE_MAPPING)
    names = list(DELIVERED[0])
    if kind == "rest":
        body = json.dumps({"data": [nested(row) | {"id": n} for n, row in enumerate(DELIVERED)]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            yield {
                "kind": "rest",
                "url": f"http://127.0.0.1:{server.server_address[1]}",
                "entities": {"order_lines": {**entity, "key": "id", "paging": "none"}},
            }
            server.shutdown()
        return
    if kind in ("table", "query"):
        with contextlib.closing(sqlite3.connect(root / "shop.db")) as connection:
            listed = ", ".join(f'"{name}"' for name in names)
            connection.execute(f"create table lines ({listed})")
            connection.executemany(f"insert into lines values ({', '.join('?' * len(names))})", [
                list(row.values()) for row in DELIVERED
            ])  # fmt: skip
            connection.commit()
        place = {"table": "lines", "updated_at": ""} if kind == "table" else {"query": "select * from lines"}
        yield {"kind": "database", "path": str(root / "shop.db"), "entities": {"order_lines": {**entity, **place}}}
        return
    folder = root / "in"
    folder.mkdir()
    lines = [names, *([row[name] for name in names] for row in DELIVERED)]
    match kind:
        case "csv":
            (folder / "a.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
        case "xlsx":
            (folder / "a.xlsx").write_bytes(workbook({"lines": lines}))
        case "parquet":
            pq.write_table(pa.Table.from_pylist(DELIVERED), folder / "a.parquet")
        case _:
            (folder / "a.jsonl").write_text("".join(json.dumps(nested(row)) + "\n" for row in DELIVERED))
    source = "events" if kind == "events" else "files"
    yield {"kind": source, "path": str(folder), "entities": {"order_lines": {**entity, "files": "*"}}}


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet", "json", "events", "rest", "table", "query"])
def test_one_mapping_means_the_same_whatever_kind_of_source_delivers(tmp_path, kind):
    with delivered_as(kind, tmp_path) as source:
        shop = SmallShop(tmp_path, config={"sources": {"one": source}})
        warehouse = shop.load()
    found = rows(
        warehouse,
        "select order_id, cast(ordered_at as varchar), product_id, cast(quantity as double),"
        " cast(unit_price as double), cast(discount_amount as double) from stage.order_lines"
        " where coalesce(_reject_rule, '') <> 'left_out'",
    )
    # A date is the shop's own day, from whichever clock it is seen.
    assert found == [("N-007", "2024-01-04 23:00:00", "0012", 4.0, 2.5, 1.5)]
