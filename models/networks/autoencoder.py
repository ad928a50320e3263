"""Encoders and decoders of codecs: convolutions over one, two or three axes of space, and a perceptron for any event.

None has a noise level or conditions: of `net(x, c_noise, y, key)` they read x alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float

from models.layers.affine import Conv, Fields, fan_avg, linear
from models.layers.block import Block, rematerialised
from models.layers.fir import repeated
from models.layers.norm import GroupNorm
from models.layers.pyramid import ANY, check_space
from models.ranges import Depth, Multipliers, Width


class _Convolutions(nnx.Module):
    """last(silu(norm(levels(first(x))))), at the resolutions that the levels make."""

    def __init__(self, first: Conv, levels: Sequence[nnx.Module], last: Conv):
        self.first, self.levels, self.last = first, nnx.List(levels), last
        self.norm = GroupNorm(last.kernel[...].shape[-2])

    def __call__(self, x: Fields, *_: Any) -> Fields:
        h = self.first(x)
        for level in self.levels:
            h = level(h)
        return self.last(nnx.silu(self.norm(h)))


class ConvEncoder(_Convolutions):
    """[*space, C] -> [*space / 2^(n - 1), channels], through n resolutions, each half the one before.

    `channels`: those that are emitted, twice the codes' for a `vae`. `width`: channels at full resolution; `multipliers`: of
    the width, one per resolution; `blocks`: residual blocks per resolution. Raises ValueError if a side cannot be halved.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: Width,
        width: Width = 32,
        multipliers: Multipliers = (1, 2, 2),
        blocks: Depth = 1,
        *,
        rngs: nnx.Rngs,
    ):
        check_space(f"{len(multipliers)} resolutions need", shape, 2 ** (len(multipliers) - 1), ANY)
        axes = len(shape) - 1
        conv, residual = partial(Conv, axes=axes, rngs=rngs), partial(Residual, axes=axes, rngs=rngs)
        now, *coarser = (width * multiplier for multiplier in multipliers)
        first, levels = conv(shape[-1], now), [residual(now) for _ in range(blocks)]
        for n in coarser:
            levels += [conv(now, n, stride=2), *(residual(n) for _ in range(blocks))]
            now = n
        super().__init__(first, levels, conv(now, channels))


class PooledEncoder(ConvEncoder):
    """[*space, C] -> [channels]: the mean over space of what a `ConvEncoder` of the same options emits.

    The semantic encoder of a diffusion autoencoder (Preechakul et al. 2022, app. A), whose code says what is in x, not where.
    """

    def __call__(self, x: Fields, *_: Any) -> Float[Array, "B channels"]:
        h = super().__call__(x)
        return h.mean(range(1, h.ndim - 1))


class ConvDecoder(_Convolutions):
    """[*space, c] -> [2^(n - 1) *space, channels]: the way back of a `ConvEncoder` of the same options.

    `channels`: those that are emitted, `likelihood.channels` of the data's for a `vae`, the data's for an `autoencoder`.
    Raises ValueError for codes without space.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: Width,
        width: Width = 32,
        multipliers: Multipliers = (1, 2, 2),
        blocks: Depth = 1,
        *,
        rngs: nnx.Rngs,
    ):
        check_space("ConvDecoder needs", shape, 1, ANY)
        axes = len(shape) - 1
        conv, residual = partial(Conv, axes=axes, rngs=rngs), partial(Residual, axes=axes, rngs=rngs)
        *finer, now = (width * multiplier for multiplier in multipliers)
        first, levels = conv(shape[-1], now), [residual(now) for _ in range(blocks)]
        for n in reversed(finer):
            levels += [Doubling(now, n, axes, rngs=rngs), *(residual(n) for _ in range(blocks))]
            now = n
        super().__init__(first, levels, conv(now, channels))


class Doubling(nnx.Module):
    """[B, *space, C_in] -> [B, *2 space, C]: each pixel repeated along every axis, and a convolution."""

    def __init__(self, channels_in: int, channels: int, axes: int, *, rngs: nnx.Rngs):
        self.conv = Conv(channels_in, channels, axes=axes, rngs=rngs)

    def __call__(self, x: Fields) -> Fields:
        return self.conv(repeated(x))


class Residual(Block):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the last convolution zero at first."""

    def __init__(self, channels: int, axes: int, *, rngs: nnx.Rngs):
        self.norm1, self.conv1 = GroupNorm(channels), Conv(channels, channels, axes=axes, rngs=rngs)
        self.norm2, self.conv2 = GroupNorm(channels), Conv(channels, channels, init=fan_avg(0), axes=axes, rngs=rngs)

    @rematerialised
    def __call__(self, x: Fields) -> Fields:
        h = self.conv1(nnx.silu(self.norm1(x)))
        return x + self.conv2(nnx.silu(self.norm2(h)))


class Perceptron(nnx.Module):
    """`depth` layers of SiLU from the flattened event, and a linear map to one of shape `emitted`: an encoder or a decoder.

    At depth 0 it is linear. `width`: of each layer.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        emitted: tuple[Width, ...],
        width: Width = 128,
        depth: Annotated[int, Ge(0), Le(100)] = 2,
        *,
        rngs: nnx.Rngs,
    ):
        sizes = [math.prod(shape), *(width,) * depth]
        self.layers = nnx.List([linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])
        self.last = linear(sizes[-1], math.prod(emitted), rngs=rngs)
        self.emitted = emitted

    def __call__(self, x: Float[Array, "B *event"], *_: Any) -> Float[Array, "B *emitted"]:
        h = x.reshape(len(x), -1)
        for layer in self.layers:
            h = nnx.silu(layer(h))
        return self.last(h).reshape(len(x), *self.emitted)
