"""Optimisers, `train.optimizer` in a config: Optax's factories by their names, and a user's own like them.

Each is a function of `learning_rate`, which training supplies as a schedule or, if the annotation says so, as a number. All
else in its signature is an option. `OPTIMIZERS` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import optax
from optax import contrib

from experiments.config.options import type_hints

__all__ = ["takes_schedule"]

# fmt: off
OPTIMIZERS = (
    optax.adabelief, optax.adadelta, optax.adafactor, optax.adagrad, optax.adam, optax.adamax, optax.adamaxw, optax.adamw,
    optax.adan, optax.amsgrad, optax.fromage, optax.lamb, optax.lars, optax.lbfgs, optax.lion, optax.novograd,
    optax.optimistic_adam_v2, optax.optimistic_gradient_descent, optax.polyak_sgd, optax.radam, optax.rmsprop, optax.rprop,
    optax.sgd, optax.sign_sgd, optax.signum, optax.sm3, optax.yogi,
    contrib.acprop, contrib.ademamix, contrib.adopt, contrib.cocob, contrib.dadapt_adamw, contrib.dog, contrib.dowg,
    contrib.madgrad, contrib.momo, contrib.momo_adam, contrib.muon, contrib.prodigy, contrib.simplified_ademamix,
    contrib.sophia,
)
# fmt: on

STEADIER = {"lbfgs": "linesearch = None", "momo": "sgd", "momo_adam": "adam", "polyak_sgd": "sgd", "sophia": "adamw"}
"""The nearest that works for each that needs more than the gradient, such as the loss on a line."""


def takes_schedule(factory: Callable[..., optax.GradientTransformation]) -> bool:
    """Returns whether the optimiser takes a learning rate that changes: one that is annotated as a number does not."""
    return type_hints(factory).get("learning_rate") not in (float, jax.typing.ArrayLike)
