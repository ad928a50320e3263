"""Langevin dynamics: the corrector of predictor-corrector sampling, and annealed Langevin sampling."""

from __future__ import annotations

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Gt, Le
from jaxtyping import Array, Key

from samplers.step import Step, stateless
from sde_lib import fast_random
from sde_lib.base import SDE, Count, Diagonal, Event, GaussianSDE, Scalar, Score, gaussian, linear

Norm = Literal["expected", "sample", "batch"]
Ratio = Annotated[Scalar, Gt(0), Le(10)]


def langevin(sde: SDE, score: Score, snr: Ratio = 0.16, n_steps: Count = 1, norm: Norm = "expected") -> Step:
    """A corrector: `n_steps` of Langevin dynamics at t, which leave x at t and p_t unchanged. Chain it before a predictor.

    Each step is x <- x + e score(x, t) + sqrt(2 e) z with e = 2 (snr r)^2, Song et al. (2021), algs. 4 and 5. `norm` chooses r.
    "expected" is sigma_t, which |z|/|score| estimates; if it is an array, each coordinate has its own e. "sample" is
    |z|/|score| of the sample itself, whose mean is infinite in two dimensions. "batch" is the published choice, the ratio of
    the norms' means over the batch, so that a sample depends on its batch; it needs `jax.vmap(..., axis_name="batch")`. If the
    score is next to zero, as that of an untrained network, r is sigma_t. On an AugmentedSDE the noised variable alone moves.
    """
    sde = gaussian(sde, "langevin", "euler_maruyama serves any SDE without a corrector")
    return stateless(lambda key, x, t, s: _dynamics(key, sde, score, x, t, snr, n_steps, norm), nfe=n_steps, corrector=True)


def annealed_langevin(sde: SDE, score: Score, snr: Ratio = 0.176, n_steps: Count = 1) -> Step:
    """Langevin dynamics alone down the ladder of the grid: x <- (alpha_s / alpha_t) x, then `n_steps` at s.

    On VE the rescaling is 1 and this is NCSN's sampler; elsewhere it keeps x/alpha, the noisy image in the units of the data,
    as VE does. Song & Ermon (2019), alg. 1; (2020), alg. 1, whose step_lr is 2 (snr sigma_min)^2.
    """
    sde = linear(sde, "annealed_langevin", "euler_maruyama serves any SDE")

    def update(key, x, t, s):
        return _dynamics(key, sde, score, sde.alpha(s) / sde.alpha(t) * x, s, snr, n_steps)

    return stateless(update, nfe=n_steps)


def _dynamics(
    key: Key[Array, ""], sde: GaussianSDE, score: Score, x: Event, t: Scalar, snr: Scalar, n_steps: int, norm: Norm = "expected"
) -> Event:
    """`n_steps` of Langevin dynamics at one t."""

    def ratio(z: Event, score_t: Event) -> Diagonal:
        if norm == "expected":
            return sde.sigma(t)
        norms = jnp.linalg.norm(z.ravel()), jnp.linalg.norm(score_t.ravel())
        z_norm, score_norm = jax.lax.pmean(norms, "batch") if norm == "batch" else norms
        r = z_norm / score_norm
        return jnp.where(r < 1e6 * sde.sigma(t), r, sde.sigma(t))

    def move(x, key):
        z, score_t = (sde.noise_mask * each for each in (fast_random.normal(key, x.shape), score(x, t)))
        step_size = 2 * (snr * ratio(z, score_t)) ** 2
        return x + step_size * score_t + jnp.sqrt(2 * step_size) * z, None

    return jax.lax.scan(move, x, jax.random.split(key, n_steps))[0]
