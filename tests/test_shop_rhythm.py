"""The life of the simulated shop is believable: when, what and how much is bought, by whom, and how it is paid."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from lib.shop.assortment import CATEGORIES
from lib.shop.channels import STORE
from lib.shop.payments import METHODS
from lib.shop.places import COUNTRIES
from tests.life_tables import CLOSE, SIZE, YEARS, day_number, default_life


@pytest.fixture(scope="module")
def tables():
    return default_life()


@pytest.fixture(scope="module")
def life(tables):
    return tables.life


@pytest.fixture(scope="module")
def orders(tables):
    return tables.orders


def test_the_shop_trades_on_nearly_every_day_of_eleven_years(orders):
    days = orders.loc[orders["day"] <= CLOSE, "day"].nunique()
    assert days > 0.97 * (CLOSE + 1)


def test_business_grows_and_the_last_year_has_about_a_fifth_of_it(orders):
    by_year = orders.groupby("year").size()
    assert by_year.index.tolist() == list(YEARS)
    assert 0.19 < by_year[2025] / by_year.sum() < 0.25
    growth = by_year.pct_change().dropna()
    assert growth.between(0.05, 0.5).all()
    assert 0.15 < growth.mean() < 0.35


def test_customers_return_after_about_four_weeks_and_differ_widely(orders):
    ordered = orders.sort_values(["customer", "at"])
    gaps = ordered.groupby("customer")["at"].diff() / 86_400
    assert 20 <= gaps.median() <= 36
    counts = orders["customer"].value_counts()
    assert 0.2 < (counts == 1).mean() < 0.45
    assert counts.head(len(counts) // 10).sum() / counts.sum() > 0.33
    assert counts.max() > 50


def test_the_best_fifth_of_products_sells_most_units(tables):
    units = tables.sold.groupby("product")["quantity"].sum().sort_values(ascending=False)
    assert 0.55 <= units.head(SIZE.products // 5).sum() / units.sum() <= 0.8


def test_the_fourth_quarter_is_the_strongest(orders):
    revenue = orders.groupby(["year", orders["month"] // 3])["total"].sum().unstack()
    assert (revenue[3] / revenue.sum(axis=1)).between(0.31, 0.39).all()


def test_black_friday_towers_and_january_dips(orders):
    by_day = orders.loc[orders["year"] == 2025, "day"].value_counts()
    assert by_day[day_number(date(2025, 11, 28))] > 2.5 * by_day.median()
    by_month = orders.loc[orders["year"] > 2015, "month"].value_counts()
    assert by_month[0] < 0.6 * by_month[11]
    assert by_month.nlargest(2).index.isin([10, 11]).all()


def test_weekends_are_stronger_and_evenings_strongest(orders):
    when = orders["local"]
    weekend = when.dt.day_of_week >= 5
    assert 1.1 < (weekend.sum() / 2) / ((~weekend).sum() / 5) < 1.5
    hours = when[~weekend].dt.hour.value_counts()
    assert hours.idxmax() in (19, 20, 21)
    assert hours[12] > hours[10]
    assert hours[12] > hours[14]
    assert hours[3] < 0.1 * hours[20]
    share = [when[side].dt.hour.between(9, 16).mean() for side in (weekend, ~weekend)]
    assert share[0] > share[1]


def test_campaigns_run_a_few_times_a_year_with_ten_to_thirty_percent_off(tables):
    orders, sold = tables.orders, tables.sold
    campaigns = orders[orders["campaign"] > 0].groupby("campaign")["day"].agg(["min", "max"])
    assert len(campaigns) == 6 * len(YEARS)
    assert (campaigns["max"] - campaigns["min"] < 18).all()
    percent = sold["discount"] / (sold["quantity"] * sold["price"]) * 100
    promoted = orders["campaign"][sold["order"]].to_numpy() > 0
    assert percent[promoted].between(9.5, 30.5).all()
    assert (percent[~promoted] == 0).all()
    black_friday = orders.loc[orders["day"] == day_number(date(2025, 11, 28)), "campaign"]
    assert 0.3 < (black_friday > 0).mean() < 0.6


def test_about_six_percent_of_orders_come_back_and_fashion_most(tables):
    life = tables.life
    assert 0.05 < tables.returned["order"].nunique() / SIZE.orders < 0.075
    category = np.array([kind.name for kind in CATEGORIES])[life.catalogue.category]
    rate = (
        tables.returned.groupby(category[tables.returned["product"]]).size()
        / tables.sold.groupby(category[tables.sold["product"]]).size()
    )
    assert rate.idxmax() == "Fashion"
    assert rate["Fashion"] > 3 * rate["Beauty"]


def test_baskets_have_about_three_lines_of_mostly_one_piece(tables):
    assert 2.7 < len(tables.sold) / SIZE.orders < 3.3
    assert (tables.sold["quantity"] == 1).mean() > 0.8


def test_customers_live_where_their_postal_codes_say_and_have_their_own_address(life):
    customers = life.customers.details.to_pandas()
    shares = customers["country"].value_counts(normalize=True)
    assert len(shares) == 8
    assert shares.idxmax() == "DE"
    assert 0.5 < shares["DE"] < 0.65
    assert customers["email"].is_unique
    assert customers["email"].str.fullmatch(r"[a-z]+\.[a-z]+\d+@example\.(com|org|net)").all()
    formats = {"DE": r"\d{5}", "AT": r"\d{4}", "NL": r"\d{4} [A-Z]{2}", "PL": r"\d{2}-\d{3}"}
    for found in (customers, life.customer_changes.details.to_pandas()):
        assert not found.isna().any().any()
        for country, pattern in formats.items():
            assert found.loc[found["country"] == country, "postal_code"].str.fullmatch(pattern).all()
        assert found[found["city"] == "Wien"]["country"].eq("AT").all()


def test_products_have_distinct_names_charming_prices_and_healthy_margins(life):
    catalogue = life.catalogue
    assert catalogue.details["name"].to_pandas().is_unique
    assert len(np.unique(catalogue.category)) == 8
    assert set(catalogue.price % 100) <= {99, 49, 95, 90}
    margin = 1 - catalogue.cost / catalogue.price
    assert ((margin > 0.25) & (margin < 0.60)).all()
    np.testing.assert_allclose(catalogue.demand.sum(axis=1), 1)


def test_countries_differ_in_how_they_pay_and_stores_take_what_a_till_takes(tables):
    paid = tables.payments.query("status == 'paid'")
    own = tables.orders.loc[paid["order"]]
    method = pd.Series(np.array(METHODS)[paid["method"]], index=own.index)
    country = np.array([land.code for land in COUNTRIES])[tables.life.customers.country[own["customer"]]]
    elsewhere = own["channel"] != STORE
    shares = pd.crosstab(country[elsewhere], method[elsewhere], normalize="index")
    assert set(shares.columns) == set(METHODS)
    assert shares.loc["FR"].idxmax() == "card"
    assert shares.loc["NL"].idxmax() == "bank_transfer"
    assert shares.loc["DE", "invoice"] > 3 * shares.loc["FR", "invoice"]
    assert set(method[~elsewhere]) <= {"card", "gift_card", "instalments", "invoice"}
