"""Fixtures shared by the tests: whole runs on small data, in folders of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from lib.run import kernels
from lib.run.forking import KernelParent
from run_pipeline import app
from tests.postgres import create_database, drop_database, start_server

PROJECT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with whole runs first: they take longest, and the short ones then fill up both workers to the end."""
    long = {item.path for item in items if "shop_at" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in long)


def soaking(cases: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """Return the cases of a test, all but the `quick` ones left to `make soak`."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.soak) for case in cases]


@dataclass(frozen=True)
class Shop:
    """A simulated shop's folders and the command line on them; `extra` are environment variables."""

    root: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that lead a run to this shop."""
        places = {
            "SHOP_DATA_DIR": str(self.data),
            "SHOP_OUTPUT_DIR": str(self.outputs),
            "SHOP_SIZE": "small",
            "SHOP_RETRIES": "0",
        }
        return {**places, **self.extra}

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `run_pipeline.py` as a process of its own and return it."""
        return subprocess.Popen(
            [sys.executable, str(PROJECT / "run_pipeline.py"), *arguments],
            cwd=PROJECT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call the command line of `run_pipeline.py` in this process and return how it ended and what it printed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(PROJECT)
            for name, value in self.variables.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(app, list(arguments))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(list(arguments), done.exit_code, done.stdout, done.stderr)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return a query's rows from what the DuckDB file of the one shop below the data folder has published."""
        (file,) = [*self.data.glob("shop.duckdb"), *self.data.glob("shops/*/shop.duckdb")]
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute(sql).fetchall()


class LastingParent(KernelParent):
    """A parent of kernels that outlives a run, so that its imports are done once for all tests of a worker."""

    def close(self) -> None:
        """Stay for the next run."""


@pytest.fixture(scope="session", autouse=True)
def _one_kernel_parent() -> Iterator[None]:
    """Let all runs of this process fork their kernels from one parent."""
    made: list[LastingParent] = []

    def parent() -> KernelParent:
        if not made or made[-1].exit_code("") is not None:
            made.append(LastingParent())
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "KernelParent", parent)
        yield
    for one in made:
        KernelParent.close(one)


@pytest.fixture(scope="session")
def shop_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Shop]:
    """Return a function that makes an empty shop folder."""
    return lambda name: Shop(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """Return the URL of a PostgreSQL server whose user may create databases and roles."""
    return os.environ.get("TEST_POSTGRES_URL") or start_server()


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Iterator[Callable[..., str]]:
    """Return a function that creates a database, empty or a copy of another, and returns its URL; all go at the end."""
    made: list[str] = []

    def create(template: str = "") -> str:
        made.append(create_database(postgres_server, template))
        return made[-1]

    yield create
    for url in made:
        drop_database(url)
