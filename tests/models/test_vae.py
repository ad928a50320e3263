"""The VAE against probabilistic PCA, whose evidence, posterior and most likely parameters are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import nodes, noise
from oracle import MIXTURE
from ppca import CORRELATED, DIAGONAL, PPCA, kl
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from training import trained

from experiments.data.scaler import Scaler
from models import ConvDecoder, ConvEncoder, Perceptron, gaussian, logistic_mixture, vae
from sde_lib import VPSDE

KEY = jax.random.key(0)
X = np.array([0.9, -1.1, 0.3])


def evidence(model, x, keys):
    """log p(z) - cost of a draw of z for each key."""
    z, cost = jax.jit(jax.vmap(model.codec.encode, (None, 0, None)))(model.params(), keys, jnp.asarray(x, jnp.float32))
    return np.asarray(z), norm.logpdf(z).sum(-1) - cost


def loss_at(model, params, x, beta=1.0):
    """The mean over z of the loss, exact for a linear decoder."""
    z, weights = nodes(3, model.W.shape[1])

    def at(n):
        with noise(n):
            return model.codec.loss(params, KEY, jnp.asarray(x, jnp.float32), beta)

    return weights @ jax.jit(jax.vmap(at))(z)


def test_with_the_exact_posterior_every_draw_is_the_evidence():
    """log p(z) - cost = log p(x) for every z, and the mean loss is -log p(x)."""
    _, every = evidence(DIAGONAL, X, jax.random.split(KEY, 100))
    exact = DIAGONAL.log_prob(X)
    np.testing.assert_allclose(every, exact, rtol=2e-5)
    assert float(loss_at(DIAGONAL, DIAGONAL.params(), X)) == pytest.approx(-exact, rel=1e-5)


def test_a_diagonal_posterior_loses_its_divergence():
    """log p(z) - cost = log p(x) - log q(z|x) + log p(z|x) at every z, and the mean loss -log p(x) + KL(q || p(z|x))."""
    z, every = evidence(CORRELATED, X, jax.random.split(KEY, 100))
    log_q, log_posterior = (multivariate_normal(*law).logpdf(z) for law in (CORRELATED.q(X), CORRELATED.posterior(X)))
    np.testing.assert_allclose(every, CORRELATED.log_prob(X) - log_q + log_posterior, rtol=1e-4)
    gap = float(loss_at(CORRELATED, CORRELATED.params(), X)) + CORRELATED.log_prob(X)
    assert gap == pytest.approx(kl(CORRELATED.q(X), CORRELATED.posterior(X)), rel=1e-3)


def test_draws_tighten_the_bound():
    """E log 1/K sum p(x, z_k)/q(z_k | x) rises in K to log p(x) (Burda et al. 2016)."""
    _, every = evidence(CORRELATED, X, jax.random.split(KEY, 400 * 200))
    bounds = [float((logsumexp(np.asarray(every).reshape(-1, K), axis=1) - np.log(K)).mean()) for K in (1, 5, 200)]
    assert bounds[0] < bounds[1] < bounds[2]
    assert bounds[2] == pytest.approx(CORRELATED.log_prob(X), abs=5e-3)


def test_beta_weighs_the_rate():
    """d loss/d beta = KL(q || N(0, I))."""
    params, (mean, covariance) = CORRELATED.params(), CORRELATED.q(X)
    rate = float(loss_at(CORRELATED, params, X, 2.0) - loss_at(CORRELATED, params, X, 1.0))
    assert rate == pytest.approx(kl((mean, covariance), (np.zeros(2), np.eye(2))), rel=1e-4)


def test_a_decoder_that_ignores_its_code_collapses_the_posterior():
    """W = 0: the best q is the prior, where the KL is 0, the loss -log p(x) at every draw, and no gradient moves q."""
    model = PPCA(np.zeros((3, 2)), np.array([0.4, -0.2, 1.0]), 0.3)
    loss, gradient = jax.jit(jax.value_and_grad(model.codec.loss))(model.params(), KEY, jnp.asarray(X, jnp.float32), 1.0)
    assert float(loss) == pytest.approx(-model.log_prob(X), rel=1e-5)
    np.testing.assert_allclose(gradient["encoder"]["last"]["kernel"], 0, atol=1e-6)
    np.testing.assert_allclose(gradient["encoder"]["last"]["bias"], 0, atol=1e-6)


def test_decoded_codes_are_draws_of_the_likelihood():
    """Of N(W z + mean, psi I), and its mean without a key."""
    z, params = jnp.array([0.7, -0.4]), CORRELATED.params()
    mean = CORRELATED.codec.decode(params, None, z)
    np.testing.assert_allclose(mean, CORRELATED.W @ z + CORRELATED.mean, rtol=1e-5)
    draws = np.asarray(jax.vmap(CORRELATED.codec.decode, (None, 0, None))(params, jax.random.split(KEY, 4000), z))
    np.testing.assert_allclose(draws.mean(0), mean, atol=5 * (0.3 / 4000) ** 0.5)
    np.testing.assert_allclose(draws.var(0), 0.3, rtol=5 * (2 / 4000) ** 0.5)


@pytest.mark.slow
def test_a_linear_vae_learns_pca():
    """W W^T + psi I of most likelihood: the top eigenvectors, and for psi the mean of the discarded eigenvalues (Tipping &
    Bishop 1999; Lucas et al. 2019); and its loss is then -log p of the data."""
    true = PPCA(np.array([[2.0, 0.5], [-1.0, 1.5], [0.5, 0.7], [0.0, -1.0], [1.0, 0.2]]), np.arange(5.0) / 2, 0.4)
    x = true.sample(500)
    params, loss = trained(true.codec, jnp.asarray(x, jnp.float32), steps=6000)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    psi = values[:3].mean()
    best = vectors[:, 3:] @ np.diag(values[3:] - psi) @ vectors[:, 3:].T
    W = np.asarray(params["decoder"]["last"]["kernel"]).T
    assert float(jnp.exp(2 * params["likelihood"])) == pytest.approx(psi, rel=0.03)
    np.testing.assert_allclose(W @ W.T, best, atol=0.05 * values[-1])
    most_likely = multivariate_normal(x.mean(0), best + psi * np.eye(5)).logpdf(x).mean()
    assert loss == pytest.approx(-most_likely, abs=0.02)


@pytest.mark.slow
def test_a_vae_comes_close_to_the_entropy_and_never_below():
    """Of a mixture of two Gaussians, on draws that it has not seen: half as far from it as the one Gaussian of most likelihood,
    the best that a linear one can."""
    x, fresh = jax.vmap(MIXTURE.sample)(jax.random.split(KEY, 24_000)).reshape(2, -1, 2)
    net = partial(Perceptron, width=32)
    codec = vae(partial(net, emitted=(4,)), partial(net, emitted=(2,)), gaussian())
    params, _ = trained(codec, x, steps=2000, batch=256)
    z, cost = jax.vmap(codec.encode, (None, 0, 0))(params, jax.random.split(KEY, len(fresh)), fresh)
    log_p = np.asarray(jax.vmap(lambda x: MIXTURE.log_prob(VPSDE(), x, 0.0))(fresh))
    gap = log_p + cost - norm.logpdf(z).sum(-1)
    one = (log_p - multivariate_normal(fresh.mean(0), np.cov(fresh.T)).logpdf(fresh)).mean()
    assert -5 * float(gap.std()) / len(gap) ** 0.5 < float(gap.mean()) < one / 2


@pytest.mark.slow
def test_codes_of_images_beat_independent_pixels():
    """The bound on held-out digits is below the entropy of pixels that know nothing of each other, each with its own law."""
    from sklearn.datasets import load_digits

    k = load_digits().images.astype(int)[np.random.default_rng(0).permutation(1797)]
    counts = 1 + (k[:1297, None] == np.arange(17)[:, None, None]).sum(0)
    log_p = np.log(counts / counts.sum(0))
    alone = -np.take_along_axis(log_p, k[1297:], axis=0).sum((1, 2)).mean()

    law, size = logistic_mixture(17, 3), {"width": 16, "multipliers": (1, 2)}
    codec = vae(partial(ConvEncoder, channels=8, **size), partial(ConvDecoder, channels=law.channels(1), **size), law)
    x = jnp.asarray(k / 8 - 1, jnp.float32)[..., None]
    params, _ = trained(codec, x[:1297], steps=400, rate=3e-3, batch=64)
    z, cost = jax.jit(jax.vmap(codec.encode, (None, 0, 0)))(params, jax.random.split(KEY, 500), x[1297:])
    log_p = Scaler(17, dequantize=False).log_prob(norm.logpdf(z).sum((1, 2, 3)) - cost, 64)
    assert 0 < -log_p.mean() < 0.95 * alone
