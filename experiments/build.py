"""Config -> objects: the only reader of `name`. What can be wrong with a config is found here, before any compile."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen
from pydantic import ConfigDict, ValidationError, create_model

import losses
import models
import samplers
import sde_lib
from experiments.config import nearest
from experiments.errors import ConfigError
from experiments.scale import Scaler
from experiments.schema import Config, Sampler


class Experiment(NamedTuple):
    """What a config names, built for events of `shape`."""

    config: Config
    shape: tuple[int, ...]
    sde: sde_lib.LinearSDE
    model: models.ScoreModel
    times: losses.TimeSampler
    weight: Callable
    scaler: Scaler

    def score(self, params: Any, key: Any = None) -> sde_lib.Score:
        """The network's score at `params`; `key` for dropout."""
        return lambda x, t: self.model.apply(params, x, t, key=key)

    def step(self, sampler: Sampler, score: sde_lib.Score, **swept: Any) -> samplers.Step:
        """The sampler's step, after its corrector; `swept` replaces options of the step."""
        step = resolve(samplers, sampler.step.name)(self.sde, score, **(sampler.step.options | swept))
        if sampler.corrector is None:
            return step
        return samplers.chain(resolve(samplers, sampler.corrector.name)(self.sde, score, **sampler.corrector.options), step)

    def grid(self, sampler: Sampler, n: int) -> jax.Array:
        """The sampler's grid of n steps."""
        return resolve(samplers, sampler.grid.name)(self.sde, n, **sampler.grid.options)


def resolve(module: ModuleType, name: str) -> Callable[..., Any]:
    """`name` in the module's `__all__`, or "my_pkg.my_module:Name" anywhere; ConfigError with the nearest name otherwise."""
    if ":" in name:
        path, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(path), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"cannot import {name}: {error}; is its folder on PYTHONPATH?") from error
    if name not in module.__all__:
        raise ConfigError(
            f"unknown {module.__name__} name {name!r}{nearest(name, _builders(module))}, or my_pkg.my_module:Name"
        )
    return getattr(module, name)


def _builders(module: ModuleType) -> list[str]:
    return [
        name for name in module.__all__ if callable(getattr(module, name)) and not inspect.isabstract(getattr(module, name))
    ]


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

    def part(module: ModuleType, where: str, section: Any, given: tuple[str, ...]) -> None:
        if isinstance(section, dict) and isinstance(section.get("name"), str):  # anything else is the schema's to refuse
            options = {key: value for key, value in section.items() if key != "name"}
            attempt(problems, where, lambda: _check_options(resolve(module, section["name"]), options, given))

    part(sde_lib, "sde", tree.get("sde"), ())
    part(models, "net", tree.get("net"), ("shape", "rngs"))
    part(losses, "times", tree.get("times"), ("sde",))
    for key, module in (("weight", losses), ("parameterization", models)):
        if isinstance(tree.get(key), str):
            attempt(problems, key, lambda module=module, key=key: resolve(module, tree[key]))
    labelled = tree.get("samplers")
    for label, sampler in labelled.items() if isinstance(labelled, dict) else ():
        if isinstance(sampler, dict):
            part(samplers, f"samplers.{label}.step", sampler.get("step"), ("sde", "score"))
            part(samplers, f"samplers.{label}.corrector", sampler.get("corrector"), ("sde", "score"))
            part(samplers, f"samplers.{label}.grid", sampler.get("grid"), ("sde", "n"))
    return problems


def build(config: Config, shape: tuple[int, ...]) -> Experiment:
    """The experiment on events of `shape`. Raises ConfigError with every problem, one line each."""
    problems = _cross_checks(config)
    sde = attempt(problems, "sde", lambda: resolve(sde_lib, config.sde.name)(**config.sde.options))
    attempt(problems, "sde", lambda: sde and sde_lib.check(sde))
    if problems:
        raise ConfigError(problems)

    def make_model() -> models.ScoreModel:
        net, parameterization = resolve(models, config.net.name), resolve(models, config.parameterization)
        # A linen class is configured by its options alone; an NNX class waits for the shape and the randomness.
        is_linen = isinstance(net, type) and issubclass(net, linen.Module)
        module = net(**config.net.options) if is_linen else partial(net, **config.net.options)
        return models.score_model(module, sde, parameterization, config.sigma_data)

    model = attempt(problems, "net", make_model)
    times = attempt(problems, "times", lambda: resolve(losses, config.times.name)(sde, **config.times.options))
    weight = resolve(losses, config.weight)
    attempt(problems, "weight", lambda: float(weight(sde, 0.5)))
    experiment = Experiment(config, shape, sde, model, times, weight, Scaler(config.data.levels, config.data.dequantize))
    if model is not None:
        attempt(problems, "net", lambda: _check_net(experiment))
    for label, sampler in config.samplers.items():
        attempt(problems, f"samplers.{label}", lambda sampler=sampler: experiment.step(sampler, lambda x, t: x))
        attempt(problems, f"samplers.{label}.grid", lambda sampler=sampler: experiment.grid(sampler, sampler.n))
    if problems:
        raise ConfigError(problems)
    return experiment


def _check_net(experiment: Experiment) -> None:
    """The score has the shape of x: traced, not compiled."""
    x = jnp.zeros(experiment.shape)
    params = jax.eval_shape(experiment.model.init, jax.random.key(0), x)
    out = jax.eval_shape(experiment.model.apply, params, x, 0.5)
    if out.shape != x.shape:
        raise ValueError(f"the network maps {x.shape} to {out.shape}; it must keep the shape")


def _check_options(function: Callable[..., Any], options: dict[str, Any], given: tuple[str, ...]) -> None:
    """`options` against the signature: their names, types and ranges. `given` are the arguments that the caller supplies."""
    # A class by its constructor: NNX's metaclass hides it behind *args.
    signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    parameters = {k: p for k, p in signature.parameters.items() if k not in ("self", *given)}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    hints = _hints(function)
    fields: dict[str, Any] = {
        name: (_plain(hints.get(name, Any)), ... if p.default is p.empty else p.default)
        for name, p in parameters.items()
        if p.kind is not p.VAR_POSITIONAL
    }
    model = create_model("Options", __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False), **fields)
    try:
        model.model_validate(options)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = str(problem["loc"][0])
            if problem["type"] == "extra_forbidden":
                lines.append(f"unknown option {name}{nearest(name, list(fields))}")
            else:
                lines.append(f"{name} = {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}")
        raise ConfigError(lines) from error


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, or of a class's constructor or fields; none where they cannot be evaluated."""
    hints: dict[str, Any] = {}
    for source in (function, function.__init__) if isinstance(function, type) else (function,):
        try:
            hints |= typing.get_type_hints(source, include_extras=True)
        except (NameError, TypeError):
            continue
    return hints


def _plain(hint: Any) -> Any:
    """The part of an annotation that a config file can write: `Scalar`, an array or a float, is a float."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        plain = tuple(_plain(a) for a in typing.get_args(hint) if _plain(a) is not Any)
        return typing.Union[plain] if plain else Any  # noqa: UP007
    if typing.get_origin(hint) is typing.Annotated:
        base, *limits = typing.get_args(hint)
        return Annotated[_plain(base), *limits] if _plain(base) is not Any else Any
    writable = hint in (int, float, bool, str, type(None)) or typing.get_origin(hint) is tuple
    return hint if writable else Any


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
    for label, sampler in config.samplers.items():
        lengths = {len(values) for values in sampler.sweep.values()}
        if len(lengths) > 1:
            problems.append(f"samplers.{label}.sweep: its values are taken together, so they need one length, not {lengths}")
        if any(n < 1 or n != int(n) for n in sampler.sweep.get("n", ())):
            problems.append(f"samplers.{label}.sweep.n: numbers of steps are whole and at least 1")
        options = inspect.signature(resolve(samplers, sampler.step.name)).parameters
        for name in sampler.sweep.keys() - {"n"}:
            where = f"samplers.{label}.sweep"
            if name not in options:
                problems.append(f"{where}: unknown option {name}{nearest(name, ['n', *list(options)[2:]])}")
            elif name not in sampler.step.options:
                problems.append(f"{where}: give samplers.{label}.step.{name} a value too, for outside the sweep")
    return problems
