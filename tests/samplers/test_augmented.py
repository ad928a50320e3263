"""Samplers and likelihood of augmented SDEs: laws, orders in closed form, invariance, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import AUGMENTED_GAUSSIAN, AUGMENTED_MIXTURE, AUGMENTED_NUMBER, MIXTURE
from sdes import AUGMENTED, Integrator, Plain
from slow import slow_for

import samplers
from samplers import (
    adaptive_sde,
    chain,
    encode,
    euler_maruyama,
    heun,
    langevin,
    log_snr_grid,
    probability_flow,
    sample,
    sdedit,
    sscs,
    uniform_grid,
)
from sde_lib import CLD, VPSDE, fast_random

PREDICTORS = {
    "euler_maruyama": (euler_maruyama, 400),
    "sscs": (sscs, 200),
    "heun": (heun, 100),
    "predictor_corrector": (lambda sde, score: chain(langevin(sde, score), euler_maruyama(sde, score)), 200),
    "probability_flow": (probability_flow, 1),
    "adaptive_sde": (adaptive_sde, 1),
}
"""The samplers that serve an augmented SDE, each with a number of steps."""
STEPS = {step.__name__ for step in samplers.STEPS}


@pytest.fixture(params=AUGMENTED, ids=list(AUGMENTED))
def sde(request):
    return AUGMENTED[request.param]


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def features(x):
    """What the mixture is known by, [6, n]: means, second moments, and the share of the mode on the right."""
    a, b = (x - np.asarray(MIXTURE.weights @ MIXTURE.means)).T
    return np.stack([a, b, a**2, b**2, a * b, x[:, 0] > 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", PREDICTORS)
def test_samplers_recover_a_mixture(sde, name):
    """Its data to 4.5 standard errors, and 0.03 for the sampler's own bias; the velocities are those of t_min."""
    step, n = PREDICTORS[name]
    count = 400 if name == "adaptive_sde" else 3000
    grid = uniform_grid(sde, 1, 1e-3) if n == 1 else log_snr_grid(sde, n, 1e-3)

    @jax.jit
    @jax.vmap
    def drawn(key):
        prior_key, step_key = jax.random.split(key)
        step_of = step(sde, AUGMENTED_MIXTURE.score(sde))
        return sample(step_key, step_of, sde.prior_sample(prior_key, (2, sde.k)), grid)[0]

    x = np.asarray(drawn(jax.random.split(jax.random.key(0), count)))
    data = np.asarray(jax.vmap(MIXTURE.sample)(jax.random.split(jax.random.key(1), 10_000)))
    centred = np.asarray(MIXTURE.means - MIXTURE.weights @ MIXTURE.means)
    C = (centred.T * np.asarray(MIXTURE.weights)) @ centred + MIXTURE.std**2 * np.eye(2)
    expected = np.array([0, 0, C[0, 0], C[1, 1], C[0, 1], MIXTURE.weights[1]])
    slack = 4.5 * features(data).std(1) / np.sqrt(count) + 0.03
    np.testing.assert_array_less(np.abs(features(x[..., 0]).mean(1) - expected), slack)
    _, S = AUGMENTED_MIXTURE.moments(sde, 1e-3)
    np.testing.assert_allclose(x[..., 1].std(), np.sqrt(S[1, 1]), rtol=0.1)


def law(step, sde, score, grid, draws=1):
    """Mean [k] and covariance [k, k] of x at the end of the grid, exactly, of one number of Gaussian data.

    x_s is affine in x_1 and in every z, of which a step draws so many, so that the Jacobian tells all.
    """
    solver, now = step(sde, score), []
    n = len(grid) - 1

    def end(x, z):
        def move(x, at):
            t, s, drawn = at
            now[:] = drawn
            return solver.update(jax.random.key(0), x, (), t, s)[0], None

        return jax.lax.scan(move, x, (grid[:-1], grid[1:], z))[0][0]

    @jax.jit
    def moments():
        means, C = AUGMENTED_NUMBER.moments(sde, 1.0)
        z = jnp.zeros((n, draws, 1, sde.k))
        start = means[0, :1]
        of_x, of_z = jax.jacrev(end, (0, 1))(start, z)
        of_x, of_z = of_x[:, 0], of_z.reshape(sde.k, n * draws * sde.k)
        return end(start, z), of_x @ C @ of_x.T + of_z @ of_z.T

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_random, "normal", lambda key, shape, dtype=None: now.pop(0))
        return moments()


def gap(step, sde, grid, draws=1):
    """The error of mean and covariance at the end, over the deviations of each variable."""
    mean, C = law(step, sde, AUGMENTED_NUMBER.score(sde), grid, draws)
    means, exact = AUGMENTED_NUMBER.moments(sde, grid[-1])
    std = jnp.sqrt(jnp.diag(exact))
    return float(jnp.linalg.norm((mean - means[0, 0]) / std) + jnp.linalg.norm((C - exact) / jnp.outer(std, std)))


ORDERS = {"euler_maruyama": (euler_maruyama, 1, 1), "sscs": (sscs, 1, 2), "heun": (heun, 2, 0)}
"""A step, its order, and its draws of noise."""


@slow_for("heun", "sscs")
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ORDERS)
def test_order(sde, name):
    """The error of mean and covariance falls at least as n^-order: of the flow for a step without noise, and weakly else."""
    step, order, draws = ORDERS[name]
    ns = (32, 128)
    errors = [gap(step, sde, jnp.asarray(log_snr_grid(sde, n, 0.05)), draws) for n in ns]
    assert np.log(errors[0] / errors[1]) / np.log(ns[1] / ns[0]) > order - 0.25, errors
    assert errors[1] < 0.15


@pytest.mark.usefixtures("float64")
def test_sscs_is_exact_on_what_the_sde_leaves_as_it_is(sde):
    """On data that have the law of the prior there is no kick, whatever the steps."""
    S = sde.noise_factor(1.0) @ sde.noise_factor(1.0).T
    _, C = law(sscs, sde, lambda x, t: -x @ jnp.linalg.inv(S), jnp.array([1.0, 0.7, 0.2]), 2)
    _, start = AUGMENTED_NUMBER.moments(sde, 1.0)
    np.testing.assert_allclose(C, S, atol=3e-4 + float(jnp.abs(start - S).max()))


@pytest.mark.usefixtures("float64")
def test_sscs_needs_fewer_steps_than_euler(sde):
    """On a grid that is even in the level."""
    grid = jnp.asarray(log_snr_grid(sde, 64, 1e-2))
    assert gap(sscs, sde, grid, 2) < gap(euler_maruyama, sde, grid)


@slow_for("heun")
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["euler_maruyama", "heun"])
def test_a_grid_by_level_is_right_near_the_data(sde, name):
    """As t -> 0 the velocity's variance falls to gamma M, within a time that an even grid steps over."""
    step, _, draws = ORDERS[name]
    by_level, even = (gap(step, sde, jnp.asarray(grid(sde, 100, 1e-4)), draws) for grid in (log_snr_grid, uniform_grid))
    assert by_level < 0.2 * even


@slow_for("0.3")
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("snr", [0.1, 0.3])
def test_langevin_moves_the_velocity_alone(sde, snr):
    """x stays, and v given x has its law with the bias of the step: v's variance given x is c/(1 - e/(2 c)), started there."""
    t, e = 0.3, 2 * (snr * sde.sigma(0.3)[-1]) ** 2
    score, (means, C) = AUGMENTED_NUMBER.score(sde), AUGMENTED_NUMBER.moments(sde, t)
    step = langevin(sde, score, snr)

    def moved(x, z):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast_random, "normal", lambda key, shape: z)
            return step.update(jax.random.key(0), x, (), t, t)[0]

    x, z = jnp.array([[0.4, -0.7]]), jnp.array([[0.3, 1.1]])
    assert float(moved(x, z)[0, 0]) == 0.4
    of_v, of_z = (
        jax.jacfwd(lambda a, f=f: f(a)[0, 1])(0.0)
        for f in (lambda v: moved(x + v * jnp.array([0, 1]), z), lambda n: moved(x, z + n))
    )
    c = C[1, 1] - C[0, 1] ** 2 / C[0, 0]
    stationary = c / (1 - e / (2 * c))
    assert float(of_v**2 * stationary + of_z**2) == pytest.approx(float(stationary), rel=1e-9)
    mean_given_x = means[0, 0, 1] + C[0, 1] / C[0, 0] * (0.4 - means[0, 0, 0])
    there = moved(jnp.array([[0.4, mean_given_x]]), jnp.zeros((1, 2)))
    np.testing.assert_allclose(there[0], [0.4, mean_given_x], rtol=1e-9)


@pytest.mark.parametrize("norm", ["sample", "batch"])
def test_the_norms_of_langevin_are_of_the_velocity(norm):
    """Another score of x, which nobody has learned, changes nothing."""
    sde, x = CLD(), jnp.array([[0.3, -0.4], [1.0, 0.2]])
    scores = [lambda x, t, c=c: jnp.stack([c * x[..., 0], -4 * x[..., 1]], -1) for c in (0.0, 100.0)]
    key = jax.random.key(0)
    moved = [
        jax.vmap(lambda x, s=s: langevin(sde, s, norm=norm).update(key, x, (), 0.4, 0.3)[0], axis_name="batch")(x[None])
        for s in scores
    ]
    np.testing.assert_array_equal(*moved)


@pytest.mark.slow
def test_log_prob_is_the_density(sde):
    """log p_{t_min}(x, v) of the exact score, once the prior's own error at the latent is taken out."""

    @jax.jit
    @jax.vmap
    def gaps(x):
        encoding = encode(sde, AUGMENTED_MIXTURE.score(sde), x, t_min=1e-3, rtol=1e-5, atol=1e-5)
        prior_error = sde.prior_log_prob(encoding.latent) - AUGMENTED_MIXTURE.log_prob(sde, encoding.latent, 1.0)
        return encoding.log_prob - prior_error - AUGMENTED_MIXTURE.log_prob(sde, x, 1e-3), prior_error

    x = jnp.array([[[0.9, 0.1], [-0.1, 0.0]], [[0.0, -0.1], [0.3, 0.05]]])
    error, of_prior = gaps(x)
    np.testing.assert_allclose(error, 0, atol=5e-3)
    np.testing.assert_allclose(of_prior, 0, atol=2e-2)


@pytest.mark.slow
def test_edits_by_the_way_there_serve_it(sde):
    """sdedit and interpolate noise an event by `perturb`, whose auxiliary variables are new."""
    step, grid = heun(sde, AUGMENTED_GAUSSIAN.score(sde)), log_snr_grid(sde, 10, 0.05)
    x = jnp.array([[0.4, 0.1], [-0.9, 0.0]])
    edited = sdedit(jax.random.key(0), step, sde, x, grid[4:]).x
    again = sdedit(jax.random.key(0), step, sde, x.at[:, 1].set(9.0), grid[4:]).x
    np.testing.assert_array_equal(edited, again)
    mixed = samplers.interpolate(jax.random.key(0), step, sde, x, x, 0.3, grid[4:])
    np.testing.assert_allclose(mixed, edited, rtol=1e-5)


def test_the_weight_of_guidance_is_by_its_noise_level(sde):
    """e^(-level/2), as for every SDE."""
    t = sde.time_at(jnp.array(0.0))
    weight = samplers.guidance_interval(sde, 3.0, 0.9, 1.1)
    assert [float(weight(at)) for at in (t, 0.9, 0.01)] == [3.0, 1.0, 1.0]


@pytest.mark.parametrize("name", sorted(STEPS - PREDICTORS.keys() - {"langevin"}))
def test_what_needs_alpha_says_so(name):
    """Each other step, with one that works."""
    with pytest.raises(TypeError, match=rf"^{name} needs alpha.*CLD is not a LinearSDE; (euler_maruyama|heun)"):
        getattr(samplers, name)(CLD(), lambda x, t: x)


@pytest.mark.parametrize("sde", [VPSDE(), Plain(VPSDE()), Integrator()])
def test_sscs_asks_for_the_reverse_of_the_linear_part(sde):
    with pytest.raises(
        TypeError, match=rf"sscs needs reverse_transition.* {type(sde).__name__} has none; euler_maruyama serves any"
    ):
        sscs(sde, lambda x, t: x)


def test_other_refusals_name_what_works():
    sde, score = CLD(), lambda x, t: -x
    step = heun(sde, score)
    refused = {
        "a score under another SDE": lambda: samplers.under(sde, score, VPSDE()),
        "estimates": lambda: samplers.estimates(sde, score, jnp.zeros((1, 2, 2)), jnp.ones(1)),
        "inpaint": lambda: samplers.inpaint(step, sde, jnp.zeros((2, 2)), jnp.array(True)),
        "resample": lambda: samplers.resample(step, sde, 2),
        "dps": lambda: samplers.dps(step, sde, score, lambda x: x, jnp.zeros((2, 2)), 1.0),
        "pi_gdm": lambda: samplers.pi_gdm(sde, score, lambda x: x, jnp.zeros((2, 2)), 0.1, (2, 2)),
    }
    for who, ask in refused.items():
        with pytest.raises(TypeError, match=rf"^{who} needs alpha.*CLD is not a LinearSDE; \w+"):
            ask()
