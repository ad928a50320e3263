"""CLIP's text encoder (Radford et al. 2021), whose states are the context of Stable Diffusion."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int

from models.layers.affine import Init
from models.layers.block import Block, rematerialised
from models.layers.norm import LayerNorm
from models.layers.transformer import Attention, FeedForward, Gelu, Tokens, head_count
from models.ranges import Depth, Width

HEAD = 64
"""The channels of a head of every published one."""


class CLIPTextBlock(Block):
    """h = x + attention(norm(x)) with a causal mask, then h + feed(norm(h))."""

    def __init__(self, width: int, heads: int, gelu: Gelu, depth: int, *, rngs: nnx.Rngs):
        into, back = _normal(width**-0.5), _normal((2 * depth * width) ** -0.5)
        self.norm1, self.norm2 = LayerNorm(width, eps=1e-5), LayerNorm(width, eps=1e-5)
        self.attention = Attention(width, heads, bias=True, start=into, last=back, causal=True, rngs=rngs)
        self.feed = FeedForward(width, 4 * width, gelu, init=_normal((2 * width) ** -0.5), last=back, rngs=rngs)

    @rematerialised
    def __call__(self, x: Tokens) -> Tokens:
        h = x + self.attention(self.norm1(x))
        return h + self.feed(self.norm2(h))


class CLIPText(nnx.Module):
    """norm(blocks(table[ids] + positions)): a state for each token of a text, which has read those before it.

    `shape`: (L,), the length of a text in tokens, which is padded to it. `vocabulary`: the number of tokens.
    The defaults are those of L/14, Stable Diffusion 1's; B/32 and B/16: width 512, heads 8. OpenCLIP's H/14, Stable Diffusion
    2's: width 1024, depth 24, heads 16, gelu "exact", and depth 23 for the states before its last block.
    Raises ValueError if heads do not divide the width.
    """

    def __init__(
        self,
        shape: tuple[int],
        vocabulary: int = 49408,
        width: Width = 768,
        depth: Depth = 12,
        heads: Width = 12,
        gelu: Gelu = "sigmoid",
        *,
        rngs: nnx.Rngs,
    ):
        head_count(width, heads)
        table = lambda std, n: nnx.Param(nnx.initializers.normal(std)(rngs.params(), (n, width), jnp.float32))
        self.table, self.positions = table(0.02, vocabulary), table(0.01, *shape)
        self.blocks = nnx.List([CLIPTextBlock(width, heads, gelu, depth, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width, eps=1e-5)

    def __call__(self, ids: Int[Array, "B L"]) -> Tokens:
        h = self.table[ids] + self.positions[...]
        for block in self.blocks:
            h = block(h)
        return self.norm(h)

    @property
    def empty(self) -> Int[Array, " L"]:
        """The ids of a text without words: the last but one of the vocabulary, which begins it, and the last, which ends it."""
        (length, _), (vocabulary, _) = self.positions.shape, self.table.shape
        return jnp.full(length, vocabulary - 1).at[0].set(vocabulary - 2)


def _normal(std: float) -> Init:
    return Init(nnx.initializers.normal(std))
