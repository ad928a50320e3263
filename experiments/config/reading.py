"""Reading: a config file and the overrides `--config.a.b=value` as a tree."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml_collections import ConfigDict

import configs
from experiments.config.arms import idle_overrides
from experiments.config.messages import in_words, schema_problems, shorten, suggestion
from experiments.config.problems import every_problem
from experiments.config.tree import in_order, own_sections, read_json_tree
from experiments.config.trust import forget_callbacks, require_trusted
from experiments.config.values import readings
from experiments.runtime.errors import ConfigError, blamed
from experiments.runtime.paths import home, is_file

OURS = list(configs.__path__)

GONE = object()

Variants = Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]


def read_config(path: str | ConfigDict, overrides: list[str], variants: Variants = MappingProxyType({})) -> dict[str, Any]:
    """Returns the tree of a config under the overrides: of a .py with `get_config()`, of a run's config.json, or of an object.

    `path` may end in the name of one of `variants`, a function of the tree, as in file.py:tiny. Raises ConfigError if there is
    no such file or variant, if its code fails, or if an override cannot be applied. `problems.parse` checks the tree.
    """
    if isinstance(path, ConfigDict):
        return override(_tree(path), overrides)
    path, variant = _variant(path)
    if variant and variant not in variants:
        raise ConfigError(f"{path}:{variant}: no such variant{suggestion(variant, [*variants])}")
    file = Path(path)
    if not is_file(file):
        others = sorted(str(p) for p in Path("configs").rglob("*.py"))
        raise ConfigError(f"no config file {shorten(path)}{suggestion(path, others)}")
    if file.suffix.lower() == ".json":
        tree = override(read_json_tree(file), overrides, origin=path)
        return override(variants[variant](tree), overrides) if variant and not schema_problems(tree) else tree
    try:
        defined = _run(file)
        config = defined["get_config"]() if "get_config" in defined else None
        tree = _tree(config) if isinstance(config, ConfigDict) else None
    except (Exception, SystemExit) as error:  # the code is the user's
        raise ConfigError(f"{path} cannot be run: {blamed(error)}") from error
    if tree is None:
        raise ConfigError(f"{path} must define get_config(), which returns an ml_collections.ConfigDict")
    try:
        return override(variants[variant](tree) if variant else tree, overrides)
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # a variant fails on a tree that the schema would refuse
        problems = schema_problems(tree) or [f"{path}:{variant}: {type(error).__name__}: {error}"]
        raise ConfigError(problems) from error


def run_file(path: str) -> dict[str, Any]:
    """Returns what a config file defines; nothing of a config.json, which is data. Raises ConfigError if its code fails."""
    file = Path(_variant(path)[0])
    try:
        return {} if file.suffix.lower() == ".json" else _run(file)
    except (Exception, SystemExit) as error:  # the code is the user's
        raise ConfigError(f"{file} cannot be run: {blamed(error)}") from error


def _variant(path: str) -> tuple[str, str]:
    """The file and the variant of file.py:tiny, or no variant."""
    path = str(home(path))
    stem, colon, variant = path.rpartition(":")
    whole = is_file(path) or not colon or "/" in variant  # a folder's name may have a colon
    return (path, "") if whole else (stem, variant)


def _run(file: Path) -> dict[str, Any]:
    """Runs a config file. What it imports from `configs` is in the folder of that name that holds it, or else is ours."""
    own = [str(above) for above in file.absolute().parents if above.name == "configs"][:1]
    configs.__path__ = own + OURS
    return runpy.run_path(str(file))


def _tree(config: ConfigDict) -> dict[str, Any]:
    return own_sections(in_order(config.to_dict(), json.loads(config.to_json_best_effort())))


def override(tree: dict[str, Any], overrides: list[str], origin: str | None = None) -> dict[str, Any]:
    """Changes the tree by each --config.a.b=text and returns it.

    Of the readings of a text it takes the likeliest, or the one with which the config has the fewest of that one's problems and
    no other. `origin`: the file of a tree that is data, and must be trusted. Raises ConfigError with a line for each override
    that is wrong.
    """
    problems: list[str] = []
    changed: list[str] = []
    places: dict[str, tuple[dict[str, Any], str, list[Any]]] = {}
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
            values = list(readings(text))
            changed += [] if node.get(leaf, GONE) in values else [key]
            node[leaf] = values[0]
            # What a later override goes into is read already.
            places = {place: read for place, read in places.items() if not f"{key}.".startswith(f"{place}.")}
            places[key] = node, leaf, values
    if problems := problems or idle_overrides(tree, changed):
        raise ConfigError(problems)
    if origin is not None:
        require_trusted(tree, overrides, origin)
        forget_callbacks(tree, overrides)
    if places and every_problem(tree):
        for node, leaf, values in places.values():
            node[leaf] = _fitting(tree, node, leaf, values)
    return tree


def _fitting(tree: dict[str, Any], node: dict[str, Any], leaf: str, values: list[Any]) -> Any:
    """Returns the value in a node of the tree with the fewest of the first one's problems, and no other problem."""

    def problems(value: Any) -> set[str]:
        node[leaf] = value
        return set(every_problem(tree))

    each = [problems(value) for value in values]
    return min(zip(values, each, strict=True), key=lambda pair: (not pair[1] <= each[0], len(pair[1])))[0]
