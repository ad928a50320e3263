"""Reading: a config file and the overrides `--config.a.b=value` as a tree."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from experiments.config.messages import in_words, schema_problems, shorten, suggestion
from experiments.config.tree import own_sections, read_json_tree
from experiments.config.trust import require_trusted
from experiments.runtime.errors import ConfigError

Variants = Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]


def read_config(path: str, overrides: list[str], variants: Variants = MappingProxyType({})) -> dict[str, Any]:
    """Returns the tree of a config file, a .py with `get_config()` or a run's config.json, under the overrides.

    `path` may end in the name of one of `variants`, a function of the tree, as in file.py:tiny. Raises ConfigError if there is
    no such file or variant, if its code fails, or if an override cannot be applied. `problems.parse` checks the tree.
    """
    stem, colon, variant = path.rpartition(":")
    if Path(path).is_file() or not colon or "/" in variant:  # a folder's name may have a colon
        stem, variant = path, ""
    path = stem
    if variant and variant not in variants:
        raise ConfigError(f"{path}:{variant}: no such variant{suggestion(variant, [*variants])}")
    file = Path(path)
    if not file.is_file():
        others = sorted(str(p) for p in Path("configs").rglob("*.py"))
        raise ConfigError(f"no config file {path}{suggestion(path, others)}")
    if file.suffix == ".json":
        tree = require_trusted(override(read_json_tree(file), overrides), overrides, path)
        return override(variants[variant](tree), overrides) if variant and not schema_problems(tree) else tree
    try:
        tree = own_sections(runpy.run_path(path)["get_config"]().to_dict())
    except (KeyError, AttributeError) as error:
        raise ConfigError(f"{path} must define get_config(), which returns an ml_collections.ConfigDict ({error})") from error
    except Exception as error:  # the code is the user's
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {' '.join(str(error).split())}") from error
    try:
        return override(variants[variant](tree) if variant else tree, overrides)
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # a variant fails on a tree that the schema would refuse
        problems = schema_problems(tree) or [f"{path}:{variant}: {type(error).__name__}: {error}"]
        raise ConfigError(problems) from error


def override(tree: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Changes the tree by each --config.a.b=value and returns it. Raises ConfigError with a line for each that is wrong."""
    problems = []
    for argument in overrides:
        key, equals, text = argument.removeprefix("--config.").partition("=")
        if not argument.startswith("--config.") or not equals:
            problems.append(f"{shorten(argument)}: write an override as --config.key=value")
            continue
        *parents, leaf = key.split(".")
        if not all((*parents, leaf)):
            problems.append(f"{shorten(argument)}: write a key as names with dots between them, as in --config.train.steps=100")
            continue
        node = tree
        for parent in parents:
            below = node.get(parent)
            node[parent] = {} if below is None else {"name": below} if isinstance(below, str) else below
            node = node[parent]
            if not isinstance(node, dict):
                problems.append(f"{shorten(argument)}: config.{parent} = {in_words(node)} has no keys below it")
                break
        else:
            node[leaf] = _value(text)
    if problems:
        raise ConfigError(problems)
    return tree


def _value(text: str) -> Any:
    """Returns the value of a Python literal, such as 2e-4, (1, 2), True or None; any other text, such as VPSDE, as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
