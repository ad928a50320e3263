"""Blocks: the units that a backward pass may compute again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from flax import nnx


class Block(nnx.Module):
    """A module whose call keeps only its arguments for the backward pass, if it is `rematerialised` and `remat` is set."""

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
    """Sets `remat` in each block of the network and returns it. ValueError if it has none."""
    blocks = [module for _, module in nnx.iter_modules(net) if isinstance(module, Block)]
    if not blocks:
        raise ValueError(f"{type(net).__name__} has no models.layers.block.Block to compute again; take remat = False")
    for block in blocks:
        block.remat = True
    return net
