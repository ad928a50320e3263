"""Twice and half the resolution by finite impulse response filters, as StyleGAN2 does (Karras et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from models.layers.affine import Conv, Fields, Images

Kernel = Sequence[float] | None


def filtered(x: Images, f: Sequence[float], up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Images:
    """y_n = sum_k f_k u_(down n - k) along height and width: u is x with up - 1 zeros after each pixel, and `pad` zeros around.

    As a product with a matrix for each side, whose gradient is one too. Of shifted slices XLA:CPU makes a gradient that takes
    three times as long, and of a convolution with zeros between the pixels twenty times.
    """

    def matrix(side: int) -> Array:
        n = np.arange((up * side + sum(pad) - len(f)) // down + 1)[:, None]
        k = down * n + len(f) - 1 - pad[0] - up * np.arange(side)
        inside = (k >= 0) & (k < len(f))
        return jnp.asarray(np.where(inside, np.asarray(f)[np.where(inside, k, 0)], 0), x.dtype)

    # HIGHEST: pixels are not to be rounded on their way to the next resolution.
    return jnp.einsum("hi,wj,bijc->bhwc", matrix(x.shape[1]), matrix(x.shape[2]), x, precision=jax.lax.Precision.HIGHEST)


def upsample(x: Images, kernel: Kernel = None, margin: int = 0) -> Images:
    """[B, 2 H, 2 W, C]: zeros between the pixels, then `kernel` [n] of sum 2 along each axis; None: each pixel twice.

    `margin`: how many pixels beyond the border to compute too, which the filter reaches.
    """
    f = _of_sum(kernel, 2.0)
    spare = len(f) - 2
    return filtered(x, f, up=2, pad=((spare + 1) // 2 + 1 + margin, spare // 2 + margin))


def repeated(x: Fields) -> Fields:
    """[B, *2 space, C]: each pixel twice along every axis of space, of any number."""
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, 2, axis=axis)
    return x


def downsample(x: Images, kernel: Kernel = None) -> Images:
    """[B, H/2, W/2, C]: `kernel` [n] of sum 1 along each axis, at every other pixel; None: the mean of two by two."""
    f = _of_sum(kernel, 1.0)
    spare = len(f) - 2
    return filtered(x, f, down=2, pad=((spare + 1) // 2, spare // 2))


class Resample(nnx.Module):
    """`upsample` or `downsample`, or with `conv` a convolution of size 3 with the filter before it.

    The convolution sees what the filter spread beyond the border. Going down without a filter it is DDPM's, of stride 2.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        way: Literal["up", "down"],
        kernel: tuple[float, ...] | None = (1, 3, 3, 1),
        conv: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        self.way, self.kernel = way, kernel
        stride, padding = (1, (0, 0)) if way == "up" else (2, None if kernel is None else (0, 0))
        self.conv = Conv(channels_in, channels, stride=stride, padding=padding, rngs=rngs) if conv else None

    def __call__(self, x: Images, *_) -> Images:
        """The arguments that it does not read are those of a block that resamples."""
        if self.conv is None:
            return WAYS[self.way](x, self.kernel)
        if self.way == "up":
            return self.conv(upsample(x, self.kernel, margin=1))
        if self.kernel is None:
            return self.conv(x)
        spare = len(self.kernel)
        return self.conv(filtered(x, _of_sum(self.kernel, 1.0), pad=((spare + 1) // 2, spare // 2)))


WAYS = {"same": lambda x, kernel=None: x, "up": upsample, "down": downsample}


def _of_sum(kernel: Kernel, total: float) -> list[float]:
    kernel = kernel or (1.0, 1.0)
    return [total * f_k / sum(kernel) for f_k in kernel]
