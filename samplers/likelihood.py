"""Exact likelihood by the instantaneous change of variables along the probability flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from samplers.ode import integrate
from sde_lib.base import SDE, Count, Event, Positive, Scalar, Score


class Encoding(NamedTuple):
    """The `latent` x_1 of x, log p(x) in nats, and the number of score evaluations (each with its divergence).

    `gave_up`: true if the solver ran out of steps, and the rest is nan for that reason.
    """

    latent: Event
    log_prob: Scalar
    nfe: Int[Array, ""]
    gave_up: Bool[Array, ""]


def encode(
    sde: SDE,
    score: Score,
    x: Event,
    *,
    key: Key[Array, ""] | None = None,
    probes: Count = 1,
    t_min: float | None = None,
    rtol: Positive = 1e-4,
    atol: Positive = 1e-4,
    max_steps: Count = 2000,
) -> Encoding:
    """log p_{t_min}(x) = log p_1(x_1) + int_{t_min}^1 div d(x_t, t) dt along dx/dt = d(x, t), the probability flow from x.

    Song et al. (2021), eq. 39; Chen et al. (2018), thm. 1. The divergence comes with the drift, from one linearisation:
    exact, by D forward products, without `key`; with it, the mean over `probes` Rademacher probes of Hutchinson's, fixed along
    the path, unbiased at the cost of one product each (Grathwohl et al. 2019). nan if the solver failed.
    """
    flow = sde.reverse_drift(score, eta=0.0)
    if key is None:
        vectors, n = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape), 1
    else:
        vectors, n = jax.random.rademacher(key, (probes, *x.shape), x.dtype), probes

    def drift(state, t):
        d, jvp = jax.linearize(lambda x: flow(x, t), state[0])
        return d, _quadratic_forms(jvp, vectors).sum() / n

    start = sde.t_min if t_min is None else t_min
    (latent, change), spent = integrate(drift, (x, jnp.zeros(())), start, 1.0, rtol, atol, max_steps)
    return Encoding(latent, sde.prior_log_prob(latent) + change, *spent)


def log_prob(sde: SDE, score: Score, x: Event, **options) -> Scalar:
    """log p(x) in nats; see `encode` for the options."""
    return encode(sde, score, x, **options).log_prob


def _quadratic_forms(jvp: Callable[[Event], Event], vectors: Float[Array, "n *event"]) -> Float[Array, " n"]:
    """v . J v of each vector, 32 at a time: all D of an image would not fit in memory.

    Over the unit vectors they sum to tr J, and E[v . J v] = tr J for a Rademacher v.
    """
    return jax.lax.map(lambda v: jnp.vdot(v, jvp(v)), vectors, batch_size=32)
