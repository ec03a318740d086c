"""The ready-made mappings in `examples/`: they are those of the layouts, and read small exports of each system right.

Each export in `tests/exports` is an invented one in the system's own form. What is right is stated here once, and holds
for the example and for what `inspect` writes of the same files.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.clean import load
from lib.ingest.run import ingest
from lib.inspect.examples import FOLDER, example
from lib.inspect.layouts import layouts
from lib.model import dbt
from lib.settings import load_settings
from lib.warehouse import Warehouse, open_warehouse
from tests.conftest import PROJECT
from tests.small_shop import rows

EXPORTS = PROJECT / "tests" / "exports"

#: By system: orders, of them cancelled or failed, customers, gross, discounts, returns, net, and refunds on orders.
RIGHT: dict[str, tuple[int, int, int, str, str, str, str, str]] = {
    "amazon": (4, 1, 0, "125.90", "5.90", "30.00", "90.00", "0"),
    "ebay": (2, 0, 2, "1052.34", "0", "0", "1052.34", "0"),
    "etsy": (3, 0, 2, "1268.00", "125.00", "0", "1143.00", "0"),
    "magento": (3, 1, 2, "132.00", "5.80", "0", "126.20", "0"),
    "olist": (3, 1, 2, "159.80", "0", "0", "159.80", "0"),
    "online_retail": (3, 1, 2, "53.64", "0", "0", "53.64", "0"),
    "paypal": (2, 0, 2, "1250.00", "0", "20.00", "1230.00", "0"),
    "shopify": (4, 1, 3, "120.00", "5.50", "0", "114.50", "5.00"),
    "square": (2, 0, 1, "1246.00", "3.60", "16.20", "1226.20", "0"),
    "stripe": (3, 0, 2, "1409.90", "0", "0", "1409.90", "30.00"),
    "superstore": (2, 0, 2, "2734.92", "783.47", "0", "1951.48", "0"),
    "woocommerce": (4, 2, 3, "60.00", "5.00", "0", "55.00", "0"),
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
        select count(*), count(*) filter (where state in ('cancelled', 'failed')),
            count(distinct customer_id) filter (where customer_id <> 'unknown'),
            sum(original_gross_amount), sum(original_discount_amount), sum(original_return_amount),
            sum(original_net_amount), sum(original_refund_amount)
        from warehouse.fact_orders where source = ?
        """,
        [source],
    )
    return (*orders[:3], *(round(Decimal(value or 0), 2) for value in orders[3:]))


def right(source: str) -> tuple[Any, ...]:
    return (*RIGHT[source][:3], *(round(Decimal(value), 2) for value in RIGHT[source][3:]))


def test_each_export_comes_out_right_by_its_example(tmp_path, monkeypatch):
    """All in one shop, whose ids are told apart by prefixes: a build takes longer than what it reads."""
    sources: dict[str, Any] = {}
    for layout in layouts():
        monkeypatch.setenv(f"{layout.source.upper()}_DIR", str(EXPORTS / layout.source))
        text = (FOLDER / f"{layout.source}.yml").read_text(encoding="utf-8")
        (source,) = yaml.safe_load(text)["sources"].values()
        prefixes = {c: f"{layout.source}:" for c in ("order_id", "customer_id", "product_id") if layout.kind == "files"}
        sources[layout.source] = {**source, "id_prefixes": prefixes}
    warehouse = built(sources, tmp_path)
    found = {source: figures(warehouse, source) for source in RIGHT}
    assert found == {source: right(source) for source in RIGHT}
