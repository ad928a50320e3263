"""The reverse process as pictures."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.build.experiment import Experiment
from experiments.build.sampler import Rows, sample_sampler
from experiments.config.parts import learns_flow
from experiments.runtime import devices
from samplers import ancestral, solve
from sde_lib import LinearSDE


def reverse_process(experiment: Experiment, params: Any, key: jax.Array, snapshots: int = 12) -> tuple[np.ndarray, int]:
    """Ancestral sampling at even steps, noise first, as pictures [snapshots, n, *event] on the scale of the data.

    A flow that has no score, and an SDE without alpha and sigma, is shown by `sample.sampler` itself.

    It is of 8 events, or of 512 points, which have a shape in their number alone. x_t is shown over the SDE's `spread`, since a
    VE process starts at sigma_max. The second value counts the samples that are not finite: if there are any, there
    are no pictures, [snapshots, 0, *event].
    """
    sampler = sample_sampler(experiment)

    def one(params: Any, row: Rows, grid: jax.Array) -> tuple[jax.Array, jax.Array]:
        prior_key, step_key = jax.random.split(row.keys)
        y = sampler.conditions(params, row)
        sde, score, own, _ = sampler.reverse(params, y)
        x_1 = experiment.start(prior_key, sde, y)
        learned = experiment.variance(params, y) if sampler.config.sde is None else {}
        posterior = isinstance(sde, LinearSDE) and not learns_flow(experiment.config)
        step = ancestral(sde, score, **learned) if posterior else own
        solution = solve(step_key, step, x_1, grid)
        path = jnp.concatenate([x_1[None], solution.path])
        steps = jnp.round(jnp.linspace(0, sampler.config.n, snapshots)).astype(int)
        scale = jax.vmap(sde.spread)(grid[steps])
        frames = jax.vmap(lambda z, s: experiment.levels(params, z / s))(path[steps], jnp.maximum(scale, 1.0))
        return frames, solution.finite == sampler.config.n

    n = devices.rounded_up(512 if len(experiment.shape) == 1 else 8)
    rows = sampler.rows_of(jax.random.split(key, n))
    run = experiment.once("process", lambda: devices.mapped(one))
    frames, finite = devices.in_batches(run, params, rows, n, sampler.at(params).grid())
    sound = frames if finite.all() else frames[:0]
    return np.swapaxes(np.asarray(experiment.scaler.display(sound)), 0, 1), int((~finite).sum())
