"""Every cell of SDE x objective x draw of t x sampler x likelihood: it runs, or says why not and what does."""

import re
from collections.abc import Callable, Set
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sdes import KIN
from slow import slow_for

import samplers
from experiments.commands import matrix
from experiments.commands.matrix import AXES, SDES, Cell
from experiments.main import main
from sde_lib import SDE, LinearSDE
from sde_lib.base import Score


def test_every_cell_runs_or_is_refused_with_what_works():
    """A refusal names an alternative that the matrix has, and the only cells refused are those that could not be right."""
    works = {name for axis in AXES for name in axis} | {"log_prob"}
    refused = [(cell, reasons) for cell in matrix.cells() if (reasons := matrix.reasons(cell))]
    for cell, reasons in refused:
        unfit = cell.objective in ("vlb", "hybrid") or cell.sampler in ("langevin", "ddim_inversion")
        assert cell.sde == "f and g alone" or unfit
        for reason in reasons:
            because, _, instead = reason.rpartition("; ")
            assert because
            assert works & set(re.findall(r"\w+", instead)), reason
    assert len(refused) < len(list(matrix.cells())) / 2


def walk(sde: str) -> list[Cell]:
    """Cells of one SDE that run, and that have every part of it which runs at least once."""
    chosen, seen = [], set()
    for cell in matrix.cells():
        parts = {(cell.objective, cell.times), cell.sampler, cell.likelihood}
        if cell.sde == sde and not parts <= seen and not matrix.reasons(cell):
            chosen.append(cell)
            seen |= parts
    return chosen


def score_of(sde: SDE) -> Callable[..., Score]:
    """score(w), of a known law at w = 1."""
    if isinstance(sde, LinearSDE):
        return lambda w: lambda x, t: -x / (sde.alpha(t) ** 2 / w + sde.sigma(t) ** 2)
    return lambda w: lambda x, t: -2 * w * x**3  # of exp(-w x^4/2), which at w = 1 dx = -x^3 dt + dw leaves as it is


X_0 = jnp.array([0.3, -0.8])


def gradient(cell: Cell) -> dict[str, Any]:
    """One gradient of the objective in w, by the draw of t, and what that remembers."""
    sde = SDES[cell.sde]()
    times = matrix.make("times", cell.times, sde, lambda x, t: x)

    def loss(w, key):
        t_key, key = jax.random.split(key)
        objective = matrix.make("objective", cell.objective, sde, score_of(sde)(w))
        memory = times.init()
        t, inverse_density = times.sample(t_key, memory, 4)
        values = jax.vmap(lambda key, t: objective(key, X_0, t))(jax.random.split(key, 4), t)
        return jnp.mean(values * inverse_density), times.update(memory, t, values)

    gradient, memory = jax.grad(loss, has_aux=True)(jnp.array(1.0), jax.random.key(0))
    return {"gradient": gradient, "memory": memory}


def drawn(cell: Cell) -> dict[str, Any]:
    """A sample."""
    sde = SDES[cell.sde]()
    step = matrix.make("sampler", cell.sampler, sde, score_of(sde)(1.0))
    grid = samplers.uniform_grid(sde, 4, t_min=0.2)
    x, _ = samplers.sample(jax.random.key(1), step, sde.prior_sample(jax.random.key(2), (2,)), grid)
    return {"sample": x}


def likelihood(cell: Cell) -> dict[str, Any]:
    """The likelihood of X_0."""
    sde = SDES[cell.sde]()
    return {"log_p": matrix.make("likelihood", cell.likelihood, sde, score_of(sde)(1.0))(X_0)}


def run(cell: Cell, done: Set[Any] = frozenset()) -> set[Any]:
    """Compiles and runs the parts of a cell but for those that are `done`: all is finite. Returns the parts."""
    parts = {(cell.objective, cell.times): gradient, cell.sampler: drawn, cell.likelihood: likelihood}
    compute = [part for name, part in parts.items() if name not in done]
    for values in jax.jit(lambda: [part(cell) for part in compute])():
        for name, value in values.items():
            assert all(np.isfinite(a).all() for a in jax.tree.leaves(value)), (cell, name)
    return set(parts)


@pytest.mark.slow
@pytest.mark.parametrize("sde", list(SDES))
def test_the_cells_run(sde):
    """Each part of every SDE, and each pair of objective and draw of t: compiled, run, and finite throughout."""
    done = set()
    for cell in walk(sde):
        done |= run(cell, done)


@slow_for(*KIN, "VPSDE", "VESDE")
@pytest.mark.parametrize("sde", SDES)
def test_a_cell_runs(sde):
    """One of `test_the_cells_run`, on every run of the suite: not the same of every SDE."""
    run(walk(sde)[-1 - list(SDES).index(sde)])


def test_the_command_prints_it(capsys):
    assert main(["matrix"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for axis in AXES for name in axis)
    assert f"of {len(list(matrix.cells()))} cells run" in out
    with pytest.raises(SystemExit) as error:
        main(["matrix", "--config.seed=1"])
    assert error.value.code == 2
