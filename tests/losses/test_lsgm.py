"""The objectives of codes and their score, against cross entropies and gradients of Gaussians in closed form."""

from functools import partial
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import expectation
from oracle import Mixture
from sdes import KIN
from slow import slow_for

from losses import (
    continuous_bound,
    dsm,
    importance,
    latent,
    latent_two_times,
    likelihood,
    prior_term,
    sigma2,
    uniform,
)
from sde_lib import VESDE, VPSDE, GeometricVPSDE, LogisticSDE, SubVPSDE

Q = Mixture(jnp.array([[0.7]]), 0.3**0.5, jnp.ones(1))
P = Mixture(jnp.array([[0.0]]), 1.4**0.5, jnp.ones(1))


def excess(sde, t):
    """CE(q_t || p_t) - log(2 pi e sigma^2)/2, in float64: q_t = N(0.7 alpha, 0.3 alpha^2 + sigma^2), p_t of 1.4."""
    alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
    variance = 1.4 * alpha**2 + sigma**2
    return 0.5 * (np.log(variance / sigma**2) + (0.3 * alpha**2 + sigma**2 + (0.7 * alpha) ** 2) / variance - 1)


@slow_for(*KIN)
def test_the_cross_entropy_is_an_integral_of_the_score_s_error(isotropic_sde):
    """CE(q_e || p_e) = log(2 pi e s_e^2)/2 + int g^2/2 E|grad log q(z_t | z_0) - grad log p_t|^2 dt + {the same at t = 1}."""
    sde = isotropic_sde
    bound = continuous_bound(sde, P.score(sde), None, 400)
    with patch.object(jax.random, "uniform", lambda key: jnp.float32(1 / 800)):  # the rule of the midpoint
        integral = jax.jit(lambda: expectation(lambda key, z: bound(key, z).diffusion, 2, Q))()
    assert float(integral) == pytest.approx(excess(sde, sde.t_min) - excess(sde, 1.0), abs=2e-3)


@pytest.mark.parametrize(
    ("sde", "dropped"), [(VPSDE(), 1.7e-5), (SubVPSDE(), 1.7e-5), (GeometricVPSDE(), 4.0e-4), (VESDE(), 1.6e-4)]
)
def test_what_the_paper_drops_is_the_prior_term(sde, dropped):
    """{CE(q_1 || p_1) - log(2 pi e s_1^2)/2}, recomputed in float64, and to its first order in SNR(1) E L_T."""
    assert excess(sde, 1.0) == pytest.approx(dropped, rel=0.03)
    assert float(expectation(lambda key, z: prior_term(sde, z), 2, Q)) == pytest.approx(dropped, rel=0.03)


W, PSI = jnp.array([[1.0, 0.3], [-0.5, 0.8], [0.2, -0.7]]), 0.4
X = jnp.array([0.9, -0.4, 1.3])
CODEC = {"A": jnp.array([[0.5, -0.1, 0.3], [0.2, 0.6, -0.2]]), "log_s": jnp.array([-0.7, -0.2])}


def encode(params, key, x):
    """Probabilistic PCA, x = W z + sqrt(psi) n, and q(z | x) = N(A x, diag s^2), which is not its posterior."""
    s, n = jnp.exp(params["log_s"]), jax.random.normal(key, (2,))
    z = params["A"] @ x + s * n
    log_q = -jnp.sum(n**2 / 2 + params["log_s"]) - jnp.log(2 * jnp.pi)
    log_likelihood = -jnp.sum((x - W @ z) ** 2) / (2 * PSI) - 1.5 * jnp.log(2 * jnp.pi * PSI)
    return z, log_q - log_likelihood


def bound(params, x):
    """E cost + CE(q(z | x) || N(0, I)), in closed form."""
    m, s = params["A"] @ x, jnp.exp(params["log_s"])
    log_q = -jnp.sum(params["log_s"]) - jnp.log(2 * jnp.pi) - 1
    error = jnp.sum((x - W @ m) ** 2) + jnp.sum((W * s) ** 2)
    distortion = error / (2 * PSI) + 1.5 * jnp.log(2 * jnp.pi * PSI)
    return log_q + distortion + jnp.log(2 * jnp.pi) + jnp.sum(m**2 + s**2) / 2


def score(sde, net):
    """That of N(0, I) if `net` is one."""
    return lambda z, t: -net * z / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2)


def algorithm(number, sde):
    """loss(params, key, t, 1/p(t), t_w, 1/p(t_w)) of X, per dimension: Vahdat et al. (2021)'s algorithm of that number."""

    def apart(params, key, t, inverse_density, t_w, inverse_density_w):
        held = dsm(sde, score(sde, jax.lax.stop_gradient(params["net"])), likelihood)
        loss = latent_two_times(sde, partial(encode, params["codec"]), held, dsm(sde, score(sde, params["net"])))
        got = loss(key, X, t, t_w)
        return got.cost + inverse_density * got.encoder + inverse_density_w * got.score

    def together(params, key, t, inverse_density, *_):
        weight = likelihood if number == 1 else sigma2
        objective = dsm(sde, score(sde, params["net"]), weight)
        got = latent(sde, partial(encode, params["codec"]), objective, weight)(key, X, t)
        return got.cost + inverse_density * got.score

    return apart if number == 2 else together


THREE = {"VP": VPSDE(), "geometric VP": GeometricVPSDE(), "VE": VESDE()}


@pytest.mark.slow
@slow_for("geometric VP", "VE")
@pytest.mark.parametrize("sde", THREE.values(), ids=THREE)
def test_the_three_algorithms_train_the_encoder_by_the_bound(sde):
    """The mean gradient of each is that of the closed form."""
    n = 20_000
    slope = jax.grad(bound)(CODEC, X)
    draws = importance(sde, prior_variance=1.0).sample(jax.random.key(0), None, n)
    others = uniform(sde).sample(jax.random.key(1), None, n)
    keys, params = jax.random.split(jax.random.key(2), n), {"codec": CODEC, "net": jnp.ones(())}
    for number in (1, 2, 3):
        of_one = jax.grad(algorithm(number, sde))
        gradients = jax.jit(jax.vmap(partial(of_one, params)))(keys, *draws, *others)["codec"]
        for name, gradient in gradients.items():
            error = np.abs(X.size * gradient.mean(0) - slope[name])
            tolerance = 4.5 * X.size * gradient.std(0) / n**0.5 + 5e-3
            np.testing.assert_array_less(error, tolerance, err_msg=f"algorithm {number}, {name}")


@slow_for("geometric VP", "VE")
@pytest.mark.parametrize("sde", THREE.values(), ids=THREE)
def test_at_two_times_the_codec_pays_the_bound(sde):
    """The mean of cost and of the integral, with L_0 = d/2 (log 2 pi e - lambda(t_min)), which is constant: the closed form."""
    n = 20_000
    loss = latent_two_times(sde, partial(encode, CODEC), dsm(sde, score(sde, 1.0), likelihood), dsm(sde, score(sde, 1.0)))
    t, inverse_density = importance(sde, prior_variance=1.0).sample(jax.random.key(0), None, n)
    got = jax.jit(jax.vmap(lambda key, t: loss(key, X, t, t)))(jax.random.split(jax.random.key(1), n), t)
    total = X.size * (got.cost + inverse_density * got.encoder) + np.log(2 * np.pi * np.e) - sde.log_snr(sde.t_min)
    assert float(total.mean()) == pytest.approx(float(bound(CODEC, X)), abs=4.5 * float(total.std()) / n**0.5 + 5e-3)


def test_two_times_train_each_its_own():
    """The codec pays its cost and L_T. The score's loss is the objective of the code, and its gradient reaches no codec."""
    sde, key, t_w = VPSDE(0.1, 3.0), jax.random.key(0), 0.6  # where L_T is not small
    alone = lambda net: dsm(sde, score(sde, net))

    @jax.jit
    def loss(codec, net):
        return latent_two_times(sde, partial(encode, codec), alone(1.0), alone(net))(key, X, 0.3, t_w)

    code_key, _, score_key = jax.random.split(key, 3)
    z, cost = encode(CODEC, code_key, X)
    assert float(loss(CODEC, 0.8).cost) == pytest.approx(float(cost + prior_term(sde, z)) / 3, rel=1e-5)
    of_codec, of_net = jax.grad(lambda *params: loss(*params).score, (0, 1))(CODEC, 0.8)
    assert not any(leaf.any() for leaf in jax.tree.leaves(of_codec))
    assert float(of_net) == pytest.approx(float(jax.grad(lambda net: alone(net)(score_key, z, t_w))(0.8)), rel=1e-5)


def test_a_nonlinear_sde_is_refused_by_name():
    with pytest.raises(TypeError, match=r"latent_two_times needs alpha.*LogisticSDE is not a LinearSDE"):
        latent_two_times(LogisticSDE(), encode, lambda *a: 0.0, lambda *a: 0.0)
