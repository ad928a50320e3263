"""The U-Nets of EDM (Karras et al. 2022): DDPM++ and NCSN++ (Song et al. 2021) as table 7 there has them."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le, Len
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, beside, by_name, embedded
from models.layers.affine import Conv, Images, fan_avg, linear
from models.layers.fir import WAYS, filtered
from models.layers.noise import Fourier, Positional, summed
from models.layers.norm import GroupNorm
from models.layers.pyramid import Stage, pyramid
from models.layers.unet import CrossAttention, ResidualBlock, SelfAttention
from models.layers.walk import UNet
from models.ranges import Classes, Depth, Dropout, Multipliers, Numbers, Width

NEAR_ZERO = fan_avg(1e-10)  # Weights of 1e-5 times the usual size.
QKV = fan_avg(0.1)  # sqrt(0.2) times the usual size of [q, k, v] as one map, of variance 2/(C + 3C) and not 2/(C + C).
HALF = 0.5**0.5


class EDMUNet(UNet):
    """Down and up a pyramid of resolutions, with skips between equals, each sum of two scaled back by 1/sqrt(2).

    `width`: channels of the first convolution; `multipliers`: of the width, one per resolution, each half the one before.
    `blocks`: residual blocks per resolution (one more going up); `attention`: the resolutions (heights) with self-attention,
    after each block going down and the last going up; the middle always has it.
    `embedding`: of the noise level, log(sigma/alpha)/4, in `noise_multiplier` times the width.
    `encoder`: the image enters at every resolution beside the first ("skip"), or does so through a convolution at each
    ("residual"); `decoder`: every resolution adds to the image emitted ("skip"). `filter`: the taps by which all of
    it is halved and doubled.
    `classes`: of the labels y; 0: none. No label is None, or the label `classes`. `augment`: the number of labels of an
    augmentation, 9 as published; 0: none. They are the condition "augment" [B, augment] of y, and zero if that is absent.
    `vector`, `image`, `tokens`, `vocabulary`: as of `DDPM`; the condition `image` enters wherever the image does. `outputs`:
    images emitted, side by side along the channels.

    The defaults are EDM's DDPM++ for CIFAR-10; its NCSN++ has embedding "fourier", noise_multiplier 2, encoder "residual" and
    filter (1, 3, 3, 1). For FFHQ at 64 x 64: multipliers (1, 2, 2, 2), dropout 0.05. EDM's ADM is
    `models.ADM`.
    Raises ValueError if the shape cannot be halved, or an attention resolution never occurs.
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
        augment: Numbers = 0,
        vector: Numbers = 0,
        image: Numbers = 0,
        tokens: Numbers = 0,
        vocabulary: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stages, self.classes = tuple(pyramid(shape, width, multipliers, blocks, attention)), classes
        self.encoder, self.filter, self.image = encoder, filter, image
        n_noise, c = noise_multiplier * width, 4 * width
        rescaled = partial(partial, rescale=HALF, last=NEAR_ZERO, rngs=rngs)
        residual = rescaled(ResidualBlock, embedding=c, dropout=dropout, kernel=filter)

        entrances, norms, exits, p = [], [], [], shape[-1] + image

        def enter(n: int) -> int:
            nonlocal p
            if encoder == "skip":
                entrances.append(linear(p, n, rngs=rngs))
            if encoder == "residual":
                # So wide that the filter meets beyond the border what the convolution makes there, not zeros.
                margin = 1 + (len(filter) - 1) // 2
                entrances.append(Conv(p, n, padding=(margin, margin), rngs=rngs))
                p = n
            return n

        def leave(stage: Stage) -> None:
            if decoder == "skip" or stage is self.stages[0]:
                norms.append(GroupNorm(stage.channels))
                exits.append(Conv(stage.channels, outputs * shape[-1], init=NEAR_ZERO, rngs=rngs))

        embed = Positional(n_noise, rngs=rngs) if embedding == "positional" else Fourier(n_noise, 16.0, rngs=rngs)
        self.labels = linear(classes, n_noise, rngs=rngs) if classes else None
        self.augment = linear(augment, n_noise, bias=False, rngs=rngs) if augment else None
        super().__init__(embed, n_noise, c, vector=vector, tokens=tokens, vocabulary=vocabulary, rngs=rngs)
        self.first = Conv(shape[-1] + image, width, rngs=rngs)
        attend_to, cross = (rescaled(attention, qkv=QKV) for attention in (SelfAttention, CrossAttention))
        resize, cross_to = lambda n, way: residual(n, n, way), lambda n: cross(n, tokens=tokens) if tokens else None
        self.lay(self.stages, width, residual, attend_to, resize, "level", cross_to, enter, leave)
        self.enter, self.norms, self.leave = nnx.List(entrances), nnx.List(norms), nnx.List(exits)

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        blocks = count()
        draw = lambda: None if key is None else jax.random.fold_in(key, next(blocks))

        e, y = self.embed(c_noise).astype(x.dtype), by_name(y)
        label = y.get("label")
        if self.labels is not None:
            one_hot = jax.nn.one_hot(jnp.array([self.classes]) if label is None else label, self.classes, dtype=x.dtype)
            e = e + self.labels(self.classes**0.5 * one_hot)
        e = summed(e, embedded(self.augment, y.get("augment"), x.dtype))
        c = self.condition(e, embedded(self.vector, y.get("vector"), x.dtype))

        def enter(i: int, image: Images, h: Images) -> tuple[Images, Images]:
            if self.encoder == "skip":
                image = WAYS["down"](image, self.filter)
                return image, h + self.enter[i](image)
            if self.encoder == "residual":
                entering = filtered(self.enter[i](image), [f / sum(self.filter) for f in self.filter], down=2)
                h = image = HALF * (h + entering)
            return image, h

        silent = len(self.up) - len(self.leave)

        def leave(i: int, image: Images, h: Images) -> tuple[Images, Images]:
            if i < silent:
                return image, h
            emitted = self.leave[i - silent](nnx.silu(self.norms[i - silent](h)))
            return emitted if i == silent else WAYS["up"](image, self.filter) + emitted, h

        x = beside(x, y.get("image"), self.image)
        run, tokens = lambda block, h: block(h, c, draw()), self.read(y, x.dtype)
        image, _ = self.walk(self.first(x), run, p=x, enter=enter, leave=leave, tokens=tokens)
        return image
