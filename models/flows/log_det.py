"""log|det(I + J)| of the Jacobian J of a contraction: exact, and an unbiased estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from sde_lib.base import Event, Scalar

Phi = Callable[[Any, Event], Event]
"""phi(params, x), whose J = dphi/dx has a norm less than one."""


def exact(phi: Phi, params: Any, x: Event) -> Scalar:
    """log|det(I + J)| by D forward products and a decomposition."""
    J = jax.jacfwd(lambda x: phi(params, x))(x).reshape(x.size, x.size)
    return jnp.linalg.slogdet(jnp.eye(x.size) + J)[1]


def roulette(key: Key[Array, ""], phi: Phi, params: Any, x: Event, terms: int, stop: float) -> Scalar:
    """An estimate of log det(I + J) = sum_k (-1)^(k+1) tr(J^k)/k that is unbiased, and so is its gradient.

        sum_{k=1}^n (-1)^(k+1)/(k p_k) v . J^k v,        p_k = P(n >= k)

    with v Rademacher, as E v v^T = I. n is `terms` and then as many more as a roulette gives that stops with probability `stop`
    before each: p_k = (1 - stop)^max(k - terms, 0). No term is the last one, as that would be a bias. Chen et al. (2019),
    thm. 1. The variance is finite if 1 - stop is more than the square of J's spectral radius. The derivative is Neumann's
    series, their thm. 2,

        d log det(I + J) = E w . dJ v,        w = sum_{k=0}^n (-1)^k/p_k (J^T)^k v,

    of the same v and n, so that no loop is differentiated. It is the first derivative alone that is unbiased.
    """
    v_key, n_key = jax.random.split(key)
    v = jax.random.rademacher(v_key, x.shape, x.dtype)
    n = terms + jnp.floor(jnp.log(1 - jax.random.uniform(n_key)) / jnp.log(1 - stop))

    def along(params: Any, x: Event) -> Event:
        """J v."""
        return jax.jvp(lambda x: phi(params, x), (x,), (v,))[1]

    still = jax.lax.stop_gradient((params, x))
    transposed = jax.vjp(lambda x: phi(still[0], x), still[1])[1]

    def add(state):
        k, power, w, total = state  # power = (-J^T)^(k-1) v
        power = -transposed(power)[0]
        weight = (1 - stop) ** -jnp.maximum(k - terms, 0.0)
        return k + 1, power, w + weight * power, total - weight / k * jnp.vdot(power, v)

    _, _, w, total = jax.lax.while_loop(lambda state: state[0] <= n, add, (jnp.ones(()), v, v, jnp.zeros(())))
    first_order = jnp.vdot(w, along(params, x))
    return total + first_order - jax.lax.stop_gradient(first_order)
