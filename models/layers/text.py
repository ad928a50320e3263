"""A text as a sequence of vectors, for cross-attention."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int

from models.layers.affine import Init
from models.layers.norm import LayerNorm
from models.layers.transformer import PreNormBlock, Tokens, positions

HEADS = 4
_SMALL = Init(nnx.initializers.normal(0.02))


class Text(nnx.Module):
    """norm(blocks(table[text] + positions)), of a text [B, L] of numbers below `vocabulary`, as vectors of `width` channels.

    The number 0 is no character: nothing attends to it, and its vector is zero, so that the empty text is no condition. As
    Rombach et al. (2022), sec. 4.3.1, it is trained with the score; a few blocks are enough for captions made of labels.
    Raises ValueError if the width is not whole heads.
    """

    def __init__(self, vocabulary: int, width: int, depth: int = 2, *, rngs: nnx.Rngs):
        if width % HEADS:
            raise ValueError(f"the vectors of a text have {HEADS} heads: take tokens divisible by {HEADS}, not {width}")
        self.table = nnx.Param(jax.random.normal(rngs.params(), (vocabulary, width)))
        self.blocks = nnx.List([PreNormBlock(width, HEADS, 4 * width, _SMALL, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width)

    def __call__(self, text: Int[Array, "B L"]) -> Tokens:
        present = text > 0
        h = self.table[text] + positions(text.shape[1], self.table.shape[1])
        for block in self.blocks:
            h = block(h, None, present)
        return jnp.where(present[..., None], self.norm(h), 0.0)
