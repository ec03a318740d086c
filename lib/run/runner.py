"""Runs the notebooks in order, holds the gate, publishes, and sees to honest end states.

How one notebook is executed is in `lib.run.execution`; what a run leaves behind is in `lib.run.manifest`.
"""

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from nbformat.reader import NotJSONError

from lib.base.errors import PipelineError, explain
from lib.base.files import file_lock, write_atomically
from lib.base.secrets import mask
from lib.clean.load import export_clean
from lib.report import pages
from lib.run import execution, manifest, retrying
from lib.run.kernels import Kernel, kernel_starter
from lib.run.manifest import Run
from lib.run.parameters import NOTEBOOKS, cells_of, notebook_path, notebook_title
from lib.settings import Settings
from lib.warehouse import open_warehouse

#: How many kernels are started ahead of the one at work: dbt's import takes longer than the shortest stages.
_AHEAD = 2


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

    `no_gate` publishes what the quality gate refuses, and marks the run. `from_published` goes on with nothing that an
    earlier run left unpublished. `flow` is the name of the flow that it is a run of.
    """

    settings: Settings
    notebooks: tuple[str, ...]
    parameters: dict[str, dict[str, Any]]
    full_refresh: bool = False
    no_gate: bool = False
    command: list[str] = field(default_factory=list)
    flow: str = ""
    from_published: bool = False


class _Stopped(BaseException):
    """The process was asked to end."""


def run(plan: Plan, show: Callable[[Progress], None] = lambda _: None) -> Run:
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
        _clear_scratch(settings.work_dir)
        manifest.close_killed_runs(settings)
        stages = [_stage(name, name in plan.notebooks) for name in NOTEBOOKS]
        current = manifest.start_run(settings, stages, plan.parameters, plan.command)
        current.manifest["flow"] = plan.flow or None
        manifest.write_index(settings.output_dir)
        try:
            _prepare_copy(plan)
            if ended := _run_stages(plan, current, start_kernel, show):
                return _closed(current, settings, *ended)
            show(Progress(len(plan.notebooks), len(plan.notebooks), "publishing", 1, 1, ""))
            return _publish(plan, current)
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
) -> tuple[str, str] | None:
    """Run stage after stage, and write their pages meanwhile; return state and reason where the run ends early."""
    written: list[Future[None]] = []
    ready: dict[str, Kernel] = {}
    ended = None
    with ThreadPoolExecutor(max_workers=1) as renderer:
        try:
            for number, name in enumerate(plan.notebooks, 1):
                for coming in plan.notebooks[number - 1 : number + _AHEAD]:
                    if coming not in ready:
                        ready[coming] = start_kernel(notebook_path(coming), current.folder / "logs" / f"{coming}.log")
                stage = _run_with_retries(plan, current, name, number, ready.pop(name), start_kernel, show)
                if stage["state"] != "ok":
                    ended = "failed", f"{name}: {stage['error']['message']}"
                elif reasons := _refusal(plan, current.add_result(name)):
                    ended = "refused", f"the quality gate refused: {reasons}"
                    for later in plan.notebooks[number:]:
                        current.stage(later)["state"] = "skipped"
                    open_warehouse(plan.settings, "checkpoint").adopt(open_warehouse(plan.settings, "run"))
                written.append(renderer.submit(_render, current.folder, dict(current.manifest), name))
                current.save()
                if ended:
                    break
        finally:
            for kernel in ready.values():
                kernel.stop()
    for page in written:
        page.result()
    return ended


def _refusal(plan: Plan, result: dict[str, Any]) -> str:
    """Return why the gate refuses the run, if it does; with `--no-gate` it is marked as overridden instead."""
    gate = (result.get("quality") or {}).get("gate") or {"passed": True}
    if gate["passed"]:
        return ""
    if plan.no_gate:
        gate["overridden"] = True
        return ""
    return "; ".join(gate["reasons"])


def _run_with_retries(
    plan: Plan,
    current: Run,
    name: str,
    number: int,
    kernel: Kernel,
    start_kernel: Callable[[Path, Path], Kernel],
    show: Callable[[Progress], None],
) -> dict[str, Any]:
    """Run one notebook, and again, in a new kernel, where what stopped it can pass by itself."""
    kernels = [kernel]

    def attempt() -> None:
        one = (
            kernels.pop() if kernels else start_kernel(notebook_path(name), current.folder / current.stage(name)["log"])
        )
        _run_stage(plan, current, name, number, one, show)

    def restore() -> None:
        if name == "03_clean":  # the first to write: it begins without a copy, and counts what it loads
            open_warehouse(plan.settings, "run").discard()

    def say(text: str) -> None:
        show(Progress(number, len(plan.notebooks), name, 0, 0, text))

    limits = retrying.limits_of(plan.settings.config.runner, name)
    return retrying.run_with_retries(current, name, limits, attempt, restore, say)


def _run_stage(
    plan: Plan, current: Run, name: str, number: int, kernel: Kernel, show: Callable[[Progress], None]
) -> dict[str, Any]:
    """Run one notebook in its kernel, write down how it ended, and return that."""
    stage = current.stage(name)
    stage.update(state="running", cells=0)
    current.save()
    parameters = plan.parameters[name] | _given(plan, current, name)
    target = current.folder / "notebooks" / f"{name}.ipynb"
    doing = current.folder / "stages" / f"{name}.progress"
    cells = len(cells_of(name)) + 1
    started = time.monotonic()

    def at_cell(cell: Any, cell_index: int) -> None:
        stage["cells"] = cell_index + 1

    def progress() -> Progress:
        text = ""
        with contextlib.suppress(OSError):
            text = doing.read_text(encoding="utf-8")
        return Progress(number, len(plan.notebooks), name, stage["cells"], cells, text)

    try:
        with _repeated(lambda: show(progress())):
            limits = retrying.limits_of(plan.settings.config.runner, name)
            stage.update(execution.execute(name, parameters, target, kernel, limits, at_cell))
    except BaseException:
        stage.update(
            state="failed", error={"type": "Stopped", "message": "stopped by a signal", "cell": stage["cells"]}
        )
        raise
    finally:
        kernel.stop()
        doing.unlink(missing_ok=True)
        stage["seconds"] = round(time.monotonic() - started, 2)
        for path in (target, current.folder / stage["log"]):
            _mask_file(path)
        current.save()
    show(Progress(number, len(plan.notebooks), name, cells, cells, ""))
    return stage


@contextmanager
def _repeated(call: Callable[[], None]) -> Iterator[None]:
    """Call something five times a second while the work within goes on."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(0.2):
            call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


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
    if not plan.from_published and "03_clean" not in plan.notebooks and checkpoint.is_current():
        copy.adopt(checkpoint)


def _publish(plan: Plan, current: Run) -> Run:
    """Make the run's copy the published one where it was audited; else keep it for a later run to go on with."""
    settings, manifest = plan.settings, current.manifest
    copy, checkpoint = open_warehouse(settings, "run"), open_warehouse(settings, "checkpoint")
    if not copy.exists():
        return _closed(current, settings, "not_published", "no stage of this run changes the warehouse")
    if "05_quality" not in plan.notebooks:
        checkpoint.adopt(copy)
        reason = "05_quality was not part of the run; go on with: run_pipeline.py --from 05_quality"
        return _closed(current, settings, "not_published", reason)
    quality = manifest["quality"] or {}
    gate = quality.get("gate") or {}
    reason = f"published with --no-gate: {'; '.join(gate['reasons'])}" if gate.get("overridden") else ""
    copy.record_run(current.run_id, settings.as_of, manifest["new_rows"] or 0, quality.get("score"), gate or None)
    # Before publishing: where it fails, nothing has gone public and the run is failed indeed.
    export_clean(settings, copy)
    copy.publish()
    checkpoint.discard()
    return _closed(current, settings, "published", reason, latest=True)


def _broken_off(current: Run, settings: Settings, reason: str) -> Run:
    """Close a run that something stopped: as failed, or as published where its data had gone public by then."""
    if manifest.has_published(current, settings):
        return _closed(current, settings, "published", f"after publishing: {reason}", latest=True)
    return _closed(current, settings, "failed", reason)


def _closed(current: Run, settings: Settings, state: str, reason: str, *, latest: bool = False) -> Run:
    current.close(state, reason)
    if latest:
        manifest.point_latest(current)
    manifest.write_index(settings.output_dir)
    if state == "failed":
        # A server that cannot be asked now is tidied up by the next run.
        with contextlib.suppress(PipelineError):
            open_warehouse(settings, "run").discard()
    return current


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
        "tries": [],
        "notebook": f"notebooks/{name}.ipynb",
        "report": f"reports/{name}.html",
        "log": f"logs/{name}.log",
    }


def _clear_scratch(work_dir: Path) -> None:
    """Remove what runs and notebooks that were killed left in the work folder, a day or more ago."""
    for left in work_dir.iterdir():
        is_old = left.stat().st_mtime < time.time() - 86_400
        if is_old and left.name.split("-")[0] in ("ingest", "export", "mail", "standardize"):
            shutil.rmtree(left, ignore_errors=True)


def _render(folder: Path, manifest: dict[str, Any], name: str) -> None:
    """Write the code-free page of an executed notebook."""
    notebook = folder / "notebooks" / f"{name}.ipynb"
    if notebook.exists():
        try:
            page = pages.notebook_page(notebook, run=manifest, stage_name=name)
        except NotJSONError:
            return  # the disk was full when it was saved, and the manifest says so
        write_atomically(folder / "reports" / f"{name}.html", mask(page))


def _mask_file(path: Path) -> None:
    """Remove secrets from what a notebook printed."""
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
        # What is ignored stays ignored: nohup lets a run outlive its terminal.
        heeded = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
