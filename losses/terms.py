"""The terms of the variational bound on -log p(x_0), in nats per example, for any LinearSDE, and some for an AugmentedSDE.

All are functions of the network's error d = eps_hat - eps at x_t = alpha x_0 + sigma eps, eps_hat = -sigma score. It is of
order one at every t: x_0 - x_0_hat = (sigma/alpha) d.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

from sde_lib.augmented import AugmentedSDE
from sde_lib.base import SDE, Diagonal, Event, GaussianSDE, LinearSDE, Positive, Scalar, Score, UnitInterval, gaussian, linear
from sde_lib.cells import log_cell

Share = Float[Array, "..."] | float
Variance = UnitInterval | Callable[[Event, Scalar], Event]
"""v in log std = v log std_transition + (1 - v) log std_posterior: a number, or v(x_t, t) (Nichol & Dhariwal 2021, eq. 15)."""
FLOW = "samplers.log_prob gives the likelihood under any SDE"


def prior_term(sde: SDE, x_0: Event) -> Scalar:
    """L_T = KL(q(x_1 | x_0) || p_1), the SDE's `prior_kl`: |alpha(1) x_0 - prior_mean|^2 / (2 sigma(1)^2) of a LinearSDE.

    Ho et al. (2020), eq. 5. Raises TypeError for an SDE without alpha and sigma.
    """
    return require_bound(sde, "prior_term").prior_kl(x_0)


def diffusion_term(sde: SDE, score: Score, v: Variance = 0.0) -> Callable[[Key[Array, ""], Event, Scalar, Scalar], Scalar]:
    """L_{t-1} = KL(q(x_s | x_t, x_0) || N(mean of q(x_s | x_t, x_0_hat), std_p^2)) from t to s < t; see `kl`.

    Ho et al. (2020), eq. 5; at `v` = 0 it is (SNR(s) - SNR(t)) |x_0 - x_0_hat|^2 / 2, Kingma et al. (2021), eq. 13.
    Returns term(key, x_0, t, s). Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = require_linear_bound(sde, "diffusion_term")

    def term(key: Key[Array, ""], x_0: Event, t: Scalar, s: Scalar) -> Scalar:
        x_t, d = noise_error(linear_sde, score, key, x_0, t)
        return kl(linear_sde, d, t, s, variance_share(v, x_t, t))

    return term


def reconstruction_term(
    sde: SDE, score: Score, width: Positive | None = 2 / 255, low: Scalar = -1.0
) -> Callable[[Key[Array, ""], Event, Scalar], Scalar]:
    """L_0 = -log p(x_0 | x_t), p = N(x_0_hat, (sigma/alpha)^2) over the cell of x_0; see `cell_nll`.

    Ho et al. (2020), eq. 13, with the deviation of Kingma et al. (2021), app. F, which differs from sqrt(beta_1) by a factor
    alpha ~ 1. Of an AugmentedSDE it is `augmented_nll`. Returns `loss(key, x_0, t)`. Raises TypeError for an SDE without alpha
    and sigma.
    """
    if isinstance(sde, AugmentedSDE):
        return lambda key, x_0, t: augmented_nll(sde, key, x_0, t, width, low)
    linear_sde = require_linear_bound(sde, "reconstruction_term")

    def term(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        return cell_nll(linear_sde, noise_error(linear_sde, score, key, x_0, t)[1], x_0, t, width, low)

    return term


def end_terms(sde: SDE, width: Positive | None, low: Scalar) -> Callable[[Key[Array, ""], Event, Scalar], Scalar]:
    """L_T + L_0, with the L_0 of VDM at t, which needs no network: its x_0_hat is x_t/alpha.

    `width` and `low` are those of `reconstruction_term`. Returns `loss(key, x_0, t)`.
    """
    last_term = reconstruction_term(sde, lambda x, t: jnp.zeros_like(x), width, low)
    return lambda key, x_0, t: prior_term(sde, x_0) + last_term(key, x_0, t)


def require_bound(sde: SDE, term: str) -> GaussianSDE:
    """Returns `sde` if it has the bound that `term` belongs to; raises TypeError otherwise."""
    return gaussian(sde, term, FLOW)


def require_linear_bound(sde: SDE, term: str) -> LinearSDE:
    """Returns `sde` if it has the bound of alpha and sigma that `term` belongs to; raises TypeError otherwise."""
    return linear(sde, term, FLOW)


def variance_share(v: Variance, x_t: Event, t: Scalar) -> Share:
    """v at x_t."""
    return v(x_t, t) if callable(v) else v


def noise_error(sde: LinearSDE, score: Score, key: Key[Array, ""], x_0: Event, t: Scalar) -> tuple[Event, Event]:
    """Returns (x_t, d), with eps ~ N(0, I) from `key`."""
    eps = jax.random.normal(key, x_0.shape)
    x_t = sde.perturb(x_0, eps, t)
    return x_t, -sde.sigma(t) * score(x_t, t) - eps


def kl(sde: LinearSDE, d: Event, t: Scalar, s: Scalar, v: Share) -> Scalar:
    """sum log rho + (1/rho^2 - 1)/2 + (e^(lambda_s - lambda_t) - 1) d^2 / (2 rho^2),  rho = std_p/std_q = (sigma_t/sigma_s)^v.

    The KL of two Gaussians; std_transition/std_posterior = sigma_t/sigma_s, as each is its sigma times one square root.
    """
    log_rho = v * (jnp.log(sde.sigma(t)) - jnp.log(sde.sigma(s)))
    gain = jnp.expm1(sde.log_snr(s) - sde.log_snr(t))
    return jnp.sum(log_rho + jnp.expm1(-2 * log_rho) / 2 + jnp.exp(-2 * log_rho) * gain * d**2 / 2)


def cell_nll(sde: LinearSDE, d: Event, x_0: Event, t: Scalar, width: Positive | None, low: Scalar = -1.0) -> Scalar:
    """-sum log N(x_0; x_0_hat, (sigma/alpha)^2): a density if `width` is None, or the mass on [x_0 - width/2, x_0 + width/2].

    `width` is the distance between two of the L grey levels on [`low`, 1], (1 - low)/(L - 1). The cells of the first and of the
    last, at `low` and 1, are open outward, so that the masses of all L sum to 1.
    """
    return _nll(d, jnp.exp(-sde.log_snr(t) / 2), x_0, width, low)


def augmented_nll(sde: AugmentedSDE, key: Key[Array, ""], x_0: Event, t: Scalar, width: Positive | None, low: Scalar) -> Scalar:
    """-log p(x_0 | x_t) - log q(v_0), of an event of the data x_0 and the auxiliary variables v_0; `width` as of `cell_nll`.

    p = N(x_0_hat, 1/|w|^2), with x_0_hat the most likely x_0 of x_t = P (x_0, 0, ..., 0) + L z: x_0_hat - x_0 = w . z/|w|^2 and
    w = L^-1 P (1, 0, ..., 0). As no network has the score of all variables, it does without.
    """
    w = sde.whiten(sde.mean_factor(t)[:, 0], t)
    std = 1 / jnp.linalg.norm(w)
    d = -std * jnp.sum(jax.random.normal(key, x_0.shape) * w, axis=-1)
    return _nll(d, std, x_0[..., 0], width, low) - norm.logpdf(x_0[..., 1:], scale=sde.auxiliary_std).sum()


def _nll(d: Event, std: Diagonal, x_0: Event, width: Positive | None, low: Scalar) -> Scalar:
    """-sum log N(x_0; x_0_hat, std^2) at d = (x_0 - x_0_hat)/std, as a density or in cells."""
    if width is None:
        return -jnp.sum(norm.logpdf(d) - jnp.log(std))
    return -jnp.sum(log_cell(d, width / (2 * std), x_0 < low + width / 2, x_0 > 1 - width / 2))
