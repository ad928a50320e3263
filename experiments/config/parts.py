"""Parts: the functions and classes that a config names. Each is an entry of a registry, or a user's my_pkg.my_module:Name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import optax

import losses
import models
import samplers
import sde_lib
from experiments import conditions, edits
from experiments.config import guidance, optimizers, schedules
from experiments.config.messages import in_words, suggestion
from experiments.config.options import check_options, parameters, unwritable
from experiments.config.schema import Config, Named, Train
from experiments.edits.base import Edit
from experiments.runtime.errors import ConfigError, blamed, users_line


def is_users(name: str) -> bool:
    """Returns whether the name is "my_pkg.my_module:Name", of a user's part, and none of ours."""
    return ":" in name


def import_module_of(name: str) -> ModuleType:
    """Imports the module of "my_pkg.my_module:Name", the only way to a user's code from a config's value.

    Raises ConfigError if it cannot be imported.
    """
    try:
        return importlib.import_module(name.partition(":")[0])
    except (Exception, SystemExit) as error:  # it is the user's code
        absent = isinstance(error, (ImportError, ValueError, TypeError)) and not users_line(error)
        why = f"{error}; is its folder on PYTHONPATH?" if absent else blamed(error)
        raise ConfigError(f"cannot import {in_words(name)}: {why}") from error


def imported_part(name: str) -> Any:
    """Imports "my_pkg.my_module:Name". Raises ConfigError if there is no such module, or no such name in it."""
    module = import_module_of(name)
    try:
        return getattr(module, name.partition(":")[2])
    except AttributeError as error:
        raise ConfigError(f"cannot import {in_words(name)}: {error}") from error


def user_function(name: str) -> Callable[..., Any]:
    """Imports the function "my_pkg.my_module:my_function". Raises ConfigError if it is not there, or is none."""
    function = imported_part(name)
    if not callable(function):
        raise ConfigError(f"{in_words(name)} is a {type(function).__name__}, and no function")
    return function


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of part that a config names.

    `parts`: the registry, a tuple of functions and classes of `module`, each known by its own name. `context`: the arguments
    that the experiment supplies, each with its origin; all others are options, which a config writes. `makes`: the class that
    a part must return, which `build` checks.
    """

    module: ModuleType
    parts: tuple[Callable[..., Any], ...]
    context: dict[str, str] = field(default_factory=dict)
    makes: type[Any] = object

    @cached_property
    def names(self) -> list[str]:
        """The names of the parts whose required options a config can write."""
        return [part.__name__ for part in self.parts if not unwritable(part, self.context)]

    def find(self, name: str) -> Callable[..., Any]:
        """Returns the part of that name, or imports "my_pkg.my_module:Name".

        Raises ConfigError with the closest name if there is no such part.
        """
        if is_users(name):
            return imported_part(name)
        if name in self.names:
            return next(part for part in self.parts if part.__name__ == name)
        close = f"{suggestion(name, self.names)}, or my_pkg.my_module:Name"
        if name in self.module.__all__:
            needs = unwritable(getattr(self.module, name), self.context)
            why = (
                f"needs {' and '.join(needs)}, which no config can write"
                if needs
                else f"is another part of {self.module.__name__}"
            )
            raise ConfigError(f"{name!r} {why}{close}")
        raise ConfigError(f"unknown {self.module.__name__} name {in_words(name)}{close}")

    def build(self, name: str, *context: Any, **options: Any) -> Any:
        """Calls the part of that name and returns its result. Raises TypeError if a user's part returns the wrong type."""
        result = self.find(name)(*context, **options)
        if not isinstance(result, self.makes):
            raise TypeError(f"{name} makes a {type(result).__name__}, not a {self.makes.__name__}")
        return result

    def takes(self, name: str, argument: str) -> bool:
        """Returns whether the part called `name` has the argument `argument`."""
        return argument in parameters(self.find(name))

    def check(self, part: Named) -> None:
        """Raises ConfigError if there is no such part, or if its options do not fit its signature."""
        check_options(self.find(part.name), part.options, self.context)


SCHEDULE = {"sde": "sde", "t": "times", "sigma_data": "sigma_data"}
NOISE = {"score": "net", "score_and_v": "net", "log_prob_y": "net", "codec_loss": "codec"}
ENDS = {"flow": "teacher", "x_1": "conditions.image"}
BOUND = {"n": "times.n", "t_min": "times.t_min", "width": "data.levels", "low": "data.range"}
LEVELS = {"levels": "data.levels", "low": "data.range"}
NETWORK = {"shape": "data", "rngs": "seed"}
EMITTED = {"channels": "codec.likelihood", "emitted": "codec.likelihood"}

SDE = Kind(sde_lib, sde_lib.SDES, makes=sde_lib.SDE)
OF_CONDITIONS = {"vector": "conditions.vector", "image": "conditions.image"}
NET = Kind(models, models.NETWORKS, NETWORK | {"outputs": "objective"} | OF_CONDITIONS)
OF_CODEC = {key: f"codec.{key}" for key in ("encoder", "decoder", "net", "likelihood")}
OF_CODEC |= {"shape": "data", "distance": "a call in Python"}
CODEC = Kind(models, models.CODECS, OF_CODEC, models.Codec)
ENCODER = Kind(models, models.ENCODERS, NETWORK)
DECODER = Kind(models, models.DECODERS, NETWORK | EMITTED)
LADDER = Kind(models, models.LADDERS, NETWORK | EMITTED)
LIKELIHOOD = Kind(models, models.LIKELIHOODS, LEVELS, models.Likelihood)
DISCRIMINATOR = Kind(models, models.DISCRIMINATORS, NETWORK)
PARAMETERIZATION = Kind(models, models.PARAMETERIZATIONS, SCHEDULE)
CONDITIONING = Kind(models, models.CONDITIONINGS, SCHEDULE)
OBJECTIVE = Kind(losses, losses.OBJECTIVES, {"sde": "sde", **NOISE, **ENDS, "weight": "weight", **BOUND})
WEIGHT = Kind(losses, losses.WEIGHTS, SCHEDULE | {"t_min": "times.t_min"})
TIMES = Kind(losses, losses.TIMES, {"sde": "sde"}, losses.TimeSampler)
STEP = Kind(samplers, samplers.STEPS, {"sde": "sde", "score": "net"}, samplers.Step)
GRID = Kind(samplers, samplers.GRIDS, {"sde": "sde", "n": "the sampler's n"})
GUIDANCE = Kind(guidance, guidance.GUIDANCE, {"scores": "net"})
EXAMPLE = {"key": "seed", "x": "data", "label": "data", "names": "data"}
CONDITIONS = {
    "vector": Kind(conditions, conditions.VECTORS + models.VECTOR_ENCODERS, EXAMPLE | NETWORK),
    "image": Kind(conditions, conditions.IMAGES, EXAMPLE),
    "tokens": Kind(conditions, conditions.TOKENS, EXAMPLE),
}
"""The functions of an example, and the encoders, by the condition that they make."""
EDIT = Kind(edits, edits.EDITS, {"setting": "the run"}, Edit)
OPTIMIZER = Kind(
    optimizers, optimizers.OPTIMIZERS, {"learning_rate": "train.learning_rate or train.schedule"}, optax.GradientTransformation
)
LEARNING_RATE = Kind(schedules, schedules.SCHEDULES, makes=Callable)  # pyright: ignore[reportArgumentType]


def schedule_of(train: Train) -> Named | None:
    """Returns the schedule that the section names, with the options that the section supplies; None if it names none."""
    part = train.schedule
    if part is None:
        return None
    supplied = schedules.from_section(LEARNING_RATE.find(part.name), train)
    return Named(name=part.name, **(supplied | part.options))


@cache
def clash(objective: str, times: str) -> str | None:
    """Returns why the objective cannot be trained with that draw of t, and the remedy; None if it can."""
    if OBJECTIVE.takes(objective, "n") and times != "discrete":
        return f"{objective} sums over the n times of discrete, and over no other draw; take discrete, or objective dsm"
    timeless = OBJECTIVE.takes(objective, "codec_loss") or OBJECTIVE.find(objective) is losses.diffflow
    if timeless and times != "uniform":
        return f"{objective} depends on no t, and {times} would weigh examples at random; take uniform"
    return None


def classifies(config: Config) -> bool:
    """Returns whether the objective trains a classifier instead of a score."""
    return OBJECTIVE.takes(config.objective.name, "log_prob_y")


def trains_codec(config: Config) -> bool:
    """Returns whether the objective trains a codec instead of a score of its codes."""
    return OBJECTIVE.takes(config.objective.name, "codec_loss")


def autoencodes(config: Config) -> bool:
    """Returns whether the vector that the score hears is a code of the example, by an encoder that is trained with it."""
    vector = config.conditions.vector
    return vector is not None and CONDITIONS["vector"].takes(vector.name, "rngs")


def learns_variance(config: Config) -> bool:
    """Returns whether the objective trains v(x_t, t) beside the score."""
    return OBJECTIVE.takes(config.objective.name, "score_and_v")


def augments(config: Config) -> bool:
    """Returns whether the SDE has variables beside the data, which are drawn."""
    sde = SDE.find(config.sde.name)
    return isinstance(sde, type) and issubclass(sde, sde_lib.AugmentedSDE)


def learns_sde(config: Config) -> bool:
    """Returns whether options of the SDE are trained with the network. Adapters leave the SDE of their base as it is."""
    return bool(config.sde.learned) and config.lora is None


def learns_flow(config: Config) -> bool:
    """Returns whether the objective trains a flow that has no score."""
    return OBJECTIVE.takes(config.objective.name, "flow")


def bridges(config: Config) -> bool:
    """Returns whether the objective trains a bridge from a degraded image, which begins where others have the prior."""
    return OBJECTIVE.takes(config.objective.name, "x_1")


def has_marginals(config: Config) -> bool:
    """Returns whether the network has the score of the SDE's marginals, as those of a flow or a bridge have not."""
    return not (learns_flow(config) or bridges(config))


def without_score(objective: str, step: str) -> str:
    """Returns why a step that draws noise cannot sample what such an objective trains, and the remedy."""
    return f"{step} draws noise by a score, and {objective} learns a flow that has none; take ddim, heun or probability_flow"
