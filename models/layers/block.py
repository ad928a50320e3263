"""Blocks: the units between which a backward pass may forget."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from flax import nnx


class Block(nnx.Module):
    """A module whose call, where it is `rematerialised` and `remat` is set, keeps its arguments alone for the backward pass."""

    remat = False


def rematerialised(call: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates the call of a `Block`."""

    @wraps(call)
    def run(block: Block, *args: Any) -> Any:
        if not block.remat:
            return call(block, *args)
        graph, state = nnx.split(block)
        return jax.checkpoint(lambda state, *args: call(nnx.merge(graph, state), *args))(state, *args)

    return run


def rematerialise(net: nnx.Module) -> nnx.Module:
    """The network, with `remat` set in each of its blocks. ValueError where it has none."""
    blocks = [module for _, module in nnx.iter_modules(net) if isinstance(module, Block)]
    if not blocks:
        raise ValueError(f"{type(net).__name__} has no models.layers.block.Block to compute again; take remat = False")
    for block in blocks:
        block.remat = True
    return net
