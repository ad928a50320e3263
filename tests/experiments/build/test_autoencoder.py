"""Diffusion autoencoders on Gaussian data, with the exact score given a linear code: everything about them in closed form.

x ~ N(0, C) in R^3 and z = E(x) = K x, one number. Given z, x is normal, of the mean G z and the covariance C - G K C.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from edited_runs import experiment_of
from oracle import Normal

import models
from experiments.build.autoencoder import autoencoder_codec
from experiments.build.build import build
from experiments.build.sampler import sample_sampler
from experiments.config.problems import every_problem
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch
from experiments.runtime.errors import ConfigError
from experiments.sampling import editing
from experiments.sampling.direction import linear_classifier
from experiments.sampling.interpolation import on_the_arc

pytestmark = pytest.mark.usefixtures("in_root")
A = np.array([[1.0], [0.6], [-0.4]])
C = A @ A.T + 0.3 * np.eye(3)
K = A.T @ np.linalg.inv(C)
G = C @ K.T @ np.linalg.inv(K @ C @ K.T)
WITHIN = C - G @ K @ C
DATA = Normal(jnp.zeros(3), jnp.asarray(C, jnp.float32))
ENCODER = "--config.conditions.vector={'name': 'Perceptron', 'emitted': (1,), 'depth': 0}"
NO_BITS = "--config.evaluate.likelihood=0"
PARAMS = {"net": {}, "encoder": {"last": {"kernel": jnp.asarray(K.T, jnp.float32), "bias": jnp.zeros(1)}}}


def exact(*overrides):
    """An experiment whose encoder is K, at `PARAMS`, and whose score is that of x_t given z."""
    tolerance = "--config.evaluate.tolerance=1e-5", "--config.evaluate.t_min=1e-3"
    experiment = experiment_of(ENCODER, NO_BITS, "--config.sample.sampler=ode", *tolerance, *overrides, shape=(3,))

    def apply(params, x, t, y=None, key=None):
        return DATA.given(jnp.asarray(K, jnp.float32), y["vector"], 0.0).score(experiment.sde)(x, t)

    return experiment._replace(model=models.ScoreModel(lambda key, x: PARAMS, apply, lambda *a, **k: None))


def draws(n):
    return np.float32(np.random.default_rng(0).multivariate_normal(np.zeros(3), C, n))


@pytest.mark.slow
def test_the_codec_decodes_to_the_law_of_x_given_its_code():
    """E(x) is K x. Without a key x is E[x | z]; with one it is affine in x_1 ~ N(0, I), of the covariance of x given z."""
    codec, x = autoencoder_codec(exact()), jnp.asarray(draws(1)[0])
    z, cost = codec.encode(PARAMS, jax.random.key(0), x)
    np.testing.assert_allclose(z, K @ x, rtol=1e-5)
    assert cost == 0.0
    assert not codec.density
    decode = jax.jit(jax.vmap(lambda key: codec.decode(PARAMS, key, z)))
    mean = jax.jit(lambda: codec.decode(PARAMS, None, z))()
    np.testing.assert_allclose(mean, G @ z, atol=5e-3)
    many = np.asarray(decode(jax.random.split(jax.random.key(1), 4000)))
    np.testing.assert_allclose(many.mean(0), G @ z, atol=5 * np.sqrt(WITHIN.max() / 4000))
    np.testing.assert_allclose(np.cov(many.T), WITHIN, atol=6 * WITHIN.max() * np.sqrt(2 / 4000))
    np.testing.assert_allclose(many @ K.T, np.full((4000, 1), float(z[0])), atol=0.03)  # every x has this code


def test_samples_have_the_codes_of_held_out_examples():
    experiment = exact()._replace(held_out=Batch(draws(4)))
    sampler = sample_sampler(experiment)
    y = jax.vmap(sampler.conditions, (None, 0))(PARAMS, sampler.rows(0, 6))
    np.testing.assert_allclose(y["vector"], draws(4)[[0, 1, 2, 3, 0, 1]] @ K.T, rtol=1e-5)


@pytest.mark.slow
def test_between_examples_the_code_goes_straight():
    """At the ends the examples themselves; between them x of the code (1 - w) z_a + w z_b."""
    pairs = draws(4).reshape(2, 2, 3)
    way = on_the_arc(exact("--config.interpolate.frames=4"), PARAMS, pairs)
    assert way.finite.all()
    np.testing.assert_allclose(way.levels[:, [0, -1]], pairs, atol=5e-3)
    z, w = pairs @ K.T, np.linspace(0, 1, 4)[None, :, None]
    np.testing.assert_allclose(way.levels @ K.T, (1 - w) * z[:, :1] + w * z[:, 1:], atol=0.1 * np.linalg.norm(K))


@pytest.mark.slow
def test_a_manipulation_moves_the_code_and_nothing_else():
    """z + s d, with the latent kept: x moves by s G d. At s = 0 it is the example."""
    experiment = exact("--config.edit.by={'name': 'manipulate', 'label': 1, 'strengths': (0.0, 0.5)}", "--config.edit.rows=8")
    test, d = draws(8), np.array([0.7], np.float32)
    edit = editing.configured_edit(experiment, test)
    assert edit.towards == 1
    frames = editing.edit_examples(experiment, PARAMS, edit, Batch(test), d).x[:, 0]
    np.testing.assert_allclose(frames[:, :2], test[:, None].repeat(2, 1), atol=5e-3)
    np.testing.assert_allclose(frames[:, 2] - frames[:, 1], np.tile(0.5 * G @ d, (8, 1)), atol=5e-3)


def test_the_direction_of_a_class_is_that_of_fisher_s_discriminant():
    """Of two normal laws of one covariance S, w is along S^-1 (m_1 - m_0)."""
    rng = np.random.default_rng(0)
    S, apart = np.array([[1.0, 0.6], [0.6, 1.0]]), np.array([0.8, -0.3])
    of_class = rng.random(40_000) < 0.3
    z = rng.multivariate_normal(np.zeros(2), S, len(of_class)) + of_class[:, None] * apart
    w, truth = linear_classifier(z, of_class), np.linalg.solve(S, apart)
    cosine = w @ truth / np.linalg.norm(w) / np.linalg.norm(truth)
    assert cosine > 0.999


def test_the_gradient_reaches_the_encoder():
    """That of the score's loss alone, as there is no other; and the parameters of the encoder stand beside the network's."""
    experiment = experiment_of(ENCODER, NO_BITS, shape=(3,))
    params = experiment.initial(jax.random.key(0))
    params["net"]["last"]["kernel"] += 0.1  # which starts at zero, where nothing is heard
    x = jnp.asarray(draws(1)[0])

    @jax.jit
    @jax.grad
    def gradient(params):
        y = experiment.conditions_of(params, jax.random.key(0), x)
        return experiment.loss(params, jax.random.key(0), y)(jax.random.key(1), x, 0.5).score

    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient(params)["encoder"]))


REFUSED = {
    "a likelihood": ([ENCODER], "evaluate.likelihood = 500: conditions.vector = Perceptron is a code of x"),
    "no code": ([ENCODER.replace("'emitted': (1,), ", ""), NO_BITS], "conditions.vector: option emitted is missing"),
    "no encoder": (["--config.conditions.vector=PoledEncoder"], "(did you mean PooledEncoder?"),
    "an encoder of images": (["--config.conditions.vector=ConvEncoder"], "ConvEncoder"),
    "another network": ([ENCODER, NO_BITS, "--config.net=Zero"], "Zero takes no vector"),
    "a codec trained with it": ([ENCODER, NO_BITS, "--config.codec.by=real_nvp"], "a code as a vector leaves none"),
    "adapters": ([ENCODER, NO_BITS, "--config.lora.run=runs/moons"], "lora adapts a network that is trained"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_goes_with_no_encoder_is_refused(case):
    overrides, says = REFUSED[case]
    tree = read_config("configs/toy2d/moons.py", overrides)
    problems = every_problem(tree)
    if not problems:
        with pytest.raises(ConfigError) as error:
            build(Config.model_validate(tree), (2,))
        problems = str(error.value).splitlines()
    assert any(says in line for line in problems), problems


def test_an_edit_of_codes_asks_for_an_encoder():
    with pytest.raises(ConfigError, match="it moves a semantic code, and the run has none"):
        editing.configured_edit(experiment_of("--config.edit.by=manipulate"), np.zeros((40, 2), np.float32))
