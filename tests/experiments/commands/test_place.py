"""The words by which commands that look at a run name it."""

import numpy as np
import pytest
from runs import MOONS, content, drawn, run, samples, trained
from small_experiments import ONE_SAMPLER

from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run of 4 steps, below a folder that is none."""
    return trained(tmp_path_factory, "vp", "--config.train.steps=4", ONE_SAMPLER)


def test_a_run_is_named_once(folder):
    """The run is named by its place or by --workdir, and its own config does what the config of its training does."""
    assert run("sample", folder, ONE_SAMPLER, "--config.sample.seed=5") == 0
    whole, before = samples(folder, "ancestral_seed5"), content(folder)
    for words in ([str(folder)], [f"--workdir={folder}"]):
        drawn(folder / "samples", "ancestral_seed5").with_suffix(".npz").unlink()
        assert main(["sample", *words, "--config.sample.seed=5"]) == 0
        np.testing.assert_array_equal(samples(folder, "ancestral_seed5"), whole)
        assert content(folder).keys() == before.keys()


@pytest.mark.parametrize("command", ["sample", "interpolate", "edit", "evaluate"])
def test_what_names_no_run_is_refused(command, folder, tmp_path, capsys):
    """A line says so, with the way on."""
    for words, said in {
        (): f"{command} needs the folder of a run: python -m experiments {command} RUN",
        (f"--config={MOONS}",): f"{command} needs the folder of a run",
        (str(folder), f"--workdir={tmp_path}"): "name one of them",
        (str(folder), "--config=nowhere.py"): "no config file nowhere.py",
    }.items():
        assert main([command, *words]) == 2
        assert said in capsys.readouterr().err
    for place, said in {tmp_path: "holds no run", folder.parent: f"below it is {folder}"}.items():
        assert main([command, str(place)]) == 5
        assert said in capsys.readouterr().err
