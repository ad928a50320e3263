"""progressive: the sampler's estimate of its end, along its way."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.edits.base import Edit, Frame, Frames, Row, Setting, Trained, rms
from samplers import estimates, solve


def progressive(setting: Setting, frames: Frame = 9) -> Edit:
    """Shows E[x_0 | x_t] at `frames` times, from t = 1 to the end, for samples from the prior: Ho et al. (2020), fig. 6."""
    n = len(setting.grid) - 1
    if frames > n + 1:
        raise ValueError(f"frames = {frames}: the grid of samplers.{setting.sampler} has {n + 1} times; take {n + 1} or fewer")
    indices = np.round(np.linspace(0, n, frames)).astype(int) if frames > 1 else np.array([n])
    grid = jnp.asarray(setting.grid)

    def one(run: Trained, row: Row) -> Frames:
        prior_key, step_key = jax.random.split(row.key)
        x_1 = setting.sde.prior_sample(prior_key, setting.shape)
        solution = solve(step_key, run.reverse().step, x_1, grid)
        path = jnp.concatenate([x_1[None], solution.path])[indices]
        x_0 = estimates(setting.sde, run.score, path, grid[indices])
        # Every move costs the same, but for an adaptive solver's.
        nfe = jnp.round(solution.nfe * indices / n).astype(int) + 1
        return Frames(x_0[None], nfe[None], solution.gave_up)

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        return {"rms_from_last": rms(frames[:, 0] - frames[:, 0, -1:], axes=1)}

    return Edit(tuple(f"t = {t:.2g}" for t in setting.grid[indices]), one, measure)
