"""Weights w(t) of the squared score error: `weight(sde, t)`."""

from __future__ import annotations

from sde_lib.base import LinearSDE, Scalar


def sigma2(sde: LinearSDE, t: Scalar) -> Scalar:
    """w = sigma(t)^2: DDPM's L_simple (Ho et al. 2020, eq. 14) and NCSN's lambda(sigma) (Song & Ermon 2019, sec. 4.2)."""
    return sde.sigma(t) ** 2


def likelihood(sde: LinearSDE, t: Scalar) -> Scalar:
    """w = g(t)^2: half its integral bounds -log p (Song et al. 2021, "Maximum Likelihood Training", thm. 1)."""
    return sde.diffusion(t) ** 2
