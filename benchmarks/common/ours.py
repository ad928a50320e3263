"""Our steps of training and of sampling, to be timed in turns with others'."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common.turns import Contender
from experiments.build.build import build
from experiments.build.optimizer import make_optimizer
from experiments.build.sampler import BoundSampler
from experiments.build.state import init_state
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.runtime import devices
from experiments.training.step import make_step

DDIM = {"step": {"name": "ddim"}, "grid": {"name": "uniform_grid"}, "n": 10}


def ours(tree: Any, shape: tuple[int, int, int], calls: int = 1) -> tuple[dict[str, Contender], int]:
    """Returns a call of `calls` training steps and a step of sampling on random images, and the number of parameters.

    A step of sampling is one evaluation of the network and the update of `DDIM`, whatever the config's samplers.
    """
    tree.sample.sampler, tree.samplers, tree.train.steps_per_call = "ddim", {"ddim": DDIM}, calls
    experiment = build(Config.model_validate(tree.to_dict()), shape)
    batch, optimizer = experiment.config.train.batch, make_optimizer(experiment.config.train)
    state = init_state(experiment, optimizer, jax.random.key(0))
    params = jax.tree.map(jnp.copy, state.params)  # the state is donated
    advance = devices.pmapped(make_step(experiment, optimizer, jax.random.key(1)))
    levels = np.random.default_rng(0).integers(0, 256, (calls, batch, *shape)).astype(np.uint8)
    batches = devices.split(Batch(levels), axis=1)
    sampler, keys = experiment.config.samplers["ddim"], jax.random.split(jax.random.key(2), batch)

    @jax.jit
    def update(params: Any, x: jax.Array) -> jax.Array:
        step = BoundSampler(experiment, sampler).step(params)
        return jax.vmap(lambda key, x: step.update(key, x, step.init(x), 0.5, 0.45)[0])(keys, x)

    held = {"state": state, "x": jax.random.normal(jax.random.key(3), (batch, *shape))}

    def train() -> None:
        held["state"] = advance(held["state"], batches)

    def draw() -> None:
        held["x"] = update(params, held["x"])

    wait = lambda: jax.block_until_ready(held)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return {"training": Contender(train, wait), "sampling": Contender(draw, wait)}, size
