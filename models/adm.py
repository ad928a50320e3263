"""The U-Net of improved DDPM (Nichol & Dhariwal 2021) and of ADM (Dhariwal & Nichol 2021), at any size."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from models.affine import Conv, Images, fan_avg, linear, torch_default
from models.block import Block, rematerialised
from models.fir import downsample, upsample
from models.noise import EMBEDDINGS
from models.norm import GroupNorm
from models.pyramid import pyramid

EPS = 1e-5
DEFAULT, ZERO = torch_default(), fan_avg(0)


class ResidualBlock(Block):
    """R x + conv(dropout(silu(modulated(norm(conv(R silu(norm(x)))))))), the last convolution starting at zero.

    R: `resize`, or nothing. With `scale_shift`, modulated(h) = (1 + a) h + b with (a, b) = W c; without, W c is added before
    the second norm.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        embedding: int,
        dropout: float,
        scale_shift: bool,
        resize: Callable[[Images], Images] | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        self.scale_shift, self.resize = scale_shift, resize
        self.norm1, self.conv1 = GroupNorm(channels_in, eps=EPS), Conv(channels_in, channels, init=DEFAULT, rngs=rngs)
        self.noise = linear(embedding, (1 + scale_shift) * channels, init=DEFAULT, rngs=rngs)
        self.norm2 = GroupNorm(channels, eps=EPS)
        self.dropout = nnx.Dropout(dropout)
        self.conv2 = Conv(channels, channels, init=ZERO, rngs=rngs)
        self.skip = None if channels == channels_in else linear(channels_in, channels, init=DEFAULT, rngs=rngs)

    @rematerialised
    def __call__(self, x: Images, c: Float[Array, "B E"], key: Key[Array, ""] | None) -> Images:
        h = nnx.silu(self.norm1(x))
        if self.resize is not None:
            x, h = self.resize(x), self.resize(h)
        h, modulation = self.conv1(h), self.noise(c)[:, None, None, :]
        if self.scale_shift:
            scale, shift = jnp.split(modulation, 2, axis=-1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + modulation)
        h = self.dropout(nnx.silu(h), deterministic=key is None, rngs=key)
        return (x if self.skip is None else self.skip(x)) + self.conv2(h)


class SelfAttention(Block):
    """x + W softmax(q k^T / sqrt(d)) v over the pixels, in heads of d channels, W starting at zero."""

    def __init__(self, channels: int, heads: int, head_channels: int, *, rngs: nnx.Rngs):
        n, d = (channels // head_channels, head_channels) if head_channels else (heads, channels // heads)
        if n * d != channels:
            raise ValueError(f"{n} heads of {d} channels are not {channels}; change heads or head_channels")
        self.head_channels = d
        self.norm = GroupNorm(channels, eps=EPS)
        self.q, self.k, self.v = (linear(channels, channels, init=DEFAULT, rngs=rngs) for _ in range(3))
        self.out = linear(channels, channels, init=ZERO, rngs=rngs)

    @rematerialised
    def __call__(self, x: Images) -> Images:
        h = self.norm(x)
        q, k, v = (
            f(h).reshape(len(x), -1, h.shape[-1] // self.head_channels, self.head_channels) for f in (self.q, self.k, self.v)
        )
        return x + self.out(jax.nn.dot_product_attention(q, k, v).reshape(x.shape))


class Level(nnx.Module):
    """A residual block, with self-attention where it is asked for."""

    def __init__(self, block: ResidualBlock, attention: SelfAttention | None):
        self.block, self.attention = block, attention

    def __call__(self, x: Images, c: Float[Array, "B E"], key: Key[Array, ""] | None) -> Images:
        x = self.block(x, c, key)
        return x if self.attention is None else self.attention(x)


class Resize(nnx.Module):
    """To half or twice the resolution within a residual block, by a convolution there, or by R alone."""

    def __init__(self, resize: Callable[[Images], Images], block: ResidualBlock | None, conv: Conv | None):
        self.resize, self.block, self.conv = resize, block, conv

    def __call__(self, x: Images, c: Float[Array, "B E"], key: Key[Array, ""] | None) -> Images:
        if self.block is not None:
            return self.block(x, c, key)
        if self.conv is None:
            return self.resize(x)
        return self.conv(x if self.resize is downsample else self.resize(x))


class ADM(nnx.Module):
    """Down and up a pyramid of resolutions, with skips between equals; attention of many heads at several of them.

    `width`: channels at full resolution; `multipliers`: of the width, one per resolution, each half the one before.
    `blocks`: residual blocks per resolution (one more going up); `attention`: the resolutions (heights) with self-attention
    after each block, which the middle always has, in `heads` heads, or in heads of `head_channels` where that is not zero.
    `scale_shift`: the noise level scales and shifts the second norm of each block, and is not added before it.
    `resample`: the resolution changes by a convolution ("conv"), in a residual block of its own ("block"), or by mean and
    repetition ("plain").
    `embedding`: of the noise level, "timestep" (as published, on a c_noise of t = 0..999) or another of `models.noise`.
    `classes`: of the labels y; 0: none. The vector of a label is added to that of the noise level, and nothing for no label:
    None, or the label `classes`. `outputs`: images emitted, side by side along the channels.

    The defaults are improved DDPM's for CIFAR-10. ADM's for ImageNet at 64 x 64: width 192, multipliers (1, 2, 3, 4), attention
    (32, 16, 8), head_channels 64, resample "block", dropout 0.1, classes 1000.
    Raises ValueError where the shape cannot be halved, an attention resolution never occurs, or heads do not divide channels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 128,
        multipliers: tuple[int, ...] = (1, 2, 2, 2),
        blocks: int = 3,
        attention: tuple[int, ...] = (16, 8),
        heads: int = 4,
        head_channels: int = 0,
        scale_shift: bool = True,
        resample: Literal["conv", "block", "plain"] = "conv",
        dropout: float = 0.3,
        embedding: Literal["timestep", "sinusoidal", "positional", "fourier"] = "timestep",
        classes: int = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        stages = pyramid(shape, width, multipliers, blocks, attention)
        c = 4 * width

        def block(channels_in: int, channels: int, resize: Callable[[Images], Images] | None = None) -> ResidualBlock:
            return ResidualBlock(channels_in, channels, c, dropout, scale_shift, resize, rngs=rngs)

        def level(channels_in: int, channels: int, attend: bool) -> Level:
            made = block(channels_in, channels)
            return Level(made, SelfAttention(channels, heads, head_channels, rngs=rngs) if attend else None)

        def resized(n: int, resize: Callable[[Images], Images]) -> Resize:
            # Torch's stride of 2 pads an even side before as well as after.
            down = {"stride": 2, "padding": (1, 1)} if resize is downsample else {}
            conv = Conv(n, n, init=DEFAULT, rngs=rngs, **down) if resample == "conv" else None
            return Resize(resize, block(n, n, resize) if resample == "block" else None, conv)

        self.stages, self.classes = tuple(stages), classes
        self.embed = EMBEDDINGS[embedding](width, rngs=rngs)
        self.dense1, self.dense2 = linear(width, c, init=DEFAULT, rngs=rngs), linear(c, c, init=DEFAULT, rngs=rngs)
        self.labels = nnx.Param(jax.random.normal(rngs.params(), (classes, c))) if classes else None
        now = stages[0].channels
        self.first = Conv(shape[-1], now, init=DEFAULT, rngs=rngs)

        skips, down, shrink = [now], [], []
        for stage in stages:
            n = stage.channels
            down.append(nnx.List([level(now if j == 0 else n, n, stage.attention) for j in range(blocks)]))
            now = n
            skips += [n] * blocks
            if stage is not stages[-1]:
                shrink.append(resized(n, downsample))
                skips.append(n)
        self.down, self.shrink = nnx.List(down), nnx.List(shrink)

        self.middle1, self.middle2 = level(now, now, attend=True), block(now, now)

        up, grow = [], []
        for stage in reversed(stages):
            levels = []
            for _ in range(blocks + 1):
                levels.append(level(now + skips.pop(), stage.channels, stage.attention))
                now = stage.channels
            up.append(nnx.List(levels))
            if stage is not stages[0]:
                grow.append(resized(now, upsample))
        self.up, self.grow = nnx.List(up), nnx.List(grow)

        self.norm = GroupNorm(now, eps=EPS)
        self.last = Conv(now, outputs * shape[-1], init=ZERO, rngs=rngs)

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Int[Array, " B"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        blocks = count()
        draw = lambda: None if key is None else jax.random.fold_in(key, next(blocks))

        c = self.dense2(nnx.silu(self.dense1(self.embed(c_noise).astype(x.dtype))))
        if self.labels is not None and y is not None:
            c = c + jnp.take(self.labels[...], y, axis=0, mode="fill", fill_value=0).astype(x.dtype)
        c = nnx.silu(c)
        h = self.first(x)
        skips = [h]
        for i, levels in enumerate(self.down):
            for level in levels:
                h = level(h, c, draw())
                skips.append(h)
            if i < len(self.shrink):
                h = self.shrink[i](h, c, draw())
                skips.append(h)
        h = self.middle2(self.middle1(h, c, draw()), c, draw())
        for i, levels in enumerate(self.up):
            for level in levels:
                h = level(jnp.concatenate([h, skips.pop()], axis=-1), c, draw())
            if i < len(self.grow):
                h = self.grow[i](h, c, draw())
        return self.last(nnx.silu(self.norm(h)))
