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
    reconstruct(params, key, x, beta) -> (nats, x_hat)      that loss, and the mean of p(x | z) at the z that it drew
    posterior(params, x) -> q                q(z | x) as an array: all of x that a draw of z depends on
    draw(params, key, q) -> z                encode(params, key, x) has this z, at q = posterior(params, x)

    `loss` is None if there is nothing to train, and `reconstruct` if no x_hat is compared with x, as z determines x. `density`:
    whether p(x | z) is a density, so that the cost is the one of the bound above; without it a likelihood has no meaning, and
    the cost is 0. `posterior` and `draw` are None if x alone determines z, which then is its own posterior (see `halves`).
    """

    init: Callable[..., Any]
    encode: Callable[..., tuple[Code, Scalar]]
    decode: Callable[..., Event]
    loss: Callable[..., Scalar] | None = None
    density: bool = True
    reconstruct: Callable[..., tuple[Scalar, Event]] | None = None
    posterior: Callable[..., Float[Array, "..."]] | None = None
    draw: Callable[..., Code] | None = None


def reconstructing(
    init: Callable[..., Any],
    encode: Callable[..., tuple[Code, Scalar]],
    decode: Callable[..., Event],
    reconstruct: Callable[..., tuple[Scalar, Event]],
    density: bool = True,
    posterior: Callable[..., Float[Array, "..."]] | None = None,
    draw: Callable[..., Code] | None = None,
) -> Codec:
    """The codec that is trained by how it reconstructs examples: its loss is that of `reconstruct`."""
    loss = lambda *arguments, **by: reconstruct(*arguments, **by)[0]
    return Codec(init, encode, decode, loss, density, reconstruct, posterior, draw)


def without_density(codec: Codec) -> Codec:
    """The codec as one that has no density p(x | z): the cost is 0, and `decode` draws nothing."""

    def encode(params: Any, key: Key[Array, ""], x: Data) -> tuple[Code, Scalar]:
        return codec.encode(params, key, x)[0], 0.0

    def decode(params: Any, key: Key[Array, ""] | None, z: Code) -> Event:
        return codec.decode(params, None, z)

    return codec._replace(encode=encode, decode=decode, density=False)


def halves(codec: Codec) -> tuple[Callable[..., Float[Array, "..."]], Callable[..., Code]]:
    """(posterior, draw): z = draw(params, key, posterior(params, x)), of which only the first half needs an encoder's network.

    If x alone determines z, the first half is all of `encode`.
    """
    if codec.posterior and codec.draw:
        return codec.posterior, codec.draw
    return lambda params, x: codec.encode(params, jax.random.key(0), x)[0], lambda params, key, z: z


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

    whole = Codec(init, encode, decode, None, all(codec.density for codec in codecs), None, *_halves(codecs))
    if len(trained) != 1:
        return whole
    (i,) = trained
    one = codecs[i]

    def before(params: tuple[Any, ...], key: Key[Array, ""], x: Data) -> tuple[Code, Scalar, Key[Array, ""]]:
        """The code that the one is trained on, its cost, and the key of the one."""
        first, own = jax.random.split(key)
        return *_through(codecs[:i], params[:i], first, x), own

    def loss(params: tuple[Any, ...], key: Key[Array, ""], x: Data, beta: Scalar) -> Scalar:
        z, cost, own = before(params, key, x)
        assert one.loss is not None
        return cost + one.loss(params[i], own, z, beta)

    def reconstruct(params: tuple[Any, ...], key: Key[Array, ""], x: Data, beta: Scalar) -> tuple[Scalar, Event]:
        z, cost, own = before(params, key, x)
        assert one.reconstruct is not None
        nats, z_hat = one.reconstruct(params[i], own, z, beta)
        for codec, each in reversed(list(zip(codecs[:i], params[:i], strict=True))):
            z_hat = codec.decode(each, None, z_hat)
        return cost + nats, z_hat

    return whole._replace(loss=loss, reconstruct=one.reconstruct and reconstruct)


def _halves(codecs: tuple[Codec, ...]) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
    """The posterior and the draw of a chain: up to the posterior of the first part that has one, and from there on."""
    at = next((i for i, codec in enumerate(codecs) if codec.posterior), None)
    if at is None:
        return None, None
    first_posterior, first_draw = halves(codecs[at])

    def posterior(params: tuple[Any, ...], x: Data) -> Float[Array, "..."]:
        x, _ = _through(codecs[:at], params[:at], jax.random.key(0), x)
        return first_posterior(params[at], x)

    def draw(params: tuple[Any, ...], key: Key[Array, ""], q: Float[Array, "..."]) -> Code:
        keys = jax.random.split(key, len(codecs))
        z = first_draw(params[at], keys[at], q)
        for codec, own, each in list(zip(codecs, params, keys, strict=True))[at + 1 :]:
            z, _ = codec.encode(own, each, z)
        return z

    return posterior, draw


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

    first, second = halves(codec)
    posterior = codec.posterior and (lambda _, x: first(params, x))
    draw = codec.draw and (lambda _, key, q: second(params, key, q))
    return Codec(init, encode, decode, None, codec.density, None, posterior, draw)
