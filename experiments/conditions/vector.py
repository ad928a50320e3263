"""Vectors of an example."""

from __future__ import annotations

from jaxtyping import Array, Float

from sde_lib.base import Event


def channel_means(x: Event) -> Float[Array, " C"]:
    """Returns the mean of x over space, of each channel: how dark an image is, and of what colour."""
    return x.mean(tuple(range(x.ndim - 1)))
