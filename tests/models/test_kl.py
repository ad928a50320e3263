"""The first stage with a Gaussian posterior: its likelihood is a law, its cost that of a bound, and what a distance changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import laplace as scipy_laplace
from scipy.stats import norm

from models.codecs.kl import kl_autoencoder
from models.codecs.laplace import laplace
from models.functional import Functional

W, B, X = 0.8, 0.6, 0.7
"""x_hat = W z, b, and an example."""
KEYS = jax.random.split(jax.random.key(0), 20_000)
NOISE = jax.random.split(jax.random.key(1), 2)


def encoder(x, *_):
    """Mean x/2 and log-variance -1/2 of a code, which is no posterior."""
    return jnp.concatenate([x / 2, jnp.full_like(x, -0.5)], axis=-1)


def fixed(call):
    """A network without parameters."""
    return Functional(lambda key, x: (), lambda params, x, c_noise, y, key: call(x))


def codec(scale=B, distance=None):
    ours = kl_autoencoder(fixed(encoder), fixed(lambda z: W * z), scale, distance)
    return ours, ours.init(NOISE[0], jnp.ones(1))


def nearly(draws, truth):
    """Whether the mean of draws is the truth, to 5 standard errors."""
    draws = np.asarray(draws, np.float64)
    return abs(draws.mean() - truth) < 5 * draws.std() / np.sqrt(len(draws))


def test_its_cost_is_that_of_a_bound_and_its_loss_the_bound():
    """E p(z) e^-cost = p(x), by quadrature; and E loss = E [cost - log p(z)] at beta = 1, more than -log p(x)."""
    ours, params = codec()
    x = jnp.array([X])
    z, cost = jax.vmap(lambda key: ours.encode(params, key, x))(KEYS)
    log_p = norm.logpdf(z[:, 0])
    truth, _ = quad(lambda z: norm.pdf(z) * scipy_laplace.pdf(X, W * z, B), -8, 8, points=(X / W,))
    assert nearly(np.exp(log_p - np.asarray(cost)), truth)
    loss = jax.vmap(lambda key: ours.loss(params, key, x, 1.0))(KEYS)
    assert nearly(loss, float((np.asarray(cost, np.float64) - log_p).mean()))
    assert loss.mean() > -np.log(truth)
    assert ours.density


@pytest.mark.parametrize("scale", [None, B])
def test_laplace_is_a_law(scale):
    """Its mass is 1; draws have mean m and mean distance b from it."""
    law = laplace(scale)
    own, b = law.init() if scale else jnp.log(jnp.array(B)), B
    mass, _ = quad(lambda x: float(jnp.exp(law.log_prob(own, jnp.array(0.3), jnp.array(x)))), -12, 12, points=(0.3,), limit=60)
    assert mass == pytest.approx(1, abs=1e-5)
    draws = jax.vmap(lambda key: law.draw(own, key, jnp.array(0.3)))(KEYS)
    assert nearly(draws, 0.3)
    assert nearly(abs(draws - 0.3), b)


def test_the_best_scale_is_the_mean_error():
    """Where its slope is zero; it starts at 1."""
    law, x, x_hat = laplace(), jnp.array([1.0, -2.0, 3.0]), jnp.array([1.5, 0.0, 2.9])
    slope = jax.grad(law.log_prob)
    assert float(slope(jnp.log(jnp.abs(x - x_hat).mean()), x_hat, x)) == pytest.approx(0, abs=1e-5)
    assert float(law.init()) == 0.0
    assert float(slope(law.init(), x_hat, x)) < 0  # errors are less than 1 in the mean


def test_a_distance_counts_once_for_each_number_and_leaves_no_density():
    distance = lambda x, y: jnp.sum((x - y) ** 2)
    (plain, params), (ours, same) = codec(), codec(distance=distance)
    assert jax.tree.structure(params) == jax.tree.structure(same)
    x = jnp.array([X])
    z, cost = ours.encode(params, NOISE[0], x)
    np.testing.assert_array_equal(z, plain.encode(params, NOISE[0], x)[0])
    extra = ours.loss(params, NOISE[0], x, 0.0) - plain.loss(params, NOISE[0], x, 0.0)
    assert float(extra) == pytest.approx(x.size * float(jnp.sum((x - W * z) ** 2)) / B, rel=1e-5)
    assert (ours.density, float(cost)) == (False, 0.0)
    np.testing.assert_array_equal(ours.decode(params, NOISE[1], z), ours.decode(params, None, z))
    assert abs(plain.decode(params, NOISE[1], z) - plain.decode(params, None, z)) > 0
