"""No network: the score is that of the parameterisation alone."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Zero(nnx.Module):
    """The network that emits 0, and has no parameters.

    By the parameterisation `edm` its score is -x/(alpha^2 sigma_data^2 + sigma^2), exact if the data is N(0, sigma_data^2 I):
    with sigma_data = 1 that of the prior of a VAE.
    """

    def __init__(self, shape: tuple[int, ...], *, rngs: nnx.Rngs):
        pass

    def __call__(self, x: Float[Array, "B *event"], c_noise: Array, y: Any, key: Any) -> Float[Array, "B *event"]:
        return jnp.zeros_like(x)
