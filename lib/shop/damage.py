"""What damage does to a single value: pure functions from the right value to what a system delivers instead.

`draw`, from 0 to 1, picks one of the ways in which a thing goes wrong. All return nothing where the value
does not lend itself to it: nobody could see the damage, or know what the value was. Who is hit is in `defects`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

T = TypeVar("T")

NO_BREAK = "\u00a0"
SIGNS = {"EUR": "€", "USD": "$", "GBP": "£"}
# None of them is in ISO 3166-1 or ISO 4217, and nobody could say which code was meant.
NO_COUNTRIES = ("XX", "ZZ", "QX", "EN", "00", "A1")
NO_CURRENCIES = ("EUX", "ZZZ", "QQQ", "ABC", "EU", "000")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
A_THOUSAND = 1_000_00


def chosen(among: Sequence[T], draw: float) -> T:
    """Return one of several things."""
    return among[min(int(draw * len(among)), len(among) - 1)]


def whitespace(text: str, draw: float) -> str | None:
    """Return a text with blanks before, after or doubled within; nothing for an empty one."""
    if not text.strip():
        return None
    ways = [f" {text}", f"{text} ", f"  {text} ", f"{text}\t", f"{NO_BREAK}{text}"]
    if " " in text:
        ways.append(text.replace(" ", "  ", 1))
    return chosen(ways, draw)


def letter_case(text: str, draw: float) -> str | None:
    """Return a code, an e-mail address or a name in the wrong capitals.

    Codes and addresses are in small or in large letters throughout; a name has a capital at the start of each word, and
    one of other capitals (`Frankfurt am Main`, `McDonald`) is left alone: the usual ones would not restore it.
    """
    if text.islower() or text.isupper():
        ways = [way for way in (text.upper(), text.lower(), text.title()) if way.lower() == text.lower()]
    else:
        ways = [way for way in (text.upper(), text.lower()) if usual_capitals(way) == text]
    ways = [way for way in dict.fromkeys(ways) if way != text]
    return chosen(ways, draw) if ways else None


def usual_capitals(name: str) -> str:
    """Return a name with a capital at the start of each word, words being parted by blanks and hyphens."""
    return " ".join(
        "-".join(part[:1].upper() + part[1:].lower() for part in word.split("-")) for word in name.split(" ")
    )


def mojibake(text: str) -> str | None:
    """Return a text whose UTF-8 bytes were read as Windows-1252; nothing where that changes none or loses some."""
    try:
        read = text.encode().decode("cp1252")
    except UnicodeDecodeError:
        return None
    return read if read != text and read == read.strip() else None


def email(address: str, draw: float) -> str | None:
    """Return what is no e-mail address; nothing for what was none before."""
    mailbox, at, domain = address.partition("@")
    if not (mailbox and at and domain):
        return None
    ways = (
        mailbox,
        f"{mailbox}@",
        f"@{domain}",
        f"{mailbox}@@{domain}",
        f"{mailbox} at {domain}",
        f"{mailbox}.{domain}",
    )
    return chosen(ways, draw)


def country(draw: float) -> str:
    """Return what is no country code."""
    return chosen(NO_COUNTRIES, draw)


def currency(draw: float) -> str:
    """Return what is no currency code."""
    return chosen(NO_CURRENCIES, draw)


def number_text(cents: int, draw: float, money: str = "EUR") -> str | None:
    """Return an amount with a currency sign or separators of thousands; nothing for one below zero.

    `€12.50`, `12.50 EUR`, `12,50 €`, `EUR 12,50`, and from a thousand on `1,234.50`, `1.234,50 €`, `EUR 1 234,50`.
    """
    if cents < 0:
        return None
    sign = SIGNS.get(money, money)
    plain = f"{cents // 100}.{cents % 100:02d}"
    grouped = f"{cents // 100:,}.{cents % 100:02d}"
    comma = grouped.translate(str.maketrans(",.", ".,"))
    ways = [
        f"{sign}{plain}",
        f"{plain} {money}",
        f"{comma} {sign}",
        f"{money} {grouped.replace(',', ' ').replace('.', ',')}",
    ]
    if cents >= A_THOUSAND:
        ways.append(grouped)
    return chosen(ways, draw)


def date_format(seconds: int, draw: float) -> str:
    """Return a UTC instant in an unmistakable form that is not the usual one."""
    at = moment(seconds)
    hour = (at.hour - 1) % 12 + 1
    ways = (
        f"{at:%Y/%m/%d %H:%M:%S} +0000",
        f"{at:%Y%m%dT%H%M%S}Z",
        format_datetime(at),
        str(seconds),
        f"{at:%d.%m.%Y %H:%M:%S} UTC",
        f"{MONTHS[at.month - 1]} {at.day}, {at:%Y} {hour}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'} UTC",
    )
    return chosen(ways, draw)


def ambiguous_date(seconds: int, draw: float) -> str | None:
    """Return a UTC instant whose day and month may be either way round; nothing where one can, or both are the same."""
    at = moment(seconds)
    if at.day > 12 or at.day == at.month:
        return None
    first, second = chosen([(at.day, at.month), (at.month, at.day)], draw)
    return f"{first:02d}/{second:02d}/{at:%Y %H:%M:%S} UTC"


def local_time(seconds: int, zone: str) -> str | None:
    """Return a UTC instant as clocks in a zone show it; nothing where they show the same time twice, or show UTC."""
    at = moment(seconds).astimezone(ZoneInfo(zone))
    shown = at.replace(tzinfo=None)
    is_twice = at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()
    return None if is_twice or not at.utcoffset() else f"{shown:%Y-%m-%d %H:%M:%S}"


def years_ahead(seconds: int, draw: float) -> int:
    """Return an instant 20 to 60 years later, at the same time of day."""
    return seconds + (20 + int(draw * 41)) * 365 * 86_400


def days_before(seconds: int, draw: float, fewest: int, most: int) -> int:
    """Return an instant some days earlier, at the same time of day."""
    return seconds - (fewest + int(draw * (most - fewest + 1))) * 86_400


def moment(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
