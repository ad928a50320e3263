"""The U-Nets NCSN++ and DDPM++ of Song et al. (2021), app. H, with every option that they tried."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Le
from flax import nnx
from jaxtyping import Array, Float, Key

from models.conditions import Conditions, beside, by_name, embedded
from models.layers.affine import Conv, Images, fan_avg, linear
from models.layers.fir import Resample
from models.layers.noise import EMBEDDINGS, Fourier, Labels
from models.layers.norm import GroupNorm
from models.layers.pyramid import Stage, pyramid
from models.layers.unet import CrossAttention, ResidualBlock, SelfAttention
from models.layers.walk import UNet
from models.ranges import Classes, Depth, Dropout, Multipliers, Numbers, Taps, Width


class InputSkip(nnx.Module):
    """p <- p at half the resolution; h <- W p + h, or beside it."""

    def __init__(self, shrink: Resample, channels_in: int, channels: int, combine: Literal["sum", "cat"], *, rngs: nnx.Rngs):
        self.shrink, self.combine = shrink, combine
        self.project = linear(channels_in, channels, rngs=rngs)

    def __call__(self, p: Images, h: Images) -> tuple[Images, Images]:
        p = self.shrink(p)
        return p, self.project(p) + h if self.combine == "sum" else jnp.concatenate([self.project(p), h], axis=-1)


class InputResidual(nnx.Module):
    """p <- g (p at half the resolution + h); h <- p."""

    def __init__(self, shrink: Resample, rescale: float):
        self.shrink, self.rescale = shrink, rescale

    def __call__(self, p: Images, h: Images) -> tuple[Images, Images]:
        p = self.rescale * (self.shrink(p) + h)
        return p, p


class Read(nnx.Module):
    """conv(silu(norm(h))): features as an image."""

    def __init__(self, channels_in: int, channels: int, init_scale: float, *, rngs: nnx.Rngs):
        self.norm = GroupNorm(channels_in)
        self.conv = Conv(channels_in, channels, init=fan_avg(init_scale), rngs=rngs)

    def __call__(self, h: Images) -> Images:
        return self.conv(nnx.silu(self.norm(h)))


class OutputSkip(nnx.Module):
    """p <- p at twice the resolution + conv(silu(norm(h))); without `grow`, at the lowest resolution, there is no p before."""

    def __init__(self, grow: Resample | None, read: Read):
        self.grow, self.read = grow, read

    def __call__(self, p: Images, h: Images) -> tuple[Images, Images]:
        image = self.read(h)
        return image if self.grow is None else self.grow(p) + image, h


class OutputResidual(nnx.Module):
    """p <- g (p at twice the resolution + h); h <- p."""

    def __init__(self, grow: Resample, rescale: float):
        self.grow, self.rescale = grow, rescale

    def __call__(self, p: Images, h: Images) -> tuple[Images, Images]:
        p = self.rescale * (self.grow(p) + h)
        return p, p


class NCSNpp(UNet):
    """DDPM's U-Net with BigGAN's blocks, smoothed resampling, rescaled skips and progressive growing.

    `width`, `multipliers`, `blocks`, `attention`, `dropout`, `classes`, `vector`, `image`, `tokens`, `vocabulary`, `outputs`:
    as of `DDPM`; going up, attention follows the last block of a resolution alone, and the condition `image` enters wherever
    the image does.
    `block`: "biggan" resamples inside a residual block, "ddpm" between them, by `Resample` with or without its convolution
    (`resample_with_conv`). `fir`: filter by `fir_kernel`, or else repeat and average. `skip_rescale`: divide sums by sqrt(2).
    `progressive`: "output_skip" sums images read at each resolution, "residual" their features. `progressive_input`: the image
    enters at each resolution, "input_skip" by `combine`, or "residual".
    `init_scale`: of the last layer of each branch and of the network, which is 0 at first where this is.
    `embedding`: "positional" of an index or 999 t, "fourier" of log(sigma) with frequencies of deviation `fourier_scale`, or
    "sinusoidal". `centre_input`: the network sees 2 x - 1, for data in [0, 1].

    The defaults are NCSN++ for VP on CIFAR-10; for VE it has "fourier" and `centre_input`. DDPM++ is without `fir` and
    `progressive_input`; the deep ones have blocks=8. Source: Song et al. (2021), app. H, and their code.
    Raises ValueError if the shape cannot be halved, or an attention resolution never occurs.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: Width = 128,
        multipliers: Multipliers = (1, 2, 2, 2),
        blocks: Depth = 4,
        attention: tuple[Width, ...] = (16,),
        dropout: Dropout = 0.1,
        block: Literal["biggan", "ddpm"] = "biggan",
        fir: bool = True,
        fir_kernel: Taps = (1, 3, 3, 1),
        skip_rescale: bool = True,
        progressive: Literal["none", "output_skip", "residual"] = "none",
        progressive_input: Literal["none", "input_skip", "residual"] = "residual",
        combine: Literal["sum", "cat"] = "sum",
        init_scale: Annotated[float, Ge(0), Le(100)] = 0.0,
        embedding: Literal["positional", "fourier", "sinusoidal"] = "positional",
        fourier_scale: Annotated[float, Gt(0), Le(1e4)] = 16.0,
        resample_with_conv: bool = True,
        centre_input: bool = False,
        classes: Classes = 0,
        vector: Numbers = 0,
        image: Numbers = 0,
        tokens: Numbers = 0,
        vocabulary: Numbers = 0,
        outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.stages = tuple(pyramid(shape, width, multipliers, blocks, attention))
        self.block, self.centre_input, self.image = block, centre_input, image
        c, emitted, rescale = 4 * width, outputs * shape[-1], 0.5**0.5 if skip_rescale else 1.0
        kernel, last, shortcut = fir_kernel if fir else None, fan_avg(init_scale), fan_avg(1.0 if block == "biggan" else 0.1)
        resample = partial(Resample, kernel=kernel, rngs=rngs)
        summed = partial(partial, rescale=rescale, last=last, rngs=rngs)
        residual = summed(ResidualBlock, embedding=c, dropout=dropout, kernel=kernel, skip=shortcut)

        def resize(n: int, way: Literal["up", "down"]) -> ResidualBlock | Resample:
            return residual(n, n, way) if block == "biggan" else resample(n, n, way, conv=resample_with_conv)

        inputs, reads, p = [], [], shape[-1] + image

        def enter(n: int) -> int:
            nonlocal p
            if progressive_input == "input_skip":
                inputs.append(InputSkip(resample(p, p, "down", conv=False), p, n, combine, rngs=rngs))
                return n if combine == "sum" else 2 * n
            if progressive_input == "residual":
                inputs.append(InputResidual(resample(p, n, "down"), rescale))
                p = n
            return n

        def leave(stage: Stage) -> None:
            nonlocal p
            n, lowest = stage.channels, stage is self.stages[-1]
            if progressive == "output_skip":
                larger = None if lowest else resample(emitted, emitted, "up", conv=False)
                reads.append(OutputSkip(larger, Read(n, emitted, init_scale, rngs=rngs)))
            elif progressive == "residual" and lowest:
                reads.append(OutputSkip(None, Read(n, n, 1.0, rngs=rngs)))
            elif progressive == "residual":
                reads.append(OutputResidual(resample(p, n, "up"), rescale))
            p = n

        fourier = embedding == "fourier"
        embed = Fourier(2 * width, fourier_scale, rngs=rngs) if fourier else EMBEDDINGS[embedding](width, rngs=rngs)
        super().__init__(embed, (1 + fourier) * width, c, vector=vector, tokens=tokens, vocabulary=vocabulary, rngs=rngs)
        self.labels = Labels(classes, c, rngs=rngs) if classes else None
        self.first = Conv(shape[-1] + image, width, rngs=rngs)
        attend_to, cross = (summed(attention, qkv=fan_avg(0.1)) for attention in (SelfAttention, CrossAttention))
        cross_to = lambda n: cross(n, tokens=tokens) if tokens else None
        left = self.lay(self.stages, width, residual, attend_to, resize, "level", cross_to, enter, leave)
        self.inputs, self.reads = nnx.List(inputs), nnx.List(reads)
        self.last = None if progressive == "output_skip" else Read(left, emitted, init_scale, rngs=rngs)

    def __call__(
        self,
        x: Images,
        c_noise: Float[Array, " B"],
        y: Conditions = None,
        key: Key[Array, ""] | None = None,
    ) -> Images:
        draws = count()
        draw = lambda: None if key is None else jax.random.fold_in(key, next(draws))

        y = by_name(y)
        label = None if self.labels is None else self.labels(y.get("label"))
        vector = embedded(self.vector, y.get("vector"), x.dtype)
        c = self.condition(self.embed(c_noise).astype(x.dtype), label, vector)
        image = beside(2 * x - 1 if self.centre_input else x, y.get("image"), self.image)
        p, h = self.walk(
            self.first(image),
            run=lambda block, h: block(h, c, draw()),
            p=image,
            enter=lambda i, p, h: self.inputs[i](p, h) if self.inputs else (p, h),
            leave=lambda i, p, h: self.reads[i](p, h) if self.reads else (p, h),
            tokens=self.read(y, x.dtype),
        )
        return p if self.last is None else self.last(h)
