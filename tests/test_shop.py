"""What the simulated shop promises: exact counts, the same bytes, true sums, a believable rhythm."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lib.errors import ConfigError
from lib.shop import FIRST_DAY, LAST_DAY, SIZES, open_shop
from lib.shop.files import csv_rows, text, write_whole

ENTITIES = ("customers", "products", "orders", "order_items", "payments")
BERLIN = "Europe/Berlin"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all CSV files by their path within the folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.csv"))}


def day_of(name: str) -> str:
    return name[-len("2025-01-01.csv") : -len(".csv")]


def read(folder: Path, entity: str) -> pd.DataFrame:
    """Return all rows of an entity, amounts in whole cents, with the day of the file each came from."""
    rows = duckdb.sql(
        f"select * from read_csv('{folder}/marketplace/{entity}/*.csv', header = true, all_varchar = true,"
        " filename = true)"
    ).df()
    rows["file_day"] = rows.pop("filename").str[-14:-4]
    for name in rows.columns:
        if name.endswith(("amount", "unit_price", "unit_cost")):
            rows[name] = np.rint(rows[name].astype(float) * 100).astype("int64")
        elif name.endswith("_at"):
            rows[name] = pd.to_datetime(rows[name], utc=True)
        elif name in ("quantity", "line_number"):
            rows[name] = rows[name].astype("int64")
    return rows


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    open_shop(folder, size="small")
    return folder


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    folder = tmp_path_factory.mktemp("default")
    summary = open_shop(folder)
    return {entity: read(folder, entity) for entity in ENTITIES} | {"summary": summary}


@pytest.fixture(scope="module")
def sold(default):
    return default["order_items"].query("quantity > 0")


@pytest.fixture(scope="module")
def returned(default):
    return default["order_items"].query("quantity < 0")


# --- counts and columns


def test_the_default_shop_has_exactly_its_promised_counts(default):
    counts = {entity: len(default[entity]) for entity in ("customers", "products", "orders")}
    assert counts == {"customers": 10_000, "products": 495, "orders": 50_000}
    assert default["orders"]["order_id"].is_unique
    assert default["customers"]["customer_id"].is_unique
    assert default["payments"]["payment_id"].is_unique
    assert not default["order_items"].duplicated(["order_id", "line_number"]).any()


def test_the_default_shop_trades_on_every_day_of_four_years(default):
    days = sorted(default["orders"]["file_day"].unique())
    assert days == [day.strftime("%Y-%m-%d") for day in pd.date_range(FIRST_DAY, LAST_DAY)]


@pytest.mark.parametrize("seed", [0, 42, 2**40])
def test_a_small_shop_has_exactly_its_promised_counts_at_any_seed(tmp_path, seed):
    summary = open_shop(tmp_path, size="small", seed=seed).set_index("entity")
    wanted = SIZES["small"]
    assert summary["rows"][["customers", "products", "orders"]].tolist() == [
        wanted.customers,
        wanted.products,
        wanted.orders,
    ]


def test_the_summary_says_what_is_in_the_folder(default):
    summary = default["summary"]
    assert summary.columns.tolist() == ["entity", "files", "rows", "first_date", "last_date"]
    for row in summary.itertuples():
        rows = default[row.entity]
        assert (row.files, row.rows) == (rows["file_day"].nunique(), len(rows))
        assert str(row.first_date.date()) == rows["file_day"].min()
        assert str(row.last_date.date()) == rows["file_day"].max()


def test_files_have_the_columns_of_the_contract(small):
    headers = {
        entity: next((small / "marketplace" / entity).glob("*.csv")).read_text("utf-8").split("\n")[0]
        for entity in ENTITIES
    }
    assert headers == {
        "customers": "customer_id,first_name,last_name,email,phone,country,region,city,postal_code,"
        "signup_at,updated_at",
        "products": "product_id,name,category,subcategory,brand,unit_price,unit_cost,currency,is_active,updated_at",
        "orders": "order_id,ordered_at,customer_id,status,channel,campaign,currency,discount_amount,"
        "shipping_amount,tax_amount,total_amount,updated_at",
        "order_items": "order_id,line_number,product_id,quantity,unit_price,discount_amount",
        "payments": "payment_id,order_id,method,amount,currency,status,paid_at",
    }


def test_files_end_lines_with_a_bare_newline_and_hold_no_empty_day(small):
    for content in contents(small).values():
        assert content.endswith(b"\n")
        assert b"\r" not in content
        assert content.count(b"\n") > 1


def test_instants_are_utc_and_files_follow_the_local_day(default):
    for entity, column in (("customers", "signup_at"), ("orders", "ordered_at"), ("payments", "paid_at")):
        rows = default[entity]
        assert (rows[column].dt.tz_convert(BERLIN).dt.strftime("%Y-%m-%d") == rows["file_day"]).all()
        assert (rows[column].dt.strftime("%Y-%m-%d") != rows["file_day"]).any()


def test_instants_are_written_in_iso_form_with_a_z(small):
    orders = (small / "marketplace/orders/orders_2025-11-28.csv").read_text("utf-8").splitlines()
    stamp = orders[1].split(",")[1]
    assert pd.Timestamp(stamp).strftime("%Y-%m-%dT%H:%M:%SZ") == stamp


def test_fields_are_quoted_only_where_needed():
    awkward = text(pa.array(["plain", "a,b", 'say "hi"', None]))
    rows, starts = csv_rows([pa.array(["1", "2", "3", "4"]), awkward])
    assert bytes(rows) == b'1,plain\n2,"a,b"\n3,"say ""hi"""\n4,\n'
    assert starts.tolist() == [0, 8, 16, 31, 34]


# --- the same bytes


def test_the_same_arguments_give_the_same_bytes_in_another_process(small, tmp_path):
    program = "import pathlib, sys, lib.shop; lib.shop.open_shop(pathlib.Path(sys.argv[1]), size='small')"
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=root, env={"PYTHONHASHSEED": "7"})
    assert contents(tmp_path) == contents(small)


def test_another_seed_gives_another_shop(small, tmp_path):
    open_shop(tmp_path, size="small", seed=43)
    ours, theirs = contents(tmp_path), contents(small)
    assert not [name for name in ours if "/orders/" in name and ours[name] == theirs.get(name)]


@pytest.mark.parametrize("as_of", [date(2025, 7, 1), date(2025, 10, 26), date(2025, 12, 30)])
def test_an_earlier_day_gives_exactly_the_files_up_to_it(small, tmp_path, as_of):
    open_shop(tmp_path, size="small", as_of=as_of)
    whole = contents(small)
    assert contents(tmp_path) == {name: whole[name] for name in whole if day_of(name) <= str(as_of)}


def test_trading_on_adds_days_and_changes_none(small, tmp_path):
    summary = open_shop(tmp_path, size="small", as_of=date(2026, 2, 10)).set_index("entity")
    longer, shorter = contents(tmp_path), contents(small)
    assert {name: longer[name] for name in shorter} == shorter
    new = {day_of(name) for name in longer.keys() - shorter.keys() if "/orders/" in name}
    assert new == {str(LAST_DAY + timedelta(days=n)) for n in range(1, 42)}
    assert summary.loc["orders", "rows"] > SIZES["small"].orders
    orders, customers = read(tmp_path, "orders"), read(tmp_path, "customers")
    assert orders["order_id"].is_unique
    assert customers["customer_id"].is_unique
    assert customers["email"].is_unique
    joined = orders.merge(customers, on="customer_id")
    assert len(joined) == len(orders)
    assert (joined["ordered_at"] >= joined["signup_at"]).all()
    assert len(customers) > SIZES["small"].customers


def test_many_steps_end_where_one_step_ends(tmp_path):
    end = date(2027, 1, 20)
    for day in (date(2025, 8, 1), LAST_DAY, date(2026, 1, 1), date(2026, 1, 2), date(2026, 12, 31), end):
        in_steps = open_shop(tmp_path / "steps", size="small", as_of=day)
    at_once = open_shop(tmp_path / "once", size="small", as_of=end)
    assert contents(tmp_path / "steps") == contents(tmp_path / "once")
    pd.testing.assert_frame_equal(in_steps, at_once)


def test_a_year_after_the_last_day_keeps_growing_at_the_same_rhythm(tmp_path):
    open_shop(tmp_path, as_of=date(2026, 12, 31))
    orders = read(tmp_path, "orders")
    by_year = orders.groupby(orders["ordered_at"].dt.tz_convert(BERLIN).dt.year)["total_amount"].sum()
    assert 1.0 < by_year[2026] / by_year[2025] < 1.35
    late = orders[orders["ordered_at"] >= "2026-01-01"]
    fourth = late.loc[late["ordered_at"].dt.quarter == 4, "total_amount"].sum() / late["total_amount"].sum()
    assert 0.32 < fourth < 0.38


# --- the folder


def test_running_again_rewrites_nothing(tmp_path):
    first = open_shop(tmp_path, size="small")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    pd.testing.assert_frame_equal(open_shop(tmp_path, size="small"), first)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("marker", [None, '{"size": "sma'])
def test_a_missing_or_half_written_marker_is_mended(small, tmp_path, marker):
    open_shop(tmp_path, size="small")
    kept = tmp_path / "marketplace/orders/orders_2025-11-28.csv"
    untouched = kept.stat().st_mtime_ns
    (tmp_path / "shop.json").unlink()
    if marker:
        (tmp_path / "shop.json").write_text(marker)
    open_shop(tmp_path, size="small")
    assert contents(tmp_path) == contents(small)
    assert (tmp_path / "shop.json").read_bytes() == (small / "shop.json").read_bytes()
    assert kept.stat().st_mtime_ns == untouched


def test_a_lost_or_damaged_file_is_written_again(small, tmp_path):
    open_shop(tmp_path, size="small")
    (tmp_path / "marketplace/payments/payments_2025-09-09.csv").unlink()
    (tmp_path / "marketplace/orders/orders_2025-09-09.csv").write_text("order_id\n")
    open_shop(tmp_path, size="small")
    assert contents(tmp_path) == contents(small)


@pytest.mark.parametrize("fatal", [3, 400])
def test_a_kill_while_writing_leaves_whole_files_and_the_next_run_finishes(small, tmp_path, monkeypatch, fatal):
    written = []

    def dying(path, content):
        written.append(path)
        if len(written) == fatal:
            path.with_name(f".{path.name}.part").write_bytes(content[:10])
            raise KeyboardInterrupt
        write_whole(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("lib.shop.files.write_whole", dying)
        open_shop(tmp_path, size="small")
    whole = contents(small)
    assert contents(tmp_path).items() < whole.items()
    open_shop(tmp_path, size="small")
    assert contents(tmp_path) == whole
    assert not list(tmp_path.rglob("*.part"))


def test_a_kill_is_remembered_so_another_shop_cannot_mix_in(tmp_path, monkeypatch):
    def dying(path, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("lib.shop.files.write_whole", dying)
        open_shop(tmp_path, size="small")
    assert json.loads((tmp_path / "shop.json").read_text())["complete"] is None
    with pytest.raises(ConfigError, match="seed 42"):
        open_shop(tmp_path, size="small", seed=1)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 7}, "seed 42, and seed 7 was asked for"),
        ({"size": "default"}, "size 'small', and size 'default' was asked for"),
        ({"currency": "CHF"}, "currency 'EUR', and currency 'CHF' was asked for"),
        ({"time_zone": "Europe/Paris"}, "time_zone 'Europe/Berlin', and time_zone 'Europe/Paris'"),
        ({"as_of": date(2025, 8, 1)}, "up to 2025-12-31, and 2025-08-01 was asked for"),
    ],
)
def test_a_folder_with_another_shop_is_refused_and_left_alone(small, other, message):
    before = contents(small)
    with pytest.raises(ConfigError, match=message) as error:
        open_shop(small, **({"size": "small"} | other))
    assert "hoose another folder or remove this one" in str(error.value)
    assert contents(small) == before


def test_a_stranger_among_the_files_is_named_before_anything_is_written(tmp_path):
    stranger = tmp_path / "marketplace/orders/orders_2019-01-01.csv"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("order_id\n")
    with pytest.raises(ConfigError, match=r"orders_2019-01-01\.csv"):
        open_shop(tmp_path, size="small")
    assert list(contents(tmp_path)) == ["marketplace/orders/orders_2019-01-01.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "smal"}, "Did you mean 'small'"),
        ({"as_of": date(2021, 12, 31)}, "opens on 2022-01-01"),
        ({"size": "small", "as_of": date(2025, 6, 30)}, "opens on 2025-07-01"),
        ({"as_of": date(2050, 1, 1)}, "the last day it knows is 2049-12-31"),
        ({"seed": -1}, "seed is -1"),
        ({"currency": "euro"}, "three capital letters"),
        ({"time_zone": "Europe/Berln"}, "Did you mean 'Europe/Berlin'"),
    ],
)
def test_arguments_that_make_no_shop_are_refused(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        open_shop(tmp_path / "shop", **arguments)
    assert not (tmp_path / "shop").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "shop").write_text("")
    with pytest.raises(ConfigError, match="hoose another folder"):
        open_shop(tmp_path / "shop", size="small")


def test_currency_and_time_zone_are_the_ones_asked_for(tmp_path):
    open_shop(tmp_path, size="small", currency="CHF", time_zone="America/New_York")
    orders = read(tmp_path, "orders")
    assert set(orders["currency"]) == {"CHF"}
    assert (orders["ordered_at"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d") == orders["file_day"]).all()


# --- references and sums


def test_every_reference_finds_its_row(default):
    orders = set(default["orders"]["order_id"])
    assert set(default["order_items"]["order_id"]) == orders
    assert set(default["payments"]["order_id"]) == orders
    assert set(default["orders"]["customer_id"]) <= set(default["customers"]["customer_id"])
    assert set(default["order_items"]["product_id"]) <= set(default["products"]["product_id"])


def test_nobody_orders_before_signing_up(default):
    joined = default["orders"].merge(default["customers"], on="customer_id")
    assert (joined["ordered_at"] >= joined["signup_at"]).all()


def test_order_sums_follow_from_the_lines(default, sold):
    goods = (sold["quantity"] * sold["unit_price"]).groupby(sold["order_id"]).sum()
    discount = sold.groupby("order_id")["discount_amount"].sum()
    orders = default["orders"].set_index("order_id")
    net = goods - discount
    assert (orders["discount_amount"] == discount).all()
    assert (orders["shipping_amount"] == np.where(net < 5_000, 490, 0)).all()
    assert (orders["total_amount"] == net + orders["shipping_amount"]).all()
    assert ((orders["tax_amount"] - orders["total_amount"] * 19 / 119).abs() <= 0.5 + 1e-6).all()


def test_lines_carry_the_price_of_an_active_product(default, sold):
    lines = sold.merge(default["products"], on="product_id", suffixes=("", "_listed"))
    assert (lines["unit_price"] == lines["unit_price_listed"]).all()
    assert (lines["is_active"] == "true").all()
    assert not sold.duplicated(["order_id", "product_id"]).any()


def test_paid_payments_add_up_to_the_total_and_failures_come_first(default):
    orders = default["orders"].set_index("order_id")
    payments = default["payments"]
    completed = orders[orders["status"] == "completed"]
    paid = payments[payments["status"] == "paid"].groupby("order_id")
    assert (paid["amount"].sum().reindex(completed.index) == completed["total_amount"]).all()
    failed = payments[payments["status"] == "failed"].groupby("order_id")["paid_at"].max()
    later = paid["paid_at"].min().reindex(failed.index).dropna()
    assert len(later) > 1_000
    assert (failed[later.index] <= later).all()
    assert (payments["paid_at"] >= orders["ordered_at"][payments["order_id"]].to_numpy()).all()
    assert (payments["amount"] > 0).all()
    assert (paid.size() == 2).sum() > 500


def test_cancelled_orders_are_unpaid_or_refunded_in_full_on_the_same_day(default):
    cancelled = default["orders"].query("status == 'cancelled'").set_index("order_id")
    assert 0.03 < len(cancelled) / 50_000 < 0.04
    payments = default["payments"][default["payments"]["order_id"].isin(cancelled.index)]
    amounts = payments.pivot_table(index="order_id", columns="status", values="amount", aggfunc="sum", fill_value=0)
    assert (amounts["paid"] == amounts["refunded"]).all()
    settled = amounts["paid"] == cancelled["total_amount"]
    assert (settled ^ (amounts["failed"] > 0)).all()
    assert 0.5 < settled.mean() < 0.7
    assert (cancelled["updated_at"] > cancelled["ordered_at"]).mean() > 0.99
    assert (payments["file_day"].to_numpy() == cancelled.loc[payments["order_id"], "file_day"].to_numpy()).all()
    completed = default["orders"].query("status == 'completed'")
    assert (completed["updated_at"] == completed["ordered_at"]).all()


def test_returns_continue_the_order_on_a_later_day_at_what_was_paid(default, sold, returned):
    orders = default["orders"].set_index("order_id")
    both = returned.merge(sold, on=["order_id", "product_id"], suffixes=("", "_sold"))
    assert len(both) == len(returned)
    assert (both["unit_price"] == both["unit_price_sold"]).all()
    assert (-both["quantity"] <= both["quantity_sold"]).all()
    share = both["discount_amount_sold"] * both["quantity"] / both["quantity_sold"]
    assert ((both["discount_amount"] - share).abs() <= 0.5).all()
    assert (orders["status"][both["order_id"]] == "completed").all()
    last_sold = sold.groupby("order_id")["line_number"].max()
    assert (both["line_number"] > last_sold[both["order_id"]].to_numpy()).all()
    delay = (pd.to_datetime(both["file_day"]) - pd.to_datetime(both["file_day_sold"])).dt.days
    assert delay.between(1, 60).all()
    assert 8 <= delay.median() <= 12


def test_returned_goods_are_refunded_on_the_day_they_come_back(default, returned):
    net = -(returned["quantity"] * returned["unit_price"] - returned["discount_amount"])
    goods = net.groupby([returned["order_id"], returned["file_day"]]).sum()
    cancelled = default["orders"].query("status == 'cancelled'")["order_id"]
    refunds = default["payments"].query("status == 'refunded'")
    refunds = refunds[~refunds["order_id"].isin(cancelled)].set_index(["order_id", "file_day"])["amount"]
    assert len(goods) > 2_000
    pd.testing.assert_series_equal(refunds.sort_index(), goods.sort_index(), check_names=False)


# --- realism


def test_customers_return_after_about_four_weeks_and_differ_widely(default):
    orders = default["orders"].sort_values(["customer_id", "ordered_at"])
    gaps = orders.groupby("customer_id")["ordered_at"].diff().dt.total_seconds() / 86_400
    assert 20 <= gaps.median() <= 40
    counts = orders["customer_id"].value_counts()
    assert 0.2 < (counts == 1).mean() < 0.45
    assert counts.head(len(counts) // 10).sum() / counts.sum() > 0.33
    assert counts.max() > 50


def test_the_best_fifth_of_products_sells_most_units(default, sold):
    units = sold.groupby("product_id")["quantity"].sum().sort_values(ascending=False)
    assert 0.55 <= units.head(len(default["products"]) // 5).sum() / units.sum() <= 0.8


def test_the_fourth_quarter_is_the_strongest_and_business_grows_moderately(default):
    orders = default["orders"]
    local = orders["ordered_at"].dt.tz_convert(BERLIN)
    revenue = orders.groupby([local.dt.year, local.dt.quarter])["total_amount"].sum().unstack()
    assert (revenue[4] / revenue.sum(axis=1)).between(0.32, 0.38).all()
    growth = revenue.sum(axis=1).pct_change().dropna()
    assert growth.between(0.08, 0.35).all()


def test_black_friday_towers_and_january_dips(default):
    local = default["orders"]["ordered_at"].dt.tz_convert(BERLIN)
    by_day = local.dt.strftime("%Y-%m-%d").value_counts()
    assert by_day["2025-11-28"] > 2.5 * by_day.median()
    by_month = local[local.dt.year > 2022].dt.month.value_counts()
    assert by_month[1] < 0.6 * by_month[12]
    assert by_month.nlargest(2).index.isin([11, 12]).all()


def test_weekends_are_stronger_and_evenings_strongest(default):
    local = default["orders"]["ordered_at"].dt.tz_convert(BERLIN)
    weekend = local.dt.day_of_week >= 5
    assert 1.1 < (weekend.sum() / 2) / ((~weekend).sum() / 5) < 1.5
    hours = local[~weekend].dt.hour.value_counts()
    assert hours.idxmax() in (19, 20, 21)
    assert hours[12] > hours[10]
    assert hours[12] > hours[14]
    assert hours[3] < 0.1 * hours[20]
    share = [local[side].dt.hour.between(9, 16).mean() for side in (weekend, ~weekend)]
    assert share[0] > share[1]


def test_campaigns_run_a_few_times_a_year_with_ten_to_thirty_percent_off(default, sold):
    orders = default["orders"]
    campaigns = orders.dropna(subset="campaign").groupby("campaign")["ordered_at"].agg(["min", "max", "size"])
    assert len(campaigns) == 6 * 4
    assert ((campaigns["max"] - campaigns["min"]).dt.days < 18).all()
    lines = sold.merge(orders[["order_id", "campaign"]], on="order_id")
    percent = lines["discount_amount"] / (lines["quantity"] * lines["unit_price"]) * 100
    promoted = lines["campaign"].notna()
    assert percent[promoted].between(9.8, 30.2).all()
    assert (percent[~promoted] == 0).all()
    black_friday = orders[orders["file_day"] == "2025-11-28"]["campaign"]
    assert 0.3 < black_friday.notna().mean() < 0.6


def test_about_six_percent_of_orders_come_back_and_fashion_most(default, sold, returned):
    assert 0.05 < returned["order_id"].nunique() / 50_000 < 0.075
    category = default["products"].set_index("product_id")["category"]
    rate = (
        returned.groupby(returned["product_id"].map(category)).size()
        / sold.groupby(sold["product_id"].map(category)).size()
    )
    assert rate.idxmax() == "Fashion"
    assert rate["Fashion"] > 3 * rate["Beauty"]


def test_baskets_have_about_three_lines_of_mostly_one_piece(sold):
    assert 2.7 < len(sold) / 50_000 < 3.3
    assert (sold["quantity"] == 1).mean() > 0.8


def test_customers_live_where_their_postal_codes_say_and_have_their_own_address(default):
    customers = default["customers"]
    shares = customers["country"].value_counts(normalize=True)
    assert len(shares) == 8
    assert shares.idxmax() == "DE"
    assert 0.5 < shares["DE"] < 0.65
    assert customers["email"].is_unique
    assert customers["email"].str.fullmatch(r"[a-z]+\.[a-z]+\d+@example\.(com|org|net)").all()
    assert not customers.drop(columns="file_day").isna().any().any()
    formats = {"DE": r"\d{5}", "AT": r"\d{4}", "NL": r"\d{4} [A-Z]{2}", "PL": r"\d{2}-\d{3}"}
    for country, pattern in formats.items():
        assert customers.loc[customers["country"] == country, "postal_code"].str.fullmatch(pattern).all()
    assert customers[customers["city"] == "Wien"]["country"].eq("AT").all()


def test_products_have_distinct_names_charming_prices_and_healthy_margins(default):
    products = default["products"]
    assert products["name"].is_unique
    assert products["category"].nunique() == 8
    assert set(products["unit_price"] % 100) <= {99, 49, 95, 90}
    margin = 1 - products["unit_cost"] / products["unit_price"]
    assert margin.between(0.25, 0.60).all()
    assert 0.9 < (products["is_active"] == "true").mean() < 1


def test_countries_differ_in_how_they_pay(default):
    paid = default["payments"].query("status == 'paid'").merge(default["orders"][["order_id", "customer_id"]])
    paid = paid.merge(default["customers"][["customer_id", "country"]])
    shares = pd.crosstab(paid["country"], paid["method"], normalize="index")
    assert set(shares.columns) == {"card", "paypal", "invoice", "bank_transfer", "gift_card", "instalments"}
    assert shares.loc["FR"].idxmax() == "card"
    assert shares.loc["NL"].idxmax() == "bank_transfer"
    assert shares.loc["DE", "invoice"] > 3 * shares.loc["FR", "invoice"]
