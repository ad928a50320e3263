"""Grids: n + 1 decreasing times from 1 to t_min. Nothing else in the library knows their number.

lambda and sigma/alpha = e^(-lambda/2) are the SDE's `level`, and the noise at it: if they are arrays, a mean over coordinates.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_lib.base import SDE, Count, GaussianSDE, Positive, gaussian

Grid = Float[Array, " times"]


def uniform_grid(sde: SDE, n: Count, t_min: float | None = None) -> Grid:
    """t_i = 1 + i/n (t_min - 1)."""
    return jnp.linspace(1.0, sde.t_min if t_min is None else t_min, n + 1)


def shifted_grid(sde: SDE, n: Count, t_min: float | None = None, shift: Positive = 3.0) -> Grid:
    """t_i = k u_i / (1 + (k - 1) u_i), k = `shift`, with even u_i from 1 down: k times the t/(1 - t) of an even grid.

    With k = sqrt(m/n) images of m pixels are as noisy in their means as those of n on an even grid: Esser et al. (2024, Stable
    Diffusion 3), eq. 23, whose k at 1024 x 1024 is 3. See `losses.logit_normal`.
    """
    end = jnp.asarray(sde.t_min if t_min is None else t_min)
    u = jnp.linspace(1.0, end / (shift - (shift - 1) * end), n + 1)
    return (shift * u / (1 + (shift - 1) * u)).at[-1].set(end)


def quadratic_grid(sde: SDE, n: Count, t_min: float | None = None) -> Grid:
    """sqrt(t_i) even from 1 to sqrt(t_min): dense near the data (Song, Meng & Ermon 2021, app. D.2)."""
    return jnp.linspace(1.0, jnp.sqrt(sde.t_min if t_min is None else t_min), n + 1) ** 2


def log_snr_grid(sde: SDE, n: Count, t_min: float | None = None, log_snr_max: float | None = None) -> Grid:
    """lambda(t_i) even from lambda(1) to the end (Lu et al. 2022, DPM-Solver's grid).

    The end is at `log_snr_max`, the same noise on every SDE, or else at `t_min`.
    """
    sde = gaussian(sde, "log_snr_grid", "uniform_grid serves any SDE")
    return _by_noise(sde, n, t_min, log_snr_max, lambda a, b, u: a * (b / a) ** u)


def karras_grid(sde: SDE, n: Count, t_min: float | None = None, log_snr_max: float | None = None, rho: Positive = 7.0) -> Grid:
    """(sigma/alpha)^(1/rho) even from t = 1 to the end, which is `log_snr_grid`'s (Karras et al. 2022, eq. 5)."""
    sde = gaussian(sde, "karras_grid", "uniform_grid serves any SDE")
    between = lambda a, b, u: (a ** (1 / rho) + u * (b ** (1 / rho) - a ** (1 / rho))) ** rho
    return _by_noise(sde, n, t_min, log_snr_max, between)


def arctan_grid(
    sde: SDE,
    n: Count,
    t_min: float | None = None,
    log_snr_max: float | None = None,
    centre: Positive = 3.4,
    width: Positive = 5.8,
    knee: Positive = 1.2,
    power: Positive = 2.05,
) -> Grid:
    """arctan(log(s/centre)/width) even in s = sigma/alpha, n - 1 steps from t = 1 to s = knee/n^power, and one to the end.

    It is even in log-SNR around s = `centre`, and ever sparser beyond a factor e^`width` of it, where nothing is decided about
    the sample. The end may be s = 0 (t_min = 0 on VP); if it lies above the knee, all n steps lead to it. This is the grid of
    the library's fast solver, `deis` on `arctan_grid(sde, n, t_min=0)`: its constants, and the `reach` of `deis`, minimise the
    error on the mixtures of benchmarks/common/problems.py.
    """
    sde = gaussian(sde, "arctan_grid", "uniform_grid serves any SDE")
    angle = lambda s: jnp.arctan(jnp.log(s / centre) / width)
    last = knee / n**power

    def between(most, least, u):
        reached = jnp.where(least < last, jnp.minimum(u * n / max(n - 1, 1), 1.0), u)
        a, b = angle(most), angle(jnp.maximum(least, last))
        return centre * jnp.exp(width * jnp.tan(a + reached * (b - a)))

    return _by_noise(sde, n, t_min, log_snr_max, between)


def _by_noise(sde: GaussianSDE, n: int, t_min: float | None, log_snr_max: float | None, between: Callable[..., Array]) -> Grid:
    """The times at which sigma/alpha = e^(-lambda/2) takes the values between(most, least, u) for even u in [0, 1]."""
    if t_min is not None and log_snr_max is not None:
        raise ValueError(f"t_min = {t_min} and log_snr_max = {log_snr_max} are both an end: give one, and None for the other")
    end = jnp.asarray(sde.t_min if t_min is None else t_min) if log_snr_max is None else sde.time_at(jnp.asarray(log_snr_max))
    most, least = (jnp.exp(-sde.level(t) / 2) for t in (jnp.ones(()), end))
    inner = jax.vmap(sde.time_at)(-2 * jnp.log(between(most, least, jnp.arange(1, n) / n)))
    return jnp.concatenate([jnp.ones(1), inner, jnp.asarray(end)[None]])
