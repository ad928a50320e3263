"""The codec of a run: that of another run, whose parameters stay fixed, and the moments of its codes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.autoencoder import autoencoder_codec
from experiments.build.build import Trained, build
from experiments.build.experiment import Experiment
from experiments.build.sampler import sample_sampler
from experiments.build.state import params_digest
from experiments.config.guidance import Params
from experiments.config.parts import autoencodes, trains_codec
from experiments.config.schema import CodecConfig, Config
from experiments.data.dataset import Dataset
from experiments.data.moments import Moments, streamed_moments
from experiments.randomness import Purpose, streams
from experiments.runs.other_run import config_of_other, facts_of_other, recorded_config
from experiments.runs.resume import trained_state
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import home
from experiments.runtime.startup import PROGRAM

MOST = 10_000
"""The most training examples whose codes are standardised by."""


def build_run(
    config: Config, shape: tuple[int, ...], names: tuple[str, ...], moments: Moments | None, workdir: Path
) -> Experiment:
    """Returns the experiment of the run in `workdir`, with its codec: that of `codec.run`, and the moments that it recorded.

    The other arguments are those of `build`. Raises ConfigError if the config is wrong, or does not fit the other run's codec.
    Raises StorageError if there is no such run, or if its parameters are not those that this run began with.
    """
    if config.codec is None:
        return build(config, shape, names, moments)
    section = _recorded(config.codec, workdir)
    trained = None
    if section.run:
        trained = _trained(config, home(section.run), shape, names, workdir)
        digest = params_digest(trained.params)
        if section.digest not in ("", digest):
            raise StorageError(
                [
                    f"codec.run = {section.run} has parameters with the digest {digest}, and this run used {section.digest}",
                    f"if it trained further, go back: {PROGRAM} ckpt rollback {shlex.quote(section.run)} --step=N",
                    "if it is another run, name the first: --config.codec.run=RUN; to score its codes, take another folder",
                ]
            )
        section = section.model_copy(update={"digest": digest})
    return build(config.model_copy(update={"codec": section}), shape, names, moments, trained)


def with_code_moments(experiment: Experiment, data: Dataset | None, workdir: Path) -> Experiment:
    """Returns the experiment with its codes standardised, if its config asks for it and the run has not recorded by what."""
    section = experiment.config.codec
    if section is None or section.standardise == "none" or section.mean or data is None:
        return experiment
    n = min(MOST, len(data.train))
    by = streamed_moments(_codes(experiment, data, n), n).over(section.standardise)
    assert by is not None
    if by.constant:
        raise ConfigError(f"codec.standardise = {section.standardise!r}: channel {by.constant[0] + 1} of the codes is constant")
    settled = section.model_copy(update={"mean": by.mean, "std": by.std})
    config = experiment.config.model_copy(update={"codec": settled})
    return build_run(config, experiment.shape, experiment.names, data.moments, workdir)


def _codes(experiment: Experiment, data: Dataset, n: int) -> Iterator[np.ndarray]:
    """The codes of the first n training examples of the order, in blocks."""

    def one(params: Params, row: tuple[jax.Array, jax.Array]) -> jax.Array:
        return experiment.code(params, *row)

    encode, params = devices.mapped(one), Params((), {}, experiment.frozen.codec)
    for k in data.train.blocks(data.train.indices(0, n)):
        rows = streams(experiment.config.seed, Purpose.CODES, len(k)), jnp.asarray(k)
        yield devices.in_batches(encode, params, rows, experiment.config.evaluate.batch)


def _trained(config: Config, run: Path, shape: tuple[int, ...], names: tuple[str, ...], workdir: Path) -> Trained:
    """The codec that the run trained, on the same data. Raises ConfigError or StorageError if it did not."""
    remedy = "name a run of objective rate_distortion, or a diffusion autoencoder"
    theirs = config_of_other("codec.run", run, config, workdir, remedy)
    if not trains_codec(theirs) and not autoencodes(theirs):
        raise ConfigError(f"codec.run = {run} trained a score, and no codec: {remedy}")
    facts = facts_of_other("codec.run", run, theirs, config, shape)
    experiment = build_run(theirs, shape, names, facts.moments, run)
    params = experiment.network(trained_state(experiment, run).ema)
    if autoencodes(theirs):
        _refuse_others(experiment, run)
        return Trained(autoencoder_codec(experiment), params)
    assert experiment.codec is not None
    return Trained(experiment.codec, params.codec)


def _refuse_others(experiment: Experiment, run: Path) -> None:
    """Raises ConfigError if the score of a diffusion autoencoder needs more than its code to make an example."""
    if others := experiment.dropouts.keys() - {"vector"}:
        raise ConfigError(f"codec.run = {run} decodes a code with {' and '.join(sorted(others))} beside it: take one without")
    guidance = sample_sampler(experiment).config.guidance
    if guidance and "run" in guidance.options:
        raise ConfigError(f"codec.run = {run} samples by {guidance.name}, with another run: take one that samples without")


def _recorded(section: CodecConfig, workdir: Path) -> CodecConfig:
    """The section with the digest and the moments that the run in `workdir` recorded when it began, where it has none."""
    before = recorded_config(workdir)
    if before is None or before.codec is None:
        return section
    empty = {key: getattr(before.codec, key) for key in ("digest", "mean", "std") if not getattr(section, key)}
    return section.model_copy(update=empty)
