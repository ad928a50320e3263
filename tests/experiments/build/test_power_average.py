"""The power-function average, against the integrals that define it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from experiments.build.power_average import Profile, exponent, fit, inner_product, newest_weight

WIDTHS = (1e-3, 0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.28)


def density(profile, tau):
    return (profile.gamma + 1) * (tau / profile.t) ** profile.gamma / profile.t if tau <= profile.t else 0.0


def tracked(theta, gamma):
    """The average after each step, as training keeps it: in float32, from any initial value."""

    def step(average, now):
        n, value = now
        weight = newest_weight(gamma, n)
        average = weight * value + (1 - weight) * average
        return average, average

    return jax.lax.scan(step, jnp.float32(7.0), (jnp.arange(len(theta)), jnp.asarray(theta, jnp.float32)))[1]


def exact(theta, gamma):
    """The integral of parameters that stay at theta[n] from time n to n + 1, up to the last time, in float64."""
    edges = (np.arange(len(theta) + 1) / len(theta)) ** (gamma + 1)
    return np.diff(edges) @ theta


@pytest.mark.parametrize("sigma_rel", WIDTHS)
def test_the_exponent_has_the_width(sigma_rel):
    """The standard deviation of the profile on [0, 1], by its moments and by quadrature."""
    gamma = exponent(sigma_rel)
    assert np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) == pytest.approx(sigma_rel, rel=1e-6)
    near_the_end = {"points": [1 - 20 / (gamma + 1)] if gamma > 20 else None}
    moments = [quad(lambda tau, k=k: (gamma + 1) * tau ** (gamma + k), 0, 1, **near_the_end)[0] for k in range(3)]
    assert moments[0] == pytest.approx(1)
    assert np.sqrt(moments[2] - moments[1] ** 2) == pytest.approx(sigma_rel, rel=1e-3)


def test_the_published_exponents():
    """Karras et al. (2024) name gamma = 16.97 and 6.94 for the widths of 5 % and 10 %."""
    assert exponent(0.05) == pytest.approx(16.97, abs=0.01)
    assert exponent(0.10) == pytest.approx(6.94, abs=0.01)


def test_a_constant_is_its_own_average():
    np.testing.assert_allclose(tracked(np.full(100, 3.0), exponent(0.1)), 3.0, rtol=1e-6)


@pytest.mark.parametrize("sigma_rel", [0.05, 0.1, 0.25])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_average_of_a_power_of_time(sigma_rel, k):
    """It is (gamma + 1)/(gamma + k + 1) t^k, but for the steps, which are an integral of their own."""
    gamma, n = exponent(sigma_rel), 4000
    theta = (np.arange(1, n + 1) / n) ** k
    ours = tracked(theta, gamma)
    assert ours[-1] == pytest.approx((gamma + 1) / (gamma + k + 1), abs=k / n)
    for m in (1, 2, 17, n):
        assert ours[m - 1] == pytest.approx(exact(theta[:m], gamma), rel=3e-5)


@pytest.mark.parametrize("one", [Profile(100, 6.94), Profile(40, 16.97)])
@pytest.mark.parametrize("other", [Profile(100, 6.94), Profile(80, 0.5), Profile(30, 16.97)])
def test_inner_products_are_integrals(one, other):
    by_quadrature, _ = quad(lambda tau: density(one, tau) * density(other, tau), 0, min(one.t, other.t))
    assert inner_product(one, other) == inner_product(other, one) == pytest.approx(by_quadrature, rel=1e-8)


def basis(t, snapshots, *sigma_rels):
    return [Profile(t * (i + 1) / snapshots, exponent(s)) for i in range(snapshots) for s in sigma_rels]


@pytest.mark.parametrize("snapshots", [1, 2, 8, 64])
def test_a_profile_of_the_basis_is_fitted_by_itself(snapshots):
    profiles = basis(1000, snapshots, 0.05, 0.1)
    weights, distance = fit(profiles[-1], profiles)
    assert distance < 1e-4
    np.testing.assert_allclose(weights, np.eye(len(profiles))[-1], atol=1e-6)


@pytest.mark.parametrize("sigma_rel", [0.06, 0.08, 0.12, 0.15])
@pytest.mark.parametrize("snapshots", [2, 8, 32])
def test_a_fit_is_as_near_as_it_says(sigma_rel, snapshots):
    """Quadrature finds it; its weights sum to 1, and are small enough for averages in float32."""
    target, profiles = Profile(1000, exponent(sigma_rel)), basis(1000, snapshots, 0.05, 0.1)
    weights, distance = fit(target, profiles)
    tau = np.linspace(0, 1000, 400_001)[1:]
    with np.errstate(invalid="ignore"):
        values = lambda p: np.where(tau <= p.t, (p.gamma + 1) * (tau / p.t) ** p.gamma / p.t, 0)
    p = values(target)
    off = sum(w * values(q) for w, q in zip(weights, profiles, strict=True)) - p
    assert np.sqrt((off**2).sum() / (p**2).sum()) == pytest.approx(distance, abs=5e-3)
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert abs(weights).max() < 3


@pytest.mark.parametrize("sigma_rel", [0.06, 0.08, 0.12])
def test_a_width_that_nobody_kept_from_the_averages_that_were(sigma_rel):
    """Parameters that wander are met within the error that the fit states, by Cauchy and Schwarz."""
    n, snapshots = 2000, 16
    theta = 5 + np.cumsum(np.random.default_rng(0).normal(size=n)) / np.sqrt(n)
    averages = {s: np.asarray(tracked(theta, exponent(s))) for s in (0.05, 0.1, sigma_rel)}
    profiles, target = basis(n, snapshots, 0.05, 0.1), Profile(n, exponent(sigma_rel))
    weights, distance = fit(target, profiles)
    values = [averages[s][n * (i + 1) // snapshots - 1] for i in range(snapshots) for s in (0.05, 0.1)]
    bound = distance * np.sqrt(inner_product(target, target) * np.sum((theta - theta.mean()) ** 2))
    assert abs(weights @ values - averages[sigma_rel][-1]) <= bound + 1e-4
    assert bound < 0.1
