"""p(y | x_t): a network that classifies a noisy image, for guidance."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import jax
from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from models.layers.affine import Conv, Images, fan_avg, linear
from models.layers.noise import EMBEDDINGS, NoiseConditioned
from models.layers.norm import GroupNorm
from models.layers.pyramid import pyramid
from models.layers.unet import Level, ResidualBlock, SelfAttention
from models.ranges import Depth, Dropout, Multipliers, Width


class Classifier(NoiseConditioned):
    """The way down of `DDPM`'s U-Net, and a logit for each of `classes` from all features at its end.

    `width`, `multipliers`, `blocks`, `attention`, `dropout`, `embedding`: as of `DDPM`. Dhariwal & Nichol (2021), sec. 4, who
    pool by attention. The last map starts at zero, so that no class is likelier than another.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        classes: Annotated[int, Ge(2), Le(1_000_000)],
        width: Width = 64,
        multipliers: Multipliers = (1, 2, 2),
        blocks: Depth = 1,
        attention: tuple[Width, ...] = (),
        dropout: Dropout = 0.0,
        embedding: Literal["sinusoidal", "positional", "fourier"] = "sinusoidal",
        *,
        rngs: nnx.Rngs,
    ):
        self.stages = tuple(pyramid(shape, width, multipliers, blocks, attention))
        c = 4 * width
        super().__init__(EMBEDDINGS[embedding](width, rngs=rngs), width, c, rngs=rngs)
        self.first = Conv(shape[-1], width, rngs=rngs)
        residual = partial(ResidualBlock, embedding=c, dropout=dropout, rngs=rngs)
        down, now = [], width
        for stage in self.stages:
            n, way = stage.channels, "same" if stage is self.stages[0] else "down"
            levels = []
            for j in range(blocks):
                block = residual(now, n, way if j == 0 else "same")
                levels.append(Level(block, SelfAttention(n, rngs=rngs) if stage.attention else None))
                now = n
            down.append(nnx.List(levels))
        self.down = nnx.List(down)
        self.norm = GroupNorm(now)
        left = self.stages[-1]
        self.last = linear(left.height * left.width * now, classes, init=fan_avg(0), rngs=rngs)

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Int[Array, " B"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B classes"]:
        h = self.features(x, c_noise, key)[-1]
        return self.last(nnx.silu(self.norm(h)).reshape(len(h), -1))

    def features(
        self, x: Images, c_noise: Float[Array, " B"], key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "B h w C"], ...]:
        """The features at the end of each resolution, by which images that look alike are near (`losses.perceptual`)."""
        keys = None if key is None else iter(jax.random.split(key, sum(len(levels) for levels in self.down)))
        draw = lambda: None if keys is None else next(keys)
        c = self.condition(self.embed(c_noise).astype(x.dtype))
        h, ends = self.first(x), []
        for levels in self.down:
            for level in levels:
                h = level(h, run=lambda block, h: block(h, c, draw()))
            ends.append(h)
        return tuple(ends)
