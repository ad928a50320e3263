"""The loss of a codec and of a score of its codes, trained together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from losses.dsm import Loss
from losses.terms import prior_term, require_linear_bound
from losses.weights import Weight, likelihood
from sde_lib.base import SDE, Scalar, isotropic

Data = Shaped[Array, "*event"]
Encode = Callable[[Key[Array, ""], Data], tuple[Float[Array, "*code"], Scalar]]
"""encode(key, x) -> (z, cost): log p(x) >= E[log p(z) - cost]."""


class Joint(NamedTuple):
    """The `cost` of a code, which no 1/p(t) multiplies, and the loss of its `score` at t, which 1/p(t) does."""

    cost: Scalar
    score: Scalar


def latent(
    sde: SDE, encode: Encode, objective: Loss, weight: Weight = likelihood
) -> Callable[[Key[Array, ""], Data, Scalar], Joint]:
    """((cost + L_T(z))/D, l(z, t)) of (z, cost) = encode(x), for x of D numbers and z of d; L_T is `prior_term`.

    `objective` is l = w/d |score - grad log p|^2 under the `weight` w: `dsm`, or one of the same mean. Its gradient reaches
    z multiplied by d/(2 D) g^2/w. So whatever w > 0 trains the score, the encoder descends

        (cost + L_T(z) + int g^2/2 E|score - grad log p|^2 dt)/D,

    the bound on -log p(x)/D but for a constant: Vahdat et al. (2021, LSGM), thm. 1 and sec. 3.3, with one t and one evaluation
    of the network for both. Returns `loss(key, x, t)`. Raises TypeError for an SDE without alpha and sigma; and, unless
    w = g^2, for one whose g^2/w may be an array, as one gradient of a sum cannot serve several g^2/w.
    """
    linear_sde = require_linear_bound(sde, "latent")
    if weight is not likelihood:
        isotropic(linear_sde, "latent with another weight than likelihood", "take likelihood, or latent_two_times")

    def loss(key: Key[Array, ""], x: Data, t: Scalar) -> Joint:
        code_key, noise_key = jax.random.split(key)
        z, cost = encode(code_key, x)
        gain = z.size / (2 * x.size) * likelihood(linear_sde, t) / weight(linear_sde, t)
        constant = jax.lax.stop_gradient(z)
        at = constant + gain * (z - constant)  # z itself, with `gain` times its gradient
        return Joint(jnp.asarray((cost + prior_term(linear_sde, z)) / x.size), objective(noise_key, at, t))

    return loss


def latent_vlb(encode: Encode, bound: Loss) -> Callable[[Key[Array, ""], Data, Scalar], Joint]:
    """(cost/D, d/D l(z, t)) of (z, cost) = encode(x), for x of D numbers and z of d: the bound on -log p(x)/D.

    `bound` is l = `continuous_vlb`, whose mean over t bounds -log p(z)/d. So encoder, score and SDE descend one bound: Kim et
    al. (2022, INDM), and Vahdat et al. (2021, LSGM) by the likelihood weight alone. Returns `loss(key, x, t)`.
    """

    def loss(key: Key[Array, ""], x: Data, t: Scalar) -> Joint:
        code_key, noise_key = jax.random.split(key)
        z, cost = encode(code_key, x)
        return Joint(jnp.asarray(cost / x.size), z.size / x.size * bound(noise_key, z, t))

    return loss
