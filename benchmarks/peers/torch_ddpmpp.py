"""DDPM++ (Song et al. 2021, app. H) as one writes it in PyTorch: the layers of `models.NCSNpp` as its config has them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import torch_unet
from benchmarks.peers.torch_unet import SelfAttention, norm

G = 0.5**0.5
WAYS = {"same": nn.Identity, "up": lambda: nn.Upsample(scale_factor=2), "down": lambda: nn.AvgPool2d(2)}


class ResidualBlock(torch_unet.ResidualBlock):
    """g (S R x + conv(dropout(silu(norm(conv(R silu(norm(x))) + W c))))), BigGAN's: R repeats or averages pixels."""

    def __init__(
        self, channels_in: int, channels: int, embedding: int, dropout: float, way: Literal["same", "up", "down"] = "same"
    ):
        super().__init__(channels_in, channels, embedding, dropout)
        self.resample = WAYS[way]()
        if way != "same":
            self.skip = nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h = self.conv1(self.resample(F.silu(self.norm1(x)))) + self.noise(c)[:, :, None, None]
        return G * (self.skip(self.resample(x)) + self.conv2(self.dropout(F.silu(self.norm2(h)))))


class Level(nn.Module):
    """A residual block, with self-attention or without."""

    def __init__(self, channels_in: int, channels: int, attend: bool, embedding: int, dropout: float):
        super().__init__()
        self.block = ResidualBlock(channels_in, channels, embedding, dropout)
        self.attention = SelfAttention(channels) if attend else None

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        x = self.block(x, c)
        return x if self.attention is None else G * self.attention(x)


class DDPMpp(nn.Module):
    """The arguments of `models.NCSNpp`."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        width: int = 128,
        multipliers: tuple[int, ...] = (1, 2, 2, 2),
        blocks: int = 4,
        attention: tuple[int, ...] = (16,),
        dropout: float = 0.1,
    ):
        super().__init__()
        c = 4 * width
        self.register_buffer("frequencies", torch.logspace(0, -4, width // 2))
        self.dense1, self.dense2 = nn.Linear(width, c), nn.Linear(c, c)
        self.first = nn.Conv2d(shape[2], width, 3, padding=1)
        attends = [shape[0] >> i in attention for i in range(len(multipliers))]
        skips, now = [width], width
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, n in enumerate(width * m for m in multipliers):
            for _ in range(blocks):
                self.down.append(Level(now, n, attends[i], c, dropout))
                skips.append(now := n)
            if i < len(multipliers) - 1:
                self.down.append(ResidualBlock(n, n, c, dropout, "down"))
                skips.append(n)
        self.middle = nn.ModuleList([Level(now, now, True, c, dropout), ResidualBlock(now, now, c, dropout)])
        for i, n in reversed(list(enumerate(width * m for m in multipliers))):
            for j in range(blocks + 1):
                self.up.append(Level(now + skips.pop(), n, attends[i] and j == blocks, c, dropout))
                now = n
            if i:
                self.up.append(ResidualBlock(n, n, c, dropout, "up"))
        self.norm, self.last = norm(now), nn.Conv2d(now, shape[2], 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        c = self.dense2(F.silu(self.dense1(torch.cat([angles.sin(), angles.cos()], dim=1))))
        c, h = F.silu(c), self.first(x)
        skips = [h]
        for layer in self.down:
            h = layer(h, c)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, c)
        for layer in self.up:
            h = layer(torch.cat([h, skips.pop()], dim=1) if isinstance(layer, Level) else h, c)
        return self.last(F.silu(self.norm(h)))
