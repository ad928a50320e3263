"""The U-Net of improved DDPM (Nichol & Dhariwal 2021) and of ADM (Dhariwal & Nichol 2021), at any size."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, beside, by_name, embedded
from models.layers.affine import Conv, Images, fan_avg, torch_default
from models.layers.fir import WAYS
from models.layers.noise import EMBEDDINGS
from models.layers.norm import GroupNorm
from models.layers.pyramid import pyramid
from models.layers.transformer import head_count
from models.layers.unet import CrossAttention, ResidualBlock, SelfAttention
from models.layers.walk import UNet
from models.ranges import Classes, Depth, Dropout, Multipliers, Numbers, Width

EPS = 1e-5
DEFAULT, ZERO = torch_default(), fan_avg(0)


class Resize(nnx.Module):
    """A change to half or twice the resolution: in a residual block, with a convolution, or by mean and repetition alone."""

    def __init__(self, way: Literal["up", "down"], block: ResidualBlock | None, conv: Conv | None):
        self.way, self.block, self.conv = way, block, conv

    def __call__(self, x: Images, c: Float[Array, "B E"], key: Key[Array, ""] | None) -> Images:
        if self.block is not None:
            return self.block(x, c, key)
        if self.conv is not None and self.way == "down":  # its stride does it
            return self.conv(x)
        x = WAYS[self.way](x)
        return x if self.conv is None else self.conv(x)


class ADM(UNet):
    """Down and up a pyramid of resolutions, with skips between equals; attention of many heads at several of them.

    `width`: channels at full resolution; `multipliers`: of the width, one per resolution, each half the one before.
    `blocks`: residual blocks per resolution (one more going up); `attention`: the resolutions (heights) with self-attention
    after each block, which the middle always has, in `heads` heads, or in heads of `head_channels` where that is not zero.
    `scale_shift`: the noise level scales and shifts the second norm of each block, and is not added before it.
    `resample`: the resolution changes by a convolution ("conv"), in a residual block of its own ("block"), or by mean and
    repetition ("plain").
    `embedding`: of the noise level, "timestep" (as published, on a c_noise of t = 0..999) or another of `models.layers.noise`.
    `classes`: of the labels y; 0: none. The vector of a label is added to that of the noise level, and nothing for no label:
    None, or the label `classes`. `outputs`: images emitted, side by side along the channels.
    `vector`, `image`, `tokens`: the numbers, the channels and the channels of each token of these conditions of y; 0: none.
    `vocabulary`: of a text whose characters are the tokens, which is read into vectors of as many channels. Cross-attention to
    tokens follows each self-attention.

    The defaults are improved DDPM's for CIFAR-10. ADM's for ImageNet at 64 x 64: width 192, multipliers (1, 2, 3, 4), attention
    (32, 16, 8), head_channels 64, resample "block", dropout 0.1, classes 1000.
    Raises ValueError if the shape cannot be halved, an attention resolution never occurs, or heads do not divide channels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 128,
        multipliers: Multipliers = (1, 2, 2, 2),
        blocks: Depth = 3,
        attention: tuple[Width, ...] = (16, 8),
        heads: Width = 4,
        head_channels: Annotated[int, Ge(0), Le(16384)] = 0,
        scale_shift: bool = True,
        resample: Literal["conv", "block", "plain"] = "conv",
        dropout: Dropout = 0.3,
        embedding: Literal["timestep", "sinusoidal", "positional", "fourier"] = "timestep",
        classes: Classes = 0,
        vector: Numbers = 0,
        image: Numbers = 0,
        tokens: Numbers = 0,
        vocabulary: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stages, self.classes, self.image = tuple(pyramid(shape, width, multipliers, blocks, attention)), classes, image
        c = 4 * width
        published = partial(partial, eps=EPS, rngs=rngs)
        residual = published(ResidualBlock, embedding=c, dropout=dropout, project=False, scale_shift=scale_shift, init=DEFAULT)

        head_channels_of = lambda channels: channels // head_count(channels, heads, head_channels)

        def attend_to(channels: int) -> SelfAttention:
            return published(SelfAttention, qkv=DEFAULT)(channels, head_channels_of(channels))

        def cross_to(channels: int) -> CrossAttention | None:
            cross = published(CrossAttention, tokens=tokens, qkv=DEFAULT)
            return cross(channels, head_channels_of(channels)) if tokens else None

        def resize(n: int, way: Literal["up", "down"]) -> Resize:
            # Torch's stride of 2 pads an even side before as well as after.
            down = {"stride": 2, "padding": (1, 1)} if way == "down" else {}
            conv = Conv(n, n, init=DEFAULT, rngs=rngs, **down) if resample == "conv" else None
            return Resize(way, residual(n, n, way) if resample == "block" else None, conv)

        embed = EMBEDDINGS[embedding](width, rngs=rngs)
        super().__init__(embed, width, c, DEFAULT, vector=vector, tokens=tokens, vocabulary=vocabulary, rngs=rngs)
        self.labels = nnx.Param(jax.random.normal(rngs.params(), (classes, c))) if classes else None
        now = self.stages[0].channels
        self.first = Conv(shape[-1] + image, now, init=DEFAULT, rngs=rngs)
        left = self.lay(self.stages, now, residual, attend_to, resize, attention_up="block", cross_to=cross_to)
        self.norm = GroupNorm(left, eps=EPS)
        self.last = Conv(left, outputs * shape[-1], init=ZERO, rngs=rngs)

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        blocks = count()
        draw = lambda: None if key is None else jax.random.fold_in(key, next(blocks))

        y, label = by_name(y), None
        if self.labels is not None and (number := y.get("label")) is not None:
            label = jnp.take(self.labels[...], number, axis=0, mode="fill", fill_value=0)
        vector = embedded(self.vector, y.get("vector"), x.dtype)
        c = self.condition(self.embed(c_noise).astype(x.dtype), label, vector)
        h = self.first(beside(x, y.get("image"), self.image))
        _, h = self.walk(h, run=lambda block, h: block(h, c, draw()), tokens=self.read(y, x.dtype))
        return self.last(nnx.silu(self.norm(h)))
