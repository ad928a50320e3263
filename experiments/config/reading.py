"""From a config file and `--config.a.b=value` to a frozen `Config`, or to every problem at once."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from experiments.config.messages import _cut, nearest, schema_problems, shown
from experiments.config.tree import _own, stored
from experiments.config.trust import trusted
from experiments.runtime.errors import ConfigError

Variants = Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]


def read_config(path: str, overrides: list[str], variants: Variants = MappingProxyType({})) -> dict[str, Any]:
    """The tree of `get_config()` in the file, or of a run's config.json, with the overrides laid over it; `problems` judges it.

    `path` may end in one of `variants`, as file.py:tiny, a function of the tree.
    """
    stem, colon, variant = path.rpartition(":")
    if Path(path).is_file() or not colon or "/" in variant:  # a folder's name may have a colon
        stem, variant = path, ""
    path = stem
    if variant and variant not in variants:
        raise ConfigError(f"{path}:{variant}: no such variant{nearest(variant, [*variants])}")
    file = Path(path)
    if not file.is_file():
        others = sorted(str(p) for p in Path("configs").rglob("*.py"))
        raise ConfigError(f"no config file {path}{nearest(path, others)}")
    if file.suffix == ".json":
        tree = trusted(overridden(stored(file), overrides), overrides, path)
        return overridden(variants[variant](tree), overrides) if variant and not schema_problems(tree) else tree
    try:
        tree = _own(runpy.run_path(path)["get_config"]().to_dict())
    except (KeyError, AttributeError) as error:
        raise ConfigError(f"{path} must define get_config(), which returns an ml_collections.ConfigDict ({error})") from error
    except Exception as error:  # it is the user's code
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {' '.join(str(error).split())}") from error
    try:
        return overridden(variants[variant](tree) if variant else tree, overrides)
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # of a tree that the schema would refuse
        wrong = schema_problems(tree) or [f"{path}:{variant}: {type(error).__name__}: {error}"]
        raise ConfigError(wrong) from error


def overridden(tree: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The tree, changed, under each --config.a.b=value."""
    problems = []
    for override in overrides:
        key, equals, text = override.removeprefix("--config.").partition("=")
        if not override.startswith("--config.") or not equals:
            problems.append(f"{_cut(override)}: write an override as --config.key=value")
            continue
        *parents, leaf = key.split(".")
        if not all((*parents, leaf)):
            problems.append(f"{_cut(override)}: a key is names with a dot between them, as in --config.train.steps=100")
            continue
        node = tree
        for parent in parents:
            below = node.get(parent)
            node[parent] = {} if below is None else {"name": below} if isinstance(below, str) else below
            node = node[parent]
            if not isinstance(node, dict):
                problems.append(f"{_cut(override)}: config.{parent} = {shown(node)} has no keys below it")
                break
        else:
            node[leaf] = _value(text)
    if problems:
        raise ConfigError(problems)
    return tree


def _value(text: str) -> Any:
    """A Python literal, or else the text itself: 2e-4, (1, 2), True, None, VPSDE."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
