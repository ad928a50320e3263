"""The convolution of images [B, H, W, C] by kernels [k, l, C, O]: XLA's, and on a CPU by one of stride 1, fast there.

A signal is an image one pixel wide to it, and a volume is its slices.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax import lax
from jaxtyping import Array, Float

from models.cpu.bilinear import bilinear, derived
from models.cpu.correlation import correlate
from models.cpu.gate import lowered
from models.cpu.winograd import Padding

Kernel = Float[Array, "k l I O"]
Map = Float[Array, "B H W C"]
Field = Float[Array, "B *space C"]
Taps = Float[Array, "*taps I O"]


class Form(NamedTuple):
    """The zeros before and after each axis of space, the distance of the outputs and that of the taps."""

    padding: Padding
    stride: int = 1
    dilation: int = 1


def same(side: int, taps: int, stride: int = 1) -> tuple[int, int]:
    """The zeros before and after a side that keep ceil(side / stride) pixels; an odd number has one more after it."""
    spare = max((-(-side // stride) - 1) * stride + taps - side, 0)
    return spare // 2, spare - spare // 2


def convolved(x: Map, W: Kernel, padding: Padding) -> Map:
    """y[h, w] = sum_{k l} x[h + k, w + l] W[k, l], with zeros before and after each side of x."""
    sides = zip(x.shape[1:3], W.shape[:2], padding, strict=True)
    whole = all(side + before + after - k <= before <= k - side for side, k, (before, after) in sides)
    return (dense if whole else correlate)(x, W, padding)


def dense(x: Map, W: Kernel, padding: Padding) -> Map:
    """`convolved` if each pixel of y sees all of x: each is one product, which XLA:CPU is faster at.

    Without it a step of training at 8x8 takes 1.59 times as long (DDPM of width 32, batch 128; two cores of an AMD EPYC, jax
    0.10.2).

    y[h, w] = sum_{h' w'} x[h', w'] W[h' - h + top, w' - w + left]: for each (h, w) the kernel's taps of all x are a slice.
    """
    (height, width), (k, l) = x.shape[1:3], W.shape[:2]
    (top, bottom), (left, right) = padding
    out = height + top + bottom - k + 1, width + left + right - l + 1
    flat = x.reshape(len(x), -1)
    taps = [W[top - i :, left - j :][:height, :width].reshape(flat.shape[1], -1) for i, j in np.ndindex(out)]
    return jnp.stack([flat @ each for each in taps], axis=1).reshape(len(x), *out, -1)


def strided(x: Map, W: Kernel, stride: int, padding: Padding) -> Map:
    """y[h, w] = sum_{k l} x[s h + k, s w + l] W[k, l]: cells of s by s pixels are the channels of a map of stride 1.

    A gradient of strided taps has holes, for which XLA:CPU has no fast convolution: without this a step of training at 8x8
    takes 1.46 times as long (as for `dense`).
    """
    s, edges, cells = stride, [(0, 0, 0)], []
    for side, n, (before, after) in zip(x.shape[1:3], W.shape[:2], padding, strict=True):
        out, k = (side + before + after - n) // s + 1, -(-n // s)
        edges.append((before, s * (out + k - 1) - side - before, 0))
        cells.append((0, s * k - n, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), [*edges, (0, 0, 0)])
    W = lax.pad(W, jnp.zeros((), W.dtype), [*cells, (0, 0, 0), (0, 0, 0)])
    x = rearrange(x, "b (h i) (w j) c -> b h w (i j c)", i=s, j=s)
    W = rearrange(W, "(k i) (l j) c o -> k l (i j c) o", i=s, j=s)
    return convolved(x, W, ((0, 0), (0, 0)))


def dilated(x: Map, W: Kernel, dilation: int) -> Map:
    """y[h, w] = sum_{k l} x[h + d k, w + d l] W[k, l] of the same size: taps d apart are neighbours among every d-th pixel."""
    d, (_, height, width, _) = dilation, x.shape
    apart = jnp.pad(x, [(0, 0), (0, -height % d), (0, -width % d), (0, 0)])
    apart = rearrange(apart, "b (h i) (w j) c -> (b i j) h w c", i=d, j=d)
    y = convolved(apart, W, (same(apart.shape[1], len(W)), same(apart.shape[2], W.shape[1])))
    return rearrange(y, "(b i j) h w c -> b (h i) (w j) c", i=d, j=d)[:, :height, :width]


def sliced(x: Field, W: Taps, form: Form) -> Field:
    """y[z] = sum_i x[s z + d i] * W[i] of volumes: each slice is a convolution of images, with the slices it sees as channels.

    XLA:CPU has no fast convolution over three axes: without this a step of training takes 3.4 times as long (DDPM of width 8,
    batch 16, at 16x16x16; two cores of an AMD EPYC, jax 0.10.2).
    """
    (before, after), *padding = form.padding
    x = jnp.pad(x, [(0, 0), (before, after), *((0, 0),) * 3])
    last = x.shape[1] - form.dilation * (len(W) - 1)
    windows = jnp.stack([x[:, form.dilation * i :][:, : last : form.stride] for i in range(len(W))])
    slices = rearrange(windows, "i b z h w c -> (b z) h w (i c)")
    y = by_stride_1(slices, rearrange(W, "i k l c o -> k l (i c) o"), form._replace(padding=tuple(padding)))
    return rearrange(y, "(b z) h w o -> b z h w o", b=len(x))


def plain(x: Field, W: Taps, form: Form) -> Field:
    """y[h, w] = sum_{k l} x[s h + d k, s w + d l] W[k, l], and alike over one axis of space or three, as XLA has it."""
    axes = W.ndim - 2
    space = "DHW"[-axes:]
    s, d, numbers = (form.stride,) * axes, (form.dilation,) * axes, (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(x, W, s, form.padding, rhs_dilation=d, dimension_numbers=numbers)


def by_stride_1(x: Field, W: Taps, form: Form) -> Field:
    """`plain`, of which all that is left to compute is `correlate` or a product of matrices.

    Inside `lax.scan` a step on signals takes 23 times as long without it (DDPM of width 32 at 64x2; two cores of an AMD EPYC,
    jax 0.10.2).
    """
    if W.ndim == 5:
        return sliced(x, W, form)
    if W.ndim == 3:
        return by_stride_1(x[:, :, None], W[:, None], form._replace(padding=(*form.padding, (0, 0))))[:, :, 0]
    if form.dilation > 1:
        return dilated(x, W, form.dilation)
    return convolved(x, W, form.padding) if form.stride == 1 else strided(x, W, form.stride, form.padding)


convolve = bilinear("convolution", plain, lowered(partial(derived, by_stride_1)))
