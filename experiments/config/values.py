"""The values of overrides: a text has several readings, of which the config takes one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

WORDS = {"true": True, "false": False, "none": None, "null": None}


def readings(text: str) -> Iterator[Any]:
    """Yields the values that a text may stand for, the likeliest first.

    A Python literal, such as 2e-4, (1, 2) or True, of which lists are tuples; the same with integers for numbers such as 1e3; a
    tuple of the one value; true, none and null, in any case; the text as it is.
    """
    try:
        literal = ast.literal_eval(text)
        value, whole = _plain(literal, whole=False), _plain(literal, whole=True)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    else:
        yield from (value, whole, (value,), (whole,))
    if text.lower() in WORDS:
        yield WORDS[text.lower()]
    yield text


def _plain(value: Any, whole: bool) -> Any:
    """Returns the value with tuples for its lists, and integers for its `whole` numbers."""
    if isinstance(value, dict):
        return {key: _plain(below, whole) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(below, whole) for below in value)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value
