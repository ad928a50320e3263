"""Grids: n + 1 decreasing times from 1 to t_min, of which nothing else in the library knows the number."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_lib.base import SDE, LinearSDE, Positive, linear


def uniform_grid(sde: SDE, n: int, t_min: float | None = None) -> Float[Array, " times"]:
    """t_i = 1 + i/n (t_min - 1)."""
    return jnp.linspace(1.0, sde.t_min if t_min is None else t_min, n + 1)


def log_snr_grid(sde: SDE, n: int, t_min: float | None = None) -> Float[Array, " times"]:
    """lambda(t_i) even from lambda(1) to lambda(t_min) (Lu et al. 2022, DPM-Solver's grid)."""
    return _by_noise(linear(sde, "log_snr_grid", "uniform_grid serves any SDE"), n, t_min, lambda a, b, u: a * (b / a) ** u)


def karras_grid(sde: SDE, n: int, t_min: float | None = None, rho: Positive = 7.0) -> Float[Array, " times"]:
    """(sigma/alpha)^(1/rho) even between its ends (Karras et al. 2022, eq. 5)."""
    return _by_noise(
        linear(sde, "karras_grid", "uniform_grid serves any SDE"),
        n,
        t_min,
        lambda a, b, u: (a ** (1 / rho) + u * (b ** (1 / rho) - a ** (1 / rho))) ** rho,
    )


def _by_noise(sde: LinearSDE, n: int, t_min: float | None, between) -> Float[Array, " times"]:
    """The times where sigma/alpha = e^(-lambda/2) takes the values between(most, least, u) for even u in [0, 1]."""
    end = sde.t_min if t_min is None else t_min
    most, least = (jnp.exp(-sde.log_snr(jnp.asarray(t)) / 2) for t in (1.0, end))
    inner = jax.vmap(sde.time_at)(-2 * jnp.log(between(most, least, jnp.arange(1, n) / n)))
    return jnp.concatenate([jnp.ones(1), inner, jnp.full(1, end)])
