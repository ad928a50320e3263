"""Runs of an augmented SDE by a config: events with velocities, likelihood by draws of them, and what is refused."""

import json

import jax
import numpy as np
import pytest
from edited_runs import experiment_of
from oracle import AUGMENTED_GAUSSIAN, GAUSSIAN
from runs import samples, seal
from slow import one_in
from small_experiments import trains_by_trace

import models
from experiments.build.build import build
from experiments.build.sampler import bound_samplers
from experiments.build.summary import summary
from experiments.config.problems import part_problems
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.config.tiny import tiny
from experiments.data.dataset import Batch
from experiments.evaluation.likelihood import measure_bits
from experiments.main import main
from experiments.runtime.errors import ConfigError
from experiments.sampling.draw import drawing
from experiments.sampling.editing import configured_edit
from sde_lib import CLD

pytestmark = pytest.mark.usefixtures("in_root")
CONFIG = "configs/digits/cld.py:tiny"
ONE = "--config.samplers={'sscs': {'step': 'sscs', 'grid': {'name': 'log_snr_grid', 't_min': 0.001}, 'n': 60}}"
POINTS = "--config.sde=CLD", ONE, "--config.sample.sampler=sscs"


def cld(*words):
    tree = read_config(CONFIG, [f"--config.{word}" for word in words], {"tiny": tiny})
    assert not part_problems(tree)
    return build(Config.model_validate(tree), (8, 8, 1))


@one_in(3)
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["samplers.sscs.step=ancestral"], "samplers.sscs: ancestral needs alpha.*; euler_maruyama serves any SDE"),
        (["samplers.heun.denoise=True"], "samplers.heun: denoise needs alpha.*; take denoise = False"),
        (["samplers.heun.sde.name=VPSDE"], "samplers.heun.sde: a score under another SDE needs alpha.* CLD is not a LinearSDE"),
        (["parameterization=x0"], "net: parameterization x0 needs alpha.*; eps, score and sigma_score serve any SDE"),
        (["mixed=True"], "net: mixed needs alpha.*; train the model itself"),
        (["weight=min_snr"], "weight: min_snr needs alpha.*; likelihood weighs any SDE"),
        (["times={'name': 'importance', 'prior_variance': 1.0}"], "importance by a prior_variance needs alpha.*; leave it out"),
        (
            ["objective=hybrid", "weight=None", "times={'name': 'discrete', 'n': 10}"],
            "hybrid needs alpha.*; ism, ssm and ssm_vr",
        ),
        (["objective=cross_entropy", "weight=None", "net={'name': 'Classifier', 'classes': 10}"], "class_model needs alpha"),
        (["objective=rate_distortion", "weight=None"], "rate_distortion trains a codec alone, and CLD has variables beside"),
        (["evaluate.dequantizer=variational"], "is fitted to a density of x, and CLD has variables beside.*; take 'uniform'"),
        (["codec={'by': 'cosine', 'standardise': 'channel'}"], "codec.standardise = 'channel': CLD has variables beside"),
        (["sde=VPSDE"], "samplers.sscs: sscs needs reverse_transition.* VPSDE has none; euler_maruyama serves any SDE"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        cld(*words)


@one_in(6)
@pytest.mark.parametrize("by", ["progressive", "inpaint", "dps", "pi_gdm", "colorize", "superresolve"])
def test_edits_by_the_expected_example_are_refused(by):
    with pytest.raises(
        ConfigError, match=f"edit.by: {by} needs alpha.*; take round_trip or manipulate or sdedit or between or shared"
    ):
        configured_edit(cld(f"edit.by={by}", "edit.rows=2"), np.zeros((8, 8, 8, 1), np.uint8))


@one_in(4)
@pytest.mark.parametrize("by", ["sdedit", "between", "shared", "round_trip"])
def test_edits_by_the_way_there_are_not(by):
    assert configured_edit(cld(f"edit.by={by}", "edit.rows=2"), np.zeros((8, 8, 8, 1), np.uint8))


def test_the_network_sees_velocities_as_channels():
    experiment = cld()
    assert experiment.code_shape == (8, 8, 1, 2)
    assert experiment.net_shape == (8, 8, 2)
    assert any("codec: 0 parameters, 8 x 8 x 1 -> 8 x 8 x 1 x 2, fixed" in line for line in summary(experiment))
    trains_by_trace(experiment)


@pytest.mark.parametrize(
    "words",
    [
        ["codec={'by': 'cosine'}", "in_space=True"],
        ["objective=ssm", "weight=likelihood", "times=importance"],
        ["conditions.image={'name': 'low_resolution', 'factor': 2}"],
        [
            "net.classes=10",
            "train.label_dropout=0.1",
            "samplers.sscs.guidance={'name': 'classifier_free', 'interval': (0.1, 5.0)}",
        ],
        ["lora={'run': 'runs/a', 'on': 'convolution'}"],
    ],
    ids=["codec", "ssm", "image", "guidance", "lora"],
)
@pytest.mark.slow
def test_what_else_there_is_goes_with_it(words):
    trains_by_trace(cld(*words))


def exact(experiment, data):
    """The experiment with the score of the data in the place of a network's, for the noised variable alone."""
    mask = experiment.sde.noise_mask
    score = lambda params, z, t, y=None, key=None: data.score(experiment.sde)(z, t) * mask
    return experiment._replace(model=models.ScoreModel(lambda key, z: {}, score, lambda *a, **k: None))


@pytest.mark.slow
def test_likelihood_is_by_draws_of_the_velocity():
    """log p(x) of Gaussian data: by the flow of each (x, v) less log q(v), and the bound in the mean.

    The truth is that of t = 0, and noise changes the narrow law of v fast: from t_min = 1e-5 bits are 0.01 off, by that alone.
    At the standard beta, x_1 is not quite the prior's either, which is as much again.
    """
    limits = "--config.sde.beta=8.0", "--config.evaluate.t_min=1e-7"
    options = "--config.evaluate.tolerance=1e-5", "--config.evaluate.probes=0", "--config.evaluate.bound_times=64"
    experiment = exact(experiment_of(*POINTS, *limits, *options, "--config.evaluate.draws=2"), AUGMENTED_GAUSSIAN)
    x = np.asarray(jax.vmap(GAUSSIAN.sample)(jax.random.split(jax.random.key(0), 256)))
    bits = measure_bits(experiment, experiment.network({}), Batch(x))
    truth = -np.asarray(jax.scipy.stats.norm.logpdf(x, GAUSSIAN.means[0], GAUSSIAN.std).sum(1)) / 2 / np.log(2)
    np.testing.assert_allclose(bits.flow, truth, atol=1e-3)
    gap = bits.bound - truth
    assert gap.mean() == pytest.approx(0, abs=4.5 * gap.std() / 16)


@pytest.mark.slow
def test_samples_are_the_data_without_velocities():
    experiment = exact(experiment_of(*POINTS), AUGMENTED_GAUSSIAN)
    bound = bound_samplers(experiment)["sscs"]
    drawn = drawing(bound)(experiment.network({}), bound.rows(0, 2048), 60)
    assert drawn.levels.shape == (2048, 2)
    assert drawn.finite.all()
    np.testing.assert_allclose(drawn.levels.mean(0), GAUSSIAN.means[0], atol=0.08)
    np.testing.assert_allclose(drawn.levels.std(0), GAUSSIAN.std, rtol=0.1)


def test_the_sde_is_the_config_s():
    assert cld("sde={'name': 'CLD', 'beta': 6.0, 'gamma': 0.1}").sde == CLD(beta=6.0, gamma=0.1)


@pytest.mark.slow
def test_it_trains_resumes_is_sampled_edited_and_evaluated(tmp_path):
    """A run that was stopped ends at the bits of one that was not."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train = lambda folder, steps: main(
        ["train", f"--config={CONFIG}", f"--workdir={folder}", f"--config.train.steps={steps}", "--config.train.decay=constant"]
    )
    assert [train(*call) for call in ((whole, 10), (parts, 5), (parts, 10))] == [0, 0, 0]
    assert seal(parts, 10) == seal(whole, 10)
    assert main(["sample", str(whole)]) == 0
    assert samples(whole, "sscs_seed0").shape == (16, 8, 8, 1)
    few = ["--config.edit.rows=2", "--config.interpolate.pairs=1"]
    for by in ("sdedit", "round_trip"):
        assert main(["edit", str(whole), f"--config.edit.by={by}", *few]) == 0
    assert main(["interpolate", str(whole), *few]) == 0
    assert main(["evaluate", str(whole)]) == 0
    bits = json.loads((whole / "report.json").read_text())["arms"][0]["bits_per_dim"]
    assert np.isfinite([bits["mean"], bits["bound"]["mean"]]).all()
