"""Our own form of a trained network: one file of data with its averaged parameters by their dotted paths and its whole config.

weights.safetensors has the config in its metadata; config.json beside it repeats that for a reader. If the config has `lora`,
the parameters are adapters, and the config has the digest of their base. If its data were standardised, two more tensors,
data/mean and data/std [C], say by what.
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
from experiments.config.tree import flatten as by_key
from experiments.config.tree import tree_from_json
from experiments.runtime.errors import StorageError
from experiments.runtime.files import replacing, write_text
from experiments.weights import layout as layouts
from experiments.weights.layout import Layout, flatten
from experiments.weights.tensors import LARGEST, LONGEST, MOST, read_safetensors

FILE = "weights.safetensors"
FORMAT = "onesde 1"
MOMENTS = ("data/mean", "data/std")
"""Tensors that are no parameters, whose paths have dots."""
Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""The mean and the standard deviation of each channel of the data."""
PATHS = ("data.data_dir", "evaluate.inception", "evaluate.statistics", "codec.run", "lora.run")
PATHS += ("codec.perceptual.run", "codec.perceptual.file", "teacher.run")
"""Keys of the writer's own folders and files. A reader has others, and opens none because a file says so."""


class Native(NamedTuple):
    """A file's `config` as a tree, and its `tensors` by dotted path.

    Of its data: the `shape` of an event, the digest, the names of the `classes`, if they have names, and the `moments` of each
    channel, if floats were standardised. `step`: of training.
    """

    config: dict[str, Any]
    shape: tuple[int, ...]
    tensors: dict[str, np.ndarray]
    step: int
    data: str | None
    classes: tuple[str, ...]
    moments: Moments | None = None


def write_weights(
    folder: Path,
    config: Config,
    params: Any,
    shape: tuple[int, ...],
    step: int = 0,
    data: str | None = None,
    classes: tuple[str, ...] = (),
    moments: Moments | None = None,
) -> None:
    """Writes the folder's weights.safetensors and config.json. The weights are there whole, or not at all."""
    of_data = {"shape": shape, "data": data, "classes": classes if sum(map(len, classes)) < LONGEST // 2 else ()}
    facts = {"config": config.model_dump(), "step": step, **of_data, "version": version("onesde")}
    metadata = {"format": FORMAT} | {key: json.dumps(value) for key, value in facts.items()}
    # In C order, because safetensors writes the bytes of another order under the same shape.
    tensors = {path: np.array(value, np.float32, order="C") for path, value in flatten(params).items()}
    tensors |= {name: np.array(values) for name, values in zip(MOMENTS, moments, strict=True)} if moments else {}
    with replacing(folder / FILE) as part:
        part.write_bytes(save(tensors, metadata))
    write_text(folder / "config.json", json.dumps(facts["config"], indent=2))


def read_weights(path: Path) -> Native:
    """Reads what `write_weights` wrote, from its folder or its file. StorageError says what is wrong with it."""
    path = path / FILE if path.is_dir() else path
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise StorageError(f"{path} is not one of ours, {FORMAT}: its format is {metadata.get('format')!r}")
    try:
        if (length := sum(map(len, metadata.values()))) > LONGEST:
            raise ValueError(f"its metadata have {length} characters, and at most {LONGEST} are read")
        config, shape, step, data = (json.loads(metadata[key]) for key in ("config", "shape", "step", "data"))
        classes = json.loads(metadata.get("classes", "[]"))  # of an earlier OneSDE there are none
        config = _without(tree_from_json(config), PATHS)
        mean, std = (tensors.pop(name, None) for name in MOMENTS)
        problems = schema_problems(config) or _problems(config, shape, step, data, classes, len(tensors))
        moments = None if problems or mean is None or std is None else _moments(mean, std, shape)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise StorageError(f"{path} has no config of ours: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if problems:
        raise StorageError([f"{path} has no config of ours:", *problems])
    return Native(config, tuple(shape), tensors, step, data, tuple(classes), moments)


def _moments(mean: np.ndarray, std: np.ndarray, shape: list[int]) -> Moments:
    """The mean and std of each channel of events of this shape. ValueError if they are of other channels, or not finite."""
    if not mean.shape == std.shape == tuple(shape[-1:]) or not np.isfinite([mean, std]).all() or (std < 0).any():
        raise ValueError(f"{' and '.join(MOMENTS)} are no moments of events of shape {shape}")
    return tuple(map(float, mean)), tuple(map(float, std))


def _without(tree: Any, keys: tuple[str, ...], prefix: str = "") -> Any:
    """Returns the tree without those dotted keys."""
    if not isinstance(tree, dict):
        return tree
    return {k: _without(below, keys, f"{prefix}{k}.") for k, below in tree.items() if f"{prefix}{k}" not in keys}


def _problems(config: dict[str, Any], shape: Any, step: Any, data: Any, classes: Any, tensors: int) -> list[str]:
    """Returns what is wrong with the rest of the metadata, and the counts in the config that would take all memory or time."""
    counts = {key: n for key, n in by_key(config).items() if key.startswith(("sde.", "net.", "times.", "conditioning."))}
    right = {
        f"shape = {shape!r}": all(type(side) is int and side > 0 for side in shape) and math.prod(shape) <= LARGEST,
        f"step = {step!r}": type(step) is int and step >= 0,
        f"data = {data!r}": data is None or isinstance(data, str),
        f"classes = {classes!r}": isinstance(classes, list) and all(isinstance(name, str) for name in classes),
    }
    # Each layer has a tensor: no more are made than the file can fill.
    most = {key: tensors if key in ("net.depth", "net.blocks") else MOST for key in counts}
    large = [f"{key} = {n}: it is at most {most[key]}" for key, n in counts.items() if type(n) is int and n > most[key]]
    return large + [fact[:300] for fact, fine in right.items() if not fine]


def fit(like: Any, tensors: layouts.Tensors, origin: str) -> Any:
    """Returns the tensors as a tree like `like`. StorageError names each that does not fit."""
    return layouts.from_published(like, Layout({path: path for path in flatten(like)}), tensors, origin)


def require_finite(like: Any, params: Any, origin: str) -> Any:
    """Returns the parameters in the dtypes of `like`. StorageError names those that are not finite."""
    if bad := [path for path, value in flatten(params).items() if not np.isfinite(np.asarray(value, np.float32)).all()]:
        raise StorageError([f"{origin}: {len(bad)} of its tensors are not finite:", *bad])
    return jax.tree.map(lambda wanted, value: np.asarray(value, wanted.dtype), like, params)
