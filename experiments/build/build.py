"""Config -> objects: builds everything that a config names, then checks everything that was built."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from flax import linen, nnx

import losses
import models
import sde_lib
from experiments.build.checks import combination_problems, event_problems, experiment_problems
from experiments.build.experiment import Experiment
from experiments.config.options import parameters
from experiments.config.parts import (
    CONDITIONING,
    NET,
    OBJECTIVE,
    PARAMETERIZATION,
    SDE,
    TIMES,
    WEIGHT,
    classifies,
    learns_variance,
)
from experiments.config.problems import attempt
from experiments.config.schema import Config, Named
from experiments.data.moments import Moments
from experiments.data.scaler import scale
from experiments.runtime.errors import ConfigError
from models.build import abstract
from models.functional import Functional
from models.parameterization import Parameterization


def build(config: Config, shape: tuple[int, ...], names: tuple[str, ...] = (), moments: Moments | None = None) -> Experiment:
    """Returns the experiment on events of `shape`, whose labels have these `names` if they have names.

    `moments`: those of the events' channels, if data.standardise asks for them. Raises ConfigError with every problem, one line
    each.
    """
    problems = combination_problems(config, names) + event_problems(config, shape, moments)
    sde = attempt(problems, "sde", lambda: SDE.build(config.sde.name, **config.sde.options))
    attempt(problems, "sde", lambda: sde and sde_lib.check(sde))
    if problems:
        raise ConfigError(problems)

    model = attempt(problems, "net", lambda: _model(config, sde))
    times = attempt(problems, "times", lambda: TIMES.build(config.times.name, sde, **config.times.options))
    objective = attempt(problems, "objective", lambda: _objective(config))
    weight = attempt(problems, "weight", lambda: _weight(config))
    experiment = Experiment(config, shape, sde, model, times, objective, scale(config, moments), names=names)

    problems += experiment_problems(experiment, weight)
    if problems:
        raise ConfigError(problems)
    return experiment


@lru_cache(maxsize=8)
def _functional(net: Any, part: Named, learner: str, compute: str, remat: bool) -> Functional:
    """The network as functions. JAX caches traces by function, so arms that share a network have to share these."""
    return models.functional(_network(net, part, learner), compute, remat)


def _network(net: Any, part: Named, learner: str) -> Any:
    """The network, or a function that makes it from a shape and rngs. It has a second output, a variance, for a `learner`."""
    options = part.options | ({"outputs": 2} if learner else {})
    if learner and "outputs" not in parameters(net):
        raise TypeError(f"objective {learner} learns a variance, and {part.name} takes no `outputs`")
    # A linen class is configured by its options alone; an NNX class waits for the shape and the randomness.
    is_linen = isinstance(net, type) and issubclass(net, linen.Module)
    return net(**options) if is_linen else partial(net, **options)


def structure(config: Config, shape: tuple[int, ...]) -> nnx.Module | None:
    """Returns the network with shapes in place of arrays; None for a linen module, which has no shapes before it is called."""
    net = _network(NET.find(config.net.name), config.net, _learner(config))
    return None if isinstance(net, linen.Module) else abstract(net, shape)


def _model(config: Config, sde: sde_lib.LinearSDE) -> models.ScoreModel | models.ClassModel:
    """The network as a score or as a classifier, in its dtype."""
    net, learner = NET.find(config.net.name), _learner(config)
    # `Named` is frozen, hence hashable, though pyright cannot see it.
    functional = _functional(net, config.net, learner, config.compute, config.remat)  # pyright: ignore[reportArgumentType]
    if classifies(config):
        classes = config.net.options.get("classes", 0)
        return models.class_model(functional, sde, classes, _parameterization(config), config.sigma_data)
    return models.score_model(functional, sde, _parameterization(config), config.sigma_data, bool(learner))


def _learner(config: Config) -> str:
    """The objective's name if it learns a variance, else nothing."""
    return config.objective.name if learns_variance(config) else ""


def _parameterization(config: Config) -> Parameterization:
    """The network's prediction and the scale of its inputs, as the config says."""
    noise = config.conditioning and partial(CONDITIONING.find(config.conditioning.name), **config.conditioning.options)
    return models.conditioned(PARAMETERIZATION.find(config.parameterization), noise, config.scale_input)


def _objective(config: Config) -> Callable[..., losses.Loss]:
    """objective(sde, score), with the weight, the times of a discrete bound, the distance of two levels and the lowest."""
    scaler = scale(config)
    cell = scaler.cell if scaler.levels and not scaler.dequantize else None
    context = {"width": cell, "low": scaler.low} | ({} if config.weight is None else {"weight": _weight(config)})
    context |= {k: v for k, v in config.times.options.items() if k in ("n", "t_min")}
    return _bound(OBJECTIVE.find(config.objective.name), context, config.objective.options)


def _weight(config: Config) -> Callable[..., Any]:
    """weight(sde, t) with its options; any weight if the config names none."""
    if config.weight is None:
        return losses.likelihood
    context = {"sigma_data": config.sigma_data, "t_min": config.times.options.get("t_min") or None}
    return _bound(WEIGHT.find(config.weight.name), context, config.weight.options)


def _bound(part: Callable[..., Any], context: dict[str, Any], options: dict[str, Any]) -> Callable[..., Any]:
    """The part with its options, and with as much of the context as it has arguments for."""
    return partial(part, **({key: value for key, value in context.items() if key in parameters(part)} | options))
