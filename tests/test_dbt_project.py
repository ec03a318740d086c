"""The dbt project as dbt and its readers see it: its unit tests hold, and its catalog leaves nothing undescribed."""

import json
import re

import pytest
import yaml
from dbt.cli.main import dbtRunner

from lib.base.files import PROJECT
from lib.model import dbt, increments
from lib.warehouse import Warehouse, open_warehouse
from tests.small_shop import SmallShop, rows

MODELS = PROJECT / "sql" / "models"
#: Schemas whose columns are described too; of all others the models are.
MARTS = ("warehouse", "analytics")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Every table of the project, without rows."""
    settings = SmallShop(tmp_path_factory.mktemp("shop")).settings
    warehouse = open_warehouse(settings, "run")
    warehouse.begin()
    dbt.build_models(settings, warehouse, *increments.FOLDERS)
    return warehouse


def described() -> dict[str, dict[str, str]]:
    """The columns that each model describes, with their descriptions; the model's own is under an empty name."""
    found = {}
    for file in sorted(MODELS.rglob("*.yml")):
        for model in yaml.safe_load(file.read_text("utf-8")).get("models", []):
            columns = {column["name"]: column.get("description", "") for column in model.get("columns", [])}
            found[model["name"]] = {"": model.get("description", "")} | columns
    return found


def test_every_model_is_described():
    models = {path.stem for path in MODELS.rglob("*.sql")}
    assert {name for name, columns in described().items() if columns[""]} == models


def test_every_column_of_a_mart_is_described_and_no_other(built):
    columns: dict[str, set[str]] = {}
    sql = "select table_name, column_name from information_schema.columns where table_schema in (select unnest(?))"
    for table, column in rows(built, sql, [list(MARTS)]):
        columns.setdefault(table, set()).add(column)
    texts = described()
    assert columns == {table: {name for name, text in texts[table].items() if name and text} for table in columns}


def test_every_shared_description_is_used():
    shared = set(re.findall(r"{% docs (\w+) %}", (MODELS / "columns.md").read_text("utf-8")))
    used = {name for text in MODELS.rglob("*.yml") for name in re.findall(r"doc\('(\w+)'\)", text.read_text("utf-8"))}
    assert shared == used


def test_the_models_make_of_a_few_rows_what_their_unit_tests_expect(built, tmp_path, monkeypatch):
    for name, value in built.dbt_environment().items():
        monkeypatch.setenv(name, value)
    folders = {"--project-dir": "sql", "--profiles-dir": "sql", "--target-path": tmp_path, "--log-path": tmp_path}
    places = [str(part) for pair in folders.items() for part in pair]
    monkeypatch.chdir(PROJECT)
    try:
        answer = dbtRunner().invoke(["--quiet", "test", "--select", "test_type:unit", *places])
    finally:
        built.release_dbt()
    assert answer.exception is None, answer.exception
    results = {result.node.name: result for result in answer.result.results}
    assert {name: result.message for name, result in results.items() if result.status != "pass"} == {}
    tested = {result.node.tested_node_unique_id.split(".")[-1] for result in results.values()}
    assert tested >= {"fact_order_items", "fact_sessions", "line_repairs"}


def test_what_dbt_reads_is_the_same_whatever_the_variables(tmp_path):
    """So the project is parsed once for all shops; what a model refers to may not hang on a variable."""
    defaults = yaml.safe_load((PROJECT / "sql" / "dbt_project.yml").read_text("utf-8"))["vars"]
    others = {
        "time_zone": "Asia/Tokyo",
        "currency": "JPY",
        "unknown_customers": "keep",
        "prices_include_tax": False,
        "late_after_hours": 7.5,
        "non_products": ["gift%"],
        "list_price_sources": {"order_items": ["till"], "order_lines": ["till", "web"]},
        "statuses": {"gone": "cancelled"},
        "events": {"bought": "purchase"},
        "session_idle_minutes": 5,
    }
    assert defaults.keys() == others.keys() and not [name for name in defaults if defaults[name] == others[name]]

    def read(name: str, variables: dict[str, object]) -> dict[str, dict[str, object]]:
        manifest = dbt._dbt(["parse", "--no-write-json"], tmp_path / name, {}, json.dumps(variables))
        return {key: node.to_dict() for key, node in [*manifest.nodes.items(), *manifest.sources.items()]}

    by_default, otherwise = read("defaults", {}), read("others", others)
    assert by_default.keys() == otherwise.keys()
    for key, node in by_default.items():
        other = otherwise[key]
        # Which macros are called may differ, all are at hand; so may how often a model is referred to.
        for one in (node, other):
            del one["created_at"]
            one.pop("refs", None)
            if "depends_on" in one:
                one["depends_on"] = sorted(one["depends_on"]["nodes"])
        assert node == other, key


def test_a_description_names_a_variables_value(tmp_path):
    settings = SmallShop(tmp_path, config={"models": {"late_after_hours": 36}}).settings
    warehouse = open_warehouse(settings, "run")
    warehouse.begin()
    dbt.build_models(settings, warehouse, *increments.FOLDERS)
    (found,) = [r for r in dbt.run_tests(settings, warehouse) if r.name == "events_arrive_in_time"]
    assert found.meta["description"] == "events are delivered within 36 hours"
    assert "interval '129600 seconds'" in found.sql
    assert not [r.name for r in dbt.run_tests(settings, warehouse) if "{" in str(r.meta.get("description"))]
