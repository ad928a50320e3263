"""The keys that a run in progress may change."""

from __future__ import annotations

import copy
from typing import Any

from experiments.config.reading import overridden
from experiments.config.tree import flat
from experiments.config.trust import trusted
from experiments.runtime.errors import ConfigError

_CADENCE = ("train.log_every", "train.sample_every", "train.checkpoint_every")


FREE = ("title", "train.steps", *_CADENCE, "train.keep", "train.bad_steps", "train.shard", "lora.run", "lora.scale")


FREE_SECTIONS = ("samplers.", "sample.", "evaluate.", "interpolate.", "edit.", "data.data_dir", "data.resident_mib")
"""Keys that a run in progress may change; the others made it what it is."""


def override_free_keys(tree: dict[str, Any], overrides: list[str], origin: str) -> dict[str, Any]:
    """The `trusted` tree of weights that there are; ConfigError where the overrides say what made them otherwise."""
    after = trusted(overridden(copy.deepcopy(tree), overrides), overrides, origin)
    if lines := changed_keys(tree, after):
        raise ConfigError([f"{origin} was trained by its config, of which these keys stay as they are:", *lines[:4]])
    return after


def changed_keys(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The keys that made a run what it is and are not the same, one line each."""
    then, now = flat(before), flat(after)
    return [
        f"{key}: {then.get(key)!r} then, {now.get(key)!r} now"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key) and key not in FREE and not key.startswith(FREE_SECTIONS)
    ]
