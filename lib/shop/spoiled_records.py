"""Which customers and products the marketplace spoils, and in which field.

Of a product every row is spoiled in the same way, whatever changes of it from one to the next.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa

from lib.shop import damage, ledger
from lib.shop.assortment import CATEGORIES
from lib.shop.chance import uniform_draws
from lib.shop.defects import NONE, defects_drawn
from lib.shop.ledger import Cell
from lib.shop.order_damage import SPIKE
from lib.shop.orders import Ints
from lib.shop.spoils import Spoil, Spoils, spoils
from lib.shop.systems import ShopFacts

Record = Mapping[str, str]
#: What a field of a record becomes; nothing where it does not lend itself to that.
Spoiling = Callable[[ShopFacts, Record, str, float], str | None]
#: For each kind the fields that it may hit, of which one that lends itself is chosen, and what it does there.
Damages = dict[str, tuple[tuple[str, ...], Spoiling]]


def _text(spoil: Callable[[str, float], str | None]) -> Spoiling:
    return lambda _, record, field, how: spoil(record[field], how)


def _instant(spoil: Callable[[ShopFacts, int, float], str | None]) -> Spoiling:
    return lambda shop, record, field, how: spoil(shop, _seconds(record[field]), how)


def _seconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp())


def _cents(amount: str) -> int:
    """Return an amount with two decimals in cents."""
    return int(amount.replace(".", ""))


def _other_category(_: ShopFacts, record: Record, field: str, how: float) -> str:
    """Return a category in which there is nothing of the product's subcategory."""
    others = [kind.name for kind in CATEGORIES if record["subcategory"] not in kind.subcategories]
    return str(damage.chosen(others, how))


CUSTOMERS: Damages = {
    "whitespace": (
        ("first_name", "last_name", "email", "phone", "country", "region", "city", "postal_code"),
        _text(damage.whitespace),
    ),
    "letter_case": (("first_name", "last_name", "email", "country", "city"), _text(damage.letter_case)),
    "mojibake": (("first_name", "last_name", "region", "city"), _text(lambda text, _: damage.mojibake(text))),
    "invalid_email": (("email",), _text(damage.email)),
    "invalid_country": (("country",), _text(lambda _, how: damage.country(how))),
    "date_format": (("signup_at",), _instant(lambda _, at, how: damage.date_format(at, how))),
    "local_time": (("signup_at",), _instant(lambda shop, at, _: damage.local_time(at, shop.time_zone))),
    "future_date": (("signup_at",), _instant(lambda _, at, how: ledger.instant(damage.years_ahead(at, how)))),
}
PRODUCTS: Damages = {
    "whitespace": (("name", "category", "subcategory", "brand", "currency"), _text(damage.whitespace)),
    "mojibake": (("name", "brand"), _text(lambda text, _: damage.mojibake(text))),
    "number_text": (
        ("unit_price", "unit_cost"),
        lambda shop, record, field, how: damage.number_text(_cents(record[field]), how, shop.currency),
    ),
    "invalid_currency": (("currency",), _text(lambda _, how: damage.currency(how))),
    "category_swap": (("category",), _other_category),
    "price_spike": (("unit_price",), _text(lambda price, _: ledger.amount(_cents(price) * SPIKE))),
}


def spoiled_records(
    shop: ShopFacts,
    entity: str,
    number: Ints,
    damages: Damages,
    render: Callable[[Ints], dict[str, pa.Array]],
) -> Spoils:
    """Return what the marketplace spoils of its customers or products.

    `number` identifies the record of each row, `render` gives the columns of rows as they should be, the key first.
    """
    kinds = tuple(damages)
    family = f"marketplace {entity.removesuffix('s')}"
    drawn = defects_drawn(shop, family, number, kinds)
    hit = np.flatnonzero(drawn != NONE)
    columns = {name: values.to_pylist() for name, values in render(hit).items()}
    key = next(iter(columns))
    which, how = (
        uniform_draws(shop.seed, f"{family}, {what}", number[hit]).tolist() for what in ("spoiled field", "way")
    )
    found = []
    for i, row in enumerate(hit.tolist()):
        kind = kinds[drawn[row]]
        fields, spoil = damages[kind]
        record = {name: values[i] for name, values in columns.items()}
        ways = [(field, spoil(shop, record, field, how[i])) for field in fields]
        ways = [(field, after) for field, after in ways if after is not None and after != record[field]]
        if ways:
            field, after = damage.chosen(ways, which[i])
            own = record[key]
            found.append(Spoil(row, False, Cell("marketplace", entity, own, own, field, kind, record[field], after)))
    return spoils(found)
