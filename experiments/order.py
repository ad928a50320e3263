"""The order of examples: a new permutation for each epoch, a pure function of the seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def ordered(places: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Which of n examples stand at these places of the endless order, place e n + i being the i-th of epoch e."""
    epochs, within = np.divmod(places, n)
    rows = np.empty_like(places)
    for epoch in np.unique(epochs):
        rows[epochs == epoch] = _epoch(n, seed, int(epoch))[within[epochs == epoch]]
    return rows


@lru_cache(maxsize=2)
def _epoch(n: int, seed: int, epoch: int) -> np.ndarray:
    """By numpy's legacy generator, whose stream is frozen, so that a run goes on in its order under any numpy."""
    return np.random.RandomState([seed, epoch]).permutation(n)
