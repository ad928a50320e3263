"""Flow matching is denoising score matching: its losses, written as their papers write them, to rounding and at one draw."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import one_in

import losses
from losses import dsm
from models import MLP, eps, score_model, v, velocity, x0
from samplers import ddim, sample, uniform_grid
from sde_lib import RectifiedFlowSDE

X_0, KEY = jnp.array([0.3, -0.8]), jax.random.key(0)
NET = partial(MLP, width=8, depth=1)


def net(x, t):
    """A function of the place and the time, in the place of a network."""
    return jnp.sin(3 * x + t) - 0.3 * x


def score_by(parameterization, sde):
    """The score that `net` is by a parameterisation, without a scale or a clock for its input."""

    def score(x, t):
        c = parameterization(sde, t, 1.0)
        return -(c.skip * x + c.out * net(x, t)) / sde.sigma(t)

    return score


@one_in(4)
@pytest.mark.parametrize("t", [0.05, 0.4, 0.95])
def test_the_loss_of_the_velocity_is_flow_matching_s(sde, t):
    """mean |u_hat(x_t, t) - (alpha' x_0 + sigma' eps)|^2: Lipman et al. (2023), eq. 14, and Liu et al. (2023), eq. 1."""
    z = jax.random.normal(KEY, X_0.shape)
    x_t, u = jax.jvp(lambda t: sde.perturb(X_0, z, t), (t,), (1.0,))
    exact = float(jnp.mean((net(x_t, t) - u) ** 2))
    loss = dsm(sde, score_by(velocity, sde), losses.velocity)(KEY, X_0, t)
    assert float(loss) == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize("parameterization", [eps, v, x0])
def test_the_velocity_of_any_prediction(sde, parameterization):
    """Under another parameterisation the loss is that of the drift of the flow which the score has."""
    t, z, score = 0.4, jax.random.normal(KEY, X_0.shape), score_by(parameterization, sde)
    x_t, u = jax.jvp(lambda t: sde.perturb(X_0, z, t), (t,), (1.0,))
    exact = float(jnp.mean((sde.reverse_drift(score, 0.0)(x_t, t) - u) ** 2))
    assert float(dsm(sde, score, losses.velocity)(KEY, X_0, t)) == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize("t", [0.01, 0.4, 1.0])
def test_a_network_of_x_0_under_the_velocity_s_weight_is_jit_s(t):
    """Li & He (2025), whose time is 1 - t: |(x_hat - x_t)/max(t, 0.05) - (x_0 - x_t)/max(t, 0.05)|^2."""
    sde = RectifiedFlowSDE()
    x_t = sde.perturb(X_0, jax.random.normal(KEY, X_0.shape), t)
    exact = float(jnp.mean(((net(x_t, t) - x_t) / max(t, 0.05) - (X_0 - x_t) / max(t, 0.05)) ** 2))
    loss = dsm(sde, score_by(x0, sde), partial(losses.velocity, sigma_min=0.05))(KEY, X_0, t)
    assert float(loss) == pytest.approx(exact, rel=2e-3)


@pytest.mark.slow
def test_gradients_of_a_network_are_those_of_flow_matching():
    """With respect to its parameters, of the mean over a batch that draws t as Stable Diffusion 3 does."""
    sde, times = RectifiedFlowSDE(), losses.logit_normal(RectifiedFlowSDE(), unbiased=False)
    model, x = score_model(NET, sde, velocity), jax.random.normal(jax.random.key(1), (6, 3))
    params = jax.tree.map(lambda a: a + 0.1, model.init(KEY, x[0]))
    t_key, key = jax.random.split(KEY)
    t, _ = times.sample(t_key, None, 6)

    def matched(params):
        def one(key, x_0, t):
            x_t, u = jax.jvp(lambda t: sde.perturb(x_0, jax.random.normal(key, x_0.shape), t), (t,), (1.0,))
            return jnp.mean((sde.reverse_drift(partial(model.apply, params), 0.0)(x_t, t) - u) ** 2)

        return jnp.mean(jax.vmap(one)(jax.random.split(key, 6), x, t))

    written = lambda params: losses.batch_mean(dsm(sde, partial(model.apply, params), losses.velocity), times, KEY, x)
    mine, theirs = (jax.jit(jax.value_and_grad(loss))(params) for loss in (written, matched))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4), mine, theirs)


def test_ddim_on_the_rectified_flow_is_euler_s_method():
    """x_s = x_t + (s - t) u_hat(x_t, t), from noise to t = 0 itself."""
    sde, x = RectifiedFlowSDE(), jnp.array([0.4, -0.9, 1.7])
    grid = uniform_grid(sde, 8, 0.0)
    got, _ = sample(KEY, ddim(sde, score_by(velocity, sde)), x, grid)
    for t, s in pairwise(grid):
        x = x + (s - t) * net(x, t)
    np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)
