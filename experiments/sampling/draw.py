"""Samples from a sampler's config: one compiled program for all its settings, and the same image i whatever the batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import samplers
from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler, sample_sampler
from experiments.data.pictures import picture
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.runtime.errors import NumericsError
from experiments.runtime.files import replacing


class Drawn(NamedTuple):
    """`levels` [n, *event] (points: the points), `nfe` [n] score evaluations, wall time without compiling.

    `finite` [n]: whether x was, all the way. Where it was not, the levels mean nothing, `moves` [n] went well before, and
    `gave_up` [n] tells whether an adaptive solver ran out of steps.
    """

    levels: np.ndarray
    finite: np.ndarray
    nfe: np.ndarray
    seconds: float
    moves: np.ndarray
    gave_up: np.ndarray


def drawing(sampler: BoundSampler) -> Callable[..., Drawn]:
    """draw(params, seed, n, steps, **swept) -> Drawn: n samples of `steps` steps, sample i from its own fold of the seed.

    Where there are labels, that of sample i is as `sample.label` says.
    """
    experiment, config = sampler.experiment, sampler.config

    def one(params: Any, row: tuple[jax.Array, jax.Array | None], grid: jax.Array, swept: dict[str, Any]):
        key, y = row
        reverse = sampler.reverse(params, y, **swept)
        solution = samplers.draw(key, reverse.sde, reverse.step, grid, experiment.shape, reverse.final)
        finite = solution.finite == len(solution.path) + config.denoise
        return experiment.scaler.decode(solution.x), finite, solution.nfe, solution.finite, solution.gave_up

    run = devices.mapped(one)
    longest = max(config.n, *(int(n) for n in config.sweep.get("n", (1,))))
    batch = experiment.config.evaluate.batch  # one batch size, one program
    compiled = False

    def draw(params: Any, seed: int, n: int, steps: int, **swept: float) -> Drawn:
        nonlocal compiled
        # Grids of every length are padded to the longest: a step of length zero costs nothing, a compile costs seconds.
        grid = jnp.pad(sampler.grid(steps), (0, longest - steps), mode="edge")
        outside = config.step.options | (config.guidance.options if config.guidance else {})
        options = {k: jnp.asarray(swept.get(k, outside.get(k))) for k in config.sweep if k != "n"}
        keys = jax.vmap(jax.random.fold_in, (None, 0))(stream(seed, Purpose.SAMPLE), jnp.arange(n))
        rows = keys, sampler.labels(n)
        if not compiled:  # before the clock starts, with a grid that does not move
            first = jax.tree.map(lambda a: a[:1], rows)
            devices.in_batches(run, params, first, batch, grid[-1:].repeat(len(grid)), options)
            compiled = True
        began = time.monotonic()
        levels, finite, nfe, moves, gave_up = devices.in_batches(run, params, rows, batch, grid, options)
        return Drawn(levels, finite, nfe, time.monotonic() - began, moves, gave_up)

    return draw


def unsound(drawn: Drawn, grid: jax.Array) -> str | None:
    """What is wrong with samples that were drawn along `grid`, in a sentence; None where all are finite."""
    bad = ~drawn.finite
    if not bad.any():
        return None
    steps, move = len(grid) - 1, int(drawn.moves[bad].min()) + 1
    where = f"step {move}/{steps}, t={float(grid[move]):.3g}" if move <= steps else f"the last denoising, after {steps} steps"
    spent = f"; in {drawn.gave_up.sum()} the solver ran out of its max_steps" if drawn.gave_up.any() else ""
    return f"non-finite at {where}, {bad.sum()} of {len(bad)} samples{spent}"


def save_images(drawn: Drawn, experiment: Experiment, path: Path) -> None:
    """The samples of `sample.sampler` as one picture. NumericsError, and no picture, when one of them is not finite."""
    if why := unsound(drawn, sample_sampler(experiment).grid()):
        label = experiment.config.sample.sampler
        remedy = f"more steps (--config.samplers.{label}.n), or an earlier checkpoint (python -m experiments ckpt rollback)"
        raise NumericsError([f"{why}; no picture is written to {path}", f"try another --config.sample.sampler, {remedy}"])
    if jax.process_index() == 0:
        with replacing(path) as part:  # a half of it would never be drawn again
            picture(np.asarray(experiment.scaler.display(drawn.levels))).save(part)
