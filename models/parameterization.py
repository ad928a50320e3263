"""Parameterisations: the quantity that a network predicts, as four coefficients.

    eps_hat = skip x + out net(c_in x, c_noise),        score(x, t) = -eps_hat / sigma(t)

With x_t = alpha x_0 + sigma eps, each parameterisation solves for eps. c_in = 1/sqrt(alpha^2 sigma_d^2 + sigma^2) gives the
network inputs of unit variance on every SDE if the data has standard deviation sigma_d; on VP with sigma_d = 1 it is 1.
c_noise = log(sigma/alpha)/4 is the noise level in one unit for every SDE (Karras et al. 2022, table 1). If alpha and sigma are
arrays, so are c_in, skip and out, and c_noise is the mean over coordinates. On an AugmentedSDE, where x_t = a + sigma eps, the
standard deviation of a, `signal`, has the place of alpha sigma_d. An SDE of drift and diffusion alone has a sigma(t), that of
its noise: with 1 in the place of alpha, and c_in = 1, eps and the scores serve it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from sde_lib.base import SDE, Diagonal, GaussianSDE, LinearSDE, Scalar, coordinates, gaussian, linear


class Coefs(NamedTuple):
    """eps_hat = skip x + out net(c_in x, c_noise)."""

    c_in: Diagonal
    c_noise: Scalar
    skip: Diagonal
    out: Diagonal


Parameterization = Callable[[SDE, Scalar, float], Coefs]
ANY_SDE = "eps, score and sigma_score serve any SDE"


def _coefs(sde: SDE, t: Scalar, sigma_data: float, skip: Diagonal, out: Diagonal) -> Coefs:
    return Coefs(1 / sde.spread(t, sigma_data), -sde.level(t) / 8, skip, out)


def _linear(sde: SDE, name: str) -> LinearSDE:
    return linear(sde, f"parameterization {name}", ANY_SDE)


def _gaussian(sde: SDE, name: str) -> GaussianSDE:
    return gaussian(sde, f"parameterization {name}", ANY_SDE)


def eps(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = eps. Ho et al. (2020), eq. 11."""
    return _coefs(sde, t, sigma_data, skip=0.0, out=1.0)


def x0(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = x_0, so eps = (x - alpha net) / sigma."""
    sde = _linear(sde, "x0")
    return _coefs(sde, t, sigma_data, skip=1 / sde.sigma(t), out=-sde.alpha(t) / sde.sigma(t))


def v(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = v = cos(phi) eps - sin(phi) x_0 at the angle phi = arctan(sigma/alpha).

    With r = sqrt(alpha^2 + sigma^2): eps = sigma/r^2 x + alpha/r net. Salimans & Ho (2022), app. D, where r = 1. On `CLD` its
    first term makes a mixed score, for data N(0, I) that of the velocity by itself: Dockhorn et al. (2022), sec. 3.2.
    """
    sde = _gaussian(sde, "v")
    r = sde.spread(t)
    return _coefs(sde, t, sigma_data, skip=sde.sigma(t) / r**2, out=sde.signal(t) / r)


def velocity(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = u = alpha' x_0 + sigma' eps, the velocity of x_t, whose mean given x_t is the drift of the probability flow.

    u = f x + g^2/(2 sigma) eps, so eps = (2 sigma/g^2)(u - f x): Lipman et al. (2023), eqs. 14-15. On RectifiedFlowSDE u is
    eps - x_0, and eps = x + alpha u, but for its `end` (Liu et al. 2023, eq. 1).
    """
    sde = _linear(sde, "velocity")
    gain = 2 * sde.sigma(t) / sde.diffusion(t) ** 2
    return _coefs(sde, t, sigma_data, skip=-gain * sde.drift(jnp.ones(coordinates(sde)), t), out=gain)


def score(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = score, so eps = -sigma net. NCSN's (Song & Ermon 2019)."""
    return _coefs(sde, t, sigma_data, skip=0.0, out=-sde.sigma(t))


def sigma_score(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = sigma score = -eps: what NCSNv2 (Song & Ermon 2020, sec. 3.3) and NCSN++ emit before they divide by sigma."""
    return _coefs(sde, t, sigma_data, skip=0.0, out=-1.0)


def edm(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = F of Karras et al. (2022), eq. 7: D(y) = c_skip y + c_out F in y = x/alpha at noise sigma/alpha.

    With r = sqrt(alpha^2 sigma_d^2 + sigma^2): eps = sigma/r^2 x - alpha sigma_d/r net. At sigma_d = 1 it is -v.
    """
    sde = _gaussian(sde, "edm")
    r = sde.spread(t, sigma_data)
    return _coefs(sde, t, sigma_data, skip=sde.sigma(t) / r**2, out=-sde.signal(t, sigma_data) / r)


def residual_eps(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
    """net = eps - x. VDM's, which adds x to what its network emits (Kingma et al. 2021's repository)."""
    return _coefs(sde, t, sigma_data, skip=1.0, out=1.0)
