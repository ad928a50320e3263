"""A draw of x_t given x_0, for any SDE."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from sde_lib.base import SDE, Count, Event, GaussianSDE, Scalar


def forward(sde: SDE, n_steps: Count = 100) -> Callable[[Key[Array, ""], Event, Scalar], Event]:
    """draw(key, x_0, t) ~ p(x_t | x_0): exact if that is known, otherwise `n_steps` of Euler-Maruyama from 0 to t.

    x <- x + f(x, tau) h + g(tau) sqrt(h) z with h = t/n_steps, of weak order one: the bias of an expectation is O(h). tau is
    the middle of each step, and at least t_min, since g(0) need not exist.
    """
    if isinstance(sde, GaussianSDE):
        return lambda key, x_0, t: sde.perturb(x_0, jax.random.normal(key, x_0.shape), t)

    def simulated(key: Key[Array, ""], x_0: Event, t: Scalar) -> Event:
        h = t / n_steps

        def move(x, at):
            key, i = at
            tau, z = jnp.maximum((i + 0.5) * h, sde.t_min), jax.random.normal(key, x.shape)
            return x + sde.drift(x, tau) * h + sde.diffusion(tau) * jnp.sqrt(h) * z, None

        return jax.lax.scan(move, x_0, (jax.random.split(key, n_steps), jnp.arange(n_steps)))[0]

    return simulated
