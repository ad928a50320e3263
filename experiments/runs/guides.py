"""Guides: the other runs that guide a config's samplers, read before anything compiles."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from experiments.build.build import build
from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler, bound_samplers
from experiments.config.guidance import Guide
from experiments.config.parts import classifies
from experiments.config.problems import attempt
from experiments.config.schema import Config
from experiments.config.tree import flatten, read_json_tree
from experiments.config.trust import require_trusted
from experiments.runs.folder import Folder
from experiments.runs.lora_base import with_base
from experiments.runs.resume import trained_state
from experiments.runtime.errors import ConfigError, StorageError
from experiments.runtime.progress import say


def with_guides(experiment: Experiment) -> Experiment:
    """Returns the experiment with its guides. Raises ConfigError if a run cannot guide the sampler that names it."""
    samplers = experiment.config.samplers
    runs = {s.guidance.options["run"]: label for label, s in samplers.items() if s.guidance and "run" in s.guidance.options}
    if not runs:
        return experiment
    problems: list[str] = []
    read = lambda run, label: attempt(problems, f"samplers.{label}.guidance", partial(_guide, run, experiment))
    guides = {run: read(run, label) for run, label in runs.items()}
    experiment = experiment._replace(guides=guides)
    for label, sampler in bound_samplers(experiment).items() if not problems else ():
        attempt(problems, f"samplers.{label}.guidance", partial(_check_labels, sampler))
        attempt(problems, f"samplers.{label}.guidance", partial(sampler.step, None, sampler.first_label))
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
    ours, theirs, label = experiment.classes, experiment.guides[run].classes, experiment.config.sample.label
    if ours and theirs and ours != theirs:
        raise ValueError(f"run = {run} has net.classes = {theirs}, and this run {ours}: train the guide on the same labels")
    if not ours and isinstance(label, int) and label >= theirs:
        reason = f"has labels from 0 to {theirs - 1}" if theirs else "has no classes, nor has this run: leave sample.label out"
        raise ValueError(f"sample.label = {label}: run = {run} {reason}")


def _guide(run: str, guided: Experiment) -> Guide:
    """Returns the run in that folder as a guide for the samplers of `guided`.

    Raises StorageError if there is no such run, and ConfigError if it was trained on another range of data or another SDE.
    """
    folder = Path(run)
    if not (Folder(folder).config).is_file():
        raise StorageError(f"guidance.run = {run} holds no run: train it first")
    own = [f"={value}" for value in flatten(guided.config.model_dump()).values()]  # what our config names is trusted already
    path = Folder(folder).config
    config = Config.model_validate(require_trusted(read_json_tree(path), own, str(path)))
    if config.data.range != guided.config.data.range:
        raise ConfigError(f"{run} was trained with data.range = {config.data.range}, and this run {guided.config.data.range}")
    if config.sde != guided.config.sde:
        theirs, ours = (" ".join(map(str, part.model_dump().values())) for part in (config.sde, guided.config.sde))
        raise ConfigError(f"{run} was trained on the SDE {theirs}, and this run on {ours}: train the guide on the same")
    guide = with_base(build(config, guided.shape), folder)
    params = guide.network(trained_state(guide, folder).ema)
    if classifies(config):
        return Guide(guide.classes, log_prob=guide.log_prob, params=params)
    return Guide(guide.classes, lambda params, y: guide.score(params, y=y if guide.classes else None), params=params)
