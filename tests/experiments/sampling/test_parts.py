"""Samples in parts: those of one draw, whatever the parts, with their conditions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_experiments import small_experiment
from source_files import ROOT

from experiments.build.sampler import sample_sampler
from experiments.data.dataset import Batch
from experiments.sampling import draw
from experiments.sampling.draw import EACH, drawing, in_parts, joined

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(scope="module")
def sampled():
    """The moons' sampler in batches of eight, its parameters, its program, and thirty samples by one call of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        experiment = small_experiment("--config.evaluate.batch=8", "--config.sample.sampler=ancestral")
    sampler, params = sample_sampler(experiment), experiment.model.init(jax.random.key(0), jnp.zeros(2))
    program = drawing(sampler)
    return sampler, params, program, program(params, sampler.rows(3, 30), 2)


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 9])
def test_parts_are_one_draw(sampled, monkeypatch, batches):
    """To the bit: of 30 samples in four batches of eight, so many batches at a time."""
    sampler, params, program, whole = sampled
    monkeypatch.setattr(draw, "PART", 8 * 8 * batches)  # eight points of eight bytes
    parts = [*in_parts(sampler, program, params, 3, 30, 2)]
    assert [len(part.levels) for part in parts[:-1]] == [8 * batches] * (math.ceil(4 / batches) - 1)
    together = joined(parts)
    for name in EACH:
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name), strict=True)
    assert together.seconds == pytest.approx(sum(part.seconds for part in parts))


@pytest.mark.parametrize("like", [(), (3, 1)])
@pytest.mark.parametrize("held_out", [False, True])
def test_a_sample_has_its_conditions_in_any_part(like, held_out):
    """Labels and held-out examples in turn, or those of `sample.like`: the rows of some numbers are those of all."""
    labelled = "--config.net.classes=3", "--config.train.label_dropout=0.1"
    experiment = small_experiment(*labelled, "--config.sample.sampler=ancestral")
    if held_out:
        config = experiment.config.sample.model_copy(update={"like": like})
        config = experiment.config.model_copy(update={"sample": config})
        examples = Batch(np.arange(10.0).reshape(5, 2), np.array([2, 0, 1, 1, 0]))
        experiment = experiment._replace(held_out=examples, config=config)
    sampler = sample_sampler(experiment)
    every, numbers = sampler.rows(0, 12), np.array([11, 4, 4, 7])
    some = sampler.rows_of(every.keys[numbers], numbers)
    plain = lambda rows: rows._replace(keys=jax.random.key_data(rows.keys))
    jax.tree.map(np.testing.assert_array_equal, plain(some), jax.tree.map(lambda a: a[numbers], plain(every)))
    assert (some.levels is not None) == held_out
    assert some.labels is not None
