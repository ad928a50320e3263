"""Predictors: discretisations of the reverse-time SDE, with fixed and with adaptive steps."""

from __future__ import annotations

import diffrax
import jax
import jax.numpy as jnp
import lineax

from samplers.ode import Spent, adaptive, controlled, term
from samplers.step import Step, stateless
from sde_lib import fast_random
from sde_lib.base import SDE, Count, Positive, Score, linear


def euler_maruyama(sde: SDE, score: Score) -> Step:
    """x_s = x_t + (s - t) (f - g^2 score)(x_t, t) + g(t) sqrt(t - s) z, for any SDE (Song et al. 2021, eq. 6)."""
    drift = sde.reverse_drift(score)

    def update(key, x, t, s):
        return x + (s - t) * drift(x, t) + sde.diffusion(t) * jnp.sqrt(t - s) * fast_random.normal(key, x.shape)

    return stateless(update, nfe=1)


def reverse_diffusion(sde: SDE, score: Score) -> Step:
    """x_s = (2 - alpha_ts) x_t + sigma_ts^2 score(x_t, t) + sigma_ts z.

    The reverse of the exact transition x_t = alpha_ts x_s + sigma_ts z from s to t: Song et al. (2021), eq. 46, whose f_i is
    (alpha_ts - 1) x and G_i is sigma_ts, for VP (eq. 49), VE (eq. 48) and any LinearSDE.
    """
    sde = linear(sde, "reverse_diffusion", "euler_maruyama serves any SDE")

    def update(key, x, t, s):
        alpha_ts, sigma_ts = sde.transition(t, s)
        return (2 - alpha_ts) * x + sigma_ts**2 * score(x, t) + sigma_ts * fast_random.normal(key, x.shape)

    return stateless(update, nfe=1)


def adaptive_sde(sde: SDE, score: Score, rtol: Positive = 0.05, atol: Positive = 0.0078, max_steps: Count = 4000) -> Step:
    """The reverse SDE from t to s by the stochastic improved Euler method, with steps that its own error chooses.

    x' = x + h d(x, t) + g(t) w is Euler's step, x'' = x + h/2 (d(x, t) + d(x', s)) + (g(t) + g(s))/2 w is the result, and h is
    as long as |x'' - x'| stays below atol + rtol |x|, in the root mean square over the event. Jolicoeur-Martineau et al.
    (2021), alg. 1, except that a rejected step keeps its noise, by a Brownian bridge: a new draw, as there, favours small
    noise. A sample that did not converge in `max_steps` has given up and is nan; one that met a score that is not finite is nan
    too. One step of the grid is the whole solve: `uniform_grid(sde, 1)`.
    """
    drift = sde.reverse_drift(score)

    def update(key, x, spent, t, s):
        # Diffrax's time is u = t - time, which increases from 0.
        noise = diffrax.VirtualBrownianTree(0.0, t - s, 2.0**-16 * (t - s), jax.ShapeDtypeStruct(x.shape, x.dtype), key)
        along = term(lambda x, u: -drift(x, t - u))
        g = lambda u, x, args: lineax.DiagonalLinearOperator(jnp.full_like(x, sde.diffusion(t - u)))
        solution = diffrax.diffeqsolve(
            diffrax.MultiTerm(along, diffrax.ControlTerm(g, noise)),
            diffrax.Heun(),
            t0=0.0,
            t1=t - s,
            dt0=0.01 * (t - s),
            y0=x,
            stepsize_controller=controlled(t, s, rtol=rtol, atol=atol, error_order=1.0),
            saveat=diffrax.SaveAt(t1=True),
            max_steps=max_steps,
            throw=False,
        )
        solved = solution.result == diffrax.RESULTS.successful
        more = Spent(2 * solution.stats["num_steps"], solution.result == diffrax.RESULTS.max_steps_reached)
        return jnp.where(solved, jnp.asarray(solution.ys)[-1], jnp.nan), spent.and_then(more)

    return adaptive(update, stochastic=True)
