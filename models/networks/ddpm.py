"""The U-Net of DDPM (Ho et al. 2020, app. B), at any size and over one, two or three axes of space."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, beside, by_name, embedded
from models.layers.affine import Conv, Fields, fan_avg
from models.layers.fir import repeated
from models.layers.noise import EMBEDDINGS, Labels
from models.layers.norm import GroupNorm
from models.layers.pyramid import ANY, pyramid
from models.layers.unet import CrossAttention, ResidualBlock, SelfAttention
from models.layers.walk import UNet
from models.ranges import Classes, Depth, Dropout, Multipliers, Numbers, Width


class DDPM(UNet):
    """Down and up a pyramid of resolutions, with skips between equals.

    `shape`: of an event, an image [H, W, C], or a signal [L, C] or a volume [D, H, W, C]. Convolutions have three taps along
    each axis, each of which is halved and doubled, and attention is over all positions.
    `width`: channels at full resolution; `multipliers`: of the width, one per resolution, each half the one before.
    `blocks`: residual blocks per resolution (one more going up); `attention`: the resolutions (heights, the first sides) with
    self-attention, which the middle always has; going up it follows each block there (Ho et al.) or, with `attention_up` =
    "level", only the last (Song et al. 2021's `ddpm`).
    `embedding`: of the noise level, "sinusoidal", "positional" (Ho et al., on a c_noise of t = 0..999) or "fourier".
    `waves`: the n for which sin(2^n pi x) and cos(2^n pi x) enter beside x (Kingma et al. 2021, app. C: 7 and 8).
    `centre_input`: the network sees 2 x - 1, for data in [0, 1]. `classes`: of the labels y; 0: none. `outputs`: images
    emitted, side by side along the channels (2: a score and its variance). The last convolution starts at zero, so that
    eps_hat does.
    `vector`, `image`, `tokens`: the numbers, the channels and the channels of each token of these conditions of y; 0: none.
    `vocabulary`: of a text whose characters are the tokens, which is read into vectors of as many channels. Cross-attention to
    tokens follows each self-attention.
    Raises ValueError if the shape cannot be halved, or an attention resolution never occurs.
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
        vector: Numbers = 0,
        image: Numbers = 0,
        tokens: Numbers = 0,
        vocabulary: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stages = tuple(pyramid(shape, width, multipliers, blocks, attention, axes=ANY))
        self.waves, self.centre_input, self.image = waves, centre_input, image
        c, conv = 4 * width, partial(Conv, axes=len(shape) - 1, rngs=rngs)
        super().__init__(
            EMBEDDINGS[embedding](width, rngs=rngs), width, c, vector=vector, tokens=tokens, vocabulary=vocabulary, rngs=rngs
        )
        self.labels = Labels(classes, c, rngs=rngs) if classes else None
        self.first = conv((1 + 2 * len(waves)) * shape[-1] + image, width)
        left = self.lay(
            self.stages,
            width,
            residual=partial(ResidualBlock, embedding=c, dropout=dropout, axes=len(shape) - 1, rngs=rngs),
            attend_to=partial(SelfAttention, rngs=rngs),
            resize=lambda n, way: conv(n, n, stride=2 if way == "down" else 1),
            attention_up=attention_up,
            cross_to=lambda n: CrossAttention(n, tokens=tokens, rngs=rngs) if tokens else None,
        )
        self.norm = GroupNorm(left)
        self.last = conv(left, outputs * shape[-1], init=fan_avg(0))

    def __call__(
        self,
        x: Fields,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Fields:
        keys = None if key is None else iter(jax.random.split(key, 2 + 2 * sum(len(levels) for levels in self.up)))
        draw = lambda: None if keys is None else next(keys)

        y = by_name(y)
        label = None if self.labels is None else self.labels(y.get("label"))
        vector = embedded(self.vector, y.get("vector"), x.dtype)
        c = self.condition(self.embed(c_noise).astype(x.dtype), label, vector)
        x = 2 * x - 1 if self.centre_input else x
        if self.waves and x.dtype != jnp.float32:
            raise ValueError(f"waves {self.waves} of x in {x.dtype} are noise, {2.0 ** max(self.waves):g} pi x needs float32")
        angles = [2.0**n * jnp.pi * x for n in self.waves]
        waves = jnp.concatenate([x, *map(jnp.sin, angles), *map(jnp.cos, angles)], axis=-1)
        h = self.first(beside(waves, y.get("image"), self.image))
        run, tokens = lambda block, h: block(h, c, draw()), self.read(y, x.dtype)
        _, h = self.walk(h, run, resize=_resized, tokens=tokens)
        return self.last(nnx.silu(self.norm(h)))


def _resized(conv: Conv, h: Fields) -> Fields:
    """Half the resolution by the stride of the convolution; or twice, each pixel repeated along every axis before it."""
    return conv(repeated(h) if conv.stride == 1 else h)
