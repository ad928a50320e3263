"""Random numbers where they are drawn at every step: functions of a key, like jax.random's, at less than half the cost.

Threefry takes 20 rounds for every two numbers, which is most of what a step of a stochastic sampler takes beside its network.
Here it hashes the key alone, and a hash of 32 bits each number's index.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32


def bits(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Uniform words, h = mix(mix(i ^ a) + b) of each number's index i, with a and b from the key."""
    a, b = jax.random.bits(key, (2,), jnp.uint32)
    i = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return _mix(_mix(i ^ a) + b)


def normal(key: Key[Array, ""], shape: tuple[int, ...], dtype: jnp.dtype | None = None) -> Float[Array, "..."]:
    """z ~ N(0, I), z = sqrt(2) erfinv(u), with u uniform on the odd multiples of 2^-23 in (-1, 1), whatever the dtype."""
    n = (bits(key, shape) >> 9).astype(jnp.float32)
    z = math.sqrt(2) * jax.lax.erf_inv((n + 0.5) * 2.0**-22 - 1)
    return z.astype(dtype or jnp.zeros(()).dtype)


def _mix(h: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijection of 32 bits; each bit of h flips each of the result with a probability near 1/2 (Wellons 2018, lowbias32)."""
    h = (h ^ (h >> 16)) * jnp.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * jnp.uint32(0x846CA68B)
    return h ^ (h >> 16)
