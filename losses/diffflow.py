"""DiffFlow: a bound on -log p(x_0) by whole paths, by which the drift may be learned beside the score."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from losses.dsm import Loss
from sde_lib.augmented import AugmentedSDE
from sde_lib.base import SDE, Count, Event, Scalar, Score


def diffflow(sde: SDE, score: Score, n_steps: Count = 30) -> Loss:
    """l(x_0) = (-log p_1(x_N) + 1/2 sum_i (|b_i|^2 - |z_i|^2))/D along a path from x_0 by z_i ~ N(0, I), whatever t is:

        x_{i+1} = x_i + h f(x_i, t_i) + g(t_{i+1}) sqrt(h) z_i,        h = t_{i+1} - t_i
        x_i = x_{i+1} - h (f - g^2 score)(x_{i+1}, t_{i+1}) + g(t_{i+1}) sqrt(h) b_i

    with sqrt(t_i) even from sqrt(t_min) to 1, i = 0, ..., N = `n_steps`. The second line is the step of `euler_maruyama` on
    `quadratic_grid(sde, n_steps)`, as an equation for b_i. So D E[l] is -log p(x_0) of what that draws, plus the KL divergence
    of these paths given x_0 from its own: a bound, which trains the score and, if the drift has parameters, them as well. It is
    tight where either direction is the reverse of the other. The backward pass computes each step anew, so that of a path only
    the x_i are kept. Zhang & Chen (2021), sec. 3.

    Returns `loss(key, x_0, t)`. Raises TypeError for an AugmentedSDE: given both ends of a step, x has no density there.
    """
    if isinstance(sde, AugmentedSDE):
        without = f"diffflow needs noise in every coordinate, and {type(sde).__name__} has it in one of {sde.k} variables"
        raise TypeError(f"{without}; dsm trains its score")
    reverse = sde.reverse_drift(score)
    times = jnp.linspace(jnp.sqrt(sde.t_min), 1.0, n_steps + 1) ** 2

    @jax.checkpoint
    def move(x: Event, at: tuple[Array, Array, Array]) -> tuple[Event, Scalar]:
        key, t, after = at
        h = after - t
        z, std = jax.random.normal(key, x.shape), sde.diffusion(after) * jnp.sqrt(h)
        end = x + h * sde.drift(x, t) + std * z
        b = (x - end + h * reverse(end, after)) / std
        return end, jnp.sum(b**2 - z**2) / 2

    def loss(key: Key[Array, ""], x_0: Event, t: Scalar) -> Scalar:
        x_1, terms = jax.lax.scan(move, x_0, (jax.random.split(key, n_steps), times[:-1], times[1:]))
        return (jnp.sum(terms) - sde.prior_log_prob(x_1)) / x_0.size

    return loss
