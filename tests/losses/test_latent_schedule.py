"""MuLAN: with the posterior of a latent, and the score given it, the bound is an equality whatever schedule it chooses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Mixture

from losses import continuous_vlb, latent_schedule
from sde_lib import PolynomialVPSDE, RectifiedFlowSDE

KEY = jax.random.key(2)
DATA = Mixture(jnp.array([[-1.0, 0.5], [1.2, -0.4]]), 0.5, jnp.array([0.3, 0.7]))
COMPONENTS = [Mixture(mean[None], DATA.std, jnp.ones(1)) for mean in DATA.means]


def posterior(x_0):
    """log P(component | x_0)."""
    squared = jnp.sum((x_0 - DATA.means) ** 2, -1) / DATA.std**2
    return jax.nn.log_softmax(jnp.log(DATA.weights) - squared / 2)


def encode(key, x_0):
    log_q = posterior(x_0)
    return jax.random.categorical(key, log_q), jnp.sum(jnp.exp(log_q) * (log_q - jnp.log(DATA.weights)))


def schedule(z, by=1.0):
    """Another path of the log-SNR in each coordinate, for each component."""
    a = by * jnp.array([[0.6, -0.4], [-0.3, 0.9]])[z]
    return PolynomialVPSDE(10.0, -8.0, a, -a, jnp.array([1.0, 0.5]))


def score(sde, z):
    return lambda x, t: jnp.stack([each.score(sde)(x, t) for each in COMPONENTS])[z]


def test_of_one_latent_it_is_the_bound_of_the_sde_and_the_divergence():
    """A divergence of 0.6 nats adds its share for two numbers and the times from t_min = 0.2."""
    sde, x_0 = RectifiedFlowSDE(0.2), jnp.array([0.3, -0.2])
    one = latent_schedule(lambda key, x_0: (0, 0.6), lambda z: sde, score, None)
    plain = continuous_vlb(sde, score(sde, 0), None)(jax.random.split(KEY)[1], x_0, 0.4)
    assert float(one(KEY, x_0, 0.4)) == pytest.approx(float(plain) + 0.6 / (2 * 0.8), rel=1e-5)


@pytest.mark.parametrize("by", [0.0, 1.0])
def test_it_is_an_equality_at_the_posterior(by):
    """E[l] = -E[log p(x_0)]/D, to 4.5 standard errors."""
    loss = latent_schedule(encode, lambda z: schedule(z, by), score, None)

    def one(i, t):
        data_key, key = jax.random.split(jax.random.fold_in(KEY, i))
        x_0 = DATA.sample(data_key)
        log_p = DATA.log_prob(schedule(0), x_0, 0.0)
        return loss(key, x_0, t) + log_p / 2

    n = 40_000
    gap = np.asarray(jax.jit(jax.vmap(one))(jnp.arange(n), (jnp.arange(n) + 0.5) / n))
    assert abs(gap.mean()) < 4.5 * gap.std() / np.sqrt(n) + 0.003


def test_the_schedule_is_trained_where_the_score_is_wrong():
    """An error of each coordinate by its own noise does not depend on the path of the other; one by both does."""
    mixed = jnp.array([[1.0, 0.0], [0.8, 1.0]])
    wrong = lambda sde, z: lambda x, t: mixed @ score(sde, z)(x, t)
    times = (jnp.arange(400) + 0.5) / 400

    def slopes(of):
        def one(by, i):
            data_key, key = jax.random.split(jax.random.fold_in(KEY, i))
            loss = latent_schedule(encode, lambda z: schedule(z, by), of, None)
            return jax.vmap(lambda t: loss(key, DATA.sample(data_key), t))(times).mean()

        return np.abs(jax.jit(jax.vmap(jax.grad(one), (None, 0)))(0.5, jnp.arange(20)))

    right, off = slopes(score), slopes(wrong)
    assert np.median(off) > 1000 * np.median(right)


def test_an_encoder_has_the_gradient_of_the_loss():
    """The gradient in w of an encoder N(w mean of x_0, 1) equals a central difference at the same noise."""

    def loss(w):
        x_0, times = jnp.array([0.3, -0.2]), jnp.linspace(0.05, 0.95, 7)
        mean = w * x_0.mean()
        encode = lambda key, x_0: (mean + jax.random.normal(key), mean**2 / 2)
        by_z = lambda z: PolynomialVPSDE(10.0, -8.0, 0.3 * z * jnp.array([1.0, -1.0]), -0.3 * z, jnp.array([1.0, 0.5]))
        of = latent_schedule(encode, by_z, lambda sde, z: lambda x, t: -x, None)
        return jax.vmap(lambda t: of(KEY, x_0, t))(times).mean()

    with jax.enable_x64(True):
        slope, h = float(jax.grad(loss)(2.0)), 1e-4
        assert slope == pytest.approx(float(loss(2.0 + h) - loss(2.0 - h)) / (2 * h), rel=1e-4)
