"""A multilayer perceptron for points and other small events."""

from __future__ import annotations

import math
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, by_name, embedded
from models.layers.affine import fan_avg, linear
from models.layers.noise import EMBEDDINGS, Labels, summed
from models.ranges import Classes, Depth, Numbers, Width


class MLP(nnx.Module):
    """`depth` residual layers of SiLU on the flattened event, each fed the noise level.

    `embedding`: "sinusoidal", "positional" or "fourier". `classes`: of the labels y, and `vector`: the numbers of this
    condition of y; 0: none. `outputs`: events emitted, side by side along the last axis (2: a score and its variance). The last
    layer starts at zero, so that eps_hat does.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 128,
        depth: Depth = 3,
        embedding: Literal["sinusoidal", "positional", "fourier"] = "sinusoidal",
        classes: Classes = 0,
        vector: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        size = math.prod(shape)
        if outputs > 1 and not shape:
            raise ValueError("a scalar event has no last axis along which to emit a variance; take another objective")
        self.embed = EMBEDDINGS[embedding](width, rngs=rngs)
        self.labels = Labels(classes, width, rngs=rngs) if classes else None
        self.vector = linear(vector, width, bias=False, rngs=rngs) if vector else None
        self.first = linear(size, width, rngs=rngs)
        self.layers = nnx.List([linear(width, width, rngs=rngs) for _ in range(depth)])
        self.noise = nnx.List([linear(width, width, rngs=rngs) for _ in range(depth)])
        self.last = linear(width, outputs * size, init=fan_avg(0), rngs=rngs)
        self.emitted = (*shape[:-1], outputs * shape[-1]) if outputs > 1 else shape

    def __call__(
        self,
        x: Float[Array, "B *event"],
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B *emitted"]:
        y = by_name(y)
        label = None if self.labels is None else self.labels(y.get("label"))
        vector = embedded(self.vector, y.get("vector"), x.dtype)
        c = summed(self.embed(c_noise).astype(x.dtype), label, vector)
        h = self.first(x.reshape(len(x), -1))
        for layer, noise in zip(self.layers, self.noise, strict=True):
            h = h + layer(nnx.silu(h + noise(c)))
        return jnp.reshape(self.last(nnx.silu(h)), (len(x), *self.emitted))
