"""The network's tensors in the checkpoint of a training script, by the names of its layout."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from experiments.runtime.errors import StorageError
from experiments.weights.layout import LEAVES, Layout, Part

AVERAGED = ("params_ema", "ema.shadow_params", "ema_state_dict", "model_ema", "ema", "4")
RAW = ("model", "state_dict", "net", "optimizer.target", "0")
"""The parts of a checkpoint with averaged and with raw parameters; 4 and 0 are NCSN's, in a list."""


def select_params(tensors: dict[str, np.ndarray], layout: Layout, weights: str, source: Path) -> dict[str, np.ndarray]:
    """Returns the averaged ("ema") or the "raw" parameters of a checkpoint, by the layout's names.

    A file of nothing but parameters, as released ones are, has no such parts: all are returned. StorageError if it has none of
    the `weights`.
    """
    names = {place.name if isinstance(place, Part) else place for place in layout.places.values()}
    alone = _below("", tensors)
    if names & (alone.keys() | {name.rpartition(".")[0] for name in alone}):
        return alone
    here, there = (AVERAGED, RAW) if weights == "ema" else (RAW, AVERAGED)
    part = next((part for part in here if _below(part, tensors)), None)
    if part is None:
        others = any(_below(part, tensors) for part in there)
        remedy = f"; it has others: --weights={'raw' if weights == 'ema' else 'ema'}" if others else ""
        raise StorageError(f"{source} has no {weights} parameters, as {', '.join(here)} are{remedy}")
    params = _below(part, tensors)
    return _named(list(params.values()), _below("model", tensors), layout, source) if part == "ema.shadow_params" else params


def _below(part: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors of a part by their names in it, without the prefix of torch's wrapper for several devices."""
    prefix = f"{part}." if part else ""
    return {n.removeprefix(prefix).removeprefix("module."): t for n, t in tensors.items() if n.startswith(prefix)}


def _named(shadow: list[np.ndarray], model: dict[str, np.ndarray], layout: Layout, source: Path) -> dict[str, np.ndarray]:
    """Returns score_sde's average, a list in the order of the parameters that learn, by the names of its model's tensors.

    The list has no buffers and no fixed frequencies of the noise level: these come from the model.
    """
    with source.open("rb") as file:
        if file.read(9)[8:] == b"{":
            raise StorageError(f"{source}: safetensors keeps no order, and shadow_params is a list; convert it by its names")
    embedded = [place for ours, place in layout.places.items() if ours.split(".")[0] == "embed"]
    fixed = {name for place in embedded for name in (place, *(f"{place}.{leaf}" for leaf in LEAVES["frequencies"]))}
    still = {name: value for name, value in model.items() if name in fixed or re.search(layout.ignored, name)}
    learned = {name: value.shape for name, value in model.items() if name not in still}
    if list(learned.values()) != [value.shape for value in shadow]:
        raise StorageError(f"{source}: its {len(shadow)} shadow_params are not the {len(learned)} parameters of its model")
    return still | dict(zip(learned, shadow, strict=True))
