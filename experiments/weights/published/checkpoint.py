"""The network's tensors in the checkpoint of a training script, by the names of its layout."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from experiments.runtime.errors import StorageError
from experiments.runtime.progress import say
from experiments.weights.layout import LEAVES, Layout, Part
from experiments.weights.tensors import unwrapped

Tensors = dict[str, np.ndarray]

AVERAGED = r"(.*[._])?ema([._\d].*)?|4"
RAW = r"(.*\.)?(model|state_dict|net|optimizer\.target)(\..*)?|0"
"""Regular expressions for the parts of a checkpoint with averaged and with raw parameters; 4 and 0 are NCSN's, in a list."""
SHADOW = "ema.shadow_params."
"""The prefix of score_sde's average, which is a list."""


def select_params(tensors: Tensors, layout: Layout, weights: str, source: Path) -> Tensors:
    """Returns the averaged ("ema") or the "raw" parameters of a checkpoint, by the layout's names, without their prefix.

    A part whose prefix says neither, such as all of a released file, serves as both. StorageError, with the parts that there
    are, if not one of them is of the `weights`.
    """
    tensors = unwrapped(tensors)
    parts = _parts(tensors, layout)
    if weights == "ema" and (shadow := [value for name, value in tensors.items() if name.startswith(SHADOW)]):
        raw = next((_below(part, tensors) for part in parts if _kind(part) == "raw"), {})
        return _named(shadow, raw, layout, source)
    chosen = [part for part in parts if _kind(part) == weights] or [part for part in parts if not _kind(part)]
    there = ", ".join(f"{part}.*" for part in chosen or parts)
    if not parts:
        groups = Counter(name.partition(".")[0] for name in tensors).most_common(5)
        there = ", ".join(f"{name[:40]} ({n} tensors)" for name, n in groups)
        raise StorageError(f"{source} has none of the layout's names, as {min(_names(layout))}; it holds {there or 'nothing'}")
    if not chosen:
        raise StorageError(f"{source} has no {weights} parameters; it has {there}: --weights={_kind(parts[0])}")
    if len(chosen) > 1:
        raise StorageError(f"{source} has {len(chosen)} parts for {weights} parameters, {there}: save one of them alone")
    if chosen[0]:
        say(f"{source}: reading {there}, without that prefix")
    inner = tuple(f"{part}." for part in parts if len(part) > len(chosen[0]))
    return _below(chosen[0], {name: tensor for name, tensor in tensors.items() if not name.startswith(inner)})


def _names(layout: Layout) -> set[str]:
    return {place.name if isinstance(place, Part) else place for place in layout.places.values()}


def _parts(tensors: Tensors, layout: Layout) -> list[str]:
    """Returns the prefixes under which the layout's names stand, "" for none."""
    names, under = _names(layout), defaultdict(set)
    for tensor in tensors:
        words = tensor.split(".")
        for i in range(len(words)):
            for end in (len(words) - 1, len(words)):  # a module's name, or a parameter's
                if (name := ".".join(words[i:end])) in names:
                    under[".".join(words[:i])].add(name)
    most = max(map(len, under.values()), default=0)
    return [prefix for prefix, there in under.items() if 2 * len(there) > most]  # "conv" also ends "block.conv"


def _kind(part: str) -> str:
    """Returns "ema" or "raw", or "" if the prefix says neither. `module` is that of torch's wrapper for several devices."""
    name = ".".join(word for word in part.split(".") if word != "module")
    return "ema" if re.fullmatch(AVERAGED, name, re.IGNORECASE) else "raw" if re.fullmatch(RAW, name) else ""


def _below(part: str, tensors: Tensors) -> Tensors:
    """Returns the tensors of a part by their names in it."""
    prefix = f"{part}." if part else ""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _named(shadow: list[np.ndarray], model: Tensors, layout: Layout, source: Path) -> Tensors:
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
