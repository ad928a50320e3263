"""inpaint, colorize, superresolve: the measured part of an example replaces the sample's in every step."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

import samplers
from experiments.edits.base import Edit, Frame, Setting, Trained
from experiments.edits.conditional import Factor, Hidden, Measurement, conditional, measure
from samplers.reverse import Reverse
from sde_lib.base import Event

Repeats = Annotated[int, Ge(1), Le(100)]
"""The times that each step is taken: 1 is replacement (Song et al. 2021), more is RePaint (Lugmayr et al. 2022)."""


def inpaint(setting: Setting, hidden: Hidden = "right", repeats: Repeats = 1, draws: Frame = 4) -> Edit:
    """Fills in the `hidden` part of an example."""
    return _replace(setting, measure(setting, hidden), repeats, draws)


def colorize(setting: Setting, repeats: Repeats = 1, draws: Frame = 4) -> Edit:
    """Draws the colours of an image from its mean over channels."""
    return _replace(setting, measure(setting, "grey"), repeats, draws)


def superresolve(setting: Setting, factor: Factor = 2, repeats: Repeats = 1, draws: Frame = 4) -> Edit:
    """Draws an image from its means over blocks of `factor` x `factor` pixels."""
    return _replace(setting, measure(setting, "coarse", factor), repeats, draws)


def _replace(setting: Setting, measurement: Measurement, repeats: int, draws: int) -> Edit:
    def steer(run: Trained, y: Event) -> Reverse:
        reverse = run.reverse()
        step = samplers.inpaint(reverse.step, setting.sde, y, measurement.observed)
        return reverse._replace(step=samplers.resample(step, setting.sde, repeats) if repeats > 1 else step)

    return conditional(setting, measurement, draws, steer)
