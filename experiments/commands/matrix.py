"""matrix: print which SDE, objective, draw of t, sampler and likelihood work together, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import losses
import samplers
from experiments.build.checks import check_moves
from experiments.commands.arguments import Call
from experiments.config.options import parameters
from experiments.config.parts import OBJECTIVE, SDE, STEP, TIMES, clash
from experiments.runtime.progress import say
from experiments.runtime.signals import stop
from sde_lib import SDE as AnySDE
from sde_lib.nonlinear import Nonlinear

HELP = "print which SDE, objective, draw of t, sampler and likelihood work together"
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


LIKELIHOODS = {
    "flow, exact": lambda sde, score: partial(samplers.log_prob, sde, score),
    "flow, Hutchinson": lambda sde, score: partial(samplers.log_prob, sde, score, key=jax.random.key(0)),
    "variational bound": lambda sde, score: lambda x: -losses.continuous_bound(sde, score)(jax.random.key(0), x).total,
}
SDES = {name: SDE.find(name) for name in SDE.names} | {"f and g alone": Nonlinear}
SCORES = [name for name in OBJECTIVE.names if not OBJECTIVE.takes(name, "codec_loss")]
"""The objectives that see the SDE."""
AXES = Cell(list(SDES), SCORES, TIMES.names, STEP.names, list(LIKELIHOODS))  # pyright: ignore[reportArgumentType]
N = 10
"""The number of times of a discrete objective or draw."""


def cells() -> Iterator[Cell]:
    """Returns every combination."""
    return map(Cell._make, product(*AXES))


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
        part = make(axis, name, SDES[sde](), lambda x, t: -x)
        if axis == "sampler":
            check_moves(name, part)
        if axis in ("objective", "likelihood"):  # these may refuse no sooner than they see an example
            arguments = (jax.random.key(0), jnp.zeros(2), 0.5) if axis == "objective" else (jnp.zeros(2),)
            jax.eval_shape(part, *arguments)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def reasons(cell: Cell) -> list[str]:
    """Returns why the cell does not work; no line if it works."""
    refusals = [refusal(axis, name, cell.sde) for axis, name in cell._asdict().items() if axis != "sde"]
    return [reason for reason in (*refusals, clash(cell.objective, cell.times)) if reason]


def table() -> str:
    """Returns the matrix as text: what each SDE can have, which objective takes which draw of t, and why others do not."""
    notes: list[str] = []

    def mark(reason: str | None) -> str:
        if reason is None:
            return "yes"
        notes.extend([reason] * (reason not in notes))
        return f"[{notes.index(reason) + 1}]"

    def block(title: str, columns: list[str], rows: dict[str, list[str | None]]) -> list[str]:
        wide = max(map(len, [title, *rows])) + 2
        lines = [title.ljust(wide) + "  ".join(columns)]
        return lines + [
            row.ljust(wide) + "  ".join(mark(reason).ljust(len(c)) for c, reason in zip(columns, refusals, strict=True))
            for row, refusals in rows.items()
        ]

    lines = []
    for axis in ("objective", "times", "sampler", "likelihood"):
        rows = {name: [refusal(axis, name, sde) for sde in SDES] for name in getattr(AXES, axis)}
        lines += [*block(axis, list(SDES), rows), ""]
    rows = {objective: [clash(objective, times) for times in AXES.times] for objective in AXES.objective}
    lines += [*block("objective, times", list(AXES.times), rows), ""]
    lines += [f"[{i}] {note}" for i, note in enumerate(notes, 1)]
    total = [not reasons(cell) for cell in cells()]
    lines += ["", "An SDE that is known by f and g alone is for Python: no config has a network for its score."]
    return "\n".join([*lines, f"{sum(total)} of {len(total)} cells run; each other is refused with a reason above"])
