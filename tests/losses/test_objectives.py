"""Score matching objectives against each other and against the score they must find, by exact expectations."""

from functools import partial
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import expectation, noises
from oracle import GAUSSIAN
from sdes import KIN, Plain
from slow import one_in, slow_for

import losses
from losses import dsm, esm, hybrid, ism, likelihood, ssm, ssm_vr, vlb
from losses.forward import forward
from sde_lib import VPSDE, LogisticSDE

T = 0.4
SIGNS = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
WEIGHTS = (
    losses.sigma2,
    losses.likelihood,
    losses.min_snr,
    losses.p2,
    partial(losses.edm, sigma_data=0.7),
    losses.soft_truncation,
    losses.velocity,
)


def bent(score, delta):
    """score + delta h, with h of degree two, of divergence x_1 + 2 x_2 and no gradient of anything."""
    return lambda x, t: score(x, t) + delta * jnp.stack([x[0] * x[1] + 0.3, x[1] ** 2 - x[0]])


def over_signs(loss, *args):
    """The mean over every Rademacher vector."""

    def at(v):
        with patch.object(jax.random, "rademacher", lambda key, shape, dtype: v):
            return loss(*args)

    return jax.vmap(at)(SIGNS).mean()


@one_in(3)
def test_implicit_is_denoising_up_to_a_constant(sde):
    """E dsm = E ism + w/sigma^2, for a score that is none (Hyvärinen 2005, Vincent 2011)."""
    score, weight = bent(GAUSSIAN.score(sde), 0.7), lambda sde, t: 1.7 * sde.sigma(t) ** 2
    mean = lambda make: expectation(lambda key, x_0: make(sde, score, weight)(key, x_0, T))
    denoising, implicit = jax.jit(lambda: (mean(dsm), mean(ism)))()
    assert float(denoising) == pytest.approx(float(implicit) + 1.7, rel=1e-4)


@one_in(3)
def test_explicit_is_the_gap_of_denoising(sde):
    """E esm(score, target) = E dsm(score) - E dsm(target) at target = grad log p_t (Vincent 2011)."""
    exact = GAUSSIAN.score(sde)
    score = bent(exact, 0.7)
    gap = expectation(lambda key, x_0: dsm(sde, score, likelihood)(key, x_0, T) - dsm(sde, exact, likelihood)(key, x_0, T))
    assert float(expectation(lambda key, x_0: esm(sde, score, exact)(key, x_0, T))) == pytest.approx(float(gap), rel=2e-3)


@one_in(3)
def test_sliced_is_implicit_on_average_over_the_probes(sde):
    """At one x_t, the mean over all sign vectors is `ism` itself (Song et al. 2019, sec. 3)."""
    score, args = bent(GAUSSIAN.score(sde), 0.7), (jax.random.key(3), jnp.array([0.3, -0.8]), T)
    average = lambda make: over_signs(make(sde, score), *args)
    implicit, *sliced = jax.jit(lambda: (ism(sde, score)(*args), average(ssm), average(ssm_vr)))()
    np.testing.assert_allclose(sliced, float(implicit), rtol=1e-4)


def test_one_probe_alone_is_not_the_trace():
    """The four sign vectors give two values: without it the test above would prove nothing."""
    loss = ssm_vr(VPSDE(), bent(GAUSSIAN.score(VPSDE()), 0.7))
    values = [float(loss(jax.random.key(k), jnp.ones(2), T)) for k in range(2)]
    assert abs(values[0] - values[1]) > 1e-2


def at(loss, t):
    """The loss at one t."""
    return lambda key, x_0: loss(key, x_0, t)


def objectives(sde):
    """name -> (t, c, score -> loss(key, x_0)), where the mean loss is c E|score - grad log p_t|^2 plus a constant.

    If c is an array, it is sum_i c_i E(score - grad log p_t)_i^2.
    """
    made = {}
    w = lambda weight: weight(sde, T) / 2
    for weight in WEIGHTS:
        name = getattr(weight, "__name__", "edm")
        made[f"dsm {name}"] = T, w(weight), lambda score, weight=weight: at(dsm(sde, score, weight), T)
    made["ism"] = T, w(likelihood), lambda score: at(ism(sde, score), T)
    made["ssm"] = T, w(likelihood), lambda score: lambda *args: over_signs(ssm(sde, score), *args, T)
    made["ssm_vr"] = T, w(likelihood), lambda score: lambda *args: over_signs(ssm_vr(sde, score), *args, T)
    made["esm"] = T, w(likelihood), lambda score: at(esm(sde, score, GAUSSIAN.score(sde)), T)
    # Of the two times T and 1, n/D = 1. First L_0 = |d|^2/2, d = -sigma times the error, then (SNR(T)/SNR(1) - 1) |d|^2/2.
    late = partial(vlb, sde, n=2, width=None, t_min=0.9)
    gain = jnp.expm1(sde.log_snr(0.9) - sde.log_snr(1.0))
    made["L_0"] = T, w(losses.sigma2), lambda score: at(vlb(sde, score, 2, None, t_min=T), T)
    made["L_1"] = 1.0, gain * sde.sigma(1.0) ** 2 / 2, lambda score: at(late(score=score), 1.0)
    made["hybrid"] = (
        T,
        w(losses.sigma2),
        lambda score: at(hybrid(sde, lambda x, t: (score(x, t), 0.3 * x), 2, None, 5.0, t_min=T), T),
    )
    return made


@slow_for(*KIN)
def test_the_exact_score_minimises_every_objective(sde):
    """d/d delta of the mean loss of s + delta h is 2 delta sum_i c_i E h_i^2: zero at the exact s, at every weight."""
    made, h = objectives(sde), bent(lambda x, t: jnp.zeros(2), 1.0)

    @jax.jit
    def slopes(delta):
        mean = lambda make, delta: expectation(make(bent(GAUSSIAN.score(sde), delta)))
        return {name: jax.grad(partial(mean, make))(delta) for name, (_, _, make) in made.items()}

    squares = lambda t: expectation(lambda key, x_0: h(sde.perturb(x_0, jax.random.normal(key, (2,)), t), t) ** 2)
    at_the_minimum, beside = slopes(0.0), slopes(0.5)
    for name, (t, c, _) in made.items():
        assert float(beside[name]) == pytest.approx(float(jnp.sum(c * squares(t))), rel=5e-3), name
        assert abs(float(at_the_minimum[name])) < 2e-3 * float(beside[name]), name


@pytest.mark.slow
def test_any_sde_has_its_score_as_the_minimiser():
    """The logistic SDE leaves its prior as it is: there, at the prior's score, the slope of the mean loss is zero.

    x_t is simulated; the seven per cent by which a wrong factor of the score would show are far above the bias of its steps.
    """
    sde, n = LogisticSDE(), 20_000
    score = jax.grad(sde.prior_log_prob)

    def slope(make, theta, key):
        data_key, key = jax.random.split(key)
        mean = lambda theta: make(sde, lambda x, t: theta * score(x), n_steps=40)(key, sde.prior_sample(data_key, (2,)), 0.5)
        return jax.grad(mean)(theta)

    for make in (ism, ssm, ssm_vr):
        at = jax.jit(jax.vmap(partial(slope, make), (None, 0)))
        keys = jax.random.split(jax.random.key(0), n)
        exact, off = at(1.0, keys), at(1.075, keys)
        error = float(exact.std()) / n**0.5
        assert abs(float(exact.mean())) < 4 * error, make.__name__
        assert float(off.mean()) > 6 * error, make.__name__


def test_simulated_forward_has_order_two():
    """On VP it is a x_0 + sum_i c_i z_i: a - alpha(t) and sum_i c_i^2 - sigma(t)^2 fall fourfold with half the step."""
    vp = VPSDE()

    def errors(n):
        def end(x_0, z):
            with noises(z):
                return forward(Plain(vp), n)(jax.random.key(0), x_0, T)

        a, c = jax.jit(jax.grad(end, (0, 1)))(1.0, jnp.zeros(n))
        return float(a - vp.alpha(T)), float(jnp.sum(c**2) - vp.sigma(T) ** 2)

    with jax.enable_x64(True):
        by_n = np.array([errors(n) for n in (25, 50, 100)])
    np.testing.assert_allclose(np.diff(np.log2(np.abs(by_n)), axis=0), -2, atol=0.1)


@one_in(3)
def test_hybrid_trains_the_score_by_the_simple_loss_and_v_by_the_bound(sde):
    """Each parameter's gradient is that of its own part; the network is called once."""
    key, x_0, calls = jax.random.key(2), jnp.array([0.3, -0.8]), []
    n = 1 + round(2 / min(0.5, 2 * float(sde.time_at(0.0))))  # 5, or more where at t = 0.5 next to nothing of the data is left
    t = jnp.linspace(sde.t_min, 1.0, n)[2]

    def score_and_v(params, x, t):
        calls.append(1)
        return bent(GAUSSIAN.score(sde), params[0])(x, t), jax.nn.sigmoid(params[1] * x)

    both = jax.grad(lambda p: hybrid(sde, partial(score_and_v, p), n, None, 0.1)(key, x_0, t))(jnp.array([0.4, 0.6]))
    assert len(calls) == 1
    simple = jax.grad(lambda delta: dsm(sde, bent(GAUSSIAN.score(sde), delta))(key, x_0, t))(0.4)
    v = lambda p, x, t: jax.nn.sigmoid(p * x)
    bound = jax.grad(lambda p: vlb(sde, bent(GAUSSIAN.score(sde), 0.4), n, None, partial(v, p))(key, x_0, t))(0.6)
    np.testing.assert_allclose(both, [simple, 0.1 * bound], rtol=1e-3)
    assert abs(float(bound)) > 1e-2 * abs(float(simple))
