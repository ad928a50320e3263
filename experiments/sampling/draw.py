"""Samples of a sampler of the config: one compiled program for all its settings, and the same image i whatever the batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import samplers
from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler, Rows, sample_sampler
from experiments.data.pictures import picture
from experiments.data.scaler import Scaler
from experiments.data.views import caption
from experiments.randomness import Purpose, streams
from experiments.runtime import devices, processes
from experiments.runtime.errors import NumericsError
from experiments.runtime.files import replacing
from experiments.runtime.progress import say
from experiments.runtime.startup import PROGRAM
from experiments.sampling.beside import Beside, beside

SHOWN, WIDTH = 400, 2048
"""The most events on a sheet, but for points, and its width in pixels up to which they are enlarged."""
PART = 2**24
"""The bytes of the events of a part."""


class Samples(NamedTuple):
    """Samples as `levels` [n, *event], or as floats in the units of the data, and `nfe` [n] network evaluations.

    `finite` [n]: x was finite all the way. If it was not, the levels mean nothing, and `moves` [n] went well before.
    `gave_up` [n]: an adaptive solver ran out of steps. `scaler`: the one that made the levels. `seconds`: wall time without
    compiling. `beside`: the conditions of the first of them.
    """

    levels: np.ndarray
    finite: np.ndarray
    nfe: np.ndarray
    seconds: float
    moves: np.ndarray
    gave_up: np.ndarray
    scaler: Scaler
    beside: Beside = Beside()

    def first(self, n: int) -> Samples:
        """Returns the first n samples."""
        each = {name: getattr(self, name)[:n] for name in EACH}
        return self._replace(**each, beside=self.beside.first(n))

    def picture(self) -> Image.Image:
        """Returns the events `on_sheet`, in rows of eight, or of as many as there are rows, enlarged."""
        events = self.on_sheet
        return picture(events, max(8, math.ceil(math.sqrt(len(events)))), widest=WIDTH)

    @property
    def on_sheet(self) -> np.ndarray:
        """The events of the picture: all points, or the first `SHOWN` of others."""
        events = np.asarray(self.scaler.display(self.pairs))
        return events if events.ndim == 2 else events[:SHOWN]

    @property
    def pairs(self) -> np.ndarray:
        """The levels, each at the right of its condition if that is an image; then only the first ones."""
        left = self.beside.levels
        return self.levels if left is None else np.concatenate([left, self.levels[: len(left)]], axis=-2)

    def __repr__(self) -> str:
        return f"Samples({len(self.levels)} of shape {self.levels.shape[1:]}, NFE {self.nfe.mean():.4g})"

    def _repr_png_(self) -> bytes:
        """Returns the picture, for a notebook."""
        self.picture().save(file := BytesIO(), "PNG")
        return file.getvalue()


EACH = ("levels", "finite", "nfe", "moves", "gave_up")
"""The fields that are arrays over the samples."""
Draw = Callable[..., Samples]


def drawing(sampler: BoundSampler) -> Draw:
    """draw(params, rows, steps, **swept) -> Samples: a sample of `steps` steps for each row, a key and its conditions.

    `BoundSampler.rows` makes those of a seed. Rows of other keys, conditions or numbers run the same program.
    """
    experiment, config = sampler.experiment, sampler.config

    def one(params: Any, row: Rows, grid: jax.Array, swept: dict[str, Any]):
        prior_key, step_key = jax.random.split(row.keys)
        y = sampler.conditions(params, row)
        reverse = sampler.reverse(params, y, **swept)
        x_1 = experiment.start(prior_key, reverse.sde, y)
        solution = samplers.solve(step_key, reverse.step, x_1, grid, reverse.final)
        finite = solution.finite == len(solution.path) + config.denoise
        nfe = solution.nfe * sampler.networks
        of_codec = jax.random.fold_in(step_key, 0)  # none of the sampler's
        return experiment.levels(params, solution.x, of_codec), finite, nfe, solution.finite, solution.gave_up

    run, conditions = devices.mapped(one), beside(sampler)
    longest = max([config.n, *map(int, config.sweep.get("n", ()))])
    batch = experiment.config.evaluate.batch
    compiled: set[int] = set()

    def draw(params: Any, rows: Rows, steps: int, **swept: float) -> Samples:
        # Grids are padded to the longest: a step of length zero costs nothing, a compile costs seconds.
        grid = jnp.pad(sampler.at(params).grid(steps), (0, longest - steps), mode="edge")
        outside = config.step.options | (config.guidance.options if config.guidance else {})
        options = {k: jnp.float32(swept.get(k, outside.get(k))) for k in config.sweep if k != "n"}
        first = devices.batches(len(rows.keys), batch)[0]
        if len(first) not in compiled:  # before the clock starts
            run.lower(params, jax.tree.map(itemgetter(first), rows), grid, options).compile()
            compiled.add(len(first))
        began = time.monotonic()
        levels, finite, nfe, moves, gave_up = devices.in_batches(run, params, rows, batch, grid, options)
        seconds = time.monotonic() - began
        return Samples(levels, finite, nfe, seconds, moves, gave_up, experiment.scaler, conditions(params, rows, SHOWN))

    return draw


def in_parts(
    sampler: BoundSampler, draw: Draw, params: Any, seed: int, n: int, steps: int, **swept: float
) -> Iterator[Samples]:
    """Yields the n samples of a seed, as many batches at a time as have `PART` bytes of events.

    They are the batches of one call of `draw` for all samples, the last of which begins again with the first rows.
    """
    experiment, keys = sampler.experiment, streams(seed, Purpose.SAMPLE, n)
    batches = devices.batches(n, experiment.config.evaluate.batch)
    nbytes = math.prod(experiment.shape) * (1 if experiment.config.data.levels else 4)
    together = max(1, PART // (nbytes * batches.shape[1]))
    for i in range(0, len(batches), together):
        numbers = batches[i : i + together].reshape(-1)
        yield draw(params, sampler.rows_of(keys[numbers], numbers), steps, **swept).first(n - int(numbers[0]))


def joined(parts: Sequence[Samples]) -> Samples:
    """Returns the samples of all parts as one."""
    each = {name: np.concatenate([getattr(part, name) for part in parts]) for name in EACH}
    beside = reduce(Beside.and_then, (part.beside for part in parts))
    return parts[0]._replace(**each, seconds=sum(part.seconds for part in parts), beside=beside)


def unsound(samples: Samples, grid: jax.Array) -> str | None:
    """Says in a sentence what is wrong with samples drawn along `grid`; None if all are finite."""
    bad = ~samples.finite
    if not bad.any():
        return None
    steps, move = len(grid) - 1, int(samples.moves[bad].min()) + 1
    place = f"step {move}/{steps}, t={float(grid[move]):.3g}" if move <= steps else f"the last denoising, after {steps} steps"
    spent = f"; in {samples.gave_up.sum()} the solver ran out of its max_steps" if samples.gave_up.any() else ""
    return f"non-finite at {place}, {bad.sum()} of {len(bad)} samples{spent}"


def save_images(samples: Samples, experiment: Experiment, path: Path) -> None:
    """Saves samples of `sample.sampler` as one picture, the first `SHOWN` of them if they are no points.

    NumericsError, and no picture, if one of them is not finite.
    """
    if why := unsound(samples, sample_sampler(experiment).grid()):
        label = experiment.config.sample.sampler
        remedy = f"more steps (--config.samplers.{label}.n), or an earlier checkpoint ({PROGRAM} ckpt rollback RUN --step=N)"
        raise NumericsError([f"{why}; no picture is written to {path}", f"try another --config.sample.sampler, {remedy}"])
    if processes.first():
        with replacing(path) as part:  # half a picture would never be drawn again
            samples.picture().save(part)
        if words := caption(samples.on_sheet):
            say(f"{path} shows {words}")
