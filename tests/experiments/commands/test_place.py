"""The words by which commands that look at a run name it."""

import numpy as np
import pytest
from runs import MOONS, content, drawn, run
from small_experiments import ONE_SAMPLER
from source_files import ROOT

from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run of 4 steps, below a folder that is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        path = tmp_path_factory.mktemp("arms") / "vp"
        assert run("train", path, "--config.train.steps=4", ONE_SAMPLER) == 0
    return path


def points(folder, seed):
    """The samples of `sample` at a seed."""
    with np.load(drawn(folder / "samples", f"ancestral_seed{seed}").with_suffix(".npz")) as arrays:
        return arrays["image"]


def test_a_run_is_named_once(folder):
    """By its place or by --workdir; its config is its own, and a config that is named does the same."""
    assert run("sample", folder, ONE_SAMPLER, "--config.sample.seed=5") == 0
    whole, before = points(folder, 5), content(folder)
    for words in ([str(folder)], [f"--workdir={folder}"]):
        drawn(folder / "samples", "ancestral_seed5").with_suffix(".npz").unlink()
        assert main(["sample", *words, "--config.sample.seed=5"]) == 0
        np.testing.assert_array_equal(points(folder, 5), whole)
        assert content(folder).keys() == before.keys()


@pytest.mark.parametrize("command", ["sample", "interpolate", "edit", "evaluate"])
def test_what_names_no_run_is_refused(command, folder, tmp_path, capsys):
    """In a line, with the way on."""
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
