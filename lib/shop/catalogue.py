"""Products: names, prices, costs, when they are launched, how well each sells and what sells with it.

Orders draw from it; how prices change later, and what is discontinued, is in `changes`.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.shop.assortment import CATEGORIES, QUALITIES, Category
from lib.shop.chance import pick, stream
from lib.shop.rhythm import Stretch

# Spread of the lognormal popularity: at 1.25 the best fifth of the products sells about two thirds.
POPULARITY_SPREAD = 1.25
# Share of the products there from the first day on; the rest is launched over the founding years.
AT_THE_OPENING, QUIET_DAYS = 0.62, 30
LAUNCHES_A_YEAR = 0.02
COMPANIONS = 3
ENDINGS, ENDING_WEIGHTS = np.array([99, 49, 95, 90]), (6, 2, 1.5, 0.5)


@dataclass(frozen=True)
class Catalogue:
    """Products in order of their launch; price and cost in cents and `is_active` as they are at the launch.

    `launched` is a day number. `demand` is months x products: each row sums to 1 over the founding stretch's
    products, and later ones come on top; who draws from it must leave out what is not on sale that day.
    `companions` is products x 3: what is often put in the basket with it. `category` is a position in
    `CATEGORIES`; `details` has name, category, subcategory and brand.
    """

    category: NDArray[np.int64]
    launched: NDArray[np.int16]
    price: NDArray[np.int64]
    cost: NDArray[np.int64]
    is_active: NDArray[np.bool_]
    demand: NDArray[np.float64]
    companions: NDArray[np.int64]
    details: pa.Table


def stock(seed: int, n: int, stretches: list[Stretch]) -> Catalogue:
    """Return `n` products launched in the founding stretch and a few more for each later one."""
    category, launched, price, cost = (np.empty(0, dtype=np.int64) for _ in range(4))
    appeal = np.empty(0)
    companions = np.empty((0, COMPANIONS), dtype=np.int64)
    for stretch in stretches:
        rng = stream(seed, stretch.stream, "catalogue")
        days = launches(rng, n, stretch)
        shares = [kind.share for kind in CATEGORIES]
        kinds = pick(rng, shares, len(days))
        # The opening's assortment is listed by category, what comes later as it comes.
        opening = int((days == 0).sum())
        kinds[:opening].sort()
        prices, costs, appeals = terms(rng, kinds)
        category, launched = np.concatenate([category, kinds]), np.concatenate([launched, days])
        price, cost = np.concatenate([price, prices]), np.concatenate([cost, costs])
        appeal = np.concatenate([appeal, appeals])
        fitting = find_companions(rng, kinds, category, appeal)
        companions = np.concatenate([companions, fitting])

    seasons = np.array([kind.seasons for kind in CATEGORIES])
    demand = appeal * seasons[category].T
    demand /= demand[:, :n].sum(axis=1, keepdims=True)
    subcategory, brand, name = names(stream(seed, stretches[0].stream, "names"), category)
    details = pa.table(
        {
            "name": name,
            "category": pa.array([kind.name for kind in CATEGORIES]).take(category),
            "subcategory": subcategory,
            "brand": brand,
        }
    )
    is_active = np.ones(len(category), dtype=bool)
    return Catalogue(category, launched.astype(np.int16), price, cost, is_active, demand, companions, details)


def launches(rng: np.random.Generator, n: int, stretch: Stretch) -> NDArray[np.int64]:
    """Return the days on which a stretch's new products are launched, in order of time."""
    if stretch.first == 0:
        opening = np.zeros(round(AT_THE_OPENING * n), dtype=np.int64)
        return np.concatenate([opening, np.sort(rng.integers(QUIET_DAYS, stretch.last, n - len(opening)))])
    return np.sort(rng.integers(stretch.first, stretch.last, max(1, round(LAUNCHES_A_YEAR * n))))


def terms(
    rng: np.random.Generator, category: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return price, cost and appeal of new products of the given categories."""
    n = len(category)
    typical = np.array([kind.typical_price for kind in CATEGORIES])[category]
    spread = np.array([kind.price_spread for kind in CATEGORIES])[category]
    euros = np.clip(np.floor(typical * rng.lognormal(0, spread)), 2, 1_999).astype(np.int64)
    price = euros * 100 + ENDINGS[pick(rng, ENDING_WEIGHTS, n)]
    cost = np.rint(price * (1 - rng.uniform(0.26, 0.59, n))).astype(np.int64)
    # Dear products sell fewer pieces than cheap ones of their kind.
    appeal = rng.lognormal(0, POPULARITY_SPREAD, n) * np.clip(price / (typical * 100), 0.2, 5) ** -0.3
    return price, cost, appeal


def names(rng: np.random.Generator, category: NDArray[np.int64]) -> tuple[list[str], list[str], list[str]]:
    """Return subcategory, brand and name of each product; no name comes twice.

    The order in which a category's names are used is drawn once, so later products never rename earlier ones.
    """
    every = [combinations(kind) for kind in CATEGORIES]
    order = [rng.permutation(len(some)) for some in every]
    used = [0] * len(CATEGORIES)
    subcategories, brands, products = [], [], []
    for position in category.tolist():
        edition, place = divmod(used[position], len(every[position]))
        subcategory, brand, name = every[position][order[position][place]]
        used[position] += 1
        subcategories.append(subcategory)
        brands.append(brand)
        products.append(name if edition == 0 else f"{name} {edition + 1}")
    return subcategories, brands, products


def combinations(kind: Category) -> list[tuple[str, str, str]]:
    """Return every (subcategory, brand, name) that the words of a category allow."""
    return [
        (subcategory, brand, f"{brand} {quality} {noun}")
        for subcategory, nouns in kind.subcategories.items()
        for noun in nouns
        for brand in kind.brands
        for quality in QUALITIES
    ]


def find_companions(
    rng: np.random.Generator, new: NDArray[np.int64], category: NDArray[np.int64], appeal: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return for new products of the categories `new` a few well-selling ones of their category."""
    found = np.empty((len(new), COMPANIONS), dtype=np.int64)
    for position in np.unique(new):
        own, asking = np.flatnonzero(category == position), np.flatnonzero(new == position)
        found[asking] = own[pick(rng, appeal[own], len(asking) * COMPANIONS)].reshape(-1, COMPANIONS)
    return found
