"""diffusers' folders of a DDPM (google/ddpm-*): UNet2DModel as our DDPM, and the linear schedules as our table of betas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from flax import nnx
from pydantic import Field
from safetensors.numpy import save

from experiments.config.options import parameters
from experiments.config.schema import Config, Count
from experiments.runtime.errors import StorageError
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout, flatten
from experiments.weights.published import diffusers
from experiments.weights.published.diffusers import ENDS, RULES, UNET_DEFAULTS, WEIGHTS, Fields, FolderKind
from experiments.weights.tensors import MOST
from models.layers.norm import GroupNorm
from models.networks.ddpm import DDPM
from sde_lib import ddpm_table

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
POWERS = {"linear": 1.0, "scaled_linear": 2.0}

One = Annotated[float, Field(ge=1, le=1)]


class UNet(diffusers.UNet):
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


class Scheduler(Fields):
    """The fields of DDPMScheduler and DDIMScheduler that are the model's. How to sample is for a sampler to say."""

    num_train_timesteps: Annotated[int, Field(ge=2, le=MOST)] = 1000
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.0001
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    beta_schedule: Literal["linear", "scaled_linear"] = "linear"
    trained_betas: None = None
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    rescale_betas_zero_snr: Literal[False] = False
    variance_type: Literal["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"] = "fixed_small"
    clip_sample: Any = None
    clip_sample_range: Any = None
    thresholding: Any = None
    dynamic_thresholding_ratio: Any = None
    sample_max_value: Any = None
    timestep_spacing: Any = None
    steps_offset: Any = None
    set_alpha_to_one: Any = None
    timestep_values: None = None  # of diffusers before 0.3, as the next
    tensor_format: Any = None


def options(unet: UNet) -> dict[str, Any]:
    """Returns the network's options beside width and depth."""
    return {"attention_up": "block", "embedding": "positional"}


def alike(unet: UNet, net: DDPM) -> dict[str, bool]:
    """Returns whether the groups agree: ours are those of its widths, 32 of 128 channels and of their multiples."""
    return {"norm_num_groups": _groups(net) == {unet.norm_num_groups}}


def sections(scheduler: Scheduler) -> dict[str, Any]:
    """Returns the sections for the schedule's noise and for what the network predicts of it."""
    n = scheduler.num_train_timesteps
    betas = {"beta_1": scheduler.beta_start, "beta_n": scheduler.beta_end, "power": POWERS[scheduler.beta_schedule]}
    return {
        "sde": {"name": "ddpm_table", "n": n, **betas},
        "parameterization": PREDICTIONS[scheduler.prediction_type],
        "sigma_data": 1.0,
        "conditioning": {"name": "index", "n": n},
        "data.range": "symmetric",  # from which DDPMPipeline makes its images
        "times": {"name": "discrete", "n": n},
    }


def layout(net: nnx.Module) -> Layout:
    """Returns the layout of UNet2DModel's tensors for our DDPM."""
    return Layout(diffusers.places(net, RULES | ENDS))


KIND = FolderKind(("DDPMScheduler", "DDIMScheduler"), UNet, Scheduler, DDPM, options, alike, sections, layout)


def write_folder(folder: Path, config: Config, net: nnx.Module, params: Any, shape: tuple[int, ...]) -> None:
    """Writes our DDPM as a folder that diffusers' DDPMPipeline loads. StorageError says what diffusers has no equal of."""
    if not isinstance(net, DDPM):
        raise StorageError(f"diffusers' UNet2DModel is the network DDPM, not {config.net.name}: take --layout=native")
    table = {name: p.default for name, p in parameters(ddpm_table).items()} | config.sde.options
    option = {name: p.default for name, p in parameters(DDPM).items()} | config.net.options
    groups = _groups(net)
    heard = config.conditioning.model_dump() if config.conditioning else {}
    schedules, predictions = ({ours: theirs for theirs, ours in names.items()} for names in (POWERS, PREDICTIONS))
    needs = {
        "sde.name = ddpm_table": config.sde.name == "ddpm_table",
        "sde.power = 1 or 2": table.get("power") in schedules,
        "parameterization = eps, v or x0": config.parameterization in predictions,
        "conditioning = index with sde's n": {"n": 1000} | heard == {"name": "index", "n": table.get("n")},
        "scale_input = False, or sigma_data = 1": not config.scale_input or config.sigma_data == 1,
        "data.range = symmetric": config.data.range == "symmetric",
        "net.embedding = positional": option["embedding"] == "positional",
        "net.attention_up = block": option["attention_up"] == "block",
        "net.waves = ()": not net.waves,
        "an objective that learns no variance": net.last.kernel.shape[-1] == shape[-1],
        "no labels": net.labels is None,
        "as many groups in every normalisation (widths of 128 and its multiples have 32)": len(groups) == 1,
    }
    if unmet := [need for need, met in needs.items() if not met]:
        raise StorageError(["diffusers' UNet2DModel and DDPMScheduler are this run with:", *unmet])
    attended = [stage.attention for stage in net.stages]
    unet = UNET_DEFAULTS | {
        "_class_name": "UNet2DModel",
        "sample_size": shape[0] if shape[0] == shape[1] else shape[:2],
        "in_channels": shape[-1],
        "out_channels": shape[-1],
        "block_out_channels": [stage.channels for stage in net.stages],
        "layers_per_block": option["blocks"],
        "down_block_types": ["AttnDownBlock2D" if attends else "DownBlock2D" for attends in attended],
        "up_block_types": ["AttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attended)],
        "norm_num_groups": groups.pop(),
        "attention_head_dim": None,
        "dropout": option["dropout"],
        "freq_shift": 1,
        "flip_sin_to_cos": False,
        "downsample_padding": 0,
        "norm_eps": 1e-6,
    }
    scheduler = {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": table["n"],
        "beta_start": table["beta_1"],
        "beta_end": table["beta_n"],
        "beta_schedule": schedules[table["power"]],
        "prediction_type": predictions[config.parameterization],
        "variance_type": "fixed_large",
        "clip_sample": True,
    }
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    tensors = layouts.to_published(params, layout(net), _shapes(params, net))
    for name, content in (("unet/config", unet), ("scheduler/scheduler_config", scheduler), ("model_index", index)):
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")
    (folder / "unet" / WEIGHTS[0]).write_bytes(save(tensors, {"format": "pt"}))


def _groups(net: nnx.Module) -> set[int]:
    return {module.groups for _, module in nnx.iter_modules(net) if isinstance(module, GroupNorm)}


def _shapes(params: Any, net: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of UNet2DModel's tensors: outputs, inputs, and the two sides of a convolution, as its shortcut is."""
    places, shapes = layout(net).places, {}
    for path, value in flatten(params).items():
        module, _, leaf = path.rpartition(".")
        ones = (1, 1) if module.endswith("skip") else ()
        shape = (*value.shape[:-3:-1], *(value.shape[:-2] or ones)) if leaf == "kernel" else value.shape
        shapes[f"{places[module]}.{'bias' if leaf == 'bias' else 'weight'}"] = shape
    return shapes
