"""The names of our modules' tensors in diffusers, and their shapes there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flax import nnx

from experiments.weights.layout import Layout, flatten

RULES = {
    r"dense(1|2)": r"time_embedding.linear_\1",
    r"first": r"conv_in",
    r"(down|up)\.(\d+)\.(\d+)\.block": r"\1_blocks.\2.resnets.\3",
    r"(down|up)\.(\d+)\.(\d+)\.attention": r"\1_blocks.\2.attentions.\3",
    r"middle1\.block": r"mid_block.resnets.0",
    r"middle1\.attention": r"mid_block.attentions.0",
    r"middle2": r"mid_block.resnets.1",
}
"""The names of our modules and blocks there, the same in every kind."""
ENDS = {
    r"shrink\.(\d+)": r"down_blocks.\1.downsamplers.0.conv",
    r"grow\.(\d+)": r"up_blocks.\1.upsamplers.0.conv",
    r"norm": r"conv_norm_out",
    r"last": r"conv_out",
}
"""Those at the end of a resolution and of the network, if they are convolutions there."""
PARTS = {
    **{"noise": "time_emb_proj", "skip": "conv_shortcut"},
    **{"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"},
}
"""The names of a block's parts there, if they differ from ours."""
POINTWISE = r"(conv_shortcut|quant_conv|proj_in|proj_out)$"
"""A regular expression for those of our products that are convolutions of one pixel there."""


def places(net: nnx.Module, rules: Mapping[str, str]) -> dict[str, str]:
    """Returns the place of each module of ours, by the last rule for it or for the block that it is a part of."""
    names = {}
    for ours in {path.rpartition(".")[0] for path in flatten(nnx.to_pure_dict(nnx.state(net, nnx.Param)))}:
        for rule, theirs in rules.items():
            if match := re.fullmatch(rf"{rule}(?:\.(?P<part>\w+))?", ours):
                part = match["part"]
                names[ours] = match.expand(theirs) + (f".{PARTS.get(part, part)}" if part else "")
    return names


def shapes(params: Any, layout: Layout) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of their tensors: outputs, inputs, and the two sides of a convolution."""
    theirs = {}
    for path, value in flatten(params).items():
        module, _, leaf = path.rpartition(".")
        if path in layout.places:
            theirs[layout.places[path]] = value.shape
            continue
        place = str(layout.places[module])
        ones = (1, 1) if re.search(POINTWISE, place) else ()
        shape = (*value.shape[:-3:-1], *(value.shape[:-2] or ones)) if leaf == "kernel" else value.shape
        theirs[f"{place}.{'bias' if leaf == 'bias' else 'weight'}"] = shape
    return theirs
