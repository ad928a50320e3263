"""A network as a table of resolutions and channels, to read before it trains for days."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from experiments.build.build import structure
from experiments.build.experiment import Experiment
from experiments.build.optimizer import warm_up
from experiments.config.parts import autoencodes, learns_sde
from experiments.config.schema import Train


def size(params: Any) -> int:
    """Returns the count of numbers in a tree of parameters, or of their shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def network_size(experiment: Experiment) -> int:
    """Returns the `size` of the network, without any array."""
    z = jax.ShapeDtypeStruct(experiment.code_shape, jnp.float32)
    return size(jax.eval_shape(experiment.model.init, jax.random.key(0), z))


def summary(experiment: Experiment) -> list[str]:
    """Returns lines of the network's size and, if it has `stages`, of their resolutions, channels, blocks and attention."""
    config, shape = experiment.config, experiment.code_shape
    lines = [f"{config.net.name}: {network_size(experiment):,} parameters, computing in {config.compute}"]
    lines += _warm_up(config.train)
    if experiment.codec:
        params = jax.eval_shape(experiment.codec.init, jax.random.key(0), jnp.zeros(experiment.shape))
        arrow = " -> ".join(" x ".join(map(str, sides)) for sides in (experiment.shape, shape))
        lines += [f"codec: {size(params):,} parameters, {arrow}, {'fixed' if experiment.trains == 'net' else 'trained'}"]
    if experiment.discriminator and config.codec and config.codec.adversarial:
        params = jax.eval_shape(experiment.discriminator.init, jax.random.key(0), jnp.zeros(experiment.shape))
        which = config.codec.adversarial
        lines += [f"discriminator {which.net.name}: {size(params):,} parameters, from step {which.start:,} on"]
    if autoencodes(config):
        sides, (size_of_code,) = " x ".join(map(str, experiment.shape)), experiment.condition_shapes["vector"].shape
        lines += [f"of these an encoder, {sides} -> {size_of_code}"]
    if learns_sde(config):
        lines += [f"{config.sde.name}: {', '.join(config.sde.learned)} trained, {size(experiment.learned)} numbers"]
    if config.lora:
        adapters = size(jax.eval_shape(experiment.initial, jax.random.key(0)))
        lines += [f"trained: {adapters:,} parameters, of adapters of rank {config.lora.rank} (on {config.lora.on})"]
    stages = getattr(structure(experiment), "stages", ())
    rows = [(" x ".join(map(str, s.sides)), s.channels, s.blocks, "yes" if s.attention else "-") for s in stages]
    table = [("resolution", "channels", "blocks", "attention"), *rows] if rows else []
    return lines + ["{:<11} {:<10}{:<8}{}".format(*row) for row in table]


def _warm_up(config: Train) -> list[str]:
    """A line on a warm-up that takes up all steps, and so is another or never ends; none if a schedule takes its place."""
    if config.schedule is not None:
        return []
    what = f"train.warm_up = {config.warm_up} takes all of train.steps = {config.steps}"
    if (ramp := warm_up(config)) < config.warm_up:
        return [f"{what}: it is {ramp}, a tenth of them, and the cosine has the rest"]
    if config.warm_up > config.steps:
        return [f"{what}: the learning rate rises to {config.steps / config.warm_up:.1%} of train.learning_rate"]
    return []
