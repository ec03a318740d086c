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


def test_files_of_other_orders_add_up_and_pieces_of_an_order_do_where_the_mapping_says_so(tmp_path):
    pieces = [csv(LINES, f"tab,2024-05-01T1{hour}:00:00Z,,paid,store,,MUG,Mug,1,{hour}.50") for hour in (1, 2)]
    for mode, expected in (("append", [("tab", 2, 4)]), ("restate", [("tab", 1, 2.5)])):
        shop = flat(tmp_path / mode, mode=mode)
        for number, piece in enumerate(pieces):
            shop.write(f"order_lines/{number}.csv", piece)
        shop.write("order_lines/2023.csv", csv(LINES, "old,2023-05-01,,paid,store,,MUG,Mug,1,7"))
        warehouse = shop.build()
        found = rows(warehouse, "select order_id, line_count, net_amount from warehouse.fact_orders order by 1")
        assert found == [("old", 1, 7), *expected]


def test_an_order_that_two_files_of_an_export_cut_counts_whole_where_its_total_says_so(tmp_path):
    shop = flat(tmp_path)
    for part, product in enumerate(("MUG", "TEE"), 1):
        lines = (
            f"{order},2024-05-01,,paid,web,{total},{product},,1,10" for order, total in (("cut", 20), ("whole", 10))
        )
        shop.write(f"order_lines/part_{part}.csv", csv(LINES, *lines))
    warehouse = shop.build()
    assert rows(warehouse, "select order_id, line_count, net_amount from warehouse.fact_orders order by 1") == [
        ("cut", 2, 20),
        ("whole", 1, 10),
    ]


ITEMS = "order_id,product_id,quantity,unit_price,discount_amount,updated_at"
ORDERS = "order_id,ordered_at,status,total_amount,shipping_amount,tax_amount,discount_amount"


@pytest.fixture(scope="module", params=["keep", "merge"])
def repeated(request, tmp_path_factory) -> tuple[str, Warehouse]:
    """Orders with two equal lines: as lines of their own, and in a flat export."""
    shop = SmallShop(
        tmp_path_factory.mktemp(request.param),
        {
            "orders": {},
            "order_items": {"equal_lines": request.param},
            "order_lines": {"equal_lines": request.param},
            "payments": {"equal_lines": request.param},
            "events": {"equal_lines": request.param},
        },
    )
    shop.write(
        "orders/1.csv",
        csv(
            ORDERS,
            "untold,2024-05-01,paid,,,,",
            "two,2024-05-01,paid,25,5,,",
            "one,2024-05-01,paid,15,5,,",
            "taxed,2024-05-01,paid,21.40,,1.40,",
            "reduced,2024-05-01,paid,8,,,2",
            "neither,2024-05-01,paid,99,,,",
        ),
    )
    lines = [f"{order},MUG,1,10,,2024-05-01" for order in ("untold", "two", "one", "taxed", "reduced", "neither")]
    # Of two that differ in the time of their change alone, the newer one is the line.
    shop.write(
        "order_items/1.csv", csv(ITEMS, *lines, *lines, "untold,TEE,1,1,,2024-05-01", "untold,TEE,1,1,,2024-05-02")
    )
    flat_lines = "flat {},2024-05-01,ann,paid,web,{},MUG,Mug,1,10"
    flat_lines = [flat_lines.format(*order) for order in (("untold", ""), ("two", 20), ("one", 10))]
    shop.write("order_lines/1.csv", csv(LINES, *flat_lines, *flat_lines))
    # What is equal to the lines of another file is the same delivered again.
    shop.write("order_lines/2.csv", csv(LINES, *flat_lines, *flat_lines))
    shop.write("payments/1.csv", csv("order_id,method,amount", "two,card,12.50", "two,card,12.50"))
    event = "2024-05-01T10:00:00Z,page_view,ann"
    shop.write("events/1.csv", csv("event_at,event_type,visitor_id", event, event))
    return request.param, shop.build()


def test_an_orders_total_decides_whether_equal_lines_are_one_else_the_mapping_does(repeated):
    setting, warehouse = repeated
    open_ones = 2 if setting == "keep" else 1
    expected = {"two": 2, "one": 1, "taxed": 2, "reduced": 1, "neither": open_ones, "untold": open_ones + 1}
    expected |= {"flat two": 2, "flat one": 1, "flat untold": open_ones}
    assert dict(rows(warehouse, "select order_id, count(*) from clean.order_items group by 1")) == expected
    assert unaccounted(warehouse) == 0
    reasons = rows(
        warehouse, "select distinct reason from ops.dispositions_order_items where row_key like 'one|%' order by 1"
    )
    assert reasons == [("same content as order_items/1.csv row 9, and the order's total is without it",)]


def test_what_hangs_on_equal_lines_is_counted(repeated):
    setting, warehouse = repeated
    found = rows(
        warehouse,
        "select entity, outcome, decided_by, count(*), sum(amount) from ops.equal_lines group by 1, 2, 3 order by all",
    )
    outcome = {"keep": "kept", "merge": "merged"}[setting]
    expected = [
        ("order_items", "kept", "the order's total", 2, 20),
        ("order_items", "merged", "the order's total", 2, 20),
    ]
    expected += [
        ("order_lines", "kept", "the order's total", 1, 10),
        ("order_lines", "merged", "the order's total", 1, 10),
    ]
    expected += [("order_items", outcome, "the mapping", 2, 20), ("order_lines", outcome, "the mapping", 1, 10)]
    assert found == sorted(expected)


def test_equal_payments_and_events_without_an_id_are_told_apart(repeated):
    setting, warehouse = repeated
    count = 2 if setting == "keep" else 1
    assert one(warehouse, "select count(*) from clean.payments") == count
    assert one(warehouse, "select count(*) from clean.events") == count


@pytest.fixture(scope="module")
def reused(tmp_path_factory) -> Warehouse:
    """Numbers that are used again, and what looks like it."""
    root = tmp_path_factory.mktemp("reused")
    web = {"kind": "files", "path": str(root / "web"), "entities": {"orders": {"files": "*"}}}
    shop = SmallShop(root, {"order_lines": {}, "order_items": {}}, shop={"time_zone": "UTC"})
    shop.config = {"sources": {"web": web, "exports": web | {
        "path": str(root / "exports"),
        "entities": {"order_lines": {"files": "order_lines/*"}, "payments": {"files": "payments/*"}},
    }}}  # fmt: skip
    shop.write(
        "order_lines/2023.csv",
        csv(
            LINES,
            "again,2023-01-03,,paid,,,MUG,Mug,1,10",
            "others,2023-01-03T10:00:00Z,ann,paid,,,MUG,Mug,1,10",
            "others,2023-01-03T10:00:00Z,BOB,paid,,,MUG,Mug,1,10",
            "customers,2023-01-03,ann,paid,,,MUG,Mug,1,10",
            "refund,2023-01-03,ann,paid,,,MUG,Mug,1,10",
            "refund,2023-03-03,ann,refunded,,,MUG,Mug,-1,10",
            "shops,2023-01-03,ann,paid,,,MUG,Mug,1,10",
            "long,2023-01-03T10:00:00Z,ann,paid,,,MUG,Mug,1,10",
            "weekly,2023-01-03T10:00:00Z,,paid,,,MUG,Mug,1,10",
            "daily,2023-01-03,,paid,,,MUG,Mug,1,10",
            "daily,2023-01-05,,paid,,,TEE,Tee,1,20",
            "late,2023-01-03,ann,paid,,,MUG,Mug,1,10",
        ),
    )
    shop.write(
        "order_lines/2024.csv",
        csv(
            LINES,
            "again,2024-01-02,,paid,,,MUG,Mug,3,10",
            "customers,2023-01-05,cid,paid,,,MUG,Mug,1,10",
            "long,2023-01-04T10:00:00Z,ann,paid,,,MUG,Mug,1,10",
            "weekly,2023-01-04T10:00:01Z,,paid,,,TEE,Tee,1,20",
            "late,2024-01-03,ann,refunded,,,MUG,Mug,1,10",
        ),
    )
    shop.write("payments/1.csv", csv("payment_id,order_id,method,amount", "p,again,card,10"))
    (root / "web").mkdir()
    (root / "web" / "orders.csv").write_text(
        csv("order_id,ordered_at,customer_id", "shops,2023-01-20,zoe", "twice,2023-01-01,ann", "twice,2023-05-01,ann")
    )
    return shop.build()


def test_a_number_that_stands_for_two_orders_is_refused_with_the_key_that_mends_it(reused):
    found = rows(
        reused, "select order_id, _rule, count(*), min(_reason) from quarantine.order_lines group by 1, 2 order by 1"
    )
    assert [(order, rule, count) for order, rule, count, _ in found] == [
        ("again", "reused_order_number", 2),
        ("customers", "reused_order_number", 2),
        ("daily", "reused_order_number", 2),
        ("late", "reused_order_number", 2),
        ("others", "reused_order_number", 2),
        ("shops", "reused_order_number", 1),
        ("weekly", "reused_order_number", 2),
    ]
    assert found[0][3] == (
        "order number again stands for two orders: 2023-01-03 (order_lines/2023.csv row 1) and 2024-01-02"
        " (order_lines/2024.csv row 1). Tell them apart in the mapping, with the year or day in the number, as"
        " order_id: {sql: ...}, or with id_prefixes; where one of them came back, is_return says so"
    )
    assert " of customer ann (" in found[4][3] and " of customer bob (" in found[4][3]
    assert rows(reused, "select distinct order_id, _rule from quarantine.orders order by 1") == [
        ("shops", "reused_order_number"),
        ("twice", "reused_order_number"),
    ]
    assert rows(reused, "select _rule, _reason from quarantine.payments") == [
        ("order_in_quarantine", "order again is in quarantine: reused_order_number")
    ]
    assert rows(reused, "select order_id, net_amount from warehouse.fact_orders order by 1") == [
        ("long", 10),
        ("refund", 0),
    ]
    assert unaccounted(reused) == 0


def test_lines_without_a_price_wait_with_their_order_and_are_refused_where_it_was_sold(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}, "order_items": {}, "order_lines": {}})
    shop.write(
        "orders/1.csv",
        csv(
            "order_id,ordered_at,status,cancelled_at",
            *(f"{s},2024-05-01,{s}," for s in ("Canceled", "wc-pending", "sold")),
        )
        + "voided,2024-05-01,paid,2024-05-02\n",
    )
    lines = ("Canceled", "wc-pending", "sold", "voided")
    shop.write("order_items/1.csv", csv("order_id,product_id,quantity,unit_price", *(f"{o},MUG,1," for o in lines)))
    flat_lines = [
        f"flat {status},2024-05-01,ann,{status},,,MUG,Mug,1," for status in ("Cancelled", "Unpaid", "Shipped")
    ]
    shop.write("order_lines/1.csv", csv(LINES, *flat_lines))
    warehouse = shop.build()
    for entity, sold in (("order_items", "sold"), ("order_lines", "flat Shipped")):
        assert rows(warehouse, f"select order_id, _rule, _reason from quarantine.{entity}") == [
            (sold, "missing_unit_price", "unit_price is missing, and so are line_total and line_amount")
        ]
    assert rows(
        warehouse, "select order_id, order_type, net_amount from warehouse.fact_orders where line_count = 1 order by 1"
    ) == [
        ("Canceled", "cancellation", 0),
        ("flat Cancelled", "cancellation", 0),
        ("flat Unpaid", "pending", 0),
        ("voided", "cancellation", 0),
        ("wc-pending", "pending", 0),
    ]  # fmt: skip


def test_a_name_is_the_most_frequent_one_and_a_blank_overwrites_nothing(tmp_path):
    header = LINES + ",product_category,customer_city,customer_email"
    shop = flat(tmp_path)
    shop.write(
        "order_lines/1.csv",
        csv(
            header,
            "1,2024-05-01,ann,paid,web,,MUG,Mug,1,10,Cups,Testville,ann@example.com",
            "2,2024-05-02,ann,paid,,,MUG,Mug,1,10,Cups,,ann@example.org",
            "2,2024-05-02,ann,,,,MUG,thrown away,-1,0,Waste,,",
            "2,2024-05-02,ann,,,,MUG,thrown away,-2,0,Waste,,",
            "2,2024-05-02,ann,,,,MUG,thrown away,-3,0,Waste,,",
            "2,2024-05-02,,,,,,Gift box,1,4,,,",
        ),
    )
    warehouse = shop.build()
    assert rows(warehouse, "select product_id, name, category from clean.products order by 1") == [
        ("MUG", "Mug", "Cups"),
        ("unknown: Gift box", "Gift box", None),
    ]
    assert rows(warehouse, "select customer_id, city, email from clean.customers") == [
        ("ann", "Testville", "ann@example.org")
    ]
    assert rows(warehouse, "select order_id, customer_id, status from clean.orders order by 1") == [
        ("1", "ann", "paid"),
        ("2", "ann", "paid"),
    ]


def test_words_of_a_shop_say_what_its_statuses_and_events_mean_and_those_of_nobody_are_listed(tmp_path):
    models = {
        "statuses": {"Abgeholt": "sale", "in Klärung": "pending", "Paid": "returned"},
        "events": {"Kasse": "checkout"},
    }
    shop = SmallShop(tmp_path, {"orders": {}, "events": {}}, config={"models": models})
    statuses = ["Abgeholt", "in klärung", "PAID", "unavailable", "unavailable", "Return pending", ""]
    shop.write(
        "orders/1.csv",
        csv("order_id,ordered_at,status,total_amount", *(f"{n},2024-05-01,{s},10" for n, s in enumerate(statuses))),
    )
    events = ["Kasse", "page_ping", "page_ping", "order completed"]
    shop.write("events/1.csv", csv("event_at,event_type,visitor_id", *(f"2024-05-01,{e},ann" for e in events)))
    warehouse = shop.build()
    assert [s for (s,) in rows(warehouse, "select state from clean.orders order by order_id")] == [
        "sale", "pending", "returned", "unclear", "unclear", "unclear", "sale",
    ]  # fmt: skip
    assert rows(warehouse, "select kind, word, source, rows, amount from quality.unclear_words order by 1, 2") == [
        ("event", "page_ping", "exports", 2, None),
        ("status", "return pending", "exports", 1, 10),
        ("status", "unavailable", "exports", 2, 20),
    ]
    assert one(warehouse, "select checkouts + purchases from warehouse.fact_sessions") == 2


NAMED_ITEMS = "order_id,product_id,product_name,quantity,unit_price"


@pytest.mark.parametrize("catalogue", [False, True], ids=["no products delivered", "some products delivered"])
def test_order_items_name_products_that_no_source_delivers_and_an_increment_is_a_full_refresh(tmp_path, catalogue):
    entities = {entity: {} for entity in ("orders", "order_items", *(["products"] if catalogue else []))}
    shops = [SmallShop(tmp_path / name, entities) for name in ("one", "two")]
    files = {
        "orders/1.csv": csv("order_id,ordered_at,status", *(f"{n},2024-05-0{n},paid" for n in range(1, 5))),
        "order_items/1.csv": csv(NAMED_ITEMS, "1,TEE,,1,20", "1,MUG,Mug,1,10", "1,CUP,A cup,1,10"),
    }
    if catalogue:
        files["products/1.csv"] = csv("product_id,name", "CUP,Cup")
    later = {
        "order_items/2.csv": csv(
            NAMED_ITEMS, "2,TEE,Tee,1,20", "2,MUG,damaged,1,0", "3,MUG,damaged,1,0", "4,,Gift box,1,4"
        ),
    }
    for name, content in files.items():
        for shop in shops:
            shop.write(name, content)
    shops[0].build(publish=True)
    for name, content in later.items():
        for shop in shops:
            shop.write(name, content)
    warehouse = shops[0].build(publish=True)
    assert rows(warehouse, "select product_id, name from clean.products order by 1") == [
        ("CUP", "Cup" if catalogue else "A cup"),
        ("MUG", "Mug"),
        ("TEE", "Tee"),
        ("unknown: Gift box", "Gift box"),
    ]
    facts = "select order_id, product_id, product_key, net_amount from warehouse.fact_order_items order by 1, 2, 4"
    assert rows(warehouse, facts) == rows(shops[1].build(), facts)
    assert one(warehouse, "select count(*) from warehouse.fact_order_items where product_key = 'unknown'") == 0
    for shop in shops:  # a corrected file takes the name back: TEE is known still where nobody delivers products
        shop.write("order_items/2.csv", csv(NAMED_ITEMS, "3,MUG,Mug,1,10"))
    warehouse = shops[0].build(publish=True)
    assert rows(warehouse, facts) == rows(shops[1].build(full_refresh=True), facts)
    assert one(warehouse, "select count(*) from clean.products where product_id = 'TEE'") == (0 if catalogue else 1)


def test_a_till_that_numbers_orders_anew_each_day_is_refused_with_the_key_that_tells_them_apart(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}})
    for week in (1, 2):
        days = range(7 * week, 7 * week + 4)
        numbers = [f"{n},2024-01-{day:02d} 1{n}:00,{day}" for day in days for n in (1, 2)]
        shop.write(f"orders/{week}.csv", csv("order_id,ordered_at,total_amount", *numbers))
    warehouse = shop.build()
    assert rows(warehouse, "select distinct _rule from quarantine.orders") == [("reused_order_number",)]
    audit = shop.audit(warehouse)
    assert not audit.passed
    assert "`columns.order_id` must tell orders apart" in audit.reasons[0]
    assert "line_number" not in " ".join(audit.reasons)


@pytest.mark.parametrize("entity", ["order_lines", "order_items"])
def test_lines_that_a_newer_file_lacks_are_money_that_rests_on_a_guess(tmp_path, entity):
    """Pieces of an order, or what came back: unless its total says that the newer file is right."""
    shop = SmallShop(tmp_path, {"orders": {}, entity: {}}, shop={"time_zone": "UTC"})
    header = "order_id,ordered_at,customer_id,product_id,quantity,unit_price"
    totals = {"cut": "", "told": 20, "same": "", "back": "", "void": ""}
    orders = [
        f"{order},2024-05-01,{'cancelled' if order == 'void' else 'paid'},{total},,," for order, total in totals.items()
    ]
    first = [f"{order},2024-05-01,ann,MUG,1,10" for order in totals]
    both = [f"{order},2024-05-01,ann,TEE,1,20" for order in totals]
    newer = [line for line in both if not line.startswith("back")] + ["back,2024-05-01,ann,TEE,-1,20"]
    shop.write("orders/1.csv", csv(ORDERS, *orders))
    shop.write(f"{entity}/1.csv", csv(header, *first, *both))
    shop.write(f"{entity}/2.csv", csv(header, *newer, "same,2024-05-01,ann,MUG,1,10"))
    warehouse = shop.build()
    assert rows(warehouse, "select * from quality.dropped_lines") == [
        ("exports", "cut", "MUG", f"{entity}/1.csv", f"{entity}/2.csv", 10)
    ]
    audit = shop.audit(warehouse)
    assert audit.money.total("guessed") == 10
    (reason,) = [reason for reason in audit.reasons if reason.startswith("orders_keep_their_lines")]
    assert "worth 10.00" in reason and "`mode: append`" in reason and "`is_return`" in reason
