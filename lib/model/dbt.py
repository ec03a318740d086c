"""Runs the dbt project in `sql/` on a private copy of the warehouse: builds its models, runs its tests.

dbt is used as it is documented: `dbtRunner`, the command line's options, partial parsing, the artifact `manifest.json`.
It builds the models. Of tests it gives the queries, which run here over one connection, because dbt itself takes 30 ms
for each beside the query. The models and tests are in `sql/`; nothing here knows a table's name.
"""

import contextlib
import functools
import importlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lib.base.errors import TransformError, WarehouseError, in_one_line
from lib.base.files import PROJECT
from lib.base.hashing import fingerprint
from lib.base.secrets import mask
from lib.model import increments
from lib.settings import Settings
from lib.warehouse import Warehouse
from lib.warehouse.base import retried

_SQL = PROJECT / "sql"
_QUIET = ("--no-use-colors", "--quiet", "--log-level-file", "none", "--no-version-check")

#: How many parsed projects stay: one for each engine and copy in use, and some to spare.
_MOST_PARSED = 12
#: For how many sets of variables a parsed project keeps its compiled tests.
_MOST_COMPILED = 60
#: Of the variables that `sql/profiles.yml` reads, those that decide what dbt reads the project as.
_NAMING = ("SHOP_TARGET", "SHOP_SCHEMA_PREFIX")
#: The database that the project is parsed for; tables of another are named as they are when it is read again.
_DATABASE = "shop"


@dataclass(frozen=True)
class CheckResult:
    """A test of `sql/` and what it found; `state` is pass, warn, fail or error, as dbt calls them."""

    name: str
    #: The generic test that it is made from, empty where it has a file of its own.
    generic: str
    #: schema.table that the test is attached to, empty where it is attached to none, and the column there.
    table: str
    column: str
    description: str
    severity: str
    where: str
    fail_calc: str
    meta: dict[str, Any]
    sql: str
    state: str
    failures: int
    message: str


def build_models(settings: Settings, warehouse: Warehouse, *folders: str, whole: bool = False) -> list[str]:
    """Build the models of some folders of `sql/models`, in the order of their references; return schema.table of each.

    Nothing is built where their tables are what they would be; they recompute what loads have changed where the copy's
    tables allow it, and are built whole elsewhere, or where `whole` asks for it.
    Raises TransformError with each failed model and the engine's message.
    """
    build = increments.plan(warehouse, folders, variables(settings), whole=whole)
    parsed = _parsed(settings, warehouse)
    if build.how != "nothing":
        how = ["--full-refresh"] if build.how == "whole" else []
        _run(settings, warehouse, parsed, [*how, "--select", *(f"path:models/{f}" for f in build.folders)])
        increments.note(warehouse, build)
    models = [n for n in _nodes(parsed) if n["resource_type"] == "model" and n["path"].split("/")[0] in folders]
    return [_table(warehouse, node) for node in models]


@retried
def _run(settings: Settings, warehouse: Warehouse, parsed: Path, arguments: list[str]) -> None:
    """Let dbt build models and close its connections. Done again, models make the same of the same stage tables."""
    environment, given = warehouse.dbt_environment(), variables(settings)
    manifest = _manifest(parsed, _naming(environment), _database(environment))
    target = settings.work_dir / f"sql-{settings.config.warehouse.target}-{warehouse.copy}"
    try:
        results = _dbt(["run", "--no-write-json", *arguments], target, environment, given, manifest)
    except TransformError as error:
        raise warehouse.lost_connection(str(error)) or error from error
    finally:
        warehouse.release_dbt()
    failed = [(r.node.name, mask(str(r.message))) for r in results if r.status in ("error", "fail")]
    for _, message in failed:
        if lost := warehouse.lost_connection(message):
            raise lost
    if failed:
        lines = [f"Model {name} failed: {' '.join(message.split())}" for name, message in failed]
        skipped = sum(r.status == "skipped" for r in results)
        raise TransformError("\n".join([*lines, f"{skipped} models that need them were not built."]))


def described_columns(settings: Settings, warehouse: Warehouse) -> dict[str, list[str]]:
    """Return schema.table of each model, and the columns that the project describes of it, if it describes any."""
    models = [n for n in _nodes(_parsed(settings, warehouse)) if n["resource_type"] == "model"]
    return {_table(warehouse, node): list(node["columns"]) for node in models}


def run_tests(
    settings: Settings, warehouse: Warehouse, group_of: Callable[[str, dict[str, Any]], str] | None = None
) -> list[CheckResult]:
    """Run every test of the project; a failing test is a result, not an error.

    `group_of` says by a test's generic name and its `meta` which group it is of: each group then has a connection of
    its own, and they run side by side.
    """
    parsed, given = _parsed(settings, warehouse), variables(settings)
    nodes = {n["unique_id"]: n for n in _nodes(parsed)}
    environment = warehouse.dbt_environment()
    compiled = _compiled(parsed, _naming(environment), _database(environment), given)
    tests = [n | {"compiled_code": compiled.get(i)} for i, n in nodes.items() if n["resource_type"] == "test"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for test in tests:
        name = (test.get("test_metadata") or {}).get("name", "")
        groups.setdefault(group_of(name, test["config"]["meta"]) if group_of else "", []).append(test)
    with ThreadPoolExecutor(max_workers=len(groups) or 1) as readers:
        answers = readers.map(lambda group: warehouse.query_each([_test_sql(t) for t in group]), groups.values())
        answered = {
            test["unique_id"]: answer
            for group, found in zip(groups.values(), answers, strict=True)
            for test, answer in zip(group, found, strict=True)
        }
    results = []
    for test in tests:
        answer = answered[test["unique_id"]]
        config, state, failures, message = test["config"], "error", 0, ""
        if isinstance(answer, WarehouseError):
            message = in_one_line(answer)
        else:
            failures, errs, warns = (int(value) for value in answer.iloc[0].fillna(0))
            state = "fail" if errs and config["severity"].lower() == "error" else "warn" if warns else "pass"
        attached = nodes.get(test.get("attached_node") or "")
        results.append(
            CheckResult(
                name=test["name"],
                generic=(test.get("test_metadata") or {}).get("name", ""),
                table=_table(warehouse, attached) if attached else "",
                column=test.get("column_name") or "",
                description=test["description"],
                severity=config["severity"].lower(),
                where=config["where"] or "",
                fail_calc=config["fail_calc"],
                meta=_meta(config["meta"], given),
                sql=test.get("compiled_code") or "",
                state=state,
                failures=failures,
                message=message,
            )
        )
    return results


def _test_sql(test: dict[str, Any]) -> str:
    """Return the query by which dbt judges a test: failures, and whether they are an error and a warning."""
    config = test["config"]
    calculated = config["fail_calc"]
    return (
        f"select {calculated} as failures, cast({calculated} {config['error_if']} as integer) as errs,"
        f" cast({calculated} {config['warn_if']} as integer) as warns from ({test.get('compiled_code')}\n) as failing"
    )


def _meta(meta: dict[str, Any], given: str) -> dict[str, Any]:
    """Return what a test says of itself, its description with a variable's value for the variable's name in braces."""
    description = str(meta.get("description", ""))
    for name, value in json.loads(given).items():
        description = description.replace(f"{{{name}}}", str(value).removesuffix(".0"))
    return meta | {"description": description} if description else meta


def variables(settings: Settings) -> str:
    """Return the variables of the dbt project, as JSON."""
    shop = settings.shop
    own = {"time_zone": shop.time_zone, "currency": shop.currency, **settings.config.models.model_dump()}
    list_prices: dict[str, list[str]] = {}
    for name, source in settings.config.sources.items():
        for entity, spec in source.entities.items():
            if getattr(spec, "missing_prices", "") == "list_price":
                list_prices.setdefault(entity, []).append(name)
    return json.dumps({**own, "list_price_sources": list_prices})


def preload(target: str) -> None:
    """Import dbt and an engine's adapter ahead of time: it takes two seconds."""
    import dbt.cli.main  # noqa: F401

    importlib.import_module(f"dbt.adapters.{target}.connections")


def _parsed(settings: Settings, warehouse: Warehouse) -> Path:
    """Return a folder with `partial_parse.msgpack` and `manifest.json` of the project as dbt has read it.

    They depend on the SQL and the schemas alone: which models and tests there are and what they refer to is the same
    whatever the variables, which dbt is given when it compiles. So all shops and processes share them. Whoever lacks
    them makes a folder of their own and gives it its name once it is whole.
    """
    naming = _naming(warehouse.dbt_environment())
    files = increments.project_files("models", "macros", "tests", "dbt_project.yml", "profiles.yml")
    home = _SQL / "target" if os.access(_SQL, os.W_OK) else settings.work_dir / "sql-parsed"
    parsed = home / fingerprint([files, naming, version("dbt-core")])
    if not _is_whole(parsed):
        shutil.rmtree(parsed, ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True)
        _clear(home)
        scratch = Path(tempfile.mkdtemp(prefix="making-", dir=home))
        scratch.chmod(0o755)
        try:
            _dbt(["parse"], scratch, dict(naming), "{}")
            scratch.rename(parsed)
        except OSError:
            # Another process may have been first.
            if not _is_whole(parsed):
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    os.utime(parsed)
    return parsed


def _is_whole(parsed: Path) -> bool:
    """Whether a folder holds a parsed project that can be read."""
    try:
        return parsed.exists() and bool(_nodes(parsed))
    except (OSError, ValueError, KeyError):
        return False


def _clear(home: Path) -> None:
    """Remove parsed projects that have not been used for long, and what killed processes left."""
    found = sorted((path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    made = [path for path in found if not path.name.startswith("making-")]
    old = [path for path in found if path not in made and path.stat().st_mtime < time.time() - 3600]
    for path in made[: -_MOST_PARSED + 1] + old:
        shutil.rmtree(path, ignore_errors=True)


@functools.lru_cache(maxsize=8)
def _manifest(parsed: Path, naming: tuple[tuple[str, str], ...], database: str) -> Any:
    """Return the project as dbt hands it out, from what is parsed already.

    It is parsed for no particular file, server or database, as dbt would start over for each.
    """
    with tempfile.TemporaryDirectory() as target:
        parse = ["parse", "--no-write-json", "--partial-parse-file-path", str(parsed / "partial_parse.msgpack")]
        manifest = _dbt(parse, Path(target), dict(naming), "{}")
    for node in [*manifest.nodes.values(), *manifest.sources.values()]:
        if node.database == _DATABASE != database:
            node.database = database
            if node.relation_name:
                quoted = database.replace('"', '""')
                node.relation_name = node.relation_name.replace(f'"{_DATABASE}".', f'"{quoted}".', 1)
    return manifest


@functools.lru_cache(maxsize=8)
def _compiled(parsed: Path, naming: tuple[tuple[str, str], ...], database: str, given: str) -> dict[str, str]:
    """Return the SQL of each test by its id, with the variables given; it is kept beside the parsed project."""
    kept = parsed / f"tests-{fingerprint([database, given])}.json"
    with contextlib.suppress(OSError, ValueError):
        os.utime(kept)
        return dict(json.loads(kept.read_bytes()))
    tests = ["--select", "resource_type:test", "--no-introspect", "--no-populate-cache", "--no-write-json"]
    with tempfile.TemporaryDirectory() as target:
        environment = {**dict(naming), "SHOP_PG_DATABASE": database}
        done = _dbt(["compile", *tests], Path(target), environment, given, _manifest(parsed, naming, database))
    found = {result.node.unique_id: result.node.compiled_code for result in done.results}
    others = sorted((path for path in parsed.glob("tests-*.json") if path != kept), key=_last_use)
    for path in others[: -_MOST_COMPILED + 1]:
        path.unlink(missing_ok=True)
    scratch = parsed / f"{kept.name}.{os.getpid()}"
    with contextlib.suppress(OSError):
        scratch.write_text(json.dumps(found), encoding="utf-8")
        scratch.replace(kept)
    return found


def _last_use(path: Path) -> float:
    """Return when a file was last used; another process may just have removed it."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _naming(environment: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, environment[name]) for name in _NAMING if name in environment)


def _database(environment: dict[str, str]) -> str:
    return environment.get("SHOP_PG_DATABASE", _DATABASE)


@functools.lru_cache(maxsize=8)
def _nodes(parsed: Path) -> list[dict[str, Any]]:
    """Return the models and tests of a parsed project (https://schemas.getdbt.com/dbt/manifest/v12.json)."""
    return list(json.loads((parsed / "manifest.json").read_bytes())["nodes"].values())


def _table(warehouse: Warehouse, node: dict[str, Any]) -> str:
    return f"{warehouse.public_schema(node['schema'])}.{node['alias']}"


def _dbt(arguments: list[str], target: Path, environment: dict[str, str], given: str, manifest: Any = None) -> Any:
    """Run one dbt command in this process and return its result; raise TransformError where dbt stops."""
    places = ("--project-dir", str(_SQL), "--profiles-dir", str(_SQL), "--target-path", str(target))
    with _environment({"DO_NOT_TRACK": "1", **environment}), contextlib.redirect_stdout(io.StringIO()):
        from dbt.cli.main import dbtRunner

        command = [*_QUIET, *arguments, *places, "--log-path", str(target), "--vars", given]
        answer = dbtRunner(manifest).invoke(command)
    if answer.exception is not None:
        raise TransformError(f"dbt stopped: {mask(str(answer.exception))}") from answer.exception
    return answer.result


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set the environment variables that `sql/profiles.yml` reads."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name)
        os.environ.update(before)
