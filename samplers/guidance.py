"""Guidance: functions Score -> Score, so that every sampler and likelihood takes a guided score unchanged.

By Bayes' rule grad log p(y | x_t) = grad log p(x_t | y) - grad log p(x_t), so both guided scores here are, at each t, that of

    p_t(x)^(1 - w) p_t(x | y)^w

up to its constant: w = 0 ignores y, w = 1 is the conditional law, w > 1 overstates it. For any other w these are not the
marginals of one diffusion, so solvers that agree at w = 0 and 1 need not agree there. `w` may be a function of t.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_lib.base import SDE, Event, NonNegative, Positive, Scalar, Score

Weight = Scalar | Callable[[Scalar], Scalar]


def classifier(score: Score, log_prob_y: Callable[[Event, Scalar], Scalar], w: Weight = 1.0) -> Score:
    """s(x, t) + w grad_x log p(y | x_t = x), with `log_prob_y(x, t)` = log p(y | x_t) for the one y that is wanted.

    y is anything with a likelihood under noise: a class, by a classifier trained on noisy x, or a measurement. Song et al.
    (2021), eq. 14; Dhariwal & Nichol (2021), alg. 2, whose gradient scale is w.
    """
    return lambda x, t: score(x, t) + _at(w, t) * jax.grad(log_prob_y)(x, t)


def classifier_free(conditional: Score, unconditional: Score, w: Weight) -> Score:
    """s_u(x, t) + w (s_c(x, t) - s_u(x, t)): one evaluation of this score is two of networks.

    Ho & Salimans (2022), eq. 6, whose w is this w - 1: at the conditional score theirs is 0 and this is 1.
    """

    def guided(x: Event, t: Scalar) -> Event:
        s_u = unconditional(x, t)
        return s_u + _at(w, t) * (conditional(x, t) - s_u)

    return guided


def guidance_interval(sde: SDE, w: Scalar, low: NonNegative, high: Positive) -> Callable[[Scalar], Scalar]:
    """The weight that is w where sigma_t/alpha_t is in (low, high] and 1, the conditional score, elsewhere.

    If that is an array, it is its geometric mean over coordinates; of an SDE without alpha_t it is sigma_t, its noise. Guidance
    costs variety at high noise and buys nothing at low: Kynkäänniemi et al. (2024), whose sigma is sigma_t/alpha_t.
    """

    def weight(t: Scalar) -> Scalar:
        noise = sde.noise_level(t)
        return jnp.where((low < noise) & (noise <= high), w, 1.0)

    return weight


def _at(w: Weight, t: Scalar) -> Scalar:
    """w(t), or the constant w."""
    return w(t) if callable(w) else w
