"""Config -> objects."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from flax import linen, nnx

import losses
import models
import sde_lib
from experiments.build.checks import (
    check_lora,
    check_net,
    check_times,
    check_weight,
    cross_problems,
    event_problems,
    known_guides,
    known_score,
    sampler_problems,
)
from experiments.build.experiment import Experiment
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
    made,
    parameters,
)
from experiments.config.problems import attempt
from experiments.config.schema import Config, Named
from experiments.data.scaler import scale
from experiments.runtime.errors import ConfigError
from models.functional import Functional
from models.parameterization import Parameterization


def build(config: Config, shape: tuple[int, ...]) -> Experiment:
    """The experiment on events of `shape`. Raises ConfigError with every problem, one line each."""
    problems = cross_problems(config) + event_problems(config, shape)
    sde = attempt(problems, "sde", lambda: made(SDE, config.sde.name, SDE.find(config.sde.name)(**config.sde.options)))
    attempt(problems, "sde", lambda: sde and sde_lib.check(sde))
    if problems:
        raise ConfigError(problems)

    model = attempt(problems, "net", lambda: _model(config, sde))
    draw = config.times
    times = attempt(problems, "times", lambda: made(TIMES, draw.name, TIMES.find(draw.name)(sde, **draw.options)))
    objective = attempt(problems, "objective", lambda: _objective(config))
    scaler = scale(config)
    experiment = Experiment(config, shape, sde, model, times, objective, scaler)
    if model is not None:
        attempt(problems, "net", lambda: check_net(experiment))
        attempt(problems, "lora", lambda: check_lora(experiment))
    attempt(problems, "objective", lambda: objective and objective(sde, lambda x, t: x))
    attempt(problems, "weight", lambda: check_weight(_weight(config), sde))
    attempt(problems, "times", lambda: times and check_times(config, sde, times))
    known = experiment._replace(model=known_score(sde), guides=known_guides(config))
    for label, sampler in config.samplers.items():
        problems += sampler_problems(known, label, sampler)
    if problems:
        raise ConfigError(problems)
    return experiment


@lru_cache(maxsize=8)
def _functional(net: Any, part: Named, learner: str, compute: str, remat: bool) -> Functional:
    """The network as functions, the same for all arms that share it: JAX keeps what it has traced by the function."""
    return models.functional(_network(net, part, learner), compute, remat)


def _network(net: Any, part: Named, learner: str) -> Any:
    """The network, or what makes it of a shape and randomness; it emits a variance too where there is a `_learner` of one."""
    options = part.options | ({"outputs": 2} if learner else {})
    if learner and "outputs" not in parameters(net):
        raise TypeError(f"objective {learner} learns a variance, and {part.name} takes no `outputs`")
    # A linen class is configured by its options alone; an NNX class waits for the shape and the randomness.
    is_linen = isinstance(net, type) and issubclass(net, linen.Module)
    return net(**options) if is_linen else partial(net, **options)


def structure(config: Config, shape: tuple[int, ...]) -> nnx.Module | None:
    """The network by its shapes alone; None where it is a linen module, which has none before it is called."""
    net = _network(NET.find(config.net.name), config.net, _learner(config))
    return None if isinstance(net, linen.Module) else nnx.eval_shape(lambda: net(shape, rngs=nnx.Rngs(0)))


def _model(config: Config, sde: sde_lib.LinearSDE) -> models.ScoreModel | models.ClassModel:
    """The network as a score, or a classifier, in its dtype. A `Named` is frozen, and so hashed, though its type is silent."""
    made, learner = NET.find(config.net.name), _learner(config)
    net = _functional(made, config.net, learner, config.compute, config.remat)  # pyright: ignore[reportArgumentType]
    if classifies(config):
        classes = config.net.options.get("classes", 0)
        return models.class_model(net, sde, classes, _parameterization(config), config.sigma_data)
    return models.score_model(net, sde, _parameterization(config), config.sigma_data, bool(learner))


def _learner(config: Config) -> str:
    """The objective, where it learns a variance; else nothing."""
    return config.objective.name if learns_variance(config) else ""


def _parameterization(config: Config) -> Parameterization:
    """What the network predicts, from an input and a noise level as the config says them."""
    told = config.conditioning and partial(CONDITIONING.find(config.conditioning.name), **config.conditioning.options)
    return models.conditioned(PARAMETERIZATION.find(config.parameterization), told, config.scale_input)


def _objective(config: Config) -> Callable[..., losses.Loss]:
    """objective(sde, score), with the weight, the times of a discrete bound, and the distance of two levels."""
    make = OBJECTIVE.find(config.objective.name)
    cell = scale(config).cell if config.data.levels and not config.data.dequantize else None
    given = {"width": cell} | ({} if config.weight is None else {"weight": _weight(config)})
    given |= {k: v for k, v in config.times.options.items() if k in ("n", "t_min")}
    return _with(make, given, config.objective.options)


def _weight(config: Config) -> Callable[..., Any]:
    """weight(sde, t) with its options; where none is named, any."""
    if config.weight is None:
        return losses.likelihood
    given = {"sigma_data": config.sigma_data, "t_min": config.times.options.get("t_min") or None}
    return _with(WEIGHT.find(config.weight.name), given, config.weight.options)


def _with(make: Callable[..., Any], given: dict[str, Any], options: dict[str, Any]) -> Callable[..., Any]:
    """`make` with its options, and with what it takes of what is given."""
    taken = parameters(make)
    return partial(make, **({k: v for k, v in given.items() if k in taken} | options))
