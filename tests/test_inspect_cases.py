"""The real layouts of `../shared/data/exports`: what `inspect` writes of them comes out as their `expected.md` says.

Skipped, visibly, where they are absent. What no data show is given on the command line, as a user would: the zone, the
currency, that amounts are in cents, and the file of exchange rates.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from run_pipeline import app
from tests.conftest import PROJECT
from tests.small_shop import rows
from tests.test_examples import built, prefixed

CASES = (PROJECT / "../shared/data/exports").resolve()

pytestmark = [pytest.mark.skipif(not CASES.is_dir(), reason=f"the export layouts are not at {CASES}")]

#: By case: orders, customers, gross, discounts, returns, net.
TOGETHER: dict[str, tuple[Any, ...]] = {
    "amazon_orders": (4, 0, "167.90", "14.00", "0", "153.90"),
    # A price of -1,000.00 is a credit; three rows are refused, the header and the totals are no rows.
    "german_excel": (4, 3, "2480.96", "0", "1000.00", "1480.96"),
    # What `closed` means no file says: the user's own mapping does.
    "line_ids": (2, 0, "40.00", "0", "0", "40.00"),
    "mixed_dates": (10, 10, "80.00", "0", "0", "80.00"),
    # The customer is one of an order alone; which of several is the person, the mapping can say.
    "olist": (3, 3, "229.99", "0", "0", "229.99"),
    "pure_dates": (4, 3, "150.00", "0", "0", "150.00"),
    "shopify": (4, 3, "109.00", "5.00", "16.00", "88.00"),
    "square_items": (3, 1, "78.00", "3.00", "12.00", "63.00"),
    "superstore": (2, 2, "2734.95", "783.47", "0", "1951.48"),
    "time_formats": (3, 0, "1012.50", "0", "1000.00", "12.50"),
    "weekly_exports": (3, 2, "49.98", "0", "10.00", "39.98"),
    "weekly_exports_plain": (2, 1, "20.00", "0", "10.00", "10.00"),
}


def written(case: str, folder: Path, *options: str, beside: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the sources file that `inspect` writes of a case."""
    file = folder / f"{case}.yml"
    paths = [str(CASES / case / "files"), *(str(CASES / case / name) for name in beside)]
    wishes = ["--currency", "USD", "--time-zone", "America/New_York", *options]
    done = CliRunner().invoke(app, ["inspect", *paths, "-o", str(file), *wishes])
    assert done.exit_code == 0 and "Run it: " in done.output, done.output
    values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return values


def test_files_of_each_case_come_out_as_is_expected_of_them(tmp_path):
    sources = {}
    for case in TOGETHER:
        (source,) = written(case, tmp_path)["sources"].values()
        sources[case] = prefixed(case, source)
    warehouse = built(sources, tmp_path / "all")
    found = rows(
        warehouse,
        """
        select source, count(*), count(distinct customer_id) filter (where customer_id <> 'unknown'),
            sum(original_gross_amount), sum(original_discount_amount), sum(original_return_amount),
            sum(original_net_amount)
        from warehouse.fact_orders group by source
        """,
    )
    figures = {source: (*counts[:2], *(round(value, 2) for value in counts[2:])) for source, *counts in found}
    assert figures == {c: (*f[:2], *(round(Decimal(v), 2) for v in f[2:])) for c, f in TOGETHER.items()}
    months = rows(
        warehouse,
        "select source, month(order_date), cast(sum(net_amount) as decimal(18, 2)) from warehouse.fact_orders"
        " where source in ('mixed_dates', 'pure_dates', 'square_items') group by all order by all",
    )
    expected = {
        "mixed_dates": {1: "60", 2: "20"},
        "pure_dates": {4: "30", 5: "120"},
        "square_items": {8: "36", 9: "27"},
    }
    assert months == [(c, month, Decimal(value)) for c, own in expected.items() for month, value in own.items()]
    refused = "select _source, count(*) from quarantine.order_lines group by all order by all"
    assert rows(warehouse, refused) == [("german_excel", 3), ("time_formats", 1)]


@pytest.mark.parametrize(
    ("case", "options", "beside"),
    [
        ("reused_numbers", ("--currency", "EUR"), ("rates.csv",)),
        pytest.param("orders_only", ("--cents",), (), marks=pytest.mark.soak),
        pytest.param("clickstream_only", (), (), marks=pytest.mark.soak),
    ],
)
def test_a_shop_that_lacks_entities_or_has_several_currencies_comes_out_too(case, options, beside, tmp_path):
    values = written(case, tmp_path, *options, beside=beside)
    warehouse = built(values["sources"], tmp_path / case, shop=values["shop"])
    net = "select count(*), count(distinct customer_id), round(sum(net_amount), 2) from warehouse.fact_orders"
    if case == "reused_numbers":
        assert rows(warehouse, net) == [(5, 5, Decimal("86.65"))]
    elif case == "orders_only":
        assert rows(warehouse, net) == [(3, 2, Decimal("14.00"))]
        assert rows(warehouse, "select count(*), sum(amount) from warehouse.fact_payments") == [(5, Decimal("39.00"))]
    else:
        sessions = "select count(*), sum(checkouts), sum(purchases), sum(purchase_amount) from warehouse.fact_sessions"
        assert rows(warehouse, sessions) == [(2, 1, 1, Decimal("30.00"))]
