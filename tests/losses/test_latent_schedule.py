"""MuLAN: with the posterior of a latent, and the score given it, the bound is an equality whatever schedule it chooses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Mixture

from losses import continuous_vlb, latent_schedule
from sde_lib import PolynomialVPSDE

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


def test_without_a_latent_it_is_the_bound_of_the_sde():
    one = latent_schedule(lambda key, x_0: (0, 0.0), schedule, score, None)
    plain = continuous_vlb(schedule(0), score(schedule(0), 0), None)
    x_0 = jnp.array([0.3, -0.2])
    assert float(one(KEY, x_0, 0.4)) == pytest.approx(float(plain(jax.random.split(KEY)[1], x_0, 0.4)), rel=1e-5)


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


def test_encoder_and_schedule_are_trained():
    """Where the score is right the schedule has nothing to gain; where it is wrong, both have."""
    wrong = lambda sde, z: lambda x, t: score(sde, z)(x, t) * jnp.array([1.0, 0.6])

    def mean(by, of):
        def one(i, t):
            data_key, key = jax.random.split(jax.random.fold_in(KEY, i))
            return latent_schedule(encode, lambda z: schedule(z, by), of, None)(key, DATA.sample(data_key), t)

        n = 4000
        return jax.vmap(one)(jnp.arange(n), (jnp.arange(n) + 0.5) / n).mean()

    slopes = [float(jax.jit(jax.grad(mean), static_argnums=1)(0.5, of)) for of in (score, wrong)]
    assert abs(slopes[1]) > 0.01
    assert np.isfinite(slopes[0])
