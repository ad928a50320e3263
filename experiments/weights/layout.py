"""A layout names the place of each of our parameters in a published file; reading and writing follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.runtime.errors import StorageError

Tensors = Mapping[str, np.ndarray]

LEAVES = {
    "kernel": ("weight", "W", "kernel"),
    "bias": ("bias", "b"),
    "scale": ("weight", "scale"),
    "table": ("weight", "embedding"),
    "frequencies": ("weight", "W"),
}
"""The names that others have for our leaves. Any other leaf has one name."""


def flatten(params: Any) -> dict[str, Any]:
    """Returns the leaves of a tree of parameters by their dotted paths; a part of it without any, as (), has none."""
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in jax.tree.leaves_with_path(params)}


class Part(NamedTuple):
    """Outputs `order` of the tensors called `name`: ours[..., i] = theirs[..., order[i]], theirs with its outputs last."""

    name: str
    order: Sequence[int]


class Layout(NamedTuple):
    """The `places` of our modules ("down.0.1.block.conv1") or single parameters ("positions") in a published file.

    `ignored` is a regular expression for published tensors that are no parameters of ours. `copies` is one for those that
    repeat another tensor, and the replacement that names that one.
    """

    places: Mapping[str, str | Part]
    ignored: str = r"(?!)"
    copies: tuple[str, str] = (r"(?!)", "")


class _Slot(NamedTuple):
    ours: str
    shape: tuple[int, ...]
    theirs: str
    order: Sequence[int] | None


def from_published(like: Any, layout: Layout, tensors: Tensors, origin: str) -> Any:
    """Returns the published tensors as a tree like `like` (arrays or their shapes).

    StorageError names each parameter without a tensor, each tensor of another shape, and each tensor without a parameter.
    """
    problems, leaves, used = [], {}, set()
    for slot in _slots(like, layout, tensors):
        if slot.theirs not in tensors:
            problems.append(f"no tensor {slot.theirs} for our {slot.ours}")
            continue
        used.add(slot.theirs)
        value = _ours(tensors[slot.theirs], slot)
        if value.shape != slot.shape:
            problems.append(f"{slot.theirs} {tensors[slot.theirs].shape} does not fit our {slot.ours} {slot.shape}")
        leaves[slot.ours] = value
    for name in sorted(tensors.keys() - used):
        first = re.sub(*layout.copies, name)
        if first != name and first in used:
            if not np.array_equal(tensors[name], tensors[first]):
                problems.append(f"tensor {name} is no copy of {first}, which is read in its place")
        elif not re.search(layout.ignored, name):
            problems.append(f"tensor {name} {tensors[name].shape} has no place")
    if problems:
        raise StorageError([f"{origin} does not fit the network: {len(problems)} of its tensors or ours", *problems])
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[path] for path in flatten(like)])


def to_published(params: Any, layout: Layout, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Returns our parameters as the published tensors of these `shapes`, without the ignored: `from_published` backwards.

    StorageError names the tensors that no parameter fills.
    """
    wanted = {name: shape for name, shape in shapes.items() if not re.search(f"{layout.ignored}|{layout.copies[0]}", name)}
    values, written = flatten(params), {name: np.full(shape, np.nan, np.float32) for name, shape in wanted.items()}
    for slot in _slots(params, layout, written):
        theirs = written[slot.theirs]
        target = _outputs_last(theirs, slot)
        value = np.asarray(values[slot.ours]).reshape(target.shape if slot.order is None else (*target.shape[:-1], -1))
        if slot.order is None:
            target[...] = value
        else:
            target[..., list(slot.order)] = value
    if unwritten := [name for name, value in written.items() if np.isnan(value).any()]:
        raise StorageError([f"{len(unwritten)} tensors of the layout have no parameter of ours:", *unwritten])
    return written


def _slots(like: Any, layout: Layout, theirs: Tensors) -> list[_Slot]:
    """Returns one slot for each of our parameters."""
    slots = []
    for path, leaf in flatten(like).items():
        module, _, name = path.rpartition(".")
        place = layout.places.get(path, layout.places.get(module))
        if place is None:
            slots.append(_Slot(path, leaf.shape, "(none in the layout)", None))
            continue
        tensor, order = (place.name, place.order) if isinstance(place, Part) else (place, None)
        if path not in layout.places:
            candidates = [f"{tensor}.{each}" for each in LEAVES.get(name, (name,))]
            tensor = next((each for each in candidates if each in theirs), candidates[0])
        slots.append(_Slot(path, leaf.shape, tensor, order))
    return slots


def _ours(tensor: np.ndarray, slot: _Slot) -> np.ndarray:
    value = np.atleast_1d(_outputs_last(tensor, slot))
    if slot.order is not None:  # a tensor of another network may be too narrow, and then has too few outputs for ours
        value = value[..., [i for i in slot.order if i < value.shape[-1]]]
    ones_apart = [n for n in value.shape if n != 1] == [n for n in slot.shape if n != 1]
    return value.reshape(slot.shape) if ones_apart else value


def _outputs_last(tensor: np.ndarray, slot: _Slot) -> np.ndarray:
    """Returns a view of the tensor with the axes of our kernel: torch's weights [O, I, ...] become [..., I, O]."""
    if slot.ours.endswith("kernel") and slot.theirs.endswith("weight"):
        return np.moveaxis(tensor, (0, 1), (-1, -2)) if tensor.ndim > 1 else tensor
    return tensor
