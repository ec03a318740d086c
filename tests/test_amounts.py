"""Amounts: what a line, an order and a payment are worth, however their source states it and in whatever currency."""

import pytest

from lib.base.errors import ConfigError
from lib.clean.exchange_rates import read_exchange_rates
from tests.small_shop import SmallShop, csv, rows


def with_rates(shop: SmallShop, *lines: str, header: str = "date,currency,rate") -> SmallShop:
    path = shop.root / "rates.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv(header, *lines), encoding="utf-8")
    shop.shop = {**shop.shop, "exchange_rates": str(path)}
    return shop


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        ("date,code,rate", ["2025-01-01,USD,0.9"], "has no column 'currency'; it has 'date', 'code', 'rate'"),
        ("date,currency,rate", ["2025-01-01,USD,0.9", "2025-01-02,USD,n/a"], "line 3: rate 'n/a' is not a number"),
        ("date,currency,rate", ["01/02/2025,USD,0.9"], "line 2: date '01/02/2025' is not a date such as 2025-12-31"),
        ("date,currency,rate", ["2025-01-01,Dollar,0.9"], "line 2: currency 'DOLLAR' is not a code of three letters"),
        ("date,currency,rate", ["2025-01-01,USD,-1"], "line 2: rate '-1' is not a number above zero"),
        ("date,currency,rate", ["2025-01-01,USD"], "line 2: rate '' is not a number"),
        ("date,currency,rate", ["2025-01-01,EUR,1.1"], "line 2: one EUR cannot be worth 1.1"),
        ("date,currency,rate", ["2025-01-01,USD,1", "2025-01-01,USD,2"], "line 3: a second rate of USD on 2025-01-01"),
    ],
)
def test_a_bad_file_of_rates_is_refused_with_its_place(tmp_path, header, lines, message):
    shop = with_rates(SmallShop(tmp_path), *lines, header=header)
    with pytest.raises(ConfigError, match=r"^shop\.exchange_rates: rates\.csv") as raised:
        read_exchange_rates(shop.settings)
    assert message in str(raised.value)


def test_a_file_of_rates_that_is_not_there_is_named(tmp_path):
    shop = SmallShop(tmp_path, shop={"exchange_rates": str(tmp_path / "none.csv")})
    with pytest.raises(ConfigError, match=r"none\.csv: no such file"):
        read_exchange_rates(shop.settings)


def test_rates_are_read_with_other_separators_too(tmp_path):
    shop = with_rates(SmallShop(tmp_path), "2025-01-01; usd; 0,97", "2025-01-01;EUR;1", header="Date;Currency;Rate")
    assert read_exchange_rates(shop.settings).values.tolist()[0][1:] == ["USD", 0.97]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, str]:
    """The type of products by their names."""
    names = (
        *("POSTAGE", "DOTCOM POSTAGE", "Manual", "AMAZON FEE", "Bank Charges", "CRUK Commission", "SAMPLES"),
        *("Dotcomgiftshop Gift Voucher £20.00", "E-Gift Card", "Gift Card - 25", "Shipping_fee", "Versandkosten"),
        *("Gift card holder", "Shipping label printer", "Manual coffee grinder", "Sample box of teas", "Plush Postman"),
        *("Engraving", "Coffee", "Discount bin"),
    )
    shop = SmallShop(
        tmp_path_factory.mktemp("shop"), {"products": {}}, config={"models": {"non_products": ["^engrav"]}}
    )
    shop.write("products/1.csv", csv("product_id,name", *(f"p{n},{name}" for n, name in enumerate(names)), "DOT,"))
    return dict(rows(shop.build(), "select name, product_type from warehouse.dim_products"))


def test_what_is_no_product_is_told_by_its_name(kinds):
    assert {name: kind for name, kind in kinds.items() if kind != "product"} == {
        "POSTAGE": "shipping",
        "DOTCOM POSTAGE": "shipping",
        "Manual": "adjustment",
        "AMAZON FEE": "fee",
        "Bank Charges": "fee",
        "CRUK Commission": "fee",
        "SAMPLES": "adjustment",
        "Dotcomgiftshop Gift Voucher £20.00": "gift_card",
        "E-Gift Card": "gift_card",
        "Gift Card - 25": "gift_card",
        "Shipping_fee": "shipping",
        "Versandkosten": "shipping",
        "Engraving": "other",
    }
