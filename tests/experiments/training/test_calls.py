"""A step has the same bits in whatever call it is, and a call is as long as the clock and the run's periods allow."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from runs import metrics, run, seal
from small_experiments import ONE_SAMPLER, clusters, small_experiment

from experiments.build.optimizer import optimizer_of
from experiments.build.state import init_state, named
from experiments.config.changes import changed_keys
from experiments.data.dataset import Batch
from experiments.main import main
from experiments.randomness import Purpose, stream
from experiments.runs.record import RunRecord
from experiments.runtime import devices
from experiments.training import calls
from experiments.training.course import Training
from experiments.training.program import Program, arguments_of, program

pytestmark = pytest.mark.usefixtures("in_root")

# The program


@pytest.mark.slow
def test_a_step_has_the_same_bits_in_whatever_span():
    """One call and three give the same bits, over two blocks too; single steps without a loop agree to rounding."""
    experiment = small_experiment("--config.times=loss_aware", "--config.weight=likelihood")
    x_0, optimizer = np.asarray(clusters(64)), optimizer_of(experiment.config)
    first = lambda: init_state(experiment, optimizer, stream(0, Purpose.INIT))

    def after(advance: Program, k: int, *spans: tuple[int, int]) -> dict[str, np.ndarray]:
        """The state after these calls from step 0 on, by a program of blocks of k batches."""
        state, step = first(), 0
        for i, j in spans:
            block = devices.split(Batch(np.stack([x_0 + 0.01 * (step - i + n) for n in range(k)])), axis=1)
            (state,), _ = advance((state,), (block,), arguments_of([experiment]), np.array([i, j], np.int32))
            step += j - i
        return jax.tree.map(np.array, named(state))

    advance = program([experiment], first())
    whole = after(advance, 6, (0, 6))
    for spans in (((0, 1), (1, 4), (4, 6)), ((2, 6), (0, 2))):
        for name, leaf in after(advance, 6, *spans).items():
            np.testing.assert_array_equal(leaf, whole[name], err_msg=name)
    for name, leaf in after(advance, 1, *[(0, 1)] * 6).items():
        np.testing.assert_allclose(leaf, whole[name], rtol=1e-4, atol=2e-6, err_msg=name)


# The number of steps


def points(k=None, batch=64, net="MLP", **content) -> Training:
    """A run of points, two floats each, whose config sets k and the network, and whose record has this content."""
    choices = (f"--config.train.steps_per_call={k}", f"--config.train.batch={batch}", f"--config.net={{'name': '{net}'}}")
    experiment = small_experiment(*choices)
    data = SimpleNamespace(test=np.zeros((1, 2), np.float32))
    return Training(experiment, data, Path(), RunRecord(Path(), {"sessions": [], "configs": {}} | content))  # pyright: ignore[reportArgumentType]


SESSION = {"from_step": 0, "config": "a config"}
EARLIER = {"sessions": [SESSION], "configs": {"a config": {"train": {"steps_per_call": 3}}}}
NOTED = {"sessions": [SESSION | {"steps_per_call": 7}], "configs": {}}


@pytest.mark.parametrize(
    ("facts", "k"),
    [
        ({}, calls.MOST),
        ({"batch": 2**15}, calls.BYTES // (2**15 * 2 * 4)),
        ({"batch": 10**6}, 1),
        ({"net": "user_parts:Net"}, 1),
        ({"net": "user_parts:Net", "k": 5}, 5),
        (NOTED | {"saved": 8, "k": 5}, 5),
        (NOTED | {"saved": 8}, 7),
        (NOTED, calls.MOST),
        (EARLIER | {"saved": 8}, 3),
    ],
    ids=["small", "large", "largest", "a user's network", "the same, set", "set", "noted", "not saved", "of an earlier OneSDE"],
)
def test_the_most_steps_of_a_call(facts, k):
    """The config sets it, or else a saved checkpoint does, or else the bytes of a batch do; a user's network takes one."""
    assert calls.steps_per_call(points(**facts)) == k


@pytest.mark.parametrize(("seconds", "n"), [(1e-6, 100), (0.01, 25), (0.1, 2), (0.2, 1), (30.0, 1)])
def test_a_call_takes_a_quarter_of_a_second(seconds, n):
    """The fastest of four calls of one step decides; the first of them also compiles."""
    timed = [9.0, 2 * seconds, seconds, 3 * seconds]
    assert [calls.pace(timed[:i], 100) for i in range(5)] == [None] * 4 + [n]


def test_a_run_in_progress_goes_on_as_it_was_begun():
    """None changes nothing; a number does."""
    tree = lambda k: {"train": {"steps_per_call": k}}
    assert changed_keys(tree(1), tree(None)) == changed_keys(tree(None), tree(None)) == []
    assert changed_keys(tree(None), tree(4)) == ["train.steps_per_call: None then, 4 now"]
    assert changed_keys(tree(1), tree(4)) == ["train.steps_per_call: 1 then, 4 now"]


# The run

ITSELF = (ONE_SAMPLER, "--config.sample.n=8", "--config.train.steps_per_call=None", "--config.train.log_every=5")
ITSELF += ("--config.train.checkpoint_every=6", "--config.train.sample_every=9", "--config.train.keep=9")


def train(folder, steps, *more):
    assert run("train", folder, *ITSELF, f"--config.train.steps={steps}", *more) == 0


def timeless(folder):
    return [{key: row[key] for key in row.keys() - {"seconds", "images_per_second"}} for row in metrics(folder)]


@pytest.mark.slow
def test_no_bit_hears_of_the_clock(tmp_path, monkeypatch, capsys):
    """Calls of one step, calls of many and a run that was stopped give the same states, rows and pictures; so does replay."""
    for name, seconds in (("slow", 0.0), ("fast", 1e9)):
        monkeypatch.setattr(calls, "SECONDS", seconds)
        train(tmp_path / name, 27)
    train(tmp_path / "halves", 13)
    train(tmp_path / "halves", 27)
    slow, *others = tmp_path / "slow", tmp_path / "fast", tmp_path / "halves"
    assert [row["step"] for row in timeless(slow)] == [5, 10, 15, 20, 25, 27]
    steps = {"6", "9", "12", "18", "24", "27"}
    assert {path.name for path in (slow / "checkpoints").iterdir() if path.name.isdigit()} == steps
    assert {path.name for path in (slow / "samples").glob("*.png")} == {f"step_{step:07}.png" for step in (9, 18, 27)}
    for other in others:
        for step in (18, 24, 27):
            assert seal(other, step) == seal(slow, step)
    assert timeless(tmp_path / "fast") == timeless(slow)
    assert {s["steps_per_call"] for s in json.loads((slow / "run.json").read_text())["sessions"]} == {calls.MOST}
    told = []
    for _ in range(2):
        assert main(["replay", str(slow), "--step=20"]) == 0
        told.append((slow / "replay_20.json").read_text())
        shutil.rmtree(slow / "checkpoints" / "18", ignore_errors=True)
    assert told[0] == told[1]


@pytest.mark.slow
def test_a_run_of_an_earlier_version_keeps_its_bits(tmp_path):
    """The run began with one step a call, which its record does not note; a config that leaves it open resumes it."""
    one = "--config.train.steps_per_call=1"
    train(tmp_path / "whole", 12, one)
    train(tmp_path / "halves", 6, one)
    record = tmp_path / "halves" / "run.json"
    content = json.loads(record.read_text())
    del content["sessions"][0]["steps_per_call"]
    record.write_text(json.dumps(content))
    train(tmp_path / "halves", 12)
    assert seal(tmp_path / "halves", 12) == seal(tmp_path / "whole", 12)
    assert json.loads(record.read_text())["sessions"][1]["steps_per_call"] == 1
