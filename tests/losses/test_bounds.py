"""The bound on -log p against Gaussian divergences written out, and against the entropy that exact scores must reach."""

from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import expectation
from oracle import GAUSSIAN, MIXTURE
from scipy.special import log_ndtr
from sdes import KIN
from slow import slow_for

from losses import continuous_bound, diffusion_term, elbo, hybrid, prior_term, reconstruction_term, vlb
from losses.terms import cell_nll
from sde_lib import VESDE, VPSDE, LogisticSDE, ddpm_table

X_0, KEY = jnp.array([0.4, -0.9]), jax.random.key(7)
EPS = np.asarray(jax.random.normal(KEY, (2,)), np.float64)


def kl(m_1, s_1, m_2, s_2):
    """KL(N(m_1, s_1^2) || N(m_2, s_2^2)) = log(s_2/s_1) + (s_1^2 + (m_1 - m_2)^2)/(2 s_2^2) - 1/2, summed, in float64."""
    m_1, s_1, m_2, s_2 = (np.asarray(a, np.float64) for a in (m_1, s_1, m_2, s_2))
    return float(np.sum(np.log(s_2 / s_1) + (s_1**2 + (m_1 - m_2) ** 2) / (2 * s_2**2) - 0.5))


def v(x, t):
    """A variance for each coordinate."""
    return jnp.array([0.2, 1.0])


@slow_for(*KIN)
def test_diffusion_term_is_a_gaussian_divergence(sde):
    """KL(q(x_s | x_t, x_0) || N(mean of q(x_s | x_t, x_0_hat), std_transition^v std_posterior^(1 - v)))."""
    t, s, score = 0.6, 0.5, MIXTURE.score(sde)
    x_t = jnp.asarray(sde.alpha(t) * X_0 + sde.sigma(t) * EPS)
    mean, std = sde.posterior(x_t, X_0, t, s)
    model_mean, _ = sde.posterior(x_t, sde.denoise(score, x_t, t), t, s)
    largest, smallest = (np.asarray(each, np.float64) for each in (sde.transition(t, s)[1], std))
    for share in (np.array([0.2, 1.0]), 0.0):
        got = float(jax.jit(diffusion_term(sde, score, 0.0 if np.ndim(share) == 0 else v))(KEY, X_0, t, s))
        exact = kl(mean, smallest, model_mean, largest**share * smallest ** (1 - share))
        assert got == pytest.approx(exact, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("sde", [VPSDE(), ddpm_table(), VESDE(0.01, 2.0, prior_mean=0.3)])
def test_prior_term_is_a_gaussian_divergence(sde):
    exact = kl(sde.alpha(1.0) * X_0, sde.sigma(1.0), sde.prior_mean, sde.sigma(1.0))
    assert float(prior_term(sde, X_0)) == pytest.approx(exact, rel=1e-4, abs=1e-12)


def always(sde, x_0_hat):
    """The score whose x_0_hat is the same at every x and t."""
    return lambda x, t: (sde.alpha(t) * x_0_hat - x) / sde.sigma(t) ** 2


@slow_for(*KIN)
def test_reconstruction_sums_to_one_over_all_levels(isotropic_sde):
    """At one x_0_hat and t, whatever they are: the cells of L levels on [low, 1] share all the probability, the ends open."""
    k, sde = jnp.arange(256), isotropic_sde

    def total(low, levels, x_0_hat, t):
        width = (1 - low) / (levels - 1)
        surprise = reconstruction_term(sde, always(sde, x_0_hat), width, low)
        p = jnp.exp(-jax.vmap(surprise, (None, 0, None))(KEY, (low + width * k)[:, None], t))
        return jnp.where(k < levels, p, 0).sum()

    times, guesses = [max(sde.t_min, 1e-3), 0.05, 0.5, 1.0], [-0.3, 0.1234, 1.3]
    cases = jnp.meshgrid(*map(jnp.array, ([-1.0, 0.0], [2, 17, 256], guesses, times)))
    np.testing.assert_allclose(jax.jit(jax.vmap(total))(*(case.ravel() for case in cases)), 1, atol=2e-3)


def test_the_first_level_of_the_unit_range_is_open():
    """-log Phi(1/510/std) at d = 0, with std = sigma/alpha = 0.0100005 of DDPM's first noise."""
    nll = cell_nll(ddpm_table(), jnp.zeros(()), jnp.zeros(()), 1e-3, 1 / 255, low=0.0)
    assert float(nll) == pytest.approx(-log_ndtr(0.5 / 255 / 0.0100005), rel=1e-4)  # 0.5487


@pytest.mark.parametrize("width", [2 / 255, 0.3])
@pytest.mark.parametrize("t", [1e-5, 0.02, 0.9])
def test_a_cell_has_the_probability_of_float64(width, t):
    """-log(Phi(d + h) - Phi(d - h)), h = width/(2 std), out to thirty deviations, at cells wide and narrow."""
    d = np.concatenate([-np.logspace(1.5, -3, 40), [0.0], np.logspace(-3, 1.5, 40)])
    h = width / 2 / float(VPSDE().sigma(t) / VPSDE().alpha(t))
    left = -np.abs(d)
    exact = -(log_ndtr(left + h) + np.log(-np.expm1(log_ndtr(left - h) - log_ndtr(left + h))))
    got = jax.vmap(lambda d: cell_nll(VPSDE(), d, jnp.zeros(()), t, width))(jnp.asarray(d, jnp.float32))
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=2e-4)


def test_without_cells_it_is_the_density():
    """-log N(x_0; x_0_hat, (sigma/alpha)^2), the limit of -log P + log width."""
    sde, score, t = VPSDE(), GAUSSIAN.score(VPSDE()), 0.3
    density, cells = (float(reconstruction_term(sde, score, width)(KEY, X_0, t)) for width in (None, 1e-3))
    x_0_hat = sde.denoise(score, sde.perturb(X_0, jnp.asarray(EPS, jnp.float32), t), t)
    std = sde.sigma(t) / sde.alpha(t)
    exact = float(jnp.sum((X_0 - x_0_hat) ** 2) / (2 * std**2) + 2 * jnp.log(std * np.sqrt(2 * np.pi)))
    assert density == pytest.approx(exact, rel=1e-4)
    assert cells + 2 * np.log(1e-3) == pytest.approx(exact, rel=1e-3)


def wrong_by(sde, x_0, d):
    """A score that sees x_0 and is off by eps_hat - eps = d at every noise, so that no term of the bound is random."""
    return lambda x, t: -((x - sde.alpha(t) * x_0) / sde.sigma(t) + d) / sde.sigma(t)


@slow_for(*KIN)
def test_vlb_averages_to_elbo(sde):
    """The mean of the loss over i = 1..n, plus prior/D, is the bound in nats per dimension."""
    n, score = 6, wrong_by(sde, X_0, jnp.array([0.3, -0.2]))
    loss, times = vlb(sde, score, n, v=0.3, t_min=0.05), jnp.linspace(0.05, 1.0, n)
    losses, bound = jax.jit(
        lambda: (jax.vmap(lambda t: loss(KEY, X_0, t))(times), elbo(sde, score, n, v=0.3, t_min=0.05)(KEY, X_0))
    )()
    assert float(losses.mean()) == pytest.approx(float(bound.total - bound.prior) / 2, rel=1e-3)


def test_a_few_steps_estimate_the_sum():
    """m of the n - 1 steps: each once at m = n - 1, and without bias at m = 2."""
    sde, n = VPSDE(), 6
    score = wrong_by(sde, X_0, jnp.array([0.3, -0.2]))
    every, drawn, few = (elbo(sde, score, n, v=0.3, m=m, t_min=0.05) for m in (None, n - 1, 2))
    exact = float(every(KEY, X_0).diffusion)
    assert float(drawn(KEY, X_0).diffusion) == pytest.approx(exact, rel=1e-4)
    sums = jax.jit(jax.vmap(lambda key: few(key, X_0).diffusion))(jax.random.split(KEY, 4000))
    assert float(sums.mean()) == pytest.approx(exact, abs=4 * float(sums.std()) / 4000**0.5)


def test_vlb_on_the_table_is_ho_s():
    """L_i = beta^2/(2 beta~ a (1 - abar)) |eps - eps_hat|^2 for i > 1, a = 1 - beta (Ho et al. 2020, eq. 12)."""
    n, d = 10, np.array([0.3, -0.2])
    sde, beta = ddpm_table(n), np.linspace(1e-4, 0.02, n)
    bar = np.concatenate([[1.0], np.cumprod(1 - beta)])
    loss = vlb(sde, wrong_by(sde, X_0, jnp.asarray(d, jnp.float32)), n)
    for i in (2, 5, 10):
        b = beta[i - 1]
        tilde = b * (1 - bar[i - 1]) / (1 - bar[i])
        exact = n / 2 * b**2 / (2 * tilde * (1 - b) * (1 - bar[i])) * np.sum(d**2)
        assert float(loss(KEY, X_0, i / n)) == pytest.approx(exact, rel=2e-3)


def exact_bound(sde, t_min):
    """The mean of the continuous bound under the exact score of GAUSSIAN: entropy and two divergences, in closed form."""
    m, c = np.asarray(GAUSSIAN.means[0], np.float64), GAUSSIAN.std
    coefficients = sde.alpha(1.0), sde.sigma(1.0), sde.sigma(t_min) / sde.alpha(t_min)
    alpha, sigma, s = (np.asarray(each, np.float64) * np.ones(2) for each in coefficients)
    entropy = np.log(2 * np.pi * np.e * c**2)
    prior = kl(alpha * m, np.hypot(alpha * c, sigma), sde.prior_mean, sigma)
    return entropy + prior + kl(0, c * s / np.hypot(c, s), 0, s)


@slow_for(*KIN)
def test_bounds_reach_the_entropy(sde):
    """Under the exact score `continuous_bound` is the closed form, and `elbo` approaches it from above as 1/n, in the mean."""
    score, t_min = GAUSSIAN.score(sde), min(0.05, float(sde.time_at(0.0)))  # where data is left for the bound to tell

    def mean(make):
        with patch.object(jax.random, "uniform", lambda key: jnp.float32(1 / 400)):
            return float(jax.jit(lambda: expectation(lambda key, x_0: make(key, x_0).total, 2))())

    exact = exact_bound(sde, t_min)
    assert mean(continuous_bound(sde, score, None, 200, t_min)) == pytest.approx(exact, abs=2e-3)
    coarse, fine = (mean(elbo(sde, score, n, None, t_min=t_min)) - exact for n in (150, 300))
    assert coarse > 0.01
    assert coarse / fine == pytest.approx(2, abs=0.15)


def test_bound_on_a_mixture_is_its_surprise():
    """Under the exact score the bound exceeds -log p_0 by the two divergences alone, which are small at these ends."""
    sde, n = VPSDE(), 4000
    bound = continuous_bound(sde, MIXTURE.score(sde), None, 100, 1e-3)

    def gap(key):
        data_key, key = jax.random.split(key)
        x_0 = MIXTURE.sample(data_key)
        return bound(key, x_0).total + MIXTURE.log_prob(sde, x_0, 0.0)

    gaps = jax.jit(jax.vmap(gap))(jax.random.split(jax.random.key(0), n))
    error = float(gaps.std()) / n**0.5
    assert error < 0.03
    assert abs(float(gaps.mean())) < 4 * error


@pytest.mark.parametrize("make", [vlb, elbo, hybrid, continuous_bound, reconstruction_term, diffusion_term])
def test_a_nonlinear_sde_is_refused_by_name(make):
    args = (lambda x, t: x, 10) if make in (vlb, elbo, hybrid) else (lambda x, t: x,)
    with pytest.raises(
        TypeError, match=f"{make.__name__} needs alpha.*LogisticSDE is not a LinearSDE; (samplers.log_prob|ism, ssm)"
    ):
        make(LogisticSDE(), *args)
