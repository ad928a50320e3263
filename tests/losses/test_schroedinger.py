"""Halves of a Schroedinger bridge, against that of two Gaussians in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brownian import Brownian, GaussianBridge
from cubature import noise, noises
from slow import one_in

from losses import dsm, half_bridge
from samplers import euler_maruyama, log_prob, sample

BRIDGE = GaussianBridge()
SDE, KEY = Brownian(BRIDGE.epsilon), jax.random.key(0)


def linear(slope):
    """The control slope(t) x."""
    return lambda x, t: slope(t) * x


def with_noise(loss, z, x, t):
    """The loss at the noise z [n] of its steps."""
    with noises(z):
        return loss(KEY, x, t)


def test_one_step_without_a_control_is_denoising_score_matching():
    """On Brownian motion a step of Euler-Maruyama is exact, and the loss that of the noise."""
    score, x, z, t = lambda x, t: jnp.sin(x) - t * x, jnp.array([0.3, -1.2]), jnp.array([[0.7, -0.1]]), 0.4
    zero = lambda x, t: jnp.zeros_like(x)
    with noise(z[0]):
        exact = dsm(SDE, score)(KEY, x, t)
    got = with_noise(half_bridge(SDE, score, zero, 0.0, 1), z, x, t)
    assert float(got) == pytest.approx(float(exact), rel=1e-5)


@one_in(2)
@pytest.mark.parametrize(("start", "std", "t"), [(0.0, BRIDGE.s_0, 0.6), (1.0, BRIDGE.s_1, 0.3)])
def test_each_half_learns_the_other_s_control(start, std, t):
    """Exactly in the mean: the loss is quadratic in x and z, and in the slope, whose minimiser is right to the order of h."""
    own, other = (BRIDGE.backward, BRIDGE.forward) if start == 0 else (BRIDGE.forward, BRIDGE.backward)

    def minimiser(n):
        def mean(slope):
            loss = half_bridge(SDE, linear(lambda t: slope), linear(other), start, n)
            value = lambda of: with_noise(loss, of[1:], of[0], t)
            of = jnp.zeros(n + 1)
            variances = jnp.ones(n + 1).at[0].set(std**2)
            return value(of) + jnp.diagonal(jax.hessian(value)(of)) @ variances / 2

        slope, curve = jax.jit(lambda: (jax.grad(mean)(0.0), jax.hessian(mean)(0.0)))()
        return float(-slope / curve)

    with jax.enable_x64(True):
        errors = [abs(minimiser(n) - own(t)) for n in (20, 40)]
    assert errors[1] < 0.05 * abs(own(t))
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.3)


def test_gaussian_iterative_fitting_finds_the_bridge():
    """Halves in turn, each slope -1/v minus the other's, v by the steps of Euler-Maruyama: coupling and slope to 1/n."""
    n, epsilon = 400, BRIDGE.epsilon
    h, times = 1 / n, np.linspace(0, 1, n + 1)
    forward, backward = np.zeros(n + 1), np.zeros(n + 1)
    for _ in range(60):
        v = BRIDGE.s_0**2
        for i in range(n):
            v = (1 + h * epsilon * forward[i]) ** 2 * v + h * epsilon
            backward[i + 1] = -1 / v - forward[i + 1]
        v, gain = BRIDGE.s_1**2, 1.0
        for i in range(n, 0, -1):
            v, gain = (1 + h * epsilon * backward[i]) ** 2 * v + h * epsilon, gain * (1 + h * epsilon * backward[i])
            forward[i - 1] = -1 / v - backward[i - 1]
    assert v == pytest.approx(BRIDGE.s_0**2, rel=1e-2)
    assert gain * BRIDGE.s_1**2 == pytest.approx(BRIDGE.coupling, rel=1e-2)
    inner = (times > 0.05) & (times < 0.95)
    np.testing.assert_allclose(forward[inner], BRIDGE.forward(times[inner]), atol=0.06)
    assert BRIDGE.coupling == pytest.approx(0.8975626, abs=1e-7)
    assert epsilon * BRIDGE.forward(0.37) == pytest.approx(0.6360234, abs=1e-7)


@pytest.mark.slow
def test_the_flow_of_the_bridge_has_its_density():
    """By backward - forward in the place of a score: log p_t of N(0, v(t)) at t = 0.05, from the law at t = 1."""

    class Ending(Brownian):
        def prior_log_prob(self, x):
            return jax.scipy.stats.norm.logpdf(x, 0.0, BRIDGE.s_1).sum()

    x, t = jnp.array([0.4, -1.1]), 0.05
    flow = linear(lambda t: BRIDGE.backward(t) - BRIDGE.forward(t))
    exact = jax.scipy.stats.norm.logpdf(x, 0.0, jnp.sqrt(BRIDGE.variance(t))).sum()
    assert float(log_prob(Ending(BRIDGE.epsilon), flow, x, t_min=t)) == pytest.approx(float(exact), abs=2e-3)


@pytest.mark.slow
def test_a_small_diffusion_schroedinger_bridge():
    """Controls x (c_0 + .. + c_3 t^3), each half by least squares on simulated paths: the law at t = 0, and the coupling."""
    n, powers = 50_000, jnp.arange(4)
    cubic = lambda c: linear(lambda t: c @ t**powers)

    @partial(jax.jit, static_argnames="start")
    def fitted(key, other, start):
        x_key, t_key, key = jax.random.split(key, 3)
        x = (BRIDGE.s_0 if start == 0 else BRIDGE.s_1) * jax.random.normal(x_key, (n, 1))
        t = jax.random.uniform(t_key, (n,), minval=0.04, maxval=1.0)
        t = t if start == 0 else 1 - t

        def mean(c):
            loss = half_bridge(SDE, cubic(c), cubic(other), start, 24)
            return jax.vmap(loss)(jax.random.split(key, n), x, t).mean()

        zero = jnp.zeros(4)
        return -jnp.linalg.solve(jax.hessian(mean)(zero), jax.grad(mean)(zero))

    forward = jnp.zeros(4)
    for key in jax.random.split(jax.random.key(0), 12):
        backward = fitted(key, forward, 0.0)
        forward = fitted(jax.random.fold_in(key, 1), backward, 1.0)
    x_1 = BRIDGE.s_1 * jax.random.normal(jax.random.key(1), (n, 1))
    step, grid = euler_maruyama(SDE, cubic(backward)), jnp.linspace(1.0, 0.0, 101)
    x_0 = jax.jit(jax.vmap(lambda key, x: sample(key, step, x, grid)[0]))(jax.random.split(jax.random.key(2), n), x_1)
    assert float(x_0.var()) == pytest.approx(BRIDGE.s_0**2, rel=0.06)
    assert float(jnp.mean(x_0 * x_1)) == pytest.approx(BRIDGE.coupling, rel=0.05)
