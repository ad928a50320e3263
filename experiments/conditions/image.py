"""Images that a network completes: a part of the example, a coarser one, one without colours. They have its sides."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Float, Key

import samplers
from sde_lib.base import Event

Share = Annotated[float, Gt(0), Le(1)]


def mask(
    key: Key[Array, ""],
    x: Event,
    holes: Annotated[int, Ge(1), Le(64)] = 2,
    smallest: Share = 0.2,
    largest: Share = 0.6,
) -> Float[Array, "*space 1+C"]:
    """Returns [m, m x], with m = 1 where the example is seen and 0 in `holes` random boxes, for inpainting.

    Along each axis of space a box has a share of the side that is uniform between `smallest` and `largest`, and lies anywhere
    within it. Where nothing is seen it is zero, so that `dropout` is the share of examples that are wholly masked: Rombach et
    al. (2022)'s networks see a quarter so. Raises ValueError for a point, and if the smallest share is above the largest.
    """
    if x.ndim < 2:
        raise ValueError(f"mask takes an event with axes of space, and this is of shape {x.shape}")
    if smallest > largest:
        raise ValueError(f"smallest = {smallest:g} is above largest = {largest:g}")
    share, place = jax.random.uniform(key, (2, holes, x.ndim - 1))
    share = smallest + (largest - smallest) * share
    start = (1 - share) * place
    hidden = jnp.zeros(x.shape[:-1], bool)
    for box in range(holes):
        inside = jnp.ones((), bool)
        for axis, side in enumerate(x.shape[:-1]):
            u = (jnp.arange(side) + 0.5) / side  # the middle of each pixel, as a share of the side
            within = (start[box, axis] <= u) & (u < start[box, axis] + share[box, axis])
            inside = inside & jnp.expand_dims(within, [other for other in range(x.ndim - 1) if other != axis])
        hidden = hidden | inside
    m = 1.0 - hidden[..., None]
    return jnp.concatenate([m, m * x], axis=-1)


def low_resolution(x: Event, factor: Annotated[int, Ge(2), Le(64)] = 2) -> Event:
    """Returns the means of x [H, W, C] over blocks of `factor` x `factor`, each in all of its pixels, for super-resolution.

    Raises ValueError if the blocks do not fill the image, with the nearest that do (`samplers.coarse`).
    """
    return samplers.coarse(factor)(x)


def grey(x: Event) -> Float[Array, "*space 1"]:
    """Returns the mean of x over its channels, for colorization. Raises ValueError for a point."""
    if x.ndim < 2:
        raise ValueError(f"grey takes an event with axes of space, and this is of shape {x.shape}")
    return x.mean(-1, keepdims=True)
