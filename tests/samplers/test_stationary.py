"""Langevin dynamics stays where it should: at p_t, up to the bias of its step size, which is known in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from oracle import MIXTURE
from slow import one_in

from samplers import annealed_langevin, langevin
from sde_lib import VPSDE, fast_random

SNR, N = 0.16, 4000
STAY = {"langevin": langevin, "annealed_langevin": annealed_langevin}


@partial(jax.jit, static_argnames="dynamics")
def stayed(sde, t, dynamics):
    """N draws of p_t, before and after 20 steps of Langevin dynamics at t."""
    data_key, noise_key, step_key = jax.random.split(jax.random.key(0), 3)
    x_0 = jax.vmap(MIXTURE.sample)(jax.random.split(data_key, N))
    x = sde.perturb(x_0, jax.random.normal(noise_key, x_0.shape), t)
    step = dynamics(sde, MIXTURE.score(sde), SNR, 20)
    # `annealed_langevin` runs at the time it arrives at: from t to t.
    return x, jax.vmap(lambda key, x: step.update(key, x, (), t, t)[0])(jax.random.split(step_key, N), x)


@one_in(4)
@pytest.mark.parametrize("log_snr", [-1.0, 3.0])
@pytest.mark.parametrize("name", STAY)
def test_langevin_leaves_p_t(sde, name, log_snr):
    """Mean and covariance of a mixture to 4.5 standard errors and the bias of the variance, e/2 + O(e^2) at step e.

    If sigma_t is an array, so is e, and the bias is at most that of its largest.

    As e = 2 (snr sigma_t)^2, and no component is narrower than sigma_t, the bias is snr^2 sigma_t^2 and at most a tenth more.
    """
    t = sde.time_at(jnp.array(log_snr))
    before, after = (np.asarray(x) for x in stayed(traced(sde), t, STAY[name]))
    alpha, sigma = (np.asarray(each, np.float64) * np.ones(2) for each in (sde.alpha(t), sde.sigma(t)))
    assert np.abs(after - before).mean() > 0.3 * sigma.mean()
    exact_mean = alpha * np.asarray(MIXTURE.weights @ MIXTURE.means)
    centred = np.asarray(MIXTURE.means - MIXTURE.weights @ MIXTURE.means)
    of_data = (centred.T * np.asarray(MIXTURE.weights)) @ centred + MIXTURE.std**2 * np.eye(2)
    exact = np.outer(alpha, alpha) * of_data + np.diag(sigma**2)
    bias = 1.1 * (SNR * sigma.max()) ** 2
    np.testing.assert_array_less(np.abs(after.mean(0) - exact_mean), 4.5 * np.sqrt(np.diag(exact) / N))
    np.testing.assert_array_less(np.abs(np.cov(after.T) - exact), 4.5 * np.sqrt(2 / N) * exact.max() + bias)


@pytest.mark.parametrize("name", STAY)
@pytest.mark.parametrize("snr", [0.1, 0.2, 0.4])
def test_langevin_s_stationary_law(name, snr):
    """x <- (1 - e/v) x + sqrt(2 e) z has variance v/(1 - e/(2 v)) = v + e/2 + O(e^2); started there it stays there.

    In float64 and exactly: the step is affine in x and in z, whose coefficients are read off.
    """
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        sde, t, v = VPSDE(), 0.5, 0.8
        step = STAY[name](sde, lambda x, t: -x / v, snr, 1)

        def update(x, z):
            patch.setattr(fast_random, "normal", lambda key, shape: jnp.broadcast_to(z, shape))
            return step.update(jax.random.key(0), x, (), t, t)[0]

        of_x, of_z = jax.grad(update, (0, 1))(jnp.array(0.0), jnp.array(0.0))
        e = 2 * (snr * sde.sigma(t)) ** 2
        stationary = v / (1 - e / (2 * v))
        assert float(of_x**2 * stationary + of_z**2) == pytest.approx(float(stationary), rel=1e-12)
        assert float(stationary - v) == pytest.approx(float(e / 2), rel=1.5 * float(e))
