"""Every rule by which a row is repaired, refused, merged or flagged: its name, and what it does for people to read.

Row rules are applied by `lib.clean.standardize`, set rules by the models in `sql/`, checks are dbt tests that name
their rule in `meta.rule`. Each is described in docs/cleaning.md.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["row", "set", "check"]


Outcome = Literal["repaired", "emptied", "rejected", "merged", "quarantined", "flagged"]


@dataclass(frozen=True)
class Rule:
    """A rule; `is_fault` is false where it says nothing against the row itself, such as that it came again."""

    level: Level
    outcomes: tuple[Outcome, ...]
    says: str
    is_fault: bool = True


RULES: dict[str, Rule] = {
    # Row rules
    "malformed_line": Rule("row", ("rejected",), "A line that does not fit its header is kept as text in quarantine."),
    "missing": Rule(
        "row",
        ("rejected", "flagged"),
        "Without a value that it cannot do without a row is refused; one that its source should state is flagged.",
    ),
    "not_a_number": Rule("row", ("rejected", "emptied"), "A text that is no number is refused."),
    "not_a_whole_number": Rule("row", ("rejected", "emptied"), "A text that is no whole number is left out."),
    "not_a_date_or_time": Rule("row", ("rejected", "emptied"), "A text that is no date or time is left out."),
    "not_a_yes_or_no": Rule("row", ("emptied",), "A text that is neither yes nor no is left out."),
    "amount_too_large": Rule("row", ("rejected",), "A quantity or amount beyond all measure is a slip."),
    "whitespace": Rule("row", ("repaired",), "Blanks around a text are cut off, several within it become one."),
    "letter_case": Rule("row", ("repaired",), "Codes, e-mail addresses and names are written in their usual way."),
    "encoding": Rule("row", ("repaired",), "Text that was read in the wrong encoding is read in the right one."),
    "number_text": Rule("row", ("repaired",), "Currency signs and separators are taken out of numbers."),
    "date_format": Rule("row", ("repaired",), "A time in another unmistakable form is read in that form."),
    "zone_missing": Rule("row", ("repaired",), "A time without a zone is read in the source's own."),
    "ambiguous_date": Rule("row", ("rejected", "emptied"), "A date that can be read in two ways is not guessed at."),
    "invalid_email": Rule("row", ("emptied",), "What is no e-mail address is left out."),
    "invalid_country": Rule("row", ("emptied",), "A country code that ISO 3166-1 does not know is left out."),
    "invalid_currency": Rule("row", ("emptied",), "A currency code that ISO 4217 does not know is left out."),
    "date_in_future": Rule("row", ("rejected", "emptied"), "A time that had not come at delivery is not believed."),
    # Set rules
    "exact_duplicate": Rule("set", ("merged",), "A row that stands twice in a file counts once."),
    "repeated_event": Rule("set", ("merged",), "An event that is delivered twice counts once."),
    "delivered_again": Rule("set", ("merged",), "A row that comes again in another file counts once.", is_fault=False),
    "in_another_source": Rule("set", ("merged",), "The same row from two systems counts once.", is_fault=False),
    "older_version": Rule("set", ("merged",), "Of a row's versions the newest counts.", is_fault=False),
    "conflicting_duplicate": Rule("set", ("quarantined",), "Two rows of a file with one key contradict each other."),
    "unknown_order": Rule("set", ("quarantined",), "A line or payment waits until its order is delivered."),
    "unknown_customer": Rule("set", ("quarantined",), "An order waits until its customer is delivered."),
    "order_in_quarantine": Rule(
        "set", ("quarantined",), "A line or payment waits with its order in quarantine.", is_fault=False
    ),
    "wrong_sign": Rule(
        "set", ("repaired",), "A negative price or quantity is turned where the order then comes to its total."
    ),
    "zeroed": Rule("set", ("repaired",), "A price or quantity of zero is computed from the order's total."),
    "wrong_unit": Rule(
        "set", ("repaired",), "A price ten times too high or low, or more, is computed from the order's total."
    ),
    # Checks
    "unknown_product": Rule("check", ("flagged",), "The product that a line or event names has been delivered."),
    "unknown_visitor_data": Rule(
        "check", ("flagged",), "The customer and the order that an event names have been delivered."
    ),
    "order_total": Rule("check", ("flagged",), "An order's total is what its lines, discounts and shipping add up to."),
    "payment_total": Rule("check", ("flagged",), "What was paid is the order's total."),
    "ordered_before_signup": Rule(
        "check", ("flagged",), "No order is dated a day or more before its customer signed up."
    ),
    "paid_before_ordered": Rule("check", ("flagged",), "No order is paid a day or more before it is placed."),
    "shipped_before_ordered": Rule("check", ("flagged",), "No order is shipped a day or more before it is placed."),
    "price_outlier": Rule(
        "check", ("flagged",), "No price is more than eight times as high or low as the product's usual one."
    ),
    "amount_outlier": Rule("check", ("flagged",), "No payment is more than eight times its order's value."),
    "odd_product_id": Rule(
        "check", ("flagged",), "A product id is written like most others: what is not is often postage or a fee."
    ),
    "category_swap": Rule("check", ("flagged",), "A product stands in a category in which others of its kind stand."),
    "double_customer": Rule(
        "check", ("flagged",), "No e-mail address, and no name with its phone number, has two customer ids."
    ),
    "late_event": Rule(
        "check", ("flagged",), "An event delivered long after it happened still counts, and is flagged."
    ),
    "unusual_volume": Rule("check", ("flagged",), "A day has about as many rows as similar days."),
    "distribution_shift": Rule(
        "check", ("flagged",), "Payment methods, devices, categories and channels keep about their shares."
    ),
    "stale_source": Rule("check", ("flagged",), "Each source has delivered as recently as usual."),
}
