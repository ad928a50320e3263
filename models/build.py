"""A flax NNX module of an event's shape: with arrays, or with their shapes alone."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx
from jaxtyping import Array, Key


def build(net: Callable[..., nnx.Module], shape: tuple[int, ...], key: Key[Array, ""] | int) -> nnx.Module:
    """Returns net(shape, rngs=nnx.Rngs(key)): the same arrays, and in a time that is linear in their number under a trace."""
    rngs = nnx.Rngs()
    with jax.ensure_compile_time_eval():
        rngs.default = _Stream(key, tag="default")  # pyright: ignore[reportAttributeAccessIssue]
    return net(shape, rngs=rngs)


def abstract(net: Callable[..., nnx.Module], shape: tuple[int, ...]) -> nnx.Module:
    """Returns the module with shapes and dtypes in place of arrays."""
    return nnx.eval_shape(lambda: build(net, shape, 0))


class _Stream(nnx.RngStream):
    """The keys of flax's stream, fold_in(key, 0), fold_in(key, 1), ..., whose count is no part of a trace.

    If the count is traced, flax asks it for its sharding. JAX 0.10 then walks all that was traced before, to word an error that
    nobody reads (jax-ml/jax#40041). For a deep network that takes most of the time of a build.
    """

    def __call__(self) -> Array:
        with jax.ensure_compile_time_eval():
            return super().__call__()
