"""data check of images that are resized: what is done to them, and to how many more than that."""

import numpy as np
import pytest
from PIL import Image

from experiments.config.schema import Data
from experiments.data.check import check
from experiments.data.sources import open_sources


@pytest.mark.parametrize("crop", ["centre", "random", "none"])
def test_it_looks_at_images_as_training_gets_them(tmp_path, capsys, crop):
    """Of one size, the small ones counted, and one that is in both splits found by what is left of it."""
    rng = np.random.default_rng(0)
    for i in range(20):
        side = 4 if i in (3, 7, 10) else 20
        Image.fromarray(rng.integers(0, 256, (side, side + 2), np.uint8)).save(tmp_path / f"{i:02}.png")
    Image.open(tmp_path / "12.png").save(tmp_path / "00.png")
    settings = Data(name="folder", data_dir=str(tmp_path), size=(10, 8), crop=crop)
    report = check(open_sources(settings), settings)
    assert report.shapes == {(10, 8, 1): 20}
    said = capsys.readouterr().out
    assert "images: resized to 10 x 8, " in said
    assert "folder train: 2 of 18 images are smaller than 10 x 8, and enlarged" in said
    assert "folder test: 1 of 2 images are smaller than 10 x 8, and enlarged" in said
    assert "1 of 2 held-out examples are in training too" in said
