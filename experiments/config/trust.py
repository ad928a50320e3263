"""Trust: a config that comes as data, such as a run's config.json, may name no code of others and no folder to write to."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel

from experiments.config.schema import (
    USERS_NAME,
    Adversarial,
    CodecConfig,
    Conditions,
    Config,
    EditConfig,
    Named,
    Sampler,
    Train,
)
from experiments.config.tree import flatten
from experiments.runtime.errors import ConfigError


def _parts(section: type[BaseModel]) -> str:
    """Returns a regular expression for the keys of a section that name parts of the library."""
    names_part = lambda kind: isinstance(kind, type) and issubclass(kind, Named)
    return "|".join(
        key
        for key, field in section.model_fields.items()
        if any(map(names_part, (field.annotation, *get_args(field.annotation))))
    )


_OF_TRAINING = rf"train\.({_parts(Train)})|conditions\.({_parts(Conditions)})|codec\.({_parts(CodecConfig)})"
_OF_TRAINING += rf"|codec\.adversarial\.({_parts(Adversarial)})"
_SECTIONS = rf"{_OF_TRAINING}|samplers\..+\.({_parts(Sampler)})|edit\.({_parts(EditConfig)})"
_PARTS = rf"trust|parameterization|{_parts(Config)}|{_SECTIONS}"
CODE = rf"(arms\..+\.)?({_PARTS})(\.name)?"
"""A regular expression for the keys whose values name code that is called."""


DATA_NAME = r"(arms\..+\.)?data\.name"
"""A regular expression for the keys that name a source of data: a user's function, or a data set and its version."""
WRITTEN = "evaluate.statistics"
"""The key of a folder that is written to."""


def require_trusted_by(config: Config, tree: dict[str, Any], origin: str) -> dict[str, Any]:
    """Returns the tree of another run's config, such as a guide's or a base's, with the evaluation of `config` and not its own.

    Raises ConfigError if it names code that is not OneSDE's, and that `config` names neither as its own nor under `trust`.
    """
    own = config.model_dump()
    named = [str(value) for value in flatten(own).values()]
    return _require({*named, *config.trust.split(",")}, tree | {"evaluate": own["evaluate"]}, origin, config.trust)


def require_trusted(tree: dict[str, Any], overrides: list[str], origin: str) -> dict[str, Any]:
    """Returns the tree of a config that is data.

    Raises ConfigError if the tree names code that is not OneSDE's, or a folder to write to, and no override has the same value.
    `origin`: the file, for the message.
    """
    return _require({override.partition("=")[2] for override in overrides}, tree, origin)


def forget_callbacks(tree: dict[str, Any], overrides: list[str]) -> None:
    """Removes the callbacks that the tree of a config names, and each of its arms, unless an override names them.

    They change no result, so that a config that is data can be used without them.
    """
    arms = tree.get("arms")
    sections = {"": tree} | ({f"arms.{name}.": arm for name, arm in arms.items()} if isinstance(arms, dict) else {})
    for place, section in sections.items():
        train = section.get("train") if isinstance(section, dict) else None
        named = any(override.partition("=")[0] == f"--config.{place}train.callbacks" for override in overrides)
        if isinstance(train, dict) and not named:
            train.pop("callbacks", None)


def _require(vouched: set[str], tree: dict[str, Any], origin: str, trust: str | None = None) -> dict[str, Any]:
    """`trust`: the key of that name so far, if it is to name what is foreign; else a key of the tree's own is."""

    def reaches_out(key: str, value: str) -> bool:
        # A very long key is refused unmatched: the regular expression would backtrack for long.
        called = ":" in value and (len(key) > 1000 or re.fullmatch(CODE, key, re.DOTALL))
        opened = re.fullmatch(USERS_NAME, value) and re.fullmatch(DATA_NAME, key, re.DOTALL)
        return bool(called or opened or (key == WRITTEN and value))

    reaching = {key: value for key, value in flatten(tree).items() if isinstance(value, str) and reaches_out(key, value)}
    foreign = {key: value for key, value in reaching.items() if value not in vouched}
    if foreign:
        does = "a folder, which would be written to" if WRITTEN in foreign else "code that is not OneSDE's, which would run"
        keys = foreign if trust is None else {"trust": ",".join(filter(None, [trust, *dict.fromkeys(foreign.values())]))}
        ways = [f"--config.{key}={value}"[:300] for key, value in keys.items()]
        more = [f"and {len(ways) - 3} more"] if len(ways) > 3 else []
        raise ConfigError([f"{origin} names {does}; if you trust it, name it yourself:", *ways[:3], *more])
    return tree
