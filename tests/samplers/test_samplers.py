"""Every sampler on exact scores: moments, orders of convergence, the papers' coefficients, the count of evaluations."""

from functools import cache, partial
from itertools import pairwise

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from oracle import GAUSSIAN, MIXTURE
from sdes import KIN
from slow import one_in, slow_for

from samplers import (
    Step,
    adaptive_sde,
    ancestral,
    annealed_langevin,
    chain,
    ddim,
    ddim_inversion,
    deis,
    dpmpp_2m,
    dpmpp_2s,
    dpmpp_3m,
    edm_heun,
    encode,
    euler_maruyama,
    heun,
    langevin,
    log_snr_grid,
    probability_flow,
    reverse_diffusion,
    sample,
    solve,
    uniform_grid,
    unipc,
)
from samplers.step import stateless
from sde_lib import VESDE, VPSDE, LogisticSDE, TableVPSDE, ddpm_table, fast_random

PREDICTORS = {
    "euler_maruyama": euler_maruyama,
    "reverse_diffusion": reverse_diffusion,
    "ancestral": ancestral,
    "ddim": ddim,
    "ddim 0.5": partial(ddim, eta=0.5),
    "heun": heun,
    "edm_heun": edm_heun,
    "edm_heun churned": partial(edm_heun, churn=0.05),
    "deis": deis,
    "deis 0.2": partial(deis, eta=0.2),
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m 1": partial(dpmpp_2m, eta=1.0),
    "dpmpp_2s": dpmpp_2s,
    "dpmpp_3m": dpmpp_3m,
    "dpmpp_3m 1": partial(dpmpp_3m, eta=1.0),
    "unipc": unipc,
    "predictor_corrector": lambda sde, score: chain(langevin(sde, score), ancestral(sde, score)),
    "annealed_langevin": partial(annealed_langevin, snr=0.3, n_steps=10),
    "probability_flow": probability_flow,
    "adaptive_sde": adaptive_sde,
}
ADAPTIVE = ("probability_flow", "adaptive_sde")


@cache
def drawn_by(name):
    """Draws from the mixture by the sampler, compiled once: of the SDE, chosen at run time, and the grid."""
    step, n = PREDICTORS[name], 400 if name == "adaptive_sde" else 3000

    def one(sde, grid, key):
        prior_key, step_key = jax.random.split(key)
        return sample(step_key, step(sde, MIXTURE.score(sde)), sde.prior_sample(prior_key, (2,)), grid)[0]

    return jax.jit(lambda sde, grid: jax.vmap(partial(one, sde, grid))(jax.random.split(jax.random.key(0), n)))


def features(x):
    """What the mixture is known by, [6, n]: its mean, its covariance, and the share of the mode on the right."""
    a, b = (x - MIXTURE.weights @ MIXTURE.means).T
    return np.stack([a, b, a**2, b**2, a * b, x[:, 0] > 0])


@cache
def truth():
    """The features' expectations, in closed form, and their standard deviations."""
    centred = MIXTURE.means - MIXTURE.weights @ MIXTURE.means
    covariance = (centred.T * MIXTURE.weights) @ centred + MIXTURE.std**2 * jnp.eye(2)
    data = jax.jit(jax.vmap(MIXTURE.sample))(jax.random.split(jax.random.key(1), 10_000))
    return np.array([0, 0, covariance[0, 0], covariance[1, 1], covariance[0, 1], MIXTURE.weights[1]]), features(data).std(1)


@one_in(40)
@slow_for(*KIN, "Straight")
@pytest.mark.parametrize("name", PREDICTORS)
def test_samplers_recover_a_mixture(sde, name):
    """Mean, covariance and weights to 4.5 standard errors, and 0.02 for the sampler's own bias."""
    t_min = max(sde.t_min, 1e-3)
    x = drawn_by(name)(traced(sde), uniform_grid(sde, 1, t_min) if name in ADAPTIVE else log_snr_grid(sde, 100, t_min))
    expected, std = truth()
    np.testing.assert_array_less(np.abs(features(x).mean(1) - expected), 4.5 * std / np.sqrt(len(x)) + 0.02)


def flow(sde, x, t, s):
    """The closed-form probability flow of Gaussian data: (x - alpha m)/std_t is constant."""
    std = lambda t: jnp.sqrt((0.7 * sde.alpha(t)) ** 2 + sde.sigma(t) ** 2)
    return sde.alpha(s) * GAUSSIAN.means[0] + std(s) / std(t) * (x - sde.alpha(t) * GAUSSIAN.means[0])


@jax.jit
def solved(sde, x, grid):
    """By the adaptive solver, and in closed form."""
    end, _ = sample(jax.random.key(0), probability_flow(sde, GAUSSIAN.score(sde), 1e-5, 1e-5), x, grid)
    return end, flow(sde, x, 1.0, grid[-1])


@one_in(3)
def test_probability_flow_reaches_its_tolerance(sde):
    """The adaptive solve is the closed-form flow."""
    x = sde.prior_sample(jax.random.key(1), (2,))
    kinks = isinstance(sde, TableVPSDE)  # where its drift jumps, a solver of order five is one of order one
    np.testing.assert_allclose(*solved(traced(sde), x, uniform_grid(sde, 1, 0.05)), atol=5e-3 if kinks else 2e-3)


@jax.jit
def round_trips(sde, x, grid):
    """How far from x it ends, after the way to noise by ddim or by its inversion and the way back by ddim."""
    score = MIXTURE.score(sde)
    go = lambda step, x, grid: sample(jax.random.key(0), step, x, grid)[0]
    trip = lambda step: lambda x: go(ddim(sde, score), go(step, x, grid[::-1]), grid) - x
    return [jnp.abs(jax.vmap(trip(step))(x)).max() for step in (ddim(sde, score), ddim_inversion(sde, score, 6))]


@one_in(3)
@pytest.mark.parametrize("make", [ddim, deis, dpmpp_2m, dpmpp_3m, lambda sde, score, eta=0.0: edm_heun(sde, score, churn=eta)])
def test_the_flow_draws_no_noise(make):
    """Where eta is the number 0; where it is traced, there are draws, and x is the same."""
    sde, x = VPSDE(), jax.random.normal(jax.random.key(0), (2,))

    def go(**options):
        return sample(jax.random.key(1), make(sde, GAUSSIAN.score(sde), **options), x, uniform_grid(sde, 4, 1e-2))[0]

    drawn = jax.make_jaxpr(lambda eta: go(eta=eta))
    assert "erf_inv" in str(drawn(0.0))
    assert "erf_inv" not in str(jax.make_jaxpr(go)())
    np.testing.assert_allclose(jax.jit(lambda eta: go(eta=eta))(0.0), go(), rtol=1e-5, atol=1e-6)


@one_in(2)
def test_ddim_inversion_is_undone_by_ddim(sde):
    """To float32's rounding; ddim backwards, the usual inversion, is off by ten thousand times more."""
    x = jax.vmap(MIXTURE.sample)(jax.random.split(jax.random.key(3), 20))
    usual, inversion = round_trips(traced(sde), x, log_snr_grid(sde, 100, log_snr_max=5.0))
    assert float(usual) > 1e-2
    assert float(inversion) < 5e-6


@jax.jit
def followed(key, rtol):
    """x at the end of `adaptive_sde`, its NFE, and the x that fine steps reach along the same Brownian motion."""
    sde, end, n = VPSDE(), 0.05, 2048
    prior_key, step_key = jax.random.split(key)
    x, step = sde.prior_sample(prior_key, (2,)), adaptive_sde(sde, GAUSSIAN.score(sde), rtol, 0.15 * rtol)
    got, (nfe, _) = step.update(step_key, x, step.init(x), 1.0, end)

    drift, times = sde.reverse_drift(GAUSSIAN.score(sde)), jnp.linspace(1.0, end, n + 1)
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    brownian = diffrax.VirtualBrownianTree(0.0, 1 - end, 2.0**-16 * (1 - end), shape, step_key)
    w = jax.vmap(lambda t: jnp.asarray(brownian.evaluate(0.0, jnp.clip(1 - t, 0.0, 1 - end))))(times)

    def move(x, at):
        t, s, dw = at
        noise = (sde.diffusion(t) + sde.diffusion(s)) / 2 * dw
        euler = x + (s - t) * drift(x, t) + noise
        return x + (s - t) / 2 * (drift(x, t) + drift(euler, s)) + noise, None

    return got, nfe, jax.lax.scan(move, x, (times[:-1], times[1:], jnp.diff(w, axis=0)))[0]


@pytest.mark.slow
def test_adaptive_sde_meets_its_tolerance():
    """On one Brownian path each, samples come nearer to the fine solution as rtol falls, for more evaluations."""
    keys = jax.random.split(jax.random.key(7), 32)
    errors, nfes = [], []
    for rtol in (0.2, 0.05, 0.0125):
        got, nfe, fine = jax.vmap(followed, (0, None))(keys, rtol)
        errors.append(float(jnp.abs(got - fine).mean()))
        nfes.append(float(nfe.mean()))
    # Measured: 0.033, 0.015, 0.0074 for 58, 152, 417 evaluations.
    assert errors[0] < 0.2
    assert all(after < 0.6 * before for before, after in pairwise(errors)), errors
    assert all(after > 2 * before for before, after in pairwise(nfes)), nfes


@one_in(4)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_deis_of_order_1_is_ddim(sde, eta):
    """Same key, same x_s, at every eta."""
    x, score = jnp.array([0.4, -0.9]), MIXTURE.score(sde)
    first = deis(sde, score, order=1, eta=eta)
    got, _ = first.update(jax.random.key(5), x, first.init(x), 0.6, 0.5)
    np.testing.assert_allclose(got, ddim(sde, score, eta).update(jax.random.key(5), x, (), 0.6, 0.5)[0], rtol=2e-3, atol=1e-4)


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
    step = ancestral(sde, lambda x, t: jnp.asarray(-eps / sde.sigma(t)))
    for i in (1, 2, 50, 100):
        b = beta[i - 1]
        mean = (x - b / np.sqrt(1 - bar[i]) * eps) / np.sqrt(1 - b)
        std = np.sqrt(b * (1 - bar[i - 1]) / (1 - bar[i]))
        key = jax.random.key(i)
        x_s, _ = step.update(key, jnp.array(x, jnp.float32), (), i / n, (i - 1) / n)
        np.testing.assert_allclose(x_s, mean + std * np.asarray(fast_random.normal(key, (2,))), rtol=2e-4, atol=2e-4)


def test_reverse_diffusion_is_the_papers_on_ve_and_vp():
    """Song et al. (2021): x + (s_i^2 - s_{i-1}^2) score + .. (eq. 47), (2 - sqrt(1 - beta)) x + beta score + .. (eq. 49)."""
    x, key = jnp.array([0.4, -0.9]), jax.random.key(2)
    z = fast_random.normal(key, (2,))
    score = lambda x, t: -x
    ve, table, n = VESDE(), ddpm_table(100), 100
    gap = ve.sigma(0.5) ** 2 - ve.sigma(0.4) ** 2
    got = reverse_diffusion(ve, score).update(key, x, (), 0.5, 0.4)[0]
    np.testing.assert_allclose(got, x - gap * x + jnp.sqrt(gap) * z, rtol=1e-4)
    beta = np.linspace(1e-4, 0.02, n)[49]
    got = reverse_diffusion(table, score).update(key, x, (), 50 / n, 49 / n)[0]
    np.testing.assert_allclose(got, (2 - np.sqrt(1 - beta)) * x - beta * x + np.sqrt(beta) * z, rtol=1e-3, atol=1e-4)


def test_annealed_langevin_is_ncsn_s_on_ve():
    """Algorithm 1 with alpha_i = step_lr sigma_i^2/sigma_min^2, written out, at the level it arrives at."""
    sde, snr = VESDE(0.01, 1.0), 0.176
    score, x, key = (lambda x, t: -x / (1 + sde.sigma(t) ** 2)), jnp.array([0.3, 2.0]), jax.random.key(4)
    step_lr = 2 * (snr * 0.01) ** 2
    e = step_lr * sde.sigma(0.5) ** 2 / 0.01**2
    by_hand = x
    for k in jax.random.split(key, 3):
        by_hand = by_hand + e * score(by_hand, 0.5) + jnp.sqrt(2 * e) * fast_random.normal(k, (2,))
    got = annealed_langevin(sde, score, snr, 3).update(key, x, (), 0.6, 0.5)[0]
    np.testing.assert_allclose(got, by_hand, rtol=1e-4)


def counted(sde):
    """An exact score, and the list that grows by one entry for each evaluation at run time."""
    calls, exact = [], GAUSSIAN.score(sde)

    def score(x, t):
        jax.debug.callback(lambda: calls.append(1))
        return exact(x, t)

    return score, calls


@one_in(4)
@pytest.mark.parametrize("name", PREDICTORS)
def test_nfe_is_the_true_number_of_evaluations(name):
    """With the last denoising; and to sigma_s = 0, where the solvers of two evaluations take one."""
    sde = VPSDE()
    score, calls = counted(sde)
    grid = uniform_grid(sde, 2, 1e-3) if name in ADAPTIVE else uniform_grid(sde, 4, 1e-3 if name == "heun" else 0.0)
    # Without loops of their own they run faster uncompiled.
    with jax.disable_jit(name not in (*ADAPTIVE, "annealed_langevin")):
        step, final = PREDICTORS[name](sde, score), partial(sde.denoise, score)
        solution = jax.jit(lambda x: solve(jax.random.key(0), step, x, grid, final))(jnp.ones(2))
    jax.block_until_ready(solution)
    jax.effects_barrier()
    assert int(solution.nfe) == len(calls)


def test_nfe_of_a_likelihood_is_the_true_number():
    sde = VPSDE()
    score, calls = counted(sde)
    encoding = jax.jit(lambda x: encode(sde, score, x, key=jax.random.key(0)))(jnp.ones(2))
    jax.block_until_ready(encoding)
    jax.effects_barrier()
    assert int(encoding.nfe) == len(calls)


@pytest.mark.parametrize(
    "solved",
    [
        lambda sde, score: lambda x: encode(sde, score, x).log_prob,
        *(
            lambda sde, score, make=make: lambda x: sample(jax.random.key(0), make(sde, score), x, uniform_grid(sde, 1))
            for make in (probability_flow, adaptive_sde)
        ),
    ],
    ids=["encode", "probability_flow", "adaptive_sde"],
)
def test_an_adaptive_solver_traces_its_score_once(solved):
    """A solver may ask for the score as often as it likes: JAX traces it once."""
    traces, exact = [], GAUSSIAN.score(VPSDE())

    def score(x, t):
        traces.append(x)
        return exact(x, t)

    jax.jit(solved(VPSDE(), score)).trace(jnp.ones(2))
    assert len(traces) == 1


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
    step, grid = ancestral(sde, MIXTURE.score(sde)), uniform_grid(VPSDE(), 5)
    one = lambda key: sample(key, step, jnp.ones(2), grid)[0]
    keys = jax.random.split(jax.random.key(0), 8)
    whole = jax.vmap(one)(keys)
    np.testing.assert_allclose(jnp.concatenate([jax.vmap(one)(keys[:3]), jax.vmap(one)(keys[3:])]), whole, rtol=1e-5)
    np.testing.assert_allclose(one(keys[5]), whole[5], rtol=1e-5)


def test_chain_runs_in_order_and_adds_up():
    double = stateless(lambda key, x, t, s: 2 * x, nfe=1)
    add = stateless(lambda key, x, t, s: x + 1, nfe=3)
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


@pytest.mark.parametrize("step", [reverse_diffusion, ancestral, ddim, langevin, annealed_langevin])
def test_what_needs_alpha_and_sigma_says_so(step):
    with pytest.raises(TypeError, match=f"{step.__name__} needs alpha.*LogisticSDE is not a LinearSDE; euler|heun"):
        step(LogisticSDE(), lambda x, t: x)


@pytest.mark.parametrize("step", [euler_maruyama, heun, probability_flow])
def test_any_sde_can_be_sampled(step):
    """The flow and the reverse SDE need drift and diffusion alone: solves of the logistic SDE agree between solvers."""
    sde, score = LogisticSDE(), lambda x, t: -x
    n = 1 if step is probability_flow else 2000
    x, _ = jax.jit(lambda x: sample(jax.random.key(0), step(sde, score), x, uniform_grid(sde, n)))(jnp.array([0.5]))
    exact, _ = sample(jax.random.key(0), heun(sde, score), jnp.array([0.5]), uniform_grid(sde, 500))
    if step is not euler_maruyama:
        np.testing.assert_allclose(x, exact, rtol=1e-3)
    assert jnp.isfinite(x).all()


@one_in(3)
@pytest.mark.parametrize("name", ["ddim", "deis", "dpmpp_3m", "unipc", "edm_heun"])
def test_a_corrector_is_heard(name):
    """From a wrong start, x_1 = 3 on N(0, I) data, Langevin steps forget it, whatever the predictor remembers."""
    sde = VPSDE()
    score = lambda x, t: -x
    step = chain(langevin(sde, score, snr=0.3, n_steps=5), PREDICTORS[name](sde, score))
    one = lambda key: sample(key, step, jnp.full(2, 3.0), log_snr_grid(sde, 20, log_snr_max=6.0))[0]
    x = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 2000))
    assert float(jnp.abs(x.mean())) < 0.1
    assert float(x.std()) == pytest.approx(1.0, abs=0.2)  # Langevin steps of this size end at 1.05 to 1.11


def test_the_norms_of_langevin_are_song_s():
    """x + e s + sqrt(2 e) z, e = 2 (snr |z|/|s|)^2, norms of the sample or their means over the batch; alone they agree."""
    sde, score, keys = VESDE(), lambda x, t: jnp.sin(x) + t, jax.random.split(jax.random.key(0), 3)
    x = jnp.array([[0.3, -1.0], [2.0, 0.1], [-0.4, 0.7]])

    def moved(norm, x, keys):
        return jax.vmap(lambda key, x: langevin(sde, score, 0.3, norm=norm).update(key, x, (), 0.5, 0.4)[0], axis_name="batch")(
            keys, x
        )

    z = jax.vmap(lambda key: fast_random.normal(jax.random.split(key, 1)[0], (2,)))(keys)
    s = score(x, 0.5)
    z_norm, s_norm = (np.linalg.norm(a, axis=-1, keepdims=True) for a in (z, s))
    for norm, ratio in (("sample", z_norm / s_norm), ("batch", z_norm.mean() / s_norm.mean())):
        e = 2 * (0.3 * ratio) ** 2
        np.testing.assert_allclose(moved(norm, x, keys), x + e * s + np.sqrt(2 * e) * z, rtol=1e-5)
    np.testing.assert_allclose(moved("batch", x[:1], keys[:1]), moved("sample", x[:1], keys[:1]), rtol=1e-6)


def test_ancestral_clips_the_clean_image(sde):
    """The mean of q(x_s | x_t, x_0) at x_0 cut to [-1, 1]; to s = 0, where there is no noise, x_0 itself."""
    score, x = lambda x, t: 30.0 * x, jnp.array([2.0, -0.01])
    x_0 = sde.denoise(score, x, 0.5)
    t, s = 0.5, 0.2
    cut, free = (ancestral(sde, score, clip=clip).update(jax.random.key(0), x, (), t, s)[0] for clip in (1.0, None))
    means = [sde.posterior(x, clean, t, s)[0] for clean in (jnp.clip(x_0, -1, 1), x_0)]
    np.testing.assert_allclose(free - cut, means[1] - means[0], rtol=1e-3, atol=1e-4)
    assert float(jnp.abs(x_0).max()) > 1
