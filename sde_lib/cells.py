"""The probability that a normal law gives a cell, without a difference of two numbers close to 1."""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Bool

from sde_lib.base import Diagonal, Event

Ends = Bool[Array, "*event"]


def log_cell(d: Event, half: Diagonal, first: Ends, last: Ends) -> Event:
    """log P(d - half <= n <= d + half), n ~ N(0, 1): a cell at d standard deviations from the mean, 2 half of them wide.

    The cells of the `first` and of the `last` level are open outward, so that those of all levels sum to 1.
    """
    log_p = jnp.where(first, norm.logcdf(d + half), _closed(d, half))
    return jnp.where(last, norm.logcdf(half - d), log_p)


def _closed(d: Event, half: Diagonal) -> Event:
    """log(Phi(d + half) - Phi(d - half)), in the left tail, where neither is close to 1.

    If the two are close, it is Taylor's series of the density about d, of relative error h^4 (d^4 - 6 d^2 + 3)/120.
    """
    d = -jnp.abs(d)
    narrow = half * jnp.maximum(1.0, -d) < 0.05
    upper = norm.logcdf(d + half)
    ratio = jnp.where(narrow, -1.0, norm.logcdf(d - half) - upper)
    series = norm.logpdf(d) + jnp.log(2 * half) + jnp.log1p(half**2 * (d**2 - 1) / 6)
    return jnp.where(narrow, series, upper + jnp.log(-jnp.expm1(ratio)))
