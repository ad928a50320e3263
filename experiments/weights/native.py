"""Our own form of a trained network: its averaged parameters by their dotted paths, and its whole config, as one file of data.

weights.safetensors carries the config in its metadata, and config.json beside it says the same to a reader. Where the config
has `lora` the parameters are adapters, whose base is known by its digest.
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors.numpy import save

from experiments.config.messages import schema_problems
from experiments.config.schema import Config
from experiments.config.tree import tree_from_json
from experiments.runtime.errors import StorageError
from experiments.runtime.files import replacing, write_text
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout, flatten
from experiments.weights.tensors import LARGEST, LONGEST, MOST, read_safetensors

FILE = "weights.safetensors"
FORMAT = "onesde 1"
PATHS = ("data.data_dir", "evaluate.inception", "evaluate.statistics", "lora.run")
"""Keys of folders and files of whoever wrote the config: a reader has others, and opens none on a file's word."""


class Native(NamedTuple):
    """`config` as a tree; `shape` of an event; `tensors` by dotted path, after `step` steps on the data of that digest."""

    config: dict[str, Any]
    shape: tuple[int, ...]
    tensors: dict[str, np.ndarray]
    step: int
    data: str | None


def write(folder: Path, config: Config, params: Any, shape: tuple[int, ...], step: int = 0, data: str | None = None) -> None:
    """The folder's weights.safetensors and config.json; the weights are there whole, or not at all."""
    said = {"config": config.model_dump(), "shape": shape, "step": step, "data": data, "version": version("onesde")}
    metadata = {"format": FORMAT} | {key: json.dumps(value) for key, value in said.items()}
    with replacing(folder / FILE) as part:
        # In C order: safetensors writes another order's bytes under the same shape.
        part.write_bytes(
            save({path: np.array(value, np.float32, order="C") for path, value in flatten(params).items()}, metadata)
        )
    write_text(folder / "config.json", json.dumps(said["config"], indent=2))


def read(path: Path) -> Native:
    """What `write` wrote, from its folder or its file. StorageError says what is not as it was written."""
    path = path / FILE if path.is_dir() else path
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise StorageError(f"{path} is not one of ours, {FORMAT}: its format is {metadata.get('format')!r}")
    try:
        if (length := sum(map(len, metadata.values()))) > LONGEST:
            raise ValueError(f"its metadata have {length} characters, and at most {LONGEST} are read")
        config, shape, step, data = (json.loads(metadata[key]) for key in ("config", "shape", "step", "data"))
        config = _without(tree_from_json(config), PATHS)
        problems = schema_problems(config) or _problems(config, shape, step, data, len(tensors))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise StorageError(f"{path} has no config of ours: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if problems:
        raise StorageError([f"{path} has no config of ours:", *problems])
    return Native(config, tuple(shape), tensors, step, data)


def _without(tree: Any, keys: tuple[str, ...], prefix: str = "") -> Any:
    """The tree without those dotted keys."""
    if not isinstance(tree, dict):
        return tree
    return {k: _without(below, keys, f"{prefix}{k}.") for k, below in tree.items() if f"{prefix}{k}" not in keys}


def _problems(config: dict[str, Any], shape: Any, step: Any, data: Any, tensors: int) -> list[str]:
    """What is wrong with the rest of the metadata, and what of the config would fill the memory or take for ever."""
    counts = {key: n for key, n in flatten(config).items() if key.startswith(("sde.", "net.", "times.", "conditioning."))}
    right = {
        f"shape = {shape!r}": all(type(side) is int and side > 0 for side in shape) and math.prod(shape) <= LARGEST,
        f"step = {step!r}": type(step) is int and step >= 0,
        f"data = {data!r}": data is None or isinstance(data, str),
    }
    # Each layer has a tensor: no more are made than the file can fill.
    most = {key: tensors if key in ("net.depth", "net.blocks") else MOST for key in counts}
    large = [f"{key} = {n}: it is at most {most[key]}" for key, n in counts.items() if type(n) is int and n > most[key]]
    return large + [said[:300] for said, fine in right.items() if not fine]


def fitted(like: Any, tensors: layouts.Tensors, origin: str) -> Any:
    """The tensors as a tree like `like`. StorageError names each that does not fit."""
    return layouts.read(like, Layout({path: path for path in flatten(like)}), tensors, origin)


def sound(like: Any, params: Any, origin: str) -> Any:
    """The parameters in the dtypes of `like`. StorageError names those that are not finite."""
    if bad := [path for path, value in flatten(params).items() if not np.isfinite(np.asarray(value, np.float32)).all()]:
        raise StorageError([f"{origin}: {len(bad)} of its tensors are not finite:", *bad])
    return jax.tree.map(lambda wanted, value: np.asarray(value, wanted.dtype), like, params)
