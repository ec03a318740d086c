"""Runs of several processes, and runs that are cut: each stage begins from what the one before left, or is refused."""

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from lib.base.errors import WarehouseError
from lib.base.files import clone_folder, file_lock
from lib.run import checkpoints
from lib.run.manifest import find_run, is_alive, safe_name
from lib.run.parameters import NOTEBOOKS
from lib.run.stage import Stage
from lib.settings import load_settings
from tests.conftest import Shop
from tests.corner_shop import BAD, SOURCES, sold

ASIDE = ("_ingested_at", "_batch_id")
ID = "manual__2026-11-27T20:04:41+00:00"


@pytest.fixture(scope="module")
def published(shop_at) -> Shop:
    """A shop whose first export has been published; a second one lies there. Its folders are kept beside it."""
    shop = shop_at("cut")
    exports = shop.root / "exports"
    exports.mkdir()
    (exports / "1.csv").write_text(sold(0, 40))
    (shop.root / "corner.yml").write_text(SOURCES % (0, exports))
    done = run(shop, "--to", "05_quality")
    assert done.returncode == 0, done.stdout + done.stderr
    (exports / "2.csv").write_text(sold(40, 64))
    shutil.copytree(shop.data, shop.root / "saved")
    return shop


@pytest.fixture(scope="module")
def undisturbed(published) -> tuple[dict, dict[str, pd.DataFrame]]:
    """The manifest and the tables of one run that nothing disturbs."""
    fresh(published)
    done = run(published)
    assert done.returncode == 0, done.stdout + done.stderr
    return latest(published), tables(published)


@pytest.fixture
def shop(published, undisturbed) -> Shop:
    """The shop with its first export published, and no other run."""
    fresh(published)
    return published


def fresh(shop: Shop) -> None:
    for folder in (shop.data, shop.outputs):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shop.root / "saved", shop.data)
    (shop.root / "corner.yml").write_text(SOURCES % (0, shop.root / "exports"))


def run(shop: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shop.run("--sources", str(shop.root / "corner.yml"), *arguments)


def latest(shop: Shop) -> dict:
    return json.loads((shop.outputs / "latest" / "run.json").read_text())


def answer(done: subprocess.CompletedProcess[str]) -> dict:
    """Return the object in the last line of what was printed, which agrees with how the process ended."""
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["exit_code"] == done.returncode
    return found


def tables(shop: Shop) -> dict[str, pd.DataFrame]:
    """Return what is published, rows sorted, without when a row came; and how many rows the last run loaded."""
    (file,) = shop.data.glob("shops/*/shop.duckdb")
    found = {}
    with duckdb.connect(str(file), read_only=True) as connection:
        listed = "select schema_name || '.' || table_name from duckdb_tables() where schema_name in"
        names = connection.execute(f"{listed} ('stage', 'clean', 'quarantine', 'warehouse', 'analytics')").fetchall()
        for (name,) in sorted(names):
            frame = connection.execute(f"from {name}").df().drop(columns=[*ASIDE], errors="ignore").astype(str)
            found[name] = frame.sort_values(list(frame.columns)).reset_index(drop=True)
        counts = (
            "select new_rows, gate, (select count(*) from ops.runs) from ops.runs order by published_at desc limit 1"
        )
        found["ops.runs"] = connection.execute(counts).df()
    return found


def assert_as_undisturbed(shop: Shop, undisturbed: tuple[dict, dict[str, pd.DataFrame]]) -> None:
    found, (manifest, expected) = tables(shop), undisturbed
    assert list(found) == list(expected)
    for name in found:
        pd.testing.assert_frame_equal(found[name], expected[name], obj=name)
    own = latest(shop)
    for key in ("new_rows", "kpis"):
        assert own[key] == manifest[key], key
    # An ingest that is repeated says how many rows it took this time: what was taken before the cut is in the lake.
    assert [(s["name"], s["state"]) for s in own["stages"]] == [(s["name"], s["state"]) for s in manifest["stages"]]
    assert [s["rows_out"] for s in own["stages"][2:]] == [s["rows_out"] for s in manifest["stages"][2:]]
    assert [c["name"] for c in own["charts"]] == [c["name"] for c in manifest["charts"]]
    assert own["quality"]["score"] == manifest["quality"]["score"]
    (scratch,) = (folder / "work" for folder in (shop.data / "shops").iterdir())
    assert not (scratch / "run").exists() and not list((scratch / "checkpoints").glob("*"))


def cut(shop: Shop, stage: str, number: signal.Signals, *arguments: str, delay: float = 0.3) -> None:
    """Start a process of a run and send it a signal in one stage."""
    process = shop.start("--sources", str(shop.root / "corner.yml"), *arguments)
    while stage not in running(shop):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(delay)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode in (1, -signal.SIGKILL)


def running(shop: Shop) -> list[str]:
    found = [json.loads(p.read_text()) for p in (shop.outputs / "runs").glob("*/run.json")]
    return [s["name"] for m in found if m["state"] == "running" for s in m["stages"] if s["state"] == "running"]


def test_a_retry_of_a_stage_that_was_stopped_begins_from_what_the_one_before_left(shop, undisturbed):
    assert run(shop, "--to", "03_clean").returncode == 0
    cut(shop, "04_model", signal.SIGTERM, "--only", "04")
    early = run(shop, "--only", "05")
    said = " ".join(early.stderr.split())
    assert early.returncode == 2 and "05_quality begins from what 04_model leaves" in said and "--from 04_model" in said
    assert run(shop, "--only", "04").returncode == 0
    done = run(shop, "--from", "05")
    assert done.returncode == 0 and "24 new rows loaded" in done.stdout, done.stdout + done.stderr
    assert len(list((shop.outputs / "runs").iterdir())) == 1
    assert_as_undisturbed(shop, undisturbed)


def test_a_stage_without_a_beginning_is_refused_and_one_that_only_audits_takes_what_is_published(shop):
    refused = run(shop, "--only", "04", "--json")
    assert refused.returncode == 2 and "Run: run_pipeline.py --from 03_clean" in answer(refused)["reason"]
    assert not (shop.outputs / "runs").exists(), "nothing was begun"
    assert run(shop, "--only", "05").returncode == 0


def test_six_processes_of_one_run_leave_what_one_process_leaves(shop, undisturbed):
    for name in NOTEBOOKS:
        done = run(shop, "--run-id", ID, "--only", name, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        last = name == "06_insights"
        assert answer(done)["state"] == ("published" if last else "waiting")
    assert answer(done)["new_rows"] == 24 and Path(answer(done)["report"]).exists()
    assert_as_undisturbed(shop, undisturbed)
    assert [p.name for p in (shop.outputs / "runs").iterdir()] == [safe_name(ID)]
    assert ID in shop.run("runs").stdout
    again = run(shop, "--run-id", ID, "--only", "06", "--json")
    assert again.returncode == 0 and "published already" in answer(again)["reason"]


def test_a_stage_run_again_replaces_what_it_left_and_all_that_followed(shop, undisturbed):
    assert run(shop, "--run-id", "x", "--to", "05_quality").returncode == 0
    assert run(shop, "--run-id", "x", "--only", "04_model").returncode == 0
    found = find_run(shop.outputs, "x")
    assert (found["state"], found["quality"], found["stages"][4]["state"]) == ("waiting", None, "not_run")
    assert {c["stage"] for c in found["charts"]} <= {"01_generate", "02_ingest", "03_clean", "04_model"}
    assert run(shop, "--run-id", "x", "--only", "06").returncode == 2
    assert run(shop, "--run-id", "x", "--from", "05").returncode == 0
    assert_as_undisturbed(shop, undisturbed)


def assert_shown_as_cut(shop: Shop, stage: str, number: signal.Signals) -> None:
    """Manifest, notebook and page agree on a stage that was cut; what was killed is settled by the next that looks."""
    if number == signal.SIGKILL:
        assert run(shop, "--run-id", "other", "--only", "04").returncode == 2
    found, folder = find_run(shop.outputs, ID), shop.outputs / "runs" / safe_name(ID)
    state, kind = ("killed", "Killed") if number == signal.SIGKILL else ("failed", "Stopped")
    (entry,) = [s for s in found["stages"] if s["name"] == stage]
    assert (found["state"], entry["state"], entry["error"]["type"]) == (state, state, kind)
    if (folder / entry["notebook"]).exists():
        outputs = [
            o for c in json.loads((folder / entry["notebook"]).read_text())["cells"] for o in c.get("outputs", [])
        ]
        assert [o["ename"] for o in outputs if o["output_type"] == "error"] == [kind]
        assert (folder / entry["report"]).exists()
    assert entry["report"] in (folder / "index.html").read_text()


CASES = [*itertools.product(NOTEBOOKS, (signal.SIGTERM, signal.SIGKILL), ("retry", "resume"))]
QUICK = [("04_model", signal.SIGKILL, "resume"), ("05_quality", signal.SIGTERM, "retry")]


@pytest.mark.parametrize("case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.soak) for c in CASES])
def test_a_run_cut_in_a_stage_comes_to_the_same_by_a_retry_and_by_resume(shop, undisturbed, case):
    stage, number, how = case
    if (number, how) in ((signal.SIGTERM, "resume"), (signal.SIGKILL, "retry")):
        cut(shop, stage, number, "--run-id", ID, delay=random.Random(stage + how).uniform(0, 0.5))
    else:
        names = list(NOTEBOOKS)
        if earlier := names[: names.index(stage)]:
            assert run(shop, "--run-id", ID, "--to", earlier[-1]).returncode == 0
        cut(shop, stage, number, "--run-id", ID, "--only", stage)
    assert_shown_as_cut(shop, stage, number)
    done = shop.run("resume", ID) if how == "resume" else run(shop, "--run-id", ID, "--from", stage)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((shop.outputs / "runs").iterdir())) == 1
    assert_as_undisturbed(shop, undisturbed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_a_run_cut_at_any_moment_comes_to_the_same_by_the_same_command_and_by_resume(shop, undisturbed, seed):
    chance = random.Random(seed)
    process = shop.start("--sources", str(shop.root / "corner.yml"), "--run-id", "x")
    time.sleep(chance.uniform(0.5, 12))
    process.send_signal(chance.choice([signal.SIGTERM, signal.SIGKILL]))
    process.communicate(timeout=60)
    found = find_run(shop.outputs, "x")
    if found and found["state"] != "published":
        done = shop.run("resume") if chance.random() < 0.5 else run(shop, "--run-id", "x")
        assert done.returncode == 0, done.stdout + done.stderr
    elif not found:
        assert run(shop, "--run-id", "x").returncode == 0
    assert_as_undisturbed(shop, undisturbed)


def test_a_run_that_was_refused_waits_for_a_decision(shop):
    (shop.root / "corner.yml").write_text(SOURCES % (97, shop.root / "exports"))
    bad = shop.root / "exports" / "3.csv"
    bad.write_text(BAD)
    try:
        refused = run(shop, "--run-id", "x", "--json")
    finally:
        bad.unlink()
    assert (refused.returncode, answer(refused)["state"]) == (3, "refused")
    refused = shop.run("publish", "x", "--json")
    assert (refused.returncode, answer(refused)["state"]) == (3, "refused")
    done = shop.run("publish", "x", "--no-gate", "--json")
    assert (done.returncode, answer(done)["state"]) == (0, "published"), done.stdout + done.stderr
    assert tables(shop)["ops.runs"]["gate"].tolist() == ["overridden"]
    assert shop.run("publish", "x").returncode == 0, "once more changes nothing"
    assert shop.run("abandon", "x").returncode == 2


def test_a_run_overtaken_by_another_goes_back_to_where_it_can_begin(shop):
    assert run(shop, "--run-id", "x", "--to", "04_model").returncode == 0
    assert shop.run("publish", "x").returncode == 2, "it has not been audited"
    assert run(shop, "--run-id", "y", "--json").returncode == 0
    refused = run(shop, "--run-id", "x", "--only", "05", "--json")
    assert refused.returncode == 2 and "--run-id x --from 03_clean" in answer(refused)["reason"]
    assert shop.run("abandon", "x").returncode == 0
    assert run(shop, "--run-id", "x", "--from", "03_clean").returncode == 2, "it is over"
    assert shop.run("resume", "x").returncode == 2


def test_a_failed_notebook_is_saved_shown_and_named_with_its_cell(shop):
    (shop.root / "exports").rename(shop.root / "elsewhere")
    try:
        failed = run(shop, "--run-id", "x", "--json")
    finally:
        (shop.root / "elsewhere").rename(shop.root / "exports")
    folder = shop.outputs / "runs" / "x"
    cell = find_run(shop.outputs, "x")["stages"][1]["error"]["cell"]
    assert failed.returncode == 1 and answer(failed)["state"] == "failed"
    assert f"Stopped:   02_ingest, cell {cell}: " in failed.stdout
    for path in (folder / "notebooks" / "02_ingest.ipynb", folder / "reports" / "02_ingest.html"):
        assert str(path) in failed.stdout and path.exists()
    assert "reports/02_ingest.html" in (folder / "index.html").read_text()
    done = shop.run("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert find_run(shop.outputs, "x")["state"] == "published"


def test_a_stage_left_out_as_unchanged_is_not_waited_for():
    states = {"01_generate": "ok", "02_ingest": "ok", "03_clean": "skipped", "04_model": "not_run"}
    stages = [{"name": n, "state": s, "last_run": "before" if s == "skipped" else None} for n, s in states.items()]
    assert checkpoints.planned({"notebooks": list(states), "stages": stages}) == [
        "01_generate", "02_ingest", "04_model",
    ]  # fmt: skip
    assert checkpoints.before("04_model", ["02_ingest", "04_model"]) is None, "it begins from what is published"


@pytest.mark.parametrize(
    ("given", "name"),
    [("nightly-17", "nightly-17"), ("../../etc", "etc-"), ("..", "run-"), (ID, "manual__2026-11-27T20-04-41-00-00-")],
)
def test_an_id_from_outside_is_a_safe_name_of_a_folder(given, name):
    safe = safe_name(given)
    assert safe.startswith(name) and (safe == given) == (name == given)
    assert safe == Path(safe).name and safe_name(safe) == safe and len(safe_name("x" * 300)) < 100


def test_ids_that_differ_in_such_characters_only_are_two_runs():
    assert safe_name("a:b") != safe_name("a+b")


def test_who_holds_a_run_is_known_by_host_and_lock(tmp_path):
    gone, here = 2**22 + 1, socket.gethostname()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for owner, pid, alive in (
        ({"host": here, "boot": boot}, os.getpid(), True),
        ({"host": here, "boot": boot}, gone, False),
        ({"host": here, "boot": "before"}, os.getpid(), False),
        ({"host": "elsewhere", "boot": "other"}, gone, True),
    ):
        assert is_alive({"owner": owner, "pid": pid}, tmp_path) is alive, owner
    with file_lock(tmp_path / ".lock", 0, ""):
        assert is_alive({"owner": {"host": "elsewhere", "boot": "other"}, "pid": gone}, tmp_path)
    assert not is_alive({"owner": {"host": "elsewhere", "boot": "other"}, "pid": os.getpid()}, tmp_path)


def test_a_notebook_of_a_run_never_goes_on_from_what_was_published_meanwhile(tmp_path):
    settings = load_settings(data_dir=tmp_path / "data", output_dir=tmp_path / "outputs")
    stage = Stage("04_model", settings, "x", is_batch=True, folder=tmp_path)
    copy = stage.writable()
    assert copy.is_current() and stage.readable().path == copy.path
    copy.publish()
    copy.begin()
    os.utime(settings.data_dir / "shop.duckdb", (1, 1))  # somebody wrote to it
    for use in (stage.writable, stage.readable):
        with pytest.raises(WarehouseError, match="--run-id x --from 03_clean"):
            use()
    copy.discard()
    assert stage.readable().copy == "published"


def test_a_clone_shares_nothing_that_is_written_later(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"before")
    clone_folder(tmp_path / "a", tmp_path / "b")
    with (tmp_path / "a" / "f").open("r+b") as file:
        file.write(b"after!")
    assert (tmp_path / "b" / "f").read_bytes() == b"before"
