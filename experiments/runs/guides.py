"""Guides: the other runs that guide a config's samplers, read before anything compiles."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler, bound_samplers
from experiments.config.guidance import Guide
from experiments.config.messages import in_words
from experiments.config.parts import autoencodes, classifies
from experiments.config.problems import attempt
from experiments.config.schema import Config
from experiments.config.tree import read_json_tree
from experiments.config.trust import require_trusted_by
from experiments.runs.codecs import build_run
from experiments.runs.folder import Folder
from experiments.runs.lora_base import with_base
from experiments.runs.record import data_facts
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.paths import home, is_file
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
    """Returns the run in that folder as a guide for the samplers of `guided`, which is the run in `own`.

    Raises StorageError if there is no such run, and ConfigError if it is `own` itself, or was trained on another range of data,
    on data that were standardised otherwise, on another SDE, or given a condition of another function.
    """
    folder = home(run)
    if os.path.realpath(folder) == os.path.realpath(own):
        raise ConfigError(f"{run} is this run itself, which would change nothing: name one that was trained less")
    if not is_file(Folder(folder).config):
        raise StorageError(f"guidance.run = {in_words(run)} holds no run: train it first")
    path = Folder(folder).config
    config = Config.model_validate(require_trusted_by(guided.config, read_json_tree(path), str(path)))
    if config.data.range != guided.config.data.range:
        raise ConfigError(f"{run} was trained with data.range = {config.data.range}, and this run {guided.config.data.range}")
    if config.sde != guided.config.sde:
        theirs, ours = (" ".join(map(str, part.model_dump().values())) for part in (config.sde, guided.config.sde))
        raise ConfigError(f"{run} was trained on the SDE {theirs}, and this run on {ours}: train the guide on the same")
    if autoencodes(config):
        raise ConfigError(f"{run} hears codes of its own encoder, and this run has another or none: take a guide without")
    for kind, part in config.conditions:
        ours = getattr(guided.config.conditions, kind)
        if part is not None and (ours is None or (part.name, part.options) != (ours.name, ours.options)):
            there = "none" if ours is None else ours.name
            raise ConfigError(f"{run} hears conditions.{kind} = {part.name}, and this run {there}: train the guide on the same")
    facts = data_facts(folder)
    names, moments = (facts.classes, facts.moments) if facts else ((), None)
    guide = with_base(build_run(config, guided.shape, names, moments, folder), folder)
    if guide.scaler.moments != guided.scaler.moments:
        raise ConfigError(f"{run} was trained on data of another mean and std than this run: standardise both by the same data")
    if _codes(guide) != _codes(guided):
        raise ConfigError(f"{run} was trained on other codes than this run: train both by the same codec.run and moments")
    params = guide.merged(trained_state(guide, folder).ema)
    if classifies(config):
        return Guide(guide.classes, log_prob=guide.log_prob, params=params, names=guide.names)
    score = lambda params, y: guide.score(params, y={name: each for name, each in y.items() if name in guide.dropouts})
    return Guide(guide.classes, score, params=params, names=guide.names)


def _codes(experiment: Experiment) -> dict[str, Any] | None:
    """What codes depend on, wherever the run of the codec is now; None without a codec."""
    codec = experiment.config.codec
    return codec and codec.model_dump(exclude={"run", "cache"})
