"""How the runner ends a stage: the manifest and the saved notebook agree on what really happened."""

import json
from pathlib import Path

import nbformat
import psutil
import pytest

from lib.run import manifest, parameters, runner
from lib.run.runner import Plan, Progress
from lib.settings import load_settings
from lib.warehouse import open_warehouse

OK = "import math\nvalue = math.sqrt(16)\nvalue"


@pytest.fixture(params=["auto", "spawn"])
def kernels(request) -> str:
    """How kernels start: forked where the system allows it, and as new processes."""
    return request.param


@pytest.fixture
def run_cells(tmp_path, monkeypatch):
    """Return a function that runs notebooks made of the given cells, one list a notebook."""

    def run(
        *notebooks: list[str], timeout: int = 30, kernels: str = "auto", show=lambda _: None
    ) -> tuple[dict, Path, int]:
        folder = tmp_path / "notebooks"
        folder.mkdir()
        for number, cells in enumerate(notebooks, 1):
            made = nbformat.v4.new_notebook(
                cells=[
                    nbformat.v4.new_markdown_cell(f"# Notebook {number}"),
                    nbformat.v4.new_code_cell('run_id: str = ""\nsecret: str = ""', metadata={"tags": ["parameters"]}),
                    *(nbformat.v4.new_code_cell(c) for c in cells),
                ]
            )
            nbformat.write(made, folder / f"0{number}_test.ipynb")
        monkeypatch.setattr(parameters, "_FOLDER", folder)
        monkeypatch.setattr(parameters, "NOTEBOOKS", parameters.read_notebooks())
        monkeypatch.setattr(runner, "NOTEBOOKS", parameters.NOTEBOOKS)
        settings = load_settings(data_dir=tmp_path / "data", output_dir=tmp_path / "outputs")
        limits = settings.config.runner.model_copy(update={"cell_timeout_seconds": timeout, "kernels": kernels})
        settings = settings.__class__(
            **{**settings.__dict__, "config": settings.config.model_copy(update={"runner": limits})}
        )
        names = tuple(parameters.NOTEBOOKS)
        outcome = runner.run(Plan(settings, names, {n: {} for n in names}), show)
        return outcome.manifest, outcome.folder, outcome.exit_code

    return run


def saved(folder: Path, name: str) -> nbformat.NotebookNode:
    return nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)


def test_a_stage_that_ends_well_is_ok_and_its_notebook_holds_the_outputs(run_cells):
    seen: list[Progress] = []
    manifest, folder, code = run_cells([OK], show=seen.append)
    assert (code, manifest["stages"][0]["state"]) == (0, "ok")
    assert saved(folder, "01_test").cells[-1].outputs[0].data["text/plain"] == "4.0"
    assert seen[-1].cell == seen[-1].cells and (seen[-1].number, seen[-1].total) == (1, 1)


def test_a_failing_cell_ends_the_run_and_later_stages_never_ran(run_cells):
    manifest, folder, code = run_cells(["1 / 0", OK], [OK])
    first, second = manifest["stages"]
    assert (code, manifest["state"], first["state"], second["state"]) == (1, "failed", "failed", "not_run")
    assert first["error"]["type"] == "ZeroDivisionError" and "01_test: division by zero" in manifest["reason"]
    assert "ZeroDivisionError" in (folder / "reports" / "01_test.html").read_text()
    assert not (folder / "notebooks" / "02_test.ipynb").exists()


def test_a_cell_over_its_time_limit_is_timed_out_in_manifest_and_notebook(run_cells, kernels):
    manifest, folder, code = run_cells([OK, "import time\ntime.sleep(60)", OK], timeout=2, kernels=kernels)
    assert (code, manifest["stages"][0]["state"]) == (1, "timed_out")
    assert "cell_timeout_seconds" in manifest["reason"]
    notes = [c.metadata.papermill["status"] for c in saved(folder, "01_test").cells[-3:]]
    assert notes == ["completed", "failed", "pending"]
    assert saved(folder, "01_test").cells[-2].outputs[-1].ename == "CellTimeoutError"


def test_a_kernel_that_dies_is_recognized_and_the_notebook_is_kept(run_cells, kernels):
    manifest, folder, code = run_cells([OK, "import os\nos._exit(1)", OK], kernels=kernels)
    assert (code, manifest["stages"][0]["state"]) == (1, "kernel_died")
    notes = [c.metadata.papermill["status"] for c in saved(folder, "01_test").cells[-3:]]
    assert notes == ["completed", "failed", "pending"]


def test_an_error_of_the_users_making_is_shown_as_its_message_without_a_trace(run_cells):
    cell = (
        "from lib.base.errors import SourceError\nfrom lib.run.stage import open_stage\n"
        "open_stage('01_test', run_id=run_id)\nraise SourceError('no folder /x; mount it')"
    )
    manifest, folder, _ = run_cells([cell])
    assert manifest["stages"][0]["error"] == {
        "type": "SourceError", "message": "no folder /x; mount it", "cell": manifest["stages"][0]["error"]["cell"],
    }  # fmt: skip
    page = (folder / "reports" / "01_test.html").read_text()
    assert "no folder /x; mount it" in page and "Traceback" not in page


def test_secrets_appear_in_no_file_of_a_run(run_cells, monkeypatch, tmp_path):
    monkeypatch.setenv("SHOP_LAKE", "s3://user:hunter2secret@bucket/lake")
    cell = "import os\nraise ValueError('cannot reach ' + os.environ['SHOP_LAKE'])"
    manifest, folder, _ = run_cells([cell])
    assert "s3://user:***@bucket/lake" in manifest["reason"]
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"hunter2secret" not in path.read_bytes(), path


def test_kernels_leave_no_process_and_no_socket_behind(run_cells, kernels):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    run_cells([OK], [OK], [OK], [OK], kernels=kernels)
    assert {p.pid for p in psutil.Process().children(recursive=True) if p.is_running()} <= before


def test_a_run_whose_process_is_gone_is_settled_as_killed_by_the_next(run_cells, tmp_path):
    ghost = tmp_path / "outputs" / "runs" / "20200101T000000Z"
    ghost.mkdir(parents=True)
    manifest = {
        "run_id": ghost.name, "state": "running", "pid": 2**22 + 1, "started_at": "2020-01-01T00:00:00+00:00",
        "data_dir": str(tmp_path / "data"), "stages": [{"name": "01_test", "state": "running"}], "shop": {"name": "x"},
    }  # fmt: skip
    (ghost / "run.json").write_text(json.dumps(manifest))
    run_cells([OK])
    settled = json.loads((ghost / "run.json").read_text())
    assert settled["state"] == "killed" and settled["stages"][0]["state"] == "killed"
    assert "nothing was published" in settled["reason"]


def test_a_defect_of_ours_leaves_a_true_manifest_before_its_trace(run_cells, monkeypatch, tmp_path):
    monkeypatch.setattr(runner.pages, "notebook_page", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_cells([OK])
    [path] = (tmp_path / "outputs" / "runs").glob("*/run.json")
    manifest = json.loads(path.read_text())
    assert manifest["state"] == "failed" and "ZeroDivisionError" in manifest["reason"]


def test_what_breaks_off_a_run_after_its_data_went_public_does_not_call_it_failed(tmp_path):
    settings = load_settings(data_dir=tmp_path / "data", output_dir=tmp_path / "outputs")
    current = manifest.start_run(settings, [], {}, [])
    copy = open_warehouse(settings, "run")
    copy.begin()
    copy.record_run(current.run_id, None, 0, 100.0, {"passed": True})
    assert runner._broken_off(current, settings, "disk full").manifest["state"] == "failed"
    copy.begin()
    copy.record_run(current.run_id, None, 0, 100.0, {"passed": True})
    copy.publish()
    outcome = runner._broken_off(current, settings, "disk full")
    assert (outcome.exit_code, outcome.manifest["state"]) == (0, "published")
    assert "disk full" in outcome.manifest["reason"]
    assert (settings.output_dir / "latest").resolve() == current.folder
