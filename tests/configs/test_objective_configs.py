"""Objectives, weights, draws of t and samplers by name: what a config says reaches the loss and the step, or is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import MOONS, TINY, drawn, run
from slow import one_in
from small_experiments import DISCRETE, ONE_SAMPLER, UNWEIGHTED, clusters, small_experiment

import losses
from experiments.build.experiment import Experiment
from experiments.build.optimizer import make_optimizer
from experiments.build.sampler import BoundSampler
from experiments.build.state import init_state
from experiments.data.dataset import Batch
from experiments.main import main
from experiments.runs.checkpoint import Checkpoints
from experiments.runtime import devices
from experiments.training.step import make_step

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["objective=dsm", "times=loss_aware", "weight=min_snr"],
        ["objective=ism", "times={'name': 'log_normal', 'unbiased': False}", "weight=edm"],
        ["objective=ssm", "times=logit_normal", "weight=p2"],
        ["objective=ssm_vr", "times={'name': 'importance', 't_min': 0.01}", "weight=None"],
        [DISCRETE, "objective=vlb", "weight=None"],
        [DISCRETE, "objective=hybrid", "weight=None"],
    ],
    ids=lambda overrides: " ".join(overrides[:2]),
)
def test_training_lowers_the_loss(overrides):
    """The same draws of t and noise, before and after a hundred steps."""
    experiment = small_experiment(*(o if o.startswith("-") else f"--config.{o}" for o in overrides))
    optimizer = make_optimizer(experiment.config.train)
    state = init_state(experiment, optimizer, jax.random.key(0))
    state = jax.device_put(state, jax.devices()[0])  # one program, one device
    x_0 = clusters(256)

    @jax.jit
    def mean_loss(params):
        x = jnp.tile(x_0, (16, 1))  # ism and its kin are known to a tenth only by thousands of draws
        t, inverse_density = experiment.times.sample(jax.random.key(1), experiment.times.init(), len(x))
        one = jax.vmap(lambda key, x, t: experiment.loss(params, None)(key, x, t).score)
        return jnp.mean(inverse_density * one(jax.random.split(jax.random.key(2), len(x)), x, t))

    advance = jax.jit(make_step(experiment, optimizer, jax.random.key(5)))
    after = advance(state, Batch(jnp.broadcast_to(x_0, (100, *x_0.shape))))
    assert (after.step, after.tally.n, after.tally.skipped) == (100, 100, 0)
    assert mean_loss(after.params) < mean_loss(state.params)


@pytest.mark.slow
def test_a_draw_that_learns_resumes_to_the_last_bit(tmp_path):
    """4 steps, a checkpoint and 4 more are 8: parameters, averages, the optimizer's moments, and what loss_aware remembers."""
    experiment = small_experiment("--config.times=loss_aware", "--config.times.n_bins=8")
    optimizer = make_optimizer(experiment.config.train)
    advance = devices.pmapped(make_step(experiment, optimizer, jax.random.key(5)))
    batches = devices.split(Batch(np.broadcast_to(clusters(64), (4, 64, 2))), axis=1)
    begin = lambda seed: init_state(experiment, optimizer, jax.random.key(seed))
    with Checkpoints(tmp_path, "a run") as checkpoints:
        checkpoints.save(4, advance(begin(0), batches))
    with Checkpoints(tmp_path, "a run") as checkpoints:
        halves = advance(checkpoints.restore(begin(1)), batches)
    whole = advance(advance(begin(0), batches), batches)
    assert whole.step == 8
    assert whole.times.seen.all()
    jax.tree.map(np.testing.assert_array_equal, whole, halves)


def value(experiment: Experiment, loss=None, t=0.37) -> float:
    """The loss of one example, at parameters that do something."""
    params = experiment.model.init(jax.random.key(0), jnp.zeros(2))
    params = jax.tree.map(lambda a: a + 0.1, params)
    of_config = lambda *arguments: experiment.loss(params, None)(*arguments).score
    objective = of_config if loss is None else loss(experiment, params)
    return float(objective(jax.random.key(1), jnp.array([0.3, -0.8]), t))


def test_the_options_of_a_weight_reach_the_loss():
    sigma2 = value(small_experiment("--config.weight=sigma2"))
    assert value(small_experiment("--config.weight=min_snr", "--config.weight.gamma=1e30")) == sigma2
    strict = small_experiment("--config.weight=min_snr", "--config.weight.gamma=1e-3")
    weight = partial(losses.min_snr, gamma=1e-3)
    assert value(strict) == value(strict, lambda e, params: losses.dsm(e.sde, e.score(params), weight)) < sigma2


@pytest.mark.parametrize(
    ("data", "width", "low"),
    [(("levels=17", "range=unit"), 1 / 16, 0.0), (("levels=17", "dequantize=True"), None, -1.0), ((), None, -1.0)],
)
def test_the_bound_takes_its_times_and_its_cells_from_the_config(data, width, low):
    """At t = 0.37, and at the first time, where it is L_0."""
    overrides = (DISCRETE, UNWEIGHTED, *(f"--config.data.{o}" for o in data))
    given = {"n": 10, "t_min": 0.1, "width": width, "low": low}
    vlb = small_experiment("--config.objective=vlb", *overrides)
    alone = lambda e, params: losses.vlb(e.sde, e.score(params), **given)
    hybrid = small_experiment("--config.objective={'name': 'hybrid', 'lambda_vlb': 0.5}", *overrides)
    both = lambda e, params: losses.hybrid(e.sde, partial(e.model.with_variance, params), lambda_vlb=0.5, **given)
    for t in (0.1, 0.37):
        assert value(vlb, t=t) == value(vlb, alone, t)
        assert value(hybrid, t=t) == value(hybrid, both, t)


def test_the_weight_takes_the_network_s_sigma_data():
    edm = small_experiment("--config.weight=edm", "--config.sigma_data=0.7")
    weight = partial(losses.edm, sigma_data=0.7)
    assert value(edm) == value(edm, lambda e, params: losses.dsm(e.sde, e.score(params), weight))


def test_ancestral_sampling_takes_the_learned_variance_unless_told():
    """At first v = 1/2, as the last layer is zero."""
    experiment = small_experiment("--config.objective=hybrid", DISCRETE, UNWEIGHTED)
    params = experiment.model.init(jax.random.key(0), jnp.zeros(2))
    sampler = experiment.config.samplers["ancestral"]
    moved = lambda **swept: (
        BoundSampler(experiment, sampler).step(params, **swept).update(jax.random.key(1), jnp.ones(2), (), 0.7, 0.3)[0]
    )
    np.testing.assert_array_equal(moved(), moved(v=0.5))
    assert (moved() != moved(v=0.0)).all()


@pytest.mark.slow
def test_a_hybrid_run_trains_and_samples(tmp_path):
    hybrid = "--config.objective=hybrid", DISCRETE, UNWEIGHTED, ONE_SAMPLER, "--config.train.steps=2"
    for command in ("train", "sample"):
        assert run(command, tmp_path, *hybrid) == 0
    assert drawn(tmp_path / "samples", "ancestral_seed0").exists()


def sampled(step: str, grid: str, **more) -> str:
    return f"--config.samplers={ {'e': {'step': step, 'grid': {'name': grid, 't_min': 0.0}, 'n': 4, **more}} }"


AT_ZERO = "the score is infinite at t = 0, where sigma = 0"
SWEEP = "--config.samplers.ancestral={'step': {'name': 'deis', 'reach': 0.4}, 'grid': 'uniform_grid', 'n': 2, 'sweep': %s}"


@one_in(2)
@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["objective=esm"], "objective: 'esm' needs target, which no config can write (did you mean ssm?)"),
        (["objective=uniform"], "objective: 'uniform' is another part of losses (there are bridge, cross_entropy,"),
        (["objective=hybird"], "objective: unknown losses name 'hybird' (did you mean hybrid?)"),
        (["objective=None"], "objective = None: input should be a valid dictionary"),
        (["objective=vlb", UNWEIGHTED], "times: vlb sums over the n times of discrete, and over no other draw; take discrete"),
        (["objective=hybrid", DISCRETE], "weight: hybrid weighs t itself, not by sigma2; take None, or dsm"),
        (["objective=vlb", DISCRETE, UNWEIGHTED, "objective.n=9"], "objective: n is not an option: it comes from times.n"),
        (["objective=hybrid", DISCRETE, UNWEIGHTED, "net={'name': 'user_parts:Net'}"], "user_parts:Net takes no `outputs`"),
        (["net.outputs=2"], "net: outputs is not an option: it comes from objective"),
        (["weight=min_snr", "weight.gamma=three"], "weight: gamma = 'three': input should be a valid number"),
        (["weight=min_snr", "weight.gamma=-3.0"], "weight: gamma = -3.0: input should be greater than 0"),
        (["weight=min_snr", "weight.gama=3"], "weight: unknown option gama (did you mean gamma?)"),
        (["weight.gama=3"], "weight: unknown option gama (sigma2 takes none)"),
        (["weight=edm", "weight.sigma_data=0.5"], "weight: sigma_data is not an option: it comes from sigma_data"),
        (["seed.x=3"], "--config.seed.x=3: config.seed = 0 has no keys below it"),
        (["arms=3"], "arms = 3: input should be a valid dictionary"),
        (["arms={'a': 3}"], "arms.a = 3: input should be a valid dictionary"),
        (["evaluate.draws=2"], "evaluate.draws = 2 would change nothing: floats (data.levels = 0) have no grey levels; take 1"),
        (["times=discrete"], "times: option n is missing"),
        (["times={'name': 'log_normal', 'std': -1}"], "times: std = -1: input should be greater than 0"),
        (["times={'name': 'log_normal', 'mean': 1e3}"], "times: {'mean': 1000.0} leave next to nothing of its density"),
        (["times={'name': 'discrete', 'n': 1}"], "times: n = 1: input should be greater than or equal to 2"),
        (["data.levels=1"], "data.levels = 1: value error, one level says nothing: give 2 to 256, or 0 for floats"),
        (["times.t_min=0.0"], "times: t_min = 0 must be in [0, 1) with sigma(t_min) > 0; without it, it is 1e-05"),
        ([sampled("heun", "uniform_grid")], f"samplers.e: {AT_ZERO}, and heun asks for it; end the grid above"),
        ([sampled("probability_flow", "uniform_grid", n=1)], f"samplers.e: {AT_ZERO}, and probability_flow asks for it"),
        ([sampled("ddim", "uniform_grid", denoise=True)], f"samplers.e: {AT_ZERO}, and denoise asks for it"),
        ([sampled("ddim", "log_snr_grid")], "samplers.e.grid: in 4 steps it goes from t = 0 to 0; times fall from 1"),
        (
            ["samplers={'e': {'step': {'name': 'ddim', 'eta': 2.0}, 'grid': 'uniform_grid', 'n': 2}}"],
            "samplers.e.step: eta = 2.0",
        ),
        ([sampled("langevin", "quadratic_grid")], "langevin leaves x at its t; make it the corrector"),
        ([sampled("ddim_inversion", "quadratic_grid")], "ddim_inversion goes from data to noise"),
        (["samplers.ancestral.corrector=ddim"], "ddim moves x to s, and a corrector leaves it at t; take langevin, or None"),
        ([sampled("inpaint", "uniform_grid")], "samplers.e.step: 'inpaint' needs step and x_0 and observed, which no config"),
        ([SWEEP % "{'order': (1, 2)}"], "sweep: order is a count, and each needs a program: write a sampler for each order"),
        ([SWEEP % "{'reach': (-1.0, 2.0)}"], "samplers.ancestral.sweep: reach = -1.0: input should be greater than 0"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_refused(tmp_path, capsys, overrides, says):
    """One mistake, exit code 2 and at most two lines; the reason and what works; nothing written."""
    given = [o if o.startswith("-") else f"--config.{o}" for o in overrides]
    if any("{'e'" in o for o in given):
        given.append("--config.sample.sampler=e")
    elif not any("samplers" in o or "arms" in o for o in given):
        given.append(ONE_SAMPLER)
    net = [o for o in TINY if ".net." not in o] if any("user_parts" in o for o in given) else TINY
    assert main(["train", f"--config={MOONS}", f"--workdir={tmp_path}", *net, *given]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) <= 2
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["ancestral", "ddim", "deis", "dpmpp_2m", "euler_maruyama", "edm_heun"])
def test_steps_that_need_no_score_at_the_end_go_to_zero(step):
    small_experiment(sampled(step, "uniform_grid"), "--config.sample.sampler=e")
