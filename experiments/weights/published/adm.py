"""The layout of improved-diffusion's and guided-diffusion's files, of `models.ADM`."""

from __future__ import annotations

from typing import Literal

from experiments.weights.layout import Layout, Part
from models.layers.unet import Level, SelfAttention
from models.networks.adm import ADM, Resize


def openai(net: ADM, order: Literal["legacy", "new"] = "legacy") -> Layout:
    """Returns the layout of `openai/guided-diffusion`'s UNetModel, and of improved-diffusion's, an earlier state of it.

    `order` is that of the fused q, k, v: each head's three side by side ("legacy": improved-diffusion's, and guided-diffusion's
    published networks unless `use_new_attention_order` is set), or all of q, of k and of v ("new").
    """
    places: dict[str, str | Part] = {
        "dense1": "time_embed.0",
        "dense2": "time_embed.2",
        "labels": "label_emb.weight",
        "first": "input_blocks.0.0",
        "middle2": "middle_block.2",
        "norm": "out.0",
        "last": "out.2",
    }

    def block(ours: str, theirs: str) -> None:
        names = {"norm1": "in_layers.0", "conv1": "in_layers.2", "noise": "emb_layers.1", "norm2": "out_layers.0",
                 "conv2": "out_layers.3", "skip": "skip_connection"}  # fmt: skip
        places.update({f"{ours}.{a}": f"{theirs}.{b}" for a, b in names.items()})

    def attention(module: SelfAttention, ours: str, theirs: str) -> None:
        n, d = module.q.in_features, module.head_channels
        for i, name in enumerate("qkv"):
            legacy = [3 * d * head + d * i + j for head in range(n // d) for j in range(d)]
            places[f"{ours}.{name}"] = Part(f"{theirs}.qkv", range(n * i, n * (i + 1)) if order == "new" else legacy)
        places.update({f"{ours}.norm": f"{theirs}.norm", f"{ours}.out": f"{theirs}.proj_out"})

    def level(module: Level, ours: str, theirs: str) -> int:
        """Adds a level's places; returns the number of its modules."""
        block(f"{ours}.block", f"{theirs}.0")
        if module.attention is None:
            return 1
        attention(module.attention, f"{ours}.attention", f"{theirs}.1")
        return 2

    def resize(module: Resize, ours: str, theirs: str, conv: str) -> None:
        block(f"{ours}.block", theirs)
        places[f"{ours}.conv"] = f"{theirs}.{conv}"

    at = 1
    for i, levels in enumerate(net.down):
        for j, module in enumerate(levels):
            level(module, f"down.{i}.{j}", f"input_blocks.{at + j}")
        at += len(levels) + 1
        if i < len(net.shrink):
            resize(net.shrink[i], f"shrink.{i}", f"input_blocks.{at - 1}.0", "op")
    level(net.middle1, "middle1", "middle_block")
    block("middle2", "middle_block.2")
    at = 0
    for i, levels in enumerate(net.up):
        after = [level(module, f"up.{i}.{j}", f"output_blocks.{at + j}") for j, module in enumerate(levels)]
        at += len(levels)
        if i < len(net.grow):
            resize(net.grow[i], f"grow.{i}", f"output_blocks.{at - 1}.{after[-1]}", "conv")
    return Layout(places)
