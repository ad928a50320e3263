"""LearnedVPSDE at knots that training could leave: its clock in closed form, and every promise of a linear SDE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid
from slow import one_in

from sde_lib import LearnedVPSDE, LogLinearVPSDE, check

T = np.linspace(0.0, 1.0, 401)
KNOTS = {
    "rough": tuple(np.random.default_rng(0).normal(0, 2, 17).tolist()),
    "even": (0.7,) * 17,
    "two": (1.0, -3.0),
    "steep": (-12.0, 4.0, 12.0, -12.0, 0.0),
}


def sde_of(name):
    return LearnedVPSDE(9.0, -6.0, KNOTS[name])


def at(function, t=T):
    return np.asarray(jax.vmap(function)(jnp.asarray(t)))


@one_in(4)
@pytest.mark.parametrize("name", KNOTS)
def test_it_keeps_every_promise_of_a_linear_sde(name):
    check(sde_of(name))


@one_in(4)
@pytest.mark.parametrize("name", KNOTS)
def test_the_clock_is_the_share_of_the_integral_of_the_rate(name):
    """c(t) = int_0^t r / int_0^1 r, r linear between softplus(knots): the trapezoidal rule is exact on 400 parts of 16."""
    with jax.enable_x64(True):
        rate = np.interp(T, np.linspace(0, 1, len(KNOTS[name])), np.logaddexp(0, KNOTS[name]))
        c = cumulative_trapezoid(rate, T, initial=0)
        np.testing.assert_allclose(at(sde_of(name).log_snr), 9.0 - 15.0 * c / c[-1], atol=1e-12)
        inside = T[1:-1]  # at a knot the slope is that of the rate, from either side
        slope = at(jax.grad(sde_of(name).log_snr), inside)
        np.testing.assert_allclose(slope, -15.0 * rate[1:-1] / c[-1], rtol=1e-12)


@one_in(4)
@pytest.mark.parametrize("name", KNOTS)
def test_time_at_is_the_inverse(name):
    """To rounding in float64; and in float32 the log-SNR of what it returns is the one that was asked for."""
    sde = sde_of(name)
    with jax.enable_x64(True):
        np.testing.assert_allclose(at(lambda t: sde.time_at(sde.log_snr(t))), T, atol=1e-9)
    levels = np.linspace(-6.0, 9.0, 301, dtype=np.float32)
    t = at(sde.time_at, levels)
    assert np.isfinite(t).all()
    assert ((t >= 0) & (t <= 1 + 1e-6)).all()
    np.testing.assert_allclose(at(sde.log_snr, t), levels, atol=2e-4)


def test_equal_knots_are_the_log_linear_schedule():
    fixed = LogLinearVPSDE(9.0, -6.0)
    for function in ("log_snr", "alpha", "sigma", "diffusion"):
        np.testing.assert_allclose(at(getattr(sde_of("even"), function)), at(getattr(fixed, function)), rtol=2e-5, atol=1e-5)


@pytest.mark.slow
def test_gradients_reach_the_knots():
    """By differences, of the log-SNR and of the time at one."""
    with jax.enable_x64(True):
        knots = jnp.asarray(KNOTS["rough"])
        for of in (lambda k: LearnedVPSDE(9.0, -6.0, k).log_snr(0.37), lambda k: LearnedVPSDE(9.0, -6.0, k).time_at(1.3)):
            gradient, h = jax.grad(of)(knots), 1e-6
            numeric = [(of(knots.at[j].add(h)) - of(knots.at[j].add(-h))) / (2 * h) for j in range(len(knots))]
            np.testing.assert_allclose(gradient, numeric, atol=1e-7)
            assert np.abs(gradient).max() > 1e-3
