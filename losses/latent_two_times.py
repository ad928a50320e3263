"""The loss of a codec and of a score of its codes, trained at once, each at a time of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss
from losses.latent import Data, Encode
from losses.terms import prior_term, require_linear_bound
from sde_lib.base import SDE, Scalar


class Apart(NamedTuple):
    """The `cost` of a code, and the losses of the `encoder` at t and of the `score` at t_w, of which each has its own 1/p."""

    cost: Scalar
    encoder: Scalar
    score: Scalar


def latent_two_times(
    sde: SDE, encode: Encode, bound: Loss, objective: Loss
) -> Callable[[Key[Array, ""], Data, Scalar, Scalar], Apart]:
    """((cost + L_T(z))/D, d/(2 D) bound(z, t), objective(z, t_w)), z constant in the last: `latent` at two evaluations.

    Each time can be drawn by what is best for its weight. `bound` is `dsm` of the likelihood weight, of the score with constant
    parameters; `objective` is any of the score, by any weight. Vahdat et al. (2021, LSGM), algorithm 2; `latent` is algorithm 1
    at the likelihood weight, and at any other algorithm 3. All descend one mean in the encoder.
    Returns `loss(key, x, t, t_w)`. Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = require_linear_bound(sde, "latent_two_times")

    def loss(key: Key[Array, ""], x: Data, t: Scalar, t_w: Scalar) -> Apart:
        code_key, bound_key, score_key = jax.random.split(key, 3)
        z, cost = encode(code_key, x)
        return Apart(
            jnp.asarray((cost + prior_term(linear_sde, z)) / x.size),
            z.size / (2 * x.size) * bound(bound_key, z, t),
            objective(score_key, jax.lax.stop_gradient(z), t_w),
        )

    return loss
