"""Inpainting and its like of Gaussians and mixtures, whose conditional laws are known, with their exact scores."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from oracle import Mixture, Normal
from sdes import KIN
from slow import one_in, slow_for

from samplers import (
    Step,
    ancestral,
    chain,
    classifier,
    coarse,
    dpmpp_2m,
    dpmpp_2s,
    grey,
    inpaint,
    langevin,
    log_snr_grid,
    resample,
    solve,
    unipc,
)
from samplers.step import stateless
from sde_lib import VESDE, VPSDE, LogisticSDE, fast_random

MEAN = jnp.array([0.5, -0.3, 1.0])
COVARIANCE = jnp.array([[1.0, 0.6, 0.0], [0.6, 0.5, 0.0], [0.0, 0.0, 0.3]])
KNOWN, MASK = jnp.array([2.0, jnp.nan, jnp.nan]), jnp.array([True, False, False])
"""Of three values the first is known; the second is correlated with it and the third is not."""
CONDITIONAL = MEAN[1] + COVARIANCE[1, 0] / COVARIANCE[0, 0] * (KNOWN[0] - MEAN[0])


score = Normal(MEAN, COVARIANCE).score


@jax.jit
def inpainted(sde, grid):
    """8000 draws of x around the known value."""
    step = inpaint(dpmpp_2m(sde, score(sde)), sde, KNOWN, MASK)

    def one(key):
        prior_key, step_key = jax.random.split(key)
        return solve(step_key, step, sde.prior_sample(prior_key, (3,)), grid).x

    return jax.vmap(one)(jax.random.split(jax.random.key(0), 8000))


@slow_for(*KIN, "Straight")
def test_known_is_reached_and_what_is_independent_keeps_its_law(isotropic_sde):
    """The known value to sigma(t_end) around alpha(t_end) known; the third one's mean and variance to 4.5 standard errors."""
    sde = isotropic_sde
    grid = log_snr_grid(sde, 60, max(sde.t_min, 1e-3))
    x = np.asarray(inpainted(traced(sde), grid))
    z = (x[:, 0] - float(sde.alpha(grid[-1]) * KNOWN[0])) / float(sde.sigma(grid[-1]))
    assert abs(z.mean()) < 4.5 / np.sqrt(len(x)) + 0.01
    assert z.std() == pytest.approx(1.0, abs=0.05)
    variance = float(COVARIANCE[2, 2])
    assert x[:, 2].mean() == pytest.approx(float(MEAN[2]), abs=4.5 * np.sqrt(variance / len(x)) + 0.01)
    assert x[:, 2].var() == pytest.approx(variance, abs=4.5 * variance * np.sqrt(2 / len(x)) + 0.01)


def test_known_is_exact_without_noise():
    """At sigma_s = 0, whatever surrounds it; the unknown is what the step made of it, nan in `known` or not."""
    sde, key, x = VPSDE(), jax.random.key(3), jnp.array([0.2, -0.7, 1.4])
    step = ancestral(sde, score(sde))
    got, _ = inpaint(step, sde, KNOWN, MASK).update(key, x, (), 0.3, 0.0)
    assert float(got[0]) == float(KNOWN[0])
    np.testing.assert_array_equal(got[1:], step.update(jax.random.split(key)[0], x, (), 0.3, 0.0)[0][1:])


def test_a_mask_broadcasts_over_channels():
    """[2, 1] over [2, 3]: the first row is known."""
    sde, known = VPSDE(), jnp.arange(6.0).reshape(2, 3)
    step = inpaint(ancestral(sde, lambda x, t: -x), sde, known, jnp.array([[True], [False]]))
    got, _ = step.update(jax.random.key(0), jnp.ones((2, 3)), (), 0.3, 0.0)
    np.testing.assert_array_equal(got[0], known[0])
    assert not np.isclose(got[1], known[1]).any()


@pytest.fixture
def noiseless(monkeypatch):
    """Every z is 0: as all here is affine in x and z, a path is the mean of all paths."""
    monkeypatch.setattr(fast_random, "normal", lambda key, shape=(), dtype=float: jnp.zeros(shape, dtype))


def test_resampling_closes_the_gap_to_the_conditional_mean(noiseless):
    """E[x_2 | x_1] without sampling error: replacing alone is a quarter off, and twice the `repeats` halve what is left."""
    sde = VPSDE()
    grid = log_snr_grid(sde, 50, 1e-3)

    def gap(repeats):
        step = resample(inpaint(ancestral(sde, score(sde)), sde, KNOWN, MASK), sde, repeats)
        end = jax.jit(lambda x: solve(jax.random.key(0), step, x, grid).x)(jnp.zeros(3))
        return abs(float(end[1] - CONDITIONAL)) / abs(float(MEAN[1] - CONDITIONAL))

    gaps = [gap(repeats) for repeats in (1, 2, 4, 8, 16)]
    assert gaps[0] > 0.2, gaps
    assert all(after < 0.6 * before for before, after in pairwise(gaps)), gaps


def test_guidance_by_the_measurement_needs_no_resampling(noiseless):
    """With log p(known | x_t) in closed form, the classifier's score is the conditional one, and its mean is exact."""
    sde = VPSDE()
    grid = log_snr_grid(sde, 100, 1e-3)

    def log_prob_known(x, t):
        of_x = sde.alpha(t) ** 2 * COVARIANCE + sde.sigma(t) ** 2 * jnp.eye(3)
        gain = jnp.linalg.solve(of_x, sde.alpha(t) * COVARIANCE[0])
        variance = COVARIANCE[0, 0] - sde.alpha(t) * gain @ COVARIANCE[0]
        return -((KNOWN[0] - MEAN[0] - gain @ (x - sde.alpha(t) * MEAN)) ** 2) / (2 * variance)

    step = ancestral(sde, classifier(score(sde), log_prob_known))
    end = jax.jit(lambda x: solve(jax.random.key(0), step, x, grid).x)(jnp.zeros(3))
    np.testing.assert_allclose(end, jnp.array([KNOWN[0], CONDITIONAL, MEAN[2]]), atol=0.02)


@slow_for("coarse")
@pytest.mark.parametrize(("P", "shape"), [(grey, (1, 2, 3)), (coarse(2), (2, 4, 1))], ids=["grey", "coarse"])
def test_a_projection_is_a_mask_in_its_own_basis(noiseless, P, shape):
    """With P = Q diag(0, .., 1) Q^T: the path of x around P known is Q times that of u = Q^T x around a mask of u."""
    sde, size = VPSDE(), int(np.prod(shape))
    seen, Q = jnp.linalg.eigh(jax.vmap(lambda x: P(x.reshape(shape)).ravel())(jnp.eye(size)))
    root = jax.random.normal(jax.random.key(0), (size, size)) / np.sqrt(size)
    mean, known, x = jax.random.normal(jax.random.key(1), (3, size))
    of_x = Normal(mean, root @ root.T).score(sde)
    by_projection = resample(
        inpaint(ancestral(sde, lambda x, t: of_x(x.ravel(), t).reshape(shape)), sde, known.reshape(shape), P), sde, 2
    )
    by_mask = resample(inpaint(ancestral(sde, lambda u, t: Q.T @ of_x(Q @ u, t)), sde, Q.T @ known, seen > 0.5), sde, 2)
    end = lambda step, x: jax.jit(lambda x: solve(jax.random.key(0), step, x, log_snr_grid(sde, 10, 1e-3)).x)(x)
    got, expected = end(by_projection, x.reshape(shape)).ravel(), Q @ end(by_mask, Q.T @ x)
    np.testing.assert_allclose(got, expected, atol=2e-5)
    assert 0 < int((seen > 0.5).sum()) < size
    assert float(jnp.abs(expected - known).max()) > 0.1


MIXED = Mixture(
    jnp.array([[1.0, 0.0, -0.4, 0.2], [-0.6, 0.3, 1.2, -0.5], [-0.5, -0.5, -0.8, -0.6]]), 0.3, jnp.array([0.3, 0.3, 0.4])
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sde", "P", "shape"), [(VPSDE(), grey, (1, 1, 4)), (VESDE(), coarse(2), (2, 2, 1))], ids=["grey", "coarse"]
)
def test_what_a_projection_leaves_out_has_its_conditional_law(sde, P, shape):
    """Mean and covariance of a mixture given P x, of which P x chooses the components and fixes its own part.

    p(k | P x) ~ w_k e^(-|P (x - m_k)|^2/(2 std^2)), and what is left is N((I - P) m_k, std^2 (I - P)). Replacing alone is at
    0.1 of the covariance.
    """
    flat, known = lambda x: P(x.reshape(shape)).ravel(), jnp.full(4, 0.2)
    gaps = jax.vmap(flat)(known - MIXED.means)
    share = jax.nn.softmax(jnp.log(MIXED.weights) - (gaps**2).sum(1) / (2 * MIXED.std**2))
    centres = MIXED.means + gaps
    mean = share @ centres
    left = jnp.eye(4) - jax.vmap(flat)(jnp.eye(4))
    covariance = jnp.einsum("k,ki,kj->ij", share, centres - mean, centres - mean) + MIXED.std**2 * left
    exact, grid = MIXED.score(sde), log_snr_grid(sde, 40, max(sde.t_min, 1e-3))

    def errors(repeats):
        step = ancestral(sde, lambda x, t: exact(x.ravel(), t).reshape(shape))
        step = resample(inpaint(step, sde, known.reshape(shape), P), sde, repeats)

        def one(key):
            prior_key, step_key = jax.random.split(key)
            return solve(step_key, step, sde.prior_sample(prior_key, shape), grid).x.ravel()

        x = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 3000)))
        return np.abs(x.mean(0) - mean).max(), np.abs(np.cov(x.T) - covariance).max()

    of_mean, of_covariance = errors(8)
    assert of_mean < 0.05
    assert of_covariance < 0.03
    assert errors(1)[1] > 0.08


N = 20_000


@jax.jit
def there_and_back(sde):
    """x_s/std(x_s) of N(0, 1) data, by its exact reverse transition from log-SNR -1 to 1, three times."""
    t, s = sde.time_at(jnp.array(-1.0)), sde.time_at(jnp.array(1.0))
    var = lambda t: sde.alpha(t) ** 2 + sde.sigma(t) ** 2

    def reverse(key, x, t, s):
        alpha_ts, sigma_ts = sde.transition(t, s)
        return var(s) * alpha_ts / var(t) * x + sigma_ts * jnp.sqrt(var(s) / var(t)) * jax.random.normal(key, x.shape)

    step = resample(stateless(reverse, nfe=1), sde, 3)
    x = jnp.sqrt(var(t)) * jax.random.normal(jax.random.key(0), (N,))
    return step.update(jax.random.key(1), x, step.init(x), t, s)[0] / jnp.sqrt(var(s))


@pytest.mark.slow
def test_resampling_an_exact_step_changes_no_law(isotropic_sde):
    """Mean and variance of x_s, to 4.5 standard errors."""
    x = there_and_back(traced(isotropic_sde))
    assert float(x.mean()) == pytest.approx(0.0, abs=4.5 / np.sqrt(N))
    assert float(x.var()) == pytest.approx(1.0, abs=4.5 * np.sqrt(2 / N))


@pytest.mark.parametrize(("repeats", "remembered"), [(1, 8), (3, 1)])
def test_resampling_forgets_what_another_path_left(repeats, remembered):
    """A memory that counts updates: carried on by the first, begun anew by each later one, and all of them counted."""
    counting = Step(lambda x: jnp.zeros((), int), lambda key, x, memory, t, s: (x, memory + 1), lambda memory, n: 2 * memory)
    step, x = resample(counting, VPSDE(), repeats), jnp.ones(3)
    _, (memory, nfe, _) = step.update(jax.random.key(0), x, (jnp.array(7), jnp.array(14), jnp.array(False)), 0.5, 0.4)
    assert int(memory) == remembered
    assert int(nfe) == 14 + 2 * repeats


@one_in(4)
@pytest.mark.parametrize("name", ["predictor_corrector", "dpmpp_2m", "dpmpp_2s", "unipc"])
def test_resampling_counts_every_evaluation(name):
    """NFE is the number of calls at run time, of steps that know theirs and of steps that count."""
    sde, calls = VPSDE(), []
    exact = score(sde)

    def counting(x, t):
        jax.debug.callback(lambda: calls.append(1))
        return exact(x, t)

    make = {
        "predictor_corrector": lambda sde, score: chain(langevin(sde, score, n_steps=2), ancestral(sde, score)),
        "dpmpp_2m": dpmpp_2m,
        "dpmpp_2s": dpmpp_2s,
        "unipc": unipc,
    }[name]
    step = resample(inpaint(make(sde, counting), sde, KNOWN, MASK), sde, 3)
    grid = log_snr_grid(sde, 2, 1e-3)
    with jax.disable_jit():  # for so few evaluations it is faster
        solution = jax.block_until_ready(solve(jax.random.key(0), step, jnp.ones(3), grid))
    jax.effects_barrier()
    assert int(solution.nfe) == len(calls)
    assert jnp.isfinite(solution.x).all()


@pytest.mark.parametrize("part", [lambda step, sde: inpaint(step, sde, KNOWN, MASK), lambda step, sde: resample(step, sde, 2)])
def test_what_needs_alpha_and_sigma_says_so(part):
    with pytest.raises(TypeError, match=r"(inpaint|resample) needs alpha.*LogisticSDE is not a LinearSDE"):
        part(ancestral(VPSDE(), lambda x, t: x), LogisticSDE())
