"""Batches come in their order, the same wherever the examples lie; the mean of a batch's parts is the batch's."""

import jax
import numpy as np
import pytest
from runs import run, seal
from small_experiments import clusters, small_experiment

from experiments.build.optimizer import make_optimizer
from experiments.build.state import init_state, named
from experiments.data import dataset, decoded, feed
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.training.step import make_step

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.mark.parametrize("where", ["device", "host", "disk"])
def test_a_batch_is_the_same_wherever_the_examples_lie(tmp_path, where):
    """It reads what `ExampleStream.indices` says, in two orders, past the end of an epoch and of training, over devices."""
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), np.uint8)
    source = [{"image": image} for image in images]
    records = dataset.ExampleStream(decoded.Decoded(source, 256, "numbers"), 5, 0 if where == "disk" else 4096)
    of = feed.blocks(1, 9, 3)
    streams = records, records.by(6)
    found = list(feed.feed(streams, 16, of, on_device=where == "device"))
    for of_block, steps in zip(found, ((1, 2, 3), (4, 5, 6), (7, 8, 8)), strict=True):
        for (batches, y), order in zip(of_block, streams, strict=True):
            assert batches.sharding.is_equivalent_to(devices.over_data(1), batches.ndim)
            expected = [images[order.indices(step, 16)] for step in steps]
            np.testing.assert_array_equal(batches, expected)
            assert y is None


@pytest.mark.slow
def test_a_run_is_the_same_wherever_the_examples_lie(tmp_path, monkeypatch):
    """Every leaf of the state that is saved, to the last bit."""
    train = lambda folder, *more: run("train", tmp_path / folder, "--config.train.steps=5", *more)
    assert train("kept") == 0
    assert train("streamed", "--config.data.resident_mib=0") == 0
    monkeypatch.setattr(feed, "has_room", lambda nbytes: True)
    assert train("on_device") == 0
    kept = seal(tmp_path / "kept", 5)
    assert seal(tmp_path / "streamed", 5) == kept
    assert seal(tmp_path / "on_device", 5) == kept


def after(batch, *overrides, steps=3):
    """The state after a few steps on one batch."""
    experiment = small_experiment(*overrides)
    optimizer = make_optimizer(experiment.config.train)
    advance = devices.pmapped(make_step(experiment, optimizer, stream(0, Purpose.STEP)))
    state = init_state(experiment, optimizer, jax.random.key(0))
    for _ in range(steps):
        state = advance(state, dataset.Batch(devices.split(batch[None], axis=1)))
    return jax.device_get(state)


KINDS = {
    "dsm": (),
    "likelihood": ("--config.weight=likelihood", "--config.times=importance"),
    "loss_aware": ("--config.weight=likelihood", "--config.times=loss_aware"),
    "sliced": ("--config.objective=ssm_vr",),
    "edm": ("--config.weight=edm", "--config.times={'name': 'log_normal', 'unbiased': False}"),
    "per_call": ("--config.train.steps_per_call=1", "--config.train.clip=0.01"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_in_parts_is_the_batch(kind):
    """Parameters, average, moments, what the draw of t has learned, and the sums of the log: to the order of sums."""
    batch = clusters(64)
    whole, parts = (named(after(batch, *KINDS[kind], f"--config.train.accumulate={k}")) for k in (1, 4))
    for name, leaf in whole.items():
        np.testing.assert_allclose(parts[name], leaf, rtol=2e-4, atol=2e-6, err_msg=name)


def test_a_part_that_is_not_finite_makes_the_step_one():
    """Nothing is changed but the counts, whichever part it is in."""
    batch = clusters(64).at[37].set(np.nan)
    state = after(batch, "--config.train.accumulate=8", steps=2)
    assert (state.step, state.tally.skipped, state.tally.n) == (2, 2, 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.mark.slow
def test_parts_that_do_not_come_out_even_are_refused(tmp_path, capsys):
    """Each of two devices has 32 of 64 examples."""
    assert run("train", tmp_path, "--config.train.steps=4", "--config.train.accumulate=3") == 2
    assert "train.accumulate = 3 does not divide the 32 examples of train.batch that each device has: take 2 or 4" in (
        capsys.readouterr().err
    )
    assert run("train", tmp_path, "--config.train.steps=4", "--config.train.accumulate=8") == 0
    assert run("train", tmp_path, "--config.train.steps=8", "--config.train.accumulate=1") == 2
    assert "train.accumulate: 8 then, 1 now" in capsys.readouterr().err
