"""The inverse of x + phi(x), where phi brings points closer."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log

import jax
import jax.numpy as jnp

from sde_lib.base import Event


def inverse(phi: Callable[[Event], Event], y: Event, lipschitz: float) -> Event:
    """The x with x + phi(x) = y, by x <- y - phi(x) from y on.

    Banach's fixed point: the error shrinks by `lipschitz` < 1, Lip(phi), each time. Behrmann et al. (2019), alg. 1. It ends
    once a step is rounding, or would be by then from any start. Derivatives are implicit, dx/dy = (I + dphi/dx)^-1, by the same
    iteration.
    """
    eps = float(jnp.finfo(y.dtype).eps)
    steps = ceil(log(eps) / log(lipschitz))

    def root(f: Callable[[Event], Event], x: Event) -> Event:
        """The x with f(x) = 0, where x - f(x) is a contraction."""

        def goes_on(state):
            n, x, excess = state
            return (n < steps) & (jnp.abs(excess).max() > 4 * eps * jnp.abs(x).max())

        def closer(state):
            n, x, excess = state
            x = x - excess
            return n + 1, x, f(x)

        return jax.lax.while_loop(goes_on, closer, (0, x, f(x)))[1]

    def solve(A: Callable[[Event], Event], b: Event) -> Event:
        """The x with A x = b."""
        return root(lambda x: A(x) - b, b)

    def linear(A: Callable[[Event], Event], b: Event) -> Event:
        return jax.lax.custom_linear_solve(A, b, solve, solve)

    return jax.lax.custom_root(lambda x: x + phi(x) - y, y, root, linear)
