"""How long a notebook may take, and when it is run again: after an error that can pass by itself, and after no other.

A source or a server that is down, a lost connection and a lock are such errors (`PassingError`), and only their names
come out of a kernel. A cell that is wrong, a time-out or a kernel that died would come to the same once more.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tenacity

from lib.base.errors import PassingError
from lib.config import NotebookLimits, Runner
from lib.run.manifest import Run, stamp
from lib.run.parameters import find_notebook

_wait = time.sleep


@dataclass(frozen=True)
class Limits:
    """What a notebook may take: seconds a cell and in all, 0 for as long as it likes; and how often it is tried."""

    cell_seconds: float = 3600
    notebook_seconds: float = 0
    retries: int = 0
    first_wait: float = 10
    longest_wait: float = 300


def limits_of(runner: Runner, notebook: str) -> Limits:
    """Return a notebook's limits; raise ConfigError where `runner.notebooks` names one that is not there."""
    own = {find_notebook(name): limits for name, limits in runner.notebooks.items()}.get(notebook, NotebookLimits())

    def chosen(key: str) -> Any:
        value = getattr(own, key)
        return getattr(runner, key) if value is None else value

    return Limits(
        chosen("cell_timeout_seconds"),
        chosen("notebook_timeout_seconds"),
        chosen("retries"),
        runner.retry_wait_seconds,
        runner.retry_longest_wait_seconds,
    )


@dataclass
class Clock:
    """Says how long the next cell may take, from the start of its notebook on."""

    limits: Limits
    started: float = field(default_factory=time.monotonic)
    _is_last: bool = False

    def seconds_for(self, cell: Any) -> float | None:
        """Return the seconds that a cell which starts now may take, None for no limit; the runner's client asks."""
        limits = [self.limits.cell_seconds] if self.limits.cell_seconds else []
        if self.limits.notebook_seconds:
            # At least a moment: to the client nothing at all means no limit.
            left = max(self.started + self.limits.notebook_seconds - time.monotonic(), 0.001)
            self._is_last = not limits or left < limits[0]
            limits.append(left)
        return min(limits, default=None)

    def exceeded(self) -> tuple[str, str]:
        """Return the name and the message of the limit that stopped the last cell."""
        if self._is_last:
            limit, key = self.limits.notebook_seconds, "notebook_timeout_seconds"
            return "NotebookTimeoutError", f"the notebook ran longer than {limit:,} s (runner.{key} in pipeline.yml)"
        limit, key = self.limits.cell_seconds, "cell_timeout_seconds"
        return "CellTimeoutError", f"a cell ran longer than {limit:,} s (runner.{key} in pipeline.yml)"


def can_pass(stage: dict[str, Any]) -> bool:
    """Return whether what ended a stage, as its entry in the manifest says, can pass by itself."""
    return stage["state"] == "failed" and (stage["error"] or {}).get("type") in _names(PassingError)


def _names(kind: type[Exception]) -> set[str]:
    return {kind.__name__}.union(*(_names(below) for below in kind.__subclasses__()))


def run_with_retries(
    current: Run,
    name: str,
    limits: Limits,
    attempt: Callable[[], None],
    restore: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a stage until it ends well, or in a way that will not pass, or its tries are used up; return its entry.

    `attempt` runs the notebook and writes down how it ended. All tries are in the entry, and the notebooks of those
    that failed beside the last. `restore` puts back what the stage before left, before each try but the first.
    """
    stage = current.stage(name)
    tries: list[dict[str, Any]] = []
    stage["tries"] = tries
    started = time.monotonic()

    def once() -> dict[str, Any]:
        if tries:
            restore()
        stage["error"] = None
        begun, began = time.monotonic(), stamp(datetime.now(UTC))
        try:
            attempt()
        finally:
            one = {"started_at": began, "seconds": round(time.monotonic() - begun, 2), "state": stage["state"]}
            tries.append(one | {"error": stage["error"]})
            stage["seconds"] = round(time.monotonic() - started, 2)
            current.save()
        return stage

    def before_waiting(state: tenacity.RetryCallState) -> None:
        tries[-1]["notebook"] = _set_aside(current.folder / stage["notebook"], len(tries))
        tries[-1]["waited_seconds"] = wait = round(state.upcoming_sleep, 1)
        current.save()
        say(f"{stage['error']['type']}: runs again in {wait:g} s")

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(can_pass),
        stop=tenacity.stop_after_attempt(limits.retries + 1),
        wait=tenacity.wait_exponential(limits.first_wait, max=limits.longest_wait),
        before_sleep=before_waiting,
        sleep=_wait,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else stage,
    )
    ended: dict[str, Any] = retrying(once)
    return ended


def _set_aside(notebook: Path, number: int) -> str | None:
    """Keep the notebook of a try that failed under another name, and return where below the run's folder it is."""
    if not notebook.exists():
        return None
    kept = notebook.replace(notebook.with_name(f"{notebook.stem}.try-{number}.ipynb"))
    return str(Path(notebook.parent.name) / kept.name)
