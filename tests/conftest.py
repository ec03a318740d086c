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

from tests.postgres import create_database, drop_database, start_server

PROJECT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with whole runs first: they take longest, and the short ones then fill up both workers to the end."""
    long = {item.path for item in items if "shop_at" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in long)


def soaking(cases: Iterable[str], quick: Collection[str]) -> list[Any]:
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
    def environment(self) -> dict[str, str]:
        places = {"SHOP_DATA_DIR": str(self.data), "SHOP_OUTPUT_DIR": str(self.outputs), "SHOP_SIZE": "small"}
        return {**os.environ, **places, **self.extra}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `run_pipeline.py` and return the process."""
        return subprocess.Popen(
            [sys.executable, str(PROJECT / "run_pipeline.py"), *arguments],
            cwd=PROJECT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `run_pipeline.py` to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return a query's rows from what the DuckDB file of the one shop below the data folder has published."""
        (file,) = [*self.data.glob("shop.duckdb"), *self.data.glob("shops/*/shop.duckdb")]
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute(sql).fetchall()


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
