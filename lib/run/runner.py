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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbformat.reader import NotJSONError

from lib.base.errors import ConfigError, PipelineError, explain
from lib.base.files import PURPOSES, file_lock, write_atomically
from lib.base.secrets import mask
from lib.base.signals import Stopped, raising_stopped
from lib.clean.load import export_clean
from lib.report import pages
from lib.run import checkpoints, execution, manifest, notify, retrying
from lib.run.kernels import Kernel, kernel_starter
from lib.run.manifest import Run
from lib.run.parameters import NOTEBOOKS, cells_of, notebook_path, notebook_title
from lib.run.reasons import Reasons
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
    #: A run of several processes: the id by which it is opened or joined, as given.
    run_id: str = ""
    #: What a run consists of once it is whole; a run that is not named is whole with `notebooks`.
    whole: tuple[str, ...] = ()
    #: Leave stages out that would come to what their last success came to.
    skip_unchanged: bool = False


def run(plan: Plan, show: Callable[[Progress], None] = lambda _: None) -> Run:
    """Run the notebooks, publish where the gate lets it, and leave the audit trail.

    Raises LakeError where another run works on the same data, and ConfigError where the first stage lacks what it
    begins from.
    """
    settings = plan.settings
    # First, for what is opened later must not be there where kernels are forked.
    starting = kernel_starter(settings.config.runner.kernels, settings.config.warehouse.target)
    with starting as start_kernel, at_work(settings), contextlib.ExitStack() as held:
        _clear_scratch(settings.work_dir)
        manifest.close_killed_runs(settings)
        if over := _published_already(plan):
            return over
        plan, current = _opened(plan)
        held.enter_context(run_lock(current.folder))
        current.save()
        manifest.write_index(settings.output_dir)
        reasons = Reasons(plan.settings, plan.parameters, plan.full_refresh)

        def work() -> Run:
            _prepare_copy(plan, current)
            if ended := _run_stages(plan, current, reasons, start_kernel, show):
                return _closed(current, plan.settings, *ended)
            show(Progress(len(plan.notebooks), len(plan.notebooks), "publishing", 1, 1, ""))
            return _publish(plan, current)

        try:
            return guarded(current, plan.settings, work)
        finally:
            reasons.note(current)


@contextmanager
def at_work(settings: Settings) -> Iterator[None]:
    """Keep every other run off these data, and let signals that ask the process to end be heard as exceptions."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    message = f"Another run is at work on {settings.data_dir} (see: run_pipeline.py runs)."
    with (
        file_lock(settings.data_dir / ".run.lock", 5, message),
        open_warehouse(settings).exclusive(),
        # A second signal is heeded too: closing a run may hang.
        raising_stopped((signal.SIGTERM, signal.SIGHUP)),
    ):
        yield


def run_lock(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the lock by which others see that a run is at work."""
    return file_lock(folder / ".lock", 5, f"Another process is at work on the run {folder.name}.")


def guarded(current: Run, settings: Settings, work: Callable[[], Run]) -> Run:
    """Do the work of a run, and close the run as what it is where something stops it."""
    try:
        return work()
    except (Stopped, KeyboardInterrupt):
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
        notify.after(current, settings)
        raise


def _published_already(plan: Plan) -> Run | None:
    """Return the run that the plan names where it has published what the plan would run: a retry that came too late."""
    found = manifest.find_run(plan.settings.output_dir, plan.run_id) if plan.run_id else None
    if not found or found["state"] != "published" or not checkpoints.is_of(found, plan.settings):
        return None
    done = {s["name"] for s in found["stages"] if s["state"] == "ok"}
    if not done.issuperset(set(plan.notebooks) & set(checkpoints.planned(found))):
        return None
    reason = "; ".join(filter(None, [found["reason"], "it had published already, and nothing was run again"]))
    return Run(plan.settings.output_dir / "runs" / found["run_id"], found | {"reason": reason})


def _opened(plan: Plan) -> tuple[Plan, Run]:
    """Return the plan and its run: a new one, or the one that it names or goes on with."""
    settings, first = plan.settings, plan.notebooks[0]
    whole = plan.whole or tuple(NOTEBOOKS)
    known = manifest.find_run(settings.output_dir, plan.run_id) if plan.run_id else None
    if not plan.run_id and checkpoints.before(first, whole) and not plan.from_published:
        known = checkpoints.open_run(settings)
        if known is None and first == "04_model":
            raise ConfigError(
                f"{first} begins from what 03_clean leaves, and no run on {settings.data_dir} has left that. Run:"
                " run_pipeline.py --from 03_clean"
            )
    if known is None:
        needed = checkpoints.before(first, whole)
        if plan.run_id and needed:
            raise ConfigError(
                f"{first} begins from what {needed} leaves, and the run {plan.run_id} has only begun. Run:"
                f" run_pipeline.py --run-id {plan.run_id} --to {needed}"
            )
        chosen = whole if plan.run_id else plan.notebooks
        stages = [_stage(name, name in chosen) for name in NOTEBOOKS]
        current = manifest.start_run(settings, stages, plan.parameters, plan.command, given_id=plan.run_id)
        # What a run without a name leaves can be gone on with to the end; where it began from what was published it
        # would again.
        own = [n for n in whole if plan.run_id or n >= first]
        current.manifest.update(flow=plan.flow or None, notebooks=own, full_refresh=plan.full_refresh)
        current.manifest.update(until=plan.notebooks[-1], no_gate=plan.no_gate)
        return plan, current
    whole = tuple(checkpoints.planned(known))
    if known["state"] == "running":
        raise ConfigError(f"The run {known['run_id']} is at work in another data folder: {known['data_dir']}.")
    checkpoints.check_join(known, settings, first, whole)
    parameters = {n: (known["parameters"].get(n) or {}) | values for n, values in plan.parameters.items()}
    plan = replace(plan, settings=checkpoints.with_day(settings, known), parameters=parameters, whole=whole)
    current = Run(settings.output_dir / "runs" / known["run_id"], known)
    current.join(plan.notebooks, {n: _stage(n, n in plan.notebooks or bool(known.get("given_id"))) for n in NOTEBOOKS})
    current.manifest.update(parameters=parameters, command=plan.command, until=plan.notebooks[-1], no_gate=plan.no_gate)
    if "03_clean" in plan.notebooks:
        current.manifest["full_refresh"] = plan.full_refresh
    if plan.settings.as_of:
        current.manifest["as_of"] = plan.settings.as_of.isoformat()
    return plan, current


def _run_stages(
    plan: Plan,
    current: Run,
    reasons: Reasons,
    start_kernel: Callable[[Path, Path], Kernel],
    show: Callable[[Progress], None],
) -> tuple[str, str] | None:
    """Run stage after stage, and write their pages meanwhile; return state and reason where the run ends early."""
    written: list[Future[None]] = []
    ready: dict[str, Kernel] = {}
    ended = None
    with ThreadPoolExecutor(max_workers=1) as renderer:
        try:
            for number, name in enumerate(plan.notebooks, 1):
                why = reasons.why(name, current) if plan.skip_unchanged else ""
                if plan.skip_unchanged and not why:
                    reasons.skip(name, current)
                    continue
                reasons.begin(name, current, why)
                # Once a stage writes, those after it run; before that each may be left out.
                ahead = _AHEAD if not plan.skip_unchanged or name in checkpoints.WRITING else 0
                for coming in plan.notebooks[number - 1 : number + ahead]:
                    if coming not in ready:
                        ready[coming] = start_kernel(notebook_path(coming), current.folder / "logs" / f"{coming}.log")
                try:
                    stage = _run_with_retries(plan, current, name, number, ready.pop(name), start_kernel, show)
                except BaseException:
                    _render(current.folder, dict(current.manifest), name)
                    raise
                reasons.end(name, current)
                if stage["state"] != "ok":
                    ended = "failed", f"{name}: {stage['error']['message']}"
                elif refusal := _refusal(plan, current.add_result(name)):
                    ended = "refused", f"the quality gate refused: {refusal}"
                    for later in plan.notebooks[number:]:
                        current.stage(later).update(state="skipped", why="the quality gate refused")
                if stage["state"] == "ok":
                    checkpoints.keep(plan.settings, current.run_id, name)
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
        copy = open_warehouse(plan.settings, "run")
        if name == "03_clean":  # the first to write: it begins without a copy, and counts what it loads
            copy.discard()
        elif kept := checkpoints.kept_before(
            plan.settings, current.run_id, name, checkpoints.planned(current.manifest)
        ):
            copy.take_state(current.run_id, kept)
        elif plan.skip_unchanged:  # the first to write, as those before it were left out
            copy.discard()

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
    if name in checkpoints.WRITING:
        open_warehouse(plan.settings, "run").stage_begins()
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


def _prepare_copy(plan: Plan, current: Run) -> None:
    """Start from what the stage before left in this run, or else without a private copy."""
    copy, first = open_warehouse(plan.settings, "run"), plan.notebooks[0]
    notebooks = checkpoints.planned(current.manifest)
    kept = checkpoints.kept_before(plan.settings, current.run_id, first, notebooks) if first > "03_clean" else None
    if kept:
        copy.take_state(current.run_id, kept)
    else:
        copy.discard()
    # What this and later stages left before no longer follows.
    if stale := [n for n in checkpoints.WRITING if n >= first and n != kept]:
        copy.forget_states(current.run_id, stale)


def _publish(plan: Plan, current: Run) -> Run:
    """Make the run's copy the published one where all of it has run; else leave it for another process to go on with.

    A run without a name is whole once it has been audited.
    """
    settings, manifest = plan.settings, current.manifest
    copy = open_warehouse(settings, "run")
    done = {s["name"] for s in manifest["stages"] if s["state"] == "ok"}
    left = [n for n in checkpoints.planned(manifest) if n not in done]
    if manifest.get("given_id"):
        if left:
            reason = f"{left[0]} is next: run_pipeline.py --run-id {current.run_id} --only {left[0]}"
            return _closed(current, settings, "waiting", reason)
    elif copy.exists() and "05_quality" not in done:
        following = next((n for n in left if n > plan.notebooks[-1]), "05_quality")
        return _closed(current, settings, "waiting", f"not published: go on with: run_pipeline.py --from {following}")
    if not copy.exists():
        reason = "no stage of this run changes the warehouse"
        if last := [
            s["last_run"] for s in manifest["stages"] if s.get("last_run") and s["name"] in checkpoints.WRITING
        ]:
            reason = f"nothing is new: what the run {last[-1]} published stands"
        return _closed(current, settings, "not_published", reason)
    return publish(current, settings)


def publish(current: Run, settings: Settings) -> Run:
    """Make the run's copy the published one."""
    copy, values = open_warehouse(settings, "run"), current.manifest
    quality = values["quality"] or {}
    gate = quality.get("gate") or {}
    reason = f"published with --no-gate: {'; '.join(gate['reasons'])}" if gate.get("overridden") else ""
    copy.record_run(current.run_id, settings.as_of, values["new_rows"] or 0, quality.get("score"), gate or None)
    # Before publishing: where it fails, nothing has gone public and the run is failed indeed.
    export_clean(settings, copy)
    copy.publish()
    copy.forget_states()
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
    # A server that cannot be asked now is tidied up by the next run.
    with contextlib.suppress(PipelineError):
        open_warehouse(settings, "run").leave()
    notify.after(current, settings)
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
        "why": None if selected else "not part of this run",
        "last_run": None,
        "notebook": f"notebooks/{name}.ipynb",
        "report": f"reports/{name}.html",
        "log": f"logs/{name}.log",
    }


def _clear_scratch(work_dir: Path) -> None:
    """Remove what runs and notebooks that were killed left in the work folder, a day or more ago."""
    for left in work_dir.iterdir():
        is_old = left.stat().st_mtime < time.time() - 86_400
        if is_old and left.name.split("-")[0] in PURPOSES:
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
