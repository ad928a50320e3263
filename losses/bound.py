"""The variational bound on -log p(x_0): objectives that train on it, and functions that measure it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from losses.dsm import Loss, dsm, require_linear
from losses.terms import (
    Share,
    Variance,
    cell_nll,
    diffusion_term,
    kl,
    noise_error,
    prior_term,
    reconstruction_term,
    require_bound,
    require_linear_bound,
    variance_share,
)
from losses.times import Several, discrete_times, importance, spread
from losses.weights import likelihood
from sde_lib.base import SDE, Count, Event, LinearSDE, NonNegative, Positive, Scalar, Score


class Bound(NamedTuple):
    """-log p(x_0) <= prior + diffusion + reconstruction, in expectation over the noise, in nats per example."""

    prior: Scalar
    diffusion: Scalar
    reconstruction: Scalar

    @property
    def total(self) -> Scalar:
        """The bound itself."""
        return self.prior + self.diffusion + self.reconstruction


def vlb(
    sde: SDE,
    score: Score,
    n: Several,
    width: Positive | None = 2 / 255,
    v: Variance = 0.0,
    t_min: float | None = None,
    low: Scalar = -1.0,
) -> Loss:
    """l(x_0, t) = n/D L_i at t = t_i of `discrete(sde, n, t_min)`: L_0 at the first, KL from t_i to t_{i-1} at the others.

    The mean over i, plus `prior_term`/D, is the bound of `elbo` in nats per dimension.
    Ho et al. (2020), eq. 5; Nichol & Dhariwal (2021), sec. 3.1. Returns `loss(key, x_0, t)`; t is rounded to the nearest t_i.
    Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = require_linear(sde, "vlb")
    times = discrete_times(sde, n, t_min)

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        t, term = _term(linear_sde, times, t, width, low)
        x_t, d = noise_error(linear_sde, score, key, x_0, t)
        return term(d, x_0, variance_share(v, x_t, t))

    return loss


def hybrid(
    sde: SDE,
    score_and_v: Callable[[Event, Scalar], tuple[Event, Event]],
    n: Several,
    width: Positive | None = 2 / 255,
    lambda_vlb: NonNegative = 1e-3,
    t_min: float | None = None,
    low: Scalar = -1.0,
) -> Loss:
    """L_simple + lambda L_vlb: `dsm` of weight sigma^2 trains the score, and `vlb` the variance v alone.

    The gradient of L_vlb takes the score as a constant. `score_and_v`(x_t, t) returns both, as `with_variance` of a score model
    does with one evaluation of the network. Nichol & Dhariwal (2021), eq. 16. Returns `loss(key, x_0, t)`; t is rounded to the
    nearest of `discrete(sde, n, t_min)`. Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = require_linear(sde, "hybrid")
    times = discrete_times(sde, n, t_min)

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        t, term = _term(linear_sde, times, t, width, low)
        eps = jax.random.normal(key, x_0.shape)
        score, v = score_and_v(linear_sde.perturb(x_0, eps, t), t)
        d = -linear_sde.sigma(t) * score - eps
        return jnp.mean(d**2) + lambda_vlb * term(jax.lax.stop_gradient(d), x_0, v)

    return loss


def elbo(
    sde: SDE,
    score: Score,
    n: Several,
    width: Positive | None = 2 / 255,
    v: Variance = 0.0,
    m: Count | None = None,
    t_min: float | None = None,
    low: Scalar = -1.0,
) -> Callable[[Key[Array, ""], Event], Bound]:
    """L_T + sum_{i=2}^n KL(q(x_{i-1} | x_i, x_0) || p(x_{i-1} | x_i)) + L_0 at the n times of `discrete(sde, n, t_min)`.

    `m`: the number of the n - 1 steps that are drawn, evenly, to estimate the sum without bias (None: all). `width` None: x_0
    has a density. Ho et al. (2020), eq. 5. Returns bound(key, x_0). Raises TypeError for an SDE without alpha and sigma.
    """
    sde = require_linear_bound(sde, "elbo")
    step, last = diffusion_term(sde, score, v), reconstruction_term(sde, score, width, low)
    times = discrete_times(sde, n, t_min)

    def bound(key: Key[Array, ""], x_0: Event) -> Bound:
        last_key, which_key, step_key = jax.random.split(key, 3)
        which = jnp.arange(n - 1) if m is None else jnp.floor(spread(which_key, m) * (n - 1)).astype(int)
        keys = jax.random.split(step_key, len(which))
        terms = jax.lax.map(lambda at: step(at[0], x_0, times[at[1] + 1], times[at[1]]), (keys, which))
        return Bound(prior_term(sde, x_0), jnp.sum(terms) * ((n - 1) / len(which)), last(last_key, x_0, times[0]))

    return bound


def continuous_bound(
    sde: SDE,
    score: Score,
    width: Positive | None = None,
    m: Count = 100,
    t_min: float | None = None,
    low: Scalar = -1.0,
) -> Callable[[Key[Array, ""], Event], Bound]:
    """L_T + int_{t_min}^1 -lambda'(t)/2 E|eps - eps_hat|^2 dt + L_0 at t_min: `elbo` as n -> infinity.

    The integral is D/2 of `dsm` under the weight g^2, at `m` draws of `importance`, even in log-SNR. `width` None: x_0 has a
    density, as points and dequantised images do. Under the exact score the mean over data is its entropy, KL(q(x_1) || p_1)
    and the mean KL(q(x_0 | x_t) || N(x_0_hat, (sigma/alpha)^2)) at t_min. Kingma et al. (2021), eqs. 11-18; Song et al. (2021,
    "Maximum Likelihood Training"), thm. 3. Returns bound(key, x_0). Raises TypeError for an SDE without alpha and sigma.
    """
    sde = require_bound(sde, "continuous_bound")
    last = reconstruction_term(sde, score, width, low)
    error, times = dsm(sde, score, likelihood), importance(sde, t_min)
    start = sde.t_min if t_min is None else t_min

    def bound(key: Key[Array, ""], x_0: Event) -> Bound:
        last_key, time_key, noise_key = jax.random.split(key, 3)
        t, inverse_density = times.sample(time_key, None, m)
        errors = jax.lax.map(lambda at: error(at[0], x_0, at[1]), (jax.random.split(noise_key, m), t))
        diffusion = x_0.size / 2 * jnp.mean(inverse_density * errors)
        return Bound(prior_term(sde, x_0), diffusion, last(last_key, x_0, start))

    return bound


def _term(
    sde: LinearSDE, times: Float[Array, " n"], t: Scalar, width: Positive | None, low: Scalar
) -> tuple[Scalar, Callable[[Event, Event, Share], Scalar]]:
    """Returns t_i, the nearest of `times` to t, and (d, x_0, v) -> n/D L_i."""
    i = jnp.argmin(jnp.abs(times - t))
    t_i, s = times[i], times[jnp.maximum(i - 1, 0)]

    def term(d: Event, x_0: Event, v: Share) -> Scalar:
        return len(times) / x_0.size * jnp.where(i == 0, cell_nll(sde, d, x_0, t_i, width, low), kl(sde, d, t_i, s, v))

    return t_i, term
