"""Dropout, by a mask that is cheap enough to be drawn again wherever it is needed."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from sde_lib import fast_random


class Dropout(nnx.Module):
    """x m / (1 - rate), each m 1 with probability 1 - rate and else 0; x itself without a key (Srivastava et al. 2014)."""

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, x: Float[Array, "..."], key: Key[Array, ""] | None) -> Float[Array, "..."]:
        if key is None or self.rate == 0:
            return x
        mask = fast_random.bits(key, x.shape) >= jnp.uint32(self.rate * 2**32)
        return jnp.where(mask, x / (1 - self.rate), 0)
