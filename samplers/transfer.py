"""A score that was trained on one linear SDE as the score of another: a function Score -> Score."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_lib.base import SDE, Event, LinearSDE, Scalar, Score, isotropic, linear

SLACK = 1e-3
"""The relative error of sigma/alpha by rounding in float32, for two schedules that end alike."""


def under(trained: SDE, score: Score, sde: SDE) -> Score:
    """score_sde(x, t) = k score(k x, t') with t' at the same log-SNR of `trained`, and k = alpha_trained(t')/alpha_sde(t).

    The law of x_t/alpha_t = x_0 + (sigma_t/alpha_t) z is the same under every linear SDE at equal sigma/alpha, so that
    k x ~ p_t' of `trained` if x ~ p_t of `sde` (Karras et al. 2022, eq. 20, whose s(t) is alpha). Beyond the noise levels of
    `trained` nothing is promised: `check_reach` refuses those.

    Raises TypeError if either is no LinearSDE, or has arrays of alpha and sigma, whose log-SNRs do not all meet at one t'.
    """
    there, here = _alike(trained), _alike(sde)

    def transferred(x: Event, t: Scalar) -> Event:
        t_trained = there.time_at(jnp.asarray(here.log_snr(t)))
        k = there.alpha(t_trained) / here.alpha(t)
        return k * score(k * x, t_trained)

    return transferred


def check_reach(trained: SDE, sde: SDE, grid: Float[Array, " times"], t_min: float | None = None) -> None:
    """Raises ValueError if `sde` on `grid` needs more noise than `trained` has at t = 1, or less than it has at `t_min`.

    `t_min`: the least time that the score was trained at (None: that of `trained`). At sigma = 0 no score is needed. Raises
    TypeError as `under` does.
    """
    there, here = _alike(trained), _alike(sde)
    noise = lambda sde, times: jnp.exp(-jax.vmap(sde.log_snr)(jnp.asarray(times)) / 2)
    ends = jnp.array([trained.t_min if t_min is None else t_min, 1.0])
    (least, most), needed = noise(there, ends), noise(here, grid)
    needed = needed[needed > 0]
    if needed.max() > most * (1 + SLACK):
        raise ValueError(
            f"{type(sde).__name__} begins at sigma/alpha = {needed.max():.4g}, and the network was trained up to {most:.4g} on "
            f"{type(trained).__name__}: choose options with sigma(1)/alpha(1) <= {most:.4g}, as sigma_max where alpha = 1"
        )
    if needed.min() < least * (1 - SLACK):
        end = float(here.time_at(-2 * jnp.log(least)))
        raise ValueError(
            f"the grid ends at sigma/alpha = {needed.min():.3g}, and the network was trained down to {least:.3g} on "
            f"{type(trained).__name__}: end it at t_min >= {end:.4g}, or log_snr_max <= {-2 * jnp.log(least):.6g}"
        )


def _alike(sde: SDE) -> LinearSDE:
    """Returns the SDE. Raises TypeError unless all coordinates have one log-SNR."""
    what, instead = "a score under another SDE", "sample on the SDE that it was trained on"
    return isotropic(linear(sde, what, instead), what, instead)
