"""sdedit: examples part of the way to noise, and back by the sampler."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import samplers
from experiments.edits.base import Edit, Frame, Frames, Row, Setting, Trained, append, map_lines, rms
from sde_lib.base import UnitInterval


def sdedit(setting: Setting, strength: UnitInterval = 0.5, draws: Frame = 3) -> Edit:
    """Draws `draws` edits of each example from x_t at t = `strength`: Meng et al. (2022)."""
    grids = setting.grids_from("strength", float(strength))

    def one(run: Trained, row: Row) -> Frames:
        reverse = run.reverse()

        def line(grid: Any) -> Frames:
            edit = lambda key: samplers.sdedit(key, reverse.step, setting.sde, row.x, grid, reverse.final)
            return append(row.x[None], jax.vmap(edit)(jax.random.split(row.key, draws)))

        return map_lines(line, grids)

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        return {"rms_from_example": rms(frames[:, 0, 1:] - examples[:, None], axes=0)}

    return Edit(("example", *[f"edit {i}" for i in range(1, draws + 1)]), one, measure)
