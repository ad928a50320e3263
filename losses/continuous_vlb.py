"""The variational bound in continuous time, as an objective: of the score, and of the parameters of its SDE."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss, dsm, require_linear
from losses.terms import end_terms
from losses.weights import sigma2
from sde_lib.base import SDE, Diagonal, Event, LinearSDE, Positive, Scalar, Score, coordinates, derivative


def continuous_vlb(
    sde: SDE, score: Score, width: Positive | None = 2 / 255, t_min: float | None = None, low: Scalar = -1.0
) -> Loss:
    """l(x_0, t) = -lambda'/2 |eps_hat - eps|^2/D + (L_T + L_0)/(D (1 - t_min)), whose integral over t bounds -log p(x_0)/D.

    L_T and L_0 are `end_terms` at t_min, by `width` and `low`. Kingma et al. (2021), eqs. 11-18. Returns `loss(key, x_0, t)`.
    Raises TypeError for an SDE without alpha and sigma.

    Parameters of the SDE have gradients too. The bound depends on the ends of a number lambda, and on nothing between them
    (eq. 18): it moves lambda(t_min) and lambda(1). On the way from one to the other lambda goes by a clock c(t) from 0 to 1,
    which descends the variance of the first term, l_1, at uniform t (app. I.2). As such t draw c with the density dt/dc,

        grad int l_1^2 dt = E[l_1^2 grad log(dc/dt)]   at a fixed c,

    which differentiates no network; l_1 is in units of lambda(t_min) - lambda(1). An array lambda moves by the bound along all
    of its path, on which that depends (Sahoo et al. 2024, MuLAN).
    """
    linear_sde = require_linear(sde, "continuous_vlb")
    start = sde.t_min if t_min is None else t_min
    first_term = _by_path(linear_sde, score) if coordinates(linear_sde) else _by_ends(linear_sde, score, start)
    ends = end_terms(linear_sde, width, low)

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        return first_term(key, x_0, t) + ends(key, x_0, start) / (x_0.size * (1 - start))

    return loss


def _by_path(sde: LinearSDE, score: Score) -> Loss:
    """l_1 of lambda of arrays, each coordinate of the error at its own rate."""
    return dsm(sde, score, lambda sde, t: -derivative(sde.log_snr, t) * sde.sigma(t) ** 2 / 2)


def _by_ends(sde: LinearSDE, score: Score, start: Scalar) -> Loss:
    """l_1 of a number lambda, with the gradients of its two parts."""
    error = dsm(sde, score, sigma2)

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        first, last = sde.log_snr(start), sde.log_snr(1.0)
        c = constant((sde.log_snr(t) - first) / (last - first))
        # The t at which the clock says c: t itself, which moves against the clock by the implicit function theorem.
        moves = gradient_of(sde.log_snr(t) - first - c * (last - first))
        at = t - moves / constant(derivative(sde.log_snr, t))
        rate = derivative(sde.log_snr, at) / (last - first)
        share = constant(rate) * error(key, x_0, at) / 2
        return (first - last) * share + gradient_of(constant(share**2) * jnp.log(rate))

    return loss


def constant(x: Any) -> Any:
    """x, without its gradient."""
    return jax.lax.stop_gradient(x)


def gradient_of(x: Diagonal) -> Diagonal:
    """The gradient of x at the value 0."""
    return x - constant(x)
