"""between: two examples mixed part of the way to noise, from near the data to near the prior."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le

from experiments.edits.base import Edit, Frames, Row, Setting, Times, Trained, append, map_lines, rms
from samplers import sdedit


def between(setting: Setting, times: Times = (0.1, 0.3, 0.5), frames: Annotated[int, Ge(2), Le(62)] = 7) -> Edit:
    """Interpolates two examples at each of `times`, in `frames` of even weights w: Ho et al. (2020), figs. 8 and 9.

    The frames of a line share their noise. At w = 0 the frame is an edit of the first example, at w = 1 of the other.
    """
    grids = setting.grids_from("times", *times)
    weights = jnp.linspace(0.0, 1.0, frames)

    def one(run: Trained, row: Row) -> Frames:
        reverse = run.reverse()

        def line(grid: Any) -> Frames:
            mix = lambda w: (1 - w) * row.x + w * row.other
            solve = lambda w: sdedit(row.key, reverse.step, setting.sde, mix(w), grid, reverse.final)
            x, nfe, gave_up = append(row.x[None], jax.vmap(solve)(weights))
            return Frames(jnp.concatenate([x, row.other[None]]), jnp.pad(nfe, (0, 1)), gave_up)

        return map_lines(line, grids)

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        steps = np.diff(frames[:, :, 1:-1], axis=2)
        return {
            "times": list(times),
            "rms_from_example_at_0": rms(frames[:, :, 1] - frames[:, :, 0], axes=1),
            "rms_from_other_at_1": rms(frames[:, :, -2] - frames[:, :, -1], axes=1),
            "rms_between_neighbours": rms(steps, axes=2),
        }

    columns = ("example", *[f"w = {w:.2g}" for w in np.asarray(weights)], "another")
    return Edit(columns, one, measure, tuple(f"t = {t:g}" for t in times), pairs=True)
