"""round_trip: along the flow to the latent, and back."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from experiments.edits.base import Edit, Frames, Row, Setting, Trained, rms, visible
from samplers import translate


def round_trip(setting: Setting, label: Annotated[int, Ge(0)] | None = None) -> Edit:
    """An example, its latent x_1 of the probability flow, and what the flow makes of that again, at `evaluate.tolerance`.

    With a `label`, the way back is that class's: what the example would be in it (Su et al. 2023).
    """
    if label is not None and label >= setting.classes:
        what = f"has the classes 0 to {setting.classes - 1}" if setting.classes else "knows of no classes; take None"
        raise ValueError(f"label = {label}: samplers.{setting.sampler} {what}")
    flow: dict[str, Any] = {"t_min": setting.t_min, "rtol": setting.tolerance, "atol": setting.tolerance}

    def one(run: Trained, row: Row) -> Frames:
        made = translate(setting.sde, run.score, run.score if label is None else run.of(label), row.x, **flow)
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

    back = "back" if label is None else f"as a {label}"
    return Edit(("example", "latent", back), one, measure, sampled=False)
