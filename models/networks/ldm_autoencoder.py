"""The encoder and the decoder of latent diffusion's first stages (Rombach et al. 2022), and so of Stable Diffusion's.

    encoder: x [H, W, C] -> [H/f, W/f, .],  decoder: z [H/f, W/f, .] -> [H, W, C],  f = 2^(resolutions - 1)

One ends and the other begins with a map of the channels of a code, the published `quant_conv` and `post_quant_conv`.
"""

from __future__ import annotations

from functools import partial

from flax import nnx

from models.layers.affine import Conv, Images, linear, torch_default
from models.layers.fir import repeated
from models.layers.norm import GroupNorm
from models.layers.pyramid import Stage, pyramid
from models.layers.unet import Level, ResidualBlock, SelfAttention
from models.ranges import Depth, Multipliers, Width

DEFAULT = torch_default()


class LDMEncoder(nnx.Module):
    """Down a pyramid of resolutions, each half the one before by a convolution with zeros at the right and below alone.

    `shape`: of the image; `channels`: emitted, twice those of a code for its mean and log-variance, or those of a code.
    `width`: channels at full resolution; `multipliers`: of the width, one per resolution; `blocks`: residual blocks per
    resolution; `attention`: the resolutions (heights) with self-attention of one head after each block, as at the end with
    `middle_attention`. `quant`: whether the end maps the channels of the code once more.
    The defaults are those of the factor 8 with a Gaussian posterior. Raises ValueError if the shape cannot be halved, or an
    attention resolution never occurs.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: Width = 8,
        width: Width = 128,
        multipliers: Multipliers = (1, 2, 4, 4),
        blocks: Depth = 2,
        attention: tuple[Width, ...] = (),
        middle_attention: bool = True,
        quant: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        self.stages = tuple(pyramid(shape, width, multipliers, blocks, attention))
        conv = partial(Conv, init=DEFAULT, rngs=rngs)
        self.first = conv(shape[-1], width)
        down, shrink, now = [], [], width
        for stage in self.stages:
            down.append(_levels(now, stage, rngs))
            now = stage.channels
            if stage is not self.stages[-1]:
                shrink.append(conv(now, now, stride=2))
        self.down, self.shrink = nnx.List(down), nnx.List(shrink)
        self.middle1, self.middle2 = _middle(now, middle_attention, rngs)
        self.norm = GroupNorm(now)
        self.last = conv(now, channels)
        self.quant = linear(channels, channels, init=DEFAULT, rngs=rngs) if quant else None

    def __call__(self, x: Images, *_) -> Images:
        """The arguments that it does not read are those of a network that hears a noise level."""
        h = self.first(x)
        for i, levels in enumerate(self.down):
            for level in levels:
                h = level(h)
            if i < len(self.shrink):
                h = self.shrink[i](h)
        h = self.last(nnx.silu(self.norm(self.middle2(self.middle1(h)))))
        return h if self.quant is None else self.quant(h)


class LDMDecoder(nnx.Module):
    """Up a pyramid of resolutions, each twice the one before by repetition and a convolution, with `blocks` + 1 blocks at each.

    `shape`: of a code; `channels`: of the image; `quant`: whether the beginning maps the channels of the code once more. The
    others are as of `LDMEncoder`, resolutions from the image's downward.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: Width = 3,
        width: Width = 128,
        multipliers: Multipliers = (1, 2, 4, 4),
        blocks: Depth = 2,
        attention: tuple[Width, ...] = (),
        middle_attention: bool = True,
        quant: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        f = 2 ** (len(multipliers) - 1)
        image = (*(f * side for side in shape[:-1]), channels)
        self.stages = tuple(pyramid(image, width, multipliers, blocks + 1, attention))
        conv, now = partial(Conv, init=DEFAULT, rngs=rngs), self.stages[-1].channels
        self.quant = linear(shape[-1], shape[-1], init=DEFAULT, rngs=rngs) if quant else None
        self.first = conv(shape[-1], now)
        self.middle1, self.middle2 = _middle(now, middle_attention, rngs)
        up, grow = [], []
        for stage in reversed(self.stages):
            up.append(_levels(now, stage, rngs))
            now = stage.channels
            if stage is not self.stages[0]:
                grow.append(conv(now, now))
        self.up, self.grow = nnx.List(up), nnx.List(grow)
        self.norm = GroupNorm(now)
        self.last = conv(now, channels)

    def __call__(self, z: Images, *_) -> Images:
        """The arguments that it does not read are those of a network that hears a noise level."""
        h = self.first(z if self.quant is None else self.quant(z))
        h = self.middle2(self.middle1(h))
        for i, levels in enumerate(self.up):
            for level in levels:
                h = level(h)
            if i < len(self.grow):
                h = self.grow[i](repeated(h))
        return self.last(nnx.silu(self.norm(h)))


def _levels(channels: int, stage: Stage, rngs: nnx.Rngs) -> nnx.List[Level]:
    """The blocks of a resolution, the first of which takes `channels`."""
    entering = (channels, *(stage.channels,) * (stage.blocks - 1))
    return nnx.List([_level(now, stage.channels, stage.attention, rngs) for now in entering])


def _middle(channels: int, attends: bool, rngs: nnx.Rngs) -> tuple[Level, ResidualBlock]:
    return _level(channels, channels, attends, rngs), _residual(channels, channels, rngs)


def _level(channels_in: int, channels: int, attends: bool, rngs: nnx.Rngs) -> Level:
    attention = SelfAttention(channels, qkv=DEFAULT, last=DEFAULT, rngs=rngs) if attends else None
    return Level(_residual(channels_in, channels, rngs), attention)


def _residual(channels_in: int, channels: int, rngs: nnx.Rngs) -> ResidualBlock:
    return ResidualBlock(channels_in, channels, embedding=0, dropout=0.0, init=DEFAULT, last=DEFAULT, rngs=rngs)
