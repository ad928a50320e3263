"""The loss of a codec by Adam on a few data, all in every step."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from models import Codec


def trained(codec: Codec, x: jax.Array, steps: int, rate: float = 1e-2, batch: int | None = None) -> tuple[Any, float]:
    """Returns the parameters after `steps` on x [n, *event], or on random batches of them, and the last tenth's mean loss."""
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def mean(params: Any, key: jax.Array) -> jax.Array:
        which, key = jax.random.split(key)
        some = x if batch is None else x[jax.random.randint(which, (batch,), 0, len(x))]
        return jax.vmap(partial(codec.loss, beta=1.0), (None, 0, 0))(params, jax.random.split(key, len(some)), some).mean()

    @jax.jit
    def step(state: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        params, memory = state
        loss, gradient = jax.value_and_grad(mean)(params, key)
        update, memory = optimizer.update(gradient, memory, params)
        return (optax.apply_updates(params, update), memory), loss

    params = codec.init(jax.random.key(0), x[0])
    state, curve = (params, optimizer.init(params)), []
    for key in jax.random.split(jax.random.key(1), steps):
        state, loss = step(state, key)
        curve.append(loss)
    return state[0], float(jnp.stack(curve[-steps // 10 :]).mean())
