"""Weights w(t) of the squared score error |score - grad log p_t|^2: `weight(sde, t)`.

A weight c of the squared error of eps is w = c sigma^2, as eps_hat = -sigma score; a weight c of that of x_0 is
w = c sigma^2/SNR, SNR = alpha^2/sigma^2. If sigma or SNR is an array, so is w: a weight for each coordinate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from sde_lib.base import SDE, Diagonal, NonNegative, Positive, Scalar, linear

Weight = Callable[[Any, Scalar], Diagonal]


def likelihood(sde: SDE, t: Scalar) -> Diagonal:
    """w = g(t)^2: half its integral bounds -log p (Song et al. 2021, "Maximum Likelihood Training", thm. 1)."""
    return sde.diffusion(t) ** 2


def sigma2(sde: SDE, t: Scalar) -> Diagonal:
    """w = sigma(t)^2: DDPM's L_simple (Ho et al. 2020, eq. 14) and NCSN's lambda(sigma) (Song & Ermon 2019, sec. 4.2).

    Of an AugmentedSDE it is 0 but for the variable that noise enters.
    """
    return sde.sigma(t) ** 2 * sde.noise_mask


def min_snr(sde: SDE, t: Scalar, gamma: Positive = 5.0) -> Diagonal:
    """w = sigma^2 min(1, gamma/SNR): the squared error of x_0 weighs min(SNR, gamma).

    Hang et al. (2023), sec. 3.4. Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = linear(sde, "min_snr", "likelihood weighs any SDE")
    return linear_sde.sigma(t) ** 2 * jnp.minimum(1.0, gamma * jnp.exp(-linear_sde.log_snr(t)))


def p2(sde: SDE, t: Scalar, k: Positive = 1.0, gamma: NonNegative = 1.0) -> Diagonal:
    """w = sigma^2 / (k + SNR)^gamma: the squared error of eps weighs less if only imperceptible detail remains to be learned.

    Choi et al. (2022), eq. 8; gamma = 0 is `sigma2`. Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = linear(sde, "p2", "likelihood weighs any SDE")
    return linear_sde.sigma(t) ** 2 * (k + jnp.exp(linear_sde.log_snr(t))) ** -gamma


def edm(sde: SDE, t: Scalar, sigma_data: Positive = 0.5) -> Diagonal:
    """w = sigma^2 (1 + s^2/sigma_d^2), s = sigma/alpha: the squared error of x_0 weighs (s^2 + sigma_d^2)/(s sigma_d)^2.

    Karras et al. (2022), table 1: the loss of the network F is then of order one at every s. Their objective is the mean over
    `log_normal(unbiased=False)`. Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = linear(sde, "edm", "likelihood weighs any SDE")
    return linear_sde.sigma(t) ** 2 * (1 + jnp.exp(-linear_sde.log_snr(t)) / sigma_data**2)


def velocity(sde: SDE, t: Scalar, sigma_min: NonNegative = 0.0) -> Diagonal:
    """w = (g^2/2 sigma/max(sigma, sigma_min))^2: the squared error of the velocity, flow matching's loss.

    The flow's drift is f - g^2/2 score, so that at sigma_min = 0 the loss is |u_hat - u|^2, u = alpha' x_0 + sigma' eps, under
    any parameterisation: Lipman et al. (2023), eq. 9. On RectifiedFlowSDE the squared error of x_0 weighs
    1/max(t, sigma_min)^2: the loss of Li & He (2025, JiT) at sigma_min = 0.05. Raises TypeError for an SDE without alpha and
    sigma.
    """
    sigma = linear(sde, "velocity", "likelihood weighs any SDE").sigma(t)
    return (likelihood(sde, t) / 2 * sigma / jnp.maximum(sigma, sigma_min)) ** 2


def soft_truncation(sde: SDE, t: Scalar, k: Scalar = 1.0, t_min: Positive | None = None) -> Diagonal:
    """w = g^2 P(tau <= t), with the end cut tau ~ tau^-k on [t_min, 1]: the likelihood weight, averaged over the cut.

    P(tau <= t) = (t^(1-k) - t_min^(1-k)) / (1 - t_min^(1-k)), and log(t/t_min)/log(1/t_min) at k = 1. In the source each batch
    draws its own tau and integrates over [tau, 1]; since E_tau int 1[t >= tau] g^2 l dt = int P(tau <= t) g^2 l dt, this weight
    has the same mean under any draw of t, and less variance. `t_min` None: the SDE's, and 1e-5 where that is 0. Kim et al.
    (2022, "Soft Truncation"), eq. 8 and thm. 1.
    """
    c, start = jnp.asarray(1.0 - k), jnp.where(sde.t_min > 0, sde.t_min, 1e-5) if t_min is None else t_min
    passed, whole = jnp.log(jnp.maximum(t, start) / start), -jnp.log(start)
    safe = jnp.where(c == 0, 1.0, c)
    probability = jnp.where(c == 0, passed / whole, jnp.expm1(safe * passed) / jnp.expm1(safe * whole))
    return likelihood(sde, t) * probability
