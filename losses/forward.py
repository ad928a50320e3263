"""A draw of x_t given x_0, for any SDE."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from sde_lib.base import SDE, Count, Event, GaussianSDE, Scalar


def forward(sde: SDE, n_steps: Count = 100) -> Callable[[Key[Array, ""], Event, Scalar], Event]:
    """draw(key, x_0, t) ~ p(x_t | x_0): exact if that is known, otherwise `n_steps` of the stochastic Heun method from 0 to t:

        x <- x + h/2 (f(x, u) + f(x + h f(x, u) + w, u + h)) + w,        w = g(u + h/2) sqrt(h) z,        h = t/n_steps

    As g does not depend on x, it is of weak order two: the bias of an expectation is O(h^2). Kloeden & Platen (1992), sec.
    15.1. No time is below t_min, since g(0) need not exist.
    """
    if isinstance(sde, GaussianSDE):
        return lambda key, x_0, t: sde.perturb(x_0, jax.random.normal(key, x_0.shape), t)

    def simulated(key: Key[Array, ""], x_0: Event, t: Scalar) -> Event:
        h = t / n_steps

        def move(x, at):
            key, i = at
            u, middle, end = (jnp.maximum((i + part) * h, sde.t_min) for part in (0.0, 0.5, 1.0))
            w = sde.diffusion(middle) * jnp.sqrt(h) * jax.random.normal(key, x.shape)
            f = sde.drift(x, u)
            return x + h / 2 * (f + sde.drift(x + h * f + w, end)) + w, None

        return jax.lax.scan(move, x_0, (jax.random.split(key, n_steps), jnp.arange(n_steps)))[0]

    return simulated
