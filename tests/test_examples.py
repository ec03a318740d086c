"""The ready-made mappings in `examples/`: they are those of the layouts, and read small exports of each system right.

Each export in `tests/exports` is an invented one in the system's own form. What is right is stated here once, and holds
for the example and for what `inspect` writes of the same files.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from lib.clean import load
from lib.entities import ENTITIES
from lib.ingest.run import ingest
from lib.inspect.examples import FOLDER, example
from lib.inspect.layouts import layouts
from lib.model import dbt
from lib.settings import load_settings
from lib.warehouse import Warehouse, open_warehouse
from run_pipeline import app
from tests.conftest import PROJECT
from tests.small_shop import rows

EXPORTS = PROJECT / "tests" / "exports"

#: By system: orders, of them cancelled or failed, customers, gross, discounts, returns, net, and refunds on orders.
RIGHT: dict[str, tuple[int, int, int, str, str, str, str, str]] = {
    "amazon": (4, 1, 0, "125.90", "5.90", "30.00", "90.00", "0"),
    "ebay": (2, 0, 2, "1052.34", "0", "0", "1052.34", "0"),
    "etsy": (3, 0, 2, "1268.00", "125.00", "0", "1143.00", "0"),
    "magento": (3, 1, 2, "146.00", "5.80", "14.00", "126.20", "0"),
    "olist": (3, 1, 3, "259.80", "0", "100.00", "159.80", "0"),
    "online_retail": (3, 1, 2, "53.64", "0", "2.55", "51.09", "0"),
    "paypal": (2, 0, 2, "1250.00", "0", "20.00", "1230.00", "0"),
    "shopify": (4, 1, 3, "132.50", "5.50", "12.50", "114.50", "5.00"),
    "square": (2, 0, 1, "1246.00", "3.60", "16.20", "1226.20", "0"),
    "stripe": (3, 0, 2, "1409.90", "0", "0", "1409.90", "30.00"),
    "superstore": (2, 0, 2, "2734.95", "783.47", "0", "1951.48", "0"),
    "woocommerce": (4, 2, 3, "94.00", "5.00", "34.00", "55.00", "0"),
}


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.source)
def test_the_example_is_what_the_layout_says(layout):
    text = (FOLDER / f"{layout.source}.yml").read_text(encoding="utf-8")
    assert text == example(layout), "write it anew: python -m lib.inspect.examples"


def test_every_known_system_has_an_export_and_figures():
    systems = {layout.source for layout in layouts()}
    assert systems == {folder.name for folder in EXPORTS.iterdir()} == {*RIGHT, "ga4"}


def built(sources: dict[str, Any], folder: Path, **keys: Any) -> Warehouse:
    """Return the warehouse of some sources, built in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "shop.yml"
    shop = {"name": "Tried", "currency": "USD", "time_zone": "America/New_York"}
    content = {"shop": shop, "warehouse": {"memory_limit": "1GB", "threads": 2}, "sources": sources, **keys}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    settings = load_settings(sources=file, data_dir=folder / "data", output_dir=folder / "outputs")
    ingest(settings, "run1").raise_failures()
    warehouse = open_warehouse(settings, "run")
    warehouse.begin(full_refresh=False)
    load.load_stage(settings, warehouse, "run1")
    dbt.build_models(settings, warehouse, "staging", "clean", "quality", "warehouse", "analytics")
    return warehouse


def figures(warehouse: Warehouse, source: str) -> tuple[Any, ...]:
    """Return what `RIGHT` states, of one source."""
    (orders,) = rows(
        warehouse,
        """
        select count(*), count(*) filter (where order_type = 'cancellation'),
            count(distinct customer_id) filter (where customer_id <> 'unknown'),
            sum(original_gross_amount), sum(original_discount_amount), sum(original_return_amount),
            sum(original_net_amount), sum(refund_amount / coalesce(exchange_rate, 1))
        from warehouse.fact_orders where source = ?
        """,
        [source],
    )
    return (*orders[:3], *(round(Decimal(value or 0), 2) for value in orders[3:]))


def right(source: str) -> tuple[Any, ...]:
    return (*RIGHT[source][:3], *(round(Decimal(value), 2) for value in RIGHT[source][3:]))


_PREFIXED = {"order_id", "customer_id", "product_id"}


def prefixed(name: str, source: dict[str, Any]) -> dict[str, Any]:
    """Return a source whose ids are its own, so that several systems can lie in one shop."""
    ids = {c.name for entity in source["entities"] for c in ENTITIES[entity].columns if c.kind == "id"}
    return {**source, "id_prefixes": dict.fromkeys(sorted(ids & _PREFIXED), f"{name}:")}


def of_examples(monkeypatch) -> dict[str, dict[str, Any]]:
    sources = {}
    for layout in layouts():
        monkeypatch.setenv(f"{layout.source.upper()}_DIR", str(EXPORTS / layout.source))
        text = (FOLDER / f"{layout.source}.yml").read_text(encoding="utf-8")
        (sources[layout.source],) = yaml.safe_load(text)["sources"].values()
    return sources


def of_inspect(tmp_path: Path) -> dict[str, dict[str, Any]]:
    sources = {}
    for layout in layouts():
        file = tmp_path / f"{layout.source}.yml"
        wishes = ["--currency", layout.shop["currency"], "--time-zone", "America/New_York"]
        done = CliRunner().invoke(app, ["inspect", str(EXPORTS / layout.source), "-o", str(file), *wishes])
        assert done.exit_code == 0 and f"Run it: python run_pipeline.py --sources {file}" in done.output, done.output
        (sources[layout.source],) = yaml.safe_load(file.read_text(encoding="utf-8"))["sources"].values()
    return sources


@pytest.mark.parametrize("written_by", ["example", "inspect"])
def test_each_export_comes_out_right(written_by, tmp_path, monkeypatch):
    """All in one shop, whose ids are told apart by prefixes: a build takes longer than what it reads.

    Payments that are orders of their own make a shop only where there are no others.
    """
    sources = of_examples(monkeypatch) if written_by == "example" else of_inspect(tmp_path)
    alone = {"stripe": sources.pop("stripe")}
    warehouse = built({name: prefixed(name, source) for name, source in sources.items()}, tmp_path / "all")
    found = {name: figures(warehouse, name) for name in sources if name in RIGHT}
    found |= {name: figures(built(alone, tmp_path / "alone"), name) for name in alone}
    assert found == {name: right(name) for name in found}
    sessions = (
        "select count(*), count(*) filter (where is_converted), sum(purchase_amount) from warehouse.fact_sessions"
    )
    assert rows(warehouse, sessions) == [(2, 1, Decimal("25.00"))]
