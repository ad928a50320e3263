"""The perceptual term of a codec's loss: features of a classifier's run, its weight, and what a run of it remembers."""

import shutil

import jax
import numpy as np
import pytest
from runs import seal
from source_files import ROOT

import losses
import models
from experiments.build.build import build
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tree import read_json_tree
from experiments.main import main
from experiments.runs.features import with_features
from experiments.runs.resume import trained_state

pytestmark = pytest.mark.usefixtures("in_root")

VAE, LATENT, CLASSIFIER = (f"configs/digits/{name}.py:tiny" for name in ("vae", "latent", "classifier"))
SHORT = ["--config.train.steps=4", "--config.train.batch=16", "--config.train.log_every=2", "--config.train.decay=constant"]
SAMPLER = ["--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 4}}"]
SAMPLER += ["--config.sample.sampler=ancestral", "--config.evaluate.likelihood=0"]


def command(name, config, folder, *overrides):
    return main([name, f"--config={config}", f"--workdir={folder}", *SHORT, *SAMPLER, *overrides])


def vae(folder, *overrides, name="train"):
    return command(name, VAE, folder / "vae", f"--config.codec.perceptual.run={folder / 'classifier'}", *overrides)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of a classifier, and of a VAE that is trained by its features."""
    folder = tmp_path_factory.mktemp("features")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert command("train", CLASSIFIER, folder / "classifier") == 0
        assert vae(folder, "--config.train.steps=2") == 0
        assert vae(folder) == 0
    return folder


def perceptual_experiment(folder, run="classifier", weight=2.0):
    """The VAE's experiment with its features, as training opens it."""
    of = {"run": str(folder / run), "weight": weight}
    tree = read_config(VAE.removesuffix(":tiny"), [*SHORT, *SAMPLER, f"--config.codec.perceptual={of}"])
    return with_features(build(Config.model_validate(tree), (8, 8, 1)), folder / "nowhere")


@pytest.mark.slow
def test_the_term_is_the_distance_by_the_features_of_the_classifier(runs):
    """l with it less l without it is weight d(x, x_hat), d by the features of the module itself at the least noise."""
    experiment = perceptual_experiment(runs)
    plain = experiment._replace(
        config=experiment.config.model_copy(update={"codec": experiment.config.codec.model_copy(update={"perceptual": None})})
    )
    params, key = experiment.initial(jax.random.key(0)), jax.random.key(1)
    x = jax.random.uniform(jax.random.key(2), (8, 8, 1), minval=-1)
    (l, x_hat), (without, same) = (each.reconstruct(params, key, x) for each in (experiment, plain))
    np.testing.assert_array_equal(x_hat, same)

    config = Config.model_validate(read_json_tree(runs / "classifier" / "config.json"))
    classifier = build(config, (8, 8, 1), tuple(map(str, range(10))))
    options, sde, trained = config.net.options, classifier.sde, trained_state(classifier, runs / "classifier").ema
    c = models.v(sde, sde.t_min, config.sigma_data)
    features = models.features(lambda shape, rngs: models.Classifier(shape, **options, rngs=rngs), c.c_in, c.c_noise)
    d = losses.perceptual(lambda x: features(trained, x))(x, x_hat)
    assert float(l - without) == pytest.approx(2.0 * float(d), rel=1e-3)
    assert float(d) > 0


@pytest.mark.slow
def test_a_run_that_resumes_is_the_run_that_did_not(runs, tmp_path):
    """To the last bit; the digest of the features is recorded when it begins."""
    shutil.copytree(runs / "classifier", tmp_path / "classifier")
    assert vae(tmp_path) == 0
    assert seal(tmp_path / "vae", 4) == seal(runs / "vae", 4)


@pytest.mark.slow
def test_other_features_are_refused(runs, tmp_path, capsys):
    shutil.copytree(runs / "vae", tmp_path / "vae")
    assert command("train", CLASSIFIER, tmp_path / "classifier", "--config.seed=1") == 0
    assert vae(tmp_path, "--config.train.steps=6") == 5
    error = capsys.readouterr().err
    assert "codec.perceptual compares features with the digest" in error
    assert len(error.splitlines()) <= 5


@pytest.mark.slow
def test_a_codec_needs_no_features_once_it_is_trained(runs, tmp_path):
    """It is drawn from, and its codes are scored, when the classifier is gone."""
    shutil.copytree(runs / "vae", tmp_path / "vae")
    assert main(["sample", str(tmp_path / "vae")]) == 0
    assert command("train", LATENT, tmp_path / "latent", f"--config.codec.run={tmp_path / 'vae'}") == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "words", "code"),
    [
        ("vae", "trained no classifier: name a run of objective cross_entropy", 2),
        ("none", "holds no run", 5),
        ("itself", "is this run itself", 2),
    ],
)
def test_a_run_without_features_is_refused(run, words, code, runs, tmp_path, capsys):
    path = tmp_path / "itself" if run == "itself" else runs / run
    line = ["train", f"--config={VAE}", f"--workdir={tmp_path / 'itself'}", *SHORT, *SAMPLER]
    assert main([*line, f"--config.codec.perceptual.run={path}"]) == code
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) <= 5


def test_a_file_is_for_images_of_16_pixels(tmp_path, capsys):
    line = ["train", f"--config={VAE}", f"--workdir={tmp_path / 'run'}", *SHORT, *SAMPLER]
    assert main([*line, f"--config.codec.perceptual.file={tmp_path / 'x.safetensors'}"]) == 2
    assert "codec.perceptual.file is of images of 1 or 3 channels and of 16 x 16 pixels or more" in capsys.readouterr().err
