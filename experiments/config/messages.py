"""Messages about what is wrong with a config."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from experiments.config.schema import Config

MOST_SUGGESTIONS = 20
"""The most unknown keys that get a suggestion: the search takes time."""

HOW = {
    "bool_type": "True or False",
    "dict_type": "as in {'n': (5, 10)}",
    "float_type": "as in 0.5 or 2e-4",
    "int_type": "as in 1000",
    "tuple_type": "as in (3, 5), (3,) or ()",
}
"""The way to write a value, by the type that pydantic finds it is not."""


def in_words(value: Any) -> str:
    """Returns a value as a config writes it, shortened to fit a line."""
    try:
        return shorten(repr(value))
    except ValueError:  # Python refuses to write an integer of more than 4300 digits
        return f"a {type(value).__name__} too long to write"


def shorten(text: str, most: int = 80) -> str:
    """Returns the text, or its beginning and its length if it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 20]}... ({len(text)} characters)"


def schema_problems(tree: dict[str, Any]) -> list[str]:
    """Returns a line for everything in the tree that the schema refuses; none if the tree is a `Config`."""
    try:
        Config.model_validate(tree)
    except ValidationError as error:
        return list(problem_lines(error))
    return []


def problem_lines(error: ValidationError, kind: type[BaseModel] = Config) -> Iterator[str]:
    """Yields a line for each error that pydantic reports about a `kind`; one about an unknown key suggests the closest."""
    for i, problem in enumerate(error.errors(include_url=False, include_context=False)):
        *parents, leaf = problem["loc"] or ("",)  # an error about the whole has no location
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            close = suggestion(str(leaf), _fields(kind, parents)) if i < MOST_SUGGESTIONS else ""
            yield f"unknown config key {shorten(key)}{close}"
        elif problem["type"] == "missing":
            yield f"config key {key} is missing"
        else:
            yield wrong_value(key, problem)


def wrong_value(key: str, problem: Any) -> str:
    """Returns the line about a value that pydantic refuses, and how to write one of its type."""
    wanted = problem["msg"].partition(" or instance of ")[0]
    how = HOW.get(problem["type"], "")
    value = problem["input"]
    equals = "" if problem["type"] == "value_error" and isinstance(value, dict) else f" = {in_words(value)}"  # a whole section
    return f"{shorten(key)}{equals}: {wanted[0].lower()}{wanted[1:]}{how and ', ' + how}"


def _fields(section: type[BaseModel], parents: list[Any]) -> list[str]:
    """Returns the keys of the section that `parents` lead to."""
    for part in parents:
        if part in section.model_fields:  # if not, it is a key of a dictionary, such as a sampler's label
            annotation = section.model_fields[part].annotation
            section = next(a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel))
    return list(section.model_fields)


def suggestion(wrong: str, valid: list[str]) -> str:
    """Returns the end of a message about a wrong name: the closest valid one, or else the first of the valid ones."""
    if close := difflib.get_close_matches(wrong[:80], valid, n=1):
        return f" (did you mean {close[0]}?)"
    more = f" and {len(valid) - 20} more" if len(valid) > 20 else ""
    return f" (there are {', '.join(valid[:20])}{more})" if valid else ""
