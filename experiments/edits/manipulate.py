"""manipulate: an example with a class's features added to its semantic code, or taken from it."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, MaxLen, MinLen

from experiments.edits.base import Edit, Frames, Row, Setting, Trained, append, rms
from samplers import translate

Strengths = Annotated[tuple[float, ...], MinLen(1), MaxLen(16)]


def manipulate(
    setting: Setting, label: Annotated[int, Ge(0)] | str = 0, strengths: Strengths = (-0.6, -0.3, 0.0, 0.3, 0.6)
) -> Edit:
    """Moves the code z of an example by each of `strengths` s towards the class `label`, and decodes its own latent x_1:

        z + s d,    d = sqrt(D) std w/|w|

    w is the weight of the class against all others in a linear classifier of the D numbers of (z - mean)/std. At s = 0 the
    frame is the example again. Preechakul et al. (2022), sec. 4.2, whose s is about 0.3.
    """
    flow: dict[str, Any] = {"t_min": setting.t_min, "rtol": setting.tolerance, "atol": setting.tolerance}

    def one(run: Trained, row: Row) -> Frames:
        def move(s: Any) -> Any:
            moved = run.of({**run.y, "vector": run.y["vector"] + s * run.towards})
            return translate(setting.sde, run.score, moved, row.x, **flow)

        frames = append(row.x[None], jax.vmap(move)(jnp.array(strengths)))
        return Frames(frames.x[None], frames.nfe[None], frames.gave_up)

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        return {"strengths": list(strengths), "rms_from_example": rms(frames[:, 0, 1:] - examples[:, None], axes=1)}

    columns = ("example", *[f"s = {s:g}" for s in strengths])
    return Edit(columns, one, measure, sampled=False, towards=setting.attribute(label))
