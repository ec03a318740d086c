"""Exports as shops have them: the cases beside the project, each with what must come out. Skipped where absent.

A case's `sources.yml` is what its user wrote first; where the mapping must say more, `MENDED` has the keys that do.
"""

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.clean import load
from lib.ingest.run import ingest
from lib.model import dbt
from lib.quality.audit import Audit, audit
from lib.settings import load_settings
from lib.warehouse import Warehouse, open_warehouse
from tests.conftest import PROJECT, soaking
from tests.small_shop import rows

FOLDER = (PROJECT / os.environ.get("EXPORTS_DIR", "../shared/data/exports")).resolve()

pytestmark = [pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the exports are not at {FOLDER}")]

#: What a case's own sources file leaves to be said, laid over it; a key of None is removed.
MENDED: dict[str, dict[str, Any]] = {
    "amazon_orders": {
        "sources": {
            "amazon": {
                "entities": {
                    "order_lines": {
                        "columns": {
                            "unit_price": None,
                            "shipping_amount": None,
                            "tax_amount": None,
                            "line_total": "item-price",
                            "line_shipping_amount": "shipping-price",
                            "line_tax_amount": "item-tax",
                        }
                    }
                }
            }
        }
    },
    "clickstream_only": {"models": {"events": {"order_completed": "purchase", "checkout_step": "checkout"}}},
    "german_excel": {},
    "line_ids": {},
    "mixed_dates": {
        "sources": {
            "shop": {"entities": {"order_lines": {"timestamp_formats": ["%m/%d/%Y", "%m-%d-%y"]}}},
        }
    },
    "olist": {
        # One of three customers is a person who bought before: here that is a third of all rows.
        "quality": {"min_score": 70, "min_dimension": {"uniqueness": 0, "consistency": 0}},
        "sources": {
            "olist": {
                "entities": {
                    "order_items": {"columns": {"shipping_amount": "freight_value"}},
                    "orders": {
                        "columns": {
                            "customer_id": {
                                "lookup": {
                                    "files": "olist_customers_dataset.csv",
                                    "key": "customer_id",
                                    "by": "customer_id",
                                    "value": "customer_unique_id",
                                }
                            }
                        }
                    },
                    "customers": {"columns": {"customer_id": "customer_unique_id"}},
                    "payments": {
                        "columns": {"payment_id": {"sql": "order_id || '-' || payment_sequential"}},
                    },
                }
            }
        },
    },
    "orders_only": {
        "sources": {
            "shop": {
                "entities": {
                    "orders": {"columns": {"total_amount": {"column": "total", "factor": 0.01}}},
                    "payments": {"columns": {"amount": {"column": "amount", "factor": 0.01}}},
                }
            }
        }
    },
    "pure_dates": {},
    "reused_numbers": {
        "shop": {"exchange_rates": "${CASE_DIR}/../rates.csv"},
        "sources": {
            "shop": {
                "entities": {
                    "order_lines": {"columns": {"order_id": {"sql": 'substr("date", 1, 4) || \'-\' || "no"'}}},
                }
            },
            "refunds": {
                "entities": {
                    "order_items": {
                        "columns": {
                            "order_id": {"sql": 'substr("date", 1, 4) || \'-\' || "order"'},
                            "is_return": {"constant": True},
                        }
                    }
                }
            },
        },
    },
    "shopify": {
        "quality": None,
        "models": {"prices_include_tax": False},
        "sources": {
            "shopify": {
                "entities": {
                    "order_lines": {"columns": {"refund_amount": "Refunded Amount", "cancelled_at": "Cancelled at"}}
                }
            }
        },
    },
    "square_items": {
        "sources": {
            "square": {
                "entities": {
                    "order_lines": {
                        "columns": {
                            "ordered_at": {"sql": '"Date" || \' \' || "Time"'},
                            "unit_price": None,
                            "line_total": "Gross Sales",
                            "tax_amount": None,
                            "line_tax_amount": "Tax",
                            "status": None,
                            "is_return": {"sql": "\"Event Type\" = 'Refund'"},
                        }
                    }
                }
            }
        }
    },
    "superstore": {
        "sources": {
            "s": {
                "entities": {
                    "order_lines": {
                        "columns": {
                            "unit_price": None,
                            "discount_amount": None,
                            "line_amount": "Sales",
                            "discount_rate": "Discount",
                            "margin_amount": "Profit",
                        }
                    }
                }
            }
        }
    },
    "time_formats": {},
    "weekly_exports": {},
    "weekly_exports_plain": {},
}

NET = "select sum(net_amount) from warehouse.fact_order_items"
ORDERS = "select count(*) from warehouse.fact_orders"
LINES = "select count(*) from warehouse.fact_order_items"
MONTHS = "select strftime(month, '%Y-%m'), net_amount from analytics.monthly_sales where net_amount <> 0 order by month"


def laid_over(base: Any, changes: Any) -> Any:
    """Return a mapping with another laid over it, key by key; None removes a key."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    kept = {k: laid_over(base[k], v) if k in base else v for k, v in changes.items() if v is not None}
    return {k: v for k, v in base.items() if k not in changes} | kept


@dataclass(frozen=True)
class Ended:
    """A case that was ingested, built and audited in this process."""

    warehouse: Warehouse
    audit: Audit

    @property
    def reasons(self) -> str:
        return "\n".join(self.audit.reasons)


def built(root: Path, case: str, files: Path, *, mended: bool = True) -> Ended:
    """Ingest, build, audit and publish what is new of a case, as its user wrote it or mended."""
    written = yaml.safe_load((FOLDER / case / "sources.yml").read_text(encoding="utf-8"))
    path = root / f"{case}.yml"
    path.write_text(yaml.safe_dump(laid_over(written, MENDED[case]) if mended else written), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASE_DIR", str(files))
        settings = load_settings(sources=path, data_dir=root / "data", output_dir=root / "outputs")
    ingest(settings, "run1").raise_failures()
    warehouse = open_warehouse(settings, "run")
    warehouse.begin()
    load.load_stage(settings, warehouse, "run1")
    dbt.build_models(settings, warehouse, "staging", "clean", "quality", "warehouse", "analytics")
    found = audit(settings, warehouse, "run1")
    warehouse.publish()
    return Ended(open_warehouse(settings), found)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Callable[..., Ended]:
    """Return a function that runs a case once."""

    @functools.cache
    def run(case: str, *, mended: bool = True) -> Ended:
        return built(tmp_path_factory.mktemp(case), case, FOLDER / case / "files", mended=mended)

    return run


def amount(text: str) -> Decimal:
    return Decimal(text)


#: Case -> what is asked of what was published -> the rows that are right.
RIGHT: dict[str, list[tuple[str, list[tuple[Any, ...]]]]] = {
    "amazon_orders": [
        (ORDERS, [(4,)]),
        ("select sum(gross_amount), sum(discount_amount), sum(net_amount) from warehouse.fact_order_items",
         [(amount("167.90"), amount("14.00"), amount("153.90"))]),
        ("select shipping_amount, tax_amount from warehouse.fact_orders where order_id like '%2'",
         [(amount("5.99"), amount("14.82"))]),
        ("select order_id, quantity, net_amount from warehouse.fact_order_items where order_id like '%2'"
         " order by quantity desc, line_number",
         [("112-9739103-0000002", 2, amount("42.00")), ("112-9739103-0000002", 1, amount("16.00")),
          ("112-9739103-0000002", 1, amount("16.00"))]),
        ("select state from clean.orders order by order_id", [("sale",), ("sale",), ("cancelled",), ("pending",)]),
        ("select count(*) from clean.products where name like '%Große Tasse, 2er Set'", [(1,)]),
    ],
    "clickstream_only": [
        ("select count(*), sum(purchases), sum(checkouts) from warehouse.fact_sessions", [(2, 1, 1)]),
        ("select sum(value) from clean.events where event_type = 'order_completed'", [(amount("30.00"),)]),
    ],
    "line_ids": [
        (ORDERS, [(2,)]),
        ("select count(*), sum(gross_amount), sum(net_amount) from warehouse.fact_order_items",
         [(4, amount("40.00"), amount("20.00"))]),
        ("select line_id from warehouse.fact_order_items order by line_id",
         [("14112358400001",), ("14112358400002",), ("3000000000",), ("gid://shopify/LineItem/2",)]),
        ("select order_id, status from clean.orders order by 1", [("A1", "refunded"), ("A2", "shipped")]),
    ],
    "mixed_dates": [(ORDERS, [(10,)]), (MONTHS, [("2026-01", amount("60.00")), ("2026-02", amount("20.00"))])],
    "olist": [
        ("select order_id, sum(amount), count(*) from warehouse.fact_payments group by 1 order by 1",
         [("o1", amount("38.71"), 4), ("o2", amount("220.00"), 1)]),
        (NET, [(amount("229.99"),)]),
        ("select sum(shipping_amount) from warehouse.fact_orders", [(amount("28.72"),)]),
        (ORDERS, [(3,)]),
        ("select count(*) from warehouse.dim_customers where not is_unknown", [(2,)]),
    ],
    "orders_only": [
        ("select count(*), count(distinct customer_id), sum(gross_amount), sum(return_amount), sum(net_amount)"
         " from warehouse.fact_orders", [(3, 2, amount("39.00"), amount("25.00"), amount("14.00"))]),
        (MONTHS, [("2026-01", amount("10.00")), ("2026-02", amount("4.00"))]),
        ("select count(*), sum(amount) from warehouse.fact_payments", [(5, amount("39.00"))]),
        ("select count(*) from warehouse.dim_customers where not is_unknown", [(2,)]),
    ],
    "pure_dates": [
        (MONTHS, [("2026-04", amount("30.00")), ("2026-05", amount("120.00"))]),
        ("select order_id, cast(order_date as varchar) from warehouse.fact_orders order by 1",
         [("1", "2026-04-01"), ("2", "2026-04-30"), ("3", "2026-05-01"), ("4", "2026-05-31")]),
    ],
    "reused_numbers": [
        (ORDERS, [(5,)]),
        (NET, [(amount("86.65"),)]),
        ("select count(distinct customer_id) from warehouse.fact_orders", [(5,)]),
    ],
    "shopify": [
        (ORDERS, [(4,)]),
        (LINES, [(5,)]),
        (NET, [(amount("88.00"),)]),
        ("select order_id, net_amount, shipping_amount, tax_amount, total_amount from warehouse.fact_orders"
         " where order_id = '#1001'",
         [("#1001", amount("47.00"), amount("6.00"), amount("3.29"), amount("56.29"))]),
        ("select net_amount from warehouse.fact_orders where order_id in ('#1002', '#1003') order by order_id",
         [(amount("25.00"),), (amount("0.00"),)]),
        ("select order_type from warehouse.fact_orders where order_id = '#1003'", [("cancellation",)]),
        ("select products.name from warehouse.fact_order_items as items join warehouse.dim_products as products"
         " using (product_key) where items.order_id = '#1002'", [("Speckled Mug",)]),
        ("select sum(refund_amount) from warehouse.fact_orders", [(amount("4.00"),)]),
        ("select city, postal_code, country from clean.customers where email = 'ada@example.com'",
         [("Testville", "00501", "US")]),
    ],
    "square_items": [
        (NET, [(amount("63.00"),)]),
        (MONTHS, [("2026-08", amount("36.00")), ("2026-09", amount("27.00"))]),
        ("select sum(discount_amount), sum(return_amount) from warehouse.fact_order_items",
         [(amount("3.00"), amount("12.00"))]),
        ("select order_hour from warehouse.fact_orders where order_id = 'SQA1x'", [(22,)]),
    ],
    "superstore": [
        (ORDERS, [(2,)]),
        ("select count(*), sum(quantity), round(sum(net_amount), 2), round(sum(margin_amount), 2)"
         " from warehouse.fact_order_items", [(3, 10, amount("1951.48"), amount("-121.54"))]),
    ],
    "weekly_exports": [
        (ORDERS, [(3,)]),
        (LINES, [(4,)]),
        ("select sum(net_amount), sum(return_amount) from warehouse.fact_order_items",
         [(amount("39.98"), amount("10.00"))]),
        ("select status from clean.orders order by order_id", [("paid",), ("refunded",), ("paid",)]),
    ],
    "weekly_exports_plain": [(ORDERS, [(2,)]), (LINES, [(2,)]), (NET, [(amount("10.00"),)])],
}  # fmt: skip


#: Of each kind of case one; tests/test_inspect_cases.py has all of them, as `inspect` maps them.
_QUICK = ("amazon_orders", "olist", "orders_only", "reused_numbers", "shopify", "square_items", "weekly_exports")


@pytest.mark.parametrize("case", soaking(RIGHT, _QUICK))
def test_a_case_comes_out_right(ran, case):
    ended = ran(case)
    assert not ended.reasons
    for sql, right in RIGHT[case]:
        assert rows(ended.warehouse, sql) == right, sql


def test_damage_of_a_spreadsheet_is_refused_with_its_reason_and_the_rest_is_right(ran):
    ended = ran("german_excel")
    orders = "select order_id, strftime(ordered_at, '%Y-%m-%d %H:%M'), net_amount from warehouse.fact_orders order by 1"
    # Berlin is two hours ahead of UTC. The credit of 4712 is no sale.
    assert rows(ended.warehouse, orders) == [
        ("4711", "2026-09-03 12:05", amount("2469.00")),
        ("4712", "2026-09-03 12:06", amount("-1000.00")),
        ("4715", "2026-09-05 08:00", amount("8.97")),
        ("4716", "2026-09-05 08:10", amount("2.99")),
    ]
    refused = "select _source_row, _rule, _reason from quarantine.order_lines order by 1"
    found = rows(ended.warehouse, refused)
    assert [rule for _, rule, _ in found] == ["damaged_id", "damaged_id", "missing_unit_price"]
    assert "4,711E+12" in found[0][2]
    left_out = "select sum(left_out_rows) from quality.row_accounting"
    assert rows(ended.warehouse, left_out) == [(2,)]
    # Three of seven lines are refused, which is more than a tenth: the run is too.
    assert "3 of 7 order lines" in ended.reasons


def test_a_number_in_another_form_is_refused_and_never_a_hundred_times_as_large(ran):
    ended = ran("time_formats")
    orders = "select order_id, strftime(ordered_at, '%Y-%m-%d %H:%M'), net_amount from warehouse.fact_orders order by 1"
    assert rows(ended.warehouse, orders) == [
        ("A1", "2026-09-03 12:05", amount("1000.00")),
        ("A2", "2026-09-03 12:06", amount("-1000.00")),
        ("A3", "2026-09-03 12:05", amount("12.50")),
    ]
    ((reason,),) = rows(ended.warehouse, "select _reason from quarantine.order_lines")
    assert "12.50" in reason


def test_dates_that_cannot_be_told_apart_refuse_the_run_and_name_the_key(ran):
    ended = ran("mixed_dates", mended=False)
    assert "timestamp_formats" in ended.reasons


def test_a_number_used_again_each_year_is_refused_with_the_key_that_mends_it(ran):
    ended = ran("reused_numbers", mended=False)
    assert "reused_order_number" in ended.reasons
    reasons = rows(ended.warehouse, "select distinct _reason from quarantine.order_lines")
    assert reasons and all("order_id" in reason for (reason,) in reasons)


def test_amounts_in_several_currencies_are_not_summed_without_rates(tmp_path, monkeypatch):
    monkeypatch.setitem(MENDED, "reused_numbers", MENDED["reused_numbers"] | {"shop": {}})
    ended = built(tmp_path, "reused_numbers", FOLDER / "reused_numbers" / "files")
    for currency in ("EUR", "JPY", "USD", "exchange_rates"):
        assert currency in ended.reasons
    assert rows(ended.warehouse, NET) == [(amount("40.00"),)]


@pytest.mark.parametrize("last", soaking(["", "orders_export_1.csv", "orders_export_3.csv"], ["orders_export_3.csv"]))
def test_weekly_exports_give_the_same_however_they_come(tmp_path, last):
    """One after the other; then the first again at the end, under its name or another."""
    folder = tmp_path / "files"
    folder.mkdir()
    exports = FOLDER / "weekly_exports" / "files"
    names = {"orders_export_1.csv": "orders_export_1.csv", "orders_export_2.csv": "orders_export_2.csv"}
    names |= {last: "orders_export_1.csv"} if last else {}
    for name in [*names, last] if last in names else names:
        if name:
            shutil.copy(exports / names[name], folder / name)
            ended = built(tmp_path, "weekly_exports", folder)
    for sql, right in RIGHT["weekly_exports"]:
        assert rows(ended.warehouse, sql) == right, sql
