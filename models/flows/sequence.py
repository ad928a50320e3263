"""Bijections one after the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.codec import Codec, chain
from sde_lib.base import Event, Scalar


def sequence(*layers: Codec) -> Codec:
    """The `chain` of these layers, whose init hands on the example itself, from which `actnorm` starts, and not its shape."""

    def init(key: Key[Array, ""], x: Event) -> tuple[Any, ...]:
        params = []
        for layer, each in zip(layers, jax.random.split(key, len(layers)), strict=True):
            params.append(layer.init(each, x))
            x, _ = layer.encode(params[-1], each, x)
        return tuple(params)

    return chain(*layers)._replace(init=init)


def repeat(layer: Codec, n: int) -> Codec:
    """The sequence of `n` times `layer`, compiled once: their parameters are stacked along a first axis."""

    def init(key: Key[Array, ""], x: Event) -> Any:
        def one(x: Event, key: Key[Array, ""]) -> tuple[Event, Any]:
            params = layer.init(key, x)
            return layer.encode(params, key, x)[0], params

        return jax.lax.scan(one, x, jax.random.split(key, n))[1]

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        z, costs = jax.lax.scan(lambda x, at: layer.encode(at[0], at[1], x), x, (params, jax.random.split(key, n)))
        return z, jnp.sum(costs)

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        return jax.lax.scan(lambda z, own: (layer.decode(own, None, z), None), z, params, reverse=True)[0]

    return Codec(init, encode, decode)
