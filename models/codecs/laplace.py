"""The Laplace likelihood, whose distortion is the absolute error: that of latent diffusion's first stages."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.codecs.likelihoods import Emitted, Likelihood
from sde_lib.base import Event, Positive, Scalar


def laplace(scale: Positive | None = None) -> Likelihood:
    """p(x | z) = prod exp(-|x - emitted|/b)/(2 b); `scale` is b. None: one number for all x, which is learned and starts at 1.

    The most likely b is the mean absolute error. That of Rombach et al. (2022) is e^s, s their `logvar`, but it stays 1: no
    optimiser of their code has it.
    """
    log_b = (lambda own: own) if scale is None else (lambda own: jnp.log(scale))

    def log_prob(own: Any, emitted: Emitted, x: Event) -> Scalar:
        return -jnp.sum(jnp.abs(x - emitted) * jnp.exp(-log_b(own)) + jnp.log(2.0) + log_b(own))

    def draw(own: Any, key: Key[Array, ""], emitted: Emitted) -> Event:
        return emitted + jnp.exp(log_b(own)) * jax.random.laplace(key, emitted.shape)

    return Likelihood(
        channels=lambda c: c,
        init=lambda: jnp.zeros(()) if scale is None else (),
        log_prob=log_prob,
        mean=lambda own, emitted: emitted,
        draw=draw,
    )
