"""Held-out loss of a score, and accuracy of a classifier, by noise level."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.experiment import Experiment
from experiments.config.parts import bridges
from experiments.data.dataset import Batch, Dataset
from experiments.evaluation.likelihood import held_out, standard_error
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from losses import bridge, dsm, sigma2
from sde_lib import LinearSDE
from sde_lib.base import GaussianSDE, coordinate_mean


def accuracy_by_log_snr(experiment: Experiment, params: Any, data: Dataset) -> dict[str, Any]:
    """The share of all held-out examples that the classifier gets right, and the mean of -log p(y | x_t), at even log-SNRs."""
    config, sde, log_snr = experiment.config, experiment.sde, even_log_snr(experiment)
    assert isinstance(sde, LinearSDE)  # `models.class_model` refuses any other

    def one(params: Any, row: tuple[jax.Array, Batch]) -> tuple[jax.Array, jax.Array]:
        key, example = row
        data_key, noise_key = jax.random.split(key)
        x_0 = encoded(experiment, params, data_key, experiment.scaler.encode(data_key, example.levels))
        z = jax.random.normal(noise_key, experiment.code_shape)

        def at(level: jax.Array) -> tuple[jax.Array, jax.Array]:
            t = sde.time_at(level)
            log_p = experiment.log_prob(params, sde.perturb(x_0, z, t), t)
            return log_p.argmax() == example.y, -log_p[example.y]

        return jax.lax.map(at, log_snr)

    test = data.held_out(len(data.test), experiment.classes)
    rows = jax.random.split(stream(config.seed, Purpose.NOISE_LEVELS), len(data.test)), test
    right, loss = devices.in_batches(devices.mapped(one), params, rows, config.evaluate.batch)
    most = np.bincount(test.y).max() / len(test.y)
    return {
        "log_snr": log_snr.tolist(),
        "accuracy": right.mean(0).tolist(),
        "cross_entropy": loss.mean(0).tolist(),
        "largest_class": float(most),
    }


def encoded(experiment: Experiment, params: Any, key: jax.Array, x: jax.Array) -> jax.Array:
    """A code of the x of an example as training draws it."""
    return experiment.encode(params, jax.random.fold_in(key, 0), x)[0]


def even_log_snr(experiment: Experiment) -> jax.Array:
    """`evaluate.noise_levels` log-SNRs, from that of t = 1 to that of t_min; each is the SDE's `level`."""
    sde = experiment.sde
    noisiest, cleanest = (sde.level(t) for t in (1.0, max(sde.t_min, 1e-5)))
    return jnp.linspace(noisiest, cleanest, experiment.config.evaluate.noise_levels)


def loss_by_log_snr(experiment: Experiment, params: Any, data: Dataset, key: jax.Array) -> dict[str, list[float]]:
    """E|eps - eps_hat|^2 / D of held-out examples at even log-SNRs: dsm with weight sigma^2, whatever the network predicts.

    D counts the numbers that noise enters. The loss of a bridge is at its x_t. A network with conditions hears those of each
    example. Empty if there is no p(x_t | x_0).
    """
    config, sde, log_snr = experiment.config.evaluate, experiment.sde, even_log_snr(experiment)
    if not isinstance(sde, GaussianSDE):
        return {"log_snr": [], "loss": [], "std_error": []}

    def one(params: Any, row: tuple[jax.Array, Batch], log_snr: jax.Array) -> jax.Array:
        key, example = row
        data_key, noise_key = jax.random.split(key)
        sde: Any = experiment.at(params).sde
        x = experiment.scaler.encode(data_key, example.levels)
        x_0, y = encoded(experiment, params, data_key, x), experiment.conditions_of(params, key, x, example.y)
        score = experiment.score(params, y=y)
        loss = bridge(sde, score, y["image"], sigma2) if bridges(experiment.config) else dsm(sde, score, sigma2)
        of_all = jax.lax.map(lambda level: loss(noise_key, x_0, sde.time_at(level)), log_snr)
        return of_all / coordinate_mean(sde.noise_mask)

    n = held_out(experiment.config, data.test) or min(config.batch, len(data.test))
    rows = jax.random.split(key, n), data.held_out(n, experiment.classes)
    run = experiment.once("loss", lambda: devices.mapped(one))
    loss = devices.in_batches(run, params, rows, config.batch, log_snr)
    return {
        "log_snr": log_snr.tolist(),
        "loss": loss.mean(0).tolist(),
        "std_error": standard_error(loss).tolist(),
    }
