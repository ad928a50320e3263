"""The layouts of the files of both codes of Song et al. (2021), of `models.NCSNpp` and of `models.DDPM`, their `ddpm`.

score_sde_pytorch and score_sde make the same modules in the same order. torch counts them all, as all_modules.0, all_modules.1,
...; flax counts each class by itself, as Conv_0, ResnetBlockBigGANpp_0, Conv_1, ...
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from flax import nnx

from experiments.weights.layout import Layout
from models.layers.fir import Resample
from models.layers.noise import Fourier
from models.layers.unet import ResidualBlock
from models.networks.ddpm import DDPM
from models.networks.ncsnpp import InputSkip, NCSNpp, OutputSkip

RESIDUAL = {"norm1": "GroupNorm_0", "conv1": "Conv_0", "noise": "Dense_0", "norm2": "GroupNorm_1", "conv2": "Conv_1"}
ATTENTION = {"norm": "GroupNorm_0", "q": "NIN_0", "k": "NIN_1", "v": "NIN_2", "out": "NIN_3"}


def pytorch(net: NCSNpp | DDPM) -> Layout:
    """Returns the layout of score_sde_pytorch's state dict, without the prefix "module." of its checkpoints."""
    places = {}
    for i, (ours, kind, parts) in enumerate(_modules(net)):
        names = {"": "Conv"} if kind == "Combine" else parts
        places |= {_dotted(ours, a): _dotted(f"all_modules.{i}", b) for a, b in names.items()}
    return Layout(places, ignored=r"^sigmas$")


def flax(net: NCSNpp | DDPM) -> Layout:
    """Returns the layout of score_sde's tree of parameters, after `kernels` has renamed some."""
    places, counts = {}, Counter()
    for ours, kind, parts in _modules(net):
        places |= {_dotted(ours, a): _dotted(f"{kind}_{counts[kind]}", b) for a, b in parts.items()}
        counts[kind] += 1
    return Layout(places)


def kernels(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns score_sde's tensors with the `weight` of its Conv2d called `kernel`: it is [3, 3, I, O], unlike torch's."""
    return {re.sub(r"(Conv2d_0\.)weight$", r"\1kernel", name): tensor for name, tensor in tensors.items()}


class _Module(NamedTuple):
    """Our module `ours`, flax's class of theirs, and their name of each part of it."""

    ours: str
    kind: str
    parts: Mapping[str, str]


def _modules(net: NCSNpp | DDPM) -> Iterator[_Module]:
    """Yields their modules in the order of construction; those without parameters count too."""
    plus = isinstance(net, NCSNpp)
    biggan = plus and net.block == "biggan"

    def residual(ours: str) -> _Module:
        kind = "ResnetBlockBigGANpp" if biggan else "ResnetBlockDDPMpp" if plus else "ResnetBlockDDPM"
        return _Module(ours, kind, RESIDUAL | {"skip": "Conv_2" if biggan else "NIN_0"})

    def level(ours: str, attends: bool) -> Iterator[_Module]:
        yield residual(f"{ours}.block")
        if attends:
            yield _Module(f"{ours}.attention", "AttnBlockpp" if plus else "AttnBlock", ATTENTION)

    def resample(ours: str, kind: str, module: nnx.Module) -> _Module:
        if isinstance(module, ResidualBlock):
            return residual(ours)
        if isinstance(module, Resample):
            return _Module(ours, kind, {"conv": "Conv_0" if module.kernel is None else "Conv2d_0"})
        return _Module(ours, kind, {"": "Conv_0"})  # DDPM's, a convolution

    def single(ours: str, kind: str) -> _Module:
        return _Module(ours, kind, {"": ""})

    if isinstance(net.embed, Fourier):
        yield single("embed", "GaussianFourierProjection")
    yield from (single("dense1", "Dense"), single("dense2", "Dense"), single("first", "Conv"))
    for i, levels in enumerate(net.down):
        for j, each in enumerate(levels):
            yield from level(f"down.{i}.{j}", each.attention is not None)
        if i < len(net.shrink):
            yield resample(f"shrink.{i}", "Downsample", net.shrink[i])
            if plus and net.inputs:
                yield resample(f"inputs.{i}.shrink", "Downsample", net.inputs[i].shrink)
                if isinstance(net.inputs[i], InputSkip):
                    yield _Module(f"inputs.{i}.project", "Combine", {"": "Conv_0"})
    yield from level("middle1", attends=True)
    yield residual("middle2")
    for i, levels in enumerate(net.up):
        for j, each in enumerate(levels):
            yield from level(f"up.{i}.{j}", each.attention is not None)
        if plus and net.reads:
            if net.reads[i].grow is not None:
                yield resample(f"reads.{i}.grow", "Upsample", net.reads[i].grow)
            if isinstance(net.reads[i], OutputSkip):
                yield from (single(f"reads.{i}.read.norm", "GroupNorm"), single(f"reads.{i}.read.conv", "Conv"))
        if i < len(net.grow):
            yield resample(f"grow.{i}", "Upsample", net.grow[i])
    if not plus:
        yield from (single("norm", "GroupNorm"), single("last", "Conv"))
    elif net.last is not None:
        yield from (single("last.norm", "GroupNorm"), single("last.conv", "Conv"))


def _dotted(*parts: str) -> str:
    return ".".join(part for part in parts if part)
