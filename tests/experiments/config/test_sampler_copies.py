"""Samplers that are added, as copies of others with changes, and left out: in a config, its arms and overrides."""

import pytest
from runs import DIGITS, run
from small_experiments import ONE_SAMPLER

from experiments.commands.opening import make_plan
from experiments.config.reading import read_config
from experiments.config.tiny import tiny
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")


def samplers(*overrides, file=DIGITS):
    """The samplers of each arm under the overrides, without the checks of a build."""
    plan = make_plan(read_config(file, [f"--config.{text}" for text in overrides], {"tiny": tiny}), opening=False)
    return {name: config.samplers for name, config in plan.arms.items()}


def test_a_copy_is_the_other_sampler_with_changes():
    of = samplers("samplers.mine=fast", "samplers.mine.n=5", "samplers.again=mine", "samplers.again.step.order=2")[""]
    assert of["mine"] == of["fast"].model_copy(update={"n": 5})
    assert of["again"].n == 5
    assert of["again"].step.options == of["fast"].step.options | {"order": 2}
    assert of["fast"] == samplers()[""]["fast"]


def test_a_sampler_of_its_own_is_added():
    words = ("samplers.mine.step=heun", "samplers.mine.grid=karras_grid", "samplers.mine.n=9")
    assert samplers(*words)[""]["mine"].step.name == "heun"


@pytest.mark.parametrize("variant", ["", ":tiny"])
def test_none_leaves_a_sampler_out_of_a_config_or_of_an_arm(variant):
    file = f"configs/digits/ddpm_vs_ncsn.py{variant}"
    every = samplers(file=file)
    dropped = samplers("samplers.ancestral=none", file=file)
    assert {name: [*of] for name, of in dropped.items()} == {
        name: [label for label in of if label != "ancestral"] for name, of in every.items()
    }
    first, *others = every
    of_one = samplers(f"arms.{first}.samplers.ancestral=none", f"arms.{first}.samplers.mine=fast", file=file)
    assert "ancestral" not in of_one[first]
    assert "mine" in of_one[first]
    assert all([*of_one[name]] == [*every[name]] for name in others)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("samplers.mine=fasst",), "mine is to be a copy of 'fasst', and the other samplers are"),
        (("samplers.mine=mine",), "mine is to be a copy of 'mine'"),
        (("samplers.a=b", "samplers.b=a"), "is to be a copy of"),
        (("samplers.mine=fast", "samplers.mine.nn=5"), "unknown config key samplers.mine.nn (did you mean n?)"),
        (("samplers.fast=none", "samplers.mine=fast"), "mine is to be a copy of 'fast'"),
    ],
)
def test_what_cannot_be_is_refused(overrides, says):
    with pytest.raises(ConfigError) as error:
        samplers(*overrides, "sample.sampler=fast")
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) <= 5
    assert max(map(len, str(error.value).splitlines())) < 300


@pytest.mark.slow
def test_a_trained_run_is_sampled_by_a_copy(tmp_path, capsys):
    """The run's own config does not hold it; and what draws the samples cannot be left out."""
    words = (ONE_SAMPLER, "--config.train.steps=2")
    assert run("train", tmp_path / "run", *words) == 0
    before = (tmp_path / "run" / "config.json").read_text()
    short = ("--config.samplers.short=ancestral", "--config.samplers.short.n=3", "--config.sample.sampler=short")
    assert run("sample", tmp_path / "run", ONE_SAMPLER, *short) == 0
    assert list((tmp_path / "run" / "samples").glob("short_seed0_*.npz"))
    assert (tmp_path / "run" / "config.json").read_text() == before
    capsys.readouterr()
    assert run("sample", tmp_path / "run", *short, "--config.samplers.short=none") == 2
    assert "sample.sampler" in capsys.readouterr().err
