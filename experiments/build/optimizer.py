"""The optimiser that a config names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.config.schema import Train


def make_optimizer(config: Train) -> optax.GradientTransformation:
    """Returns AdamW after clipping by the global norm (score_sde's order)."""
    clip = optax.identity() if config.clip is None else optax.clip_by_global_norm(config.clip)
    adam = optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
    rate = optax.scale_by_learning_rate(optimizer_rate(config))
    return optax.chain(clip, optax.chain(adam, decay(config.weight_decay), rate))


def decay(rate: float) -> optax.GradientTransformation:
    """Returns u + rate w of the updates u of parameters w: optax's decay, but for arrays whose update is 0.

    Those are constants, which no gradient reaches, such as fixed frequencies; and at first what begins behind a zero.
    """

    def decayed(u: jax.Array, w: jax.Array) -> jax.Array:
        return u + jnp.where(jnp.any(u != 0), rate * w, 0)

    return optax.stateless(lambda updates, params: jax.tree.map(decayed, updates, params)) if rate else optax.identity()


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
