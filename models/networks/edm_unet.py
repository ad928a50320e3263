"""The U-Nets of EDM (Karras et al. 2022): DDPM++ and NCSN++ (Song et al. 2021) as table 7 there has them."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le, Len
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from models.layers.affine import Conv, Images, fan_avg, linear
from models.layers.fir import WAYS, filtered
from models.layers.noise import Fourier, Positional
from models.layers.norm import GroupNorm
from models.layers.pyramid import pyramid
from models.layers.unet import Level, ResidualBlock, SelfAttention
from models.ranges import Classes, Depth, Dropout, Multipliers, Width

NEAR_ZERO = fan_avg(1e-10)  # Weights of 1e-5 times the usual size.
QKV = fan_avg(0.1)  # sqrt(0.2) times the usual size of [q, k, v] as one map, of variance 2/(C + 3C) and not 2/(C + C).
HALF = 0.5**0.5


class EDMUNet(nnx.Module):
    """Down and up a pyramid of resolutions, with skips between equals, each sum of two scaled back by 1/sqrt(2).

    `width`: channels of the first convolution; `multipliers`: of the width, one per resolution, each half the one before.
    `blocks`: residual blocks per resolution (one more going up); `attention`: the resolutions (heights) with self-attention,
    after each block going down and the last going up; the middle always has it.
    `embedding`: of the noise level, log(sigma/alpha)/4, in `noise_multiplier` times the width.
    `encoder`: the image enters at every resolution beside the first ("skip"), or does so through a convolution at each
    ("residual"); `decoder`: every resolution adds to the image emitted ("skip"). `filter`: the taps by which all of
    it is halved and doubled.
    `classes`: of the labels y; 0: none. No label is None, or the label `classes`. `outputs`: images emitted, side by side along
    the channels.

    The defaults are EDM's DDPM++ for CIFAR-10; its NCSN++ has embedding "fourier", noise_multiplier 2, encoder "residual" and
    filter (1, 3, 3, 1). For FFHQ at 64 x 64: multipliers (1, 2, 2, 2), dropout 0.05. EDM's ADM is
    `models.ADM`.
    Raises ValueError where the shape cannot be halved, or an attention resolution never occurs.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 128,
        multipliers: Multipliers = (2, 2, 2),
        blocks: Depth = 4,
        attention: tuple[Width, ...] = (16,),
        dropout: Dropout = 0.13,
        embedding: Literal["positional", "fourier"] = "positional",
        noise_multiplier: Annotated[int, Ge(1), Le(64)] = 1,
        encoder: Literal["standard", "skip", "residual"] = "standard",
        decoder: Literal["standard", "skip"] = "standard",
        filter: Annotated[tuple[int, ...], Len(2, 64)] = (1, 1),
        classes: Classes = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        stages = pyramid(shape, width, multipliers, blocks, attention)
        n_noise, c = noise_multiplier * width, 4 * width

        summed = partial(partial, rescale=HALF, last=NEAR_ZERO, rngs=rngs)
        residual = summed(ResidualBlock, embedding=c, dropout=dropout, kernel=filter)
        attend_to = summed(SelfAttention, qkv=QKV)

        def level(channels_in: int, channels: int, attend: bool) -> Level:
            return Level(residual(channels_in, channels), attend_to(channels) if attend else None)

        self.stages, self.classes, self.encoder, self.filter = tuple(stages), classes, encoder, filter
        self.embed = Positional(n_noise, rngs=rngs) if embedding == "positional" else Fourier(n_noise, 16.0, rngs=rngs)
        self.labels = linear(classes, n_noise, rngs=rngs) if classes else None
        self.dense1, self.dense2 = linear(n_noise, c, rngs=rngs), linear(c, c, rngs=rngs)
        self.first = Conv(shape[-1], width, rngs=rngs)

        skips, now, image = [], width, shape[-1]
        down, shrink, enter = [], [], []
        for stage in stages:
            if stage is not stages[0]:
                shrink.append(residual(now, now, "down"))
                if encoder == "skip":
                    enter.append(linear(image, now, rngs=rngs))
                if encoder == "residual":
                    # So wide that the filter finds beyond the border what the convolution makes there, not zeros.
                    margin = 1 + (len(filter) - 1) // 2
                    enter.append(Conv(image, now, padding=(margin, margin), rngs=rngs))
                    image = now
            n = stage.channels
            down.append(nnx.List([level(now if j == 0 else n, n, stage.attention) for j in range(blocks)]))
            skips += [now, *[n] * blocks]
            now = n
        self.down, self.shrink, self.enter = nnx.List(down), nnx.List(shrink), nnx.List(enter)

        self.middle1, self.middle2 = level(now, now, attend=True), residual(now, now)

        up, grow, norms, leave = [], [], [], []
        for stage in reversed(stages):
            if stage is not stages[-1]:
                grow.append(residual(now, now, "up"))
            levels = []
            for j in range(blocks + 1):
                levels.append(level(now + skips.pop(), stage.channels, stage.attention and j == blocks))
                now = stage.channels
            up.append(nnx.List(levels))
            if decoder == "skip" or stage is stages[0]:
                norms.append(GroupNorm(now))
                leave.append(Conv(now, outputs * shape[-1], init=NEAR_ZERO, rngs=rngs))
        self.up, self.grow, self.norms, self.leave = (nnx.List(modules) for modules in (up, grow, norms, leave))

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Int[Array, " B"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        blocks = count()
        draw = lambda: None if key is None else jax.random.fold_in(key, next(blocks))

        c = self.embed(c_noise).astype(x.dtype)
        if self.labels is not None:
            one_hot = jax.nn.one_hot(jnp.array([self.classes]) if y is None else y, self.classes, dtype=x.dtype)
            c = c + self.labels(self.classes**0.5 * one_hot)
        c = nnx.silu(self.dense2(nnx.silu(self.dense1(c))))

        h, image, skips = self.first(x), x, []
        for i, levels in enumerate(self.down):
            if i:
                h = self.shrink[i - 1](h, c, draw())
                if self.encoder == "skip":
                    image = WAYS["down"](image, self.filter)
                    h = h + self.enter[i - 1](image)
                if self.encoder == "residual":
                    entering = filtered(self.enter[i - 1](image), [f / sum(self.filter) for f in self.filter], down=2)
                    h = image = HALF * (h + entering)
            skips.append(h)
            for level in levels:
                h = level(h, c, draw())
                skips.append(h)

        h = self.middle2(self.middle1(h, c, draw()), c, draw())

        silent = len(self.up) - len(self.leave)
        for i, levels in enumerate(self.up):
            if i:
                h = self.grow[i - 1](h, c, draw())
            for level in levels:
                h = level(jnp.concatenate([h, skips.pop()], axis=-1), c, draw())
            if i >= silent:
                emitted = self.leave[i - silent](nnx.silu(self.norms[i - silent](h)))
                image = emitted if i == silent else WAYS["up"](image, self.filter) + emitted
        return image
