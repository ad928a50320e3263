"""Denoising score matching and the draws of t against their integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import GAUSSIAN
from test_sde_lib import Nonlinear

from losses import discrete, dsm, importance, likelihood, sigma2, uniform
from sde_lib import VESDE, VPSDE, SubVPSDE, ddpm_table


def normaliser(sde, t_min):
    """Z = g^2/(sigma^2 p), which the weights of `importance` reveal at any t."""
    t, inverse_density = importance(sde, t_min).sample(jax.random.key(0), None, 64)
    return np.asarray(inverse_density * jax.vmap(lambda t: sde.diffusion(t) ** 2 / sde.sigma(t) ** 2)(t))


@pytest.mark.parametrize(
    ("sde", "t_min", "z"),
    [(VPSDE(), 1e-5, 23.8645), (SubVPSDE(), 1e-5, 37.6789), (VPSDE(), 1e-3, 19.1654), (VESDE(), 1e-2, 17.0344 * 0.99)],
)
def test_normaliser_of_importance(sde, t_min, z):
    """Z = lambda(t_min) - lambda(1), against quadrature in float64 (Song et al. 2021, sec. 5.1)."""
    np.testing.assert_allclose(normaliser(sde, t_min), z, rtol=1e-3)


def test_quantiles_of_importance_on_vp():
    """The inverse distribution function at 10, 25, 50, 75, 90 %, in float64, of p proportional to g^2/sigma^2."""
    t, _ = importance(VPSDE(), 1e-5).sample(jax.random.key(0), None, 100_000)
    exact = [1.08e-4, 3.00e-3, 0.1144, 0.6370, 0.8726]
    np.testing.assert_allclose(np.quantile(np.asarray(t), [0.1, 0.25, 0.5, 0.75, 0.9]), exact, rtol=5e-3)


@pytest.mark.parametrize("times", [uniform, importance])
def test_weights_are_unbiased(times, sde):
    """E[h(t) / p(t)] = int h dt, for smooth h: low-discrepancy draws make this sharp at one key."""
    t, inverse_density = times(sde, 0.05).sample(jax.random.key(1), None, 20_000)
    h = lambda t: 1 + np.cos(3 * t)
    exact = 0.95 + (np.sin(3) - np.sin(0.15)) / 3
    assert float(np.mean(h(np.asarray(t)) * np.asarray(inverse_density))) == pytest.approx(exact, rel=5e-3)


@pytest.mark.parametrize("times", [uniform, importance])
def test_each_draw_is_unbiased_on_its_own(times):
    """The first of a batch, over keys: the mean of 1/p is the length of the interval."""
    first = jax.vmap(lambda key: times(VPSDE(), 0.05).sample(key, None, 4)[1][0])(jax.random.split(jax.random.key(0), 20_000))
    assert float(first.mean()) == pytest.approx(0.95, abs=1e-5 + 4 * float(first.std()) / 141)


def test_a_batch_spreads_evenly():
    """One draw in each of n equal cells, whatever the key."""
    t, _ = uniform(VPSDE(), 0.0).sample(jax.random.key(3), None, 64)
    cells = np.sort(np.floor((np.asarray(t) - float(t.min())) * 64 + 1e-3))
    np.testing.assert_array_equal(cells, np.arange(64))


@pytest.mark.parametrize("sde", [VPSDE(), SubVPSDE()])
def test_importance_has_less_variance_for_the_likelihood(sde):
    """Where |sigma score + z| is constant, importance has none and uniform a lot."""
    weighted = lambda times: jax.vmap(lambda t: likelihood(sde, t) / sde.sigma(t) ** 2)(times[0]) * times[1]
    draws = {times: weighted(times(sde).sample(jax.random.key(0), None, 4096)) for times in (uniform, importance)}
    assert float(draws[importance].std()) < 1e-2 * float(draws[uniform].std())


def test_discrete_draws_ddpm_s_and_ncsn_s_times():
    """i/N on the table, NCSN's ladder on VE, each equally often."""
    t, weight = discrete(ddpm_table(10), 10).sample(jax.random.key(0), None, 100)
    values, counts = np.unique(np.round(np.asarray(t), 5), return_counts=True)
    np.testing.assert_allclose(values, np.arange(1, 11) / 10, atol=1e-5)
    assert set(counts) == {10}
    assert set(np.asarray(weight)) == {1.0}
    t, _ = discrete(VESDE(0.01, 1.0), 10).sample(jax.random.key(0), None, 100)
    ladder = np.unique(np.round(np.asarray(jax.vmap(VESDE(0.01, 1.0).sigma)(t)), 6))
    np.testing.assert_allclose(ladder, np.sort(VESDE(0.01, 1.0).ladder(10)), rtol=1e-3)


def test_sigma2_is_ddpm_s_simple_loss(sde):
    """w = sigma^2 and score = -eps_hat/sigma: the loss is mean |eps - eps_hat|^2 (Ho et al. 2020, eq. 14)."""
    key, x_0, t = jax.random.key(0), jnp.array([0.3, -0.8, 1.1]), 0.4
    eps_hat = jnp.array([0.1, 0.2, -0.5])
    loss = dsm(sde, lambda x, t: -eps_hat / sde.sigma(t))(key, x_0, t)
    assert float(loss) == pytest.approx(float(jnp.mean((jax.random.normal(key, (3,)) - eps_hat) ** 2)), rel=1e-4)


@pytest.mark.parametrize("weight", [sigma2, likelihood])
def test_the_exact_score_is_the_minimiser(sde, weight):
    """DSM(s) - DSM(s*) = w/D E|s - s*|^2 for every s (Vincent 2011): here s = s* + 0.3, so the gap is 0.09 w."""
    t, exact = 0.5, GAUSSIAN.score(sde)
    off = lambda x, t: exact(x, t) + 0.3

    def gap(key):
        data, noise = jax.random.split(key)
        x_0 = GAUSSIAN.sample(data)
        return dsm(sde, off, weight)(noise, x_0, t) - dsm(sde, exact, weight)(noise, x_0, t)

    gaps = jax.jit(jax.vmap(gap))(jax.random.split(jax.random.key(0), 40_000)) / weight(sde, t)
    assert float(gaps.mean()) == pytest.approx(0.09, abs=4 * float(gaps.std()) / 200)


def test_a_nonlinear_sde_is_refused_by_name():
    for make in (lambda sde: dsm(sde, lambda x, t: x), importance):
        with pytest.raises(TypeError, match="alpha\\(t\\) and sigma\\(t\\), and Nonlinear is not a LinearSDE"):
            make(Nonlinear())
