"""Configs as trees: nested dictionaries of plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.runtime.errors import ConfigError

LONGEST = 2**20
"""The most bytes of a config in JSON; a longer file is not parsed."""
DEEPEST = 20
"""The deepest nesting of tables in a config."""


def own_sections(tree: Any) -> Any:
    """Returns the tree with separate sections. A file may use one object in two places, and an override would change both."""
    return {key: own_sections(below) for key, below in tree.items()} if isinstance(tree, dict) else tree


def in_order(tree: Any, like: Any) -> Any:
    """Returns the tree with its keys in the order of another. A ConfigDict sorts them, but not those of its JSON."""
    if not isinstance(tree, dict) or not isinstance(like, dict):
        return tree
    return {key: in_order(tree[key], like.get(key)) for key in sorted(tree, key=[*like, *tree].index)}


def read_json_tree(file: Path) -> dict[str, Any]:
    """Returns the tree of a config.json. Raises ConfigError if the file is no config in JSON."""
    try:
        if not file.is_file():
            raise OSError("it is not a file")
        with file.open("rb") as content:
            text = content.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ValueError(f"it has more than {LONGEST} bytes")
        return tree_from_json(json.loads(text))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is not a config in JSON: {' '.join(str(error).split())}") from error


def tree_from_json(tree: Any) -> dict[str, Any]:
    """Returns the tree of a config from parsed JSON, in which tuples have become lists: every list becomes a tuple again.

    Raises TypeError if it is not a table, and ValueError if tables are nested more than `DEEPEST` deep.
    """
    if not isinstance(tree, dict):
        raise TypeError("it is not a table of keys")

    def plain(value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise ValueError(f"it nests tables more than {DEEPEST} deep")
        if isinstance(value, dict):
            return {key: plain(below, depth + 1) for key, below in value.items()}
        return tuple(plain(below, depth + 1) for below in value) if isinstance(value, list) else value

    return plain(tree)


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of a tree by their dotted keys, such as train.steps."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for key, below in tree.items() for k, v in flatten(below, f"{prefix}.{key}" if prefix else str(key)).items()}
