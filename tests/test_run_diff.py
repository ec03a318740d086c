"""The list of runs, and what differs between two."""

import copy
import json
import time
from datetime import datetime, timedelta

import pytest
from typer.testing import CliRunner

import run_pipeline
from lib.run import difference, manifest

FIRST = {
    "run_id": "20260101T020000Z",
    "given_id": None,
    "state": "published",
    "reason": None,
    "started_at": "2026-01-01T02:00:00+00:00",
    "seconds": 9.5,
    "shop": {"id": "s", "name": "A <shop>", "currency": "EUR"},
    "target": "duckdb",
    "data_dir": "/d",
    "as_of": None,
    "new_rows": 1000,
    "parameters": {"06_insights": {"top_n": 10}},
    "git": {"revision": "a" * 40, "dirty": False},
    "python": "3.11.9",
    "packages": {"duckdb": "1.0", "pandas": "3.1"},
    "stages": [
        {
            "name": "03_clean",
            "state": "ok",
            "rows_in": 1000,
            "rows_out": 990,
            "facts": {"Cells repaired": 3, "Grade": "A"},
        }
    ],
    "quality": {
        "score": 99.0,
        "grade": "A",
        "dimensions": {"validity": 98.0},
        "gate": {"passed": True, "reasons": []},
        "checks": {"orders_have_ids": "passed", "no_orphans": "passed"},
    },
    "kpis": {"net_amount": 200.0, "orders": 7},
}


@pytest.fixture
def two_runs(tmp_path):
    second = copy.deepcopy(FIRST)
    second |= {"run_id": "20260102T020000Z", "started_at": "2026-01-02T02:00:00+00:00", "new_rows": 1100}
    second["parameters"]["06_insights"]["top_n"] = 20
    second["git"]["revision"] = "b" * 40
    second["packages"]["duckdb"] = "2.0"
    second["stages"][0]["rows_out"] = 980
    second["quality"]["checks"]["no_orphans"] = "failed"
    second["kpis"]["net_amount"] = 150.0
    for run in (FIRST, second):
        save(tmp_path, run)
    return FIRST, second


def save(output_dir, run):
    folder = output_dir / "runs" / run["run_id"]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run))


def changes(first, second):
    return {
        (group, c.name): (c.before, c.after, c.by) for group, found in difference.compare(first, second) for c in found
    }


def test_all_that_differs_is_named_and_nothing_else(two_runs):
    assert changes(*two_runs) == {
        ("Parameters", "06_insights.top_n"): ("10", "20", "+10 (+100.0%)"),
        ("Code", "revision"): ("a" * 12, "b" * 12, ""),
        ("Versions", "duckdb"): ("1.0", "2.0", ""),
        ("Row counts", "new rows"): ("1,000", "1,100", "+100 (+10.0%)"),
        ("Row counts", "03_clean: rows out"): ("990", "980", "-10 (-1.0%)"),
        ("Key figures", "net_amount"): ("200.0", "150.0", "-50.00 (-25.0%)"),
        ("Checks", "no_orphans"): ("passed", "failed", ""),
    }


def test_a_run_differs_in_nothing_from_itself():
    assert changes(FIRST, FIRST) == {}


def test_checks_are_compared_only_where_both_runs_noted_them(two_runs):
    older = copy.deepcopy(two_runs[0])
    del older["quality"]["checks"]
    assert not [group for group, _ in changes(older, two_runs[1]) if group == "Checks"]
    assert ("Quality", "score") in changes(two_runs[0] | {"quality": None}, two_runs[1])


def test_the_command_prints_the_differences_and_writes_a_page(two_runs, tmp_path):
    (tmp_path / "latest").symlink_to("runs/20260102T020000Z")
    result = CliRunner().invoke(run_pipeline.app, ["diff", FIRST["run_id"], "latest", "--output-dir", str(tmp_path)])
    assert result.exit_code == 0
    assert "Checks\tno_orphans\tpassed\tfailed" in result.stdout
    page = (tmp_path / "diffs" / "20260101T020000Z--20260102T020000Z.html").read_text()
    assert "7 differences" in page and "no_orphans" in page and "<script" not in page
    assert 'href="../runs/20260102T020000Z/index.html"' in page and "A &lt;shop&gt;" in page
    assert "The same in both: quality." in page


def test_a_run_that_is_not_there_is_one_message_and_exit_code_2(tmp_path):
    result = CliRunner().invoke(run_pipeline.app, ["diff", "x", "latest", "--output-dir", str(tmp_path)])
    assert result.exit_code == 2 and "No run 'x'" in " ".join(result.output.split())


def test_a_thousand_runs_are_listed_within_a_second(tmp_path):
    big = FIRST | {"artifacts": {f"charts/{i}.svg": "0" * 64 for i in range(60)}}
    for i in range(1000):
        moment = datetime(2026, 1, 1) + timedelta(hours=i)
        state = "failed" if i % 10 == 0 else "published"
        name = f"{moment:%Y%m%dT%H%M%SZ}"
        save(tmp_path, big | {"run_id": name, "started_at": f"{moment.isoformat()}+00:00", "state": state})
    before = time.process_time()
    path = manifest.write_index(tmp_path)
    assert time.process_time() - before < 1
    html = path.read_text()
    assert html.count("<tr data-state=") == 1000 and html.count('<tr data-state="failed"') == 100
    assert "src=" not in html and '<option value="failed">Failed</option>' in html


def test_without_runs_the_list_says_how_to_make_one(tmp_path):
    html = manifest.write_index(tmp_path).read_text()
    assert "No run yet" in html and "<script" not in html
