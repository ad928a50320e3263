"""What a network is made of, as a table: to be read before it trains for days."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from experiments.build.build import structure
from experiments.build.experiment import Experiment


def size(params: Any) -> int:
    """How many numbers a tree of parameters has, or of their shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def of_network(experiment: Experiment) -> int:
    """The `size` of the network, by its shapes alone."""
    x = jax.ShapeDtypeStruct(experiment.shape, jnp.float32)
    return size(jax.eval_shape(experiment.model.init, jax.random.key(0), x))


def anatomy(experiment: Experiment) -> list[str]:
    """The network's parameters, and its resolutions with their channels, blocks and attention where it tells its `stages`."""
    config, shape = experiment.config, experiment.shape
    lines = [f"{config.net.name}: {of_network(experiment):,} parameters, computing in {config.compute}"]
    if config.lora:
        learning = size(jax.eval_shape(experiment.initial, jax.random.key(0)))
        lines += [f"trained: {learning:,} parameters, of adapters of rank {config.lora.rank} (on {config.lora.on})"]
    stages = getattr(structure(config, shape), "stages", ())
    rows = [(f"{s.height} x {s.width}", s.channels, s.blocks, "yes" if s.attention else "-") for s in stages]
    table = [("resolution", "channels", "blocks", "attention"), *rows] if rows else []
    return lines + ["{:<12}{:<10}{:<8}{}".format(*row) for row in table]
