"""Reflow on a flow in closed form: what joins its ends by straight paths is known, and one step of Euler's follows them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import one_in

from losses import reflow, sigma2
from samplers import ddim, encode, sample
from sde_lib import LogisticSDE, RectifiedFlowSDE

SHIFT, SCALE = jnp.array([0.5, -1.0]), jnp.array([0.2, 0.7])
KEYS = jax.random.split(jax.random.key(0), 5)


def flow(x_1):
    """The flow of the prior N(0, 1) to N(SHIFT, SCALE^2), coordinate by coordinate."""
    return SHIFT + SCALE * x_1


def noise_of(sde, x_1):
    """The z with alpha(1) x_0 + sigma(1) z = x_1, x_0 = flow(x_1)."""
    return (x_1 - sde.alpha(1.0) * flow(x_1)) / sde.sigma(1.0)


def affine(function):
    """(a, b) with function(x_1) = a x_1 + b in each coordinate."""
    b, a = jax.jvp(function, (jnp.zeros(2),), (jnp.ones(2),))
    return a, b


def straight(sde):
    """-E[z | x_t]/sigma of the pairs: x_t is affine in x_1, which it therefore tells, and z with it."""

    def score(x, t):
        a, b = affine(lambda x_1: sde.perturb(flow(x_1), noise_of(sde, x_1), t))
        return -noise_of(sde, (x - b) / a) / sde.sigma(t)

    return score


@one_in(4)
@pytest.mark.parametrize("t", [0.01, 0.5, 1.0])
def test_the_loss_is_of_the_velocity_along_the_pair(sde, t):
    """mean |u_hat - u|^2, u = alpha' x_0 + sigma' z, at the x_t on the way from x_0 = flow(x_1) to x_1 itself."""
    score, x_1 = lambda x, t: jnp.sin(x) - x, sde.prior_sample(KEYS[0], (2,))
    x_t, u = jax.jvp(lambda t: sde.perturb(flow(x_1), noise_of(sde, x_1), t), (t,), (1.0,))
    if t == 1:
        np.testing.assert_allclose(x_t, x_1, rtol=1e-5, atol=1e-6)
    exact = float(jnp.mean((sde.reverse_drift(score, 0.0)(x_t, t) - u) ** 2))
    assert float(reflow(sde, score, flow)(KEYS[0], jnp.zeros(2), t)) == pytest.approx(exact, rel=1e-2)


def test_straight_paths_leave_no_loss():
    """Where one x_1 leads through each x_t, the velocity is known without error; that of another flow is not."""
    sde = RectifiedFlowSDE()
    for t in (1e-3, 0.3, 0.9):
        mine, other = (reflow(sde, straight(sde), of)(KEYS[1], jnp.zeros(2), t) for of in (flow, lambda x_1: 0.5 * flow(x_1)))
        assert float(mine) < 1e-6 < 1e-3 < float(other)


@pytest.mark.slow
def test_one_step_of_euler_s_method_follows_straight_paths():
    """From t = 1 to 0: x_0 = flow(x_1), to rounding; and the density along the flow is that of x_t."""
    sde, t, x = RectifiedFlowSDE(), 0.1, jnp.array([0.4, -0.2])
    step, grid = ddim(sde, straight(sde)), jnp.array([1.0, 0.0])
    x_1 = jax.vmap(lambda key: sde.prior_sample(key, (2,)))(KEYS)
    ends = jax.vmap(lambda x: sample(KEYS[0], step, x, grid)[0])(x_1)
    np.testing.assert_allclose(ends, jax.vmap(flow)(x_1), atol=5e-4)
    a, b = affine(lambda x_1: sde.perturb(flow(x_1), noise_of(sde, x_1), t))
    exact = jax.scipy.stats.norm.logpdf(x, b, a).sum()
    assert float(encode(sde, straight(sde), x, t_min=t).log_prob) == pytest.approx(float(exact), abs=2e-3)


def test_no_gradient_reaches_the_flow_or_the_example():
    sde = RectifiedFlowSDE()
    loss = lambda scale, x: reflow(sde, straight(sde), lambda x_1: scale * x_1, sigma2)(KEYS[2], x, 0.5)
    assert all(float(jnp.abs(g).max()) == 0 for g in jax.grad(loss, (0, 1))(0.3, jnp.ones(2)))


def test_a_nonlinear_sde_is_refused_by_name():
    with pytest.raises(TypeError, match=r"reflow needs alpha\(t\) and sigma\(t\), and LogisticSDE is not"):
        reflow(LogisticSDE(), lambda x, t: x, flow)
