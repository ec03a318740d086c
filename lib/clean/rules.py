"""Every rule by which a row is repaired, rejected, merged or flagged: its name, and what it does for people to read.

Row rules are applied by `lib.clean.standardize`, set rules by the models in `sql/`; checks are dbt tests that name
their rule in `meta.rule`. docs/cleaning.md describes the rules for rows, docs/quality.md the checks.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["row", "set", "check"]

Outcome = Literal["repaired", "emptied", "rejected", "merged", "quarantined", "left_out", "flagged"]


@dataclass(frozen=True)
class Rule:
    """A rule; `is_fault` is false where it says nothing against the row itself, such as that it was delivered again."""

    level: Level
    outcomes: tuple[Outcome, ...]
    description: str
    is_fault: bool = True


RULES: dict[str, Rule] = {
    # Row rules
    "malformed_line": Rule(
        "row", ("rejected",), "A line that does not fit its header is rejected; quarantine keeps its text."
    ),
    "missing": Rule(
        "row",
        ("rejected", "flagged"),
        "A row without a required value is rejected, or flagged where only its source requires the value.",
    ),
    "not_a_number": Rule("row", ("rejected", "emptied"), "A row whose amount or quantity is not a number is rejected."),
    "not_a_date_or_time": Rule("row", ("rejected", "emptied"), "A value that is not a date or time is left empty."),
    "not_a_yes_or_no": Rule("row", ("emptied",), "A value that is neither yes nor no is left empty."),
    "amount_too_large": Rule("row", ("rejected",), "A row with an impossibly large quantity or amount is rejected."),
    "whitespace": Rule("row", ("repaired",), "Blanks around a text are removed; several within it become one."),
    "letter_case": Rule("row", ("repaired",), "Codes, e-mail addresses and names are put into their usual spelling."),
    "encoding": Rule(
        "row",
        ("repaired",),
        "Text that was decoded with the wrong encoding is decoded with the right one, HTML's entities too.",
    ),
    "text_mark": Rule("row", ("repaired",), "A spreadsheet's apostrophe before an id or a postal code is removed."),
    "error_text": Rule("row", ("emptied",), "A spreadsheet's error text, such as #N/A, is no value."),
    "damaged_id": Rule(
        "row", ("rejected", "emptied"), "An id that a spreadsheet rounded, such as 4.711E+12, is not taken for an id."
    ),
    "not_computed": Rule(
        "row", ("rejected", "emptied"), "What the mapping cannot compute from the values of a row is left empty."
    ),
    "unknown_zone": Rule(
        "row",
        ("rejected", "emptied"),
        "A time beside a time zone that nobody knows is not taken for one of another zone.",
    ),
    "left_out": Rule(
        "row", ("left_out",), "A row for which the condition 'where' of its source is not true is left out.", False
    ),
    "repeated_header": Rule("row", ("left_out",), "A line that repeats the header is left out.", False),
    "totals_row": Rule("row", ("left_out",), "A row of totals, which states no order of its own, is left out.", False),
    "number_text": Rule("row", ("repaired",), "Numbers with currency signs or other separators are read as numbers."),
    "date_format": Rule("row", ("repaired",), "A time in another format is read where it has only one meaning."),
    "zone_missing": Rule("row", ("repaired",), "A time without a zone is read in the time zone of its source."),
    "ambiguous_number": Rule(
        "row", ("rejected", "emptied"), "A number whose point may stand before decimals or thousands is not guessed."
    ),
    "ambiguous_date": Rule("row", ("rejected", "emptied"), "A date that can be read in two ways is not guessed."),
    "invalid_email": Rule("row", ("emptied",), "An invalid e-mail address is left empty."),
    "invalid_country": Rule("row", ("emptied",), "A country code that is not in ISO 3166-1 is left empty."),
    "invalid_currency": Rule("row", ("emptied",), "A currency code that is not in ISO 4217 is left empty."),
    "date_in_future": Rule("row", ("rejected", "emptied"), "A time after its delivery is not accepted."),
    # Set rules
    "exact_duplicate": Rule("set", ("merged",), "A row that occurs twice in a file counts once."),
    "repeated_event": Rule("set", ("merged",), "An event that is delivered twice counts once."),
    "delivered_again": Rule("set", ("merged",), "A row that is delivered again in another file counts once.", False),
    "in_another_source": Rule("set", ("merged",), "The same row from two sources counts once.", False),
    "older_version": Rule("set", ("merged",), "Only the newest version of a row counts.", False),
    "restated": Rule("set", ("merged",), "Of an order that is stated anew the newest statement counts, whole.", False),
    "reused_order_number": Rule(
        "set", ("quarantined",), "A number that stands for two orders is refused, until the mapping tells them apart."
    ),
    "conflicting_duplicate": Rule(
        "set",
        ("quarantined",),
        "Of rows in a file that share a key and contradict each other, all but the last are quarantined.",
    ),
    "unknown_order": Rule("set", ("quarantined",), "A line or payment waits until its order is delivered."),
    "unknown_customer": Rule("set", ("quarantined",), "An order waits until its customer is delivered."),
    "order_in_quarantine": Rule("set", ("quarantined",), "A line or payment waits while its order does.", False),
    "wrong_sign": Rule(
        "set", ("repaired",), "A negative price or quantity becomes positive where that makes up the order's total."
    ),
    "zeroed": Rule("set", ("repaired",), "A price or quantity of zero is computed from the order's total."),
    "wrong_unit": Rule(
        "set", ("repaired",), "A price wrong by a factor of ten or more is computed from the order's total."
    ),
    # Checks
    "unknown_product": Rule("check", ("flagged",), "The product of every line and event has been delivered."),
    "unknown_visitor_data": Rule(
        "check", ("flagged",), "The customer and the order that an event names have been delivered."
    ),
    "order_total": Rule("check", ("flagged",), "An order's total is what its lines, discounts and shipping add up to."),
    "line_total": Rule("check", ("flagged",), "A line's total is its quantity times its price."),
    "discount_rate": Rule("check", ("flagged",), "A discount rate is a part of one, such as 0.2."),
    "payment_total": Rule("check", ("flagged",), "The payments of an order add up to its total."),
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
        "check", ("flagged",), "Product ids follow the usual pattern; others are often postage or a fee."
    ),
    "category_swap": Rule("check", ("flagged",), "A product is in the same category as others of its subcategory."),
    "double_customer": Rule(
        "check", ("flagged",), "No e-mail address, and no name with its phone number, has two customer ids."
    ),
    "late_event": Rule(
        "check", ("flagged",), "An event delivered long after it happened still counts, but is flagged."
    ),
    "unusual_volume": Rule("check", ("flagged",), "A day brings about as many rows as comparable days."),
    "distribution_shift": Rule(
        "check", ("flagged",), "The shares of payment methods, devices, categories and channels stay about the same."
    ),
    "stale_source": Rule("check", ("flagged",), "Each source has delivered as recently as it usually does."),
}
