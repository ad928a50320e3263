"""Bridges: denoising from an image that is degraded, in the place of noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss, require_linear
from losses.weights import Weight, sigma2
from sde_lib.base import SDE, Event, Scalar, Score, factors


def bridge(sde: SDE, score: Score, x_1: Event, weight: Weight = sigma2) -> Loss:
    """`dsm` at x_t ~ q(x_t | x_0, x_1): l(x_0, t) = w/(D sigma^2) |sigma score(x_t, t) + (x_t - alpha x_0)/sigma|^2.

    x_1 is the end of the path at t = 1, and q is `sde.posterior` from there. By the minimiser Tweedie's formula gives
    E[x_0 | x_t], and E[x_0 | x_t, x_1] if the network hears x_1: so `ancestral` from x_1 draws x_0. If it hears x_1, that is a
    draw from p(x_0 | x_1): Zhou et al. (2024, DDBM), eq. 8. If not, x_0 has its law, but not its law given x_1: Liu et al.
    (2023, I2SB), eqs. 11-12 and algs. 1-2. The marginals are those of the bridge and not of the SDE, so that no other sampler,
    and no likelihood, is for this score.

    Returns `loss(key, x_0, t)`. Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = require_linear(sde, "bridge")

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        mean, std = linear_sde.posterior(x_1, x_0, 1.0, t)
        x_t, sigma_t = mean + std * jax.random.normal(key, x_0.shape), linear_sde.sigma(t)
        error = sigma_t * score(x_t, t) + (x_t - linear_sde.alpha(t) * x_0) / sigma_t
        c, w = factors(weight(linear_sde, t) / sigma_t**2)
        return c * jnp.mean(w * error**2)

    return loss
