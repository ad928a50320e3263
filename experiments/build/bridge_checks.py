"""Problems of a bridge, which begins at a degraded image, and is sampled by the posterior from there alone."""

from __future__ import annotations

import samplers
from experiments.build.experiment import Experiment
from experiments.config.parts import STEP, bridges
from experiments.config.problems import Problems
from experiments.config.schema import Config


def bridge_problems(config: Config) -> Problems:
    """Returns the problems of an objective that trains a bridge; none of any other."""
    if not bridges(config):
        return []
    name, image, problems = config.objective.name, config.conditions.image, Problems()
    if image is None:
        problems.append(f"objective: {name} begins at a degraded image; take conditions.image = low_resolution")
    elif image.dropout:
        problems.append(f"conditions.image.dropout = {image.dropout:g}: {name} begins at the image; take 0")
    if config.codec is not None:
        problems.append(f"codec: {name} begins at an image, and not at its code; take None")
    if config.mixed:
        problems.append(f"mixed = True mixes the score of noise, and {name} begins at an image; take False")
    if config.evaluate.likelihood:
        problems.append(f"evaluate.likelihood = {config.evaluate.likelihood}: {name} has no density of its images; take 0")
    for label, sampler in config.samplers.items():
        where = f"samplers.{label}"
        if STEP.find(sampler.step.name) is not samplers.ancestral:
            problems.append(f"{where}.step = {sampler.step.name} is of other marginals than {name}'s; take ancestral")
        for key in ("corrector", "guidance", "sde"):
            if (part := getattr(sampler, key)) is not None:
                problems.append(f"{where}.{key} = {part.name} is of other marginals than {name}'s; take None")
    return problems


def check_bridge(experiment: Experiment) -> None:
    """Raises ValueError if the image at which the bridge begins has not the shape of an example."""
    if not bridges(experiment.config):
        return
    there, shape = experiment.condition_shapes["image"].shape, experiment.shape
    if there != shape:
        raise ValueError(f"the bridge begins at an image of shape {there}, and examples have {shape}; take low_resolution")
