"""Runs of a diffusion autoencoder and of its latent prior, by the commands and from Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from runs import drawn, samples, seal
from source_files import ROOT

import experiments
from experiments.main import main

pytestmark = [pytest.mark.usefixtures("in_root"), pytest.mark.slow]
DIFFAE, PRIOR = "configs/digits/diffae.py:tiny", "configs/digits/diffae_prior.py:tiny"
SHORT = ["--config.train.decay=constant", "--config.train.steps=4", "--config.train.log_every=2", "--config.samplers.fast.n=4"]


def command(name, config, folder, *overrides):
    return main([name, f"--config={config}", f"--workdir={folder}", *SHORT, *overrides])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders of an autoencoder, `diffae`, and of the prior of its codes, `prior`."""
    path = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert command("train", DIFFAE, path / "diffae") == 0
        assert command("train", PRIOR, path / "prior", f"--config.codec.run={path / 'diffae'}") == 0
    return path


def prior(folder, name, *overrides):
    return command(name, PRIOR, folder / "prior", f"--config.codec.run={folder / 'diffae'}", *overrides)


def test_both_draw_digits(folder):
    """Those of the autoencoder stand at the right of the digits whose codes they have."""
    assert command("sample", DIFFAE, folder / "diffae") == 0
    assert prior(folder, "sample") == 0
    for name in ("diffae", "prior"):
        assert samples(folder / name, "fast_seed0").shape == (16, 8, 8, 1)
    widths = [Image.open(drawn(folder / name / "samples", "fast_seed0")).width for name in ("diffae", "prior")]
    assert widths == [4 * (8 * 17 - 1), 4 * (8 * 9 - 1)]


@pytest.mark.parametrize("name", ["evaluate", "interpolate"])
def test_commands_work(folder, name):
    pairs = "--config.interpolate.pairs=2"
    assert command(name, DIFFAE, folder / "diffae", pairs) == 0
    assert prior(folder, name, pairs) == 0


@pytest.mark.parametrize("by", ["{'name': 'manipulate', 'label': '3'}", "round_trip", "sdedit"])
def test_edits_hear_the_code_of_the_example(folder, by):
    assert command("edit", DIFFAE, folder / "diffae", "--config.edit.rows=2", f"--config.edit.by={by}") == 0
    assert drawn(folder / "diffae" / "edits", by.split("'")[3] if "'" in by else by).exists()


def test_between_which_two_there_is_no_score_is_refused(folder, capsys):
    """`between` mixes two examples for one score, which hears the code of one."""
    assert command("edit", DIFFAE, folder / "diffae", "--config.edit.rows=2", "--config.edit.by=between") == 2
    assert "the network has learned no score without a vector" in capsys.readouterr().err


def test_from_python_a_code_and_a_latent_are_the_example(folder):
    run = experiments.open_run(folder / "diffae", "evaluate.tolerance=1e-5")
    k = np.random.default_rng(0).integers(0, 17, (8, 8, 1), np.uint8)
    x = run.code(k)
    y = run.conditions(x)
    assert y["vector"].shape == (16,)
    latent = jax.jit(lambda x: run.encode(x, y, key=jax.random.key(0)).latent)(x)
    np.testing.assert_allclose(jax.jit(lambda latent: run.decode(latent, y))(latent), x, atol=5e-3)
    moved = run.sample(0, n=8, y={"vector": y["vector"] + 1.0})
    assert (moved.levels != run.sample(0, n=8, y=y).levels).any()
    of_prior = experiments.open_run(folder / "prior", f"codec.run={folder / 'diffae'}")
    z = of_prior.code(k)
    section = of_prior.config.codec
    np.testing.assert_allclose(z, (y["vector"] - jnp.array(section.mean)) / jnp.array(section.std), atol=1e-4)


def test_a_run_that_resumes_is_the_run_that_did_not(folder, tmp_path):
    for steps in (2, 4):
        assert command("train", DIFFAE, tmp_path, f"--config.train.steps={steps}") == 0
    assert seal(tmp_path, 4) == seal(folder / "diffae", 4)


def test_a_likelihood_of_its_codes_is_refused(folder, capsys):
    assert prior(folder, "evaluate", "--config.evaluate.likelihood=8") == 2
    error = capsys.readouterr().err
    assert "is a code of x, and p(x | its code) is no p(x); take 0" in error or "has no density p(x | z)" in error


def test_it_guides_no_other_run(folder, tmp_path, capsys):
    guided = f"--config.samplers.fast.guidance={{'name': 'autoguidance', 'run': '{folder / 'diffae'}'}}"
    assert command("train", DIFFAE, tmp_path, guided) == 2
    assert "hears codes of its own encoder" in capsys.readouterr().err
