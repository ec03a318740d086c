"""`--skip-unchanged`: a stage whose last success rests on what it would rest on now is left out, and each says why."""

import copy
import json
import shutil

import nbformat
import pytest

from lib.base.files import PROJECT
from lib.run import execution, reasons
from lib.run.manifest import Run
from lib.run.parameters import NOTEBOOKS
from lib.run.reasons import Reasons, differences
from lib.run.schedule import arguments_of
from lib.settings import load_settings

SKIP = "--skip-unchanged"
LATER = ["03_clean", "04_model", "05_quality", "06_insights"]


@pytest.fixture(scope="module")
def shop(shop_at):
    """A shop that one run has published."""
    made = shop_at("skip")
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def run(shop, *arguments: str) -> dict:
    """Run with `--skip-unchanged` and return the manifest."""
    done = shop.run(SKIP, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    path = max((shop.outputs / "runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime)
    manifest = json.loads(path.read_text()) | {"printed": done.stdout, "folder": path.parent}
    for stage in manifest["stages"]:
        assert stage["why"] or stage["state"] == "not_run", stage
    return manifest


def whys(manifest: dict) -> dict[str, str]:
    return {s["name"]: s["why"] for s in manifest["stages"] if s["state"] == "ok"}


def test_a_run_with_nothing_new_asks_the_sources_and_skips_the_rest(shop):
    before = shop.ask("select count(*), max(run_id) from ops.runs")
    manifest = run(shop)
    assert whys(manifest) == {"02_ingest": "asks the sources for what is new"}
    ((_, last),) = before
    skipped = [s for s in manifest["stages"] if s["state"] == "skipped"]
    assert {(s["why"], s["last_run"]) for s in skipped} == {(f"nothing has changed since the run {last}", last)}
    assert (manifest["state"], manifest["new_rows"]) == ("not_published", 0) and manifest["kpis"]
    assert manifest["reason"] == f"nothing is new: what the run {last} published stands"
    assert shop.ask("select count(*), max(run_id) from ops.runs") == before
    assert f"05_quality   skipped              nothing has changed since the run {last}" in manifest["printed"]
    assert f"runs/{last}/reports/06_insights.html" in manifest["printed"]
    page = (manifest["folder"] / "index.html").read_text()
    assert f"nothing has changed since the run {last}" in page and f'href="../{last}/reports/05_quality.html"' in page
    assert (shop.outputs / "latest").resolve().name == last


def test_a_parameter_that_is_another_runs_its_notebook_alone_and_once(shop):
    first = run(shop, "-p", "06_insights.top_n=3")
    assert whys(first) == {
        "02_ingest": "asks the sources for what is new",
        "06_insights": "top_n is 3, and was 10",
    }
    assert (first["folder"] / "reports" / "06_insights.html").exists()
    assert list(whys(run(shop, "-p", "06_insights.top_n=3"))) == ["02_ingest"]
    assert whys(run(shop))["06_insights"] == "top_n is 10, and was 3"


def test_a_source_of_lib_that_changed_runs_what_uses_it_and_what_comes_after(shop, monkeypatch):
    hashed = reasons._Files._hash
    changed = PROJECT / "lib" / "quality" / "score.py"
    monkeypatch.setattr(reasons._Files, "_hash", lambda self, path: "x" if path == changed else hashed(self, path))
    orders = shop.ask("select count(*), sum(net_amount) from warehouse.fact_orders")
    manifest = run(shop)
    assert whys(manifest) == {
        "02_ingest": "asks the sources for what is new",
        "05_quality": "lib/quality/score.py changed",
        "06_insights": "05_quality ran",
    }
    assert manifest["state"] == "published" and manifest["kpis"] and manifest["quality"]["grade"] == "A"
    assert shop.ask("select count(*), sum(net_amount) from warehouse.fact_orders") == orders
    assert list(whys(run(shop))) == ["02_ingest"]  # what 03 and 04 left is published again


def test_new_batches_are_named_and_a_run_that_loads_them_gives_what_one_without_skipping_gives(shop, shop_at):
    ((reached,),) = shop.ask("select cast(max(ordered_at) as date) + 3 from clean.orders")
    manifest = run(shop, "--as-of", str(reached))
    said = whys(manifest)
    assert said["01_generate"].startswith(f"the shop's last day is {reached}, and was ")
    assert "web.orders has 1 new batch" in said["03_clean"] and said["04_model"] == "03_clean ran"
    assert manifest["state"] == "published" and manifest["new_rows"] > 0
    other = shop_at("unskipped")
    shutil.copytree(shop.data / "sources", other.data / "sources")
    assert other.run("--from", "02_ingest", "--to", "05_quality").returncode == 0
    query = "select count(*), sum(net_amount), sum(gross_amount) from warehouse.fact_orders"
    assert shop.ask(query) == other.ask(query)
    assert list(whys(run(shop))) == ["02_ingest"]


def test_a_run_of_many_processes_leaves_the_same_out(shop, monkeypatch):
    hashed = reasons._Files._hash
    changed = PROJECT / "sql" / "models" / "warehouse" / "fact_orders.sql"
    monkeypatch.setattr(reasons._Files, "_hash", lambda self, path: "y" if path == changed else hashed(self, path))
    names = list(NOTEBOOKS)
    for name in names:
        manifest = run(shop, "--run-id", "a run", "--only", name)
        assert manifest["state"] == ("published" if name == names[-1] else "waiting"), manifest["reason"]
    assert whys(manifest) == {
        "02_ingest": "asks the sources for what is new",
        "04_model": "sql/models/warehouse/fact_orders.sql changed",
        "05_quality": "04_model ran",
        "06_insights": "05_quality ran",
    }
    assert list(whys(run(shop))) == ["02_ingest"]


def test_a_run_that_left_stages_out_and_failed_is_resumed_from_what_is_published(shop, monkeypatch):
    hashed, execute = reasons._Files._hash, execution.execute
    changed = PROJECT / "sql" / "models" / "warehouse" / "fact_orders.sql"
    query = "select count(*), sum(net_amount) from warehouse.fact_orders"
    orders = shop.ask(query)
    with monkeypatch.context() as patch:
        patch.setattr(reasons._Files, "_hash", lambda self, path: "z" if path == changed else hashed(self, path))
        failed = {"state": "failed", "error": {"type": "TransformError", "message": "no", "cell": 3}}
        patch.setattr(execution, "execute", lambda name, *a: failed if name == "04_model" else execute(name, *a))
        assert shop.run(SKIP).returncode == 1
    done = shop.run("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Published" in done.stdout and shop.ask(query) == orders
    assert list(whys(run(shop))) == ["02_ingest"]


def test_a_full_refresh_and_a_report_that_is_gone_are_reasons(shop):
    last = shop.ask("select run_id from ops.runs order by published_at desc limit 1")[0][0]
    kept = shop.outputs / "runs" / last
    kept.rename(kept.with_name("away"))
    try:
        settings = load_settings(size="small", data_dir=shop.data, output_dir=shop.outputs)
        asked = Reasons(settings, {n: {} for n in NOTEBOOKS})
        current = Run(shop.root, {"stages": [{"name": n, "state": "not_run"} for n in NOTEBOOKS]})
        assert all(f"the run of its last success, {last}" in asked.why(n, current) for n in LATER[1:])
    finally:
        kept.with_name("away").rename(kept)
    assert Reasons(settings, {n: {} for n in NOTEBOOKS}, True).why("03_clean", current) == "--full-refresh"


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """Return a function that closes a run on noted successes, and one that says which of these then hold."""
    settings = load_settings(data_dir=tmp_path / "data", output_dir=tmp_path / "outputs")
    published = ["first"]
    monkeypatch.setattr(reasons, "published_run", lambda _: published[0])

    def close(run_id: str, state: str, *ok: str, gate: dict | None = None) -> None:
        folder = settings.output_dir / "runs" / run_id
        (folder / "stages").mkdir(parents=True)
        stages = [{"name": n, "state": "ok" if n in ok else "skipped", "why": None} for n in NOTEBOOKS]
        current = Run(folder, {"run_id": run_id, "state": "running", "stages": stages, "quality": {"gate": gate}})
        made = Reasons(settings, {n: {} for n in NOTEBOOKS})
        for name in ok:
            made.begin(name, current, "")
        current.manifest["state"] = state
        current.save()
        made.note(current)
        if state == "published":
            published[0] = run_id

    def holding() -> dict[str, str]:
        made = Reasons(settings, {n: {} for n in NOTEBOOKS})
        current = Run(tmp_path, {"stages": [{"name": n, "state": "not_run"} for n in NOTEBOOKS]})
        return {n: made.notes[n]["run_id"] for n in LATER if not made.why(n, current)}

    close("first", "published", *NOTEBOOKS)
    assert holding() == dict.fromkeys(LATER, "first")
    return close, holding, published


def test_what_was_not_published_is_no_success_of_what_writes(noted):
    close, holding, _ = noted
    for number, state in enumerate(("failed", "refused", "killed", "waiting")):
        close(f"no-{number}", state, "01_generate", "02_ingest", "03_clean", "04_model", "05_quality", "06_insights")
        assert holding() == dict.fromkeys(LATER, "first")


def test_what_stays_as_it_was_holds_on_when_others_are_published(noted):
    close, holding, _ = noted
    close("second", "published", "05_quality", "06_insights")
    assert holding() == {"03_clean": "first", "04_model": "first", "05_quality": "second", "06_insights": "second"}
    close("third", "published", "04_model", "05_quality")
    assert holding() == {"03_clean": "first", "04_model": "third", "05_quality": "third"}, "06 has not read these"


def test_what_somebody_else_published_and_what_the_gate_refused_hold_for_nothing(noted):
    close, holding, published = noted
    close("forced", "published", *NOTEBOOKS, gate={"passed": False, "overridden": True})
    assert "05_quality" not in holding() and "04_model" in holding()
    published[0] = "draft-1"
    assert holding() == {}


def test_a_stage_uses_what_it_imports_directly_or_not_and_the_sql_that_it_reads():
    settings = load_settings()
    files = {n: Reasons(settings, {m: {} for m in NOTEBOOKS}).basis(n)["files"] for n in NOTEBOOKS}
    assert "lib/quality/score.py" in files["05_quality"] and "sql/tests/files_can_be_taken.sql" in files["05_quality"]
    assert not {"lib/quality/score.py", "lib/run/runner.py"} & files["06_insights"].keys()
    assert {"sql/queries/insights/remarks.sql", "lib/report/templates/table.html.j2"} <= files["06_insights"].keys()
    assert {"sql/models/staging/repairs.sql", "lib/clean/rule_hits.py", "sql/cells/macros.sql"} <= files[
        "03_clean"
    ].keys()
    assert "sql/models/warehouse/fact_orders.sql" in files["04_model"]
    assert "sql/models/staging/repairs.sql" not in files["04_model"]
    assert {"lib/sources/rest.py", "lib/sources/mail.py"} <= files["02_ingest"].keys()


def test_prose_comments_and_outputs_count_for_nothing_and_code_does(monkeypatch):
    settings, real = load_settings(), reasons.cells_of
    cells = {n: real(n) for n in NOTEBOOKS}
    monkeypatch.setattr(reasons, "cells_of", cells.get)

    def basis() -> dict:
        return copy.deepcopy(Reasons(settings, {n: {} for n in NOTEBOOKS}).basis("06_insights"))

    before = basis()
    own = cells["06_insights"]
    own[0].source += "\nAnother word."
    own.insert(1, nbformat.v4.new_markdown_cell("# New prose"))
    code = [c for c in own if c.cell_type == "code"][1]
    code.outputs = [nbformat.v4.new_output("stream", text="said")]
    code.execution_count = 7
    code.source += "\n# a comment\n"
    assert differences(before, basis()) == []
    code.source += "\nprint(1)"
    assert differences(before, basis()) == ["its code cells changed"]


def test_differences_are_told_by_their_names():
    before = {
        "parameters": {"top_n": 10, "publish": False},
        "files": {"lib/a.py": "1", "lib/b.py": "1"},
        "packages": {"duckdb": "1.4.0"},
        "inputs": {"web.orders": ["a"], "crm.customers": ["a", "b"], "what is in quarantine": "1"},
        "configuration": {f"quality.{n}": "1" for n in range(9)},
    }
    now = {
        "parameters": {"top_n": 10, "publish": True},
        "files": {"lib/b.py": "2", "lib/c.py": "1"},
        "packages": {"duckdb": "1.5.0"},
        "inputs": {"web.orders": ["a", "b", "c"], "crm.customers": ["a"], "what is in quarantine": "2"},
        "configuration": {f"quality.{n}": "2" for n in range(9)},
    }
    assert differences(before, now) == [
        "publish is true, and was false",
        "lib/a.py is gone, lib/b.py changed, lib/c.py is new",
        "duckdb is 1.5.0, and was 1.4.0",
        "web.orders has 2 new batches, crm.customers has 1 lost batch, what is in quarantine changed",
        "quality.0 changed, quality.1 changed, quality.2 changed, quality.3 changed, quality.4 changed and 4 more",
    ]


def test_a_schedule_leaves_out_what_has_not_changed_unless_its_flow_says_otherwise():
    settings = load_settings()
    assert arguments_of(settings, "ecommerce_end_to_end", ["--size", "small"]) == [
        "--flow", "ecommerce_end_to_end", "--skip-unchanged", "--size", "small",
    ]  # fmt: skip
    assert arguments_of(settings, "daily_quality_check", []) == ["--flow", "daily_quality_check"]


def test_secrets_of_the_configuration_leave_no_trace(monkeypatch, tmp_path):
    def noted(secret: str) -> str:
        monkeypatch.setenv("SHOP_API_TOKEN", secret)
        settings = load_settings(data_dir=tmp_path / "d", output_dir=tmp_path / "o")
        return json.dumps(Reasons(settings, {n: {} for n in NOTEBOOKS}).basis("03_clean")["configuration"])

    assert noted("token-one-hunter22") == noted("token-two-hunter33")
