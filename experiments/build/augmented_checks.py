"""Problems of an augmented SDE, whose codes have variables beside the data."""

from __future__ import annotations

import sde_lib
from experiments.config.parts import trains_codec
from experiments.config.problems import Problems
from experiments.config.schema import Config


def augmented_problems(config: Config, sde: sde_lib.SDE | None) -> Problems:
    """Returns the problems of what knows data alone, if `sde` has other variables beside them; none of any other SDE."""
    if not isinstance(sde, sde_lib.AugmentedSDE):
        return []
    problems, beside = Problems(), f"{config.sde.name} has variables beside the data"
    if trains_codec(config):
        problems.append(f"objective: {config.objective.name} trains a codec alone, and {beside}; take sde = VPSDE")
    if config.codec and config.codec.standardise != "none":
        problems.append(f"codec.standardise = {config.codec.standardise!r}: {beside}, and of them codes too; take 'none'")
    if config.evaluate.dequantizer == "variational":
        problems.append(f"evaluate.dequantizer = 'variational' is fitted to a density of x, and {beside}; take 'uniform'")
    return problems
