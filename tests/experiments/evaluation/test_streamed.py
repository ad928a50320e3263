"""Measures of features in a file: those of the array, in blocks of any size, with a block of them in memory."""

import tracemalloc
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from small_experiments import small_experiment

from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.evaluation import results, statistics
from experiments.evaluation.distances import (
    frechet_at_infinity,
    frechet_distance,
    gaussian,
    inception_score,
    kernel_distance,
    moments,
)
from experiments.evaluation.features import FeatureSpace, feature_space
from experiments.evaluation.measures import measure_images
from experiments.evaluation.reference import Reference
from experiments.runtime import lazy_arrays
from experiments.runtime.lazy_arrays import FileArray, FunctionArray
from experiments.sampling import draw

SIZES = {"n": st.integers(2, 60), "f": st.integers(1, 9), "block": st.integers(1, 70), "seed": st.integers(0, 1000)}


def drawn(n, f, seed):
    return np.random.default_rng(seed).standard_normal((n, f)) * np.linspace(0.1, 3, f) + 0.3 * seed


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_moments_are_numpy_s_whatever_the_block(n, f, block, seed):
    """Of all features, and of some of them."""
    features = drawn(n, f, seed)
    numbers = np.sort(np.random.default_rng(seed).permutation(n)[: max(2, n // 2)])
    for of, some in ((features, None), (features[numbers], numbers)):
        mean, covariance = moments(features, some, block)
        np.testing.assert_allclose(mean, of.mean(0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(of, rowvar=False).reshape(f, f), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_small_spread_about_a_large_mean_keeps_its_digits(block):
    """Squares of 1e8 have 16 digits in float64, and the spread is in the 17th."""
    x = np.random.default_rng(0).standard_normal((500, 2))
    exact = np.cov(x, rowvar=False)
    _, covariance = moments(1e8 + x, block=block)
    np.testing.assert_allclose(covariance, exact, rtol=1e-6, atol=1e-7)
    naive = (1e8 + x).T @ (1e8 + x) / 499 - 500 / 499 * np.outer((1e8 + x).mean(0), (1e8 + x).mean(0))
    assert np.abs(naive - exact).max() > 0.1


@settings(max_examples=40, deadline=None)
@given(**SIZES, splits=st.integers(1, 5))
def test_the_inception_score_is_its_definition_whatever_the_block(n, f, block, seed, splits):
    """exp of the mean of KL(p(y|x) || p(y)), in each split; logits are a function of features."""
    rng = np.random.default_rng(seed)
    features, to_logits = rng.standard_normal((n, f)), rng.standard_normal((f, 4))
    log_p = log_softmax(features @ to_logits, axis=1)
    edges = np.arange(splits + 1) * n // splits
    each = [log_p[a:b] for a, b in pairwise(edges) if a < b]
    exact = [np.exp((np.exp(l) * (l - np.log(np.exp(l).mean(0)))).sum(1).mean()) for l in each]
    score, spread = inception_score(features, lambda some: some @ to_logits, splits, block)
    assert score == pytest.approx(np.mean(exact), rel=1e-9)
    assert spread == pytest.approx(np.std(exact), abs=1e-9)


def test_a_class_that_no_image_has_adds_nothing():
    """Its p(y) is 0 in float64, and so is 0 log 0."""
    assert inception_score(np.tile([0.0, 0.0, -1e4], (40, 1)))[0] == pytest.approx(1, rel=1e-12)


@pytest.fixture
def small_blocks(monkeypatch):
    """A block of 4 kB, and 50 features that are held against each other."""
    monkeypatch.setattr(lazy_arrays, "BLOCK", 2**12)
    monkeypatch.setattr(statistics, "FEW", 50)


def stored(folder, features, size=100):
    """The features in a file."""
    array = FileArray(folder)
    for start in range(0, len(features), size):
        array.append(features[start : start + size])
    return array


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [20, 700])
def test_distances_of_a_file_are_those_of_the_array(tmp_path, small_blocks, n, dtype):
    """Of fewer features than they have numbers, and of more."""
    a, b = drawn(n, 24, 0).astype(dtype), drawn(300, 24, 1).astype(dtype)
    file, real = stored(tmp_path, a), gaussian(b)
    assert frechet_distance(file, b) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert kernel_distance(file, b, 3, 100) == kernel_distance(a, b, 3, 100)
    if n > 100:
        assert frechet_at_infinity(file, *real) == pytest.approx(frechet_at_infinity(a, *real), rel=1e-9)
    held, whole = (statistics.statistics(each, PROTOCOL) for each in (file, a))
    np.testing.assert_array_equal(held.features, whole.features, strict=True)
    np.testing.assert_allclose(held.root.T @ held.root, np.cov(a, rowvar=False), rtol=1e-6, atol=1e-7)


PROTOCOL = statistics.Protocol("linear", "uint8", (8, 8, 1), 17, "abcd", "test")
TO_FEATURES = np.random.default_rng(1).standard_normal((64, 24))
IMAGES = np.random.default_rng(2).integers(0, 17, (16_000, 8, 8, 1)).astype(np.uint8)


def linear_reference(folder):
    """Images of noise in a space of 24 linear features, of which the first ten are logits and the greatest is the class."""
    space = FeatureSpace(
        embed=lambda levels: levels.reshape(len(levels), 64) @ TO_FEATURES,
        description="linear",
        extractor="linear",
        input="uint8",
        logits=lambda features: features[:, :10],
        classify=lambda features: features.argmax(1),
    )
    return Reference(space, statistics.statistics(space.embed(IMAGES[:200]), PROTOCOL), 3, folder)


def test_measures_do_not_depend_on_the_block(tmp_path, small_blocks, monkeypatch):
    """Every one of the table, in blocks of two images and in one block; what was in files is gone."""
    labels = np.arange(150) % 24
    values = []
    for block in (2**10, 2**26):
        monkeypatch.setattr(lazy_arrays, "BLOCK", block)
        values.append(measure_images(linear_reference(tmp_path), IMAGES[200:350], 17, labels))
    assert set(values[0]) == {"frechet", "frechet_infinity", "kid", "inception_score", "precision", "recall", "accuracy"}
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    assert list(tmp_path.iterdir()) == []


def peak_of(folder, n):
    """The most bytes of arrays at once while n images are embedded and measured."""
    reference, labels = linear_reference(folder), np.zeros(n, int)
    tracemalloc.start()
    try:
        measure_images(reference, FunctionArray((n, 8, 8, 1), IMAGES.__getitem__), 17, labels)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, small_blocks):
    """But by their numbers and classes, of eight bytes each; the features of each have 192."""
    peak_of(tmp_path, 1000)  # imports and compiles
    few, many = 2000, 16_000
    assert peak_of(tmp_path, many) - peak_of(tmp_path, few) < 40 * (many - few)


@pytest.mark.slow
@pytest.mark.usefixtures("in_root")
def test_the_row_of_a_sampler_does_not_depend_on_the_parts(tmp_path, monkeypatch):
    """Its measures, counts and pictures, in parts of one batch and in one part."""
    experiment = small_experiment("--config.evaluate.batch=16", "--config.evaluate.n=100")
    config = experiment.config
    data = load(open_sources(config.data), config.data, config.seed)
    reference = Reference.of(config, data, feature_space(config, data), tmp_path)
    params = experiment.model.init(jax.random.key(0), jnp.zeros(2))
    rows = []
    for part in (1, 2**26):
        monkeypatch.setattr(draw, "PART", part)
        rows.append(results._quality(experiment, "ancestral", params, reference))
    (values, pictures), (whole, picture) = rows
    assert values | {"seconds": 0} == whole | {"seconds": 0}
    np.testing.assert_array_equal(pictures, picture, strict=True)
    assert len(picture) == 100
