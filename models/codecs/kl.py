"""The first stage of latent diffusion with a Gaussian posterior: KL-f4 to KL-f32 (Rombach et al. 2022, sec. 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from models.codec import Codec, without_density
from models.codecs.laplace import laplace
from models.codecs.likelihoods import Emitted
from models.codecs.vae import vae
from sde_lib.base import Event, Positive, Scalar

Distance = Callable[[Event, Event], Scalar]
"""distance(x, x_hat): how different they look, as `losses.perceptual` has it."""


def kl_autoencoder(encoder: Any, decoder: Any, scale: Positive | None = None, distance: Distance | None = None) -> Codec:
    """A `vae` of the `laplace` likelihood: loss = (sum |x - x_hat| + D d(x, x_hat))/b + D log 2 b + beta KL(q || N(0, I)).

    D is how many numbers x has, and b the `scale`, which is learned if that is None. Published with b = 1, LPIPS as the
    `distance` d, and beta = 1e-6, so that codes are hardly held to N(0, I): divide them by the standard deviation that they
    have. Without a distance it is a bound on -log p(x) at beta = 1. With one there is no density: the cost is 0, and `decode`
    draws nothing. Rombach et al. (2022), app. G.
    """
    law = laplace(scale)
    if distance is None:
        return vae(encoder, decoder, law)

    def log_prob(own: Any, emitted: Emitted, x: Event) -> Scalar:
        b = jnp.exp(own) if scale is None else scale
        return law.log_prob(own, emitted, x) - x.size * distance(x, emitted) / b

    return without_density(vae(encoder, decoder, law._replace(log_prob=log_prob)))
