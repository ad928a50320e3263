"""Augmented SDEs by their two matrices against the equations of Langevin dynamics, by matrix exponentials."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from sdes import AUGMENTED, Integrator
from slow import one_in

from sde_lib import CLD, VPSDE, AugmentedSDE, check

ALL = AUGMENTED | {"Integrator": Integrator()}
T = (0.01, 0.2, 0.7, 1.0)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=ALL, ids=list(ALL))
def sde(request):
    return ALL[request.param]


@flax.struct.dataclass
class Bare(AugmentedSDE):
    """The two matrices of an SDE, and nothing else of it."""

    sde: AugmentedSDE

    def mean_factor(self, t):
        return self.sde.mean_factor(t)

    def noise_factor(self, t):
        return self.sde.noise_factor(t)


def langevin(sde):
    """F and G G^T of CLD, as Dockhorn et al. (2022) write it."""
    beta, mass = float(sde.beta), float(sde.mass)
    friction = 2 * np.sqrt(mass)
    return beta * np.array([[0, 1 / mass], [-1, -friction / mass]]), np.diag([0, 2 * friction * beta])


def covariance(L):
    return np.asarray(L, np.float64) @ np.asarray(L, np.float64).T


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("sde", [CLD(), CLD(beta=2.5, mass=1.0, gamma=0.3)], ids=["published", "other"])
@pytest.mark.parametrize("t", T)
def test_cld_is_langevin_dynamics(sde, t):
    """P = e^(F t), and S' = F S + S F^T + G G^T from diag(0, gamma M): S = still + P (S_0 - still) P^T, at rest in `still`."""
    F, GG = langevin(sde)
    P, still = scipy.linalg.expm(F * t), scipy.linalg.solve_continuous_lyapunov(F, -GG)
    S = still + P @ (np.diag([0, float(sde.gamma * sde.mass)]) - still) @ P.T
    np.testing.assert_allclose(sde.mean_factor(t), P, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(covariance(sde.noise_factor(t)), S, rtol=1e-8, atol=1e-12)


def test_cld_keeps_its_digits_in_float32():
    """L, sigma and the level from t = 1e-5 on, where the compact form of the covariance is 0."""
    t = np.geomspace(1e-5, 1, 40)
    single = jax.vmap(CLD().noise_factor)(jnp.asarray(t, jnp.float32)), jax.vmap(CLD().level)(jnp.asarray(t, jnp.float32))
    with jax.enable_x64(True):
        double = jax.vmap(CLD().noise_factor)(jnp.asarray(t)), jax.vmap(CLD().level)(jnp.asarray(t))
    np.testing.assert_allclose(single[0], double[0], rtol=2e-4)
    np.testing.assert_allclose(single[1], double[1], atol=2e-4)


def test_cld_s_noise_is_dockhorn_s():
    """1/sigma of the velocity at t = 0.3, the l_t of their score, to seven digits; Gamma = 1, and v_0 of variance 0.01."""
    with jax.enable_x64(True):
        assert 1 / float(CLD().sigma(0.3)[1]) == pytest.approx(2.077374, abs=1e-6)
        np.testing.assert_allclose(CLD().auxiliary_std, [0.1], rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_all_else_follows_from_the_two_matrices():
    """Drift, diffusion, level and transition that CLD states are those that its matrices give."""
    sde, bare, x = CLD(), Bare(CLD()), jnp.array([[0.3, -1.2], [0.7, 0.4]])
    for t in T:
        np.testing.assert_allclose(bare.drift(x, t), sde.drift(x, t), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(bare.diffusion(t), sde.diffusion(t), rtol=1e-7)
        assert float(bare.level(t)) == pytest.approx(float(sde.level(t)), abs=1e-9)
    for ours, theirs in zip(sde.transition(0.7, 0.4), bare.transition(0.7, 0.4), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)


@one_in(8)
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("t", T)
def test_moment_equations(sde, t):
    """P' = F P and S' = F S + S F^T + G G^T, and the level falls by tr(G^T S^-1 G)/k."""
    F, g = np.asarray(sde.drift(jnp.eye(sde.k), t)).T, np.asarray(sde.diffusion(t))
    d_P = jax.jacfwd(sde.mean_factor)(t)
    d_S = jax.jacfwd(lambda t: sde.noise_factor(t) @ sde.noise_factor(t).T)(t)
    S = covariance(sde.noise_factor(t))
    np.testing.assert_allclose(d_P, F @ sde.mean_factor(t), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(d_S, F @ S + S @ F.T + np.diag(g**2), rtol=1e-5, atol=1e-9 * np.abs(S).max())
    assert not g[:-1].any()
    slope = jax.grad(sde.level)(t)
    assert float(slope) == pytest.approx(-np.trace(np.diag(g) @ np.linalg.inv(S) @ np.diag(g)) / sde.k, rel=1e-6)


@pytest.mark.slow
def test_the_integrator_is_what_it_integrates():
    """Of the two matrices come F of the chain and g, in float32."""
    sde = Integrator()
    np.testing.assert_allclose(sde.drift(jnp.eye(3), 0.4).T, np.eye(3, k=1), atol=1e-5)
    np.testing.assert_allclose(sde.diffusion(0.4), [0, 0, 300], rtol=1e-3)


@pytest.mark.usefixtures("float64")
def test_transitions_compose(sde):
    """p(x_t | x_0) = int p(x_t | x_s) p(x_s | x_0): P multiplies, and the covariance of s is carried on."""
    P, L = sde.transition(0.8, 0.3)
    np.testing.assert_allclose(P @ sde.mean_factor(0.3), sde.mean_factor(0.8), rtol=1e-9, atol=1e-12)
    carried = P @ covariance(sde.noise_factor(0.3)) @ P.T + covariance(L)
    np.testing.assert_allclose(carried, covariance(sde.noise_factor(0.8)), rtol=1e-7, atol=1e-12)


def test_short_transitions_of_cld_keep_their_digits():
    """In a ten-thousandth of the time x moves by b^3/6 in variance, a part in 1e12 of what is there already."""
    for t in (0.5, 1.0):
        _, L = CLD().transition(t, t - 1 / 1024)
        b = 16 / 1024
        assert float(L[0, 0] ** 2) == pytest.approx(b**3 / 6 * (1 - 3 * b / 4), rel=1e-3)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", AUGMENTED)
def test_the_reverse_transition_is_that_of_the_stationary_law(name):
    """It leaves the prior as it is, and its generator is -(F - G G^T grad log p_1) and G G^T."""
    sde = AUGMENTED[name]
    prior, h = covariance(sde.noise_factor(1.0)), 1e-6
    K, C = sde.reverse_transition(0.6, 0.5)
    np.testing.assert_allclose(K @ prior @ K.T + covariance(C), prior, atol=2e-5)
    K, C = sde.reverse_transition(0.6, 0.6 - h)
    drift = jax.jacfwd(sde.reverse_drift(lambda x, t: jax.grad(sde.prior_log_prob)(x)))(jnp.zeros(2), 0.6)
    np.testing.assert_allclose((K - np.eye(2)) / -h, drift, atol=2e-3)
    np.testing.assert_allclose(covariance(C) / h, np.diag(sde.diffusion(0.6) ** 2), atol=1e-3)


@flax.struct.dataclass
class One(AugmentedSDE):
    """A linear SDE as an augmented one of no other variable."""

    sde: VPSDE

    def mean_factor(self, t):
        return jnp.reshape(self.sde.alpha(t), (1, 1))

    def noise_factor(self, t):
        return jnp.reshape(self.sde.sigma(t), (1, 1))


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_of_one_variable_it_is_a_linear_sde():
    one, sde, x, z, t = One(VPSDE()), VPSDE(), jnp.array([[0.4], [-0.9]]), jnp.array([[0.7], [-1.1]]), 0.4
    for name, ask in {
        "level": lambda sde: sde.level(t),
        "time_at": lambda sde: sde.time_at(sde.level(t)),
        "noise level": lambda sde: sde.noise_level(t),
        "drift": lambda sde: sde.drift(x, t),
        "diffusion": lambda sde: jnp.ravel(sde.diffusion(t)),
        "perturb": lambda sde: sde.perturb(x, z, t),
        "spread": lambda sde: jnp.ravel(sde.spread(t, 0.3)),
        "log p_1": lambda sde: sde.prior_log_prob(x),
        "kl": lambda sde: sde.prior_kl(x),
        "transition": lambda sde: jnp.ravel(jnp.stack(sde.transition(t, 0.3))),
    }.items():
        np.testing.assert_allclose(ask(one), ask(sde), rtol=1e-7, err_msg=name)


def test_perturbed_events_have_the_law_of_the_matrices(sde):
    """Of x_0 the data alone counts. Moments of 20,000 draws, whose z is jax.random's."""
    x_0, n, t = jnp.array([[0.5] + [9.0] * (sde.k - 1)]), 20_000, 0.3
    z = jax.random.normal(jax.random.key(0), (n, 1, sde.k))
    x = np.asarray(jax.vmap(lambda z: sde.perturb(x_0, z, t))(z), np.float64)[:, 0]
    S = covariance(sde.noise_factor(t))
    np.testing.assert_allclose(x.mean(0), 0.5 * sde.mean_factor(t)[:, 0], atol=4.5 * np.sqrt(np.diag(S).max() / n))
    scale = np.sqrt(np.outer(np.diag(S), np.diag(S)))
    np.testing.assert_allclose(np.cov(x.T) / scale, S / scale, atol=4.5 * np.sqrt(2 / n))
    white = jax.vmap(lambda x: sde.whiten(x[None] - 0.5 * sde.mean_factor(t)[:, 0], t))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(white, z, atol=2e-3)


def test_spread_is_the_deviation_of_each_variable(sde):
    """sqrt(s^2 P_i1^2 + S_ii), of a signal and the variable's own noise."""
    for t in T:
        total = (0.3 * np.asarray(sde.mean_factor(t))[:, 0]) ** 2 + np.diag(covariance(sde.noise_factor(t)))
        np.testing.assert_allclose(sde.spread(t, 0.3) ** 2, total, rtol=1e-4)


def test_time_at_inverts_the_level(sde):
    t = jnp.array([0.01, 0.1, 0.5, 0.95])
    np.testing.assert_allclose(jax.vmap(lambda t: sde.time_at(sde.level(t)))(t), t, rtol=2e-3)


def test_the_prior_is_normal(sde):
    x = sde.prior_sample(jax.random.key(0), (20_000, sde.k))
    S = covariance(sde.noise_factor(1.0))
    scale = np.sqrt(np.outer(np.diag(S), np.diag(S)))
    np.testing.assert_allclose(np.cov(np.asarray(x, np.float64).T) / scale, S / scale, atol=0.05)
    exact = jax.scipy.stats.multivariate_normal.logpdf(x[0], jnp.zeros(sde.k), jnp.asarray(S, jnp.float32))
    assert float(sde.prior_log_prob(x[0])) == pytest.approx(float(exact), rel=1e-3)
    mean, S = 0.7 * np.asarray(sde.mean_factor(1.0))[:, 0], S
    assert float(sde.prior_kl(jnp.full((1, sde.k), 0.7))) == pytest.approx(mean @ np.linalg.solve(S, mean) / 2, rel=1e-3)


def test_gradients_reach_the_options():
    slope = jax.grad(lambda sde: sde.level(0.5))(CLD())
    numeric = (CLD(beta=4.01).level(0.5) - CLD(beta=3.99).level(0.5)) / 0.02
    assert float(slope.beta) == pytest.approx(float(numeric), rel=1e-2)


@one_in(2)
def test_check_accepts_them(sde):
    check(sde)
    check(sde, (4, 4, 3, sde.k))


@flax.struct.dataclass
class WrongDrift(CLD):
    def drift(self, x, t):
        return super().drift(x, t) + 0.5 * x


@flax.struct.dataclass
class NoiseInBoth(Bare):
    """The noise of the data is that of VP."""

    def noise_factor(self, t):
        return jnp.diag(jnp.sqrt(jnp.array([-jnp.expm1(-4 * t), 0.25 + 0.0 * t])))


@flax.struct.dataclass
class Upper(Bare):
    def noise_factor(self, t):
        return self.sde.noise_factor(t).T


@flax.struct.dataclass
class Rising(Bare):
    def mean_factor(self, t):
        return self.sde.mean_factor(t) * jnp.exp(40 * t)


@flax.struct.dataclass
class Infinite(Bare):
    def mean_factor(self, t):
        return self.sde.mean_factor(t) / (1 - t)


@flax.struct.dataclass
class Cloned(Bare):
    """Data with noise of their own at t = 0."""

    def noise_factor(self, t):
        return self.sde.noise_factor(t + 0.1)


@one_in(3)
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (WrongDrift(), r"P' = F P\[\d, \d\] fails .*; leave your drift out, it follows from the two matrices"),
        (NoiseInBoth(CLD()), r"\(L L\^T\)' = F L L\^T .* fails"),
        (Upper(CLD()), "noise_factor.* must be lower triangular"),
        (Rising(CLD()), "level.* must decrease"),
        (Infinite(CLD()), "must be finite"),
        (Cloned(CLD()), r"noise_factor\(0\) must leave the data as it is"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_check_names_the_broken_promise(broken, says):
    with pytest.raises(ValueError, match=says):
        check(broken)


def test_check_warns_of_a_prior_that_knows_the_data():
    with pytest.warns(UserWarning, match="still knows the data"):
        check(CLD(beta=0.5))
