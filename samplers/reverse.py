"""What a sampler runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from samplers import Step
from sde_lib import LinearSDE, Score
from sde_lib.base import Event, Scalar


class Reverse(NamedTuple):
    """The SDE that a sampler is on, the score there as it is guided, its step, and what it does at the end."""

    sde: LinearSDE
    score: Score
    step: Step
    final: Callable[[Event, Scalar], Event] | None
