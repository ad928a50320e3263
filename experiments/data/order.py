"""The order of examples, and the places where images are cut: functions of a seed and a place in an endless order.

Both draw by numpy's legacy generator, whose stream is frozen: a run keeps them under any numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int


def shuffled(n: int) -> Int[np.ndarray, " n"]:
    """Returns the rows of n examples in one random order, the same at every call: a source may have sorted them."""
    return ordered(np.arange(n), n, seed=0)


def ordered(places: Int[np.ndarray, " k"], n: int, seed: int) -> Int[np.ndarray, " k"]:
    """Returns the rows of n examples at these places of the endless order: place e n + i is the i-th of epoch e."""
    return _by_epoch(_permutation, np.empty_like(places), places, n, seed)


def cuts(places: Int[np.ndarray, " k"], n: int, seed: int) -> Float[np.ndarray, " k"]:
    """Returns where the images at these places of the endless order are cut, as `Frame.cut` takes it: u ~ U[0, 1)."""
    return _by_epoch(_uniform, np.empty(places.shape), places, n, seed)


def _by_epoch(draw: Callable[[int, int, int], Any], out: np.ndarray, places: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Fills `out` with what is drawn for each place; `draw` draws for all of an epoch."""
    epochs, within = np.divmod(places, n)
    for epoch in np.unique(epochs):
        out[epochs == epoch] = _of_seed(draw, n, seed)(int(epoch))[within[epochs == epoch]]
    return out


@cache
def _of_seed(draw: Callable[[int, int, int], np.ndarray], n: int, seed: int) -> Callable[[int], np.ndarray]:
    """What is drawn for an epoch, by its number: the last two stay, of each seed, for several may be read in turn."""
    return lru_cache(maxsize=2)(partial(draw, n, seed))


def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.RandomState([seed, epoch]).permutation(n)


def _uniform(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.RandomState([seed, epoch, 1]).random_sample(n)  # the third number makes it another stream
