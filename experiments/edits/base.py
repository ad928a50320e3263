"""An edit makes frames of held-out examples from a run and its sampler. It reads no config and no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from jaxtyping import Array, Bool, Float, Int, Key

from samplers import Solution
from samplers.reverse import Reverse
from sde_lib import SDE, Score
from sde_lib.base import Event, Scalar

Frame = Annotated[int, Ge(1), Le(64)]
"""A number of frames beside each other."""
Times = Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1), MaxLen(16)]


class Setting(NamedTuple):
    """A run without its parameters: enough to refuse an edit before a checkpoint is read.

    `sampler`: the label of `sample.sampler`; `grid`: its times; `noisy`: the labels of the samplers that draw noise;
    number(label): the number of a class by its number or name, a ValueError if there is none; attribute(label): the same of
    the data's classes, and a ValueError if the run has no semantic code that a class has a direction in; `tolerance` and
    `t_min`: `evaluate`'s, for the flow.
    """

    sde: SDE
    shape: tuple[int, ...]
    sampler: str
    grid: np.ndarray
    noisy: tuple[str, ...]
    number: Callable[[int | str], int]
    attribute: Callable[[int | str], int]
    tolerance: float
    t_min: float | None

    def grids_from(self, option: str, *starts: float) -> Float[Array, "lines times"]:
        """Returns the sampler's times from each start down, padded with the last one, which `solve` skips.

        ValueError if a start is not above the grid's end.
        """
        for t in starts:
            if t <= self.grid[-1]:
                end = f"the grid of samplers.{self.sampler} ends at {self.grid[-1]:.3g}"
                raise ValueError(f"{option} = {t:g}: {end}; start above it")
        grids = [np.concatenate([[t], self.grid[self.grid < t]]) for t in starts]
        longest = max(map(len, grids))
        return jnp.asarray(np.stack([np.pad(grid, (0, longest - len(grid)), mode="edge") for grid in grids]), jnp.float32)


class Trained(NamedTuple):
    """The run's score, with its sampler's guidance, given the conditions `y` of the row.

    `of(y)` is the score for another label, or for other conditions by name. `reverse(by)` is the sampler on `by(score)`, for
    any Score -> Score; `reverse()` is the sampler on the score itself. `towards` [D]: the direction of the edit's class among
    semantic codes, if it asks for one.
    """

    score: Score
    of: Callable[[int | Mapping[str, Any]], Score]
    reverse: Callable[..., Reverse]
    y: Mapping[str, Any] = MappingProxyType({})
    towards: Any = None


class Row(NamedTuple):
    """An example, another example if the edit is of `pairs` (else the same one), and the key of all their random numbers."""

    key: Key[Array, ""]
    x: Event
    other: Event


class Frames(NamedTuple):
    """`x` of every frame of an example or of a line, its evaluations of the run's score, and if any solver ran out of steps."""

    x: Float[Array, "*lines columns *event"]
    nfe: Int[Array, "*lines columns"]
    gave_up: Bool[Array, ""]


class Edit(NamedTuple):
    """An edit: one(trained, row) -> Frames for each example, and the titles of the picture's `lines` and `columns`.

    measure(frames [rows, lines, columns, *event], examples [rows, *event]) -> the edit's own numbers, as JSON values.
    `pairs`: it takes two examples a row. `sampled`: it runs the sampler. `towards`: the number of the class whose direction
    among semantic codes it needs.
    """

    columns: tuple[str, ...]
    one: Callable[[Trained, Row], Frames]
    measure: Callable[[np.ndarray, np.ndarray], dict[str, Any]]
    lines: tuple[str, ...] = ("",)
    pairs: bool = False
    sampled: bool = True
    towards: int | None = None


def append(first: Float[Array, "k *event"], solutions: Solution) -> Frames:
    """Returns a line: the `first` frames, which cost nothing, and then the solutions [n, *event]."""
    return Frames(jnp.concatenate([first, solutions.x]), jnp.pad(solutions.nfe, (len(first), 0)), solutions.gave_up.any())


def map_lines(line: Callable[[Any], Frames], over: Any) -> Frames:
    """Returns the line for each of `over` [lines, ...], one after the other by one program."""
    frames = jax.lax.map(line, over)
    return frames._replace(gave_up=frames.gave_up.any())


def to_data_scale(sde: SDE, x_t: Event, t: Scalar) -> Event:
    """Returns x_t / sqrt(alpha_t^2 + sigma_t^2), which a picture can show. On VP it is x_t."""
    return x_t / sde.spread(t)


def rms(difference: np.ndarray, axes: int) -> Any:
    """Returns the root mean square of [rows, ...] over all axes but 1 to `axes`, as JSON values."""
    over = (0, *range(axes + 1, difference.ndim))
    return np.sqrt((difference.astype(np.float64) ** 2).mean(over)).tolist()
