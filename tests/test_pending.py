"""What is new in the sources (files, archives, databases, mail, object stores), and the watch that starts a flow."""

import sqlite3
import zipfile
from datetime import UTC, datetime, timedelta
from shutil import rmtree

import fsspec
import pytest
import yaml
from typer.testing import CliRunner

from lib.ingest import pending as asking
from lib.ingest.pending import New, Pending, pending
from lib.ingest.run import ingest
from lib.run.manifest import start_run
from lib.run.schedule import Stopped
from lib.run.watch import IN_LAKE, keep_watching, look
from lib.settings import load_settings
from run_pipeline import app
from tests.small_shop import SmallShop
from tests.test_flows import LINES, ORDERS
from tests.test_mail import Stores, letter

MORE = ORDERS.replace("\n1,", "\n11,").replace("\n2,", "\n12,")


@pytest.fixture
def shop(tmp_path):
    shop = SmallShop(tmp_path, entities={"orders": {}, "order_items": {}})
    shop.write("orders/1.csv", ORDERS)
    shop.write("order_items/1.csv", LINES)
    return shop


@pytest.fixture
def read(monkeypatch):
    """The names of the files whose content was looked into."""
    found: list[str] = []
    differs = asking._differs

    def noted(task, versions, listed, endings):
        found.append(listed.name)
        return differs(task, versions, listed, endings)

    monkeypatch.setattr(asking, "_differs", noted)
    return found


def names(found: Pending) -> dict[str, list[str]]:
    return {f"{one.source}.{one.entity}": list(one.documents) for one in found.new}


def test_files_are_told_by_name_and_size_unread(shop, read):
    assert names(pending(shop.settings)) == {
        "exports.orders": ["orders/1.csv"],
        "exports.order_items": ["order_items/1.csv"],
    }
    shop.ingest()
    shop.write("orders/2.csv", MORE)
    shop.write("orders/1.csv", ORDERS + "3,9,2026-02-06 10:00:00,completed,store,EUR,99.00\n")
    shop.write("orders/.3.csv", MORE)
    shop.write("orders/4.csv.partial", MORE)
    assert names(pending(shop.settings)) == {"exports.orders": ["orders/1.csv", "orders/2.csv"]}
    assert "orders/2.csv" not in read and "orders/1.csv" not in read
    shop.ingest()
    assert pending(shop.settings).new == []


def test_a_file_of_the_same_size_is_read_where_its_time_leaves_it_open_and_once(shop, read, monkeypatch):
    shop.ingest()
    assert pending(shop.settings).new == [] and sorted(read) == ["order_items/1.csv", "orders/1.csv"]
    read.clear()
    assert pending(shop.settings).new == [] and read == []
    shop.write("orders/1.csv", ORDERS.replace("20.00", "21.00"))
    assert names(pending(shop.settings)) == {"exports.orders": ["orders/1.csv"]} and read == ["orders/1.csv"]
    shop.ingest()
    read.clear()
    # What was last changed well before it was read is as it was.
    monkeypatch.setattr(asking, "_CLOCKS_APART", timedelta(seconds=-5))
    (shop.settings.work_dir / "pending.json").unlink()
    assert pending(shop.settings).new == [] and read == []


def test_a_file_that_was_rejected_is_new_once_it_is_corrected(shop):
    shop.ingest()
    shop.write("orders/2.csv", "this,is,something\nelse,en,tirely\n")
    assert names(pending(shop.settings)) == {"exports.orders": ["orders/2.csv"]}
    assert len(shop.ingest().rejected) == 1
    assert pending(shop.settings).new == []
    shop.write("orders/2.csv", MORE)
    assert names(pending(shop.settings)) == {"exports.orders": ["orders/2.csv"]}


def test_an_archive_is_new_where_a_file_in_it_is(shop):
    shop.ingest()
    archive = shop.exports / "orders" / "more.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("2.csv", MORE)
    assert names(pending(shop.settings)) == {"exports.orders": ["orders/more.zip"]}
    shop.ingest()
    assert pending(shop.settings).new == []
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("3.csv", MORE.replace("\n11,", "\n21,"))
    assert names(pending(shop.settings)) == {"exports.orders": ["orders/more.zip"]}


def test_a_table_of_lookups_counts_too(tmp_path):
    status = {"lookup": {"files": "words.csv", "key": "word", "by": "status", "value": "meaning"}}
    columns = {n: n for n in ("order_id", "customer_id", "ordered_at", "channel", "currency", "total_amount")}
    shop = SmallShop(tmp_path, entities={"orders": {"columns": columns | {"status": status}}})
    shop.write("orders/1.csv", ORDERS)
    shop.write("words.csv", "word,meaning\ncompleted,paid\n")
    shop.ingest().raise_failures()
    assert pending(shop.settings).new == []
    shop.write("words.csv", "word,meaning\ncompleted,delivered\n")
    (found,) = pending(shop.settings).new
    assert list(found.documents) == ["words.csv"] and found.entity.startswith("lookup_words")


def test_what_cannot_be_asked_is_said_and_optional_sources_are_apart(shop, tmp_path):
    shop.ingest()
    (shop.exports / "order_items" / "1.csv").unlink()
    found = pending(shop.settings)
    assert found.new == [] and "exports.order_items" in found.failures and not found.skipped
    shop.source = {"optional": True}
    found = pending(shop.settings)
    assert not found.failures and "exports.order_items" in found.skipped


def settings_of(tmp_path, sources):
    file = tmp_path / "theirs.yml"
    shop = {"name": "Theirs", "currency": "EUR", "time_zone": "Europe/Berlin"}
    file.write_text(yaml.safe_dump({"shop": shop, "sources": sources}))
    return load_settings(sources=file, data_dir=tmp_path / "data", output_dir=tmp_path / "outputs")


def test_a_database_has_something_new_where_a_run_would_read_a_row(tmp_path):
    path = tmp_path / "web.db"
    with sqlite3.connect(path) as db:
        db.execute("create table orders (id integer primary key, customer_id, ordered_at, status, updated_at)")
        db.execute("insert into orders values (1, 7, '2026-01-05', 'completed', '2026-01-05 10:00:00')")
    columns = {"order_id": "id", "customer_id": "customer_id", "ordered_at": "ordered_at", "status": "status"}
    entity = {"table": "orders", "columns": columns | {"updated_at": "updated_at"}}
    settings = settings_of(tmp_path, {"web": {"kind": "database", "path": str(path), "entities": {"orders": entity}}})
    assert list(names(pending(settings))) == ["web.orders"]
    ingest(settings, "run1").raise_failures()
    assert pending(settings).new == []
    with sqlite3.connect(path) as db:
        # It committed late: its time lies before the newest that was read.
        db.execute("insert into orders values (2, 7, '2026-01-04', 'completed', '2026-01-04 10:00:00')")
    assert list(names(pending(settings))) == ["web.orders"]
    assert not list(settings.work_dir.glob("ingest-*"))
    ingest(settings, "run2").raise_failures()
    assert pending(settings).new == []


def test_a_mailbox_has_something_new_where_a_message_is_and_one_that_is_refused_is_new_once(tmp_path, monkeypatch):
    stores = Stores(tmp_path)
    first = stores.write("1.a.host", letter("A-1"))
    assert names(pending(stores.settings))["stores.order_lines"] == ["1.a.host"]
    stores.ingest()
    first.rename(stores.box / "cur/1.a.host:2,S")
    assert pending(stores.settings).new == []
    stores.write("2.b.host", letter("A-2").replace("1    P1    Lamp         2    12.50 EUR", "1    P1    two or three"))
    stores.write("3.c.host", letter("A-3", id="3"), part="tmp")
    assert names(pending(stores.settings))["stores.order_lines"] == ["2.b.host"]
    stores.ingest()
    assert pending(stores.settings).new == []


def test_an_object_store_is_looked_at_anew_each_time(tmp_path):
    store = fsspec.filesystem("memory")
    store.pipe_file("/pending-bucket/orders/1.csv", ORDERS.encode())
    source = {"kind": "files", "path": "memory://pending-bucket", "entities": {"orders": {"files": "orders/*.csv"}}}
    settings = settings_of(tmp_path, {"store": source})
    try:
        ingest(settings, "run1").raise_failures()
        assert pending(settings).new == []
        store.pipe_file("/pending-bucket/orders/2.csv", MORE.encode())
        assert names(pending(settings)) == {"store.orders": ["orders/2.csv"]}
    finally:
        store.rm("/pending-bucket", recursive=True)


class Clock:
    """A clock that is slept by, for so many looks."""

    def __init__(self, looks: int):
        self.time, self.looks = datetime(2026, 6, 1, tzinfo=UTC), looks

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.looks -= 1
        if not self.looks:
            raise Stopped


def watched(
    *looks: dict[str, str], codes: tuple[int, ...] = (0,), every: float = 30, busy=()
) -> tuple[list[int], list]:
    """Watch what is new at one look after the other; return at which looks a run was started, and what was said."""
    runs, said, number = [], [], -1

    def look() -> Pending:
        nonlocal number
        number += 1
        return Pending([New("exports", "orders", looks[number])] if looks[number] else [])

    def run() -> int:
        runs.append(number)
        return codes[min(len(runs), len(codes)) - 1]

    with pytest.raises(Stopped):
        keep_watching(look, run, Clock(len(looks)), said.append, every, lambda: number in busy)
    return runs, said


def test_a_run_is_started_once_a_file_has_stopped_growing():
    growing = [{"a.csv": size} for size in ("1", "2", "3", "3")]
    runs, said = watched({}, *growing, {}, {})
    assert runs == [4] and said == ["exports.orders: 1 new, such as a.csv", "ended with exit code 0"]


def test_all_new_files_must_have_stopped_growing():
    looks = [{"a.csv": "1"}, {"a.csv": "1", "b.csv": "1"}, {"a.csv": "1", "b.csv": "2"}, {"a.csv": "1", "b.csv": "2"}]
    assert watched(*looks, {})[0] == [3]


def test_while_another_run_is_at_work_it_waits():
    new = {"a.csv": "1"}
    assert watched(new, new, new, new, {}, busy=(1, 2))[0] == [3]


def test_what_a_failed_run_left_is_tried_again_at_growing_distances_and_a_refused_one_is_not():
    new = {"a.csv": "1"}
    runs, said = watched(*[new] * 30, codes=(1, 1, 0), every=120)
    assert runs == [1, 6, 16] and said[1] == "ended with exit code 1; tried again in 10 min"
    for code in (0, 2, 3):
        assert watched(*[new] * 30, codes=(code,), every=120)[0] == [1]
    assert watched(new, new, {"a.csv": "2"}, {"a.csv": "2"}, codes=(3,))[0] == [1, 3]


def test_what_a_run_has_read_that_failed_is_new_until_it_is_published_and_what_a_refused_one_has_is_not(shop):
    settings = shop.settings
    shop.build(publish=True)
    assert look(settings).new == []
    shop.write("orders/2.csv", MORE)
    shop.ingest()
    assert names(pending(settings)) == {} and list(names(look(settings))) == ["exports.orders"]
    for state, is_new in {"failed": True, "killed": True, "refused": False, "waiting": False}.items():
        run = start_run(settings, [], {}, [])
        run.manifest["state"] = state
        run.save()
        assert bool(look(settings).new) == is_new, state
        rmtree(run.folder)
    shop.build(publish=True)
    assert look(settings).new == []


def test_what_a_failed_run_has_read_is_tried_again_later_and_at_once_where_a_file_comes():
    new, read = {"a.csv": "1"}, {"batch b": IN_LAKE}
    assert watched(new, new, *[read] * 28, codes=(1, 0), every=120)[0] == [1, 6]
    assert watched(new, new, read, *[read | {"b.csv": "1"}] * 2, {}, codes=(1, 0), every=120)[0] == [1, 4]
    assert watched(read, read, read, {})[0] == [1], "at the start it is new"


def test_what_cannot_be_asked_is_said_once():
    said: list[str] = []
    answers = iter([Pending(failures={"web": "is down"})] * 3 + [Pending()] * 2)
    with pytest.raises(Stopped):
        keep_watching(lambda: next(answers), lambda: 0, Clock(5), said.append, 30)
    assert said == ["web cannot be asked: is down", "web can be asked again"]


def test_the_command_says_what_is_new_by_its_exit_code(shop):
    places = ["--sources", str(shop.settings.sources_file), "--data-dir", str(shop.root / "data")]
    done = CliRunner().invoke(app, ["pending", *places])
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "exports.orders: 1 new, such as orders/1.csv")
    shop.ingest()
    done = CliRunner().invoke(app, ["pending", *places])
    assert (done.exit_code, done.stdout.count("read and not published")) == (0, 2), "no run has published it"
    shop.build(publish=True)
    done = CliRunner().invoke(app, ["pending", *places])
    assert (done.exit_code, done.stdout) == (4, "Nothing is new.\n")
    (shop.exports / "orders" / "1.csv").unlink()
    done = CliRunner().invoke(app, ["pending", *places])
    assert done.exit_code == 1 and "exports.orders cannot be asked: " in done.stderr
