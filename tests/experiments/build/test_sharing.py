"""Arms that differ by their linear SDE alone call the same programs, and are what they are alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_experiments import DISCRETE, UNWEIGHTED, clusters, small_experiment

from experiments.build.optimizer import optimizer_of
from experiments.build.sampler import BoundSampler
from experiments.build.sharing import sharing
from experiments.build.state import init_state
from experiments.data.dataset import Batch
from experiments.evaluation.likelihood import measure_bits
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.sampling.draw import drawing
from experiments.training.program import arguments_of, program

pytestmark = pytest.mark.usefixtures("in_root")

SAMPLERS = {
    "ancestral": {"step": "ancestral", "grid": "uniform_grid", "n": 3},
    "corrected": {"step": "ddim", "corrector": {"name": "langevin", "snr": 0.1}, "grid": "log_snr_grid", "n": 3},
    "elsewhere": {
        "step": "ddim",
        "grid": {"name": "uniform_grid", "t_min": 0.1},
        "n": 3,
        "sde": {"name": "EDMSDE", "sigma_max": 9.0},
    },
}
SDES = ("VPSDE", "{'name': 'VESDE', 'sigma_max': 10.0, 'prior_mean': 0.2}", "SubVPSDE")
BY = (f"--config.samplers={SAMPLERS}", "--config.sample.sampler=ancestral", "--config.evaluate.bound_times=4")
VARIANCE = ("--config.objective=hybrid", UNWEIGHTED, DISCRETE, "--config.samplers.elsewhere=None")


def arms(*overrides, sdes=SDES, by=BY):
    """An experiment on each SDE, by its place."""
    return {str(i): small_experiment(f"--config.sde={sde}", *by, *overrides) for i, sde in enumerate(sdes)}


def trained(experiment, steps=3):
    """The state after some steps."""
    state = init_state(experiment, optimizer_of(experiment.config), stream(0, Purpose.INIT))
    advance = program([experiment], state)
    batch = devices.split((Batch(np.asarray(clusters(64))[None], None),), axis=1)
    states = (state,)
    for _ in range(steps):
        states, _ = advance(states, batch, arguments_of([experiment]), np.array([0, 1], np.int32))
    return states[0]


def results(experiment):
    """What is measured of the initial score, by every sampler and by the likelihood."""
    state = init_state(experiment, optimizer_of(experiment.config), stream(0, Purpose.INIT))
    params = experiment.network(state.params)
    draws = {}
    for label, config in experiment.config.samplers.items():
        sampler = BoundSampler(experiment, config)
        draw = experiment.once(("draw", label), lambda sampler=sampler: drawing(sampler))
        draws[label] = draw(params, sampler.rows(0, 16), config.n).levels
    bits = measure_bits(experiment, params, Batch(np.asarray(clusters(8)), None))
    return draws, bits._replace(nfe=0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "times", ["--config.times=importance", "--config.times=log_normal", DISCRETE, "--config.times=loss_aware"]
)
def test_an_arm_is_trained_as_it_is_alone(times):
    """To float32's rounding: a number that is an argument is not folded into others."""
    alone = arms(times)
    for together, own in zip(sharing(alone).values(), alone.values(), strict=True):
        leaves = zip(*map(jax.tree.leaves, (trained(together).ema, trained(own).ema)), strict=True)
        for ours, theirs in leaves:
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), VARIANCE], ids=["score", "variance"])
def test_an_arm_is_measured_as_it_is_alone(overrides):
    """By samplers with a corrector and on another SDE, with a learned variance, by the flow and by the bound."""
    alone = arms(*overrides)
    for together, own in zip(sharing(alone).values(), alone.values(), strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3), results(together), results(own))


@pytest.mark.slow
def test_a_program_is_compiled_once_for_all_arms_and_seeds(caplog):
    of_programs = lambda: [text for text in caplog.messages if "XLA compilation of jit(advance)" in text or "jit(run)" in text]
    first, *others = sharing(arms()).values()
    others.append(first._replace(config=first.config.model_copy(update={"seed": 1})))
    with jax.log_compiles():
        trained(first), results(first)
        assert of_programs()
        caplog.clear()
        for other in others:
            trained(other), results(other)
        assert not of_programs()


def families(experiments):
    """The names of each family."""
    shared = sharing(experiments)
    ids = {name: id(experiment.family) for name, experiment in shared.items()}
    return sorted("".join(name for name in ids if ids[name] == each) for each in set(ids.values()))


def test_only_linear_sdes_of_numbers_are_arguments():
    assert families(arms()) == ["012"]
    polynomial = "{'name': 'PolynomialVPSDE', 'log_snr_max': (12.0, 9.0), 'log_snr_min': (-10.0, -11.0)}"
    assert families(arms(sdes=(*SDES, polynomial), by=())) == ["012", "3"]


def test_arms_that_differ_by_more_have_programs_of_their_own():
    ours = arms()
    ours["0"] = small_experiment("--config.net.width=32", *BY)
    assert families(ours) == ["0", "12"]


def test_what_is_of_one_sde_alone_keeps_arms_apart(monkeypatch, capsys):
    """A part that asks for more than alpha and sigma."""
    ours = arms()
    greedy = lambda sde, t: jnp.asarray(sde.beta_max * t if hasattr(sde, "beta_max") else sde.sigma_max * t)
    ours = {name: each._replace(weight=greedy) for name, each in list(ours.items())[:2]}
    assert families(ours) == ["0", "1"]
    assert "0, 1 compile programs of their own" in capsys.readouterr().out
