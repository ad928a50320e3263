"""matrix: print which SDE, objective, draw of t, sampler, likelihood and codec work together, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import losses
import models
import samplers
from experiments.build.checks import check_moves
from experiments.build.codec_checks import not_together, without_likelihood
from experiments.commands.arguments import Call
from experiments.config.options import parameters
from experiments.config.parts import CODEC, OBJECTIVE, SDE, STEP, TIMES, clash
from experiments.config.schema import Named
from experiments.runtime.progress import say
from experiments.runtime.signals import stop
from sde_lib import SDE as AnySDE
from sde_lib import AugmentedSDE, LinearSDE
from sde_lib.base import coordinates

HELP = "print which SDE, objective, draw of t, sampler, likelihood and codec work together"
ARGUMENTS = ()
OVERRIDES = False


def run(call: Call) -> None:
    """Prints the matrix."""
    say(table())


class Cell(NamedTuple):
    """A cell of the matrix: one choice on each axis, by name."""

    sde: str
    objective: str
    times: str
    sampler: str
    likelihood: str
    codec: str


LIKELIHOODS = {
    "flow, exact": lambda sde, score: partial(samplers.log_prob, sde, score),
    "flow, Hutchinson": lambda sde, score: partial(samplers.log_prob, sde, score, key=jax.random.key(0)),
    "variational bound": lambda sde, score: lambda x: -losses.continuous_bound(sde, score)(jax.random.key(0), x).total,
}
SDES = {name: SDE.find(name) for name in SDE.names}
ELSEWHERE = ("codec_loss", "flow", "x_1")
"""Arguments of the objectives that train no score of the marginals: a codec, a flow or a bridge, which few samplers serve."""
SCORES = [name for name in OBJECTIVE.names if not any(OBJECTIVE.takes(name, each) for each in ELSEWHERE)]
N = 10
"""The number of times of a discrete objective or draw."""


@cache
def codecs() -> dict[str, models.Codec]:
    """Returns a codec of each name. Which networks it is made of changes no rule here."""
    of = {"encoder": models.Perceptron, "decoder": models.Perceptron, "net": models.Ladder}
    of |= {"likelihood": models.gaussian(), "shape": (2,)}
    return {name: CODEC.build(name, **{key: of[key] for key in of if CODEC.takes(name, key)}) for name in CODEC.names}


@cache
def together() -> dict[str, str]:
    """Returns the codecs that have parameters, by their name on the axis if these are trained together with the score."""
    return {f"{name} and score": name for name, codec in codecs().items() if codec.loss}


@cache
def axes() -> Cell:
    """Returns the choices on each axis. A codec of a name alone is fixed."""
    codec = ["none", *codecs(), *together()]
    return Cell(list(SDES), SCORES, TIMES.names, STEP.names, list(LIKELIHOODS), codec)  # pyright: ignore[reportArgumentType]


def event(sde: AnySDE) -> tuple[int, ...]:
    """Returns the shape of the events that cells are tried on: (2,), (2, k), or one to which alpha and sigma broadcast."""
    if isinstance(sde, AugmentedSDE):
        return (2, sde.k)
    return jnp.broadcast_shapes((2,), coordinates(sde) if isinstance(sde, LinearSDE) else ())


def cells() -> Iterator[Cell]:
    """Returns every combination."""
    return map(Cell._make, product(*axes()))


def make(axis: str, name: str, sde: AnySDE, score: Callable[..., Any]) -> Any:
    """Returns the part of that name on one axis, for `sde`. Raises TypeError, with a remedy, if `sde` cannot have it."""
    if axis == "likelihood":
        return LIKELIHOODS[name](sde, score)
    part = {"objective": OBJECTIVE, "times": TIMES, "sampler": STEP}[axis].find(name)
    arguments = parameters(part)
    number = {"n": N} if "n" in arguments else {}
    if axis == "times":
        return part(sde, **number)
    if "log_prob_y" in arguments:
        return part(sde, lambda x, t: -jnp.sum(x**2) / 2, **number)
    pair = "score_and_v" in arguments
    return part(sde, (lambda x, t: (score(x, t), jnp.full_like(x, 0.5))) if pair else score, **number)


@cache
def refusal(axis: str, name: str, sde: str) -> str | None:
    """Returns why the SDE cannot have the part; None if it can."""
    stop.check()
    try:
        on = SDES[sde]()
        part = make(axis, name, on, lambda x, t: -x)
        if axis == "sampler":
            check_moves(name, part)
        if axis in ("objective", "likelihood"):  # these may refuse no sooner than they see an example
            x_0 = jnp.zeros(event(on))
            jax.eval_shape(part, *((jax.random.key(0), x_0, 0.5) if axis == "objective" else (x_0,)))
    except (TypeError, ValueError) as error:
        return str(error)
    return None


@cache
def not_with(axis: str, codec: str, name: str) -> str | None:
    """Returns why the codec cannot have the objective, or the likelihood, of that name; None if it can."""
    by = together().get(codec, codec)
    if by == "none" or (axis == "objective" and codec not in together()):
        return None
    return not_together(codecs()[by], by, Named(name=name)) if axis == "objective" else without_likelihood(codecs()[by], by)


RULES: dict[tuple[str, str], Callable[[str, str], str | None]] = {
    **{(axis, "sde"): partial(refusal, axis) for axis in ("objective", "times", "sampler", "likelihood")},
    ("objective", "times"): clash,
    **{("codec", axis): partial(not_with, axis) for axis in ("objective", "likelihood")},
}
"""rule(a, b), for a pair of axes: why a and b do not go together, or None. A cell works if no rule speaks against it."""


def reasons(cell: Cell) -> list[str]:
    """Returns why the cell does not work; no line if it works."""
    refusals = [rule(getattr(cell, a), getattr(cell, b)) for (a, b), rule in RULES.items()]
    return [reason for reason in refusals if reason]


def works() -> np.ndarray:
    """Returns whether each cell works, as an array with the axes of a cell."""
    sizes = tuple(map(len, axes()))
    all_work = np.ones(sizes, bool)
    for (a, b), rule in RULES.items():
        fits = np.array([[rule(x, y) is None for y in getattr(axes(), b)] for x in getattr(axes(), a)])
        first, second = Cell._fields.index(a), Cell._fields.index(b)
        all_work &= np.expand_dims(fits if first < second else fits.T, tuple(set(range(len(sizes))) - {first, second}))
    return all_work


def table() -> str:
    """Returns the matrix as text: what of each pair of axes goes together, and why the rest does not."""
    notes: list[str] = []

    def mark(reason: str | None) -> str:
        if reason is None:
            return "yes"
        notes.extend([reason] * (reason not in notes))
        return f"[{notes.index(reason) + 1}]"

    lines = []
    for (a, b), rule in RULES.items():
        rows, columns = getattr(axes(), a), getattr(axes(), b)
        wide = max(map(len, [f"{a}, {b}", *rows])) + 2
        lines += [f"{a}, {b}".ljust(wide) + "  ".join(columns)]
        lines += [row.ljust(wide) + "  ".join(mark(rule(row, column)).ljust(len(column)) for column in columns) for row in rows]
        lines += [""]
    lines += [f"[{i}] {note}" for i, note in enumerate(notes, 1)]
    lines += ["", "A codec is fixed, or trained together with the score."]
    return "\n".join([*lines, f"{works().sum()} of {works().size} cells run; each other is refused with a reason above"])
