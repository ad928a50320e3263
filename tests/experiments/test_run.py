"""A trained run in Python."""

import runpy
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import MOONS, TINY, metrics, run, samples, seal, trained
from small_experiments import ONE_SAMPLER, small_experiment
from source_files import ROOT

import experiments
from experiments.data import sources
from experiments.run import Run
from experiments.runtime.errors import ConfigError, StorageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained run of 8 steps."""
    return trained(tmp_path_factory, "a [run]", "--config.train.steps=8", ONE_SAMPLER)


@pytest.fixture(scope="module")
def opened(folder):
    """The run, opened where nobody can open data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "open_sources", None)
        return experiments.open_run(folder)


@pytest.fixture(scope="module")
def labelled():
    """A run of two classes, "one" and "two", at initial parameters."""
    experiment = small_experiment("--config.net.classes=2", "--config.train.label_dropout=0.1")._replace(names=("one", "two"))
    params = experiment.initial(jax.random.key(0))
    bent = jax.tree.map(lambda leaf: leaf + 0.05 * jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), params)
    return Run(Path("nowhere"), experiment, bent, 0)


@pytest.mark.slow
def test_training_is_that_of_the_command(folder, tmp_path, in_root):
    """A file, and what its `get_config()` returns, give the same parameters and log; and the run goes on."""
    words = ["train.steps=8", *(word.removeprefix("--config.") for word in (*TINY, ONE_SAMPLER))]
    by_file = experiments.train(MOONS, tmp_path / "file", *words)
    by_object = experiments.train(runpy.run_path(MOONS)["get_config"](), tmp_path / "object", *words)
    for ours in (by_file, by_object):
        assert seal(ours.folder, 8) == seal(folder, 8)
        assert [row["loss"] for row in ours.metrics()] == [row["loss"] for row in metrics(folder)]
    assert experiments.train(MOONS, tmp_path / "file", *words, "train.steps=12").step == 12
    with pytest.raises(ConfigError, match=r"net\.width"):
        experiments.train(MOONS, tmp_path / "file", *words, "net.width=8")
    with pytest.raises(ConfigError, match="did you mean steps"):
        experiments.train(MOONS, tmp_path / "new", "train.stepz=8")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_config_that_names_the_caller_s_own_code_is_trained_and_opened(tmp_path, in_root):
    """It is the caller's, and trusted; the copy of it in the folder is opened only by who names the code."""
    words = ["train.steps=2", "net=user_parts:Net", *(word.removeprefix("--config.") for word in (*TINY[2:], ONE_SAMPLER))]
    run = experiments.train(MOONS, tmp_path / "run", *words)
    assert run.sample(0, n=4).levels.shape == (4, 2)
    with pytest.raises(ConfigError, match="if you trust it, name it yourself"):
        experiments.open_run(tmp_path / "run")
    assert experiments.open_run(tmp_path / "run", "net.name=user_parts:Net").step == 2


X = jnp.array([[0.3, -0.4], [1.0, 0.2], [-0.7, 0.9]])


def test_samples_are_those_of_the_command(opened, folder, in_root):
    assert run("sample", folder, ONE_SAMPLER, "--config.sample.n=12", "--config.sample.seed=3") == 0
    np.testing.assert_array_equal(opened.sample(3, n=12).levels, samples(folder, "ancestral_seed3"))


@pytest.mark.slow
def test_options_are_those_of_a_config(opened, folder):
    """Of the sampler, by keyword or by override; and a key draws by itself."""
    overridden = experiments.open_run(folder, "samplers.ancestral.n=5", "--config.samplers.ancestral.grid=log_snr_grid")
    by_options = opened.sample(0, n=8, sampler="ancestral", steps=5, grid="log_snr_grid")
    np.testing.assert_array_equal(by_options.levels, overridden.sample(0, n=8).levels)
    assert set(by_options.nfe.tolist()) == {5}
    keys = [opened.sample(key, n=8).levels for key in (jax.random.key(0), jax.random.key(0), jax.random.key(1))]
    np.testing.assert_array_equal(keys[0], keys[1])
    assert not np.allclose(keys[0], keys[2])


def test_the_score_is_a_function_of_jax(opened):
    """It is the network's; compiled, mapped and differentiated, and Tweedie's formula of it."""
    ours = jax.jit(jax.vmap(opened.score, (0, None)))(X, 0.5)
    theirs = jnp.stack([opened.experiment.model.apply(opened.params, x, 0.5) for x in X])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    alpha, sigma = opened.sde.alpha(0.5), opened.sde.sigma(0.5)
    np.testing.assert_allclose(opened.denoise(X[0], 0.5), (X[0] + sigma**2 * theirs[0]) / alpha, rtol=1e-5)
    hessian = jax.jacfwd(opened.score)(X[0], 0.5)
    ahead, behind = (opened.score(X[0].at[0].add(h), 0.5) for h in (1e-2, -1e-2))
    np.testing.assert_allclose(hessian[:, 0], (ahead - behind) / 2e-2, rtol=2e-2, atol=1e-3)


@pytest.mark.slow
def test_the_flow_goes_there_and_back(opened):
    encoding = opened.encode(X[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(opened.decode(encoding.latent, rtol=1e-6, atol=1e-6), X[1], atol=1e-3)
    np.testing.assert_allclose(opened.log_prob(X[1], rtol=1e-6, atol=1e-6), encoding.log_prob, rtol=1e-5)


@pytest.mark.slow
def test_labels_are_names_numbers_and_traced(labelled):
    by_name, by_number, none = labelled.score(X[0], 0.5, "two"), labelled.score(X[0], 0.5, 1), labelled.score(X[0], 0.5)
    np.testing.assert_array_equal(by_name, by_number)
    assert not np.allclose(by_name, none)
    traced = jax.vmap(labelled.score, (None, None, 0))(X[0], 0.5, jnp.arange(2))
    np.testing.assert_allclose(traced[1], by_name, rtol=1e-5)
    of_two, of_each = (labelled.sample(0, n=6, label=label).levels for label in ("two", "each"))
    np.testing.assert_array_equal(of_two[1::2], of_each[1::2])
    assert not np.allclose(of_two[::2], of_each[::2])


def test_equal_options_are_compiled_once(labelled):
    """Whatever the key, the label of all samples and their number."""
    labelled._compiled.clear()
    settings = [{"label": "one"}, {"label": "two", "n": 6}, {"label": "each"}, {"label": None}, {"steps": 3}]
    for key, options in enumerate(settings):
        labelled.sample(key, **{"n": 8} | options)
    assert len(labelled._compiled) == 3  # with a label, without, and of three steps


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "ancestrall"}, "no sampler 'ancestrall' (did you mean ancestral?)"),
        ({"step": "ancestrall"}, "did you mean ancestral"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"step": "langevin"}, "make it the corrector"),
        ({"stepz": 3}, "stepz"),
        ({"n": 0}, "sample.n = 0"),
        ({"label": "three"}, "there is no class 'three' (there are one, two)"),
    ],
)
def test_what_does_not_fit_is_refused(labelled, options, words):
    with pytest.raises(ConfigError) as error:
        labelled.sample(0, **options)
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) <= 5


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(StorageError, match="holds no run"):
        experiments.open_run(tmp_path)


def test_a_notebook_shows_it(opened):
    assert opened._repr_html_().startswith("<table>")
    assert opened.sample(0, n=16)._repr_png_().startswith(b"\x89PNG")
    assert [row["step"] for row in opened.metrics()] == [4, 8]
    assert repr(opened).endswith("VPSDE, MLP, step 8)")


GLOBALS = """
import logging, os, signal, sys
import grain, jax, orbax.checkpoint  # which set some themselves
before = lambda: (
    [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)], sys.excepthook, sys.unraisablehook,
    logging.getLogger().level, logging.getLogger().handlers[:], logging.getLogger("absl").level, dict(os.environ), sys.argv[:],
)
old = before()
import experiments
experiments.open_run
assert before() == old
assert "absl.flags" not in sys.modules or not sys.modules["absl.flags"].FLAGS.is_parsed()
"""


def test_to_import_it_changes_nothing_global():
    """No signal handler, flag, hook, log level or variable."""
    result = subprocess.run([sys.executable, "-c", GLOBALS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
