"""Grids: their ends, their spacing and the papers' formulas."""

import jax
import numpy as np
import pytest
from slow import one_in

from samplers import arctan_grid, karras_grid, log_snr_grid, quadratic_grid, shifted_grid, uniform_grid
from sde_lib import VESDE, VPSDE, LogisticSDE

BY_TIME = {"uniform": uniform_grid, "quadratic": quadratic_grid, "shifted": shifted_grid}
BY_NOISE = {"log_snr": log_snr_grid, "karras": karras_grid, "arctan": arctan_grid}
GRIDS = BY_TIME | BY_NOISE


def ratio(sde, grid):
    """sigma/alpha at every time, or its geometric mean over coordinates."""
    return np.exp(-np.asarray(jax.vmap(sde.level)(grid), np.float64) / 2)


@one_in(4)
@pytest.mark.parametrize("name", GRIDS)
def test_grids_decrease_from_1_to_their_end(sde, name):
    """n + 1 times, whatever the end and the n."""
    for n, t_min in ((12, None), (1, 0.01)):
        times = np.asarray(GRIDS[name](sde, n, t_min))
        assert times.shape == (n + 1,)
        assert times[0] == 1
        assert times[-1] == pytest.approx(sde.t_min if t_min is None else t_min)
        assert (np.diff(times) < 0).all()


@pytest.mark.parametrize("name", ["uniform", "quadratic", "shifted", "arctan"])
def test_grids_that_reach_the_data(sde, name):
    """t_min = 0, where sigma may be 0 and the log-SNR infinite."""
    times = np.asarray(GRIDS[name](sde, 20, 0.0))
    assert times[0] == 1
    assert times[-1] == 0
    assert (np.diff(times) < 0).all()


@one_in(4)
@pytest.mark.parametrize("name", BY_NOISE)
def test_grids_end_at_the_same_noise_on_every_sde(sde, name):
    assert float(sde.level(BY_NOISE[name](sde, 10, log_snr_max=4.0)[-1])) == pytest.approx(4.0, abs=1e-2)


def test_grids_by_time_are_even(sde):
    """t, and the square root of t."""
    np.testing.assert_allclose(np.diff(uniform_grid(sde, 8, 0.2)), -0.1, rtol=1e-5)
    np.testing.assert_allclose(np.diff(np.sqrt(quadratic_grid(sde, 8, 0.04))), -0.1, rtol=1e-5)


def test_shifted_grid_has_k_times_the_odds_of_an_even_one():
    """t/(1 - t) of every inner time; k = 1 is the even grid; k and 1/k are mirror images in t -> 1 - t."""
    sde, odds = VPSDE(), lambda t: np.asarray(t, np.float64) / (1 - np.asarray(t, np.float64))
    shifted, even = shifted_grid(sde, 10, 0.0, shift=3.0)[1:-1], uniform_grid(sde, 10, 0.0)[1:-1]
    np.testing.assert_allclose(odds(shifted), 3 * odds(even), rtol=1e-5)
    np.testing.assert_allclose(shifted_grid(sde, 8, 0.2, shift=1.0), uniform_grid(sde, 8, 0.2), rtol=1e-6)
    np.testing.assert_allclose(shifted_grid(sde, 10, 0.0, 1 / 3)[::-1], 1 - shifted_grid(sde, 10, 0.0, 3.0), atol=1e-6)


def test_log_snr_grid_is_even_in_log_snr(sde):
    level = jax.vmap(sde.level)(log_snr_grid(sde, 10, 0.05))
    np.testing.assert_allclose(np.diff(level), float(level[-1] - level[0]) / 10, rtol=2e-2)


def test_karras_grid_is_even_in_the_root_of_the_noise(sde):
    """(s_0^(1/rho) + i/n (s_n^(1/rho) - s_0^(1/rho)))^rho, of s = sigma/alpha."""
    s = ratio(sde, karras_grid(sde, 10, 0.05, rho=3.0)) ** (1 / 3)
    np.testing.assert_allclose(s, np.linspace(s[0], s[-1], 11), rtol=5e-3)


def test_karras_grid_is_edm_s():
    """18 levels from 80 to 0.002 at rho = 7, as EDM's code gives them in float64."""
    sde = VESDE(0.002, 80.0)
    sigma = np.asarray(jax.vmap(sde.sigma)(karras_grid(sde, 17)))
    np.testing.assert_allclose(sigma[[0, 1, 2, 15, 16, 17]], [80, 57.586, 40.786, 0.022935, 0.0075280, 0.002], rtol=1e-3)
    i = np.arange(18)
    np.testing.assert_allclose(sigma, (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7, rtol=1e-3)


def test_arctan_grid_is_even_in_its_angle(sde):
    """arctan(log(s/centre)/width), of s = sigma/alpha; and to the data, where the angle is -pi/2."""
    angle = np.arctan(np.log(ratio(sde, arctan_grid(sde, 10, 0.05, centre=0.5, width=2.0, knee=1e-6)) / 0.5) / 2.0)
    np.testing.assert_allclose(angle, np.linspace(angle[0], angle[-1], 11), atol=5e-3)


def test_arctan_grid_reaches_its_knee_one_step_before_the_end():
    """s = knee/n^power before s = 0; where the end lies above the knee all steps lead to it."""
    knee = lambda n, t_min: ratio(VPSDE(), arctan_grid(VPSDE(), n, t_min, knee=2.0, power=1.5))
    for n in (2, 5, 40):
        np.testing.assert_allclose(knee(n, 0.0)[-2:], [2 / n**1.5, 0.0], rtol=1e-3)
    assert knee(1, 0.0)[-1] == 0
    assert knee(5, 0.5)[-2] > 1.1 * knee(5, 0.5)[-1] > 2 / 5**1.5


@pytest.mark.parametrize("name", BY_NOISE)
def test_what_needs_alpha_and_sigma_says_so(name):
    with pytest.raises(TypeError, match=f"{name}_grid needs alpha.*LogisticSDE is not a LinearSDE; uniform_grid serves any"):
        BY_NOISE[name](LogisticSDE(), 4)
    assert BY_TIME["uniform"](LogisticSDE(), 4).shape == (5,)
