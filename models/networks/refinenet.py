"""RefineNets (Lin et al. 2017) as scores: residual stages down, and refinements that fuse them from the coarsest up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from models.conditions import Conditions, beside, by_name, embedded
from models.layers.affine import Conv, Images, linear, torch_default
from models.layers.block import Block, rematerialised
from models.layers.noise import Labels, summed
from models.layers.norm import InstanceNormPlus
from models.layers.pyramid import pyramid

Label = Int[Array, " B"] | None
Change = Literal["none", "halve", "dilate"]
Pool = Literal["max", "mean"]


class ResidualBlock(Block):
    """S(x) + conv(elu(norm(conv(elu(norm(x)))))), at a dilation.

    `change`: "none", where S is the identity; "dilate", where it is a convolution as dilated as the others; "halve", where it
    is linear, and the mean is taken of all that over 2x2 pixels.
    """

    def __init__(self, channels_in: int, channels: int, change: Change, dilation: int, rungs: int, *, rngs: nnx.Rngs):
        def conv(channels: int) -> Conv:
            return Conv(channels_in, channels, dilation=dilation, init=torch_default(), rngs=rngs)

        self.halve = change == "halve"
        self.norm1, self.conv1 = InstanceNormPlus(channels_in, rungs, rngs=rngs), conv(channels_in)
        self.norm2, self.conv2 = InstanceNormPlus(channels_in, rungs, rngs=rngs), conv(channels)
        shortcuts = {
            "none": lambda: None,
            "dilate": lambda: conv(channels),
            "halve": lambda: linear(channels_in, channels, init=torch_default(), rngs=rngs),
        }
        self.shortcut = shortcuts[change]()

    @rematerialised
    def __call__(self, x: Images, label: Label) -> Images:
        h = self.conv1(nnx.elu(self.norm1(x, label)))
        h = self.conv2(nnx.elu(self.norm2(h, label)))
        h = (x if self.shortcut is None else self.shortcut(x)) + h
        return nnx.avg_pool(h.astype(jnp.float32), (2, 2), (2, 2)).astype(h.dtype) if self.halve else h


class Unit(nnx.Module):
    """conv(between(norm(x))); without `rungs`, conv(between(x))."""

    def __init__(self, channels_in: int, channels: int, rungs: int, bias: bool = False, *, rngs: nnx.Rngs):
        self.norm = InstanceNormPlus(channels_in, rungs, rngs=rngs) if rungs else None
        self.conv = Conv(channels_in, channels, bias=bias, init=torch_default(), rngs=rngs)

    def __call__(self, x: Images, label: Label, between: Callable[[Images], Images] = lambda x: x) -> Images:
        return self.conv(between(x if self.norm is None else self.norm(x, label)))


class ResidualUnits(nnx.Module):
    """`units` times x + unit(unit(x)), with an ELU before each convolution: the paper's RCU."""

    def __init__(self, channels: int, units: int, rungs: int, *, rngs: nnx.Rngs):
        unit = lambda: Unit(channels, channels, rungs, rngs=rngs)
        self.units = nnx.List([nnx.List([unit(), unit()]) for _ in range(units)])

    def __call__(self, x: Images, label: Label) -> Images:
        for first, second in self.units:
            x = x + second(first(x, label, nnx.elu), label, nnx.elu)
        return x


class ChainedPooling(nnx.Module):
    """h_0 + h_1 + h_2 with h_0 = elu(x) and h_k = unit(h_{k-1}), which pools 5x5 pixels at each: the paper's CRP."""

    def __init__(self, channels: int, pool: Pool, rungs: int, *, rngs: nnx.Rngs):
        self.pool = pool
        self.units = nnx.List([Unit(channels, channels, rungs, rngs=rngs) for _ in range(2)])

    def __call__(self, x: Images, label: Label) -> Images:
        reduce = {"max": nnx.max_pool, "mean": nnx.avg_pool}[self.pool]
        pool = lambda h: reduce(h.astype(jnp.float32), (5, 5), padding="SAME").astype(h.dtype)
        h = total = nnx.elu(x)
        for unit in self.units:
            h = unit(h, label, pool)
            total = total + h
        return total


class Fusion(nnx.Module):
    """unit(fine) + resize(unit(coarse)), at the resolution of the fine: the paper's MSF."""

    def __init__(self, channels_in: list[int], channels: int, rungs: int, *, rngs: nnx.Rngs):
        self.fine, self.coarse = (Unit(n, channels, rungs, bias=True, rngs=rngs) for n in channels_in)

    def __call__(self, hs: list[Images], label: Label) -> Images:
        fine, coarse = hs
        return self.fine(fine, label) + resize(self.coarse(coarse, label), *fine.shape[1:3])


class Refinement(Block):
    """Residual units on each input, their fusion if there are two, chained pooling, and `units` residual units."""

    def __init__(self, channels_in: list[int], channels: int, units: int, pool: Pool, rungs: int, *, rngs: nnx.Rngs):
        self.adapt = nnx.List([ResidualUnits(n, 2, rungs, rngs=rngs) for n in channels_in])
        self.fuse = Fusion(channels_in, channels, rungs, rngs=rngs) if len(channels_in) > 1 else None
        self.pool = ChainedPooling(channels, pool, rungs, rngs=rngs)
        self.out = ResidualUnits(channels, units, rungs, rngs=rngs)

    @rematerialised
    def __call__(self, hs: list[Images], label: Label) -> Images:
        hs = [adapt(h, label) for adapt, h in zip(self.adapt, hs, strict=True)]
        h = hs[0] if self.fuse is None else self.fuse(hs, label)
        return self.out(self.pool(h, label), label)


class RefineNet(nnx.Module):
    """conv(elu(norm(h))), h the refined stages of 2x - 1. Song & Ermon (2019), app. A.

    `width`: channels at full resolution; `multipliers`: of the width, one per stage of two residual blocks. The last stages, as
    many as `dilations`, spread their taps by these and keep the resolution; of the others, each halves that of the one before.
    `pool`: how the chained pooling pools. `centre_input`: 2x - 1 is taken of x, for data in [0, 1]; otherwise x itself.
    `rungs`: labels of the noise that every InstanceNorm++ hears; 0: none, and then the refinements have no normalisation.
    `classes`: of the labels y, each a bias after the first convolution, which is ours; 0: none. `vector`: the numbers of this
    condition of y, from which comes another such bias; `image`: the channels of this one; 0: none. `outputs`: images emitted.
    Raises ValueError if the shape cannot be halved, or if all the stages are dilated.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        multipliers: tuple[int, ...],
        dilations: tuple[int, ...],
        pool: Pool,
        centre_input: bool,
        rungs: int,
        classes: int,
        vector: int,
        image: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
    ):
        halved = len(multipliers) - len(dilations)
        if halved < 1:
            raise ValueError(f"dilations {dilations} leave no stage of the multipliers {multipliers} at full resolution")
        stages = pyramid(shape, width, multipliers[:halved], 2, ())
        stages += [stages[-1]._replace(channels=width * m) for m in multipliers[halved:]]
        self.stages, self.centre_input, self.image = tuple(stages), centre_input, image
        self.first = Conv(shape[-1] + image, width, init=torch_default(), rngs=rngs)
        self.labels = Labels(classes, width, rngs=rngs) if classes else None
        self.vector = linear(vector, width, bias=False, init=torch_default(), rngs=rngs) if vector else None

        now, down = width, []
        for i, stage in enumerate(stages):
            n, dilation = stage.channels, 1 if i < halved else dilations[i - halved]
            change: Change = "none" if i == 0 else "halve" if i < halved else "dilate"
            entering = ResidualBlock(now, n, change, dilation, rungs, rngs=rngs)
            down.append(nnx.List([entering, ResidualBlock(n, n, "none", dilation, rungs, rngs=rngs)]))
            now = n
        self.down = nnx.List(down)

        up = [Refinement([now], now, 1, pool, rungs, rngs=rngs)]
        for i, stage in reversed(list(enumerate(stages[:-1]))):
            finer = stages[max(i - 1, 0)].channels
            up.append(Refinement([stage.channels, now], finer, 1 if i else 3, pool, rungs, rngs=rngs))
            now = finer
        self.up = nnx.List(up)

        self.norm = InstanceNormPlus(now, rungs, rngs=rngs)
        self.last = Conv(now, outputs * shape[-1], init=torch_default(), rngs=rngs)

    def __call__(self, x: Images, label: Label, y: Conditions) -> Images:
        y = by_name(y)
        h = self.first(beside(2 * x - 1 if self.centre_input else x, y.get("image"), self.image))
        biases = None if self.labels is None else self.labels(y.get("label"))
        vector = embedded(self.vector, y.get("vector"), x.dtype)
        h = summed(h, *(None if bias is None else bias[:, None, None, :] for bias in (biases, vector)))
        fine = []
        for blocks in self.down:
            for block in blocks:
                h = block(h, label)
            fine.append(h)
        for i, refine in enumerate(self.up):
            h = refine([h] if i == 0 else [fine[-1 - i], h], label)
        return self.last(nnx.elu(self.norm(h, label)))


def resize(x: Images, height: int, width: int) -> Images:
    """Bilinear, corner pixels onto corner pixels: pixel i of N is x at i (n - 1)/(N - 1), n that of x."""

    def weights(n: int, wanted: int) -> Float[Array, "wanted n"]:
        at = jnp.linspace(0, n - 1, wanted)
        return jnp.maximum(0, 1 - jnp.abs(at[:, None] - jnp.arange(n))).astype(x.dtype)

    rows, columns = weights(x.shape[1], height), weights(x.shape[2], width)
    return jnp.einsum("ih,jw,bhwc->bijc", rows, columns, x, precision=jax.lax.Precision.HIGHEST)
