"""The arms of a config that compares."""

from __future__ import annotations

import copy
from typing import Any

from experiments.config.tree import flat

GONE = object()


def resolve_arms(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tree of each arm: the base under the arm's overrides. A section that gives a `name` replaces the base's."""
    base = {key: value for key, value in tree.items() if key != "arms"}
    changed = tree.get("arms")
    if not isinstance(changed, dict):  # none, or the schema's to refuse
        return {}
    return {name: _overlay(base, changes if isinstance(changes, dict) else {}) for name, changes in changed.items()}


def arm_problems(tree: dict[str, Any]) -> list[str]:
    """What arms may not change, for their results stand in one table: how they are measured, and on what."""
    own, arms, base = ("data.range", "data.flip"), tree.get("arms"), flat(tree)
    nested = [
        f"arms.{name}.arms: an arm has none of its own"
        for name, changes in (arms.items() if isinstance(arms, dict) else ())
        if isinstance(changes, dict) and "arms" in changes
    ]
    return nested + [
        f"arms.{name}: {key} is of all arms, or their results would not compare; set it beside arms"
        for name, changes in (arms.items() if isinstance(arms, dict) else ())  # or the schema's to refuse
        if isinstance(changes, dict)
        for key, value in flat(changes).items()
        if key.startswith(("evaluate.", "data.")) and key not in own and base.get(key, GONE) != value
    ]


def _overlay(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and "name" not in value:
            merged[key] = _overlay(below, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged
