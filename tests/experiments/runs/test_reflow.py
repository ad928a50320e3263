"""Runs that learn the flow of another: what is refused, pairs by the teacher's sampler, and the same bits when resumed."""

from itertools import pairwise

import jax
import numpy as np
import pytest
from runs import content, run, seal
from small_experiments import ONE_SAMPLER, small_experiment
from source_files import ROOT

import experiments
from experiments.main import main
from experiments.runs.teacher import with_teacher
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")
REFLOW = ("--config.objective=reflow", "--config.weight=velocity", "--config.evaluate.bound_times=0")
EULER = "--config.samplers={'euler': {'step': 'ddim', 'grid': 'uniform_grid', 'n': 4}}"
BY = "--config.sample.sampler=euler"
OF = "--config.teacher={'run': 'first'}"
STEP = "--config.samplers={'euler': {'step': %s, 'grid': 'uniform_grid', 'n': 4}}"
DRAWS = "draws noise by a score, and reflow learns a flow that has none; take ddim, heun or probability_flow"
BOUND = "evaluate.bound_times = 64: the bound is of a score, and reflow learns a flow that has none; take 0"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((*REFLOW, EULER), "objective: reflow learns the flow of another run: name it, --config.teacher.run=RUN"),
        ((OF, EULER), "teacher.run = first would change nothing: dsm learns from data; take teacher = None, or objective"),
        ((*REFLOW, OF, STEP % "'ancestral'"), f"samplers.euler: ancestral {DRAWS}"),
        ((*REFLOW, OF, STEP % "{'name': 'ddim', 'eta': 0.5}"), f"samplers.euler: ddim {DRAWS}"),
        ((*REFLOW, OF, STEP % "'heun', 'corrector': 'langevin'"), f"samplers.euler: langevin {DRAWS}"),
        ((*REFLOW[:2], OF, EULER), BOUND),
        ((*REFLOW, OF, EULER, "--config.mixed=True"), "mixed = True mixes a score, and reflow learns a flow that has none"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, says):
    with pytest.raises(ConfigError) as error:
        small_experiment(*overrides, BY)
    assert says in str(error.value)


def test_what_fits_is_built():
    small_experiment(*REFLOW, OF, EULER, BY)


STRAIGHT = ("--config.sde=RectifiedFlowSDE", "--config.parameterization=velocity", "--config.weight=velocity")
FIRST = (*STRAIGHT, "--config.train.steps=6", "--config.evaluate.likelihood=8")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a rectified flow of the moons."""
    folder = tmp_path_factory.mktemp("flows") / "first"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert run("train", folder, *FIRST, EULER, BY) == 0
    return folder


def again(folder, teacher, *overrides):
    """Trains a second flow by the first one."""
    return run("train", folder, *FIRST, *REFLOW, f"--config.teacher.run={teacher}", EULER, BY, *overrides)


@pytest.mark.slow
def test_pairs_are_the_ends_of_the_teacher_s_flow(first):
    """By the steps of its sampler, Euler's along u_hat, at its averaged parameters."""
    opened = experiments.open_run(first)
    own = small_experiment(*STRAIGHT, *REFLOW, f"--config.teacher={{'run': '{first}'}}", EULER, BY)
    second = with_teacher(own, first.parent / "second", training=True)
    x_1 = x = jax.random.normal(jax.random.key(0), (2,))
    for t, s in pairwise(np.linspace(1.0, 1e-3, 5)):
        x = x + (s - t) * opened.sde.reverse_drift(opened.score, 0.0)(x, t)
    np.testing.assert_allclose(second.teacher(second.frozen.teacher, None)(x_1), x, rtol=1e-3, atol=1e-4)
    assert len(second.config.teacher.digest) > 8


@pytest.mark.slow
def test_a_run_learns_from_its_teacher_and_resumes_to_the_same_bits(first, tmp_path):
    """What follows of it works without the teacher, whose folder is left as it is."""
    before = content(first)
    assert again(tmp_path / "a", first) == 0
    for steps in (3, 6):
        assert again(tmp_path / "b", first, f"--config.train.steps={steps}") == 0
    assert seal(tmp_path / "a", 6) == seal(tmp_path / "b", 6)
    for command in ("evaluate", "sample"):
        assert main([command, str(tmp_path / "a")]) == 0
    assert main(["edit", str(tmp_path / "a"), "--config.edit.by=round_trip", "--config.edit.rows=2"]) == 0
    assert content(first) == before


@pytest.mark.slow
def test_what_a_flow_does_not_have_is_refused_of_a_run(first, tmp_path, capsys):
    """Another teacher's flow, an edit that noises data, a teacher that draws noise or is of another SDE."""
    assert again(tmp_path / "a", first) == 0
    assert run("train", tmp_path / "other", *FIRST, EULER, BY, "--config.seed=1") == 0
    noisy = (*STRAIGHT, ONE_SAMPLER, "--config.sample.sampler=ancestral", "--config.train.steps=2")
    assert run("train", tmp_path / "noisy", *noisy) == 0

    def refused(code, says, got):
        assert got == code
        assert says in capsys.readouterr().err

    capsys.readouterr()
    refused(5, "and not", again(tmp_path / "a", tmp_path / "other", "--config.train.steps=8"))
    sdedit = "sdedit needs p(x_t | x_0), and reflow learns a flow that has no score; take round_trip or progressive"
    refused(2, sdedit, main(["edit", str(tmp_path / "a"), "--config.edit.by=sdedit"]))
    refused(2, "draws noise, and pairs are the ends of a flow: name one of ddim", again(tmp_path / "b", tmp_path / "noisy"))
    elsewhere = "was trained on the SDE RectifiedFlowSDE, and this run on VPSDE: train the teacher on the same"
    refused(2, elsewhere, again(tmp_path / "b", first, "--config.sde=VPSDE"))
