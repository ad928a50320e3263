"""Sweeps: a config whose arms are the product of several values of some keys.

On the command line, --config.KEY=1e-4,3e-4 gives the values of a key. In a file, a function beside `get_config` gives them:

    def sweep():
        return {"train.learning_rate": (1e-4, 3e-4), "net.width": (32, 64)}
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from flax.traverse_util import unflatten_dict

from experiments.config.arms import overlay
from experiments.config.messages import in_words, shorten
from experiments.config.reading import override, run_file
from experiments.runtime.errors import ConfigError, blamed

Values = Mapping[str, Sequence[Any]]
"""The values of each key that is swept; of one from the command line they are its texts."""
MOST = 1000
"""The most runs of a sweep."""
_PIECE = re.compile(r"""'[^']*'|"[^"]*"|.""", re.DOTALL)


def read_sweep(path: str) -> dict[str, Sequence[Any]]:
    """Returns what the function `sweep()` of a config file returns; nothing of a file without one.

    Raises ConfigError if it does not return the values of keys.
    """
    sweep = run_file(path).get("sweep")
    if sweep is None:
        return {}
    try:
        values = sweep()
    except Exception as error:  # the code is the user's
        raise ConfigError(f"{path}: sweep() raised {blamed(error)}") from error
    if not isinstance(values, Mapping) or not all(isinstance(each, list | tuple) and each for each in values.values()):
        raise ConfigError(f"{path}: sweep() returns values by keys, as in {{'net.width': (32, 64)}}, not {in_words(values)}")
    return {str(key): tuple(each) for key, each in values.items()}


def split_overrides(overrides: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Returns the overrides of one value, and the texts of each key that has several: those between its outermost commas.

    A tuple has brackets: --config.net.multipliers=(1,2),(2,2) has two values.
    """
    fixed, swept = [], {}
    for word in overrides:
        key, equals, text = word.partition("=")
        texts = _between_commas(text)
        if equals and len(texts) > 1:
            swept[key.removeprefix("--config.")] = texts
        else:
            fixed.append(word)
    return fixed, swept


def _between_commas(text: str) -> list[str]:
    """The parts of a text between the commas that stand in no brackets and no quotes."""
    parts, depth = [""], 0
    for piece in _PIECE.findall(text):
        depth += (piece in tuple("([{")) - (piece in tuple(")]}"))
        if piece == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


class SweptArm(NamedTuple):
    """An arm of a sweep: its `changes` of the config, and the `values` of the keys that are swept, as texts by short names."""

    changes: dict[str, Any]
    values: dict[str, str]


def swept_arms(tree: dict[str, Any], values: Values) -> dict[str, SweptArm]:
    """Returns the arms by their labels: one for each combination of the values, and for each arm that the tree has already.

    Raises ConfigError if there is nothing to sweep, if a value is given twice, or if there are more than `MOST` combinations.
    """
    if not values:
        raise ConfigError("nothing to sweep: give a key several values, as in --config.train.learning_rate=1e-4,3e-4")
    if any(key.partition(".")[0] == "title" for key in values):
        raise ConfigError("sweep of title: a run has a title by the values of the other keys")
    if above := next(((a, b) for a in values for b in values if b.startswith(f"{a}.")), None):
        raise ConfigError(f"sweep of {above[0]} and of {above[1]}, which is a part of it: sweep one of them")
    read = {key: [_value(tree, key, value) for value in each] for key, each in values.items()}
    for key, each in read.items():
        if twice := next((value for i, value in enumerate(each) if value in each[:i]), None):
            raise ConfigError(f"sweep of {key}: {in_words(twice)} stands there twice")
    before = tree.get("arms") or {"": {}}
    runs = [dict(zip(read, combination, strict=True)) for combination in product(*read.values())]
    if len(before) * len(runs) > MOST:
        raise ConfigError(f"the sweep has {len(before) * len(runs):,} runs, and {MOST:,} are the most")
    short = _short(read)
    arms: dict[str, SweptArm] = {}
    for arm, changes in before.items():
        own = [str(changes.get("title", arm))] if arm else []
        for run in runs:
            words = {short[key]: _text(value) for key, value in run.items()}
            label = _label([arm] if arm else [], words)
            while label.lower() in {other.lower() for other in arms}:  # values that no file name tells apart
                label += "_"
            title = ", ".join([*own, *(f"{key} = {text}" for key, text in words.items())])
            arm_itself = {"arm": arm} if arm else {}
            arms[label] = SweptArm(
                overlay(changes, unflatten_dict(run, sep=".")) | {"title": shorten(title, 200)}, arm_itself | words
            )
    return arms


def _value(tree: dict[str, Any], key: str, value: Any) -> Any:
    """A value as the config reads it, if it is a text."""
    if not isinstance(value, str):
        return value
    node: Any = override(copy.deepcopy(tree), [f"--config.{key}={value}"])
    for part in key.split("."):
        node = node[part]
    return node


def _short(keys: Iterable[str]) -> dict[str, str]:
    """The last name of each key, or the whole key if another ends in the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _label(arm: list[str], words: Mapping[str, str]) -> str:
    """A name for files: learning_rate-0.0003_width-64."""
    plain = [re.sub(r"[^A-Za-z0-9_.]+", "-", f"{key}-{text}").rstrip("-") for key, text in words.items()]
    return "_".join([*arm, *plain])[:120]
