"""Whatever cannot have an effect is refused, with what would give it one; and what has an effect is not."""

import warnings

import pytest
from runs import DIGITS, MOONS
from small_experiments import small_experiment

from experiments.build.checks import label_problems
from experiments.build.idle import idle_problems
from experiments.config.guidance import Guide
from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.runs import guides
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")

FAST = "--config.samplers.ancestral={'step': %s, 'grid': 'uniform_grid', 'n': 2}"
HEUN = FAST % "{'name': 'edm_heun', 's_noise': 1.003%s}"
SWEPT = HEUN.replace("'n': 2", "'n': 2, 'sweep': {'churn': (0.0, 0.2)}")


@pytest.mark.parametrize(
    ("file", "override", "says"),
    [
        (DIGITS, "--config.evaluate.inception=weights.pth", "evaluate.inception = 'weights.pth' would change nothing"),
        (DIGITS, "--config.evaluate.statistics=there", "evaluate.statistics = 'there' would change nothing"),
        (MOONS, "--config.evaluate.draws=4", "evaluate.draws = 4 would change nothing: floats"),
        (MOONS, "--config.sample.pngs=True", "sample.pngs = True would change nothing: floats"),
        (MOONS, "--config.data.dequantize=True", "data.dequantize = True would change nothing: floats"),
        (MOONS, "--config.data.range=unit", "data.range = 'unit' would change nothing: floats"),
        (
            MOONS,
            "--config.data.data_dir=x",
            "data.data_dir = 'x' would change nothing: two_moons reads no file of yours",
        ),
        (MOONS, "--config.data.train=other", "data.train = 'other' would change nothing: two_moons"),
        (MOONS, "--config.data.test=train", "data.test = 'train' would change nothing: two_moons"),
        (DIGITS, "--config.data.crop=random", "data.crop = 'random' would change nothing: images keep their size"),
        (
            DIGITS,
            "--config.evaluate.dequantizer_steps=7",
            "evaluate.dequantizer_steps = 7 would change nothing: the dequantizer",
        ),
        (
            DIGITS,
            HEUN % "",
            "samplers.ancestral.step.s_noise would change nothing at churn = 0; leave it out, or take churn above",
        ),
        (
            DIGITS,
            FAST % "{'name': 'deis', 'order': 3, 'reach': 0.5}",
            "samplers.ancestral.step.reach would change nothing at order",
        ),
    ],
)
def test_a_setting_without_a_part_to_play(file, override, says):
    (line,) = idle_problems(Config.model_validate(read_config(file, [override])))
    assert line.startswith(says)


@pytest.mark.parametrize(
    ("file", "overrides"),
    [
        (DIGITS, ()),
        (MOONS, ()),
        (DIGITS, ("--config.evaluate.features=inception", "--config.evaluate.inception=weights.pth")),
        (MOONS, ("--config.data.name=npz", "--config.data.data_dir=x", "--config.data.test=train")),
        (DIGITS, ("--config.data.dequantize=True", "--config.data.range=unit", "--config.data.test=train")),
        (DIGITS, ("--config.evaluate.dequantizer=variational", "--config.evaluate.dequantizer_steps=7")),
        (DIGITS, ("--config.data.size=4", "--config.data.crop=none")),
        (DIGITS, ("--config.evaluate.draws=4", "--config.sample.pngs=True")),
        (DIGITS, (HEUN % ", 'churn': 0.1",)),
        (DIGITS, (SWEPT % ", 'churn': 0.0",)),
        (DIGITS, (FAST % "{'name': 'edm_heun', 'churn': 0.0, 'churn_min': 0.0, 's_noise': 1.0}",)),
        (DIGITS, (FAST % "{'name': 'deis', 'reach': 0.5}",)),
    ],
)
def test_a_setting_with_a_part_to_play(file, overrides):
    assert idle_problems(Config.model_validate(read_config(file, [*overrides]))) == []


GUIDED = (
    "--config.samplers={'ancestral': {'step': 'ancestral', 'grid': 'uniform_grid', 'n': 2,"
    "'guidance': {'name': 'classifier_free', 'w': 7.0%s}}}"
)
LABELS = "--config.net.classes=2", "--config.train.label_dropout=0.1"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((GUIDED % "",), "guidance classifier_free goes to a class: set net.classes, or take guidance = None"),
        (
            (GUIDED % "", *LABELS, "--config.sample.label=None"),
            "guidance classifier_free goes to a class: set sample.label to one",
        ),
        (
            (GUIDED % ", 'interval': (500.0, 600.0)", *LABELS),
            r"interval = \(500.0, 600.0\) would change nothing: the grid's noises",
        ),
        ((GUIDED % ", 'interval': (0.0, 0.0001)", *LABELS), "would change nothing: the grid's noises are from"),
        (
            ("--config.samplers.ancestral.grid={'name': 'log_snr_grid', 't_min': 0.1, 'log_snr_max': 6.0}",),
            "t_min = 0.1 and log_snr_max = 6.0 are both an end: give one",
        ),
    ],
)
def test_a_sampler_that_would_be_another_s(overrides, says):
    with pytest.raises(ConfigError, match=says):
        small_experiment(*overrides)


def test_guidance_that_has_an_effect():
    """By a label; and each remedy that a refusal names."""
    small_experiment(GUIDED % "", *LABELS)
    small_experiment(GUIDED % ", 'interval': (0.5, 600.0)", *LABELS, "--config.sample.label=1")
    small_experiment(GUIDED % "", "--config.samplers.ancestral.guidance=None")


def test_no_run_guides_itself(tmp_path):
    """s' + w (s - s') of one network is s."""
    experiment = small_experiment(
        GUIDED.replace("classifier_free", "autoguidance") % f", 'run': '{tmp_path}/../{tmp_path.name}'"
    )
    with pytest.raises(ConfigError, match="is this run itself: name another trained run as the guide"):
        guides.with_guides(experiment, tmp_path)


@pytest.mark.parametrize("theirs", [("dog", "cat"), ("cat", "cow")])
def test_a_guide_of_the_same_labels_by_other_names_is_refused(monkeypatch, tmp_path, theirs):
    """It would lead to another class than asked for."""
    guided = GUIDED.replace("classifier_free", "autoguidance") % ", 'run': 'weak'"
    experiment = small_experiment(guided, *LABELS)._replace(names=("cat", "dog"))
    guide = Guide(2, score=lambda params, y: lambda x, t: -x, names=theirs)
    monkeypatch.setattr(guides, "_guide", lambda run, guided, home: guide)
    with pytest.raises(
        ConfigError, match=r"run = weak calls (dog what is cat|cow what is dog) here: train the guide on the same"
    ):
        guides.with_guides(experiment, tmp_path)
    monkeypatch.setattr(guides, "_guide", lambda run, guided, home: guide._replace(names=("cat", "dog")))
    assert guides.with_guides(experiment, tmp_path).guides["weak"].names == ("cat", "dog")


@pytest.mark.parametrize(
    ("label", "names", "warns"),
    [
        ("each", ("cat", "each"), "sample.label = each is not the class of that name, which is number 1"),
        ("None", ("None", "cat"), "sample.label = None is not the class of that name, which is number 0"),
        ("null", ("cat", "null"), "sample.label = None is not the class of that name, which is number 1"),
        ("'none'", ("cat", "none"), ""),
        ("1", ("cat", "each"), ""),
        ("each", ("cat", "Each one"), ""),
    ],
)
def test_a_label_that_is_no_class_is_told_from_a_class_of_its_name(label, names, warns):
    config = Config.model_validate(read_config(DIGITS, ["--config.net.classes=2", f"--config.sample.label={label}"]))
    with warnings.catch_warnings(record=True) as caught:
        assert label_problems(config, names) == []
    assert [str(warning.message) for warning in caught] == [warns] * bool(warns)
