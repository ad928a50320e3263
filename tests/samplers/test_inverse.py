"""Posterior sampling against the exact posterior of Gaussian data."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from oracle import Normal
from sdes import ISOTROPIC as SDES
from sdes import KIN
from slow import one_in, slow_for

from samplers import (
    Step,
    ancestral,
    dpmpp_2m,
    dps,
    grey,
    log_snr_grid,
    pi_gdm,
    probability_flow,
    resample,
    solve,
)
from sde_lib import VPSDE, LogisticSDE

MEAN = jnp.array([0.5, -0.3, 1.0])
STD = 0.7
ISOTROPIC = Normal(MEAN, STD**2 * jnp.eye(3))
CORRELATED = Normal(MEAN, jnp.array([[1.0, 0.6, 0.0], [0.6, 0.5, 0.2], [0.0, 0.2, 0.3]]))
MEASUREMENTS = {
    "general": (jnp.array([[1.0, 2.0, -0.5], [0.3, -0.4, 1.5]]), 0.2),
    "more numbers than the event": (jnp.array([[1.0, 2.0, 0.0], [0.3, -0.4, 1.5], [0.0, 1.0, 1.0], [0.5, 0.0, -0.2]]), 0.5),
    "multiple of a projection": (0.5 * jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), 0.2),
    "without noise, of rank 2": (jnp.array([[1.0, 2.0, -0.5], [0.25, -0.5, 1.5], [1.25, 1.5, 1.0]]), 0.0),
    "nothing": (jnp.zeros((2, 3)), 0.2),
}


@pytest.fixture
def sde(isotropic_sde):
    return isotropic_sde


def measured(A):
    """A y that is not quite in the range of A."""
    return A @ jnp.array([1.2, 0.4, -0.6]) + jnp.linspace(0.1, 0.2, len(A))


@one_in(3)
@slow_for("general", "multiple of a projection")
@pytest.mark.parametrize(("name", "constant"), [*((name, True) for name in MEASUREMENTS), ("multiple of a projection", False)])
def test_pi_gdm_is_the_posterior_score_of_isotropic_data(name, constant):
    """At every (x, t) of every SDE, in float64, whether A is known to the program or an argument of it."""
    with jax.enable_x64(True):
        A, std = jnp.asarray(MEASUREMENTS[name][0], float), MEASUREMENTS[name][1]
        y, data = measured(A), Normal(jnp.asarray(MEAN, float), STD**2 * jnp.eye(3))

        @jax.jit
        def scores(sde, B, x, t):
            measure = (lambda x: A @ x) if constant else (lambda x: B @ x)
            got = pi_gdm(sde, data.score(sde), measure, y, std, (3,), STD)(x, t)
            return got, data.given(A, y, std).score(sde)(x, t), data.score(sde)(x, t)

        for sde in SDES.values():
            for x, t in (([0.3, -0.2, 0.9], 0.1), ([-1.1, 0.6, 0.1], 0.5), ([2.0, 1.0, 0.0], 0.9)):
                got, exact, unconditional = scores(traced(sde), A, jnp.array(x), t)
                scale = float(jnp.abs(exact).max())
                np.testing.assert_allclose(got, exact, atol=1e-6 * scale, err_msg=f"{sde} {t}")
                assert (float(jnp.abs(exact - unconditional).max()) > 1e-5 * scale) == (name != "nothing")


A, NOISE = MEASUREMENTS["general"]
Y = measured(A)
N = 4000


ONE, SEEN, OFTEN = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), jnp.array([1.6, 0.0]), 0.3
"""Of three values the first is measured, with noise."""
ZETA = 0.1


@jax.jit
def draws(sde, mean, covariance, A, y, std, grid):
    """N draws of Pi-GDM at the mean variance of the data, by `dpmpp_2m`, and of DPS, by `ancestral`."""
    score, measure = Normal(mean, covariance).score(sde), lambda x: A @ x
    guided = pi_gdm(sde, score, measure, y, std, (3,), jnp.sqrt(jnp.trace(covariance) / 3))

    def one(key):
        prior_key, step_key = jax.random.split(key)
        x = sde.prior_sample(prior_key, (3,))
        steps = dpmpp_2m(sde, guided), dps(ancestral(sde, score), sde, score, measure, y, ZETA)
        return tuple(solve(step_key, step, x, grid).x for step in steps)

    return jax.vmap(one)(jax.random.split(jax.random.key(0), N))


def grid(sde):
    return log_snr_grid(sde, 60, max(sde.t_min, 1e-3))


@pytest.mark.slow
@slow_for(*KIN, "Straight")
def test_pi_gdm_samples_are_the_posterior_s_of_isotropic_data(sde):
    """Mean and covariance to 4.5 standard errors, and 0.01 for the solver and for what of the data is left at t = 1."""
    x = np.asarray(draws(traced(sde), ISOTROPIC.mean, ISOTROPIC.covariance, A, Y, NOISE, grid(sde))[0])
    exact = ISOTROPIC.given(A, Y, NOISE)
    variance = jnp.diag(exact.covariance)
    np.testing.assert_allclose(x.mean(0), exact.mean, atol=4.5 * np.sqrt(variance.max() / N) + 0.01)
    np.testing.assert_allclose(np.cov(x.T), exact.covariance, atol=4.5 * variance.max() * np.sqrt(2 / N) + 0.001)


@pytest.mark.slow
def test_posterior_of_correlated_data(sde):
    """Errors of the mean, in deviations of the posterior, and of the covariance over its size; DPS is at a zeta that suits."""
    exact = CORRELATED.given(ONE, SEEN, OFTEN)

    def errors(mean, covariance):
        of_mean = jnp.linalg.norm(mean - exact.mean) / jnp.sqrt(jnp.trace(exact.covariance))
        return float(of_mean), float(jnp.linalg.norm(covariance - exact.covariance) / jnp.linalg.norm(exact.covariance))

    sets = draws(traced(sde), CORRELATED.mean, CORRELATED.covariance, ONE, SEEN, OFTEN, grid(sde))
    by_pi_gdm, by_dps = (errors(x.mean(0), jnp.cov(x.T)) for x in sets)
    assert by_pi_gdm[0] < 0.2
    assert by_pi_gdm[1] < 0.1
    assert max(by_dps) < 0.35
    assert min(errors(CORRELATED.mean, CORRELATED.covariance)) > 1.5


@jax.jit
def dps_update(sde, key, x, t, s, y):
    """What `dps` moves x_s by, and what the paper does, at x_0_hat = m + alpha C (alpha^2 C + sigma^2 I)^-1 (x - alpha m)."""
    step = ancestral(sde, CORRELATED.score(sde))
    moved = dps(step, sde, CORRELATED.score(sde), lambda x: A @ x, y, ZETA).update(key, x, (), t, s)[0]
    alpha = sde.alpha(t)
    gain = alpha * CORRELATED.covariance @ jnp.linalg.inv(alpha**2 * CORRELATED.covariance + sde.sigma(t) ** 2 * jnp.eye(3))
    r = y - A @ (CORRELATED.mean + gain @ (x - alpha * CORRELATED.mean))
    return moved - step.update(key, x, (), t, s)[0], -ZETA / jnp.linalg.norm(r) * -2 * gain.T @ A.T @ r


@one_in(3)
def test_dps_descends_the_residual(sde):
    """By zeta/|r| times the gradient of |r|^2 at x_t, from the same x_s."""
    for t, s in ((0.8, 0.6), (0.3, 0.28)):
        moved, by_hand = dps_update(traced(sde), jax.random.key(0), jnp.array([0.4, -1.0, 0.7]), t, s, Y)
        np.testing.assert_allclose(moved, by_hand, atol=2e-3 * float(jnp.abs(by_hand).max()) + 1e-6)


def test_dps_rests_where_nothing_is_left():
    """At r = 0, whose norm has no derivative, it moves as the step does."""
    sde, x, key = VPSDE(), jnp.array([0.4, -1.0, 0.7]), jax.random.key(0)
    step = ancestral(sde, CORRELATED.score(sde))
    moved = dps(step, sde, CORRELATED.score(sde), lambda x: 0 * x[:2], jnp.zeros(2), 1.0).update(key, x, (), 0.5, 0.4)[0]
    np.testing.assert_array_equal(moved, step.update(key, x, (), 0.5, 0.4)[0])


@one_in(3)
@pytest.mark.parametrize("name", ["ancestral", "probability_flow", "resampled"])
def test_dps_counts_every_evaluation(name):
    """NFE is the number of calls at run time, of a step that knows its own, of one that counts, and inside of one that does."""
    sde, calls = VPSDE(), []
    exact = CORRELATED.score(sde)

    def counting(x, t):
        jax.debug.callback(lambda: calls.append(1))
        return exact(x, t)

    around = lambda step: dps(step, sde, counting, lambda x: A @ x, Y, ZETA)
    step = {
        "ancestral": lambda: around(ancestral(sde, counting)),
        "probability_flow": lambda: around(probability_flow(sde, counting, rtol=1e-2, atol=1e-2)),
        "resampled": lambda: resample(around(ancestral(sde, counting)), sde, 3),
    }[name]()
    solution = jax.block_until_ready(solve(jax.random.key(0), step, jnp.ones(3), log_snr_grid(sde, 2, 1e-3)))
    jax.effects_barrier()
    assert int(solution.nfe) == len(calls)


def test_dps_says_that_the_solver_inside_gave_up():
    """Its memory is that of the step."""
    sde = VPSDE()
    quitter = Step(lambda x: jnp.array(False), lambda key, x, memory, t, s: (x, ~memory), 1, gave_up=lambda memory: memory)
    for n in (1, 2):
        step = dps(quitter, sde, CORRELATED.score(sde), lambda x: A @ x, Y, ZETA)
        assert bool(solve(jax.random.key(0), step, jnp.ones(3), log_snr_grid(sde, n, 1e-3)).gave_up) == (n == 1)


@pytest.mark.parametrize(
    ("measure", "of", "c"),
    [
        (lambda x: x[100:], (156, 256, 3), 1.0),
        (grey, (256, 256, 3), 1.0),
        (lambda x: 2 * x.reshape(64, 4, 64, 4, 3).mean((1, 3)), (64, 64, 3), 4 / 16),
    ],
    ids=["seen part", "grey", "coarse"],
)
def test_what_is_done_to_images_needs_no_matrix(measure, of, c):
    """Of 256 x 256 x 3 it would be of up to 155 GB. With a score of -x, the posterior's at r_t^2 is in closed form."""
    sde, shape, std = VPSDE(), (256, 256, 3), 0.1
    x, y = jax.random.normal(jax.random.key(0), shape), jax.random.normal(jax.random.key(1), of)
    score = lambda x, t: -x
    got = jax.jit(lambda x, y: pi_gdm(sde, score, measure, y, std, shape)(x, 0.3))(x, y)
    alpha, sigma = sde.alpha(0.3), sde.sigma(0.3)
    shrink = (1 - sigma**2) / alpha
    (back,) = jax.vjp(measure, x)[1](y - measure(shrink * x))
    np.testing.assert_allclose(got, -x + shrink * back / (sigma**2 / (alpha**2 + sigma**2) * c + std**2), atol=1e-3)


@pytest.mark.parametrize("part", [pi_gdm, dps])
def test_what_needs_alpha_and_sigma_says_so(part):
    sde, score, step = LogisticSDE(), lambda x, t: x, ancestral(VPSDE(), lambda x, t: x)
    arguments = {"sde": sde, "score": score, "A": lambda x: x, "y": jnp.zeros(3)}
    rest = {"std": 0.1, "shape": (3,)} if part is pi_gdm else {"step": step, "zeta": 1.0}
    with pytest.raises(TypeError, match=r"(pi_gdm|dps) needs alpha.*LogisticSDE is not a LinearSDE"):
        part(**arguments, **rest)


def test_another_measurement_is_refused():
    """By its shape, though it would broadcast; and for Pi-GDM where it is not linear."""
    sde, score, x = VPSDE(), lambda x, t: -x, jnp.ones((4, 4))
    says = re.escape("y is of shape (4,), and A makes (4, 4) of an event (4, 4)")
    with pytest.raises(ValueError, match=says):
        pi_gdm(sde, score, lambda x: x, jnp.zeros(4), 0.1, (4, 4))
    with pytest.raises(ValueError, match=says):
        dps(ancestral(sde, score), sde, score, lambda x: x, jnp.zeros(4), 1.0).update(jax.random.key(0), x, (), 0.5, 0.4)
    for measure in (lambda x: x + 1, lambda x: x**2, jax.nn.relu):
        with pytest.raises(ValueError, match=r"needs a linear A.*dps takes any A"):
            pi_gdm(sde, score, measure, x, 0.1, (4, 4))
