"""Names and values that would harm a careless program are harmless text, or one clear error, on both engines."""

from dataclasses import replace
from pathlib import Path

import pytest

from lib.base.errors import WarehouseError
from lib.quality.audit import failing_rows
from lib.report import pieces
from tests.small_shop import SmallShop, csv

DROP = '"; drop table stage.products; --'
LONG = "n" * 80
#: What COPY, CSV, SQL and HTML each take for more than text.
NAMES = [
    "<script>alert('x')</script>",
    "Robert'); drop table stage.products; --",
    "back\\slash and \\N and \\.",
    "\\.",
    'a "quoted" name, with commas',
    "two\nlines",
    "{{ ref('orders') }} ${HOME} %s %(x)s ?",
    "\U0001f9e6 ÄÖÜ ß İ",
    "x" * 10_000,
]


def quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def shops(tmp_path_factory, new_database) -> dict[str, SmallShop]:
    """The same hostile exports, loaded and built on both engines."""
    patch = pytest.MonkeyPatch()
    patch.setenv("WAREHOUSE_URL", new_database())
    shop = SmallShop(
        tmp_path_factory.mktemp("hostile"),
        entities={
            "products": {"columns": {"product_id": LONG, "name": DROP, "category": "select"}},
            "orders": {},
            "order_items": {},
        },
    )
    rows = [f"p{n},{quote(name)},{quote(name)}" for n, name in enumerate(NAMES)]
    rows += ["p-nul,nul\0in the middle,x", 'p-empty,"",']
    shop.write('products/it\'s 100% "fine"; --.csv', csv(f"{LONG},{quote(DROP)},select", *rows))
    # A lone surrogate is no UTF-8: the file is read as Windows-1252, where its three bytes are letters.
    shop.write(
        "products/2.csv", csv(f"{LONG},{quote(DROP)},select", "p-surrogate,X,x").encode().replace(b"X", b"\xed\xa0\x80")
    )
    orders = [f"o{n},2025-01-01,{quote(name)}" for n, name in enumerate(NAMES)]
    shop.write("orders/1.csv", csv("order_id,ordered_at,status", *orders))
    items = [f"o{n},1,p{n},1,10" for n in range(len(NAMES))]
    shop.write("order_items/1.csv", csv("order_id,line_number,product_id,quantity,unit_price", *items))
    server = replace(shop, config={"warehouse": {"memory_limit": "1GB", "threads": 2, "target": "postgres"}})
    found = {"duckdb": shop, "postgres": server}
    for one in found.values():
        one.warehouse = one.build()
    yield found
    patch.undo()


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request, shops) -> SmallShop:
    return shops[request.param]


def test_hostile_text_arrives_as_it_was_written(shop):
    found = shop.warehouse.query("select product_id, name from clean.products order by product_id")
    names = dict(zip(found["product_id"], found["name"], strict=True))
    assert [names[f"p{n}"] for n in range(len(NAMES))] == NAMES
    assert names["p-nul"] == "nulin the middle" and names["p-empty"] != names["p-empty"]
    assert names["p-surrogate"] == "\xed\xa0\u20ac".strip("\xa0") or "\u20ac" in names["p-surrogate"]


def test_hostile_file_names_are_kept_as_text(shop):
    files = shop.warehouse.query("select distinct _source_file as file from stage.products order by 1")["file"]
    assert [Path(f).name for f in files] == ["2.csv", 'it\'s 100% "fine"; --.csv']


def test_both_engines_make_the_same_of_it(shops):
    sql = "select order_id, status, is_cancelled from clean.orders order by order_id"
    one, other = (shops[e].warehouse.query(sql) for e in ("duckdb", "postgres"))
    assert one.to_dict("list") == other.to_dict("list")
    sql = "select product_id, name, category, revenue_rank from analytics.product_summary order by product_id"
    one, other = (shops[e].warehouse.query(sql) for e in ("duckdb", "postgres"))
    assert one.to_dict("list") == other.to_dict("list") and len(one) == len(NAMES)


def test_a_report_shows_hostile_text_as_text(shop):
    names = shop.warehouse.query("select name, category from analytics.product_summary")
    page = pieces.table(names, "Products").html
    assert "<script>" not in page and "&lt;script&gt;alert" in page


def test_checks_and_their_failing_rows_survive_hostile_text(shop):
    audit = shop.audit(shop.warehouse)
    assert "broken" not in set(audit.checks["state"])
    for name in audit.failing_sql:
        assert len(failing_rows(shop.warehouse, audit, name)) > 0


@pytest.mark.parametrize("value", ["'; drop table stage.orders; --", "%s", "?", "nul\0", "\ud800"])
def test_a_value_of_a_query_is_bound_or_refused_with_a_clear_error(shop, value):
    try:
        found = shop.warehouse.query(
            "select count(*) as n from stage.orders where order_id = ? and '?%' = '?%'", [value]
        )
        assert found["n"].tolist() == [0]
    except WarehouseError as error:
        assert "\0" in value or "\ud800" in value, error
    assert shop.warehouse.query("select count(*) as n from stage.orders")["n"].tolist() == [len(NAMES)]


def test_an_identifier_that_is_too_long_or_unknown_is_one_clear_error(shop):
    with pytest.raises(WarehouseError, match="The query failed"):
        shop.warehouse.query(f'select "{LONG}" from clean.orders')
    with pytest.raises(WarehouseError, match="The query failed"):
        shop.warehouse.query(f'select * from clean."{DROP.replace(chr(34), chr(34) * 2)}"')
