"""Keys of every random number: fold_in(key(seed), purpose), and from there fold_in by step or by sample.

No stream has a state. So a run resumes from the number of its step alone, and no look at it can change it.
"""

from __future__ import annotations

from enum import IntEnum

import jax
import jax.numpy as jnp


class Purpose(IntEnum):
    """The purpose of a stream. No two purposes share a number."""

    INIT = 0
    STEP = 1
    SAMPLE = 2
    LIKELIHOOD = 3
    NOISE_LEVELS = 4
    PROCESS = 5
    DEQUANTIZER = 6
    INTERPOLATE = 7
    EDIT = 8
    CODES = 9


def stream(seed: int, purpose: Purpose) -> jax.Array:
    """Returns the key of a purpose."""
    return jax.random.fold_in(jax.random.key(seed), purpose)


def streams(seed: int, purpose: Purpose, n: int) -> jax.Array:
    """Returns the keys [n] of n examples or samples; each depends on its number, and not on n."""
    return jax.vmap(jax.random.fold_in, (None, 0))(stream(seed, purpose), jnp.arange(n))
