"""Codecs: maps of data x to codes z and back. A score model of codes is a score model of whatever can be encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from sde_lib.base import Event, Scalar

Data = Shaped[Array, "*event"]
"""One example: floats, or grey levels of integers."""
Code = Float[Array, "*code"]


class Codec(NamedTuple):
    """A family of encoders and decoders of one example.

    init(key, x) -> params
    encode(params, key, x) -> (z, cost)      log p(x) >= E[log p(z) - cost], in nats; an equality if z determines x
    decode(params, key, z) -> x              a draw from p(x | z); its mean if the key is None
    loss(params, key, x, beta) -> nats       what the codec alone is trained by: the distortion and beta times the rate

    `loss` is None if there is nothing to train. `density`: whether p(x | z) is a density, so that the cost is the one of the
    bound above; without it a likelihood has no meaning, and the cost is 0.
    """

    init: Callable[..., Any]
    encode: Callable[..., tuple[Code, Scalar]]
    decode: Callable[..., Event]
    loss: Callable[..., Scalar] | None = None
    density: bool = True


def chain(*codecs: Codec) -> Codec:
    """The codecs one after the other: x = z_0 -> z_1 -> ... -> z_n, with params (params_1, ..., params_n); of none, z = x.

    Costs add. The loss is that of the codec that has one, on the codes of those before it, and their cost; a chain of several
    that have one is trained a part at a time. The init of each but the first gets zeros, for the shape of its codes.
    """
    trained = [i for i, codec in enumerate(codecs) if codec.loss is not None]

    def init(key: Key[Array, ""], x: Data) -> tuple[Any, ...]:
        params = []
        for codec, each in zip(codecs, jax.random.split(key, len(codecs)), strict=True):
            params.append(codec.init(each, x))
            x = jax.eval_shape(codec.encode, params[-1], each, x)[0]
            x = jnp.zeros(x.shape, x.dtype)
        return tuple(params)

    def encode(params: tuple[Any, ...], key: Key[Array, ""], x: Data) -> tuple[Code, Scalar]:
        return _through(codecs, params, key, x)

    def decode(params: tuple[Any, ...], key: Key[Array, ""] | None, z: Code) -> Event:
        keys = [None] * len(codecs) if key is None else list(jax.random.split(key, len(codecs)))
        for codec, own, each in reversed(list(zip(codecs, params, keys, strict=True))):
            z = codec.decode(own, each, z)
        return z

    def loss(params: tuple[Any, ...], key: Key[Array, ""], x: Data, beta: Scalar) -> Scalar:
        (i,) = trained
        before, own = jax.random.split(key)
        z, cost = _through(codecs[:i], params[:i], before, x)
        one = codecs[i].loss
        assert one is not None
        return cost + one(params[i], own, z, beta)

    return Codec(init, encode, decode, loss if len(trained) == 1 else None, all(codec.density for codec in codecs))


def _through(codecs: tuple[Codec, ...], params: tuple[Any, ...], key: Key[Array, ""], x: Data) -> tuple[Code, Scalar]:
    total: Scalar = 0.0
    for codec, own, each in zip(codecs, params, jax.random.split(key, len(codecs)), strict=True):
        x, cost = codec.encode(own, each, x)
        total = total + cost
    return x, total


def frozen(codec: Codec, params: Any) -> Codec:
    """The codec with these parameters, of which none is left to train: its own are ()."""

    def init(key: Key[Array, ""], x: Data) -> tuple[()]:
        return ()

    def encode(_: Any, key: Key[Array, ""], x: Data) -> tuple[Code, Scalar]:
        return codec.encode(params, key, x)

    def decode(_: Any, key: Key[Array, ""] | None, z: Code) -> Event:
        return codec.decode(params, key, z)

    return Codec(init, encode, decode, None, codec.density)
