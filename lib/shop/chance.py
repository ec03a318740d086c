"""Seeded randomness: one independent stream for each purpose and each stretch of the shop's life.

A stream depends on nothing but the seed, the stretch and the name, so what one part of the shop draws
never shifts what another part draws.
"""

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
