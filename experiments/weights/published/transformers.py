"""Where the published transformers keep our parameters."""

from __future__ import annotations

from experiments.weights.layout import Layout, Part
from models.networks.dit import DiT
from models.networks.uvit import UViT


def dit(net: DiT) -> Layout:
    """Peebles & Xie's (facebookresearch/DiT), whose `pos_embed` is computed here."""
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
    """Diffusers' DiTTransformer2DModel.

    It keeps the embeddings of noise level and label once a block, which in its converted weights are copies: block 0's are
    read, and others refused. Its own frequencies of the noise level are 10000^(-k/127), not the 10000^(-k/128) that the weights
    were trained with.
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
    """Bao et al.'s (baofff/U-ViT).

    A table of n labels is read with classes = n - 1: its last row is no label where they trained with guidance (n = 1001), and
    just the label n - 1 where they did not (n = 1000), where y must be given.
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
    """timm's: q, k and v are thirds of one product."""
    thirds = {each: range(i * width, (i + 1) * width) for i, each in enumerate("qkv")}
    return {
        **{f"{ours}.attention.{each}": Part(f"{theirs}.attn.qkv", order) for each, order in thirds.items()},
        f"{ours}.attention.out": f"{theirs}.attn.proj",
        f"{ours}.feed.dense1": f"{theirs}.mlp.fc1",
        f"{ours}.feed.dense2": f"{theirs}.mlp.fc2",
    }
