"""Customers: when they sign up, who they are, where they live. What they buy is in `habits` and `orders`."""

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from faker.factory import Factory
from numpy.typing import NDArray

from lib.shop.chance import pick
from lib.shop.places import COUNTRIES
from lib.shop.rhythm import Clock, to_instants

FIRST_NAMES, LAST_NAMES, POSTAL_CODES = 150, 300, 40
EMAIL_DOMAINS = ("example.com", "example.org", "example.net")
DISTINCT_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ł": "l", "ø": "o", "æ": "ae"})


@dataclass(frozen=True)
class Customers:
    """Customers in order of signing up: number (from 1), UTC second of signing up, position in `COUNTRIES`.

    `details` has the text columns of the export, one row a customer.
    """

    number: NDArray[np.int64]
    signed_up: NDArray[np.int64]
    country: NDArray[np.int64]
    details: pa.Table


@dataclass(frozen=True)
class Pool:
    """Names and addresses to draw from, country after country.

    `cities` and `regions` have one value a city; `postal_codes` has `POSTAL_CODES` a city, in the same order.
    """

    first_names: pa.Array
    first_slugs: pa.Array
    last_names: pa.Array
    last_slugs: pa.Array
    cities: pa.Array
    regions: pa.Array
    postal_codes: pa.Array
    city_start: NDArray[np.int64]


def sign_up(
    rng: np.random.Generator, timepiece: Clock, first: float, last: float, n: int, numbered_from: int
) -> Customers:
    """Return `n` new customers who arrive between two points of the clock's scale of arrivals."""
    arrivals = np.sort(rng.uniform(first, last, n))
    signed_up = to_instants(timepiece, timepiece.arrivals, arrivals)
    number = np.arange(numbered_from, numbered_from + n)
    country = pick(rng, [land.weight for land in COUNTRIES], n)
    return Customers(number, signed_up, country, details(rng, number, country))


def details(rng: np.random.Generator, number: NDArray[np.int64], country: NDArray[np.int64]) -> pa.Table:
    """Return names and addresses that fit each customer's country; e-mail addresses carry the number."""
    names, n = pool(), len(number)
    first = country * FIRST_NAMES + rng.integers(0, FIRST_NAMES, n)
    last = country * LAST_NAMES + rng.integers(0, LAST_NAMES, n)
    address = addresses(rng, country)
    mailbox = pc.binary_join_element_wise(
        names.first_slugs.take(first),
        ".",
        names.last_slugs.take(last),
        pa.array(number).cast(pa.string()),
        "",
    )
    return pa.table(
        {
            "first_name": names.first_names.take(first),
            "last_name": names.last_names.take(last),
            "email": pc.binary_join_element_wise(mailbox, domains(rng, n), "@"),
            "phone": phones(rng, country),
            "country": pa.array([land.code for land in COUNTRIES]).take(country),
            **address,
        }
    )


def addresses(rng: np.random.Generator, country: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Return region, city and postal code of a home in each country."""
    names = pool()
    city = np.empty(len(country), dtype=np.int64)
    for position, land in enumerate(COUNTRIES):
        here = np.flatnonzero(country == position)
        weights = [place.weight for place in land.cities]
        city[here] = names.city_start[position] + pick(rng, weights, len(here))
    postal = city * POSTAL_CODES + rng.integers(0, POSTAL_CODES, len(country))
    return {
        "region": names.regions.take(city),
        "city": names.cities.take(city),
        "postal_code": names.postal_codes.take(postal),
    }


def phones(rng: np.random.Generator, country: NDArray[np.int64]) -> pa.Array:
    """Return a mobile number of each country."""
    subscriber = pc.utf8_lpad(pa.array(rng.integers(0, 10**8, len(country))).cast(pa.string()), 8, "0")
    return pc.binary_join_element_wise(pa.array([land.dial for land in COUNTRIES]).take(country), subscriber, "")


def domains(rng: np.random.Generator, n: int) -> pa.Array:
    """Return the part of `n` e-mail addresses behind the @."""
    return pa.array(EMAIL_DOMAINS).take(pick(rng, (6, 2, 2), n))


@cache
def pool() -> Pool:
    """Return the same pool for every shop; a shop's own seed decides who gets what from it."""
    first_names: list[str] = []
    last_names: list[str] = []
    for position, land in enumerate(COUNTRIES):
        fake = Factory.create(land.locale, providers=["faker.providers.person"])
        fake.seed_instance(position)
        first_names += [fake.format("first_name") for _ in range(FIRST_NAMES)]
        last_names += [fake.format("last_name") for _ in range(LAST_NAMES)]
    cities = [place for land in COUNTRIES for place in land.cities]
    rng = np.random.default_rng(len(cities))
    starts = np.cumsum([0, *(len(land.cities) for land in COUNTRIES)])[:-1]
    return Pool(
        pa.array(first_names),
        pa.array([slug(name) for name in first_names]),
        pa.array(last_names),
        pa.array([slug(name) for name in last_names]),
        pa.array([place.name for place in cities]),
        pa.array([place.region for place in cities]),
        pa.array([fill(rng, place.postal) for place in cities for _ in range(POSTAL_CODES)]),
        starts,
    )


def slug(name: str) -> str:
    """Return a name in the plain letters of a mailbox: `Geißler` becomes `geissler`."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(DISTINCT_LETTERS))
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha())


def fill(rng: np.random.Generator, pattern: str) -> str:
    """Return a postal pattern with digits for `#` and letters for `?`."""
    digits = rng.integers(0, 10, len(pattern))
    letters = rng.integers(0, 26, len(pattern))
    choices = {"#": lambda i: str(digits[i]), "?": lambda i: chr(65 + letters[i])}
    return "".join(choices[sign](i) if sign in choices else sign for i, sign in enumerate(pattern))
