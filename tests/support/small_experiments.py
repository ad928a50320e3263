"""Experiments that tests build without a command."""

from functools import partial

import jax
import jax.numpy as jnp
from runs import MOONS, TINY

from experiments.build.build import build
from experiments.build.experiment import Experiment
from experiments.config.messages import schema_problems
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config

ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 2}}"
DISCRETE = "--config.times={'name': 'discrete', 'n': 10, 't_min': 0.1}"
UNWEIGHTED = "--config.weight=None"


def small_experiment(*overrides: str) -> Experiment:
    """Returns the moons' experiment with a narrow network and one sampler of two steps."""
    tree = read_config(MOONS, [*TINY, "--config.train.warm_up=0", ONE_SAMPLER, *overrides])
    assert not schema_problems(tree) + part_problems(tree)
    return build(Config.model_validate(tree), (2,))


def clusters(n: int) -> jax.Array:
    """Returns n points of two clusters, [n, 2]."""
    return 0.7 * jnp.sign(jax.random.normal(jax.random.key(3), (n, 1))) + 0.1 * jax.random.normal(jax.random.key(4), (n, 2))


def frozen_shapes(experiment):
    """Returns the base of a config with `lora`, which is the network, by its shapes alone; or nothing."""
    init = partial(experiment.model.init, jax.random.key(0))
    return (jax.eval_shape(init, jnp.zeros(experiment.shape)),) if experiment.config.lora else ()
