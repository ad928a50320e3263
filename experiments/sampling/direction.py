"""The direction of a class among the semantic codes of a diffusion autoencoder."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from experiments.build.experiment import Experiment
from experiments.data.dataset import Dataset
from experiments.runtime import devices
from experiments.runtime.errors import DataError

MOST = 10_000
"""The most training examples that a classifier is fitted to."""
DECAY = 1e-3


def class_direction(experiment: Experiment, params: Any, data: Dataset, label: int) -> Float[np.ndarray, " D"]:
    """Returns d = sqrt(D) std w/|w|, w of `linear_classifier` on the codes (z - mean)/std of training examples.

    A step s d is as long as s standard deviations of all D numbers. Preechakul et al. (2022), sec. 4.2. Raises DataError if the
    examples have no labels, or if all or none of them are of the class `label`.
    """

    def code(params: Any, k: jax.Array) -> jax.Array:
        return experiment.conditions_of(params, jax.random.key(0), experiment.scaler.place(k, 0.5))["vector"]

    examples = data.train.read(data.train.indices(0, min(MOST, len(data.train))))
    of_class = np.zeros(0, bool) if examples.y is None else examples.y == label
    if of_class.all() or not of_class.any():
        raise DataError(f"data: a direction needs examples with labels, some of class {label} and some of others")
    rows = jnp.asarray(examples.levels)
    z = devices.in_batches(devices.mapped(code), params, rows, experiment.config.evaluate.batch).astype(np.float64)
    std = z.std(0)
    w = linear_classifier((z - z.mean(0)) / np.where(std > 0, std, 1.0), of_class)
    return (np.sqrt(w.size) * std * w / np.linalg.norm(w)).astype(np.float32)


def linear_classifier(z: Float[np.ndarray, "n D"], of_class: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " D"]:
    """Returns the w of logistic regression: the minimum over w and b of

        mean log(1 + exp(-y (w . z + b))) + DECAY/2 |w|^2,    y = 1 of the class, -1 of others.

    DECAY keeps w finite if a plane separates the two. Of normal codes of one covariance C, w is along C^-1 of the difference of
    the means.
    """
    from scipy.optimize import minimize  # a second to import: only where a classifier is fitted

    y = np.where(of_class, 1.0, -1.0)
    ones = np.concatenate([z, np.ones((len(z), 1))], axis=1)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = y * (ones @ w)
        decayed = np.append(w[:-1], 0.0)
        slope = -y / (1 + np.exp(np.clip(margin, -500, 500)))
        value = np.logaddexp(0, -margin).mean() + DECAY / 2 * decayed @ decayed
        return float(value), ones.T @ slope / len(z) + DECAY * decayed

    return minimize(loss, np.zeros(ones.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x[:-1]
