"""transformers' folders of a CLIPTextModel (openai/clip-vit-*), Stable Diffusion's text encoder: our CLIPText, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from safetensors.numpy import save

from experiments.config.schema import Count
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers
from experiments.weights.published.diffusers import Fields
from experiments.weights.tensors import MOST
from models.networks.clip_text import HEAD, CLIPText

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
PREFIX = "text_model."
"""All names in a file begin with it, and those that version 5 of transformers has in memory do not."""


class Text(Fields):
    """The fields of CLIPTextModel, with its values for those that its config.json leaves out."""

    model_type: Literal["clip_text_model"]
    vocab_size: Annotated[int, Field(ge=2, le=MOST)] = 49408
    max_position_embeddings: Annotated[int, Field(ge=2, le=2**14)] = 77
    hidden_size: Annotated[int, Field(ge=1, le=2**14)] = 512
    intermediate_size: Count = 2048
    num_hidden_layers: Annotated[int, Field(ge=1, le=100)] = 12
    num_attention_heads: Count = 8
    hidden_act: Literal["quick_gelu"] = "quick_gelu"
    layer_norm_eps: Annotated[float, Field(ge=1e-5, le=1e-5)] = 1e-5
    architectures: Any = None  # these have no part in the states of a text
    attention_dropout: Any = None
    bos_token_id: Any = None
    dropout: Any = None
    dtype: Any = None
    eos_token_id: Any = None
    initializer_factor: Any = None
    initializer_range: Any = None
    pad_token_id: Any = None
    projection_dim: Any = None
    torch_dtype: Any = None
    transformers_version: Any = None


def read_text(folder: Path) -> Text:
    """Returns the fields of a folder. StorageError names each with a value that ours cannot have."""
    path = folder / "config.json"
    text = diffusers.read_fields(path, Text)
    checks = {
        "intermediate_size": text.intermediate_size == 4 * text.hidden_size,
        "num_attention_heads": text.hidden_size == HEAD * text.num_attention_heads,
    }
    diffusers.require(path, text, checks)
    return text


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a folder, by the names of its `layout`."""
    tensors = diffusers.weights_of(folder, WEIGHTS)
    return {name if name.startswith(PREFIX) else f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}


def write_text(folder: Path, net: CLIPText, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a folder of the text encoder that has these tensors."""
    (vocabulary, width), (length, _) = net.table.shape, net.positions.shape
    text = Text(
        model_type="clip_text_model",
        architectures=["CLIPTextModel"],
        vocab_size=vocabulary,
        max_position_embeddings=length,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=len(net.blocks),
        num_attention_heads=width // HEAD,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    diffusers.write_json(folder / "config.json", text.model_dump(exclude_none=True))
    (folder / WEIGHTS[0]).write_bytes(save({**tensors}, {"format": "pt"}))


def layout(net: CLIPText, prefix: str = PREFIX) -> Layout:
    """Returns the layout of CLIPTextModel, whose names begin with `prefix`."""
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
