"""Experiments that tests build without a command."""

from functools import partial

import jax
import jax.numpy as jnp
from runs import MOONS, TINY

import models
from experiments.build.build import Trained, build
from experiments.build.experiment import Experiment
from experiments.build.optimizer import optimizer_of
from experiments.build.state import first_state
from experiments.config.messages import schema_problems
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.randomness import Purpose, stream
from experiments.training.step import make_call

ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 2}}"
DISCRETE = "--config.times={'name': 'discrete', 'n': 10, 't_min': 0.1}"
UNWEIGHTED = "--config.weight=None"


def small_experiment(*overrides: str) -> Experiment:
    """Returns the moons' experiment with a narrow network and one sampler of two steps."""
    tree = read_config(MOONS, [*TINY, "--config.train.warm_up=0", ONE_SAMPLER, *overrides])
    assert not schema_problems(tree) + part_problems(tree)
    return build(Config.model_validate(tree), (2,))


def identity_codec(*_) -> Trained:
    """Returns a codec in the place of that of `codec.run`, which tests of configs have not trained."""
    return Trained(models.chain(models.affine()), ((),))


def clusters(n: int) -> jax.Array:
    """Returns n points of two clusters, [n, 2]."""
    return 0.7 * jnp.sign(jax.random.normal(jax.random.key(3), (n, 1))) + 0.1 * jax.random.normal(jax.random.key(4), (n, 2))


def trains_by_trace(experiment: Experiment) -> None:
    """Asserts that two steps of training, traced, return a state of the same shapes."""
    config = experiment.config
    optimizer = optimizer_of(config)
    advance = make_call(taught(experiment), optimizer, stream(0, Purpose.STEP))
    state = jax.eval_shape(partial(first_state, experiment, optimizer), jax.random.key(0))
    row = experiment.row(jnp.uint8 if config.data.levels else jnp.float32)
    levels = jnp.zeros((2, config.train.batch, *row.shape), row.dtype)
    y = jnp.zeros((2, config.train.batch), jnp.int32) if experiment.classes else None
    after = jax.eval_shape(advance, state, Batch(levels, y), frozen_shapes(experiment))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), state)


def frozen_shapes(experiment):
    """Returns what is not trained; with `lora` the base, which is the network, by its shapes alone."""
    init = partial(experiment.model.init, jax.random.key(0))
    base = jax.eval_shape(init, jnp.zeros(experiment.code_shape)) if experiment.config.lora else ()
    return experiment.frozen._replace(base=base)


def taught(experiment: Experiment) -> Experiment:
    """Returns the experiment with a flow that moves nothing in the place of that of `teacher.run`."""
    return experiment._replace(teacher=lambda params, y: lambda x_1: x_1) if experiment.config.teacher else experiment
