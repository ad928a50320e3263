"""shared: other examples that an example's x_t may come from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import samplers
from experiments.edits.base import Edit, Frame, Frames, Row, Setting, Times, Trained, append, map_lines, rms, to_data_scale
from sde_lib import fast_random as noise
from sde_lib.base import gaussian


def shared(setting: Setting, times: Times = (0.1, 0.3, 0.5), draws: Frame = 6) -> Edit:
    """Draws `draws` samples from one x_t of an example, at each of `times`: Ho et al. (2020), fig. 7.

    If the sampler is exact, they are draws of p(x_0 | x_t), and so is the example: in the mean square two of them are then as
    far from each other as from the example.
    """
    if setting.sampler not in setting.noisy:
        others = f"--config.sample.sampler={setting.noisy[0]}" if setting.noisy else "a sampler whose step is ancestral"
        raise ValueError(
            f"samplers.{setting.sampler} draws no noise, so that all samples of one x_t would be one; take {others}"
        )
    if draws < 2:
        raise ValueError("draws = 1: a comparison takes two or more; sdedit makes one of an example")
    grids, sde = setting.grids_from("times", *times), gaussian(setting.sde, "shared", "take round_trip")

    def one(run: Trained, row: Row) -> Frames:
        reverse = run.reverse()

        def line(at: Any) -> Frames:
            key, grid = at
            noise_key, step_key = jax.random.split(key)
            x_t = sde.perturb(row.x, noise.normal(noise_key, row.x.shape), grid[0])
            solutions = samplers.shared(step_key, reverse.step, x_t, grid, draws, reverse.final)
            return append(jnp.stack([row.x, to_data_scale(sde, x_t, grid[0])]), solutions)

        return map_lines(line, (jax.random.split(row.key, len(times)), grids))

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        samples, to_example = frames[:, :, 2:], frames[:, :, 2:] - examples[:, None, None]
        spread = samples - samples.mean(2, keepdims=True)
        between = (np.array(rms(spread, axes=1)) * np.sqrt(2 * draws / (draws - 1))).tolist()  # pairs of different samples
        return {"times": list(times), "rms_from_example": rms(to_example, axes=1), "rms_between_two": between}

    columns = ("example", "x_t", *[f"sample {i}" for i in range(1, draws + 1)])
    return Edit(columns, one, measure, tuple(f"t = {t:g}" for t in times))
