"""Config -> objects: builds everything that a config names, then checks everything that was built."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

import losses
import models
import sde_lib
from experiments.build.augmented_checks import augmented_problems
from experiments.build.checks import check_coordinates, combination_problems, event_problems, experiment_problems
from experiments.build.conditions import encoder, network_options
from experiments.build.discriminator import discriminator_of
from experiments.build.experiment import Experiment, Frozen
from experiments.build.learned_checks import check_learned
from experiments.config.options import parameters
from experiments.config.parts import (
    CODEC,
    CONDITIONING,
    DECODER,
    ENCODER,
    LADDER,
    LIKELIHOOD,
    NET,
    OBJECTIVE,
    PARAMETERIZATION,
    SDE,
    TIMES,
    WEIGHT,
    bridges,
    classifies,
    learns_variance,
)
from experiments.config.problems import attempt
from experiments.config.schema import CodecConfig, Config, Named
from experiments.data.moments import Moments
from experiments.data.scaler import scale
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError
from models.build import abstract
from models.functional import Functional
from models.parameterization import Parameterization
from sde_lib.base import Event


class Trained(NamedTuple):
    """The `codec` of another run, and its parameters `params`."""

    codec: models.Codec
    params: Any


def build(
    config: Config,
    shape: tuple[int, ...],
    names: tuple[str, ...] = (),
    moments: Moments | None = None,
    trained: Trained | None = None,
) -> Experiment:
    """Returns the experiment on events of `shape`, whose labels have these `names` if they have names.

    `moments`: those of the events' channels, if data.standardise asks for them. `trained`: that of codec.run, if it is set.
    Raises ConfigError with every problem, one line each.
    """
    problems = combination_problems(config, names) + event_problems(config, shape, moments)
    by_conditions = None if problems else attempt(problems, "conditions", lambda: network_options(config, shape, names))
    sde = attempt(problems, "sde", lambda: SDE.build(config.sde.name, **config.sde.options))
    attempt(problems, "sde", lambda: sde and _check_sde(sde, config))
    attempt(problems, "sde.learned", lambda: sde and check_learned(sde, config.sde))
    problems += augmented_problems(config, sde)
    if problems or by_conditions is None:
        raise ConfigError(problems)

    codec, of_codec = attempt(problems, "codec", lambda: _codec(config, shape, sde, trained)) or (None, ())
    code_shape = attempt(problems, "codec", lambda: code_shape_of(codec, shape)) or shape
    if not problems:
        attempt(problems, "sde", lambda: check_coordinates(sde, code_shape))
        if problems:
            raise ConfigError(problems)
    model_on = lambda sde: _model(config, shape, sde, by_conditions)
    model = attempt(problems, "net", lambda: model_on(sde))
    times = attempt(problems, "times", lambda: TIMES.build(config.times.name, sde, **config.times.options))
    objective = attempt(problems, "objective", lambda: _objective(config))
    weight = attempt(problems, "weight", lambda: _weight(config))
    experiment = Experiment(config, shape, code_shape, sde, model, times, objective, scale(config, moments), names=names)
    discriminator = attempt(problems, "codec.adversarial", lambda: discriminator_of(config))
    experiment = experiment._replace(codec=codec, frozen=Frozen(codec=of_codec), weight=weight, discriminator=discriminator)
    experiment = experiment._replace(model_on=model_on)

    problems += experiment_problems(experiment, weight)
    if problems:
        raise ConfigError(problems)
    return experiment


def _check_sde(sde: sde_lib.SDE, config: Config) -> None:
    """Checks the SDE. A bridge does not begin at its prior, and may know of the data there."""
    with warnings.catch_warnings():
        if bridges(config):
            warnings.simplefilter("ignore", UserWarning)
        sde_lib.check(sde)


@lru_cache(maxsize=8)
def _functional(
    net: Any, part: Named, learner: str, compute: str, remat: bool, in_space: bool, **by_conditions: int
) -> Functional:
    """The network as functions. JAX caches traces by function, so arms that share a network have to share these."""
    functions = models.functional(_network(net, part, learner, by_conditions), compute, remat)
    return models.traced_once(models.in_space(functions) if in_space else functions)


def _network(net: Any, part: Named, learner: str, by_conditions: dict[str, int]) -> Any:
    """The network, or a function that makes it from a shape and rngs. It has a second output, a variance, for a `learner`."""
    options = part.options | by_conditions | ({"outputs": 2} if learner else {})
    if learner and "outputs" not in parameters(net):
        raise TypeError(f"objective {learner} learns a variance, and {part.name} takes no `outputs`")
    # A linen class is configured by its options alone; an NNX class waits for the shape and the randomness.
    is_linen = isinstance(net, type) and issubclass(net, linen.Module)
    return net(**options) if is_linen else partial(net, **options)


def structure(experiment: Experiment) -> nnx.Module | None:
    """Returns the network with shapes in place of arrays; None for a linen module, which has no shapes before it is called."""
    net = _builder(experiment)
    return None if isinstance(net, linen.Module) else abstract(net, experiment.net_shape)


def features_of(experiment: Experiment) -> Callable[[Any, Event], tuple[jax.Array, ...]]:
    """Returns features(params, x) of the network of an experiment, at the least noise that it knows, that of the SDE's t_min.

    Raises ValueError for a linen module.
    """
    config, sde, net = experiment.config, experiment.sde, _builder(experiment)
    if isinstance(net, linen.Module):
        raise ValueError(f"{config.net.name} is a linen module, which has no method `features`: take Classifier")
    c = _parameterization(config)(sde, sde.t_min, config.sigma_data)
    return models.features(net, c.c_in, c.c_noise)


def _builder(experiment: Experiment) -> Any:
    """The network of an experiment, or a function that makes it, with its options and those that others give it."""
    config = experiment.config
    by_conditions = network_options(config, experiment.shape, experiment.names)
    return _network(NET.find(config.net.name), config.net, _learner(config), by_conditions)


def _model(
    config: Config, shape: tuple[int, ...], sde: sde_lib.SDE, by_conditions: dict[str, int]
) -> models.ScoreModel | models.ClassModel:
    """The network as a score of examples of `shape` or as a classifier, in its dtype.

    `by_conditions`: its options by the conditions that it hears.
    """
    net, learner = NET.find(config.net.name), _learner(config)
    # `Named` is frozen, hence hashable, though pyright cannot see it.
    options = (learner, config.compute, config.remat, config.in_space)
    functional = _functional(net, config.net, *options, **by_conditions)  # pyright: ignore[reportArgumentType]
    if classifies(config):
        classes = config.net.options.get("classes", 0)
        return models.class_model(functional, sde, classes, _parameterization(config), config.sigma_data)
    model = models.score_model(functional, sde, _parameterization(config), config.sigma_data, bool(learner))
    model = models.mixed(model, sde) if config.mixed else model
    encode = encoder(config)
    return models.autoencoded(model, encode, shape) if encode else model


def _codec(
    config: Config, shape: tuple[int, ...], sde: sde_lib.SDE, trained: Trained | None
) -> tuple[models.Codec | None, tuple[Any, ...]]:
    """The chain of the codec of `codec.run`, `codec.by`, the affine one of codec.mean and std, and that of an augmented SDE.

    The second value is what is fixed of its parameters.
    """
    section = config.codec
    if section and section.run and trained is None:
        raise ValueError(f"run = {section.run}: it was not opened, and its codec is needed")
    parts, params = ([trained.codec._replace(loss=None)], [trained.params]) if trained else ([], [])
    if section and section.by:
        event = code_shape_of(models.chain(*parts), shape)
        parts.append(_own_codec(config, section, section.by, event))
        if parts[-1].loss is None:
            params.append(devices.put(parts[-1].init(jax.random.key(0), jnp.zeros(event)), devices.replicated()))
    if section and section.mean:
        parts.append(models.affine(np.asarray(section.mean, np.float32), np.asarray(section.std, np.float32)))
        params.append(())
    if isinstance(sde, sde_lib.AugmentedSDE):
        parts.append(models.phase_space(sde))
        params.append(())
    return (models.chain(*parts), tuple(params)) if parts else (None, ())


def _own_codec(config: Config, section: CodecConfig, by: Named, event: tuple[int, ...]) -> models.Codec:
    """The codec `codec.by` of events of this shape, with its networks and its likelihood."""
    levels = {"levels": config.data.levels, "low": scale(config).low}
    context: dict[str, Any] = {"shape": event}
    emitted = event
    if section.likelihood:
        name, options = section.likelihood.name, section.likelihood.options
        law = LIKELIHOOD.build(name, **(_taken(LIKELIHOOD.find(name), levels) | options))
        # A hierarchical VAE draws codes as it decodes, so that to decode without a key is more than to leave out the noise.
        of_mean = law._replace(draw=lambda own, key, emitted: law.mean(own, emitted))
        context["likelihood"] = law if section.noise else of_mean
        emitted = (*event[:-1], law.channels(event[-1]))
    if section.encoder:
        encoder = partial(ENCODER.find(section.encoder.name), **section.encoder.options)
        context["encoder"] = models.traced_once(models.functional(encoder, config.compute))
    if section.decoder:
        decoder = DECODER.find(section.decoder.name)
        decoder = _bound(decoder, {"channels": emitted[-1], "emitted": emitted}, section.decoder.options)
        context["decoder"] = models.traced_once(models.functional(decoder, config.compute))
    if section.net:
        context["net"] = partial(LADDER.find(section.net.name), **section.net.options)
    codec = CODEC.build(by.name, **(_taken(CODEC.find(by.name), context) | by.options))
    if section.perceptual or section.adversarial:  # trained by them, it does not make a density of the data
        return models.without_density(codec)
    if section.noise or section.likelihood:
        return codec
    return codec._replace(decode=lambda params, key, z: codec.decode(params, None, z))


def code_shape_of(codec: models.Codec | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of the code of an example of `shape`, by shapes alone."""
    if codec is None:
        return shape
    key, x = jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: codec.encode(codec.init(key, x), key, x)[0], x).shape


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
    # A level can be told from the next in x, and not in a code.
    cell = scaler.cell if scaler.levels and not scaler.dequantize and config.codec is None else None
    context = {"width": cell, "low": scaler.low} | ({} if config.weight is None else {"weight": _weight(config)})
    context |= {k: v for k, v in config.times.options.items() if k in ("n", "t_min")}
    return _bound(OBJECTIVE.find(config.objective.name), context, config.objective.options)


def _weight(config: Config) -> Callable[..., Any]:
    """weight(sde, t) with its options; the objective's own if the config names none, and any if it has none."""
    if config.weight is None:
        own = parameters(OBJECTIVE.find(config.objective.name)).get("weight")
        return own.default if own and own.default is not own.empty else losses.likelihood
    context = {"sigma_data": config.sigma_data, "t_min": config.times.options.get("t_min") or None}
    return _bound(WEIGHT.find(config.weight.name), context, config.weight.options)


def _bound(part: Callable[..., Any], context: dict[str, Any], options: dict[str, Any]) -> Callable[..., Any]:
    """The part with its options, and with as much of the context as it has arguments for; itself if there are none."""
    arguments = _taken(part, context) | options
    return partial(part, **arguments) if arguments else part


def _taken(part: Callable[..., Any], context: dict[str, Any]) -> dict[str, Any]:
    """As much of the context as the part has arguments for."""
    return {key: value for key, value in context.items() if key in parameters(part)}
