"""Messages about a config that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from experiments.config.schema import Config

MOST_NEAREST = 20
"""Of how many wrong keys the nearest valid one is looked for."""


def shown(value: Any) -> str:
    """A value as a config writes it, as much of it as a line holds."""
    try:
        return _cut(repr(value))
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"a {type(value).__name__} too long to write"


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 20]}... ({len(text)} characters)"


def schema_problems(tree: dict[str, Any]) -> list[str]:
    """What the schema says against the tree, one line each with the nearest valid choice; nothing if it is a `Config`."""
    try:
        Config.model_validate(tree)
    except ValidationError as error:
        return list(described(error))
    return []


def described(error: ValidationError, kind: type[BaseModel] = Config) -> Iterator[str]:
    """What pydantic says against a `kind`, one line each with the nearest valid key."""
    for i, problem in enumerate(error.errors(include_url=False, include_context=False)):
        *parents, leaf = problem["loc"] or ("",)  # of the whole
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            close = nearest(str(leaf), _fields(kind, parents)) if i < MOST_NEAREST else ""
            yield f"unknown config key {_cut(key)}{close}"
        elif problem["type"] == "missing":
            yield f"config key {key} is missing"
        else:
            wanted = problem["msg"].partition(" or instance of ")[0]
            yield f"{_cut(key)} = {shown(problem['input'])}: {wanted[0].lower()}{wanted[1:]}"


def _fields(section: type[BaseModel], parents: list[Any]) -> list[str]:
    """The keys of the section that `parents` lead to."""
    for part in parents:
        if part in section.model_fields:  # else a key of a dictionary, such as a sampler's label
            annotation = section.model_fields[part].annotation
            section = next(a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel))
    return list(section.model_fields)


def nearest(wrong: str, valid: list[str]) -> str:
    """The end of a message about a wrong name: the closest valid one, or what there is, as much as a line holds."""
    if close := difflib.get_close_matches(wrong[:80], valid, n=1):
        return f" (did you mean {close[0]}?)"
    more = f" and {len(valid) - 20} more" if len(valid) > 20 else ""
    return f" (there are {', '.join(valid[:20])}{more})" if valid else ""
