"""Row rules: each value is read as its type or refused with rule and reason, and no row is ever lost."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.base.errors import ConfigError
from lib.clean import load
from lib.model import dbt
from lib.warehouse import open_warehouse
from tests.small_shop import SmallShop, csv, one, rows


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    return SmallShop(tmp_path, {"orders": {}})


def orders(shop: SmallShop, header: str, *lines: str, columns: str) -> list[tuple]:
    """Load orders of the given header and lines and return columns of the stage, in the lines' order."""
    shop.write("orders/a.csv", csv(header, *lines))
    return rows(shop.load(), f"select {columns} from stage.orders order by _source_row")


def timestamps(shop: SmallShop, *values: str) -> list[datetime | None]:
    lines = [f'{i},"{v}"' for i, v in enumerate(values)]
    return [t for (t,) in orders(shop, "order_id,ordered_at", *lines, columns="ordered_at")]


def test_what_is_required_or_an_amount_refuses_the_row(tmp_path):
    shop = SmallShop(tmp_path, {"order_items": {}})
    good = {"order_id": "1", "line_number": "1", "product_id": "p", "quantity": "2", "unit_price": "9.99"}
    broken = [
        ({"order_id": ""}, "missing_order_id", "order_id is missing"),
        ({"quantity": ""}, "missing_quantity", "quantity is missing"),
        ({"quantity": "two"}, "not_a_number", "quantity is no number: two"),
        ({"unit_price": "NaN"}, "not_a_number", "unit_price is no number: NaN"),
        ({"unit_price": "inf"}, "not_a_number", "unit_price is no number: inf"),
        ({"unit_price": "1e30"}, "not_a_number", "unit_price is no number: 1e30"),
        ({"unit_price": "9.99 each"}, "not_a_number", "unit_price is no number: 9.99 each"),
        ({"discount_amount": "-"}, "not_a_number", "discount_amount is no number: -"),
        (
            {"quantity": "4006381333931"},
            "amount_too_large",
            "quantity 4006381333931 times unit_price 9.99 is too large",
        ),
        (
            {"quantity": "x", "unit_price": "y"},
            "not_a_number",
            "quantity is no number: x; unit_price is no number: y",
        ),
    ]
    names = [*good, "discount_amount"]
    shop.write(
        "order_items/a.csv",
        csv(",".join(names), *(",".join((good | change).get(n, "") for n in names) for change, _, _ in broken)),
    )
    found = rows(shop.load(), "select _reject_rule, _reject_reason, _raw from stage.order_items order by _source_row")
    assert [r[:2] for r in found] == [(rule, reason) for _, rule, reason in broken]
    assert json.loads(found[2][2])["quantity"] == "two"


def test_what_is_optional_becomes_null_with_the_fault_noted_and_the_raw_row_kept(tmp_path):
    shop = SmallShop(tmp_path, {"order_items": {}, "products": {}, "customers": {}})
    shop.write("order_items/a.csv", csv("order_id,product_id,quantity,unit_price,discount_rate", "1,p,2,5,a fifth"))
    shop.write("products/a.csv", csv("product_id,is_active", "p,perhaps"))
    shop.write("customers/a.csv", csv("customer_id,signup_at,updated_at", "anna,31.13.2024,infinity"))
    warehouse = shop.load()
    found = {
        "order_items": ("discount_rate", [("discount_rate", "not_a_number", "a fifth")]),
        "products": ("is_active", [("is_active", "not_a_yes_or_no", "perhaps")]),
        "customers": (
            "coalesce(signup_at, updated_at)",
            [("signup_at", "not_a_date_or_time", "31.13.2024"), ("updated_at", "not_a_date_or_time", "infinity")],
        ),
    }
    for entity, (value, noted) in found.items():
        ((got, issues, raw, rule),) = rows(
            warehouse, f"select {value}, _issues, _raw, _reject_rule from stage.{entity}"
        )
        assert (got, rule) == (None, None)
        assert [tuple(i.values()) for i in json.loads(issues)] == noted
        assert json.loads(raw)[noted[0][0]] == noted[0][2]


def test_a_faultless_row_carries_no_notes(shop):
    assert orders(
        shop, "order_id,ordered_at", "1,2024-01-05", columns="_issues, _raw, _reject_rule, _reject_reason"
    ) == [(None, None, None, None)]


def test_yes_and_no_are_read_in_their_usual_forms(tmp_path):
    shop = SmallShop(tmp_path, {"products": {}})
    forms = ["true", "T", "YES", "y", "1", "False", "f", "no", "N", "0", ""]
    shop.write("products/a.csv", csv("product_id,is_active", *(f"{i},{v}" for i, v in enumerate(forms))))
    found = rows(shop.load(), "select is_active from stage.products order by _source_row")
    assert [v for (v,) in found] == [True] * 5 + [False] * 5 + [None]


def test_a_lines_id_is_any_text_and_a_whole_number_may_be_written_as_spreadsheets_write_it(tmp_path):
    shop = SmallShop(tmp_path, {"order_items": {}})
    forms = ["7", "7.0", " 7 ", "007", "gid://shop/Line/7", "14112358400001"]
    shop.write(
        "order_items/a.csv",
        csv("order_id,product_id,quantity,unit_price,line_number", *(f"1,p,1,1,{v}" for v in forms)),
    )
    found = rows(shop.load(), "select line_number from stage.order_items order by _source_row")
    assert [v for (v,) in found] == ["7", "7", "7", "007", "gid://shop/Line/7", "14112358400001"]


def test_a_time_with_an_offset_is_that_instant_whatever_the_sources_zone(shop):
    shop.source = {"time_zone": "America/New_York"}
    ten = datetime(2024, 7, 1, 10)
    assert (
        timestamps(
            shop,
            "2024-07-01T10:00:00Z",
            "2024-07-01T10:00:00z",
            "2024-07-01 10:00:00 UTC",
            "2024-07-01 12:00:00+02:00",
            "2024-07-01 12:00:00 +02:00",
            "2024-07-01T12:00:00+0200",
            "2024-07-01 12:00+02",
            "2024-07-01 15:30:00.000+05:30",
            "2024-07-01 06:00:00",
        )
        == [ten] * 9
    )


def test_a_time_without_an_offset_is_on_the_sources_clock_through_daylight_saving(shop):
    shop.source = {"time_zone": "Europe/Berlin"}
    assert timestamps(
        shop, "2024-01-15 00:30", "2024-07-15", "2024-03-31 01:59:59", "2024-03-31 03:00:00", "2024-10-27 04:00:00"
    ) == [
        datetime(2024, 1, 14, 23, 30),
        datetime(2024, 7, 14, 22),
        datetime(2024, 3, 31, 0, 59, 59),
        datetime(2024, 3, 31, 1),
        datetime(2024, 10, 27, 3),
    ]  # fmt: skip


def test_what_only_looks_like_a_time_is_not_read_as_one(shop):
    values = [
        "2024-02-30", "2024-13-01", "05/01/2024", "20240105", "1.5", "infinity", "epoch", "now", "today",
        "2024-01-01 10:00:00 Europe/Berlin", "0001-01-01", "1900-01-01", "9999-12-31", "2024-01-01 (BC)",
    ]  # fmt: skip
    assert timestamps(shop, *values) == [None] * len(values)


def test_declared_formats_are_read_before_iso_8601(shop):
    shop.source = {"time_zone": "Europe/Berlin"}
    shop.entities = {"orders": {"timestamp_formats": ["%d/%m/%Y %H:%M", "%d.%m.%y", "%d/%m/%Y %H:%M %z"]}}
    assert timestamps(
        shop, "05/01/2024 10:00", "05.01.24", "05/01/2024 10:00 +0300",
        "2024-01-05 10:00", "2024-01-05T10:00Z", "13/13/2024"
    ) == [
        datetime(2024, 1, 5, 9),
        datetime(2024, 1, 4, 23),
        datetime(2024, 1, 5, 7),
        datetime(2024, 1, 5, 9),
        datetime(2024, 1, 5, 10),
        None,
    ]  # fmt: skip


def test_whole_number_ids_lose_the_fraction_a_spreadsheet_gave_them(shop):
    assert orders(
        shop, "order_id,ordered_at,customer_id", "1.0,2024-01-05,17850.0", "A.0,2024-01-05,1.50",
        columns="order_id, customer_id",
    ) == [("1", "17850"), ("A.0", "1.50")]  # fmt: skip


def test_declared_null_values_are_null(shop):
    shop.entities = {"orders": {"null_values": ["N/A", "-"]}}
    assert orders(
        shop, "order_id,ordered_at,customer_id,total_amount", "1,2024-01-05,N/A,-", "2,-, n/a,5",
        columns="customer_id, total_amount, _reject_rule",
    ) == [(None, None, None), ("n/a", Decimal(5), "missing_ordered_at")]  # fmt: skip


def test_blanks_of_every_kind_around_a_value_are_dropped(shop):
    assert orders(
        shop, "order_id,ordered_at,customer_id", "\u00a0 1\t,2024-01-05 ,\ufeffan na\u200b",
        columns="order_id, customer_id",
    ) == [("1", "an na")]  # fmt: skip


def test_columns_are_derived_from_constants_and_matches(shop):
    shop.entities = {
        "orders": {
            "columns": {
                "order_id": "no",
                "ordered_at": "at",
                "channel": {"constant": "it's web"},
                "status": {
                    "column": "no",
                    "match": [{"pattern": "^C", "value": "cancelled"}, {"pattern": "^R\\d+$", "value": "returned"}],
                    "default": "completed",
                },
                "campaign": {"column": "code", "default": "none"},
                "store_id": {"column": "code", "match": [{"pattern": "s", "value": "store"}]},
            }
        }
    }
    assert orders(
        shop, "no,at,code", "C1,2024-01-05,", "R2,2024-01-05,s1", "R2x,2024-01-05,x",
        columns="status, channel, campaign, store_id",
    ) == [
        ("cancelled", "it's web", "none", None),
        ("returned", "it's web", "s1", "store"),
        ("completed", "it's web", "x", "x"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        (
            {
                "columns": {
                    "order_id": "order_id",
                    "ordered_at": "ordered_at",
                    "status": {"column": "order_id", "match": [{"pattern": "^(?!C)", "value": "x"}]},
                }
            },
            "pattern",
            "^(?!C)",
        ),
        ({"timestamp_formats": ["%d/%Q"]}, "timestamp_formats", "%d/%Q"),
    ],
)
def test_a_rule_that_the_engine_cannot_use_is_a_configuration_error(shop, options, key, value):
    shop.entities = {"orders": options}
    shop.write("orders/a.csv", csv("order_id,ordered_at", "1,2024-01-05"))
    with pytest.raises(ConfigError) as error:
        shop.load()
    assert "sources.exports.entities.orders" in str(error.value)
    assert key in str(error.value)
    assert value in str(error.value)


def test_a_missing_order_id_follows_from_customer_and_time(tmp_path):
    shop = SmallShop(tmp_path, {"order_lines": {}})
    shop.write(
        "order_lines/a.csv",
        csv(
            "ordered_at,customer_id,product_id,quantity,unit_price",
            "2024-01-05 10:00,anna,p,1,5",
            "2024-01-05 10:00,anna,q,1,5",
            "2024-01-05 10:01,anna,p,1,5",
            "2024-01-05 10:00,bert,p,1,5",
            "2024-01-05 10:00,,p,1,5",
        ),
    )
    ids = [i for (i,) in rows(shop.load(), "select order_id from stage.order_lines order by _source_row")]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert all(i.startswith("D-") for i in ids)


def test_a_changed_mapping_reads_the_lake_again_without_the_source(shop):
    shop.write("orders/a.csv", csv("order_id,ordered_at,status,stage", "1,2024-01-05,paid,open"))
    assert one(shop.load(), "select status from stage.orders") == "paid"
    warehouse = open_warehouse(shop.settings, "run")
    warehouse.publish()
    for path in (shop.exports / "orders").iterdir():
        path.unlink()
    shop.entities = {"orders": {"columns": {"order_id": "order_id", "ordered_at": "ordered_at", "status": "stage"}}}
    warehouse = open_warehouse(shop.settings, "run")
    warehouse.begin()
    assert len(load.load_stage(shop.settings, warehouse, "run")) == 1
    assert one(warehouse, "select status from stage.orders") == "open"
    assert load.load_stage(shop.settings, warehouse, "run").empty


CELLS = st.text(st.sampled_from('0123456789-.:,;"\n\r \tTZabé€\0'), max_size=12) | st.sampled_from(
    ["1", "2", "2024-01-05", "5.50", "-3", "x", ""]
)


def test_every_row_is_staged_and_ends_clean_merged_or_quarantined(tmp_path_factory):
    tables = st.lists(st.lists(CELLS, min_size=5, max_size=5), min_size=1, max_size=12)
    lines = st.lists(st.text(st.sampled_from('1,"x\n\r '), max_size=8), max_size=3)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(table=tables, stray=lines)
    def check(table, stray):
        shop = SmallShop(tmp_path_factory.mktemp("shop"), {"order_lines": {}})
        quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in table]
        header = "order_id,ordered_at,product_id,quantity,unit_price"
        shop.write("order_lines/a.csv", csv(header, *quoted))
        shop.write("order_lines/b.csv", csv(header, *quoted, *(s.replace("\r", "\n") for s in stray)))
        warehouse = shop.load()
        counts = dict(
            rows(
                warehouse,
                "select _source_file, count(*) from stage.order_lines where _reject_rule is distinct from"
                " 'malformed_line' group by all",
            )
        )
        # A line of nothing but separators is as blank as one without.
        assert counts.get("order_lines/a.csv", 0) == sum(any(row) for row in table)
        assert rows(
            warehouse,
            "select _source_file from stage.order_lines group by all"
            " having count(distinct _source_row) <> count(*) or max(_source_row) <> count(*) or min(_source_row) <> 1",
        ) == []  # fmt: skip
        staged = one(warehouse, "select count(*) from stage.order_lines")
        assert staged == sum(b.rows + b.malformed for b in shop.lake.batches())

    check()


def test_the_accounting_adds_up_for_rows_of_every_kind(tmp_path):
    shop = SmallShop(tmp_path, {"order_lines": {}})
    header = "order_id,ordered_at,product_id,quantity,unit_price,line_number"
    values = ["1", "2", "", "x", "2024-01-05"]
    lines = [f"{a},2024-01-05,{b},{c},1,{d}" for a in values for b in values for c in values for d in ("", "1")]
    shop.write("order_lines/a.csv", csv(header, *lines, *lines[:40], "1,2", '1,"'))
    warehouse = shop.load()
    dbt.build_models(shop.settings, warehouse, "staging", "clean", "quality")
    ((staged, clean_rows, duplicates, older, quarantined, lost),) = rows(
        warehouse,
        "select staged_rows, clean_rows, exact_duplicates, older_versions, quarantined_rows, unaccounted_rows"
        " from quality.row_accounting",
    )
    assert staged == len(lines) + 42 == clean_rows + duplicates + older + quarantined
    assert lost == 0
    assert clean_rows == one(warehouse, "select count(*) from clean.order_items") > 0
    assert quarantined == one(warehouse, "select count(*) from quarantine.order_lines") > 0
