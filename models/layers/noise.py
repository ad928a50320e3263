"""Embeddings of the noise level c_noise and of a class label, and the vector that a network hears of both."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from models.layers.affine import Init, linear


class Sinusoidal(nnx.Module):
    """[sin(w_k c), cos(w_k c)] with w_k geometric from 100 down to 0.01, for a c_noise that spans about [-2, 2].

    The fastest pair turns a few dozen times over all noise levels and the slowest is linear: `Positional` on t in 0..1000.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.width = paired(width)

    def __call__(self, c_noise: Float[Array, " B"]) -> Float[Array, "B width"]:
        return waves(c_noise, 100 * jnp.logspace(0, -4, self.width // 2))


class Positional(nnx.Module):
    """[sin(w_k c), cos(w_k c)] with w_k = 10000^(-k/(width/2 - 1)), for a c_noise that counts to a thousand.

    Vaswani et al. (2017), sec. 3.5, as Ho et al. (2020) code it.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.width = paired(width)

    def __call__(self, c_noise: Float[Array, " B"]) -> Float[Array, "B width"]:
        return waves(c_noise, jnp.logspace(0, -4, self.width // 2))


class Fourier(nnx.Module):
    """[sin(2 pi w c), cos(2 pi w c)] with random w ~ N(0, scale^2) that do not train.

    Tancik et al. (2020); Song et al. (2021), app. C.2, with scale 16 for c = log(sigma).
    """

    def __init__(self, width: int, scale: float = 4.0, *, rngs: nnx.Rngs):
        # A parameter, as in the source, so that published frequencies have a place; no gradient reaches it.
        self.frequencies = nnx.Param(scale * jax.random.normal(rngs.params(), (paired(width) // 2,)))

    def __call__(self, c_noise: Float[Array, " B"]) -> Float[Array, "B width"]:
        return waves(c_noise, 2 * math.pi * jax.lax.stop_gradient(self.frequencies[...]))


class Timestep(nnx.Module):
    """[cos(w_k c), sin(w_k c)] with w_k = 10000^(-2k/width), for a c_noise that counts to a thousand.

    Nichol & Dhariwal (2021)'s, and so ADM's and DiT's: `Positional` with the cosines first, and short of its last frequency.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.width = paired(width)

    def __call__(self, c_noise: Float[Array, " B"]) -> Float[Array, "B width"]:
        half = self.width // 2
        return jnp.roll(waves(c_noise, jnp.logspace(0, -4, half, endpoint=False)), half, axis=-1)


def paired(width: int) -> int:
    """Returns the width, which sine and cosine must fill. ValueError if it is odd."""
    if width % 2:
        raise ValueError(f"the embedding of the noise level needs an even width, for sine and cosine, not {width}")
    return width


def waves(c_noise: Float[Array, " B"], frequencies: Float[Array, " K"]) -> Float[Array, "B 2*K"]:
    """[sin(w_k c), cos(w_k c)]."""
    angles = c_noise[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


EMBEDDINGS = {"sinusoidal": Sinusoidal, "positional": Positional, "timestep": Timestep, "fourier": Fourier}


class Labels(nnx.Module):
    """A vector for each of `classes` labels, and a last one for no label: None, or the label `classes`."""

    def __init__(self, classes: int, width: int, *, rngs: nnx.Rngs):
        self.classes = classes
        self.table = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (classes + 1, width), jnp.float32))

    def __call__(self, y: Int[Array, " B"] | None) -> Float[Array, "#B width"]:
        return self.table[jnp.array([self.classes]) if y is None else y]


class NoiseConditioned(nnx.Module):
    """A network whose blocks hear c = silu(W_2 silu(W_1 e + b_1) + b_2 + l), e of the noise level and l of conditions.

    A base, so that `embed`, `dense1` and `dense2` are the network's own. `embed` has `width` channels, c has `channels`.
    """

    def __init__(self, embed: nnx.Module, width: int, channels: int, init: Init | None = None, *, rngs: nnx.Rngs):
        self.embed: Any = embed
        self.dense1, self.dense2 = (
            linear(width, channels, init=init, rngs=rngs),
            linear(channels, channels, init=init, rngs=rngs),
        )

    def condition(self, e: Float[Array, "B width"], *conditions: Float[Array, "#B D"] | None) -> Float[Array, "B D"]:
        """c, in the dtype of e; l is the sum of the embedded conditions that are not None."""
        return nnx.silu(summed(self.dense2(nnx.silu(self.dense1(e))), *conditions))


def summed(c: Float[Array, "B D"], *others: Float[Array, "#B D"] | None) -> Float[Array, "B D"]:
    """The sum of c and the others that are not None, in the dtype of c."""
    for other in others:
        c = c if other is None else c + other.astype(c.dtype)
    return c
