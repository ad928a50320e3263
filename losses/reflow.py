"""Reflow: the loss of a flow on pairs whose ends another flow joins."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss, require_linear, residual
from losses.weights import Weight, velocity
from sde_lib.base import SDE, Event, Scalar, Score, factors


def reflow(sde: SDE, score: Score, flow: Callable[[Event], Event], weight: Weight = velocity) -> Loss:
    """`dsm` of the pair x_1 ~ p_1 and x_0 = flow(x_1): z is such that alpha(1) x_0 + sigma(1) z = x_1, and no draw of its own.

    The flow that is learned, of velocity E[alpha' x_0 + sigma' z | x_t], carries the law of x_1 to that of x_0, as `flow` does,
    at no higher transport cost, and paths are straighter: Liu et al. (2023), alg. 1, thms. 3.3 and 3.5. As z depends on x_0,
    E[z | x_t] is not -sigma grad log p_t. So what is learned in the place of a score is one for the probability flow alone:
    deterministic steps, `encode` and `log_prob` are right, and whatever draws noise or takes a bound is not.

    Returns `loss(key, x, t)`, which takes of x no more than its shape. Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = require_linear(sde, "reflow")

    def loss(key: Key[Array, ""], x: Event, t: Scalar) -> Scalar:
        x_1 = linear_sde.prior_sample(key, x.shape)
        x_0 = jax.lax.stop_gradient(flow(x_1))
        z = (x_1 - linear_sde.alpha(1.0) * x_0) / linear_sde.sigma(1.0)
        c, w = factors(weight(linear_sde, t) / linear_sde.sigma(t) ** 2)
        return c * jnp.mean(w * residual(linear_sde, score, x_0, z, t) ** 2)

    return loss
