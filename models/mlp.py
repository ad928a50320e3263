"""A multilayer perceptron for points and other small events."""

from __future__ import annotations

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from models.noise import EMBEDDINGS


class MLP(nnx.Module):
    """`depth` residual layers of SiLU on the flattened event, each fed the noise level.

    `embedding`: "sinusoidal" or "fourier". `outputs`: events emitted, side by side along the last axis (2: a score and its
    variance). The last layer starts at zero, so that eps_hat does.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 128,
        depth: int = 3,
        embedding: str = "sinusoidal",
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        size = math.prod(shape)
        self.embed = EMBEDDINGS[embedding](width, rngs=rngs)
        self.first = nnx.Linear(size, width, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(depth)])
        self.noise = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(depth)])
        self.last = nnx.Linear(width, outputs * size, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.emitted = (*shape[:-1], outputs * shape[-1]) if outputs > 1 else shape

    def __call__(
        self, x: Float[Array, "B *event"], c_noise: Float[Array, " B"], y: None = None, key: Key[Array, ""] | None = None
    ) -> Float[Array, "B *emitted"]:
        c = self.embed(c_noise)
        h = self.first(x.reshape(len(x), -1))
        for layer, noise in zip(self.layers, self.noise, strict=True):
            h = h + layer(nnx.silu(h + noise(c)))
        return jnp.reshape(self.last(nnx.silu(h)), (len(x), *self.emitted))
