"""The learned variance, from the network's second half through the bound to the sampler's noise."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import expectation
from oracle import GAUSSIAN, MIXTURE

import models
from losses import vlb
from models import DDPM, MLP, score_model
from models.functional import functional
from samplers import ancestral
from sde_lib import VPSDE, ddpm_table, fast_random

KEY, X, T, S = jax.random.key(5), jnp.array([0.4, -0.9]), 0.6, 0.5
Z = fast_random.normal(KEY, (2,))


def moved(net):
    """The model of `net` that learns a variance, with parameters moved off their start."""
    model = score_model(net, VPSDE(), models.v, learned_variance=True)
    return model, jax.tree.map(lambda a: a + 0.1, model.init(jax.random.key(0), X))


def test_a_network_of_two_outputs_is_a_score_and_a_variance():
    """The first half is the score that a network of one output would be; v = (raw + 1)/2 of the second, 1/2 at the start."""
    net = partial(MLP, width=16, outputs=2)
    model, params = moved(net)
    c = models.v(VPSDE(), T, 1.0)
    out, raw = np.split(np.asarray(functional(net).apply(params, c.c_in * X[None], jnp.full(1, c.c_noise), None, None)[0]), 2)
    score, v = model.with_variance(params, X, T)
    np.testing.assert_allclose(score, -(c.skip * X + c.out * out) / VPSDE().sigma(T), rtol=1e-5)
    np.testing.assert_allclose(v, (raw + 1) / 2, rtol=1e-5)
    np.testing.assert_array_equal(score, model.apply(params, X, T))
    np.testing.assert_array_equal(model.with_variance(model.init(KEY, X), X, T)[1], 0.5)


def test_an_image_has_a_variance_of_its_own_shape():
    """Twice the channels out of the U-Net, one image each."""
    net = partial(DDPM, width=4, multipliers=(1,), blocks=1, attention=(), outputs=2)
    model = score_model(net, VPSDE(), learned_variance=True)
    x = jnp.zeros((4, 4, 3))
    score, v = jax.eval_shape(lambda key: model.with_variance(model.init(key, x), x, 0.5), KEY)
    assert score.shape == v.shape == x.shape


def test_the_wrong_number_of_outputs_is_refused():
    for learned, outputs, remedy in (
        (True, 1, r"\(4,\) for x of shape \(2,\), not \(2,\); build it with outputs=2"),
        (False, 2, r"\(2,\) for x of shape \(2,\), not \(4,\); learned_variance=True"),
    ):
        model = score_model(partial(MLP, width=8, outputs=outputs), VPSDE(), learned_variance=learned)
        with pytest.raises(ValueError, match=remedy):
            model.apply(model.init(KEY, X), X, T)
    model = score_model(partial(MLP, width=8), VPSDE())
    with pytest.raises(TypeError, match=r"learned_variance=True\), and a network with outputs=2"):
        model.with_variance(model.init(KEY, X), X, T)


def of_the_data(sde, t=T, s=S):
    """The v at which std is that of p(x_s | x_t) itself, for GAUSSIAN data."""
    spread = lambda t: jnp.hypot(sde.alpha(t) * GAUSSIAN.std, sde.sigma(t))  # of x_t
    largest, smallest = sde.transition(t, s)[1], sde.posterior(X, X, t, s)[1]
    std = spread(s) * largest / spread(t)
    return jnp.log(std / smallest) / jnp.log(largest / smallest)


def test_ancestral_has_the_posterior_s_mean_and_its_own_deviation(sde):
    """x_s = mean of q(x_s | x_t, x_0_hat) + exp(v log std_transition + (1 - v) log std_posterior) z."""
    score = MIXTURE.score(sde)
    mean, smallest = sde.posterior(X, sde.denoise(score, X, T), T, S)
    largest = sde.transition(T, S)[1]
    varied = lambda x, t: 1 / (1 + x**2)
    for v, std in (
        (0.0, smallest),
        (1.0, largest),
        (varied, np.exp(varied(X, T) * np.log(largest) + (1 - varied(X, T)) * np.log(smallest))),
    ):
        x_s, _ = ancestral(sde, score, v).update(KEY, X, (), T, S)
        np.testing.assert_allclose(x_s, mean + std * Z, rtol=1e-4, atol=1e-5)


def test_ancestral_at_the_data_s_variance_is_exact(sde):
    """p(x_s | x_t) of Gaussian data by Bayes' rule: with the right v one step, however long, leaves the process exactly."""
    x_s, _ = ancestral(sde, GAUSSIAN.score(sde), lambda x, t: of_the_data(sde)).update(KEY, X, (), T, S)
    forward, noise = sde.transition(T, S)
    m, variance = sde.alpha(S) * GAUSSIAN.means[0], (sde.alpha(S) * GAUSSIAN.std) ** 2 + sde.sigma(S) ** 2
    precision = 1 / variance + (forward / noise) ** 2
    mean = (m / variance + forward / noise**2 * X) / precision
    np.testing.assert_allclose(x_s, mean + Z / jnp.sqrt(precision), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("v", [0.0, 0.5, 1.0, lambda x, t: jnp.array([0.3, 1.0])], ids=["0", "0.5", "1", "v(x, t)"])
def test_the_last_step_adds_no_noise(v):
    """At sigma_s = 0 every v ends in x_0_hat."""
    for sde in (VPSDE(), ddpm_table(10)):
        score = GAUSSIAN.score(sde)
        x_s, _ = ancestral(sde, score, v).update(KEY, X, (), sde.t_min, 0.0)
        np.testing.assert_allclose(x_s, sde.denoise(score, X, sde.t_min), rtol=1e-5)


def test_the_bound_learns_the_data_s_variance(sde):
    """The mean of `vlb` is stationary in v where the step has the variance of p(x_s | x_t), and has a minimum there."""
    loss = lambda v: vlb(sde, GAUSSIAN.score(sde), 2, None, lambda x, t: v, S)
    slope = jax.jit(jax.grad(lambda v: expectation(lambda key, x_0: loss(v)(key, x_0, 1.0), 2)))
    exact = of_the_data(sde, 1.0, S) * jnp.ones(2)
    below, at, above = (np.asarray(slope(exact + by)) for by in (-0.1, 0.0, 0.1))
    assert (below < 0).all()
    assert (above > 0).all()
    assert (np.abs(at) < 0.02 * above).all()


def test_the_sampler_evaluates_a_network_of_both_once():
    """Under jit the score and v of one network at one x_t cost one evaluation."""
    model, params = moved(partial(MLP, width=64, outputs=2))
    score, v = partial(model.apply, params), lambda x, t: model.with_variance(params, x, t)[1]

    def flops(step):
        cost = jax.jit(lambda x: step.update(KEY, x, (), T, S)[0]).lower(X).compile().cost_analysis()
        assert cost
        return cost["flops"]

    assert flops(ancestral(VPSDE(), score, v)) < 1.2 * flops(ancestral(VPSDE(), score))
