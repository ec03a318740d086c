"""What the values of raw columns look like: how they write numbers and dates, and whether they are ids, codes or texts.

Facts are taken from a sample of texts; nothing here knows names of columns.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from lib.cells.codes import CURRENCIES

_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "R$": "BRL", "zł": "PLN", "₹": "INR", "CHF": "CHF", "kr": ""}
_NUMBER = re.compile(r"[+-]?\d[\d.,' \u00a0\u202f’]*(?:[eE][+-]?\d+)?%?|[+-]?[.,]\d+")
_AROUND = re.compile(
    r"^\(?\s*[-+]?\s*(?:R\$|[$€£¥₹]|zł|CHF|EUR|USD|GBP|kr)?\s*|\s*(?:[$€£¥₹]|zł|CHF|EUR|USD|GBP|kr)?\s*-?\)?$"
)
_DATE = re.compile(
    r"(\d{1,4})([./-])(\d{1,2}|[A-Za-zÀ-ÿ]{3,9}\.?)\2(\d{1,4})"
    r"(?:[ T,]+(\d{1,2}:\d{2})(:\d{2})?(\.\d+)?\s*([AaPp]\.?[Mm]\.?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[A-Z]{3,4})?)?"
)
_WORD_DATE = re.compile(r"[A-Z][a-z]{2}-\d{1,2}-\d{2,4}|\d{1,2}-[A-Z][a-z]{2}-\d{2,4}")


#: Words by which spreadsheets and databases say that there is no value.
NOTHING = frozenset(
    [
        "#N/A",
        "#NV",
        "#NAME?",
        "#REF!",
        "#BEZUG!",
        "#VALUE!",
        "#WERT!",
        "#DIV/0!",
        "#NULL!",
        "#NOMBRE?",
        "n/a",
        "N/A",
        "NA",
        "NaN",
        "nan",
        "null",
        "NULL",
        "None",
        "\\N",
        "-",
        "--",
        "?",
        "n.a.",
    ]
)


@dataclass(frozen=True)
class DateForm:
    """One way in which a column writes dates: the separator, where the year stands and what the time of day is like.

    `high` counts, for the first and the second of the two numbers beside the year, the values above 12.
    """

    separator: str
    year: str
    clock: str
    zone: str
    count: int
    high: tuple[int, int]
    example: str

    @property
    def is_iso(self) -> bool:
        return self.year == "first"

    def pattern(self, day_first: bool) -> str:
        """Return the form as `strptime` reads it."""
        year = "%y" if self.year == "short" else "%Y"
        parts = ["%d", "%m", year] if day_first else ["%m", "%d", year]
        return self.separator.join(parts) + self.clock


@dataclass(frozen=True)
class Values:
    """A column's name and the texts of its sample; a value that is missing is None."""

    name: str
    texts: tuple[str | None, ...]

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The values that are there; words for "no value" are none, and neither is the header once more."""
        texts = (text.strip() for text in self.texts if text is not None)
        return tuple(text for text in texts if text and text != self.name and text not in NOTHING)

    @cached_property
    def nothings(self) -> tuple[str, ...]:
        """The words for "no value" that occur."""
        return tuple(dict.fromkeys(text.strip() for text in self.texts if text is not None and text.strip() in NOTHING))

    @cached_property
    def distinct(self) -> frozenset[str]:
        return frozenset(self.given)

    @property
    def filled(self) -> float:
        """The share of rows that have a value."""
        return len(self.given) / len(self.texts) if self.texts else 0.0

    @cached_property
    def is_number(self) -> bool:
        """Whether nearly all values are numbers, in whatever form."""
        return bool(self.given) and self._share(lambda text: _NUMBER.fullmatch(bare(text)) is not None) >= 0.8

    @cached_property
    def is_time(self) -> bool:
        """Whether nearly all values are dates, serial dates aside."""
        if self.epoch:
            return True
        return self._share(lambda text: _DATE.fullmatch(text) is not None or _WORD_DATE.match(text) is not None) >= 0.6

    @cached_property
    def epoch(self) -> bool:
        """Whether the values are seconds, milliseconds or microseconds since 1970."""
        return (
            bool(self.given) and self._share(lambda t: re.fullmatch(r"1[0-9]{9}(\d{3}|\d{6})?", t) is not None) >= 0.95
        )

    @cached_property
    def is_currency(self) -> bool:
        return bool(self.given) and self._share(lambda text: text.upper() in CURRENCIES) >= 0.95

    @cached_property
    def is_email(self) -> bool:
        return (
            bool(self.given)
            and self._share(lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", text) is not None) >= 0.8
        )

    @cached_property
    def is_country(self) -> bool:
        return bool(self.given) and self._share(lambda text: re.fullmatch(r"[A-Z]{2}", text) is not None) >= 0.95

    @cached_property
    def is_whole(self) -> bool:
        """Whether all values are whole numbers, `2.0` too."""
        return bool(self.given) and self._share(lambda t: re.fullmatch(r"-?\d+([.,]0+)?", bare(t)) is not None) >= 0.98

    @cached_property
    def repeats(self) -> bool:
        return len(self.distinct) < len(self.given)

    @cached_property
    def sign(self) -> str:
        """The currency whose sign most values have."""
        found = Counter(code for t in self.given for sign, code in _SIGNS.items() if sign in t and code)
        return max(found, key=lambda code: found[code], default="")

    def _share(self, fits: Callable[[str], bool]) -> float:
        return sum(map(fits, self.given)) / len(self.given) if self.given else 0.0

    @cached_property
    def date_forms(self) -> tuple[DateForm, ...]:
        """The ways in which dates are written, the most frequent first."""
        counts: Counter[tuple[str, str, str, str]] = Counter()
        high: dict[tuple[str, str, str, str], list[int]] = {}
        examples: dict[tuple[str, str, str, str], str] = {}
        for text in self.given:
            found = _DATE.fullmatch(text)
            if not found or not found[3].isdigit():
                continue
            a, b = found[1], found[3]
            if len(a) == 4:
                year = "first"
            elif len(a) <= 2 and len(found[4]) in (2, 4):
                year = "short" if len(found[4]) == 2 else "long"
            else:
                continue
            clock = ""
            if found[5]:
                hour = "%I" if found[8] else "%H"
                clock = f" {hour}:%M{':%S' if found[6] else ''}{'.%f' if found[7] else ''}{' %p' if found[8] else ''}"
            key = (found[2], year, clock, found[9] or "")
            counts[key] += 1
            over = high.setdefault(key, [0, 0])
            over[0] += year != "first" and int(a) > 12
            over[1] += year != "first" and int(b) > 12
            examples.setdefault(key, text)
        return tuple(
            DateForm(*key, count=n, high=(high[key][0], high[key][1]), example=examples[key])
            for key, n in counts.most_common()
        )


def bare(text: str) -> str:
    """Return a number's text without currency signs, brackets and a sign behind it."""
    return _AROUND.sub("", text.strip())


def number(text: str | None, decimal: str, thousands: str) -> float | None:
    """Return a text as a number in a known form, None where it is none."""
    if text is None or not text.strip():
        return None
    plain = bare(text)
    is_negative = text.strip().startswith(("-", "(")) or text.strip().endswith("-") or "-" in text[:3]
    for mark in {thousands, "\u00a0", "\u202f", " ", "'", "’"} - {decimal, ""}:
        plain = plain.replace(mark, "")
    try:
        value = float(plain.rstrip("%").replace(decimal, "."))
    except ValueError:
        return None
    return -abs(value) if is_negative else value


@dataclass(frozen=True)
class NumberForm:
    """How numbers are written, and what speaks against it: an example of the other form."""

    decimal: str
    thousands: str
    against: str = ""
    unsure: str = ""


def number_form(columns: Iterable[Values], delimiter: str = ",") -> NumberForm:
    """Return how the numbers of some columns are written."""
    comma: list[str] = []
    point: list[str] = []
    grouped: Counter[str] = Counter()
    three: list[str] = []
    for column in columns:
        if not column.is_number or column.is_time:
            continue
        for text in column.given:
            plain = bare(text)
            for mark, pattern in ((" ", r"(?<=\d)[ \u00a0\u202f](?=\d{3})"), ("'", r"(?<=\d)['’](?=\d{3})")):
                if re.search(pattern, plain):
                    grouped[mark] += 1
                    plain = re.sub(pattern, "", plain)
            marks = [c for c in plain if c in ".,"]
            if len(set(marks)) == 2:
                (comma if plain.rfind(",") > plain.rfind(".") else point).append(text)
                grouped["." if plain.rfind(",") > plain.rfind(".") else ","] += 1
            elif len(marks) > 1:
                (point if marks[0] == "," else comma).append(text)
                grouped[marks[0]] += 1
            elif marks and re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", plain):
                three.append(text)
            elif marks:
                (comma if marks[0] == "," else point).append(text)
    by_comma = bool(comma) and delimiter == ";" if len(comma) == len(point) else len(comma) > len(point)
    decimal = "," if by_comma else "."
    other = "." if by_comma else ","
    unsure = ""
    if three and not comma and not point:
        unsure = three[0]
    for text in three:
        # 1.000 beside 12,50 has thousands; 1.250 beside 12.50 has three decimals.
        if other in bare(text):
            grouped[other] += 1
    thousands = next((mark for mark, _ in grouped.most_common() if mark != decimal), "")
    against = (point if by_comma else comma)[:1]
    return NumberForm(decimal, thousands, against[0] if against else "", unsure)


@dataclass(frozen=True)
class DateReading:
    """How a column's dates are read: formats for `timestamp_formats`, and what is to be said about them."""

    formats: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


def date_reading(column: Values, day_first: bool | None = None) -> DateReading:
    """Return how a column's dates are to be read; `day_first` is what other columns of the file show."""
    forms = [f for f in column.date_forms if not f.is_iso and not f.zone]
    if not forms:
        return DateReading()
    days = sum(f.high[0] for f in forms)
    months = sum(f.high[1] for f in forms)
    formats: list[str] = []
    doubts: list[str] = []
    undecided: list[str] = []
    for form in forms:
        first, second = form.high
        if first and second:
            doubts.append(
                f"{column.name}: some dates like {form.example} have the day first and some the month; those with both"
                " parts up to 12 are refused"
            )
            continue
        verdict: bool | None = True if first else False if second else None
        if verdict is None and form.separator == ".":
            verdict = True
        if verdict is None and (days or months) and not (days and months):
            verdict = bool(days)
            doubts.append(
                f"{column.name}: whether {form.example} has the day first cannot be seen from such dates alone; taken"
                f" as the others of the column: {'day' if verdict else 'month'} first"
            )
        if verdict is None:
            verdict = _by_order(column, form)
            if verdict is not None:
                doubts.append(
                    f"{column.name}: no day above 12 shows whether {form.example} has the day first; as"
                    f" {'day' if verdict else 'month'} first the rows are in order of time"
                )
        if verdict is None and day_first is not None:
            verdict = day_first
            doubts.append(
                f"{column.name}: whether {form.example} has the day first cannot be seen; taken as other columns:"
                f" {'day' if verdict else 'month'} first"
            )
        if verdict is None:
            undecided.append(form.example)
        else:
            formats.append(form.pattern(verdict))
    # strptime's %Y also reads 26 as the year 26, so forms with two digits come first.
    formats = sorted(dict.fromkeys(formats), key=lambda f: "%Y" in f)
    return DateReading(tuple(formats), tuple(doubts), tuple(undecided))


def _by_order(column: Values, form: DateForm) -> bool | None:
    """Return whether dates have the day first, by the order of the rows; None where both readings fit, or neither."""
    shares = []
    for day_first in (True, False):
        pattern = form.pattern(day_first)
        times = [t for text in column.given if (t := _parsed(text, pattern)) is not None]
        if len(times) < 5 or len(set(times)) < 4:
            return None
        steps = list(pairwise(times))
        up = sum(a <= b for a, b in steps) / len(steps)
        down = sum(a >= b for a, b in steps) / len(steps)
        shares.append(max(up, down))
    if shares[0] >= 0.98 and shares[1] < 0.85:
        return True
    if shares[1] >= 0.98 and shares[0] < 0.85:
        return False
    return None


def _parsed(text: str, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(text, pattern)
    except ValueError:
        return None
