"""The mean of a loss over a batch: the number whose gradient trains a score."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from losses.dsm import Loss
from losses.times import TimeSampler
from sde_lib.base import Scalar


def batch_mean(loss: Loss, times: TimeSampler, key: Key[Array, ""], x: Float[Array, "n *event"]) -> Scalar:
    """1/n sum_i l(x_i, t_i) / p(t_i), t_i drawn by `times`: an unbiased estimate of E int l(x_0, t) dt over x_0 of the data.

    x [n, *event]. Each example has its own key. A draw that adapts to past losses is taken with an empty memory.
    """
    t_key, example_key = jax.random.split(key)
    t, inverse_density = times.sample(t_key, times.init(), len(x))
    return jnp.mean(inverse_density * jax.vmap(loss)(jax.random.split(example_key, len(x)), x, t))
