"""Events: nested JSON lines are read whole whatever their form, and the simulated clickstream is consistent."""

import bz2
import gzip
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import numpy as np
import pytest

from lib.base.errors import SourceError
from lib.ingest.run import Ingested, ingest
from lib.lake import Lake
from lib.settings import load_settings
from lib.shop import clickstream
from lib.shop.channels import WEB
from lib.shop.life import ShopLife, simulate_life
from lib.shop.sizes import LAST_DAY, SIZES, Size
from lib.shop.systems import Holdings, ShopFacts
from tests.small_shop import SmallShop, rows

BASE = {"event_id": "1", "event_at": "2025-12-01T10:00:00.123Z", "event_type": "page_view"}
HOUR = "2025/12/01/10"


def lines(*events: dict[str, Any] | str) -> bytes:
    texts = [e if isinstance(e, str) else json.dumps(e, ensure_ascii=False) for e in events]
    return "".join(text + "\n" for text in texts).encode()


def packed(*events: dict[str, Any] | str) -> bytes:
    return gzip.compress(lines(*events), mtime=0)


@pytest.fixture
def shop(tmp_path: Path) -> SmallShop:
    return SmallShop(tmp_path, {"events": {"files": "**/*"}}, source={"kind": "events"})


def take(shop: SmallShop) -> Ingested:
    taken = shop.ingest()
    taken.raise_failures()
    return taken


def raw(shop: SmallShop, *columns: str) -> list[tuple]:
    """Return columns of every raw row in the lake, by batch and row."""
    found = []
    for batch in shop.lake.batches():
        parts = [shop.lake.path(f"{batch.folder}/{p}") for p in batch.parts if p.startswith("part-")]
        wanted = ", ".join(f'"{c}"' for c in columns)
        sql = f"select {wanted} from read_parquet(?, union_by_name = true) order by _row"
        found += duckdb.execute(sql, [parts]).fetchall() if parts else []
    return found


def malformed(shop: SmallShop) -> list[tuple]:
    """Return file, line, text and error of every malformed line in the lake."""
    parts = [shop.lake.path(f"{b.folder}/{p}") for b in shop.lake.batches() for p in b.parts if p.startswith("malf")]
    return duckdb.execute("select * from read_parquet(?) order by all", [parts]).fetchall() if parts else []


# --- lists

GA4 = {
    "event_name": "purchase",
    "event_timestamp": "1764583200123456",
    "event_params": [
        {"key": "page_location", "value": {"string_value": "https://shop/done", "int_value": None}},
        {"key": "ga_session_id", "value": {"int_value": "1764583000"}},
        {"key": "value", "value": {"double_value": 12.5}},
    ],
    "items": [
        {"item_id": "MUG", "quantity": "2", "item_params": [{"key": "colour", "value": {"string_value": "red"}}]}
    ],
}


def test_lists_of_keys_and_values_give_a_column_a_key_beside_the_list(tmp_path):
    columns = {"event_at": "event_timestamp", "event_type": "event_name", "page": "event_params.page_location"}
    shop = SmallShop(tmp_path, {"events": {"files": "*", "columns": columns}}, source={"kind": "events"})
    view = {"event_name": "page_view", "event_timestamp": "1", "event_params": [], "items": []}
    shop.write("a.jsonl", lines(view, GA4))
    take(shop)
    assert raw(shop, "event_params.page_location", "event_params.ga_session_id", "event_params.value") == [
        (None, None, None),
        ("https://shop/done", "1764583000", "12.5"),
    ]
    assert json.loads(raw(shop, "event_params")[1][0]) == GA4["event_params"]


def test_each_element_of_a_list_is_a_row_with_what_is_around_it(tmp_path):
    columns = {"event_at": "event_timestamp", "event_type": "event_name", "product_id": "items.item_id"}
    options = {"files": "*", "columns": columns, "rows": "items"}
    shop = SmallShop(tmp_path, {"events": options}, source={"kind": "events"})
    two = GA4 | {"items": [*GA4["items"], {"item_id": "CUP", "price": 123456789012345.678901}]}
    shop.write("a.jsonl", lines(GA4 | {"items": []}, "nonsense", two, {**GA4, "items": None}))
    take(shop)
    assert raw(shop, "event_name", "items.item_id", "items._number", "items.item_params.colour", "_row") == [
        ("purchase", None, None, None, 0),
        ("purchase", "MUG", "1", "red", 1),
        ("purchase", "CUP", "2", None, 2),
        ("purchase", None, None, None, 3),
    ]
    (batch,) = shop.lake.batches()
    assert (batch.rows, batch.malformed) == (4, 1)
    assert [(line, text) for _, line, text, _ in malformed(shop)] == [(2, "nonsense")]


def test_pairs_of_a_name_and_a_value_are_no_lines_of_an_order(shop):
    notes = [{"name": "gift", "value": "yes"}]
    goods = [{"name": "Mug", "value": 5, "quantity": 1}]
    shop.write("a.jsonl", lines(BASE | {"notes": notes, "goods": goods}))
    take(shop)
    (batch,) = shop.lake.batches()
    assert [c for c in batch.columns if "." in c] == ["notes.gift"]
    assert raw(shop, "notes.gift") == [("yes",)]


# --- values


def test_nested_objects_become_dotted_columns_and_lists_stay_json(shop):
    deep = {"a": {"b": {"c": {"d": "deep"}}}, "list": [1, 2.5, {"x": None}], "none": None, "yes": True}
    shop.write(f"{HOUR}/a.json.gz", packed(BASE | deep))
    take(shop)
    found = raw(shop, "event_id", "event_at", "a.b.c.d", "list", "none", "yes", "_file", "_row")
    assert found == [
        ("1", "2025-12-01T10:00:00.123Z", "deep", '[1,2.5,{"x":null}]', None, "true", f"{HOUR}/a.json.gz", 0)
    ]


def test_a_column_that_only_some_lines_have_is_null_elsewhere(shop):
    shop.write("a.json.gz", packed(BASE, BASE | {"event_id": "2", "visitor": {"id": "ä"}}))
    shop.write("b.json.gz", packed(BASE | {"event_id": "3", "visitor": {"id": "ß", "city": "Zürich 🛒"}}))
    take(shop)
    assert raw(shop, "event_id", "visitor.id", "visitor.city", "_row") == [
        ("1", None, None, 0),
        ("2", "ä", None, 1),
        ("3", "ß", "Zürich 🛒", 2),
    ]


def test_no_digit_of_a_number_is_lost(shop):
    numbers = ["12345678901234567.89", "123456789012345678901234567890", "-9223372036854775809", "39.98", "0"]
    numbers.append("0.1000000000000000055511151231257827")
    texts = [f'{{"event_id":"{i}","event_at":"x","event_type":"y","n":{n}}}' for i, n in enumerate(numbers)]
    tricky = (
        '{"event_id":"t","event_at":"x","event_type":"say \\"12345678901234567.89\\"","n":[1.00000000000000000001]}'
    )
    shop.write("a.json.gz", packed(*texts, tricky))
    take(shop)
    assert [n for (n,) in raw(shop, "n")] == [*numbers, '["1.00000000000000000001"]']
    assert raw(shop, "event_type")[-1] == ('say "12345678901234567.89"',)


def test_a_name_that_is_a_text_here_and_an_object_there_loses_neither(shop):
    shop.write("a.json.gz", packed(BASE | {"context": {"page": "/", "os": {"name": "x"}}}, BASE | {"context": "old"}))
    shop.write("b.json.gz", packed(BASE | {"context": ["l"]}, BASE | {"context": {"page": "/b", "os": "y"}}))
    take(shop)
    assert raw(shop, "context", "context.page", "context.os", "context.os.name") == [
        (None, "/", None, "x"),
        ("old", None, None, None),
        ('["l"]', None, None, None),
        (None, "/b", "y", None),
    ]


def test_names_that_differ_only_in_case_or_dots_keep_columns_of_their_own(shop):
    odd = {"Event_ID": "other", "a": {"b": 1}, "a.b": 2, "_row": 3, "": 4, "s/l~a'sh\"": 5}
    shop.write("a.json.gz", packed(odd | BASE))
    take(shop)
    names = ["event_id", "Event_ID_2", "a.b", "a.b_2", "_row_2", "unnamed", "s/l~a'sh\""]
    assert raw(shop, "event_id", "Event_ID_2", "a.b", "a.b_2", "_row_2", "unnamed") == [
        ("1", "other", "1", "2", "3", "4")
    ]
    assert set(names) <= set(shop.lake.batches()[0].columns)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", lines(BASE)),
        ("a.jsonl", b"\xef\xbb\xbf" + lines(BASE)),
        ("a.ndjson", lines(BASE).replace(b"\n", b"\r\n") + b"\r\n \n"),
        ("a.jsonl.bz2", bz2.compress(lines(BASE))),
        ("a.json.gz", gzip.compress(lines(BASE)[:20]) + gzip.compress(lines(BASE)[20:].rstrip())),
        ("a.json", json.dumps([BASE], indent=2).encode()),
        ("a.json", json.dumps(BASE, indent=2).encode()),
    ],
)
def test_lines_and_documents_are_read_plain_and_compressed(shop, name, content):
    shop.write(f"{HOUR}/{name}", content)
    table = take(shop).table
    assert raw(shop, *BASE) == [tuple(BASE.values())]
    assert (table.new_rows.sum(), table.malformed_lines.sum(), table.rejected_files.sum()) == (1, 0, 0)


def test_a_large_file_is_read_in_pieces_with_its_lines_counted_through(shop, monkeypatch):
    monkeypatch.setattr("lib.sources.json_files.PIECE_BYTES", 400)
    monkeypatch.setattr("lib.sources.json_files.LARGE_BYTES", 1000)
    events = [BASE | {"event_id": str(i)} for i in range(50)]
    content = [*map(json.dumps, events[:40]), "broken", *map(json.dumps, events[40:])]
    shop.write("a.jsonl", lines(*content))
    shop.write("b.json.gz", packed(BASE | {"event_id": "last"}))
    shop.write("c.jsonl.gz", gzip.compress(lines(*events * 99), 0)[:-9])
    take(shop)
    assert [i for (i,) in raw(shop, "event_id")] == [*map(str, range(50)), "last"]
    assert [(file, line) for file, line, _, _ in malformed(shop)] == [("a.jsonl", 41)]
    assert [(f.name, f.rows, f.first_row, f.malformed) for f in shop.lake.batches()[0].files] == [
        ("a.jsonl", 50, 0, 1),
        ("b.json.gz", 1, 50, 0),
    ]
    assert [note["name"] for note in shop.lake.rejected()] == ["c.jsonl.gz"]


# --- what is wrong


def test_malformed_lines_cost_only_themselves_and_keep_their_place(shop):
    deep = '{"event_id": "x", "a": ' + "[" * 130 + "]" * 130 + "}"
    bad = ['{"event_id": "x"', "[1, 2]", '"text"', '{"a": "\\ud800"}', "nonsense", deep]
    content = (
        lines(BASE, *bad, "", BASE | {"event_id": "2"}) + b'{"event_id": "\xff"}\n' + lines(BASE | {"event_id": "3"})
    )
    shop.write("a.json.gz", gzip.compress(content))
    taken = take(shop)
    assert [i for (i,) in raw(shop, "event_id")] == ["1", "2", "3"]
    assert malformed(shop) == [
        ("a.json.gz", 2, bad[0], "no JSON: Expecting ',' delimiter at character 17"),
        ("a.json.gz", 3, bad[1], "a list, and no JSON object"),
        ("a.json.gz", 4, bad[2], "a text, and no JSON object"),
        ("a.json.gz", 5, bad[3], "no JSON: a text in it is not valid Unicode"),
        ("a.json.gz", 6, bad[4], "no JSON: Expecting value at character 1"),
        ("a.json.gz", 7, deep, "no JSON that can be read: nested more than 120 deep"),
        ("a.json.gz", 9, '{"event_id": "�"}', "no JSON: a text in it is not valid Unicode"),
    ]
    assert (taken.rows, int(taken.table.malformed_lines.sum())) == (10, 7)
    staged = rows(shop.load(), "select event_id, _source_row from stage.events where _reject_rule is null order by 1")
    assert staged == [("1", 1), ("2", 8), ("3", 10)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.json.gz", b"", "the file is empty"),
        ("blank.json.gz", packed("", " "), "the file is empty"),
        ("cut.json.gz", packed(*[BASE | {"n": i} for i in range(500)])[:200], "cannot be read to its end"),
        ("torn.json.gz", packed(BASE)[:-8] + b"\0" * 8, "cannot be read to its end"),
        ("no.json.gz", lines(BASE), "cannot be read to its end"),
        ("page.json", b"<html>\n<p>Not found</p>\n", "has no line that is a JSON object; the first is '<html>'"),
        ("other.json", lines({"id": "1", "event_at": "x"}), "has no 'event_type' in any line (mapped for events)"),
    ],
)
def test_a_bad_file_is_kept_whole_with_its_reason_and_the_rest_is_read(shop, name, content, said):
    shop.write("good.json.gz", packed(BASE))
    shop.write(name, content)
    take(shop)
    assert raw(shop, "event_id", "_row") == [("1", 0)]
    (note,) = shop.lake.rejected()
    assert (note["name"], note["bytes"]) == (name, len(content))
    assert said in note["reason"]
    kept = [p for p in (shop.root / "data" / "lake" / "rejected").rglob(name) if p.is_file()]
    assert [p.read_bytes() for p in kept] == ([content] if content else [])


def test_where_nothing_is_usable_the_source_fails_and_says_why(shop):
    shop.write("a.json.gz", packed({"eventid": "1", "eventat": "x"}))
    taken = shop.ingest()
    with pytest.raises(
        SourceError, match=r"has no 'event_at' in any line.*found eventid, eventat. Did you mean 'eventat'\?"
    ):
        taken.raise_failures()
    assert not shop.lake.batches()


def test_names_that_are_data_are_refused_with_advice(shop):
    shop.write("a.json.gz", packed(*[BASE | {"seen": {f"user{n * 50 + i}": 1 for i in range(50)}} for n in range(60)]))
    with pytest.raises(SourceError, match=r"more than 2,000 different names, such as 'seen\.user\d+'"):
        take(shop)


# --- again and again


def test_a_file_corrected_under_its_name_is_read_again_and_replaces_and_others_are_not(shop):
    whole = packed(*[BASE | {"event_id": f"m{i}", "noise": str(i) * 40} for i in range(200)])
    shop.write("a.json.gz", packed(BASE | {"event_id": "a"}))
    shop.write("b.json.gz", packed(BASE | {"event_id": "b"}, '{"event_id": "lost', BASE | {"event_id": "c"}))
    shop.write("c.json.gz", whole[: len(whole) // 2])
    assert (take(shop).rows, len(shop.lake.rejected())) == (4, 1)
    assert take(shop).rows == 0
    shop.write("b.json.gz", packed(BASE | {"event_id": "b"}, BASE | {"event_id": "lost"}, BASE | {"event_id": "c"}))
    shop.write("c.json.gz", whole)
    assert (take(shop).rows, shop.lake.rejected()) == (203, [])
    assert [f.name for f in shop.lake.batches()[-1].files] == ["b.json.gz", "c.json.gz"]
    warehouse = shop.load()
    staged = rows(warehouse, "select event_id from stage.events where _reject_rule is null order by 1")
    assert [i for (i,) in staged] == sorted(["a", "b", "c", "lost", *(f"m{i}" for i in range(200))])


def test_a_mapped_column_that_no_line_of_a_delivery_has_is_no_drift(shop):
    columns = {"event_id": "id", "event_at": "at", "event_type": "type", "order_id": "order.id", "value": "cart.value"}
    shop.entities = {"events": {"files": "**/*", "columns": columns}}
    shop.source = {"kind": "events", "schema_changes": "freeze"}
    event = {"id": "1", "at": "2025-12-01T10:00:00Z", "type": "purchase"}
    shop.write("a.json.gz", packed(event | {"order": {"id": "W-1"}, "cart": {"value": 1.5}}))
    take(shop)
    shop.write("b.json.gz", packed(event | {"id": "2"}))
    assert (take(shop).rows, shop.lake.rejected()) == (1, [])
    staged = rows(shop.load(), "select event_id, order_id, cast(value as varchar) from stage.events order by 1")
    assert staged == [("1", "W-1", "1.5000"), ("2", None, None)]


def test_only_the_newest_days_are_listed_where_a_number_is_given(shop):
    shop.source = {"kind": "events", "newest_days": 2}
    for day in ("2024/12/31", "2025/11/28", "2025/11/30", "2025/12/01"):
        shop.write(f"{day}/07/e.json.gz", packed(BASE | {"event_id": day}))
    shop.write("notes/e.json.gz", packed(BASE))
    take(shop)
    assert {i for (i,) in raw(shop, "event_id")} == {"2025/12/01", "2025/11/30"}
    shop.source = {"kind": "events"}
    assert take(shop).rows == 3


def test_events_come_from_an_object_store_too(shop):
    store = fsspec.filesystem("memory")
    store.pipe_file("/stream/events/2025/12/01/10/a.json.gz", packed(BASE))
    shop.source = {"kind": "events", "path": "memory://stream/events", "newest_days": 1}
    take(shop)
    assert raw(shop, "event_id", "_file") == [("1", f"{HOUR}/a.json.gz")]


# --- the simulated clickstream

QUIET: Size = replace(SIZES["small"], tracked_from=date(2025, 12, 10), events=8_500)
LAST = (LAST_DAY - QUIET.first_day).days


def facts(size: Size = QUIET, time_zone: str = "Europe/Berlin") -> ShopFacts:
    return ShopFacts(size, 42, "EUR", time_zone)


def written(life: ShopLife, folder: Path, shop: ShopFacts, *days: int) -> Holdings:
    """Write the clickstream up to each of some days, one after the other."""
    after = -1
    for through in days:
        held = clickstream.write(life, folder, shop, after, through, lambda _: None)
        after = through
    return held


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def life() -> ShopLife:
    return simulate_life(QUIET, 42, LAST_DAY, "Europe/Berlin")


@pytest.fixture
def often_faulty(monkeypatch):
    monkeypatch.setattr(clickstream, "FAULTY", 6)


@pytest.mark.usefixtures("often_faulty")
def test_many_steps_write_the_bytes_of_one_and_every_fault_is_corrected_in_time(life, tmp_path):
    steps = [LAST - 14, LAST - 11, LAST - 10, LAST - 7]
    before: dict[str, bytes] = {}
    was_mended = 0
    for n in range(1, len(steps) + 1):
        shop = facts()
        after = steps[n - 2] if n > 1 else -1
        held = clickstream.write(life, tmp_path / "many", shop, after, steps[n - 1], lambda _: None)
        assert held == written(life, tmp_path / f"one{n}", shop, steps[n - 1])
        now = contents(tmp_path / "many")
        assert now == contents(tmp_path / f"one{n}")
        assert set(before) <= set(now)
        was_mended += sum(now[name] != before[name] for name in before)
        before = now
    assert was_mended > 5


def test_a_day_holds_the_same_however_far_the_shop_is_simulated(life, tmp_path):
    further = simulate_life(QUIET, 42, date(2026, 1, 3), "Europe/Berlin")
    written(life, tmp_path / "short", facts(), LAST)
    written(further, tmp_path / "long", facts(), LAST, LAST + 3)
    short, long = contents(tmp_path / "short"), contents(tmp_path / "long")
    assert set(short) <= set(long)
    later = [name.split("/")[2:5] for name in set(long) - set(short)]
    assert {day for year, _, day in later if year == "2026"} == {"01", "02", "03"}
    written(further, tmp_path / "one", facts(), LAST + 3)
    assert long == contents(tmp_path / "one")


@pytest.mark.usefixtures("often_faulty")
def test_a_write_that_was_killed_is_repeated_to_the_same_bytes(life, tmp_path):
    def killed(text: str) -> None:
        if text.endswith("2025-12-19"):
            raise KeyboardInterrupt

    written(life, tmp_path / "whole", facts(), LAST - 15, LAST - 9)
    written(life, tmp_path / "killed", facts(), LAST - 15)
    with pytest.raises(KeyboardInterrupt):
        clickstream.write(life, tmp_path / "killed", facts(), LAST - 15, LAST - 9, killed)
    clickstream.write(life, tmp_path / "killed", facts(), LAST - 15, LAST - 9, lambda _: None)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_days_that_end_within_an_hour_of_utc_stay_distinct(tmp_path):
    shop = facts(time_zone="Asia/Kolkata")
    life = simulate_life(QUIET, 42, LAST_DAY, shop.time_zone)
    written(life, tmp_path / "many", shop, LAST - 20, LAST - 19, LAST - 18)
    written(life, tmp_path / "one", shop, LAST - 18)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_before_tracking_begins_there_is_nothing(life, tmp_path):
    assert written(life, tmp_path, facts(), facts().tracked_from - 1) == Holdings({"events": 0})
    assert contents(tmp_path) == {}


@pytest.mark.usefixtures("often_faulty")
def test_what_is_read_step_by_step_is_what_is_read_at_the_end(life, tmp_path, monkeypatch):
    def taken(folder: Path, name: str) -> Lake:
        monkeypatch.setenv("CLICKSTREAM_DIR", str(folder / "clickstream" / "events"))
        settings = load_settings(
            sources="examples/clickstream.yml", data_dir=tmp_path / name, output_dir=tmp_path / "out"
        )
        ingest(settings, "run").raise_failures()
        return Lake(settings.lake_url)

    def newest(lake: Lake) -> list[tuple]:
        parts = [
            (lake.path(f"{b.folder}/{p}"), [f.name for f in b.files])
            for b in lake.batches()
            for p in b.parts
            if p.startswith("part-")
        ]
        last = {name: part for part, names in parts for name in names}
        sql = "select * from read_parquet(?, filename = true, union_by_name = true)"
        table = duckdb.execute(sql, [[part for part, _ in parts]]).df()
        current = table[table["_file"].map(last) == table["filename"]].drop(columns=["_row", "filename"])
        named = current[sorted(current.columns)].fillna("").astype(str)
        return sorted(named.itertuples(index=False, name=None))

    written(life, tmp_path / "live", facts(), LAST - 15)
    lake = taken(tmp_path / "live", "steps")
    assert lake.rejected()
    assert sum(b.malformed for b in lake.batches()) > 0
    clickstream.write(life, tmp_path / "live", facts(), LAST - 15, LAST - 10, lambda _: None)
    lake = taken(tmp_path / "live", "steps")
    assert newest(lake) == newest(taken(tmp_path / "live", "once"))


# --- what the visitors do


@pytest.fixture(scope="module")
def busy(tmp_path_factory) -> tuple[ShopLife, ShopFacts, Holdings, duckdb.DuckDBPyConnection]:
    """Three weeks of the default shop, its events as a table `e` of unique ones, `lines` of all."""
    size = replace(SIZES["default"], tracked_from=date(2025, 12, 12), events=80_000)
    shop, folder = facts(size), tmp_path_factory.mktemp("busy")
    life = simulate_life(size, 42, LAST_DAY, "Europe/Berlin")
    held = written(life, folder, shop, LAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLICKSTREAM_DIR", str(folder / "clickstream" / "events"))
        settings = load_settings(sources="examples/clickstream.yml", data_dir=folder / "d", output_dir=folder / "o")
    ingest(settings, "run").raise_failures()
    lake = Lake(settings.lake_url)
    parts = [lake.path(f"{b.folder}/{p}") for b in lake.batches() for p in b.parts if p.startswith("part-")]
    connection = duckdb.connect()
    connection.execute(f"create table lines as from read_parquet({parts}, union_by_name = true)")
    connection.execute(
        """create table e as select distinct on (event_id) event_id, cast(event_at as timestamp) as moment, type,
            "visitor.id" as visitor, "visitor.customer_id" as customer, "session.hint" as session,
            "product.id" as product, "order.id" as order_id, "context.device" as device,
            cast("cart.quantity" as int) as quantity, cast("cart.value" as decimal(18, 2)) as worth
        from lines"""
    )
    return life, shop, held, connection


def one(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: str) -> tuple:
    """Return the only row of a query."""
    (row,) = connection.execute(sql, list(parameters)).fetchall()
    return row


def test_every_web_order_has_one_purchase_with_its_time_and_total_and_nothing_else_has(busy):
    life, shop, _, connection = busy
    orders = life.orders
    tracked = (orders.channel == WEB) & (orders.placed.day >= shop.tracked_from) & (orders.placed.day <= LAST)
    tracked = np.flatnonzero(tracked)
    expected = {
        (f"W-{number:08d}", at * 1000, total, f"C{customer:06d}")
        for number, at, total, customer in zip(
            orders.placed.number[tracked].tolist(),
            orders.placed.at[tracked].tolist(),
            orders.total[tracked].tolist(),
            life.customers.number[orders.placed.customer[tracked]].tolist(),
            strict=True,
        )
    }
    purchases = connection.execute(
        "select order_id, epoch_ms(moment), cast(worth * 100 as int), customer from e where type = 'purchase'"
    ).fetchall()
    late = len(expected) - len(purchases)
    assert set(purchases) <= expected
    assert 0 <= late <= 0.01 * len(expected)
    assert orders.is_cancelled[tracked].any()
    assert one(connection, "select count(distinct session) from e where type = 'purchase'") == (len(purchases),)
    assert one(connection, "select count(*) from e where order_id is not null and type <> 'purchase'") == (0,)


def test_what_is_bought_was_looked_at_and_put_into_the_cart_before(busy):
    life, _, _, connection = busy
    sold = np.flatnonzero(life.lines.quantity > 0)
    lines = {
        "number": life.lines.order[sold],
        "product": life.lines.product[sold],
        "n": life.lines.quantity[sold],
    }
    connection.register("sold", {name: np.asarray(values) for name, values in lines.items()})
    missing, n = one(
        connection,
        """
        select count(*) filter (not exists (from e a where a.session = p.session and a.type = 'add_to_cart'
                and a.product = printf('P%04d', s.product + 1) and a.quantity = s.n and a.moment <= p.moment)
            or not exists (from e v where v.session = p.session and v.type = 'product_view'
                and v.product = printf('P%04d', s.product + 1) and v.moment <= p.moment)), count(*)
        from e p join sold s on cast(substr(p.order_id, 3) as bigint) = s.number where p.type = 'purchase'
        """,
    )
    assert n > 500
    assert missing == 0


def test_the_funnel_the_sessions_and_the_deliveries_are_plausible(busy):
    _, shop, held, connection = busy
    assert held.rows["events"] == one(connection, "select count(*) from lines")[0]
    assert abs(held.rows["events"] / shop.size.events - 1) < 0.06
    share = "select count(distinct session) filter (type = ?) / count(distinct session) from e"
    steps = ("product_view", "add_to_cart", "checkout", "purchase")
    reached = [one(connection, share, kind)[0] for kind in steps]
    view, add, checkout, purchase = reached
    assert 0.7 < view < 0.9
    assert 0.09 < add < 0.2
    assert 0.05 < checkout < 0.12
    assert 0.02 < purchase < 0.06
    assert purchase < checkout < add

    longest_pause, orderly = one(
        connection,
        """select max(epoch(pause)), bool_and(pause >= interval 0 second)
        from (select moment - lag(moment) over (partition by session order by event_id) as pause from e)""",
    )
    assert orderly
    assert longest_pause < 1800
    close, n = one(
        connection,
        """select avg(cast(gap < interval 30 minute as int)), count(gap) from (
            select min(moment) - lag(max(moment)) over (partition by visitor order by min(moment)) as gap
            from e group by visitor, session)""",
    )
    assert n > 1000
    assert close < 0.01
    twice, late = one(
        connection,
        """select 1 - count(distinct event_id) / count(*),
            avg(cast(strptime(_file[:13], '%Y/%m/%d/%H') > cast(event_at as timestamp) as int))
        from lines""",
    )
    assert 0.003 < twice < 0.007
    assert 0.004 < late < 0.016
    by_device = dict(connection.execute("select device, count(distinct session) from e group by 1").fetchall())
    assert by_device["mobile"] > by_device["desktop"] > by_device["tablet"] > 0
    night, evening = one(
        connection, "select count(*) filter (hour(moment) in (1, 2)), count(*) filter (hour(moment) in (18, 19)) from e"
    )
    assert night * 5 < evening
