"""What each kind of defect makes of an order: in which fields it may strike, and what their values become.

An order's sums stay solvable: a wrong price or quantity hits one sold line of an order whose total and payments are
right, and nothing that depends on amounts hits an order with returned goods. A value that cannot be spoiled, such as
a date for two readings on the 25th, stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lib.shop import damage, ledger
from lib.shop.promotions import campaigns
from lib.shop.spoils import WHOLE_ROW

Value = str | int | None
Field = tuple[str, str]
#: What a field's value becomes in an order: itself where it cannot be spoiled.
Spoiling = Callable[["Family", Field, Any], Value]
ENTITIES = ("orders", "order_items", "payments")


def fields_of(text: str) -> tuple[Field, ...]:
    """Parse words like `orders.status`."""
    return tuple((entity, field) for entity, _, field in (word.partition(".") for word in text.split()))


TEXTS = fields_of(
    "orders.customer_id orders.status orders.channel orders.campaign orders.currency order_items.product_id"
    " payments.method payments.currency payments.status"
)
CODES = fields_of("orders.status orders.channel orders.currency payments.method payments.currency payments.status")
CURRENCIES = fields_of("orders.currency payments.currency")
AMOUNTS = fields_of(
    "orders.discount_amount orders.shipping_amount orders.tax_amount orders.total_amount order_items.unit_price"
    " order_items.discount_amount payments.amount"
)
TIMES = fields_of("orders.ordered_at payments.paid_at")
IDS = fields_of("orders.customer_id order_items.order_id order_items.product_id payments.order_id")
FACTORS = fields_of("order_items.unit_price order_items.quantity")
ROWS = tuple((entity, WHOLE_ROW) for entity in ENTITIES)
CHANGED = fields_of("orders.campaign orders.total_amount order_items.quantity payments.amount")
PRICE, PRICE_OR_AMOUNT = fields_of("order_items.unit_price"), fields_of("order_items.unit_price payments.amount")
# The factors of a price in cents and of a price spike; by what a wrong sum is off: the least in cents, and a share.
CENTS, SPIKE = 100, 50
LEAST_OFF, OFF_BY = 300, (0.1, 0.4)
# An order moved before its customer's sign-up, and one paid or shipped before it was placed, by days.
BEFORE_SIGNUP, TOO_EARLY = (2, 400), (2, 60)
DAY = 86_400
# How often a row occurs in its file.
ONCE, TWICE = "1", "2"
# Beyond every number that any system of the shop will ever assign.
NOBODY, NO_ORDER, NO_PRODUCT = 99_000_000, 90_000_000, 9_000


@dataclass(frozen=True)
class Family:
    """An order that is to be spoiled, with one of its sold lines and one of the payments that were paid, if any was.

    `values` has every field, amounts in cents and times in UTC seconds; `row` the positions in the `ShopLife`. `how` is
    the draw that decides how a value is spoiled.
    """

    system: str
    number: int
    order_id: str
    year: int
    row: dict[str, int]
    values: dict[Field, Value]
    currency: str
    time_zone: str
    how: float
    signed_up: int
    shipped_on: int
    second_day: int
    is_cancelled: bool
    has_returns: bool

    @property
    def ordered_at(self) -> int:
        return int(self.values["orders", "ordered_at"] or 0)


def written(field: Field, value: Value) -> str | None:
    """Return a value as the ledger writes it: a number by its field, a text as it is."""
    if value is None or isinstance(value, str):
        return value
    if field in AMOUNTS:
        return ledger.amount(value)
    return ledger.instant(value) if field[1].endswith("_at") else str(value)


def _texts(spoil: Callable[[str, float], str | None]) -> Spoiling:
    """Return how a text is spoiled that is there at all."""
    return lambda family, _, value: (spoil(value, family.how) or value) if value else value


def _written_otherwise(family: Family, field: Field, value: Any) -> Value:
    """Return the same value in other capitals, with blanks, or as text where it is an amount."""
    if field in AMOUNTS:
        return damage.number_text(value, family.how, family.currency)
    return _texts(damage.letter_case if field in CODES else damage.whitespace)(family, field, value)


def _changed(family: Family, field: Field, value: Any) -> Value:
    """Return a value as it is when the row occurs the second time."""
    if field[1] == "campaign":
        others = [campaign.name for campaign in campaigns(family.year) if campaign.name != value]
        return damage.chosen(others, family.how) if value else value
    if field[1] == "quantity":
        return int(value) + 1
    return int(value) + LEAST_OFF + int(family.how * 1_700)


def _nobody(family: Family, field: Field, _: Any) -> Value:
    """Return an id that nobody and nothing has."""
    if field[1] == "customer_id":
        return f"C{NOBODY + int(family.how * 999_999)}"
    if field[1] == "product_id":
        return f"P{NO_PRODUCT + int(family.how * 999)}"
    return f"{family.order_id[:2]}{family.number + NO_ORDER:08d}"


def _off(family: Family, field: Field, value: Any) -> Value:
    """Return another amount, that nothing which belongs to the order explains."""
    least, most = OFF_BY
    by = max(LEAST_OFF, int(value * (least + family.how * (most - least))))
    parts = [int(family.values["orders", f"{part}_amount"] or 0) for part in ("tax", "shipping", "discount")]
    while any(abs(by - part) < CENTS for part in parts):
        by += CENTS + CENTS // 2
    # The last digits of the draw are as good as another draw.
    return value - by if int(family.how * 1_000) % 2 and value - by >= LEAST_OFF else value + by


def _before_signup(family: Family, _: Field, value: Any) -> Value:
    fewest, most = BEFORE_SIGNUP
    room = min(most, (family.signed_up - family.second_day) // DAY)
    return damage.days_before(family.signed_up, family.how, fewest, room) if room >= fewest else value


def _too_early(family: Family, _: Field, value: Any) -> Value:
    """Return a time before the order was placed; an order that is never shipped has none to spoil."""
    fewest, most = TOO_EARLY
    room = min(most, (family.ordered_at - family.second_day) // DAY)
    return damage.days_before(family.ordered_at, family.how, fewest, room) if room >= fewest and value else value


def _if(condition: Callable[[Family], bool], spoil: Callable[[Family, Field, Any], Value]) -> Spoiling:
    return lambda family, field, value: spoil(family, field, value) if condition(family) else value


def _nothing_returned(family: Family) -> bool:
    return not family.has_returns


def _is_settled(family: Family) -> bool:
    """Return whether what was ordered, sent and paid is the same and stays so."""
    return not family.is_cancelled and not family.has_returns


#: Where each kind may strike, and what it does there.
DAMAGES: dict[str, tuple[tuple[Field, ...], Spoiling]] = {
    "exact_duplicate": (ROWS, lambda *_: TWICE),
    "near_duplicate": ((*TEXTS, *AMOUNTS), _written_otherwise),
    "resent_changed": (CHANGED, _changed),
    "missing_value": ((), lambda *_: None),
    "whitespace": (TEXTS, _texts(damage.whitespace)),
    "letter_case": (CODES, _texts(damage.letter_case)),
    "number_text": (AMOUNTS, _written_otherwise),
    "date_format": (TIMES, lambda family, _, value: damage.date_format(value, family.how)),
    "ambiguous_date": (TIMES, lambda family, _, value: damage.ambiguous_date(value, family.how) or value),
    "local_time": (TIMES, lambda family, _, value: damage.local_time(value, family.time_zone) or value),
    "invalid_currency": (CURRENCIES, lambda family, *_: damage.currency(family.how)),
    "wrong_sign": (FACTORS, _if(_nothing_returned, lambda family, field, value: -value)),
    "zeroed": (FACTORS, _if(_nothing_returned, lambda family, field, value: 0)),
    "wrong_unit": (PRICE, _if(_nothing_returned, lambda family, field, value: value * CENTS)),
    "future_date": (TIMES, lambda family, _, value: damage.years_ahead(value, family.how)),
    "before_signup": (fields_of("orders.ordered_at"), _before_signup),
    "out_of_sequence": (fields_of("payments.paid_at orders.shipped_at"), _too_early),
    "orphan": (IDS, _nobody),
    "total_mismatch": (fields_of("orders.total_amount"), _if(_is_settled, _off)),
    "payment_mismatch": (fields_of("payments.amount"), _if(_is_settled, _off)),
    "price_spike": (PRICE_OR_AMOUNT, _if(_is_settled, lambda family, field, value: value * SPIKE)),
}
COPIES = ("exact_duplicate", "near_duplicate", "resent_changed")
