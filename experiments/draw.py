"""Samples from a sampler's config: one compiled program for all its settings, and the same image i whatever the batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import parallel
from experiments.build import Experiment
from experiments.errors import NumericsError
from experiments.plots import picture
from experiments.randomness import Purpose, stream
from experiments.schema import Sampler
from samplers import solve


class Drawn(NamedTuple):
    """`levels` [n, *event] (points: the points), `finite` [n], `nfe` [n] score evaluations, wall time without compiling."""

    levels: np.ndarray
    finite: np.ndarray
    nfe: np.ndarray
    seconds: float


def drawing(experiment: Experiment, sampler: Sampler) -> Callable[..., Drawn]:
    """draw(params, seed, n, steps, **swept) -> Drawn: n samples of `steps` steps, sample i from its own fold of the seed."""

    def one(params: Any, key: jax.Array, grid: jax.Array, swept: dict[str, jax.Array]):
        prior_key, step_key = jax.random.split(key)
        score = experiment.score(params)
        final = (lambda x, t: experiment.sde.denoise(score, x, t)) if sampler.denoise else None
        x_1 = experiment.sde.prior_sample(prior_key, experiment.shape)
        solution = solve(step_key, experiment.step(sampler, params, **swept), x_1, grid, final)
        return experiment.scaler.decode(solution.x), jnp.isfinite(solution.x).all(), solution.nfe

    run = parallel.mapped(one)
    longest = max(sampler.n, *(int(n) for n in sampler.sweep.get("n", (1,))))
    batch = experiment.config.evaluate.batch  # one batch size, one program
    compiled = False

    def draw(params: Any, seed: int, n: int, steps: int, **swept: float) -> Drawn:
        nonlocal compiled
        # Grids of every length are padded to the longest: a step of length zero costs nothing, a compile costs seconds.
        grid = jnp.pad(experiment.grid(sampler, steps), (0, longest - steps), mode="edge")
        options = {k: jnp.asarray(swept.get(k, sampler.step.options.get(k))) for k in sampler.sweep if k != "n"}
        keys = jax.vmap(jax.random.fold_in, (None, 0))(stream(seed, Purpose.SAMPLE), jnp.arange(n))
        if not compiled:  # before the clock starts, with a grid that does not move
            parallel.in_batches(run, params, keys[:1], batch, grid[-1:].repeat(len(grid)), options)
            compiled = True
        began = time.monotonic()
        levels, finite, nfe = parallel.in_batches(run, params, keys, batch, grid, options)
        return Drawn(levels, finite, nfe, time.monotonic() - began)

    return draw


def first_shown(experiment: Experiment, levels: np.ndarray) -> np.ndarray:
    """The first 64 images as 0..255, or the first 1000 points: what a report shows."""
    return experiment.scaler.display(levels[: 64 if experiment.scaler.levels else 1000])


def save_images(drawn: Drawn, experiment: Experiment, path: Path) -> None:
    """The samples as one picture. NumericsError, and no picture, when one of them is not finite."""
    if not drawn.finite.all():
        bad = int((~drawn.finite).sum())
        raise NumericsError(f"{bad} of {len(drawn.finite)} samples are not finite; no picture is written to {path}")
    if jax.process_index() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(np.asarray(experiment.scaler.display(drawn.levels))).save(path)
