"""The blocks of DDPM's U-Net and its descendants; each of these says how it scales, starts and resamples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from models.layers.affine import Conv, Fields, Init, fan_avg, linear
from models.layers.block import Block, rematerialised
from models.layers.dropout import Dropout
from models.layers.fir import WAYS, Kernel
from models.layers.norm import GroupNorm


class ResidualBlock(Block):
    """g (S R x + conv(dropout(silu(norm(conv(R silu(norm(x))) + W c))))).

    R: `way`, to the "same" resolution, or "up" or "down" by the filter `kernel`; S: a map of the channels if they change,
    and with `project` also if R does something; g: `rescale`. With `scale_shift`, (1 + a) norm(..) + b with (a, b) = W c takes
    the place of norm(.. + W c). `embedding`: the channels of c; 0: there is no W c. `init`, `skip`, `last`: how convolutions
    and W start, and S, and the last convolution. `axes`: of space; an R that does something has two.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        way: Literal["same", "up", "down"] = "same",
        *,
        embedding: int,
        dropout: float,
        kernel: Kernel = None,
        project: bool = True,
        rescale: float = 1.0,
        scale_shift: bool = False,
        init: Init | None = None,
        skip: Init | None = None,
        last: Init | None = None,
        eps: float = 1e-6,
        axes: int = 2,
        rngs: nnx.Rngs,
    ):
        self.way, self.kernel, self.rescale, self.scale_shift = way, kernel, rescale, scale_shift
        self.norm1, self.conv1 = GroupNorm(channels_in, eps=eps), Conv(channels_in, channels, init=init, axes=axes, rngs=rngs)
        self.noise = linear(embedding, (1 + scale_shift) * channels, init=init, rngs=rngs) if embedding else None
        self.norm2 = GroupNorm(channels, eps=eps)
        self.dropout = Dropout(dropout)
        self.conv2 = Conv(channels, channels, init=last or fan_avg(0), axes=axes, rngs=rngs)
        mapped = channels != channels_in or (project and way != "same")
        self.skip = linear(channels_in, channels, init=skip or init, rngs=rngs) if mapped else None

    @rematerialised
    def __call__(self, x: Fields, c: Float[Array, "B E"] | None = None, key: Key[Array, ""] | None = None) -> Fields:
        resample = WAYS[self.way]
        h = self.conv1(resample(nnx.silu(self.norm1(x)), self.kernel))
        noise: Any = 0.0
        if self.noise is not None:
            assert c is not None, "a block with an embedding hears c"
            noise = jnp.expand_dims(self.noise(c), range(1, x.ndim - 1))
        if self.scale_shift:
            scale, shift = jnp.split(noise, 2, axis=-1)
            h = (1 + scale) * self.norm2(h) + shift
        else:
            h = self.norm2(h + noise)
        h = self.conv2(self.dropout(nnx.silu(h), key))
        x = resample(x, self.kernel)
        return self.rescale * ((x if self.skip is None else self.skip(x)) + h)


class SelfAttention(Block):
    """g (x + W softmax(q k^T / sqrt(d)) v) over all pixels, in heads of d channels, all in one unless `head_channels` says d.

    `rescale` is g; `qkv` and `last` are how q, k, v, and W, start.
    """

    def __init__(
        self,
        channels: int,
        head_channels: int | None = None,
        *,
        rescale: float = 1.0,
        qkv: Init | None = None,
        last: Init | None = None,
        eps: float = 1e-6,
        rngs: nnx.Rngs,
    ):
        self.head_channels, self.rescale = head_channels or channels, rescale
        self.norm = GroupNorm(channels, eps=eps)
        self.q, self.k, self.v = (linear(channels, channels, init=qkv, rngs=rngs) for _ in range(3))
        self.out = linear(channels, channels, init=last or fan_avg(0), rngs=rngs)

    @rematerialised
    def __call__(self, x: Fields) -> Fields:
        batch, *_, channels = x.shape
        h = self.norm(x)
        q, k, v = (
            f(h).reshape(batch, -1, channels // self.head_channels, self.head_channels) for f in (self.q, self.k, self.v)
        )
        return self.rescale * (x + self.out(jax.nn.dot_product_attention(q, k, v).reshape(x.shape)))


class CrossAttention(Block):
    """g (x + W softmax(q k^T / sqrt(d)) v + b), q of every pixel, k and v of tokens [B, L, D]; `tokens` is D.

    k and v have no biases, so that tokens of zeros leave b alone, as no tokens do. The other arguments are those of
    `SelfAttention`. Rombach et al. (2022), sec. 3.3, whose blocks have a feed-forward layer besides.
    """

    def __init__(
        self,
        channels: int,
        head_channels: int | None = None,
        *,
        tokens: int,
        rescale: float = 1.0,
        qkv: Init | None = None,
        last: Init | None = None,
        eps: float = 1e-6,
        rngs: nnx.Rngs,
    ):
        self.head_channels, self.rescale = head_channels or channels, rescale
        self.norm = GroupNorm(channels, eps=eps)
        self.q = linear(channels, channels, init=qkv, rngs=rngs)
        self.k, self.v = (linear(tokens, channels, bias=False, init=qkv, rngs=rngs) for _ in range(2))
        self.out = linear(channels, channels, init=last or fan_avg(0), rngs=rngs)

    @rematerialised
    def __call__(self, x: Fields, tokens: Float[Array, "B L D"] | None) -> Fields:
        if tokens is None:
            return self.rescale * (x + self.out(jnp.zeros_like(x)))
        heads = lambda h: h.reshape(len(x), -1, x.shape[-1] // self.head_channels, self.head_channels)
        q, k, v = heads(self.q(self.norm(x))), heads(self.k(tokens)), heads(self.v(tokens))
        return self.rescale * (x + self.out(jax.nn.dot_product_attention(q, k, v).reshape(x.shape)))


class Level(nnx.Module):
    """A residual block, with self-attention or without, and with cross-attention to tokens or without."""

    def __init__(self, block: ResidualBlock, attention: Any = None, cross_attention: Any = None):
        self.block, self.attention, self.cross_attention = block, attention, cross_attention

    def __call__(
        self,
        x: Fields,
        run: Callable[[Any, Fields], Fields] = lambda block, x: block(x),
        tokens: Float[Array, "B L D"] | None = None,
    ) -> Fields:
        """`run(block, x)` calls the block at the noise level and with a key, if there are any."""
        x = run(self.block, x)
        x = x if self.attention is None else self.attention(x)
        return x if self.cross_attention is None else self.cross_attention(x, tokens)
