"""What an edit is: frames of held-out examples, from what a run and its sampler offer. No config, and no file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from jaxtyping import Array, Bool, Float, Int, Key

from samplers import Solution
from samplers.reverse import Reverse
from sde_lib import LinearSDE, Score
from sde_lib.base import Event, Scalar

Frame = Annotated[int, Ge(1), Le(64)]
"""Of how many there are beside each other."""
Times = Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1), MaxLen(16)]


class Setting(NamedTuple):
    """What an edit is refused by, before there is a parameter.

    `grid`: the times of `sample.sampler`, whose label is `sampler`; `noisy`: the labels of the samplers that draw noise, on a
    known score; `classes`: of the labels that the sampler goes by (0: none); `tolerance` and `t_min`: of the flow, as
    `evaluate` has them.
    """

    sde: LinearSDE
    shape: tuple[int, ...]
    sampler: str
    grid: np.ndarray
    noisy: tuple[str, ...]
    classes: int
    tolerance: float
    t_min: float | None

    def grids_from(self, option: str, *starts: float) -> Float[Array, "lines times"]:
        """The sampler's times from a start down, padded with the last, which `solve` skips; ValueError where they end above."""
        for t in starts:
            if t <= self.grid[-1]:
                end = f"the grid of samplers.{self.sampler} ends at {self.grid[-1]:.3g}"
                raise ValueError(f"{option} = {t:g}: {end}; start above it")
        grids = [np.concatenate([[t], self.grid[self.grid < t]]) for t in starts]
        longest = max(map(len, grids))
        return jnp.asarray(np.stack([np.pad(grid, (0, longest - len(grid)), mode="edge") for grid in grids]), jnp.float32)


class Trained(NamedTuple):
    """The run's score, as its sampler is guided and for the row's label; `of(y)`: the same for another label.

    `reverse(by)`: the sampler on `by(score)`, any Score -> Score, and on the score itself without.
    """

    score: Score
    of: Callable[[int], Score]
    reverse: Callable[..., Reverse]


class Row(NamedTuple):
    """An example, another one where the edit is of `pairs` (else the same), and the key of all that is drawn for them."""

    key: Key[Array, ""]
    x: Event
    other: Event


class Frames(NamedTuple):
    """`x` of every frame, the score evaluations that it took, and whether a solver ran out of steps in any; or of a line."""

    x: Float[Array, "*lines columns *event"]
    nfe: Int[Array, "*lines columns"]
    gave_up: Bool[Array, ""]


class Edit(NamedTuple):
    """one(trained, row) -> Frames, a picture's `lines` and `columns` for each example, with their titles.

    measure(frames, examples) -> the edit's own numbers, by frames [rows, lines, columns, *event] and [rows, *event], as JSON
    values. `sampled`: whether the sampler has a part in it.
    """

    columns: tuple[str, ...]
    one: Callable[[Trained, Row], Frames]
    measure: Callable[[np.ndarray, np.ndarray], dict[str, Any]]
    lines: tuple[str, ...] = ("",)
    pairs: bool = False
    sampled: bool = True


def behind(given: Float[Array, "k *event"], made: Solution) -> Frames:
    """Frames that are there, and then the solutions [n, *event] that were made of them: a line."""
    return Frames(jnp.concatenate([given, made.x]), jnp.pad(made.nfe, (len(given), 0)), made.gave_up.any())


def lines(line: Callable[[Any], Frames], over: Any) -> Frames:
    """The line for each of `over` [lines, ...], one after the other by one program."""
    frames = jax.lax.map(line, over)
    return frames._replace(gave_up=frames.gave_up.any())


def visible(sde: LinearSDE, x_t: Event, t: Scalar) -> Event:
    """x_t / sqrt(alpha_t^2 + sigma_t^2), at the scale of the data: as a picture is to show it. On VP it is x_t."""
    return x_t / jnp.hypot(sde.alpha(t), sde.sigma(t))


def rms(difference: np.ndarray, kept: int) -> Any:
    """The root mean square over all but axes 1 to `kept` of [rows, ...], as JSON values."""
    over = (0, *range(kept + 1, difference.ndim))
    return np.sqrt((difference.astype(np.float64) ** 2).mean(over)).tolist()
