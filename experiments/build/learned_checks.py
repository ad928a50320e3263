"""Problems of an SDE whose options are learned: of the options, and of what would go by another schedule."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import losses
import sde_lib
from experiments.config.messages import suggestion
from experiments.config.options import parameters, type_hints
from experiments.config.parts import OBJECTIVE, SDE, clash, learns_sde
from experiments.config.problems import Problems
from experiments.config.schema import Config, LearnedSDE

OF_SDES = (losses.continuous_vlb, losses.diffflow)
"""The objectives that have a gradient in the options of an SDE."""


def learning_problems(config: Config) -> Problems:
    """Returns the problems of a config whose `sde.learned` names options; none of any other."""
    learned, objective, times = f"sde.learned = {config.sde.learned}", config.objective.name, config.times.name
    problems = Problems()
    for label, sampler in config.samplers.items() if config.sde.learned else ():
        if sampler.sde is not None:
            why = "its noise has to lie within that of training, which is learned"
            problems.append(f"samplers.{label}.sde = {sampler.sde.name}: {why}; take None")
    if not learns_sde(config):
        return problems
    if objective in OBJECTIVE.names and OBJECTIVE.find(objective) not in OF_SDES:
        remedy = f"take {' or '.join(each.__name__ for each in OF_SDES)}, with weight = None"
        problems.append(f"{learned}: objective {objective} trains no SDE; {remedy}")
    if times != "uniform" and not clash(objective, times):
        why = f"times {times} would undo what the SDE learns, the share of t that each noise has"
        problems.append(f"{learned}: {why}; take uniform")
    return problems


def check_learned(sde: sde_lib.SDE, section: LearnedSDE) -> None:
    """Checks that each of `sde.learned` is an option which the SDE keeps, as a number or an array that may have any value.

    Raises ValueError with what works instead.
    """
    options, hints = list(parameters(SDE.find(section.name))), type_hints(type(sde))
    leaves = {field.name for field in fields(sde) if field.metadata.get("pytree_node", True)} if is_dataclass(sde) else set()
    free = [name for name in options if name in leaves and not hasattr(hints.get(name), "__metadata__")]
    instead = f"take {' or '.join([*free, 'sde.name = LearnedVPSDE'])}"
    for name in section.learned:
        if name not in options:
            raise ValueError(f"{section.name} has no option {name}{suggestion(name, free or options)}")
        if name not in leaves:
            raise ValueError(f"{name} is no number in the formulas of {section.name}, which a gradient would move; {instead}")
        if name not in free:
            raise ValueError(f"{name} has a range, to which nothing holds a gradient; {instead}")
