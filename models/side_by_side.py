"""A network of channels as one of the variables of an augmented SDE."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array

from models.functional import Functional


def side_by_side(net: Functional) -> Functional:
    """The network on events [*space, C, k], which it sees with the k variables of each channel as channels, [*space, C k]."""

    def apply(params: Any, x: Array, *others: Any) -> Array:
        return net.apply(params, jax.vmap(_channels)(x), *others).reshape(x.shape)

    return Functional(lambda key, x: net.init(key, _channels(x)), apply)


def _channels(x: Array) -> Array:
    return x.reshape(folded(x.shape))


def folded(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns [*space, C k] of [*space, C, k]; of an event [k] that is a number, [k]."""
    return (*shape[:-2], shape[-2] * shape[-1]) if len(shape) > 1 else shape
