"""The variational autoencoder (Kingma & Welling 2014)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Key

from models.codec import Code, Codec, reconstructing
from models.codecs.likelihoods import Likelihood
from models.codecs.pair import pair
from sde_lib.base import Event, Scalar


def vae(encoder: Any, decoder: Any, likelihood: Likelihood) -> Codec:
    """z = mu + s n ~ q(z | x) = N(mu, s^2), n ~ N(0, I), and p(x | z) a `likelihood` of what the decoder emits:

        cost = log q(z | x) - log p(x | z)
        loss = -log p(x | z) + beta KL(q || N(0, I)),    KL = sum (mu^2 + s^2 - 1 - log s^2)/2

    The encoder emits mu and log s^2, side by side along the last axis; log s^2 is held to [-30, 20], as in the code of Rombach
    et al. (2022). N(0, I) is the prior until a score of codes takes its place. log p(x | z) is a density of x, that of grey
    levels too (`Likelihood`), and so the cost is of one with respect to dx. Kingma & Welling (2014), eqs. 3 and 10, app. B.
    Raises ValueError, from `init`, if the encoder emits an odd number of channels.
    """

    def moments(emitted: Array) -> tuple[Code, Code]:
        """mu and log s^2."""
        if emitted.shape[-1] % 2:
            raise ValueError(f"a vae's encoder emits mu and log s^2, an even number of channels, not {emitted.shape[-1]}")
        mu, log_var = jnp.split(emitted, 2, axis=-1)
        return mu, jnp.clip(log_var, -30.0, 20.0)

    networks = pair(encoder, decoder, lambda emitted: moments(emitted)[0], likelihood.channels)

    def init(key: Key[Array, ""], x: Event) -> dict[str, Any]:
        return networks.init(key, x) | {"likelihood": likelihood.init()}

    def noisy(key: Key[Array, ""], emitted: Array) -> tuple[Code, Code, Code, Code]:
        """z, n, mu and log s^2."""
        mu, log_var = moments(emitted)
        n = jax.random.normal(key, mu.shape)
        return mu + jnp.exp(log_var / 2) * n, n, mu, log_var

    def draw(params: dict[str, Any], key: Key[Array, ""], emitted: Array) -> Code:
        return noisy(key, emitted)[0]

    def encode(params: dict[str, Any], key: Key[Array, ""], x: Event) -> tuple[Code, Scalar]:
        z, n, _, log_var = noisy(key, networks.encode(params, x))
        log_prob = likelihood.log_prob(params["likelihood"], networks.decode(params, z), x)
        return z, jnp.sum(norm.logpdf(n) - log_var / 2) - log_prob

    def decode(params: dict[str, Any], key: Key[Array, ""] | None, z: Code) -> Event:
        own, emitted = params["likelihood"], networks.decode(params, z)
        return likelihood.mean(own, emitted) if key is None else likelihood.draw(own, key, emitted)

    def reconstruct(params: dict[str, Any], key: Key[Array, ""], x: Event, beta: Scalar) -> tuple[Scalar, Event]:
        z, _, mu, log_var = noisy(key, networks.encode(params, x))
        own, emitted = params["likelihood"], networks.decode(params, z)
        kl = jnp.sum(mu**2 + jnp.exp(log_var) - 1 - log_var) / 2
        return beta * kl - likelihood.log_prob(own, emitted, x), likelihood.mean(own, emitted)

    return reconstructing(init, encode, decode, reconstruct, posterior=networks.encode, draw=draw)
