"""Configs as trees: nested dictionaries of plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.runtime.errors import ConfigError

LONGEST = 2**20
"""The most bytes of a config that is JSON: a longer one is not parsed."""


DEEPEST = 20
"""The most tables within tables of one."""


def _own(tree: Any) -> Any:
    """The tree with each section its own: what a file puts in two places is one object, and an override would change both."""
    return {key: _own(below) for key, below in tree.items()} if isinstance(tree, dict) else tree


def stored(file: Path) -> dict[str, Any]:
    """The tree of a config.json. ConfigError where it is none."""
    try:
        if not file.is_file():
            raise OSError("it is no file")
        with file.open("rb") as content:
            text = content.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ValueError(f"it has more than {LONGEST} bytes")
        return from_json(json.loads(text))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is no config as JSON: {' '.join(str(error).split())}") from error


def from_json(tree: Any) -> dict[str, Any]:
    """The tree of a config that was written as JSON, where a tuple is a list.

    TypeError if it is no table, ValueError if it is one within very many.
    """
    if not isinstance(tree, dict):
        raise TypeError("it holds no table of keys")

    def plain(value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise ValueError(f"it holds tables within tables, more than {DEEPEST} deep")
        if isinstance(value, dict):
            return {key: plain(below, depth + 1) for key, below in value.items()}
        return tuple(plain(below, depth + 1) for below in value) if isinstance(value, list) else value

    return plain(tree)


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree of tables by their dotted keys."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for key, below in tree.items() for k, v in flat(below, f"{prefix}.{key}" if prefix else str(key)).items()}
