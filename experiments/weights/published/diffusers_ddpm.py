"""diffusers' folders of a DDPM (google/ddpm-*): UNet2DModel as our DDPM, and the linear schedules as our table of betas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from flax import nnx
from pydantic import Field

from experiments.config.options import parameters
from experiments.config.schema import Config, Count
from experiments.runtime.errors import StorageError
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout
from experiments.weights.published import diffusers, diffusers_names, diffusers_pyramid, diffusers_schedule, diffusers_unet
from experiments.weights.published.diffusers import One
from experiments.weights.published.diffusers_names import ENDS, RULES
from experiments.weights.published.diffusers_schedule import Scheduler
from experiments.weights.published.diffusers_unet import UNET_DEFAULTS, FolderKind
from models.networks.ddpm import DDPM


class UNet(diffusers_unet.UNet):
    """The fields of a UNet2DModel that is our DDPM."""

    down_block_types: tuple[Literal["DownBlock2D", "AttnDownBlock2D"], ...]
    up_block_types: tuple[Literal["UpBlock2D", "AttnUpBlock2D"], ...]
    norm_num_groups: Count
    center_input_sample: Literal[False]
    time_embedding_type: Literal["positional"]
    freq_shift: One
    flip_sin_to_cos: Literal[False]
    mid_block_scale_factor: One
    downsample_padding: Annotated[int, Field(ge=0, le=0)]
    downsample_type: Literal["conv"]
    upsample_type: Literal["conv"]


def options(unet: UNet) -> dict[str, Any]:
    """Returns the network's options beside width and depth."""
    return {"attention_up": "block", "embedding": "positional"}


def alike(unet: UNet, net: DDPM) -> dict[str, bool]:
    """Returns whether the groups agree: ours are those of its widths, 32 of 128 channels and of their multiples."""
    return {"norm_num_groups": diffusers_pyramid.groups(net) == {unet.norm_num_groups}}


def layout(net: nnx.Module) -> Layout:
    """Returns the layout of UNet2DModel's tensors for our DDPM."""
    return Layout(diffusers_names.places(net, RULES | ENDS))


KIND = FolderKind(
    ("DDPMScheduler", "DDIMScheduler"), UNet, Scheduler, DDPM, options, alike, diffusers_schedule.sections, layout
)


def write_folder(folder: Path, config: Config, net: nnx.Module, params: Any, shape: tuple[int, ...]) -> None:
    """Writes our DDPM as a folder that diffusers' DDPMPipeline loads. StorageError says what diffusers has no equal of."""
    if not isinstance(net, DDPM):
        raise StorageError(f"diffusers' UNet2DModel is the network DDPM, not {config.net.name}: take --layout=native")
    option = {name: p.default for name, p in parameters(DDPM).items()} | config.net.options
    groups = diffusers_pyramid.groups(net)
    needs = diffusers_schedule.needs(config) | {
        "net.embedding = positional": option["embedding"] == "positional",
        "net.attention_up = block": option["attention_up"] == "block",
        "net.waves = ()": not net.waves,
        "an objective that learns no variance": net.last.kernel.shape[-1] == shape[-1],
        "no labels": net.labels is None,
        "no codec": config.codec is None,
        diffusers_pyramid.EVEN_GROUPS: len(groups) == 1,
    }
    diffusers.require_met("diffusers' UNet2DModel and DDPMScheduler are", needs)
    unet = UNET_DEFAULTS | {
        **diffusers_pyramid.resolutions(net.stages, "DownBlock2D", "UpBlock2D"),
        "in_channels": shape[-1],
        "out_channels": shape[-1],
        "layers_per_block": option["blocks"],
        "norm_num_groups": groups.pop(),
        "attention_head_dim": None,
        "dropout": option["dropout"],
        "freq_shift": 1,
        "flip_sin_to_cos": False,
        "downsample_padding": 0,
        "norm_eps": 1e-6,
    }
    names = layout(net)
    tensors = layouts.to_published(params, names, diffusers_names.shapes(params, names))
    scheduler = {"_class_name": "DDPMScheduler", **diffusers_schedule.fields(config)}
    scheduler |= {"variance_type": "fixed_large", "clip_sample": True}
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    diffusers.write_model(folder / "unet", "UNet2DModel", unet, tensors)
    diffusers.write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    diffusers.write_json(folder / "model_index.json", index)
