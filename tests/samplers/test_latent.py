"""There and back through the latent space of the flow, and what lies between."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import traced
from oracle import GAUSSIAN, MIXTURE, Mixture
from PIL import Image
from runs import MOONS, drawn, run
from sdes import KIN
from slow import slow_for
from small_experiments import small_experiment

from experiments.build.build import build
from experiments.build.checks import with_exact_score
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.runtime.errors import ConfigError
from experiments.sampling.interpolation import interpolate_examples
from samplers import (
    ancestral,
    decode,
    dpmpp_2m,
    encode,
    interpolate,
    log_snr_grid,
    sample,
    sdedit,
    slerp,
    translate,
    uniform_grid,
)
from samplers.step import stateless
from sde_lib import VESDE, VPSDE, LogisticSDE, TableVPSDE, fast_random

pytestmark = pytest.mark.usefixtures("in_root")


@slow_for(*KIN, "VESDE", "Straight")
def test_decode_inverts_encode(sde):
    """From data of a mixture to t = 1 and back, at its exact score."""
    score = MIXTURE.score(sde)
    options: dict[str, Any] = {"t_min": max(sde.t_min, 1e-3), "rtol": 1e-5, "atol": 1e-5}

    def there_and_back(x):
        latent = encode(sde, score, x, **options).latent
        return latent, decode(sde, score, latent, **options)

    xs = jax.vmap(MIXTURE.sample)(jax.random.split(jax.random.key(0), 8))
    latents, back = jax.jit(jax.vmap(there_and_back))(xs)
    assert float(jnp.abs(latents - xs).max()) > 0.1
    np.testing.assert_allclose(back, xs, atol=2e-2 if isinstance(sde, TableVPSDE) else 5e-3)  # its drift has kinks


def test_latents_of_a_gaussian_are_its_quantiles():
    """Of N(m, s^2) the flow is the affine map between the marginals, so that the latent is the standardised x."""
    sde, x = VPSDE(), jnp.array([0.9, -0.3])
    latent = encode(sde, GAUSSIAN.score(sde), x, rtol=1e-6, atol=1e-6).latent
    scale = lambda t: jnp.sqrt((sde.alpha(t) * GAUSSIAN.std) ** 2 + sde.sigma(t) ** 2)
    mean = GAUSSIAN.means[0]
    standard = (x - sde.alpha(sde.t_min) * mean) / scale(sde.t_min)
    np.testing.assert_allclose(latent, sde.alpha(1.0) * mean + scale(1.0) * standard, atol=1e-3)


@pytest.mark.parametrize("centre", [0.0, -0.4])
def test_slerp_is_the_arc(centre):
    """Ends exact; length kept; equal weights turn by equal angles, in the plane of a and b."""
    a, b = centre + jnp.array([[3.0], [0.0]]), centre + 3 * jnp.array([[np.cos(2.0)], [np.sin(2.0)]])
    weights = jnp.linspace(0, 1, 9)
    arc = jax.vmap(lambda w: slerp(a, b, w, centre))(weights)
    angle = 2.0 * np.asarray(weights)
    np.testing.assert_allclose(arc[..., 0] - centre, 3 * np.stack([np.cos(angle), np.sin(angle)], -1), atol=2e-6)


def test_lengths_are_linear_between_different_ones():
    a, b = jax.random.normal(jax.random.key(0), (2, 4, 4, 1)) * jnp.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    for w in (0.0, 0.3, 1.0):
        length = (1 - w) * jnp.linalg.norm(a.ravel()) + w * jnp.linalg.norm(b.ravel())
        assert float(jnp.linalg.norm(slerp(a, b, w).ravel())) == pytest.approx(float(length), rel=1e-5)
    np.testing.assert_allclose(slerp(a, b, 0.0), a, atol=1e-6)
    np.testing.assert_allclose(slerp(a, b, 1.0), b, atol=1e-6)


@pytest.mark.parametrize("turn", [1e-7, 5e-4, 2e-3, 1e-2, np.pi - 1e-2, np.pi - 2e-3])
def test_slerp_keeps_the_length_at_small_and_near_straight_angles(turn):
    """In float32, where arccos of the cosine is off by tens of percent."""
    a, b = jnp.array([1.0, 0.0]), jnp.array([np.cos(turn), np.sin(turn)], jnp.float32)
    for w in (0.25, 0.5):
        np.testing.assert_allclose(slerp(a, b, w), [np.cos(w * turn), np.sin(w * turn)], atol=1e-3)


def test_slerp_without_an_arc_goes_straight():
    """Parallel, antiparallel, and from the centre itself: finite, and the ends are the ends."""
    a, zero = jnp.array([1.0, 2.0]), jnp.zeros(2)
    np.testing.assert_allclose(slerp(a, 2 * a, 0.25), 1.25 * a, rtol=1e-6)
    np.testing.assert_allclose(slerp(a, -a, 0.25), 0.5 * a, rtol=1e-6)
    np.testing.assert_allclose(slerp(zero, zero, 0.5), zero)
    np.testing.assert_allclose(slerp(zero, a, 1.0), a, rtol=1e-6)


def test_interpolation_at_an_end_is_denoising_of_that_example():
    """At w = 0: x_a noised to t and carried to data by the same two keys; at w = 1, x_b."""
    sde, key = VPSDE(), jax.random.key(3)
    step = ancestral(sde, MIXTURE.score(sde))
    grid = 0.4 * uniform_grid(sde, 10)
    x_a, x_b = jnp.array([-1.0, 0.1]), jnp.array([1.1, 0.4])
    noise_key, step_key = jax.random.split(key)
    z = fast_random.normal(noise_key, (2,))
    for w, x in ((0.0, x_a), (1.0, x_b)):
        alone = sample(step_key, step, sde.perturb(x, z, grid[0]), grid)[0]
        np.testing.assert_allclose(interpolate(key, step, sde, x_a, x_b, w, grid), alone, rtol=1e-6)


@pytest.mark.parametrize("w", [0.0, 0.3, 0.5])
def test_the_noise_is_that_of_t_for_every_weight(w):
    """x_t over keys: mean alpha_t ((1 - w) x_a + w x_b), standard deviation sigma_t. A step that stays shows it."""
    sde, grid = VESDE(), jnp.array([0.6, 0.0])
    stay = stateless(lambda key, x, t, s: x, nfe=0)
    x_a, x_b = jnp.array([-1.0, 3.0]), jnp.array([2.0, 0.5])
    keys = jax.random.split(jax.random.key(0), 20_000)
    x_t = jax.vmap(lambda key: interpolate(key, stay, sde, x_a, x_b, w, grid))(keys)
    sigma = float(sde.sigma(0.6))
    np.testing.assert_allclose(x_t.std(0), sigma, rtol=4 / np.sqrt(2 * 20_000))
    np.testing.assert_allclose(x_t.mean(0), (1 - w) * x_a + w * x_b, atol=4 * sigma / np.sqrt(20_000))


def test_the_last_denoising_is_applied():
    sde, grid = VPSDE(), jnp.array([0.5, 0.1])
    step, a, b = ancestral(sde, GAUSSIAN.score(sde)), jnp.zeros(2), jnp.ones(2)
    arguments = jax.random.key(0), step, sde, a, b, 0.5, grid
    np.testing.assert_allclose(interpolate(*arguments, lambda x, t: 10 * x + t), 10 * interpolate(*arguments) + 0.1, rtol=1e-6)


def test_interpolation_of_an_sde_that_is_not_linear_is_refused():
    with pytest.raises(TypeError, match="interpolate needs alpha"):
        interpolate(
            jax.random.key(0), ancestral(VPSDE(), lambda x, t: x), LogisticSDE(), jnp.ones(2), jnp.ones(2), 0.5, jnp.ones(2)
        )


def by_ancestral(sde, t):
    """Fine steps, and the moments of the law that exact ones would have: m + K alpha (x - m), K^2 sigma^2 + v."""
    gain, variance = posterior_of_the_gaussian(sde, t)
    mean = lambda x: GAUSSIAN.means[0] + gain * sde.alpha(t) * (x - GAUSSIAN.means[0])
    return ancestral(sde, GAUSSIAN.score(sde)), mean, (gain * sde.sigma(t)) ** 2 + variance


def by_flow(sde, t):
    """Solved tightly; the flow is m + s/S (x_t - alpha m), with S the deviation of x_t."""
    slope = GAUSSIAN.std / jnp.sqrt((sde.alpha(t) * GAUSSIAN.std) ** 2 + sde.sigma(t) ** 2)
    mean = lambda x: GAUSSIAN.means[0] + slope * sde.alpha(t) * (x - GAUSSIAN.means[0])
    return dpmpp_2m(sde, GAUSSIAN.score(sde)), mean, (slope * sde.sigma(t)) ** 2


def posterior_of_the_gaussian(sde, t):
    """K and v of p(x_0 | x_t) = N(m + K (x_t - alpha m), v I)."""
    total = (sde.alpha(t) * GAUSSIAN.std) ** 2 + sde.sigma(t) ** 2
    return sde.alpha(t) * GAUSSIAN.std**2 / total, (GAUSSIAN.std * sde.sigma(t)) ** 2 / total


@pytest.mark.slow
@slow_for("0.4")
@pytest.mark.parametrize("exact", [by_ancestral, by_flow])
@pytest.mark.parametrize("t", [0.15, 0.4])
def test_the_law_of_an_edit_is_known_for_a_gaussian(exact, t):
    """Given x, of noise and step together: mean and covariance to 4.5 standard errors, and 1 % for the steps."""
    sde, x, n = VPSDE(), jnp.array([2.0, 1.0]), 8000
    step, mean, variance = exact(sde, t)
    grid = log_snr_grid(sde, 300, 1e-5)
    grid = jnp.concatenate([jnp.array([t]), grid[grid < t]])
    edits = np.asarray(jax.vmap(lambda key: sdedit(key, step, sde, x, grid).x)(jax.random.split(jax.random.key(0), n)))
    std = float(jnp.sqrt(variance))
    np.testing.assert_allclose(edits.mean(0), mean(x), atol=4.5 * std / np.sqrt(n) + 0.01 * std)
    np.testing.assert_allclose(np.cov(edits.T), std**2 * np.eye(2), atol=std**2 * (4.5 * np.sqrt(2 / n) + 0.01))


def test_an_interpolation_is_an_edit_of_the_mixed_example():
    sde, (a, b) = VPSDE(), jnp.array([[1.0, 0.0], [0.0, 2.0]])
    step, grid, key = ancestral(sde, MIXTURE.score(sde)), 0.4 * uniform_grid(sde, 5), jax.random.key(1)
    mixed = sdedit(key, step, sde, 0.25 * a + 0.75 * b, grid).x
    np.testing.assert_array_equal(interpolate(key, step, sde, a, b, 0.75, grid), mixed)


@pytest.mark.slow
def test_the_translation_between_gaussians_is_affine():
    """x - alpha m over the deviation of x_t stays along either flow; at t = 1 the latent is both's."""
    sde, x = VPSDE(0.1, 8.0), jnp.array([0.9, -0.3])
    other = Mixture(jnp.array([[-1.5, 2.0]]), 0.3, jnp.ones(1))
    deviation = lambda law, t: jnp.sqrt((sde.alpha(t) * law.std) ** 2 + sde.sigma(t) ** 2)
    alpha_0, alpha_1 = sde.alpha(sde.t_min), sde.alpha(1.0)
    slope = lambda law: deviation(law, 1.0) / deviation(law, sde.t_min)
    latent = alpha_1 * GAUSSIAN.means[0] + slope(GAUSSIAN) * (x - alpha_0 * GAUSSIAN.means[0])
    there = alpha_0 * other.means[0] + (latent - alpha_1 * other.means[0]) / slope(other)
    got = translate(sde, GAUSSIAN.score(sde), other.score(sde), x, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got.latent, latent, atol=1e-3)
    np.testing.assert_allclose(got.x, there, atol=1e-3)


@jax.jit
def translated_into_itself(sde, xs):
    """By the mixture's score there and back."""
    score = MIXTURE.score(sde)
    return jax.vmap(lambda x: translate(sde, score, score, x, t_min=1e-3, rtol=1e-5, atol=1e-5))(xs)


@pytest.mark.slow
def test_a_translation_into_the_same_law_is_the_identity(sde):
    xs = jax.vmap(MIXTURE.sample)(jax.random.split(jax.random.key(0), 8))
    got = translated_into_itself(traced(sde), xs)
    assert float(jnp.abs(got.latent - xs).max()) > 0.1
    np.testing.assert_allclose(got.x, xs, atol=2e-2 if isinstance(sde, TableVPSDE) else 5e-3)  # its drift has kinks
    assert (got.nfe > 20).all()


def test_sdedit_of_an_sde_that_is_not_linear_is_refused():
    with pytest.raises(TypeError, match="sdedit needs alpha"):
        sdedit(jax.random.key(0), ancestral(VPSDE(), lambda x, t: x), LogisticSDE(), jnp.ones(2), jnp.ones(2))


SMALL = ["--config.interpolate.pairs=3", "--config.interpolate.frames=3", "--config.train.steps=4"]
SMALL += ["--config.samplers.ancestral.n=4", "--config.samplers.ancestral.sweep={}"]


@pytest.mark.slow
def test_the_subcommand_writes_a_picture_of_points(tmp_path, capsys):
    """Of a trained run alone."""
    assert run("interpolate", tmp_path, *SMALL) == 5
    assert "train it first" in capsys.readouterr().err
    assert run("train", tmp_path, *SMALL) == 0
    assert run("interpolate", tmp_path, *SMALL) == 0
    assert np.asarray(Image.open(drawn(tmp_path / "interpolations", "ancestral")).convert("L")).std() > 1


@pytest.mark.slow
def test_pairs_and_times_that_there_are_not_are_refused():
    tree = read_config(MOONS, ["--config.interpolate.pairs=6", "--config.interpolate.t=1e-4"])
    experiment = build(Config.model_validate(tree), (2,))
    with pytest.raises(ConfigError) as error:
        interpolate_examples(experiment, (), np.zeros((9, 2), np.float32))
    few, late = str(error.value).splitlines()
    assert few == "interpolate.pairs = 6: 9 held-out examples make 4"
    assert late.startswith("interpolate.t = 0.0001: the grid of samplers.ancestral ends at")


@pytest.mark.slow
def test_the_flow_between_examples_goes_down_to_the_t_min_of_the_config():
    """Below it a network may not have been trained: here its score is nan there."""
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    few = "--config.interpolate.pairs=4", "--config.interpolate.frames=2", "--config.evaluate.t_min=0.1"
    exact = with_exact_score(small_experiment(*few))
    trained = lambda params, x, t, *others: jnp.where(t > 0.0999, exact.model.apply(params, x, t, *others), jnp.nan)
    flow, _ = interpolate_examples(exact._replace(model=exact.model._replace(apply=trained)), (), x).values()
    np.testing.assert_allclose(flow, np.stack([x[:4], x[4:]], axis=1), atol=1e-2)
