"""Executes one notebook through papermill, in a kernel of its own, and says how it ended.

papermill mistakes a time-out or a dead kernel for success, so the state comes from the exceptions caught here; and its
engine marks the cell that stopped the notebook, before the notebook is saved.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError

from lib.base.errors import explain
from lib.base.files import PROJECT
from lib.base.secrets import mask
from lib.run.kernels import Kernel
from lib.run.manifest import add_error
from lib.run.parameters import notebook_path
from lib.run.retrying import Clock, Limits

#: The executed notebook of a run that is killed is at most this old.
_SAVE_SECONDS = 5


def execute(
    name: str, parameters: dict[str, Any], target: Path, kernel: Kernel, limits: Limits, at_cell: Callable[..., None]
) -> dict[str, Any]:
    """Execute a notebook, save it as `target`, and return its state and error as the manifest has them.

    A cell, and all of them, may take as long as `limits` say; `at_cell` is called as each starts. Raises what is no
    Exception, such as a signal from outside; the notebook is saved then too.
    """
    position = [0]
    clock = Clock(limits)

    def start_cell(cell: Any, cell_index: int) -> None:
        position[0] = cell_index + 1
        at_cell(cell, cell_index)

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
                on_cell_start=start_cell,
                timeout_func=clock.seconds_for,
                cwd=str(PROJECT),
            )
    except Exception as error:
        state, kind, message = _ending(error, clock)
        cell = error.exec_count if isinstance(error, PapermillExecutionError) else position[0]
        return {"state": state, "error": {"type": kind, "message": mask(message), "cell": cell}}
    return {"state": "ok"}


def _ending(error: BaseException, clock: Clock) -> tuple[str, str, str]:
    """Return the state that an exception means, its name, and a message."""
    if isinstance(error, PapermillExecutionError):
        return "failed", error.ename, error.evalue
    if isinstance(error, CellTimeoutError):
        return "timed_out", *clock.exceeded()
    if isinstance(error, DeadKernelError):
        return "kernel_died", "DeadKernelError", "the notebook's process died, for want of memory perhaps; see its log"
    return "failed", type(error).__name__, explain(error)


class _Engine(NBClientEngine):
    """papermill's own engine, but for two things: how it reports a notebook that did not end well, and when it saves.

    It saves before and after each cell, which takes longer than most cells.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> Any:
        save = nb_man.save

        def save_when_due(**_: Any) -> None:
            if (nb_man.now() - nb_man.last_save_time).total_seconds() > _SAVE_SECONDS:
                save()

        nb_man.save = save_when_due
        try:
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        except BaseException as error:
            started = [cell for cell in nb_man.nb.cells if cell.metadata.papermill["start_time"]]
            for cell in started[-1:]:
                nb_man.cell_exception(cell)
                _, kind, message = _ending(error, options["timeout_func"].__self__)
                if not isinstance(error, Exception):
                    kind, message = "Stopped", "stopped by a signal from outside"
                add_error(cell, kind, message)
            raise
        finally:
            nb_man.save = save  # papermill saves once more at the end, however that is


papermill_engines.register("pipeline", _Engine)

# papermill reports through logging; the run's manifest and bar say the same.
logging.getLogger("papermill").setLevel(logging.ERROR)
