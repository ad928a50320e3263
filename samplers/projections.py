"""Orthogonal projections P of an image onto its observed part, for `inpaint`: P P x = P x, and <P x, y> = <x, P y>."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp

from sde_lib.base import Count, Event

Projection = Callable[[Event], Event]


def grey(x: Event) -> Event:
    """The mean over the channels of x [H, W, C], in each of them: `inpaint` then colours a grey image.

    It is the first axis of any orthogonal transform of the channels that starts with (1, ..., 1)/sqrt(C): Song et al. (2021),
    app. I.2. Raises ValueError for fewer than two channels.
    """
    if x.ndim != 3 or x.shape[-1] < 2:
        raise ValueError(f"grey takes an image [H, W, C] of two channels or more, and this is of shape {x.shape}")
    return jnp.broadcast_to(x.mean(-1, keepdims=True), x.shape)


def coarse(factor: Count) -> Projection:
    """P x, the mean over blocks of `factor` x `factor` of x [H, W, ...], in each of their pixels, for super-resolution.

    P raises ValueError if `factor` does not divide both H and W, with the nearest that do.
    """

    def project(x: Event) -> Event:
        if x.ndim < 2:
            raise ValueError(f"coarse takes an image [H, W, ...], and this is of shape {x.shape}")
        height, width = x.shape[:2]
        fit = [f for f in range(1, math.gcd(height, width) + 1) if height % f == 0 and width % f == 0]
        if factor not in fit:
            near = [str(f) for f in ([f for f in fit if f < factor][-1:] + [f for f in fit if f > factor][:1])]
            raise ValueError(
                f"coarse({factor}): blocks of {factor} x {factor} do not fill {height} x {width}; those of the nearest "
                f"{'sizes' if len(near) > 1 else 'size'}, {' and '.join(near)}, do"
            )
        blocks = x.reshape(height // factor, factor, width // factor, factor, *x.shape[2:])
        return jnp.broadcast_to(blocks.mean((1, 3), keepdims=True), blocks.shape).reshape(x.shape)

    return project
