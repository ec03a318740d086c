"""A source whose columns change: new ones are kept, refused or left out, missing and retyped ones cost their batch."""

import re

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.report import pieces
from tests.small_shop import SmallShop, csv, rows

CLICKS = {"kind": "events", "schema_changes": "freeze", "entities": {"events": {"files": "*.json"}}}
ORDERS = "order_id,ordered_at,total_amount"


def order_lines(first: int, amount: str = "10.50") -> list[str]:
    return [f"{n},2025-03-01 10:00:00,{amount}" for n in range(first, first + 30)]


@pytest.fixture
def shop(tmp_path):
    made = SmallShop(tmp_path, entities={"orders": {}})
    made.write("orders/1.csv", csv(ORDERS, *order_lines(100)))
    made.ingest().raise_failures()
    return made


def raw_columns(shop: SmallShop) -> set[str]:
    """Return every column that stands in the raw parts of the lake."""
    found = duckdb.sql(f"describe from read_parquet('{shop.settings.lake_url}/raw/*/*/*/part-*', union_by_name = true)")
    return {row[0] for row in found.fetchall()}


def add_note(shop: SmallShop) -> None:
    shop.write("orders/2.csv", csv(f"{ORDERS},gift_note", *(f"{line},Hello" for line in order_lines(200))))


def test_a_new_column_is_kept_and_reported(shop):
    add_note(shop)
    taken = shop.ingest()
    remark = "new column (string) 'gift_note' since orders/2.csv"
    assert taken.remarks.values.tolist() == [["exports", "orders", remark]]
    assert "gift_note" in raw_columns(shop) and taken.rows == 30
    shop.write("orders/3.csv", csv(f"{ORDERS},gift_note", *(f"{line},Hello" for line in order_lines(300))))
    assert shop.ingest().remarks.empty, "a column is new once"


def test_another_way_of_reading_the_same_files_is_no_change_of_the_source(shop):
    noted = "select column_name from ops.schema_changes"
    # The same file, read by another quote: its texts are other columns, and none of them is the source's doing.
    shop.write("orders/1.csv", csv(f"{ORDERS},'gift,note'", *(f"{line},'a,b'" for line in order_lines(100))))
    shop.entities = {"orders": {"quote": "'"}}
    warehouse = shop.load()
    assert "gift,note" in raw_columns(shop) and rows(warehouse, noted) == []
    shop.write("orders/2.csv", csv(f"{ORDERS},ribbon", *(f"{line},x" for line in order_lines(200))))
    assert rows(shop.load(), noted) == [("ribbon",)]


def test_a_frozen_source_refuses_what_has_a_new_column_and_takes_the_rest(tmp_path):
    shop = SmallShop(tmp_path, entities={"orders": {}}, source={"schema_changes": "freeze"})
    shop.write("orders/1.csv", csv(ORDERS, *order_lines(100)))
    shop.ingest()
    add_note(shop)
    shop.write("orders/3.csv", csv(ORDERS, *order_lines(300)))
    taken = shop.ingest()
    assert taken.rows == 30 and taken.remarks.empty
    assert taken.rejected[["name", "reason"]].values.tolist() == [
        ["orders/2.csv", "has a new column 'gift_note', and schema_changes is freeze"]
    ]
    shown = pieces.table(taken.rejected, "Files in quarantine").html
    assert re.search(r">\d{1,2} \w{3} \d{4}, \d\d:\d\d UTC<", shown), "times are shown as everywhere else"


def test_a_frozen_source_refuses_only_the_documents_that_have_values_in_a_new_column(tmp_path):
    shop = SmallShop(
        tmp_path, entities={}, config={"sources": {"clicks": CLICKS | {"path": str(tmp_path / "exports")}}}
    )
    event = '{"event_id": "%s", "event_at": "2025-03-01T10:00:00Z", "event_type": "view"%s}\n'
    shop.write("a.json", event % ("a", ""))
    shop.ingest().raise_failures()
    for name, more in (("b", ""), ("c", ', "mood": "good"'), ("d", "")):
        shop.write(f"{name}.json", event % (name, more))
    taken = shop.ingest()
    assert taken.rows == 2
    assert taken.rejected["name"].tolist() == ["c.json"]


def test_a_source_may_leave_new_columns_out(tmp_path):
    shop = SmallShop(tmp_path, entities={"orders": {}}, source={"schema_changes": "discard"})
    shop.write("orders/1.csv", csv(ORDERS, *order_lines(100)))
    shop.ingest()
    add_note(shop)
    taken = shop.ingest()
    assert taken.rows == 30 and taken.remarks.empty and taken.rejected.empty
    assert "gift_note" not in raw_columns(shop)
    shop.write("orders/3.csv", csv(f"{ORDERS},status", *(f"{line},completed" for line in order_lines(300))))
    shop.load()
    assert shop.lake.batches()[-1].columns == ("order_id", "ordered_at", "total_amount")


def test_a_missing_column_costs_its_file_alone_and_the_corrected_one_is_taken(shop):
    shop.write("orders/2.csv", csv("order_id,ordered_at", *(line.rsplit(",", 1)[0] for line in order_lines(200))))
    shop.write("orders/3.csv", csv(ORDERS, *order_lines(300)))
    taken = shop.ingest()
    assert taken.rows == 30
    ((name, reason),) = taken.rejected[["name", "reason"]].values.tolist()
    assert name == "orders/2.csv"
    assert reason == "has no column 'total_amount', which was there before; found order_id, ordered_at"
    shop.write("orders/2.csv", csv(ORDERS, *order_lines(200)))
    again = shop.ingest()
    assert again.rows == 30 and again.rejected.empty


def test_a_text_column_that_can_no_longer_be_read_costs_its_file_alone(shop):
    shop.write("orders/2.csv", csv(ORDERS, *order_lines(200, amount='"10,500"')))
    shop.write("orders/3.csv", csv(ORDERS, *order_lines(300)))
    taken = shop.ingest()
    assert taken.rows == 30
    reason = "has no number in the column 'total_amount': none of its 30 values is one, such as '10,500'"
    assert taken.rejected[["name", "reason"]].values.tolist() == [["orders/2.csv", reason]]
    with duckdb.connect() as connection:
        left = f"{shop.settings.lake_url}/raw/*/*/*/part-*"
        count = connection.execute(
            "select count(*) from read_parquet(?, union_by_name = true) where _file = 'orders/2.csv'", [left]
        ).fetchone()
    assert count == (0,)


def test_a_typed_column_that_changes_its_type_is_refused(tmp_path):
    shop = SmallShop(tmp_path, entities={"orders": {}})
    rows = {"order_id": ["1"], "ordered_at": ["2025-03-01"], "total_amount": [10.5]}

    def write(name: str, **changes: list) -> None:
        path = shop.write(name, b"")
        pq.write_table(pa.table(rows | changes), path)

    write("orders/1.parquet")
    shop.ingest()
    write("orders/2.parquet", order_id=["2"], total_amount=["ten"])
    write("orders/3.parquet", order_id=["3"], total_amount=[11])
    taken = shop.ingest()
    assert taken.rows == 1, "a whole number is a number too"
    reason = "has the column 'total_amount' as text (string), and before it was number (double)"
    assert taken.rejected["reason"].tolist() == [reason]


def test_an_optional_source_that_fails_is_a_remark_and_the_next_run_catches_up(tmp_path):
    shop = SmallShop(tmp_path, entities={"orders": {}}, source={"optional": True})
    taken = shop.ingest()
    taken.raise_failures()
    assert taken.rows == 0
    assert taken.remarks["remark"].str.contains("skipped, as it is optional: No folder or file").all()
    assert len(taken.remarks) == 1
    shop.write("orders/1.csv", csv(ORDERS, *order_lines(100)))
    assert shop.ingest().rows == 30


# What is said of times


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["2024-01-05"] * 3, "ordered_at has no time of day in any row, so hours are not known"),
        (["05.01.2024 00:00"] * 3, "ordered_at has no time of day in any row"),
        (["2024-01-05 02:00"] * 4, "at night, 02:00 in Europe/Berlin: is 'time_zone' right?"),
        (["2024-01-05T00:00:00Z"] * 3, "midnight in UTC in every row, which is 01:00 in Europe/Berlin; where these"),
    ],
)
def test_times_that_look_wrong_are_said(tmp_path, times, said):
    shop = SmallShop(tmp_path, {"orders": {}}, source={"time_zone": ""})
    shop.write("orders/a.csv", csv("order_id,ordered_at", *(f"{n},{time}" for n, time in enumerate(times))))
    (sentence,) = shop.ingest().remarks["remark"]
    assert said in sentence


@pytest.mark.parametrize("times", [["soon", "later", "never"], ["2024-01-05 10:00"] * 3, ["2024-01-05T09:00:00Z"] * 3])
def test_of_usual_times_and_of_those_that_cannot_be_read_nothing_is_said(tmp_path, times):
    shop = SmallShop(tmp_path, {"orders": {}})
    shop.write("orders/a.csv", csv("order_id,ordered_at", *(f"{n},{time}" for n, time in enumerate(times))))
    assert shop.ingest().remarks.empty
