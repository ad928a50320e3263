"""Runs that tests make by the command line, and what they read of them."""

import hashlib
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments.build.build import build
from experiments.build.experiment import Experiment
from experiments.config.messages import schema_problems
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.main import main

ROOT = Path(__file__).parents[2]


MOONS, DIGITS = "configs/toy2d/moons.py", "configs/digits/vp.py"


TINY = [
    *("--config.net.width=16", "--config.net.depth=1", "--config.train.batch=64", "--config.train.steps_per_call=1"),
    *("--config.train.warm_up=2", "--config.train.decay=constant", "--config.train.log_every=4"),
    *("--config.train.sample_every=1000", "--config.sample.n=64", "--config.evaluate.n=64", "--config.evaluate.seeds=2"),
    *("--config.evaluate.batch=64", "--config.evaluate.likelihood=16", "--config.evaluate.noise_levels=3"),
]


def run(command, workdir, *overrides, config=MOONS):
    return main([command, f"--config={config}", f"--workdir={workdir}", *TINY, *overrides])


def metrics(workdir):
    return [json.loads(line) for line in (Path(workdir) / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "support"))


ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 2}}"
DISCRETE = "--config.times={'name': 'discrete', 'n': 10, 't_min': 0.1}"


UNWEIGHTED = "--config.weight=None"


def made(*overrides: str) -> Experiment:
    tree = read_config(MOONS, [*TINY, "--config.train.warm_up=0", ONE_SAMPLER, *overrides])
    assert not schema_problems(tree) + part_problems(tree)
    return build(Config.model_validate(tree), (2,))


def points(n: int) -> jax.Array:
    """Two clusters."""
    return 0.7 * jnp.sign(jax.random.normal(jax.random.key(3), (n, 1))) + 0.1 * jax.random.normal(jax.random.key(4), (n, 2))


def seal(folder: Path, step: int) -> dict:
    """The digest of every leaf that was saved."""
    return json.loads((folder / "checkpoints" / str(step) / "seal" / "metadata").read_text())["leaves"]


def content(folder: Path) -> dict[str, str]:
    """The digest of every file, but for the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def frozen_shapes(experiment):
    """What a config with `lora` has as its base: the network, by its shapes alone."""
    init = partial(experiment.model.init, jax.random.key(0))
    return (jax.eval_shape(init, jnp.zeros(experiment.shape)),) if experiment.config.lora else ()
