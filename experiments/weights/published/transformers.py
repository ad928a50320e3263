"""The layouts of the published transformers."""

from __future__ import annotations

from experiments.weights.layout import Layout, Part
from models.networks.dit import DiT
from models.networks.uvit import UViT


def dit(net: DiT) -> Layout:
    """Returns the layout of Peebles & Xie's DiT (facebookresearch/DiT). Its `pos_embed` is computed here."""
    places: dict[str, str | Part] = {
        "first": "x_embedder.proj",
        "dense1": "t_embedder.mlp.0",
        "dense2": "t_embedder.mlp.2",
        "labels": "y_embedder.embedding_table",
        "modulation": "final_layer.adaLN_modulation.1",
        "last": "final_layer.linear",
    }
    for i in range(len(net.blocks)):
        places |= _attention_and_feed(f"blocks.{i}", f"blocks.{i}", net.stages[0].channels)
        places[f"blocks.{i}.modulation"] = f"blocks.{i}.adaLN_modulation.1"
    return Layout(places, ignored=r"^pos_embed$")


def dit_diffusers(net: DiT) -> Layout:
    """Returns the layout of diffusers' DiTTransformer2DModel.

    It has embeddings of noise level and label in each block. In its converted weights they are copies: those of block 0 are
    read, and others that differ are refused. Its frequencies of the noise level are 10000^(-k/127), but the weights were
    trained with 10000^(-k/128).
    """
    embeddings = "transformer_blocks.0.norm1.emb"
    places: dict[str, str | Part] = {
        "first": "pos_embed.proj",
        "dense1": f"{embeddings}.timestep_embedder.linear_1",
        "dense2": f"{embeddings}.timestep_embedder.linear_2",
        "labels": f"{embeddings}.class_embedder.embedding_table",
        "modulation": "proj_out_1",
        "last": "proj_out_2",
    }
    for i in range(len(net.blocks)):
        ours, theirs = f"blocks.{i}", f"transformer_blocks.{i}"
        places |= {f"{ours}.attention.{each}": f"{theirs}.attn1.to_{each}" for each in "qkv"}
        places |= {
            f"{ours}.attention.out": f"{theirs}.attn1.to_out.0",
            f"{ours}.feed.dense1": f"{theirs}.ff.net.0.proj",
            f"{ours}.feed.dense2": f"{theirs}.ff.net.2",
            f"{ours}.modulation": f"{theirs}.norm1.linear",
        }
    return Layout(places, r"^pos_embed\.pos_embed$", (r"^transformer_blocks\.[1-9]\d*\.norm1\.emb\.", f"{embeddings}."))


def uvit(net: UViT) -> Layout:
    """Returns the layout of Bao et al.'s U-ViT (baofff/U-ViT).

    A table of n labels is read with classes = n - 1. Its last row stands for no label if they trained with guidance (n = 1001).
    If they did not (n = 1000) it is the label n - 1, and a call must name y.
    """
    places: dict[str, str | Part] = {
        "first": "patch_embed.proj",
        "labels": "label_emb",
        "positions": "pos_embed",
        "norm": "norm",
        "last": "decoder_pred",
        "conv": "final_layer",
    }
    half = range(len(net.down))
    names = (
        {"middle": "mid_block"} | {f"down.{i}": f"in_blocks.{i}" for i in half} | {f"up.{i}": f"out_blocks.{i}" for i in half}
    )
    for ours, theirs in names.items():
        places |= _attention_and_feed(ours, theirs, net.stages[0].channels)
        places |= {f"{ours}.norm{i}": f"{theirs}.norm{i}" for i in (1, 2)} | {f"{ours}.skip": f"{theirs}.skip_linear"}
    return Layout(places)


def _attention_and_feed(ours: str, theirs: str, width: int) -> dict[str, str | Part]:
    """Returns the places of timm's block, in which q, k and v are thirds of one product."""
    thirds = {each: range(i * width, (i + 1) * width) for i, each in enumerate("qkv")}
    return {
        **{f"{ours}.attention.{each}": Part(f"{theirs}.attn.qkv", order) for each, order in thirds.items()},
        f"{ours}.attention.out": f"{theirs}.attn.proj",
        f"{ours}.feed.dense1": f"{theirs}.mlp.fc1",
        f"{ours}.feed.dense2": f"{theirs}.mlp.fc2",
    }
