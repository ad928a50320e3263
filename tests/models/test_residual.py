"""The residual flow's parts: norms of maps, the inverse of a contraction, and the roulette, against what they estimate."""

from functools import partial
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.cpu.convolution import Form, convolve, same
from models.flows import log_det
from models.flows.contraction import inverse
from models.flows.residual import lip_swish, residual
from models.flows.shallow import Shallow
from models.flows.spectral import contractive, squared_norm
from models.functional import functional

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 4000)


def drawn(init, x, scale=1.0):
    """Parameters of which none is zero."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(init, KEY, x)
    return jax.tree.map(lambda a: jnp.asarray(scale * rng.standard_normal(a.shape), jnp.float32), shapes)


@pytest.mark.parametrize("sides", [(), (40,), (9, 8)], ids=str)
def test_the_norm_of_a_map_is_bounded(sides):
    """By what it is if there is no space, and else closely: against the singular values of the matrix of the convolution."""
    W = jax.random.normal(KEY, (*(3,) * len(sides), 3, 2))
    form = Form((same(3, 3),) * len(sides))
    apply = lambda x: convolve(x[None], W, form)[0] if sides else x @ W
    matrix = jax.jit(jax.jacfwd(apply))(jnp.zeros((*sides, 3))).reshape(-1, 3 * prod(sides))
    norm = np.linalg.norm(np.asarray(matrix), 2)
    bound = float(jax.jit(squared_norm, static_argnums=1)(W, sides)) ** 0.5
    assert norm * (1 - 1e-5) <= bound <= norm * (1.05 if sides else 1 + 1e-5)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("shape", [(3, 4, 2), (4,)], ids=str)
def test_the_network_is_a_contraction_whatever_its_parameters(shape):
    """The singular values of its Jacobian are below the constant; kernels that are small already stay as they are."""
    net = functional(partial(Shallow, width=8, activation=lip_swish))
    x = jax.random.normal(KEY, (6, *shape))
    params = drawn(net.init, x[0], 20)
    small = contractive(params, shape[:-1], 0.9)
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda x: net.apply(small, x[None], None, None, None)[0])))(x)
    norms = np.linalg.norm(np.asarray(jacobian).reshape(6, x[0].size, -1), 2, axis=(1, 2))
    assert norms.max() < 0.9
    gentle = jax.tree.map(lambda a: a / 1e4, params)
    jax.tree.map(np.testing.assert_array_equal, contractive(gentle, shape[:-1], 0.9), gentle)


def test_slopes_of_the_activation_are_within_one():
    slopes = jax.vmap(jax.grad(lip_swish))(jnp.linspace(-20, 20, 4001))
    assert 0.99 < float(jnp.abs(slopes).max()) < 1


@pytest.mark.parametrize("c", [0.5, 0.98, -0.98])
def test_a_contraction_is_inverted_to_rounding(c):
    """x + c x = y, where the iteration converges as c^n, and a nonlinear one."""
    y = jax.random.normal(KEY, (5,))
    np.testing.assert_allclose(inverse(lambda x: c * x, y, abs(c)), y / (1 + c), rtol=1e-4 if c < 0 else 1e-5)
    phi = lambda x: c * jnp.sin(x[::-1] + 1)
    x = inverse(phi, y, abs(c))
    np.testing.assert_allclose(x + phi(x), y, atol=2e-6)


@pytest.mark.slow
def test_the_derivative_of_the_inverse_is_the_inverse_derivative():
    """Forward and backward, in y and in what phi depends on: d decode = (d encode)^-1."""
    codec, x = residual(8, 0.9, 16, 2, 0.5), jax.random.normal(KEY, (4,))
    params = drawn(codec.init, x)

    @jax.jit
    def jacobians(params, x):
        encode, decode = lambda p, x: codec.encode(p, KEY, x)[0], lambda p, z: codec.decode(p, None, z)
        z = encode(params, x)
        backward = jax.jacrev(decode, 1)(params, z)
        of_params = jax.grad(lambda p: decode(p, z).sum())(params)
        implied = jax.grad(lambda p: -jnp.sum(backward @ encode(p, x)))(params)  # of x = decode(p, encode(p, x)), at any p
        return jax.jacfwd(encode, 1)(params, x), jax.jacfwd(decode, 1)(params, z), backward, of_params, implied

    there, forward, backward, of_params, implied = jacobians(params, x)
    np.testing.assert_allclose(there @ forward, np.eye(4), atol=1e-4)
    np.testing.assert_allclose(there @ backward, np.eye(4), atol=1e-4)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), of_params, implied)


def moments(series, terms, stop):
    """Mean and deviation of sum_{k <= n} series[k]/p_k, of which only n is random."""
    k = np.arange(len(series))
    p = (1 - stop) ** np.maximum(k - terms, 0.0)
    sums = np.cumsum(series / p)
    probabilities = np.where(k < terms, 0, p - np.append(p[1:], 0))  # of n = k
    mean = np.sum(probabilities * sums)
    return mean, np.sqrt(np.sum(probabilities * sums**2) - mean**2)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("terms", "stop"), [(1, 0.4), (3, 0.6)])
def test_the_roulette_is_unbiased(terms, stop):
    """At a diagonal J every probe sees the trace, and the deviation of value and gradient is known: that of n alone."""
    d = jnp.array([0.5, -0.4, 0.3])

    @jax.jit
    @jax.vmap
    def draw(key):
        of = lambda d: log_det.roulette(key, lambda d, x: d * x, d, jnp.zeros(3), terms, stop)
        return jax.value_and_grad(of)(d)

    values, gradients = draw(KEYS)
    k = np.arange(60)
    powers = np.float64(d)[:, None] ** k
    log = np.where(k > 0, (-1.0) ** (k + 1) / np.maximum(k, 1) * powers.sum(0), 0)
    for draws, series, exact in [
        (values, log, np.log1p(np.float64(d)).sum()),
        *((gradients[:, i], (-1.0) ** k * powers[i], 1 / (1 + float(d[i]))) for i in range(3)),
    ]:
        mean, deviation = moments(series, terms, stop)
        assert mean == pytest.approx(exact, rel=1e-6)
        assert abs(float(draws.mean()) - exact) < 4 * deviation / len(KEYS) ** 0.5
        assert float(draws.std()) == pytest.approx(deviation, rel=0.15)


@pytest.mark.slow
def test_the_roulette_of_a_network_is_unbiased():
    """Value and gradient in x, against slogdet: Hutchinson's probes are random too."""
    shape = (2, 2, 3)
    estimated, exact = (residual(8, 0.7, most, 2, 0.4) for most in (0, 12))
    x = jax.random.normal(KEY, shape)
    params = drawn(exact.init, x)
    cost = lambda codec: jax.value_and_grad(lambda x, key: codec.encode(params, key, x)[1])
    values, gradients = jax.jit(jax.vmap(cost(estimated), (None, 0)))(x, KEYS)
    value, gradient = jax.jit(cost(exact))(x, KEY)
    deviations = lambda draws, truth: np.abs(np.asarray(draws.mean(0) - truth)) / (np.asarray(draws.std(0)) / len(KEYS) ** 0.5)
    assert deviations(values, value) < 4
    assert deviations(gradients, gradient).max() < 4.5
    assert float(values.std()) < 1
