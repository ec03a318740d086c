"""The project's own rules: locked versions agree, notebooks are stored clean, models state their grain."""

import ast
import json
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT

CONDA_NAMES = {"python-duckdb": "duckdb", "psycopg2": "psycopg2-binary"}
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


def locked() -> dict[str, str]:
    lines = (PROJECT / "requirements.lock").read_text().splitlines()
    return {canonicalize_name(n): v for n, v in (line.split("==") for line in lines if line)}


def required() -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return [Requirement(r) for r in project["dependencies"] + project["optional-dependencies"]["dev"]]


def test_the_lock_file_holds_exact_versions_and_no_index_address():
    for line in (PROJECT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line), line


def test_every_dependency_is_locked_within_its_range():
    for requirement in required():
        assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)]), requirement


def test_environment_yml_has_the_same_packages_at_the_locked_versions():
    listed = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    conda = dict(d.split("=", 1) for d in listed if isinstance(d, str) and "=" in d and not d.startswith("python="))
    pip = dict(d.split("==") for d in next(d for d in listed if isinstance(d, dict))["pip"] if "==" in d)
    found = {canonicalize_name(CONDA_NAMES.get(n, n)): v for n, v in {**conda, **pip}.items()}
    assert found == {canonicalize_name(r.name): locked()[canonicalize_name(r.name)] for r in required()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_stored_without_outputs_and_read_as_documents(path):
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown" and "".join(cells[0]["source"]).startswith("# ")
    assert [c for c in cells if "parameters" in c["metadata"].get("tags", [])] == [cells[1]]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            assert len(cell["source"]) <= 20, "a longer cell wants to be a function"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_import_from_lib_only(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if isinstance(node, ast.ImportFrom):
                    assert node.module.split(".")[0] == "lib", ast.unparse(node)
                assert not isinstance(node, ast.Import), ast.unparse(node)


def test_every_model_states_its_grain_in_its_first_line():
    for path in (PROJECT / "sql" / "models").rglob("*.sql"):
        assert re.match(r"-- One row per \w", path.read_text()), path


def test_no_path_of_a_machine_and_no_package_index_is_named():
    folders = ("lib", "notebooks", "sql", "tests", "docs", "examples", ".ci")
    # What was compiled, also of the SQL, is this machine's own and in no commit.
    found = [p for f in folders for p in (PROJECT / f).rglob("*") if p.is_file()]
    files = [p for p in found if {"__pycache__", "target"}.isdisjoint(p.parts)]
    files += [p for p in PROJECT.iterdir() if p.is_file()]
    pattern = re.compile(r"(?<![\w.])/(?:work|root|farm|home/\w+)/|--(?:extra-)?index-url|pypi\.org/simple")
    for path in files:
        if path.name != "test_project.py" and path.suffix != ".png":
            found = pattern.search(path.read_text(errors="replace"))
            assert not found, (path, found)


def test_the_readme_shows_the_two_commands():
    text = (PROJECT / "README.md").read_text()
    assert "make run" in text and "make test" in text
