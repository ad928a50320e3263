"""diffusers' folders of a UNet2DModel: what those that we can read have in common. Each `FolderKind` has a file of its own.

A folder has config.json and weights, at its root or in unet/, and scheduler_config.json, at its root or in scheduler/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from experiments.config.schema import Count
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers
from experiments.weights.published.diffusers import Fields, Millionth, Source
from experiments.weights.published.diffusers_pyramid import Pyramid


class UNet(Pyramid):
    """The fields of UNet2DModel that every kind reads alike."""

    in_channels: Count
    out_channels: Count
    attention_head_dim: Count | None
    time_embedding_dim: Count | None
    dropout: Annotated[float, Field(ge=0, lt=1)]
    mid_block_type: Literal["UNetMidBlock2D"]
    act_fn: Literal["silu", "swish"]
    attn_norm_num_groups: None
    norm_eps: Millionth
    resnet_time_scale_shift: Literal["default"]
    add_attention: Literal[True]
    class_embed_type: None
    num_class_embeds: None
    num_train_timesteps: Any  # of a learned embedding


UNET_DEFAULTS = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 32,
    "attention_head_dim": 8,
    "time_embedding_dim": None,
    "dropout": 0.0,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "act_fn": "silu",
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
    "num_train_timesteps": None,
}
"""UNet2DModel's values for the fields that its config.json leaves out."""


class FolderKind(NamedTuple):
    """A kind of folder, which has one of these `schedulers`.

    `unet` and `scheduler` are the fields of its files. `net` is our network, and `options(unet)` its options beside width and
    depth. `alike(unet, net)` says of fields by name whether our network agrees with them. `sections(scheduler)` are sections of
    our config by dotted keys. `layout(net)` has the places of the tensors.
    """

    schedulers: tuple[str, ...]
    unet: type[UNet]
    scheduler: type[Fields]
    net: type[Any]
    options: Callable[[Any], dict[str, Any]]
    alike: Callable[[Any, Any], dict[str, bool]]
    sections: Callable[[Any], dict[str, Any]]
    layout: Callable[[Any], Layout]


def read(folder: Path, root: Path, kinds: Sequence[FolderKind]) -> Source:
    """Returns the model of the kind that has the folder's scheduler."""
    model, schedule = root / "config.json", diffusers.scheduler_file(folder)
    name = diffusers.require_class(schedule, [name for kind in kinds for name in kind.schedulers])
    kind = next(kind for kind in kinds if name in kind.schedulers)
    scheduler = diffusers.read_fields(schedule, kind.scheduler)
    unet = diffusers.read_fields(model, kind.unet, UNET_DEFAULTS)

    diffusers.require(model, unet, _even(unet))
    shape = (*unet.sides, unet.in_channels)
    options = unet.options | {"dropout": unet.dropout} | kind.options(unet)
    net = diffusers.network(model, kind.net, options, shape)
    diffusers.require(model, unet, kind.alike(unet, net))
    sections = {"net": {"name": kind.net.__name__, **options}, "scale_input": False} | kind.sections(scheduler)
    return Source(sections, shape, diffusers.weights_of(root), kind.layout(net))


def _even(unet: UNet) -> dict[str, bool]:
    """Returns whether each field fits a U-Net of ours: one image in and out, and one head."""
    width, *_ = channels = unet.block_out_channels
    attending = {n for n, attends in zip(channels, unet.attends, strict=False) if attends} | {channels[-1]}
    return unet.even(unet.in_channels) | {
        "out_channels": unet.out_channels == unet.in_channels,
        "attention_head_dim": unet.attention_head_dim is None or attending == {unet.attention_head_dim},
        "time_embedding_dim": unet.time_embedding_dim in (None, 4 * width),
    }
