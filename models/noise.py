"""Embeddings of the noise level c_noise as a vector."""

from __future__ import annotations

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Sinusoidal(nnx.Module):
    """[sin(w_k c), cos(w_k c)] with w_k geometric from 100 down to 0.01 (Vaswani et al. 2017; Ho et al. 2020 on t in 0..1000).

    c_noise spans about [-2, 2], so the fastest pair turns a few dozen times over all noise levels and the slowest is linear.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.width = width

    def __call__(self, c_noise: Float[Array, " B"]) -> Float[Array, "B width"]:
        frequencies = 100 * jnp.logspace(0, -4, self.width // 2)
        angles = c_noise[:, None] * frequencies
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class Fourier(nnx.Module):
    """[sin(2 pi w c), cos(2 pi w c)] with fixed random w ~ N(0, scale^2) (Tancik et al. 2020; Song et al. 2021, app. C.3).

    score_sde uses scale 16 on log(sigma), of which c_noise is a quarter.
    """

    def __init__(self, width: int, scale: float = 4.0, *, rngs: nnx.Rngs):
        # Not an nnx.Param: these never train. Fixed by a seed of their own, so that they need no place in a checkpoint.
        self.width, self.scale = width, scale

    def __call__(self, c_noise: Float[Array, " B"]) -> Float[Array, "B width"]:
        frequencies = self.scale * nnx.Rngs(0).normal((self.width // 2,))
        angles = 2 * math.pi * c_noise[:, None] * frequencies
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


EMBEDDINGS = {"sinusoidal": Sinusoidal, "fourier": Fourier}
