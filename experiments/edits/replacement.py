"""inpaint, colorize, superresolve: what is seen of an example takes its place in every step."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

import samplers
from experiments.edits.base import Edit, Frame, Setting, Trained
from experiments.edits.conditional import Factor, Hidden, See, led, see
from samplers.reverse import Reverse
from sde_lib.base import Event

Repeats = Annotated[int, Ge(1), Le(100)]
"""Of each step: 1 is replacement (Song et al. 2021), more is RePaint (Lugmayr et al. 2022)."""


def inpaint(setting: Setting, hidden: Hidden = "right", repeats: Repeats = 1, draws: Frame = 4) -> Edit:
    """What is `hidden` of an example, filled in."""
    return _replaced(setting, see(setting, hidden), repeats, draws)


def colorize(setting: Setting, repeats: Repeats = 1, draws: Frame = 4) -> Edit:
    """The colours of an image, of which the mean over its channels is seen."""
    return _replaced(setting, see(setting, "grey"), repeats, draws)


def superresolve(setting: Setting, factor: Factor = 2, repeats: Repeats = 1, draws: Frame = 4) -> Edit:
    """An image, of which the means over blocks of `factor` x `factor` pixels are seen."""
    return _replaced(setting, see(setting, "coarse", factor), repeats, draws)


def _replaced(setting: Setting, what: See, repeats: int, draws: int) -> Edit:
    def lead(run: Trained, seen: Event) -> Reverse:
        reverse = run.reverse()
        step = samplers.inpaint(reverse.step, setting.sde, seen, what.observed)
        return reverse._replace(step=samplers.resample(step, setting.sde, repeats) if repeats > 1 else step)

    return led(setting, what, draws, lead)
