"""DiffFlow, the loss of whole paths, on linear drifts, where its mean and its minimum have closed forms."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import noises
from jax.scipy.optimize import minimize
from jax.scipy.stats import norm
from sdes import Plain

from losses import diffflow
from sde_lib import SDE, VPSDE


class Ornstein(SDE):
    """dx = -theta(t) x dt + g dw, of which theta may be learned, towards N(0, 1)."""

    g = 0.9
    t_min = 0.0

    def __init__(self, theta):
        self.theta = theta

    def drift(self, x, t):
        return -self.theta(t) * x

    def diffusion(self, t):
        return self.g * jnp.ones_like(t)

    def prior_sample(self, key, shape):
        return jax.random.normal(key, shape)

    def prior_log_prob(self, x):
        return norm.logpdf(x).sum()


def mean(sde, score, n, variance):
    """E of the loss of n steps, which is quadratic in its noises and in x_0 ~ N(0, variance), a scalar: exact."""

    def value(of):
        with noises(of[1:]):
            return diffflow(sde, score, n)(jax.random.key(0), of[0], 0.5)  # JAX would know one that has run, with its noises

    of = jnp.zeros(n + 1)
    return value(of) + jnp.diagonal(jax.hessian(value)(of)) @ jnp.ones(n + 1).at[0].set(variance) / 2


def rate(h):
    """(1 - sqrt(1 - h g^2))/h."""
    return (1 - jnp.sqrt(1 - h * Ornstein.g**2)) / h


def reversible(n):
    """theta(t) and the slope of the score by which n steps of either direction on N(0, 1) are the reverse of the other's.

    A step of length h multiplies by sqrt(1 - h g^2). One from, or to, sqrt(t) = i/n has h = (2 sqrt(t) +- 1/n)/n.
    """
    theta = lambda t: rate((2 * jnp.sqrt(t) + 1 / n) / n)
    return theta, lambda t: -(theta(t) + rate((2 * jnp.sqrt(t) - 1 / n) / n)) / Ornstein.g**2


def test_every_path_has_the_density_where_the_directions_are_reverse():
    """Of data N(0, I) each loss is -log p(x_0)/D, whatever the noises."""
    theta, slope = reversible(5)
    loss = jax.jit(diffflow(Ornstein(theta), lambda x, t: slope(t) * x, 5))
    x = jax.random.normal(jax.random.key(1), (4, 3))
    got = [loss(jax.random.key(i), x_0, 0.5) for i, x_0 in enumerate(x)]
    np.testing.assert_allclose(got, -norm.logpdf(x).mean(1), atol=1e-5)


def test_drift_and_score_are_learned_by_descent():
    """Of one step, from elsewhere, both find that minimum, whose value is the entropy of the data."""
    loss = lambda params: mean(Ornstein(lambda t: params[0]), lambda x, t: params[1] * x, 1, 1.0)
    with jax.enable_x64(True):
        best = jax.jit(lambda: minimize(loss, jnp.array([0.9, -0.2]), method="BFGS"))()
        np.testing.assert_allclose(best.x, [rate(1.0), -2 * rate(1.0) / Ornstein.g**2], atol=1e-4)
    assert float(best.fun) == pytest.approx(np.log(2 * np.pi * np.e) / 2, abs=1e-6)


def bound(n, variance=0.3):
    """The mean loss of n steps on VP by the exact score of N(0, variance), and the mean -log p of what the sampler draws."""
    vp = VPSDE()
    score = lambda x, t: -x / (vp.alpha(t) ** 2 * variance + vp.sigma(t) ** 2)
    loss = jax.jit(lambda: mean(Plain(vp), score, n, variance))()
    v = 1.0
    for t, s in pairwise(np.linspace(1.0, np.sqrt(vp.t_min), n + 1) ** 2):
        slope = vp.drift(jnp.ones(()), t) - vp.diffusion(t) ** 2 * score(1.0, t)
        v = (1 + (s - t) * slope) ** 2 * v + (t - s) * vp.diffusion(t) ** 2
    return float(loss), float(np.log(2 * np.pi * v) + variance / v) / 2


@pytest.mark.slow
def test_it_bounds_the_density_of_the_sampler():
    """From above, by a gap that halves with a small step; both tend to the entropy of the data."""
    with jax.enable_x64(True):
        loss, nll = np.array([bound(n) for n in (200, 400)]).T
    gap = loss - nll
    assert (gap > 0).all()
    assert 2 < gap[0] / gap[1] < 2.3
    assert loss[-1] == pytest.approx(np.log(2 * np.pi * np.e * 0.3) / 2, abs=2e-3)


def test_the_backward_pass_keeps_the_path_alone():
    """What a gradient stores does not grow by more than the parameters with the width of the network."""

    def stored(width, n=20):
        score = lambda params, x, t: params @ jnp.tanh(params.T @ x)
        loss = lambda params: diffflow(Plain(VPSDE()), partial(score, params), n)(jax.random.key(0), jnp.ones(3), 0.5)
        _, pull = jax.vjp(loss, jnp.ones((3, width)))
        return sum(np.size(leaf) for leaf in jax.tree.leaves(pull))

    assert stored(500) - stored(100) < 3 * 3 * 400
