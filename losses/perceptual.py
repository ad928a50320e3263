"""A distance of images that is small if they look alike: by the features of a network that was trained to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_lib.base import Event, Scalar

Features = Callable[[Event], Sequence[Array]]
"""features(x) -> f_1, ..., f_L, each [*space, C_l]."""


def perceptual(features: Features, heads: Sequence[Float[Array, "..."]] | None = None) -> Callable[[Event, Event], Scalar]:
    """d(x, y) = sum_l mean_space sum_c w_lc (f_lc(x) - f_lc(y))^2, each f_l scaled to length 1 at each place.

    `heads`: w_l [C_l] of each l; None: 1. With the published features and heads it is LPIPS. Zhang et al. (2018), eq. 1.
    """

    def distance(x: Event, y: Event) -> Scalar:
        pairs = [(_unit(f), _unit(g)) for f, g in zip(features(x), features(y), strict=True)]
        weights = [1.0] * len(pairs) if heads is None else heads
        return sum(jnp.mean(jnp.sum(w * (f - g) ** 2, axis=-1)) for w, (f, g) in zip(weights, pairs, strict=True))

    return distance


def _unit(f: Float[Array, "*space C"]) -> Float[Array, "*space C"]:
    """f over its length; its gradient is 0, and not undefined, where f is."""
    squares = jnp.sum(f**2, axis=-1, keepdims=True)
    return f / jnp.sqrt(jnp.where(squares > 0, squares, 1.0))
