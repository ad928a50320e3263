"""The U-Net of DDPM (Ho et al. 2020, app. B), at any size."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from models.layers.affine import Conv, Images, fan_avg, linear
from models.layers.noise import EMBEDDINGS, Labels
from models.layers.norm import GroupNorm
from models.layers.pyramid import pyramid
from models.layers.unet import Level, ResidualBlock, SelfAttention
from models.ranges import Classes, Depth, Dropout, Multipliers, Width


class DDPM(nnx.Module):
    """Down and up a pyramid of resolutions, with skips between equals.

    `width`: channels at full resolution; `multipliers`: of the width, one per resolution, each half the one before.
    `blocks`: residual blocks per resolution (one more going up); `attention`: the resolutions (heights) with self-attention,
    which the middle always has; going up it follows each block there (Ho et al.) or, with `attention_up` = "level", only the
    last (Song et al. 2021's `ddpm`).
    `embedding`: of the noise level, "sinusoidal", "positional" (Ho et al., on a c_noise of t = 0..999) or "fourier".
    `waves`: the n for which sin(2^n pi x) and cos(2^n pi x) enter beside x (Kingma et al. 2021, app. C: 7 and 8).
    `centre_input`: the network sees 2 x - 1, for data in [0, 1]. `classes`: of the labels y; 0: none. `outputs`: images
    emitted, side by side along the channels (2: a score and its variance). The last convolution starts at zero, so that
    eps_hat does.
    Raises ValueError where the shape cannot be halved, or an attention resolution never occurs.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 128,
        multipliers: Multipliers = (1, 2, 2, 2),
        blocks: Depth = 2,
        attention: tuple[Width, ...] = (16,),
        attention_up: Literal["block", "level"] = "block",
        dropout: Dropout = 0.1,
        embedding: Literal["sinusoidal", "positional", "fourier"] = "sinusoidal",
        waves: tuple[Annotated[int, Ge(-20), Le(20)], ...] = (),
        centre_input: bool = False,
        classes: Classes = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        stages = pyramid(shape, width, multipliers, blocks, attention)
        c = 4 * width

        residual = partial(ResidualBlock, embedding=c, dropout=dropout, rngs=rngs)

        def level(channels_in: int, channels: int, attend: bool) -> Level:
            return Level(residual(channels_in, channels), SelfAttention(channels, rngs=rngs) if attend else None)

        self.stages, self.waves, self.centre_input = tuple(stages), waves, centre_input
        self.embed = EMBEDDINGS[embedding](width, rngs=rngs)
        self.dense1, self.dense2 = linear(width, c, rngs=rngs), linear(c, c, rngs=rngs)
        self.labels = Labels(classes, c, rngs=rngs) if classes else None
        self.first = Conv((1 + 2 * len(waves)) * shape[-1], width, rngs=rngs)

        skips, now = [width], width
        down, shrink = [], []
        for stage in stages:
            n = stage.channels
            down.append(nnx.List([level(now if j == 0 else n, n, stage.attention) for j in range(blocks)]))
            now = n
            skips += [n] * blocks
            if stage is not stages[-1]:
                shrink.append(Conv(n, n, stride=2, rngs=rngs))
                skips.append(n)
        self.down, self.shrink = nnx.List(down), nnx.List(shrink)

        self.middle1 = level(now, now, attend=True)
        self.middle2 = residual(now, now)

        up, grow = [], []
        for stage in reversed(stages):
            levels = []
            for j in range(blocks + 1):
                attend = stage.attention and (attention_up == "block" or j == blocks)
                levels.append(level(now + skips.pop(), stage.channels, attend))
                now = stage.channels
            up.append(nnx.List(levels))
            if stage is not stages[0]:
                grow.append(Conv(now, now, rngs=rngs))
        self.up, self.grow = nnx.List(up), nnx.List(grow)

        self.norm = GroupNorm(now)
        self.last = Conv(now, outputs * shape[-1], init=fan_avg(0), rngs=rngs)

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Int[Array, " B"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        keys = None if key is None else iter(jax.random.split(key, 2 + 2 * sum(len(levels) for levels in self.up)))
        draw = lambda: None if keys is None else next(keys)

        c = self.dense2(nnx.silu(self.dense1(self.embed(c_noise).astype(x.dtype))))
        if self.labels is not None:
            c = c + self.labels(y).astype(x.dtype)
        c = nnx.silu(c)
        x = 2 * x - 1 if self.centre_input else x
        if self.waves and x.dtype != jnp.float32:
            raise ValueError(f"waves {self.waves} of x in {x.dtype} are noise, {2.0 ** max(self.waves):g} pi x needs float32")
        angles = [2.0**n * jnp.pi * x for n in self.waves]
        h = self.first(jnp.concatenate([x, *map(jnp.sin, angles), *map(jnp.cos, angles)], axis=-1))
        skips = [h]
        for i, levels in enumerate(self.down):
            for level in levels:
                h = level(h, c, draw())
                skips.append(h)
            if i < len(self.shrink):
                h = self.shrink[i](h)
                skips.append(h)
        h = self.middle2(self.middle1(h, c, draw()), c, draw())
        for i, levels in enumerate(self.up):
            for level in levels:
                h = level(jnp.concatenate([h, skips.pop()], axis=-1), c, draw())
            if i < len(self.grow):
                h = self.grow[i](jnp.repeat(jnp.repeat(h, 2, axis=1), 2, axis=2))
        return self.last(nnx.silu(self.norm(h)))
