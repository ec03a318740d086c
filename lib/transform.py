"""Runs the dbt project in `sql/` on a private copy of the warehouse and hands back what dbt found.

The models and tests are in `sql/`; nothing here knows a table's name.
"""

import contextlib
import importlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lib.config import PROJECT, Settings, mask
from lib.errors import TransformError
from lib.warehouse import Warehouse, increments
from lib.warehouse.base import twice

_SQL = PROJECT / "sql"


@dataclass(frozen=True)
class NodeResult:
    """What became of one model or test."""

    name: str
    kind: str
    state: str
    seconds: float
    failures: int
    message: str
    node: Any


def build_models(settings: Settings, warehouse: Warehouse, *folders: str) -> list[NodeResult]:
    """Build the models of some folders of `sql/models`, in the order of their references.

    They recompute what loads have touched where the copy's tables allow it, and are built whole elsewhere.
    Raises TransformError with each failed model and the engine's message.
    """
    build = increments.plan(warehouse, folders, variables(settings))
    whole = ["--full-refresh"] if build.is_whole else []
    results = _invoke(settings, warehouse, ["run", *whole, "--select", *(f"path:models/{f}" for f in folders)])
    failed = [r for r in results if r.state in ("error", "fail")]
    if failed:
        raise TransformError(
            "\n".join(f"Model {r.name} failed: {' '.join(mask(r.message).split())}" for r in failed)
            + f"\n{sum(r.state == 'skipped' for r in results)} models that need them were not built."
        )
    increments.note(warehouse, build)
    return results


def run_tests(settings: Settings, warehouse: Warehouse) -> list[NodeResult]:
    """Run every test of the project; a failing test is a result, not an error."""
    return _invoke(settings, warehouse, ["test"])


def preload(target: str) -> None:
    """Import dbt and an engine's adapter ahead of time: it takes two seconds."""
    import dbt.cli.main  # noqa: F401

    importlib.import_module(f"dbt.adapters.{target}.connections")


def _invoke(settings: Settings, warehouse: Warehouse, arguments: list[str]) -> list[NodeResult]:
    """Run one dbt command in this process and close its connections; once more where one was lost.

    Models and tests may be run again: they make the same of the same stage tables.
    """
    return twice(lambda: _invoke_once(settings, warehouse, arguments))


def _invoke_once(settings: Settings, warehouse: Warehouse, arguments: list[str]) -> list[NodeResult]:
    os.environ["DO_NOT_TRACK"] = "1"
    with _environment(warehouse.dbt_environment()), contextlib.redirect_stdout(io.StringIO()):
        from dbt.cli.main import dbtRunner

        target = settings.work_dir / f"sql-{settings.config.warehouse.target}-{warehouse.copy}"
        command = [
            *("--no-use-colors", "--quiet", "--log-level-file", "none", "--no-version-check", "--no-write-json"),
            *arguments,
            *("--project-dir", str(_SQL), "--profiles-dir", str(_SQL), "--target-path", str(target)),
            *("--log-path", str(target), "--vars", variables(settings)),
        ]
        try:
            answer = dbtRunner().invoke(command)
        finally:
            warehouse.release_dbt()
    if answer.exception is not None:
        # A damaged parse cache must not spoil the next try.
        shutil.rmtree(target, ignore_errors=True)
        message = mask(str(answer.exception))
        raise (warehouse.as_lost(message) or TransformError(f"dbt stopped: {message}")) from answer.exception
    results = [_result(r) for r in answer.result.results] if answer.result is not None else []
    for result in results:
        if result.state == "error" and (lost := warehouse.as_lost(mask(result.message))):
            raise lost
    return results


def variables(settings: Settings) -> str:
    """Return the variables of the dbt project, as JSON."""
    return json.dumps({"time_zone": settings.shop.time_zone, "currency": settings.shop.currency})


def _result(result: Any) -> NodeResult:
    return NodeResult(
        name=result.node.name,
        kind=str(result.node.resource_type.value),
        state=str(result.status.value if hasattr(result.status, "value") else result.status),
        seconds=float(result.execution_time or 0),
        failures=int(result.failures or 0),
        message=str(result.message or ""),
        node=result.node,
    )


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Tell `sql/profiles.yml` where and how to work."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
