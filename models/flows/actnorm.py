"""Activation normalisation: an affine map of each channel, which starts from the moments of an example."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from models.codec import Codec
from sde_lib.base import Event, Scalar


def actnorm() -> Codec:
    """z = e^s (x + b), with a number s and b for each channel; log|det| is sum(s) for each pixel.

    Kingma & Dhariwal (2018), sec. 3.1, where z has mean 0 and variance 1 in each channel of a first batch. `init` sees one
    example: each channel of its z has mean 0, and all of them together variance 1. With a variance for each, many layers with
    `mix` in between would make white noise of this example, and far more of every other. Where all pixels are the same, as the
    one of a vector is, they say nothing, and z = x at first: so it begins in a run, whose codecs are made of shapes alone.
    """

    def init(key: Key[Array, ""], x: Event) -> dict[str, Float[Array, " C"]]:
        pixels = x.reshape(-1, x.shape[-1])
        varies = (pixels != pixels[0]).any()
        mean, var = jnp.where(varies, pixels.mean(0), 0.0), jnp.where(varies, pixels.var(0).mean(), 1.0)
        return {"log_scale": jnp.full_like(mean, -jnp.log(var) / 2), "bias": -mean}

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        z = jnp.exp(params["log_scale"]) * (x + params["bias"])
        return z, -jnp.sum(params["log_scale"]) * (x.size // x.shape[-1])

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        return jnp.exp(-params["log_scale"]) * z - params["bias"]

    return Codec(init, encode, decode)
