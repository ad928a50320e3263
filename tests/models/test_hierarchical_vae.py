"""The hierarchical VAE: linear groups, of which everything is known in closed form, and the groups of a network."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.special import logsumexp
from jax.scipy.stats import multivariate_normal, norm
from training import trained

from models import Ladder, gaussian, halves, hierarchical_vae

B, SIGMA_2, PSI = 0.6, 0.5, 0.3
W = np.array([[1.0, 0.4], [-0.3, 0.9], [0.5, -0.8]])
"""z_1 ~ N(0, 1), z_2 ~ N(B z_1, SIGMA_2^2), x ~ N(W (z_1, z_2), PSI I)."""
W_1 = W @ [1.0, B]
LAW = np.outer(W_1, W_1) + SIGMA_2**2 * np.outer(W[:, 1], W[:, 1]) + PSI * np.eye(3)
X = jnp.array([0.7, -0.5, 1.1])
LOG_P = float(multivariate_normal.logpdf(X, jnp.zeros(3), jnp.asarray(LAW)))


def posterior(w, variance, law):
    """Gain and deviation of z ~ N(0, variance) given x of this law, of which w z is a part."""
    gain = variance * np.linalg.solve(law, w)
    return gain, np.sqrt(variance * (1 - gain @ w))


POSTERIORS = (posterior(W_1, 1.0, LAW), posterior(W[:, 1], SIGMA_2**2, LAW - np.outer(W_1, W_1)))
"""z_1 given x, and z_2 - B z_1 given x - W_1 z_1."""


class LinearGroup(nnx.Module):
    """Its q is the exact posterior, but for `wrong` in its mean and in the logarithm of its deviation."""

    def __init__(self, number, wrong):
        self.number, self.wrong = number, nnx.Param(jnp.asarray(wrong))

    def prior(self, s):
        return B * s[:, :1], jnp.full((1, 1), np.log(SIGMA_2))

    def residual(self, s, h):
        gain, deviation = POSTERIORS[self.number]
        shift = (h - s[:, :1] * W_1) @ gain[:, None]
        ratio = np.log(deviation / (1.0, SIGMA_2)[self.number])
        return shift + self.wrong[...], jnp.full((1, 1), ratio) + self.wrong[...]

    def merge(self, s, z):
        return s.at[:, self.number].set(z[:, 0])


class Linear(nnx.Module):
    """The state is (z_1, z_2)."""

    def __init__(self, shape, channels, wrong=0.0, *, rngs):
        self.groups = nnx.List([LinearGroup(number, wrong) for number in (0, 1)])

    def features(self, x):
        return x, x

    def start(self):
        return jnp.zeros((1, 2))

    def emit(self, s):
        return s @ W.T


def linear(wrong=0.0, **options):
    """The codec, and its parameters."""
    codec = hierarchical_vae(partial(Linear, wrong=wrong), gaussian(PSI**0.5), (3,), **options)
    return codec, codec.init(jax.random.key(0), X)


@jax.jit
def log_weights(wrong, keys):
    """log N(z; 0, 1) - cost of each draw."""
    codec, params = linear()
    params = jax.tree.map(lambda leaf: wrong, params)
    return jax.vmap(lambda key: (lambda z, cost: norm.logpdf(z).sum() - cost)(*codec.encode(params, key, X)))(keys)


def draws(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def test_of_the_exact_posterior_every_draw_has_the_evidence():
    """log p(z_1) - cost = log p(x), with z_2 integrated out."""
    np.testing.assert_allclose(log_weights(0.0, draws(100)), LOG_P, rtol=1e-5)


@pytest.mark.parametrize("wrong", [0.3, -0.2])
def test_of_another_it_lacks_the_divergence(wrong):
    """E[log p(z_1) - cost] = log p(x) - sum KL(q_l || exact), and the bound of many draws closes the gap."""
    n = 40_000
    w = np.asarray(log_weights(wrong, draws(n)), np.float64)
    lacks = sum((wrong / deviation) ** 2 / 2 + np.expm1(2 * wrong) / 2 - wrong for _, deviation in POSTERIORS)
    assert lacks > 0.2
    assert w.mean() == pytest.approx(LOG_P - lacks, abs=4.5 * w.std() / n**0.5)
    of_many = logsumexp(w.reshape(-1, 1000), axis=1) - np.log(1000)
    assert LOG_P - 0.3 * lacks < of_many.mean() < LOG_P + 4.5 * of_many.std() / 40**0.5


@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_at_beta_1_the_loss_is_the_bound(wrong):
    """E loss = E[cost - log N(z_1)], with divergences in place of their estimates."""
    n, (codec, params) = 20_000, linear(wrong)
    losses = np.asarray(jax.jit(jax.vmap(lambda key: codec.loss(params, key, X, 1.0)))(draws(n, 1)), np.float64)
    lacks = sum((wrong / deviation) ** 2 / 2 + np.expm1(2 * wrong) / 2 - wrong for _, deviation in POSTERIORS)
    assert losses.mean() == pytest.approx(lacks - LOG_P, abs=4.5 * losses.std() / n**0.5)


@pytest.mark.slow
def test_its_loss_trains_q_to_the_posterior():
    """From 0.5 off in mean and in log-deviation: the mean over data of -log p(x) is what is left of the loss."""
    x = jax.random.multivariate_normal(jax.random.key(5), jnp.zeros(3), jnp.asarray(LAW), (32,))
    params, loss = trained(linear(0.5)[0], x, 600)
    np.testing.assert_allclose(jax.tree.leaves(params), 0, atol=0.02)
    evidence = jax.vmap(lambda x: multivariate_normal.logpdf(x, jnp.zeros(3), jnp.asarray(LAW)))(x)
    assert loss == pytest.approx(-float(evidence.mean()), abs=0.02)


def test_beta_weighs_the_divergences_and_free_nats_are_their_least():
    codec, params = linear(0.3)
    free, _ = linear(0.3, free_nats=50.0)
    loss = jax.jit(lambda beta: (codec.loss(params, jax.random.key(2), X, beta), free.loss(params, jax.random.key(2), X, beta)))
    (distortion, _), (whole, costly), (twice, _) = (map(float, loss(beta)) for beta in (0.0, 1.0, 2.0))
    assert twice - whole == pytest.approx(whole - distortion, rel=1e-5)
    assert whole > distortion
    assert costly == pytest.approx(distortion + 2 * 50, rel=1e-5)


def test_decoding_draws_what_is_below_the_code():
    """x has its own law over z_1 ~ N(0, 1); without a key, it is the mean at the mean of z_2."""
    n, (codec, params) = 40_000, linear()
    z = jax.random.normal(jax.random.key(3), (n, 1))
    x = jax.jit(jax.vmap(partial(codec.decode, params)))(draws(n, 4), z)
    np.testing.assert_allclose(np.cov(x.T), LAW, atol=4.5 * np.sqrt(2 / n) * LAW.max())
    np.testing.assert_allclose(codec.decode(params, None, jnp.array([0.8])), 0.8 * W_1, rtol=1e-5)


def test_a_code_is_a_draw_of_its_posterior_by_the_same_key():
    """Whatever the groups below it draw."""
    codec, params = linear(wrong=0.3)
    of_x, draw = halves(codec)
    for key in draws(2):
        np.testing.assert_allclose(draw(params, key, of_x(params, X)), codec.encode(params, key, X)[0], rtol=1e-6)


NETS = {
    "image": (partial(Ladder, width=8, multipliers=(1, 2), groups=2, latent=3), (4, 8, 2), (2, 4, 3)),
    "signal": (partial(Ladder, width=4, multipliers=(1, 1, 2), groups=1, latent=2), (8, 1), (2, 2)),
}
"""A network, the shape of x and that of the code."""


@cache
def of_network(name):
    """The codec, parameters that are nowhere zero, x, and the shape of the code."""
    net, shape, code = NETS[name]
    codec, x = hierarchical_vae(net, gaussian(), shape), jax.random.normal(jax.random.key(0), shape)

    @jax.jit
    def params():
        leaves, structure = jax.tree.flatten(codec.init(jax.random.key(1), x))
        noise = (0.1 * jax.random.normal(key, leaf.shape) for key, leaf in zip(draws(len(leaves)), leaves, strict=True))
        return jax.tree.unflatten(structure, [leaf + each for leaf, each in zip(leaves, noise, strict=True)])

    return codec, params(), x, code


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_network_encodes_to_its_coarsest_group(name):
    """And decodes to the shape of x; its loss has a gradient to every parameter."""
    codec, params, x, code = of_network(name)

    @jax.jit
    def all_of_it(params, key):
        z, cost = codec.encode(params, key, x)
        return z, cost, [codec.decode(params, each, z) for each in (key, None)], jax.grad(codec.loss)(params, key, x, 1.0)

    z, cost, decoded, gradient = all_of_it(params, jax.random.key(2))
    assert z.shape == code
    assert np.isfinite(cost)
    assert [each.shape for each in decoded] == [x.shape, x.shape]
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert leaf.any(), jax.tree_util.keystr(path)


@jax.jit
def bounds(params, keys):
    """cost - log N(z_1) and the loss, of the network of signals."""
    codec, _, x, _ = of_network("signal")

    def both(key):
        z, cost = codec.encode(params, key, x)
        return cost - norm.logpdf(z).sum(), codec.loss(params, key, x, 1.0)

    return jax.vmap(both)(keys)


@pytest.mark.slow
def test_cost_and_loss_of_a_network_are_one_bound():
    """In the mean; the loss has divergences in place of their estimates."""
    n = 4000
    difference = np.subtract(*(np.asarray(each, np.float64) for each in bounds(of_network("signal")[1], draws(n))))
    assert difference.std() > 1e-2
    assert abs(difference.mean()) < 4.5 * difference.std() / n**0.5


@pytest.mark.slow
def test_no_code_is_far_out():
    """Whatever the parameters, |mu| and |log sigma| of the code are at most 5, and what is paid is finite."""
    codec, params, x, _ = of_network("signal")
    wild = params | {"net": jax.tree.map(lambda leaf: 100 * leaf, params["net"])}
    z, cost = jax.jit(codec.encode)(wild, jax.random.key(0), x)
    assert float(jnp.abs(z).max()) < 5 + 5 * np.exp(5)
    assert np.isfinite(cost)


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"for x of shape \(3,\), not \(2,\): build it with that"):
        linear()[0].init(jax.random.key(0), jnp.zeros(2))
