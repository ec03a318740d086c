"""Runs that are killed, refused or disturbed: what readers see stays whole, and the next run goes on."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import psutil
import pytest

from lib.run.parameters import NOTEBOOKS
from lib.shop import LAST_DAY
from lib.shop.rates import Defects
from tests.conftest import PROJECT, Shop, soaking
from tests.days import DailyShop

KPI = (
    "select (select sum(net_amount) from analytics.monthly_sales), (select sum(net_amount) from warehouse.fact_orders)"
)

SUMS = (
    "select count(*), sum(net_amount)::double, sum(quantity)::double from warehouse.fact_order_items",
    "select count(*), sum(event_count)::bigint, count(order_id) from warehouse.fact_sessions",
    "select entity, sum(clean_rows)::bigint, sum(unaccounted_rows)::bigint from quality.row_accounting"
    " where entity <> 'order_lines' group by entity order by entity",
)


@pytest.fixture(scope="module")
def shop(shop_at) -> Shop:
    """A shop that has published its first months; the rest of its data is still to come."""
    shop = shop_at("interruption")
    done = shop.run("--as-of", "2025-12-15", "--to", "05_quality")
    assert done.returncode == 0, done.stdout + done.stderr
    return shop


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def running_stage(shop: Shop) -> str | None:
    for path in (shop.outputs / "runs").glob("*/run.json"):
        manifest = json.loads(path.read_text())
        if manifest["state"] == "running":
            return next((s["name"] for s in manifest["stages"] if s["state"] == "running"), None)
    return None


def kill_in(shop: Shop, stage: str, delay: float) -> None:
    """Start a run on all the data and kill it without warning in one stage.

    What is ingested by then is not ingested again, and the last stage reads what is published.
    """
    first = "05_quality" if stage == "06_insights" else "03_clean" if stage > "03" else "01_generate"
    process = shop.start("--from", first)
    while running_stage(shop) != stage:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("stage", soaking(NOTEBOOKS, ("03_clean", "05_quality")))
def test_a_run_killed_in_a_stage_leaves_what_is_published_readable_and_unchanged(shop, stage):
    published = shop.data / "shop.duckdb"
    before = digest(published)
    kill_in(shop, stage, random.Random(stage).uniform(0.0, 0.6))
    assert digest(published) == before
    with duckdb.connect(str(published), read_only=True) as connection:
        parts, whole = connection.execute(KPI).fetchone()
        assert parts == whole > 0


def test_the_run_after_the_kills_succeeds_and_counts_nothing_twice(shop, tmp_path):
    done = shop.run("--to", "05_quality")
    assert done.returncode == 0, done.stdout + done.stderr
    states = sorted(line.split("\t")[1] for line in shop.run("runs").stdout.splitlines()[1:])
    assert states.count("published") >= 2 and "running" not in states
    with duckdb.connect(str(shop.data / "shop.duckdb"), read_only=True) as connection:
        disturbed = [connection.execute(sql).fetchall() for sql in SUMS]
    undisturbed = DailyShop(tmp_path, defects=Defects()).run(LAST_DAY)
    assert disturbed == [[tuple(row) for row in undisturbed.query(sql).itertuples(index=False)] for sql in SUMS]
    assert not (shop.data / "work" / "run").exists()


def test_a_run_asked_to_stop_closes_as_failed_and_leaves_no_process(shop):
    before = digest(shop.data / "shop.duckdb")
    process = shop.start()
    while running_stage(shop) != "03_clean":
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "stopped by a signal" in out
    assert digest(shop.data / "shop.duckdb") == before
    # A kernel that was just being started ends by itself when it finds its parent gone.
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


def test_a_run_disturbs_no_analyst_is_disturbed_by_none_and_refuses_a_second(shop):
    published = str(shop.data / "shop.duckdb")
    held = duckdb.connect(published, read_only=True)
    failures: list[str] = []
    answers = 0
    stop = threading.Event()

    def read() -> None:
        nonlocal answers
        while not stop.is_set():
            query = subprocess.run([sys.executable, "-c", _READER, published, KPI], capture_output=True, text=True)
            if query.returncode:
                failures.append(query.stderr)
            answers += 1
            time.sleep(0.3)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        first = shop.start("--from", "03_clean", "--to", "05_quality")
        while running_stage(shop) is None:
            time.sleep(0.02)
        second = shop.run()
        out, err = first.communicate()
    finally:
        stop.set()
        reader.join()
    assert second.returncode == 1 and "Another run is at work" in second.stderr
    assert first.returncode == 0, out + err
    assert failures == [] and answers > 3
    parts, whole = held.execute(KPI).fetchone()
    assert parts == whole
    held.close()


_READER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    parts, whole = connection.execute(sys.argv[2]).fetchone()
assert parts == whole, (parts, whole)
"""


def test_an_analyst_who_holds_the_published_file_for_writing_stops_no_run(shop):
    held = duckdb.connect(str(shop.data / "shop.duckdb"))
    held.execute("create schema if not exists mine")
    held.execute("create table mine.notes as select 1 as note")
    try:
        done = shop.run("--only", "05_quality")
        assert done.returncode == 0, done.stdout + done.stderr
        assert held.execute("select note from mine.notes").fetchone() == (1,)
    finally:
        held.close()
    assert shop.ask("select count(*) from clean.products") == [(120,)]


def test_a_run_whose_terminal_is_gone_goes_on_and_one_without_output_runs(shop):
    script = f"{sys.executable} run_pipeline.py --only 06_insights"
    command = f"trap '' HUP; {script} >&- & sleep 1.5; kill -HUP $!; wait $!"
    done = subprocess.run(["sh", "-c", command], cwd=PROJECT, env=shop.environment, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
