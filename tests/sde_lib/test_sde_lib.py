"""The SDEs against the papers' formulas, and the identities that every linear SDE obeys."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sdes import ARRAYS, Straight
from slow import slow_for

from sde_lib import (
    VESDE,
    VPSDE,
    CosineVPSDE,
    GeometricVPSDE,
    LinearSDE,
    LogisticSDE,
    RectifiedFlowSDE,
    SubVPSDE,
    check,
    ddpm_table,
)
from sde_lib.base import coordinates

T = np.linspace(0.01, 1.0, 67, dtype=np.float32)


def at(function, t=T):
    return np.asarray(jax.vmap(function)(jnp.asarray(t)), np.float64)


def ones(sde):
    """An event of one number for each of the SDE's coordinates."""
    return jnp.ones(coordinates(sde))


def integral(t, beta_min=0.1, beta_max=20.0):
    t = np.asarray(t, np.float64)
    return beta_min * t + (beta_max - beta_min) * t**2 / 2


@slow_for(*ARRAYS)
def test_moment_equations(sde):
    """alpha' = f alpha and (sigma^2)' = 2 f sigma^2 + g^2."""
    each = ones(sde)
    f = at(lambda t: sde.drift(each, t))
    alpha, sigma, g = (at(lambda t, of=of: of(t) * each) for of in (sde.alpha, sde.sigma, sde.diffusion))
    d_alpha, d_sigma2 = (at(jax.jacfwd(lambda t, of=of: of(t) * each)) for of in (sde.alpha, lambda t: sde.sigma(t) ** 2))
    np.testing.assert_allclose(d_alpha, f * alpha, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(d_sigma2, 2 * f * sigma**2 + g**2, rtol=2e-3, atol=1e-3)


def test_vp_is_the_paper_s():
    """Song et al. (2021), eq. 33: alpha = e^(-B/2), sigma^2 = 1 - e^(-B), g^2 = beta."""
    np.testing.assert_allclose(at(VPSDE().alpha), np.exp(-integral(T) / 2), rtol=1e-5)
    np.testing.assert_allclose(at(VPSDE().sigma), np.sqrt(-np.expm1(-integral(T))), rtol=1e-5)
    np.testing.assert_allclose(at(VPSDE().diffusion) ** 2, 0.1 + 19.9 * T, rtol=1e-3)


def test_sub_vp_is_the_paper_s():
    """Song et al. (2021), eqs. 28-29: sigma = 1 - e^(-B), g^2 = beta (1 - e^(-2B))."""
    np.testing.assert_allclose(at(SubVPSDE().sigma), -np.expm1(-integral(T)), rtol=1e-5)
    np.testing.assert_allclose(at(SubVPSDE().diffusion) ** 2, (0.1 + 19.9 * T) * -np.expm1(-2 * integral(T)), rtol=1e-3)


def test_ve_is_the_paper_s():
    """Song et al. (2021), eq. 30: f = 0, g = sigma sqrt(2 log(sigma_max / sigma_min))."""
    assert not at(lambda t: VESDE().drift(jnp.ones(()), t)).any()
    np.testing.assert_allclose(at(VESDE().diffusion), at(VESDE().sigma) * np.sqrt(2 * np.log(5000)), rtol=1e-4)


def test_cosine_is_the_paper_s():
    """Nichol & Dhariwal (2021), eq. 17, at u = 0.9946 t; and alpha^2 + sigma^2 = 1."""
    u = 0.9946 * np.asarray(T, np.float64)
    bar = (np.cos((u + 0.008) / 1.008 * np.pi / 2) / np.cos(0.008 / 1.008 * np.pi / 2)) ** 2
    np.testing.assert_allclose(at(CosineVPSDE().alpha) ** 2, bar, rtol=1e-4)
    np.testing.assert_allclose(at(CosineVPSDE().alpha) ** 2 + at(CosineVPSDE().sigma) ** 2, 1, rtol=1e-6)


def test_geometric_vp_is_the_paper_s():
    """Vahdat et al. (2021): sigma^2 geometric from 3e-5 to 0.999, alpha^2 = 1 - sigma^2, beta = sigma^2 log r/(1 - sigma^2)."""
    variance, log_r = np.geomspace(3e-5, 0.999, len(T)), np.log(0.999 / 3e-5)
    t = np.linspace(0, 1, len(T), dtype=np.float32)
    np.testing.assert_allclose(at(GeometricVPSDE().sigma, t) ** 2, variance, rtol=1e-5)
    np.testing.assert_allclose(at(GeometricVPSDE().alpha, t) ** 2, 1 - variance, rtol=1e-4)
    np.testing.assert_allclose(at(GeometricVPSDE().diffusion, t) ** 2, variance * log_r / (1 - variance), rtol=1e-3)


def test_rectified_flow_is_a_straight_path():
    """alpha = 1 - t and sigma = t to `end`, dx_t/dt the same at every t, f = -(1 - end)/alpha, g^2 = 2 sigma/alpha."""
    sde, end = RectifiedFlowSDE(), 1e-3
    t = np.linspace(end, 1, 67, dtype=np.float32)
    np.testing.assert_allclose(at(sde.alpha, t), 1 - t, atol=1.01 * end)
    np.testing.assert_allclose(at(sde.sigma, t), t)
    velocity = at(jax.grad(lambda t: sde.perturb(jnp.array(0.3), jnp.array(-1.2), t)), t)
    np.testing.assert_allclose(velocity, -1.2 - (1 - end) * 0.3, rtol=1e-6)
    alpha = 1 - (1 - end) * t.astype(np.float64)
    np.testing.assert_allclose(at(lambda t: sde.drift(jnp.ones(()), t), t), -(1 - end) / alpha, rtol=1e-4)
    np.testing.assert_allclose(at(sde.diffusion, t) ** 2, 2 * t / alpha, rtol=1e-4)


@pytest.mark.parametrize("end", [1e-5, 1e-3, 0.1])
def test_rectified_flow_ends_with_as_much_noise_as_it_begins_with_data(end):
    sde = RectifiedFlowSDE(end)
    assert float(sde.sigma(sde.t_min)) == pytest.approx(end)
    assert float(sde.alpha(1.0)) == pytest.approx(end, rel=1e-5)
    assert float(sde.alpha(np.float32(1 - 1e-4))) == pytest.approx(1e-4 + end, rel=2e-3)


@pytest.mark.parametrize("n", [10, 1000])
def test_ddpm_table_is_the_product_of_1_minus_beta(n):
    """alpha(i/n)^2 = prod_{j <= i} (1 - beta_j), at every i, and t_min is the first of them."""
    beta = np.linspace(1e-4, 0.02, n)
    sde = ddpm_table(n)
    np.testing.assert_allclose(at(sde.alpha, np.arange(1, n + 1) / n) ** 2, np.cumprod(1 - beta), rtol=1e-5)
    assert sde.t_min == 1 / n
    assert float(sde.sigma(sde.t_min)) == pytest.approx(1e-2, rel=1e-4)


def test_ladder_is_geometric():
    """sigma_i / sigma_{i+1} is constant, from sigma_max to sigma_min (Song & Ermon 2019, sec. 4)."""
    np.testing.assert_allclose(VESDE(0.01, 1.0).ladder(10), np.geomspace(1, 0.01, 10), rtol=1e-5)


@pytest.mark.parametrize("make", [VPSDE, SubVPSDE])
def test_sigma_does_not_cancel_in_float32(make):
    """Relative error below 1e-5 at t = 1e-5, where sqrt(1 - exp) is 2 % off."""
    variance = -np.expm1(-integral(1e-5))
    exact = np.sqrt(variance) if make is VPSDE else variance
    assert float(make().sigma(1e-5)) == pytest.approx(exact, rel=1e-5)


def test_time_at_inverts_the_level(sde):
    """The log-SNR, or its mean over coordinates."""
    t = T if sde.t_min < 0.01 else T[1:]
    np.testing.assert_allclose(at(lambda t: sde.time_at(sde.level(t)), t), t, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(at(sde.level, t), np.mean(at(sde.log_snr, t).reshape(len(t), -1), 1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.log(at(sde.noise_level, t)), -at(sde.level, t) / 2, rtol=1e-4, atol=1e-4)


def test_posterior_is_bayes_rule(sde):
    """q(x_s | x_t, x_0) = p(x_t | x_s) p(x_s | x_0) / p(x_t | x_0): precisions add."""
    t, s, x_t, x_0 = 0.7, 0.4, 0.3 * ones(sde), -1.2 * ones(sde)
    forward, noise = (np.asarray(a, np.float64) for a in sde.transition(t, s))
    alpha_s, sigma_s = np.asarray(sde.alpha(s), np.float64), np.asarray(sde.sigma(s), np.float64)
    precision = forward**2 / noise**2 + 1 / sigma_s**2
    mean, std = sde.posterior(x_t, x_0, t, s)
    np.testing.assert_allclose(std, precision**-0.5, rtol=1e-4)
    np.testing.assert_allclose(mean, (forward * x_t / noise**2 + alpha_s * x_0 / sigma_s**2) / precision, rtol=1e-3)


def test_transitions_compose(sde):
    """p(x_t | x_0) = int p(x_t | x_s) p(x_s | x_0): alphas multiply, variances add."""
    forward, noise = sde.transition(0.8, 0.3)
    np.testing.assert_allclose(forward * sde.alpha(0.3), sde.alpha(0.8), rtol=1e-5)
    variance = noise**2 + (forward * sde.sigma(0.3)) ** 2
    np.testing.assert_allclose(variance, jnp.broadcast_to(sde.sigma(0.8) ** 2, variance.shape), rtol=1e-4)


def test_posterior_at_zero_is_the_data():
    """sigma(0) = 0: the last step of DDPM returns x_0 itself."""
    for sde in (VPSDE(), SubVPSDE(), ddpm_table()):
        mean, std = sde.posterior(jnp.array(0.3), jnp.array(-1.2), sde.t_min, 0.0)
        assert float(mean) == pytest.approx(-1.2)
        assert float(std) == 0


@slow_for(*ARRAYS)
def test_reverse_drift_keeps_the_marginals(sde):
    """Fokker-Planck for Gaussian data in one dimension: the flow and the reverse SDE move the variance alike.

    With score -x/v: dv/dt = 2 c v for the flow's drift c x, and 2 c' v - g^2 run forwards for the reverse SDE's c'.
    """
    v = lambda t: 0.49 * sde.alpha(t) ** 2 + sde.sigma(t) ** 2
    score = lambda x, t: -x / v(t)
    one = ones(sde)
    for t in (0.2, 0.6):
        slope = jax.jacfwd(v)(t)
        flow = 2 * sde.reverse_drift(score, 0.0)(one, t) * v(t)
        reverse = 2 * sde.reverse_drift(score, 1.0)(one, t) * v(t) - sde.diffusion(t) ** 2
        np.testing.assert_allclose(flow, slope, rtol=1e-3)
        np.testing.assert_allclose(reverse, slope, rtol=1e-3)


def test_gradients_reach_schedule_parameters():
    gradient = jax.grad(lambda sde: sde.log_snr(0.5))(VPSDE())
    h = 1e-2
    numeric = (VPSDE(0.1, 20 + h).log_snr(0.5) - VPSDE(0.1, 20 - h).log_snr(0.5)) / (2 * h)
    assert float(gradient.beta_max) == pytest.approx(float(numeric), rel=1e-2)


def test_prior_mean_shifts_the_prior():
    sde = VESDE(0.01, 10.0, prior_mean=-3.0)
    x = jax.vmap(lambda key: sde.prior_sample(key, (4,)))(jax.random.split(jax.random.key(0), 5000))
    assert float(x.mean()) == pytest.approx(-3.0, abs=0.3)
    assert float(sde.prior_log_prob(jnp.full(4, -3.0))) == pytest.approx(-4 * np.log(10 * np.sqrt(2 * np.pi)), rel=1e-5)


def test_check_accepts_every_exported_sde(sde):
    check(sde)


@flax.struct.dataclass
class Rising(Straight):
    def sigma(self, t):
        return 2 - jnp.asarray(t)

    def alpha(self, t):
        return jnp.ones_like(t)


@flax.struct.dataclass
class WrongDrift(Straight):
    def drift(self, x, t):
        return -x


@flax.struct.dataclass
class WrongInverse(Straight):
    def time_at(self, log_snr):
        return jnp.full_like(log_snr, 0.5)


@flax.struct.dataclass
class Negative(Straight):
    def alpha(self, t):
        return 0.5 - jnp.asarray(t)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Rising, "log_snr"),
        (WrongDrift, "alpha' = f alpha"),
        (WrongInverse, "time_at"),
        (Negative, r"alpha\(t\) must be finite and positive"),
    ],
)
def test_check_names_the_broken_promise(broken, says):
    with pytest.raises(ValueError, match=says):
        check(broken())


@flax.struct.dataclass
class Cancelling(LinearSDE):
    """VP of which 1 - e^(-B) is written as it stands."""

    def alpha(self, t):
        return jnp.exp(-(0.01 * t + 5 * t**2))

    def sigma(self, t):
        return jnp.sqrt(1 - jnp.exp(-2 * (0.01 * t + 5 * t**2)))


@flax.struct.dataclass
class WithExpm1(Cancelling):
    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(-2 * (0.01 * t + 5 * t**2)))


@flax.struct.dataclass
class FromZero(WithExpm1):
    @property
    def t_min(self):
        return 0.0


@flax.struct.dataclass
class FromAbove(FromZero):
    @property
    def t_min(self):
        return 1e-4


@flax.struct.dataclass
class ToZero(FromAbove):
    def alpha(self, t):
        return 1 - jnp.asarray(t)

    def sigma(self, t):
        return jnp.asarray(t)


@flax.struct.dataclass
class ShortOfZero(ToZero):
    def alpha(self, t):
        return 1 - 0.99 * jnp.asarray(t)


@flax.struct.dataclass
class Backwards(WithExpm1):
    def alpha(self, t):
        return super().alpha(1 - t + 1e-5)

    def sigma(self, t):
        return super().sigma(1 - t + 1e-5)


@pytest.mark.parametrize(
    ("broken", "remedy", "mended"),
    [
        (Cancelling, r"-expm1\(-b\)", WithExpm1),
        (FromZero, "give the SDE a t_min above", FromAbove),
        (ToZero, "end a little short", ShortOfZero),
        (Backwards, "exchange the ends", WithExpm1),
        (WrongDrift, "leave your drift out", Straight),
        (WrongInverse, "leave your time_at out", Straight),
    ],
)
def test_what_check_advises_mends_it(broken, remedy, mended):
    with pytest.raises(ValueError, match=remedy):
        check(broken())
    check(mended())


def test_check_warns_of_a_prior_that_knows_the_data():
    with pytest.warns(UserWarning, match="still knows the data"):
        check(VPSDE(0.1, 3.0))


def test_check_accepts_a_nonlinear_sde():
    check(LogisticSDE())
    assert not isinstance(LogisticSDE(), LinearSDE)
