"""round_trip: along the flow to the latent, and back."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.edits.edit import Edit, Frames, Row, Setting, Trained, rms, visible
from samplers import translate


def round_trip(setting: Setting) -> Edit:
    """An example, its latent x_1 of the probability flow, and what the flow makes of that again, at `evaluate.tolerance`."""

    flow: dict[str, Any] = {"t_min": setting.t_min, "rtol": setting.tolerance, "atol": setting.tolerance}

    def one(run: Trained, row: Row) -> Frames:
        made = translate(setting.sde, run.score, run.score, row.x, **flow)
        latent = visible(setting.sde, made.latent, 1.0)
        return Frames(jnp.stack([row.x, latent, made.x])[None], jnp.array([[0, 0, 1]]) * made.nfe, made.gave_up)

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        error = frames[:, 0, 2] - examples
        latent = frames[:, 0, 1]
        return {
            "rms_error": rms(error, kept=0),
            "largest_error": float(np.abs(error).max()),
            "latent_mean": float(latent.mean()),
            "latent_std": float(latent.std()),
            "tolerance": setting.tolerance,
        }

    return Edit(("example", "latent", "back"), one, measure, sampled=False)
