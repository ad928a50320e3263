"""The layouts of diffusers' parts of a latent diffusion: AutoencoderKL and VQModel, UNet2DConditionModel, and CLIP's text."""

from __future__ import annotations

from experiments.weights.layout import Layout
from experiments.weights.published import diffusers
from experiments.weights.published.diffusers import ENDS, RULES
from models.networks.clip_text import CLIPText
from models.networks.ldm_autoencoder import LDMDecoder, LDMEncoder
from models.networks.ldm_unet import LDMUNet


def first_stage(encoder: LDMEncoder, decoder: LDMDecoder) -> Layout:
    """Returns the layout of AutoencoderKL, of the parameters {"encoder", "decoder"}, and with "codebook" that of VQModel."""
    places = {
        f"{side}.{ours}": f"{side}.{theirs}"
        for side, net in (("encoder", encoder), ("decoder", decoder))
        for ours, theirs in diffusers.places(net, RULES | ENDS).items()
    }
    codes = {"encoder.quant": "quant_conv", "decoder.quant": "post_quant_conv", "codebook": "quantize.embedding.weight"}
    return Layout(places | codes)


def unet(net: LDMUNet) -> Layout:
    """Returns the layout of UNet2DConditionModel; its projections of an image are 1x1 convolutions, or with SD 2 products."""
    rules = RULES | ENDS
    for ours, theirs, block in (
        (r"(down|up)\.(\d+)\.(\d+)\.cross_attention", r"\1_blocks.\2.attentions.\3", r"\4"),
        (r"middle1\.cross_attention", r"mid_block.attentions.0", r"\1"),
    ):
        ours_block, theirs_block = rf"{ours}\.blocks\.(\d+)", f"{theirs}.transformer_blocks.{block}"
        rules |= {
            rf"{ours}\.norm": f"{theirs}.norm",
            rf"{ours}\.first": f"{theirs}.proj_in",
            rf"{ours}\.last": f"{theirs}.proj_out",
            ours_block: theirs_block,
            rf"{ours_block}\.self_attention": f"{theirs_block}.attn1",
            rf"{ours_block}\.cross_attention": f"{theirs_block}.attn2",
            rf"{ours_block}\.feed\.dense1": f"{theirs_block}.ff.net.0.proj",
            rf"{ours_block}\.feed\.dense2": f"{theirs_block}.ff.net.2",
        }
    return Layout(diffusers.places(net, rules))


def clip_text(net: CLIPText, prefix: str = "text_model.") -> Layout:
    """Returns the layout of transformers' CLIPTextModel, whose version 5 and later has the `prefix` "" in memory."""
    places = {
        "table": f"{prefix}embeddings.token_embedding.weight",
        "positions": f"{prefix}embeddings.position_embedding.weight",
        "norm": f"{prefix}final_layer_norm",
    }
    for i in range(len(net.blocks)):
        ours, theirs = f"blocks.{i}", f"{prefix}encoder.layers.{i}"
        places |= {f"{ours}.norm{j}": f"{theirs}.layer_norm{j}" for j in (1, 2)}
        places |= {f"{ours}.attention.{each}": f"{theirs}.self_attn.{each}_proj" for each in ("q", "k", "v", "out")}
        places |= {f"{ours}.feed.dense{j}": f"{theirs}.mlp.fc{j}" for j in (1, 2)}
    return Layout(places, ignored=r"position_ids$")
