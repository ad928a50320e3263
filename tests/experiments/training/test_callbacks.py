"""Callbacks see every row with its averages, change no bit, and end a run kindly if they fail."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from runs import MOONS, TINY, metrics, run, seal
from source_files import ROOT

import experiments
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")

ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
WORDS = [*TINY, ONE_SAMPLER, "--config.sample.sampler=ancestral", "--config.train.steps=12"]
MODULE = """
steps = []

def look(moment):
    steps.append((moment.step, moment.row["step"], moment.row["loss"]))

def fails(moment):
    if moment.step == 8:
        raise KeyError("mine")

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "my_callbacks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_callbacks"
    sys.modules.pop("my_callbacks", None)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run that nobody watched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        folder = tmp_path_factory.mktemp("runs") / "plain"
        experiments.train(MOONS, folder, *WORDS)
    return folder


@pytest.mark.slow
def test_a_callback_sees_each_row_and_changes_no_bit(plain, tmp_path):
    rows, scores, levels = [], [], []
    x = jnp.array([0.3, -0.2])

    def look(moment):
        rows.append(dict(moment.row))
        scores.append(np.asarray(moment.score()(x, 0.5)))
        levels.append(moment.sample(n=8, seed=3).levels)

    trained = experiments.train(MOONS, tmp_path / "run", *WORDS, callbacks=[look])
    assert seal(tmp_path / "run", 12) == seal(plain, 12)
    assert rows == metrics(tmp_path / "run")
    assert [row["step"] for row in rows] == [4, 8, 12]
    without_clock = lambda row: {key: row[key] for key in ("step", "loss", "grad_norm", "skipped", "learning_rate")}
    assert [*map(without_clock, rows)] == [*map(without_clock, metrics(plain))]
    np.testing.assert_array_equal(scores[-1], trained.score(x, 0.5))
    np.testing.assert_array_equal(levels[-1], trained.sample(3, n=8).levels)
    assert not np.array_equal(scores[0], scores[1])


@pytest.mark.slow
def test_a_config_names_callbacks_and_its_json_calls_none(plain, module, tmp_path):
    """A config that is data is used without them, unless an override names them; they may change."""
    folder = tmp_path / "run"
    named = f"--config.train.callbacks={module}:look"
    assert run("train", folder, *WORDS, named) == 0
    seen = sys.modules[module].steps
    assert [step for step, *_ in seen] == [4, 8, 12]
    assert all(step == of_row for step, of_row, _ in seen)
    assert seal(folder, 12) == seal(plain, 12)
    config = folder / "config.json"
    assert json.loads(config.read_text())["train"]["callbacks"] == [f"{module}:look"]
    longer = "--config.train.steps=16"
    assert experiments.train(config, folder, longer).step == 16
    assert len(seen) == 3
    assert experiments.train(config, folder, "--config.train.steps=20", named).step == 20
    assert [step for step, *_ in seen[3:]] == [20]


@pytest.mark.slow
def test_a_callback_that_fails_ends_the_run_and_loses_nothing(plain, module, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run("train", folder, *WORDS, f"--config.train.callbacks={module}:fails") == 2
    error = capsys.readouterr().err
    assert f"the callback {module}:fails failed at step 8: KeyError: 'mine' (my_callbacks.py:9)" in error
    assert len(error.splitlines()) <= 5
    assert run("train", folder, *WORDS) == 0
    assert "resuming" in capsys.readouterr().out
    assert seal(folder, 12) == seal(plain, 12)
    assert [row["step"] for row in metrics(folder)] == [4, 8, 12]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{module}:lok", "cannot import 'my_callbacks:lok'"),
        ("no_such_module:look", "cannot import 'no_such_module:look'"),
        ("{module}:number", "is a int, and no function"),
        ("print", "write my_pkg.my_module:my_callback"),
    ],
)
def test_what_is_no_callback_is_refused(name, words, module, tmp_path, capsys):
    assert run("train", tmp_path / "run", *WORDS, f"--config.train.callbacks={name.format(module=module)}") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_sampler_that_is_not_there_has_a_neighbour(module, tmp_path):
    look = lambda moment: moment.sample(sampler="ancestrall")
    with pytest.raises(ConfigError, match=r"no sampler 'ancestrall' \(did you mean ancestral\?\)"):
        experiments.train(MOONS, tmp_path / "run", *WORDS, callbacks=[look])
