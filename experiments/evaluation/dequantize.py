"""Dequantisation: a level k is placed in its cell by u ~ q(u | k), and log P(k) >= E_q[log p(k + u) - log q(u | k)]."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Key

from experiments.data.scaler import Levels
from experiments.runtime import devices
from experiments.runtime.progress import progress
from sde_lib.base import Event, Scalar


class Dequantizer(NamedTuple):
    """A law q(u | k) on the unit cells of the levels k: draw(params, key, k) -> (u, log q(u | k)), differentiable in params."""

    params: Any
    draw: Callable[[Any, Key[Array, ""], Levels], tuple[Event, Scalar]]


UNIFORM = Dequantizer((), lambda params, key, k: (jax.random.uniform(key, k.shape), jnp.zeros(())))
"""q = 1: Theis et al. (2016), sec. 3.1."""


class Moments(nnx.Module):
    """Mean and log standard deviation of logit u, from the levels around: three convolutions [B, H, W, C] -> 2 [B, H, W, C].

    It starts at (0, log 1.6) for every level: the flattest law of u that a logit-normal can have.
    """

    def __init__(self, levels: int, channels: int, width: int, *, rngs: nnx.Rngs):
        self.levels = levels
        self.first = nnx.Conv(channels, width, (3, 3), rngs=rngs)
        self.middle = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.last = nnx.Conv(width, 2 * channels, (1, 1), kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, k: Float[Array, "B H W C"]) -> tuple[Array, Array]:
        h = nnx.silu(self.first(2 * k / (self.levels - 1) - 1))
        mean, log_std = jnp.split(self.last(nnx.silu(self.middle(h))), 2, axis=-1)
        return mean, log_std + jnp.log(1.6)


def logit_normal(mean: Event, log_std: Event, z: Event) -> tuple[Event, Scalar]:
    """u = 1/(1 + e^-y) at y = mean + std z, and log q(u) = sum log N(z; 0, 1) - log std - log u - log(1 - u); z ~ N(0, I)."""
    y = mean + jnp.exp(log_std) * z
    return jax.nn.sigmoid(y), jnp.sum(norm.logpdf(z) - log_std - jax.nn.log_sigmoid(y) - jax.nn.log_sigmoid(-y))


def variational(key: Key[Array, ""], levels: int, shape: tuple[int, ...], width: int = 32) -> Dequantizer:
    """A logit-normal q(u | k), its `Moments` a network of k: Ho et al. (2019), sec. 3.1, with one Gaussian for their flow."""
    graph, initial = nnx.split(Moments(levels, shape[-1], width, rngs=nnx.Rngs(key)))

    def draw(params: Any, key: Key[Array, ""], k: Levels) -> tuple[Event, Scalar]:
        mean, log_std = nnx.merge(graph, params)(k[None].astype(jnp.float32))
        return logit_normal(mean[0], log_std[0], jax.random.normal(key, k.shape))

    return Dequantizer(initial, draw)


Bound = Callable[[Any, Key[Array, ""], Levels, Event], Scalar]


def fit(
    key: Key[Array, ""],
    q: Dequantizer,
    bound: Bound,
    params: Any,
    batches: Iterable[np.ndarray],
    steps: int,
    rate: float = 2e-3,
) -> tuple[Dequantizer, np.ndarray]:
    """The q that minimises E_q[bound(params, key, k, u) + log q(u | k)] by Adam, and that objective [steps] in nats.

    `bound`: an estimate of a bound on -log p(k + u), differentiable in u; `params` are those of the score, and fixed.
    """
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, steps)))

    @jax.jit
    def advance(params: Any, state: tuple[Any, Any], key: Key[Array, ""], k: Array) -> tuple[tuple[Any, Any], Scalar]:
        def one(weights: Any, key: Key[Array, ""], k: Levels) -> Scalar:
            u_key, bound_key = jax.random.split(key)
            u, log_q = q.draw(weights, u_key, k)
            return bound(devices.whole(params), bound_key, k, u) + log_q

        def mean(weights: Any) -> Scalar:
            return jnp.mean(jax.vmap(one, (None, 0, 0))(weights, jax.random.split(key, len(k)), k))

        weights, opt = state
        loss, gradient = jax.value_and_grad(mean)(weights)
        update, opt = optimizer.update(gradient, opt, weights)
        return (optax.apply_updates(weights, update), opt), loss

    # One step a call: XLA:CPU runs a convolution's gradient many times slower inside a loop.
    state, curve = (q.params, optimizer.init(q.params)), []
    with progress("dequantizer", steps) as show:
        for step, k in zip(range(steps), batches, strict=False):
            state, loss = advance(params, state, jax.random.fold_in(key, step), devices.split(k))
            curve.append(loss)
            show(step + 1, "")
    return q._replace(params=state[0]), np.array([devices.gather(loss) for loss in curve])
