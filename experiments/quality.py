"""Quality of samples against real images, in a stated feature space: Fréchet and kernel distances, precision and recall.

In Inception's features, `experiments.inception`, the first two are FID and KID, and its logits give the Inception score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments import inception, parallel
from experiments.build import scale
from experiments.data import Dataset
from experiments.errors import ConfigError
from experiments.progress import say
from experiments.schema import Config

Features = Float[np.ndarray, "n f"]
FITTED = 10_000
"""The most training labels that the classifier is fit to: minutes where there are more."""


class FeatureSpace(NamedTuple):
    """`embed(levels [n, *event]) -> features [n, f]`, and the words that state it; where they are Inception's, its `logits`.

    `classify`: the class of each image by its features, where they are a classifier's.
    `extractor` names what makes the features, by the hash of its weights where it has any; `input`, what it is given.
    """

    embed: Callable[[np.ndarray], Features]
    description: str
    extractor: str
    input: str
    logits: Callable[[Features], Features] | None = None
    classify: Callable[[Features], np.ndarray] | None = None

    @property
    def distance(self) -> str:
        """What the Fréchet distance is called here."""
        return "FID" if self.logits else "Fréchet distance"


def feature_space(config: Config, data: Dataset) -> FeatureSpace:
    """`pixels`: the event itself, levels scaled to [-1, 1]; `classifier`: the hidden layer of a network fit to the labels.

    `inception`: FID's network, on all devices. ConfigError where the data or the weights do not give it.
    """
    if config.evaluate.features == "inception":
        return _inception(config, data.shape)
    levels = config.data.levels

    def pixels(images: np.ndarray, dtype: type[np.floating] = np.float64) -> Features:
        flat = images.reshape(len(images), -1).astype(dtype)
        if levels:  # in place: of 50,000 images of CIFAR-10 it has 0.6 GB in float32
            flat /= (levels - 1) / 2
            flat -= 1
        return flat

    scaled = "scaled to [-1, 1]" if levels else "as it is"
    if config.evaluate.features == "pixels":
        size = int(np.prod(data.shape))
        of = lambda images: pixels(images, np.float32)
        return FeatureSpace(of, f"the {size} values of an event" + (", in [-1, 1]" if levels else ""), "pixels", scaled)

    if data.train_labels is None:
        raise ConfigError("evaluate.features = 'classifier' needs labels, and this data has none: take 'pixels'")
    from sklearn.neural_network import MLPClassifier  # seconds to import: only where it is used

    classifier = MLPClassifier(hidden_layer_sizes=(64,), alpha=1e-2, max_iter=300, random_state=0)
    classifier.fit(pixels(data.train_examples(FITTED)), data.train_labels[:FITTED])
    accuracy = classifier.score(pixels(data.test), data.test_labels)

    def hidden(images: np.ndarray, block: int = 4096) -> Features:
        of = lambda some: np.maximum(pixels(some) @ classifier.coefs_[0] + classifier.intercepts_[0], 0)
        return np.concatenate([of(images[start : start + block]) for start in range(0, len(images), block)])

    words = (
        f"64 hidden units (ReLU) of a classifier fit to {min(FITTED, len(data.train)):,} training labels, seed 0, "
        f"{accuracy:.1%} right on held-out images"
    )
    classify = lambda features: classifier.classes_[(features @ classifier.coefs_[1] + classifier.intercepts_[1]).argmax(1)]
    return FeatureSpace(hidden, words, "classifier", scaled, classify=classify)


def _inception(config: Config, shape: tuple[int, ...]) -> FeatureSpace:
    """FID's features of 8-bit images."""
    if not config.data.levels or len(shape) != 3 or shape[-1] not in (1, 3):
        raise ConfigError(f"evaluate.features = 'inception' needs images of 1 or 3 channels, not {shape}: take 'pixels'")
    network, batch, display = inception.load(config.evaluate.inception), config.evaluate.batch, scale(config).display
    if not network.official:
        say(f"warning: {config.evaluate.inception} is not the published file by its hash; FID is what its weights make of it")
    run, params = parallel.mapped(inception.embed), parallel.put(network.params, parallel.replicated())
    official = "the published file" if network.official else "not the published .pth, byte for byte"
    return FeatureSpace(
        lambda images: parallel.in_batches(run, params, display(images), batch),
        f"2048, of the Inception of 2015-12-05; hash of its weights {network.digest}, {official}",
        f"inception-2015-12-05 {network.digest}",
        f"uint8 of {config.data.levels} levels, {'repeated to 3 channels, ' if shape[-1] == 1 else ''}bilinear to "
        f"{inception.SIDE} x {inception.SIDE} as in TensorFlow 1, without antialiasing; float32",
        network.logits,
    )


def moments(features: Features, block: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Mean [f] and covariance [f, f] in float64, the covariance over n - 1."""
    mean = features.mean(0, dtype=np.float64)
    outer = np.zeros((len(mean), len(mean)))
    for start in range(0, len(features), block):
        centred = features[start : start + block] - mean
        outer += centred.T @ centred
    return mean, outer / (len(features) - 1)


def frechet_distance(a: Features, b: Features) -> float:
    """The Fréchet distance of the Gaussians fitted to two sets of features."""
    return gaussian_distance(*moments(a), *moments(b))


def gaussian_distance(mu_a: np.ndarray, s_a: np.ndarray, mu_b: np.ndarray, s_b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), the squared 2-Wasserstein distance of two Gaussians.

    The trace of the root is the sum of square roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2), which is symmetric.
    Dowson & Landau (1982), eq. 16.
    """
    values, vectors = np.linalg.eigh(s_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    trace_of_root = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ s_b @ root), 0)).sum()
    return float(((mu_a - mu_b) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * trace_of_root)


def kernel_distance(a: Features, b: Features, subsets: int = 100, size: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased MMD^2 under k(x, y) = (x y/f + 1)^3: of Inception's, KID.

    sum_{i != j} (k(a_i, a_j) + k(b_i, b_j))/(m (m - 1)) - 2 sum_{i, j} k(a_i, b_j)/m^2 of m = `size` of each, or all of the
    fewer. Bińkowski et al. (2018), section 4; Gretton et al. (2012), eq. 3.
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


def inception_score(logits: Float[np.ndarray, "n classes"], splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation over splits of exp(E_x KL(p(y|x) || p(y))), p(y) = E_x p(y|x) of the split.

    Salimans et al. (2016), section 4.
    """
    from scipy.special import log_softmax

    def score(log_p: np.ndarray) -> float:
        p = np.exp(log_p)
        return np.exp((p * (log_p - np.log(p.mean(0)))).sum(1).mean())

    log_p = log_softmax(logits.astype(np.float64), axis=1)
    edges = np.arange(splits + 1) * len(log_p) // splits
    values = [score(log_p[start:end]) for start, end in pairwise(edges) if start < end]
    return float(np.mean(values)), float(np.std(values))


def precision_recall(fake: Features, real: Features, neighbours: int) -> tuple[float, float]:
    """The shares of fake within real's manifold, and of real within fake's.

    A manifold is the union of balls around its points that reach their k-th neighbour (Kynkäänniemi et al. 2019, eqs. 1-2).
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
        # A distance too far to be told is not within reach.
        recalled |= ((d <= reach_of_fake[rows, None]) & np.isfinite(d)).any(axis=0)
    return float(precise.mean()), float(recalled.mean())


def squared_distances(a: Features, b: Features, block: int = 512) -> Iterator[tuple[slice, Float[np.ndarray, "rows m"]]]:
    """Rows of a, and their |a_i - b_j|^2, block by block on all devices: of differences, so that of equals it is exactly 0."""
    block = -(-min(block, len(a)) // jax.device_count()) * jax.device_count()
    points = parallel.put(b.astype(np.float32), parallel.replicated())
    for start in range(0, len(a), block):
        rows = slice(start, start + block)
        yield rows, parallel.in_batches(_row_of_distances(), points, a[rows].astype(np.float32), block)


@cache
def _row_of_distances() -> Callable[..., jax.Array]:
    return parallel.mapped(lambda points, point: jnp.square(points - point).sum(-1))
