"""Every rule by which a row is repaired, refused, merged or flagged: its name, and what it does for people to read.

Row rules are applied by `lib.standardize`, set rules by the models in `sql/`, checks are dbt tests that name their rule
in `meta.rule`. Each is described in docs/cleaning.md.
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
    "letter_case": Rule("row", ("repaired",), "Codes, e-mail addresses and names get their usual capitals."),
    "encoding": Rule("row", ("repaired",), "Text that was read in the wrong encoding is read in the right one."),
    "number_text": Rule("row", ("repaired",), "Currency signs and separators are taken out of numbers."),
    "date_format": Rule("row", ("repaired",), "A time in another unmistakable form is read in that form."),
    "zone_missing": Rule("row", ("repaired",), "A time without a zone is read in the source's own."),
    "ambiguous_date": Rule("row", ("rejected", "emptied"), "A date that can be read in two ways is not guessed at."),
    "invalid_email": Rule("row", ("emptied",), "What is no e-mail address is left out."),
    "invalid_country": Rule("row", ("emptied",), "A country code that ISO 3166-1 does not know is left out."),
    "invalid_currency": Rule("row", ("emptied",), "A currency code that ISO 4217 does not know is left out."),
    "date_in_future": Rule("row", ("rejected", "emptied"), "A time that had not come at delivery is not believed."),
    "late_event": Rule("row", ("flagged",), "An event delivered long after it happened still counts, and is flagged."),
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
    "wrong_sign": Rule("set", ("repaired",), "A negative price or quantity is turned where the total then adds up."),
    "zeroed": Rule("set", ("repaired",), "A price or quantity of zero is computed from the order's total."),
    "wrong_unit": Rule("set", ("repaired",), "A price far off is computed from the order's total."),
    # Checks
    "unknown_product": Rule("check", ("flagged",), "The product on a line or event is known."),
    "unknown_visitor_data": Rule("check", ("flagged",), "The customer and order that an event names are known."),
    "order_total": Rule("check", ("flagged",), "An order's total is what its lines add up to."),
    "payment_total": Rule("check", ("flagged",), "What was paid is the order's total."),
    "ordered_before_signup": Rule("check", ("flagged",), "No order is dated before its customer signed up."),
    "paid_before_ordered": Rule("check", ("flagged",), "No order is paid before it is placed."),
    "shipped_before_ordered": Rule("check", ("flagged",), "No order is shipped before it is placed."),
    "price_outlier": Rule("check", ("flagged",), "A price is of the order of the product's other prices."),
    "amount_outlier": Rule("check", ("flagged",), "A payment is of the order of its order's value."),
    "category_swap": Rule("check", ("flagged",), "Products of a subcategory stand in the same category."),
    "double_customer": Rule("check", ("flagged",), "No person has two customer ids."),
    "unusual_volume": Rule("check", ("flagged",), "A day brings about as many rows as days like it."),
    "stale_source": Rule("check", ("flagged",), "Each source has delivered as lately as it usually does."),
}
