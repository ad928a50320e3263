"""A flax network as a pair of pure functions, so that parameters are a plain tree everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jaxtyping import Array, Key

from models.build import abstract, build
from models.conditions import Conditions
from models.layers.block import rematerialise


class Functional(NamedTuple):
    """init(key, x) -> params, for one example x;  apply(params, x [B, *event], c_noise [B], y or None, key or None).

    y: the conditions of the batch, as `models.conditions` has them.
    """

    init: Callable[..., Any]
    apply: Callable[..., Array]


def functional(
    net: linen.Module | nnx.Module | Callable[..., nnx.Module], compute: str = "float32", remat: bool = False
) -> Functional:
    """Pure functions from `net`, which is one of

    - an NNX class, or a partial of one: called as `net(shape, rngs=rngs)` with the event shape to build a fresh module;
    - an NNX module: its own parameters are the initial ones;
    - a linen module.

    All are called as `net(x, c_noise, y, key)` on a batch; `key` is None, or the randomness of dropout while training.

    `compute`: the dtype of x, and so of what the network computes; parameters, c_noise and the result are float32. `remat`:
    the backward pass keeps only the arguments of each `layers.block.Block` of an NNX module, and computes its inside again.
    Raises ValueError for a linen module with `remat`, and, from `apply`, if there is no block; TypeError, from `apply`, if the
    network does not compute in the dtype of its input.
    """
    if isinstance(net, linen.Module):
        if remat:
            raise ValueError("remat is for NNX modules; wrap the blocks of a linen module in flax.linen.remat")
        init, call = _linen(net)
    else:
        init, call = _nnx((lambda shape, rngs: net) if isinstance(net, nnx.Module) else net, remat)

    def apply(params: Any, x: Array, c_noise: Array, y: Conditions, key: Key[Array, ""] | None) -> Array:
        y = call(params, x.astype(compute), c_noise, y, key)
        if y.dtype != compute and compute != "float32":
            raise TypeError(f"the network computes in {y.dtype}, whatever the dtype of its input: take compute = 'float32'")
        return y.astype(x.dtype)

    return Functional(init, apply)


def traced_once(net: Functional) -> Functional:
    """The same functions, of which JAX traces `apply` once for all programs that call it on the same shapes."""
    return net._replace(apply=jax.jit(net.apply))


def pure(net: Callable[..., nnx.Module]) -> tuple[Callable[..., Any], Callable[..., nnx.Module]]:
    """Returns init(key, shape) -> params, a plain tree, and module(params, shape) -> the module of these parameters."""

    def init(key: Key[Array, ""], shape: tuple[int, ...]) -> Any:
        return nnx.to_pure_dict(nnx.state(build(net, shape, key), nnx.Param))

    @cache
    def structure(shape: tuple[int, ...]) -> tuple[Any, Any]:
        """The module without its arrays. It is kept, because to build it takes longer than to trace what it computes."""
        return nnx.split(abstract(net, shape))

    def module(params: Any, shape: tuple[int, ...]) -> nnx.Module:
        graph, shapes = structure(shape)
        state = jax.tree.map(lambda leaf: leaf, shapes)  # a copy, which is filled
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state)

    return init, module


def _linen(net: linen.Module) -> Functional:
    def init(key: Key[Array, ""], x: Array) -> Any:
        return net.init(key, x[None], jnp.zeros(1), None, None)

    def apply(params: Any, x: Array, c_noise: Array, y: Conditions, key: Key[Array, ""] | None) -> Any:
        return net.apply(params, x, c_noise, y, key)

    return Functional(init, apply)


def _nnx(net: Callable[..., nnx.Module], remat: bool) -> Functional:
    init, module = pure(net)

    def apply(params: Any, x: Array, c_noise: Array, y: Conditions, key: Key[Array, ""] | None) -> Array:
        whole = module(params, x.shape[1:])
        return (rematerialise(whole) if remat else whole)(x, c_noise, y, key)  # pyright: ignore[reportCallIssue]

    return Functional(lambda key, x: init(key, x.shape), apply)
