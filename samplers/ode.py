"""Solvers of the probability-flow ODE dx/dt = f(x, t) - g(t)^2/2 score(x, t)."""

from __future__ import annotations

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from samplers.step import Step, stateless
from sde_lib.base import SDE, Count, Positive, Scalar, Score


def heun(sde: SDE, score: Score) -> Step:
    """x_s = x_t + (s - t)/2 (d(x_t, t) + d(x_t + (s - t) d(x_t, t), s)), d the flow's drift.

    Of order 2; Karras et al. (2022), alg. 1.
    """
    drift = sde.reverse_drift(score, eta=0.0)

    def update(key, x, t, s):
        d_t = drift(x, t)
        return x + (s - t) / 2 * (d_t + drift(x + (s - t) * d_t, s))

    return stateless(update, nfe=2)


def probability_flow(sde: SDE, score: Score, rtol: Positive = 1e-4, atol: Positive = 1e-4, max_steps: Count = 2000) -> Step:
    """From t to s by an adaptive Runge-Kutta method (Tsit5, PI control) with error per unit step below atol + rtol |x|.

    Each sample has its own steps, so its solution does not depend on its batch. What did not converge in `max_steps` is nan.
    Song et al. (2021), sec. 4.3. One step of the grid is the whole solve: `uniform_grid(sde, 1)`.
    """
    drift = sde.reverse_drift(score, eta=0.0)

    def update(key, x, nfe, t, s):
        x, evaluations = integrate(drift, x, t, s, rtol, atol, max_steps)
        return x, nfe + evaluations

    return Step(init=lambda x: jnp.zeros((), int), update=update, nfe=lambda nfe, n: nfe)


def integrate(drift: Any, x: Any, t: Any, s: Any, rtol: Scalar, atol: Scalar, max_steps: int) -> tuple[Any, Int[Array, ""]]:
    """x(s) of dx/dt = drift(x, t) from x(t), on any tree x, and the number of drifts evaluated; nan where it failed."""
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, x, args: drift(x, t)),
        diffrax.Tsit5(),
        t0=t,
        t1=s,
        dt0=None,
        y0=x,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol, pcoeff=0.4, icoeff=0.3),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=max_steps,
        throw=False,
    )
    solved = solution.result == diffrax.RESULTS.successful
    x = jax.tree.map(lambda end: jnp.where(solved, end[-1], jnp.nan), solution.ys)
    # Tsit5 has six stages, and a seventh that is the first of the next step; the very first is one more.
    return x, 6 * solution.stats["num_steps"] + 1
