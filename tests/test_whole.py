"""Whole runs of the six notebooks on the small simulated shop: what a run leaves behind, and running again."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import nbformat
import pytest
from nbclient import NotebookClient

from lib.lake import Lake
from lib.run.kernels import kernel_starter
from lib.run.parameters import NOTEBOOKS, notebook_path
from lib.settings import load_settings
from lib.shop.opening import GENERATOR
from tests.conftest import PROJECT, Shop


@pytest.fixture(scope="module")
def shop(shop_at) -> Shop:
    return shop_at("whole")


@pytest.fixture(scope="module")
def first(shop) -> subprocess.CompletedProcess[str]:
    process = shop.start()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def run(shop, first) -> Path:
    return (shop.outputs / "latest").resolve()


@pytest.fixture(scope="module")
def manifest(run) -> dict:
    return json.loads((run / "run.json").read_text())


def tables(path: Path, schemas: tuple[str, ...]) -> dict[str, list[tuple]]:
    """Return every table of some schemas, rows sorted."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables where table_schema in ?", [schemas]
        ).fetchall()
        return {n: sorted(connection.execute(f"from {n}").fetchall(), key=repr) for (n,) in names}


def test_a_run_says_where_its_report_and_the_run_index_are(shop, first, run):
    lines = dict(re.findall(r"^(Report|This run|Run index):\s+(\S+)$", first.stdout, re.M))
    assert Path(lines["Report"]) == run / "reports" / "06_insights.html"
    assert Path(lines["Run index"]) == shop.outputs / "index.html"
    assert all(Path(p).is_file() for p in lines.values())


def test_a_run_leaves_every_notebook_report_and_chart(run, manifest):
    assert [s["state"] for s in manifest["stages"]] == ["ok"] * 6
    for stage in manifest["stages"]:
        assert (run / stage["notebook"]).is_file() and (run / stage["report"]).is_file()
    assert len(manifest["charts"]) >= 8
    for chart in manifest["charts"]:
        assert chart["title"] and chart["alt"]
        assert (run / chart["svg"]).read_text().startswith(("<svg", "<?xml"))
        assert (run / chart["png"]).read_bytes().startswith(b"\x89PNG")


def test_the_manifest_knows_every_artifact_by_its_checksum(run, manifest):
    files = [p for p in run.rglob("*") if p.is_file() and not p.name.startswith(".")]
    kept = {str(p.relative_to(run)) for p in files} - {"run.json"}
    assert set(manifest["artifacts"]) == kept
    for name, digest in manifest["artifacts"].items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest


def test_the_manifest_records_parameters_versions_rows_and_watermarks(manifest):
    assert manifest["state"] == "published" and manifest["reason"] is None
    assert manifest["packages"]["duckdb"] and manifest["python"].startswith("3.")
    assert manifest["new_rows"] == manifest["stages"][2]["rows_in"] > 10_000
    assert manifest["watermarks"]["before"] == {}
    assert manifest["watermarks"]["after"]["clickstream.events"]["files"] > 500
    assert manifest["watermarks"]["after"]["web.orders"]["kind"]["updated_at"].startswith("2025-12-3")
    assert manifest["quality"]["gate"] == {"passed": True, "reasons": []}


def test_the_simulated_shop_arrives_whole_in_the_warehouse(shop, first):
    asked = """
        select channel, count(*) as orders, count(customer_id) as known from clean.orders group by channel order by 1
    """
    found = shop.ask(asked)
    assert [channel for channel, _, _ in found] == ["history", "marketplace", "store", "web"]
    # A store's confirmation may come later than the last day.
    assert 1_990 <= sum(orders for _, orders, _ in found) <= 2_000
    walk_ins = {channel: orders - known for channel, orders, known in found}
    # Elsewhere a few orders were spoiled, and a customer may be known twice, under an id of another form.
    assert walk_ins.pop("store") > sum(walk_ins.values())
    sums = "select (select count(*) from clean.customers where customer_id < 'C9'), count(*) from clean.products"
    assert shop.ask(sums) == [(500, 120)]
    assert shop.ask("select count(order_id) from warehouse.fact_sessions")[0][0] > 10


def test_query_prints_csv_in_a_pipe_and_cannot_write(shop, first):
    asked = shop.run("query", "select 1 as a, 'x,y' as b")
    assert (asked.returncode, asked.stdout) == (0, 'a,b\n1,"x,y"\n')
    refused = shop.run("query", "delete from ops.runs")
    assert refused.returncode == 1 and "read-only" in refused.stderr and "Traceback" not in refused.stderr


def test_runs_lists_the_run_with_its_state_and_score(shop, first, manifest):
    listed = shop.run("runs").stdout.splitlines()[1].split("\t")
    assert listed[:3] == [manifest["run_id"], "published", "Simulated shop"]


def test_pages_ask_nothing_of_the_network(shop, run):
    pages = [*run.rglob("*.html"), shop.outputs / "index.html"]
    assert len(pages) == 8
    for page in pages:
        text = page.read_text()
        assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text), page
        assert not re.findall(r"<script\s|@import|url\(\s*['\"]?http", text), page
        # The list of runs has its filter within the page.
        assert text.count("<script") == (page == shop.outputs / "index.html"), page


def test_executed_notebooks_show_no_warnings_or_object_addresses(run):
    for path in (run / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                assert output.output_type != "stream", (path, output.text)
                shown = json.dumps(output.get("data", {}))
                assert not re.search(r"<[\w.]+ object at 0x|Warning:", shown), path


def test_a_second_run_loads_no_new_row_and_a_part_of_it_leaves_what_is_published_until_quality_has_run(shop, first):
    schemas = ("clean", "quarantine", "warehouse", "analytics")
    before = tables(shop.data / "shop.duckdb", schemas)
    published = hashlib.sha256((shop.data / "shop.duckdb").read_bytes()).hexdigest()
    part = shop.run("--to", "04")
    assert part.returncode == 0 and "not published, 0 new rows loaded" in part.stdout
    assert hashlib.sha256((shop.data / "shop.duckdb").read_bytes()).hexdigest() == published
    rest = shop.run("--from", "05_quality", "-p", "06_insights.top_n=5")
    assert rest.returncode == 0 and "Published" in rest.stdout
    manifest = json.loads((shop.outputs / "latest" / "run.json").read_text())
    assert manifest["parameters"]["06_insights"]["top_n"] == 5
    assert tables(shop.data / "shop.duckdb", schemas) == before
    assert shop.ask("select count(*) from ops.runs") == [(2,)]


@pytest.mark.soak
def test_a_full_refresh_changes_no_row_and_keeps_the_history(shop, first):
    before = tables(shop.data / "shop.duckdb", ("stage", "clean", "quarantine", "warehouse", "analytics"))
    runs_before = len(tables(shop.data / "shop.duckdb", ("ops",))["ops.runs"])
    refreshed = shop.run("--full-refresh", "--from", "03_clean", "--to", "05_quality")
    assert refreshed.returncode == 0, refreshed.stdout + refreshed.stderr
    assert tables(shop.data / "shop.duckdb", ("stage", "clean", "quarantine", "warehouse", "analytics")) == before
    assert len(tables(shop.data / "shop.duckdb", ("ops",))["ops.runs"]) == runs_before + 1


def by_hand(shop: Shop, name: str, output: Path, *parameters: str) -> subprocess.CompletedProcess[str]:
    """Run one notebook with the papermill command."""
    given = [word for parameter in parameters for word in ("-p", *parameter.split("=", 1))]
    command = [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb", str(output), "--no-progress-bar", *given]
    return subprocess.run(command, cwd=PROJECT, env=shop.environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def executed(shop_at, tmp_path_factory) -> Shop:
    """A shop of its own on which each notebook was run by hand on its defaults, in a kernel without a run.

    The first and the last are run just as JupyterLab runs them: in a process of their own, in the notebooks' folder.
    """
    shop, logs = shop_at("by_hand"), tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch, kernel_starter("auto", "duckdb") as start_kernel:
        for name, value in shop.environment.items():
            patch.setenv(name, value)
        for name in NOTEBOOKS:
            notebook = nbformat.read(notebook_path(name), as_version=4)
            if name in ("01_generate", "06_insights"):
                resources = {"metadata": {"path": str(PROJECT / "notebooks")}}
                NotebookClient(notebook, timeout=240, resources=resources).execute()
            else:
                kernel = start_kernel(notebook_path(name), logs / f"{name}.log")
                kernel.wait_until_ready()
                client = NotebookClient(notebook, timeout=240, km=kernel.manager)
                client.kc = kernel.client
                client.execute()
                kernel.stop()
            assert all(o.output_type != "error" for c in notebook.cells for o in c.get("outputs", []))
    return shop


def test_each_notebook_runs_top_to_bottom_on_its_defaults_as_in_jupyterlab(executed):
    assert not (executed.data / "shop.duckdb").exists(), "notebooks run by hand publish only when asked"
    charts = list((executed.outputs / "draft" / "charts").glob("*.png"))
    assert len(charts) >= 8


def test_a_batch_leaves_the_draft_alone_and_papermill_by_hand_publishes_it_when_asked(executed, tmp_path):
    draft = executed.data / "work" / "draft" / "shop.duckdb"
    inode = draft.stat().st_ino
    batch = executed.run("--from", "03_clean", "--to", "05_quality")
    assert batch.returncode == 0, batch.stdout + batch.stderr
    assert draft.stat().st_ino == inode
    assert executed.ask("select count(*) from ops.runs") == [(1,)]
    done = by_hand(executed, "05_quality", tmp_path / "5.ipynb", "publish=True")
    assert done.returncode == 0, done.stderr
    assert executed.ask("select run_id like 'draft-%' from ops.runs order by published_at") == [(False,), (True,)]


def test_a_shop_of_another_seed_gets_a_folder_of_its_own_that_the_next_notebook_uses(shop_at, tmp_path):
    shop = shop_at("another_seed")
    assert by_hand(shop, "01_generate", tmp_path / "1.ipynb", "seed=7").returncode == 0
    folder = shop.data / "shops" / "simulated-small-7"
    assert f"set data_dir to `{folder}`" in (tmp_path / "1.ipynb").read_text()
    settings = load_settings(data_dir=folder)
    lake = Lake(settings.lake_url)
    lake.claim(settings.identity)
    identity = {"shop": "simulated", "size": "small", "seed": 7, "generator": GENERATOR}
    assert identity.items() <= json.loads((folder / "lake" / "shop.json").read_text()).items()
