"""diffusers' folders of a DDPM: UNet2DModel as our DDPM network, and the linear schedules as our table of betas.

A folder is config.json and its weights, at its root or in unet/, and scheduler_config.json, at its root or in scheduler/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from flax import nnx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import save

from experiments.bridge import layout as layouts
from experiments.bridge.files import read_tensors
from experiments.bridge.layout import Layout, flat
from experiments.config import described
from experiments.errors import StorageError
from experiments.parts import parameters
from experiments.schema import Config, Count
from models.ddpm import DDPM
from models.norm import GroupNorm
from sde_lib import ddpm_table

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}

One = Annotated[float, Field(ge=1, le=1)]
Millionth = Annotated[float, Field(ge=1e-6, le=1e-6)]


class _Fields(BaseModel):
    """The fields of a file of theirs, of which each value that we can honour is allowed and no other."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class UNet(_Fields):
    """What of UNet2DModel is our DDPM."""

    sample_size: Count | tuple[Count, Count]
    in_channels: Count
    out_channels: Count
    block_out_channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    layers_per_block: Count
    down_block_types: tuple[Literal["DownBlock2D", "AttnDownBlock2D"], ...]
    up_block_types: tuple[Literal["UpBlock2D", "AttnUpBlock2D"], ...]
    norm_num_groups: Count
    attention_head_dim: Count | None
    time_embedding_dim: Count | None
    dropout: Annotated[float, Field(ge=0, lt=1)]
    center_input_sample: Literal[False]
    time_embedding_type: Literal["positional"]
    freq_shift: One
    flip_sin_to_cos: Literal[False]
    mid_block_type: Literal["UNetMidBlock2D"]
    mid_block_scale_factor: One
    downsample_padding: Annotated[int, Field(ge=0, le=0)]
    downsample_type: Literal["conv"]
    upsample_type: Literal["conv"]
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
"""What UNet2DModel takes for a field that its config.json leaves out."""


class Scheduler(_Fields):
    """What of DDPMScheduler and DDIMScheduler is the model's; how they sample is a sampler's to say, and not taken over."""

    num_train_timesteps: Annotated[int, Field(ge=2)] = 1000
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


class Source(NamedTuple):
    """What a folder says: the sections of our config that it decides, the shape of an image, and its tensors."""

    sections: dict[str, Any]
    shape: tuple[int, ...]
    tensors: dict[str, np.ndarray]


def found(folder: Path) -> bool:
    """Whether the folder holds a model of diffusers."""
    return (folder / "model_index.json").is_file() or any(
        (folder / where / "config.json").is_file() and any((folder / where / name).is_file() for name in WEIGHTS)
        for where in ("", "unet")
    )


def read(folder: Path) -> Source:
    """A folder's model. StorageError names each field and its value that our network and schedule have no equal of."""
    root = folder / "unet" if (folder / "unet").is_dir() else folder
    schedules = [path for where in ("scheduler", "") if (path := folder / where / "scheduler_config.json").is_file()]
    if not schedules:
        raise StorageError(f"{folder} has no scheduler_config.json, which says what noise the network was trained on")
    scheduler, unet = _fields(Scheduler, schedules[0], {}), _fields(UNet, root / "config.json", UNET_DEFAULTS)
    weights = next((root / name for name in WEIGHTS if (root / name).is_file()), None)
    if weights is None:
        raise StorageError(f"{root} has none of {', '.join(WEIGHTS)}")
    net, shape = _net(unet, root / "config.json")
    n = scheduler.num_train_timesteps
    sections = {
        "net": net,
        "sde": {
            "name": "ddpm_table",
            "n": n,
            "beta_1": scheduler.beta_start,
            "beta_n": scheduler.beta_end,
            "power": {"linear": 1.0, "scaled_linear": 2.0}[scheduler.beta_schedule],
        },
        "parameterization": PREDICTIONS[scheduler.prediction_type],
        "sigma_data": 1.0,
        "conditioning": {"name": "index", "n": n},
        "scale_input": False,
        "times": {"name": "discrete", "n": n},
    }
    return Source(sections, shape, _renamed(read_tensors(weights)))


def write(folder: Path, config: Config, net: nnx.Module, params: Any, shape: tuple[int, ...]) -> None:
    """Our DDPM as a folder that diffusers' DDPMPipeline loads. StorageError says what diffusers has no equal of."""
    if not isinstance(net, DDPM):
        raise StorageError(f"diffusers' UNet2DModel is the network DDPM, not {config.net.name}: take --layout=native")
    table = {name: p.default for name, p in parameters(ddpm_table).items()} | config.sde.options
    option = {name: p.default for name, p in parameters(DDPM).items()} | config.net.options
    groups = {module.groups for _, module in nnx.iter_modules(net) if isinstance(module, GroupNorm)}
    heard = config.conditioning.model_dump() if config.conditioning else {}
    schedules = {1.0: "linear", 2.0: "scaled_linear"}
    predictions = {ours: theirs for theirs, ours in PREDICTIONS.items()}
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
    tensors = layouts.write(params, layout(net), _shapes(params, net))
    for name, content in (("unet/config", unet), ("scheduler/scheduler_config", scheduler), ("model_index", index)):
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")
    (folder / "unet" / WEIGHTS[0]).write_bytes(save(tensors, {"format": "pt"}))


RESIDUAL = {"noise": "time_emb_proj", "skip": "conv_shortcut"}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
MODULES = (
    (r"dense(1|2)", lambda m: f"time_embedding.linear_{m[1]}"),
    (r"first", lambda m: "conv_in"),
    (r"(down|up)\.(\d+)\.(\d+)\.block\.(\w+)", lambda m: f"{m[1]}_blocks.{m[2]}.resnets.{m[3]}.{RESIDUAL.get(m[4], m[4])}"),
    (r"(down|up)\.(\d+)\.(\d+)\.attention\.(\w+)", lambda m: f"{m[1]}_blocks.{m[2]}.attentions.{m[3]}.{ATTENTION[m[4]]}"),
    (r"shrink\.(\d+)", lambda m: f"down_blocks.{m[1]}.downsamplers.0.conv"),
    (r"grow\.(\d+)", lambda m: f"up_blocks.{m[1]}.upsamplers.0.conv"),
    (r"middle1\.block\.(\w+)", lambda m: f"mid_block.resnets.0.{RESIDUAL.get(m[1], m[1])}"),
    (r"middle1\.attention\.(\w+)", lambda m: f"mid_block.attentions.0.{ATTENTION[m[1]]}"),
    (r"middle2\.(\w+)", lambda m: f"mid_block.resnets.1.{RESIDUAL.get(m[1], m[1])}"),
    (r"norm", lambda m: "conv_norm_out"),
    (r"last", lambda m: "conv_out"),
)
"""Our modules, and what they are called there."""


def layout(net: nnx.Module) -> Layout:
    """Where the parameters of our DDPM stand in UNet2DModel's tensors."""
    modules = {path.rpartition(".")[0] for path in flat(nnx.to_pure_dict(nnx.state(net, nnx.Param)))}
    places = {ours: name(match) for ours in modules for rule, name in MODULES if (match := re.fullmatch(rule, ours))}
    return Layout(places)


def _shapes(params: Any, net: nnx.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of UNet2DModel's tensors: outputs, inputs, and the two sides of a convolution, which its shortcut is too."""
    places, shapes = layout(net).places, {}
    for path, value in flat(params).items():
        module, _, leaf = path.rpartition(".")
        ones = (1, 1) if module.endswith("skip") else ()
        shape = (*value.shape[:-3:-1], *(value.shape[:-2] or ones)) if leaf == "kernel" else value.shape
        shapes[f"{places[module]}.{'bias' if leaf == 'bias' else 'weight'}"] = shape
    return shapes


def _fields(kind: type[Any], path: Path, defaults: dict[str, Any]) -> Any:
    """A file's fields as `kind`. StorageError names each that it does not allow."""
    names = {"UNet": ("UNet2DModel",), "Scheduler": ("DDPMScheduler", "DDIMScheduler")}[kind.__name__]
    try:
        content = json.loads(path.read_text())
        name, said = content.get("_class_name"), {key: v for key, v in content.items() if not key.startswith("_")}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise StorageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    problems = [] if name in names else [f"_class_name = {name!r}: it must be {' or '.join(names)}"]
    try:
        fields = kind.model_validate_json(json.dumps(defaults | said))
    except ValidationError as error:
        fields, problems = None, problems + list(described(error, kind))
    if problems:
        raise StorageError([f"{path} asks for what we have no equal of:", *problems])
    return fields


def _net(unet: UNet, path: Path) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Our section `net`, and the shape of an image."""
    width, *_ = channels = unet.block_out_channels
    down = [kind.startswith("Attn") for kind in unet.down_block_types]
    height, breadth = unet.sample_size if isinstance(unet.sample_size, tuple) else (unet.sample_size,) * 2
    shape = (height, breadth, unet.in_channels)
    attending = {n for n, attends in zip(channels, down, strict=False) if attends} | {channels[-1]}
    checks = {
        "out_channels": unet.out_channels == unet.in_channels,
        "block_out_channels": all(n % width == 0 for n in channels) and len(down) == len(channels),
        "up_block_types": [kind.startswith("Attn") for kind in unet.up_block_types] == down[::-1],
        "attention_head_dim": unet.attention_head_dim is None or attending == {unet.attention_head_dim},
        "time_embedding_dim": unet.time_embedding_dim in (None, 4 * width),
        "sample_size": not any(side % 2 ** (len(channels) - 1) for side in shape[:2]),
    }
    if wrong := [f"{name} = {getattr(unet, name)!r}" for name, right in checks.items() if not right]:
        raise StorageError([f"{path} asks for what we have no equal of:", *wrong])
    options = {
        "width": width,
        "multipliers": tuple(n // width for n in channels),
        "blocks": unet.layers_per_block,
        "attention": tuple(height // 2**i for i, attends in enumerate(down) if attends),
        "attention_up": "block",
        "dropout": unet.dropout,
        "embedding": "positional",
    }
    net = nnx.eval_shape(lambda: DDPM(shape, **options, rngs=nnx.Rngs(0)))
    groups = {module.groups for _, module in nnx.iter_modules(net) if isinstance(module, GroupNorm)}
    if groups != {unet.norm_num_groups}:
        have = ", ".join(map(str, sorted(groups)))
        raise StorageError(f"{path}: norm_num_groups = {unet.norm_num_groups}, where our widths have {have}")
    return {"name": "DDPM", **options}, shape


def _renamed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors, those of attention from before diffusers 0.13 by their newer names."""
    newer = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    rename = lambda match: f"{match[1]}.{newer[match[2]]}."
    return {re.sub(r"(attentions\.\d+)\.(query|key|value|proj_attn)\.", rename, name): t for name, t in tensors.items()}
