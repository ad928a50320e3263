"""A run on standardised floats keeps its mean and standard deviation, and needs the data for them but once."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import run, samples, trained

import experiments
from experiments.data import dataset
from experiments.data.moments import Moments
from experiments.main import main
from experiments.runs.record import data_facts

pytestmark = pytest.mark.usefixtures("in_root")
MEAN, STD = np.array([1000.0, -2.0]), np.array([50.0, 0.1])
ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 3}}"


def written(folder, factor=1.0):
    """Signals [6, 2] in the folder."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 100), ("test", 20)):
        x = (factor * (MEAN + STD * rng.normal(size=(n, 6, 2)))).astype(np.float32)
        np.save(folder / f"{split}.npy", x)
    return folder


def signals(folder, **others):
    data = {"name": "npy", "data_dir": str(folder), "levels": 0, "standardise": "channel"} | others
    return [f"--config.data={data}", ONE_SAMPLER, "--config.train.steps=4", "--config.sample.n=16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return written(tmp_path_factory.mktemp("signals"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    return trained(tmp_path_factory, "standardised", *signals(data))


@pytest.fixture
def alone(folder, tmp_path):
    """A copy of the run, whose data are nowhere."""
    copy = shutil.copytree(folder, tmp_path / "alone")
    tree = json.loads((copy / "config.json").read_text())
    away = tree | {"data": tree["data"] | {"data_dir": "nowhere"}}
    (copy / "config.json").write_text(json.dumps(away))
    return copy


def test_the_record_has_the_moments_of_the_training_split(folder, data):
    x = np.load(data / "train.npy").reshape(-1, 2).astype(np.float64)
    recorded = json.loads((folder / "run.json").read_text())["moments"]
    np.testing.assert_allclose([recorded["mean"], recorded["std"]], [x.mean(0), x.std(0)], rtol=1e-10)
    assert data_facts(folder).moments == Moments(tuple(recorded["mean"]), tuple(recorded["std"]))


@pytest.mark.slow
def test_samples_are_in_the_units_of_the_data_without_them(alone):
    assert main(["sample", str(alone)]) == 0
    x = samples(alone, "ancestral_seed0")
    assert (x.shape, x.dtype) == ((16, 6, 2), np.float32)
    assert (abs(x.reshape(-1, 2).mean(0) - MEAN) < STD).all()
    opened = experiments.open_run(alone)
    np.testing.assert_array_equal(opened.sample(0, n=16).levels, x)
    back = opened.scaler.place(opened.scaler.decode(np.ones((6, 2), np.float32)), 0.5)
    np.testing.assert_allclose(back, 1, atol=1e-3)
    log_prob = opened.log_prob(jnp.zeros((6, 2)), key=jax.random.key(0))
    exact = float(log_prob) - 6 * np.log(data_facts(alone).moments.std).sum()
    assert float(opened.scaler.log_prob(log_prob, 12)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_by_its_own_moments(folder, data, tmp_path, monkeypatch):
    """No pass over the data is made again, not even over other data, if these are allowed."""
    copy, before = shutil.copytree(folder, tmp_path / "copy"), data_facts(folder).moments
    monkeypatch.setattr(dataset, "streamed_moments", None)
    assert run("train", copy, *signals(data, resident_mib=0), "--config.train.steps=6") == 0
    assert data_facts(copy).moments == before
    other = written(tmp_path, factor=2.0)
    assert run("train", copy, *signals(other), "--config.train.steps=8", "--allow-change=data") == 0
    assert data_facts(copy).moments == before


def test_a_run_that_was_never_saved_takes_those_of_its_data(data, tmp_path):
    content = {"format": 1, "id": "a", "configs": {}, "sessions": [], "shape": [6, 2], "moments": {"mean": [0.0], "std": [1.0]}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(content))
    assert run("train", tmp_path / "run", *signals(data)) == 0
    np.testing.assert_allclose(data_facts(tmp_path / "run").moments.mean, MEAN, rtol=0.1)


def test_another_standardisation_is_another_run(folder, data, capsys):
    assert run("train", folder, *signals(data, standardise="scalar"), "--config.train.steps=6") == 2
    assert "data.standardise: 'channel' then, 'scalar' now" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_keep_the_moments(alone, tmp_path):
    """A run that is exported and imported draws the same samples, in the same units."""
    assert main(["export", str(alone), str(tmp_path / "sent")]) == 0
    assert main(["import", str(tmp_path / "sent"), str(tmp_path / "got")]) == 0
    assert data_facts(tmp_path / "got").moments == data_facts(alone).moments
    ours, theirs = (experiments.open_run(path).sample(0, n=8).levels for path in (alone, tmp_path / "got"))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_guide_sees_the_same_numbers(alone, tmp_path, tmp_path_factory, capsys):
    """One that was trained on the same data in another unit is refused."""
    other = trained(tmp_path_factory, "guide", *signals(written(tmp_path, factor=2.0)))
    guided = "--config.samplers.ancestral.guidance={'name': 'autoguidance', 'run': '%s'}"
    assert main(["sample", str(alone), guided % other]) == 2
    assert "was trained on data of another mean and std than this run" in capsys.readouterr().err


def test_data_check_says_the_moments_and_warns_of_their_scale(data, capsys):
    checked = ["data", "check", "--config=configs/toy2d/moons.py"]
    assert main([*checked, *signals(data, standardise="none")[:1]]) == 0
    said = capsys.readouterr().out
    assert "npy train: mean 996.547, -1.9995; std 48.9631, 0.0974959" in said
    assert "of each channel (the last axis, 2)" in said
    assert "warning: 2 of 2 channels are far from mean 0 and std 1: data.standardise = 'channel' makes them 0 and 1" in said
    assert main([*checked, *signals(data)[:1]]) == 0
    assert "far from" not in capsys.readouterr().out
