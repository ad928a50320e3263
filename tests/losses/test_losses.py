"""Denoising score matching and its weights against the losses of the papers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sdes import exported, linear

from losses import discrete, dsm, edm, likelihood, min_snr, p2, sigma2, soft_truncation, velocity
from sde_lib import VESDE, VPSDE, LogisticSDE, ddpm_table

X_0, KEY, T = jnp.array([0.3, -0.8, 1.1]), jax.random.key(0), 0.4
SDES = linear(exported(3))


@pytest.fixture(params=SDES, ids=list(SDES))
def sde(request):
    return SDES[request.param]


def test_sigma2_is_ddpm_s_simple_loss(sde):
    """w = sigma^2 and score = -eps_hat/sigma: the loss is mean |eps - eps_hat|^2 (Ho et al. 2020, eq. 14)."""
    key, x_0, t = jax.random.key(0), jnp.array([0.3, -0.8, 1.1]), 0.4
    eps_hat = jnp.array([0.1, 0.2, -0.5])
    loss = dsm(sde, lambda x, t: -eps_hat / sde.sigma(t))(key, x_0, t)
    assert float(loss) == pytest.approx(float(jnp.mean((jax.random.normal(key, (3,)) - eps_hat) ** 2)), rel=1e-4)


def test_half_sum_is_d_over_2_means(sde):
    """score_sde's reduce_mean=False: half the sum over D = 3 dimensions."""
    whole, mean = (dsm(sde, lambda x, t: jnp.sin(x), half_sum=asked)(KEY, X_0, T) for asked in (True, False))
    assert float(whole) == pytest.approx(1.5 * float(mean), rel=1e-5)


def test_discrete_ddpm_and_ncsn_are_their_papers():
    """At the times of `discrete`: |eps - eps_hat(sqrt(abar) x_0 + sqrt(1 - abar) eps, i)|^2 on the table (Ho et al. 2020,
    eq. 14), and sigma_i^2 |s + (x~ - x)/sigma_i^2|^2 on the ladder (Song & Ermon 2019, eq. 5), per dimension."""
    n, eps = 10, np.asarray(jax.random.normal(KEY, (3,)), np.float64)
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, n))
    table, ve = ddpm_table(n), VESDE(0.01, 1.0)
    net = lambda x, t: jnp.sin(x) + t
    for i in np.round(n * np.asarray(discrete(table, n).sample(KEY, None, n)[0])).astype(int):
        x_t = np.sqrt(bar[i - 1]) * np.asarray(X_0) + np.sqrt(1 - bar[i - 1]) * eps
        exact = np.mean((eps - np.sin(x_t) - i / n) ** 2)
        assert float(dsm(table, lambda x, t: -net(x, t) / table.sigma(t))(KEY, X_0, i / n)) == pytest.approx(exact, rel=1e-3)
    for t, sigma in zip(np.linspace(1, 0, n), np.geomspace(1, 0.01, n), strict=True):
        noise = sigma * eps
        exact = sigma**2 * np.mean((np.sin(np.asarray(X_0) + noise) + t + noise / sigma**2) ** 2)
        assert float(dsm(ve, net)(KEY, X_0, float(t))) == pytest.approx(exact, rel=1e-3)


def weigh_x_0(sde, weight, x_0_hat):
    """Square errors of x_0, and the loss, of a score whose denoised x_0 is always x_0_hat."""
    score = lambda x, t: (sde.alpha(t) * x_0_hat - x) / sde.sigma(t) ** 2
    return np.asarray((X_0 - x_0_hat) ** 2), float(dsm(sde, score, weight)(KEY, X_0, T))


def test_weights_of_x_0(sde):
    """In x_0: SNR for sigma2, min(SNR, gamma) for min_snr, (s^2 + sd^2)/(s sd)^2 for edm at s = sigma/alpha, Choi's for p2."""
    snr = np.asarray(sde.alpha(T) / sde.sigma(T), np.float64) ** 2
    low, high = float(0.5 * snr.min()), float(2 * snr.max())
    for weight, expected in (
        (sigma2, snr),
        (partial(min_snr, gamma=low), low),
        (partial(min_snr, gamma=high), snr),
        (partial(edm, sigma_data=0.6), (1 / snr + 0.36) / (0.36 / snr)),
        (partial(p2, k=2.0, gamma=0.5), snr / (2 + snr) ** 0.5),
        (partial(p2, gamma=0.0), snr),
    ):
        errors, loss = weigh_x_0(sde, weight, jnp.array([0.5, 0.1, -0.4]))
        assert loss == pytest.approx(np.mean(expected * errors), rel=2e-3), weight


@pytest.mark.parametrize("k", [0.0, 0.9, 0.9999, 1.0, 1.0001, 1.2, 2.0])
def test_soft_truncation_is_the_mean_over_its_cut(k):
    """E 1[t >= tau] g^2 over tau ~ tau^-k on [t_min, 1], by quadrature; nothing before t_min, and g^2 itself at t = 1."""
    sde, t_min = VPSDE(), 1e-3
    log_tau = np.linspace(np.log(t_min), 0, 200_001)
    passed = np.cumsum(np.exp((1 - k) * log_tau))
    for t in (0.5 * t_min, 3e-3, 0.1, 0.6, 1.0):
        share = np.interp(np.log(t), log_tau, passed / passed[-1], left=0.0)
        exact = share * float(likelihood(sde, t))
        assert float(soft_truncation(sde, t, k, t_min)) == pytest.approx(exact, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("make", [min_snr, p2, edm, velocity])
def test_weights_of_a_nonlinear_sde_are_refused_by_name(make):
    with pytest.raises(TypeError, match=f"{make.__name__} needs alpha.*LogisticSDE is not a LinearSDE; likelihood weighs any"):
        make(LogisticSDE(), 0.5)


def test_a_nonlinear_sde_is_refused_by_name():
    with pytest.raises(TypeError, match=r"dsm needs alpha\(t\) and sigma\(t\), and LogisticSDE is not.*; ism, ssm and ssm_vr"):
        dsm(LogisticSDE(), lambda x, t: x)
