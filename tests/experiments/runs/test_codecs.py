"""Runs on codes: a codec is trained, its codes are scored, and samples, edits, likelihood and reports are of examples."""

import json

import jax
import numpy as np
import pytest
from jax.scipy.stats import norm
from PIL import Image
from runs import DIGITS, samples, seal
from slow import one_in
from source_files import ROOT

import experiments
from experiments.build.build import build
from experiments.build.checks import with_exact_score
from experiments.commands.opening import build_arms, make_plan
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import Batch, load
from experiments.data.sources import open_sources
from experiments.evaluation.likelihood import measure_bits
from experiments.main import main
from experiments.page.process import LiveProcess
from experiments.page.request import Request
from experiments.randomness import Purpose, stream
from experiments.runs.resume import trained_state

pytestmark = pytest.mark.usefixtures("in_root")
VAE, LATENT = "configs/digits/vae.py:tiny", "configs/digits/latent.py:tiny"
CONSTANT = "--config.train.decay=constant"
SHORT = [
    "--config.train.steps=4",
    "--config.train.batch=16",
    "--config.train.log_every=2",
    CONSTANT,
    "--config.evaluate.likelihood=8",
]
SAMPLER = "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"
SMALL = [*SHORT, SAMPLER, "--config.sample.sampler=ancestral", "--config.sample.n=16"]


def command(name, config, folder, *overrides):
    return main([name, f"--config={config}", f"--workdir={folder}", *SMALL, *overrides])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of a VAE, `vae`, and of a score of its codes, `latent`."""
    folder = tmp_path_factory.mktemp("codecs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert command("train", VAE, folder / "vae") == 0
        assert command("train", LATENT, folder / "latent", f"--config.codec.run={folder / 'vae'}") == 0
    return folder


def examples(opened):
    """The data of a run."""
    return load(open_sources(opened.config.data), opened.config.data, opened.config.seed)


def latent(runs, name, *overrides):
    return command(name, LATENT, runs / "latent", f"--config.codec.run={runs / 'vae'}", *overrides)


@pytest.mark.slow
def test_the_bits_of_a_vae_are_its_evidence_lower_bound(runs):
    """The flow of the exact prior N(0, I) of codes gives E[cost - log N(z; 0, I)], as the codec alone does."""
    opened = experiments.open_run(runs / "vae", "evaluate.tolerance=1e-6", "evaluate.probes=0")
    experiment, test = opened.experiment, examples(opened).test[:64]
    bits = measure_bits(experiment, opened.params, Batch(test)).flow

    def bound(key, k):
        place_key, code_key = jax.random.split(key)
        x = experiment.scaler.place(k, jax.random.uniform(place_key, k.shape))
        z, cost = experiment.encode(opened.params, code_key, x)
        return experiment.scaler.bits_per_dim(norm.logpdf(z).sum() - cost, k.size)

    by_hand = jax.vmap(bound)(jax.random.split(jax.random.key(1), len(test)), test)
    error = np.hypot(bits.std(), by_hand.std()) / 8
    assert abs(bits.mean() - by_hand.mean()) < 4 * error


@pytest.mark.slow
def test_codes_are_standardised_by_those_of_the_training_examples(runs):
    """Mean 0 and standard deviation 1 of each channel, by draws of codes that the run itself did not make."""
    opened = experiments.open_run(runs / "latent", f"codec.run={runs / 'vae'}")
    k = examples(opened).train.everything()
    z = jax.vmap(lambda key, k: opened.code(k, key))(jax.random.split(jax.random.key(1), len(k)), k)
    assert z.shape == (len(k), 4, 4, 2)
    error = 5 / np.sqrt(z[..., 0].size / 16)  # positions of one code are not independent
    assert np.allclose(z.mean((0, 1, 2)), 0, atol=error)
    assert np.allclose(z.std((0, 1, 2)), 1, atol=error)


@pytest.mark.slow
def test_samples_are_examples(runs):
    assert latent(runs, "sample") == 0
    drawn = samples(runs / "latent", "ancestral_seed0")
    assert drawn.shape == (16, 8, 8, 1)
    assert drawn.dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "interpolate", "edit"])
def test_commands_work_through_the_codec(runs, name):
    assert latent(runs, name, "--config.interpolate.pairs=2", "--config.edit.rows=2") == 0


@pytest.mark.slow
def test_the_page_draws_what_sample_does(runs):
    opened = experiments.open_run(runs / "latent", f"codec.run={runs / 'vae'}")
    process = LiveProcess(opened.experiment, opened.params)
    *_, last = process.frames(Request(sampler="ancestral", steps=4, n=8, seed=3))
    drawn = opened.sample(3, 8, "ancestral").levels
    assert last.samples.shape == (8, 8, 8, 1)
    assert np.abs(last.samples.astype(int) - np.asarray(drawn)).max() <= 1  # rounding may choose the next level


@pytest.mark.slow
def test_a_run_that_resumes_is_the_run_that_did_not(runs, tmp_path):
    """Every leaf of the state, to the last bit: moments and draws of codes are those of the first session."""
    of = f"--config.codec.run={runs / 'vae'}"
    for steps in (2, 4):
        assert command("train", LATENT, tmp_path, of, f"--config.train.steps={steps}") == 0
    assert seal(tmp_path, 4) == seal(runs / "latent", 4)


@pytest.mark.slow
def test_a_codec_that_trained_further_is_refused(runs, tmp_path, capsys):
    other = tmp_path / "vae"
    assert command("train", VAE, other, "--config.seed=1") == 0
    assert command("sample", LATENT, runs / "latent", f"--config.codec.run={other}") == 5
    error = capsys.readouterr().err
    assert "has parameters with the digest" in error
    assert len(error.splitlines()) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lsgm", "indm"])
def test_a_codec_and_its_score_are_trained_together(name, tmp_path):
    """LSGM and INDM learn in both parts, resume to the last bit, and are drawn from and evaluated."""
    config = f"configs/digits/{name}.py:tiny"
    for folder, steps in (("whole", (4,)), ("parts", (2, 4))):
        for n in steps:
            assert command("train", config, tmp_path / folder, f"--config.train.steps={n}") == 0
    assert seal(tmp_path / "whole", 4) == seal(tmp_path / "parts", 4)
    assert command("evaluate", config, tmp_path / "whole") == 0
    opened = experiments.open_run(tmp_path / "whole")
    first = opened.experiment.initial(stream(opened.config.seed, Purpose.INIT))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), first, trained_state(opened.experiment, opened.folder).params)
    assert any(jax.tree.leaves(moved["codec"]))
    assert any(jax.tree.leaves(moved["net"]))


@pytest.mark.slow
def test_the_families_have_one_budget_of_parameters():
    plan = make_plan(read_config("configs/digits/families.py", []), opening=False)
    arms = build_arms(plan.arms, (8, 8, 1), training=False).values()
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(arm.initial, jax.random.key(0)))) for arm in arms]
    assert max(sizes) < 1.03 * min(sizes)


@pytest.mark.slow
def test_the_families_are_compared_in_one_report(tmp_path):
    assert command("compare", "configs/digits/families.py:tiny", tmp_path, "--config.sample.sampler=ancestral") == 0
    arms = json.loads((tmp_path / "report.json").read_text())["arms"]
    assert [arm["name"] for arm in arms] == ["vae", "hierarchical", "flow", "ddpm", "ncsn", "lsgm"]
    assert all(arm["parameters"] > 0 and arm["bits_per_dim"] and arm["samplers"][0]["seconds"] > 0 for arm in arms)
    assert "Between examples" in (tmp_path / "report.html").read_text()
    with Image.open(tmp_path / "between.png") as sheet:
        assert np.asarray(sheet.convert("L")).std() > 1


WIDE = "--config.net={'name': 'DDPM', 'width': 16, 'multipliers': (1, 2), 'attention': ()}"
REFUSED = {
    "--config.objective=ssm": "codec.by = vae is trained with its score by objective dsm or continuous_vlb alone",
    "--config.codec=None": "objective: rate_distortion trains a codec, and the config names none",
    WIDE: "rate_distortion trains the codec alone, and net DDPM has parameters; take net Zero",
    "--config.times=importance": "rate_distortion depends on no t",
    "--config.codec.encoder=None": "codec.by = vae needs codec.encoder: take ConvEncoder",
    "--config.codec.by=cosine": "codec.encoder = ConvEncoder would change nothing",
    "--config.codec.by=vea": "codec.by: unknown models name 'vea' (did you mean vae?",
    "--config.codec.likelihood.std=-1.0": "codec.likelihood: std = -1.0",
    "--config.codec.standardise=channel": "codes change while their codec is trained",
    "--config.train.augment=0.1": "train.augment = 0.1",
    "--config.evaluate.dequantizer=variational": "take 'uniform'",
}


@one_in(3)
@pytest.mark.parametrize("override", REFUSED)
def test_what_goes_with_no_codec_is_refused_before_anything_compiles(override, tmp_path, capsys):
    assert main(["train", f"--config={VAE}", f"--workdir={tmp_path / 'run'}", override]) == 2
    error = capsys.readouterr().err
    assert REFUSED[override] in error
    assert len(error.splitlines()) <= 5


def test_a_codec_without_a_density_has_no_likelihood(tmp_path, capsys):
    """It is refused by its name; without likelihood the same config is accepted."""
    plain = ["--config.codec.by=autoencoder", "--config.codec.encoder.channels=2", "--config.codec.likelihood=None"]
    assert main(["train", f"--config={VAE}", f"--workdir={tmp_path / 'run'}", *plain]) == 2
    assert "the codec autoencoder has no density p(x | z)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_without_a_codec_in_the_folder_is_refused(tmp_path, capsys):
    assert main(["train", f"--config={LATENT}", f"--workdir={tmp_path / 'run'}", f"--config.codec.run={tmp_path}"]) == 5
    error = capsys.readouterr().err
    assert "holds no run" in error
    assert len(error.splitlines()) <= 5


@pytest.mark.slow
def test_an_orthogonal_codec_changes_no_likelihood():
    """By the cosine codec, whose cost is 0, under the exact score of N(0, I), which is the same in its coordinates."""
    bits = {}
    for codec in ("None", "{'by': 'cosine'}"):
        tree = read_config(DIGITS, [SAMPLER, *SHORT, f"--config.codec={codec}", "--config.evaluate.probes=0"])
        experiment = with_exact_score(build(Config.model_validate(tree), (8, 8, 1)))
        k = np.random.default_rng(0).integers(0, 17, (8, 8, 8, 1), np.uint8)
        bits[codec] = measure_bits(experiment, experiment.network(None), Batch(k))
    plain, cosine = bits.values()
    assert np.allclose(plain.flow, cosine.flow, atol=2e-3)
    assert not np.isnan(plain.bound).any()
