"""Exponential multistep solvers: one evaluation a step, and a polynomial through the last few predictions.

With l = log(alpha/sigma) = lambda/2, the probability flow of any LinearSDE is linear except for the network's prediction:

    d(x/alpha)/dl = -e^(-l) eps(x, t),        d(x/sigma)/dl = e^l x_0(x, t)

DEIS puts a polynomial in l for eps, the DPM-Solver++ family for x_0; the exponential is integrated exactly. The first
steps have fewer values and are of lower order, which does no harm near t = 1, where x_t holds next to nothing of the data.
If l is an array, each coordinate has a polynomial in its own l.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
from annotated_types import Interval
from jaxtyping import Array, Int

from samplers.polynomial import integral
from samplers.step import Step, noise, noisy
from sde_lib.base import (
    SDE,
    Diagonal,
    Event,
    LinearSDE,
    NonNegative,
    Positive,
    Scalar,
    Score,
    UnitInterval,
    coordinates,
    linear,
)

Order = Annotated[int, Interval(ge=1, le=5)]


class Past(NamedTuple):
    """The network's predictions at the last few l, newest first; the first `n` of them are valid.

    They are tuples: one array of them all would be copied at every step.
    """

    l: tuple[Diagonal, ...]
    values: tuple[Event, ...]
    n: Int[Array, ""]

    @classmethod
    def none(cls, sde: LinearSDE, x: Event, q: int) -> Past:
        """Returns an empty past with room for q predictions."""
        return cls((jnp.zeros(coordinates(sde), x.dtype),) * q, (jnp.zeros_like(x),) * q, jnp.zeros((), int))

    def push(self, l: Diagonal, value: Event) -> Past:
        """Returns the past with one more value at the front; the oldest is dropped."""
        shift = lambda new, old: (jnp.asarray(new, old[0].dtype), *old[:-1])
        return Past(shift(l, self.l), shift(value, self.values), jnp.minimum(self.n + 1, len(self.l)))


def deis(sde: SDE, score: Score, order: Order = 4, eta: UnitInterval = 0.0, reach: Positive = 0.7) -> Step:
    """x_s = alpha_s/alpha_t x_t - alpha_s int_{l_t}^{l'} e^(-l) eps(l) dl + std z, eps the polynomial through `order` values.

    std is eta times that of `posterior`, and l' = log(alpha_s/sqrt(sigma_s^2 - std^2)): l_s at eta = 0, the flow.
    An exponential Adams-Bashforth method of that order: from a cold start, whose first steps have fewer values, of order 3 at
    most. On `arctan_grid` it is the library's fast solver: DEIS (Zhang & Chen 2023, prop. 3) with its polynomials in
    log(sigma/alpha). As e^(-l) vanishes, the same formula also makes the step to sigma_s = 0. At order 1 it is `ddim`, at every
    eta; at higher orders keep eta small, as new noise spoils the polynomial. A third difference approximates a derivative over
    short steps only: in a step h in l its weight is 1/(1 + (h/reach)^2), which keeps the order.
    """
    sde = linear(sde, "deis", "heun and probability_flow integrate the flow of any SDE")

    def update(key, x, past, t, s):
        l_t, l_s = sde.log_snr(t) / 2, sde.log_snr(s) / 2
        past = past.push(l_t, -sde.sigma(t) * score(x, t))
        renewed = jnp.maximum(-(eta**2) * jnp.expm1(2 * (l_t - l_s)), 0.0)  # std^2/sigma_s^2
        h = l_s - jnp.log1p(-renewed) / 2 - l_t
        trust = 1 / (1 + (h / reach) ** 2)
        change = integral(h, 1.0, [l - l_t for l in past.l], past.values, past.n, trust)
        x = sde.alpha(s) / sde.alpha(t) * x - sde.alpha(s) * jnp.exp(-l_t) * change
        return x + noise(key, x, sde.sigma(s) * jnp.sqrt(renewed), eta), past

    return Step(init=lambda x: Past.none(sde, x, order), update=update, nfe=1, stochastic=noisy(eta))


def dpmpp_2m(sde: SDE, score: Score, eta: NonNegative = 0.0) -> Step:
    """x_s = sigma_s/sigma_t e^(-eta^2 h) x_t + alpha_s (1 - e^(-(1 + eta^2) h)) D + sigma_s sqrt(1 - e^(-2 eta^2 h)) z.

    D = x_0 + h/(2 h') (x_0 - x_0'), with h = l_s - l_t, and h' and x_0' of the step before. DPM-Solver++(2M) at eta = 0
    and SDE-DPM-Solver++(2M) at eta = 1 (Lu et al. 2022b, alg. 2 and eq. 19), along the reverse SDE of `reverse_drift` at eta.
    """
    sde = linear(sde, "dpmpp_2m", "heun and probability_flow integrate the flow of any SDE")

    def update(key, x, past, t, s):
        past = past.push(sde.log_snr(t) / 2, sde.denoise(score, x, t))
        h, before = sde.log_snr(s) / 2 - past.l[0], past.l[0] - past.l[1]
        # At sigma_s = 0 the step is infinite, and x_0 is the result: no slope extrapolates that far.
        slope = jnp.where((past.n > 1) & jnp.isfinite(h), h / (2 * before), 0.0)
        d = past.values[0] + slope * (past.values[0] - past.values[1])
        return _noised(key, sde, x, d * -jnp.expm1(-(1 + eta**2) * h), h, eta, t, s), past

    return Step(init=lambda x: Past.none(sde, x, 2), update=update, nfe=1, stochastic=noisy(eta))


def dpmpp_3m(sde: SDE, score: Score, eta: NonNegative = 0.0) -> Step:
    """`dpmpp_2m` with x_0 the parabola through the last three values, integrated exactly: of order 3 at eta = 0.

    x_s = sigma_s/sigma_t e^(-eta^2 h) x_t + alpha_s a int_0^h e^(-a v) x_0(l_s - v) dv + noise, with a = 1 + eta^2. The
    third-order multistep solver of Lu et al. (2022b), app. B, whose public code halves the second difference and is of order 2.
    """
    sde = linear(sde, "dpmpp_3m", "heun and probability_flow integrate the flow of any SDE")

    def update(key, x, past, t, s):
        past = past.push(sde.log_snr(t) / 2, sde.denoise(score, x, t))
        return _move(key, sde, x, past, t, s, eta), past

    return Step(init=lambda x: Past.none(sde, x, 3), update=update, nfe=1, stochastic=noisy(eta))


def unipc(sde: SDE, score: Score, order: Order = 3) -> Step:
    """x_t is corrected by the polynomial of x_0 through its own value too, then `order` values predict x_s.

    One evaluation serves a corrector of order `order` + 1 and a predictor of order `order`, with exact weights: Zhao et al.
    (2023), alg. 5-8, in the variant with varying coefficients (app. C). The x of the last time is not corrected. A change that
    another step made to x_t in between, such as a Langevin corrector's, is preserved.
    """
    sde = linear(sde, "unipc", "heun and probability_flow integrate the flow of any SDE")

    def update(key, x, memory, t, s):
        past, x_before, t_before, predicted = memory
        latest = past.push(sde.log_snr(t) / 2, sde.denoise(score, x, t))
        corrected = _move(key, sde, x_before, latest, t_before, t, 0.0) + (x - predicted)
        x = jnp.where(past.n > 0, corrected, x)
        past = Past(latest.l, latest.values, jnp.minimum(latest.n, order))
        x_s = _move(key, sde, x, past, t, s, 0.0)
        return x_s, (latest, x, jnp.asarray(t, x.dtype), x_s)

    def init(x: Event) -> Any:
        # The corrector uses one value more than the predictor.
        return Past.none(sde, x, order + 1), x, jnp.ones((), x.dtype), x

    return Step(init, update, nfe=1, stochastic=False)


def _move(key: Any, sde: LinearSDE, x: Event, past: Past, t: Scalar, s: Scalar, eta: Scalar) -> Event:
    """x_s from x_t by the polynomial of x_0 through `past`; a step to sigma_s = 0 takes the newest x_0 alone."""
    h, a = (sde.log_snr(s) - sde.log_snr(t)) / 2, 1 + eta**2
    finite = jnp.isfinite(h)
    nodes = [jnp.where(finite, sde.log_snr(s) / 2 - l, 0.0) for l in past.l]
    x_0 = integral(h, a, nodes, past.values, jnp.where(finite, past.n, 1))
    return _noised(key, sde, x, a * x_0, h, eta, t, s)


def _noised(key: Any, sde: LinearSDE, x: Event, x_0: Event, h: Diagonal, eta: Scalar, t: Scalar, s: Scalar) -> Event:
    """sigma_s/sigma_t e^(-eta^2 h) x_t + alpha_s x_0 + sigma_s sqrt(1 - e^(-2 eta^2 h)) z."""
    decay = jnp.where(eta > 0, eta**2 * h, 0.0)  # 0 for the flow, at an infinite h too
    std = sde.sigma(s) * jnp.sqrt(-jnp.expm1(-2 * decay))
    return sde.sigma(s) / sde.sigma(t) * jnp.exp(-decay) * x + sde.alpha(s) * x_0 + noise(key, x, std, eta)
