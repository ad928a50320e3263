"""diffusers' folders: a config.json that names a class and has its fields, and weights beside it.

Each class that we can read has a file of its own. Its fields may have the values that ours can have; any other is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import save

from experiments.config.messages import problem_lines
from experiments.runtime.errors import StorageError
from experiments.weights.layout import Layout
from experiments.weights.tensors import LONGEST, read_tensors, unwrapped
from models.build import abstract

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

Zero = Annotated[float, Field(ge=0, le=0)]
One = Annotated[float, Field(ge=1, le=1)]
Millionth = Annotated[float, Field(ge=1e-6, le=1e-6)]


class Fields(BaseModel):
    """The fields of a file of theirs, with the values that we can honour and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Source(NamedTuple):
    """A folder's content: sections of our config by dotted keys, tensors and their layout, and the `shape` of an example.

    `of_codes`: it scores codes, and that is the shape of a code.
    """

    sections: dict[str, Any]
    shape: tuple[int, ...]
    tensors: dict[str, np.ndarray]
    layout: Layout
    of_codes: bool = False


Kinds = Mapping[str, Callable[[Path, Path], Source]]
"""read(folder, root) by the class that is in config.json, in the folder or in its unet/, the `root`."""


def holds_model(folder: Path) -> bool:
    """Returns whether the folder holds a model of diffusers."""
    return (folder / "model_index.json").is_file() or any(
        (folder / where / "config.json").is_file() and any((folder / where / name).is_file() for name in WEIGHTS)
        for where in ("", "unet")
    )


def read_folder(folder: Path, kinds: Kinds) -> Source:
    """Returns a folder's model. StorageError names each field with a value that ours cannot have."""
    root = folder / "unet" if (folder / "unet").is_dir() else folder
    return kinds[require_class(root / "config.json", kinds)](folder, root)


def content(path: Path) -> dict[str, Any]:
    """Returns the table that a file of theirs holds."""
    try:
        if (length := path.stat().st_size) > LONGEST:
            raise ValueError(f"it has {length} bytes, and at most {LONGEST} are read")
        table = json.loads(path.read_bytes())
        if not isinstance(table, dict):
            raise TypeError("it is not a table of fields")
        return table
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise StorageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def require_class(path: Path, names: Collection[str]) -> str:
    """Returns the class that a file configures. StorageError if it is none of the names."""
    name = content(path).get("_class_name")
    if name not in [*names]:
        raise refusal(path, [f"_class_name = {name!r}: it must be {' or '.join(names)}"])
    return name


def read_fields(path: Path, kind: type[Fields], defaults: Mapping[str, Any] | None = None) -> Any:
    """Returns a file's fields as `kind`. StorageError names each that it does not allow.

    `defaults`: values of fields that the file leaves out, if `kind` has none.
    """
    says = {**(defaults or {}), **{key: value for key, value in content(path).items() if not key.startswith("_")}}
    ours = {name: value for name, value in says.items() if name in kind.model_fields}
    problems = [f"{name} = {says[name]!r}: we know no such field" for name in says.keys() - ours.keys()]
    try:
        fields = kind.model_validate_json(json.dumps(ours))
    except ValidationError as error:
        fields, problems = None, [*problem_lines(error, kind), *sorted(problems)]
    if problems:
        raise refusal(path, problems)
    return fields


def network(path: Path, net: type[Any], options: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    """Returns the network that a file's fields ask for, with shapes in place of arrays. StorageError if it cannot be built."""
    try:
        return abstract(partial(net, **options), shape)
    except ValueError as error:
        raise refusal(path, [str(error)]) from error


def scheduler_file(folder: Path) -> Path:
    """Returns the file of the folder's scheduler. StorageError if it has none."""
    for where in ("scheduler", ""):
        if (path := folder / where / "scheduler_config.json").is_file():
            return path
    raise StorageError(f"{folder} has no scheduler_config.json, which says what noise the network was trained on")


def weights_of(root: Path, names: Sequence[str] = WEIGHTS) -> dict[str, np.ndarray]:
    """Returns the tensors of the first file of these names; those of attention from before diffusers 0.13 by newer names."""
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None:
        raise StorageError(f"{root} has none of {', '.join(names)}")
    newer = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    rename = lambda match: f"{match[1]}.{newer[match[2]]}."
    tensors = unwrapped(read_tensors(path))
    return {re.sub(r"(attentions\.\d+)\.(query|key|value|proj_attn)\.", rename, name): t for name, t in tensors.items()}


def require(path: Path, fields: Fields, checks: Mapping[str, bool]) -> None:
    """Raises StorageError with each field that is not right."""
    if wrong := [f"{name} = {getattr(fields, name)!r}" for name, right in checks.items() if not right]:
        raise refusal(path, wrong)


def require_met(what: str, needs: Mapping[str, bool]) -> None:
    """Raises StorageError with each need of an export that is not met; `what` is this run if they are."""
    if unmet := [need for need, met in needs.items() if not met]:
        raise StorageError([f"{what} this run with:", *unmet])


def refusal(path: Path, problems: Sequence[str]) -> StorageError:
    """Returns the error that names what a file asks for in vain."""
    return StorageError([f"{path} asks for what we have no equal of:", *(problem[:300] for problem in problems)])


def write_model(folder: Path, name: str, fields: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a model of the class of that name: config.json and weights."""
    write_json(folder / "config.json", {"_class_name": name, **fields})
    (folder / WEIGHTS[0]).write_bytes(save({**tensors}, {"format": "pt"}))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a file of theirs, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
