"""Every cell of SDE x objective x draw of t x sampler x likelihood x codec: it runs, or says why not and what does."""

import re
from collections.abc import Callable, Set
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import DIGITS
from sdes import AUGMENTED, KIN
from slow import one_in, slow_for
from small_experiments import ONE_SAMPLER, trains_by_trace
from source_files import ROOT

import samplers
from experiments.build.build import Trained, build
from experiments.build.experiment import Experiment
from experiments.commands import matrix
from experiments.commands.matrix import RULES, SDES, Cell
from experiments.config.parts import CODEC
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.main import main
from experiments.runtime.errors import ConfigError
from sde_lib import SDE
from sde_lib.base import GaussianSDE, Score

WITHOUT_DENSITY = {"autoencoder", "vq_autoencoder"}


@one_in(4)
@pytest.mark.parametrize("sde", SDES)
def test_every_cell_runs_or_is_refused_with_what_works(sde):
    """A refusal names an alternative that the matrix has, and the only cells refused are those that could not be right."""
    works = {name for axis in matrix.axes() for name in axis} | {"log_prob", "rate_distortion"}
    unfit = {"LogisticSDE", *AUGMENTED, "vlb", "hybrid", "diffflow", "langevin", "sscs", "ddim_inversion"}
    unfit |= {*WITHOUT_DENSITY, *matrix.together()}
    for (a, b), rule in RULES.items():
        if "sde" not in (a, b) and sde != matrix.axes().sde[0]:
            continue  # seen with the first
        rows, columns = ([sde] if axis == "sde" else getattr(matrix.axes(), axis) for axis in (a, b))
        for row, column in product(rows, columns):
            if reason := rule(row, column):
                assert {row, column} & unfit
                because, _, instead = reason.rpartition("; ")
                assert because
                assert works & set(re.findall(r"\w+", instead)), reason


@pytest.mark.slow
def test_a_cell_works_if_it_has_no_reasons():
    """Some of many cells, at their place in the array, of which most work without a codec."""
    works = matrix.works()
    assert works[..., matrix.axes().codec.index("none")].mean() > 0.5
    for place in np.random.default_rng(0).integers(works.shape, size=(300, works.ndim)):
        cell = Cell(*(names[i] for names, i in zip(matrix.axes(), place, strict=True)))
        assert works[tuple(place)] == (not matrix.reasons(cell))


def walk(sde: str) -> list[Cell]:
    """Cells of one SDE that run, and that have every part of it which runs at least once."""
    chosen, seen = [], set()
    for cell in map(Cell._make, product(*matrix.axes()._replace(sde=[sde], codec=["none"]))):
        parts = {(cell.objective, cell.times), cell.sampler, cell.likelihood}
        if not parts <= seen and not matrix.reasons(cell):
            chosen.append(cell)
            seen |= parts
    return chosen


def score_of(sde: SDE) -> Callable[..., Score]:
    """score(w), of a known law at w = 1."""
    if isinstance(sde, GaussianSDE):
        return lambda w: lambda x, t: -x / (sde.signal(t) ** 2 / w + sde.sigma(t) ** 2)
    return lambda w: lambda x, t: w * jax.grad(sde.prior_log_prob)(x)  # of p^w, which at w = 1 it leaves as it is


def x_0_of(sde: SDE) -> jax.Array:
    """An example."""
    return jnp.broadcast_to(jnp.array([0.3, -0.8]), matrix.event(sde))


def gradient(cell: Cell) -> dict[str, Any]:
    """One gradient of the objective in w, by the draw of t, and what that remembers."""
    sde = SDES[cell.sde]()
    times, x_0 = matrix.make("times", cell.times, sde, lambda x, t: x), x_0_of(sde)

    def loss(w, key):
        t_key, key = jax.random.split(key)
        objective = matrix.make("objective", cell.objective, sde, score_of(sde)(w))
        memory = times.init()
        t, inverse_density = times.sample(t_key, memory, 4)
        values = jax.vmap(lambda key, t: objective(key, x_0, t))(jax.random.split(key, 4), t)
        return jnp.mean(values * inverse_density), times.update(memory, t, values)

    gradient, memory = jax.grad(loss, has_aux=True)(jnp.array(1.0), jax.random.key(0))
    return {"gradient": gradient, "memory": memory}


def drawn(cell: Cell) -> dict[str, Any]:
    """A sample."""
    sde = SDES[cell.sde]()
    step = matrix.make("sampler", cell.sampler, sde, score_of(sde)(1.0))
    grid = samplers.uniform_grid(sde, 4, t_min=0.2)
    x, _ = samplers.sample(jax.random.key(1), step, sde.prior_sample(jax.random.key(2), matrix.event(sde)), grid)
    return {"sample": x}


def likelihood(cell: Cell) -> dict[str, Any]:
    """The likelihood of an example."""
    sde = SDES[cell.sde]()
    return {"log_p": matrix.make("likelihood", cell.likelihood, sde, score_of(sde)(1.0))(x_0_of(sde))}


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


@slow_for(*KIN, *AUGMENTED, "VPSDE", "VESDE")
@pytest.mark.parametrize("sde", SDES)
def test_a_cell_runs(sde):
    """One of `test_the_cells_run`, on every run of the suite: not the same of every SDE."""
    run(walk(sde)[-1 - list(SDES).index(sde)])


SMALL = {
    "encoder": {"name": "ConvEncoder", "channels": 4, "width": 8, "multipliers": (1, 2)},
    "decoder": {"name": "ConvDecoder", "width": 8, "multipliers": (1, 2)},
    "net": {"name": "Ladder", "width": 8},
    "likelihood": {"name": "discretized_gaussian"},
}
BY = {"real_nvp": {"name": "real_nvp", "levels": 1}}
NET = "--config.net={'name': 'DDPM', 'width': 8, 'multipliers': (1,), 'blocks': 1, 'attention': (), 'dropout': 0.0}"


def with_codec(codec: str, objective: str, likelihood: int) -> Experiment:
    """The digits' experiment with a codec that is trained with the score, or with that one fixed, as another run's."""
    by = matrix.together().get(codec, codec)
    words = NET, ONE_SAMPLER, "--config.sample.sampler=ancestral", "--config.weight=None"
    tree = read_config(DIGITS, list(words)) | {"objective": objective}
    tree["evaluate"]["likelihood"] = likelihood
    tree["codec"] = {"by": BY.get(by, by)} | {key: section for key, section in SMALL.items() if CODEC.takes(by, key)}
    if codec in matrix.together() or by not in matrix.together().values():
        return build(Config.model_validate(tree), (8, 8, 1))
    alone = tree | {"objective": "rate_distortion", "net": "Zero", "evaluate": tree["evaluate"] | {"likelihood": 0}}
    trained = build(Config.model_validate(alone), (8, 8, 1)).codec
    assert trained
    params = jax.eval_shape(trained.init, jax.random.key(0), jnp.zeros((8, 8, 1)))
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), params)
    return build(Config.model_validate(tree | {"codec": {"run": "runs/a"}}), (8, 8, 1), trained=Trained(trained, zeros))


def refused(because: str | None) -> AbstractContextManager[Any]:
    """A context that expects the refusal, if there is one."""
    return pytest.raises(ConfigError, match=re.escape(because)) if because else nullcontext()


@slow_for(*matrix.axes().codec[2:])
@pytest.mark.parametrize("codec", matrix.axes().codec[1:])
def test_a_codec_is_trained_through_or_refused(codec, monkeypatch):
    """By trace, and as the matrix says."""
    monkeypatch.chdir(ROOT)
    for objective in ("dsm", "ssm"):
        with refused(matrix.not_with("objective", codec, objective)):
            trains_by_trace(with_codec(codec, objective, 0))
    why = matrix.not_with("likelihood", codec, "flow, exact")
    with refused(why and "has no density p(x | z)"):
        with_codec(codec, "dsm", 8)


@pytest.mark.slow
def test_the_command_prints_it(capsys):
    assert main(["matrix"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for axis in matrix.axes() for name in axis)
    assert f"of {matrix.works().size} cells run" in out
    with pytest.raises(SystemExit) as error:
        main(["matrix", "--config.seed=1"])
    assert error.value.code == 2
