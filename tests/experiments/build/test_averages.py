"""Several averages of one training: each is what it would be alone, and a config says which of them draws."""

import jax
import numpy as np
import pytest
from small_experiments import clusters, small_experiment

from experiments.build import averages
from experiments.build.optimizer import make_optimizer
from experiments.build.power_average import exponent
from experiments.build.state import init_state, named
from experiments.data.dataset import Batch
from experiments.runtime.errors import ConfigError
from experiments.training.step import make_step

pytestmark = pytest.mark.usefixtures("in_root")

MANY = ("--config.train.ema=(0.9, 0.5)", "--config.train.sigma_rel=(0.05, 0.1)")


def states(experiment, steps=6):
    """The state after each step on one batch."""
    optimizer = make_optimizer(experiment.config.train)
    advance = jax.jit(make_step(experiment, optimizer, jax.random.key(1)))
    path = [init_state(experiment, optimizer, jax.random.key(0))]
    for _ in range(steps):
        path.append(advance(path[-1], Batch(clusters(64)[None])))
    return path


@pytest.fixture(scope="module")
def path(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        return states(small_experiment(*MANY))


def test_each_average_is_that_of_the_parameters(path):
    """The truth is computed from all parameters at once, in float64."""
    kernel = lambda tree: next(leaf for path, leaf in named(tree).items() if "kernel" in path)
    theta = np.stack([np.asarray(kernel(state.params), np.float64) for state in path])
    n = len(theta) - 1
    by_rate = {}
    for rate in (0.9, 0.5):
        by_rate[rate] = theta[0]
        for step, now in enumerate(theta[1:]):
            decay = min(rate, (1 + step) / (10 + step))
            by_rate[rate] = decay * by_rate[rate] + (1 - decay) * now
    by_width = [
        np.tensordot(np.diff((np.arange(n + 1) / n) ** (exponent(width) + 1)), theta[1:], axes=1) for width in (0.05, 0.1)
    ]
    for ours, exact in zip(path[-1].ema, [by_rate[0.9], by_rate[0.5], *by_width], strict=True):
        np.testing.assert_allclose(kernel(ours), exact, rtol=2e-6, atol=1e-7)


def test_one_average_is_no_tuple():
    """Checkpoints of one average are what they always were."""
    experiment = small_experiment("--config.train.ema=(0.9,)")
    state = init_state(experiment, make_optimizer(experiment.config.train), jax.random.key(0))
    assert jax.tree.structure(state.ema) == jax.tree.structure(state.params)


@pytest.mark.parametrize(("choice", "number"), [((), 0), (("ema=0.5",), 1), (("sigma_rel=0.05",), 2), (("sigma_rel=0.1",), 3)])
def test_the_config_says_which_draws(path, choice, number):
    config = small_experiment(*MANY, *(f"--config.sample.{key}" for key in choice)).config
    assert averages.choose(config, path[-1].ema) is path[-1].ema[number]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("sample.ema=0.99",), r"sample\.ema = 0\.99 is no average of this run: take 0\.9 or 0\.5"),
        (("sample.ema=0.5", "sample.sigma_rel=0.1"), "name two averages"),
        (("train.sigma_rel=()", "sample.sigma_rel=0.1"), r"train with train\.sigma_rel = \(0\.05, 0\.1\)"),
    ],
)
def test_an_average_that_is_not_there_is_refused(overrides, words):
    with pytest.raises(ConfigError, match=words):
        small_experiment(*MANY, *(f"--config.{override}" for override in overrides))
