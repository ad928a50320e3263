"""Config -> objects. What can be wrong with a config is found here, before any compile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen
from pydantic import ValidationError

import losses
import models
import samplers
import sde_lib
from experiments import dequantize
from experiments.config import nearest
from experiments.errors import ConfigError
from experiments.parts import GRID, NET, OBJECTIVE, PARAMETERIZATION, SDE, STEP, TIMES, WEIGHT, Kind, clash, parameters
from experiments.scale import Scaler
from experiments.schema import Config, Named, Sampler


class Experiment(NamedTuple):
    """What a config names, built for events of `shape`."""

    config: Config
    shape: tuple[int, ...]
    sde: sde_lib.LinearSDE
    model: models.ScoreModel
    times: losses.TimeSampler
    objective: Callable[..., losses.Loss]
    scaler: Scaler

    def score(self, params: Any, key: Any = None) -> sde_lib.Score:
        """The network's score at `params`; `key` for dropout."""
        return lambda x, t: self.model.apply(params, x, t, key=key)

    def loss(self, params: Any, key: Any) -> losses.Loss:
        """The objective at `params`, with `key` for dropout."""
        evaluate = self.model.with_variance if learns_variance(self.config) else self.model.apply
        return self.objective(self.sde, lambda x, t: evaluate(params, x, t, key=key))

    def step(self, sampler: Sampler, params: Any, **swept: Any) -> samplers.Step:
        """The sampler's step at `params`, after its corrector; `swept` replaces options of the step.

        A step that takes a variance v, and is told none, gets the learned one where there is one.
        """
        make, score, options = STEP.find(sampler.step.name), self.score(params), sampler.step.options | swept
        if "v" in parameters(make) and learns_variance(self.config):
            options = {"v": lambda x, t: self.model.with_variance(params, x, t)[1]} | options
        step = make(self.sde, score, **options)
        if sampler.corrector is None:
            return step
        return samplers.chain(STEP.find(sampler.corrector.name)(self.sde, score, **sampler.corrector.options), step)

    def grid(self, sampler: Sampler, n: int) -> jax.Array:
        """The sampler's grid of n steps."""
        return GRID.find(sampler.grid.name)(self.sde, n, **sampler.grid.options)


def learns_variance(config: Config) -> bool:
    """Whether the objective trains v(x_t, t) beside the score."""
    return "score_and_v" in parameters(OBJECTIVE.find(config.objective.name))


PARTS = {"sde": SDE, "net": NET, "parameterization": PARAMETERIZATION, "objective": OBJECTIVE, "weight": WEIGHT, "times": TIMES}
SAMPLER_PARTS = {"step": STEP, "corrector": STEP, "grid": GRID}
Problems = list[str]


def attempt(problems: Problems, where: str, make: Callable[[], Any]) -> Any:
    """`make()`; or None, and its error among the problems, if that is one that a config can cause."""
    try:
        return make()
    except ConfigError as error:
        problems.extend(f"{where}: {line}" for line in str(error).splitlines())
    except (TypeError, ValueError, ZeroDivisionError, IndexError) as error:
        problems.append(f"{where}: {' '.join(str(error).split())}")


def part_problems(tree: dict[str, Any]) -> Problems:
    """What is wrong with the named parts of a config's tree: names that do not exist, options that do not fit a signature."""
    problems: Problems = []

    def part(kind: Kind, where: str, section: Any) -> None:
        try:
            named = Named.model_validate(section)
        except ValidationError:  # the schema's to refuse
            return
        attempt(problems, where, lambda: kind.check(named))

    for key, kind in PARTS.items():
        if tree.get(key) is not None:
            part(kind, key, tree[key])
    labelled = tree.get("samplers")
    for label, sampler in labelled.items() if isinstance(labelled, dict) else ():
        for key, kind in SAMPLER_PARTS.items() if isinstance(sampler, dict) else ():
            if sampler.get(key) is not None:
                part(kind, f"samplers.{label}.{key}", sampler[key])
    return problems


def build(config: Config, shape: tuple[int, ...]) -> Experiment:
    """The experiment on events of `shape`. Raises ConfigError with every problem, one line each."""
    problems = _cross_checks(config)
    sde = attempt(problems, "sde", lambda: SDE.find(config.sde.name)(**config.sde.options))
    attempt(problems, "sde", lambda: sde and sde_lib.check(sde))
    if problems:
        raise ConfigError(problems)

    model = attempt(problems, "net", lambda: _model(config, sde))
    times = attempt(problems, "times", lambda: TIMES.find(config.times.name)(sde, **config.times.options))
    objective = attempt(problems, "objective", lambda: _objective(config))
    scaler = Scaler(config.data.levels, config.data.dequantize)
    experiment = Experiment(config, shape, sde, model, times, objective, scaler)
    if model is not None:
        attempt(problems, "net", lambda: _check_net(experiment))
    attempt(problems, "objective", lambda: objective and objective(sde, lambda x, t: x))
    attempt(problems, "weight", lambda: _weight(config)(sde, 0.5))
    for label, sampler in config.samplers.items():
        attempt(problems, f"samplers.{label}", lambda sampler=sampler: experiment.step(sampler, None))
        attempt(problems, f"samplers.{label}.grid", lambda sampler=sampler: experiment.grid(sampler, sampler.n))
    if problems:
        raise ConfigError(problems)
    return experiment


def _model(config: Config, sde: sde_lib.LinearSDE) -> models.ScoreModel:
    """The network as a score; it emits a variance too where the objective learns one."""
    net, learned = NET.find(config.net.name), learns_variance(config)
    options = config.net.options | ({"outputs": 2} if learned else {})
    if learned and "outputs" not in parameters(net):
        raise TypeError(f"objective {config.objective.name} learns a variance, and {config.net.name} takes no `outputs`")
    # A linen class is configured by its options alone; an NNX class waits for the shape and the randomness.
    is_linen = isinstance(net, type) and issubclass(net, linen.Module)
    module = net(**options) if is_linen else partial(net, **options)
    return models.score_model(module, sde, PARAMETERIZATION.find(config.parameterization), config.sigma_data, learned)


def _objective(config: Config) -> Callable[..., losses.Loss]:
    """objective(sde, score), with the weight, the times of a discrete bound, and the distance of two levels."""
    make = OBJECTIVE.find(config.objective.name)
    step = 2 / (config.data.levels - 1) if config.data.levels and not config.data.dequantize else None
    given = {"width": step} | {k: config.times.options[k] for k in ("n", "t_min") if k in config.times.options}
    if config.weight is not None:
        given["weight"] = _weight(config)
    return partial(make, **({k: given[k] for k in given if k in parameters(make)} | config.objective.options))


def _weight(config: Config) -> Callable[..., Any]:
    """weight(sde, t) with its options; where none is named, any."""
    return losses.likelihood if config.weight is None else partial(WEIGHT.find(config.weight.name), **config.weight.options)


def _check_net(experiment: Experiment) -> None:
    """The score has the shape of x: traced, not compiled."""
    x = jnp.zeros(experiment.shape)
    params = jax.eval_shape(experiment.model.init, jax.random.key(0), x)
    out = jax.eval_shape(experiment.model.apply, params, x, 0.5)
    if out.shape != x.shape:
        raise ValueError(f"the network maps {x.shape} to {out.shape}; it must keep the shape")


def _cross_checks(config: Config) -> list[str]:
    """Combinations that no single key can judge."""
    problems = []
    devices = jax.device_count()
    for key, batch in (("train.batch", config.train.batch), ("evaluate.batch", config.evaluate.batch)):
        if batch % devices:
            lower = batch // devices * devices
            valid = " or ".join(str(b) for b in (lower, lower + devices) if b)
            problems.append(f"{key} = {batch} does not divide over {devices} devices: take {valid}")
    if config.sample.sampler not in config.samplers:
        close = nearest(config.sample.sampler, list(config.samplers))
        problems.append(f"sample.sampler = {config.sample.sampler!r} is not one of samplers{close}")
    if config.train.warm_up >= config.train.steps and config.train.decay == "cosine":
        problems.append(f"train.warm_up = {config.train.warm_up} leaves no step to decay in train.steps = {config.train.steps}")
    if reason := clash(config.objective.name, config.times.name):
        problems.append(f"times: {reason}")
    if config.weight is not None and "weight" not in parameters(OBJECTIVE.find(config.objective.name)):
        problems.append(f"weight: {config.objective.name} weighs t itself, not by {config.weight.name}; take None, or dsm")
    problems += dequantize.problems(config)
    for label, sampler in config.samplers.items():
        lengths = {len(values) for values in sampler.sweep.values()}
        if len(lengths) > 1:
            problems.append(f"samplers.{label}.sweep: its values are taken together, so they need one length, not {lengths}")
        if any(n < 1 or n != int(n) for n in sampler.sweep.get("n", ())):
            problems.append(f"samplers.{label}.sweep.n: numbers of steps are whole and at least 1")
        options = parameters(STEP.find(sampler.step.name))
        for name in sampler.sweep.keys() - {"n"}:
            where = f"samplers.{label}.sweep"
            if name not in options:
                problems.append(f"{where}: unknown option {name}{nearest(name, ['n', *list(options)[2:]])}")
            elif name not in sampler.step.options:
                problems.append(f"{where}: give samplers.{label}.step.{name} a value too, for outside the sweep")
    return problems
