"""Reverse, the parts of a sampler that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from samplers import Step
from sde_lib import SDE, Score
from sde_lib.base import Event, Scalar


class Reverse(NamedTuple):
    """The SDE of a sampler, the guided score on it, the step, and the `final` function of `solve`."""

    sde: SDE
    score: Score
    step: Step
    final: Callable[[Event, Scalar], Event] | None
