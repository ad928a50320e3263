"""The features that a perceptual term of a codec's loss compares: of a classifier's run, or of a file of LPIPS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import losses
import models
from experiments.build.build import features_of
from experiments.build.experiment import Experiment
from experiments.build.state import params_digest
from experiments.config.messages import in_words
from experiments.config.parts import classifies
from experiments.config.problems import attempt
from experiments.config.schema import Perceptual
from experiments.runs.codecs import build_run
from experiments.runs.lora_base import with_base
from experiments.runs.other_run import config_of_other, facts_of_other, recorded_config
from experiments.runs.resume import trained_state
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import home, is_file
from experiments.weights.published.lpips import read_lpips
from sde_lib.base import Event

Features = Callable[[Any, Event], tuple[jax.Array, ...]]


def with_features(experiment: Experiment, workdir: Path) -> Experiment:
    """Returns the experiment with the distance of `codec.perceptual` and the digest of its features; without one, as it is.

    Raises ConfigError if the features are of other data, and StorageError if there are none, or if the run in `workdir` began
    with others.
    """
    codec = experiment.config.codec
    section = codec and codec.perceptual
    if not codec or not section:
        return experiment
    features, params = _of_run(experiment, section, workdir) if section.run else _of_file(experiment, section)
    problems: list[str] = []
    x = jax.ShapeDtypeStruct(experiment.shape, jnp.float32)
    attempt(problems, "codec.perceptual", lambda: jax.eval_shape(features, params["net"], x))
    if problems:
        raise ConfigError(problems)
    digest, before = params_digest(params), recorded_config(workdir)
    recorded = before.codec.perceptual.digest if before and before.codec and before.codec.perceptual else ""
    if (expected := section.digest or recorded) not in ("", digest):
        raise StorageError(
            [
                f"codec.perceptual compares features with the digest {digest}, and this run began with {expected}",
                "name those by codec.perceptual.run or file; to train by others, take another folder",
            ]
        )

    def distance(params: Any) -> Callable[[Event, Event], Any]:
        return losses.perceptual(lambda x: features(params["net"], x), params["heads"])

    settled = codec.model_copy(update={"perceptual": section.model_copy(update={"digest": digest})})
    frozen = experiment.frozen._replace(features=devices.put(params, devices.replicated()))
    config = experiment.config.model_copy(update={"codec": settled})
    return experiment._replace(config=config, frozen=frozen, distance=distance)


def _of_run(experiment: Experiment, section: Perceptual, workdir: Path) -> tuple[Features, dict[str, Any]]:
    """The features of a classifier of noisy examples at its least noise, and its averaged parameters."""
    key, run, own = "codec.perceptual.run", home(section.run), experiment.config
    theirs = config_of_other(key, run, own, workdir, "name a run that trained a classifier, by objective cross_entropy")
    if not classifies(theirs):
        raise ConfigError(f"{key} = {run} trained no classifier: name a run of objective cross_entropy")
    facts = facts_of_other(key, run, theirs, own, experiment.shape)
    classifier = with_base(build_run(theirs, experiment.shape, facts.classes, facts.moments, run), run)
    params, problems = classifier.merged(trained_state(classifier, run).ema), []
    features = attempt(problems, key, lambda: features_of(classifier))
    if problems:
        raise ConfigError(problems)
    return features, {"net": params, "heads": None}


def _of_file(experiment: Experiment, section: Perceptual) -> tuple[Features, dict[str, Any]]:
    """The features of VGG16, of images of one or three channels, and what a file of LPIPS holds."""
    shape, scaler, path = experiment.shape, experiment.scaler, home(section.file)
    if not scaler.levels or len(shape) != 3 or shape[-1] not in (1, 3) or min(shape[:2]) < 16:
        images = "is of images of 1 or 3 channels and of 16 x 16 pixels or more"
        raise ConfigError(f"codec.perceptual.file {images}, and these have {shape}: take codec.perceptual.run, of a classifier")
    if not is_file(path):
        raise StorageError(f"codec.perceptual.file: there is no {in_words(str(path))}; name a file of LPIPS, as .safetensors")
    net, params = read_lpips(path)
    features = models.features(net)

    def of(params: Any, x: Event) -> tuple[jax.Array, ...]:
        symmetric = 1 - 2 * (1 - x) / (1 - scaler.low)
        return features(params, jnp.broadcast_to(symmetric, (*shape[:-1], 3)))

    return of, params
