"""round_trip: along the flow to the latent, and back."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from experiments.edits.base import Edit, Frames, Row, Setting, Trained, rms, to_data_scale
from samplers import translate


def round_trip(setting: Setting, label: Annotated[int, Ge(0)] | str | None = None) -> Edit:
    """Encodes an example to its latent x_1 by the probability flow and decodes it again, at `evaluate.tolerance`.

    With a `label` it is decoded as that class: the example as it would be there (Su et al. 2023).
    """
    y = None if label is None else setting.number(label)
    flow: dict[str, Any] = {"t_min": setting.t_min, "rtol": setting.tolerance, "atol": setting.tolerance}

    def one(run: Trained, row: Row) -> Frames:
        solution = translate(setting.sde, run.score, run.score if y is None else run.of(y), row.x, **flow)
        latent = to_data_scale(setting.sde, solution.latent, 1.0)
        return Frames(jnp.stack([row.x, latent, solution.x])[None], jnp.array([[0, 0, 1]]) * solution.nfe, solution.gave_up)

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        error = frames[:, 0, 2] - examples
        latent = frames[:, 0, 1]
        return {
            "rms_error": rms(error, axes=0),
            "largest_error": float(np.abs(error).max()),
            "latent_mean": float(latent.mean()),
            "latent_std": float(latent.std()),
            "tolerance": setting.tolerance,
        }

    back = "back" if label is None else f"as a {label}"
    return Edit(("example", "latent", back), one, measure, sampled=False)
