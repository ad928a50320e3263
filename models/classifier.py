"""p(y | x_t): a network that tells the class of a noisy image, for guidance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from models.affine import Conv, Images, fan_avg, linear
from models.functional import Functional, functional
from models.noise import EMBEDDINGS
from models.norm import GroupNorm
from models.pyramid import pyramid
from models.ranges import Depth, Dropout, Multipliers, Width
from models.score import Parameterization, eps
from models.unet import Level, ResidualBlock, SelfAttention
from sde_lib import base
from sde_lib.base import SDE, Event, Scalar


class Classifier(nnx.Module):
    """The way down of `DDPM`'s U-Net, and a logit for each of `classes` of all that is left at its end.

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
        self.embed = EMBEDDINGS[embedding](width, rngs=rngs)
        self.dense1, self.dense2 = linear(width, c, rngs=rngs), linear(c, c, rngs=rngs)
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
        keys = None if key is None else iter(jax.random.split(key, sum(len(levels) for levels in self.down)))
        draw = lambda: None if keys is None else next(keys)
        c = nnx.silu(self.dense2(nnx.silu(self.dense1(self.embed(c_noise).astype(x.dtype)))))
        h = self.first(x)
        for levels in self.down:
            for level in levels:
                h = level(h, c, draw())
        return self.last(nnx.silu(self.norm(h)).reshape(len(h), -1))


class ClassModel(NamedTuple):
    """A family of classifiers: init(key, x) -> params;  apply(params, x, t, key=None) -> log p(. | x_t = x) [classes]."""

    init: Callable[..., Any]
    apply: Callable[..., Float[Array, " classes"]]


def class_model(
    net: Any, sde: SDE, classes: int, parameterization: Parameterization = eps, sigma_data: float = 1.0
) -> ClassModel:
    """log p(. | x_t = x) = log_softmax net(c_in x, c_noise), on one example x; `net` as of `score_model`.

    Of the `parameterization` c_in and c_noise count alone: the scale of the input, and how the noise level is told. Raises
    TypeError for an SDE without alpha and sigma, and ValueError where the network emits no logit for each of `classes`.
    """
    on = base.linear(sde, "class_model", "samplers.classifier takes any function log_prob_y(x, t) of another SDE")
    init, call = net if isinstance(net, Functional) else functional(net)

    def apply(params: Any, x: Event, t: Scalar, key: Key[Array, ""] | None = None) -> Float[Array, " classes"]:
        c = parameterization(on, t, sigma_data)
        logits = call(params, jnp.asarray(c.c_in * x)[None], jnp.asarray(c.c_noise)[None], None, key)[0]
        if logits.shape != (classes,):
            raise ValueError(f"a classifier emits {classes} logits, not {logits.shape}: take net Classifier, or objective dsm")
        return jax.nn.log_softmax(logits)

    return ClassModel(init, apply)
