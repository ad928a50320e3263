"""Further forms of the log: each row once, whatever session wrote it, and a form that nothing can write is refused."""

import importlib.util
import sys
from types import ModuleType

import pytest
from runs import TINY, metrics, run

from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")

ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
WORDS = [*TINY, ONE_SAMPLER, "--config.sample.sampler=ancestral", "--config.train.checkpoint_every=4", "--config.train.keep=9"]


def log(form):
    return f"--config.train.log=('jsonl', '{form}')"


def events(folder):
    """The (step, value) of the loss in all event files, and the number of scalars, read by their own format."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    points, scalars = [], 0
    for path in sorted((folder / "tensorboard").glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 8], "little")
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16
            scalars += len(event.summary.value)
            points += [(event.step, value.simple_value) for value in event.summary.value if value.tag == "train/loss"]
    return points, scalars


@pytest.mark.slow
def test_tensorboard_has_each_row_once(tmp_path):
    """Also after a rollback, and the rows of sessions that wrote none."""
    pytest.importorskip("tensorboardX")
    folder = tmp_path / "run"
    assert run("train", folder, *WORDS, "--config.train.steps=8") == 0
    assert not (folder / "tensorboard").exists()
    for steps, rollback in ((12, 8), (16, None)):
        assert run("train", folder, *WORDS, f"--config.train.steps={steps}", log("tensorboard")) == 0
        points, scalars = events(folder)
        rows = metrics(folder)
        assert [step for step, _ in points] == [row["step"] for row in rows] == [*range(4, steps + 1, 4)]
        assert [value for _, value in points] == pytest.approx([row["loss"] for row in rows])
        assert scalars == sum(len(row) - 1 for row in rows)
        if rollback:
            assert main(["ckpt", "rollback", str(folder), f"--step={rollback}"]) == 0


@pytest.mark.parametrize(
    ("form", "package", "install"),
    [("tensorboard", "tensorboardX", "pip install -e .[tensorboard]"), ("wandb", "wandb", "pip install wandb")],
)
def test_a_form_that_nothing_writes_is_refused(form, package, install, tmp_path, capsys, monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr("experiments.build.training_checks.find_spec", lambda name: None if name == package else there(name))
    assert run("train", tmp_path / "run", *WORDS, log(form)) == 2
    assert f"{package}, which is not installed: {install}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_metrics_jsonl_is_always_written(tmp_path, capsys):
    assert run("train", tmp_path / "run", *WORDS, "--config.train.log=('tensorboard',)") == 2
    assert "'jsonl' among them" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_and_biases_goes_on_with_its_run(tmp_path, monkeypatch):
    """A stand-in for the package gets the run's id, its rows, and its end."""
    calls = []

    class Session:
        def log(self, row, step):
            calls.append((step, sorted(row)))

        def finish(self):
            calls.append("finish")

    package = ModuleType("wandb")
    package.__spec__ = importlib.util.spec_from_loader("wandb", None)
    package.init = lambda **options: calls.append((options["id"], options["resume"])) or Session()  # pyright: ignore
    monkeypatch.setitem(sys.modules, "wandb", package)
    for steps in (8, 12):
        assert run("train", tmp_path / "run", *WORDS, f"--config.train.steps={steps}", log("wandb")) == 0
    first, *_ = calls
    fields = sorted(metrics(tmp_path / "run")[0].keys() - {"step"})
    assert calls == [first, (4, fields), (8, fields), "finish", first, (12, fields), "finish"]
    assert first[1] == "allow"
