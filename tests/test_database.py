"""Database sources: whatever commits late, out of order or in place is taken once, from one state of the database."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pytest
import yaml

from lib.base.errors import ConfigError, SourceError
from lib.base.files import PROJECT
from lib.ingest.run import Ingested, ingest
from lib.lake import Lake
from lib.settings import Settings, load_settings
from lib.shop import history, web
from lib.shop.life import ShopLife, simulate_life
from lib.shop.rates import Defects
from lib.shop.sizes import SIZES
from lib.shop.systems import ShopFacts
from lib.sources import database, open_source, tables
from lib.sources.delivery import State, Task

ORDERS = "create table orders (id integer primary key, order_id text, ordered_at text, status text, updated_at text)"
ITEMS = (
    "create table order_items (id integer primary key, order_id text, product_id text, quantity integer,"
    " unit_price numeric(12, 2), updated_at text)"
)
LAST_DAY = date(2025, 12, 31)
SHOP = ShopFacts(replace(SIZES["small"], live_from=date(2024, 1, 1)), 42, "EUR", "Europe/Berlin")


@dataclass
class Webshop:
    """A database with orders and their items, the lake it is taken into, and the options of the source."""

    root: Path
    connect: Callable[[], Any]
    place: Mapping[str, str]
    entities: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"orders": {"table": "orders"}, "order_items": {"table": "order_items"}}
    )
    source: dict[str, Any] = field(default_factory=dict)
    runs: int = 0

    def execute(self, *statements: str) -> list[tuple]:
        """Execute statements in a transaction of their own; return the rows of the last."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            found = cursor.fetchall() if cursor.description else []
            connection.commit()
        return found

    def add(self, *orders: tuple[int, str, str]) -> None:
        """Insert orders, or change them: id, status, time of the last change."""
        for number, status, updated_at in orders:
            self.execute(
                f"delete from orders where id = {number}",
                f"insert into orders values ({number}, 'W-{number}', '2025-01-01', '{status}', '{updated_at}')",
            )

    @property
    def settings(self) -> Settings:
        file = self.root / "webshop.yml"
        source = {"kind": "database", **self.place, "entities": self.entities, **self.source}
        shop = {"name": "Small", "currency": "EUR", "time_zone": "UTC"}
        file.write_text(yaml.safe_dump({"shop": shop, "sources": {"webshop": source}}), encoding="utf-8")
        return load_settings(sources=file, data_dir=self.root / "data", output_dir=self.root / "outputs")

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_url)

    def ingest(self) -> Ingested:
        self.runs += 1
        taken = ingest(self.settings, f"run{self.runs}")
        taken.raise_failures()
        return taken

    def new(self, columns: str = "id, status", entity: str = "orders") -> list[tuple]:
        """Take what is new; return the rows of an entity that came."""
        before = {b.batch_id for b in self.lake.batches("webshop", entity)}
        self.ingest()
        came = [b for b in self.lake.batches("webshop", entity) if b.batch_id not in before]
        return sorted((row for batch in came for row in self._rows(batch.folder, columns)), key=str)

    def newest(self, entity: str, columns: str, key: str = "id") -> list[tuple]:
        """Return the newest version of each row in the lake."""
        pattern = self.lake.path(f"raw/webshop/{entity}/*/part-*.parquet")
        return duckdb.sql(
            f"select {columns} from read_parquet('{pattern}', union_by_name = true)"
            f" qualify row_number() over (partition by {key} order by _file desc) = 1 order by all"
        ).fetchall()

    def _rows(self, folder: str, columns: str) -> list[tuple]:
        return duckdb.sql(f"select {columns} from '{self.lake.path(folder)}/part-*.parquet'").fetchall()

    def failure(self) -> str:
        with pytest.raises(SourceError) as error:
            self.ingest()
        return str(error.value)


@pytest.fixture
def sqlite_shop(tmp_path: Path) -> Webshop:
    path = tmp_path / "web [shop].db"
    shop = Webshop(tmp_path, lambda: sqlite3.connect(path), {"path": str(path)})
    shop.execute(ORDERS, ITEMS)
    return shop


@pytest.fixture
def postgres_shop(tmp_path: Path, new_database: Callable[..., str]) -> Webshop:
    url = new_database()
    shop = Webshop(tmp_path, lambda: psycopg2.connect(url), {"url": url})
    shop.execute(*(s.replace("updated_at text", "updated_at timestamptz") for s in (ORDERS, ITEMS)))
    return shop


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest) -> Webshop:
    """The same on both engines; times of change are text with SQLite, timestamps with zone on the server."""
    found: Webshop = request.getfixturevalue(f"{request.param}_shop")
    found.add(*((n, "placed", f"2025-03-01 10:{n:02d}:00+00") for n in range(1, 6)))
    return found


# What is new


def test_what_is_new_or_changed_is_read_and_nothing_twice(shop):
    assert shop.new() == [(str(n), "placed") for n in range(1, 6)]
    assert shop.new() == []
    shop.add((2, "shipped", "2025-03-02 08:00:00+00"), (6, "placed", "2025-03-02 09:00:00+00"))
    assert shop.new() == [("2", "shipped"), ("6", "placed")]
    assert shop.new() == []
    assert len(shop.lake.batches("webshop", "orders")) == 2


def test_a_row_that_commits_late_is_read_however_old_it_is(shop):
    shop.add((9, "placed", "2025-03-01 11:00:00+00"))
    shop.ingest()
    shop.add((7, "placed", "2025-03-01 10:50:00+00"), (8, "shipped", "2019-01-01 00:00:00+00"))
    assert shop.new() == [("7", "placed"), ("8", "shipped")]
    assert shop.new() == []


def test_a_late_row_is_read_though_the_number_of_rows_is_the_same(shop):
    shop.add((9, "placed", "2025-03-01 11:00:00+00"))
    shop.ingest()
    shop.execute("delete from orders where id = 3")
    shop.add((8, "placed", "2019-01-01 00:00:00+00"))
    assert shop.new() == [("8", "placed")]
    assert shop.lake.batches("webshop", "orders")[-1].cursor_after["kind"]["gone"] == 1


def test_a_row_changed_within_the_overlap_is_delivered_and_one_read_again_is_not(shop):
    shop.add((9, "placed", "2025-03-01 11:00:00+00"))
    shop.ingest()
    # Committed after the cursor, dated before it.
    shop.add((4, "cancelled", "2025-03-01 10:58:00+00"))
    assert shop.new() == [("4", "cancelled")]
    assert shop.new() == []


def test_a_row_that_goes_back_to_an_earlier_content_is_delivered_again(shop):
    shop.ingest()
    shop.add((5, "shipped", "2025-03-01 10:10:00+00"))
    shop.ingest()
    shop.add((5, "placed", "2025-03-01 10:05:00+00"))
    assert shop.new() == [("5", "placed")]
    assert shop.newest("orders", "id, status")[-1] == ("5", "placed")


def test_a_time_of_change_in_the_future_does_not_carry_the_cursor_away(shop):
    shop.add((6, "placed", "2099-01-01 00:00:00+00"))
    shop.ingest()
    shop.add((1, "shipped", "2025-03-02 00:00:00+00"))
    assert shop.new() == [("1", "shipped")]
    assert shop.new() == []


def test_more_missed_rows_than_can_be_asked_for_are_all_read(shop, monkeypatch):
    monkeypatch.setattr(database, "_MANY", 2)
    shop.add((20, "placed", "2025-03-01 11:00:00+00"))
    shop.ingest()
    shop.add(*((n, "placed", "2019-01-01 00:00:00+00") for n in range(10, 15)))
    assert shop.new() == [(str(n), "placed") for n in range(10, 15)]
    assert shop.new() == []


def test_a_table_without_a_time_of_change_is_compared_whole(shop):
    shop.execute("alter table orders drop column updated_at")
    shop.entities["orders"]["updated_at"] = ""
    assert len(shop.new()) == 5
    shop.execute("update orders set status = 'shipped' where id = 3", "delete from orders where id = 1")
    shop.execute("insert into orders values (6, 'W-6', '2025-01-01', 'placed')")
    assert shop.new() == [("3", "shipped"), ("6", "placed")]
    assert shop.new() == []


def test_ids_may_be_text(shop):
    shop.entities["orders"]["id"] = "order_id"
    assert len(shop.new()) == 5
    shop.execute("insert into orders values (0, 'it''s %s', '2025-01-01', 'placed', '2019-01-01')")
    assert shop.new("order_id") == [("it's %s",)]
    assert shop.new() == []


def test_a_view_will_do_whatever_its_ids_are(sqlite_shop):
    sqlite_shop.add((1, "placed", "2025-03-01 10:00:00"))
    sqlite_shop.execute("create view all_orders as select id * 10 as id, order_id, ordered_at, updated_at from orders")
    sqlite_shop.entities["orders"]["table"] = "main.all_orders"
    assert sqlite_shop.new("id") == [("10",)]
    sqlite_shop.add((2, "placed", "2019-03-01 10:00:00"))
    assert sqlite_shop.new("id") == [("20",)]
    assert sqlite_shop.new("id") == []


@pytest.mark.parametrize("times", ["2025-03-0{}T10:00:00Z", "2025-03-0{} 10:00:00.000", "2025-03-0{}", "17408{}0000"])
def test_times_of_change_may_be_written_in_any_iso_form_or_as_numbers(sqlite_shop, times):
    sqlite_shop.add((1, "placed", times.format(1)), (2, "placed", times.format(2)))
    sqlite_shop.ingest()
    sqlite_shop.add((1, "shipped", times.format(3)))
    assert sqlite_shop.new() == [("1", "shipped")]


# Values


def test_values_lose_nothing_on_the_server(postgres_shop):
    postgres_shop.execute(
        "create table all_kinds (id bigint primary key, order_id text, ordered_at timestamptz, amount numeric,"
        " flag boolean, local timestamp, bytes bytea, note text, nothing text, updated_at timestamptz)",
        "insert into all_kinds values (9223372036854775807, '', '2025-03-01 10:00:00.123456+02', "
        " 12345678901234567890.1200, true, '2025-03-01 10:00:00', '\\x00ff', E'a \"b\",\\n\\\\N;é', null, now())",
    )
    postgres_shop.entities = {"orders": {"table": "public.all_kinds"}}
    columns = "id, order_id, ordered_at, amount, flag, local, bytes, note, nothing"
    assert postgres_shop.new(columns) == [
        ("9223372036854775807", "", "2025-03-01 08:00:00.123456+00", "12345678901234567890.1200", "t",
         "2025-03-01 10:00:00", "\\x00ff", 'a "b",\n\\N;é', None)
    ]  # fmt: skip


def test_values_lose_nothing_from_a_file_where_a_column_holds_several_types(sqlite_shop):
    sqlite_shop.execute(
        "insert into order_items values (1, '', 'P1', 3, 12.10, 'x'), (2, null, 'P2', 9007199254740993, 12, 'y'),"
        " (3, 'é', 'P3', 1.5, 'n/a', 'z'), (4, x'00ff', 'P4', 0.1, 0.30000000000000004, 'z')"
    )
    sqlite_shop.entities.pop("orders")
    assert sqlite_shop.new("order_id, quantity, unit_price", "order_items") == [
        ("", "3", "12.1"),
        ("\\x00ff", "0.1", "0.30000000000000004"),
        ("é", "1.5", "n/a"),
        (None, "9007199254740993", "12"),
    ]


@pytest.mark.parametrize("values", [[1, None, 2.5, 3], [1.0, None], [10**20, 2.5], ["a", 1.0, 10**15], [True, 1e15, 1]])
def test_a_value_reads_the_same_whatever_is_beside_it(values):
    assert tables.as_text(values).to_pylist() == [tables.as_text([v]).to_pylist()[0] for v in values]


# What can go wrong


def test_a_missing_table_is_named_and_the_others_are_read(shop):
    shop.execute("insert into order_items values (1, 'W-1', 'P1', 1, 9.99, '2025-03-01')")
    shop.execute("alter table orders rename to shop_orders")
    message = shop.failure()
    assert "has no table 'orders' (for orders). Did you mean 'shop_orders'?" in message
    assert [b.entity for b in shop.lake.batches()] == ["order_items"]
    shop.execute("alter table shop_orders rename to orders")
    assert len(shop.new()) == 5


@pytest.mark.parametrize(("column", "key"), [("updated_at", "updated_at"), ("id", "id"), ("order_id", "columns")])
def test_a_renamed_column_is_named_and_nothing_of_the_table_is_read(shop, column, key):
    shop.ingest()
    shop.execute(f"alter table orders rename column {column} to {column}_2")
    message = shop.failure()
    assert f"has no column '{column}' (for orders)" in message
    assert f"Did you mean '{column}_2'? Correct '{key}'" in message
    assert len(shop.lake.batches("webshop", "orders")) == 1


def test_an_id_that_is_not_unique_is_refused(shop):
    shop.execute("create table twice as select * from orders union all select * from orders")
    shop.entities["orders"]["table"] = "twice"
    assert "10 rows and 5 different values of 'id'" in shop.failure()


def test_rows_without_an_id_are_refused(shop):
    shop.execute("create table nullable as select * from orders")
    shop.entities["orders"]["table"] = "nullable"
    shop.ingest()
    shop.execute("update nullable set id = null where id = 3")
    assert "5 rows and 4 different values of 'id'" in shop.failure()


# What tells rows apart

LINES = {
    "order_id": "order_no",
    "line_number": "line_no",
    "product_id": "sku",
    "quantity": "qty",
    "unit_price": "price",
}


def of_lines(shop: Webshop, key: str = "primary key (order_no, line_no)", **options: Any) -> Webshop:
    """Return the shop with a table of lines, of which two are of one order."""
    end = f", {key}" if key else ""
    shop.execute(
        "create table lines (order_no varchar(9) not null, line_no integer not null, sku varchar(9), qty integer,"
        f" price numeric(9, 2), changed varchar(30){end})",
        "insert into lines values ('00123', 1, 'A', 1, 1.50, '2025-03-01'), ('00123', 2, 'B', 2, 2.50, '2025-03-01'),"
        " ('2', 1, 'A', 1, 1.50, '2025-03-01')",
    )
    shop.entities = {"order_items": {"table": "lines", "updated_at": "changed", "columns": LINES, **options}}
    return shop


@pytest.mark.parametrize("options", [{}, {"id": ["order_no", "line_no"]}, {"updated_at": ""}])
@pytest.mark.parametrize("key", ["primary key (order_no, line_no)", "unique (order_no, line_no)"])
def test_a_key_of_several_columns_is_found_or_named(shop, key, options):
    own = of_lines(shop, key, **options)
    wanted = "order_no, line_no, price", "order_items"
    assert (
        own.new(*wanted) == [("00123", "1", "1.5"), ("00123", "2", "2.5"), ("2", "1", "1.5")] or own.new(*wanted) == []
    )
    assert len(own.newest("order_items", "order_no", "order_no, line_no")) == 3
    assert own.new(*wanted) == []
    own.execute("update lines set price = 9, changed = '2025-03-02' where order_no = '00123' and line_no = 2")
    own.execute("insert into lines values ('00123', 3, 'C', 1, 1, '2020-01-01')")
    assert [row[:2] for row in own.new(*wanted)] == [("00123", "2"), ("00123", "3")]
    own.execute("delete from lines where order_no = '2'")
    own.execute("update lines set price = 8, changed = '2025-03-03' where line_no = 1")
    assert [row[:2] for row in own.new(*wanted)] == [("00123", "1")]
    assert own.lake.batches("webshop", "order_items")[-1].cursor_after["kind"]["gone"] == 1


def test_a_table_without_a_key_is_read_whole_and_replaces_what_was_read(shop):
    own = of_lines(shop, "", updated_at="")
    own.execute("insert into lines select * from lines where order_no = '2'")
    assert len(own.new("sku", "order_items")) == 4
    assert own.new("sku", "order_items") == []
    own.execute("delete from lines where order_no = '2'")
    assert own.new("sku", "order_items") == [("A",), ("B",)]
    (name,) = {f.name for b in own.lake.batches("webshop", "order_items") for f in b.files}
    assert name == "order_items-whole"


def test_an_id_that_is_not_one_is_answered_with_the_tables_key(shop):
    message = of_lines(shop, id="order_no").failure()
    assert "3 rows and 2 different values of 'order_no'" in message
    assert "Correct 'id' of order_items. The table's key is [order_no, line_no]." in message


def test_without_any_key_the_message_names_none(shop):
    message = of_lines(shop, "", id="order_no").failure()
    assert "such as [order_id, line_number]; or set it to '' where rows have no key" in message


# Queries


@pytest.mark.parametrize("key", [{}, {"id": ["order_no", "line_no"]}])
def test_a_query_is_read_as_a_table_is(shop, key):
    of_lines(shop)
    query = (
        "select o.order_id as nr, l.order_no, l.line_no, l.sku, l.qty, l.qty * l.price as total, ': x :y 5%' as note\n"
        "from lines l join orders o on o.id = l.line_no -- the order;\n where l.qty > 0;"
    )
    columns = {**LINES, "order_id": "nr", "unit_price": "total"}
    shop.entities = {"order_items": {"query": query, "columns": columns, **key}}
    first = shop.new("nr, line_no, total, note", "order_items")
    assert [row[:2] for row in first] == [("W-1", "1"), ("W-1", "1"), ("W-2", "2")]
    shop.execute("delete from lines where order_no = '2'")
    assert {row[3] for row in first} == {": x :y 5%"}
    assert shop.new("nr", "order_items") == ([] if key else [("W-1",), ("W-2",)])


@pytest.mark.parametrize(
    "query",
    [
        "delete from orders",
        "select 1; drop table orders",
        "with gone as (delete from orders returning *) select * from gone",
        "select * into copy from orders",
        "pragma user_version = 7",
        "select * from orders for update",
    ],
)
def test_a_query_that_does_more_than_read_is_refused(shop, query):
    shop.entities = {"orders": {"query": query}}
    message = shop.failure()
    assert "Correct 'query'" in message
    assert shop.execute("select count(*) from orders") == [(5,)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from nothing", "cannot be read from"),
        ("selec * from orders", "Correct 'query'"),
        ("select id, id from orders", "two columns the name 'id'"),
        ("select id from orders", "The query in"),
    ],
)
def test_a_query_that_cannot_be_used_is_explained(shop, query, said):
    shop.entities = {"orders": {"query": query}}
    assert said in shop.failure()


def test_a_table_or_a_query_is_given_and_not_both(sqlite_shop):
    for entity in ({"table": "orders", "query": "select 1"}, {}, {"query": "select 1", "updated_at": "x"}):
        sqlite_shop.entities = {"orders": entity}
        with pytest.raises(ConfigError, match="query"):
            _ = sqlite_shop.settings


def test_dates_stay_dates_and_times_times(shop):
    kind = "date" if shop.place.get("url") else "text"
    shop.execute(
        f"create table days (id integer primary key, order_id varchar(9), day {kind}, updated_at timestamp)",
        "insert into days values (1, 'A', '2025-04-01', '2025-04-01 00:00:00')",
    )
    shop.entities = {"orders": {"table": "days", "columns": {"order_id": "order_id", "ordered_at": "day"}}}
    assert shop.new("day, updated_at") == [("2025-04-01", "2025-04-01 00:00:00")]


def test_a_table_that_may_not_be_read_does_not_spoil_the_others(postgres_shop, new_database):
    postgres_shop.add((1, "placed", "2025-03-01 10:00:00"))
    reader = f"reader_{postgres_shop.root.name[-8:].strip('_').lower()}_{id(postgres_shop)}"
    postgres_shop.execute(f"create role {reader}", f"grant select on orders to {reader}")
    postgres_shop.entities = {"order_items": {"table": "order_items"}, "orders": {"table": "orders"}}
    url = postgres_shop.place["url"]
    postgres_shop.place = {"url": f"{url}{'&' if '?' in url else '?'}options=-crole%3D{reader}"}
    try:
        message = postgres_shop.failure()
        assert "order_items (table order_items) cannot be read" in message
        assert "permission denied" in message
        assert [b.entity for b in postgres_shop.lake.batches()] == ["orders"]
    finally:
        postgres_shop.execute(f"drop owned by {reader}", f"drop role {reader}")


@pytest.mark.parametrize(
    "url",
    ["postgresql://anna:s3cret-word@127.0.0.1:1/shop", "postgres://anna@127.0.0.1:1/shop?password=s3cret-word"],
)
def test_a_server_that_is_down_is_named_without_its_password(sqlite_shop, url):
    sqlite_shop.place = {"url": url}
    message = sqlite_shop.failure()
    assert "127.0.0.1:1/shop" in message
    assert "cannot be reached (connection to server" in message
    assert "s3cret-word" not in message


@pytest.mark.parametrize("url", ["s3cret-word", "postgresql://anna:s3cret-word@host:port/shop", "oracle://s3cret-word"])
def test_an_unusable_address_is_reported_without_quoting_it(sqlite_shop, url, monkeypatch):
    monkeypatch.setenv("SHOP_URL", url)
    sqlite_shop.place = {"url": "${SHOP_URL}"}
    message = sqlite_shop.failure()
    assert "no address of a database" in message or "Install that driver" in message
    assert "s3cret-word" not in message


def test_a_file_that_is_missing_or_no_database_is_named_and_not_made(sqlite_shop):
    missing = sqlite_shop.root / "missing.db"
    sqlite_shop.place = {"path": str(missing)}
    assert f"{missing} cannot be reached (unable to open database file)" in sqlite_shop.failure()
    assert not missing.exists()
    missing.write_text("no database, and long enough to be looked at as one" * 10)
    assert "file is not a database" in sqlite_shop.failure()


def test_a_driver_that_is_not_there_is_named(sqlite_shop):
    sqlite_shop.place = {"url": "mysql://anna@localhost/shop"}
    assert "No module named 'MySQLdb'). Install that driver" in sqlite_shop.failure()


def test_a_source_needs_a_url_or_a_path_and_the_url_counts(sqlite_shop):
    path = sqlite_shop.place["path"]
    sqlite_shop.place = {"url": "", "path": ""}
    with pytest.raises(ConfigError, match="give 'url'"):
        sqlite_shop.ingest()
    sqlite_shop.place = {"url": f"sqlite:///{path}", "path": "nowhere.db"}
    sqlite_shop.add((1, "placed", "2025-03-01"))
    assert sqlite_shop.new() == [("1", "placed")]


def test_a_new_column_is_kept_or_left_out_as_the_source_says(shop):
    shop.source["schema_changes"] = "discard"
    shop.ingest()
    shop.execute("alter table orders add column note text default 'hello'")
    assert shop.new() == []
    shop.source["schema_changes"] = "evolve"
    shop.execute("update orders set status = 'shipped', updated_at = '2025-03-02' where id = 1")
    assert ("1", "shipped", "hello") in shop.new("id, status, note")
    assert shop.new() == []


# One state, and interruptions


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_all_entities_are_read_from_one_state(engine, request):
    shop: Webshop = request.getfixturevalue(f"{engine}_shop")
    if engine == "sqlite":
        shop.execute("pragma journal_mode = wal")
    shop.add((1, "placed", "2025-03-01 10:00:00"))
    source = shop.settings.config.sources["webshop"]
    with (
        open_source(source, shop.settings.work_dir) as extract,
        Lake(shop.settings.lake_url).connect(shop.settings) as duck,
    ):
        shop.add((2, "placed", "2025-03-01 10:00:00"))
        shop.execute("insert into order_items values (1, 'W-2', 'P1', 1, 9.99, '2025-03-01')")
        found = {}
        for entity, spec in source.entities.items():
            scratch = shop.root / entity
            scratch.mkdir()
            found[entity] = extract(Task(entity, spec, State(), scratch, duck))
    assert [sum(f.rows for f in found[e].files) for e in ("orders", "order_items")] == [1, 0]
    assert shop.new("id") == [("1",), ("2",)]


def test_a_take_that_is_killed_before_its_commit_is_made_again(shop, monkeypatch):
    shop.ingest()
    shop.add((6, "placed", "2025-03-02 09:00:00+00"), (2, "shipped", "2025-03-02 09:00:00+00"))
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            shop.ingest()
    assert shop.new() == [("2", "shipped"), ("6", "placed")]
    assert [f.name for b in shop.lake.batches() for f in b.files] == ["orders-000001", "orders-000002"]


def test_a_file_whose_writer_was_killed_is_read_as_it_was_before(sqlite_shop):
    sqlite_shop.add((1, "placed", "2025-03-01"))
    writer = """if True:
        import os, sqlite3, sys
        connection = sqlite3.connect(sys.argv[1])
        connection.execute("pragma cache_size = 1")
        connection.execute("update orders set status = 'lost'")
        connection.executemany("insert into orders (id, status) values (?, ?)", [(n, "x" * 999) for n in range(2, 99)])
        os._exit(9)
    """
    path = sqlite_shop.place["path"]
    subprocess.run([sys.executable, "-c", writer, path], check=False)
    assert Path(f"{path}-journal").exists()
    assert sqlite_shop.new() == [("1", "placed")]


# The simulated web shop


@pytest.fixture(scope="module")
def life() -> ShopLife:
    return simulate_life(SHOP.size, SHOP.seed, LAST_DAY, SHOP.time_zone)


@pytest.fixture
def many_late(monkeypatch) -> None:
    """In a small shop hardly any order would commit late."""
    monkeypatch.setattr(web, "LATE", 0.2)


def dump(path: Path) -> dict[str, list[tuple]]:
    with closing(sqlite3.connect(path)) as connection:
        names = (*history.ENTITIES, "simulated_shop")
        return {name: connection.execute(f"select * from {name} order by 1").fetchall() for name in names}


def steps(first: int = 0) -> Iterator[tuple[int, int]]:
    """Yield days (after, through) that lead to the last day."""
    end = (LAST_DAY - SHOP.size.first_day).days
    days = [
        SHOP.live_from - 1,
        SHOP.live_from + first,
        *range(SHOP.live_from + 20, end - 5, 90),
        *range(end - 3, end + 1),
    ]
    return zip([-1, *days], days, strict=False)


def quiet(_: str) -> None:
    pass


def test_the_web_shop_is_the_same_in_one_step_and_in_many(life, tmp_path, many_late, monkeypatch):
    end = (LAST_DAY - SHOP.size.first_day).days
    # What is there on a day is the same however far the shop's life is known.
    longer = simulate_life(SHOP.size, SHOP.seed, date(2026, 6, 1), SHOP.time_zone)
    one = web.write(longer, tmp_path / "one", SHOP, -1, end, quiet)
    for after, through in steps():
        insert = web._insert
        with monkeypatch.context() as patch:
            # Each step is killed at its second table first.
            patch.setattr(web, "_insert", lambda c, t, r: insert(c, t, r) if t.name == "orders" else 1 / 0)  # noqa: B023
            if through > SHOP.live_from:
                with pytest.raises(ZeroDivisionError):
                    web.write(life, tmp_path / "many", SHOP, after, through, quiet)
        many = web.write(life, tmp_path / "many", SHOP, after, through, quiet)
        assert web.write(life, tmp_path / "many", SHOP, after, through, quiet) == many
    assert dump(tmp_path / "one/web/shop.db") == dump(tmp_path / "many/web/shop.db")
    assert many.rows == one.rows
    assert [p.name for p in (tmp_path / "many/web").iterdir()] == ["shop.db"]


def test_a_damaged_web_shop_is_made_anew(life, tmp_path):
    end = (LAST_DAY - SHOP.size.first_day).days
    web.write(life, tmp_path, SHOP, -1, end, quiet)
    whole = dump(tmp_path / "web/shop.db")
    (tmp_path / "web/shop.db").write_bytes(b"SQLite format 3\0 and nothing else")
    web.write(life, tmp_path, SHOP, end - 1, end, quiet)
    assert dump(tmp_path / "web/shop.db") == whole


def test_the_web_shop_on_a_server_holds_the_same_rows(life, tmp_path, many_late, new_database):
    url, spoiled = new_database(), replace(SHOP, defects=Defects(scale=5))
    for after, through in steps(10):
        held = web.write(life, tmp_path, spoiled, after, through, quiet, url=url)
    assert (held.files, list(tmp_path.iterdir())) == (0, [])
    web.write(life, tmp_path, spoiled, -1, (LAST_DAY - SHOP.size.first_day).days, quiet)
    with closing(psycopg2.connect(url, options="-c timezone=UTC")) as connection, connection.cursor() as cursor:
        for name, rows in dump(tmp_path / "web/shop.db").items():
            cursor.execute(f"select * from {name} order by 1")
            there = [tuple(plain(value) for value in row) for row in cursor.fetchall()]
            assert there == rows


def plain(value: Any) -> Any:
    """Return a value of PostgreSQL or Parquet as SQLite has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value


def test_tables_of_a_real_shop_and_of_another_simulated_one_are_not_written_to(life, tmp_path, postgres_shop):
    url = postgres_shop.place["url"]
    with pytest.raises(ConfigError, match="a table 'order_items' that is no simulated shop's"):
        web.write(life, tmp_path, SHOP, -1, SHOP.live_from, quiet, url=url)
    postgres_shop.execute("drop table orders, order_items")
    web.write(life, tmp_path, SHOP, -1, SHOP.live_from, quiet, url=url)
    with pytest.raises(ConfigError, match="holds another simulated shop"):
        web.write(life, tmp_path, ShopFacts(SHOP.size, 7, "EUR", "UTC"), -1, SHOP.live_from, quiet, url=url)


def test_a_web_shop_that_is_down_is_named_without_its_password(life, tmp_path):
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1/shop \(WEBSHOP_URL\) cannot be written") as error:
        web.write(life, tmp_path, SHOP, -1, 1, quiet, url="postgresql://anna:s3cret-word@127.0.0.1:1/shop")
    assert "s3cret-word" not in str(error.value)


def test_everything_of_the_web_shop_is_read_day_by_day_exactly_once(life, tmp_path, many_late, sqlite_shop):
    sqlite_shop.place = {"path": str(tmp_path / "web/shop.db")}
    sqlite_shop.entities["payments"] = {"table": "payments"}
    end = (LAST_DAY - SHOP.size.first_day).days
    after, before = -1, {}
    late = 0
    for through in range(end - 50, end + 1, 10):
        web.write(life, tmp_path, SHOP, after, through, quiet)
        now = dump(tmp_path / "web/shop.db")["orders"]
        changed = {str(row[0]) for row in now if before.get(row[0]) != row}
        assert {row for (row,) in sqlite_shop.new("id")} == changed
        newest = max((row[-1] for row in before.values()), default="9")
        late += sum(row[0] not in before and row[0] < max(before, default=0) and row[-1] < newest for row in now)
        after, before = through, {row[0]: row for row in now}
    assert late
    columns = "cast(id as bigint), status, cast(total_amount as double), updated_at"
    taken = sqlite_shop.newest("orders", columns)
    assert taken == sorted((row[0], row[4], float(row[11]), row[-1]) for row in now)
    rows = dump(tmp_path / "web/shop.db")
    for entity in ("order_items", "payments"):
        assert sqlite_shop.newest(entity, "cast(id as bigint)") == [(row[0],) for row in rows[entity]]


def test_an_order_that_came_back_whole_says_so_once(life, tmp_path):
    seen: dict[str, dict[str, bool]] = {}
    web_shop = web.live(life, SHOP)
    for through in range(SHOP.live_from, SHOP.live_from + 700):
        rows = web_shop.rows["orders"]
        there = np.flatnonzero((rows.seen <= through) & life.orders.is_wholly_returned[rows.row])
        orders = web.state(life, SHOP, web_shop, "orders", there, through).filter(pc.field("channel") == "web")
        for number, status in zip(orders["order_id"].to_pylist(), orders["status"].to_pylist(), strict=True):
            seen.setdefault(number, {})[status] = True
    assert {tuple(statuses) for statuses in seen.values()} >= {("placed", "shipped", "returned", "refunded")}
    end = (LAST_DAY - SHOP.size.first_day).days
    web.write(life, tmp_path, SHOP, -1, end, quiet)
    with closing(sqlite3.connect(tmp_path / "web/shop.db")) as connection:
        found = connection.execute(
            "select status, sum(i.quantity < 0), sum(i.quantity), (select sum(p.amount) from payments p"
            " where p.order_id = o.order_id and p.status = 'refunded'), total_amount - shipping_amount"
            " from orders o join order_items i on i.order_id = o.order_id where channel = 'web' group by o.order_id"
        ).fetchall()
    whole = [row for row in found if row[0] in ("returned", "refunded")]
    assert {row[0] for row in found} >= {"placed", "shipped", "refunded", "cancelled"}
    assert all(returns == 0 for _, returns, *_ in whole)
    assert all(back == pytest.approx(goods) for status, _, _, back, goods in whole if status == "refunded")
    assert all(left > 0 for _, _, left, *_ in found)
    assert any(returns for _, returns, *_ in found)


def test_orders_migrated_into_the_web_shop_are_recorded_as_in_the_history(life, tmp_path):
    end = (LAST_DAY - SHOP.size.first_day).days
    for write in (web.write, history.write):
        write(life, tmp_path, SHOP, -1, end, quiet)
    placed = life.orders.placed
    migrated = placed.number[(placed.day >= SHOP.live_from - 30) & (placed.day < SHOP.live_from)]
    ids = [f"H-{number:08d}" for number in migrated]
    with closing(sqlite3.connect(tmp_path / "web/shop.db")) as connection:
        for entity in history.ENTITIES:
            recorded = pyarrow.dataset.dataset(tmp_path / "history" / entity).to_table()
            recorded = recorded.filter(pc.is_in(recorded["order_id"], value_set=pa.array(ids)))
            columns = ", ".join(recorded.column_names)
            rows = connection.execute(f"select {columns} from {entity} where order_id like 'H-%'").fetchall()
            expected = [tuple(plain(value) for value in row.values()) for row in recorded.to_pylist()]
            assert len(rows) >= len(ids) > 10
            assert sorted(rows, key=str) == sorted(expected, key=str)


def test_the_example_reads_a_web_shop(life, tmp_path, monkeypatch):
    web.write(life, tmp_path, SHOP, -1, (LAST_DAY - SHOP.size.first_day).days, quiet)
    monkeypatch.setenv("SHOP_DATABASE_FILE", str(tmp_path / "web/shop.db"))
    monkeypatch.delenv("SHOP_DATABASE_URL", raising=False)
    settings = load_settings(sources=PROJECT / "examples/database.yml", data_dir=tmp_path / "data")
    taken = ingest(settings, "run1")
    taken.raise_failures()
    expected = {name: len(rows) for name, rows in dump(tmp_path / "web/shop.db").items()}
    assert dict(zip(taken.table["entity"], taken.table["new_rows"], strict=True)) == {
        name: expected[name] for name in history.ENTITIES
    }
