"""The layouts of NVlabs/edm's files, of `models.EDMUNet` and of `models.ADM` as it is trained there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.weights.layout import Layout, Part
from models.networks.adm import ADM
from models.networks.edm_unet import EDMUNet

FILTERS = r"resample_filter$"
"""The filters are options of ours."""
UNHEARD = rf"{FILTERS}|^(model\.)?map_augment\."
"""The labels of augmentation are zero outside training, and a network that is not to be trained further can do without."""


def song(net: EDMUNet, prefix: str = "model.") -> Layout:
    """Returns the layout of SongUNet, which EDMPrecond keeps under `prefix`."""
    sides = [stage.height for stage in net.stages]
    places = _unet(net, prefix) | {"embed.frequencies": f"{prefix}map_noise.freqs"}
    for i, n in enumerate(sides[1:]):
        entrance = "residual" if net.encoder == "residual" else "skip"
        places[f"enter.{i}"] = f"{prefix}enc.{n}x{n}_aux_{entrance}"
    for i, n in enumerate(sides[: len(net.leave)][::-1]):
        places |= {f"norms.{i}": f"{prefix}dec.{n}x{n}_aux_norm", f"leave.{i}": f"{prefix}dec.{n}x{n}_aux_conv"}
    return Layout(places, UNHEARD if net.augment is None else FILTERS)


def dhariwal(net: ADM, prefix: str = "model.") -> Layout:
    """Returns the layout of DhariwalUNet: an ADM with resample "block" and head_channels 64. Its labels go through `turned`."""
    places = _unet(net, prefix)
    places |= {"norm": f"{prefix}out_norm", "last": f"{prefix}out_conv", "labels": f"{prefix}map_label.weight"}
    return Layout(places, UNHEARD)


def turned(tensors: Mapping[str, np.ndarray], prefix: str = "model.") -> dict[str, np.ndarray]:
    """Returns the tensors with DhariwalUNet's label weights transposed: a row for each label, or the other way round."""
    name = f"{prefix}map_label.weight"
    return {**tensors, name: tensors[name].T} if name in tensors else dict(tensors)


def _unet(net: EDMUNet | ADM, prefix: str) -> dict[str, str | Part]:
    """Returns the places that the two networks have in common."""
    side, lowest = net.stages[0].height, f"dec.{net.stages[-1].height}x{net.stages[-1].height}"
    places: dict[str, str | Part] = {
        "labels": f"{prefix}map_label",
        "augment": f"{prefix}map_augment",
        "dense1": f"{prefix}map_layer0",
        "dense2": f"{prefix}map_layer1",
        "first": f"{prefix}enc.{side}x{side}_conv",
    }

    def block(ours: str, theirs: str) -> None:
        names = {"norm1": "norm0", "conv1": "conv0", "noise": "affine", "norm2": "norm1", "conv2": "conv1", "skip": "skip"}
        places.update({f"{ours}.{a}": f"{prefix}{theirs}.{b}" for a, b in names.items()})

    def level(ours: str, theirs: str, channels: int) -> None:
        block(f"{ours}.block", theirs)
        places.update({f"{ours}.attention.{a}": f"{prefix}{theirs}.{b}" for a, b in {"norm": "norm2", "out": "proj"}.items()})
        for i, name in enumerate("qkv"):
            # q, k and v of the first channel, then of the second, whatever the heads.
            places[f"{ours}.attention.{name}"] = Part(f"{prefix}{theirs}.qkv", range(i, 3 * channels, 3))

    inner = ".block" if isinstance(net, ADM) else ""
    for way, resize, folder, stages in (("down", "shrink", "enc", net.stages), ("up", "grow", "dec", net.stages[::-1])):
        for i, stage in enumerate(stages):
            at = f"{folder}.{stage.height}x{stage.height}"
            for j in range(stage.blocks + (way == "up")):
                level(f"{way}.{i}.{j}", f"{at}_block{j}", stage.channels)
            if i:
                block(f"{resize}.{i - 1}{inner}", f"{at}_{way}")
    level("middle1", f"{lowest}_in0", net.stages[-1].channels)
    block("middle2", f"{lowest}_in1")
    return places
