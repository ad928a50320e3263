"""Classification of noisy x_t: the loss of a classifier that guides."""

from __future__ import annotations

from collections.abc import Callable

import jax

from losses.dsm import Loss
from losses.forward import forward
from sde_lib.base import SDE, Count, Event, Scalar


def cross_entropy(sde: SDE, log_prob_y: Callable[[Event, Scalar], Scalar], n_steps: Count = 100) -> Loss:
    """l(x_0, t) = -log p(y | x_t),  x_t ~ p(x_t | x_0), with `log_prob_y` that of the example's own label y.

    Its mean over examples and x_t is least if p(y | x_t) is the posterior of the labels, whose gradient guides exactly.
    Dhariwal & Nichol (2021), sec. 4.1. If the SDE has no p(x_t | x_0), x_t is drawn in `n_steps`. Returns `loss(key, x_0, t)`.
    """
    draw = forward(sde, n_steps)
    return lambda key, x_0, t: -log_prob_y(draw(jax.random.split(key)[0], x_0, t), t)
