"""Solvers of the probability-flow ODE dx/dt = f(x, t) - g(t)^2/2 score(x, t)."""

from __future__ import annotations

from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import optimistix
from jaxtyping import Array, Bool, Int

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

    return stateless(update, nfe=2, stochastic=False)


def probability_flow(sde: SDE, score: Score, rtol: Positive = 1e-4, atol: Positive = 1e-4, max_steps: Count = 2000) -> Step:
    """The flow from t to s by an adaptive Runge-Kutta method (Tsit5, PI control), error per unit step below atol + rtol |x|.

    Each sample has its own steps, so its solution does not depend on its batch. A sample that did not converge in `max_steps`
    has given up and is nan; one that met a score that is not finite is nan too, mostly after a few evaluations. Song et al.
    (2021), sec. 4.3. One step of the grid is the whole solve: `uniform_grid(sde, 1)`.
    """
    drift = sde.reverse_drift(score, eta=0.0)

    def update(key, x, spent, t, s):
        x, more = integrate(drift, x, t, s, rtol, atol, max_steps)
        return x, spent.and_then(more)

    return adaptive(update, stochastic=False)


class Spent(NamedTuple):
    """The cost of an adaptive solve: the drifts that it evaluated, and whether it gave up for want of steps."""

    nfe: Int[Array, ""]
    gave_up: Bool[Array, ""]

    def and_then(self, more: Spent) -> Spent:
        """The cost of two solves, one after the other."""
        return Spent(self.nfe + more.nfe, self.gave_up | more.gave_up)


def adaptive(update: Any, stochastic: bool) -> Step:
    """A Step of `update(key, x, spent, t, s) -> (x, spent)`."""
    nothing = lambda x: Spent(jnp.zeros((), int), jnp.zeros((), bool))
    return Step(nothing, update, lambda spent, n: spent.nfe, lambda spent: spent.gave_up, stochastic)


def controlled(t: Any, s: Any, **coefficients: Any) -> diffrax.PIDController:
    """The controller of steps from t to s by their error.

    An error of nan counts as infinite, so that a shorter step is tried. The solve fails at a step of 1e-9 |s - t|: if the drift
    is not finite no step is short enough, and all of `max_steps` would be spent on it.
    """
    norm = lambda error: jnp.nan_to_num(optimistix.rms_norm(error), nan=jnp.inf, posinf=jnp.inf)
    return diffrax.PIDController(norm=norm, dtmin=1e-9 * jnp.abs(s - t), force_dtmin=False, **coefficients)


def term(drift: Any) -> diffrax.ODETerm:
    """The term drift(x, t) of an equation; diffrax calls it four times for a program, and JAX traces it once."""
    return diffrax.ODETerm(jax.jit(lambda t, x, args: drift(x, t)))


def integrate(drift: Any, x: Any, t: Any, s: Any, rtol: Scalar, atol: Scalar, max_steps: int) -> tuple[Any, Spent]:
    """Returns x(s) of dx/dt = drift(x, t) from x(t), on any tree x, or nan if the solve failed; and its cost."""
    solution = diffrax.diffeqsolve(
        term(drift),
        diffrax.Tsit5(),
        t0=t,
        t1=s,
        dt0=None,
        y0=x,
        stepsize_controller=controlled(t, s, rtol=rtol, atol=atol, pcoeff=0.4, icoeff=0.3),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=max_steps,
        throw=False,
    )
    solved = solution.result == diffrax.RESULTS.successful
    x = jax.tree.map(lambda end: jnp.where(solved, end[-1], jnp.nan), solution.ys)
    # Tsit5 has six stages, and a seventh that is the first of the next step; the very first is one more.
    return x, Spent(6 * solution.stats["num_steps"] + 1, solution.result == diffrax.RESULTS.max_steps_reached)
