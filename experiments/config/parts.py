"""Named parts: the only reader of `name`. A part is found in a module's `__all__` or anywhere, and judged by its signature."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval
from flax import nnx
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

import losses
import models
import samplers
import sde_lib
from experiments import edits
from experiments.config import guidance
from experiments.config.messages import nearest, shown
from experiments.config.schema import Config, Named
from experiments.edits.base import Edit
from experiments.runtime.errors import ConfigError

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class Kind:
    """Parts of `module` that `makes` something from the arguments `given`; the rest of their signature is a config's to set.

    `given`: each with where it comes from.
    """

    module: ModuleType
    makes: Any
    given: dict[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        """The names of all such parts in the module."""
        return [name for name in self.module.__all__ if self.holds(getattr(self.module, name))]

    def holds(self, part: Any) -> bool:
        """Whether the part makes what is wanted, from what is given and what a config can write."""
        if not callable(part) or inspect.isabstract(part):
            return False
        made, wanted = part if isinstance(part, type) else _hints(part).get("return"), self.makes
        right = issubclass(made, wanted) if inspect.isclass(made) and inspect.isclass(wanted) else made == wanted
        return right and not self._missing(part)

    def _missing(self, part: Callable[..., Any]) -> list[str]:
        """What the part must be called with, and no config can write."""
        hints = _hints(part)
        needed = (p for p in parameters(part).values() if p.default is p.empty and p.name not in self.given)
        return [p.name for p in needed if p.kind is p.VAR_POSITIONAL or _plain(hints.get(p.name, Any)) is Any]

    def find(self, name: str) -> Callable[..., Any]:
        """The part of that name, or what "my_pkg.my_module:Name" leads to; ConfigError with the nearest name otherwise."""
        if ":" in name:
            path, _, attribute = name.partition(":")
            try:
                return getattr(importlib.import_module(path), attribute)
            except (ImportError, AttributeError, ValueError, TypeError) as error:
                raise ConfigError(f"cannot import {shown(name)}: {error}; is its folder on PYTHONPATH?") from error
            except Exception as error:  # it is the user's code
                raise ConfigError(f"cannot import {shown(name)}: {type(error).__name__}: {error}") from error
        if name in self.names:
            return getattr(self.module, name)
        close = f"{nearest(name, self.names)}, or my_pkg.my_module:Name"
        if name in self.module.__all__:
            missing = self._missing(getattr(self.module, name))
            raise ConfigError(
                f"{name!r} needs {' and '.join(missing)}, which no config can write{close}"
                if missing
                else f"{name!r} is another part of {self.module.__name__}{close}"
            )
        raise ConfigError(f"unknown {self.module.__name__} name {shown(name)}{close}")

    def check(self, part: Named) -> None:
        """ConfigError where there is no such part, or its options do not fit."""
        _check_options(self.find(part.name), part.options, self.given)


SDE = Kind(sde_lib, sde_lib.SDE)
NET = Kind(
    models,
    nnx.Module,
    {"shape": "data", "outputs": "objective", "rngs": "seed"},
)
PARAMETERIZATION = Kind(models, models.Coefs, {"sde": "sde", "t": "times", "sigma_data": "sigma_data"})
CONDITIONING = Kind(models, typing.get_type_hints(models.log_noise)["return"], {"sde": "sde", "t": "times"})
OBJECTIVE = Kind(
    losses,
    losses.Loss,
    {"sde": "sde", "score": "net", "score_and_v": "net", "log_prob_y": "net", "weight": "weight"}
    | {"n": "times.n", "t_min": "times.t_min", "width": "data.levels"},
)
WEIGHT = Kind(
    losses,
    typing.get_type_hints(losses.sigma2)["return"],
    {"sde": "sde", "t": "times", "sigma_data": "sigma_data", "t_min": "times.t_min"},
)
TIMES = Kind(losses, losses.TimeSampler, {"sde": "sde"})
STEP = Kind(samplers, samplers.Step, {"sde": "sde", "score": "net"})
EDIT = Kind(edits, Edit, {"setting": "the run"})
GUIDANCE = Kind(guidance, sde_lib.Score, {"scores": "net"})
GRID = Kind(samplers, typing.get_type_hints(samplers.uniform_grid)["return"], {"sde": "sde", "n": "the sampler's n"})


@cache
def clash(objective: str, times: str) -> str | None:
    """Why the objective cannot be trained with that draw of t, and what can; None where it can."""
    if "n" in parameters(OBJECTIVE.find(objective)) and times != "discrete":
        return f"{objective} sums over the n times of discrete, and over no other draw; take discrete, or objective dsm"
    return None


def classifies(config: Config) -> bool:
    """Whether the objective trains a classifier in the place of a score."""
    return "log_prob_y" in parameters(OBJECTIVE.find(config.objective.name))


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What it is called with."""
    # A class by its constructor: NNX's metaclass hides it behind *args.
    signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    return {name: p for name, p in signature.parameters.items() if name != "self"}


def _check_options(function: Callable[..., Any], options: dict[str, Any], given: dict[str, str]) -> None:
    """`options` against the signature: their names, types and ranges. `given` are the arguments that come from elsewhere."""
    model = _options(function, frozenset(given))
    if model is None:
        return
    fields = model.model_fields
    try:
        model.model_validate(options)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = str(problem["loc"][0])
            if name in given:
                lines.append(f"{name} is not an option: it comes from {given[name]}")
            elif problem["type"] == "extra_forbidden":
                close = nearest(name, list(fields)) or f" ({getattr(function, '__name__', function)} takes none)"
                lines.append(f"unknown option {name}{close}")
            elif problem["type"] == "missing":
                lines.append(f"option {name} is missing")
            else:
                lines.append(f"{name} = {shown(problem['input'])}: {problem['msg'][0].lower()}{problem['msg'][1:]}")
        raise ConfigError(lines) from error


@cache
def _options(function: Callable[..., Any], given: frozenset[str]) -> type[BaseModel] | None:
    """The options of a signature as one strict type; None where it takes any."""
    free = {name: p for name, p in parameters(function).items() if name not in given}
    if any(p.kind is p.VAR_KEYWORD for p in free.values()):
        return None
    hints = _hints(function)
    fields: dict[str, Any] = {
        name: (_plain(hints.get(name, Any)), ... if p.default is p.empty else p.default)
        for name, p in free.items()
        if p.kind is not p.VAR_POSITIONAL
    }
    return create_model("Options", __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False), **fields)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, or of a class's constructor or fields; none where they cannot be evaluated."""
    hints: dict[str, Any] = {}
    for source in (function, function.__init__) if isinstance(function, type) else (function,):
        try:
            hints |= typing.get_type_hints(source, include_extras=True)
        except (NameError, TypeError):
            continue
    return hints


FITS = {float: Annotated[float, Interval(ge=-3e38, le=3e38)], int: Annotated[int, Interval(ge=-(2**31), lt=2**31)]}


def _plain(hint: Any) -> Any:
    """The part of an annotation that a config file can write: `Scalar`, an array or a float, is a float.

    Of numbers, those that float32 and int32 hold.
    """
    if hint in FITS:
        return FITS[hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        plain = tuple(_plain(a) for a in typing.get_args(hint) if _plain(a) is not Any)
        return typing.Union[plain] if plain else Any  # noqa: UP007
    if typing.get_origin(hint) is typing.Annotated:
        base, *limits = typing.get_args(hint)
        return Annotated[_plain(base), *limits] if _plain(base) is not Any else Any
    writable = hint in (int, float, bool, str, type(None)) or typing.get_origin(hint) in (tuple, typing.Literal)
    return hint if writable else Any


def learns_variance(config: Config) -> bool:
    """Whether the objective trains v(x_t, t) beside the score."""
    return "score_and_v" in parameters(OBJECTIVE.find(config.objective.name))


def made(kind: Kind, name: str, part: Any) -> Any:
    """What the part of that name has made; TypeError where it is another thing, as a user's function may give."""
    if not isinstance(part, kind.makes):
        raise TypeError(f"{name} makes a {type(part).__name__}, not a {kind.makes.__name__}")
    return part
