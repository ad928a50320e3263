"""Hybrid score matching, the other objectives, draws of t and the bound on augmented SDEs, against closed forms."""

from functools import partial
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import nodes, noise
from jax.scipy.stats import norm
from oracle import AUGMENTED_NUMBER as ONE
from sdes import AUGMENTED

import losses
from losses import continuous_bound, dsm, esm, importance, ism, likelihood, log_normal, prior_term, sigma2, ssm, ssm_vr
from sde_lib import CLD

T, KEY = 0.3, jax.random.key(0)


@pytest.fixture(params=AUGMENTED, ids=list(AUGMENTED))
def sde(request):
    return AUGMENTED[request.param]


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def expectation(of, sde, n=3):
    """E of(key, x_0) over x_0 of ONE, with zeros beside it, and the noise z [1, k], exactly."""
    points, weights = nodes(n, 1 + sde.k)

    def at(point):
        x_0 = jnp.zeros((1, sde.k)).at[0, 0].set(ONE.means[0, 0] + ONE.std * point[0])
        with noise(point[1:][None]):
            return of(KEY, x_0)

    return jax.tree.map(lambda a: jnp.tensordot(weights, a, 1), jax.vmap(at)(points))


def bent(score, delta):
    """score + delta h, with h of all variables."""
    return lambda x, t: score(x, t) + delta * jnp.stack([x[..., 1] + 1.0, x[..., 0] - 0.3 * x[..., 1] + 0.2], -1)


def over_signs(loss, key, x_0, t):
    """The mean over every Rademacher vector of one number's variables."""
    signs = jnp.stack(jnp.meshgrid(*[jnp.array([-1.0, 1.0])] * 2), -1).reshape(-1, 1, 2)

    def at(v):
        with patch.object(jax.random, "rademacher", lambda key, shape, dtype: v):
            return loss(key, x_0, t)

    return jax.vmap(at)(signs).mean()


OBJECTIVES = {
    "dsm": lambda sde, score: dsm(sde, score),
    "dsm likelihood": lambda sde, score: dsm(sde, score, likelihood),
    "dsm soft truncation": lambda sde, score: dsm(sde, score, losses.soft_truncation),
    "ism": ism,
    "ssm": lambda sde, score: partial(over_signs, ssm(sde, score)),
    "ssm_vr": lambda sde, score: partial(over_signs, ssm_vr(sde, score)),
    "esm": lambda sde, score: esm(sde, score, ONE.score(sde)),
}
WEIGHTS = {"dsm": sigma2, "dsm soft truncation": losses.soft_truncation}
"""The weight of each objective; of the others likelihood."""


@pytest.mark.usefixtures("float64")
def test_the_exact_score_minimises_every_objective(sde):
    """d/d delta of the mean loss of s + delta h is 2 delta w/D E h_v^2: of the velocity's score alone, and 0 at the exact s."""
    h, exact = bent(lambda x, t: jnp.zeros_like(x), 1.0), ONE.score(sde)

    @jax.jit
    def slopes(delta):
        mean = lambda make, delta: expectation(lambda key, x_0: make(sde, bent(exact, delta))(key, x_0, T), sde, 5)
        return {name: jax.grad(partial(mean, make))(delta) for name, make in OBJECTIVES.items()}

    square = expectation(lambda key, x_0: h(sde.perturb(x_0, jax.random.normal(key, x_0.shape), T), T)[0, -1] ** 2, sde)
    at_the_minimum, beside = slopes(0.0), slopes(0.5)
    for name in OBJECTIVES:
        w = float(WEIGHTS.get(name, likelihood)(sde, T)[-1])
        assert float(beside[name]) == pytest.approx(2 * 0.5 * w / sde.k * float(square), rel=1e-4), name
        assert abs(float(at_the_minimum[name])) < 1e-5 * float(beside[name]), name


def test_dsm_is_hybrid_score_matching(sde):
    """sigma^2 |score_v + l eps_v|^2 = |eps_v - eps_v_hat|^2, over all numbers, whatever v_0 was (Dockhorn et al. 2022)."""
    x_0, eps_hat = jnp.array([[0.3, 5.0], [-0.8, -5.0]]), jnp.array([[7.0, 0.1], [7.0, -0.4]])
    loss = dsm(sde, lambda x, t: -eps_hat / sde.sigma(t))
    exact = jnp.sum((jax.random.normal(KEY, (2, 2)) - eps_hat)[:, 1] ** 2) / 4
    assert float(loss(KEY, x_0, T)) == pytest.approx(float(exact), rel=1e-5)
    assert float(loss(KEY, x_0.at[:, 1].set(0.0), T)) == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.parametrize("make", [importance, partial(log_normal, mean=1.0, std=3.0)], ids=["importance", "log_normal"])
def test_draws_of_t_are_unbiased(sde, make):
    """E[h(t) / p(t)] = int h dt."""
    t, inverse_density = jax.jit(lambda: make(sde, t_min=0.05).sample(jax.random.key(1), None, 10_000))()
    exact = 0.95 + (np.sin(3) - np.sin(0.15)) / 3
    assert float(np.mean((1 + np.cos(3 * np.asarray(t))) * np.asarray(inverse_density))) == pytest.approx(exact, rel=5e-3)
    assert 0.05 - 1e-6 <= float(t.min()) <= float(t.max()) <= 1


@pytest.mark.slow
def test_importance_makes_the_likelihood_weight_constant(sde):
    """g^2/sigma^2 of the velocity over p(t) is k Z, Z = level(t_min) - level(1)."""
    t, inverse_density = importance(sde, 1e-3).sample(KEY, None, 64)
    ratio = jax.vmap(lambda t: (sde.diffusion(t) / sde.sigma(t))[-1] ** 2)(t)
    np.testing.assert_allclose(ratio * inverse_density, sde.k * (sde.level(1e-3) - sde.level(1.0)), rtol=1e-3)


def entropies(sde, t):
    """Entropies, in nats, of x_t and of x_t given x_0, for one number of the data."""
    L = sde.noise_factor(t)
    _, C = ONE.moments(sde, t)
    return [float(jnp.linalg.slogdet(2 * jnp.pi * jnp.e * S)[1]) / 2 for S in (C, L @ L.T)]


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_the_diffusion_term_is_a_difference_of_entropies(sde):
    """int g^2/2 E|score - grad log p(x_t | x_0)|^2 dt = H(t_min) - H(1) - (H(t_min | x_0) - H(1 | x_0)), by the exact score.

    For CLD and data of variance 0.49 from t = 0.001 on, H(t_min) - H(1) is -1.68463266 (in numpy, by another formula).
    """
    t_min, m = 1e-3, 400
    bound = continuous_bound(sde, ONE.score(sde), None, m, t_min)
    with patch.object(jax.random, "uniform", lambda key: jnp.float64(1 / (2 * m))):
        mean = jax.jit(lambda: expectation(lambda key, x_0: bound(key, x_0), sde))()
    (first, first_given), (last, last_given) = entropies(sde, t_min), entropies(sde, 1.0)
    assert float(mean.diffusion) == pytest.approx(first - last - (first_given - last_given), abs=1e-4)
    if sde == CLD():
        assert float(mean.diffusion) + first_given - last_given == pytest.approx(-1.68463266, abs=1e-4)
        assert first - last == pytest.approx(-1.68463266, abs=1e-8)


@pytest.mark.usefixtures("float64")
def test_the_bound_of_the_exact_score_is_the_entropy_of_the_data(sde):
    """With log q(v) as the codec's cost: H(x_0) and two divergences, at the prior and at t_min, that are next to nothing."""
    t_min, m = 1e-3, 400
    bound = continuous_bound(sde, ONE.score(sde), None, m, t_min)

    def one(key, x_0):
        return bound(key, x_0).total + norm.logpdf(x_0[..., 1:], scale=sde.auxiliary_std).sum()

    with patch.object(jax.random, "uniform", lambda key: jnp.float64(1 / (2 * m))):
        total = float(jax.jit(lambda: expectation(one, sde))())
    entropy = np.log(2 * np.pi * np.e * 0.49) / 2
    assert entropy - 1e-4 < total < entropy + 1e-3


def test_the_prior_term_is_a_gaussian_divergence(sde):
    L, mean = np.asarray(sde.noise_factor(1.0), np.float64), 0.7 * np.asarray(sde.mean_factor(1.0), np.float64)[:, 0]
    exact = mean @ np.linalg.solve(L @ L.T, mean) / 2
    assert float(prior_term(sde, jnp.full((3, sde.k), 0.7))) == pytest.approx(3 * exact, rel=1e-3)


@pytest.mark.slow
def test_cells_of_all_levels_sum_to_one(sde):
    """Grey levels given x_t, by the most likely x_0 of it."""
    width, x_0 = 0.25, -1 + 0.25 * jnp.arange(9)
    x_t = lambda x: sde.perturb(jnp.zeros((1, sde.k)).at[0, 0].set(x), jnp.zeros((1, sde.k)), 0.05)

    def mass(x):
        """That of the level x, if x_t is what 0.3 makes without noise: the z which takes x there instead."""
        z = sde.whiten(x_t(0.3) - x_t(x), 0.05)
        with noise(z):
            event = jnp.concatenate([x.reshape(1, 1), jnp.zeros((1, sde.k - 1))], 1)
            nll = losses.reconstruction_term(sde, lambda x, t: x, width, -1.0)(KEY, event, 0.05)
        return jnp.exp(-nll - jnp.sum(norm.logpdf(event[0, 1:], scale=sde.auxiliary_std)))

    assert float(jax.vmap(mass)(x_0).sum()) == pytest.approx(1.0, abs=1e-4)


def test_what_needs_alpha_says_so():
    sde, score = CLD(), lambda x, t: x
    refused = {
        "vlb": lambda: losses.vlb(sde, score, 10),
        "hybrid": lambda: losses.hybrid(sde, score, 10),
        "elbo": lambda: losses.elbo(sde, score, 10),
        "bridge": lambda: losses.bridge(sde, score, jnp.zeros((2, 2))),
        "reflow": lambda: losses.reflow(sde, score, lambda x: x),
        "latent": lambda: losses.latent(sde, lambda key, x: (x, 0.0), dsm(sde, score)),
        "diffusion_term": lambda: losses.diffusion_term(sde, score),
        "importance by a prior_variance": lambda: importance(sde, prior_variance=1.0),
        **{
            weight.__name__: lambda weight=weight: weight(sde, T)
            for weight in (losses.min_snr, losses.p2, losses.edm, losses.velocity)
        },
    }
    for who, ask in refused.items():
        with pytest.raises(TypeError, match=rf"^{who} needs alpha.*CLD is not a LinearSDE; \w+"):
            ask()
