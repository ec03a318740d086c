"""What an order is: which statement of it counts, whole, which lines are one line, and which numbers stand for two."""

from pathlib import Path

import pytest

from lib.warehouse import Warehouse
from tests.small_shop import SmallShop, assert_same_tables, contents, csv, one, rows

LINES = "order_id,ordered_at,customer_id,status,channel,total_amount,product_id,product_name,quantity,unit_price"

#: Two weekly exports that overlap. Orders by what the second one states of them.
FIRST = csv(
    LINES,
    "refunded,2024-05-01T10:00:00Z,ann,paid,web,10,MUG,Mug,1,10",
    "shorter,2024-05-01T11:00:00Z,ann,paid,web,30,MUG,Mug,1,10",
    "shorter,2024-05-01T11:00:00Z,ann,paid,web,30,TEE,Tee,1,20",
    "gone,2024-05-01T12:00:00Z,bob,paid,web,10,MUG,Mug,1,10",
    "corrected,2024-05-01T13:00:00Z,bob,paid,web,10,MUG,Mug,1,10",
    "blank,2024-05-01T14:00:00Z,bob,paid,store,10,MUG,Mug,1,10",
    "came back,2024-05-01T15:00:00Z,bob,paid,web,10,MUG,Mug,1,10",
    "same,2024-05-01T16:00:00Z,ann,paid,web,20,TEE,Tee,1,20",
)
SECOND = csv(
    LINES,
    "refunded,2024-05-01T10:00:00Z,ann,refunded,web,10,MUG,Mug,1,10",
    "shorter,2024-05-01T11:00:00Z,ann,paid,web,20,TEE,Tee,1,20",
    "corrected,2024-05-01T13:00:00Z,ann,paid,web,10,MUG,Mug,1,10",
    "blank,2024-05-01T14:00:00Z,,paid,,,MUG,Mug,1,10",
    "came back,2024-05-08T15:00:00Z,bob,refunded,web,,MUG,Mug,-1,10",
    "same,2024-05-01T16:00:00Z,ann,paid,web,20,TEE,Tee,1,20",
    "new,2024-05-07T10:00:00Z,cid,paid,web,10,MUG,Mug,1,10",
)
#: Neither states a time that the other does not.
PLAIN = csv(LINES, "refunded,2024-05-01T10:00:00Z,ann,pending,,,MUG,Mug,1,10", "x,2024-05-02,ann,paid,,,MUG,Mug,1,10")
PLAIN_LATER = PLAIN.replace("pending", "refunded")

STATED = [
    ("blank", "bob", "paid", "store", 1, 10),
    ("came back", "bob", "paid", "web", 2, 0),
    ("corrected", "ann", "paid", "web", 1, 10),
    ("gone", "bob", "paid", "web", 1, 10),
    ("new", "cid", "paid", "web", 1, 10),
    ("refunded", "ann", "refunded", "web", 1, 0),
    ("same", "ann", "paid", "web", 1, 20),
    ("shorter", "ann", "paid", "web", 1, 20),
]


def flat(root: Path, **options: object) -> SmallShop:
    return SmallShop(root, {"order_lines": options}, shop={"time_zone": "UTC"})


def stated(warehouse: Warehouse) -> list[tuple]:
    return rows(
        warehouse,
        "select order_id, customer_id, status, channel, line_count, net_amount from warehouse.fact_orders order by 1",
    )


def unaccounted(warehouse: Warehouse) -> int:
    return one(warehouse, "select coalesce(sum(abs(unaccounted_rows)), 0) from quality.row_accounting")


@pytest.mark.parametrize(
    "deliveries",
    [
        pytest.param([{"week_1": FIRST, "week_2": SECOND}], id="both at once"),
        pytest.param([{"week_1": FIRST}, {"week_2": SECOND}], id="one after the other"),
        pytest.param([{"week_2": SECOND}, {"week_1": FIRST}], id="the older one later"),
        pytest.param([{"week_1": FIRST, "week_2": SECOND}, {"week_1": FIRST}], id="the first again"),
        pytest.param([{"week_1": FIRST, "week_2": SECOND}, {"week_3": FIRST}], id="the first again by another name"),
    ],
)
def test_an_orders_newest_statement_counts_whole_whatever_comes_when(tmp_path, deliveries):
    shop = flat(tmp_path)
    for delivery in deliveries:
        for name, content in delivery.items():
            shop.write(f"order_lines/{name}.csv", content)
        warehouse = shop.build(publish=True)
    assert stated(warehouse) == STATED
    assert unaccounted(warehouse) == 0
    found = contents(warehouse)
    assert_same_tables(found, contents(shop.build(full_refresh=True)))


def test_where_documents_state_the_same_times_their_names_decide(tmp_path):
    """Numbers in names are numbers, and one statement under several names has the first of them."""
    shop = flat(tmp_path)
    shop.write("order_lines/week_9.csv", PLAIN)
    shop.write("order_lines/week_10.csv", PLAIN_LATER)
    shop.write("order_lines/week_11.csv", PLAIN)
    warehouse = shop.build()
    assert one(warehouse, "select status from clean.orders where order_id = 'refunded'") == "refunded"
    assert rows(
        warehouse,
        "select _source_file, rule, reason from ops.dispositions_order_lines where row_key like 'ref%' order by 1",
    ) == [
        (f"order_lines/week_{week}.csv", "restated", "order refunded is stated anew in order_lines/week_10.csv")
        for week in (11, 9)
    ]
