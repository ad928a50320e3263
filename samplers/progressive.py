"""Two views of a sampler on its way: the x_0 that it expects, and the set that is still possible."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from samplers.step import Solution, Step, solve
from sde_lib.base import SDE, Count, Event, Scalar, Score, linear


def estimates(
    sde: SDE, score: Score, path: Float[Array, "steps *event"], times: Float[Array, " steps"]
) -> Float[Array, "steps *event"]:
    """E[x_0 | x_t] of each x_t of a path by Tweedie's formula, and x_t/alpha_t if sigma_t = 0: one evaluation each.

    Progressive generation: Ho et al. (2020), fig. 6. The path of a `Solution` on `grid` is at the times grid[1:].
    Raises TypeError for an SDE without alpha and sigma.
    """
    linear_sde = linear(sde, "estimates", "the path itself is there for any SDE")

    def expected(at: tuple[Event, Scalar]) -> Event:
        x, t = at
        noiseless = lambda: x / linear_sde.alpha(t)
        return jax.lax.cond(jnp.all(linear_sde.sigma(t) > 0), lambda: linear_sde.denoise(score, x, t), noiseless)

    return jax.lax.map(expected, (path, times))


def shared(
    key: Key[Array, ""],
    step: Step,
    x_t: Event,
    grid: Float[Array, " times"],
    n: Count,
    final: Callable[[Event, Scalar], Event] | None = None,
) -> Solution:
    """n solutions from the same x_t at t = grid[0], each with its own noise: draws of p(x_0 | x_t) by a stochastic step.

    Ho et al. (2020), fig. 7. A deterministic step gives n equal ones. `final` as in `solve`.
    """
    return jax.vmap(lambda key: solve(key, step, x_t, grid, final))(jax.random.split(key, n))
