"""The simulated shop's systems: what a folder holds at a day follows from the day alone, however it was reached.

What happens in the shop's life is the matter of test_shop_life.py and test_shop_rhythm.py, each system's own form
that of the system's test.
"""

import contextlib
import gzip
import json
import sqlite3
import subprocess
import sys
import zlib
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from lib.base.errors import ConfigError
from lib.shop import LAST_DAY, open_shop
from lib.shop.files import csv_rows, text, write_whole
from lib.shop.opening import SYSTEMS

ENTITIES = ("customers", "products", "orders", "order_items", "payments")
BERLIN = "Europe/Berlin"


def contents(folder: Path) -> dict[str, object]:
    """Return the bytes of every file of the systems by its path, and of a database the sorted rows of each table."""
    found: dict[str, object] = {}
    for path in sorted(p for name in SYSTEMS for p in (folder / name).rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".db":
            with sqlite3.connect(path) as connection:
                for table in ("orders", "order_items", "payments"):
                    found[f"{name}:{table}"] = connection.execute(f"select * from {table} order by id").fetchall()
        elif path.suffix not in (".db-wal", ".db-shm", ".db-journal"):
            found[name] = path.read_bytes()
    return found


def marketplace(folder: Path, entity: str) -> pd.DataFrame:
    """Return all rows of a marketplace entity as text, with the day of the file each came from."""
    return duckdb.sql(
        f"select *, regexp_extract(filename, '\\d{{4}}-\\d\\d-\\d\\d') as file_day from read_csv("
        f"'{folder}/marketplace/{entity}/*.csv', header = true, all_varchar = true, filename = true)"
    ).df()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    open_shop(folder, size="small")
    return folder


# --- the marketplace's files


def test_files_have_the_columns_of_the_contract(small):
    headers = {
        entity: next((small / "marketplace" / entity).glob("*.csv")).read_text("utf-8").split("\n")[0]
        for entity in ENTITIES
    }
    assert headers == {
        "customers": "customer_id,first_name,last_name,email,phone,country,region,city,postal_code,"
        "signup_at,updated_at",
        "products": "product_id,name,category,subcategory,brand,unit_price,unit_cost,currency,is_active,updated_at",
        "orders": "order_id,ordered_at,customer_id,status,channel,campaign,currency,discount_amount,"
        "shipping_amount,tax_amount,total_amount,updated_at",
        "order_items": "order_id,line_number,product_id,quantity,unit_price,discount_amount",
        "payments": "payment_id,order_id,method,amount,currency,status,paid_at",
    }


def test_files_follow_the_local_day_and_write_instants_in_utc(small):
    for entity, column in (("orders", "ordered_at"), ("payments", "paid_at")):
        rows = marketplace(small, entity)
        assert rows[column].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()
        local = pd.to_datetime(rows[column], utc=True).dt.tz_convert(BERLIN)
        assert (local.dt.strftime("%Y-%m-%d") == rows["file_day"]).all()


def test_fields_are_quoted_only_where_needed():
    awkward = text(pa.array(["plain", "a,b", 'say "hi"', None]))
    rows, starts = csv_rows([pa.array(["1", "2", "3", "4"]), awkward])
    assert bytes(rows) == b'1,plain\n2,"a,b"\n3,"say ""hi"""\n4,\n'
    assert starts.tolist() == [0, 8, 16, 31, 34]


# --- the systems together


def test_the_systems_describe_one_shop(small):
    with duckdb.connect() as connection:
        known = f"(select customer_id from '{small}/crm/customers.parquet')"
        products = f"(select product_id from '{small}/crm/products.parquet')"
        history = f"'{small}/history/orders/**/*.parquet'"
        for orders in (history, f"read_csv('{small}/marketplace/orders/*.csv', all_varchar = true)"):
            strangers = f"select count(*) from {orders} where customer_id not in {known}"
            assert connection.execute(strangers).fetchone() == (0,)
        lines = f"'{small}/history/order_items/**/*.parquet'"
        assert connection.execute(f"select count(*) from {lines} where product_id not in {products}").fetchone() == (0,)
        years = connection.execute(f"select count(distinct extract(year from ordered_at)) from {history}").fetchone()
        assert years == (11,), "ten years and the one that the live systems took over in"
        with sqlite3.connect(small / "web" / "shop.db") as web:
            online = {row[0] for row in web.execute("select order_id from orders")}
    bought = set()
    for path in (small / "clickstream").rglob("*.json.gz"):
        with contextlib.suppress(EOFError, zlib.error, OSError):
            for line in gzip.decompress(path.read_bytes()).splitlines():
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event["type"] == "purchase":
                        bought.add(event["order"]["id"])
    assert len(bought) > 5 and bought <= online


def test_the_summary_says_what_the_systems_hold(small):
    summary = open_shop(small, size="small").set_index(["system", "entity"])
    assert summary.columns.tolist() == ["rows", "first_date", "last_date"]
    assert summary.loc[("crm", "customers"), "rows"] == 500
    assert summary.loc[("crm", "products"), "rows"] == 120
    with sqlite3.connect(small / "web" / "shop.db") as web:
        assert web.execute("select count(*) from payments").fetchone()[0] == summary.loc[("web", "payments"), "rows"]
    with duckdb.connect() as connection:
        lines = connection.execute(f"select count(*) from '{small}/history/order_items/**/*.parquet'").fetchone()[0]
        assert lines == summary.loc[("history", "order_items"), "rows"]
    assert str(summary.loc[("history", "orders"), "first_date"].year) == "2015"


# --- a state follows from the day


def test_the_same_arguments_give_the_same_systems_in_another_process(small, tmp_path):
    program = "import pathlib, sys, lib.shop; lib.shop.open_shop(pathlib.Path(sys.argv[1]), size='small')"
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=root, env={"PYTHONHASHSEED": "7"})
    assert contents(tmp_path) == contents(small)


def test_another_seed_gives_another_shop(small, tmp_path):
    open_shop(tmp_path, size="small", seed=43)
    ours, theirs = contents(tmp_path), contents(small)
    for name in SYSTEMS:
        own = {k: v for k, v in ours.items() if k.startswith(name)}
        assert own and own != {k: v for k, v in theirs.items() if k.startswith(name)}


def test_many_steps_end_where_one_step_ends(tmp_path):
    end = date(2026, 2, 20)
    for day in (date(2025, 12, 1), LAST_DAY, date(2026, 1, 1), date(2026, 1, 2), date(2026, 2, 3), end):
        in_steps = open_shop(tmp_path / "steps", size="small", as_of=day)
    at_once = open_shop(tmp_path / "once", size="small", as_of=end)
    steps, once = contents(tmp_path / "steps"), contents(tmp_path / "once")
    assert {name for name in steps.keys() | once.keys() if steps.get(name) != once.get(name)} == set()
    pd.testing.assert_frame_equal(in_steps, at_once)


def test_a_later_day_adds_to_every_live_system_and_leaves_history_alone(small, tmp_path):
    open_shop(tmp_path, size="small", as_of=LAST_DAY + timedelta(days=20))
    later, before = contents(tmp_path), contents(small)
    changed = {name.split("/")[0] for name in later if later[name] != before.get(name)}
    assert changed == set(SYSTEMS) - {"history"}


def test_without_a_day_the_shop_stays_where_it_is(tmp_path):
    end = LAST_DAY + timedelta(days=1)
    first = open_shop(tmp_path, size="small", as_of=end)
    pd.testing.assert_frame_equal(open_shop(tmp_path, size="small"), first)


# --- the folder


def test_running_again_rewrites_nothing(small):
    before = {p: p.stat().st_mtime_ns for p in small.rglob("*") if p.is_file()}
    open_shop(small, size="small")
    assert {p: p.stat().st_mtime_ns for p in small.rglob("*") if p.is_file()} == before


def test_lost_and_damaged_files_are_written_again(small, tmp_path):
    open_shop(tmp_path, size="small")
    for name in ("marketplace/payments", "history/orders", "stores", "clickstream", "crm", "web"):
        next(p for p in sorted((tmp_path / name).rglob("*")) if p.is_file()).unlink()
    damaged = next(iter((tmp_path / "marketplace/orders").glob("*.csv")))
    damaged.write_text("order_id\n")
    open_shop(tmp_path, size="small")
    found, whole = contents(tmp_path), contents(small)
    assert {name for name in found.keys() | whole.keys() if found.get(name) != whole.get(name)} == set()


@pytest.mark.parametrize("fatal", [2, 100])
def test_a_kill_while_writing_leaves_whole_files_and_the_next_run_finishes(small, tmp_path, monkeypatch, fatal):
    written = []

    def dying(path, content):
        written.append(path)
        if len(written) == fatal:
            path.with_name(f".{path.name}.part").write_bytes(content[:10])
            raise KeyboardInterrupt
        write_whole(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("lib.shop.files.write_whole", dying)
        open_shop(tmp_path, size="small")
    marker = json.loads((tmp_path / "shop.json").read_text())
    assert (marker["complete"], marker["as_of"]) == (None, "2025-12-31")
    with pytest.raises(ConfigError, match="seed 42"):
        open_shop(tmp_path, size="small", seed=1)
    open_shop(tmp_path, size="small")
    assert contents(tmp_path) == contents(small)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 7}, "seed 42, and seed 7 was asked for"),
        ({"size": "default"}, "size 'small', and size 'default' was asked for"),
        ({"currency": "CHF"}, "currency 'EUR', and currency 'CHF' was asked for"),
        ({"time_zone": "Europe/Paris"}, "time_zone 'Europe/Berlin', and time_zone 'Europe/Paris'"),
        ({"as_of": date(2025, 12, 30)}, "up to 2025-12-31, and 2025-12-30 was asked for"),
    ],
)
def test_a_folder_with_another_shop_is_refused_and_left_alone(small, other, message):
    before = contents(small)
    with pytest.raises(ConfigError, match=message) as error:
        open_shop(small, **({"size": "small"} | other))
    assert "hoose another folder or remove this one" in str(error.value)
    assert contents(small) == before


def test_a_stranger_among_the_files_is_named_before_anything_is_written(tmp_path):
    stranger = tmp_path / "marketplace/orders/orders_2019-01-01.csv"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("order_id\n")
    with pytest.raises(ConfigError, match=r"orders_2019-01-01\.csv"):
        open_shop(tmp_path, size="small")
    assert list(contents(tmp_path)) == ["marketplace/orders/orders_2019-01-01.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "smal"}, "Did you mean 'small'"),
        ({"as_of": date(2025, 9, 30)}, "all its systems are there from 2025-10-01 on"),
        ({"size": "small", "as_of": date(2025, 11, 30)}, "all its systems are there from 2025-12-01 on"),
        ({"as_of": date(2050, 1, 1)}, "the last day it knows is 2049-12-31"),
        ({"seed": -1}, "seed is -1"),
        ({"currency": "euro"}, "three capital letters"),
        ({"time_zone": "Europe/Berln"}, "Did you mean 'Europe/Berlin'"),
    ],
)
def test_arguments_that_make_no_shop_are_refused(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        open_shop(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    place = tmp_path / "shop"
    place.write_text("")
    with pytest.raises(ConfigError, match="shop"):
        open_shop(place, size="small")


def test_currency_is_the_one_asked_for(tmp_path):
    open_shop(tmp_path, size="small", currency="CHF")
    assert set(marketplace(tmp_path, "orders")["currency"]) == {"CHF"}
