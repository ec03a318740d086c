"""Sessions: which events make one, how far it got, which order it produced; however and whenever its events came."""

import shutil
from datetime import date, datetime
from pathlib import Path

import pytest

from lib.warehouse import Warehouse
from lib.warehouse.duckdb import DuckDBWarehouse
from tests.small_shop import SmallShop, assert_same_tables, contents, csv, one, rows

# One worker builds the shop once for all tests here.
EVENTS = "event_id,event_at,event_type,visitor_id,customer_id,product_id,order_id,device,campaign"
ORDERS = "order_id,ordered_at,customer_id,status,updated_at"
ITEMS = "order_id,line_number,product_id,quantity,unit_price"

#: What comes day by day. A file that stands again replaces its rows.
DELIVERIES: list[dict[str, str]] = [
    {
        "customers/1.csv": csv("customer_id,city,updated_at", "anna,Bonn,2024-04-01", "bert,Ulm,2024-04-01"),
        "orders/1.csv": csv(
            ORDERS, "sold,2024-05-01T12:00Z,anna,paid,2024-05-01", "twice,2024-05-01T12:00Z,bert,paid,2024-05-01"
        ),
        "order_items/1.csv": csv(ITEMS, "sold,1,p,2,10", "twice,1,p,1,7"),
        "events/1.csv": csv(
            EVENTS,
            # Half an hour of rest is no end, a second more is one.
            "edge1,2024-05-01T10:00:00Z,view,edge,,,,,",
            "edge2,2024-05-01T10:30:00Z,search,edge,,,,,",
            "edge3,2024-05-01T11:00:01Z,view,edge,,,,,",
            # Around midnight of the shop's clock.
            "night2,2024-05-01T22:10:00Z,view,night,,p,,tablet,",
            "night1,2024-05-01T21:50:00Z,view,night,,,,phone,spring",
            # The whole way, in no order, to an order that is known, and to one that is not yet.
            "sold5,2024-05-01T12:00:00Z,purchase,buyer,anna,,sold,phone,",
            "sold1,2024-05-01T11:50:00Z,view,buyer,,p,,phone,may",
            "sold3,2024-05-01T11:55:00Z,Remove from cart,buyer,,p,,phone,",
            "sold2,2024-05-01T11:54:00Z,add_to_cart,buyer,,p,,phone,",
            "sold4,2024-05-01T11:59:00Z,begin-checkout,buyer,,,,phone,",
            "late1,2024-05-01T12:00:00Z,purchase,early,,,late,,",
            # Two purchases that name one order.
            "twice2,2024-05-01T12:05:00Z,purchase,second,bert,,twice,,",
            "twice1,2024-05-01T12:00:00Z,purchase,first,bert,,twice,,",
            # No visitor, and nobody at all.
            "anna1,2024-05-01T08:00:00Z,add_to_cart,,anna,,,,",
            "anna2,2024-05-01T08:10:00Z,checkout,,anna,,,,",
            "none1,2024-05-01T08:00:00Z,view,,,,,,",
            "none2,2024-05-01T08:00:00Z,view,,,,,,",
        ),
        "events/2.csv": csv(
            EVENTS,
            "join1,2024-05-01T10:00:00Z,view,join,,,,phone,",
            "join3,2024-05-01T10:50:00Z,add_to_cart,join,,,,laptop,",
            "lead2,2024-05-01T10:00:00Z,view,lead,,,,laptop,may",
            "moved,2024-05-01T10:00:00Z,view,before,,,,,",
            "gone,2024-05-01T10:00:00Z,view,ghost,,,,,",
        ),
    },
    {
        "orders/2.csv": csv(ORDERS, "late,2024-05-01T12:00Z,zoe,paid,2024-05-01"),
        "order_items/2.csv": csv(ITEMS, "late,1,p,1,5"),
        # Delivered again without one event, and with one that was another visitor's.
        "events/2.csv": csv(
            EVENTS,
            "join1,2024-05-01T10:00:00Z,view,join,,,,phone,",
            "join3,2024-05-01T10:50:00Z,add_to_cart,join,,,,laptop,",
            "lead2,2024-05-01T10:00:00Z,view,lead,,,,laptop,may",
            "moved,2024-05-01T10:00:00Z,view,before,,,,,",
        ),
        "events/3.csv": csv(
            EVENTS,
            "join2,2024-05-01T10:25:00Z,search,join,,,,,",
            "lead1,2024-05-01T09:45:00Z,view,lead,,,,phone,april",
            "moved,2024-05-01T10:00:00Z,view,after,,,,,",
            "join1,2024-05-01T10:00:00Z,view,join,,,,phone,",
        ),
    },
    {
        "customers/2.csv": csv("customer_id,city,updated_at", "anna,Trier,2024-04-15"),
        "orders/3.csv": csv(ORDERS, "sold,2024-05-01T12:00Z,anna,cancelled,2024-05-03"),
        # The first to name the order comes last.
        "events/4.csv": csv(EVENTS, "twice0,2024-05-01T11:00:00Z,purchase,zeroth,,,twice,,"),
    },
]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[SmallShop, list[Warehouse]]:
    """The shop, and its warehouse after each delivery."""
    entities = ("customers", "orders", "order_items", "events")
    keep = {"models": {"unknown_customers": "keep"}}
    shop = SmallShop(tmp_path_factory.mktemp("shop"), {e: {} for e in entities}, config=keep)
    states = []
    for number, files in enumerate(DELIVERIES):
        for name, text in files.items():
            shop.write(name, text)
        shop.build(publish=True)
        states.append(kept(shop, number))
    return shop, states


def kept(shop: SmallShop, number: int) -> Warehouse:
    """Return the published warehouse as it is now, out of reach of later runs."""
    warehouse = DuckDBWarehouse(shop.settings)
    copy: Path = shop.root / f"after-{number}.duckdb"
    shutil.copyfile(warehouse.path, copy)
    warehouse.path = copy
    return warehouse


def sessions(warehouse: Warehouse, visitor: str, columns: str) -> list[tuple]:
    return rows(
        warehouse, f"select {columns} from warehouse.fact_sessions where visitor_id = ? order by started_at", [visitor]
    )


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2024, 5, 1, hour, minute, second)


def test_half_an_hour_of_rest_is_within_a_session_and_a_second_more_ends_it(built):
    columns = "started_at, ended_at, duration_seconds, event_count, views, searches"
    assert sessions(built[1][0], "edge", columns) == [
        (at(10, 0), at(10, 30), 1800, 2, 1, 1),
        (at(11, 0, 1), at(11, 0, 1), 0, 1, 1, 0),
    ]


def test_a_session_over_midnight_is_one_of_the_day_it_began_on(built):
    assert sessions(built[1][0], "night", "session_date, event_count, device, campaign, funnel_label") == [
        (date(2024, 5, 1), 2, "phone", "spring", "product view")
    ]
    assert one(built[1][0], "select max(date_key) from warehouse.dim_date") == date(2024, 5, 2)


def test_a_session_has_what_was_done_and_which_order_came_of_it(built):
    columns = "event_count, views, add_to_carts, removals, checkouts, purchases, funnel_step, funnel_label,"
    columns += "is_converted, device, campaign, customer_id, order_id, orders, net_amount"
    assert sessions(built[1][0], "buyer", columns) == [
        (5, 1, 1, 1, 1, 1, 5, "purchase", True, "phone", "may", "anna", "sold", 1, 20)
    ]


def test_without_a_visitor_the_customer_counts_and_nobody_is_always_somebody_else(built):
    assert rows(
        built[1][0],
        "select customer_id, event_count, funnel_label from warehouse.fact_sessions where visitor_id is null"
        " order by all",
    ) == [("anna", 2, "checkout"), ("unknown", 1, "visit"), ("unknown", 1, "visit")]


def test_an_order_is_produced_by_the_first_purchase_that_names_it_whenever_that_comes(built):
    columns = "order_id, orders, net_amount, is_converted"
    for warehouse, first in zip(built[1], ("first", "first", "zeroth"), strict=True):
        assert sessions(warehouse, first, columns) == [("twice", 1, 7, True)]
        assert sessions(warehouse, "second", columns) == [(None, 0, None, True)]


def test_a_purchase_gets_its_order_when_that_is_delivered(built):
    columns = "order_id, net_amount, is_converted"
    assert sessions(built[1][0], "early", columns) == [(None, None, True)]
    assert sessions(built[1][1], "early", columns) == [("late", 5, True)]


def test_what_becomes_of_the_order_becomes_of_its_session(built):
    assert sessions(built[1][1], "buyer", "order_id, net_amount") == [("sold", 20)]
    assert sessions(built[1][2], "buyer", "order_id, net_amount") == [("sold", 0)]


def test_a_session_points_to_its_customer_as_they_were_then(built):
    sql = "select c.city from warehouse.fact_sessions s join warehouse.dim_customers c using (customer_key)"
    sql += " where s.visitor_id = 'buyer'"
    assert [rows(warehouse, sql) for warehouse in built[1]] == [[("Bonn",)], [("Bonn",)], [("Trier",)]]


def test_a_late_event_joins_two_sessions(built):
    columns = "started_at, ended_at, event_count, device"
    assert sessions(built[1][0], "join", columns) == [
        (at(10, 0), at(10, 0), 1, "phone"),
        (at(10, 50), at(10, 50), 1, "laptop"),
    ]
    assert sessions(built[1][1], "join", columns) == [(at(10, 0), at(10, 50), 3, "phone")]


def test_a_late_first_event_sets_what_the_session_began_with(built):
    columns = "started_at, device, campaign"
    assert sessions(built[1][0], "lead", columns) == [(at(10, 0), "laptop", "may")]
    assert sessions(built[1][1], "lead", columns) == [(at(9, 45), "phone", "april")]


def test_an_event_that_is_corrected_or_withdrawn_leaves_no_session_behind(built):
    for visitor, numbers in {"ghost": (1, 0, 0), "before": (1, 0, 0), "after": (0, 1, 1)}.items():
        assert tuple(len(sessions(w, visitor, "event_count")) for w in built[1]) == numbers, visitor


def test_each_event_is_in_one_session_and_days_add_up(built):
    for warehouse in built[1]:
        counted = one(warehouse, "select sum(event_count) from warehouse.fact_sessions")
        assert counted == one(warehouse, "select count(*) from clean.events")
        sums = "sum(sessions), sum(converted_sessions), sum(orders), sum(net_amount)"
        facts = "count(*), count(*) filter (where is_converted), count(order_id), sum(net_amount)"
        assert rows(warehouse, f"select {sums} from analytics.daily_sessions") == rows(
            warehouse, f"select {facts} from warehouse.fact_sessions"
        )
        steps = "product_view_sessions >= cart_sessions and cart_sessions >= checkout_sessions"
        steps += " and checkout_sessions >= converted_sessions and sessions >= product_view_sessions"
        assert one(warehouse, f"select bool_and({steps}) from analytics.daily_sessions")


def test_step_by_step_is_the_same_as_built_anew(built):
    shop, states = built
    anew = contents(shop.build(full_refresh=True), ("clean", "warehouse", "analytics"))
    assert_same_tables(anew, contents(states[-1], ("clean", "warehouse", "analytics")))
