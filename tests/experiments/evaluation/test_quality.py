"""Measures of quality against closed forms."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from experiments.evaluation.distances import frechet_distance, precision_recall


def test_frechet_distance_of_gaussians_is_the_textbook_s():
    """|mu|^2 + tr(A + B - 2 (A B)^(1/2)) with scipy's root of the unsymmetric product."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5)), rng.standard_normal((300, 5)) + 0.5
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    exact = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a + s_b - 2 * sqrtm(s_a @ s_b).real)
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


def test_precision_and_recall_of_half_a_distribution():
    """Samples of one mode of two: all of them real, half of the real ones covered."""
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((300, 2)), rng.standard_normal((300, 2)) + 50
    precision, recall = precision_recall(rng.standard_normal((300, 2)), np.concatenate([one, two]), 5)
    assert precision > 0.95
    assert recall == pytest.approx(0.5, abs=0.03)


def test_far_samples_have_neither():
    rng = np.random.default_rng(0)
    assert precision_recall(rng.standard_normal((50, 2)) + 100, rng.standard_normal((50, 2)), 3) == (0, 0)
