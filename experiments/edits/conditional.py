"""Samples from the prior given a measurement of an example: the common part of inpainting and posterior sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Le

from experiments.edits.base import Edit, Frames, Row, Setting, Trained, append, rms
from samplers import coarse, draw, grey
from samplers.reverse import Reverse
from sde_lib.base import Event

Hidden = Literal["right", "left", "bottom", "top", "box", "rows", "half"]
"""The part of an example that a measurement hides."""
View = Literal[Hidden, "coarse", "grey"]
"""The part that is hidden; or the means over blocks or over channels, which are all that is seen."""
Factor = Annotated[int, Ge(2), Le(64)]
"""Pixels along a side of a block."""


class Measurement(NamedTuple):
    """An orthogonal projection of an example onto a `share` of all directions; `mask`: the numbers that it keeps, if so."""

    project: Callable[[Event], Event]
    share: float
    mask: jax.Array | None = None

    @property
    def observed(self) -> Any:
        """The measurement as `samplers.inpaint` takes it."""
        return self.project if self.mask is None else self.mask


def measure(setting: Setting, hidden: View, factor: int | None = None) -> Measurement:
    """Returns the measurement that `hidden` names; `factor` belongs to "coarse" (None: 2).

    ValueError if the events have no such part.
    """
    if factor is not None and hidden != "coarse":
        raise ValueError(f"factor = {factor} is for hidden = 'coarse', and this is {hidden!r}; leave it out")
    if hidden in ("coarse", "grey"):
        if len(setting.shape) != 3:
            raise ValueError(f"{hidden} takes an image [H, W, ...], and this is of shape {setting.shape}")
        factor = factor or 2
        project = grey if hidden == "grey" else coarse(factor)
        jax.eval_shape(project, jnp.zeros(setting.shape))
        return Measurement(project, 1 / setting.shape[-1] if hidden == "grey" else 1 / factor**2)
    visible = visible_mask(hidden, setting.shape)
    mask = jnp.asarray(visible)
    return Measurement(lambda x: jnp.where(mask, x, 0.0), float(visible.mean()), mask)


def visible_mask(hidden: Hidden, shape: tuple[int, ...]) -> np.ndarray:
    """Returns False for the hidden numbers of an event: an image's half, middle, every other row, or pixels by a coin ("half").

    Of a volume [D, H, W, C] it is the same part of each of its D images; of a signal [L, C] "left", "right" or "half" of its L
    times, and of a vector "right", its second half. ValueError if that is all of the event, or nothing.
    """
    parts = {1: ("right",), 2: ("right", "left", "half")}.get(len(shape))
    if parts and hidden not in parts:
        of = "a point, hidden = 'right' is its second half" if len(shape) == 1 else f"a signal, take {' or '.join(parts)}"
        raise ValueError(f"hidden = {hidden!r} is for images; of {of}")
    mask = _visible_mask(hidden, shape)
    if mask.all() or not mask.any():
        sizes = " x ".join(map(str, _sides(shape)))
        share = "nothing" if mask.all() else "all"
        raise ValueError(f"hidden = {hidden!r} is {share} of an event of {sizes}; take another part")
    return mask


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The height and the width of an event, the length of a signal, the size of a vector."""
    return shape[-3:-1] or shape


def _visible_mask(hidden: Hidden, shape: tuple[int, ...]) -> np.ndarray:
    """The mask [H, W, 1] of an image, or of each image of a volume; [L, 1] of a signal; [D] of a vector."""
    *rest, width = _sides(shape)
    if hidden == "half":
        mask = np.random.default_rng(0).random((*rest, width)) < 0.5
    else:
        mask = np.ones((*rest, width), bool)
        height = rest[0] if rest else 0
        parts = {
            "right": np.s_[..., width // 2 :],
            "left": np.s_[..., : width // 2],
            "bottom": np.s_[height // 2 :],
            "top": np.s_[: height // 2],
            "box": np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4],
            "rows": np.s_[1::2],
        }
        mask[parts[hidden]] = False
    return mask if len(shape) == 1 else mask[..., None]


def conditional(
    setting: Setting, measurement: Measurement, draws: int, steer: Callable[[Trained, Event], Reverse], noise: float = 0.0
) -> Edit:
    """Shows each example, its measurement y, and `draws` samples by the sampler steer(run, y).

    The edit's numbers are their errors in the measured directions and in the rest.
    """
    grid = jnp.asarray(setting.grid)

    def one(run: Trained, row: Row) -> Frames:
        noise_key, draw_key = jax.random.split(row.key)
        y = measurement.project(row.x) + noise * measurement.project(jax.random.normal(noise_key, row.x.shape))
        reverse = steer(run, y)

        def one_draw(key: Any) -> Any:
            return draw(key, setting.sde, reverse.step, grid, setting.shape, reverse.final)

        # One after the other: under two vmaps a score's gradient inside a loop takes minutes to trace.
        x, nfe, gave_up = append(y[None], jax.lax.map(one_draw, jax.random.split(draw_key, draws)))
        return Frames(jnp.concatenate([row.x[None], x])[None], jnp.pad(nfe, (1, 0))[None], gave_up)

    def errors(frames: np.ndarray, examples: np.ndarray) -> dict[str, Any]:
        project = jax.vmap(jax.vmap(measurement.project))
        error = frames[:, 0, 2:] - examples[:, None]
        measured = np.asarray(project(jnp.asarray(error)))
        spread = frames[:, 0, 2:] - frames[:, 0, 2:].mean(1, keepdims=True)
        return {
            "rms_of_what_is_seen": rms(measured, axes=0) / float(np.sqrt(measurement.share)),
            "rms_of_the_rest": rms(error - measured, axes=0) / float(np.sqrt(1 - measurement.share)),
            "rms_between_draws": rms(spread, axes=0) * float(np.sqrt(draws / max(draws - 1, 1))),
        }

    return Edit(("example", "seen", *[f"draw {i}" for i in range(1, draws + 1)]), one, errors)
