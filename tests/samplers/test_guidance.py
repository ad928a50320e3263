"""Guidance against the two labelled components of the mixture: p(y | x_t) is known, and so is p_t(x | y)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from labelled import LABELLED, log_prob_y
from oracle import MIXTURE
from sdes import ARRAYS
from slow import one_in, slow_for

from samplers import classifier, classifier_free, dpmpp_2m, encode, guidance_interval, log_snr_grid, sample
from sde_lib import VPSDE, LogisticSDE


def by_classifier(sde, w):
    return classifier(MIXTURE.score(sde), log_prob_y(sde), w)


def without_classifier(sde, w):
    return classifier_free(LABELLED.score(sde), MIXTURE.score(sde), w)


BOTH = {"classifier": by_classifier, "classifier_free": without_classifier}


@partial(jax.jit, static_argnames="guided")
def scores(sde, guided, x, t, w):
    """Guided; of the tilted density; of p_t(x); of p_t(x | y)."""
    tilted = lambda x: (1 - w) * MIXTURE.log_prob(sde, x, t) + w * LABELLED.log_prob(sde, x, t)
    return guided(sde, w)(x, t), jax.grad(tilted)(x), MIXTURE.score(sde)(x, t), LABELLED.score(sde)(x, t)


@one_in(3)
@slow_for(*ARRAYS)
@pytest.mark.parametrize("guided", BOTH.values(), ids=BOTH)
def test_guided_score_is_that_of_the_tilted_density(sde, guided):
    """grad log p_t(x)^(1 - w) p_t(x | y)^w: the score itself at w = 0, the conditional one at w = 1."""
    for x, log_snr in ((jnp.array([0.3, -0.2]), 1.0), (jnp.array([-1.1, 0.6]), -2.0)):
        t = sde.time_at(jnp.asarray(log_snr))
        for w in (0.0, 1.0, 0.4, 3.0):
            got, tilted, unconditional, conditional = scores(traced(sde), guided, x, t, w)
            scale = float(jnp.abs(conditional).max())
            np.testing.assert_allclose(got, tilted, atol=1e-5 * scale)
            if w in (0.0, 1.0):
                np.testing.assert_allclose(got, conditional if w else unconditional, atol=1e-5 * scale)
        assert float(jnp.abs(conditional - unconditional).max()) > 1e-3 * scale


@jax.jit
def sampled(sde, grid):
    """4000 draws with the classifier's gradient."""
    step = dpmpp_2m(sde, by_classifier(sde, 1.0))

    def one(key):
        prior_key, step_key = jax.random.split(key)
        return sample(step_key, step, sde.prior_sample(prior_key, (2,)), grid)[0]

    return jax.vmap(one)(jax.random.split(jax.random.key(0), 4000))


@one_in(3)
@slow_for(*ARRAYS)
def test_guided_samples_are_the_component(sde):
    """Mean and covariance to 4.5 standard errors, and 0.01 for the solver and for what of the data is left at t = 1."""
    x = np.asarray(sampled(traced(sde), log_snr_grid(sde, 40, max(sde.t_min, 1e-3))))
    std = LABELLED.std
    np.testing.assert_allclose(x.mean(0), LABELLED.means[0], atol=4.5 * std / np.sqrt(len(x)) + 0.01)
    np.testing.assert_allclose(np.cov(x.T), std**2 * np.eye(2), atol=4.5 * std**2 * np.sqrt(2 / len(x)) + 0.001)


def test_guided_likelihood_is_the_component_s():
    """log p(x | y) along the guided flow, at any x."""
    sde, x = VPSDE(), jnp.array([-0.8, 0.3])
    encoding = jax.jit(lambda x: encode(sde, by_classifier(sde, 1.0), x, t_min=1e-3))(x)
    assert float(encoding.log_prob) == pytest.approx(float(LABELLED.log_prob(sde, x, 1e-3)), abs=0.02)


@jax.jit
def weighted(sde, ratio, x, w):
    """The weight at sigma/alpha = ratio, and each guidance with that weight and with a constant w."""
    weight, t = guidance_interval(sde, 3.0, 0.2, 2.0), sde.time_at(-2 * jnp.log(ratio))
    return weight(t), [(guided(sde, weight)(x, t), guided(sde, w)(x, t)) for guided in BOTH.values()]


@slow_for(*ARRAYS)
def test_guidance_interval_is_1_outside(sde):
    """w in (low, high] of sigma/alpha and 1 elsewhere, as the weight of either guidance."""
    for ratio, w in ((0.1, 1.0), (0.25, 3.0), (1.8, 3.0), (2.5, 1.0)):
        weight, pairs = weighted(traced(sde), ratio, jnp.array([0.1, 0.4]), w)
        assert float(weight) == w
        for by_function, by_constant in pairs:
            np.testing.assert_allclose(by_function, by_constant, rtol=1e-6)


def test_guidance_interval_is_of_the_noise_of_any_sde():
    """Of sigma^2 = int g^2 = 0.1 t + 9.95 t^2: it is 1 at t = 0.312."""
    weight = guidance_interval(LogisticSDE(), 2.0, 0.1, 1.0)
    np.testing.assert_array_equal([weight(t) for t in (0.02, 0.3, 0.33)], [1.0, 2.0, 1.0])
