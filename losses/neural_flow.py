"""The bound of a diffusion whose forward process is learned beside it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss
from losses.terms import end_terms
from sde_lib.base import Event, Positive, Scalar
from sde_lib.neural_flow import NeuralFlow


def neural_flow(
    flow: NeuralFlow,
    predict: Callable[[Event, Scalar], Event],
    width: Positive | None = 2 / 255,
    low: Scalar = -1.0,
) -> Loss:
    """l(x_0, t) = |b(x_t, t | x_0) - b(x_t, t | x_0_hat)|^2/(2 g^2 D) + (L_T + L_0)/(D (1 - t_min)), b = v - g^2/2 grad log q.

    x_t = F(eps, t, x_0) has D numbers, x_0_hat = `predict`(x_t, t), and b is the drift of the reverse SDE given x_0. The
    integral over t bounds -log p(x_0)/D of what that SDE of `NeuralFlowSDE(flow, predict)` draws, and trains the networks of
    `predict` and of `flow.bend`. Where nothing bends it has the value of `continuous_vlb`, whose ends L_T and L_0 it has,
    by `width` and `low`. Bartosh et al. (2024, NFDM), sec. 3. Returns `loss(key, x_0, t)`.
    """
    base = flow.base
    ends = end_terms(base, width, low)

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        mu, std = flow.moments(x_0, t)
        x_t, g2 = mu + std * jax.random.normal(key, x_0.shape), base.diffusion(t) ** 2

        def b(x: Event) -> Event:
            v, score = flow.velocity_and_score(x_t, t, x)
            return v - g2 / 2 * score

        error = b(x_0) - b(predict(x_t, t))
        return (jnp.sum(error**2 / g2) / 2 + ends(key, x_0, base.t_min) / (1 - base.t_min)) / x_0.size

    return loss
