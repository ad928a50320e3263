"""The cost of samples and edits: NFE counts every evaluation of every network, and a draw compiles once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from edited_runs import experiment_of
from slow import one_in

import samplers
from experiments.build.checks import with_exact_score
from experiments.build.sampler import BoundSampler
from experiments.config.guidance import Guide
from experiments.data.dataset import Batch
from experiments.sampling.draw import drawing
from experiments.sampling.editing import configured_edit, edit_examples

pytestmark = pytest.mark.usefixtures("in_root")

STEP = "{'step': 'reverse_diffusion', 'corrector': 'langevin', 'grid': 'uniform_grid', 'n': 3, 'denoise': True"
GUIDANCE = {
    "plain": "None",
    "free": "{'name': 'classifier_free', 'w': 2.0, 'interval': (0.5, 2.0)}",
    "auto": "{'name': 'autoguidance', 'run': 'weaker'}",
    "classifier": "{'name': 'classifier', 'run': 'classes'}",
    "own": f"{{'name': '{__name__}:of_three'}}",
}


def of_three(scores):
    """A user's guidance, by the conditional score, the one without a label and another run's."""
    parts = scores.conditional, scores.unconditional(), scores.weaker("weaker")
    return lambda x, t: sum(part(x, t) for part in parts)


@pytest.fixture(scope="module")
def counted():
    """An experiment on exact scores, and the list that grows by one entry for each network as it is traced."""
    labels = "--config.net.classes=2", "--config.train.label_dropout=0.1"
    by = ", ".join(f"'{name}': {STEP}, 'guidance': {guidance}}}" for name, guidance in GUIDANCE.items())
    experiment = with_exact_score(experiment_of(f"--config.samplers={{{by}}}", "--config.sample.sampler=free", *labels))
    calls = []

    def count(result):
        calls.append(1)
        return result

    apply = experiment.model.apply
    guide = Guide(2, lambda params, y: lambda x, t: count(-x), lambda params, x, t: count(-jnp.sum(x**2) * jnp.ones(2)))
    model = experiment.model._replace(apply=lambda *args, **more: count(apply(*args, **more)))
    return experiment._replace(model=model, guides=dict.fromkeys(("weaker", "classes"), guide)), calls


@one_in(5)
@pytest.mark.parametrize(("name", "networks"), [("plain", 1), ("free", 2), ("auto", 2), ("classifier", 2), ("own", 3)])
def test_nfe_counts_every_network(counted, name, networks):
    """Of three steps with a corrector and a last denoising, seven scores: what a run without a compiler calls."""
    experiment, calls = counted
    sampler = BoundSampler(experiment, experiment.config.samplers[name])
    nfe = drawing(sampler)(None, sampler.rows(0, 8), 3).nfe
    assert nfe.tolist() == [7 * networks] * 8
    with jax.disable_jit():
        reverse = sampler.reverse(None, 1)
        calls.clear()
        samplers.draw(jax.random.key(0), reverse.sde, reverse.step, sampler.grid(), (2,), reverse.final)
    assert len(calls) == nfe[0]


def test_the_nfe_of_an_edit_counts_every_network(counted):
    """Every frame by a guided sampler, from half of the way: two of its three steps."""
    experiment, test = counted[0], np.zeros((16, 2), np.float32)
    edit = configured_edit(experiment, test)
    data = Batch(test, np.zeros(16, np.int64))
    assert edit_examples(experiment, None, edit, data).nfe[0, 0].tolist() == [0, 10, 10, 10]


@pytest.mark.slow
def test_seeds_and_settings_share_a_program(counted):
    """Whatever n of its sweep, and after any number of draws; another number of samples is another program."""
    experiment, calls = counted
    config = experiment.config.samplers["plain"].model_copy(update={"sweep": {"n": (1.0, 2.0)}})
    sampler = BoundSampler(experiment, config)
    draw = drawing(sampler)
    traced = []
    for seed, n, steps in ((0, 3, 3), (1, 3, 3), (0, 3, 1), (0, 11, 3)):
        calls.clear()
        assert len(draw(None, sampler.rows(seed, n), steps).levels) == n
        traced.append(len(calls))
    assert traced[1:3] == [0, 0]
    assert traced[0] == traced[3] > 0
