"""How dbt is used: what it compiles is shared, whole or not there, and its tests are judged as dbt judges them."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.base.errors import TransformError
from lib.base.files import PROJECT
from lib.model import dbt, increments
from lib.warehouse import DuckDBWarehouse, open_warehouse
from tests.small_shop import SmallShop

TESTS = {
    "passes": "select 1 as a where 1 = 2",
    "fails": "select 1 as a from range(3)",
    "warns": "{{ config(severity='warn') }} select 1 as a from range(3)",
    "adds_up": "{{ config(fail_calc='sum(a)', error_if='> 10', warn_if='> 5') }} select unnest([3, 4]) as a",
    "breaks": "select * from nowhere",
    "reads": "select * from {{ ref('numbers') }} where a > 1",
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A dbt project of one model, in the place of the shop's."""
    sql = tmp_path / "project" / "sql"
    (sql / "models" / "clean").mkdir(parents=True)
    (sql / "models" / "clean" / "numbers.sql").write_text("select unnest([1, 2]) as a")
    (sql / "tests").mkdir()
    for name, query in TESTS.items():
        (sql / "tests" / f"{name}.sql").write_text(query)
    models = "{shop: {+schema: clean, +materialized: table}}"
    (sql / "dbt_project.yml").write_text(f"{{name: shop, profile: shop, models: {models}}}")
    (sql / "macros").mkdir()
    for name in ("profiles.yml", "macros/names.sql"):
        shutil.copyfile(PROJECT / "sql" / name, sql / name)
    monkeypatch.setattr(dbt, "_SQL", sql)
    monkeypatch.setattr(increments, "PROJECT", tmp_path / "project")
    return sql


@pytest.fixture
def warehouse(tmp_path) -> DuckDBWarehouse:
    warehouse = open_warehouse(SmallShop(tmp_path / "shop").settings, "run")
    warehouse.begin()
    return warehouse


def test_tests_are_judged_as_dbt_judges_them(project, warehouse):
    assert dbt.build_models(warehouse.settings, warehouse, "clean") == ["clean.numbers"]
    results = {r.name: r for r in dbt.run_tests(warehouse.settings, warehouse)}
    states = {name: (result.state, result.failures) for name, result in results.items()}
    assert states == {
        "passes": ("pass", 0),
        "fails": ("fail", 3),
        "warns": ("warn", 3),
        "adds_up": ("warn", 7),
        "breaks": ("error", 0),
        "reads": ("fail", 1),
    }
    assert "nowhere does not exist" in results["breaks"].message and results["passes"].message == ""


def test_a_model_that_fails_is_named_and_built_again(project, warehouse):
    model = project / "models" / "clean" / "numbers.sql"
    model.write_text("select cast('x' as integer) as a")
    with pytest.raises(TransformError, match=r"Model numbers failed: .*Could not convert string 'x'"):
        dbt.build_models(warehouse.settings, warehouse, "clean")
    model.write_text("select 7 as a")
    dbt.build_models(warehouse.settings, warehouse, "clean")
    assert warehouse.query("select a from clean.numbers")["a"].tolist() == [7]


def test_a_project_that_dbt_cannot_read_leaves_nothing_behind(project, warehouse):
    (project / "models" / "clean" / "broken.sql").write_text("select * from {{ ref('nobody') }}")
    with pytest.raises(TransformError, match=r"dbt stopped: (?s:.*)a node named 'nobody' which was not found"):
        dbt.build_models(warehouse.settings, warehouse, "clean")
    assert list((project / "target").iterdir()) == []


def parsed(settings, copy, places) -> None:
    places.put(str(dbt._parsed(settings, open_warehouse(settings, copy))))


def test_processes_that_parse_at_once_share_what_the_first_made(project, warehouse):
    fork = multiprocessing.get_context("fork")
    places = fork.Queue()
    arguments = (warehouse.settings, "run", places)
    processes = [fork.Process(target=parsed, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    found = {places.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert found == {str(place) for place in (project / "target").iterdir()} and len(found) == 1


def test_what_is_parsed_and_damaged_is_parsed_again(project, warehouse):
    folder = dbt._parsed(warehouse.settings, warehouse)
    for damage in (lambda manifest: manifest.write_text(manifest.read_text()[:1000]), Path.unlink):
        damage(folder / "manifest.json")
        dbt._nodes.cache_clear()
        assert dbt._parsed(warehouse.settings, warehouse) == folder and dbt._nodes(folder)


def test_what_is_parsed_follows_the_sql_and_old_and_half_made_folders_go(project, warehouse, monkeypatch):
    monkeypatch.setattr(dbt, "_MOST_PARSED", 2)
    target = project / "target"
    half = target / "making-x"
    half.mkdir(parents=True)
    made = []
    for number in range(3):
        (project / "models" / "clean" / "numbers.sql").write_text(f"select {number} as a")
        made.append(dbt._parsed(warehouse.settings, warehouse))
    assert made[2] == dbt._parsed(warehouse.settings, warehouse) and len(set(made)) == 3
    assert set(target.iterdir()) == {half, *made[1:]}, "somebody may be making the half one"
    os.utime(half, (0, 0))
    (project / "models" / "clean" / "numbers.sql").write_text("select 4 as a")
    assert set(target.iterdir()) == {half, *made[1:]}
    newest = dbt._parsed(warehouse.settings, warehouse)
    assert set(target.iterdir()) == {made[2], newest}


def test_tests_are_compiled_with_the_variables_given_and_kept_for_as_many_of_them(project, warehouse, monkeypatch):
    monkeypatch.setattr(dbt, "_MOST_COMPILED", 2)
    (project / "tests" / "varies.sql").write_text("select '{{ var(\"currency\") }}' as a from {{ ref('numbers') }}")
    folder, naming = dbt._parsed(warehouse.settings, warehouse), dbt._naming(warehouse.dbt_environment())
    for currency in ("EUR", "JPY", "CHF"):
        given = json.dumps({"currency": currency})
        dbt._compiled.cache_clear()
        made = dbt._compiled(folder, naming, "shop", given)
        assert made["test.shop.varies"] == f"""select '{currency}' as a from "shop"."clean"."numbers\""""
        (newest,) = [path for path in folder.glob("tests-*") if json.loads(path.read_text()) == made]
        newest.write_text(json.dumps(made | {"kept": ""}))
        dbt._compiled.cache_clear()
        assert dbt._compiled(folder, naming, "shop", given) == made | {"kept": ""}
        newest.write_text("{")
        dbt._compiled.cache_clear()
        assert dbt._compiled(folder, naming, "shop", given) == made, "what is damaged is compiled again"
    assert len([*folder.glob("tests-*")]) == 2


def test_one_parsed_project_does_for_every_database(project, warehouse):
    folder = dbt._parsed(warehouse.settings, warehouse)
    naming = (("SHOP_TARGET", "postgres"), ("SHOP_SCHEMA_PREFIX", ""))
    for database in ("shop", "other"):
        manifest = dbt._manifest(folder, naming, database)
        assert {(n.database, n.relation_name) for n in manifest.nodes.values() if n.resource_type == "model"} == {
            (database, f'"{database}"."clean"."numbers"')
        }
        assert f'"{database}"."clean"."numbers"' in dbt._compiled(folder, naming, database, "{}")["test.shop.reads"]


def test_importing_dbt_builds_no_grammar_of_addresses():
    found = "print(sorted({'jsonschema', 'lark'} & {*sys.modules}))"
    code = f"import sys; from lib.model import dbt; dbt.preload('duckdb'); {found}"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, text=True, capture_output=True, check=True)
    assert done.stdout == "['jsonschema']\n"
