"""Guides: the other runs that guide a config's samplers, read before anything compiles."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler, bound_samplers
from experiments.config.guidance import Guide
from experiments.config.parts import classifies, has_marginals
from experiments.config.problems import attempt
from experiments.runs.companion import companion
from experiments.runtime.errors import ConfigError
from experiments.runtime.progress import say


def with_guides(experiment: Experiment, own: Path) -> Experiment:
    """Returns the experiment of the run in the folder `own` with its guides.

    Raises ConfigError if a run cannot guide the sampler that names it.
    """
    samplers = experiment.config.samplers
    runs = {s.guidance.options["run"]: label for label, s in samplers.items() if s.guidance and "run" in s.guidance.options}
    if not runs:
        return experiment
    problems: list[str] = []
    read = lambda run, label: attempt(problems, f"samplers.{label}.guidance", partial(_guide, run, experiment, own))
    guides = {run: read(run, label) for run, label in runs.items()}
    experiment = experiment._replace(guides=guides)
    for label, sampler in bound_samplers(experiment).items() if not problems else ():
        attempt(problems, f"samplers.{label}.guidance", partial(_check_labels, sampler))
        attempt(problems, f"samplers.{label}.guidance", partial(sampler.step, None, sampler.any_conditions))
    if problems:
        raise ConfigError(problems)
    say("guided by " + ", ".join(runs))
    return experiment


def _check_labels(sampler: BoundSampler) -> None:
    """Raises ValueError if the guide's labels are not the network's: JAX would take the last label for one beyond it."""
    experiment, guidance = sampler.experiment, sampler.config.guidance
    run = guidance and guidance.options.get("run")
    if not run:
        return
    guide, label = experiment.guides[run], experiment.config.sample.label
    ours, theirs = experiment.classes, guide.classes
    if ours and theirs and ours != theirs:
        raise ValueError(f"run = {run} has net.classes = {theirs}, and this run {ours}: train the guide on the same labels")
    if ours and theirs and (other := [pair for pair in zip(guide.names, experiment.names, strict=False) if len({*pair}) > 1]):
        raise ValueError(f"run = {run} calls {other[0][0]} what is {other[0][1]} here: train the guide on the same labels")
    if not ours and label not in (None, "each"):
        sampler.number(label)


def _guide(run: str, guided: Experiment, own: Path) -> Guide:
    """Returns the run in that folder as a guide for the samplers of `guided`, which is the run in `own` (see `companion`)."""
    guide, params = companion("guidance.run", run, guided, own, "guide")
    if not has_marginals(guide.config):
        raise ConfigError(f"{run} has no score, by objective {guide.config.objective.name}: name a run of objective dsm")
    if classifies(guide.config):
        return Guide(guide.classes, log_prob=guide.log_prob, params=params, names=guide.names)
    score = lambda params, y: guide.score(params, y={name: each for name, each in y.items() if name in guide.dropouts})
    return Guide(guide.classes, score, params=params, names=guide.names)
