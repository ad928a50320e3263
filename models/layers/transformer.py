"""The parts that transformers share: patches in and out, attention and the feed-forward layer."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from models.layers.affine import Fields, Init, linear
from models.layers.pyramid import IMAGES, Stage, check_space

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


def patches(shape: tuple[int, ...], patch: int, width: int, depth: int, heads: int, axes: tuple[int, ...] = IMAGES) -> Stage:
    """The patches of an image [H, W, C] as the one resolution of a transformer: [H/patch, W/patch] tokens of `width` channels.

    `axes`: the numbers of axes of space that the network takes; patches have one side along all. Raises ValueError if `shape`
    has another, if `patch` does not divide its sides, or `heads` the width.
    """
    check_space(f"patch {patch} needs", shape, patch, axes)
    if width % heads:
        raise ValueError(f"{heads} heads need a width divisible by {heads}, not {width}; each takes an equal slice of it")
    return Stage(tuple(side // patch for side in shape[:-1]), width, depth, attention=True)


def unpatchify(tokens: Float[Array, "B T P"], stage: Stage, patch: int) -> Fields:
    """The image whose patches, row by row, are the tokens; of P = patch patch C numbers, pixel by pixel in rows.

    Over n axes of space the tokens are [B, *sides, *(patch,) n, C], and each side goes with its patch.
    """
    sides = stage.sides
    n = len(sides)
    cells = tokens.reshape(len(tokens), *sides, *(patch,) * n, -1)
    paired = [axis for i in range(1, n + 1) for axis in (i, n + i)]
    return cells.transpose(0, *paired, 2 * n + 1).reshape(len(tokens), *(side * patch for side in sides), -1)
