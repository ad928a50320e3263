"""The two studies of benchmarks/: what they compare is comparable."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.importance import ARMS, variance
from benchmarks.samplers import DETERMINISTIC, STOCHASTIC, samplers
from experiments.build.build import build
from experiments.build.checks import with_exact_score
from experiments.build.sampler import BoundSampler
from experiments.commands.opening import build_arms, make_plan
from experiments.config.parts import STEP
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.runtime.errors import ConfigError
from experiments.training.step import example_loss, step_noise


@pytest.mark.slow
@pytest.mark.parametrize("sde", ["VPSDE", "SubVPSDE"])
def test_both_draws_estimate_one_loss_and_importance_with_less_variance(sde):
    overrides = ["--config.net={'name': 'MLP', 'width': 8, 'depth': 1}", f"--config.sde.name={sde}", "--config.train.batch=128"]
    tree = read_config("configs/digits/objectives.py", overrides)
    for name in ARMS:
        tree["arms"][name].setdefault("times", {})["t_min"] = 0.01  # where draws of uniform t show its variance too
    plan = make_plan(tree)
    data = plan.load()
    assert data is not None
    built = build_arms({name: plan.arms[name] for name in ARMS}, data.shape, training=True)
    params = built["importance"].model.init(jax.random.key(0), np.zeros(data.shape))
    reweighted = variance(built, params, data, 10_000)
    for name, experiment in built.items():
        drawn = step_noise(experiment, jax.random.key(1), None, jnp.int32(0), 10_000)
        loss = jax.vmap(example_loss(experiment), (None, 0, 0, 0))
        terms = drawn.inverse_density * loss(params, drawn.keys, data.train.batch(0, 10_000), drawn.t).score
        assert reweighted[name]["mean"] == pytest.approx(float(terms.mean()), rel=0.03)
        assert reweighted[name]["variance"] == pytest.approx(float(terms.var()), rel=0.2)
    assert reweighted["importance"]["variance"] < reweighted["likelihood"]["variance"] / 3


@pytest.mark.slow
def test_every_sampler_is_held_at_the_evaluations_that_are_asked_for():
    tree = read_config("configs/digits/vp.py", [])
    tree["samplers"] = samplers([5, 20], [100])
    experiment = build(Config.model_validate(tree), (8, 8, 1))
    exact = with_exact_score(experiment)
    for label, sampler in exact.config.samplers.items():
        step = BoundSampler(exact, sampler).step(None)
        if isinstance(step.nfe, int):
            asked = [5, 20, 100] if label in STOCHASTIC else [5, 20]
            got = [step.nfe * int(n) + 1 for n in sampler.sweep["n"]]
            assert all(n - step.nfe < spent <= n for n, spent in zip(asked, got, strict=True)), label


def test_a_sampler_without_a_line_is_refused(monkeypatch):
    assert "ddim" in STEP.names
    monkeypatch.delitem(DETERMINISTIC, "ddim")
    with pytest.raises(ConfigError, match="ddim"):
        samplers([5], [])
