"""Solvers with two evaluations a step and no memory, in the coordinates that make the flow simplest."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from samplers.step import Step, noise, noisy
from sde_lib.base import SDE, Diagonal, Event, NonNegative, Positive, Scalar, Score, linear


def dpmpp_2s(sde: SDE, score: Score) -> Step:
    """x_s = sigma_s/sigma_t x_t + alpha_s (1 - e^(-h)) x_0(x_m, m), with m halfway in level and x_m by a step to it.

    DPM-Solver++(2S) at r = 1/2 (Lu et al. 2022b, alg. 1), h = (lambda_s - lambda_t)/2. At sigma_s = 0 the log-SNR is infinite
    and no m is halfway: x_s is alpha_s x_0(x_t, t).
    """
    sde = linear(sde, "dpmpp_2s", "heun and probability_flow integrate the flow of any SDE")

    def first_order(x: Event, x_0: Event, t: Scalar, s: Scalar) -> Event:
        return sde.sigma(s) / sde.sigma(t) * x - sde.alpha(s) * jnp.expm1((sde.log_snr(t) - sde.log_snr(s)) / 2) * x_0

    def update(key, x, t, s):
        x_0 = sde.denoise(score, x, t)

        def halfway() -> Event:
            m = sde.time_at((sde.level(t) + sde.level(s)) / 2)
            return first_order(x, sde.denoise(score, first_order(x, x_0, t, m), m), t, s)

        return halfway, lambda: first_order(x, x_0, t, s)

    return _second_unless_clean(sde.sigma, update, stochastic=False)


def edm_heun(
    sde: SDE,
    score: Score,
    churn: NonNegative = 0.0,
    churn_min: NonNegative = 0.0,
    churn_max: Positive = float("inf"),
    s_noise: Positive = 1.0,
) -> Step:
    """Heun's method on dy/ds = eps(y, s) in y = x/alpha and s = sigma/alpha, after new noise has raised s_t to (1 + churn) s_t.

    y^ = y + s_noise sqrt(s^^2 - s_t^2) z for s_t in [churn_min, churn_max], if s^ is a noise level of the SDE. Karras et al.
    (2022), alg. 2, for every LinearSDE; `churn` is their gamma = min(S_churn/N, sqrt(2) - 1). The step to s = 0 is Euler's. If
    s is an array, it is its geometric mean that churn raises, and s^ is that of the time where it is so much.
    """
    sde = linear(sde, "edm_heun", "heun integrates the flow of any SDE")
    ratio = lambda t: sde.sigma(t) / sde.alpha(t)
    eps = lambda y, t: -sde.sigma(t) * score(sde.alpha(t) * y, t)

    def update(key, x, t, s):
        noise_t = sde.noise_level(t)
        raised = (1 + churn) * noise_t
        churned = (noise_t >= churn_min) & (noise_t <= churn_max) & (raised <= sde.noise_level(1.0)) & (churn > 0)
        t_hat = jnp.where(churned, sde.time_at(-2 * jnp.log(raised)), t)
        s_hat, s_s = jnp.where(churned, ratio(t_hat) if jnp.ndim(ratio(t)) else raised, ratio(t)), ratio(s)
        std = s_noise * jnp.sqrt(jnp.maximum(s_hat**2 - ratio(t) ** 2, 0.0))
        y = x / sde.alpha(t) + noise(key, x, std, churn)
        d = eps(y, t_hat)
        euler = y + (s_s - s_hat) * d
        return lambda: sde.alpha(s) * (y + (s_s - s_hat) / 2 * (d + eps(euler, s))), lambda: sde.alpha(s) * euler

    return _second_unless_clean(sde.sigma, update, stochastic=noisy(churn))


def _second_unless_clean(sigma: Callable[[Scalar], Diagonal], stages: Callable, stochastic: bool) -> Step:
    """A Step of `stages(key, x, t, s) -> (x_s by a second evaluation, x_s without it)`: the latter if sigma_s = 0."""

    def update(key, x, nfe, t, s):
        two, one = stages(key, x, t, s)
        positive = jnp.all(sigma(s) > 0)
        return jax.lax.cond(positive, two, one), nfe + 1 + positive

    return Step(lambda x: jnp.zeros((), int), update, nfe=lambda nfe, n: nfe, stochastic=stochastic)
