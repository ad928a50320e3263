"""Predictors: discretisations of the reverse-time SDE."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from samplers.step import Step, stateless
from sde_lib.base import SDE, Score, linear


def euler_maruyama(sde: SDE, score: Score) -> Step:
    """x_s = x_t + (s - t) (f - g^2 score)(x_t, t) + g(t) sqrt(t - s) z, for any SDE (Song et al. 2021, eq. 6)."""
    drift = sde.reverse_drift(score)

    def update(key, x, t, s):
        return x + (s - t) * drift(x, t) + sde.diffusion(t) * jnp.sqrt(t - s) * jax.random.normal(key, x.shape)

    return stateless(update, nfe=1)


def reverse_diffusion(sde: SDE, score: Score) -> Step:
    """x_s = (2 - alpha_ts) x_t + sigma_ts^2 score(x_t, t) + sigma_ts z.

    The reverse of the exact transition x_t = alpha_ts x_s + sigma_ts z from s to t: Song et al. (2021), eq. 46, whose f_i is
    (alpha_ts - 1) x and G_i is sigma_ts, for VP (eq. 49), VE (eq. 48) and any LinearSDE.
    """
    sde = linear(sde, "reverse_diffusion", "euler_maruyama serves any SDE")

    def update(key, x, t, s):
        alpha_ts, sigma_ts = sde.transition(t, s)
        return (2 - alpha_ts) * x + sigma_ts**2 * score(x, t) + sigma_ts * jax.random.normal(key, x.shape)

    return stateless(update, nfe=1)
