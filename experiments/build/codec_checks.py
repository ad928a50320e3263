"""Problems of a codec: what nothing trains, what has no density, and what goes with no codec."""

from __future__ import annotations

import jax
import jax.numpy as jnp

import models
from experiments.build.discriminator import check_discriminator
from experiments.build.experiment import Experiment
from experiments.config.parts import CODEC, LIKELIHOOD, autoencodes, trains_codec
from experiments.config.problems import OF_CODECS, Problems
from experiments.config.schema import CodecConfig, Config, Named
from sde_lib.base import linear

APART = "train it by objective rate_distortion with net Zero, and name that run as codec.run"


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
    problems += _of_terms(section, config) + _of_cache(section, config)
    if config.train.augment:
        problems.append(f"train.augment = {config.train.augment:g} is of images, and the network sees codes; take 0")
    if config.evaluate.dequantizer == "variational":
        problems.append(
            "evaluate.dequantizer = 'variational' is fitted to a density of x, and this is one of codes; take 'uniform'"
        )
    return problems


def _of_terms(section: CodecConfig, config: Config) -> Problems:
    """Problems of the perceptual and of the adversarial term."""
    problems: Problems = []
    if (terms := _terms(section)) and not trains_codec(config):
        of = f"{terms} is of the loss of a codec alone, and objective {config.objective.name} trains none alone"
        problems.append(f"{of}; take None, or objective rate_distortion")
    perceptual, adversarial, train = section.perceptual, section.adversarial, config.train
    if perceptual and bool(perceptual.run) == bool(perceptual.file):
        both = "are two networks" if perceptual.run else "name none"
        remedy = "set one of them, --config.codec.perceptual.run=RUN of a classifier, or file=FILE of LPIPS"
        problems.append(f"codec.perceptual.run and file {both}, and the features of one are compared: {remedy}")
    if adversarial and adversarial.start >= train.steps:
        ends = f"training ends at train.steps = {train.steps} before it"
        problems.append(f"codec.adversarial.start = {adversarial.start}: {ends}; take less, or codec.adversarial = None")
    if adversarial and train.accumulate > 1:
        whole = "the discriminator and its weight are of a whole batch"
        problems.append(f"train.accumulate = {train.accumulate}: {whole}; take 1, and a smaller train.batch")
    return problems


def _of_cache(section: CodecConfig, config: Config) -> Problems:
    """Problems of codes that are to be on disk: they must be the same whenever an example is read."""
    if section.cache == "none":
        return []
    problems: Problems = []
    cache, data = f"codec.cache = {section.cache!r}", config.data
    if not section.run:
        problems.append(f"{cache} is of the codes of a fixed codec, and codec.run names none; take 'none', or name its run")
    if data.levels and data.dequantize:
        problems.append(f"{cache}: data.dequantize = True makes another x of an example in each step; take False, or 'none'")
    if data.size is not None and data.crop == "random":
        problems.append(f"{cache}: data.crop = 'random' cuts images anew in each epoch; take 'centre', or 'none'")
    return problems


def _terms(section: CodecConfig) -> str:
    """The names of the further terms of the loss; "" if there are none."""
    return " and ".join(f"codec.{name}" for name in ("perceptual", "adversarial") if getattr(section, name))


def check_codec(experiment: Experiment) -> None:
    """Checks that the codec takes examples back and forth, and that what is to be trained can be trained.

    Raises ValueError, or TypeError for an SDE of arrays, with the nearest that works.
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
        _check_together(experiment, codec, by)
    of_example = [kind for kind, each in experiment.conditions.items() if "x" in each.needs]
    if experiment.reads_codes and of_example:
        why = f"conditions.{of_example[0]} is made of the example, which no step reads then"
        raise ValueError(f"codec.cache = {config.codec.cache!r}: {why}; take cache = 'none'")
    terms = _terms(config.codec)
    if terms and codec.reconstruct is None:
        raise ValueError(f"{terms} compares x with x_hat, and {by} has none but x itself: take vae, or None")
    name = f"{by or config.codec.run}{f' with {terms}' if terms else ''}"
    if config.evaluate.likelihood and (why := without_likelihood(codec, name)):
        raise ValueError(f"{why}{f' without {terms}' if terms else ''}, or evaluate.likelihood = 0")
    check_discriminator(experiment)
    key, x = jax.random.key(0), jax.ShapeDtypeStruct(experiment.shape, jnp.float32)
    if config.conditions.image and experiment.net_shape[:-1] != experiment.shape[:-1]:
        sides = " x ".join(map(str, experiment.net_shape[:-1]))
        raise ValueError(f"conditions.image has the sides of an example, and enters beside a code of {sides}: take tokens")
    there_and_back = lambda x: codec.decode(codec.init(key, x), key, codec.encode(codec.init(key, x), key, x)[0])
    batch = jax.ShapeDtypeStruct((1, *x.shape), x.dtype)  # of which a step of an autoencoder's sampler may take means
    _, *back = jax.eval_shape(jax.vmap(there_and_back, axis_name="batch"), batch).shape
    if tuple(back) != experiment.shape:
        raise ValueError(f"it decodes to the shape {tuple(back)}, and examples have {experiment.shape}")


def without_likelihood(codec: models.Codec, name: str) -> str | None:
    """Returns why examples have no likelihood through the codec of that name, and the remedy; None if they have one."""
    if codec.density:
        return None
    return f"the codec {name} has no density p(x | z), so that x has no likelihood; take one with a density, as vae"


def not_together(codec: models.Codec, by: str, objective: Named) -> str | None:
    """Returns why the codec cannot be trained together with the score of its codes by that objective; None if it can."""
    if objective.name not in ("dsm", "continuous_vlb") or objective.options.get("half_sum"):
        which = "dsm without half_sum, or continuous_vlb"
        return f"codec.by = {by} is trained with its score by objective dsm or continuous_vlb alone; take {which}, or {APART}"
    if not codec.density:
        return f"codec.by = {by} has no density p(x | z), so that codes trained with their score would shrink; {APART}"
    return None


def _check_together(experiment: Experiment, codec: models.Codec, by: str) -> None:
    """Checks that the codec can be trained together with the score of its codes."""
    config = experiment.config
    linear(experiment.sde, f"codec.by = {by}, trained with its score,", APART)
    if why := not_together(codec, by, config.objective):
        raise ValueError(why)
    if config.lora:
        raise ValueError(f"codec.by = {by} would be trained, and lora adapts what is trained: take lora = None, or {APART}")
    if experiment.reads_codes:
        raise ValueError(f"codec.cache: codes change while {by} is trained with their score; take 'none', or {APART}")
    if autoencodes(config):
        raise ValueError(f"codec.by = {by} is trained by a bound on -log p(x), and a code as a vector leaves none; {APART}")
    if config.codec and config.codec.standardise != "none":
        raise ValueError(f"codec.standardise: codes change while {by} is trained with their score; take 'none', or {APART}")
    experiment.loss({"net": None, "codec": None, "sde": experiment.learned}, None)  # it refuses a weight that cannot train both


def _has_parameters(experiment: Experiment) -> bool:
    """Returns whether the network has any parameter."""
    z = jax.ShapeDtypeStruct(experiment.code_shape, jnp.float32)
    return bool(jax.tree.leaves(jax.eval_shape(experiment.model.init, jax.random.key(0), z)))
