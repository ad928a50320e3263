"""A flax network as a pair of pure functions, so that parameters are a plain tree everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen, nnx
from jaxtyping import Array, Key


class Functional(NamedTuple):
    """init(key, x) -> params, for one example x;  apply(params, x [B, *event], c_noise [B], y [B] or None, key or None)."""

    init: Callable[..., Any]
    apply: Callable[..., Array]


def functional(net: linen.Module | nnx.Module | Callable[..., nnx.Module]) -> Functional:
    """Pure functions from `net`, which is one of

    - an NNX class, or a partial of one: called as `net(shape, rngs=rngs)` with the event shape to build a fresh module;
    - an NNX module: its own parameters are the initial ones;
    - a linen module.

    All are called as `net(x, c_noise, y, key)` on a batch; `key` is None, or the randomness of dropout while training.
    """
    if isinstance(net, linen.Module):
        return _linen(net)
    return _nnx((lambda shape, rngs: net) if isinstance(net, nnx.Module) else net)


def _linen(net: linen.Module) -> Functional:
    def init(key: Key[Array, ""], x: Array) -> Any:
        return net.init(key, x[None], jnp.zeros(1), None, None)

    def apply(params: Any, x: Array, c_noise: Array, y: Array | None, key: Key[Array, ""] | None) -> Any:
        return net.apply(params, x, c_noise, y, key)

    return Functional(init, apply)


def _nnx(build: Callable[..., nnx.Module]) -> Functional:
    def init(key: Key[Array, ""], x: Array) -> Any:
        return nnx.to_pure_dict(nnx.state(build(x.shape, rngs=nnx.Rngs(key)), nnx.Param))

    def apply(params: Any, x: Array, c_noise: Array, y: Array | None, key: Key[Array, ""] | None) -> Array:
        # The structure without the arrays: costs tracing time alone, and keeps `apply` a function of its arguments.
        graph, state = nnx.split(nnx.eval_shape(lambda: build(x.shape[1:], rngs=nnx.Rngs(0))))
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state)(x, c_noise, y, key)  # pyright: ignore[reportCallIssue]

    return Functional(init, apply)
