"""The validation split: apart from the others, or refused."""

import numpy as np
import pytest

from experiments.config.schema import Data
from experiments.data.dataset import load
from experiments.data.sources import open_sources
from experiments.data.validation import load_validation
from experiments.runtime.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 4, 4, 1), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Four files: 20 training, 10 validation and 10 held-out images, and `mixed`, half of which are held-out ones."""
    splits = {"train": IMAGES[:20], "valid": IMAGES[20:30], "test": IMAGES[30:], "mixed": IMAGES[25:35]}
    for name, images in splits.items():
        np.savez(tmp_path / f"{name}.npz", image=images)
    return tmp_path


def loaded(folder, validation, **changes):
    config = Data(name="npz", data_dir=str(folder), validation=validation, **changes)
    data = load(open_sources(config), config, 0)
    return data, load_validation(config, data)


def test_it_is_the_split_of_that_name_and_changes_no_other(folder):
    data, validation = loaded(folder, "valid")
    np.testing.assert_array_equal(validation, IMAGES[20:30])
    np.testing.assert_array_equal(data.test, IMAGES[30:])
    without, _ = loaded(folder, "valid", resident_mib=0)
    assert len(data.train) == len(without.train) == 20
    config = Data(name="npz", data_dir=str(folder))
    assert load(open_sources(config), config, 0).digest == data.digest


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_that_is_another_is_refused(folder, split):
    with pytest.raises(
        DataError, match=rf"all of the \d0 examples of data.validation = '{split}' are in data.{split} = '{split}'"
    ):
        loaded(folder, split)


def test_a_part_of_another_split_is_warned_of(folder, capsys):
    loaded(folder, "mixed")
    said = " ".join(capsys.readouterr().out.split())
    assert "warning: 5 of the 10 examples of data.validation = 'mixed' are in data.test, too" in said


def test_a_split_that_is_not_there_is_named(folder):
    with pytest.raises(
        DataError, match=r"data.validation, opened as data.test = 'val': no file .*val.npz; its folder holds mixed"
    ):
        loaded(folder, "val")


def test_points_that_are_drawn_have_no_such_split():
    config = Data(name="two_moons", levels=0, validation="validation")
    with pytest.raises(DataError, match=r"all of the 2000 examples of data.validation = 'validation' are in data.test"):
        load_validation(config, load(open_sources(config), config, 0))
