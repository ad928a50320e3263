"""The parts that transformers on images share: patches in and out, attention and the feed-forward layer."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from models.layers.affine import Images, Init, linear
from models.layers.pyramid import Stage

Tokens = Float[Array, "B T D"]


class Attention(nnx.Module):
    """W softmax(q k^T / sqrt(D/heads)) v over the tokens, in each of `heads` slices of their D channels.

    `bias`: of q, k and v; W always has one. `start`: how q, k and v start; `last`: how W does. Vaswani et al. (2017), eq. 1.
    """

    def __init__(self, width: int, heads: int, bias: bool, start: Init, last: Init, *, rngs: nnx.Rngs):
        self.heads = heads
        self.q, self.k, self.v = (linear(width, width, bias, start, rngs=rngs) for _ in range(3))
        self.out = linear(width, width, init=last, rngs=rngs)

    def __call__(self, x: Tokens) -> Tokens:
        q, k, v = (project(x).reshape(*x.shape[:2], self.heads, -1) for project in (self.q, self.k, self.v))
        return self.out(jax.nn.dot_product_attention(q, k, v).reshape(x.shape))


class FeedForward(nnx.Module):
    """W_2 gelu(W_1 x + b_1) + b_2 of each token, through `hidden` channels.

    `tanh`: gelu(x) as x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), Hendrycks & Gimpel (2016)'s approximation.
    """

    def __init__(self, width: int, hidden: int, tanh: bool, init: Init, *, rngs: nnx.Rngs):
        self.tanh = tanh
        self.dense1, self.dense2 = linear(width, hidden, init=init, rngs=rngs), linear(hidden, width, init=init, rngs=rngs)

    def __call__(self, x: Tokens) -> Tokens:
        return self.dense2(nnx.gelu(self.dense1(x), approximate=self.tanh))


def patches(shape: tuple[int, ...], patch: int, width: int, depth: int, heads: int) -> Stage:
    """The patches of an image [H, W, C] as the one resolution of a transformer: [H/patch, W/patch] tokens of `width` channels.

    Raises ValueError if `patch` does not divide H and W, or `heads` the width.
    """
    if len(shape) != 3 or any(side % patch for side in shape[:2]):
        raise ValueError(f"patch {patch} needs an image [H, W, C] with H and W divisible by {patch}, not {shape}")
    if width % heads:
        raise ValueError(f"{heads} heads need a width divisible by {heads}, not {width}; each takes an equal slice of it")
    return Stage(shape[0] // patch, shape[1] // patch, width, depth, attention=True)


def unpatchify(tokens: Float[Array, "B T P"], stage: Stage, patch: int) -> Images:
    """The image whose patches, row by row, are the tokens; of P = patch patch C numbers, pixel by pixel in rows."""
    cells = tokens.reshape(len(tokens), stage.height, stage.width, patch, patch, -1)
    return cells.swapaxes(2, 3).reshape(len(tokens), stage.height * patch, stage.width * patch, -1)
