"""The optimiser that a config names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from experiments.config.schema import Train


def make_optimizer(config: Train) -> optax.GradientTransformation:
    """Returns AdamW after clipping by the global norm (score_sde's order)."""
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    rate = optimizer_rate(config)
    return optax.chain(clip, optax.adamw(rate, config.beta1, config.beta2, config.epsilon, weight_decay=config.weight_decay))


def warm_up(config: Train) -> int:
    """Returns the steps of the warm-up: `warm_up`, or a tenth of `steps` if a cosine would have none left to decay in."""
    return config.steps // 10 if config.decay == "cosine" and config.warm_up >= config.steps else config.warm_up


def optimizer_rate(config: Train) -> Callable[[Any], Any]:
    """Returns the learning rate at each step: a linear warm-up from 0, then constant or a cosine to 0 at the end."""
    rate, ramp = config.learning_rate, warm_up(config)
    after = (
        optax.cosine_decay_schedule(rate, config.steps - ramp) if config.decay == "cosine" else optax.constant_schedule(rate)
    )
    return optax.join_schedules([optax.linear_schedule(0.0, rate, ramp), after], [ramp]) if ramp else after
