"""Measures of quality against closed forms."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.special import gamma, hyp1f1

from experiments.data.toys import two_moons
from experiments.evaluation.distances import (
    energy_distance,
    frechet_at_infinity,
    frechet_distance,
    gaussian,
    gaussian_distance,
    least_for_infinity,
    precision_recall,
    squared_distances,
)


def test_frechet_distance_of_gaussians_is_the_textbook_s():
    """|mu|^2 + tr(A + B - 2 (A B)^(1/2)) with scipy's root of the unsymmetric product."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((400, 5)) @ rng.standard_normal((5, 5)), rng.standard_normal((300, 5)) + 0.5
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    exact = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a + s_b - 2 * sqrtm(s_a @ s_b).real)
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(("n", "m"), [(12, 9), (12, 70), (70, 9), (70, 90), (24, 25)])
def test_frechet_distance_in_the_rank_of_the_sets_is_the_full_one(n, m):
    """Of fewer points than dimensions, or of more, on either side: the trace by eigenvalues of S_a S_b of 24 x 24."""
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((n, 24)) * np.linspace(0, 2, 24), 0.3 + rng.standard_normal((m, 24))
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.maximum(np.linalg.eigvals(s_a @ s_b).real, 0)).sum()
    exact = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-6)
    for points, covariance in ((a, s_a), (b, s_b)):
        factor = gaussian(points)[1]
        assert len(factor) == min(len(points), 24)
        np.testing.assert_allclose(factor.T @ factor, covariance, atol=1e-12)


def test_few_images_of_many_pixels_cost_no_eigenproblem_of_their_pixels():
    """Sets of 64 and 80 on a plane of 20 dimensions, turned into 64 x 64 x 3: a covariance there has 1.2 GB. It is the same."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((12_288, 20)))[0].T
    a, b = rng.standard_normal((64, 20)), 0.5 + 2 * rng.standard_normal((80, 20))
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-9)


@pytest.mark.parametrize(("f", "n"), [(16, 100), (24, 240)])
def test_the_distance_at_infinity_has_lost_the_bias_of_n(f, n):
    """N(m, diag(s^2)) against N(0, I) is |m|^2 + sum (s - 1)^2. The mean over sets is there, and that at n is far above."""
    rng, runs = np.random.default_rng(0), 30
    m, s = np.eye(f)[0] / 2, np.linspace(0.5, 2, f)
    exact = (m**2).sum() + ((s - 1) ** 2).sum()
    sets = [m + s * rng.standard_normal((n, f)) for _ in range(runs)]
    at_infinity = np.array([frechet_at_infinity(each, np.zeros(f), np.eye(f)) for each in sets])
    at_n = np.array([gaussian_distance(*gaussian(each), np.zeros(f), np.eye(f)) for each in sets])
    error, bias = at_infinity.std() / np.sqrt(runs), at_n.mean() - exact
    assert n >= least_for_infinity(f)
    assert abs(at_infinity.mean() - exact) < 3 * error + 0.05 * bias
    assert bias > 5 * error


def test_a_law_at_infinity_is_at_no_distance_from_itself():
    """It has no bias, and so is below 0 for some sets."""
    rng = np.random.default_rng(0)
    values = np.array([frechet_at_infinity(rng.standard_normal((200, 4)), np.zeros(4), np.eye(4)) for _ in range(60)])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(60)
    assert values.min() < 0 < values.max()


def test_energy_distance_is_that_of_two_gaussians():
    """E|x - y|^(1/2) of N(0, 1) and N(m, 1) is a moment of N(m, 2): 2^(1/2) Gamma(3/4)/sqrt(pi) 1F1(-1/4; 1/2; -m^2/4)."""
    m, rng = 1.5, np.random.default_rng(0)
    moment = lambda m: np.sqrt(2 / np.pi) * gamma(0.75) * hyp1f1(-0.25, 0.5, -(m**2) / 4)
    a, b = rng.standard_normal((2000, 1)), m + rng.standard_normal((1500, 1))
    assert energy_distance(a, b) == pytest.approx(2 * (moment(m) - moment(0.0)), rel=0.1)


def test_energy_distance_sees_what_mean_and_covariance_do_not():
    """Of moons smeared with their mean and covariance unchanged it is many deviations from 0, and of moons it is not."""
    rng = np.random.default_rng(0)
    real, *sets = np.split(rng.permutation(two_moons(5000, 0)), 5)

    def smeared(points):
        noisy = points + 0.25 * rng.standard_normal(points.shape)
        root = lambda x: np.linalg.cholesky(np.cov(x, rowvar=False))
        return points.mean(0) + (noisy - noisy.mean(0)) @ np.linalg.inv(root(noisy)).T @ root(points).T

    same, other = ([energy_distance(of(points), real) for points in sets] for of in (np.asarray, smeared))
    assert abs(np.mean(same)) < 3 * np.std(same)
    assert min(other) > 4 * np.std(same)
    assert max(frechet_distance(smeared(points), points) for points in sets) < 1e-9


def test_precision_and_recall_of_half_a_distribution():
    """Samples of one mode of two: all of them real, half of the real ones covered."""
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((300, 2)), rng.standard_normal((300, 2)) + 50
    precision, recall = precision_recall(rng.standard_normal((300, 2)), np.concatenate([one, two]), 5)
    assert precision > 0.95
    assert recall == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("features", [1, 16, 37])
@pytest.mark.parametrize("pairs", [1, 200, 10_000])
def test_squared_distances_are_those_of_scipy_in_any_blocks(features, pairs):
    """Of features that fill their parts, and that do not; between equals they are exactly 0."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, features)), rng.standard_normal((25, features)) + 2.0
    b[3] = a[7]
    d = np.full((30, 25), np.nan)
    for rows, values in squared_distances(a, b, pairs):
        d[rows] = values
    np.testing.assert_allclose(d, cdist(a, b, "sqeuclidean"), rtol=1e-5, atol=1e-6)
    assert d[7, 3] == 0


def test_far_samples_have_neither():
    rng = np.random.default_rng(0)
    assert precision_recall(rng.standard_normal((50, 2)) + 100, rng.standard_normal((50, 2)), 3) == (0, 0)
