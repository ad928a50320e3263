"""Any folder of images as a prepared data set: what `data.name=folder` reads of it, and what it must have beside."""

import numpy as np
import pytest
from archives import prepared
from PIL import Image

from experiments.config.schema import Data
from experiments.data.decoded import Decoded
from experiments.data.sources import open_sources
from experiments.runtime.errors import DataError


def picture(path, seed, size=(6, 5), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,)}[mode]
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], *channels), np.uint8)).save(path)


def decoded(sources, data):
    splits = (sources.train, "train"), (sources.test, "test")
    return [Decoded(source, 256, data.origin(split)).everything() for source, split in splits]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("splits", [("train", "test"), ("",)], ids=["splits", "one"])
def test_it_is_what_a_folder_is(tmp_path, mode, splits):
    for i, split in enumerate(splits):
        for j in range(12):
            picture(tmp_path / "images" / split / ("cats" if j % 2 else "dogs") / f"{j}.png", 20 * i + j, mode=mode)
    sources = prepared("pets", tmp_path / "images", tmp_path / "data")
    folder = Data(name="folder", data_dir=str(tmp_path / "images"))
    theirs = open_sources(folder)
    assert list(sources.classes) == list(theirs.classes) == ["cats", "dogs"]
    for ours, other in zip(decoded(sources, folder), decoded(theirs, folder), strict=True):
        for a, b in zip(ours, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_images_without_classes_have_no_labels(tmp_path):
    for j in range(3):
        picture(tmp_path / "images" / f"{j}.png", j)
    sources = prepared("pets", tmp_path / "images", tmp_path / "data")
    assert sources.train[0].keys() == {"image"}
    assert sources.classes == ()


def test_another_shape_and_a_damaged_file_are_named(tmp_path):
    for j in range(3):
        picture(tmp_path / "images" / f"{j}.png", j)
    picture(tmp_path / "images" / "3.png", 3, (7, 5))
    with pytest.raises(DataError, match=r"3\.png: its shape is \(5, 7, 3\), the others' \(5, 6, 3\): resize"):
        prepared("pets", tmp_path / "images", tmp_path / "data")
    (tmp_path / "images" / "3.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"3\.png: Pillow cannot identify it"):
        prepared("pets", tmp_path / "images", tmp_path / "data")
