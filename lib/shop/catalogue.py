"""Products: names, prices, costs, how well each sells and what sells with it. Orders draw from it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lib.shop.assortment import CATEGORIES, QUALITIES, Category
from lib.shop.chance import pick

# Spread of the lognormal popularity: at 1.25 the best fifth of the products sells about two thirds.
POPULARITY_SPREAD = 1.25
DISCONTINUED = 0.02
COMPANIONS = 3
ENDINGS, ENDING_WEIGHTS = np.array([99, 49, 95, 90]), (6, 2, 1.5, 0.5)


@dataclass(frozen=True)
class Catalogue:
    """Products in order of their number; money in cents.

    `demand` is months x products, each row summing to 1; discontinued products have none. `companions` is
    products x 3: what is often put in the basket with it. `category` is a position in `CATEGORIES`.
    """

    category: NDArray[np.int64]
    price: NDArray[np.int64]
    cost: NDArray[np.int64]
    is_active: NDArray[np.bool_]
    demand: NDArray[np.float64]
    companions: NDArray[np.int64]
    details: pa.Table


def stock(rng: np.random.Generator, n: int) -> Catalogue:
    """Return `n` products spread over all categories."""
    shares = np.array([category.share for category in CATEGORIES])
    category = np.sort(pick(rng, shares, n))
    subcategory, brand, name = names(rng, category)

    typical = np.array([category.typical_price for category in CATEGORIES])[category]
    spread = np.array([category.price_spread for category in CATEGORIES])[category]
    euros = np.clip(np.floor(typical * rng.lognormal(0, spread)), 2, 1_999).astype(np.int64)
    price = euros * 100 + ENDINGS[pick(rng, ENDING_WEIGHTS, n)]
    cost = np.rint(price * (1 - rng.uniform(0.26, 0.59, n))).astype(np.int64)

    is_active = rng.permutation(n) >= round(DISCONTINUED * n)
    appeal = rng.lognormal(0, POPULARITY_SPREAD, n)
    # Dear products sell fewer pieces than cheap ones of their kind.
    appeal *= np.clip(price / (typical * 100), 0.2, 5) ** -0.3 * is_active
    seasons = np.array([category.seasons for category in CATEGORIES])
    demand = appeal * seasons[category].T
    demand /= demand.sum(axis=1, keepdims=True)
    details = pa.table(
        {
            "name": name,
            "category": pa.array([category.name for category in CATEGORIES]).take(category),
            "subcategory": subcategory,
            "brand": brand,
        }
    )
    return Catalogue(category, price, cost, is_active, demand, companions(rng, category, appeal), details)


def names(rng: np.random.Generator, category: NDArray[np.int64]) -> tuple[list[str], list[str], list[str]]:
    """Return subcategory, brand and name of each product; no name comes twice."""
    subcategories, brands, products = [], [], []
    for position in range(len(CATEGORIES)):
        kind = CATEGORIES[position]
        every = combinations(kind)
        chosen = rng.permutation(len(every))[: int((category == position).sum())]
        for subcategory, brand, name in (every[choice] for choice in chosen):
            subcategories.append(subcategory)
            brands.append(brand)
            products.append(name)
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


def companions(rng: np.random.Generator, category: NDArray[np.int64], appeal: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each product a few well-selling ones of its own category."""
    found = np.empty((len(category), COMPANIONS), dtype=np.int64)
    for position in np.unique(category):
        own = np.flatnonzero(category == position)
        weights = appeal[own] if appeal[own].any() else np.ones(len(own))
        found[own] = own[pick(rng, weights, len(own) * COMPANIONS)].reshape(-1, COMPANIONS)
    return found
