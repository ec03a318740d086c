"""Numbers and times as people write them in letters, turned into plain text: `1.234,50 €` into `1234.50`.

Nothing is guessed: what decides between two readings must stand in the same letter, and a date whose day and month
cannot be told apart is left as it stands, for the source's `timestamp_formats`.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone


class Unreadable(Exception):  # noqa: N818
    """A letter cannot be understood; the message says what was found."""


_CURRENCIES = {"€": "EUR", "£": "GBP", "zł": "PLN", "Fr.": "CHF", "sFr.": "CHF", "¥": "JPY"}
_MINUS = str.maketrans("−–‒", "---")
_NUMBER = re.compile(r"(?P<before>[^\d]*)(?P<number>\d[\d.,'’ ]*?)(?P<after>(?:[.,]--?)?\s*[^\d]*)")
# Most numbers are of this form, which needs no second thought.
_SIMPLE = re.compile(r"(?:[A-Z]{3} )?(?P<sign>-?)(?P<whole>\d+)(?:(?P<mark>[.,])(?P<rest>\d\d))?(?: ?(?:€|[A-Z]{3}))?")
_CODE = re.compile(r"(?<![A-Za-z])[A-Z]{3}(?![A-Za-z])")
_SEPARATORS = re.compile(r"[.,'’ ]")
_MONTHS = {
    name: number
    for names in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "jänner feber mrz apr mai jun jul aug sept okt nov dez",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janv févr mars avr mai juin juil aout sept oct nov déc",
    )
    for number, name in enumerate(names.split(), start=1)
}
_DATES = (
    re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)(?!\d)"),
    re.compile(r"(?<!\d)(?P<day>\d\d?)\.\s?(?P<month>\d\d?)\.\s?(?P<year>\d{4})(?!\d)"),
    re.compile(r"(?<!\d)(?P<day>\d\d?)(?:\.|st|nd|rd|th|er)?\s+(?P<name>[^\W\d]{3,})\.?,?\s+(?P<year>\d{4})(?!\d)"),
    re.compile(r"(?P<name>[^\W\d]{3,})\.?\s+(?P<day>\d\d?)(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})(?!\d)"),
)
_SLASHED = re.compile(r"(?<!\d)(?P<one>\d\d?)/(?P<two>\d\d?)/(?P<year>\d{4})(?!\d)")
_TIME = re.compile(
    r"(?<!\d)(?P<hour>\d\d?)\s?[:h]\s?(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?(?:\s*(?P<half>[ap])\.?m\b\.?)?",
    re.I,
)
_ZONE = re.compile(
    r"(?:\b(?:UTC|GMT)\s*)?(?P<sign>[+-])(?P<hours>\d\d?):?(?P<minutes>\d\d)?\b|(?<![A-Za-z])(?P<name>[A-Z]{3,4}|Z)\b"
)
_ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "BST": 60, "WEST": 60, "CET": 60, "MEZ": 60, "CEST": 120, "MESZ": 120,
    "EET": 120, "EEST": 180,
}  # fmt: skip


def currency(texts: Iterable[str]) -> str:
    """Return the currency that amounts are written in, empty where none says; raise Unreadable where it changes."""
    text = "\n".join(texts)
    found = {code for sign, code in _CURRENCIES.items() if sign in text} | set(_CODE.findall(text))
    if len(found) > 1:
        raise Unreadable(f"amounts are in several currencies: {', '.join(sorted(found))}")
    return next(iter(found), "")


def decimal_mark(texts: Iterable[str]) -> str:
    """Return what stands before the decimals in all these numbers, empty where none of them can tell.

    Raises Unreadable where some say one thing and others another.
    """
    found: dict[str, str] = {}
    for text in texts:
        if simple := _SIMPLE.fullmatch(text):
            if simple["mark"]:
                found.setdefault(simple["mark"], text)
            continue
        match = _NUMBER.fullmatch(text.translate(_MINUS).strip())
        if not match:
            continue
        marks = _SEPARATORS.findall(match["number"].strip())
        if not marks or marks[-1] not in ".,":
            continue
        is_last = len(set(marks)) > 1
        decimals = len(re.split(r"[.,]", match["number"].strip())[-1])
        if marks.count(marks[-1]) > 1:
            other = "," if marks[-1] == "." else "."
            found.setdefault(other, text)
        elif is_last or decimals != 3:
            found.setdefault(marks[-1], text)
    if len(found) > 1:
        raise Unreadable(f"numbers are written in two ways: {' and '.join(map(repr, found.values()))}")
    return next(iter(found), "")


def plain_number(text: str, decimal: str) -> str:
    """Return a number in digits with a decimal point; raise Unreadable for what is none."""
    simple = _SIMPLE.fullmatch(text)
    if simple and simple["mark"] in (None, decimal):
        return f"{simple['sign']}{simple['whole']}" + (f".{simple['rest']}" if simple["rest"] else "")
    match = _NUMBER.fullmatch(text.translate(_MINUS).strip())
    if not match or "%" in text:
        raise Unreadable(f"{text!r} is no number")
    number = match["number"].strip()
    if not decimal and re.fullmatch(r"\d+[.,]\d{3}", number):
        raise Unreadable(f"{text!r} may be a thousand times as much; no number in the message tells")
    whole, _, rest = number.partition(decimal) if decimal else (number, "", "")
    groups = _SEPARATORS.split(whole)
    if len(set(_SEPARATORS.findall(whole))) > 1 or any(len(g) != 3 for g in groups[1:]) or not (rest or "0").isdigit():
        raise Unreadable(f"{text!r} is no number")
    negative = "-" in match["before"] or "(" in match["before"] or match["after"].strip().startswith("-")
    return f"{'-' if negative else ''}{''.join(groups)}{'.' if rest else ''}{rest}"


def plain_moment(text: str) -> str:
    """Return a date or time in ISO form, with its distance from UTC where one is stated; else the text as it is."""
    for pattern in _DATES:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            month = _MONTHS.get(parts["name"].lower()) if "name" in parts else int(parts["month"])
            if month:
                return _moment(text, int(parts["year"]), month, int(parts["day"]), match.end())
    slashed = _SLASHED.search(text)
    if slashed:
        one, two = int(slashed["one"]), int(slashed["two"])
        if one > 12 or two > 12 or one == two:
            day, month = (two, one) if two > 12 else (one, two)
            return _moment(text, int(slashed["year"]), month, day, slashed.end())
    return text


def _moment(text: str, year: int, month: int, day: int, behind: int) -> str:
    time = _TIME.search(text, behind)
    try:
        if not time:
            return datetime(year, month, day).date().isoformat()
        hour = int(time["hour"])
        if time["half"]:
            hour = hour % 12 + (12 if time["half"].lower() == "p" else 0)
        at = datetime(year, month, day, hour, int(time["minute"]), int(time["second"] or 0))
    except ValueError:
        return text
    zone = _ZONE.search(text, time.end())
    if zone and zone["sign"]:
        minutes = int(zone["hours"]) * 60 + int(zone["minutes"] or 0)
        return _in_zone(at, -minutes if zone["sign"] == "-" else minutes)
    if zone:
        # A zone that is not known must not be lost: the row rules then find no time there.
        return _in_zone(at, _ZONES[zone["name"]]) if zone["name"] in _ZONES else text
    return at.isoformat(sep=" ")


def _in_zone(at: datetime, minutes: int) -> str:
    zone = timezone(timedelta(minutes=minutes)) if minutes else UTC
    return at.replace(tzinfo=zone).isoformat(sep=" ")
