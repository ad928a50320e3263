"""An average of a width that training did not keep is fitted to those in the checkpoints, by every command that draws."""

import jax
import numpy as np
import pytest
from runs import TINY, run, samples

import experiments
from experiments.build.state import named
from experiments.main import main

pytestmark = pytest.mark.usefixtures("in_root")

ONE_SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
WORDS = [*TINY, ONE_SAMPLER, "--config.sample.sampler=ancestral", "--config.train.steps=64", "--config.train.log_every=64"]
OFTEN = ["--config.train.checkpoint_every=8", "--config.train.keep=9", "--config.train.learning_rate=0.01"]
KEPT = "--config.train.sigma_rel=(0.05, 0.1)"


@pytest.fixture(scope="module")
def folders(tmp_path_factory, request):
    """The same run twice: with the usual widths, and with the one that is to be fitted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        root = tmp_path_factory.mktemp("runs")
        assert run("train", root / "usual", *WORDS, *OFTEN, KEPT, "--config.train.ema=(0.9, 0.5)") == 0
        assert run("train", root / "other", *WORDS, *OFTEN, "--config.train.sigma_rel=(0.08,)") == 0
    return root


def off(params, truth):
    """The largest difference of two trees over the largest change that training made."""
    return max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in zip(*map(jax.tree.leaves, (params, truth)), strict=True))


@pytest.mark.slow
def test_the_fit_is_the_average_that_was_not_kept(folders, capsys):
    fitted = experiments.open_run(folders / "usual", "sample.sigma_rel=0.08")
    assert "sigma_rel = 0.08 at step 64 is fitted to 16 averages, by a profile" in " ".join(capsys.readouterr().out.split())
    truth = experiments.open_run(folders / "other", "sample.sigma_rel=0.08")
    others = [experiments.open_run(folders / "usual", choice) for choice in ("sample.sigma_rel=0.05", "sample.sigma_rel=0.1")]
    assert off(fitted.params, truth.params) < 0.1 * min(off(other.params, truth.params) for other in others)
    assert named(fitted.params).keys() == named(truth.params).keys()


@pytest.mark.slow
def test_each_average_draws_its_own_samples(folders):
    drawn = {}
    for choice in ("", "ema=0.5", "sigma_rel=0.1", "sigma_rel=0.12"):
        words = [f"--config.sample.{choice}"] if choice else []
        assert run("sample", folders / "usual", *WORDS, *OFTEN, KEPT, "--config.train.ema=(0.9, 0.5)", *words) == 0
        drawn[choice] = samples(folders / "usual", "ancestral_seed0")
    first = experiments.open_run(folders / "usual").sample(0, n=64).levels
    np.testing.assert_array_equal(drawn[""], first)
    assert len({levels.tobytes() for levels in drawn.values()}) == 4


@pytest.mark.slow
def test_an_export_holds_the_average_that_was_asked_for(folders, tmp_path):
    out = tmp_path / "weights"
    assert main(["export", str(folders / "usual"), str(out), "--config.sample.sigma_rel=0.08"]) == 0
    fitted = experiments.open_run(folders / "usual", "sample.sigma_rel=0.08")
    jax.tree.map(np.testing.assert_array_equal, experiments.open_run(out).params, fitted.params)


def test_training_draws_by_no_fit(tmp_path, capsys):
    assert run("train", tmp_path / "run", *WORDS, KEPT, "--config.sample.sigma_rel=0.08") == 2
    assert "in training take 0.05 or 0.1 or None, and any width afterwards" in capsys.readouterr().err
