"""Schedules of the learning rate, `train.schedule` in a config: Optax's by their names, and a user's own like them.

Each is a function of options and returns rate(step). What a config leaves out of these options comes from the section of
training (`from_section`). Optax's piecewise schedules take a dictionary, for which JSON has no integer keys; ours take the
boundaries and the scales as two tuples. `SCHEDULES` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import optax

from experiments.config.options import parameters
from experiments.config.schema import Train

__all__ = ["piecewise_constant_schedule", "piecewise_interpolate_schedule"]

OF_SECTION = {
    "learning_rate": ("learning_rate", "peak_value", "value", "init_value"),
    "warm_up": ("warm_up", "warmup_steps"),
    "steps": ("steps", "decay_steps", "transition_steps"),
}
"""For each key of the section the arguments that it fills, in schedules of Optax and in those of users."""


def from_section(schedule: Callable[..., optax.Schedule], train: Train) -> dict[str, Any]:
    """Returns the arguments of the schedule that the section supplies.

    A schedule with a peak begins at 0. If it has none, it begins at the learning rate.
    """
    names, values = parameters(schedule), train.model_dump(include=set(OF_SECTION))
    supplied = {name: values[key] for key, aliases in OF_SECTION.items() for name in aliases if name in names}
    return supplied | ({"init_value": 0.0} if {"init_value", "peak_value"} <= names.keys() else {})


def piecewise_constant_schedule(init_value: float, boundaries: tuple[int, ...], scales: tuple[float, ...]) -> optax.Schedule:
    """Returns the rate `init_value`, multiplied by scale i from step `boundaries[i]` on."""
    return optax.piecewise_constant_schedule(init_value, _scaled(boundaries, scales))


def piecewise_interpolate_schedule(
    init_value: float,
    boundaries: tuple[int, ...],
    scales: tuple[float, ...],
    interpolate_type: Literal["linear", "cosine"] = "linear",
) -> optax.Schedule:
    """Returns the rates of `piecewise_constant_schedule` at its boundaries, with a line or a cosine between them."""
    return optax.piecewise_interpolate_schedule(interpolate_type, init_value, _scaled(boundaries, scales))


def _scaled(boundaries: tuple[int, ...], scales: tuple[float, ...]) -> dict[int, float]:
    if len(boundaries) != len(scales) or not boundaries or list(boundaries) != sorted({*boundaries}):
        raise ValueError(f"boundaries = {boundaries} and scales = {scales}: give as many of each, the boundaries rising")
    return dict(zip(boundaries, scales, strict=True))


SCHEDULES = (
    optax.constant_schedule,
    optax.cosine_decay_schedule,
    optax.cosine_onecycle_schedule,
    optax.exponential_decay,
    optax.linear_onecycle_schedule,
    optax.linear_schedule,
    piecewise_constant_schedule,
    piecewise_interpolate_schedule,
    optax.polynomial_schedule,
    optax.warmup_constant_schedule,
    optax.warmup_cosine_decay_schedule,
    optax.warmup_exponential_decay_schedule,
)
