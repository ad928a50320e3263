"""The mixed score: a VAE's prior where its share is zero, the network's score where it is one."""

from functools import partial
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import expectation
from oracle import GAUSSIAN
from sdes import KIN
from slow import slow_for

from losses import continuous_bound
from models import MLP, ScoreModel, eps, mixed, score_model
from sde_lib import VPSDE, LogisticSDE

X, KEY = jnp.array([0.4, -0.9]), jax.random.key(1)
BENT = ScoreModel(lambda *_: (), lambda params, x, *_: jnp.sin(3 * x) - x[::-1], lambda params, x, *_: (jnp.cos(x), 0.3 * x))
"""A score that is none."""


@slow_for(*KIN)
def test_without_the_network_the_bound_is_the_kl_of_a_vae(sde):
    """At a = 0, E_q[bound(z)] = CE(q || N(0, I)), q = N(m, 0.49 I), to the noise at t_min and the signal at t = 1."""
    score = partial(mixed(BENT, sde).apply, {"net": (), "logit": jnp.full(2, -jnp.inf)})
    bound = continuous_bound(sde, score, None, 400)
    with patch.object(jax.random, "uniform", lambda key: jnp.float32(1 / 800)):  # the rule of the midpoint
        mean = float(jax.jit(lambda: expectation(lambda key, z: bound(key, z).total, 2))())
    m, v = np.asarray(GAUSSIAN.means[0], np.float64), GAUSSIAN.std**2
    kl = np.sum(m**2 + v - 1 - np.log(v)) / 2
    assert mean - np.log(2 * np.pi * np.e * v) == pytest.approx(kl, abs=3e-3)


@slow_for(*KIN)
def test_each_channel_has_its_share(sde):
    """(1 - a) times the score of the normal law of x_t for N(0, I) data, and a times the model's."""
    model = mixed(BENT, sde)
    mix = jax.jit(lambda a: model.apply({"net": (), "logit": jnp.log(a) - jnp.log1p(-a)}, X, 0.6))
    normal = -X / (sde.alpha(0.6) ** 2 + sde.sigma(0.6) ** 2)
    for a in ([0.0, 0.5], [0.25, 1.0]):
        share = jnp.array(a)
        np.testing.assert_allclose(mix(share), (1 - share) * normal + share * BENT.apply((), X), rtol=1e-4, atol=1e-5)


def test_on_vp_it_mixes_the_noise_as_lsgm_does():
    """eps_hat = (1 - a) sigma x + a eps_net, at the a of logit -3 where training begins (Vahdat et al. 2021, sec. 3.2)."""
    sde, t = VPSDE(), 0.3
    model = score_model(partial(MLP, width=8, depth=1), sde, eps)
    params = mixed(model, sde).init(KEY, X)
    params["net"] = jax.tree.map(lambda leaf: leaf + 0.1, params["net"])
    assert params["logit"].shape == (2,)
    a, sigma = 1 / (1 + np.exp(3)), sde.sigma(t)
    eps_net = -sigma * model.apply(params["net"], X, t)
    np.testing.assert_allclose(-sigma * mixed(model, sde).apply(params, X, t), (1 - a) * sigma * X + a * eps_net, rtol=1e-4)


def test_gradients_reach_the_network_and_the_shares():
    sde = VPSDE()
    model = mixed(score_model(partial(MLP, width=8, depth=1), sde), sde)
    params = model.init(KEY, X)
    params["net"] = jax.tree.map(lambda leaf: leaf + 0.1, params["net"])
    gradients = jax.grad(lambda params: jnp.sum(model.apply(params, X, 0.3) ** 2))(params)
    assert (gradients["logit"] != 0).all()
    assert sum(bool(leaf.any()) for leaf in jax.tree.leaves(gradients["net"])) > 2


def test_the_variance_is_the_model_s():
    params = {"net": (), "logit": jnp.zeros(2)}
    score, v = mixed(BENT, VPSDE()).with_variance(params, X, 0.3)
    np.testing.assert_allclose(score, (jnp.cos(X) - X) / 2, rtol=1e-5)
    np.testing.assert_array_equal(v, 0.3 * X)


def test_a_nonlinear_sde_is_refused_by_name():
    with pytest.raises(TypeError, match=r"mixed needs alpha.*LogisticSDE is not a LinearSDE; train the model itself"):
        mixed(BENT, LogisticSDE())
