"""The parts that transformers share: patches in and out, attention and the feed-forward layer."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from models.layers.affine import Fields, Init, linear
from models.layers.block import Block, rematerialised
from models.layers.noise import waves
from models.layers.norm import LayerNorm
from models.layers.pyramid import IMAGES, Stage, check_space

Tokens = Float[Array, "B T D"]


class Attention(nnx.Module):
    """W softmax(q k^T / sqrt(D/heads)) v over the tokens, in each of `heads` slices of their D channels.

    q is of the tokens x, k and v of x or of a `context`, of that many channels. `causal`: no token reads a later one. `bias`:
    of q, k and v; W always has one. `start`: how q, k and v start; `last`: how W does. Tokens that are not `present` are not
    attended to. Vaswani et al. (2017), eq. 1.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        bias: bool,
        start: Init,
        last: Init,
        context: int | None = None,
        causal: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        self.heads, self.causal = heads, causal
        self.q = linear(width, width, bias, start, rngs=rngs)
        self.k, self.v = (linear(context or width, width, bias, start, rngs=rngs) for _ in range(2))
        self.out = linear(width, width, init=last, rngs=rngs)

    def __call__(self, x: Tokens, context: Tokens | None = None, present: Bool[Array, "B T"] | None = None) -> Tokens:
        source = x if context is None else context
        maps = ((self.q, x), (self.k, source), (self.v, source))
        q, k, v = (project(tokens).reshape(*tokens.shape[:2], self.heads, -1) for project, tokens in maps)
        mask = None if present is None else present[:, None, None, :]
        return self.out(jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=self.causal).reshape(x.shape))


Gelu = Literal["exact", "tanh", "sigmoid"]
"""x Phi(x), or an approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), or x sigmoid(1.702 x)."""
GELUS = {
    "exact": partial(nnx.gelu, approximate=False),
    "tanh": partial(nnx.gelu, approximate=True),
    "sigmoid": lambda x: x * nnx.sigmoid(1.702 * x),
}
"""Hendrycks & Gimpel (2016)."""


class FeedForward(nnx.Module):
    """W_2 gelu(W_1 x + b_1) + b_2 of each token, through `hidden` channels.

    `gated`: W_1 has twice the outputs, (a, g), and a gelu(g) takes the place of the gelu (Shazeer 2020's GEGLU). `init`: how
    both start; `last`: how W_2 does, if otherwise.
    """

    def __init__(
        self, width: int, hidden: int, gelu: Gelu, init: Init, last: Init | None = None, gated: bool = False, *, rngs: nnx.Rngs
    ):
        self.gelu, self.gated = gelu, gated
        self.dense1 = linear(width, (1 + gated) * hidden, init=init, rngs=rngs)
        self.dense2 = linear(hidden, width, init=last or init, rngs=rngs)

    def __call__(self, x: Tokens) -> Tokens:
        h, gelu = self.dense1(x), GELUS[self.gelu]
        if not self.gated:
            return self.dense2(gelu(h))
        a, g = jnp.split(h, 2, axis=-1)
        return self.dense2(a * gelu(g))


def head_count(channels: int, heads: int, head_channels: int = 0) -> int:
    """The number of heads: `heads`, or heads of `head_channels` if that is not 0. ValueError if they are not all channels."""
    n, d = (channels // head_channels, head_channels) if head_channels else (heads, channels // heads)
    if n * d != channels:
        raise ValueError(f"{n} heads of {d} channels are not {channels}; change heads or head_channels")
    return n


class PreNormBlock(Block):
    """h = x + attention(norm(x)), then h + feed(norm(h)); with `skip`, of x = W [x, skipped]. Norms have eps 1e-5.

    `hidden`: channels within the feed-forward layer; `bias`: of q, k and v. Tokens that are not `present` are not attended to.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, init: Init, bias: bool = True, skip: bool = False, *, rngs: nnx.Rngs
    ):
        self.skip = linear(2 * width, width, init=init, rngs=rngs) if skip else None
        self.norm1, self.norm2 = LayerNorm(width, eps=1e-5), LayerNorm(width, eps=1e-5)
        self.attention = Attention(width, heads, bias, start=init, last=init, rngs=rngs)
        self.feed = FeedForward(width, hidden, gelu="exact", init=init, rngs=rngs)

    @rematerialised
    def __call__(self, x: Tokens, skipped: Tokens | None = None, present: Bool[Array, "B T"] | None = None) -> Tokens:
        if self.skip is not None and skipped is not None:
            x = self.skip(jnp.concatenate([x, skipped], axis=-1))
        h = x + self.attention(self.norm1(x), present=present)
        return h + self.feed(self.norm2(h))


def positions(*shape: int) -> Float[Array, "T channels"]:
    """[sin(w_k j), cos(w_k j), sin(w_k i), cos(w_k i)] of the patch in row i and column j, w_k = 10000^(-k/(channels/4)).

    `shape`: [height, width, channels]; in general [*sides, channels], with an n-th of the channels for each of n axes, the last
    axis first, and w_k = 10000^(-k/(channels/2n)).
    """
    *sides, channels = shape
    n = len(sides)
    frequencies = jnp.logspace(0, -4, channels // (2 * n), endpoint=False)
    lines = [waves(jnp.arange(side), frequencies) for side in reversed(sides)]
    others = [[axis for axis in range(n) if axis != own] for own in reversed(range(n))]
    grid = (*sides, channels // n)
    every = [jnp.broadcast_to(jnp.expand_dims(line, axes), grid) for line, axes in zip(lines, others, strict=True)]
    return jnp.concatenate(every, axis=-1).reshape(-1, channels)


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
