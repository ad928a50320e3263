"""Where diffusers' UNet2DModel keeps the parameters of `models.NCSNpp`, in its blocks SkipDownBlock2D and AttnSkipUpBlock2D.

They are the published NCSN++ of 256 x 256 images and larger (google/ncsnpp-*): "fourier", progressive="output_skip" and
progressive_input="input_skip".
"""

from __future__ import annotations

from experiments.bridge.diffusers import ATTENTION, RESIDUAL
from experiments.bridge.layout import Layout
from models.ncsnpp import NCSNpp, ResidualBlock

PARTS = {name: RESIDUAL.get(name, name) for name in ("norm1", "conv1", "noise", "norm2", "conv2", "skip")}


def layout(net: NCSNpp) -> Layout:
    """The layout of UNet2DModel's state dict, with the newer names of attention."""
    places = {
        "embed": "time_proj",
        "dense1": "time_embedding.linear_1",
        "dense2": "time_embedding.linear_2",
        "first": "conv_in",
    }

    def inside(ours: str, theirs: str, parts: dict[str, str]) -> None:
        places.update({f"{ours}.{a}": f"{theirs}.{b}" for a, b in parts.items()})

    for way, change, levels, changes in (("down", "shrink", net.down, net.shrink), ("up", "grow", net.up, net.grow)):
        for i, blocks in enumerate(levels):
            for j in range(len(blocks)):
                inside(f"{way}.{i}.{j}.block", f"{way}_blocks.{i}.resnets.{j}", PARTS)
                attention = j if way == "down" else 0  # going up, after the last block alone
                inside(f"{way}.{i}.{j}.attention", f"{way}_blocks.{i}.attentions.{attention}", ATTENTION)
        for i, block in enumerate(changes):
            if isinstance(block, ResidualBlock):
                inside(f"{change}.{i}", f"{way}_blocks.{i}.resnet_{way}", PARTS)
    inside("middle1.block", "mid_block.resnets.0", PARTS)
    inside("middle1.attention", "mid_block.attentions.0", ATTENTION)
    inside("middle2", "mid_block.resnets.1", PARTS)
    for i in range(len(net.inputs)):
        places[f"inputs.{i}.project"] = f"down_blocks.{i}.skip_conv"
    for i in range(len(net.reads)):
        last = i == len(net.reads) - 1
        places[f"reads.{i}.read.norm"] = "conv_norm_out" if last else f"up_blocks.{i}.skip_norm"
        places[f"reads.{i}.read.conv"] = "conv_out" if last else f"up_blocks.{i}.skip_conv"
    return Layout(places, ignored=r"^time_proj\.W$")  # in older files, beside an equal time_proj.weight
