"""The two studies of benchmarks/: what they compare is comparable."""

import jax
import numpy as np
import pytest

from benchmarks.importance import ARMS, stepping, variance
from benchmarks.samplers import DETERMINISTIC, STOCHASTIC, samplers
from experiments import config as configs
from experiments.build import build
from experiments.by_config import built_arms, judge
from experiments.checks import known_score
from experiments.data import load
from experiments.errors import ConfigError
from experiments.parts import STEP
from experiments.schema import Config
from experiments.state import init_state
from experiments.update import make_optimizer


@pytest.mark.parametrize("sde", [pytest.param("VPSDE", marks=pytest.mark.slow), "SubVPSDE"])
def test_both_draws_estimate_one_loss_and_importance_with_less_variance(sde):
    overrides = ["--config.net={'name': 'MLP', 'width': 8, 'depth': 1}", f"--config.sde.name={sde}", "--config.train.batch=128"]
    tree = configs.read("configs/digits/objectives.py", overrides)
    trees = {name: arm for name, arm in configs.arms(tree).items() if name in ARMS}
    sources = judge(tree, trees)
    config = Config.model_validate(tree)
    data = load(sources, config.data, 0)
    built = built_arms(trees, "train", data.shape)
    state = init_state(built["importance"], make_optimizer(config.train), jax.random.key(0))
    found = {name: variance(stepping(experiment), state, data, 128, 100) for name, experiment in built.items()}
    error = np.sqrt(sum(f["variance"] for f in found.values()) / 100)
    assert abs(found["importance"]["mean"] - found["likelihood"]["mean"]) < 4 * error
    assert found["importance"]["variance"] < found["likelihood"]["variance"] / 3


def test_every_sampler_is_held_at_the_evaluations_that_are_asked_for():
    tree = configs.read("configs/digits/vp.py", [])
    tree["samplers"] = samplers([5, 20], [100])
    experiment = build(Config.model_validate(tree), (8, 8, 1))
    known = experiment._replace(model=known_score(experiment.sde))
    for label, sampler in known.config.samplers.items():
        step = known.step(sampler, None)
        if isinstance(step.nfe, int):
            asked = [5, 20, 100] if label in STOCHASTIC else [5, 20]
            got = [step.nfe * int(n) + 1 for n in sampler.sweep["n"]]
            assert all(n - step.nfe < spent <= n for n, spent in zip(asked, got, strict=True)), label


def test_a_sampler_without_a_line_is_refused(monkeypatch):
    assert "ddim" in STEP.names
    monkeypatch.delitem(DETERMINISTIC, "ddim")
    with pytest.raises(ConfigError, match="ddim"):
        samplers([5], [])
