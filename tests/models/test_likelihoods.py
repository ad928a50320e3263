"""Likelihoods against their probabilities: sums over all levels, float64, frequencies of draws, and one another."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from slow import slow_for

from models import bernoulli, discretized_gaussian, gaussian, logistic_mixture
from models.codecs.logistics import _log_logistic_cell

KEY = jax.random.key(0)
LAWS = {
    "bernoulli": (bernoulli(-1.0), 2, -1.0),
    "bernoulli, unit": (bernoulli(0.0), 2, 0.0),
    "gaussian": (discretized_gaussian(5, -1.0, std=0.3), 5, -1.0),
    "gaussian, learned": (discretized_gaussian(4, 0.0), 4, 0.0),
    "logistics": (logistic_mixture(4, 3, -1.0), 4, -1.0),
    "logistics, unit": (logistic_mixture(5, 2, 0.0), 5, 0.0),
}
"""Each with its number of levels and the first of them."""


def every(levels, low, c):
    """All x [levels^c, 1, c], one position of c channels."""
    grid = np.linspace(low, 1, levels, dtype=np.float32)
    return jnp.asarray(list(product(grid, repeat=c)))[:, None, :]


def probabilities(name, emitted, shift=0.0):
    """All pairs of levels, and P of each: the density, `shift` of a cell beside it, times the size of a cell."""
    law, levels, low = LAWS[name]
    x, width = every(levels, low, 2), (1 - low) / (levels - 1)
    log_p = jax.vmap(law.log_prob, (None, None, 0))(law.init(), emitted, x + shift * width)
    return x, jnp.exp(log_p) * width**2


@pytest.mark.parametrize("name", LAWS)
def test_all_levels_have_probability_one(name):
    """Of two channels, of which the second may depend on the first; whatever is emitted, and wherever x is in its cell."""
    emitted = jax.random.normal(KEY, (4, 1, LAWS[name][0].channels(2)))
    totals = jax.jit(jax.vmap(lambda emitted, shift: probabilities(name, emitted, shift)[1].sum(), (0, None)))
    for scale, shift in ((0.1, 0.0), (1.0, 0.49), (1.0, -0.49), (10.0, 0.2)):
        np.testing.assert_allclose(totals(scale * emitted, shift), 1, atol=2e-5)


@pytest.mark.parametrize("law", [discretized_gaussian(256, std=0.01), discretized_gaussian(256), logistic_mixture(256, 10)])
def test_so_have_256_levels_of_a_grey_pixel(law):
    log_p = jax.jit(jax.vmap(partial(law.log_prob, law.init()), (None, 0)))
    for scale in (0.5, 5.0):
        emitted = scale * jax.random.normal(KEY, (1, law.channels(1)))
        assert float(jnp.exp(log_p(emitted, every(256, -1.0, 1))).sum()) * 2 / 255 == pytest.approx(1, abs=1e-4)


@slow_for("bernoulli, unit", "gaussian, learned", "logistics, unit")
@pytest.mark.parametrize("name", LAWS)
def test_draws_have_these_probabilities(name):
    """Each pair of levels as often among 20,000 draws as it should be, to five standard deviations; none between levels."""
    law, n = LAWS[name][0], 20_000
    emitted = 0.7 * jax.random.normal(jax.random.key(1), (1, law.channels(2)))
    x, p = map(np.asarray, jax.jit(partial(probabilities, name))(emitted))
    draws = jax.jit(jax.vmap(partial(law.draw, law.init()), (0, None)))(jax.random.split(KEY, n), emitted)
    same = np.abs(np.asarray(draws)[:, None] - x).max((2, 3)) < 1e-5
    assert same.any(1).all()
    assert (np.abs(same.sum(0) - n * p) < 5 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_a_gaussian_is_scipy_s_and_learns_the_mean_squared_error():
    """Its slope in log std is zero at std^2 = mean |x - mean|^2, and nowhere near."""
    mean, x = jax.random.normal(KEY, (2, 4, 3))
    law = gaussian()
    for std in (0.3, 1.0):
        exact = norm(mean, std).logpdf(x).sum()
        assert float(law.log_prob(jnp.log(std), mean, x)) == pytest.approx(exact, rel=1e-5)
        assert float(gaussian(std).log_prob((), mean, x)) == pytest.approx(exact, rel=1e-5)
    slope = jax.jit(jax.grad(law.log_prob))
    best = np.log(np.mean((x - mean) ** 2)) / 2
    assert abs(float(slope(jnp.asarray(best), mean, x))) < 1e-3
    assert abs(float(slope(jnp.asarray(best + 0.1), mean, x))) > 1
    assert law.init() == 0
    assert gaussian(0.3).init() == ()


@pytest.mark.slow
def test_many_levels_of_a_gaussian_are_the_gaussian():
    mean, x = 0.3 * jax.random.normal(KEY, (2, 4, 3))
    ours, exact = (law.log_prob((), mean, x) for law in (discretized_gaussian(65_536, std=0.2), gaussian(0.2)))
    assert float(ours) == pytest.approx(float(exact), abs=2e-2)


def test_a_bernoulli_is_its_cross_entropy():
    """x log p + (1 - x) log(1 - p) on {0, 1}, and its mean p."""
    logit, x = jnp.array([[-3.0, 0.2, 4.0]]), jnp.array([[0.0, 1.0, 1.0]])
    p = expit(np.asarray(logit, np.float64))
    law = bernoulli(0.0)
    exact = np.log(np.where(np.asarray(x) == 1, p, 1 - p)).sum()
    assert float(law.log_prob((), logit, x)) == pytest.approx(exact, rel=1e-5)
    np.testing.assert_allclose(law.mean((), logit), p, rtol=1e-5)
    np.testing.assert_allclose(bernoulli(-1.0).mean((), logit), 2 * p - 1, rtol=1e-4, atol=1e-6)


def test_a_logistic_cell_has_the_probability_of_float64():
    """sigmoid(d + h) - sigmoid(d - h) in the left tail, out to fifty scales, in cells wide and narrow."""
    d, half = np.meshgrid(np.linspace(-50, 50, 101), [1e-3, 0.1, 4.0])
    left = -np.abs(d)
    exact = np.log(expit(left + half) - expit(left - half))
    no = jnp.zeros(d.shape, bool)
    ours = _log_logistic_cell(*(jnp.asarray(a, jnp.float32) for a in (d, half)), no, no)
    np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=2e-4)


def test_the_mixture_is_pixelcnn_s():
    """The formulas of Salimans et al. (2017) for R, G and B at 256 levels, in float64, with the density in place of the
    difference of two CDFs where that is below 1e-5."""
    rng, K, n = np.random.default_rng(0), 10, 200
    logit, a = rng.standard_normal((n, K)), np.tanh(rng.standard_normal((n, K, 3)))
    mean, log_s = rng.standard_normal((n, K, 3)) / 2, rng.uniform(-4, 0, (n, K, 3))
    k = rng.integers(0, 256, (n, 3))
    k[:2] = [[0, 255, 3], [255, 0, 0]]
    x = 2 * k / 255 - 1
    r, g = x[:, None, 0], x[:, None, 1]
    centre = np.stack([mean[..., 0], mean[..., 1] + a[..., 0] * r, mean[..., 2] + a[..., 1] * r + a[..., 2] * g], -1)
    d, h = (x[:, None] - centre) / np.exp(log_s), 1 / 255 / np.exp(log_s)
    difference = expit(d + h) - expit(d - h)
    density = -np.logaddexp(0, d) - np.logaddexp(0, -d) - log_s - np.log(127.5)
    inner = np.where(difference > 1e-5, np.log(np.maximum(difference, 1e-12)), density)
    ends = -np.logaddexp(0, -d - h), -np.logaddexp(0, d - h)
    log_p = np.where(x[:, None] < -0.999, ends[0], np.where(x[:, None] > 0.999, ends[1], inner)).sum(-1)
    exact = np.log((np.exp(log_p) * np.exp(logit) / np.exp(logit).sum(-1, keepdims=True)).sum(-1))

    law = logistic_mixture()
    emitted = np.concatenate([logit[..., None], mean, log_s, np.arctanh(a)], -1).reshape(n, -1)
    assert law.channels(3) == emitted.shape[-1] == 100
    log_p = jax.jit(jax.vmap(partial(law.log_prob, ())))
    ours = log_p(*(jnp.asarray(part, jnp.float32) for part in (emitted, x)))
    np.testing.assert_allclose(ours + 3 * np.log(2 / 255), exact, rtol=2e-3, atol=2e-2)


def test_scales_have_a_floor():
    """Of log s = -7; below it nothing depends on the scale."""
    law, x = logistic_mixture(256, 1), jnp.array([[0.5]])
    at = jax.jit(lambda log_s: law.log_prob((), jnp.array([[0.0, 0.502, log_s]]), x))
    assert at(-7.0) == at(-20.0) != at(-6.0)


@pytest.mark.slow
def test_the_mean_of_a_mixture_is_that_of_its_draws():
    """Of narrow laws inside [-1, 1], with channels that depend on those before them."""
    law, n = logistic_mixture(65_536, 2), 20_000
    first = [0.3, 0.2, -0.1, 0.1, -4.0, -4.0, -4.0, 0.6, -0.4, 0.9]
    second = [-0.5, -0.3, 0.2, 0.3, -4.0, -3.5, -4.0, 1.0, 0.2, -0.7]
    emitted = jnp.array([first + second])
    mean = jax.jit(partial(law.mean, ()))(emitted)
    draws = np.asarray(jax.jit(jax.vmap(partial(law.draw, ()), (0, None)))(jax.random.split(KEY, n), emitted))
    assert (np.abs(draws.mean(0) - mean) < 5 * draws.std(0) / n**0.5).all()
