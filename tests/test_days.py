"""Runs day by day end where one run ends, and where a rebuild ends; `make soak` does the same over thirty days."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from lib.ingest.run import read_so_far
from lib.lake import Lake
from lib.settings import load_settings
from lib.shop import open_shop
from lib.warehouse import Warehouse
from tests.conftest import PROJECT
from tests.days import DailyShop, differences, rows_of

#: Days on which files stand that later ones correct, of every kind of delivery.
DAYS = (date(2025, 12, 15), date(2026, 2, 9), date(2026, 2, 14))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = DailyShop(tmp_path_factory.mktemp("days"))
    for day in DAYS:
        made.run(day)
    return made


@pytest.fixture(scope="module")
def published(shop) -> Warehouse:
    """What is published after the last day, and after a run with nothing new on top."""
    return shop.build()


@pytest.fixture(scope="module")
def day_by_day(published):
    return rows_of(published)


def test_single_days_end_in_the_same_rows_as_one_run(day_by_day, tmp_path):
    at_once = DailyShop(tmp_path).run(DAYS[-1])
    assert differences(day_by_day, rows_of(at_once)) == []


def test_single_days_end_in_the_same_rows_as_a_full_refresh(shop, day_by_day):
    assert differences(day_by_day, rows_of(shop.build(full_refresh=True))) == []


def test_the_days_brought_late_corrected_and_repeated_deliveries(shop, published):
    lake = Path(shop.settings.lake_url)
    batches = Lake(str(lake)).batches()
    documents = [(b.source, b.entity, f.name) for b in batches for f in b.files]
    refused = [json.loads(note.read_text()) for note in lake.glob("rejected/*/*/*/reason.json")]
    mended = {(note["source"], note["entity"], note["name"]) for note in refused} & set(documents)
    corrected = {document for document in documents if documents.count(document) > 1}
    assert {source for source, _, _ in mended | corrected} >= {"clickstream", "marketplace"}
    merged = published.query(
        "select source, entity, exact_duplicates, older_versions, quarantined_rows from quality.row_accounting"
    ).set_index(["source", "entity"])
    assert merged.loc[("clickstream", "events"), "exact_duplicates"] > 0
    assert merged.loc[("stores", "order_lines"), "exact_duplicates"] > 0
    assert merged.loc[("web", "orders"), "older_versions"] > 0
    assert merged.loc[("crm", "products"), "older_versions"] > 0


def test_every_row_of_every_source_is_accounted_for(shop, published):
    read = read_so_far(shop.settings).set_index(["source", "entity"])
    accounting = published.query("select * from quality.row_accounting").set_index(["source", "entity"])
    assert set(read.index) == set(accounting.index)
    assert (read["staged_rows"].sort_index() == accounting["staged_rows"].sort_index()).all()
    assert (accounting["unaccounted_rows"] == 0).all()


def test_an_ingest_killed_at_its_writes_and_repeated_leaves_the_same_lake(tmp_path):
    open_shop(tmp_path / "sources", size="small")
    # Each kind of write is there with a few hours of the clickstream too; the whole of it stays to make soak.
    for day in sorted((tmp_path / "sources" / "clickstream" / "events").glob("*/*/*"))[:-2]:
        shutil.rmtree(day)
    tried = subprocess.run(
        [sys.executable, "-m", "tests.killing", str(tmp_path), "13"],
        cwd=PROJECT,
        env={**os.environ, "SHOP_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert int(tried.stdout.split()[0]) >= 7
    assert Lake(load_settings(size="small", data_dir=tmp_path).lake_url).batches()
