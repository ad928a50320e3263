"""The dequantiser as a codec: grey levels as floats that have a density."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.codec import Codec, Data
from models.codecs.levels import LevelCount
from sde_lib.base import Event, Scalar


def dequantize(levels: LevelCount = 256) -> Codec:
    """z = k + u, u ~ U[0, 1), of cost log q(u | k) = 0; k = floor(z), within 0 ... levels - 1.

    log P(k) >= E log p(k + u), the probability of the level k. Theis et al. (2016), sec. 3.1. k is decoded as floats.
    """

    def encode(params: tuple[()], key: Key[Array, ""], k: Data) -> tuple[Event, Scalar]:
        return k + jax.random.uniform(key, k.shape), 0.0

    def decode(params: tuple[()], key: Key[Array, ""] | None, z: Event) -> Event:
        return jnp.clip(jnp.floor(z), 0, levels - 1)

    return Codec(lambda key, x: (), encode, decode)
