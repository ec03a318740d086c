"""The dbt project as dbt and its readers see it: its unit tests hold, and its catalog leaves nothing undescribed."""

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
