"""The keys that a run in progress may change, and those that it may not."""

from __future__ import annotations

import copy
from typing import Any

from experiments.config.reading import override
from experiments.config.tree import flatten
from experiments.runtime.errors import ConfigError

_CADENCE = ("train.log_every", "train.sample_every", "train.checkpoint_every")
_WATCHED = ("train.callbacks", "train.log", "train.keep", "train.bad_steps")
_OTHERS = ("codec.run", "codec.noise", "codec.perceptual.run", "codec.perceptual.file", "lora.run", "lora.scale", "teacher.run")
FREE = ("title", "train.steps", *_CADENCE, *_WATCHED, "train.shard", *_OTHERS, "trust")
_PLACES = ("data.data_dir", "data.resident_mib", "data.validation")
FREE_SECTIONS = ("samplers.", "sample.", "evaluate.", "interpolate.", "edit.", *_PLACES)
"""Keys, and prefixes of keys, that a run in progress may change: its parameters do not depend on them."""
AS_BEGUN = ("train.steps_per_call",)
"""Keys whose None means the value that a run in progress began with."""


def override_free_keys(tree: dict[str, Any], overrides: list[str], origin: str) -> dict[str, Any]:
    """Returns the tree of a trained run under the overrides.

    Raises ConfigError if the overrides change a key that the run was trained by, or if the tree cannot be trusted.
    """
    after = override(copy.deepcopy(tree), overrides, origin)
    if lines := changed_keys(tree, after):
        raise ConfigError([f"{origin} was trained by its own config, and these keys cannot be changed:", *lines[:4]])
    return after


def changed_keys(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Returns a line for each key that differs and that a run in progress may not change."""
    then, now = flatten(before), flatten(after)
    return [
        f"{key}: {then.get(key)!r} then, {now.get(key)!r} now"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key) and key not in FREE and not key.startswith(FREE_SECTIONS)
        if not (key in AS_BEGUN and now.get(key) is None)
    ]
