"""A comparison whose arms are trained from several seeds, from end to end."""

import json

import jax
import numpy as np
import pytest
from runs import content, metrics, run, seal

from experiments import open_run
from experiments.commands import compare
from experiments.commands.opening import runs_in
from experiments.data.toys import two_moons
from experiments.main import main
from experiments.runtime.errors import NumericsError
from experiments.runtime.signals import Interrupted

pytestmark = pytest.mark.usefixtures("in_root")

TWO_ARMS = """
from configs.toy2d import moons

def get_config():
    config = moons.get_config()
    config.arms = {"vp": {}, "ve": {"title": "VE", "sde": {"name": "VESDE", "sigma_max": 10.0}}}
    return config
"""
SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
SMALL = ("--config.train.steps=4", SAMPLER, "--config.evaluate.likelihood=0", "--config.evaluate.n=100")
SEEDS = "--config.train.seeds=(0, 1)"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "two.py"
    path.write_text(TWO_ARMS)
    return str(path)


@pytest.mark.slow
def test_every_arm_is_trained_from_every_seed_and_goes_on_after_a_stop(tmp_path, config, monkeypatch, capsys):
    """Stopped after the first seed and a half; the same command goes on, and each run is one that was trained alone.

    It is so to float32's rounding: the SDE is a constant of its own program, and an argument of the one that arms share.
    """
    out, train, begun = tmp_path / "out", compare.train, []

    def stopping(experiment, data, workdir, record):
        begun.append(workdir.name)
        if len(begun) == 4:
            raise Interrupted("stopped")
        return train(experiment, data, workdir, record)

    with monkeypatch.context() as patch:
        patch.setattr(compare, "train", stopping)
        assert run("compare", out, *SMALL, SEEDS, config=config) == 75
    assert begun == ["vp", "ve", "vp_seed_1", "ve_seed_1"]
    before = {name: content(out / name / "checkpoints") for name in begun[:3]}
    assert run("compare", out, *SMALL, SEEDS, config=config) == 0
    assert "sampler_ancestral: as it was measured before" in capsys.readouterr().out
    assert {name: content(out / name / "checkpoints") for name in before} == before
    assert not (out / "vp_seed_1" / "measured").exists()

    alone = tmp_path / "alone"
    assert run("train", alone, "--config.train.steps=4", SAMPLER, "--config.seed=1") == 0
    own, shared, other = (jax.tree.leaves(open_run(folder).params) for folder in (alone, out / "vp_seed_1", out / "vp"))
    for ours, theirs in zip(shared, own, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert not np.allclose(other[-1], own[-1], rtol=1e-2)

    report = json.loads((out / "report.json").read_text())
    assert (report["training_seeds"], report["n"]) == ([0, 1], 100)
    assert [(arm["name"], arm["label"]) for arm in report["arms"]] == [("vp", "vp"), ("ve", "VE")]
    for arm in report["arms"]:
        assert [each["seed"] for each in arm["runs"]] == [0, 1]
        means = [each["samplers"][0]["energy"]["mean"] for each in arm["runs"]]
        energy = arm["samplers"][0]["energy"]
        assert (energy["values"], energy["training_seeds"]) == (means, [0, 1])
        assert energy["mean"] == pytest.approx(np.mean(means))
        assert energy["std"] == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2))
        assert "frechet_infinity" in arm["samplers"][0]
    first = report["differences"][0]
    vp, ve = (arm["samplers"][0]["energy"]["values"] for arm in report["arms"])
    assert first["values"] == pytest.approx([vp[0] - ve[0], vp[1] - ve[1]])
    assert (first["low"] + first["high"]) / 2 == pytest.approx(first["mean"])
    page = (out / "report.html").read_text()
    assert "over training seeds 0 and 1" in page
    assert (out / "tables" / "differences.csv").exists()

    runs = runs_in(out)
    assert [folder.name for folder in runs] == ["ve", "ve_seed_1", "vp", "vp_seed_1"]
    assert [metrics(folder)[-1]["step"] for folder in runs] == [4] * 4
    assert open_run(out / "ve_seed_1").config.seed == 1
    assert main(["sample", str(out / "ve_seed_1"), "--config.sample.n=8"]) == 0
    assert main(["ckpt", "verify", str(out / "vp_seed_1")]) == 0


@pytest.mark.slow
def test_a_comparison_of_one_seed_goes_on_with_more(tmp_path, config, monkeypatch):
    """No run is trained twice; one that fails leaves its arm to the others, and is named."""
    out, train = tmp_path / "out", compare.train
    assert run("compare", out, *SMALL, config=config) == 0
    report = json.loads((out / "report.json").read_text())
    assert (report["training_seeds"], report["differences"]) == ([], [])
    assert "runs" not in report["arms"][0]
    assert "no winner can be claimed over them" in (out / "report.html").read_text()
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["sheets", "tables", "ve", "vp"]
    before = seal(out / "vp", 4)

    def failing(experiment, data, workdir, record):
        if workdir.name == "ve_seed_1":
            raise NumericsError("10 steps in a row were not finite")
        return train(experiment, data, workdir, record)

    monkeypatch.setattr(compare, "train", failing)
    assert run("compare", out, *SMALL, SEEDS, config=config) == 4
    assert seal(out / "vp", 4) == before
    assert len(json.loads((out / "vp" / "run.json").read_text())["sessions"]) == 2
    report = json.loads((out / "report.json").read_text())
    assert report["doubts"][0] == "ve_seed_1 is not in this report: 10 steps in a row were not finite"
    assert [len(arm["runs"]) for arm in report["arms"]] == [2, 1]
    assert [each["winner"] for each in report["differences"]] == [None] * len(report["differences"])


@pytest.mark.slow
def test_samplers_are_chosen_by_a_split_of_their_own(tmp_path):
    """It may be named after training; the table stays that of the test split."""
    moons = {
        name: two_moons(n, seed).astype(np.float32)
        for seed, (name, n) in enumerate((("train", 400), ("valid", 150), ("test", 200)))
    }
    for name, points in moons.items():
        np.savez(tmp_path / f"{name}.npz", image=points)
    four = "{'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}"
    data = f"--config.data={{'name': 'npz', 'data_dir': '{tmp_path}', 'levels': 0}}"
    common = [data, f"--config.samplers={{'one': {four}, 'ancestral': {four}}}", *SMALL[:1], *SMALL[2:]]
    out = tmp_path / "out"
    assert run("train", out, *common) == 0
    assert run("evaluate", out, *common) == 0
    before = json.loads((out / "report.json").read_text())
    assert run("evaluate", out, *common, "--config.data.validation=valid") == 0
    report = json.loads((out / "report.json").read_text())
    chosen_by, chosen_before = (dict(each["protocol"])["choices"] for each in (report, before))
    assert "is chosen by the 150 examples of valid, looked at 4 times, by each set of samples once" in chosen_by
    assert "is chosen by the held-out (test) examples of the table, looked at 4 times" in chosen_before
    rows, rows_before = (each["arms"][0]["samplers"] for each in (report, before))
    assert [row["energy"] for row in rows] == [row["energy"] for row in rows_before]
    assert all(len(row["validation"]["values"]) == 2 for row in rows)
    assert "energy distance × 10³ ↓ validation" in (out / "tables" / "samplers.csv").read_text().splitlines()[0]
    assert run("evaluate", out, *common, "--config.data.validation=test") == 3
    assert run("train", tmp_path / "other", *common, "--config.data.validation=nowhere") == 3
    assert not (tmp_path / "other").exists()


def test_one_run_has_one_seed(tmp_path, capsys):
    """Commands of one run say which to take, before anything is opened or written."""
    for command in ("train", "sample", "evaluate"):
        assert run(command, tmp_path / "run", SEEDS) == 2
        error = capsys.readouterr().err
        assert f"train.seeds = (0, 1): {command} works on one run: take --config.train.seeds=() --config.seed=0" in error
        assert "or compare" in error
    assert not (tmp_path / "run").exists()
