"""evaluate, of a classifier: how many held-out examples it tells right at each noise level, as numbers and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import parallel, plots
from experiments.build import Experiment
from experiments.data import Batch, Dataset
from experiments.evaluate import even_log_snr
from experiments.files import replacing, write_json
from experiments.randomness import Purpose, stream


def by_log_snr(experiment: Experiment, params: Any, data: Dataset) -> dict[str, Any]:
    """The share of all held-out examples that are told right, and the mean of -log p(y | x_t), at even log-SNRs."""
    config, sde, log_snr = experiment.config, experiment.sde, even_log_snr(experiment)

    def one(params: Any, row: tuple[jax.Array, Batch]) -> tuple[jax.Array, jax.Array]:
        key, example = row
        data_key, noise_key = jax.random.split(key)
        x_0, z = experiment.scaler.encode(data_key, example.levels), jax.random.normal(noise_key, experiment.shape)

        def at(level: jax.Array) -> tuple[jax.Array, jax.Array]:
            t = sde.time_at(level)
            log_p = experiment.log_prob(params, sde.perturb(x_0, z, t), t)
            return log_p.argmax() == example.y, -log_p[example.y]

        return jax.lax.map(at, log_snr)

    test = data.held_out(len(data.test), experiment.classes)
    rows = jax.random.split(stream(config.seed, Purpose.NOISE_LEVELS), len(data.test)), test
    right, loss = parallel.in_batches(parallel.mapped(one), params, rows, config.evaluate.batch)
    most = np.bincount(test.y).max() / len(test.y)
    return {
        "log_snr": log_snr.tolist(),
        "accuracy": right.mean(0).tolist(),
        "cross_entropy": loss.mean(0).tolist(),
        "largest_class": float(most),
    }


def write(experiment: Experiment, params: Any, data: Dataset, workdir: Path, command: str) -> Path:
    """classifier.json and classifier.png in `workdir`; the path of the picture."""
    found, config = by_log_snr(experiment, params, data), experiment.config
    path = workdir / "classifier.png"
    if parallel.first():
        protocol = {"config": config.digest(), "data": data.digest, "n": len(data.test), "seed": config.seed}
        write_json(workdir / "classifier.json", {"title": config.title, "command": command, **protocol, **found})
        with replacing(path) as part:
            plots.accuracy_against_log_snr(found, config.title).savefig(part, facecolor="white")
    return path
