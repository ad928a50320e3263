"""Draws of t for a batch, with 1/p(t), so that mean(loss(t) / p(t)) estimates the integral of loss over t without bias.

Every draw spreads one batch evenly over its distribution (Kingma et al. 2021, app. I.1): u_i = (u + i/n) mod 1 with one
uniform u, each u_i being uniform on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le
from jax.scipy.special import ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

from sde_lib.base import SDE, Positive, Scalar, coordinate_mean, coordinates, gaussian, inverse, linear

Times = Float[Array, " n"]


class TimeSampler(NamedTuple):
    """A distribution over t, with a memory of past losses for those that adapt to them.

    init() -> memory;  sample(key, memory, n) -> (t [n], 1/p(t) [n]);  update(memory, t [n], loss [n]) -> memory.
    """

    init: Callable[[], Any]
    sample: Callable[[Key[Array, ""], Any, int], tuple[Times, Times]]
    update: Callable[[Any, Times, Times], Any]


def spread(key: Key[Array, ""], n: int) -> Times:
    """u_i = (u + i/n) mod 1."""
    return (jax.random.uniform(key) + jnp.arange(n) / n) % 1.0


def _fixed(sample: Callable[[Times], tuple[Times, Times]]) -> TimeSampler:
    """A draw without memory from `sample(u) -> (t, 1/p(t))`, the image of uniform u."""

    return TimeSampler(
        init=lambda: None,
        sample=lambda key, memory, n: sample(spread(key, n)),
        update=lambda memory, t, loss: memory,
    )


def uniform(sde: SDE, t_min: float | None = None) -> TimeSampler:
    """t ~ U(t_min, 1)."""
    start = sde.t_min if t_min is None else t_min
    return _fixed(lambda u: (start + (1 - start) * u, jnp.full_like(u, 1 - start)))


def importance(
    sde: SDE, t_min: float | None = None, normalized: bool = True, prior_variance: Positive | None = None
) -> TimeSampler:
    """p(t) = g(t)^2 / (Z sigma(t)^2), which makes the likelihood weight constant: minimal variance if |sigma score + z| is.

    Since g^2/sigma^2 = -lambda', t is uniform in log-SNR and Z = lambda(t_min) - lambda(1), for every LinearSDE; of arrays both
    are means over coordinates, and of an AugmentedSDE lambda is its `level`. `normalized` False omits Z from 1/p, as ScoreFlow
    does: a loss Z times smaller, about 24 on VP and 38 on sub-VP. Song et al. (2021, "Maximum Likelihood Training"), sec. 5.1,
    written there for VP.

    `prior_variance` v: for data that is about N(0, v I), p(t) = -lambda' sigmoid(lambda + log v) / Z. There the exact score has
    E|sigma score + z|^2 = D sigmoid(lambda + log v), so that no variance is left between t, which is uniform in

        l = log(1 + v SNR) = softplus(lambda + log v),        lambda = log(e^l - 1) - log v,        Z = l(t_min) - l(1),

    twice the information of x_t about x_0 in each dimension. With v = 1 on VP, -l = log sigma^2, the draw of Vahdat et al.
    (2021), sec. 3.3, for the likelihood weight; as v grows, l becomes lambda + log v.
    """
    gaussian_sde = gaussian(sde, "importance", "uniform draws t for any SDE")
    start = sde.t_min if t_min is None else t_min
    y_of, t_of = (
        (gaussian_sde.level, gaussian_sde.time_at) if prior_variance is None else _information(gaussian_sde, prior_variance)
    )

    def sample(u: Times) -> tuple[Times, Times]:
        cleanest, noisiest = y_of(jnp.asarray(start)), y_of(jnp.asarray(1.0))
        t = jnp.clip(jax.vmap(t_of)(cleanest + u * (noisiest - cleanest)), start, 1.0)
        z = cleanest - noisiest if normalized else 1.0
        return t, z / -jax.vmap(jax.grad(y_of))(t)

    return _fixed(sample)


def _information(sde: SDE, v: Scalar) -> tuple[Callable[[Scalar], Scalar], Callable[[Scalar], Scalar]]:
    """t -> l = log(1 + v SNR), its mean over coordinates, and back."""
    linear_sde = linear(sde, "importance by a prior_variance", "leave it out")
    log_v = jnp.log(v)
    y_of = lambda t: coordinate_mean(jax.nn.softplus(linear_sde.log_snr(t) + log_v))

    def t_of(y: Scalar) -> Scalar:
        if coordinates(linear_sde):
            return inverse(y_of, y)
        l = jnp.maximum(y, 1e-30)  # rounding makes the least of them negative
        return linear_sde.time_at(l + jnp.log(-jnp.expm1(-l)) - log_v)

    return y_of, t_of


Several = Annotated[int, Ge(2), Le(1_000_000)]


def discrete_times(sde: SDE, n: Several, t_min: float | None = None) -> Times:
    """linspace(t_min, 1, n)."""
    return jnp.linspace(sde.t_min if t_min is None else t_min, 1.0, n)


def discrete(sde: SDE, n: Several, t_min: float | None = None) -> TimeSampler:
    """t uniform on the n `discrete_times`, with the measure that gives each the weight 1/n: 1/p = 1.

    On `ddpm_table(n)` these are DDPM's i/n; on VESDE, whose t_min is 0, they are NCSN's ladder.
    """
    times = discrete_times(sde, n, t_min)
    return _fixed(lambda u: (times[jnp.floor(u * n).astype(int)], jnp.ones_like(u)))


def log_normal(
    sde: SDE, mean: Scalar = -1.2, std: Positive = 1.2, t_min: float | None = None, unbiased: bool = True
) -> TimeSampler:
    """y = log(sigma/alpha), its mean over coordinates, ~ N(mean, std^2), truncated to its range over t in [t_min, 1].

    p(t) = N(y(t); mean, std^2) y'(t) / P(y(t_min) <= y <= y(1)), with y' = -lambda'/2. `unbiased` = False gives 1 for 1/p(t),
    so that p is part of the objective, E_{t~p} loss: Karras et al. (2022), table 1, with the weight `edm`.
    Raises TypeError for an SDE without alpha and sigma.
    """
    gaussian_sde = gaussian(sde, "log_normal", "logit_normal draws t for any SDE")
    start = sde.t_min if t_min is None else t_min
    y_of = lambda t: -gaussian_sde.level(t) / 2

    def sample(u: Times) -> tuple[Times, Times]:
        y, inverse_density = _truncated_normal(u, y_of(jnp.asarray(start)), y_of(jnp.asarray(1.0)), mean, std)
        t = jnp.clip(jax.vmap(gaussian_sde.time_at)(-2 * y), start, 1.0)
        return t, inverse_density / jax.vmap(jax.grad(y_of))(t) if unbiased else jnp.ones_like(t)

    return _fixed(sample)


def logit_normal(
    sde: SDE,
    mean: Scalar = 0.0,
    std: Positive = 1.0,
    t_min: float | None = None,
    unbiased: bool = True,
    shift: Positive = 1.0,
) -> TimeSampler:
    """y = log(t/(1 - t)) ~ N(m, std^2), m = mean + log shift, truncated to t >= t_min:

        p(t) = N(y; m, std^2) / (t (1 - t)) / P(y >= y(t_min))

    `shift` k replaces each t by k t / (1 + (k - 1) t), whose t/(1 - t) is k times as high, as is the noise of RectifiedFlowSDE:
    for images of m pixels in the place of n, sqrt(m/n), so that the means over as many pixels are as noisy. Esser et al. (2024,
    Stable Diffusion 3), eqs. 19 and 23.

    1/p(t) has no second moment as t -> 1, whatever `std`, and float32 reaches no t beyond y = mean + 5.3 std, 0.995 at the
    defaults. `unbiased` = False gives 1 for it, so that p is part of the objective, E_{t~p} loss, as in Esser et al. (2024,
    Stable Diffusion 3), sec. 3.1.
    """
    start = sde.t_min if t_min is None else t_min

    def sample(u: Times) -> tuple[Times, Times]:
        first = jnp.log(start) - jnp.log1p(-start)
        y, inverse_density = _truncated_normal(u, first, jnp.inf, mean + jnp.log(shift), std)
        t = jnp.clip(jax.nn.sigmoid(y), start, 1.0)
        return t, inverse_density * jax.nn.sigmoid(y) * jax.nn.sigmoid(-y) if unbiased else jnp.ones_like(t)

    return _fixed(sample)


def _truncated_normal(u: Times, low: Scalar, high: Scalar, mean: Scalar, std: Scalar) -> tuple[Times, Times]:
    """Returns (y, 1/p(y)) of N(mean, std^2) on [low, high], as the image of uniform u.

    The resolution of floats keeps u off 0 and 1, where y is infinite: without `low` and `high` no y lies beyond 5.3 `std` of
    the mean.
    """
    upper = low + high > 2 * mean  # an upper tail by its mirror image: floats resolve the lower
    first, last = jnp.where(upper, 2 * mean - high, low), jnp.where(upper, 2 * mean - low, high)
    below, above = norm.cdf(first, mean, std), norm.cdf(last, mean, std)
    inside = jnp.clip(below + u * (above - below), jnp.finfo(u.dtype).tiny, 1 - jnp.finfo(u.dtype).eps / 2)
    y = mean + std * ndtri(inside)
    y = jnp.clip(jnp.where(upper, 2 * mean - y, y), low, high)
    return y, (above - below) / norm.pdf(y, mean, std)
