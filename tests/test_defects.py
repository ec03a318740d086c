"""What the marketplace, the history and the web shop spoil: just what the ledger says, however a day is reached."""

import csv
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.shop import damage, exports, history, web
from lib.shop.defects import KINDS
from lib.shop.ledger import SCHEMA
from lib.shop.life import ShopLife, simulate_life
from lib.shop.rates import Defects
from lib.shop.sizes import Size
from lib.shop.spoiled_orders import KINDS_OF
from lib.shop.spoiled_records import CUSTOMERS, PRODUCTS
from lib.shop.systems import NO_DEFECTS, Holdings, ShopFacts

LAST_DAY = date(2025, 12, 31)
# A short and busy life, half of it in the live systems.
SIZE = Size(1_000, 100, 6_000, 100, live_from=date(2025, 4, 1), tracked_from=LAST_DAY, first_day=date(2024, 10, 1))
RIGHT = ShopFacts(SIZE, 42, "EUR", "Europe/Berlin", NO_DEFECTS)
# Few dates can be read two ways, so more of them are hit.
SPOILED = replace(RIGHT, defects=Defects(scale=10, ambiguous_date=0.002))
END = (LAST_DAY - SIZE.first_day).days
WRITERS = {"marketplace": exports.write, "history": history.write, "web": web.write}
KEYS = {"customers": 1, "products": 1, "orders": 1, "order_items": 2, "payments": 1}

Row = dict[str, str | None]
Files = dict[tuple[str, str], list[Row]]


@pytest.fixture(scope="module")
def life() -> ShopLife:
    return simulate_life(SIZE, RIGHT.seed, LAST_DAY, RIGHT.time_zone)


@pytest.fixture(scope="module")
def shops(life, tmp_path_factory) -> tuple[Path, Path, list[Holdings]]:
    """The same shop without defects and with them, and what the writers say of the second."""
    right, spoiled = (tmp_path_factory.mktemp(name) for name in ("right", "spoiled"))
    for write in WRITERS.values():
        write(life, right, RIGHT, -1, END, quiet)
    return right, spoiled, [write(life, spoiled, SPOILED, -1, END, quiet) for write in WRITERS.values()]


def quiet(_: str) -> None:
    pass


def ledger_of(holdings: list[Holdings]) -> list[dict[str, Any]]:
    """Return the ledger's rows, each once."""
    rows = pa.concat_tables([held.spoiled for held in holdings if held.spoiled is not None])
    return rows.group_by(SCHEMA.names).aggregate([]).to_pylist()


@cache
def rows_of(folder: Path, system: str) -> Files:
    """Return all rows of a system by entity and file, in order, every value as the ledger writes it."""
    if system == "web":
        found: Files = {}
        with closing(sqlite3.connect(folder / "web/shop.db")) as connection:
            connection.row_factory = sqlite3.Row
            for entity in history.ENTITIES:
                rows = connection.execute(f"select * from {entity} order by id")
                found[entity, ""] = [
                    {name: as_recorded(name, value) for name, value in dict(row).items()} for row in rows
                ]
        return found
    return {
        (path.relative_to(folder / system).parts[0], str(path.relative_to(folder))): list(read(path))
        for path in sorted((folder / system).rglob("*"))
        if path.is_file()
    }


def read(path: Path) -> Iterator[Row]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {name: value or None for name, value in row.items()}
    else:
        for row in pq.read_table(path).to_pylist():
            yield {name: as_recorded(name, value) for name, value in row.items()}


def as_recorded(name: str, value: Any) -> str | None:
    """Return a value of Parquet or SQLite as the ledger writes it."""
    if isinstance(value, datetime) or (name.endswith("_at") and value is not None):
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return f"{at:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, Decimal) or (name in ("amount", "unit_price") or name.endswith("_amount")):
        return None if value is None else f"{value:.2f}"
    return None if value is None else str(value)


def differences(right: Files, spoiled: Files) -> Iterator[tuple[str, str, str, str | None, str | None]]:
    """Yield entity, key as delivered, field, before and after of every cell that differs, and of every row added."""
    assert list(right) == list(spoiled)
    for (entity, name), rows in spoiled.items():
        expected = iter(right[entity, name])
        before: Row = {}
        for row in rows:
            own = list(row)[1:] if name == "" else list(row)
            key = [row[field] for field in own[: KEYS[entity]]]
            is_copy = bool(before) and key == [before[field] for field in own[: KEYS[entity]]]
            before = before if is_copy else next(expected)
            assert list(row) == list(before)
            changed = [field for field in row if row[field] != before[field]]
            if is_copy and not changed:
                yield entity, "|".join(map(str, key)), "", "1", "2"
            for field in changed:
                yield entity, "|".join(map(str, key)), field, before[field], row[field]
        assert next(expected, None) is None


# --- the ledger


def test_the_ledger_is_exactly_what_differs_from_a_shop_without_defects(shops):
    right, spoiled, holdings = shops
    for system, held in zip(WRITERS, holdings, strict=True):
        there = rows_of(spoiled, system)
        found = set(differences(rows_of(right, system), there))
        noted = {(c["entity"], c["key"], c["field"], c["before"], c["after"]) for c in ledger_of([held])}
        assert len(found) > 100
        assert found == noted
        again = sum(len(rows) for (_, name), rows in there.items() if name.endswith("_again.csv"))
        assert again > 0 or system != "marketplace"
    assert [held.rows["orders"] for held in holdings[1:]] == [
        sum(len(rows) for (entity, _), rows in rows_of(spoiled, system).items() if entity == "orders")
        for system in ("history", "web")
    ]


def test_every_kind_of_defect_occurs_in_every_system_that_can_have_it(shops):
    *_, holdings = shops
    found = {(cell["system"], cell["kind"]) for cell in ledger_of(holdings)}
    for system, kinds in KINDS_OF.items():
        assert {kind for name, kind in found if name == system} >= set(kinds)
    # Products can have the damage of another encoding too, but the names of this shop's have no such letters.
    assert {kind for _, kind in found} >= set(CUSTOMERS) | set(PRODUCTS)
    assert {cell["label"] == KINDS[cell["kind"]].label for cell in ledger_of(holdings)} == {True}


def test_a_family_has_one_defect_at_most_and_one_spoiled_record(shops):
    *_, holdings = shops
    kinds, keys = defaultdict(set), defaultdict(set)
    for cell in ledger_of(holdings):
        kinds[cell["system"], cell["family"]].add(cell["kind"])
        keys[cell["system"], cell["family"]].add((cell["entity"], cell["key"], cell["field"]))
    assert {len(some) for some in kinds.values()} == {len(some) for some in keys.values()} == {1}
    assert {key.partition("|")[0] for ((_, key, _),) in keys.values()}.isdisjoint(migrated(shops[0]))


def migrated(folder: Path) -> set[str | None]:
    """Return the orders that the web shop took over from the history."""
    return {row["order_id"] for row in rows_of(folder, "web")["orders", ""] if row["channel"] == "history"}


def test_an_order_with_a_wrong_price_or_quantity_has_a_right_total_and_nothing_returned(shops):
    _, spoiled, holdings = shops
    wrong = {c["family"] for c in ledger_of(holdings) if c["kind"] in ("wrong_sign", "zeroed", "wrong_unit")}
    mismatched = {c["family"]: c for c in ledger_of(holdings) if c["kind"].endswith("_mismatch")}
    (orders,), (lines,) = (
        [rows for (entity, _), rows in rows_of(spoiled, "web").items() if entity == name]
        for name in ("orders", "order_items")
    )
    negative = defaultdict(int)
    for line in lines:
        negative[line["order_id"]] += Decimal(str(line["quantity"])) < 0 or Decimal(str(line["unit_price"])) < 0
    checked = [order for order in orders if order["order_id"] in wrong]
    assert len(checked) > 20 and all(negative[order["order_id"]] <= 1 for order in checked)
    tax = {order["order_id"]: Decimal(str(order["tax_amount"])) for order in orders}
    for family, cell in mismatched.items():
        off = abs(Decimal(cell["after"]) - Decimal(cell["before"]))
        assert off >= 3 and Decimal(cell["after"]) > 0
        assert family not in tax or abs(off - tax[family]) >= 1


def test_day_by_day_the_systems_and_the_ledger_become_the_same_as_in_one_step(life, shops, tmp_path):
    _, spoiled, holdings = shops
    start = SPOILED.live_from
    days = [start - 3, start, *range(start + 10, END - 10, 60), *range(END - 6, END + 1)]
    steps = []
    for after, through in zip([-1, *days], days, strict=False):
        steps += [write(life, tmp_path, SPOILED, after, through, quiet) for write in WRITERS.values()]
    for system in WRITERS:
        assert rows_of(tmp_path, system) == rows_of(spoiled, system)
    assert sorted(map(str, ledger_of(steps))) == sorted(map(str, ledger_of(holdings)))
    assert [held.rows for held in steps[-len(WRITERS) :]] == [held.rows for held in holdings]


def test_what_has_not_come_yet_is_not_in_the_ledger(life, tmp_path):
    day = SPOILED.live_from + 40
    holdings = [write(life, tmp_path, SPOILED, -1, day, quiet) for write in WRITERS.values()]
    delivered = {
        (system, entity, "|".join(str(row[field]) for field in list(row)[name == "" :][: KEYS[entity]]))
        for system in WRITERS
        for (entity, name), rows in rows_of(tmp_path, system).items()
        for row in rows
    }
    noted = ledger_of(holdings)
    assert {(c["system"], c["entity"], c["key"]) for c in noted} <= delivered


def test_an_order_shipped_too_early_says_so_only_when_it_is_shipped(life, tmp_path):
    hasty = replace(RIGHT, defects=Defects(out_of_sequence=0.5))
    held = web.write(life, tmp_path, hasty, -1, END, quiet)
    noted = {cell["key"]: cell["after"] for cell in ledger_of([held]) if cell["field"] == "shipped_at"}
    orders = rows_of(tmp_path, "web")["orders", ""]
    waiting = [order for order in orders if order["status"] in ("placed", "cancelled")]
    early = {o["order_id"]: o["shipped_at"] for o in orders if o["shipped_at"] and o["shipped_at"] < o["ordered_at"]}
    assert len(waiting) > 5 and {order["shipped_at"] for order in waiting} == {None}
    assert len(early) > 5 and noted == early


def test_without_defects_nothing_is_recorded(life, tmp_path):
    for write in WRITERS.values():
        assert write(life, tmp_path, RIGHT, -1, RIGHT.live_from + 3, quiet).spoiled is None


# --- what damage does to a value

DRAWS = [place / 60 for place in range(60)]


def ways(spoil: Callable[[float], str | None]) -> set[str | None]:
    return {spoil(draw) for draw in DRAWS}


def test_a_text_gets_blanks_and_the_wrong_capitals_only_where_they_can_be_repaired():
    spaced = ways(lambda draw: damage.whitespace("Bad  Homburg", draw))
    assert all(text.split() == ["Bad", "Homburg"] and text != "Bad  Homburg" for text in spaced) and len(spaced) > 3
    assert ways(lambda draw: damage.letter_case("EUR", draw)) == {"eur", "Eur"}
    assert ways(lambda draw: damage.letter_case("completed", draw)) == {"COMPLETED", "Completed"}
    assert ways(lambda draw: damage.letter_case("Anna-Lena", draw)) == {"ANNA-LENA", "anna-lena"}
    assert ways(lambda draw: damage.letter_case("Groß", draw)) == {"groß"}, "in capitals it is GROSS"
    assert ways(lambda draw: damage.letter_case("Frankfurt am Main", draw)) == {None}


def test_a_text_is_read_in_the_wrong_encoding_only_where_that_loses_nothing():
    assert damage.mojibake("Köln") == "KÃ¶ln"
    assert damage.mojibake("KÃ¶ln".replace("Ã¶", "o")) is None
    assert damage.mojibake("Łódź Í") is None, "Windows-1252 has no such byte"
    assert damage.mojibake("Niccolà") is None, "a blank at the end would be cut off"


def test_amounts_and_times_are_written_in_unmistakable_forms():
    assert ways(lambda draw: damage.number_text(1250, draw)) == {"€12.50", "12.50 EUR", "12,50 €", "EUR 12,50"}
    assert ways(lambda draw: damage.number_text(1_234_50, draw)) == {
        *("€1234.50", "1234.50 EUR", "1,234.50", "1.234,50 €", "EUR 1 234,50"),
    }
    assert damage.number_text(-1, 0) is None
    at = int(datetime(2025, 3, 4, 12, 11, 12, tzinfo=UTC).timestamp())
    assert ways(lambda draw: damage.date_format(at, draw)) == {
        "2025/03/04 12:11:12 +0000",
        "20250304T121112Z",
        "Tue, 04 Mar 2025 12:11:12 +0000",
        "1741090272",
        "04.03.2025 12:11:12 UTC",
        "Mar 4, 2025 12:11:12 PM UTC",
    }
    assert ways(lambda draw: damage.ambiguous_date(at, draw)) == {"04/03/2025 12:11:12 UTC", "03/04/2025 12:11:12 UTC"}
    assert {damage.ambiguous_date(at + days * 86_400, 0) for days in (-1, 9)} == {None}, "3/3, and the 13th"


def test_a_local_time_is_never_in_the_hour_that_clocks_show_twice():
    before = int(datetime(2025, 10, 25, 23, 59, 59, tzinfo=UTC).timestamp())
    found = [damage.local_time(before + seconds, "Europe/Berlin") for seconds in (0, 1, 3600, 7201)]
    assert found == ["2025-10-26 01:59:59", None, None, "2025-10-26 03:00:00"]
    assert damage.local_time(before, "UTC") is None
