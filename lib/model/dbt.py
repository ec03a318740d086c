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
from pathlib import Path
from typing import Any

from lib.base.errors import TransformError
from lib.base.files import PROJECT
from lib.base.hashing import fingerprint
from lib.base.secrets import mask
from lib.model import increments
from lib.settings import Settings
from lib.warehouse import Warehouse
from lib.warehouse.base import twice

_SQL = PROJECT / "sql"


_QUIET = ("--no-use-colors", "--quiet", "--log-level-file", "none", "--no-version-check", "--no-write-json")


#: How many parsed projects stay: one for each engine, copy, time zone and currency in use, and some to spare.
_KEPT = 20


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

    They recompute what loads have changed where the copy's tables allow it, and are built whole elsewhere.
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
        command = [*_QUIET, *arguments, *_places(target), "--vars", variables(settings)]
        try:
            answer = dbtRunner(_parsed(target, warehouse, settings)).invoke(command)
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


def _parsed(target: Path, warehouse: Warehouse, settings: Settings) -> Any:
    """Return the parsed project, None where dbt cannot parse it: the command itself then says why.

    Parsing takes longer than a small shop's models. What it gives depends on the SQL, the variables and the schemas
    alone, so all shops and processes share it, in `sql/target`.
    """
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder
    from dbt.version import __version__

    places = {"SHOP_WAREHOUSE_PATH", "SHOP_SPILL", "SHOP_THREADS"}
    environment = {name: value for name, value in warehouse.dbt_environment().items() if name not in places}
    files = sorted(p for p in _SQL.rglob("*") if p.suffix in (".sql", ".yml"))
    project = [(p.relative_to(_SQL).as_posix(), p.read_text(encoding="utf-8")) for p in files]
    key = fingerprint([project, variables(settings), environment, __version__])
    kept = _SQL / "target" / f"parsed-{key}.msgpack"
    if kept.exists():
        with contextlib.suppress(Exception):
            # What a killed process or another version of a library left is made anew.
            return Manifest.from_msgpack(kept.read_bytes(), extended_mashumuro_decoder)
    manifest = dbtRunner().invoke([*_QUIET, "parse", *_places(target), "--vars", variables(settings)]).result
    if manifest is not None:
        with contextlib.suppress(OSError):
            _keep(kept, manifest.to_msgpack(extended_mashumaro_encoder))
    return manifest


def _keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and let only the newest few stay."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
    for old in sorted(path.parent.glob("parsed-*"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)


def _places(target: Path) -> list[str]:
    folders = ("--project-dir", str(_SQL), "--profiles-dir", str(_SQL), "--target-path", str(target))
    return [*folders, "--log-path", str(target)]


def variables(settings: Settings) -> str:
    """Return the variables of the dbt project, as JSON."""
    return json.dumps(
        {
            "time_zone": settings.shop.time_zone,
            "currency": settings.shop.currency,
            **settings.config.models.model_dump(),
        }
    )


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
