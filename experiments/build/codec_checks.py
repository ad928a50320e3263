"""Problems of a codec: what nothing trains, what has no density, and what goes with no codec."""

from __future__ import annotations

import jax
import jax.numpy as jnp

import models
from experiments.build.experiment import Experiment
from experiments.config.parts import CODEC, LIKELIHOOD, autoencodes, trains_codec
from experiments.config.problems import OF_CODECS, Problems
from experiments.config.schema import CodecConfig, Config


def codec_problems(config: Config) -> Problems:
    """Returns the problems of a codec's section beside the others, before anything is built."""
    return (_of_training(config) if trains_codec(config) else []) + (_of_section(config.codec, config) if config.codec else [])


def _of_training(config: Config) -> Problems:
    """Problems of an objective that trains a codec."""
    problems: Problems = []
    name = config.objective.name
    if config.codec is None or config.codec.by is None:
        problems.append(f"objective: {name} trains a codec, and the config names none; set codec.by, as in codec.by = vae")
    elif config.codec.standardise != "none":
        remedy = "take 'none' here, and standardise in the run that scores its codes"
        problems.append(
            f"codec.standardise = {config.codec.standardise!r}: codes change while their codec is trained; {remedy}"
        )
    if config.times.name != "uniform":
        problems.append(f"times: {name} depends on no t, and {config.times.name} would weigh examples at random; take uniform")
    if config.lora:
        problems.append(f"lora adapts a network, and {name} trains none; take None, or objective dsm")
    return problems


def _of_section(section: CodecConfig, config: Config) -> Problems:
    """Problems of a codec, whatever the objective."""
    problems: Problems = []
    if not section.run and section.by is None:
        remedy = "name a run that trained one, --config.codec.run=RUN, or one by codec.by; or take codec = None"
        problems.append(f"codec has no codec in it: {remedy}")
    if section.by:
        for key, kind in OF_CODECS.items():
            takes, part = CODEC.takes(section.by.name, key), getattr(section, key)
            if takes and part is None:
                problems.append(f"codec.by = {section.by.name} needs codec.{key}: take {' or '.join(kind.names)}")
            if part is not None and not takes:
                problems.append(f"codec.{key} = {part.name} would change nothing: {section.by.name} has none; take None")
    law = section.likelihood and section.likelihood.name
    if law and not config.data.levels and LIKELIHOOD.takes(law, "low"):
        problems.append(
            f"codec.likelihood = {law} is of grey levels, and data.levels = 0 says that these are floats; take gaussian"
        )
    if len(section.mean) != len(section.std) or (section.mean and section.standardise == "none"):
        problems.append("codec.mean and codec.std are found by codec.standardise = 'channel' or 'scalar': leave them out")
    if config.train.augment:
        problems.append(f"train.augment = {config.train.augment:g} is of images, and the network sees codes; take 0")
    if config.evaluate.dequantizer == "variational":
        problems.append(
            "evaluate.dequantizer = 'variational' is fitted to a density of x, and this is one of codes; take 'uniform'"
        )
    return problems


def check_codec(experiment: Experiment) -> None:
    """Checks that the codec takes examples back and forth, and that what is to be trained can be trained.

    Raises ValueError with the nearest that works.
    """
    codec, config = experiment.codec, experiment.config
    if experiment.trains == "net" and config.net.name == models.Zero.__name__:
        raise ValueError("net Zero has nothing to train; take DDPM, or objective rate_distortion with a codec")
    if codec is None or config.codec is None:
        return
    by = config.codec.by.name if config.codec.by else ""
    if experiment.trains == "codec" and codec.loss is None:
        raise ValueError(f"codec.by = {by} has nothing to train: take vae or autoencoder, or objective dsm")
    if experiment.trains == "codec" and _has_parameters(experiment):
        raise ValueError(
            f"{config.objective.name} trains the codec alone, and net {config.net.name} has parameters; take net Zero"
        )
    if experiment.trains == "both":
        _check_together(config, codec, by)
    if not codec.density and config.evaluate.likelihood:
        remedy = "take evaluate.likelihood = 0, or a codec with a density, as vae"
        raise ValueError(f"the codec {by or config.codec.run} has no density p(x | z), so that x has no likelihood: {remedy}")
    key, x = jax.random.key(0), jax.ShapeDtypeStruct(experiment.shape, jnp.float32)
    if config.conditions.image and experiment.code_shape[:-1] != experiment.shape[:-1]:
        sides = " x ".join(map(str, experiment.code_shape[:-1]))
        raise ValueError(f"conditions.image has the sides of an example, and enters beside a code of {sides}: take tokens")
    there_and_back = lambda x: codec.decode(codec.init(key, x), key, codec.encode(codec.init(key, x), key, x)[0])
    batch = jax.ShapeDtypeStruct((1, *x.shape), x.dtype)  # of which a step of an autoencoder's sampler may take means
    _, *back = jax.eval_shape(jax.vmap(there_and_back, axis_name="batch"), batch).shape
    if tuple(back) != experiment.shape:
        raise ValueError(f"it decodes to the shape {tuple(back)}, and examples have {experiment.shape}")


def _check_together(config: Config, codec: models.Codec, by: str) -> None:
    """Checks that the codec can be trained together with the score of its codes."""
    apart = "or train it by objective rate_distortion with net Zero, and name that run as codec.run"
    if config.objective.name != "dsm" or config.objective.options.get("half_sum"):
        raise ValueError(f"codec.by = {by} is trained with its score by objective dsm, without half_sum: take that, {apart}")
    if not codec.density:
        raise ValueError(
            f"codec.by = {by} has no density p(x | z), so that codes trained with their score would shrink: {apart}"
        )
    if config.lora:
        raise ValueError(f"codec.by = {by} would be trained, and lora adapts what is trained: take lora = None, {apart}")
    if autoencodes(config):
        raise ValueError(f"codec.by = {by} is trained by a bound on -log p(x), and a code as a vector leaves none: {apart}")
    if config.codec and config.codec.standardise != "none":
        raise ValueError(f"codec.standardise: codes change while {by} is trained with their score; take 'none', {apart}")


def _has_parameters(experiment: Experiment) -> bool:
    """Returns whether the network has any parameter."""
    z = jax.ShapeDtypeStruct(experiment.code_shape, jnp.float32)
    return bool(jax.tree.leaves(jax.eval_shape(experiment.model.init, jax.random.key(0), z)))
