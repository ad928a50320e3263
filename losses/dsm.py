"""Denoising score matching."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.weights import Weight, sigma2
from sde_lib.base import SDE, Event, GaussianSDE, LinearSDE, Scalar, Score, factors, gaussian, linear

Loss = Callable[[Key[Array, ""], Event, Scalar], Scalar]
ANY_SDE = "ism, ssm and ssm_vr train the score of any SDE"


def dsm(sde: SDE, score: Score, weight: Weight = sigma2, half_sum: bool = False) -> Loss:
    """l(x_0, t) = w(t)/D |score(x_t, t) - grad log p(x_t | x_0)|^2,  x_t = alpha x_0 + sigma z,  grad log p = -z/sigma.

    Coded as w/sigma^2 |sigma score + z|^2 / D, which stays of order one as sigma -> 0.
    Vincent (2011); Song et al. (2021), eq. 7; the mean over the D dimensions is score_sde's `reduce_mean`. `half_sum` is
    score_sde's loss without it, w/2 |...|^2, D/2 times as much, which matters if the gradient is clipped. If w and sigma are
    arrays, it is 1/D sum_i w_i (...)_i^2.

    On an AugmentedSDE it is hybrid score matching: x_t is drawn given the data alone, and all weights are 0 but for that of the
    variable which noise enters. Dockhorn et al. (2022), sec. 3.2.

    Returns `loss(key, x_0, t)` for one example: `key` draws z. Raises TypeError for an SDE without alpha and sigma.
    """
    sde = gaussian(sde, "dsm", ANY_SDE)

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        z = jax.random.normal(key, x_0.shape)
        c, w = factors(weight(sde, t) / sde.sigma(t) ** 2)
        error = w * residual(sde, score, x_0, z, t) ** 2
        return c * (jnp.sum(error) / 2 if half_sum else jnp.mean(error))

    return loss


def residual(sde: GaussianSDE, score: Score, x_0: Event, z: Event, t: Scalar) -> Event:
    """sigma score(x_t, t) + z at x_t = alpha x_0 + sigma z: the error of z_hat = -sigma score, with its sign turned."""
    return sde.sigma(t) * score(sde.perturb(x_0, z, t), t) + z


def require_linear(sde: SDE, objective: str) -> LinearSDE:
    """Returns `sde` if it has the p(x_t | x_0) that `objective` trains on; raises TypeError otherwise."""
    return linear(sde, objective, ANY_SDE)
