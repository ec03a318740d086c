"""The command line: every mistake is one clear message with exit code 2 before anything runs."""

import re

import pytest
from typer.testing import CliRunner

from lib.base.errors import ConfigError
from lib.run.parameters import NOTEBOOKS, check_parameters, parse_parameters
from run_pipeline import app


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SHOP_OUTPUT_DIR", str(tmp_path / "outputs"))

    def call(*arguments: str):
        return CliRunner().invoke(app, list(arguments))

    yield call
    assert not (tmp_path / "data").exists(), "a wrong call touches nothing"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "07_forecast"], "No notebook '07_forecast'"),
        (["--from", "05", "--to", "02"], "--from 05_quality comes after --to 02_ingest"),
        (["--only", "04", "--from", "02"], "--only goes without"),
        (["-p", "06_insights.topn=5"], "Did you mean 'top_n'?"),
        (["-p", "06_insight.top_n=5"], "Did you mean '06_insights'?"),
        (["-p", "06_insights.top_n=many"], "06_insights.top_n is a whole number from 1 to 50, found 'many'"),
        (["-p", "top_n"], "expected [NOTEBOOK.]NAME=VALUE"),
        (["-p", "run_id=x"], "The run sets it itself"),
        (["-p", "02_ingest.data_dir=x"], "Use --data-dir"),
        (["--size", "smal"], "simulation.size: Input should be 'small', 'default' or 'large'"),
        (["--sources", "examples/online_retial.yml"], "Did you mean 'online_retail.yml'?"),
        (["--sources", "examples/online_retail.yml", "--size", "small"], "do not go with --sources"),
        (["--as-of", "31.12.2025"], "expected a date such as 2025-12-31"),
        (["--target", "oracle"], "warehouse.target"),
        (["--full-refresh", "--from", "04"], "--full-refresh rebuilds from 03_clean on"),
        (["--no-gate", "--to", "04"], "--no-gate overrides the verdict of 05_quality"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_message_and_exit_code_2(call, arguments, message):
    result = call(*arguments)
    said = " ".join(result.output.split())
    assert (result.exit_code, message in said) == (2, True), result.output
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("", 2, "needs the environment variable WAREHOUSE_URL, which is not set"),
        ("mysql://loader:hunter22@localhost/shop", 2, "WAREHOUSE_URL is no address of a PostgreSQL database. Expected"),
        ("postgresql://loader:hunter22@localhost", 2, "WAREHOUSE_URL is no address of a PostgreSQL database. Expected"),
    ],
)
def test_a_missing_or_unusable_server_address_is_one_message_without_the_password(
    call, monkeypatch, url, code, message
):
    monkeypatch.setenv("WAREHOUSE_URL", url)
    result = call("--target", "postgres")
    said = " ".join(result.output.split())
    assert (result.exit_code, message in said) == (code, True), result.output
    assert "hunter22" not in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("06_insights: {topn: 5}", "-f params.yml: 06_insights.topn: no parameter 'topn' in 06_insights. Did you mean"),
        ("06_insight: {top_n: 5}", "Did you mean '06_insights'?"),
        ("top_n: many", "06_insights.top_n is a whole number from 1 to 50, found 'many'"),
        ("top_n: 51", "is a whole number from 1 to 50, found '51'"),
        ("top_n: 1.5", "is a whole number from 1 to 50, found '1.5'"),
        ("top_n: [5]", "top_n: expected one value, found [5]"),
        ("top_n:", "top_n: expected one value, found none"),
        ("data_dir: x", "Use --data-dir"),
        ("- top_n", "expected lines such as 'top_n: 20', found list"),
        ("top_n: {", "is no valid YAML"),
    ],
)
def test_a_mistake_in_a_file_of_parameters_is_one_message_and_exit_code_2(call, tmp_path, text, message):
    path = tmp_path / "params.yml"
    path.write_text(text)
    result = call("-f", str(path))
    assert result.exit_code == 2 and message in " ".join(result.output.split()), result.output


def test_a_file_of_parameters_that_is_not_there_is_named(call, tmp_path):
    result = call("-f", str(tmp_path / "none.yml"))
    assert result.exit_code == 2 and "none.yml" in result.output


def test_of_a_parameter_given_twice_the_notebooks_own_counts_more_and_the_command_line_most(tmp_path):
    path = tmp_path / "params.yml"
    path.write_text("06_insights: {top_n: 7}\ntop_n: 5\nmonths: 12\npublish: true\nseed: 3\n")
    values = parse_parameters([], [path])
    assert values["06_insights"] == {"top_n": 7, "months": 12}
    assert values["05_quality"] == {"publish": True} and values["01_generate"] == {"seed": 3}
    assert parse_parameters(["top_n=9"], [path])["06_insights"] == {"top_n": 9, "months": 12}


def test_the_parameters_of_a_notebook_are_shown_and_nothing_runs(call):
    result = call("--help-notebook", "insights")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and [row[0] for row in rows[1:]] == list(NOTEBOOKS["06_insights"])
    top_n = "1 to 50: how many best sellers to show"
    assert ["top_n", "int", "10", top_n, "-p 06_insights.top_n=..."] in rows
    assert next(row for row in rows if row[0] == "data_dir")[-1] == "--data-dir"
    assert call("--help-notebook", "07").exit_code == 2


def test_an_unset_variable_of_a_sources_file_is_named_with_its_key(call, monkeypatch):
    monkeypatch.delenv("ONLINE_RETAIL_DIR", raising=False)
    result = call("--sources", "examples/online_retail.yml")
    assert result.exit_code == 2
    assert "sources.online_retail.path needs the environment variable ONLINE_RETAIL_DIR" in " ".join(
        result.output.split()
    )


def test_an_unknown_option_is_exit_code_2(call):
    assert call("--sise", "small").exit_code == 2


def test_a_query_before_anything_is_published_says_what_to_run(call):
    result = call("query", "select 1")
    assert result.exit_code == 1
    assert "nothing has been published" in result.output and "run_pipeline.py" in result.output


def test_runs_before_the_first_says_how_to_start_one(call):
    result = call("runs")
    assert result.exit_code == 0 and "Start one: python run_pipeline.py" in " ".join(result.output.split())


def test_help_teaches_every_option_and_the_exit_codes(call):
    text = re.sub(r"\x1b\[[0-9;]*m", "", call("--help").output)
    options = [
        "--size",
        "--sources",
        "--as-of",
        "--only",
        "--from",
        "--to",
        "--parameter",
        "--parameter-file",
        "--help-notebook",
        "--full-refresh",
        "--skip-unchanged",
        "--no-gate",
        "--data-dir",
    ]
    for word in [*options, "--output-dir", "--target", "runs", "query", "Exit codes"]:
        assert word in text, word


def test_a_parameter_without_a_notebook_is_set_wherever_it_exists():
    values = parse_parameters(["top_n=7"])
    assert {n for n, v in values.items() if v} == {n for n in NOTEBOOKS if "top_n" in NOTEBOOKS[n]}
    assert values["06_insights"]["top_n"] == 7


def test_every_notebook_parameter_has_a_type_and_a_comment():
    for name, declared in NOTEBOOKS.items():
        assert declared, f"{name} has no parameters cell"
        for parameter in declared.values():
            assert isinstance(parameter.default, parameter.kind) and parameter.comment, (name, parameter.name)


def test_a_number_beyond_what_a_parameter_allows_is_refused_with_what_is_allowed():
    for text in ("06_insights.top_n=0", "06_insights.top_n=51", "06_insights.months=-1", "06_insights.months=x"):
        with pytest.raises(ConfigError, match=r"is a whole number from \d+ to \d+, found") as error:
            parse_parameters([text])
        assert text.partition("=")[2] in str(error.value)
    assert parse_parameters(["06_insights.months=0"])["06_insights"]["months"] == 0


def test_a_parameter_set_by_hand_in_a_notebook_is_held_to_the_same_bounds():
    check_parameters("06_insights", top_n=50, months=0)
    with pytest.raises(ConfigError, match="top_n is a whole number from 1 to 50, found 0"):
        check_parameters("06_insights", top_n=0)
    with pytest.raises(ConfigError, match="months is a whole number from 0 to 600, found 'all'"):
        check_parameters("06_insights", months="all")
