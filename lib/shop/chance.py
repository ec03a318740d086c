"""Seeded randomness: one independent stream for each purpose and each stretch of the shop's life.

A stream depends on nothing but the seed, the stretch and the name, so what one part of the shop draws
never shifts what another part draws.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stream(seed: int, stretch: int, name: str) -> np.random.Generator:
    """Return the generator of `name` in the stretch (0 is the founding one, then calendar years)."""
    key = (stretch, int.from_bytes(name.encode(), "big"))
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


def pick(rng: np.random.Generator, weights: Sequence[float] | NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return `n` positions into `weights`, each drawn in proportion to its weight."""
    share = np.asarray(weights, dtype=np.float64)
    return rng.choice(len(share), size=n, p=share / share.sum()).astype(np.int64)


def uniform_draws(seed: int, name: str, number: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a draw from 0 to 1 for each number: it follows from seed, name and number alone, whoever asks when."""
    salt = int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest(), "big")
    return (mixed(number.astype(np.uint64) + np.uint64(salt)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mixed(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return words that look random and differ where the given ones do (the finalizer of SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = (word ^ (word >> np.uint64(shift))) * np.uint64(factor)
    return word ^ (word >> np.uint64(31))
