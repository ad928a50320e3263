"""The U-Net of DDPM (Ho et al. 2020, app. B), at any size."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from models.noise import EMBEDDINGS

Images = Float[Array, "B H W C"]

conv3x3 = partial(nnx.Conv, kernel_size=(3, 3))
conv1x1 = partial(nnx.Conv, kernel_size=(1, 1))
zeros = nnx.initializers.zeros


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(channels, num_groups=_groups(channels), rngs=rngs)


def _groups(channels: int) -> int:
    """The most groups of at least four channels, up to 32, that divide `channels`."""
    return max(g for g in range(1, min(32, max(channels // 4, 1)) + 1) if channels % g == 0)


class ResidualBlock(nnx.Module):
    """x + conv(dropout(silu(norm(conv(silu(norm(x))) + W c)))), the last convolution starting at zero."""

    def __init__(self, channels_in: int, channels: int, embedding: int, dropout: float, *, rngs: nnx.Rngs):
        self.norm1, self.conv1 = _norm(channels_in, rngs), conv3x3(channels_in, channels, rngs=rngs)
        self.noise = nnx.Linear(embedding, channels, rngs=rngs)
        self.norm2 = _norm(channels, rngs)
        self.dropout = nnx.Dropout(dropout)
        self.conv2 = conv3x3(channels, channels, kernel_init=zeros, rngs=rngs)
        self.skip = None if channels == channels_in else conv1x1(channels_in, channels, rngs=rngs)

    def __call__(self, x: Images, c: Float[Array, "B E"], key: Key[Array, ""] | None) -> Images:
        h = self.conv1(nnx.silu(self.norm1(x)))
        h = h + self.noise(c)[:, None, None, :]
        h = self.dropout(nnx.silu(self.norm2(h)), deterministic=key is None, rngs=key)
        return (x if self.skip is None else self.skip(x)) + self.conv2(h)


class SelfAttention(nnx.Module):
    """x + W softmax(q k^T / sqrt(C)) v over the pixels, one head, W starting at zero."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.norm = _norm(channels, rngs)
        self.qkv = nnx.Linear(channels, 3 * channels, rngs=rngs)
        self.out = nnx.Linear(channels, channels, kernel_init=zeros, rngs=rngs)

    def __call__(self, x: Images) -> Images:
        pixels = self.norm(x).reshape(len(x), -1, 1, x.shape[-1])
        q, k, v = jnp.split(self.qkv(pixels), 3, axis=-1)
        return x + self.out(jax.nn.dot_product_attention(q, k, v)).reshape(x.shape)


class Level(nnx.Module):
    """A residual block, with self-attention where the resolution asks for it."""

    def __init__(self, channels_in: int, channels: int, embedding: int, dropout: float, attend: bool, *, rngs: nnx.Rngs):
        self.block = ResidualBlock(channels_in, channels, embedding, dropout, rngs=rngs)
        self.attention = SelfAttention(channels, rngs=rngs) if attend else None

    def __call__(self, x: Images, c: Float[Array, "B E"], key: Key[Array, ""] | None) -> Images:
        x = self.block(x, c, key)
        return x if self.attention is None else self.attention(x)


class DDPM(nnx.Module):
    """Down and up a pyramid of resolutions, with skips between equals.

    `width`: channels at full resolution; `multipliers`: of the width, one per resolution, each half the one before.
    `blocks`: residual blocks per resolution (one more going up); `attention`: the resolutions (heights) with self-attention,
    which the middle always has.
    `embedding`: of the noise level, "sinusoidal" or "fourier". `outputs`: images emitted, side by side along the channels
    (2: a score and its variance). The last convolution starts at zero, so that eps_hat does.
    Raises ValueError where the shape cannot be halved, or an attention resolution never occurs.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 128,
        multipliers: tuple[int, ...] = (1, 2, 2, 2),
        blocks: int = 2,
        attention: tuple[int, ...] = (16,),
        dropout: float = 0.1,
        embedding: str = "sinusoidal",
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        resolutions = pyramid(shape, len(multipliers))
        if absent := set(attention) - set(resolutions):
            raise ValueError(f"attention {sorted(absent)} never occur; the resolutions are {resolutions}")
        channels = [width * m for m in multipliers]
        c = 4 * width

        def level(channels_in: int, channels: int, resolution: int) -> Level:
            return Level(channels_in, channels, c, dropout, resolution in attention, rngs=rngs)

        self.embed = EMBEDDINGS[embedding](width, rngs=rngs)
        self.dense1, self.dense2 = nnx.Linear(width, c, rngs=rngs), nnx.Linear(c, c, rngs=rngs)
        self.first = conv3x3(shape[-1], width, rngs=rngs)

        skips, now = [width], width
        down, shrink = [], []
        for i, (n, resolution) in enumerate(zip(channels, resolutions, strict=True)):
            down.append(nnx.List([level(now if j == 0 else n, n, resolution) for j in range(blocks)]))
            now = n
            skips += [n] * blocks
            if i + 1 < len(channels):
                shrink.append(conv3x3(n, n, strides=2, rngs=rngs))
                skips.append(n)
        self.down, self.shrink = nnx.List(down), nnx.List(shrink)

        self.middle1 = Level(now, now, c, dropout, attend=True, rngs=rngs)
        self.middle2 = ResidualBlock(now, now, c, dropout, rngs=rngs)

        up, grow = [], []
        for n, resolution in reversed(list(zip(channels, resolutions, strict=True))):
            levels = []
            for _ in range(blocks + 1):
                levels.append(level(now + skips.pop(), n, resolution))
                now = n
            up.append(nnx.List(levels))
        for n, _ in pairwise(reversed(channels)):
            grow.append(conv3x3(n, n, rngs=rngs))
        self.up, self.grow = nnx.List(up), nnx.List(grow)

        self.norm = _norm(width * multipliers[0], rngs)
        self.last = conv3x3(width * multipliers[0], outputs * shape[-1], kernel_init=zeros, rngs=rngs)

    def __call__(self, x: Images, c_noise: Float[Array, " B"], y: None = None, key: Key[Array, ""] | None = None) -> Images:
        keys = None if key is None else iter(jax.random.split(key, 2 + 2 * sum(len(levels) for levels in self.up)))
        draw = lambda: None if keys is None else next(keys)

        c = nnx.silu(self.dense2(nnx.silu(self.dense1(self.embed(c_noise)))))
        h = self.first(x)
        skips = [h]
        for i, levels in enumerate(self.down):
            for level in levels:
                h = level(h, c, draw())
                skips.append(h)
            if i < len(self.shrink):
                h = self.shrink[i](h)
                skips.append(h)
        h = self.middle2(self.middle1(h, c, draw()), c, draw())
        for i, levels in enumerate(self.up):
            for level in levels:
                h = level(jnp.concatenate([h, skips.pop()], axis=-1), c, draw())
            if i < len(self.grow):
                h = self.grow[i](jnp.repeat(jnp.repeat(h, 2, axis=1), 2, axis=2))
        return self.last(nnx.silu(self.norm(h)))


def pyramid(shape: tuple[int, ...], levels: int) -> list[int]:
    """The heights of `levels` resolutions, each half the one before; ValueError where height or width cannot be halved."""
    if len(shape) != 3 or any(side % 2 ** (levels - 1) for side in shape[:2]):
        raise ValueError(
            f"{levels} resolutions need an image [H, W, C] with H and W divisible by {2 ** (levels - 1)}, not {shape}"
        )
    return [shape[0] // 2**i for i in range(levels)]
