"""A step by every kind of optimiser: it goes on from a checkpoint to the last bit, in shares and parts, and skips bad ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import run, seal
from slow import one_in, slow_for
from small_experiments import clusters, small_experiment

from experiments.build.optimizer import make_optimizer
from experiments.build.state import init_state, placement
from experiments.data.dataset import Batch
from experiments.randomness import Purpose, stream
from experiments.runs.checkpoint import Checkpoints
from experiments.runs.resume import state_shapes
from experiments.runtime import devices
from experiments.training.step import make_call

pytestmark = pytest.mark.usefixtures("in_root")

WIDE, SHARD = "--config.net.width=64", "--config.train.shard=True"
KINDS = {
    "adamw": ("--config.train.optimizer={'name': 'adamw', 'weight_decay': 0.1}", "--config.train.accumulate=2"),
    "lion": ("--config.train.optimizer=lion", "--config.train.sigma_rel=(0.05, 0.1)"),
    "adafactor": ("--config.train.optimizer={'name': 'adafactor', 'min_dim_size_to_factor': 16}", SHARD),
    "muon": (
        "--config.train.optimizer=muon",
        SHARD,
        "--config.train.schedule=cosine_decay_schedule",
        "--config.train.warm_up=5000",
    ),
    "sgd": ("--config.train.optimizer={'name': 'sgd', 'momentum': 0.9}", "--config.train.steps_per_call=2"),
}


def trainer(*overrides):
    """The experiment, its first state, and its compiled call."""
    experiment = small_experiment(WIDE, "--config.train.steps=8", *overrides)
    optimizer = make_optimizer(experiment.config.train)
    state = init_state(experiment, optimizer, stream(0, Purpose.INIT))
    call = make_call(experiment, optimizer, stream(0, Purpose.STEP))
    advance = devices.pmapped(partial(call, frozen=experiment.frozen), placement(experiment.config, state))
    return experiment, state, advance


def batch(experiment, spoiled=False):
    levels = jnp.full((64, 2), jnp.nan) if spoiled else clusters(64)
    return devices.split(Batch(np.stack([np.asarray(levels)] * experiment.config.train.steps_per_call)), axis=1)


@slow_for("adamw", "adafactor", "lion", "sgd")
@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_from_a_checkpoint_to_the_last_bit(kind, tmp_path):
    """A batch that is not finite changes nothing but the counts."""
    experiment, state, advance = trainer(*KINDS[kind])
    for _ in range(2):
        state = advance(state, batch(experiment))
    with Checkpoints(tmp_path, "a run") as checkpoints:
        checkpoints.save(2, state, wait=True)
        resumed = checkpoints.restore(state_shapes(experiment))
    host = lambda tree: jax.tree.map(np.array, tree)
    before, gone_on = host(state), advance(state, batch(experiment))
    after = advance(resumed, batch(experiment))
    jax.tree.map(np.testing.assert_array_equal, host(gone_on), end := host(after))
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(before.params), jax.tree.leaves(end.params), strict=True))
    skipped = host(advance(after, batch(experiment, spoiled=True)))
    for part in ("params", "ema", "opt", "times"):
        jax.tree.map(np.testing.assert_array_equal, getattr(skipped, part), getattr(end, part))
    assert skipped.tally.skipped == experiment.config.train.steps_per_call


@pytest.mark.parametrize("kind", ["adafactor", "muon"])
def test_moments_lie_as_the_parameters_do(kind):
    """Each device has half of those of a parameter's shape, as it has of the parameter."""
    _, state, _ = trainer(*KINDS[kind])
    large = {leaf.shape: leaf.sharding for leaf in jax.tree.leaves(state.params) if leaf.size >= devices.SMALL}
    moments = [leaf for leaf in jax.tree.leaves(state.opt) if leaf.shape in large]
    assert kind == "adafactor" or len(moments) >= len(large) > 0
    assert all(leaf.sharding == large[leaf.shape] for leaf in moments)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.opt) if leaf.size < devices.SMALL)


@one_in(2)
@pytest.mark.parametrize("name", ["dog", "prodigy"])
def test_what_keeps_the_first_parameters_has_its_own(name):
    """A step takes every array of the state, and none twice."""
    experiment, state, advance = trainer(f"--config.train.optimizer={name}", "--config.train.ema=(0.9, 0.5)")
    buffers = [shard.data.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards]
    assert len({*buffers}) == len(buffers)
    first = jax.tree.map(np.array, state.params)
    state = advance(state, batch(experiment))
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(state.params), strict=True))


@pytest.mark.slow
def test_adapters_go_on_by_any_optimizer(tmp_path):
    """A run of adapters, by Muon and with several averages, is stopped and resumed to the last bit."""
    one_sampler = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 2}}"
    every = (one_sampler, "--config.sample.sampler=ancestral", "--config.train.checkpoint_every=4")
    base = tmp_path / "base"
    assert run("train", base, "--config.train.steps=4", *every) == 0
    lora = (f"--config.lora.run={base}", "--config.lora.rank=2", *KINDS["muon"][:1], "--config.train.ema=(0.9, 0.5)")
    for folder, steps in (("whole", 8), ("parts", 4), ("parts", 8)):
        assert run("train", tmp_path / folder, f"--config.train.steps={steps}", *every, *lora) == 0
    assert seal(tmp_path / "whole", 8) == seal(tmp_path / "parts", 8)
