"""What retention removes, and what it never does."""

import json
import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

import run_pipeline
from lib.base.errors import ConfigError, LakeLockedError
from lib.base.files import file_lock
from lib.run import pruning
from lib.settings import load_settings


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "d").mkdir()
    return load_settings(data_dir=tmp_path / "d", output_dir=tmp_path / "o")


def add_run(settings, days_ago, state, **more):
    moment = datetime.now(UTC) - timedelta(days=days_ago)
    values = {"run_id": f"{moment:%Y%m%dT%H%M%SZ}", "state": state, "started_at": moment.isoformat()}
    values |= {"data_dir": str(settings.data_dir), "shop": {"id": settings.shop_id}, "target": "duckdb", "stages": []}
    folder = settings.output_dir / "runs" / values["run_id"]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(values | more))
    return values["run_id"]


def names(found, kind="run"):
    return {item.path.name for item in found if item.kind == kind}


def age(path, days):
    then = time.time() - days * 86_400
    for each in (*path.rglob("*"), path):
        os.utime(each, (then, then))


def test_a_run_goes_where_it_is_neither_among_the_newest_nor_young(settings):
    old = [add_run(settings, days, "failed") for days in (50, 40)]
    for days in (3, 2, 1):
        add_run(settings, days, "failed")
    assert names(pruning.find(settings, 2, 30)) == set(old)
    assert names(pruning.find(settings, 4, 30)) == {old[0]}
    assert names(pruning.find(settings, 2, 45)) == {old[0]}
    assert len(names(pruning.find(settings, 2, 0))) == 3


def test_the_last_good_run_never_goes_nor_one_that_waits_or_is_at_work_or_another_shops(settings):
    gone = add_run(settings, 95, "published")
    good = add_run(settings, 90, "published")
    waiting, running = add_run(settings, 80, "waiting"), add_run(settings, 70, "running")
    other = add_run(settings, 60, "failed", data_dir="/elsewhere")
    held = add_run(settings, 50, "failed")
    add_run(settings, 1, "failed")
    with file_lock(settings.output_dir / "runs" / held / ".lock", 1, ""):
        assert names(pruning.remove(settings, 1, 0)) == {gone}
    left = {path.name for path in (settings.output_dir / "runs").iterdir()}
    assert {good, waiting, running, other, held} < left and gone not in left


def test_what_latest_names_stays(settings):
    run = add_run(settings, 90, "failed")
    add_run(settings, 1, "failed")
    (settings.output_dir / "latest").symlink_to(f"runs/{run}")
    assert names(pruning.find(settings, 1, 0)) == set()


def test_what_killed_runs_left_goes_once_it_is_old(settings):
    lake, work = settings.data_dir / "lake", settings.work_dir
    whole, orphan, fresh = (lake / "raw" / "web" / "orders" / name for name in ("whole", "orphan", "fresh"))
    copy, scratch, mine = work / "run", work / "ingest-x1", work / "draft"
    for folder in (whole, orphan, fresh, copy, scratch, mine):
        folder.mkdir(parents=True)
        (folder / "part-0.parquet").write_bytes(b"12345")
    (whole / "manifest.json").write_text("{}")
    partial = lake / "clean" / ".orders.parquet.7.partial"
    partial.parent.mkdir()
    partial.write_text("x")
    for path in (whole, orphan, copy, scratch, mine, partial):
        age(path, 2)
    found = pruning.find(settings, 1, 0)
    assert {item.path for item in found} == {orphan, copy, scratch, partial}
    assert next(item.bytes for item in found if item.path == orphan) == 5
    pruning.remove(settings, 1, 0)
    assert not any(path.exists() for path in (orphan, copy, scratch, partial))
    assert all(path.exists() for path in (whole, fresh, mine))


def test_what_is_kept_of_a_run_goes_with_it(settings):
    old, new = add_run(settings, 50, "failed"), add_run(settings, 1, "failed")
    kept = settings.work_dir / "checkpoints"
    for name in (old, new, "of-another-output-folder"):
        (kept / name / "03_clean").mkdir(parents=True)
    pruning.remove(settings, 1, 30)
    assert {path.name for path in kept.iterdir()} == {new, "of-another-output-folder"}


def test_while_a_run_is_at_work_nothing_is_removed(settings):
    run = add_run(settings, 50, "failed")
    add_run(settings, 1, "failed")
    message = "nothing was removed"
    with (
        file_lock(settings.data_dir / ".run.lock", 1, ""),
        pytest.raises(LakeLockedError, match=message),
    ):
        pruning.remove(settings, 1, 0)
    assert (settings.output_dir / "runs" / run).exists()


def test_the_command_removes_nothing_until_it_is_told_yes(settings):
    run = add_run(settings, 50, "failed")
    add_run(settings, 1, "failed")
    places = ["--data-dir", str(settings.data_dir), "--output-dir", str(settings.output_dir)]
    command = ["prune", "--keep", "1", "--keep-days", "30", *places]
    result = CliRunner().invoke(run_pipeline.app, command)
    assert result.exit_code == 0 and run in result.output and "Would remove 1 thing," in result.output
    assert (settings.output_dir / "runs" / run).exists()
    result = CliRunner().invoke(run_pipeline.app, [*command, "--yes"])
    assert "Removed 1 thing," in result.output and not (settings.output_dir / "runs" / run).exists()
    assert run not in (settings.output_dir / "index.html").read_text()
    assert "There is nothing to remove." in CliRunner().invoke(run_pipeline.app, [*command, "--yes"]).output


def test_at_least_one_run_is_kept(settings):
    with pytest.raises(ConfigError, match="--keep 1 or more"):
        pruning.find(settings, 0, 0)
