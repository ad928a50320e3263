"""CelebA's faces, cut and made smaller as score_sde does; and archives that are not its."""

import io

import numpy as np
import pytest
from archives import jpeg, prepared, written, zipped
from PIL import Image

from experiments.runtime.errors import DataError

NUMBERS = {"train": [1, 2, 162_770], "validation": [162_771, 182_637], "test": [182_638, 202_599]}


def faces(folder="img_align_celeba/"):
    return {f"{folder}{i:06}.jpg": jpeg(i) for numbers in NUMBERS.values() for i in numbers}


def smaller(content):
    """The mean over a triangle of the middle 140 x 140, to 64 x 64: tf.image.resize(.., antialias=True), in numbers."""
    face = np.asarray(Image.open(io.BytesIO(content)), float)[39:179, 19:159]
    scale = 140 / 64
    distance = np.arange(140) + 0.5 - scale * (np.arange(64)[:, None] + 0.5)
    weights = np.maximum(0, 1 - np.abs(distance) / scale)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("ih,jw,hwc->ijc", weights, weights, face)


@pytest.mark.slow
def test_faces_are_the_middle_made_smaller(tmp_path):
    """They agree to a level of 255: Pillow rounds after each axis. The splits are those of list_eval_partition.txt."""
    files = faces()
    places = zipped(tmp_path / "img_align_celeba.zip", files), written(tmp_path / "unpacked", files)
    for i, place in enumerate(places):
        for held_out in ("validation", "test"):
            sources = prepared("celeba_64", place, tmp_path / str(i), test=held_out)
            for examples, split in ((sources.train, "train"), (sources.test, held_out)):
                assert len(examples) == len(NUMBERS[split])
                for example, number in zip(examples, NUMBERS[split], strict=True):
                    assert example["image"].shape == (64, 64, 3)
                    expected = smaller(files[f"img_align_celeba/{number:06}.jpg"])
                    assert np.abs(example["image"] - expected).max() <= 1
                    assert "label" not in example


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.pop("000001.jpg") and [files.pop(f"{i:06}.jpg") for i in NUMBERS["train"][1:]], "the split train"),
        (lambda files: files.update({"000002.jpg": jpeg(2, (178, 178))}), "000002.jpg is 178 x 178, not 178 x 218"),
        (lambda files: files.update({"000002.jpg": files["000002.jpg"][:700]}), "000002.jpg is damaged"),
        (lambda files: files.update({"000002.jpg": b"GIF89a"}), "000002.jpg is damaged"),
    ],
    ids=["part", "size", "cut", "kind"],
)
def test_what_is_not_celeba_is_refused(tmp_path, change, words):
    files = faces("")
    change(files)
    with pytest.raises(DataError, match=words):
        prepared("celeba_64", zipped(tmp_path / "img_align_celeba.zip", files), tmp_path / "data")
