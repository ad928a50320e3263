"""Distances between samples and real images, in a space of features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.runtime import devices
from experiments.runtime.lazy_arrays import LazyArray, block_size, blocks

Features = Float[np.ndarray, "n f"]
Numbers = Int[np.ndarray, " m"]


def moments(features: LazyArray, numbers: Numbers | None = None, block: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The mean [f] and the covariance [f, f] over n - 1, in float64, of all features [n, f] or of those of these `numbers`.

        m = sum_i x_i / n,      S = sum_i (x_i - m)(x_i - m)^T / (n - 1)

    The features are read twice, a block at a time: sums of x x^T would lose the digits that m m^T has.
    """
    n, f = len(features) if numbers is None else len(numbers), features.shape[1]
    mean, outer = np.zeros(f), np.zeros((f, f))
    block = block or max(2 * f, block_size((f,)))  # of fewer rows the sums of f x f numbers would take most of the time
    for some in blocks(features, numbers, block):
        mean += some.sum(0, dtype=np.float64) / n
    for some in blocks(features, numbers, block):
        centred = some - mean
        outer += centred.T @ centred
    return mean, outer / (n - 1)


def gaussian(features: LazyArray, numbers: Numbers | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The mean [f] of n features, and a root R [min(n, f), f] of their covariance S over n - 1: S = R^T R, in float64.

    They are all features, or those of these `numbers`. Of n <= f features S has a rank below n, and R is the features about
    their mean: f^2 numbers are never computed.
    """
    n, f = len(features) if numbers is None else len(numbers), features.shape[1]
    if n <= f:
        few = features[:] if numbers is None else features[numbers]
        mean = few.mean(0, dtype=np.float64)
        return mean, (few - mean) / np.sqrt(n - 1)
    mean, covariance = moments(features, numbers)
    values, vectors = np.linalg.eigh(covariance)
    return mean, np.sqrt(np.maximum(values, 0))[:, None] * vectors.T


def frechet_distance(a: LazyArray, b: LazyArray) -> float:
    """The Fréchet distance of the Gaussians fitted to two sets of features."""
    return gaussian_distance(*gaussian(a), *gaussian(b))


def gaussian_distance(mu_a: np.ndarray, R_a: np.ndarray, mu_b: np.ndarray, R_b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), the squared 2-Wasserstein distance of two Gaussians, S = R^T R.

    S_a S_b has the eigenvalues of (R_a R_b^T)(R_a R_b^T)^T, so that the trace of its root is the sum of the singular values of
    R_a R_b^T, its nuclear norm. Dowson & Landau (1982), eq. 16.
    """
    return float(((mu_a - mu_b) ** 2).sum() + (R_a**2).sum() + (R_b**2).sum() - 2 * np.linalg.norm(R_a @ R_b.T, "nuc"))


SIZES = 15
"""The sizes of subsets that an extrapolation is fitted to."""


def least_for_infinity(features: int) -> int:
    """Returns the fewest samples that `frechet_at_infinity` takes: four times as many as features, and no fewer than 100.

    Subsets of half of them still have covariances of full rank, whose error is of the first order in 1/m.
    """
    return max(100, 4 * features)


def frechet_at_infinity(a: LazyArray, mu_b: np.ndarray, R_b: np.ndarray, seed: int = 0) -> float:
    """Returns the Fréchet distance FD_inf that sets of ever more points like a tend to, while the other Gaussian stays.

        FD_m = FD_inf + c/m,  to first order, for sets of m points; c depends on both sides.

    FD_inf is the intercept of ordinary least squares on 1/m, over `SIZES` random subsets of evenly spaced sizes from n/10 to n
    that are no fewer than twice the features: 5,000 to 50,000 for Inception, as published. It has no bias of first order, and
    so may fall below 0. Chong & Forsyth (2020), "Effectively Unbiased FID and Inception Score and where to find them".
    """
    n, f = a.shape
    rng = np.random.default_rng(seed)
    sizes = np.linspace(max(n // 10, 2 * f, 50), n, SIZES).astype(int)
    subsets = (np.sort(rng.permutation(n)[:m]) for m in sizes)  # in the order of the file
    distances = [gaussian_distance(*gaussian(a, subset), mu_b, R_b) for subset in subsets]
    _, at_infinity = np.polyfit(1 / sizes, distances, 1)
    return float(at_infinity)


def energy_distance(a: Features, b: Features) -> float:
    """2 E|x - y|^(1/2) - E|x - x'|^(1/2) - E|y - y'|^(1/2), x and x' two points of a, y and y' of b.

    It is 0 if their laws are equal, and else above, whatever their moments are: the generalised energy distance of Székely &
    Rizzo (2013), sec. 2. Any exponent below 2 does; at 1 a smear of moons as wide as their own noise is lost in the sampling
    error of 2000 points, and at 1/2, where small distances count for more, it is eight deviations. Over pairs of different
    points it is unbiased, and so below 0 for some sets of equal law.
    """

    def mean_distance(x: Features, y: Features) -> float:
        of_row = np.empty(len(x))
        for rows, d in squared_distances(x, y):
            of_row[rows] = np.sqrt(np.sqrt(d)).mean(axis=1, dtype=np.float64)
        return float(of_row.mean())

    within = sum(mean_distance(x, x) * len(x) / (len(x) - 1) for x in (a, b))
    return 2 * mean_distance(a, b) - within


def kernel_distance(a: LazyArray, b: LazyArray, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased MMD^2 under k(x, y) = (x y/f + 1)^3; KID if of Inception.

    MMD^2 = sum_{i != j} (k(a_i, a_j) + k(b_i, b_j))/(m (m - 1)) - 2 sum_{i, j} k(a_i, b_j)/m^2, with m = `size` points of
    each set, or as many as the smaller has. Bińkowski et al. (2018), section 4; Gretton et al. (2012), eq. 3.
    """
    rng, m = np.random.default_rng(seed), min(size, len(a), len(b))
    kernel = lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3

    def squared_mmd() -> float:
        x, y = (each[rng.choice(len(each), m, replace=False)].astype(np.float64) for each in (a, b))
        k_xx, k_yy = kernel(x, x), kernel(y, y)
        apart = k_xx.sum() - k_xx.trace() + k_yy.sum() - k_yy.trace()
        return apart / (m * (m - 1)) - 2 * kernel(x, y).mean()

    values = [squared_mmd() for _ in range(subsets)]
    return float(np.mean(values)), float(np.std(values))


def inception_score(
    features: LazyArray, logits: Callable[[Features], Features] = np.asarray, splits: int = 10, block: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation over splits of exp(E_x KL(p(y|x) || p(y))), p(y) = E_x p(y|x) in the split.

        E_x KL(p(y|x) || p(y)) = E_x sum_y p(y|x) log p(y|x) - sum_y p(y) log p(y),

    sums over x: the `logits` [k, classes] of a block of features are in memory at a time. Salimans et al. (2016), section 4.
    """
    from scipy.special import log_softmax, xlogy

    def score(numbers: Numbers) -> float:
        sum_p, sum_p_log_p = 0.0, 0.0
        for some in blocks(features, numbers, block):
            log_p = log_softmax(logits(some).astype(np.float64), axis=1)
            p = np.exp(log_p)
            sum_p, sum_p_log_p = sum_p + p.sum(0), sum_p_log_p + (p * log_p).sum()
        p_y = sum_p / len(numbers)
        return np.exp(sum_p_log_p / len(numbers) - xlogy(p_y, p_y).sum())

    edges = np.arange(splits + 1) * len(features) // splits
    values = [score(np.arange(start, end)) for start, end in pairwise(edges) if start < end]
    return float(np.mean(values)), float(np.std(values))


def precision_recall(fake: Features, real: Features, neighbours: int) -> tuple[float, float]:
    """The share of fake within the manifold of real, and the share of real within the manifold of fake.

    A manifold is the union of balls around its points that reach their k-th neighbour (Kynkäänniemi et al. 2019, eqs. 1-2).
    Every point is held against every other: both sets are in memory, and a block of the distances.
    """

    def radii(points: Features) -> np.ndarray:
        reach = np.empty(len(points))
        for rows, d in squared_distances(points, points):
            reach[rows] = np.partition(d, neighbours, axis=1)[:, neighbours]  # column 0 is the point itself
        return reach

    reach_of_real, reach_of_fake = radii(real), radii(fake)
    precise, recalled = np.empty(len(fake), bool), np.zeros(len(real), bool)
    for rows, d in squared_distances(fake, real):
        precise[rows] = (d <= reach_of_real).any(axis=1)
        # A distance that overflowed is not within reach.
        recalled |= ((d <= reach_of_fake[rows, None]) & np.isfinite(d)).any(axis=0)
    return float(precise.mean()), float(recalled.mean())


def squared_distances(
    a: Features, b: Features, pairs: int = 2**22
) -> Iterator[tuple[Int[np.ndarray, " rows"], Float[np.ndarray, "rows m"]]]:
    """Rows of a, and their |a_i - b_j|^2, block by block on all devices; by differences, so that it is exactly 0 for equals.

    A block is of at most so many `pairs` of points, if it is not one row. The last begins again with the first rows, as
    `devices.batches` does.
    """
    points, block = devices.put(_in_parts(b).swapaxes(0, 1), devices.replicated()), max(1, pairs // len(b))
    for rows in devices.batches(len(a), block):
        yield rows, devices.in_batches(_row_of_distances(), points, _in_parts(a[rows]), block)


WIDTH = 16
"""The number of features of which differences are held at once: XLA:CPU writes all of them down before it sums them."""


def _in_parts(x: Features) -> Float[np.ndarray, "n parts WIDTH"]:
    """The features in parts, the last one with zeros, which add nothing to a distance."""
    return np.pad(x.astype(np.float32, copy=False), ((0, 0), (0, -x.shape[1] % WIDTH))).reshape(len(x), -1, WIDTH)


@cache
def _row_of_distances() -> Callable[..., jax.Array]:
    def distances(points: jax.Array, point: jax.Array) -> jax.Array:
        def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            return total + jnp.square(part[0] - part[1]).sum(-1), None

        return jax.lax.scan(add, jnp.zeros(points.shape[1]), (points, point))[0]

    return devices.mapped(distances)
