"""Attention over the pixels of an image and over a context, tokens that say what it shows."""

from __future__ import annotations

from flax import nnx

from models.layers.affine import Fields, fan_avg, linear, torch_default
from models.layers.block import Block, rematerialised
from models.layers.norm import GroupNorm, LayerNorm
from models.layers.transformer import Attention, FeedForward, Tokens, head_count

DEFAULT = torch_default()


class TransformerBlock(Block):
    """h = x + self(norm(x)), then h = h + cross(norm(h), context), then h + feed(norm(h)).

    `context`: its channels; 0: there is none, and `cross` is a second self-attention. Rombach et al. (2022), eq. 3.
    """

    def __init__(self, width: int, heads: int, context: int, *, rngs: nnx.Rngs):
        self.norm1, self.norm2, self.norm3 = (LayerNorm(width, eps=1e-5) for _ in range(3))
        self.self_attention = Attention(width, heads, bias=False, start=DEFAULT, last=DEFAULT, rngs=rngs)
        self.cross_attention = Attention(width, heads, False, DEFAULT, DEFAULT, context or None, rngs=rngs)
        self.feed = FeedForward(width, 4 * width, gelu="exact", init=DEFAULT, gated=True, rngs=rngs)

    @rematerialised
    def __call__(self, x: Tokens, context: Tokens | None = None) -> Tokens:
        h = x + self.self_attention(self.norm1(x))
        h = h + self.cross_attention(self.norm2(h), context)
        return h + self.feed(self.norm3(h))


class SpatialTransformer(nnx.Module):
    """x + W_2 (`depth` blocks)(W_1 norm(x)), of which each pixel is a token; W_2 starts at zero.

    `heads`, or heads of `head_channels` if that is not zero. `context`: as of `TransformerBlock`.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        head_channels: int = 0,
        context: int = 0,
        depth: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        n = head_count(channels, heads, head_channels)
        self.norm = GroupNorm(channels, eps=1e-6)
        self.first = linear(channels, channels, init=DEFAULT, rngs=rngs)
        self.blocks = nnx.List([TransformerBlock(channels, n, context, rngs=rngs) for _ in range(depth)])
        self.last = linear(channels, channels, init=fan_avg(0), rngs=rngs)

    def __call__(self, x: Fields, context: Tokens | None = None) -> Fields:
        h = self.first(self.norm(x)).reshape(len(x), -1, x.shape[-1])
        for block in self.blocks:
            h = block(h, context)
        return x + self.last(h).reshape(x.shape)
