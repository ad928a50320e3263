"""Problems of a flow that is learned from another run, and that has no score."""

from __future__ import annotations

from experiments.build.sampler import BoundSampler
from experiments.config.parts import autoencodes, learns_flow, without_score
from experiments.config.problems import Problems
from experiments.config.schema import Config
from samplers import Step


def flow_problems(config: Config) -> Problems:
    """Returns the problems of a teacher that nothing learns from, and of what asks for the score that a flow does not have."""
    name, teacher = config.objective.name, config.teacher
    if not learns_flow(config):
        remedy = "take teacher = None, or objective reflow"
        return [f"teacher.run = {teacher.run} would change nothing: {name} learns from data; {remedy}"] if teacher else []
    problems: Problems = []
    if teacher is None or not teacher.run:
        problems.append(f"objective: {name} learns the flow of another run: name it, --config.teacher.run=RUN")
    of_data = f"{name} learns from what its teacher draws, and not from data"
    if autoencodes(config):
        problems.append(f"conditions.vector = PooledEncoder is of data: {of_data}; take None")
    if config.data.flip:
        problems.append(f"data.flip = True would change nothing: {of_data}; take False")
    if config.train.augment:
        problems.append(f"train.augment = {config.train.augment:g}: {of_data}; take 0")
    if config.mixed:
        problems.append(f"mixed = True mixes a score, and {name} learns a flow that has none; take False")
    of_score = f"of a score, and {name} learns a flow that has none"
    if config.evaluate.bound_times and config.evaluate.likelihood:
        problems.append(f"evaluate.bound_times = {config.evaluate.bound_times}: the bound is {of_score}; take 0")
    if config.evaluate.dequantizer == "variational":
        problems.append(f"evaluate.dequantizer = 'variational' is fitted by the bound {of_score}; take 'uniform'")
    for label, sampler in config.samplers.items():
        if sampler.guidance and sampler.guidance.name == "classifier":
            problems.append(f"samplers.{label}.guidance = classifier adds to a score; {name} has none: take None")
    return problems


def check_flow(sampler: BoundSampler, step: Step) -> None:
    """Raises ValueError if the step draws noise by the score of a network that has learned a flow alone."""
    config = sampler.experiment.config
    if learns_flow(config) and step.stochastic:
        corrector = sampler.config.corrector
        name = corrector.name if corrector else sampler.config.step.name
        raise ValueError(without_score(config.objective.name, name))
