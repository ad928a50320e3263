"""Options: the arguments of a part that a config can write, checked against its signature."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from typing import Annotated, Any

from annotated_types import Interval
from jax.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from experiments.config.messages import suggestion, wrong_value
from experiments.runtime.errors import ConfigError

FITS = {float: Annotated[float, Interval(ge=-3e38, le=3e38)], int: Annotated[int, Interval(ge=-(2**31), lt=2**31)]}
"""The ranges of float32 and int32."""


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a function, or of a class's constructor, by their names."""
    # NNX's metaclass hides the constructor behind *args.
    signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    return {name: p for name, p in signature.parameters.items() if name != "self"}


def unwritable(function: Callable[..., Any], context: dict[str, str]) -> list[str]:
    """Returns the required arguments that are neither in `context` nor of a type that a config can write."""
    hints = type_hints(function)
    needed = (p for p in parameters(function).values() if p.default is p.empty and p.name not in context)
    return [p.name for p in needed if p.kind is p.VAR_POSITIONAL or _plain(hints.get(p.name, Any)) is Any]


def check_options(function: Callable[..., Any], options: dict[str, Any], context: dict[str, str]) -> None:
    """Checks names, types and ranges of `options` against the function's signature.

    `context`: the arguments that the experiment supplies, each with its origin. Raises ConfigError with a line for each
    problem.
    """
    model = _options(function, frozenset(context))
    if model is None:
        return
    fields = model.model_fields
    try:
        model.model_validate(options)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = str(problem["loc"][0])
            if name in context:
                lines.append(f"{name} is not an option: it comes from {context[name]}")
            elif problem["type"] == "extra_forbidden":
                close = suggestion(name, list(fields)) or f" ({getattr(function, '__name__', function)} takes none)"
                lines.append(f"unknown option {name}{close}")
            elif problem["type"] == "missing":
                lines.append(f"option {name} is missing")
            else:
                lines.append(wrong_value(name, problem))
        raise ConfigError(lines) from error


@cache
def _options(function: Callable[..., Any], context: frozenset[str]) -> type[BaseModel] | None:
    """Returns the options of a signature as one strict type; None if it takes any keyword."""
    # A name that begins with _ is private: the part's own, and no field that pydantic takes.
    free = {name: p for name, p in parameters(function).items() if name not in context and not name.startswith("_")}
    if any(p.kind is p.VAR_KEYWORD for p in free.values()):
        return None
    hints = type_hints(function)
    fields: dict[str, Any] = {
        name: (_plain(hints.get(name, Any)), ... if p.default is p.empty else p.default)
        for name, p in free.items()
        if p.kind is not p.VAR_POSITIONAL
    }
    return create_model("Options", __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False), **fields)


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the annotations of a function, or of a class's constructor and fields, without those that cannot be evaluated."""
    hints: dict[str, Any] = {}
    for source in (function, function.__init__) if isinstance(function, type) else (function,):
        try:
            hints |= typing.get_type_hints(source, include_extras=True)
        except Exception:  # a text that is the annotation may be any code
            hints |= _one_by_one(source)
    return hints


def _one_by_one(source: Any) -> dict[str, Any]:
    """The annotations that can be evaluated, if one of them cannot."""
    hints, names = {}, vars(sys.modules.get(getattr(source, "__module__", ""), typing))
    for name, annotation in getattr(source, "__annotations__", {}).items():
        with suppress(Exception):
            hints |= typing.get_type_hints(SimpleNamespace(__annotations__={name: annotation}), names, include_extras=True)
    return hints


def _plain(hint: Any) -> Any:
    """Returns the part of an annotation that a config can write: of `Scalar`, an array or a float, the float. Any if none."""
    if hint in FITS:
        return FITS[hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        each, numbers = typing.get_args(hint), typing.get_args(ArrayLike)
        if Any in each:
            return Any
        if {*numbers} <= {*each}:  # of which a config writes the float
            each = (float, *(a for a in each if a not in numbers))
        plain = tuple(_plain(a) for a in each if _plain(a) is not Any)
        return typing.Union[plain] if plain else Any  # noqa: UP007
    if typing.get_origin(hint) is typing.Annotated:
        base, *limits = typing.get_args(hint)
        return Annotated[_plain(base), *limits] if _plain(base) is not Any else Any
    if typing.get_origin(hint) is tuple:
        each = tuple(a if a is ... else _plain(a) for a in typing.get_args(hint))
        return tuple[each] if Any not in each else Any
    return hint if hint in (int, float, bool, str, type(None)) or typing.get_origin(hint) is typing.Literal else Any
