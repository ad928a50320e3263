"""Affine coupling: half of the channels moves as the other half says."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from models.codec import Codec
from models.flows.shallow import Shallow
from models.functional import Functional, functional
from models.ranges import Width
from sde_lib.base import Event, Positive, Scalar


def coupling(width: Width, c: Positive) -> Codec:
    """z_a = x_a,  z_b = x_b e^s + t,  with (s', t) = net(x_a) and s = c tanh(s'/c); log|det| = sum(s).

    a and b are the halves of the channels, b the smaller one of an odd number. Dinh et al. (2017), eqs. 4-5. `width`: of the
    `Shallow` network, at whose start z = x; `c`: how far log-scales go.
    Raises ValueError for an event of one channel.
    """

    @cache
    def net(moved: int) -> Functional:
        return functional(partial(Shallow, width=width, outputs=2 * moved))

    def halves(x: Event) -> tuple[Event, Event]:
        if x.shape[-1] < 2:
            raise ValueError(f"a coupling needs two channels, and {x.shape} has one; take levels = 1, or a residual flow")
        a, b = jnp.split(x, [-(-x.shape[-1] // 2)], axis=-1)
        return a, b

    def init(key: Key[Array, ""], x: Event) -> Any:
        a, b = halves(x)
        return net(b.shape[-1]).init(key, a)

    def moves(params: Any, a: Event, b: Event) -> tuple[Event, Event]:
        s, t = jnp.split(net(b.shape[-1]).apply(params, a[None], None, None, None)[0], 2, axis=-1)
        return c * jnp.tanh(s / c), t

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        a, b = halves(x)
        s, t = moves(params, a, b)
        return jnp.concatenate([a, b * jnp.exp(s) + t], axis=-1), -jnp.sum(s)

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        a, b = halves(z)
        s, t = moves(params, a, b)
        return jnp.concatenate([a, (b - t) * jnp.exp(-s)], axis=-1)

    return Codec(init, encode, decode)
