"""Time limits and tries: what can pass by itself is done again, and all that happened is in the manifest."""

import errno
import json
import socket

import nbformat
import pytest
import sqlalchemy.exc

from lib.base import errors
from lib.base.errors import SourceError, SourceUnavailableError
from lib.config import NotebookLimits, Runner
from lib.ingest.run import Ingested
from lib.run import parameters, retrying, runner
from lib.run.runner import Plan
from lib.settings import load_settings
from lib.sources import tables
from lib.sources.listing import files_at

START = "from lib.run.stage import open_stage\nfrom lib.base import errors\nopen_stage('01_test', run_id=run_id)\n"


@pytest.fixture
def run_cell(tmp_path, monkeypatch):
    """Return a function that runs a notebook of one cell, and one after it, with keys of `runner`."""

    def run(cell: str, **keys) -> tuple[dict, list[float]]:
        folder = tmp_path / "notebooks"
        folder.mkdir()
        head = nbformat.v4.new_code_cell('run_id: str = ""', metadata={"tags": ["parameters"]})
        for name, text in (("01_test", cell), ("02_test", "1")):
            nbformat.write(
                nbformat.v4.new_notebook(cells=[head, *map(nbformat.v4.new_code_cell, ("1", text))]),
                folder / f"{name}.ipynb",
            )
        monkeypatch.setattr(parameters, "_FOLDER", folder)
        monkeypatch.setattr(parameters, "NOTEBOOKS", parameters.read_notebooks())
        monkeypatch.setattr(runner, "NOTEBOOKS", parameters.NOTEBOOKS)
        waited: list[float] = []
        monkeypatch.setattr(retrying, "_wait", waited.append)
        settings = load_settings(data_dir=tmp_path / "data", output_dir=tmp_path / "outputs")
        limits = Runner(**{"retries": 2, **keys})
        object.__setattr__(settings, "config", settings.config.model_copy(update={"runner": limits}))
        names = tuple(parameters.NOTEBOOKS)
        done = runner.run(Plan(settings, names, {n: {} for n in names}))
        assert json.loads((done.folder / "run.json").read_text())["stages"] == json.loads(
            json.dumps(done.manifest["stages"])
        )
        return done.manifest | {"folder": done.folder}, waited

    return run


def failing(times: int, error: str, path) -> str:
    """Return a cell that raises an error a number of times, and then is well."""
    return (
        f"{START}from pathlib import Path\ncounter = Path({str(path)!r})\n"
        "count = int(counter.read_text()) if counter.exists() else 0\n"
        f"counter.write_text(str(count + 1))\nif count < {times}: raise {error}"
    )


def test_what_passes_is_tried_again_after_a_wait_and_every_try_is_kept(run_cell, tmp_path):
    cell = failing(2, "errors.SourceUnavailableError('web: refused')", tmp_path / "count")
    manifest, waited = run_cell(cell, retry_wait_seconds=7)
    stage = manifest["stages"][0]
    assert (manifest["state"], stage["state"], stage["error"]) == ("not_published", "ok", None)
    assert [t["state"] for t in stage["tries"]] == ["failed", "failed", "ok"]
    assert waited == [t["waited_seconds"] for t in stage["tries"][:2]] == [7, 14]
    assert stage["tries"][0]["error"]["message"] == "web: refused"
    for one in stage["tries"][:2]:
        cells = nbformat.read(manifest["folder"] / one["notebook"], as_version=4).cells
        assert cells[-1].outputs[-1].ename == "SourceUnavailableError"
    cells = nbformat.read(manifest["folder"] / stage["notebook"], as_version=4).cells
    assert cells[-1].metadata.papermill["status"] == "completed"
    page = (manifest["folder"] / "index.html").read_text()
    assert "3 tries" in page and 'href="notebooks/01_test.try-2.ipynb"' in page
    assert len(manifest["stages"][1]["tries"]) == 1


def test_what_does_not_pass_ends_the_run_when_the_tries_are_used_up(run_cell, tmp_path):
    cell = failing(9, "errors.ConnectionLostError('gone')", tmp_path / "count")
    manifest, waited = run_cell(cell, retries=3, retry_wait_seconds=4, retry_longest_wait_seconds=10)
    stage = manifest["stages"][0]
    assert (manifest["state"], manifest["reason"], stage["state"]) == ("failed", "01_test: gone", "failed")
    assert waited == [4, 8, 10] and [t["state"] for t in stage["tries"]] == ["failed"] * 4
    assert "waited_seconds" not in stage["tries"][-1] and manifest["stages"][1]["state"] == "not_run"


@pytest.mark.parametrize("error", ["errors.SourceError('no folder')", "ValueError('x')", "errors.LakeError('damaged')"])
def test_what_somebody_has_to_see_to_is_not_tried_again(run_cell, tmp_path, error):
    manifest, waited = run_cell(failing(1, error, tmp_path / "count"))
    assert manifest["state"] == "failed" and waited == [] and len(manifest["stages"][0]["tries"]) == 1


def test_a_notebook_may_take_as_long_as_its_cells_together_and_has_no_second_try(run_cell):
    limits = {"01_test": NotebookLimits(notebook_timeout_seconds=2)}
    manifest, waited = run_cell("import time\ntime.sleep(60)", notebooks=limits)
    stage = manifest["stages"][0]
    assert (stage["state"], stage["error"]["type"]) == ("timed_out", "NotebookTimeoutError")
    assert "the notebook ran longer than 2 s (runner.notebook_timeout_seconds" in manifest["reason"]
    assert waited == [] and stage["tries"][0]["state"] == "timed_out"
    assert (
        nbformat.read(manifest["folder"] / stage["notebook"], 4).cells[-1].outputs[-1].ename == "NotebookTimeoutError"
    )


def test_limits_of_one_notebook_count_more_than_those_of_all():
    given = Runner(cell_timeout_seconds=50, retries=1, notebooks={"ingest": {"retries": 0, "cell_timeout_seconds": 9}})
    own, other = retrying.limits_of(given, "02_ingest"), retrying.limits_of(given, "03_clean")
    assert (own.cell_seconds, own.retries, own.notebook_seconds) == (9, 0, 0)
    assert (other.cell_seconds, other.retries) == (50, 1)
    with pytest.raises(errors.ConfigError, match="No notebook '07_x'"):
        retrying.limits_of(Runner(notebooks={"07_x": {}}), "02_ingest")


def test_a_cell_gets_what_is_left_of_its_notebook(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(retrying.time, "monotonic", lambda: now[0])
    clock = retrying.Clock(retrying.Limits(30, 100), 0.0)
    assert clock.seconds_for(None) == 30 and clock.exceeded()[0] == "CellTimeoutError"
    now[0] = 90.0
    assert clock.seconds_for(None) == 10 and clock.exceeded()[0] == "NotebookTimeoutError"
    now[0] = 101.0
    assert 0 < clock.seconds_for(None) < 0.1
    assert retrying.Clock(retrying.Limits(0, 0)).seconds_for(None) is None


def test_which_errors_pass_by_themselves():
    away = [ConnectionRefusedError(), TimeoutError(), OSError(errno.ESTALE, "x"), OSError(errno.EHOSTUNREACH, "x")]
    assert all(map(errors.can_pass, [*away, socket.gaierror(socket.EAI_AGAIN, "x"), SourceUnavailableError("x")]))
    lasting = [FileNotFoundError(errno.ENOENT, "x"), PermissionError(), OSError(errno.ENOSPC, "x"), ValueError()]
    assert not any(map(errors.can_pass, [*lasting, SourceError("x"), socket.gaierror(socket.EAI_NONAME, "x")]))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("connection to server at 127.0.0.1 failed: Connection refused", SourceUnavailableError),
        ("database is locked", SourceUnavailableError),
        ("server closed the connection unexpectedly", SourceUnavailableError),
        ("canceling statement due to statement timeout", SourceError),
        ('FATAL: password authentication failed for user "x"', SourceError),
        ('relation "orders" does not exist', SourceError),
    ],
)
def test_what_a_sources_database_says_tells_whether_it_passes(said, kind):
    error = sqlalchemy.exc.OperationalError("select 1", {}, Exception(said))
    assert tables._kind(error) is kind


def test_a_folder_that_is_away_passes_and_one_that_is_missing_does_not(tmp_path, monkeypatch):
    with pytest.raises(SourceError) as missing:
        files_at(str(tmp_path / "none"), "*.csv", (".csv",), "CSV")
    assert type(missing.value) is SourceError

    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.exists", stale)
    with pytest.raises(SourceUnavailableError, match="Stale file handle"):
        files_at(str(tmp_path), "*.csv", (".csv",), "CSV")


def test_sources_are_tried_again_only_where_all_that_failed_can_pass():
    def ended(passing: set[str]) -> type[Exception]:
        with pytest.raises(SourceError) as error:
            Ingested(None, None, None, {"web": "down", "crm.orders": "x"}, passing=frozenset(passing)).raise_failures()
        return type(error.value)

    assert ended({"web", "crm.orders"}) is SourceUnavailableError
    assert ended({"web"}) is ended(set()) is SourceError
