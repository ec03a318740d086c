"""Row rules on single cells: a bad one is repaired, left empty, refused or flagged, and noted with before and after."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.base.files import PROJECT
from lib.clean.accounting import by_rule, repaired_cells, rule_counts
from lib.clean.rules import RULES
from lib.shop import damage
from lib.warehouse import Warehouse, open_warehouse
from tests.small_shop import SmallShop, csv, one, rows

ENTITIES: dict[str, dict[str, Any]] = {
    "customers": {},
    "products": {},
    "orders": {"codes": "lower", "zone_stated": True, "required": ["customer_id", "currency"]},
    "order_items": {},
    # A German till: decimal comma, its own way of writing times, and codes in whatever capitals.
    "payments": {"decimal": ",", "thousands": ".", "timestamp_formats": ["%d/%m/%Y %H:%M", "%d/%m/%Y", "%d.%m.%Y"]},
}
GOOD = {
    "customers": "customer_id first_name last_name email country city signup_at",
    "products": "product_id name unit_price currency is_active",
    "orders": "order_id ordered_at customer_id status currency total_amount shipped_at",
    "order_items": "order_id product_id quantity unit_price line_number",
    "payments": "payment_id order_id method amount currency paid_at",
}
VALUES = {
    "customers": "# Anna Krüger anna@example.com DE Köln 2024-01-05T10:00:00Z",
    "products": "# Socken 12.50 EUR true",
    "orders": "# 2024-01-05T10:00:00Z c completed EUR 12.50 2024-01-06T10:00:00Z",
    "order_items": "# p 2 12.50 1",
    "payments": "# o card 12,50 EUR 05/01/2024",
}
AT, NOON = datetime(2025, 3, 4, 10, 11, 12), datetime(2025, 7, 1, 12)
SPOKEN = "2025-03-04T10:11:12Z"


@dataclass(frozen=True)
class Case:
    """A cell, the value that is staged, and what is noted: rule, outcome and the value afterwards."""

    entity: str
    field: str
    raw: str
    value: Any
    noted: tuple[tuple[str, str, str | None], ...] = ()


def repaired(place: str, raw: str, value: Any, *rules: str, after: str | None = None) -> Case:
    entity, field = place.split(".")
    shown = str(value) if after is None else after
    return Case(entity, field, raw, value, tuple((rule, "repaired", shown) for rule in rules))


def lost(place: str, raw: str, rule: str, outcome: str = "emptied") -> Case:
    entity, field = place.split(".")
    return Case(entity, field, raw, None, ((rule, outcome, None),))


def good(place: str, raw: str, value: Any) -> Case:
    return Case(*place.split("."), raw, value)


NAMES = [
    repaired("customers.first_name", "  Anna ", "Anna", "whitespace"),
    repaired("customers.first_name", "\u00a0Anna\t", "Anna", "whitespace"),
    repaired("customers.first_name", "\ufeffAn\u200bna", "Anna", "whitespace"),
    repaired("customers.last_name", "van  der\u00a0Berg", "van der Berg", "whitespace"),
    repaired("customers.customer_id", "c 1 ", "c 1", "whitespace"),
    good("products.name", "two\nlines", "two\nlines"),
    good("customers.last_name", " ", None),
    repaired("customers.last_name", "MÃ¼ller", "Müller", "encoding"),
    repaired("customers.city", "KrakÃ³w", "Kraków", "encoding"),
    repaired("customers.city", " ZÃ¼rich", "Zürich", "encoding", "whitespace"),
    repaired("products.name", "Donâ€™t Panic â€“ Mug", "Don’t Panic – Mug", "encoding"),
    good("products.name", "„Müßig“ «Été» Ångström Ñandú", "„Müßig“ «Été» Ångström Ñandú"),
    repaired("customers.first_name", "ANNA-LENA", "Anna-Lena", "letter_case"),
    repaired("customers.last_name", "krüger", "Krüger", "letter_case"),
    repaired("customers.last_name", "O'BRIEN", "O'Brien", "letter_case"),
    repaired("customers.city", "BAD HOMBURG", "Bad Homburg", "letter_case"),
    good("customers.city", "Frankfurt am Main", "Frankfurt am Main"),
    good("customers.first_name", "JJ", "JJ"),
    good("customers.last_name", "McDonald", "McDonald"),
    good("products.name", "USB CABLE", "USB CABLE"),
    repaired("customers.last_name", "Salt &amp; Pepper&#39;s", "Salt & Pepper's", "encoding"),
    repaired("customers.last_name", "CafÃ© &amp;amp; Bar", "Café & Bar", "encoding"),
    good("products.name", "R&D; more &copy=1", "R&D; more &copy=1"),
    lost("customers.city", "#N/A", "error_text"),
    good("products.name", "#1 Dad", "#1 Dad"),
    repaired("customers.customer_id", "'00501", "00501", "text_mark"),
    repaired("orders.customer_id", '="00501"', "00501", "text_mark"),
    lost("order_items.line_number", "4,00E+12", "damaged_id", "rejected"),
    lost("orders.customer_id", "4.711E+12", "damaged_id"),
    good("orders.customer_id", "12E5", "12E5"),
]
CODES = [
    repaired("orders.status", "COMPLETED", "completed", "letter_case"),
    repaired("orders.status", " Completed", "completed", "letter_case", "whitespace"),
    good("payments.method", "CARD", "CARD"),
    repaired("customers.email", "Anna@Example.com", "anna@example.com", "letter_case"),
    repaired("orders.currency", "eur", "EUR", "letter_case"),
    repaired("orders.currency", "€", "EUR", "letter_case"),
    repaired("products.currency", "Euro", "EUR", "letter_case"),
    repaired("products.currency", "$", "USD", "letter_case"),
    good("products.currency", "HRK", "HRK"),
    repaired("customers.country", "de", "DE", "letter_case"),
    good("customers.country", "Germany", "Germany"),
    good("customers.country", "UK", "UK"),
    lost("customers.country", " XX", "invalid_country"),
    lost("customers.email", "anna.example.com", "invalid_email"),
    lost("customers.email", "anna@@example.com", "invalid_email"),
    lost("customers.email", "anna@example", "invalid_email"),
    lost("customers.email", "anna k@example.com", "invalid_email"),
    lost("customers.email", "anna@example..com", "invalid_email"),
    lost("orders.currency", "EUX", "invalid_currency"),
    lost("products.currency", "EU", "invalid_currency"),
    Case("orders", "customer_id", "", None, (("missing", "flagged", None),)),
    lost("orders.ordered_at", "", "missing", "rejected"),
    lost("products.is_active", "perhaps", "not_a_yes_or_no"),
]
NUMBERS = [
    *(
        repaired("products.unit_price", raw, Decimal(value), "number_text", after=value)
        for raw, value in {
            "€12.50": "12.50",
            "12.50 EUR": "12.50",
            "12,50 €": "12.50",
            "-12,5": "-12.50",
            "(12.50)": "-12.50",
            "12.50-": "-12.50",
            "$ -12.50": "-12.50",
            "1,234.50": "1234.50",
            "1.234,50 €": "1234.50",
            "EUR 1 234,50": "1234.50",
            "1\u202f234,50\u00a0€": "1234.50",
            "1'234.50": "1234.50",
            "CHF 1’234.5675": "1234.5675",
            "1,234,567": "1234567.00",
            "1 234": "1234.00",
            "0,125": "0.125",
            "1234,567 kr": "1234.567",
        }.items()
    ),
    repaired("order_items.quantity", "1 234", Decimal(1234), "number_text", after="1234"),
    repaired("order_items.quantity", "2,5", Decimal("2.5"), "number_text", after="2.5"),
    good("order_items.line_number", "1’000", "1’000"),
    repaired("orders.total_amount", " 12.50 ", Decimal("12.50"), "whitespace", after="12.50"),
    # The column has points and commas before decimals.
    lost("products.unit_price", "1.234", "ambiguous_number", "rejected"),
    *(
        lost("products.unit_price", raw, "not_a_number", "rejected")
        for raw in ("1,234", "12.50 each", "1.2.3", "1,23,4", "12 50", "€", "--5", "(5", "5 EUR 6", "1.234.50")
    ),
    lost("order_items.quantity", "3 PEN", "not_a_number", "rejected"),
    good("order_items.line_number", "1,5", "1,5"),
    Case("order_items", "quantity", "4006381333931", Decimal(4006381333931), (("amount_too_large", "rejected", None),)),
    good("payments.amount", "1.234,50", Decimal("1234.50")),
    good("payments.amount", "1.234", Decimal(1234)),
    lost("payments.amount", "12.50", "not_a_number", "rejected"),
    repaired("payments.amount", "€1.234", Decimal(1234), "number_text", after="1234.00"),
    repaired("payments.amount", "1,234.50", Decimal("1234.50"), "number_text", after="1234.50"),
]
TIMES = [
    *(
        repaired("customers.signup_at", raw, AT, "date_format", after=SPOKEN)
        for raw in (
            "04.03.2025 10:11:12 UTC",
            "04.03.2025, 10:11:12 Uhr",
            "4.3.2025 11:11:12 +0100",
            "2025/03/04 10:11:12 +0000",
            "20250304T101112Z",
            "Tue, 04 Mar 2025 10:11:12 +0000",
            "Tue Mar  4 10:11:12 UTC 2025",
            "Tue Mar 04 2025 11:11:12 GMT+0100 (CET)",
            "Mar 4, 2025 10:11:12 AM UTC",
            "4th March 2025 10:11:12",
            "04-Mar-2025 10:11:12",
            "1741083072",
            "1741083072000",
        )
    ),
    *(
        # A date without a time is that day in the shop's zone, which is Berlin's, whatever its source's is.
        repaired("customers.signup_at", raw, datetime(2025, 3, 24, 23), "date_format", after="2025-03-24T23:00:00Z")
        for raw in ("25/03/2025", "03/25/2025", "25-03-2025", "2025.03.25", "25.03.2025", "Mar 25 2025")
    ),
    repaired(
        "customers.signup_at", "3/3/2025 1:05 PM", datetime(2025, 3, 3, 13, 5), "date_format",
        after="2025-03-03T13:05:00Z",
    ),
    repaired("customers.signup_at", "2025-03-04T10:11:12Z ", AT, "whitespace", after=SPOKEN),
    lost("customers.signup_at", "03/04/2025 10:11:12 UTC", "ambiguous_date"),
    lost("orders.ordered_at", "03/04/2025", "ambiguous_date", "rejected"),
    *(
        lost("customers.signup_at", raw, "not_a_date_or_time")
        for raw in ("31.02.2025", "13/13/2025", "20250304", "12345", "2025-02-30", "04.03.25", "soon", "9999-12-31")
    ),
    good("payments.paid_at", "04/03/2025 10:11", datetime(2025, 3, 4, 10, 11)),
    good("payments.paid_at", "04.03.2025", datetime(2025, 3, 3, 23)),
    repaired("customers.signup_at", "45720", datetime(2025, 3, 3, 23), "date_format", after="2025-03-03T23:00:00Z"),
    *(
        repaired("customers.signup_at", raw, value, "date_format", after=value.strftime("%Y-%m-%dT%H:%M:%SZ"))
        for raw, value in {
            "45720.5": datetime(2025, 3, 4, 12),
            "45720,4236": datetime(2025, 3, 4, 10, 10),
            "45720.424444444": datetime(2025, 3, 4, 10, 11, 12),
            "1741083072000000": AT,
        }.items()
    ),
    lost("orders.ordered_at", "2090-01-01T10:00:00Z", "date_in_future", "rejected"),
    lost("customers.signup_at", "2090-01-01", "date_in_future"),
    lost("customers.signup_at", "01.02.2090 10:00:00", "date_in_future"),
    repaired("orders.shipped_at", "2025-07-01 14:00:00", NOON, "zone_missing", after="2025-07-01T12:00:00Z"),
    repaired(
        "orders.shipped_at", "01.07.2025 14:00", NOON, "date_format", "zone_missing", after="2025-07-01T12:00:00Z"
    ),
    good("orders.shipped_at", "2025-07-01 14:00:00+02:00", NOON),
    repaired("orders.shipped_at", "01.07.2025 12:00 UTC", NOON, "date_format", after="2025-07-01T12:00:00Z"),
]  # fmt: skip
CASES = NAMES + CODES + NUMBERS + TIMES


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> SmallShop:
    """All cases, each in a row of its own; the marks of orders are on the clock of Berlin, all others in UTC."""
    shop = SmallShop(tmp_path_factory.mktemp("rows"), ENTITIES)
    zone = {"kind": "files", "path": str(shop.exports), "time_zone": "Europe/Berlin"}
    orders = zone | {"entities": {"orders": {"files": "orders/*", **ENTITIES["orders"]}}}
    others = {n: {"files": f"{n}/*", **o} for n, o in ENTITIES.items() if n != "orders"}
    shop.config = {"sources": {"german": orders, "exports": zone | {"time_zone": "UTC", "entities": others}}}
    of: dict[str, list[str]] = defaultdict(list)
    for number, case in enumerate(CASES):
        names = GOOD[case.entity].split()
        cells = dict(zip(names, VALUES[case.entity].replace("#", f"k{number}").split(), strict=True)) | {
            case.field: case.raw
        }
        of[case.entity].append(",".join('"' + cells[n].replace('"', '""') + '"' for n in names))
    for entity, lines in of.items():
        shop.write(f"{entity}/a.csv", csv(",".join(GOOD[entity].split()), *lines))
    shop.warehouse = shop.load()
    return shop


def test_a_bad_cell_of_each_kind_ends_where_it_should(shop):
    noted = defaultdict(list)
    for entity, number, *note in rows(
        shop.warehouse, "select entity, _source_row, field, rule, outcome, before, after from stage.row_findings"
    ):
        noted[entity, number].append(note)
    staged = {
        (entity, row["_source_row"]): row
        for entity in ENTITIES
        for row in records(shop.warehouse, f"select * from stage.{entity}")
    }
    place: dict[str, int] = defaultdict(int)
    wrong = []
    for case in CASES:
        place[case.entity] += 1
        row, notes = (d[case.entity, place[case.entity]] for d in (staged, noted))
        applied = sorted((rule, outcome, after) for _, rule, outcome, _, after in notes)
        outcomes = {outcome for _, outcome, _ in case.noted}
        is_right = row[case.field] == case.value and applied == sorted(case.noted)
        # The row itself keeps a note of what was not repaired, with the raw row.
        is_right &= (row["_reject_rule"] is not None) == ("rejected" in outcomes)
        is_right &= (row["_issues"] is not None) == (row["_raw"] is not None) == bool(outcomes - {"repaired"})
        is_right &= all(field == case.field and (before or "") == case.raw for field, _, _, before, _ in notes)
        if not is_right:
            wrong.append((case, row[case.field], row["_reject_rule"], notes))
    assert not wrong, "\n".join(map(str, wrong))


def records(warehouse: Warehouse, sql: str) -> list[dict[str, Any]]:
    with warehouse.connect() as connection:
        found = connection.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


#: Row rules of whole rows and of mappings, which tests/test_files_source.py and tests/test_mapping.py try.
ELSEWHERE = {"malformed_line", "not_computed", "unknown_zone", "left_out", "repeated_header", "totals_row"}


def test_each_row_rule_has_a_bad_cell_above_and_is_described():
    tried = {rule for case in CASES for rule, *_ in case.noted} | ELSEWHERE
    assert tried == {name for name, rule in RULES.items() if rule.level == "row"}
    described = (PROJECT / "docs" / "cleaning.md").read_text(encoding="utf-8")
    assert [rule for rule in tried if f"`{rule}`" not in described] == []
    allowed = {(name, outcome) for name, rule in RULES.items() for outcome in rule.outcomes}
    assert {(rule, outcome) for case in CASES for rule, outcome, _ in case.noted} <= allowed


def test_findings_are_counted_by_rule_with_an_example(shop):
    with duckdb.connect(shop.warehouse.path) as connection:
        connection.execute(
            "create table quality.record_findings as select *, _source as source from stage.row_findings"
        )
    counts = rule_counts(shop.warehouse)
    (mojibake,) = counts[(counts["rule"] == "encoding") & (counts["entity"] == "products")].to_dict("records")
    assert mojibake | {"key": ""} == {
        "rule": "encoding", "outcome": "repaired", "source": "exports", "entity": "products", "found": 1,
        "field": "name", "key": "", "before": "Donâ€™t Panic â€“ Mug", "after": "Don’t Panic – Mug",
    }  # fmt: skip
    assert counts["found"].sum() == one(shop.warehouse, "select count(*) from stage.row_findings")
    shown = by_rule(counts).set_index(["rule", "outcome"])
    assert shown.loc[("encoding", "repaired"), "found"] == 6
    assert shown.loc[("encoding", "repaired"), "of"] == "customers of exports (5) and products of exports (1)"
    assert shown.loc[("number text", "repaired"), "example"] == "“-12,5” → “-12.50”"
    assert shown["found"].is_monotonic_decreasing and shown["found"].sum() == counts["found"].sum()
    some = repaired_cells(shop.warehouse, per_rule=2)
    assert some.groupby("rule").size().max() == 2 and "whitespace" in set(some["rule"])


@pytest.fixture
def small(tmp_path) -> SmallShop:
    return SmallShop(tmp_path, {"customers": {}})


def found(warehouse) -> list[tuple]:
    return rows(warehouse, "select key, rule, before, after, _source_file from stage.row_findings order by all")


def test_findings_count_once_when_their_file_is_delivered_again(small):
    small.write("customers/a.csv", csv("customer_id,city", "anna, Köln", "bert,BONN"))
    small.write("customers/b.csv", csv("customer_id,city", "cora, Ulm"))
    once = found(small.load())
    assert [f[:3] for f in once] == [
        ("anna", "whitespace", " Köln"), ("bert", "letter_case", "BONN"), ("cora", "whitespace", " Ulm")
    ]  # fmt: skip
    open_warehouse(small.settings, "run").publish()
    small.write("customers/c.csv", csv("customer_id,city", "anna, Köln"))
    small.write("customers/a.csv", csv("customer_id,city", "anna,Köln", "bert,BONN"))
    again = found(small.load())
    assert again == [
        ("anna", "whitespace", " Köln", "Köln", "customers/c.csv"),
        ("bert", "letter_case", "BONN", "Bonn", "customers/a.csv"),
        ("cora", "whitespace", " Ulm", "Ulm", "customers/b.csv"),
    ]
    assert found(small.load(full_refresh=True)) == again


def test_findings_go_with_their_rows_and_come_anew_where_a_mapping_changes(small):
    small.write("customers/a.csv", csv("customer_id,city,town", "anna, Köln,BONN"))
    warehouse = small.load()
    assert [f[1] for f in found(warehouse)] == ["whitespace"]
    warehouse.publish()
    small.entities = {"customers": {"columns": {"customer_id": "customer_id", "city": "town"}}}
    warehouse = small.load()
    assert [f[1:4] for f in found(warehouse)] == [("letter_case", "BONN", "Bonn")]
    warehouse.unload([("exports", "customers")])
    assert found(warehouse) == [] == rows(warehouse, "select 1 from stage.customers")


def test_a_line_that_does_not_fit_its_header_is_a_finding(small):
    small.write("customers/a.csv", csv("customer_id,city", "anna,Köln", "b,o,n,n", "cora, Ulm"))
    assert rows(
        small.load(), "select key, rule, outcome, before, _source_row from stage.row_findings order by _source_row"
    ) == [(None, "malformed_line", "rejected", "b,o,n,n", 2), ("cora", "whitespace", "repaired", " Ulm", 3)]


def test_what_the_mapping_says_itself_is_never_held_against_a_row(tmp_path):
    columns = {
        "order_id": "no",
        "ordered_at": "at",
        "status": {"column": "no", "match": [{"pattern": "^C", "value": "Cancelled"}], "default": "Completed"},
        "channel": {"constant": "Web "},
        "currency": {"constant": "euro"},
        "campaign": {"column": "code", "default": "None "},
    }
    shop = SmallShop(tmp_path, {"orders": {"codes": "lower", "columns": columns}})
    shop.write("orders/a.csv", csv("no,at,code", "C1 ,2024-01-05,"))
    warehouse = shop.load()
    assert rows(warehouse, "select order_id, status, channel, currency, campaign from stage.orders") == [
        ("C1", "Cancelled", "Web ", "euro", "None ")
    ]
    assert [f[1] for f in found(warehouse)] == ["whitespace"]


def test_columns_that_have_their_types_already_are_held_to_the_bounds_alone(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {"zone_stated": True}}, source={"time_zone": "Europe/Berlin"})
    table = pa.table(
        {
            "order_id": ["a", "b ", "c"],
            "ordered_at": pa.array([NOON, NOON, datetime(2090, 1, 1)], pa.timestamp("us", tz="UTC")),
            "updated_at": pa.array([NOON, datetime(2090, 1, 1), None], pa.timestamp("ms")),
            "total_amount": pa.array([Decimal("1.5"), None, Decimal(10) ** 20], pa.decimal128(38, 2)),
            "customer_id": pa.array([17850.0, None, 3.0], pa.float64()),
        }
    )
    path = shop.exports / "orders" / "a.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    warehouse = shop.load()
    assert rows(
        warehouse, "select ordered_at, updated_at, total_amount, customer_id, _reject_rule from stage.orders order by 1"
    ) == [
        (NOON, datetime(2025, 7, 1, 10), Decimal("1.5"), "17850", None),
        (NOON, None, None, None, None),
        (None, None, None, "3", "date_in_future"),
    ]
    assert rows(warehouse, "select key, field, rule, before from stage.row_findings order by 1, 2") == [
        ("b", "order_id", "whitespace", "b "),
        ("b", "updated_at", "date_in_future", "2089-12-31T23:00:00Z"),
        ("c", "ordered_at", "date_in_future", "2090-01-01T00:00:00Z"),
        ("c", "total_amount", "not_a_number", "100000000000000000000.00"),
    ]


DRAWS = [n / 12 for n in range(12)]


def test_what_the_simulated_systems_spoil_is_put_right(tmp_path):
    """Every way in which `lib.shop.damage` writes a value otherwise is read as the value it was."""
    shop = SmallShop(tmp_path, {"products": {}, "customers": {}}, source={"time_zone": "Europe/Berlin"})
    cents = [1, 999, 99_900, 100_000, 123_456_789]
    prices = [(c, damage.number_text(c, draw)) for c in cents for draw in DRAWS]
    seconds = [1_741_083_072, 1_733_007_600]
    times = [(s, damage.date_format(s, draw)) for s in seconds for draw in DRAWS] + [
        (s, damage.local_time(s, "Europe/Berlin")) for s in seconds
    ]
    names = [
        (name, spoiled)
        for name in ("Anna Maria", "Jürgen", "Łukasz", "Grzegorz-Jan", "Zoë", "D'Angelo")
        for spoiled in (damage.mojibake(name), *(spoil(name, draw) for draw in DRAWS for spoil in SPOIL))
        if spoiled
    ]
    shop.write("products/a.csv", csv("product_id,unit_price", *(f'{n},"{p}"' for n, (_, p) in enumerate(prices))))
    customers = [f'a{n},"{t}",' for n, (_, t) in enumerate(times)] + [f'b{n},,"{t}"' for n, (_, t) in enumerate(names)]
    shop.write("customers/a.csv", csv("customer_id,signup_at,first_name", *customers))
    warehouse = shop.load()
    found_prices = rows(warehouse, "select unit_price from stage.products order by _source_row")
    assert [p for (p,) in found_prices] == [Decimal(c) / 100 for c, _ in prices]
    staged = "select {} from stage.customers where {} is not null order by _source_row"
    found_times = rows(warehouse, staged.format("epoch(signup_at)", "signup_at"))
    assert [t for (t,) in found_times] == [s for s, _ in times]
    assert [n for (n,) in rows(warehouse, staged.format("first_name", "first_name"))] == [n for n, _ in names]


SPOIL = (damage.whitespace, damage.letter_case)
