"""diffusers' folders of a UNet2DModel: what those that we can read have in common. Each `FolderKind` has a file of its own.

A folder has config.json and weights, at its root or in unet/, and scheduler_config.json, at its root or in scheduler/. The
fields of the two files may have the values that ours can have; any other is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from flax import nnx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experiments.config.messages import problem_lines
from experiments.config.schema import Count
from experiments.runtime.errors import StorageError
from experiments.weights.layout import Layout, flatten
from experiments.weights.tensors import LARGEST, LONGEST, read_tensors, unwrapped
from models.build import abstract

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

Millionth = Annotated[float, Field(ge=1e-6, le=1e-6)]


class Fields(BaseModel):
    """The fields of a file of theirs, with the values that we can honour and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class UNet(Fields):
    """The fields of UNet2DModel that every kind reads alike."""

    sample_size: Count | tuple[Count, Count]
    in_channels: Count
    out_channels: Count
    block_out_channels: Annotated[tuple[Annotated[int, Field(ge=1, le=2**16)], ...], Field(min_length=1, max_length=16)]
    layers_per_block: Annotated[int, Field(ge=1, le=64)]
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]
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


class Source(NamedTuple):
    """A folder's content: sections of our config by dotted keys, the shape of an image, tensors, and the layout of a net."""

    sections: dict[str, Any]
    shape: tuple[int, ...]
    tensors: dict[str, np.ndarray]
    net: type[Any]
    layout: Callable[[Any], Layout]


def holds_model(folder: Path) -> bool:
    """Returns whether the folder holds a model of diffusers."""
    return (folder / "model_index.json").is_file() or any(
        (folder / where / "config.json").is_file() and any((folder / where / name).is_file() for name in WEIGHTS)
        for where in ("", "unet")
    )


def read_folder(folder: Path, kinds: Sequence[FolderKind]) -> Source:
    """Returns a folder's model. StorageError names each field with a value that ours cannot have."""
    root = folder / "unet" if (folder / "unet").is_dir() else folder
    schedules = [path for where in ("scheduler", "") if (path := folder / where / "scheduler_config.json").is_file()]
    if not schedules:
        raise StorageError(f"{folder} has no scheduler_config.json, which says what noise the network was trained on")
    schedule, model = schedules[0], root / "config.json"
    name, scheduler_says = _content(schedule)
    kind = next((kind for kind in kinds if name in kind.schedulers), None)
    if kind is None:
        names = " or ".join(name for kind in kinds for name in kind.schedulers)
        raise _refusal(schedule, [f"_class_name = {name!r}: it must be {names}"])
    name, unet_says = _content(model)
    if name != "UNet2DModel":
        raise _refusal(model, [f"_class_name = {name!r}: it must be UNet2DModel"])
    scheduler, unet = _fields(kind.scheduler, schedule, scheduler_says), _fields(kind.unet, model, UNET_DEFAULTS | unet_says)
    weights = next((root / name for name in WEIGHTS if (root / name).is_file()), None)
    if weights is None:
        raise StorageError(f"{root} has none of {', '.join(WEIGHTS)}")

    _agree(model, unet, _even(unet))
    shape = (*_sides(unet), unet.in_channels)
    options = _pyramid(unet, shape[0]) | kind.options(unet)
    _agree(model, unet, kind.alike(unet, abstract(partial(kind.net, **options), shape)))
    sections = {"net": {"name": kind.net.__name__, **options}, "scale_input": False} | kind.sections(scheduler)
    return Source(sections, shape, _renamed(unwrapped(read_tensors(weights))), kind.net, kind.layout)


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


def places(net: nnx.Module, rules: Mapping[str, str]) -> dict[str, str]:
    """Returns the place of each module of ours, by the last rule for it or for the block that it is a part of."""
    names = {}
    for ours in {path.rpartition(".")[0] for path in flatten(nnx.to_pure_dict(nnx.state(net, nnx.Param)))}:
        for rule, theirs in rules.items():
            if match := re.fullmatch(rf"{rule}(?:\.(?P<part>\w+))?", ours):
                part = match["part"]
                names[ours] = match.expand(theirs) + (f".{PARTS.get(part, part)}" if part else "")
    return names


def _content(path: Path) -> tuple[Any, dict[str, Any]]:
    """Returns the class that a file configures, and the fields."""
    try:
        if (length := path.stat().st_size) > LONGEST:
            raise ValueError(f"it has {length} bytes, and at most {LONGEST} are read")
        content = json.loads(path.read_bytes())
        return content.get("_class_name"), {key: value for key, value in content.items() if not key.startswith("_")}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise StorageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _fields(kind: type[Fields], path: Path, says: dict[str, Any]) -> Any:
    """Returns a file's fields as `kind`. StorageError names each that it does not allow."""
    ours = {name: value for name, value in says.items() if name in kind.model_fields}
    problems = [f"{name} = {says[name]!r}: we know no such field" for name in says.keys() - ours.keys()]
    try:
        fields = kind.model_validate_json(json.dumps(ours))
    except ValidationError as error:
        fields, problems = None, [*problem_lines(error, kind), *sorted(problems)]
    if problems:
        raise _refusal(path, problems)
    return fields


def _agree(path: Path, unet: UNet, checks: Mapping[str, bool]) -> None:
    """Raises StorageError with each field that is not right."""
    if wrong := [f"{name} = {getattr(unet, name)!r}" for name, right in checks.items() if not right]:
        raise _refusal(path, wrong)


def _refusal(path: Path, problems: list[str]) -> StorageError:
    return StorageError([f"{path} asks for what we have no equal of:", *(problem[:300] for problem in problems)])


def _attends(blocks: tuple[str, ...]) -> list[bool]:
    return [block.startswith("Attn") for block in blocks]


def _even(unet: UNet) -> dict[str, bool]:
    """Returns whether each field fits a U-Net of ours: one image in and out, widths in multiples, and one head."""
    width, *_ = channels = unet.block_out_channels
    down = _attends(unet.down_block_types)
    attending = {n for n, attends in zip(channels, down, strict=False) if attends} | {channels[-1]}
    sides = _sides(unet)
    return {
        "out_channels": unet.out_channels == unet.in_channels,
        "block_out_channels": all(n % width == 0 for n in channels) and len(down) == len(channels),
        "up_block_types": _attends(unet.up_block_types) == down[::-1],
        "attention_head_dim": unet.attention_head_dim is None or attending == {unet.attention_head_dim},
        "time_embedding_dim": unet.time_embedding_dim in (None, 4 * width),
        "sample_size": not any(side % 2 ** (len(channels) - 1) for side in sides)
        and math.prod(sides) * unet.in_channels <= LARGEST,
    }


def _sides(unet: UNet) -> tuple[int, ...]:
    """Returns an image's height and width."""
    return unet.sample_size if isinstance(unet.sample_size, tuple) else (unet.sample_size,) * 2


def _pyramid(unet: UNet, height: int) -> dict[str, Any]:
    """Returns the options of a U-Net's width and depth."""
    width, *_ = channels = unet.block_out_channels
    return {
        "width": width,
        "multipliers": tuple(n // width for n in channels),
        "blocks": unet.layers_per_block,
        "attention": tuple(height // 2**i for i, attends in enumerate(_attends(unet.down_block_types)) if attends),
        "dropout": unet.dropout,
    }


def _renamed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors; those of attention from before diffusers 0.13 have their newer names."""
    newer = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    rename = lambda match: f"{match[1]}.{newer[match[2]]}."
    return {re.sub(r"(attentions\.\d+)\.(query|key|value|proj_attn)\.", rename, name): t for name, t in tensors.items()}
