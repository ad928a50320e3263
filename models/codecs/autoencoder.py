"""Autoencoders without a density: plain, and denoising."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.codec import Code, Codec, reconstructing
from models.codecs.pair import pair
from sde_lib.base import Event, NonNegative, Scalar


def autoencoder(encoder: Any, decoder: Any, sigma: NonNegative = 0.0) -> Codec:
    """z = e(x) and x_hat = d(z), trained by |d(e(x + sigma n)) - x|^2/2, n ~ N(0, I): to denoise, if sigma > 0.

    The loss is sigma^4 times the denoising score matching of psi(x) = (d(e(x)) - x)/sigma^2, half of |psi + n/sigma|^2,
    example by example: Vincent (2011), sec. 4. There is no rate, and beta counts for nothing. p(x | z) is no density.
    """
    networks = pair(encoder, decoder, code=lambda z: z)

    def encode(params: dict[str, Any], key: Key[Array, ""], x: Event) -> tuple[Code, Scalar]:
        return networks.encode(params, x), 0.0

    def decode(params: dict[str, Any], key: Key[Array, ""] | None, z: Code) -> Event:
        return networks.decode(params, z)

    def reconstruct(params: dict[str, Any], key: Key[Array, ""], x: Event, beta: Scalar) -> tuple[Scalar, Event]:
        noisy = x + sigma * jax.random.normal(key, x.shape)
        x_hat = networks.decode(params, networks.encode(params, noisy))
        return jnp.sum((x_hat - x) ** 2) / 2, x_hat

    return reconstructing(networks.init, encode, decode, reconstruct, density=False)
