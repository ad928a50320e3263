"""Every sampler on exact scores: moments, orders of convergence, the papers' coefficients, the count of evaluations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import GAUSSIAN, MIXTURE
from test_sde_lib import Nonlinear

import samplers
from samplers import (
    Step,
    ancestral,
    annealed_langevin,
    chain,
    ddim,
    euler_maruyama,
    heun,
    karras_grid,
    langevin,
    log_snr_grid,
    probability_flow,
    reverse_diffusion,
    sample,
    solve,
    uniform_grid,
)
from sde_lib import VESDE, VPSDE, TableVPSDE, ddpm_table

PREDICTORS = {
    "euler_maruyama": euler_maruyama,
    "reverse_diffusion": reverse_diffusion,
    "ancestral": ancestral,
    "ddim": ddim,
    "heun": heun,
    "probability_flow": probability_flow,
    "predictor_corrector": lambda sde, score: chain(langevin(sde, score), ancestral(sde, score)),
    "annealed_langevin": partial(annealed_langevin, snr=0.16, n_steps=50),
}


def draw(sde, step, grid, n=4000, final=None):
    def one(key):
        prior_key, step_key = jax.random.split(key)
        return sample(step_key, step, sde.prior_sample(prior_key, (2,)), grid, final)[0]

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), n)))


@pytest.mark.parametrize("name", PREDICTORS)
def test_moments_of_gaussian_data(sde, name):
    """Mean and standard deviation of N(m, 0.7^2 I) to four standard errors (0.045) and the sampler's own bias.

    Annealed Langevin needs its 50 steps a level: what has not relaxed when sigma passes 0.7 never does.
    """
    score = GAUSSIAN.score(sde)
    grid = uniform_grid(sde, 1) if name == "probability_flow" else log_snr_grid(sde, 200, max(sde.t_min, 1e-3))
    x = draw(sde, PREDICTORS[name](sde, score), grid)
    # Straight starts its prior from alpha(1) = 0.01 and VE from sigma = 50: both far from the data, as they should be.
    np.testing.assert_allclose(x.mean(0), GAUSSIAN.means[0], atol=0.06)
    np.testing.assert_allclose(x.std(0), 0.7, atol=0.05)


@pytest.mark.parametrize("name", ["ancestral", "probability_flow", "predictor_corrector"])
def test_weights_of_a_mixture(sde, name):
    """The share of samples at each mode is the mode's weight."""
    grid = uniform_grid(sde, 1) if name == "probability_flow" else log_snr_grid(sde, 200, max(sde.t_min, 1e-3))
    x = draw(sde, PREDICTORS[name](sde, MIXTURE.score(sde)), grid)
    assert float((x[:, 0] > 0).mean()) == pytest.approx(0.7, abs=0.035)


def flow(sde, x, t, s):
    """The closed-form probability flow of Gaussian data: (x - alpha m)/std_t is constant."""
    std = lambda t: jnp.sqrt((0.7 * sde.alpha(t)) ** 2 + sde.sigma(t) ** 2)
    return sde.alpha(s) * GAUSSIAN.means[0] + std(s) / std(t) * (x - sde.alpha(t) * GAUSSIAN.means[0])


@pytest.mark.parametrize(("step", "order"), [(ddim, 1), (heun, 2)])
def test_order_of_convergence_along_the_flow(step, order):
    """The error falls as n^-order, in float64, against the closed form."""
    with jax.enable_x64(True):
        sde, x = VPSDE(), jnp.array([0.8, 0.3])
        errors = []
        for n in (20, 40, 80):
            grid = jnp.linspace(1.0, 0.1, n + 1)
            end, _ = jax.jit(lambda x, grid: sample(jax.random.key(0), step(sde, GAUSSIAN.score(sde)), x, grid))(x, grid)
            errors.append(float(jnp.linalg.norm(end - flow(sde, x, 1.0, 0.1))))
    slopes = np.diff(np.log2(errors))
    np.testing.assert_allclose(slopes, -order, atol=0.25)


def test_probability_flow_reaches_its_tolerance(sde):
    """The adaptive solve is the closed-form flow."""
    x = sde.prior_sample(jax.random.key(1), (2,))
    grid = uniform_grid(sde, 1, 0.05)
    end, _ = sample(jax.random.key(0), probability_flow(sde, GAUSSIAN.score(sde), 1e-5, 1e-5), x, grid)
    kinks = isinstance(sde, TableVPSDE)  # where its drift jumps, a solver of order five is one of order one
    np.testing.assert_allclose(end, flow(sde, x, 1.0, 0.05), atol=5e-3 if kinks else 2e-3)


def test_ancestral_is_ddim_at_eta_1(sde):
    """Same key, same x_s."""
    x, args = jnp.array([0.4, -0.9]), (jax.random.key(5), jnp.array([0.4, -0.9]), (), 0.6, 0.5)
    score = MIXTURE.score(sde)
    assert x.shape == (2,)
    np.testing.assert_allclose(
        ancestral(sde, score).update(*args)[0], ddim(sde, score, 1.0).update(*args)[0], rtol=2e-3, atol=1e-4
    )


def test_ancestral_on_the_table_is_ho_s_algorithm_2():
    """mu = 1/sqrt(1 - beta) (x - beta/sqrt(1 - abar) eps), var = beta (1 - abar_prev)/(1 - abar); the last step is the mean."""
    n = 100
    sde, beta = ddpm_table(n), np.linspace(1e-4, 0.02, n)
    bar = np.concatenate([[1.0], np.cumprod(1 - beta)])
    eps, x = np.array([0.3, -0.4]), np.array([0.5, 1.5])
    step = ancestral(sde, lambda x, t: -eps / sde.sigma(t))
    for i in (1, 2, 50, 100):
        b = beta[i - 1]
        mean = (x - b / np.sqrt(1 - bar[i]) * eps) / np.sqrt(1 - b)
        std = np.sqrt(b * (1 - bar[i - 1]) / (1 - bar[i]))
        key = jax.random.key(i)
        x_s, _ = step.update(key, jnp.array(x, jnp.float32), (), i / n, (i - 1) / n)
        np.testing.assert_allclose(x_s, mean + std * np.asarray(jax.random.normal(key, (2,))), rtol=2e-4, atol=2e-4)


def test_reverse_diffusion_is_the_papers_on_ve_and_vp():
    """Song et al. (2021): x + (s_i^2 - s_{i-1}^2) score + .. (eq. 47), (2 - sqrt(1 - beta)) x + beta score + .. (eq. 49)."""
    x, key = jnp.array([0.4, -0.9]), jax.random.key(2)
    z = jax.random.normal(key, (2,))
    score = lambda x, t: -x
    ve, table, n = VESDE(), ddpm_table(100), 100
    gap = ve.sigma(0.5) ** 2 - ve.sigma(0.4) ** 2
    got = reverse_diffusion(ve, score).update(key, x, (), 0.5, 0.4)[0]
    np.testing.assert_allclose(got, x - gap * x + jnp.sqrt(gap) * z, rtol=1e-4)
    beta = np.linspace(1e-4, 0.02, n)[49]
    got = reverse_diffusion(table, score).update(key, x, (), 50 / n, 49 / n)[0]
    np.testing.assert_allclose(got, (2 - np.sqrt(1 - beta)) * x - beta * x + np.sqrt(beta) * z, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("snr", [0.16, 0.5])
def test_langevin_leaves_its_stationary_law(snr):
    """x <- (1 - e/v) x + sqrt(2 e) z has variance v/(1 - e/(2 v)); started there it stays there."""
    sde, t = VPSDE(), 0.5
    v = float((0.7 * sde.alpha(t)) ** 2 + sde.sigma(t) ** 2)
    e = 2 * (snr * float(sde.sigma(t))) ** 2
    stationary = v / (1 - e / (2 * v))
    step = langevin(sde, lambda x, t: -x / v, snr=snr, n_steps=20)
    x = jnp.sqrt(stationary) * jax.random.normal(jax.random.key(0), (20_000,))
    after = jax.jit(lambda x: step.update(jax.random.key(1), x, (), t, 0.4)[0])(x)
    assert float(after.var()) == pytest.approx(stationary, rel=0.04)


def test_annealed_langevin_is_ncsn_s_on_ve():
    """Algorithm 1 with alpha_i = step_lr sigma_i^2/sigma_min^2, written out, at the level it arrives at."""
    sde, snr = VESDE(0.01, 1.0), 0.176
    score, x, key = (lambda x, t: -x / (1 + sde.sigma(t) ** 2)), jnp.array([0.3, 2.0]), jax.random.key(4)
    step_lr = 2 * (snr * 0.01) ** 2
    e = step_lr * sde.sigma(0.5) ** 2 / 0.01**2
    by_hand = x
    for k in jax.random.split(key, 3):
        by_hand = by_hand + e * score(by_hand, 0.5) + jnp.sqrt(2 * e) * jax.random.normal(k, (2,))
    got = annealed_langevin(sde, score, snr, 3).update(key, x, (), 0.6, 0.5)[0]
    np.testing.assert_allclose(got, by_hand, rtol=1e-4)


def counted(sde):
    """An exact score, and the list that grows by one entry for each evaluation at run time."""
    calls, exact = [], GAUSSIAN.score(sde)

    def score(x, t):
        jax.debug.callback(lambda: calls.append(1))
        return exact(x, t)

    return score, calls


@pytest.mark.parametrize("name", PREDICTORS)
def test_nfe_is_the_true_number_of_evaluations(name):
    sde = VPSDE()
    score, calls = counted(sde)
    grid = uniform_grid(sde, 2 if name == "probability_flow" else 7, 1e-3)
    final = partial(sde.denoise, score)
    solution = jax.jit(lambda x: solve(jax.random.key(0), PREDICTORS[name](sde, score), x, grid, final))(jnp.ones(2))
    jax.block_until_ready(solution)
    jax.effects_barrier()
    assert int(solution.nfe) == len(calls)


def test_nfe_of_a_likelihood_is_the_true_number():
    sde = VPSDE()
    score, calls = counted(sde)
    encoding = jax.jit(lambda x: samplers.encode(sde, score, x, key=jax.random.key(0)))(jnp.ones(2))
    jax.block_until_ready(encoding)
    jax.effects_barrier()
    assert int(encoding.nfe) == len(calls)


def test_a_padded_grid_is_the_grid():
    """Moves of length zero change nothing, neither x nor the count."""
    sde = VPSDE()
    step, x = annealed_langevin(sde, GAUSSIAN.score(sde)), jnp.ones(2)
    grid = uniform_grid(sde, 5)
    padded = jnp.pad(grid, (0, 3), mode="edge")
    plain, long = (
        solve(jax.random.key(0), Step(step.init, lambda k, *a: step.update(jax.random.key(9), *a), 1), x, g)
        for g in (grid, padded)
    )
    np.testing.assert_array_equal(plain.x, long.x)
    assert int(plain.nfe) == int(long.nfe) == 5


def test_final_is_tweedie():
    """E[x_0 | x_t] of a Gaussian, in closed form, after the last step."""
    sde, grid = VPSDE(), uniform_grid(VPSDE(), 4, 0.3)
    score = GAUSSIAN.score(sde)
    plain = solve(jax.random.key(0), ddim(sde, score), jnp.ones(2), grid)
    denoised = solve(jax.random.key(0), ddim(sde, score), jnp.ones(2), grid, partial(sde.denoise, score))
    a, s, m = sde.alpha(0.3), sde.sigma(0.3), GAUSSIAN.means[0]
    gain = a * 0.49 / (a**2 * 0.49 + s**2)
    np.testing.assert_allclose(denoised.x, m + gain * (plain.x - a * m), rtol=1e-4)
    assert int(denoised.nfe) == int(plain.nfe) + 1
    np.testing.assert_array_equal(plain.path[-1], plain.x)


def test_same_key_same_sample_whatever_the_batch():
    """One by one, in halves, all at once."""
    sde = VPSDE()
    step, grid = ancestral(sde, MIXTURE.score(sde)), uniform_grid(VPSDE(), 20)
    one = lambda key: sample(key, step, jnp.ones(2), grid)[0]
    keys = jax.random.split(jax.random.key(0), 8)
    whole = jax.vmap(one)(keys)
    np.testing.assert_allclose(jnp.concatenate([jax.vmap(one)(keys[:3]), jax.vmap(one)(keys[3:])]), whole, rtol=1e-5)
    np.testing.assert_allclose(one(keys[5]), whole[5], rtol=1e-5)


def test_chain_runs_in_order_and_adds_up():
    double = samplers.step.stateless(lambda key, x, t, s: 2 * x, nfe=1)
    add = samplers.step.stateless(lambda key, x, t, s: x + 1, nfe=3)
    both = chain(double, add)
    x, _ = both.update(jax.random.key(0), jnp.array(5.0), both.init(jnp.array(5.0)), 1.0, 0.5)
    assert float(x) == 11
    assert both.nfe == 4


def test_a_nan_score_ends_in_nan_and_in_time():
    """Adaptive or not, what is not finite comes out as not finite; nothing loops."""
    sde = VPSDE()
    broken = lambda x, t: jnp.full_like(x, jnp.nan)
    for step in (ancestral(sde, broken), heun(sde, broken), probability_flow(sde, broken)):
        x, _ = sample(jax.random.key(0), step, jnp.ones(2), uniform_grid(sde, 2))
        assert jnp.isnan(x).all()


@pytest.mark.parametrize("grid", [uniform_grid, log_snr_grid, karras_grid])
def test_grids_decrease_from_1_to_their_end(sde, grid):
    for t_min in (None, 0.01):
        times = np.asarray(grid(sde, 12, t_min))
        assert times.shape == (13,)
        assert times[0] == 1
        assert times[-1] == pytest.approx(sde.t_min if t_min is None else t_min)
        assert (np.diff(times) < 0).all()


def test_log_snr_grid_is_even_in_log_snr(sde):
    log_snr = jax.vmap(sde.log_snr)(log_snr_grid(sde, 10, 0.05))
    np.testing.assert_allclose(np.diff(log_snr), float(log_snr[-1] - log_snr[0]) / 10, rtol=2e-2)


@pytest.mark.parametrize("grid", [log_snr_grid, karras_grid])
def test_grids_end_at_the_same_noise_on_every_sde(sde, grid):
    assert float(sde.log_snr(grid(sde, 10, log_snr_max=4.0)[-1])) == pytest.approx(4.0, abs=1e-2)


def test_karras_grid_is_edm_s():
    """18 levels from 80 to 0.002 at rho = 7, as EDM's code gives them in float64."""
    sde = VESDE(0.002, 80.0)
    sigma = np.asarray(jax.vmap(sde.sigma)(karras_grid(sde, 17)))
    np.testing.assert_allclose(sigma[[0, 1, 2, 15, 16, 17]], [80, 57.586, 40.786, 0.022935, 0.0075280, 0.002], rtol=1e-3)


@pytest.mark.parametrize("step", [reverse_diffusion, ancestral, ddim, langevin, annealed_langevin])
def test_what_needs_alpha_and_sigma_says_so(step):
    with pytest.raises(TypeError, match=f"{step.__name__} needs alpha.*Nonlinear is not a LinearSDE; euler|heun"):
        step(Nonlinear(), lambda x, t: x)


@pytest.mark.parametrize("step", [euler_maruyama, heun, probability_flow])
def test_any_sde_can_be_sampled(step):
    """The flow and the reverse SDE need drift and diffusion alone: the cubic SDE's solve agrees between solvers."""
    sde, score = Nonlinear(), lambda x, t: -x
    n = 1 if step is probability_flow else 2000
    x, _ = jax.jit(lambda x: sample(jax.random.key(0), step(sde, score), x, uniform_grid(sde, n)))(jnp.array([0.5]))
    exact, _ = sample(jax.random.key(0), heun(sde, score), jnp.array([0.5]), uniform_grid(sde, 500))
    if step is not euler_maruyama:
        np.testing.assert_allclose(x, exact, rtol=1e-3)
    assert jnp.isfinite(x).all()
