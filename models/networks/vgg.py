"""The features of VGG16, by which LPIPS compares images."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from models.layers.affine import Conv, Images
from models.ranges import Width

MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Those of the red, green and blue of ImageNet, in [-1, 1]."""
CONVOLUTIONS = (2, 2, 3, 3, 3)
"""At each resolution."""


class VGG(nnx.Module):
    """ReLU(conv) two or three times at each of five resolutions, each half the one before by the largest of 2 x 2 pixels.

    `widths`: the channels at each; the defaults are those of VGG16 (Simonyan & Zisserman 2015, table 1, D), without its dense
    layers. It sees images of three channels in [-1, 1], less the mean of ImageNet and over its standard deviation.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        widths: tuple[Width, Width, Width, Width, Width] = (64, 128, 256, 512, 512),
        *,
        rngs: nnx.Rngs,
    ):
        if len(shape) != 3 or shape[-1] != 3 or min(shape[:2]) < 2 ** (len(widths) - 1):
            raise ValueError(f"VGG is for images [H, W, 3] of at least 16 x 16 pixels, not for events of shape {shape}")
        conv, now, levels = partial(Conv, rngs=rngs), shape[-1], []
        for n, width in zip(CONVOLUTIONS, widths, strict=True):
            levels.append(nnx.List([conv(before, width) for before in (now, *(width,) * (n - 1))]))
            now = width
        self.levels = nnx.List(levels)

    def features(self, x: Images, *_: Any) -> tuple[Float[Array, "B h w C"], ...]:
        """The last features of each resolution: the five that LPIPS compares (Zhang et al. 2018, app. B)."""
        h, ends = (x - jnp.asarray(MEAN, x.dtype)) / jnp.asarray(STD, x.dtype), []
        for i, convs in enumerate(self.levels):
            h = nnx.max_pool(h, (2, 2), (2, 2)) if i else h
            for conv in convs:
                h = nnx.relu(conv(h))
            ends.append(h)
        return tuple(ends)
