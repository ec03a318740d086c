"""Configuration: what is wrong is named by file and key, and secrets come from the environment only."""

import re
from pathlib import Path

import pytest
import yaml

from lib import config
from lib.base.errors import ConfigError
from lib.base.secrets import mask
from lib.config import Config
from lib.settings import CONFIG_FILE, load_settings
from lib.sources import KINDS, source_model

GOOD = yaml.safe_load(CONFIG_FILE.read_text())


def settings_of(tmp_path: Path, change: dict, **arguments):
    path = tmp_path / "pipeline.yml"
    path.write_text(yaml.safe_dump({**GOOD, **change}))
    return load_settings(config_file=path, **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qualty": {}}, "unknown key 'qualty'. Did you mean 'quality'?"),
        ({"quality": {"min_scor": 3}}, "unknown key 'quality.min_scor'. Did you mean 'min_score'?"),
        ({"quality": {"min_score": 101}}, "quality.min_score: Input should be less than or equal to 100 (found 101)"),
        ({"shop": {"name": "x", "currency": "Euro", "time_zone": "UTC"}}, "shop.currency"),
        ({"shop": {"name": "x", "currency": "EUR", "time_zone": "Berlin"}}, "'Berlin' is no IANA time zone"),
        ({"sources": {"My Shop": GOOD["sources"]["marketplace"]}}, "found 'My Shop'"),
        ({"sources": {"a": {"kind": "ftp", "path": "x", "entities": {"orders": {}}}}}, "sources.a.kind"),
        ({"sources": {"a": {"kind": "files", "path": "x", "entities": {"order": {}}}}}, "Did you mean 'orders'?"),
        (
            {"sources": {"a": {"kind": "files", "path": "x", "entities": {"orders": {"columns": {"ordered": "d"}}}}}},
            "orders has no column 'ordered'. Did you mean 'ordered_at'?",
        ),
        (
            {"sources": {"a": {"kind": "files", "path": "x", "entities": {"orders": {"columns": {"order_id": "d"}}}}}},
            "orders.columns lacks the required ordered_at",
        ),
        (
            {"sources": {"a": {"kind": "files", "path": "x", "entities": {"orders": {"encoding": "utf8x"}}}}},
            "'utf8x' is no encoding",
        ),
    ],
)
def test_a_wrong_value_is_named_by_file_and_key(tmp_path, change, message):
    with pytest.raises(ConfigError) as raised:
        settings_of(tmp_path, change)
    assert message in str(raised.value) and "pipeline.yml: " in str(raised.value)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    path = tmp_path / "pipeline.yml"
    path.write_text("shop: [")
    with pytest.raises(ConfigError, match="is no valid YAML"):
        load_settings(config_file=path)


def test_variables_take_the_environment_then_their_default(tmp_path, monkeypatch):
    change = {"shop": {**GOOD["shop"], "name": "${SHOP_NAME:-Corner shop}"}}
    assert settings_of(tmp_path, change).shop.name == "Corner shop"
    monkeypatch.setenv("SHOP_NAME", "Big shop")
    assert settings_of(tmp_path, change).shop.name == "Big shop"


def test_shops_never_share_a_data_folder_unless_configured_to(monkeypatch, tmp_path):
    monkeypatch.setenv("ONLINE_RETAIL_DIR", str(tmp_path))
    places = [
        load_settings().data_dir,
        load_settings(size="small").data_dir,
        load_settings(seed=7).data_dir,
        load_settings(sources="examples/online_retail.yml").data_dir,
    ]
    assert len(set(places)) == 4
    assert load_settings(size="small", data_dir=tmp_path).data_dir == tmp_path


def test_passwords_and_secret_variables_are_masked(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t-token")
    settings_of(tmp_path, {"lake": "memory://${SHOP_TOKEN}"})
    assert (
        mask("failed with s3cr3t-token at postgresql://ann:pa55@db/x") == "failed with *** at postgresql://ann:***@db/x"
    )


def test_every_key_is_listed_in_pipeline_yml():
    text = CONFIG_FILE.read_text()

    def keys(model: type) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            found.add(field.alias or name)
            for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(inner, type) and issubclass(inner, config.BaseModel):
                    found |= keys(inner)
        return found

    known = keys(Config).union(*(keys(source_model(kind)) for kind in KINDS))
    missing = {k for k in known if not re.search(rf"\b{k}:", text)}
    assert missing == set()
