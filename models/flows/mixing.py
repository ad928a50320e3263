"""Bijections that mix the channels of a pixel, so that a coupling meets them in other company."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Key

from models.codec import Codec
from sde_lib.base import Event, Scalar


def mix() -> Codec:
    """z = x W over the channels of each pixel, W = Q L U: an invertible 1x1 convolution. On a vector x is all of it.

    L has a diagonal of ones, U one of e^s, so that log|det| is sum(s) for each pixel; both are the identity at first. They are
    the triangles of one matrix, of diagonal s. Kingma & Dhariwal (2018), sec. 3.2, eqs. 10-11. In the place of their fixed
    permutation, and of fixed signs in U, is a fixed orthogonal Q, at which W starts: the cosine transform, which depends on the
    number of channels alone, as a drawn one would be one more array that must not be trained.
    """

    def init(key: Key[Array, ""], x: Event) -> Float[Array, "C C"]:
        return jnp.zeros((x.shape[-1], x.shape[-1]))

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        s = jnp.diag(params)
        L, U = jnp.tril(params, -1) + jnp.eye(len(s)), jnp.triu(params, 1) + jnp.diag(jnp.exp(s))
        W = _product(_product(_cosines(len(s)), L), U)
        return _product(x, W), -jnp.sum(s) * (x.size // len(s))

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        s = jnp.diag(params)
        U = jnp.triu(params, 1) + jnp.diag(jnp.exp(s))
        y = solve_triangular(U, z.reshape(-1, len(s)).T, trans=1)
        y = solve_triangular(params, y, trans=1, lower=True, unit_diagonal=True)
        return _product(y.T, _cosines(len(s)).T).reshape(z.shape)

    return Codec(init, encode, decode)


def flip() -> Codec:
    """z is x with its channels in reverse: halves change places, as the masks of Dinh et al. (2017), sec. 3.5, do."""

    def encode(params: Any, key: Key[Array, ""], x: Event) -> tuple[Event, Scalar]:
        return x[..., ::-1], jnp.zeros(())

    def decode(params: Any, key: Key[Array, ""] | None, z: Event) -> Event:
        return z[..., ::-1]

    return Codec(lambda key, x: (), encode, decode)


def _product(x: Float[Array, "... I"], W: Float[Array, "I O"]) -> Float[Array, "... O"]:
    """x W, as precise as the solve that undoes it."""
    return jnp.matmul(x, W, precision=Precision.HIGHEST)


def _cosines(channels: int) -> Float[Array, "C C"]:
    """Q_ij = sqrt(2/C) cos(pi (i + 1/2) j/C), and half as much squared at j = 0: orthogonal, from channels to frequencies."""
    i, j = np.indices((channels, channels))
    Q = np.cos(np.pi * (i + 0.5) * j / channels) * np.sqrt(np.where(j, 2, 1) / channels)
    return jnp.asarray(Q, jnp.float32)
