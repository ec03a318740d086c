"""The life of the simulated shop, before any system records it: how long it is, true sums, what changes."""

from dataclasses import fields, is_dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lib.shop.changes import latest, price_list
from lib.shop.channels import CHANNELS, HISTORY, MARKETPLACE, STORE, WEB
from lib.shop.ids import order_id
from lib.shop.life import ShopLife, simulate_life
from lib.shop.places import COUNTRIES, STORES
from lib.shop.rhythm import Stretch, local_day
from lib.shop.sizes import LAST_DAY, SIZES
from tests.life_tables import BERLIN, CLOSE, SIZE, YEARS, day_number, default_life, local


@pytest.fixture(scope="module")
def tables():
    return default_life()


@pytest.fixture(scope="module")
def life(tables):
    return tables.life


@pytest.fixture(scope="module")
def orders(tables):
    return tables.orders


# --- how far the shop is simulated


def known_on(life: ShopLife, day: int) -> dict[str, np.ndarray]:
    """Return all that the life says of the days up to `day`, as flat columns."""
    customers = life.customers.signed_up < life.timepiece.day_starts[day + 1]
    masks = {
        "customers": customers,
        "customer_changes": life.customer_changes.day <= day,
        "product_changes": life.product_changes.day <= day,
        "orders": life.orders.placed.day <= day,
        "lines": life.lines.day <= day,
        "payments": life.payments.day <= day,
    }
    found = {"updated": life.updated[masks["orders"]]}
    for name, mask in masks.items():
        for path, values in columns(getattr(life, name), name):
            found[path] = values[mask]
    launched = life.catalogue.launched <= day
    for path, values in columns(life.catalogue, "catalogue"):
        found[path] = values[:, launched] if path.endswith("demand") else values[launched]
    return found


def columns(record, path):
    for field in fields(record):
        value, name = getattr(record, field.name), f"{path}.{field.name}"
        if is_dataclass(value):
            yield from columns(value, name)
        elif isinstance(value, pa.Table):
            yield from ((f"{name}.{column}", np.asarray(value[column])) for column in value.column_names)
        else:
            yield name, value


def assert_the_same(shorter, longer):
    assert shorter.keys() == longer.keys()
    for name, values in shorter.items():
        assert len(values), name
        np.testing.assert_array_equal(values, longer[name], err_msg=name)


def test_a_later_last_day_changes_nothing_of_the_earlier_days(life):
    longer = simulate_life(SIZE, 42, date(2027, 3, 1), BERLIN)
    assert_the_same(known_on(life, CLOSE), known_on(longer, CLOSE))
    shorter, end = simulate_life(SIZE, 42, date(2026, 5, 1), BERLIN), day_number(date(2026, 12, 31))
    assert_the_same(known_on(shorter, end), known_on(longer, end))


def test_an_earlier_last_day_gives_the_same_founding_years(life):
    earlier = simulate_life(SIZE, 42, date(2019, 2, 1), BERLIN)
    assert_the_same(known_on(earlier, CLOSE), known_on(life, CLOSE))


def test_another_seed_gives_another_life(life):
    other = simulate_life(SIZE, 43, LAST_DAY, BERLIN)
    assert not np.array_equal(other.orders.placed.at, life.orders.placed.at)
    assert not np.array_equal(other.catalogue.price, life.catalogue.price)
    assert not np.array_equal(other.orders.channel, life.orders.channel)


@pytest.mark.parametrize(("size", "seed"), [("default", 42), ("small", 0), ("small", 42), ("small", 2**40)])
def test_a_shop_has_exactly_its_promised_counts_at_the_close(size, seed):
    life, wanted = simulate_life(SIZES[size], seed, date(2026, 1, 1), BERLIN), SIZES[size]
    close = life.timepiece.day_starts[CLOSE + 1]
    assert (life.customers.signed_up < close).sum() == wanted.customers
    assert (life.orders.placed.at < close).sum() == wanted.orders
    assert (life.catalogue.launched <= CLOSE).sum() == wanted.products
    assert (life.orders.placed.number == np.arange(len(life.updated)) + 1).all()
    assert (life.customers.number == np.arange(len(life.customers.number)) + 1).all()


def test_lines_and_payments_stand_in_order_of_their_orders(tables):
    lines, payments = tables.life.lines, tables.life.payments
    assert (np.diff(lines.order * 100 + lines.line) > 0).all()
    assert (np.diff(payments.order * 100 + payments.part) > 0).all()


def test_a_year_after_the_last_day_keeps_growing_at_the_same_rhythm():
    placed = simulate_life(SIZE, 42, date(2026, 12, 31), BERLIN).orders.placed
    by_year = np.bincount(placed.year)
    assert 1.05 < by_year[2026] / by_year[2025] < 1.35
    assert 0.3 < (placed.month[placed.year == 2026] >= 9).mean() < 0.4


# --- channels


def test_orders_before_the_cut_over_are_history_and_later_ones_in_three_channels(orders):
    old = orders["day"] < day_number(SIZE.live_from)
    assert (orders.loc[old, "channel"] == HISTORY).all()
    shares = orders.loc[~old, "channel"].value_counts(normalize=True)
    assert set(shares.index) == {WEB, STORE, MARKETPLACE}
    assert 0.5 < shares[WEB] < 0.6
    assert 0.065 < shares[STORE] < 0.1
    assert 0.3 < shares[MARKETPLACE] < 0.4


def test_store_orders_have_a_store_and_come_while_it_is_open(orders):
    in_store = orders["channel"] == STORE
    assert orders.loc[in_store, "store"].between(0, len(STORES) - 1).all()
    assert orders.loc[in_store, "store"].nunique() == len(STORES)
    assert (orders.loc[~in_store, "store"] == -1).all()
    when = orders.loc[in_store, "local"]
    assert when.dt.hour.between(9, 19).all()
    assert (when.dt.day_of_week < 6).all()
    assert (orders.loc[in_store, "shipping"] == 0).all()


def test_about_a_third_of_store_orders_are_walk_ins_and_no_others(orders):
    in_store = orders["channel"] == STORE
    assert 0.28 < orders.loc[in_store, "is_walk_in"].mean() < 0.42
    assert not orders.loc[~in_store, "is_walk_in"].any()


def test_customers_have_a_channel_they_prefer(orders):
    live = orders[orders["channel"] != HISTORY]
    by_customer = pd.crosstab(live["customer"], live["channel"])
    frequent = by_customer[by_customer.sum(axis=1) >= 5]
    assert len(frequent) > 300
    assert (frequent.max(axis=1) / frequent.sum(axis=1)).mean() > 0.75
    assert frequent.idxmax(axis=1).nunique() == 3


def test_customers_go_to_the_store_of_the_city_where_they_live_on_that_day(life, orders):
    in_store = orders[orders["channel"] == STORE]
    first = np.asarray(life.customers.details["city"])[in_store["customer"]]
    moved = latest(life.customer_changes, in_store["customer"].to_numpy(), in_store["day"].to_numpy())
    cities = np.where(moved >= 0, np.asarray(life.customer_changes.details["city"])[moved], first)
    store_cities = np.array([store.city for store in STORES])[in_store["store"]]
    assert (cities == store_cities).mean() > 0.9
    elsewhere = cities != first
    assert elsewhere.sum() > 10
    assert (cities == store_cities)[elsewhere].mean() > 0.7


def test_stores_are_in_cities_where_customers_live():
    cities = {(land.code, city.name) for land in COUNTRIES for city in land.cities}
    assert {(store.country, store.city) for store in STORES} <= cities
    assert len({store.id for store in STORES}) == len(STORES)


def test_order_ids_tell_the_channel_and_the_number():
    found = order_id(np.array([1, 20, 300, 123_456_789]), np.arange(len(CHANNELS)))
    assert found.to_pylist() == ["H-00000001", "W-00000020", "S-00000300", "M-123456789"]


# --- what changes


def test_a_few_percent_of_customers_change_in_a_year_and_only_after_signing_up(life):
    changes = life.customer_changes
    assert (np.diff(changes.at) >= 0).all()
    assert (changes.day == local_day(life.timepiece, changes.at)).all()
    assert (changes.at > life.customers.signed_up[changes.row]).all()
    in_2025 = changes.day >= day_number(date(2025, 1, 1))
    assert 0.03 < len(np.unique(changes.row[in_2025])) / SIZE.customers < 0.06


def test_a_change_alters_address_email_or_phone_and_keeps_the_rest(life):
    changes = life.customer_changes
    before_all, after = life.customers.details.to_pandas(), changes.details.to_pandas()
    assert after.columns.tolist() == before_all.columns.tolist()
    before = before_all.iloc[changes.row].reset_index(drop=True)
    # What a customer's earlier change left is what the next one starts from.
    previous = pd.Series(np.arange(len(after))).groupby(changes.row).shift()
    later = previous.notna()
    before[later] = after.iloc[previous[later].astype(int)].to_numpy()
    differs = before != after
    assert not differs[["first_name", "last_name", "country"]].any().any()
    kinds = differs[["postal_code", "email", "phone"]]
    # Some move within the city, and a few of those keep the postal code.
    assert (kinds.sum(axis=1) <= 1).all()
    assert (kinds.sum(axis=1) == 1).mean() > 0.97
    assert kinds.mean().between(0.15, 0.55).all()
    assert later.sum() > 50
    addresses = pd.concat([before_all["email"], after.loc[differs["email"], "email"]])
    assert addresses.is_unique


def test_the_latest_change_up_to_a_day_is_found(life):
    changes = life.customer_changes
    row = changes.row[np.flatnonzero(pd.Series(changes.row).duplicated())[0]]
    own = np.flatnonzero(changes.row == row)
    first, second = own[:2]
    days = np.array([changes.day[first] - 1, changes.day[first], changes.day[second]])
    found = latest(changes, np.full(3, row), days)
    assert found.tolist() == [-1, first if changes.day[first] < changes.day[second] else second, second]


def test_most_products_are_there_at_the_opening_and_others_follow_every_year(life):
    launched = pd.Series(life.catalogue.launched)
    assert launched.is_monotonic_increasing
    assert 0.55 < (launched == 0).mean() < 0.75
    years = local(life.timepiece.day_starts[launched[launched > 0]]).dt.year
    assert set(years) == set(YEARS)
    later = simulate_life(SIZE, 42, date(2027, 1, 1), BERLIN).catalogue
    assert (later.launched > CLOSE).sum() == 2 * round(0.02 * SIZE.products)
    assert later.details["name"].to_pandas().is_unique


def test_a_product_changes_price_about_once_or_twice_a_year_by_a_few_percent(life):
    changes, base = life.product_changes, life.catalogue
    assert (np.diff(changes.at) >= 0).all()
    assert (changes.at == life.timepiece.day_starts[changes.day]).all()
    assert not pd.DataFrame({"row": changes.row, "day": changes.day}).duplicated().any()
    assert (changes.day > base.launched[changes.row]).all()
    price, cost = changes.details["price"].to_pandas(), changes.details["cost"].to_pandas()
    previous = price.groupby(changes.row).shift().fillna(pd.Series(base.price[changes.row]))
    step = price / previous - 1
    moved = step != 0
    a_year = moved.sum() / ((CLOSE - base.launched).sum() / 365.25)
    assert 1 < a_year < 2
    assert step[moved].abs().median() < 0.08
    assert (price > 0).all()
    assert (1 - cost / price).between(0.25, 0.60).all()
    assert 0.55 < (step[moved] > 0).mean() < 0.75


def test_a_few_products_are_discontinued_and_some_come_back(life):
    changes = life.product_changes
    active = changes.details["is_active"].to_pandas()
    before = active.groupby(changes.row).shift().fillna(value=True).astype(bool)
    assert (before & ~active).sum() > 20
    assert (~before & active).sum() > 5
    now = latest(changes, np.arange(SIZE.products), np.full(SIZE.products, CLOSE))
    still = np.where(now >= 0, active.to_numpy()[now], life.catalogue.is_active)
    assert 0.88 < still.mean() < 0.98


def test_lines_carry_the_price_of_their_day_and_nothing_is_sold_before_its_launch_or_while_inactive(tables):
    life, sold = tables.life, tables.sold
    product, day = sold["product"].to_numpy(), sold["day"].to_numpy()
    assert (day >= life.catalogue.launched[product]).all()
    now = latest(life.product_changes, product, day)
    details = life.product_changes.details
    price = np.where(now >= 0, np.asarray(details["price"])[now], life.catalogue.price[product])
    active = np.where(now >= 0, np.asarray(details["is_active"])[now], True)
    assert (sold["price"] == price).all()
    assert active.all()
    assert (sold["price"] != life.catalogue.price[product]).mean() > 0.5
    assert not sold.duplicated(["order", "product"]).any()


def test_the_price_list_of_a_year_is_a_part_of_the_whole_one(life):
    whole = price_list(life.catalogue, life.product_changes, Stretch(0, 0, CLOSE + 1))
    part = price_list(life.catalogue, life.product_changes, Stretch(2020, 1_826, 2_192))
    np.testing.assert_array_equal(part, whole[:, 1_826:2_192])
    assert (whole[:, 0] > 0).sum() == (life.catalogue.launched == 0).sum()


# --- orders, lines, payments


def test_every_reference_finds_its_row(tables):
    life, orders = tables.life, tables.orders
    assert set(tables.sold["order"]) == set(orders.index)
    assert set(tables.returned["order"]) <= set(orders.index)
    assert set(tables.payments["order"]) == set(orders.index)
    assert orders["customer"].between(0, len(life.customers.number) - 1).all()
    assert tables.sold["product"].between(0, len(life.catalogue.price) - 1).all()


def test_nobody_orders_before_signing_up(life, orders):
    assert (orders["at"] >= life.customers.signed_up[orders["customer"]]).all()
    assert (orders["day"] == local_day(life.timepiece, orders["at"].to_numpy())).all()


def test_order_sums_follow_from_the_lines(tables):
    sold, orders = tables.sold, tables.orders
    goods = (sold["quantity"] * sold["price"]).groupby(sold["order"]).sum()
    discount = sold.groupby("order")["discount"].sum()
    net = goods - discount
    assert (orders["discount"] == discount).all()
    assert (orders["shipping"] == np.where((net < 5_000) & (orders["store"] < 0), 490, 0)).all()
    assert (orders["total"] == net + orders["shipping"]).all()
    assert ((orders["tax"] - orders["total"] * 19 / 119).abs() <= 0.5 + 1e-6).all()


def test_paid_payments_add_up_to_the_total_and_failures_come_first(tables):
    orders, payments = tables.orders, tables.payments
    completed = orders[~orders["is_cancelled"]]
    paid = payments[payments["status"] == "paid"].groupby("order")
    assert (paid["amount"].sum().reindex(completed.index) == completed["total"]).all()
    failed = payments[payments["status"] == "failed"].groupby("order")["at"].max()
    later = paid["at"].min().reindex(failed.index).dropna()
    assert len(later) > 1_000
    assert (failed[later.index] <= later).all()
    assert (payments["at"].to_numpy() >= orders["at"][payments["order"]].to_numpy()).all()
    assert (payments["day"] == local_day(tables.life.timepiece, payments["at"].to_numpy())).all()
    assert (payments["amount"] > 0).all()
    assert (paid.size() == 2).sum() > 500


def test_cancelled_orders_are_unpaid_or_refunded_in_full_when_they_are_cancelled(tables):
    orders, payments = tables.orders, tables.payments
    cancelled = orders[orders["is_cancelled"]]
    assert 0.03 < len(cancelled) / len(orders) < 0.04
    own = payments[payments["order"].isin(cancelled.index)]
    amounts = own.pivot_table(index="order", columns="status", values="amount", aggfunc="sum", fill_value=0)
    assert (amounts["paid"] == amounts["refunded"]).all()
    settled = amounts["paid"] == cancelled["total"]
    assert (settled ^ (amounts["failed"] > 0)).all()
    assert 0.5 < settled.mean() < 0.7
    refunds = own[own["status"] == "refunded"].set_index("order")
    assert (refunds["at"] == cancelled["cancelled_at"][refunds.index]).all()


def test_orders_are_cancelled_within_a_day_and_in_history_and_marketplace_on_the_same_day(tables):
    orders, timepiece = tables.orders, tables.life.timepiece
    assert (orders.loc[~orders["is_cancelled"], "cancelled_at"] == 0).all()
    cancelled = orders[orders["is_cancelled"]]
    hours = (cancelled["cancelled_at"] - cancelled["at"]) / 3_600
    assert hours.between(0, 24.5).all()
    on_the_day = local_day(timepiece, cancelled["cancelled_at"].to_numpy()) == cancelled["day"]
    assert on_the_day[cancelled["channel"].isin([HISTORY, MARKETPLACE])].all()
    assert 0.2 < on_the_day[cancelled["channel"] == WEB].mean() < 0.8
    updated = np.where(orders["is_cancelled"], orders["cancelled_at"], orders["at"])
    assert (tables.life.updated == updated).all()


def test_orders_leave_one_to_three_days_later_in_working_hours(tables):
    orders = tables.orders
    assert (orders.loc[orders["is_cancelled"], "shipped_at"] == 0).all()
    shipped = orders[~orders["is_cancelled"]]
    left = local(shipped["shipped_at"]).set_axis(shipped.index)
    assert left.dt.hour.between(8, 17).all()
    assert (left.dt.day_of_week < 6).all()
    days = local_day(tables.life.timepiece, shipped["shipped_at"].to_numpy()) - shipped["day"]
    assert days.between(1, 3).all()
    assert days.nunique() == 3


def test_returns_continue_the_order_after_it_was_shipped_at_what_was_paid(tables):
    orders, sold, returned = tables.orders, tables.sold, tables.returned
    both = returned.merge(sold, on=["order", "product"], suffixes=("", "_sold"))
    assert len(both) == len(returned)
    assert (both["price"] == both["price_sold"]).all()
    assert (-both["quantity"] <= both["quantity_sold"]).all()
    share = both["discount_sold"] * both["quantity"] / both["quantity_sold"]
    assert ((both["discount"] - share).abs() <= 0.5).all()
    own = orders.loc[both["order"]]
    assert not own["is_cancelled"].any()
    assert (own["returned_at"] > own["shipped_at"]).all()
    assert (local_day(tables.life.timepiece, own["returned_at"].to_numpy()) == both["day"].to_numpy()).all()
    last_sold = sold.groupby("order")["line"].max()
    assert (both["line"] > last_sold[both["order"]].to_numpy()).all()
    delay = both["day"] - both["day_sold"]
    assert delay.between(4, 60).all()
    assert 8 <= delay.median() <= 12


def test_an_order_is_wholly_returned_when_every_piece_came_back(tables):
    orders = tables.orders
    sold = tables.sold.groupby("order")["quantity"].sum()
    back = -tables.returned.groupby("order")["quantity"].sum().reindex(orders.index, fill_value=0)
    assert ((sold == back) == orders["is_wholly_returned"]).all()
    assert ((back > 0) == (orders["returned_at"] > 0)).all()
    assert 100 < orders["is_wholly_returned"].sum() < (back > 0).sum() / 2


def test_returned_goods_are_refunded_when_they_come_back(tables):
    returned, orders = tables.returned, tables.orders
    net = -(returned["quantity"] * returned["price"] - returned["discount"])
    goods = net.groupby(returned["order"]).sum()
    cancelled = orders.index[orders["is_cancelled"]]
    refunds = tables.payments.query("status == 'refunded'")
    refunds = refunds[~refunds["order"].isin(cancelled)].set_index("order")
    assert len(goods) > 2_000
    pd.testing.assert_series_equal(refunds["amount"].sort_index(), goods, check_names=False)
    assert (refunds["at"] == orders["returned_at"][refunds.index]).all()


def test_the_life_turns_in_the_right_order_at_every_size():
    for size in SIZES.values():
        assert size.first_day < size.live_from < size.tracked_from <= LAST_DAY
        assert size.tracked_from + timedelta(days=30) <= LAST_DAY
