"""What is known of x_0 on the way, against the mixture's own posterior p(x_0 | x_t)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from oracle import MIXTURE, Mixture

from samplers import ancestral, ddim, estimates, log_snr_grid, sample, shared, uniform_grid
from sde_lib import VPSDE, LogisticSDE


def posterior(sde, x_t, t):
    """p(x_0 | x_t), a mixture too: of N(m_k, s^2) and x_t = alpha x_0 + sigma z, component by component."""
    variance = jnp.broadcast_to((sde.alpha(t) * MIXTURE.std) ** 2 + sde.sigma(t) ** 2, (2,))
    gain = sde.alpha(t) * MIXTURE.std**2 / variance
    means = MIXTURE.means + gain * (x_t - sde.alpha(t) * MIXTURE.means)
    log_w = jnp.log(MIXTURE.weights) - jnp.sum((x_t - sde.alpha(t) * MIXTURE.means) ** 2 / variance, -1) / 2
    return Mixture(means, MIXTURE.std * sde.sigma(t) / jnp.sqrt(variance), jax.nn.softmax(log_w))


def moments(law):
    """Mean, and the trace of the covariance."""
    mean = law.weights @ law.means
    return mean, jnp.sum(law.std**2) + law.weights @ jnp.sum((law.means - mean) ** 2, -1)


@jax.jit
def errors(sde, times):
    """Over x_0 and a path of its x_t at `times`: |estimate - x_0|^2, and the posterior's variance there, each [n, times]."""

    def one(key):
        x_key, *keys = jax.random.split(key, len(times) + 1)
        x_0 = MIXTURE.sample(x_key)
        path = jnp.stack([sde.perturb(x_0, jax.random.normal(k, (2,)), t) for k, t in zip(keys, times, strict=True)])
        x_0_hat = estimates(sde, MIXTURE.score(sde), path, times)
        exact = jax.vmap(lambda x, t: moments(posterior(sde, x, t)))(path, times)
        return jnp.sum((x_0_hat - x_0) ** 2, -1), exact[1], jnp.abs(x_0_hat - exact[0]).max()

    return jax.vmap(one)(jax.random.split(jax.random.key(0), 4000))


@pytest.mark.slow
def test_estimates_err_as_much_as_is_unknown(sde):
    """E|x_0_hat - x_0|^2 is the mean variance of p(x_0 | x_t), and falls towards the data; each is the posterior's mean."""
    ratios = jnp.array([5.0, 1.0, 0.3, 0.05])
    times = jax.vmap(lambda ratio: sde.time_at(-2 * jnp.log(ratio)))(ratios)
    error, variance, off = errors(traced(sde), times)
    standard_error = np.asarray(error - variance).std(0) / np.sqrt(len(error))
    np.testing.assert_array_less(np.abs(np.mean(error - variance, 0)), 4.5 * standard_error)
    assert (np.diff(error.mean(0)) < 0).all()
    assert float(off.max()) < 1e-2


def test_the_estimate_without_noise_is_x():
    """Where sigma = 0 it is x_0 itself, though its score is not a number there."""
    sde, path = VPSDE(), jnp.array([[0.3, 0.4], [1.0, 0.5]])
    score = lambda x, t: -x / sde.sigma(t) * jnp.nan ** (sde.sigma(t) == 0)
    np.testing.assert_array_equal(estimates(sde, score, path, jnp.array([0.5, 0.0]))[1], path[1])


def test_estimates_along_a_sampler_s_path_end_at_its_sample():
    """The last, of the path's last x, is what a last denoising would return."""
    sde = VPSDE()
    score, grid = MIXTURE.score(sde), uniform_grid(sde, 20, 1e-3)
    x, path = sample(jax.random.key(0), ancestral(sde, score), jnp.ones(2), grid)
    found = estimates(sde, score, path, grid[1:])
    assert found.shape == path.shape
    np.testing.assert_allclose(found[-1], sde.denoise(score, x, grid[-1]), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("t", [0.2, 0.5])
def test_samples_that_share_x_t_are_draws_of_what_is_still_possible(t):
    """Mean, covariance's trace and the share of either mode of p(x_0 | x_t), to 4.5 standard errors and 0.01 for the steps."""
    sde, x_t, n = VPSDE(), jnp.array([0.05, 0.2]), 3000
    grid = log_snr_grid(sde, 1000, 1e-4)
    grid = jnp.concatenate([jnp.array([t]), grid[grid < t]])
    x = np.asarray(jax.jit(lambda x: shared(jax.random.key(0), ancestral(sde, MIXTURE.score(sde)), x, grid, n).x)(x_t))
    law = posterior(sde, x_t, t)
    mean, variance = moments(law)
    square = ((x - np.asarray(mean)) ** 2).sum(1)
    np.testing.assert_allclose(x.mean(0), mean, atol=4.5 * x.std(0).max() / np.sqrt(n) + 0.01)
    np.testing.assert_allclose(square.mean(), variance, atol=4.5 * square.std() / np.sqrt(n) + 0.01)
    assert 0.1 < float(law.weights[1]) < 0.95
    right = (x[:, 0] > float(law.means[:, 0].mean())).mean()
    assert abs(right - float(law.weights[1])) < 4.5 * 0.5 / np.sqrt(n) + 0.01


def test_of_a_deterministic_step_all_are_one():
    sde = VPSDE()
    x = shared(jax.random.key(0), ddim(sde, MIXTURE.score(sde)), jnp.ones(2), 0.5 * uniform_grid(sde, 5), 3).x
    np.testing.assert_array_equal(x, x[:1].repeat(3, 0))


def test_estimates_need_alpha_and_sigma():
    with pytest.raises(TypeError, match="estimates needs alpha"):
        estimates(LogisticSDE(), lambda x, t: x, jnp.ones((1, 2)), jnp.ones(1))
