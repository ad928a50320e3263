"""The order of examples: a permutation for each epoch that gives any part of itself without the rest.

It is the one of Grain's `MapDataset.range(n).seed(seed).shuffle().repeat()`, in which runs began; but a batch at a time: Grain
takes 25 microseconds for each of a small set's examples, and a step on digits has 64 of them.

A cipher of 4 rounds permutes the numbers of an even count of bits, 16 at least, and what falls outside of 0 ... n - 1 is
encrypted again until it does not (Black & Rogaway 2002, section 3). The cipher is Simon (Beaulieu et al. 2013, section 3), with
round keys from C++'s `std::seed_seq` (ISO C++17, 29.6.7.1).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ROUNDS = 4
SMALL = 2**16
"""Of so many examples at most an epoch is held whole."""


def ordered(places: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Which of n examples stand at these places of the endless order, place e n + i being the i-th of epoch e."""
    first = int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])
    epochs, within = np.divmod(places, n)
    rows = np.empty_like(places)
    for epoch in np.unique(epochs):
        here, key = epochs == epoch, (first + int(epoch)) % 2**32
        rows[here] = _small(n, key)[within[here]] if n <= SMALL else _permuted(within[here], n, key)
    return rows


@lru_cache(maxsize=2)
def _small(n: int, key: int) -> np.ndarray:
    """A whole epoch of a small set."""
    return _permuted(np.arange(n), n, key)


def _permuted(x: np.ndarray, n: int, key: int) -> np.ndarray:
    """The places of `x` under the permutation of 0 ... n - 1."""
    if n == 1:
        return np.zeros_like(x)
    bits = max(16, 2 * -(-int(np.ceil(np.log2(n - 1))) // 2))
    keys = _round_keys(key)
    # Of few examples most of what is encrypted falls outside, and is looked up faster than computed again.
    table = _encrypted(np.arange(SMALL), keys, bits) if n <= SMALL else None
    again = lambda x: _encrypted(x, keys, bits) if table is None else table[x]
    found = again(x)
    while len(outside := np.flatnonzero(found >= n)):
        found[outside] = again(found[outside])
    return found


def _encrypted(x: np.ndarray, keys: list[int], bits: int) -> np.ndarray:
    """Simon's rounds on numbers of `bits` bits, the left half first."""
    half = bits // 2
    mask = 2**half - 1
    turned = lambda a, by: (a << by | a >> (half - by)) & mask
    left, right = x >> half & mask, x & mask
    for key in keys:
        left, right = right, left ^ (turned(right, 1) & turned(right, 8)) ^ turned(right, 2) ^ (key & mask)
    return left << half | right


def _round_keys(seed: int) -> list[int]:
    """What `std::seed_seq{seed}` generates as so many words."""
    n, word = ROUNDS, 2**32 - 1
    mixed = lambda a: a ^ a >> 27
    b = [0x8B8B8B8B] * n
    for k in range(2 * n):
        here, near, far, before = k % n, (k + 1) % n, (k + 2) % n, (k - 1) % n
        if k < n:
            one = 1664525 * mixed(b[here] ^ b[near] ^ b[before]) & word
            two = one + (1 if k == 0 else k + seed if k == 1 else k) & word
            b[near], b[far], b[here] = b[near] + one & word, b[far] + two & word, two
        else:
            one = 1566083941 * mixed(b[here] + b[near] + b[before] & word) & word
            two = one - here & word
            b[near], b[far], b[here] = b[near] ^ one, b[far] ^ two, two
    return b
