"""An encoder and a decoder: two networks on one example, without a noise level or conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from models.codec import Code
from models.plain import plain
from sde_lib.base import Event


class Pair(NamedTuple):
    """init(key, x) -> {"encoder", "decoder"}; encode(params, x) and decode(params, z) -> what the network emits."""

    init: Callable[[Key[Array, ""], Event], dict[str, Any]]
    encode: Callable[[dict[str, Any], Event], Array]
    decode: Callable[[dict[str, Any], Code], Array]


def pair(encoder: Any, decoder: Any, code: Callable[[Array], Code], channels: Callable[[int], int] = lambda c: c) -> Pair:
    """Returns the two networks as functions; each is what `score_model` takes, and is called at c_noise = 0.

    `code`: z, for the decoder, from what the encoder emits. `channels`: of what the decoder emits, from those of x. Raises
    ValueError, from `init`, if it emits another shape.
    """
    e, d = plain(encoder), plain(decoder)

    def encode(params: dict[str, Any], x: Event) -> Array:
        return e.apply(params["encoder"], x)

    def decode(params: dict[str, Any], z: Code) -> Array:
        return d.apply(params["decoder"], z)

    def init(key: Key[Array, ""], x: Event) -> dict[str, Any]:
        first, second = jax.random.split(key)
        params = {"encoder": e.init(first, x)}
        z = jax.eval_shape(lambda params, x: code(encode(params, x)), params, x)
        params["decoder"] = d.init(second, jnp.zeros(z.shape, z.dtype))
        emitted, wanted = jax.eval_shape(decode, params, z).shape, (*x.shape[:-1], *map(channels, x.shape[-1:]))
        if emitted != wanted:
            raise ValueError(f"the decoder must emit {wanted} for x of shape {x.shape}, not {emitted}: change its options")
        return params

    return Pair(init, encode, decode)
