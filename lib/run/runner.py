"""Runs the notebooks through papermill, one kernel each, and sees to honest end states.

What a run leaves behind is `lib.run.manifest`; what a notebook does is in the notebook. papermill notes a timeout or a
dead kernel as success, so states come from the exceptions caught here, and the saved notebook is made to agree.
"""

import contextlib
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError

from lib.base.errors import PipelineError, explain
from lib.base.files import PROJECT, file_lock, write_atomically
from lib.base.secrets import mask
from lib.clean.load import export_clean
from lib.report import pages
from lib.run import manifest
from lib.run.kernels import Kernel, kernel_starter
from lib.run.manifest import Run
from lib.run.parameters import NOTEBOOKS, notebook_path
from lib.settings import Settings
from lib.warehouse import open_warehouse

PUBLISHED, FAILED, REFUSED = 0, 1, 3


#: How many kernels are started ahead of the one at work: dbt's import takes longer than the shortest stages.
_AHEAD = 2


#: The executed notebook of a run that is killed is at most this old.
_SAVE_SECONDS = 5


@dataclass(frozen=True)
class Progress:
    """What the progress bar shows."""

    number: int
    total: int
    notebook: str
    cell: int
    cells: int
    doing: str


@dataclass(frozen=True)
class Plan:
    """What to run: notebooks in order, and each one's parameters.

    `no_gate` publishes what the quality gate refuses, and marks the run.
    """

    settings: Settings
    notebooks: tuple[str, ...]
    parameters: dict[str, dict[str, Any]]
    full_refresh: bool = False
    no_gate: bool = False
    command: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its manifest, folder, and the exit code of the command line."""

    manifest: dict[str, Any]
    folder: Path
    exit_code: int


class _Stopped(BaseException):
    """The process was asked to end."""


def run(plan: Plan, show: Callable[[Progress], None] = lambda _: None) -> Outcome:
    """Run the notebooks, publish where the gate lets it, and leave the audit trail.

    Raises LakeError where another run works on the same data.
    """
    settings = plan.settings
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    message = f"Another run is at work on {settings.data_dir} (see: run_pipeline.py runs)."
    with (
        # First, for what is opened later must not be there where kernels are forked.
        kernel_starter(settings.config.runner.kernels, settings.config.warehouse.target) as start_kernel,
        file_lock(settings.data_dir / ".run.lock", 5, message),
        open_warehouse(settings).exclusive(),
        _signals(),
    ):
        manifest.settle_killed(settings)
        stages = [_stage(name, name in plan.notebooks) for name in NOTEBOOKS]
        current = manifest.start_run(settings, stages, plan.parameters, plan.command)
        manifest.write_index(settings.output_dir)
        try:
            _prepare_copy(plan)
            return _run_stages(plan, current, start_kernel, show)
        except (_Stopped, KeyboardInterrupt):
            return _broken_off(current, settings, "stopped by a signal from outside")
        except (PipelineError, OSError) as error:
            return _broken_off(current, settings, mask(explain(error)))
        except Exception as error:
            # A defect of ours: the trace is shown, but the manifest is true first.
            reason = f"a defect of the pipeline: {type(error).__name__}: {mask(str(error))}"
            current.manifest.update(
                state="published" if manifest.has_published(current, settings) else "failed", reason=reason
            )
            current.save()
            raise


def _run_stages(
    plan: Plan, current: Run, start_kernel: Callable[[Path, Path], Kernel], show: Callable[[Progress], None]
) -> Outcome:
    """Run stage after stage; the first that does not end well ends the run."""
    settings = plan.settings
    rendering: list[Future[None]] = []
    ready: dict[str, Kernel] = {}
    with ThreadPoolExecutor(max_workers=1) as renderer:
        try:
            for number, name in enumerate(plan.notebooks, 1):
                rest = plan.notebooks[number:]
                for coming in (name, *rest[:_AHEAD]):
                    if coming not in ready:
                        ready[coming] = start_kernel(notebook_path(coming), current.folder / "logs" / f"{coming}.log")
                _run_stage(plan, current, name, number, ready.pop(name), show)
                stage = current.stage(name)
                note = current.take_note(name) if stage["state"] == "ok" else {}
                gate = (note.get("quality") or {}).get("gate") or {}
                is_refused = bool(gate) and not gate["passed"]
                if is_refused and plan.no_gate:
                    gate["overridden"], is_refused = True, False
                rendering.append(renderer.submit(_render, current.folder, dict(current.manifest), name))
                if stage["state"] != "ok":
                    _settle(rendering)
                    return _closed(current, settings, "failed", f"{name}: {stage['error']['message']}", FAILED)
                current.save()
                if is_refused:
                    for later in rest:
                        current.stage(later)["state"] = "skipped"
                    _settle(rendering)
                    reasons = "; ".join(gate["reasons"])
                    open_warehouse(settings, "checkpoint").adopt(open_warehouse(settings, "run"))
                    return _closed(current, settings, "refused", f"the quality gate refused: {reasons}", REFUSED)
            _settle(rendering)
        finally:
            for kernel in ready.values():
                kernel.stop()
    show(Progress(len(plan.notebooks), len(plan.notebooks), "publishing", 1, 1, ""))
    return _publish(plan, current)


class _Engine(NBClientEngine):
    """papermill's own engine, but one that saves the notebook now and then: before and after each cell is slow."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> Any:
        save = nb_man.save

        def save_when_due(**_: Any) -> None:
            if (nb_man.now() - nb_man.last_save_time).total_seconds() > _SAVE_SECONDS:
                save()

        nb_man.save = save_when_due
        try:
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            nb_man.save = save  # papermill saves the notebook once more at its end, however it ended


papermill_engines.register("pipeline", _Engine)


def _run_stage(
    plan: Plan, current: Run, name: str, number: int, kernel: Kernel, show: Callable[[Progress], None]
) -> None:
    """Run one notebook in its kernel and write down how it ended."""
    stage = current.stage(name)
    stage["state"] = "running"
    current.save()
    parameters = plan.parameters[name] | _given(plan, current, name)
    target = current.folder / "notebooks" / f"{name}.ipynb"
    started = time.monotonic()
    position = [0]

    def at_cell(cell: Any, cell_index: int) -> None:
        position[0] = cell_index + 1

    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(done, plan, current, name, number, position, show), daemon=True)
    watcher.start()
    error: BaseException | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kernel.wait_until_ready()
            papermill.execute_notebook(
                notebook_path(name),
                target,
                parameters=parameters,
                engine_name="pipeline",
                progress_bar=False,
                kernel_name="python3",
                language="python",
                km=kernel.manager,
                kc=kernel.client,
                on_cell_start=at_cell,
                execution_timeout=plan.settings.config.runner.cell_timeout_seconds,
                cwd=str(PROJECT),
            )
        stage["state"] = "ok"
    except PapermillExecutionError as raised:
        error = raised
        stage.update(
            state="failed",
            error={"type": raised.ename, "message": mask(raised.evalue), "cell": raised.exec_count},
        )
    except CellTimeoutError as raised:
        error = raised
        limit = plan.settings.config.runner.cell_timeout_seconds
        message = f"a cell ran longer than {limit:,} s (runner.cell_timeout_seconds in pipeline.yml)"
        stage.update(state="timed_out", error={"type": "CellTimeoutError", "message": message, "cell": position[0]})
    except DeadKernelError as raised:
        error = raised
        message = "the notebook's process died, for want of memory perhaps; see its log"
        stage.update(state="kernel_died", error={"type": "DeadKernelError", "message": message, "cell": position[0]})
    except Exception as raised:
        error = raised
        stage.update(
            state="failed",
            error={"type": type(raised).__name__, "message": mask(str(raised)), "cell": position[0]},
        )
    except BaseException:
        stage.update(state="failed", error={"type": "Stopped", "message": "stopped by a signal", "cell": position[0]})
        raise
    finally:
        done.set()
        watcher.join()
        kernel.stop()
        stage["seconds"] = round(time.monotonic() - started, 2)
        stage["cells"] = position[0]
        _agree(target, stage, error)
        for path in (target, current.folder / stage["log"]):
            _mask_file(path)
        current.save()


def _watch(
    done: threading.Event,
    plan: Plan,
    current: Run,
    name: str,
    number: int,
    position: list[int],
    show: Callable[[Progress], None],
) -> None:
    """Tell the progress bar the cell, and what the notebook says it is doing, until the stage is done."""
    cells = len(nbformat.read(notebook_path(name), as_version=4).cells) + 1
    path = current.folder / "stages" / f"{name}.progress"
    while True:
        ended = done.wait(0.2)
        try:
            doing = path.read_text(encoding="utf-8")
        except OSError:
            doing = ""
        show(Progress(number, len(plan.notebooks), name, cells if ended else position[0], cells, doing))
        if ended:
            path.unlink(missing_ok=True)
            return


def _given(plan: Plan, current: Run, name: str) -> dict[str, Any]:
    """Return the parameters that the run itself decides, where the notebook has them."""
    settings = plan.settings
    own = {
        "sources": str(settings.sources_file or ""),
        "data_dir": str(settings.data_dir),
        "output_dir": str(settings.output_dir),
        "target": settings.config.warehouse.target,
        "run_id": current.run_id,
        "size": settings.size,
        "seed": settings.seed,
        "as_of": settings.as_of.isoformat() if settings.as_of else "",
        "full_refresh": plan.full_refresh,
    }
    named = NOTEBOOKS[name]
    return {k: v for k, v in own.items() if k in named and k not in plan.parameters[name]}


def _prepare_copy(plan: Plan) -> None:
    """Start from a clean private copy: the one that an earlier run left for this one to go on with, or none."""
    copy, checkpoint = open_warehouse(plan.settings, "run"), open_warehouse(plan.settings, "checkpoint")
    copy.discard()
    if "03_clean" not in plan.notebooks and checkpoint.is_current():
        copy.adopt(checkpoint)


def _publish(plan: Plan, current: Run) -> Outcome:
    """Make the run's copy the published one where it was audited; else keep it for a later run to go on with."""
    settings, manifest = plan.settings, current.manifest
    copy, checkpoint = open_warehouse(settings, "run"), open_warehouse(settings, "checkpoint")
    if not copy.exists():
        return _closed(current, settings, "not_published", "no stage of this run changes the warehouse", PUBLISHED)
    if "05_quality" not in plan.notebooks:
        checkpoint.adopt(copy)
        reason = "05_quality was not part of the run; go on with: run_pipeline.py --from 05_quality"
        return _closed(current, settings, "not_published", reason, PUBLISHED)
    quality = manifest["quality"] or {}
    gate = quality.get("gate") or {}
    reason = f"published with --no-gate: {'; '.join(gate['reasons'])}" if gate.get("overridden") else ""
    copy.record_run(current.run_id, settings.as_of, manifest["new_rows"] or 0, quality.get("score"), gate or None)
    # Before publishing: where it fails, nothing has gone public and the run is failed indeed.
    export_clean(settings, copy)
    copy.publish()
    checkpoint.discard()
    return _closed(current, settings, "published", reason, PUBLISHED, latest=True)


def _broken_off(current: Run, settings: Settings, reason: str) -> Outcome:
    """Close a run that something stopped: as failed, or as published where its data had gone public by then."""
    if manifest.has_published(current, settings):
        return _closed(current, settings, "published", f"after publishing: {reason}", PUBLISHED, latest=True)
    return _closed(current, settings, "failed", reason, FAILED)


def _closed(
    current: Run, settings: Settings, state: str, reason: str, exit_code: int, *, latest: bool = False
) -> Outcome:
    current.close(state, reason)
    if latest:
        manifest.point_latest(current)
    manifest.write_index(settings.output_dir)
    if state == "failed":
        # A server that cannot be asked now is tidied up by the next run.
        with contextlib.suppress(PipelineError):
            open_warehouse(settings, "run").discard()
    return Outcome(current.manifest, current.folder, exit_code)


def _stage(name: str, selected: bool) -> dict[str, Any]:
    return {
        "name": name,
        "title": notebook_title(name),
        "state": "not_run" if selected else "skipped",
        "seconds": None,
        "cells": None,
        "rows_in": None,
        "rows_out": None,
        "facts": {},
        "error": None,
        "notebook": f"notebooks/{name}.ipynb",
        "report": f"reports/{name}.html",
        "log": f"logs/{name}.log",
    }


def notebook_title(name: str) -> str:
    """Return a notebook's first heading."""
    for cell in nbformat.read(notebook_path(name), as_version=4).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            return str(cell.source.splitlines()[0].removeprefix("# "))
    return name


def _render(folder: Path, manifest: dict[str, Any], name: str) -> None:
    """Write the code-free page of an executed notebook."""
    notebook = folder / "notebooks" / f"{name}.ipynb"
    if notebook.exists():
        page = pages.notebook_page(notebook, run=manifest, stage_name=name)
        write_atomically(folder / "reports" / f"{name}.html", mask(page))


def _settle(rendering: list[Future[None]]) -> None:
    for page in rendering:
        page.result()


def _agree(path: Path, stage: dict[str, Any], error: BaseException | None) -> None:
    """Make the saved notebook say what the manifest says: which cell stopped it, and which never ran."""
    if stage["state"] == "ok" or not path.exists():
        return
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.setdefault("papermill", {}).update(exception=True, state=stage["state"])
    stopped_at = stage["cells"] or 0
    own_index = 0
    for cell in notebook.cells:
        if "papermill-error-cell-tag" in cell.metadata.get("tags", []):
            continue
        own_index += 1
        notes = cell.metadata.get("papermill")
        if notes is not None and own_index >= stopped_at:
            notes["status"] = "failed" if own_index == stopped_at else "pending"
            notes["exception"] = own_index == stopped_at
        if own_index == stopped_at and stage["state"] in ("timed_out", "kernel_died") and cell.cell_type == "code":
            fault = stage["error"]
            cell.outputs.append(
                nbformat.v4.new_output(
                    "error", ename=fault["type"], evalue=fault["message"], traceback=[fault["message"]]
                )
            )
    nbformat.write(notebook, path)


def _mask_file(path: Path) -> None:
    """Take secrets out of what a notebook printed."""
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace")
        if mask(text) != text:
            write_atomically(path, mask(text))


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the signals that ask a process to end into an exception, so that the run is closed as what it was."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# papermill reports through logging; the run's manifest and bar say the same.
logging.getLogger("papermill").setLevel(logging.ERROR)
