"""The teacher of a run: another run, whose flow it learns."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

import samplers
from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.build.state import params_digest
from experiments.config.messages import suggestion
from experiments.config.parts import classifies
from experiments.runs.companion import companion
from experiments.runs.other_run import recorded_config
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.startup import PROGRAM
from sde_lib.base import Event

Flow = Callable[[Any, Any], Callable[[Event], Event]]
"""flow(params, y) -> (x_1 -> x_0): of the conditions y, by name or a label."""


def with_teacher(experiment: Experiment, workdir: Path, training: bool) -> Experiment:
    """Returns the experiment with the flow of its teacher if it is for `training`, and with the teacher's digest.

    It is unchanged if its config has no `teacher`. Raises ConfigError if that run has no flow for this one, and StorageError if
    there is no such run, or if its parameters are not those that the run in `workdir` began with.
    """
    section = experiment.config.teacher
    if section is None:
        return experiment
    recorded = recorded_config(workdir)
    digest = section.digest or (recorded.teacher.digest if recorded and recorded.teacher else "")
    teacher, frozen = experiment.teacher, experiment.frozen
    if training:
        theirs, params = companion("teacher.run", section.run, experiment, workdir, "teacher")
        _check_labels(theirs, experiment, section.run)
        teacher, frozen = _flow(theirs, section.sampler, section.run), frozen._replace(teacher=params)
        if digest not in ("", params_digest(params)):
            raise StorageError(
                [
                    f"teacher.run = {section.run} has parameters with the digest {params_digest(params)}, and not {digest}",
                    f"if it trained further, go back: {PROGRAM} ckpt rollback {shlex.quote(section.run)} --step=N",
                    "if it is another run, name the first: --config.teacher.run=RUN; to learn from this, take another folder",
                ]
            )
        digest = params_digest(params)
    settled = experiment.config.model_copy(update={"teacher": section.model_copy(update={"digest": digest})})
    return experiment._replace(config=settled, teacher=teacher, frozen=frozen)


def _flow(theirs: Experiment, label: str, run: str) -> Flow:
    """The flow of the sampler of that label, or of `sample.sampler`. ConfigError if that is no flow from our prior."""
    config, label = theirs.config, label or theirs.config.sample.sampler
    if classifies(config):
        raise ConfigError(f"teacher.run = {run} trained a classifier, which has no flow: name the run of a score")
    if label not in config.samplers:
        raise ConfigError(f"teacher.sampler = {label} is not one of {run}{suggestion(label, list(config.samplers))}")
    sampler = BoundSampler(theirs, config.samplers[label])
    where = f"teacher.sampler = {label} of {run}"
    if sampler.config.sde is not None:
        raise ConfigError(f"{where} runs on another SDE than the network's: name one without sde")
    if sampler.config.guidance and "run" in sampler.config.guidance.options:
        raise ConfigError(f"{where} is guided by a third run: name one without guidance, or by classifier_free")
    if sampler.step(None, sampler.any_conditions).stochastic:
        raise ConfigError(f"{where} draws noise, and pairs are the ends of a flow: name one of ddim, deis or heun, say")
    grid = sampler.grid()

    def flow(params: Any, y: Any) -> Callable[[Event], Event]:
        named = y if isinstance(y, Mapping) else {} if y is None else {"label": y}
        heard = {name: each for name, each in named.items() if name in theirs.dropouts}
        reverse = sampler.reverse(params, heard)
        return lambda x_1: samplers.solve(jax.random.key(0), reverse.step, x_1, grid, reverse.final).x

    return flow


def _check_labels(theirs: Experiment, ours: Experiment, run: str) -> None:
    """Raises ConfigError if the teacher's labels are not ours, or if it does not know a condition's absence that we train."""
    if theirs.classes and ours.classes and (theirs.classes, theirs.names) != (ours.classes, ours.names):
        raise ConfigError(f"teacher.run = {run} has {theirs.classes} classes, {ours.classes} here, or other names: {_SAME}")
    for name, dropout in ours.dropouts.items():
        if dropout and not theirs.dropouts.get(name, dropout):
            raise ConfigError(f"teacher.run = {run} was trained with every {name}, and this run is not: {_SAME}")
    if missing := [name for name, dropout in theirs.dropouts.items() if not dropout and name not in ours.dropouts]:
        raise ConfigError(f"teacher.run = {run} needs a {missing[0]}, and this run has none: {_SAME}")


_SAME = "train both on the same"
