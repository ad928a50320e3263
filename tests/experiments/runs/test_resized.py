"""Runs on images of unequal sizes: trained, resumed, shown and reported at one, with sides that are not equal."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from runs import DIGITS, run, samples, seal, trained
from slow import one_in

from experiments.build.build import build
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.framing import Frame
from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")
SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of 100 colour images of unequal sizes."""
    place, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(100):
        Image.fromarray(rng.integers(0, 256, (*rng.integers(8, 20, 2), 3), np.uint8)).save(place / f"{i:03}.png")
    return place


def data(images, **others):
    section = {"name": "folder", "data_dir": str(images), "levels": 256, "size": (4, 6), "crop": "random"} | others
    return [f"--config.data={section}", SAMPLER, "--config.edit.rows=2", "--config.interpolate.pairs=2"]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """A run of 8 steps on random crops."""
    return trained(tmp_path_factory, "resized", *data(images), "--config.train.steps=8")


@pytest.mark.slow
def test_a_run_that_resumes_is_the_run_that_did_not(images, folder, tmp_path):
    """Every leaf of the state, to the last bit; with nothing kept in memory too."""
    for steps, mib in ((3, 4096), (8, 0)):
        assert run("train", tmp_path, *data(images, resident_mib=mib), f"--config.train.steps={steps}") == 0
    assert seal(tmp_path, 8) == seal(folder, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("others", "says"),
    [({"size": (6, 4)}, "data.size: [4, 6] then, [6, 4] now"), ({"crop": "centre"}, "data.crop: 'random' then, 'centre' now")],
)
def test_a_run_goes_on_at_no_other_size_or_crop(images, folder, capsys, others, says):
    for command in ("train", "sample", "evaluate"):
        assert run(command, folder, *data(images, **others), "--config.train.steps=9") == 2
        error = capsys.readouterr().err
        assert says in error
        assert len(error.splitlines()) <= 5


def test_floats_are_refused(tmp_path, capsys):
    """By their name, before anything is read."""
    assert run("train", tmp_path, "--config.data.size=8") == 2
    error = capsys.readouterr().err
    assert "data.size = 8: " in error
    assert "data.levels = 0 says that two_moons has floats: take None" in error


@pytest.mark.slow
def test_a_run_from_before_the_keys_goes_on(tmp_path):
    """As its config says, which has none of them."""
    few = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 2}}"
    assert run("train", tmp_path, few, "--config.train.steps=2") == 0
    config = json.loads((tmp_path / "config.json").read_text())
    del config["data"]["size"], config["data"]["crop"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run("train", tmp_path, few, "--config.train.steps=4") == 0
    assert main(["sample", str(tmp_path)]) == 0


@pytest.mark.slow
def test_sides_that_differ_go_through_every_command(images, folder, tmp_path, capsys):
    """Samples, sheets and the report have 4 rows and 6 columns, and the protocol says how they came to be."""
    for command in ("sample", "edit", "interpolate", "evaluate"):
        assert run(command, folder, *data(images), "--config.train.steps=8") == 0
    assert samples(folder, "ancestral_seed0").shape[1:] == (4, 6, 3)
    assert ["images", Frame(4, 6, "random").words] in json.loads((folder / "report.json").read_text())["protocol"]
    assert run("evaluate", folder, *data(images), "--config.train.steps=8", "--config.evaluate.real=train") == 0


NETWORKS = {
    "DDPM": {"width": 16, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "dropout": 0.0},
    "NCSNpp": {"width": 16, "multipliers": (1, 2), "blocks": 1, "attention": ()},
    "NCSNv2": {"width": 16, "multipliers": (1, 2), "dilations": (1,)},
    "ADM": {"width": 16, "multipliers": (1, 2), "blocks": 1, "attention": ()},
    "EDMUNet": {"width": 16, "multipliers": (1, 2), "blocks": 1, "attention": ()},
    "LDMUNet": {"width": 16, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "context": 4},
    "DiT": {"width": 16, "depth": 1, "heads": 2},
    "UViT": {"width": 16, "depth": 3, "heads": 2},
}


@one_in(4)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_sides_that_differ(images, name):
    """By shapes alone: the score of an image is an image."""
    ours = [*data(images, size=(8, 12)), f"--config.net={ {'name': name} | NETWORKS[name] }"]
    experiment = build(Config.model_validate(read_config(DIGITS, ours)), (8, 12, 3))
    x = jax.ShapeDtypeStruct((8, 12, 3), jnp.float32)
    params = jax.eval_shape(experiment.model.init, jax.random.key(0), x)
    assert jax.eval_shape(experiment.model.apply, params, x, jnp.float32(0.5)).shape == x.shape


@pytest.mark.slow
def test_a_convolutional_network_is_trained_on_sides_that_differ(images, tmp_path):
    """It attends at a height of 4, where the width is 6."""
    ours = [*data(images, size=(8, 12)), f"--config.net={ {'name': 'DDPM'} | NETWORKS['DDPM'] }", "--config.sample.n=4"]
    options = [*ours, "--config.train.steps=1", "--config.train.batch=8", "--config.train.warm_up=0"]
    for command in ("train", "sample"):
        assert main([command, f"--config={DIGITS}", f"--workdir={tmp_path}", *options]) == 0
    assert samples(tmp_path, "ancestral_seed0").shape == (4, 8, 12, 3)


def test_a_depth_that_does_not_divide_a_side_is_refused(images, tmp_path, capsys):
    ours = [*data(images, size=(8, 9)), f"--config.net={ {'name': 'DDPM'} | NETWORKS['DDPM'] }"]
    assert main(["train", f"--config={DIGITS}", f"--workdir={tmp_path}", *ours]) == 2
    assert "(8, 9, 3)" in capsys.readouterr().err
