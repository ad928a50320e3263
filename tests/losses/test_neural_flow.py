"""NFDM: without a bend it is the linear SDE, with any bend its loss is a bound and its flow follows F."""

from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import GAUSSIAN
from sdes import KIN
from slow import slow_for

import samplers
from losses import continuous_vlb, neural_flow
from sde_lib import VPSDE, LogLinearVPSDE, NeuralFlow, NeuralFlowSDE, RectifiedFlowSDE

KEY, X_0 = jax.random.key(5), jnp.array([0.4, -0.9])
NO_BEND = lambda x_0, t: (jnp.zeros_like(x_0), jnp.zeros_like(x_0))
BEND = lambda x_0, t: (2 * jnp.sin(2 * x_0 + t), jnp.cos(x_0[::-1]) - t)


@slow_for(*KIN)
@pytest.mark.parametrize("t", [0.1, 0.5, 0.95])
def test_without_a_bend_it_is_the_bound_of_the_linear_sde(sde, t):
    """The two agree on each example at each t, and so do the drifts of what they generate."""
    is_the_bound(sde, t)


def test_the_ends_count_by_the_time_that_is_left():
    """Times begin at t_min = 0.2 here."""
    is_the_bound(RectifiedFlowSDE(0.2), 0.5)


def is_the_bound(sde, t):
    score = GAUSSIAN.score(sde)
    flow, predict = NeuralFlow(sde, NO_BEND), lambda x, t: sde.denoise(score, x, t)
    plain = continuous_vlb(sde, score, None)(KEY, X_0, t)
    np.testing.assert_allclose(neural_flow(flow, predict, None)(KEY, X_0, t), plain, rtol=2e-3)
    made = NeuralFlowSDE(flow, predict)
    for eta in (0.0, 1.0):
        ours, linear = made.reverse_drift(made.score, eta)(X_0, t), sde.reverse_drift(score, eta)(X_0, t)
        np.testing.assert_allclose(ours, linear, rtol=2e-3, atol=2e-3 * float(jnp.abs(linear).max()))


def test_the_flow_of_one_example_follows_f():
    """From F(eps, 1, x_0) the probability flow given x_0 ends at F(eps, t, x_0), for the same eps."""
    flow = NeuralFlow(VPSDE(), BEND)
    sde, eps = NeuralFlowSDE(flow, lambda x, t: X_0), jnp.array([1.2, -0.3])

    def f(t):
        mu, std = flow.moments(X_0, t)
        return mu + std * eps

    step = samplers.probability_flow(sde, sde.score, rtol=1e-6, atol=1e-6)
    for t in (0.5, 0.1):
        end = step.update(KEY, f(1.0), step.init(f(1.0)), jnp.float32(1.0), jnp.float32(t))[0]
        np.testing.assert_allclose(end, f(t), atol=1e-4)


def test_the_reverse_sde_of_one_example_has_its_law():
    """Mean and deviation at t = 0.1 of Euler-Maruyama given x_0, to 4.5 standard errors and 0.01 for the steps."""
    flow, n = NeuralFlow(VPSDE(), BEND), 4000
    sde = NeuralFlowSDE(flow, lambda x, t: X_0)
    grid, step = jnp.linspace(1.0, 0.1, 301), samplers.euler_maruyama(sde, sde.score)
    mu, std = flow.moments(X_0, 1.0)

    def one(key):
        noise_key, step_key = jax.random.split(key)
        return samplers.sample(step_key, step, mu + std * jax.random.normal(noise_key, (2,)), grid)[0]

    x = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, n)))
    mu, std = map(np.asarray, flow.moments(X_0, 0.1))
    np.testing.assert_array_less(np.abs(x.mean(0) - mu), 4.5 * std / np.sqrt(n) + 0.01)
    np.testing.assert_array_less(np.abs(x.std(0) / std - 1), 4.5 / np.sqrt(2 * n) + 0.01)


def test_with_any_bend_it_is_a_bound():
    """It exceeds the entropy of normal data, by quadrature, and by less at the posterior mean of the bent process."""
    base, std = LogLinearVPSDE(8.0, -6.0), 0.7
    entropy = float(jnp.log(std * jnp.sqrt(2 * jnp.pi * jnp.e)))
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    z, share = jnp.asarray(nodes, jnp.float32), jnp.asarray(weights / weights.sum(), jnp.float32)
    times, of_t = (jnp.asarray(values, jnp.float32) for values in np.polynomial.legendre.leggauss(64))
    fine = jnp.linspace(-5 * std, 5 * std, 2001)  # closer than the last noise, of which x_0_hat can tell two points
    bent = NeuralFlow(base, lambda x_0, t: (jnp.sin(3 * x_0), jnp.cos(2 * x_0)))

    def posterior_mean(x, t):
        log_q = jax.scipy.stats.norm.logpdf(x, *bent.moments(fine, t)) + jax.scipy.stats.norm.logpdf(fine, scale=std)
        return jnp.sum(jax.nn.softmax(log_q) * fine, keepdims=True)

    def linear(x, t):
        return base.alpha(t) * std**2 / base.spread(t, std) ** 2 * x

    def bound(flow, predict):
        def at(x_0, eps, t):
            with patch.object(jax.random, "normal", lambda key, shape: jnp.full(shape, eps)):
                return neural_flow(flow, predict, None)(KEY, x_0[None], t)

        each = jax.vmap(jax.vmap(at, (None, 0, None)), (0, None, None))
        values = jax.jit(lambda: jax.lax.map(lambda t: share @ each(std * z, z, t) @ share, (times + 1) / 2))()
        return float(values @ of_t / 2)

    assert bound(NeuralFlow(base, NO_BEND), linear) == pytest.approx(entropy, abs=0.01)
    assert entropy + 0.01 < bound(bent, posterior_mean) < bound(bent, linear) - 0.01


def test_the_bend_has_the_gradient_of_the_loss():
    """The gradient in the size of the bend equals a central difference at the same noise."""

    def loss(size):
        x_0, times = X_0.astype(float), jnp.linspace(0.05, 0.95, 7)
        flow = NeuralFlow(VPSDE(), lambda x_0, t: tuple(size * each for each in BEND(x_0, t)))
        of = neural_flow(flow, lambda x, t: 0.5 * x, None)
        return jax.vmap(lambda t: of(KEY, x_0, t))(times).mean()

    with jax.enable_x64(True):
        slope, h = float(jax.grad(loss)(0.5)), 1e-4
        assert slope == pytest.approx(float(loss(0.5 + h) - loss(0.5 - h)) / (2 * h), rel=1e-4)
    assert abs(slope) > 0.01
