"""Conditionings: the number c_noise by which a network hears its noise level, `conditioning(sde, t)`."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from models.parameterization import Coefs, Parameterization
from sde_lib.base import SDE, Count, Positive, Scalar

Conditioning = Callable[[SDE, Scalar], Scalar]


def log_noise(sde: SDE, t: Scalar, scale: Positive = 0.25, factor: Positive = 1.0) -> Scalar:
    """scale log(factor sigma/alpha), the same for the same noise on every SDE; of arrays, its mean over coordinates.

    Scale 1/4 is Karras et al. (2022)'s, scale 1 NCSN++'s log(sigma) (Song et al. 2021, app. C.2).
    """
    return scale * (jnp.log(factor) - sde.level(t) / 2)


def time(sde: SDE, t: Scalar, scale: Positive = 999.0) -> Scalar:
    """scale t, the unit of Song et al. (2021)'s networks on VP and sub-VP."""
    return scale * jnp.asarray(t)


def index(sde: SDE, t: Scalar, n: Count = 1000, scale: Positive = 1.0) -> Scalar:
    """scale (n t - 1): DDPM's label 0 ... n - 1 of t = i/n (Ho et al. 2020), and linear between them.

    Improved DDPM scales its labels to 1000 (Nichol & Dhariwal 2021's `rescale_timesteps`).
    """
    return scale * (n * jnp.asarray(t) - 1)


def rung(sde: SDE, t: Scalar, n: Count = 1000) -> Scalar:
    """(n - 1)(1 - t): NCSN's label of the noise in its ladder of n, 0 the noisiest (Song & Ermon 2019; 2021's discrete VE)."""
    return (n - 1) * (1 - jnp.asarray(t))


def conditioned(
    parameterization: Parameterization, conditioning: Conditioning | None = None, scale_input: bool = True
) -> Parameterization:
    """The parameterisation with another c_noise; and c_in = 1 unless `scale_input`, as in networks from before EDM."""

    def coefs(sde: SDE, t: Scalar, sigma_data: float) -> Coefs:
        c = parameterization(sde, t, sigma_data)
        c = c if conditioning is None else c._replace(c_noise=conditioning(sde, t))
        return c if scale_input else c._replace(c_in=jnp.ones_like(c.c_in))

    return coefs
