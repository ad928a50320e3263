"""SDEs of arrays against the scalar SDEs that they are made of, and against closed forms."""

from functools import partial
from itertools import pairwise
from unittest.mock import patch

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cubature import expectation, noise
from oracle import MIXTURE, Mixture, Normal
from slow import one_in

import losses
import models
import samplers
from losses import continuous_bound, dsm, hybrid, likelihood, sigma2
from sde_lib import VPSDE, BlurringSDE, LinearSDE, LogLinearVPSDE, PolynomialVPSDE, SubVPSDE, check, fast_random

KEY, X, Z = jax.random.key(3), jnp.array([0.4, -0.9]), jnp.array([0.7, -1.1])
T = np.linspace(0.01, 1.0, 34, dtype=np.float32)
FIXED = {step.__name__: step for step in samplers.STEPS if step.__name__ not in ("adaptive_sde", "probability_flow", "sscs")}
STEPS = FIXED | {
    "ddim 0.5": partial(samplers.ddim, eta=0.5),
    "edm_heun churned": partial(samplers.edm_heun, churn=0.3),
    "deis 0.3": partial(samplers.deis, eta=0.3),
    "dpmpp_2m 1": partial(samplers.dpmpp_2m, eta=1.0),
    "dpmpp_3m 1": partial(samplers.dpmpp_3m, eta=1.0),
}


@flax.struct.dataclass
class Scaled(LinearSDE):
    """The SDE of x = s z, of which z has the scalar SDE `sde`: white noise for data of standard deviations s."""

    sde: LinearSDE
    s: jax.Array

    def alpha(self, t):
        return self.sde.alpha(t)

    def sigma(self, t):
        return self.s * self.sde.sigma(t)

    def score(self, score):
        """That of x, by that of z."""
        return lambda x, t: score(x / self.s, t) / self.s


@flax.struct.dataclass
class Each(LinearSDE):
    """Scalar SDEs side by side, each on one number of the event."""

    parts: tuple

    def alpha(self, t):
        return jnp.stack([jnp.asarray(sde.alpha(t)) for sde in self.parts])

    def sigma(self, t):
        return jnp.stack([jnp.asarray(sde.sigma(t)) for sde in self.parts])


def moved(name, sde, score, x, z):
    """x after three moves of the step of that name, with the noise z in each."""
    step, times = STEPS[name](sde, score), jnp.array([0.6, 0.5, 0.41, 0.37])
    times = times[::-1] if name == "ddim_inversion" else times
    memory = step.init(x)
    with patch.object(fast_random, "normal", lambda key, shape, dtype=None: jnp.broadcast_to(z, shape)):
        for t, s in pairwise(times):
            x, memory = step.update(KEY, x, memory, t, s)
    return x


S, WHITE = jnp.array([0.5, 3.0]), VPSDE()
SCALED = Scaled(WHITE, S)


FAST = ("ancestral", "dpmpp_2m 1", "edm_heun churned")
REST = tuple(name for name in STEPS if name not in FAST)
some = pytest.mark.parametrize("names", [FAST, pytest.param(REST, marks=pytest.mark.slow)], ids=["some", "others"])


def bent(x, t):
    """A score that is none."""
    return jnp.sin(x) - x[::-1]


@some
def test_every_step_of_scaled_data_is_the_scaled_step(names):
    """Of x = s z: the noise is s sigma, the score 1/s of that of z, and the level lower by 2 mean log s."""
    score = MIXTURE.score(WHITE)

    @jax.jit
    def both():
        white = {name: moved(name, WHITE, score, X, Z) for name in names}
        return white, {name: moved(name, SCALED, SCALED.score(score), S * X, Z) / S for name in names}

    white, scaled = both()
    for name in names:
        np.testing.assert_allclose(scaled[name], white[name], rtol=5e-4, atol=1e-5, err_msg=name)
        assert float(jnp.abs(white[name] - X).max()) > 1e-3, name


def test_every_loss_of_scaled_data_is_that_of_the_data():
    """At weights that are a function of sigma score; and the bound on -log p is higher by sum log s."""
    made = {f"{make.__name__}": make for make in (dsm, losses.ism, losses.ssm, losses.ssm_vr)}
    made["dsm likelihood"] = partial(dsm, weight=likelihood)
    made["dsm half sum"] = partial(dsm, weight=likelihood, half_sum=True)
    made["vlb"] = partial(losses.vlb, n=5, width=None, v=0.3, t_min=0.05)
    made["hybrid"] = lambda sde, score: hybrid(sde, lambda x, t: (score(x, t), 0.3 * jnp.ones(2)), 5, None, t_min=0.05)

    @jax.jit
    def both():
        total = lambda sde, score, x: continuous_bound(sde, score, None, 20, 0.01)(KEY, x).total
        white = {name: make(WHITE, bent)(KEY, X, 0.525) for name, make in made.items()}
        scaled = {name: make(SCALED, SCALED.score(bent))(KEY, S * X, 0.525) for name, make in made.items()}
        return white, scaled, total(SCALED, SCALED.score(bent), S * X) - total(WHITE, bent, X)

    white, scaled, gap = both()
    for name in made:
        assert float(scaled[name]) == pytest.approx(float(white[name]), rel=5e-4), name
    assert float(gap) == pytest.approx(float(jnp.sum(jnp.log(S))), abs=2e-2)


def test_arrays_of_equal_numbers_are_the_number():
    """Weights, draws of t, grids and parameterisations, which depend on the log-SNR itself."""
    one = Scaled(WHITE, jnp.ones(2))

    @jax.jit
    def both():
        def of(sde):
            given = {f"weight {w.__name__}": w(sde, 0.4) for w in losses.WEIGHTS}
            given |= {f"grid {grid.__name__}": grid(sde, 5, 0.05) for grid in samplers.GRIDS}
            for make in losses.TIMES:
                times = make(sde, **({"n": 5} if make is losses.discrete else {}), t_min=0.05)
                given[f"times {make.__name__}"] = jnp.stack(times.sample(KEY, times.init(), 4))
            for make in models.PARAMETERIZATIONS:
                given |= {f"{make.__name__} {part}": c for part, c in make(sde, 0.4, 0.7)._asdict().items()}
            given["log_noise"], given["prior"] = models.log_noise(sde, 0.4), sde.prior_log_prob(X)
            given["interval"] = samplers.guidance_interval(sde, 3.0, 0.2, 2.0)(0.4)
            return given

        return of(WHITE), of(one)

    number, array = both()
    for name in number:
        equal = np.broadcast_to(number[name], np.shape(array[name]))
        np.testing.assert_allclose(array[name], equal, rtol=2e-3, atol=2e-4, err_msg=name)


PARTS, DATA = (VPSDE(), SubVPSDE()), ((0.5, 0.7), (-1.0, 1.2))
"""Two SDEs, and mean and standard deviation of the data of each."""
PAIR = Each(PARTS)


def normal_score(sde, i=slice(None)):
    """That of the data of the SDE number i, or of both."""
    mean, std = jnp.asarray(DATA)[i].T
    return lambda x, t: -(x - sde.alpha(t) * mean) / ((sde.alpha(t) * std) ** 2 + sde.sigma(t) ** 2)


@some
def test_a_step_moves_each_coordinate_by_its_own_sde(names):
    """To the same x_s as on that SDE alone, through the memory of the multistep solvers too.

    A step that asks for the time of a level goes there by the level of both.
    """
    names = [name for name in names if name not in ("dpmpp_2s", "edm_heun churned")]

    @jax.jit
    def both():
        together = {name: moved(name, PAIR, normal_score(PAIR), X, Z) for name in names}
        alone = [
            {name: moved(name, sde, normal_score(sde, i), X[i : i + 1], Z[i : i + 1]) for name in names}
            for i, sde in enumerate(PARTS)
        ]
        return together, alone

    together, alone = both()
    for name in names:
        each = np.concatenate([part[name] for part in alone])
        np.testing.assert_allclose(together[name], each, rtol=5e-4, atol=1e-5, err_msg=name)


def test_what_is_a_sum_is_the_sum_over_the_sdes():
    """Losses times D, terms of the bound and the prior's log-density."""
    width, v = 0.1, 0.3

    def terms(sde, score, x, z):
        with noise(z):
            return {
                "dsm": x.size * dsm(sde, score, likelihood)(KEY, x, 0.4),
                "ism": x.size * losses.ism(sde, score)(KEY, x, 0.4),
                "esm": x.size * losses.esm(sde, score, lambda x, t: -x)(KEY, x, 0.4),
                "diffusion": losses.diffusion_term(sde, score, v)(KEY, x, 0.4, 0.3),
                "density": losses.reconstruction_term(sde, score, None)(KEY, x, 0.02),
                "cells": losses.reconstruction_term(sde, score, width)(KEY, x, 0.02),
                "prior": losses.prior_term(sde, x),
                "log p_1": sde.prior_log_prob(x),
            }

    @jax.jit
    def both():
        alone = [terms(sde, normal_score(sde, i), X[i : i + 1], Z[i : i + 1]) for i, sde in enumerate(PARTS)]
        return terms(PAIR, normal_score(PAIR), X, Z), jax.tree.map(lambda *each: sum(each), *alone)

    together, alone = both()
    for name in together:
        assert float(together[name]) == pytest.approx(float(alone[name]), rel=1e-4), name


@pytest.mark.parametrize(
    "path", [{}, {"b": (3.0, -0.9)}, {"a": (4.0, 0.0), "b": (-1.0, 0.8), "c": (0.3, 0.1)}], ids=["linear", "apart", "bent"]
)
def test_the_diffusion_term_is_the_same_on_every_path(path):
    """I-MMSE: on N(0, C) it is log det(I + SNR C)/2 at lambda = 8 less that at -6, whatever either lambda does in between."""
    C = np.array([[1.0, 0.8], [0.8, 1.5]])
    sde = PolynomialVPSDE((8.0, 8.0), (-6.0, -6.0), **path)
    bound = continuous_bound(sde, Normal(jnp.zeros(2), jnp.asarray(C, jnp.float32)).score(sde), None, 400)
    L, white = jnp.linalg.cholesky(jnp.asarray(C, jnp.float32)), Mixture(jnp.zeros((1, 2)), 1.0, jnp.ones(1))
    with patch.object(jax.random, "uniform", lambda key: jnp.float32(1 / 800)):  # the rule of the midpoint
        mean = jax.jit(lambda: expectation(lambda key, z: bound(key, L @ z).diffusion, 2, white))()
    exact = np.subtract(*(np.log(np.linalg.det(np.eye(2) + np.exp(l) * C)) / 2 for l in (8, -6)))
    assert exact == pytest.approx(7.9219844688, abs=1e-9)
    assert float(mean) == pytest.approx(exact, abs=5e-3)


def test_polynomial_schedules_have_their_ends_and_slopes():
    """lambda' ~ (a t^2 + b t + c)^2; at a = b = 0 it is linear, as that of VDM."""
    sde = PolynomialVPSDE((9.0, 7.0), -8.0, a=(0.5, -0.2), b=(0.1, 0.4), c=0.6)
    log_snr = np.asarray(jax.vmap(sde.log_snr)(T), np.float64)
    np.testing.assert_allclose(sde.log_snr(0.0), [9.0, 7.0], rtol=1e-6)
    np.testing.assert_allclose(log_snr[-1], [-8.0, -8.0], rtol=1e-5)
    slope = jax.vmap(jax.jacfwd(sde.log_snr))(T)
    square = np.stack([0.5 * T**2 + 0.1 * T + 0.6, -0.2 * T**2 + 0.4 * T + 0.6], 1) ** 2
    np.testing.assert_allclose(slope / slope[0], square / square[0], rtol=1e-3)
    for ours, theirs in ((PolynomialVPSDE(), LogLinearVPSDE()), (PolynomialVPSDE(9.0, -7.0, c=2.0), LogLinearVPSDE(9.0, -7.0))):
        np.testing.assert_allclose(jax.vmap(ours.log_snr)(T), jax.vmap(theirs.log_snr)(T), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(jax.vmap(ours.alpha)(T), jax.vmap(theirs.alpha)(T), rtol=1e-5)


def test_blurring_is_the_paper_s():
    """alpha = a ((1 - d_min) e^(-lambda tau) + d_min), lambda = pi^2 (i^2 + j^2)/N^2, tau = sigma_B^2/2, in float64."""
    sde, n = BlurringSDE((32, 32)), 32
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    for t in (0.05, 0.3, 0.5, 1.0):
        log_snr = -2 * np.log(np.tan(np.arctan(np.exp(-5)) + t * (np.arctan(np.exp(5)) - np.arctan(np.exp(-5)))))
        a, sigma = np.sqrt(1 / (1 + np.exp(-log_snr))), np.sqrt(1 / (1 + np.exp(log_snr)))
        tau = (20 * np.sin(np.pi * t / 2) ** 2) ** 2 / 2
        d = 0.999 * np.exp(-(np.pi**2) * (i**2 + j**2) / n**2 * tau) + 0.001
        np.testing.assert_allclose(sde.alpha(t)[..., 0], a * d, rtol=1e-3)
        assert float(sde.sigma(t)) == pytest.approx(sigma, rel=1e-4)


@pytest.mark.slow
def test_blurring_spreads_a_point_as_heat_does():
    """In space the mean of a cosine code's law is the image, blurred by a Gaussian of blur_max sin^2(pi t/2) pixels."""
    n, t = 64, 0.5
    sde, codec = BlurringSDE((n,), blur_max=8.0, d_min=1e-9), models.cosine()
    point = jnp.zeros((n, 1)).at[n // 2].set(1.0)
    z, _ = codec.encode((), KEY, point)
    spread = np.asarray(codec.decode((), None, sde.alpha(t) * z / sde.alpha(t)[0])[:, 0], np.float64)
    x = np.arange(n) - n // 2
    assert spread.sum() == pytest.approx(1.0, abs=1e-4)
    assert spread @ x**2 == pytest.approx(4.0**2, rel=1e-2)
    np.testing.assert_allclose(spread, np.exp(-(x**2) / 32) / np.sqrt(32 * np.pi), atol=1e-4)


def test_without_blur_all_frequencies_are_alike():
    sde = BlurringSDE((3, 5), blur_max=0.0)
    alpha = jax.vmap(sde.alpha)(T)
    assert alpha.shape == (len(T), 3, 5, 1)
    np.testing.assert_allclose(alpha, np.broadcast_to(alpha[:, :1, :1], alpha.shape), rtol=1e-6)
    np.testing.assert_allclose(alpha[:, 0, 0, 0] ** 2 + jax.vmap(sde.sigma)(T) ** 2, 1.0, rtol=1e-5)


@one_in(2)
@pytest.mark.parametrize(("sde", "shape"), [(BlurringSDE(), (8, 8, 3)), (PolynomialVPSDE((9.0, 8.0), -8.0), (4, 4, 2))])
def test_check_accepts_events_that_arrays_broadcast_to(sde, shape):
    check(sde, shape)
    check(sde)


@flax.struct.dataclass
class RisingInOne(Each):
    def sigma(self, t):
        return super().sigma(t) * jnp.array([1.0, 0.0]) + jnp.array([0.0, 1.0]) * (1.5 - t)


@flax.struct.dataclass
class WrongDriftInOne(Each):
    def drift(self, x, t):
        return super().drift(x, t) + jnp.array([0.0, 1.0]) * x


@pytest.mark.parametrize(
    ("sde", "shape", "says"),
    [
        (RisingInOne(PARTS), (2,), r"log_snr\(t\)\[1\] must decrease"),
        (WrongDriftInOne(PARTS), (2,), r"alpha' = f alpha\[1\] fails .*; leave your drift out"),
        (BlurringSDE(), (28, 28, 1), r"must broadcast to events of shape \(28, 28, 1\), and .* shape \(8, 8, 1\)"),
        (PolynomialVPSDE((9.0, 8.0)), (), r"must broadcast to events of shape \(\)"),
    ],
)
def test_check_names_the_coordinate_of_a_broken_promise(sde, shape, says):
    with pytest.raises(ValueError, match=says):
        check(sde, shape)


def test_what_needs_one_log_snr_says_so():
    """Each with what serves instead."""
    score, mask = lambda x, t: -x, jnp.array([True, False])
    step = samplers.ancestral(PAIR, score)
    refused = {
        "a score under another SDE": lambda: samplers.under(PAIR, score, VPSDE()),
        "a score under .* SDE": lambda: samplers.check_reach(VPSDE(), PAIR, jnp.ones(2)),
        "pi_gdm": lambda: samplers.pi_gdm(PAIR, score, lambda x: x, X, 0.1, (2,)),
        "inpaint by a projection": lambda: samplers.inpaint(step, PAIR, X, samplers.grey),
        "latent with another weight": lambda: losses.latent(PAIR, lambda key, x: (x, 0.0), dsm(PAIR, score), sigma2),
    }
    for who, ask in refused.items():
        with pytest.raises(TypeError, match=rf"^{who}.* needs one log-SNR .*, and Each has an array of them; \w+"):
            ask()
    assert samplers.inpaint(step, PAIR, X, mask).stochastic


def test_a_mask_is_seen_in_each_coordinate():
    """x_s of the observed one is a draw of N(alpha x_0, sigma^2) of its own SDE, and the other is the step's."""
    step = samplers.ancestral(PAIR, normal_score(PAIR))
    around = samplers.inpaint(step, PAIR, X, jnp.array([False, True]))
    with patch.object(fast_random, "normal", lambda key, shape, dtype=None: Z):
        seen, plain = (each.update(KEY, 2 * X, (), 0.5, 0.4)[0] for each in (around, step))
    np.testing.assert_allclose(seen, [plain[0], PAIR.perturb(X, Z, 0.4)[1]], rtol=1e-5)


@pytest.mark.slow
def test_dps_descends_the_residual_of_a_code():
    """By zeta/|r| grad |r|^2 at x_t, r = y - A E[x_0 | x_t], with a diagonal law of x_0."""
    A, y, zeta = jnp.array([[1.0, 2.0]]), jnp.array([0.7]), 0.1
    score = normal_score(PAIR)
    step = samplers.ancestral(PAIR, score)
    moved_by = samplers.dps(step, PAIR, score, lambda x: A @ x, y, zeta).update(KEY, X, (), 0.5, 0.4)[0]
    mean, std = jnp.asarray(DATA).T
    alpha, sigma = PAIR.alpha(0.5), PAIR.sigma(0.5)
    gain = alpha * std**2 / ((alpha * std) ** 2 + sigma**2)
    r = y - A @ (mean + gain * (X - alpha * mean))
    by_hand = zeta / jnp.abs(r) * 2 * gain * (A.T @ r)
    np.testing.assert_allclose(moved_by - step.update(KEY, X, (), 0.5, 0.4)[0], by_hand, rtol=1e-3)


@pytest.mark.slow
def test_a_codec_descends_the_bound_under_the_likelihood_weight():
    """The gradient of `latent` in the code is d/(2 D) that of the objective; d = 2 numbers of a code, D = 3 of x."""
    encode, x = lambda w: lambda key, x: (w * x[:2], 0.0), jnp.array([0.4, -0.9, 0.3])
    objective = dsm(PAIR, bent, likelihood)
    both = jax.grad(lambda w: losses.latent(PAIR, encode(w), objective)(KEY, x, 0.4).score)(X)
    noise_key = jax.random.split(KEY)[1]
    np.testing.assert_allclose(both, jax.grad(lambda w: objective(noise_key, w * x[:2], 0.4))(X) / 3, rtol=1e-4)
