"""Going on with a run that stopped, publishing one that has been audited, and giving one up."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib.base.errors import ConfigError
from lib.run import checkpoints, manifest, runner
from lib.run.manifest import Run
from lib.run.runner import Plan
from lib.settings import Settings
from lib.warehouse import open_warehouse


def find(output_dir: Path, run_id: str) -> dict[str, Any]:
    """Return the manifest of a run, of the newest where none is named; raise ConfigError where there is none."""
    if run_id:
        return manifest.existing_run(output_dir, run_id)
    runs = manifest.list_runs(output_dir)
    if not runs:
        raise ConfigError(f"No runs in {output_dir} yet. Start one: run_pipeline.py")
    return runs[0]


def plan_to_resume(found: dict[str, Any], settings: Settings, *, no_gate: bool) -> Plan | None:
    """Return what is left of a run, with its parameters; None where only publishing is.

    A stage that is cut begins again from what the stage before left; where the engine could not keep that, the run
    goes back to the last stage that can begin. Raises ConfigError for a run that is over or at work.
    """
    run_id, state = found["run_id"], found["state"]
    if state == "running" and not manifest.is_alive(found, settings.output_dir / "runs" / run_id):
        state = "killed"
    if state not in checkpoints.OPEN:
        raise ConfigError(f"There is nothing to resume in the run {run_id}: it is {state.replace('_', ' ')}.")
    notebooks = checkpoints.planned(found)
    until = found.get("until") or notebooks[-1]
    if found.get("given_id") or state == "waiting":
        until = notebooks[-1]
    states = {s["name"]: s["state"] for s in found["stages"]}
    left = [n for n in notebooks if n <= until and states[n] != "ok"]
    if state == "refused":
        left = [n for n in notebooks if "05_quality" <= n <= max(until, "05_quality")]
    if not left:
        return None
    first = checkpoints.first_possible(found, settings, left[0])
    chosen = tuple(n for n in notebooks if first <= n <= left[-1])
    return Plan(
        checkpoints.with_day(settings, found),
        chosen,
        {n: dict(found["parameters"].get(n) or {}) for n in runner.NOTEBOOKS},
        bool(found.get("full_refresh")) and "03_clean" in chosen,
        no_gate or bool(found.get("no_gate")),
        manifest.command_line(),
        found.get("flow") or "",
        run_id=run_id,
    )


def publish_run(found: dict[str, Any], settings: Settings, *, no_gate: bool = False) -> Run:
    """Publish what a run's audit left; one that has published is left as it is, and so is one that the gate refuses."""
    with _held(found, settings) as run:
        if run.manifest["state"] == "published":
            return run
        run_id, values = run.run_id, run.manifest
        if values["state"] == "abandoned":
            raise ConfigError(f"The run {run_id} was abandoned, and nothing of it is kept.")
        audited = any(s["name"] == "05_quality" and s["state"] == "ok" for s in values["stages"])
        gate = (values.get("quality") or {}).get("gate") or {"passed": audited}
        if audited and not (gate["passed"] or gate.get("overridden") or no_gate):
            run.manifest.update(state="refused", reason=f"the quality gate refused: {'; '.join(gate['reasons'])}")
            return run
        copy = open_warehouse(settings, "run")
        if not audited or not copy.has_state(run_id, "05_quality"):
            what = "has not been audited" if not audited else "is no longer kept, or something else was published since"
            first = checkpoints.first_possible(values, settings, "05_quality")
            raise ConfigError(
                f"What the run {run_id} left {what}. Run: run_pipeline.py --run-id {run_id} --from {first}"
            )
        if not gate["passed"]:
            gate["overridden"] = True
        run.reopen()
        run.save()
        return runner.guarded(run, settings, lambda: _publish(run, settings))


def _publish(run: Run, settings: Settings) -> Run:
    open_warehouse(settings, "run").take_state(run.run_id, "05_quality")
    return runner.publish(run, checkpoints.with_day(settings, run.manifest))


def abandon(found: dict[str, Any], settings: Settings) -> Run:
    """Close a run for good and remove what is kept of it; raise ConfigError where it has published."""
    with _held(found, settings) as run:
        if run.manifest["state"] in ("published", "not_published"):
            raise ConfigError(f"The run {run.run_id} is {run.manifest['state'].replace('_', ' ')}, and over.")
        open_warehouse(settings, "run").forget_states(run.run_id)
        if run.manifest["state"] != "abandoned":
            run.reopen()
            run.close("abandoned", "given up by hand; nothing of it was published")
            manifest.write_index(settings.output_dir)
        return run


@contextlib.contextmanager
def _held(found: dict[str, Any], settings: Settings) -> Iterator[Run]:
    """Hold the locks of a run's data and of the run, and yield it as it really is."""
    if not checkpoints.is_of(found, settings):
        raise ConfigError(
            f"The run {found['run_id']} is of {found['data_dir']} on {found.get('target', 'duckdb')}, and not of"
            f" {settings.data_dir} on {settings.config.warehouse.target}."
        )
    folder = settings.output_dir / "runs" / found["run_id"]
    with runner.at_work(settings), runner.run_lock(folder):
        manifest.close_killed_runs(settings)
        yield Run(folder, manifest.find_run(settings.output_dir, found["run_id"]) or found)
