"""The classifier of the features: right on sorted data, of two classes, and of data that do not stay in memory."""

import numpy as np
import pytest
from runs import DIGITS, in_root  # noqa: F401
from sklearn.datasets import load_digits

from experiments.config.reading import read_config
from experiments.config.schema import Config
from experiments.data.dataset import load
from experiments.data.sources import Sources
from experiments.evaluation import features
from experiments.evaluation.features import default_features, feature_space
from experiments.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("in_root")


def sorted_digits(*classes, resident_mib=4096, labelled=True):
    """The config and the data of these digits, sorted by class as a folder of images is; every fourth is held out."""
    images, labels = load_digits(return_X_y=True)
    rows = [i for i in np.argsort(labels, kind="stable") if labels[i] in classes]
    label = lambda i: {"label": int(labels[i])} if labelled else {}
    examples = [{"image": np.round(images[i].reshape(8, 8) * 255 / 16).astype(np.uint8)} | label(i) for i in rows]
    split = Sources([e for i, e in enumerate(examples) if i % 4], examples[::4])
    tree = read_config(DIGITS, ["--config.evaluate.features=classifier", f"--config.data.resident_mib={resident_mib}"])
    config = Config.model_validate(tree)
    return config, load(split, config.data, 0)


def right(space, data):
    """The share of held-out examples that the classifier of the features gives their class."""
    return (space.classify(space.embed(data.test)) == data.test_labels).mean()


@pytest.mark.parametrize("classes", [(0, 1), (3, 8), (2, 5, 7)])
def test_two_classes_are_told_apart_as_several_are(classes):
    """scikit-learn has one logit of two classes: the greatest of one is always the first."""
    config, data = sorted_digits(*classes)
    space = feature_space(config, data)
    accuracy = right(space, data)
    assert accuracy > 0.95
    assert f"{accuracy:.1%} right on held-out images" in space.description  # by its own predictions


def test_a_part_of_sorted_data_has_every_class(monkeypatch):
    """The first 200 are of two digits: the classifier would know no others."""
    monkeypatch.setattr(features, "FITTED", 200)
    config, data = sorted_digits(*range(10))
    space = feature_space(config, data)
    assert "fit to 200 training labels drawn at random" in space.description
    assert set(space.classify(space.embed(data.test))) == set(range(10))
    assert right(space, data) > 0.8


def test_data_that_do_not_stay_in_memory_have_the_same_space(monkeypatch):
    """Its labels were taken for missing."""
    monkeypatch.setattr(features, "FITTED", 60)
    spaces = []
    for mib in (4096, 0):
        config, data = sorted_digits(0, 1, 2, resident_mib=mib)
        spaces.append(feature_space(config, data).embed(data.test))
    np.testing.assert_array_equal(*spaces)


@pytest.mark.parametrize("resident_mib", [4096, 0])
def test_a_missing_label_is_said_to_be_missing(resident_mib):
    config, data = sorted_digits(0, 1, resident_mib=resident_mib, labelled=False)
    with pytest.raises(ConfigError, match="needs labels, and not all training examples have one: take 'pixels'"):
        feature_space(config, data)


@pytest.mark.parametrize("resident_mib", [4096, 0])
@pytest.mark.parametrize(
    ("levels", "train", "test", "weights", "expected"),
    [
        (0, [0, 1], [0, 1], "", "pixels"),
        (17, [0, 1], [0, 1], "", "classifier"),
        (17, [0, 1], [0, 1], "inception.pth", "inception"),
        (17, [0, 1], [None, None], "", "pixels"),
        (17, [None, 1], [0, 1], "", "pixels"),
        (17, [None, None], [None, None], "", "pixels"),
        (17, [3, 3], [3], "", "pixels"),
    ],
)
def test_the_data_choose_the_features(levels, train, test, weights, expected, resident_mib):
    tree = read_config(DIGITS, [f"--config.evaluate.inception={weights}", f"--config.data.resident_mib={resident_mib}"])
    config = Config.model_validate(tree | {"data": tree["data"] | {"levels": levels, "dequantize": bool(levels)}})
    event = np.zeros((2, 2, 1), np.uint8) if levels else np.zeros(2, np.float32)
    of = lambda labels: [{"image": event} | ({} if y is None else {"label": y}) for y in labels]
    assert default_features(config, load(Sources(of(train), of(test)), config.data, 0)) == expected
