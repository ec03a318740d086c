"""The mapping's language: what an expression sees and gives, what stands in for a value, which rows count."""

import re
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lib.base.errors import ConfigError, SourceError
from lib.base.expressions import parse, resolve
from lib.config import ColumnMapping
from tests.conftest import PROJECT
from tests.small_shop import SmallShop, csv, one, rows

LINES = {"order_id": "no", "ordered_at": "at", "product_id": "sku", "quantity": "qty", "unit_price": "price"}


def shop_of(tmp_path, entity="order_lines", shop_zone="Europe/Berlin", time_zone="", **options) -> SmallShop:
    """A shop with one entity; a source without a zone of its own has the shop's."""
    columns = LINES if entity == "order_lines" else {}
    options["columns"] = columns | options.pop("columns", {})
    return SmallShop(tmp_path, {entity: options}, shop={"time_zone": shop_zone}, source={"time_zone": time_zone})


def staged(shop: SmallShop, header: str, *lines: str, columns: str, entity: str = "order_lines") -> list[tuple]:
    shop.write(f"{entity}/a.csv", csv(header, *lines))
    return rows(shop.load(), f"select {columns} from stage.{entity} order by _source_file, _source_row")


# Expressions


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"Item total" / "Quantity"', ["Item total", "Quantity"]),
        ("case when kind ilike 'ref%' then -price.amount else price.amount end", ["kind", "price.amount"]),
        ("list_filter(tags, lambda t: t <> skip)", ["tags", "skip"]),
        ("payload ->> '$.id'", ["payload"]),
        ('"Date" || \' \' || "Time"', ["Date", "Time"]),
        ("'the same'", []),
    ],
)
def test_an_expression_names_the_columns_it_sees(text, names):
    assert [".".join(parts) for parts in parse(text).columns] == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("price *", "syntax error"),
        ("sum(price)", "the function 'sum'"),
        ("row_number() over ()", "a window function"),
        ("(select max(price) from stage.orders)", "a subquery"),
        ("price in (select 1)", "a subquery"),
        ("1 from read_csv('/etc/passwd')", "more than one expression"),
        ("price, qty", "more than one expression"),
        ("price; drop table x", "is no SQL expression"),
        ("price as x", "more than one expression"),
        ("read_text('/etc/passwd')", "the function 'read_text'"),
        ("getenv('HOME')", "the function 'getenv'"),
        ("current_setting('memory_limit')", "the function 'current_setting'"),
        ("now()", "the function 'now'"),
        ("random()", "the function 'random'"),
        ("lwer(sku)", "Did you mean 'lower'?"),
        ("*", "a star"),
        ("$1", "a parameter"),
    ],
)
def test_what_is_no_scalar_expression_of_a_row_is_refused_when_the_file_is_read(tmp_path, text, found):
    with pytest.raises(ConfigError) as error:
        _ = shop_of(tmp_path, columns={"unit_price": {"sql": text}}).settings
    message = str(error.value)
    assert "sources.exports.entities.order_lines.columns.unit_price.sql: " in message
    assert found in message


def test_a_name_is_taken_as_it_is_written_else_whatever_its_capitals():
    header = ["price.amount", "price", "Qty", "sku", "SKU"]
    assert resolve(("price", "amount"), header) == ("price.amount", ())
    assert resolve(("price", "currency"), header) == ("price", ("currency",))
    assert resolve(("qty",), header) == ("Qty", ())
    assert resolve(("SKU",), header) == ("SKU", ())
    assert resolve(("Sku",), header) == ("", ())


def test_arithmetic_reads_numbers_in_the_sources_form(tmp_path):
    shop = shop_of(
        tmp_path,
        decimal=",",
        thousands=".",
        null_values=["-"],
        columns={
            "unit_price": {"sql": '"Betrag" / "Menge"'},
            "quantity": "Menge",
            "discount_amount": {"sql": '"Betrag" * coalesce("Rabatt", 0)'},
            "discount_rate": "Rabatt",
            "status": {"sql": "case when \"Menge\" < 0 then 'returned' else 'completed' end"},
            "line_number": {"sql": '"no" || \'-\' || "Pos"'},
            "total_amount": {"sql": 'case when "Menge" > 0 then "Betrag" else -"Betrag" end'},
        },
    )
    found = staged(
        shop,
        "no;at;sku;Menge;Betrag;Rabatt;Pos",
        "1;2024-01-05;a;2;1.234,50;20%;007",
        "1;2024-01-05;a;3;$10;0,5;008",
        "2;2024-01-05;a;-1;-5,00 €;-;1",
        columns="unit_price, discount_amount, discount_rate, status, line_number, total_amount",
    )
    assert found == [
        (Decimal("617.25"), Decimal("246.90"), Decimal("0.2"), "completed", "1-007", Decimal("1234.50")),
        (Decimal("3.3333"), Decimal("5"), Decimal("0.5"), "completed", "1-008", Decimal("10")),
        (Decimal("5"), Decimal(0), None, "returned", "2-1", Decimal("5")),
    ]


def test_two_columns_are_compared_as_numbers_where_both_are(tmp_path):
    shop = shop_of(tmp_path, columns={"status": {"sql": "case when back < qty then 'part' else 'whole' end"}})
    lines = ["1,2024-01-05,a,10,5,9", "2,2024-01-05,a,9,5,10", "3,2024-01-05,a,9,5,"]
    assert staged(shop, "no,at,sku,qty,price,back", *lines, columns="status") == [("part",), ("whole",), ("whole",)]


def test_a_text_that_is_computed_is_read_like_one_that_is_delivered(tmp_path):
    shop = shop_of(
        tmp_path,
        timestamp_formats=["%m/%d/%y %H:%M"],
        columns={
            "ordered_at": {"sql": '"Date" || \' \' || "Time"'},
            "unit_price": {"sql": "replace(\"price\", 'approx. ', '')"},
            "product_name": {"sql": 'trim("a") || coalesce("b", \'\')'},
        },
    )
    found = staged(
        shop, "no,Date,Time,sku,qty,price,a,b", '1,07/04/26,10:05,x,1,"approx. 1,234.50 $",Mug &amp; , Tea',
        columns="ordered_at, unit_price, product_name, _reject_rule",
    )  # fmt: skip
    assert found == [(datetime(2026, 7, 4, 8, 5), Decimal("1234.50"), "Mug &Tea", None)]


def test_a_value_that_an_expression_cannot_use_is_said_and_only_its_row_is_refused(tmp_path):
    shop = shop_of(
        tmp_path,
        columns={
            "unit_price": {"sql": "total / qty"},
            "ordered_at": {"sql": "strptime(\"at\", '%d/%m/%Y')"},
            "discount_amount": {"sql": "total * rate"},
        },
    )
    lines = [
        "1,05/01/2024,a,2,10,0.1",
        "2,05/01/2024,a,2,n.a.,0.1",
        "3,5 Jan 2024,a,2,10,0.1",
        "4,05/01/2024,a,2,10,ten",
        "5,05/01/2024,a,2,10,",
    ]
    found = staged(
        shop, "no,at,sku,qty,total,rate", *lines, columns="unit_price, discount_amount, _reject_rule, _reject_reason"
    )
    assert found == [
        (5, 1, None, None),
        (None, None, "not_computed", found[1][3]),
        (5, 1, "not_computed", found[2][3]),
        (5, None, "not_computed", "discount_amount: rate is no number: ten"),
        (5, None, None, None),
    ]
    assert "unit_price: total is no number: n.a." in found[1][3]
    assert found[2][3] == "ordered_at: strptime(\"at\", '%d/%m/%Y') cannot be computed from at 5 Jan 2024"


def test_an_expression_that_no_row_fits_is_a_mistake_of_the_mapping(tmp_path):
    shop = shop_of(tmp_path, columns={"ordered_at": {"sql": "strptime(\"at\", '%d/%m/%Y')"}})
    with pytest.raises(ConfigError) as error:
        staged(shop, "no,at,sku,qty,price", *(f"{n},2024-01-05,a,1,1" for n in range(20)), columns="1")
    message = str(error.value)
    assert "sources.exports.entities.order_lines.columns.ordered_at.sql: " in message
    assert "at 2024-01-05" in message


def test_an_expression_that_fits_no_column_is_refused_with_the_columns_there_are(tmp_path):
    shop = shop_of(tmp_path, columns={"unit_price": {"sql": "totl / qty"}})
    with pytest.raises(SourceError) as error:
        staged(shop, "no,at,sku,qty,total", "1,2024-01-05,a,2,10", columns="1")
    assert "'totl'" in str(error.value)
    assert "Did you mean 'total'?" in str(error.value)
    shop.entities["order_lines"]["columns"]["unit_price"] = {"sql": "strptime(total) / qty"}
    with pytest.raises(ConfigError) as error:
        staged(shop, "no,at,sku,qty,total", "1,2024-01-05,a,2,10", columns="1")
    assert "columns.unit_price.sql: 'strptime(total) / qty'" in str(error.value)
    assert "Columns found: no, at, sku, qty, total" in str(error.value)


def test_a_mapping_that_changed_is_held_against_what_was_delivered(tmp_path):
    shop = shop_of(tmp_path)
    assert staged(shop, "no,at,sku,qty,price", "1,2024-01-05,a,2,10", columns="unit_price") == [(10,)]
    shop.entities["order_lines"]["columns"] = LINES | {"discount_amount": "rebate"}
    with pytest.raises(
        ConfigError, match=r"columns.discount_amount: no column 'rebate' has been delivered; found no, at"
    ):
        shop.load()
    shop.entities["order_lines"]["columns"] = LINES | {"discount_amount": {"column": "rebate", "optional": True}}
    assert one(shop.load(), "select discount_amount from stage.order_lines") is None


def test_typed_columns_keep_their_types_in_an_expression(tmp_path):
    shop = shop_of(
        tmp_path,
        columns={
            "ordered_at": {"sql": "day + interval 10 hour"},
            "unit_price": {"sql": "cents / 100"},
            "quantity": {"sql": "pieces"},
            "product_name": {"sql": "article.name"},
            "line_number": {"sql": "no || '/' || pos"},
        },
    )
    table = pa.table(
        {
            "no": ["1"],
            "pos": [7],
            "day": pa.array([datetime(2024, 7, 5)], pa.date32()),
            "cents": [1999],
            "pieces": [2.0],
            "sku": ["a"],
            "article": [{"name": "Mug"}],
        }
    )
    path = shop.exports / "order_lines" / "a.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    found = rows(
        shop.load(), "select ordered_at, unit_price, quantity, product_name, line_number from stage.order_lines"
    )
    assert found == [(datetime(2024, 7, 5, 8), Decimal("19.99"), 2, "Mug", "1/7")]


def test_every_example_of_the_reference_is_a_mapping():
    page = (PROJECT / "docs" / "mapping.md").read_text(encoding="utf-8").replace("\\|", "|")
    block = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert block
    examples = [*yaml.safe_load(block[1])["columns"].values()]
    (lookups,) = (yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "columns:" not in b)
    examples += lookups.values()
    spans = [yaml.safe_load(text) for text in re.findall(r"`([^`\n]*\{[^`\n]*\})`", page)]
    for span in spans:
        examples += [span] if set(span) & {"column", "sql", "constant"} else span.values()
    assert len(examples) > 20
    for example in examples:
        ColumnMapping.model_validate(example)
    assert set(ColumnMapping.model_fields) <= set(re.findall(r"\w+", page))


# Names, constants, defaults, translations


def test_the_first_name_that_a_file_has_counts(tmp_path):
    shop = shop_of(tmp_path, columns={"unit_price": ["Lineitem price", "Item price"], "discount_amount": ["Rebate"]})
    shop.entities["order_lines"]["columns"]["discount_amount"] = {"column": "Rebate", "optional": True}
    shop.write("order_lines/a.csv", csv("no,at,sku,qty,Lineitem price,Rebate", "1,2024-01-05,a,2,10,1"))
    shop.write("order_lines/b.csv", csv("no,at,sku,Item price,qty", "2,2024-01-05,a,20,2"))
    assert rows(shop.load(), "select order_id, unit_price, discount_amount from stage.order_lines order by 1") == [
        ("1", 10, 1),
        ("2", 20, None),
    ]
    shop.write("order_lines/c.csv", csv("no,at,sku,qty,Price", "3,2024-01-05,a,2,30"))
    found = shop.ingest()
    assert "has no column 'Lineitem price' or 'Item price'" in found.rejected["reason"].item()


@pytest.mark.parametrize(("constant", "quantity"), [(1, 1), (1.5, "1.5"), ("2", 2)])
def test_a_constant_is_as_good_as_its_text(tmp_path, constant, quantity):
    shop = shop_of(tmp_path, decimal=",", columns={"quantity": {"constant": constant}, "is_return": {"constant": True}})
    found = staged(shop, "no;at;sku;price", "1;2024-01-05;a;1,5", columns="quantity, is_return, unit_price")
    assert found == [(Decimal(quantity), True, Decimal("1.5"))]


def test_what_stands_in_for_a_value_that_is_not_there(tmp_path):
    shop = shop_of(
        tmp_path,
        columns={
            "product_name": {"column": "name", "default_column": "title", "default": "thing"},
            "unit_price": {"column": "price", "default": 0.5},
            "discount_amount": {"column": "cents", "factor": 0.01},
        },
    )
    lines = ["1,2024-01-05,a,1,2.5,Mug,Cup,1999", "2,2024-01-05,a,1,,,Cup,5", "3,2024-01-05,a,1,1, ,,"]
    found = staged(
        shop, "no,at,sku,qty,price,name,title,cents", *lines, columns="product_name, unit_price, discount_amount"
    )
    assert found == [
        ("Mug", Decimal("2.5"), Decimal("19.99")),
        ("Cup", Decimal("0.5"), Decimal("0.05")),
        ("thing", 1, None),
    ]


def test_patterns_and_words_leave_what_they_do_not_name(tmp_path):
    patterns = [{"pattern": "^Ref", "value": "refunded"}, {"pattern": "test", "value": None}]
    shop = shop_of(
        tmp_path,
        codes="lower",
        columns={
            "status": {"column": "kind", "match": patterns, "values": {"Done": "completed", "Void": "cancelled"}},
            "channel": {"column": "kind", "values": {"done": "web"}, "otherwise": "store"},
            "campaign": {"column": "kind", "match": patterns, "default": "none"},
            "store_id": {"column": "kind", "match": patterns, "otherwise": "keep", "default": "none"},
        },
    )
    kinds = ["done", "Refund", "Shipped", "", " void ", "a test"]
    found = staged(
        shop, "no,at,sku,qty,price,kind", *(f"{n},2024-01-05,a,1,1,{kind}" for n, kind in enumerate(kinds)),
        columns="status, channel, campaign, store_id",
    )  # fmt: skip
    assert found == [
        ("completed", "web", "none", "done"),
        ("refunded", "store", "refunded", "refunded"),
        ("shipped", "store", "none", "Shipped"),
        (None, None, "none", "none"),
        ("cancelled", "store", "none", "void"),
        (None, "store", "none", "none"),
    ]


@pytest.mark.parametrize(
    ("column", "mapping", "message"),
    [
        ("status", {}, "give one of 'column', 'constant', 'sql' and 'lookup'"),
        ("status", {"column": "a", "constant": "b"}, "not column and constant together"),
        ("status", {"constant": "b", "default": "c"}, "so default has nothing to do"),
        ("status", {"column": "a", "otherwise": "c"}, "'otherwise' is for what no pattern"),
        ("status", {"column": "a", "values": {"A": "x", "a": "y"}}, "without regard to capitals"),
        ("status", {"column": "a", "mtch": []}, "Did you mean 'match'?"),
        ("status", {"column": "a", "factor": 2}, "status is no amount or quantity or measure"),
        ("unit_price", {"column": "a", "date": True}, "unit_price is no timestamp"),
        ("unit_price", {"constant": "2,50"}, "'2,50' is no number"),
        ("unit_price", False, "put the name into quotes"),
        ("unit_price", [], "name at least one column"),
        ("unit_price", {"column": "a", "match": [{"pattern": "(", "value": "1"}]}, "is no regular expression"),
    ],
)
def test_a_mistake_in_a_mapping_is_named_with_its_place(tmp_path, column, mapping, message):
    with pytest.raises(ConfigError) as error:
        _ = shop_of(tmp_path, columns={column: mapping}).settings
    assert message in str(error.value)
    assert f"order_lines.columns.{column}" in str(error.value)


@pytest.mark.parametrize(
    ("prices", "options", "found"),
    [
        # Decimals stand behind commas alone: the point is one between thousands.
        (["39,90", "1.299", "1.299,00"], {}, ["39.9000", "1299.0000", "1299.0000"]),
        (["39,90 €", "1.299 €"], {}, ["39.9000", "1299.0000"]),
        # Both forms, or none that has decimals: nobody knows.
        (["39,90", "12.50", "1.299"], {}, ["39.9000", "12.5000", "ambiguous_number"]),
        (["899", "1.299"], {}, ["899.0000", "ambiguous_number"]),
        # Prices of three decimals, and what the mapping says.
        (["39.90", "1.299"], {}, ["39.9000", "1.2990"]),
        (["1.299", "0.950", "12.000"], {}, ["1.2990", "0.9500", "12.0000"]),
        (["39,90", "1.299"], {"decimal": "."}, ["39.9000", "1.2990"]),
        (["899", "1.299"], {"decimal": ",", "thousands": "."}, ["899.0000", "1299.0000"]),
    ],
)
def test_a_point_before_three_digits_is_read_by_its_whole_column(tmp_path, prices, options, found):
    shop = shop_of(tmp_path, delimiter=";", **options)
    lines = [f"{n};2024-01-05;a;1;{price}" for n, price in enumerate(prices)]
    columns = "coalesce(_reject_rule, cast(unit_price as varchar)), _reject_reason"
    told = staged(shop, "no;at;sku;qty;price", *lines, columns=columns)
    assert [value for value, _ in told] == found
    assert all("say which in decimal" in reason for value, reason in told if value == "ambiguous_number")


# Which rows count


def test_rows_for_which_where_is_not_true_are_left_out_and_counted(tmp_path):
    shop = shop_of(tmp_path, where="kind = 'sale' and price > 0")
    lines = ["1,2024-01-05,a,1,5,sale", "2,2024-01-05,a,1,5,fee", "3,bad,a,1,-5,sale", "4,2024-01-05,a,1,5,"]
    found = staged(shop, "no,at,sku,qty,price,kind", *lines, columns="_reject_rule, _issues is null")
    assert found == [(None, True), ("left_out", True), ("left_out", True), ("left_out", True)]


def test_where_nobody_can_tell_whether_a_row_counts_it_is_refused(tmp_path):
    shop = shop_of(tmp_path, where="price > 0")
    found = staged(shop, "no,at,sku,qty,price", "1,2024-01-05,a,1,five", columns="_reject_rule, _reject_reason")
    assert found[0][0] in ("not_a_number", "not_computed")
    assert "where: price is no number: five" in found[0][1]


def test_a_condition_that_is_none_is_a_mistake_of_the_mapping(tmp_path):
    shop = shop_of(tmp_path, where="price + 1")
    with pytest.raises(ConfigError, match=r"order_lines.where: 'price \+ 1' is no condition but gives DOUBLE"):
        staged(shop, "no,at,sku,qty,price", "1,2024-01-05,a,1,5", columns="1")


def test_repeated_headers_and_rows_of_totals_are_left_out(tmp_path):
    shop = shop_of(tmp_path, where="qty > 0")
    lines = [
        "1,2024-01-05,a,1,5",
        "no,at,sku,qty,price",
        "2,2024-01-05,a,1,5",
        "Total:,,,2,10",
        ",Gesamt,,2,10",
        "Total,2024-01-05,a,1,5",
    ]
    found = staged(shop, "no,at,sku,qty,price", *lines, columns="order_id, _reject_rule")
    assert [rule for _, rule in found] == [None, "repeated_header", None, "totals_row", "totals_row", None]


def test_what_is_blank_within_an_order_is_filled_and_nothing_else_is(tmp_path):
    shop = shop_of(
        tmp_path,
        columns={
            "customer_id": "mail",
            "status": {"column": "state", "default": "open"},
            "total_amount": "total",
            "customer_city": "city",
            "product_name": "name",
        },
    )
    lines = [
        "1,2024-01-05 10:00,a,1,5,x@y.z,paid,15,,Mug",
        "1,,b,1,5,,,, ,",
        "2,2024-01-06 10:00,a,1,5,,,5,,",
        "1,,c,1,5,,,,Köln,",
        ",2024-01-07 10:00,c,1,5,,,,,",
    ]
    columns = "order_id, ordered_at is null, customer_id, status, total_amount, customer_city, product_name"
    found = staged(shop, "no,at,sku,qty,price,mail,state,total,city,name", *lines, columns=columns)
    assert found[:4] == [
        ("1", False, "x@y.z", "paid", 15, "Köln", "Mug"),
        ("1", False, "x@y.z", "paid", 15, "Köln", None),
        ("2", False, None, "open", 5, None, None),
        ("1", False, "x@y.z", "paid", 15, "Köln", None),
    ]
    assert found[4][2:] == (None, "open", None, None, None)


def test_an_order_is_not_filled_from_another_document(tmp_path):
    shop = shop_of(tmp_path, columns={"status": "state"})
    shop.write("order_lines/a.csv", csv("no,at,sku,qty,price,state", "1,2024-01-05,a,1,5,paid", "1,,b,1,5,"))
    shop.write("order_lines/b.csv", csv("no,at,sku,qty,price,state", "1,2024-01-05,a,1,5,"))
    found = rows(shop.load(), "select status from stage.order_lines order by _source_file, _source_row")
    assert found == [("paid",), ("paid",), (None,)]


def test_columns_named_in_fill_down_take_the_value_of_the_row_above(tmp_path):
    shop = shop_of(
        tmp_path, fill_down=["order_id", "ordered_at", "product_category"], columns={"product_category": "group"}
    )
    lines = ["1,2024-01-05,a,1,5,Cups", ",,b,1,5,", "2,2024-01-06,c,1,5,", ",,d,1,5,Pots", "Total,,,4,20,"]
    found = staged(shop, "no,at,sku,qty,price,group", *lines, columns="order_id, product_category, _reject_rule")
    assert found[:4] == [("1", "Cups", None), ("1", "Cups", None), ("2", "Cups", None), ("2", "Pots", None)]
    assert found[4][2] == "totals_row"


# Dates and times


def test_a_date_without_a_time_is_that_day_in_the_shops_zone(tmp_path):
    shop = shop_of(
        tmp_path,
        shop_zone="America/New_York",
        time_zone="UTC",
        timestamp_formats=["%m/%d/%Y", "%m/%d/%Y %H:%M"],
        columns={"shipped_at": {"column": "sent", "date": True}},
    )
    written = [
        ("2026-04-01", "2026-04-01T00:00:00Z"),
        ("04/01/2026", "2026-04-01 23:30:00"),
        ("46113", "04/01/2026 05:00"),
        ("2026-04-01 04:00:00", "46113.9"),
        ("04/01/2026 04:00", "2026-04-01T23:00:00+02:00"),
        ("Apr 1 2026", "1 Apr 2026 23:00 UTC"),
    ]
    lines = [f"{n},{at},a,1,1,{sent}" for n, (at, sent) in enumerate(written)]
    found = staged(shop, "no,at,sku,qty,price,sent", *lines, columns="ordered_at, shipped_at")
    assert found == [(datetime(2026, 4, 1, 4), datetime(2026, 4, 1, 4))] * 6


def test_dates_of_typed_columns_are_days_in_the_shops_zone_too(tmp_path):
    shop = shop_of(
        tmp_path,
        shop_zone="America/New_York",
        time_zone="UTC",
        columns={"shipped_at": {"column": "sent", "date": True}, "updated_at": "changed"},
    )
    noon = datetime(2026, 4, 1, 12)
    table = pa.table(
        {
            "no": ["1"], "sku": ["a"], "qty": [1], "price": [1],
            "at": pa.array([noon], pa.date32()),
            "sent": pa.array([datetime(2026, 4, 1)], pa.timestamp("us", tz="UTC")),
            "changed": pa.array([noon], pa.timestamp("us")),
        }
    )  # fmt: skip
    path = shop.exports / "order_lines" / "a.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    found = rows(shop.load(), "select ordered_at, shipped_at, updated_at from stage.order_lines")
    assert found == [(datetime(2026, 4, 1, 4), datetime(2026, 4, 1, 4), noon)]


def test_times_without_a_zone_are_the_shops_unless_the_source_has_one(tmp_path):
    for zone, hour in (("", 14), ("America/New_York", 14), ("UTC", 10)):
        shop = shop_of(tmp_path / (zone or "none"), shop_zone="America/New_York", time_zone=zone)
        found = staged(shop, "no,at,sku,qty,price", "1,2026-07-01 10:00,a,1,1", columns="ordered_at")
        assert found == [(datetime(2026, 7, 1, hour),)]


def test_each_row_may_name_its_zone(tmp_path):
    shop = shop_of(
        tmp_path,
        columns={
            "ordered_at": {"sql": '"Date" || \' \' || "Time"', "zone": "Zone"},
            "updated_at": {"sql": 'timezone("Zone", strptime("Date" || \' \' || "Time", \'%Y-%m-%d %H:%M\'))'},
        },
    )
    zones = ["Eastern Time (US & Canada)", "America/New_York", "EDT", "-04:00", "GMT-4", "", "Moon"]
    found = staged(
        shop, "no,Date,Time,Zone,sku,qty,price", *(f"{n},2026-09-13,22:02,{z},a,1,1" for n, z in enumerate(zones)),
        columns="ordered_at, updated_at, _reject_rule",
    )  # fmt: skip
    at = datetime(2026, 9, 14, 2, 2)
    assert found[:5] == [(at, at, None)] * 5
    assert found[5] == (datetime(2026, 9, 13, 20, 2), None, None)
    assert found[6] == (None, None, "unknown_zone")


def test_formats_are_tried_whatever_their_order(tmp_path):
    long, short = "%d.%m.%Y %H:%M", "%d.%m.%y %H:%M"
    for formats in ([long, short], [short, long], [short, long, "%d.%m.%Y", "%Y%m%d"]):
        shop = shop_of(tmp_path / str(len(formats)) / formats[0][4:6], shop_zone="UTC", timestamp_formats=formats)
        lines = ["1,03.09.26 14:06,a,1,1", "2,03.09.2026 14:06,a,1,1"]
        assert staged(shop, "no,at,sku,qty,price", *lines, columns="ordered_at") == [(datetime(2026, 9, 3, 14, 6),)] * 2
    shop = shop_of(tmp_path / "one", timestamp_formats=[long])
    found = staged(shop, "no,at,sku,qty,price", "1,03.09.26 14:06,a,1,1", columns="_reject_rule")
    assert found == [("not_a_date_or_time",)]


def test_formats_that_contradict_each_other_settle_nothing(tmp_path):
    shop = shop_of(tmp_path, shop_zone="UTC", timestamp_formats=["%m/%d/%Y", "%d/%m/%Y"])
    lines = ["1,13/01/2026,a,1,1", "2,01/13/2026,a,1,1", "3,02/03/2026,a,1,1", "4,02-03-26,a,1,1"]
    found = staged(shop, "no,at,sku,qty,price", *lines, columns="ordered_at, _reject_rule, _reject_reason")
    assert [r[:2] for r in found[:2]] == [(datetime(2026, 1, 13), None)] * 2
    assert [r[1] for r in found[2:]] == ["ambiguous_date"] * 2
    assert all("timestamp_formats" in reason for *_, reason in found[2:])


# Prices


def test_a_line_needs_a_price_or_an_amount_unless_nobody_pays_for_it(tmp_path):
    shop = shop_of(tmp_path, columns={"status": "state", "line_total": "total", "line_amount": "net"})
    stated = ["5,,,paid", ",5,,paid", ",,5,paid", ",,,Canceled", ",,,Payment Pending", ",,,paid", ",,,", "x,,,paid"]
    lines = [f"{n},2024-01-05,a,1,{amounts}" for n, amounts in enumerate(stated)]
    header = "no,at,sku,qty,price,total,net,state"
    found = staged(shop, header, *lines, columns="_reject_rule")
    assert [r for (r,) in found] == [None] * 7 + ["not_a_number"]
    refused = "select _source_row, _rule from quarantine.order_lines order by _source_row"
    assert rows(shop.build(), refused) == [(6, "missing_unit_price"), (7, "missing_unit_price"), (8, "not_a_number")]
    shop.entities["order_lines"]["missing_prices"] = "list_price"
    assert rows(shop.build(), refused) == [(8, "not_a_number")]


# What is compared, and what stays a text


def test_columns_are_compared_as_numbers_where_both_are(tmp_path):
    shop = shop_of(
        tmp_path,
        columns={
            "unit_price": {"sql": 'least("price", "sale")'},
            "is_return": {"sql": '"back" = "total"'},
            "status": {"sql": "case when back in (total, sale) then 'in' when price <> sale then 'other' end"},
        },
    )
    found = staged(
        shop,
        "no,at,sku,qty,price,sale,back,total",
        "1,2026-01-05 10:00,A,1,9.50,10.00,10.0,10",
        "2,2026-01-05 10:00,A,1,100.00,80.00,x,x",
        "3,2026-01-05 10:00,A,1,8,7,2,5",
        columns="unit_price, is_return, status",
    )
    assert found == [(Decimal("9.5"), True, "in"), (80, True, "in"), (7, False, "other")]


def test_ids_never_become_doubles(tmp_path):
    shop = shop_of(tmp_path, columns={"order_id": {"sql": 'coalesce("no", 0)'}})
    ids = [str(9007199254740990 + n) for n in range(8)]
    lines = [f"{i},2026-01-05 10:00,A,1,5" for i in ids]
    assert staged(shop, "no,at,sku,qty,price", *lines, columns="order_id") == [(i,) for i in ids]


def test_a_number_computed_for_an_id_is_refused_where_it_loses_digits(tmp_path):
    shop = shop_of(tmp_path, columns={"order_id": {"sql": '"no" + 0'}})
    found = staged(
        shop,
        "no,at,sku,qty,price",
        "90071992547409931,2026-01-05 10:00,A,1,5",
        "12,2026-01-05 10:00,A,1,5",
        columns="_reject_rule",
    )
    assert found == [("not_computed",), (None,)]


@pytest.mark.parametrize("sql", ["regexp_replace(\"sku\", '[', '')", "timezone('Mars/X', cast(\"at\" as timestamp))"])
def test_an_expression_that_fails_whatever_the_row_is_no_damaged_batch(tmp_path, sql):
    ours = "product_id" if "sku" in sql else "ordered_at"
    shop = shop_of(tmp_path, columns={ours: {"sql": sql}})
    with pytest.raises(ConfigError, match=rf"order_lines\.columns\.{ours}\.sql"):
        staged(shop, "no,at,sku,qty,price", "1,2026-01-05 10:00,A,1,5", columns="order_id")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("getenv('HOME')", "has the function 'getenv', which sees more than the row"),
        ("a; drop table b", "is no SQL expression: it has ';', and a statement is none"),
    ],
)
def test_what_is_no_expression_of_a_row_is_refused_with_a_sentence(text, found):
    with pytest.raises(ValueError, match=re.escape(found)):
        parse(text)


def test_a_semicolon_in_a_text_or_name_is_none_of_sql():
    assert parse("""split_part("a;b", ';', 1)""").columns == [("a;b",)]


def test_an_unknown_key_and_a_currency_are_told_in_the_words_of_the_file(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}}, source={"expect": {"first": "2024-01-01"}})
    with pytest.raises(ConfigError, match=r"Known keys: .*paid_amount, from, to"):
        _ = shop.settings
    with pytest.raises(ConfigError, match="such as EUR"):
        _ = SmallShop(tmp_path, {"orders": {}}, shop={"currency": "Euro"}).settings


def test_an_empty_expression_is_refused():
    with pytest.raises(ValueError, match="an expression is expected"):
        ColumnMapping(sql=" ")
