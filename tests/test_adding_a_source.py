"""The worked example of docs/adding-a-source.md does what the page says."""

import importlib.util
import json
import re
import sys

import pytest

from lib.base.errors import ConfigError
from lib.clean.standardize import standardize
from lib.ingest.run import ingest
from lib.lake import Lake
from lib.settings import load_settings
from lib.sources import KINDS
from tests.conftest import PROJECT

PAGE = (PROJECT / "docs" / "adding-a-source.md").read_text()


def block(start: str) -> str:
    """Return the page's code block that begins with a text."""
    return next(b for b in re.findall(r"```\w+\n(.*?)```", PAGE, re.S) if b.startswith(start))


@pytest.fixture
def feed(tmp_path, monkeypatch):
    """Register the page's kind as its registry line says, and return where its document and sources file are."""
    (name, module), *_ = re.findall(r'"(\w+)": "([\w.]+)"', block('    "feed"'))
    code = tmp_path / "feed.py"
    code.write_text(block('"""Source kind'))
    spec = importlib.util.spec_from_file_location(module, code)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setitem(sys.modules, module, made)
    monkeypatch.setitem(KINDS, name, module)
    (tmp_path / "supplier.yml").write_text(block("shop: {name"))
    document = tmp_path / "prices.json"
    document.write_text(block('{"items"'))
    monkeypatch.setenv("FEED_URL", str(document))
    return document


def settings_of(feed):
    return load_settings(sources=feed.parent / "supplier.yml", data_dir=feed.parent / "data")


def staged(feed) -> list[tuple]:
    """Return the typed rows of the newest batch."""
    settings = settings_of(feed)
    lake = Lake(settings.lake_url)
    with lake.connect(settings) as connection:
        path = next(standardize(settings, lake, lake.batches()[-1:])).path
        return connection.execute(
            "select product_id, name, cast(unit_price as varchar) from read_parquet(?) order by 1", [path]
        ).fetchall()


def test_the_example_reads_what_is_new_once_and_a_replaced_document_again(feed):
    assert ingest(settings_of(feed), "run1").rows == 2
    assert staged(feed) == [("P1", "Lamp", "12.5000"), ("P2", "Shelf", "80.0000")]
    assert ingest(settings_of(feed), "run2").rows == 0
    feed.write_text('{"items": [{"sku": "P1", "title": "Lamp", "price": 11.0}]}')
    assert ingest(settings_of(feed), "run3").rows == 1
    assert staged(feed) == [("P1", "Lamp", "11.0000")]


def test_the_example_says_what_is_wrong(feed):
    ingest(settings_of(feed), "run1")
    feed.write_text('{"items": [{"sku": "P1", "price": 11.0}]}')
    assert (
        "has no column 'title', which was there before"
        in ingest(settings_of(feed), "run2").failures["supplier.products"]
    )
    feed.unlink()
    assert "cannot be read" in ingest(settings_of(feed), "run3").failures["supplier"]
    sources = feed.parent / "supplier.yml"
    sources.write_text(sources.read_text().replace("    url:", "    ulr: x\n    url:"))
    with pytest.raises(ConfigError, match=r"unknown key 'sources\.supplier\.ulr'\. Did you mean 'url'"):
        settings_of(feed)
    assert json.loads(block('{"items"'))["items"]
