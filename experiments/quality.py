"""Quality of samples against real images: a Fréchet distance, and precision and recall, in a stated feature space.

Not FID: that is this distance in Inception's features, on 50,000 images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist
from sklearn.neural_network import MLPClassifier

from experiments.data import Dataset
from experiments.errors import ConfigError

Features = Float[np.ndarray, "n f"]


class FeatureSpace(NamedTuple):
    """`embed(levels [n, *event]) -> features [n, f]`, and the words that state it."""

    embed: Callable[[np.ndarray], Features]
    description: str


def feature_space(name: str, data: Dataset, levels: int) -> FeatureSpace:
    """`pixels`: the event itself, levels scaled to [-1, 1]; `classifier`: the hidden layer of a network fit to the labels."""

    def pixels(images: np.ndarray) -> Features:
        flat = images.reshape(len(images), -1).astype(np.float64)
        return flat / ((levels - 1) / 2) - 1 if levels else flat

    if name == "pixels":
        size = int(np.prod(data.shape))
        return FeatureSpace(pixels, f"the {size} values of an event" + (", in [-1, 1]" if levels else ""))

    if data.train_labels is None:
        raise ConfigError("evaluate.features = 'classifier' needs labels, and this data has none: take 'pixels'")
    classifier = MLPClassifier(hidden_layer_sizes=(64,), alpha=1e-2, max_iter=300, random_state=0)
    classifier.fit(pixels(data.train_examples()), data.train_labels)
    accuracy = classifier.score(pixels(data.test), data.test_labels)

    def hidden(images: np.ndarray) -> Features:
        return np.maximum(pixels(images) @ classifier.coefs_[0] + classifier.intercepts_[0], 0)

    words = (
        f"64 hidden units (ReLU) of a classifier fit to the training labels, seed 0, {accuracy:.1%} right on held-out images"
    )
    return FeatureSpace(hidden, words)


def frechet_distance(a: Features, b: Features) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), the squared 2-Wasserstein distance of the fitted Gaussians.

    The trace of the root is the sum of square roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2), which is symmetric.
    Dowson & Landau (1982), eq. 16.
    """
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(s_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    trace_of_root = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ s_b @ root), 0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * trace_of_root)


def precision_recall(fake: Features, real: Features, neighbours: int) -> tuple[float, float]:
    """The shares of fake within real's manifold, and of real within fake's.

    A manifold is the union of balls around its points that reach their k-th neighbour (Kynkäänniemi et al. 2019, eqs. 1-2).
    """

    def radii(points: Features) -> np.ndarray:
        return np.partition(cdist(points, points), neighbours, axis=1)[:, neighbours]  # column 0 is the point itself

    distances = cdist(fake, real)
    precision = (distances <= radii(real)[None, :]).any(axis=1).mean()
    recall = (distances <= radii(fake)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)
