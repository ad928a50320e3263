"""`samplers.<name>.sde`: a network of VP sampled on other SDEs, with the exact score of a mixture in its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from edited_runs import DATA
from small_experiments import DISCRETE, UNWEIGHTED

from experiments.build.build import build
from experiments.build.sampler import BoundSampler
from experiments.commands.opening import make_plan
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.runtime.errors import ConfigError
from experiments.sampling import editing
from experiments.sampling.draw import drawing
from models import ScoreModel
from samplers import solve

pytestmark = pytest.mark.usefixtures("in_root")

EDM, VE, SUB_VP = {"name": "EDMSDE"}, {"name": "VESDE"}, {"name": "SubVPSDE"}
GRID = {"name": "log_snr_grid", "log_snr_max": 9.0}


def sampler(sde, step="dpmpp_2m", **more):
    """The override by which `one` is the only sampler."""
    return f"--config.samplers={ ({'one': {'step': step, 'sde': sde, 'grid': GRID, 'n': 30} | more}) }"


def made(*overrides):
    tree = read_config("configs/toy2d/moons.py", ["--config.sample.sampler=one", *overrides], {})
    return build(Config.model_validate(tree), (2,))


def exact(*overrides, least=0.0):
    """The experiment with the score of DATA on its own SDE, and nan at times before `least`."""
    experiment = made(*overrides)
    score = DATA.score(experiment.sde)
    known = lambda params, x, t, y=None, key=None: jnp.where(t < least, jnp.nan, score(x, t))
    return experiment._replace(model=ScoreModel(lambda key, x: {}, known, lambda *a, **k: None))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("sde", "step", "more"),
    [
        (EDM, "dpmpp_2m", {}),
        pytest.param(VE, "dpmpp_2m", {}, marks=SLOW),
        pytest.param(SUB_VP, "dpmpp_2m", {"denoise": True}, marks=SLOW),
        pytest.param({"name": "VESDE", "sigma_max": 100.0}, "ancestral", {"n": 400}, marks=SLOW),
        pytest.param(EDM, "reverse_diffusion", {"corrector": "langevin", "n": 200, "denoise": True}, marks=SLOW),
    ],
)
def test_samples_on_another_sde_are_the_data_s(sde, step, more):
    """Their mean, their covariance, and the share of each component, to 4.5 standard errors and 0.01 for the solver."""
    n = 4000
    experiment = exact(sampler(sde, step, **more))
    one = experiment.config.samplers["one"]
    assert type(experiment.sde).__name__ == "VPSDE"
    bound = BoundSampler(experiment, one)
    assert bound.reverse({}).sde == bound.sde != experiment.sde
    drawn = drawing(bound)({}, bound.rows(0, n), one.n)
    assert drawn.finite.all()
    x, mean = drawn.levels, np.asarray(DATA.weights @ DATA.means)
    around = np.asarray(DATA.means - mean)
    covariance = DATA.std**2 * np.eye(2) + around.T @ (np.asarray(DATA.weights)[:, None] * around)
    deviation = np.sqrt(np.diag(covariance).max())
    np.testing.assert_allclose(x.mean(0), mean, atol=4.5 * deviation / np.sqrt(n) + 0.01)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=4.5 * deviation**2 * np.sqrt(2 / n) + 0.01)
    share = (np.linalg.norm(x[:, None] - DATA.means, axis=-1).argmin(1) == 0).mean()
    assert share == pytest.approx(float(DATA.weights[0]), abs=4.5 * np.sqrt(0.25 / n) + 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("sde", [VE, EDM, SUB_VP])
def test_equal_latents_flow_to_equal_points(sde):
    """From the same x/alpha at the same noise, on the other SDE and on the network's own, by the adaptive solver."""
    flow = {"name": "probability_flow", "rtol": 1e-5, "atol": 1e-5}
    experiment = exact(sampler(sde, flow, n=1))
    other = experiment.config.samplers["one"]
    own = other.model_copy(update={"sde": None})
    latents = 40.0 * jax.random.normal(jax.random.key(0), (16, 2))

    def ends(one):
        there = BoundSampler(experiment, one).sde
        grid = jnp.stack([there.time_at(-2 * jnp.log(40.0)), BoundSampler(experiment, one).grid(1)[-1]])
        flow = lambda x: (
            solve(jax.random.key(0), BoundSampler(experiment, one).reverse({}).step, x * there.alpha(grid[0]), grid).x
        )
        return jax.jit(jax.vmap(flow))(latents) / there.alpha(grid[-1])

    got, wanted = ends(other), ends(own)
    np.testing.assert_allclose(got, wanted, atol=2e-3)
    assert wanted.std() > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("t_min", [None, 0.02])
def test_a_round_trip_asks_for_no_less_noise_than_was_trained(t_min):
    """Though the other SDE goes further down, and has its own clock."""
    fine = {"name": "EDMSDE", "sigma_min": 1e-4}
    by = "--config.edit.by=round_trip", "--config.edit.rows=8", f"--config.evaluate.t_min={t_min}"
    trained = 0.99 * (t_min or made(sampler(fine)).sde.t_min)
    experiment = exact(sampler(fine), *by, least=trained)
    test = np.asarray(jax.vmap(DATA.sample)(jax.random.split(jax.random.key(0), 8)))
    result = editing.edit_examples(experiment, {}, editing.configured_edit(experiment, test), Batch(test))
    np.testing.assert_allclose(result.x[:, 0, 2], test, atol=0.02)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            [sampler({"name": "EDMSDE", "sigma_max": 200.0})],
            "samplers.one.sde: EDMSDE begins at sigma/alpha = 200, and the network was trained up to 152",
        ),
        (
            ["--config.sde=VESDE", sampler({"name": "VPSDE"})],
            "trained up to 50 on VESDE: choose options with sigma(1)/alpha(1) <= 50",
        ),
        (
            [sampler(EDM), "--config.times={'name': 'uniform', 't_min': 0.1}"],
            "samplers.one.sde: the grid ends at sigma/alpha = 0.0111, and the network was trained down to",
        ),
        (
            [sampler({"name": "EDMSDE", "sigma_mx": 10.0})],
            "samplers.one.sde: unknown option sigma_mx (did you mean sigma_max?)",
        ),
        (
            [sampler({"name": "EDMSDE", "sigma_max": -1.0})],
            "samplers.one.sde: sigma_max = -1.0: input should be greater than 0",
        ),
        ([sampler({"name": "EDM"})], "samplers.one.sde: unknown sde_lib name 'EDM' (did you mean EDMSDE?)"),
        (
            [sampler(EDM, "ancestral"), "--config.objective=hybrid", DISCRETE, UNWEIGHTED],
            "samplers.one: the learned variance is of the SDE of training: give the step a v, as step.v = 0.0",
        ),
    ],
)
def test_what_does_not_apply_is_refused_with_what_does(overrides, says):
    with pytest.raises(ConfigError) as error:
        judged(*overrides)
    assert says in str(error.value)


def judged(*overrides):
    make_plan(read_config("configs/toy2d/moons.py", ["--config.sample.sampler=one", *overrides], {}), opening=False)
    made(*overrides)


def test_what_a_refusal_says_works():
    """The largest sigma_max that it names, and a v of one's own in the place of the learned."""
    with pytest.raises(ConfigError, match=r"sigma\(1\)/alpha\(1\) <= ([\d.]+)") as error:
        made(sampler({"name": "EDMSDE", "sigma_max": 200.0}))
    most = str(error.value).split("<= ")[1].split(",")[0]
    made(sampler({"name": "EDMSDE", "sigma_max": float(most)}))
    trained = {"name": "log_snr_grid", "log_snr_max": 2.0}  # down to the noise of the first of DISCRETE's ten times
    made(sampler(EDM, {"name": "ancestral", "v": 0.0}, grid=trained), "--config.objective=hybrid", DISCRETE, UNWEIGHTED)
