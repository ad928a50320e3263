"""Where every random number comes from: fold_in(key(seed), purpose), and from there fold_in by step or by sample.

No stream has a state, so resuming needs a number alone, and how often one looks at a run cannot change it.
"""

from __future__ import annotations

from enum import IntEnum

import jax


class Purpose(IntEnum):
    """What a stream is for; two purposes never share a number."""

    INIT = 0
    STEP = 1
    SAMPLE = 2
    LIKELIHOOD = 3
    NOISE_LEVELS = 4
    PROCESS = 5
    DEQUANTIZER = 6
    INTERPOLATE = 7
    EDIT = 8


def stream(seed: int, purpose: Purpose) -> jax.Array:
    """The key of a purpose."""
    return jax.random.fold_in(jax.random.key(seed), purpose)
