"""Samples from the prior, led to what is seen of an example: what inpainting and posterior sampling have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le

from experiments.edits.base import Edit, Frames, Row, Setting, Trained, behind, rms
from samplers import coarse, draw, grey
from samplers.reverse import Reverse
from sde_lib.base import Event

Hidden = Literal["right", "left", "bottom", "top", "box", "rows", "half"]
Seen = Literal["right", "left", "bottom", "top", "box", "rows", "half", "coarse", "grey"]
"""What a measurement hides of an example; or its means over blocks or over channels are all that is seen."""


Factor = Annotated[int, Ge(2), Le(64)]
"""Pixels along a side of a block."""


class See(NamedTuple):
    """`project`: what is seen of an example, an orthogonal projection onto a `share` of all directions; `mask`: where, if it is
    some of its numbers."""

    project: Callable[[Event], Event]
    share: float
    mask: jax.Array | None = None

    @property
    def observed(self) -> Any:
        """As `samplers.inpaint` takes it."""
        return self.project if self.mask is None else self.mask


def see(setting: Setting, hidden: Seen, factor: int | None = None) -> See:
    """What is seen where that is `hidden`; `factor` is of "coarse" (None: 2). ValueError where the events have no such part."""
    if factor is not None and hidden != "coarse":
        raise ValueError(f"factor = {factor} is of hidden = 'coarse', and this is {hidden!r}; leave it out")
    if hidden in ("coarse", "grey"):
        factor = factor or 2
        project = grey if hidden == "grey" else coarse(factor)
        jax.eval_shape(project, jnp.zeros(setting.shape))
        return See(project, 1 / setting.shape[-1] if hidden == "grey" else 1 / factor**2)
    mask = known(hidden, setting.shape)
    seen = jnp.asarray(mask)
    return See(lambda x: jnp.where(seen, x, 0.0), float(mask.mean()), seen)


def known(hidden: Hidden, shape: tuple[int, ...]) -> np.ndarray:
    """False where an event is hidden: an image's half, its middle, every other row, or each pixel by a coin ("half").

    ValueError where that is all of it, or nothing.
    """
    if len(shape) < 2 and hidden != "right":
        raise ValueError(f"hidden = {hidden!r} is of images; of a point, hidden = 'right' is its second half")
    mask = _known(hidden, shape)
    if mask.all() or not mask.any():
        sizes = " x ".join(map(str, shape[:2]))
        share = "nothing" if mask.all() else "all"
        raise ValueError(f"hidden = {hidden!r} is {share} of an event of {sizes}; take another part")
    return mask


def _known(hidden: Hidden, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.ones(shape, bool)
    if len(shape) == 1:
        mask[shape[0] // 2 :] = False
        return mask
    if hidden == "half":
        return np.random.default_rng(0).random((*shape[:2], *(1,) * (len(shape) - 2))) < 0.5
    height, width = shape[:2]
    parts = {
        "right": np.s_[:, width // 2 :],
        "left": np.s_[:, : width // 2],
        "bottom": np.s_[height // 2 :],
        "top": np.s_[: height // 2],
        "box": np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4],
        "rows": np.s_[1::2],
    }
    mask[parts[hidden]] = False
    return mask


def led(setting: Setting, what: See, draws: int, lead: Callable[[Trained, Event], Reverse], noise: float = 0.0) -> Edit:
    """Beside each example what is seen of it, and `draws` samples along `lead(run, seen)`; their errors, seen and unseen."""
    grid = jnp.asarray(setting.grid)

    def one(run: Trained, row: Row) -> Frames:
        n_key, draw_key = jax.random.split(row.key)
        seen = what.project(row.x) + noise * what.project(jax.random.normal(n_key, row.x.shape))
        reverse = lead(run, seen)

        def one_draw(key: Any) -> Any:
            return draw(key, setting.sde, reverse.step, grid, setting.shape, reverse.final)

        # One after the other: under two vmaps a score's gradient inside a loop takes minutes to trace.
        x, nfe, gave_up = behind(seen[None], jax.lax.map(one_draw, jax.random.split(draw_key, draws)))
        return Frames(jnp.concatenate([row.x[None], x])[None], jnp.pad(nfe, (1, 0))[None], gave_up)

    def measure(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        project = jax.vmap(jax.vmap(what.project))
        error = frames[:, 0, 2:] - examples[:, None]
        seen = np.asarray(project(jnp.asarray(error)))
        spread = frames[:, 0, 2:] - frames[:, 0, 2:].mean(1, keepdims=True)
        return {
            "rms_of_what_is_seen": rms(seen, kept=0) / float(np.sqrt(what.share)),
            "rms_of_the_rest": rms(error - seen, kept=0) / float(np.sqrt(1 - what.share)),
            "rms_between_draws": rms(spread, kept=0) * float(np.sqrt(draws / max(draws - 1, 1))),
        }

    return Edit(("example", "seen", *[f"draw {i}" for i in range(1, draws + 1)]), one, measure)
