"""Which records the shop's systems spoil, and how: kinds of defects, who is hit, and what is done to a value.

Who is hit follows from the record alone: each family (an order with its lines and payments, a customer, a product, an
event) makes one draw, so a family has one defect at most and has it on every day. What was done is noted by `ledger`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lib.shop.chance import uniform_draws
from lib.shop.orders import Ints
from lib.shop.systems import ShopFacts

Label = Literal["repairable", "rejectable", "anomaly", "debatable"]
NONE = -1


@dataclass(frozen=True)
class Kind:
    """A kind of defect: what can be done about it, and what it is, for the owner of the shop to read."""

    label: Label
    description: str


KINDS: dict[str, Kind] = {
    "exact_duplicate": Kind("repairable", "a row occurs twice in a file"),
    "near_duplicate": Kind("repairable", "a row occurs twice in a file, the second time written differently"),
    "resent_changed": Kind("rejectable", "a row occurs twice in a file, the second time with another value"),
    "missing_value": Kind("rejectable", "a value is missing that every row should have"),
    "whitespace": Kind("repairable", "a text has blanks before, after or doubled within it"),
    "letter_case": Kind("repairable", "a text is written in the wrong capitals"),
    "mojibake": Kind("repairable", "a text was read in the wrong encoding"),
    "number_text": Kind("repairable", "an amount has a currency sign or separators of thousands"),
    "date_format": Kind("repairable", "a time is written in another form than all others"),
    "ambiguous_date": Kind("debatable", "a date may be read with day or month first"),
    "local_time": Kind("repairable", "a time is local and does not say so"),
    "invalid_email": Kind("rejectable", "an e-mail address is invalid"),
    "invalid_country": Kind("rejectable", "a country code is invalid"),
    "invalid_currency": Kind("rejectable", "a currency code is invalid"),
    "wrong_sign": Kind("repairable", "a price or a quantity is negative"),
    "zeroed": Kind("repairable", "a price or a quantity is zero"),
    "wrong_unit": Kind("repairable", "a price is in cents"),
    "future_date": Kind("rejectable", "a time lies decades ahead"),
    "before_signup": Kind("rejectable", "an order is dated before its customer signed up"),
    "out_of_sequence": Kind("rejectable", "an order was paid or shipped before it was placed"),
    "orphan": Kind("rejectable", "a row names a customer, order or product that does not exist"),
    "total_mismatch": Kind("rejectable", "an order's total is not what its lines add up to"),
    "payment_mismatch": Kind("rejectable", "what was paid is not the order's total"),
    "price_spike": Kind("anomaly", "a price or an amount is 50 times too high"),
    "category_swap": Kind("anomaly", "a product is in another category than all of its kind"),
    "double_customer": Kind("anomaly", "a person is known under two customer ids"),
    "late_event": Kind("anomaly", "an event is delivered days after it happened"),
    "duplicated_event": Kind("repairable", "an event is delivered twice"),
    "volume_change": Kind("anomaly", "half of a day's events are missing, or all came doubled"),
    "stale_source": Kind("anomaly", "a source has stopped delivering"),
}


def defects_drawn(shop: ShopFacts, family: str, number: Ints, kinds: tuple[str, ...]) -> Ints:
    """Return for each family the position in `kinds` of the defect that hits it, `NONE` for most.

    `number` identifies the families, `family` is what they are, such as `order`; `kinds` are those that the family's
    system can have.
    """
    edges = np.cumsum([shop.defects.rate(kind) for kind in kinds])
    found = np.searchsorted(edges, uniform_draws(shop.seed, f"{family} defects", number), side="right").astype(np.int64)
    return np.where(found < len(kinds), found, NONE)
