"""DDPM's U-Net as one writes it in PyTorch: the layers of `models.DDPM`, channels first, with torch's own modules."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def norm(channels: int) -> nn.GroupNorm:
    """Groups of at least four channels, 32 at most."""
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """S x + conv(dropout(silu(norm(conv(silu(norm(x))) + W c))))."""

    def __init__(self, channels_in: int, channels: int, embedding: int, dropout: float):
        super().__init__()
        self.norm1, self.conv1 = norm(channels_in), nn.Conv2d(channels_in, channels, 3, padding=1)
        self.noise = nn.Linear(embedding, channels)
        self.norm2, self.dropout = norm(channels), nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels != channels_in else nn.Identity()

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.noise(c)[:, :, None, None]
        return self.skip(x) + self.conv2(self.dropout(F.silu(self.norm2(h))))


class SelfAttention(nn.Module):
    """x + W softmax(q k^T / sqrt(d)) v over the pixels, in one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm, self.qkv, self.out = norm(channels), nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).unsqueeze(1).chunk(3, dim=-1)
        h = F.scaled_dot_product_attention(q, k, v).squeeze(1)
        return x + self.out(h).transpose(1, 2).reshape(x.shape)


class Level(nn.Module):
    """A residual block, with self-attention or without."""

    def __init__(self, channels_in: int, channels: int, attend: bool, embedding: int, dropout: float):
        super().__init__()
        self.block = ResidualBlock(channels_in, channels, embedding, dropout)
        self.attention = SelfAttention(channels) if attend else nn.Identity()

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.attention(self.block(x, c))


class Shrink(nn.Module):
    """A convolution of stride 2, padded at its far end."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Grow(nn.Module):
    """Each pixel twice along each side, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2))


class UNet(nn.Module):
    """The arguments of `models.DDPM`."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        width: int,
        multipliers: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        dropout: float,
    ):
        super().__init__()
        self.width, c = width, 4 * width
        self.dense1, self.dense2 = nn.Linear(width, c), nn.Linear(c, c)
        self.first = nn.Conv2d(shape[2], width, 3, padding=1)
        sides = [shape[0] >> i for i in range(len(multipliers))]
        skips, now = [width], width
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, n in enumerate(width * m for m in multipliers):
            for _ in range(blocks):
                self.down.append(Level(now, n, sides[i] in attention, c, dropout))
                skips.append(now := n)
            if i < len(sides) - 1:
                self.down.append(Shrink(n))
                skips.append(n)
        self.middle = nn.ModuleList([Level(now, now, True, c, dropout), ResidualBlock(now, now, c, dropout)])
        for i, n in reversed(list(enumerate(width * m for m in multipliers))):
            for _ in range(blocks + 1):
                self.up.append(Level(now + skips.pop(), n, sides[i] in attention, c, dropout))
                now = n
            if i:
                self.up.append(Grow(n))
        self.norm, self.last = norm(now), nn.Conv2d(now, shape[2], 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        half = self.width // 2
        angles = t[:, None] * torch.exp(torch.arange(half) * (-math.log(1e4) / (half - 1)))
        c = self.dense2(F.silu(self.dense1(torch.cat([angles.sin(), angles.cos()], dim=1))))
        c, h = F.silu(c), self.first(x)
        skips = [h]
        for layer in self.down:
            h = layer(h) if isinstance(layer, Shrink) else layer(h, c)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, c)
        for layer in self.up:
            h = layer(h) if isinstance(layer, Grow) else layer(torch.cat([h, skips.pop()], dim=1), c)
        return self.last(F.silu(self.norm(h)))
